//! Topics, their partitions, and the requests that operators leave under `/admin`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::json::{self, malformed};
use super::{DELETE_TOPICS, ISR_CHANGE_NOTIFICATION, TOPICS, Uuid};
use crate::registry::Error;

/// The replicas of one partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaAssignment {
    /// Broker ids, the preferred leader first; during a reassignment the targets and then the old ones.
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}

impl ReplicaAssignment {
    /// Replicas of a partition that is not being reassigned.
    pub fn settled(replicas: Vec<i32>) -> ReplicaAssignment {
        ReplicaAssignment { replicas, ..Default::default() }
    }

    pub fn is_being_reassigned(&self) -> bool {
        !self.adding_replicas.is_empty() || !self.removing_replicas.is_empty()
    }

    /// The replicas when the reassignment is done.
    pub fn target(&self) -> Vec<i32> {
        without(&self.replicas, &self.removing_replicas)
    }

    /// The replicas before the reassignment.
    pub fn origin(&self) -> Vec<i32> {
        without(&self.replicas, &self.adding_replicas)
    }

    /// The assignment while these replicas move to `target`. Source: `ReplicaAssignment.reassignTo`.
    pub fn reassigned_to(&self, target: &[i32]) -> ReplicaAssignment {
        let origin = self.origin();
        let mut replicas = target.to_vec();
        replicas.extend(without(&origin, target));
        let (adding_replicas, removing_replicas) = (without(&replicas, &origin), without(&replicas, target));
        ReplicaAssignment { replicas, adding_replicas, removing_replicas }
    }
}

fn without(ids: &[i32], others: &[i32]) -> Vec<i32> {
    ids.iter().copied().filter(|id| !others.contains(id)).collect()
}

/// `/brokers/topics/T`: which partitions a topic has, and where.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicAssignment {
    /// `None` only for topics of Kafka < 2.8.
    pub topic_id: Option<Uuid>,
    pub partitions: BTreeMap<i32, ReplicaAssignment>,
}

impl TopicAssignment {
    pub fn path(topic: &str) -> String {
        format!("{TOPICS}/{topic}")
    }

    /// `/brokers/topics/T/partitions`, null data.
    pub fn partitions_path(topic: &str) -> String {
        format!("{TOPICS}/{topic}/partitions")
    }

    /// Version 3, or 2 without a topic id.
    pub fn encode(&self) -> Vec<u8> {
        let by_partition = |replicas: fn(&ReplicaAssignment) -> &Vec<i32>| -> Map<String, Value> {
            let rows = self.partitions.iter().map(|(id, assignment)| (id, replicas(assignment)));
            rows.map(|(id, replicas)| (id.to_string(), json!(replicas))).collect()
        };
        let in_flux = |mut map: Map<String, Value>| {
            map.retain(|_, replicas| replicas.as_array().is_some_and(|replicas| !replicas.is_empty()));
            map
        };
        let mut node = Map::new();
        node.insert("partitions".to_owned(), by_partition(|a| &a.replicas).into());
        if let Some(id) = self.topic_id {
            node.insert("topic_id".to_owned(), id.to_string().into());
        }
        node.insert("adding_replicas".to_owned(), in_flux(by_partition(|a| &a.adding_replicas)).into());
        node.insert("removing_replicas".to_owned(), in_flux(by_partition(|a| &a.removing_replicas)).into());
        node.insert("version".to_owned(), if self.topic_id.is_some() { 3 } else { 2 }.into());
        json::text(&node.into())
    }

    /// Versions 1 (partitions only), 2 (reassignments) and 3 (topic id).
    pub fn decode(topic: &str, data: &[u8]) -> Result<TopicAssignment, Error> {
        type Replicas = BTreeMap<String, Vec<i32>>;
        #[derive(Deserialize)]
        struct Json {
            partitions: Option<Replicas>,
            topic_id: Option<String>,
            adding_replicas: Option<Replicas>,
            removing_replicas: Option<Replicas>,
        }
        let path = Self::path(topic);
        let Json { partitions, topic_id, adding_replicas, removing_replicas } = json::parse(&path, data)?;
        let topic_id = match topic_id {
            None => None,
            Some(text) => Some(text.parse().map_err(|err| malformed(&path, format!("topic_id {text}: {err}")))?),
        };
        let mut adding = adding_replicas.unwrap_or_default();
        let mut removing = removing_replicas.unwrap_or_default();
        let partitions = partitions.unwrap_or_default().into_iter().map(|(id, replicas)| {
            let number = id.parse().map_err(|_| malformed(&path, format!("partition {id}")))?;
            let adding_replicas = adding.remove(&id).unwrap_or_default();
            let removing_replicas = removing.remove(&id).unwrap_or_default();
            Ok((number, ReplicaAssignment { replicas, adding_replicas, removing_replicas }))
        });
        Ok(TopicAssignment { topic_id, partitions: partitions.collect::<Result<_, Error>>()? })
    }
}

/// `/brokers/topics/T/partitions/P/state`: who leads; its znode version is the partition epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionState {
    /// -1: none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub isr: Vec<i32>,
    /// The epoch of the controller that wrote it.
    pub controller_epoch: i32,
    /// The leader was elected uncleanly and recovers (KIP-704).
    pub leader_recovering: bool,
}

impl PartitionState {
    pub fn path(topic: &str, partition: i32) -> String {
        format!("{TOPICS}/{topic}/partitions/{partition}/state")
    }

    /// `/brokers/topics/T/partitions/P`, null data.
    pub fn parent_path(topic: &str, partition: i32) -> String {
        format!("{TOPICS}/{topic}/partitions/{partition}")
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut node = json!({
            "controller_epoch": self.controller_epoch, "leader": self.leader, "version": 1,
            "leader_epoch": self.leader_epoch, "isr": self.isr,
        });
        if self.leader_recovering {
            node["leader_recovery_state"] = 1.into();
        }
        json::text(&node)
    }

    pub fn decode(topic: &str, partition: i32, data: &[u8]) -> Result<PartitionState, Error> {
        #[derive(Deserialize)]
        struct Json {
            controller_epoch: i32,
            leader: i32,
            leader_epoch: i32,
            isr: Vec<i32>,
            leader_recovery_state: Option<i32>,
        }
        let json: Json = json::parse(&Self::path(topic, partition), data)?;
        Ok(PartitionState {
            leader: json.leader,
            leader_epoch: json.leader_epoch,
            isr: json.isr,
            controller_epoch: json.controller_epoch,
            leader_recovering: json.leader_recovery_state == Some(1),
        })
    }
}

/// `/admin/delete_topics/T`: the topic is to be deleted; null data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeleteTopics;

impl DeleteTopics {
    pub fn path(topic: &str) -> String {
        format!("{DELETE_TOPICS}/{topic}")
    }
}

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    fn json(&self) -> Value {
        json!({"topic": self.topic, "partition": self.partition})
    }
}

/// `/admin/reassign_partitions`: the legacy way to ask for a reassignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReassignPartitions {
    pub partitions: Vec<PartitionReassignment>,
}

/// One row of [`ReassignPartitions`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PartitionReassignment {
    pub topic: String,
    pub partition: i32,
    pub replicas: Vec<i32>,
}

impl ReassignPartitions {
    pub const PATH: &str = "/admin/reassign_partitions";

    pub fn encode(&self) -> Vec<u8> {
        let row =
            |p: &PartitionReassignment| json!({"topic": p.topic, "partition": p.partition, "replicas": p.replicas});
        json::text(&json!({"version": 1, "partitions": self.partitions.iter().map(row).collect::<Vec<_>>()}))
    }

    pub fn decode(data: &[u8]) -> Result<ReassignPartitions, Error> {
        #[derive(Deserialize)]
        struct Json {
            partitions: Option<Vec<PartitionReassignment>>,
        }
        let json: Json = json::parse(Self::PATH, data)?;
        Ok(ReassignPartitions { partitions: json.partitions.unwrap_or_default() })
    }
}

#[derive(Deserialize)]
struct PartitionsJson {
    partitions: Option<Vec<TopicPartition>>,
}

fn encode_partitions(partitions: &[TopicPartition]) -> Vec<u8> {
    let rows = partitions.iter().map(TopicPartition::json).collect::<Vec<_>>();
    json::text(&json!({"version": 1, "partitions": rows}))
}

fn decode_partitions(path: &str, data: &[u8]) -> Result<Vec<TopicPartition>, Error> {
    json::parse(path, data).map(|json: PartitionsJson| json.partitions.unwrap_or_default())
}

/// `/admin/preferred_replica_election`: the legacy way to ask for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferredReplicaElection {
    pub partitions: Vec<TopicPartition>,
}

impl PreferredReplicaElection {
    pub const PATH: &str = "/admin/preferred_replica_election";

    pub fn encode(&self) -> Vec<u8> {
        encode_partitions(&self.partitions)
    }

    pub fn decode(data: &[u8]) -> Result<PreferredReplicaElection, Error> {
        decode_partitions(Self::PATH, data).map(|partitions| PreferredReplicaElection { partitions })
    }
}

/// `/isr_change_notification/isr_change_N`: a leader without AlterPartition (before 2.7) changed an ISR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrChangeNotification {
    pub partitions: Vec<TopicPartition>,
}

impl IsrChangeNotification {
    /// For a sequential create.
    pub fn path_prefix() -> String {
        format!("{ISR_CHANGE_NOTIFICATION}/isr_change_")
    }

    pub fn encode(&self) -> Vec<u8> {
        encode_partitions(&self.partitions)
    }

    pub fn decode(data: &[u8]) -> Result<IsrChangeNotification, Error> {
        decode_partitions(ISR_CHANGE_NOTIFICATION, data).map(|partitions| IsrChangeNotification { partitions })
    }
}
