//! Where replicas are and who leads: elections, reassignments to other brokers, moves to other log dirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::records::flatten;
use super::routed::PerPartition;
use super::{Admin, Client, Error, To, join_all};
use crate::wire::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use crate::wire::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use crate::wire::messages::describe_log_dirs::{DescribableLogDirTopic, DescribeLogDirsRequest};
use crate::wire::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use crate::wire::{ErrorCode, TopicPartition};

/// Who may be elected; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ElectionType {
    /// The first of the assigned replicas.
    Preferred = 0,
    /// Any live replica, also one that lost records, where no other is left.
    Unclean = 1,
}

impl ElectionType {
    /// Java's name of it.
    pub fn name(self) -> &'static str {
        match self {
            ElectionType::Preferred => "PREFERRED",
            ElectionType::Unclean => "UNCLEAN",
        }
    }
}

/// A partition's replica on one broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    pub broker: i32,
    pub partition: TopicPartition,
}

/// The log dirs of a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaLogDirs {
    /// `None`: it is in no dir that is online.
    pub current: Option<String>,
    /// Where it is being moved.
    pub future: Option<String>,
}

impl Admin {
    /// Elects leaders of these partitions, or of all that need one. ELECTION_NOT_NEEDED is a result like any other.
    ///
    /// # Errors
    /// Of the whole: `Timeout`, UNSUPPORTED_VERSION, or the cluster's refusal. Each partition has its own result.
    pub fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerPartition<()>, Error> {
        self.run(self.client.elect_leaders(election, partitions))
    }

    /// Starts moving each partition to these replicas; `None` cancels its reassignment.
    ///
    /// # Errors
    /// Of the whole: `Timeout`, UNSUPPORTED_VERSION from brokers before 2.4. Each partition has its own result.
    pub fn alter_partition_reassignments(
        &self,
        targets: &[(TopicPartition, Option<Vec<i32>>)],
    ) -> Result<PerPartition<()>, Error> {
        self.run(self.client.alter_partition_reassignments(targets))
    }

    /// Starts moving each replica to a log dir of its broker.
    ///
    /// # Errors
    /// Of the whole: `Timeout`. Each replica has its own result.
    pub fn alter_replica_log_dirs(
        &self,
        moves: &[(Replica, String)],
    ) -> Result<Vec<(Replica, Result<(), Error>)>, Error> {
        self.run(self.client.alter_replica_log_dirs(moves))
    }

    /// The log dirs of each of the replicas that its broker knows.
    ///
    /// # Errors
    /// `Timeout`, or a broker's refusal.
    pub fn replica_log_dirs(&self, replicas: &[Replica]) -> Result<BTreeMap<Replica, ReplicaLogDirs>, Error> {
        self.run(self.client.replica_log_dirs(replicas))
    }
}

impl Client {
    pub(super) async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerPartition<()>, Error> {
        let mut call = self.call("electLeaders");
        let topics = partitions.map(|partitions| {
            let topics = super::by_topic(partitions).into_iter();
            topics.map(|(topic, partitions)| TopicPartitions { topic, partitions }).collect::<Vec<_>>()
        });
        let request = |_, timeout_ms| ElectLeadersRequest {
            election_type: election as i8,
            topic_partitions: topics.clone(),
            timeout_ms,
        };
        loop {
            // Before version 1 there was one kind of election.
            let first = i16::from(election != ElectionType::Preferred);
            let response = self.send_in(&mut call, To::Controller, first..=2, request).await?;
            let rows = response.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
            let mut codes = rows.map(|row| row.error_code).chain([response.error_code]);
            if codes.any(|code| ErrorCode(code) == ErrorCode::NOT_CONTROLLER) {
                let error = Error::api(ErrorCode::NOT_CONTROLLER, None);
                self.look_for_controller(&mut call, error).await?;
                continue;
            }
            Error::check(response.error_code, None)?;
            let topics = response.replica_election_results.into_iter();
            return Ok(flatten(topics.map(|topic| (topic.topic, topic.partition_result)), |row| {
                (row.partition_id, Error::check(row.error_code, row.error_message))
            }));
        }
    }

    pub(super) async fn alter_partition_reassignments(
        &self,
        targets: &[(TopicPartition, Option<Vec<i32>>)],
    ) -> Result<PerPartition<()>, Error> {
        let mut call = self.call("alterPartitionReassignments");
        let mut topics: BTreeMap<&Arc<str>, Vec<ReassignablePartition>> = BTreeMap::new();
        for (partition, replicas) in targets {
            let row = ReassignablePartition { partition_index: partition.partition, replicas: replicas.clone() };
            topics.entry(&partition.topic).or_default().push(row);
        }
        let topic = |(name, partitions): (&&Arc<str>, &Vec<ReassignablePartition>)| ReassignableTopic {
            name: name.to_string(),
            partitions: partitions.clone(),
        };
        let request = |_, timeout_ms| AlterPartitionReassignmentsRequest {
            timeout_ms,
            topics: topics.iter().map(topic).collect(),
        };
        loop {
            let response = self.send(&mut call, To::Controller, request).await?;
            match Error::check(response.error_code, response.error_message) {
                Err(error) if error.code() == Some(ErrorCode::NOT_CONTROLLER) => {
                    self.look_for_controller(&mut call, error).await?;
                    continue;
                }
                checked => checked?,
            }
            let topics = response.responses.into_iter().map(|topic| (topic.name, topic.partitions));
            return Ok(flatten(topics, |row| (row.partition_index, Error::check(row.error_code, row.error_message))));
        }
    }

    pub(super) async fn alter_replica_log_dirs(
        &self,
        moves: &[(Replica, String)],
    ) -> Result<Vec<(Replica, Result<(), Error>)>, Error> {
        let mut by_broker: BTreeMap<i32, BTreeMap<&str, Vec<TopicPartition>>> = BTreeMap::new();
        for (replica, dir) in moves {
            by_broker.entry(replica.broker).or_default().entry(dir).or_default().push(replica.partition.clone());
        }
        let asking = by_broker.into_iter().map(|(broker, dirs)| async move {
            let mut call = self.call("alterReplicaLogDirs");
            let topic = |(name, partitions)| AlterReplicaLogDirTopic { name, partitions };
            let dir = |(path, partitions): (&&str, &Vec<TopicPartition>)| AlterReplicaLogDir {
                path: (*path).to_owned(),
                topics: super::by_topic(partitions).into_iter().map(topic).collect(),
            };
            let request = |_, _| AlterReplicaLogDirsRequest { dirs: dirs.iter().map(dir).collect() };
            let response = self.send(&mut call, To::Broker(broker), request).await?;
            let topics = response.results.into_iter().map(|topic| (topic.topic_name, topic.partitions));
            let rows = flatten(topics, |row| (row.partition_index, Error::check(row.error_code, None)));
            Ok(rows.into_iter().map(|(partition, result)| (Replica { broker, partition }, result)).collect::<Vec<_>>())
        });
        let mut results = Vec::new();
        for part in join_all(asking.collect()).await {
            results.extend(part?);
        }
        Ok(results)
    }

    pub(super) async fn replica_log_dirs(
        &self,
        replicas: &[Replica],
    ) -> Result<BTreeMap<Replica, ReplicaLogDirs>, Error> {
        let mut by_broker: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for replica in replicas {
            by_broker.entry(replica.broker).or_default().push(replica.partition.clone());
        }
        let asking = by_broker.into_iter().map(|(broker, partitions)| async move {
            let mut call = self.call("describeReplicaLogDirs");
            let topic = |(topic, partitions)| DescribableLogDirTopic { topic, partitions };
            let topics: Vec<_> = super::by_topic(&partitions).into_iter().map(topic).collect();
            let request = |_, _| DescribeLogDirsRequest { topics: Some(topics.clone()) };
            let response = self.send(&mut call, To::Broker(broker), request).await?;
            Error::check(response.error_code, None)?;
            let mut found: BTreeMap<Replica, ReplicaLogDirs> = BTreeMap::new();
            for dir in response.results {
                // A dir that is offline has nothing to tell.
                if !ErrorCode(dir.error_code).is_ok() {
                    continue;
                }
                for topic in dir.topics {
                    let name: Arc<str> = topic.name.into();
                    for row in topic.partitions {
                        let partition = TopicPartition::new(name.clone(), row.partition_index);
                        let dirs = found.entry(Replica { broker, partition }).or_default();
                        let place = if row.is_future_key { &mut dirs.future } else { &mut dirs.current };
                        *place = Some(dir.log_dir.clone());
                    }
                }
            }
            Ok::<_, Error>(found)
        });
        let mut all = BTreeMap::new();
        for part in join_all(asking.collect()).await {
            all.extend(part?);
        }
        Ok(all)
    }
}
