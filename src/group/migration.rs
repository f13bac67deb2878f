//! A group that goes from one protocol to the other while it is in use (KIP-848): up when the first member of the
//! consumer protocol joins, down when the last one goes.
//!
//! Source: `ConsumerGroup.fromClassicGroup`, `ClassicGroup.fromConsumerGroup` of Apache Kafka 3.9.

use super::classic::ClassicGroup;
use super::consumer::{ConsumerGroup, Member, MemberState, Surroundings};
use super::consumer_protocol::{PROTOCOL_TYPE, read_assignment, read_subscription, write_assignment};
use super::records::consumer::{
    ClassicMemberMetadata, ClassicProtocol, ConsumerGroupMetadataValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue,
};
use super::records::{ConsumerRecord, GroupMetadataValue, MemberMetadata, Record};

/// `group.consumer.migration.policy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MigrationPolicy {
    Disabled,
    Upgrade,
    Downgrade,
    Bidirectional,
}

impl MigrationPolicy {
    pub fn named(name: &str) -> Option<MigrationPolicy> {
        Some(match name.to_ascii_lowercase().as_str() {
            "disabled" => MigrationPolicy::Disabled,
            "upgrade" => MigrationPolicy::Upgrade,
            "downgrade" => MigrationPolicy::Downgrade,
            "bidirectional" => MigrationPolicy::Bidirectional,
            _ => return None,
        })
    }

    pub fn upgrades(self) -> bool {
        matches!(self, MigrationPolicy::Upgrade | MigrationPolicy::Bidirectional)
    }

    pub fn downgrades(self) -> bool {
        matches!(self, MigrationPolicy::Downgrade | MigrationPolicy::Bidirectional)
    }
}

/// The group of the consumer protocol that a classic one becomes, and the records that make it so. Its generation
/// goes on as the epoch. None if it is no group of consumers, or what they said cannot be read.
pub fn upgrade(classic: &ClassicGroup, around: &Surroundings<'_>) -> Option<(ConsumerGroup, Vec<Record>)> {
    let epoch = classic.generation_id();
    if classic.protocol_type() != PROTOCOL_TYPE {
        return None;
    }
    let mut members = Vec::new();
    for (stored, protocols) in classic.members_with_protocols() {
        let assigned = read_assignment(&stored.assignment, around.cluster)?;
        let (_, subscription) = read_subscription(&stored.subscription)?;
        members.push(Member {
            instance_id: stored.group_instance_id,
            rack_id: subscription.rack_id,
            client_id: stored.client_id,
            client_host: stored.client_host,
            rebalance_timeout_ms: stored.rebalance_timeout,
            subscribed_topic_names: subscription.topics.into_iter().collect(),
            classic: Some(ClassicMemberMetadata {
                session_timeout_ms: stored.session_timeout,
                supported_protocols: protocols
                    .into_iter()
                    .map(|(name, metadata)| ClassicProtocol { name, metadata })
                    .collect(),
            }),
            epoch,
            previous_epoch: epoch,
            state: MemberState::Stable,
            assigned,
            ..Member::new(&stored.member_id)
        });
    }
    let mut records: Vec<ConsumerRecord> = members.iter().map(Member::description).collect();
    records.push(ConsumerRecord::Epoch(Some(ConsumerGroupMetadataValue { epoch, metadata_hash: 0 })));
    records.extend(members.iter().map(|member| {
        let value = ConsumerGroupTargetAssignmentMemberValue { topic_partitions: member.assigned.to_records() };
        ConsumerRecord::Target { member_id: member.member_id.clone(), value: Some(value) }
    }));
    let value = ConsumerGroupTargetAssignmentMetadataValue { assignment_epoch: epoch };
    records.push(ConsumerRecord::TargetEpoch(Some(value)));
    records.extend(members.iter().map(Member::assignment));

    let group_id = &classic.group_id;
    let mut group = ConsumerGroup::new(group_id.clone());
    let mut stored = vec![Record::Group { group_id: group_id.clone(), value: None }];
    for record in records {
        stored.push(Record::Consumer { group_id: group_id.clone(), record: record.clone() });
        group.replay(record);
    }
    group.begin_sessions(around.settings, around.now_ms);
    Some((group, stored))
}

/// Whether a group goes back to the classic protocol when `leaving` has gone: nobody who stays speaks another.
pub fn is_downgraded_without(group: &ConsumerGroup, leaving: &str, policy: MigrationPolicy, size_max: usize) -> bool {
    let mut staying = group.members().filter(|member| member.member_id != leaving).peekable();
    policy.downgrades()
        && staying.peek().is_some()
        && staying.all(Member::uses_classic_protocol)
        && group.member_count() <= size_max.saturating_add(1)
}

/// The classic group that a group of the consumer protocol becomes without `leaving`, and the records that make it so.
/// The epoch goes on as its generation; what members have is their assignment. It has yet to rebalance.
pub fn downgrade(group: &ConsumerGroup, leaving: &str, around: &Surroundings<'_>) -> (ClassicGroup, Vec<Record>) {
    let staying: Vec<&Member> = group.members().filter(|member| member.member_id != leaving).collect();
    let protocols_of = |member: &Member| {
        let classic = member.classic.clone().unwrap_or_default();
        (classic.session_timeout_ms, classic.supported_protocols)
    };
    // One that all of them know: there is one, or they would not have been let in together.
    let protocol = staying.first().and_then(|first| {
        let is_common = |protocol: &ClassicProtocol| {
            staying.iter().all(|member| protocols_of(member).1.iter().any(|other| other.name == protocol.name))
        };
        protocols_of(first).1.into_iter().find(is_common).map(|protocol| protocol.name)
    });
    let members = staying.iter().map(|member| {
        let (session_timeout, protocols) = protocols_of(member);
        let chosen = protocols.iter().find(|of| Some(&of.name) == protocol.as_ref());
        let subscription = chosen.map(|of| of.metadata.clone()).unwrap_or_default();
        let version = read_subscription(&subscription).map_or(0, |(version, _)| version);
        MemberMetadata {
            member_id: member.member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: member.rebalance_timeout_ms,
            session_timeout,
            subscription,
            assignment: write_assignment(version, &member.assigned, around.cluster),
        }
    });
    let members = members.collect();
    let value = GroupMetadataValue {
        protocol_type: PROTOCOL_TYPE.to_owned(),
        generation: group.epoch(),
        protocol,
        leader: staying.first().map(|member| member.member_id.clone()),
        current_state_timestamp: around.now_ms,
        members,
    };
    let mut classic = ClassicGroup::new(group.group_id.clone(), around.now_ms);
    classic.replay_metadata(value.clone(), around.now_ms);
    for member in &staying {
        let protocols = protocols_of(member).1.into_iter().map(|of| (of.name, of.metadata)).collect();
        classic.set_protocols(&member.member_id, protocols);
    }
    let mut records = group.tombstones();
    records.push(Record::Group { group_id: group.group_id.clone(), value: Some(value) });
    (classic, records)
}

#[cfg(test)]
mod tests;
