//! One group of the consumer protocol (KIP-848), as a value. The coordinator assigns, and members are led to what they
//! shall have one by one: each has an epoch, gives up first, and takes what others have given up.
//!
//! ```text
//! group epoch       who is in the group, what they read, and how many partitions that has
//! assignment epoch  what the target assignment was made for: behind the group's, it is made anew
//! member epoch      what the member has got to: it is at the assignment's when it has given up what it must
//! ```
//!
//! What lasts is changed by [`ConsumerGroup::replay`] alone, when a record is made as when it is read back: a request
//! makes records ([`ConsumerGroup::take_records`]), and is answered when they are in the log. If the log refuses them
//! [`ConsumerGroup::roll_back`] makes them undone. Sessions and time-outs are not kept in the log.
//!
//! [`heartbeat`] takes members in and hears from them, [`target`] makes the target assignment, [`reconcile`] leads
//! members to it, [`classic`] serves members that still speak the classic protocol.
//!
//! Source: `ConsumerGroup`, `GroupMetadataManager` of Apache Kafka 3.9.

pub mod classic;
mod heartbeat;
mod member;
mod reconcile;
mod regex;
mod target;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use heartbeat::Refusal;
pub use member::{Member, MemberState};

use super::assignors::Assignor;
use super::classic::Joiner;
use super::partitions::Partitions;
use super::records::consumer::{
    ConsumerGroupMetadataValue, ConsumerGroupPartitionMetadataValue, ConsumerGroupTargetAssignmentMetadataValue,
};
use super::records::{ConsumerRecord, Record};
use crate::replication::ClusterMetadata;
use crate::wire::{ErrorCode, Uuid};

/// The member epoch of a request to join.
pub const JOIN_EPOCH: i32 = 0;
/// The member epoch of a request to leave.
pub const LEAVE_EPOCH: i32 = -1;
/// The member epoch of a static member that leaves to come back, and of that member until it does.
pub const LEAVE_STATIC_EPOCH: i32 = -2;

/// The broker's keys that shape these groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSettings {
    /// `group.consumer.session.timeout.ms`
    pub session_timeout_ms: i32,
    /// `group.consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`
    pub size_max: usize,
    /// `group.consumer.assignors`: the first is for members that want none.
    pub assignors: Vec<Assignor>,
}

/// What a request is judged by, besides the group: the cluster's topics, and the broker's keys.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    pub cluster: &'a ClusterMetadata,
    /// Another number when `cluster` is another.
    pub cluster_version: u64,
    pub settings: &'a ConsumerSettings,
    pub now_ms: i64,
}

/// A topic that members read, as it was when the group's epoch was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Topic {
    id: Uuid,
    partitions: i32,
}

/// A group of the consumer protocol.
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    pub group_id: String,
    epoch: i32,
    assignment_epoch: i32,
    members: BTreeMap<String, Arc<Member>>,
    /// group.instance.id → member id.
    static_members: BTreeMap<String, String>,
    target: BTreeMap<String, Arc<Partitions>>,
    /// The epoch of the member that has a partition, or has yet to give it up.
    holders: HashMap<(Uuid, i32), i32>,
    topics: BTreeMap<String, Topic>,
    /// What regular expressions were resolved to.
    regexes: BTreeMap<String, BTreeSet<String>>,
    timers: BTreeMap<String, Timers>,
    /// The picture of the cluster that `topics` was last held against.
    seen_cluster_version: Option<u64>,
    made: Vec<Record>,
    /// The group before the records in `made`.
    before: Option<Box<ConsumerGroup>>,
}

/// Until when the coordinator waits for something of a member, ms since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Timers {
    session: Option<i64>,
    /// To give partitions up.
    revocation: Option<i64>,
    /// To join again, or to sync: a member of the classic protocol.
    join: Option<i64>,
    sync: Option<i64>,
}

impl Timers {
    fn first(&self) -> Option<i64> {
        [self.session, self.revocation, self.join, self.sync].into_iter().flatten().min()
    }
}

impl ConsumerGroup {
    pub fn new(group_id: impl Into<String>) -> ConsumerGroup {
        ConsumerGroup {
            group_id: group_id.into(),
            epoch: 0,
            assignment_epoch: 0,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            target: BTreeMap::new(),
            holders: HashMap::new(),
            topics: BTreeMap::new(),
            regexes: BTreeMap::new(),
            timers: BTreeMap::new(),
            seen_cluster_version: None,
            made: Vec::new(),
            before: None,
        }
    }

    pub fn epoch(&self) -> i32 {
        self.epoch
    }

    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// As ListGroups and ConsumerGroupDescribe name it.
    pub fn state_name(&self) -> &'static str {
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch > self.assignment_epoch {
            "Assigning"
        } else if self.members.values().any(|member| !member.is_reconciled_to(self.assignment_epoch)) {
            "Reconciling"
        } else {
            "Stable"
        }
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values().map(|member| &**member)
    }

    pub fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// What a member shall have.
    pub fn target_of(&self, member_id: &str) -> Partitions {
        self.target.get(member_id).map(|target| (**target).clone()).unwrap_or_default()
    }

    /// The assignor that most members want; the first configured one if none wants any.
    pub fn assignor(&self, settings: &ConsumerSettings) -> Assignor {
        let votes = |assignor: Assignor| {
            self.members.values().filter(|member| member.server_assignor.as_deref() == Some(assignor.name())).count()
        };
        let mut chosen = (settings.assignors.first().copied().unwrap_or(Assignor::Uniform), 0);
        for &assignor in &settings.assignors {
            if votes(assignor) > chosen.1 {
                chosen = (assignor, votes(assignor));
            }
        }
        chosen.0
    }

    /// Whether a member reads `topic`, so that its offsets must not be deleted.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.members.values().any(|member| self.reads(member, topic))
    }

    fn reads(&self, member: &Member, topic: &str) -> bool {
        let by_regex = member.subscribed_topic_regex.as_ref().and_then(|regex| self.regexes.get(regex));
        member.subscribed_topic_names.contains(topic) || by_regex.is_some_and(|topics| topics.contains(topic))
    }

    /// Whether an OffsetCommit or TxnOffsetCommit with this identity is accepted.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`; `STALE_MEMBER_EPOCH`, for members of the classic protocol `ILLEGAL_GENERATION`;
    /// `UNSUPPORTED_VERSION` from a member of the consumer protocol that speaks OffsetCommit below 9.
    pub fn check_commit(
        &self,
        member_id: &str,
        epoch: i32,
        instance: Option<&str>,
        version: Option<i16>,
    ) -> Result<(), ErrorCode> {
        let is_transactional = version.is_none();
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        if is_transactional && epoch < 0 && member_id.is_empty() && instance.is_none() {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if !member.uses_classic_protocol() && version.is_some_and(|version| version < 9) {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        match epoch == member.epoch {
            true => Ok(()),
            // TxnOffsetCommit knows generations only.
            false if member.uses_classic_protocol() || is_transactional => Err(ErrorCode::ILLEGAL_GENERATION),
            false => Err(ErrorCode::STALE_MEMBER_EPOCH),
        }
    }

    /// Whether an OffsetFetch with this identity is accepted; one without a member always is.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `STALE_MEMBER_EPOCH`.
    pub fn check_fetch(&self, member_id: Option<&str>, epoch: i32) -> Result<(), ErrorCode> {
        let member_id = member_id.unwrap_or_default();
        if member_id.is_empty() && epoch < 0 {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if epoch == member.epoch { Ok(()) } else { Err(ErrorCode::STALE_MEMBER_EPOCH) }
    }

    // ------------------------------------------------------------------ what the clock says

    /// The next time at which a member's time is up, ms since 1970.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.timers.values().filter_map(Timers::first).min()
    }

    /// The members whose time is up.
    pub fn due(&self, now_ms: i64) -> Vec<String> {
        let is_due = |timers: &Timers| timers.first().is_some_and(|at_ms| at_ms <= now_ms);
        self.timers.iter().filter(|(_, timers)| is_due(timers)).map(|(id, _)| id.clone()).collect()
    }

    /// Looks at a member again later, because it could not be removed now.
    pub fn postpone(&mut self, member_id: &str, until_ms: i64) {
        if let Some(timers) = self.timers.get_mut(member_id) {
            *timers = Timers { session: Some(until_ms), ..Timers::default() };
        }
    }

    /// Gives every member a full session, as after the group was read from the log.
    pub fn begin_sessions(&mut self, settings: &ConsumerSettings, now_ms: i64) {
        let members: Vec<Arc<Member>> = self.members.values().cloned().collect();
        for member in members {
            self.begin_session(&member, settings, now_ms);
            if member.state == MemberState::UnrevokedPartitions && !member.uses_classic_protocol() {
                let patience = i64::from(member.rebalance_timeout_ms.max(0));
                self.timers.entry(member.member_id.clone()).or_default().revocation = Some(now_ms + patience);
            }
        }
    }

    fn begin_session(&mut self, member: &Member, settings: &ConsumerSettings, now_ms: i64) {
        let classic = member.classic.as_ref().map(|classic| classic.session_timeout_ms);
        let timeout_ms = classic.unwrap_or(settings.session_timeout_ms);
        self.timers.entry(member.member_id.clone()).or_default().session = Some(now_ms + i64::from(timeout_ms));
    }

    // ------------------------------------------------------------------ records

    /// The records made since the last time, in order; to be followed by `commit` or `roll_back`.
    pub fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.made)
    }

    /// The records are in the log.
    pub fn commit(&mut self) {
        self.before = None;
    }

    /// The log refused the records: the group is as it was before.
    pub fn roll_back(&mut self) {
        if let Some(before) = self.before.take() {
            *self = *before;
        }
    }

    fn make(&mut self, record: ConsumerRecord) {
        if self.before.is_none() {
            self.before = Some(Box::new(self.clone()));
        }
        self.made.push(Record::Consumer { group_id: self.group_id.clone(), record: record.clone() });
        self.replay(record);
    }

    /// Applies a record: one that was read from the log, or one just made.
    pub fn replay(&mut self, record: ConsumerRecord) {
        match record {
            ConsumerRecord::Epoch(value) => self.epoch = value.map_or(0, |value| value.epoch),
            ConsumerRecord::TargetEpoch(value) => {
                self.assignment_epoch = value.map_or(0, |value| value.assignment_epoch);
            }
            ConsumerRecord::PartitionMetadata(value) => self.topics = value.map(topics_of).unwrap_or_default(),
            ConsumerRecord::Member { member_id, value: Some(value) } => {
                let before = self.members.get(&member_id).map(|member| (**member).clone());
                let member = before.unwrap_or_else(|| Member::new(&member_id)).described_by(value);
                if let Some(instance) = &member.instance_id {
                    self.static_members.insert(instance.clone(), member_id.clone());
                }
                self.members.insert(member_id, Arc::new(member));
            }
            ConsumerRecord::Member { member_id, value: None } => self.forget_member(&member_id),
            ConsumerRecord::Target { member_id, value: Some(value) } => {
                let partitions = value.topic_partitions.iter();
                let pairs = partitions.flat_map(|of| of.partitions.iter().map(|partition| (of.topic_id, *partition)));
                self.target.insert(member_id, Arc::new(pairs.collect()));
            }
            ConsumerRecord::Target { member_id, value: None } => drop(self.target.remove(&member_id)),
            ConsumerRecord::Current { member_id, value } => {
                let before = self.members.get(&member_id).map(|member| (**member).clone());
                if before.is_none() && value.is_none() {
                    return;
                }
                let before = before.unwrap_or_else(|| Member::new(&member_id));
                self.release(&before);
                let member = match value {
                    Some(value) => before.at(value),
                    None => before.without_assignment(),
                };
                self.hold(&member);
                self.members.insert(member_id, Arc::new(member));
            }
            ConsumerRecord::Regex { regex, value: Some(value) } => {
                self.regexes.insert(regex, value.topics.into_iter().collect());
            }
            ConsumerRecord::Regex { regex, value: None } => drop(self.regexes.remove(&regex)),
        }
    }

    fn forget_member(&mut self, member_id: &str) {
        let Some(member) = self.members.remove(member_id) else { return };
        self.release(&member);
        self.timers.remove(member_id);
        if let Some(instance) = &member.instance_id
            && self.static_members.get(instance).is_some_and(|current| current == member_id)
        {
            self.static_members.remove(instance);
        }
    }

    fn release(&mut self, member: &Member) {
        for partition in member.assigned.iter().chain(member.pending_revocation.iter()) {
            self.holders.remove(&partition);
        }
    }

    fn hold(&mut self, member: &Member) {
        for partition in member.assigned.iter().chain(member.pending_revocation.iter()) {
            self.holders.insert(partition, member.epoch);
        }
    }

    /// The records that delete the group, without its offsets.
    pub fn tombstones(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for member_id in self.members.keys() {
            records.push(ConsumerRecord::Current { member_id: member_id.clone(), value: None });
        }
        for member_id in self.members.keys().chain(self.target.keys().filter(|id| !self.members.contains_key(*id))) {
            records.push(ConsumerRecord::Target { member_id: member_id.clone(), value: None });
        }
        records.push(ConsumerRecord::TargetEpoch(None));
        for member_id in self.members.keys() {
            records.push(ConsumerRecord::Member { member_id: member_id.clone(), value: None });
        }
        for regex in self.regexes.keys() {
            records.push(ConsumerRecord::Regex { regex: regex.clone(), value: None });
        }
        records.push(ConsumerRecord::PartitionMetadata(None));
        records.push(ConsumerRecord::Epoch(None));
        let of_group = |record| Record::Consumer { group_id: self.group_id.clone(), record };
        records.into_iter().map(of_group).collect()
    }

    fn bump_epoch(&mut self) {
        let epoch = self.epoch.saturating_add(1);
        self.make(ConsumerRecord::Epoch(Some(ConsumerGroupMetadataValue { epoch, metadata_hash: 0 })));
    }

    fn set_assignment_epoch(&mut self, assignment_epoch: i32) {
        let value = ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch };
        self.make(ConsumerRecord::TargetEpoch(Some(value)));
    }
}

fn topics_of(value: ConsumerGroupPartitionMetadataValue) -> BTreeMap<String, Topic> {
    let topic = |topic: super::records::consumer::TopicMetadata| {
        (topic.topic_name, Topic { id: topic.topic_id, partitions: topic.num_partitions })
    };
    value.topics.into_iter().map(topic).collect()
}

#[cfg(test)]
pub(super) mod tests;
