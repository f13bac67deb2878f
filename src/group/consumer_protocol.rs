//! What consumers put into JoinGroup and SyncGroup of the classic protocol, which carries it as bytes: a version, then
//! the subscription of a member or the assignment that its leader made.
//!
//! Source: `ConsumerProtocol` of Apache Kafka 3.9.

use super::partitions::Partitions;
use crate::replication::ClusterMetadata;
use crate::wire::codec::Field;
use crate::wire::messages::consumer_protocol_assignment::{self, ConsumerProtocolAssignment};
use crate::wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use crate::wire::{Bytes, Reader, Writer};

/// The protocol type of consumers.
pub const PROTOCOL_TYPE: &str = "consumer";
/// The newest version; a later one begins as this one does.
const PROTOCOL_VERSION: i16 = 3;

/// What a consumer put into JoinGroup, with its version; None if it cannot be read.
pub fn read_subscription(metadata: &Bytes) -> Option<(i16, ConsumerProtocolSubscription)> {
    let mut r = Reader::new(metadata.clone());
    let version = r.i16().ok()?.clamp(0, PROTOCOL_VERSION);
    Some((version, ConsumerProtocolSubscription::read(&mut r, version, false).ok()?))
}

/// What a leader put into SyncGroup, by topic ids of the cluster as it is; None if it cannot be read.
pub fn read_assignment(assignment: &Bytes, cluster: &ClusterMetadata) -> Option<Partitions> {
    if assignment.is_empty() {
        return Some(Partitions::default());
    }
    let mut r = Reader::new(assignment.clone());
    let version = r.i16().ok()?.clamp(0, PROTOCOL_VERSION);
    let assigned = ConsumerProtocolAssignment::read(&mut r, version, false).ok()?.assigned_partitions;
    let known = assigned.iter().filter_map(|of| Some((cluster.topics.get(of.topic.as_str())?.id, &of.partitions)));
    Some(known.flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, *partition))).collect())
}

/// What a member of the classic protocol is given, as it reads it.
pub fn write_assignment(version: i16, assigned: &Partitions, cluster: &ClusterMetadata) -> Bytes {
    let of_topic = |(topic, partitions)| {
        let topic = cluster.topic_name(topic)?.to_string();
        Some(consumer_protocol_assignment::TopicPartition { topic, partitions })
    };
    let assigned_partitions = assigned.by_topic().filter_map(of_topic).collect();
    let mut w = Writer::new();
    w.i16(version);
    ConsumerProtocolAssignment { assigned_partitions, user_data: None }.write(&mut w, version, false);
    w.finish().map(Bytes::from).unwrap_or_default()
}
