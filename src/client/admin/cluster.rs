//! The cluster as a whole: its brokers, and reassignments under way.

use std::sync::Arc;

use super::{Admin, Client, Error, Node, To};
use crate::wire::messages::describe_cluster::DescribeClusterRequest;
use crate::wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
};
use crate::wire::messages::metadata::MetadataRequest;
use crate::wire::{ErrorCode, TopicPartition};

/// Who is in the cluster.
#[derive(Debug, Clone)]
pub struct ClusterDescription {
    /// `None` from brokers before 0.10.1.
    pub cluster_id: Option<String>,
    pub controller_id: Option<i32>,
    pub nodes: Vec<Node>,
}

/// A partition on its way to other brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReassignment {
    pub partition: TopicPartition,
    /// The targets and the old ones.
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}

impl Admin {
    /// The brokers that are alive.
    ///
    /// # Errors
    /// `Timeout`, or the broker's refusal.
    pub fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        self.run(self.client.describe_cluster())
    }

    /// Reassignments under way: of these partitions, or all.
    ///
    /// # Errors
    /// `Timeout`, UNSUPPORTED_VERSION from brokers before 2.4, or the broker's refusal.
    pub fn list_partition_reassignments(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Vec<PartitionReassignment>, Error> {
        self.run(self.client.list_partition_reassignments(partitions))
    }
}

impl Client {
    pub(super) async fn describe_cluster(&self) -> Result<ClusterDescription, Error> {
        let mut call = self.call("describeCluster");
        let request = |_, _| DescribeClusterRequest::default();
        match self.send(&mut call, To::Any, request).await {
            Ok(response) => {
                Error::check(response.error_code, response.error_message)?;
                let nodes = response.brokers.into_iter().map(|broker| Node {
                    id: broker.broker_id,
                    host: broker.host,
                    port: broker.port,
                    rack: broker.rack,
                });
                Ok(ClusterDescription {
                    cluster_id: Some(response.cluster_id),
                    controller_id: Some(response.controller_id).filter(|id| *id >= 0),
                    nodes: nodes.collect(),
                })
            }
            // Brokers before 2.8 say it in their metadata.
            Err(error) if error.code() == Some(ErrorCode::UNSUPPORTED_VERSION) => {
                let request = |version, _| MetadataRequest {
                    topics: Some(Vec::new()),
                    allow_auto_topic_creation: version < 4,
                    ..MetadataRequest::default()
                };
                let response = self.send(&mut call, To::Any, request).await?;
                let cluster = self.remember(&response.brokers, response.controller_id);
                Ok(ClusterDescription {
                    cluster_id: response.cluster_id,
                    controller_id: Some(cluster.controller_id).filter(|id| *id >= 0),
                    nodes: cluster.brokers.clone(),
                })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_partition_reassignments(
        &self,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<Vec<PartitionReassignment>, Error> {
        let mut call = self.call("listPartitionReassignments");
        let topics = partitions.map(|partitions| {
            super::by_topic(partitions)
                .into_iter()
                .map(|(name, partition_indexes)| ListPartitionReassignmentsTopics { name, partition_indexes })
                .collect::<Vec<_>>()
        });
        let request = |_, timeout_ms| ListPartitionReassignmentsRequest { timeout_ms, topics: topics.clone() };
        loop {
            let response = self.send(&mut call, To::Controller, request).await?;
            match Error::check(response.error_code, response.error_message) {
                Err(error) if error.code() == Some(ErrorCode::NOT_CONTROLLER) => {
                    self.look_for_controller(&mut call, error).await?;
                    continue;
                }
                checked => checked?,
            }
            let rows = response.topics.into_iter().flat_map(|topic| {
                let name: Arc<str> = topic.name.into();
                topic.partitions.into_iter().map(move |partition| PartitionReassignment {
                    partition: TopicPartition::new(name.clone(), partition.partition_index),
                    replicas: partition.replicas,
                    adding_replicas: partition.adding_replicas,
                    removing_replicas: partition.removing_replicas,
                })
            });
            return Ok(rows.collect());
        }
    }
}
