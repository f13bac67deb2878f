//! Limits on what a reassignment may take of the brokers' network and disks: set when it begins, taken away when it
//! is over.
//!
//! Source: `ReassignPartitionsCommand.modifyReassignmentThrottle`, `clearAllThrottles`, KIP-73, KIP-455.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::{Plan, join};
use super::{Failure, plural};
use crate::cli::Io;
use crate::client::admin::{AlterConfigOp, ConfigOp, ConfigResource, PartitionReassignment, ResourceType};
use crate::wire::TopicPartition;

const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const LOG_DIR_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";

/// Configs to be altered.
pub(super) type Changes = Vec<(ConfigResource, Vec<AlterConfigOp>)>;

/// From which brokers to which a partition is copied.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub sources: BTreeSet<i32>,
    pub destinations: BTreeSet<i32>,
}

/// All moves there will be: those under way, and the planned ones.
pub(super) fn moves(
    under_way: &[PartitionReassignment],
    plan: &Plan,
    current: &BTreeMap<TopicPartition, Vec<i32>>,
) -> BTreeMap<TopicPartition, Move> {
    let mut moves: BTreeMap<TopicPartition, Move> = under_way
        .iter()
        .map(|reassignment| {
            let adding: BTreeSet<i32> = reassignment.adding_replicas.iter().copied().collect();
            // Replicas that are only being added have nothing to give yet.
            let sources = reassignment.replicas.iter().copied().filter(|id| !adding.contains(id)).collect();
            (reassignment.partition.clone(), Move { sources, destinations: adding })
        })
        .collect();
    for (partition, replicas) in &plan.partitions {
        let known = moves.get(partition).map(|found| found.sources.clone());
        let sources = known.unwrap_or_else(|| current.get(partition).into_iter().flatten().copied().collect());
        let destinations = replicas.iter().copied().filter(|id| !sources.contains(id)).collect();
        moves.insert(partition.clone(), Move { sources, destinations });
    }
    moves
}

/// The throttled replicas of each topic: `partition:broker,…` of the leaders' side, then of the followers'.
pub(super) fn throttled_replicas(moves: &BTreeMap<TopicPartition, Move>) -> BTreeMap<&str, [String; 2]> {
    let mut topics: BTreeMap<&str, [BTreeSet<String>; 2]> = BTreeMap::new();
    for (partition, found) in moves {
        let [leaders, followers] = topics.entry(&partition.topic).or_default();
        let entry = |broker: &i32| format!("{}:{broker}", partition.partition);
        leaders.extend(found.sources.iter().map(entry));
        followers.extend(found.destinations.iter().map(entry));
    }
    topics.into_iter().map(|(topic, sides)| (topic, sides.map(|side| join(side, ",")))).collect()
}

/// Limits what goes between brokers.
pub(super) fn limit_between_brokers(
    alter: impl Fn(Changes) -> Result<(), Failure>,
    moves: &BTreeMap<TopicPartition, Move>,
    bytes_per_second: i64,
    io: &mut Io,
) -> Result<(), Failure> {
    let topics = throttled_replicas(moves).into_iter().map(|(topic, [leaders, followers])| {
        (ConfigResource::topic(topic), vec![set(LEADER_REPLICAS, leaders), set(FOLLOWER_REPLICAS, followers)])
    });
    alter(topics.collect())?;
    let brokers: BTreeSet<i32> =
        moves.values().flat_map(|found| found.sources.iter().chain(&found.destinations)).copied().collect();
    let rate = bytes_per_second.to_string();
    let ops = vec![set(LEADER_RATE, rate.clone()), set(FOLLOWER_RATE, rate)];
    alter(brokers.into_iter().map(|id| (broker(id), ops.clone())).collect())?;
    writeln!(io.stdout, "The inter-broker throttle limit was set to {bytes_per_second} B/s")?;
    Ok(())
}

/// Limits what goes between the log dirs of these brokers.
pub(super) fn limit_within_brokers(
    alter: impl Fn(Changes) -> Result<(), Failure>,
    brokers: BTreeSet<i32>,
    bytes_per_second: i64,
    io: &mut Io,
) -> Result<(), Failure> {
    let ops = vec![set(LOG_DIR_RATE, bytes_per_second.to_string())];
    alter(brokers.into_iter().map(|id| (broker(id), ops.clone())).collect())?;
    writeln!(io.stdout, "The replica-alter-dir throttle limit was set to {bytes_per_second} B/s")?;
    Ok(())
}

/// Takes all limits away: which brokers a move that is over was copied from nobody knows any more.
pub(super) fn clear(
    alter: impl Fn(Changes) -> Result<(), Failure>,
    alive: BTreeSet<i32>,
    plan: &Plan,
    io: &mut Io,
) -> Result<(), Failure> {
    let mut brokers = alive;
    brokers.extend(plan.partitions.iter().flat_map(|(_, replicas)| replicas));
    writeln!(io.stdout, "Clearing broker-level throttles on broker{} {}", plural(brokers.len()), join(&brokers, ","))?;
    let ops: Vec<AlterConfigOp> = [LEADER_RATE, FOLLOWER_RATE, LOG_DIR_RATE].map(delete).into();
    alter(brokers.into_iter().map(|id| (broker(id), ops.clone())).collect())?;
    let topics = plan.topics();
    writeln!(io.stdout, "Clearing topic-level throttles on topic{} {}", plural(topics.len()), join(&topics, ","))?;
    let ops: Vec<AlterConfigOp> = [LEADER_REPLICAS, FOLLOWER_REPLICAS].map(delete).into();
    alter(topics.into_iter().map(|topic| (ConfigResource::topic(topic), ops.clone())).collect())
}

fn broker(id: i32) -> ConfigResource {
    ConfigResource { kind: ResourceType::Broker, name: id.to_string() }
}

fn set(name: &str, value: String) -> AlterConfigOp {
    AlterConfigOp { name: name.to_owned(), op: ConfigOp::Set, value: Some(value) }
}

fn delete(name: &str) -> AlterConfigOp {
    AlterConfigOp { name: name.to_owned(), op: ConfigOp::Delete, value: None }
}
