//! A member of a group of the consumer protocol: who it is, what it reads, what it has.
//!
//! Source: `ConsumerGroupMember`, `MemberState` of Apache Kafka 3.9.

use std::collections::BTreeSet;

use crate::group::partitions::Partitions;
use crate::group::records::ConsumerRecord;
use crate::group::records::consumer::{
    ClassicMemberMetadata, ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue,
};

/// How far a member is on its way to the target assignment; the number in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum MemberState {
    /// It has all that the target of its epoch gives it.
    Stable = 0,
    /// It has to give up partitions before it can go on.
    UnrevokedPartitions = 1,
    /// It waits for partitions that others have yet to give up.
    UnreleasedPartitions = 2,
    /// Written by a coordinator that knows more states.
    Unknown = 127,
}

impl MemberState {
    fn from_i8(state: i8) -> MemberState {
        match state {
            0 => MemberState::Stable,
            1 => MemberState::UnrevokedPartitions,
            2 => MemberState::UnreleasedPartitions,
            _ => MemberState::Unknown,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<String>,
    pub subscribed_topic_names: BTreeSet<String>,
    pub subscribed_topic_regex: Option<String>,
    /// Of a member that speaks the classic protocol.
    pub classic: Option<ClassicMemberMetadata>,
    pub epoch: i32,
    /// If the answer with the epoch is lost, the member comes again with this one.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Partitions,
    pub pending_revocation: Partitions,
}

impl Member {
    pub fn new(member_id: &str) -> Member {
        Member {
            member_id: member_id.to_owned(),
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            rebalance_timeout_ms: -1,
            server_assignor: None,
            subscribed_topic_names: BTreeSet::new(),
            subscribed_topic_regex: None,
            classic: None,
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Partitions::default(),
            pending_revocation: Partitions::default(),
        }
    }

    pub fn uses_classic_protocol(&self) -> bool {
        self.classic.is_some()
    }

    /// Whether it has all that the target of this epoch gives it.
    pub fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == assignment_epoch
    }

    /// Moves on to an epoch; the one before is remembered.
    pub fn advance_to(&mut self, epoch: i32) {
        self.previous_epoch = std::mem::replace(&mut self.epoch, epoch);
    }

    pub(super) fn described_by(mut self, value: ConsumerGroupMemberMetadataValue) -> Member {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client_id = value.client_id;
        self.client_host = value.client_host;
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.server_assignor = value.server_assignor;
        self.subscribed_topic_names = value.subscribed_topic_names.into_iter().collect();
        self.subscribed_topic_regex = value.subscribed_topic_regex.filter(|regex| !regex.is_empty());
        self.classic = value.classic_member_metadata;
        self
    }

    pub(super) fn at(mut self, value: ConsumerGroupCurrentMemberAssignmentValue) -> Member {
        self.epoch = value.member_epoch;
        self.previous_epoch = value.previous_member_epoch;
        self.state = MemberState::from_i8(value.state);
        self.assigned = Partitions::of_records(&value.assigned_partitions);
        self.pending_revocation = Partitions::of_records(&value.partitions_pending_revocation);
        self
    }

    pub(super) fn without_assignment(mut self) -> Member {
        self.epoch = super::LEAVE_EPOCH;
        self.previous_epoch = super::LEAVE_EPOCH;
        self.state = MemberState::Stable;
        self.assigned = Partitions::default();
        self.pending_revocation = Partitions::default();
        self
    }

    /// The record of who it is.
    pub fn description(&self) -> ConsumerRecord {
        let value = ConsumerGroupMemberMetadataValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.subscribed_topic_names.iter().cloned().collect(),
            // Apache writes "" where there is none.
            subscribed_topic_regex: Some(self.subscribed_topic_regex.clone().unwrap_or_default()),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.server_assignor.clone(),
            classic_member_metadata: self.classic.clone(),
        };
        ConsumerRecord::Member { member_id: self.member_id.clone(), value: Some(value) }
    }

    /// The record of what it has.
    pub fn assignment(&self) -> ConsumerRecord {
        let value = ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: self.epoch,
            previous_member_epoch: self.previous_epoch,
            state: self.state as i8,
            assigned_partitions: self.assigned.to_records(),
            partitions_pending_revocation: self.pending_revocation.to_records(),
        };
        ConsumerRecord::Current { member_id: self.member_id.clone(), value: Some(value) }
    }
}
