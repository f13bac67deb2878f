//! Metadata (key 3), versions 0–12: brokers, controller, topics, and who leads their partitions.
//!
//! - An unknown topic is created if client and broker both want that; the answer is then LEADER_NOT_AVAILABLE.
//! - v0 no list = all · v1 null = all, none = none · v4 the client may forbid creation · v5 offline replicas
//!   · v7 leader epochs · v8 authorized operations · v10 topic ids · v12 topics asked for by id (KIP-516)

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::topic_creation::check_name;
use crate::network::{Reply, RequestContext, Response};
use crate::replication::{ClusterMetadata, NO_LEADER, PartitionMetadata, TopicMetadata, is_internal};
use crate::wire::messages::metadata::{
    MetadataRequestTopic, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::messages::{MetadataRequest, MetadataResponse};
use crate::wire::{ErrorCode, Uuid};

/// Says that the client did not ask what it may do.
pub(super) const OPERATIONS_NOT_ASKED: i32 = i32::MIN;
/// All operations on a topic or on the cluster, as bits: nobody is refused any while there is no authorizer.
pub(super) const TOPIC_OPERATIONS: i32 = 3576;
pub(super) const CLUSTER_OPERATIONS: i32 = 8096;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: MetadataRequest) -> Reply {
    let version = context.version();
    if let Some(refusal) = refuse_ids(version, &request) {
        return Reply::now(&context, &refusal);
    }
    let cluster = broker.metadata.current();
    let view = View { cluster: &cluster, listener: &context.listener_name, version };
    let all = match &request.topics {
        None => true,
        Some(topics) => version == 0 && topics.is_empty(),
    };
    let mut topics = match &request.topics {
        _ if all => cluster.topics.iter().map(|(name, topic)| view.topic(name, topic)).collect(),
        Some(asked) => view.topics(asked),
        None => Vec::new(),
    };
    if request.include_topic_authorized_operations {
        for topic in topics.iter_mut().filter(|topic| topic.error_code != ErrorCode::UNKNOWN_TOPIC_ID.0) {
            topic.topic_authorized_operations = TOPIC_OPERATIONS;
        }
    }
    let may_create = request.allow_auto_topic_creation && broker.config().auto_create_topics_enable && !all;
    let response = MetadataResponse {
        brokers: view.brokers(),
        cluster_id: Some(broker.cluster_id.clone()),
        controller_id: cluster.live_controller(),
        topics,
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => OPERATIONS_NOT_ASKED,
        },
        ..Default::default()
    };
    match may_create && response.topics.iter().any(is_unknown) {
        true => create_unknown(broker, context, response),
        false => Reply::now(&context, &response),
    }
}

fn is_unknown(topic: &MetadataResponseTopic) -> bool {
    topic.error_code == ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0
}

/// Creates the topics that are not known; the client asks again until they have leaders.
fn create_unknown(broker: &Arc<Broker>, context: RequestContext, mut response: MetadataResponse) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        for topic in response.topics.iter_mut().filter(|topic| is_unknown(topic)) {
            let name = topic.name.clone().unwrap_or_default();
            topic.error_code = broker.auto_create_topic(&name).await.0;
        }
        Response::of(&context, &response)
    })
}

/// Versions 10 and 11 carry ids but cannot be asked by them: a null name is refused, and so is the whole request.
fn refuse_ids(version: i16, request: &MetadataRequest) -> Option<MetadataResponse> {
    let asked = request.topics.as_ref()?;
    if !(10..12).contains(&version) || asked.iter().all(|topic| topic.name.is_some()) {
        return None;
    }
    let refused = |topic: &MetadataRequestTopic| MetadataResponseTopic {
        error_code: ErrorCode::INVALID_REQUEST.0,
        name: Some(topic.name.clone().unwrap_or_default()),
        topic_id: topic.topic_id,
        ..Default::default()
    };
    Some(MetadataResponse { topics: asked.iter().map(refused).collect(), ..Default::default() })
}

/// The cluster as a client of one listener and version sees it.
struct View<'a> {
    cluster: &'a ClusterMetadata,
    listener: &'a str,
    version: i16,
}

impl View<'_> {
    fn brokers(&self) -> Vec<MetadataResponseBroker> {
        let seen = self.cluster.brokers.values().filter_map(|live| {
            let endpoint = live.endpoint(self.listener)?;
            let (host, port) = (endpoint.host.clone(), endpoint.port);
            Some(MetadataResponseBroker { node_id: live.id, host, port, rack: live.rack.clone() })
        });
        seen.collect()
    }

    /// The topics that were asked for, each once.
    fn topics(&self, asked: &[MetadataRequestTopic]) -> Vec<MetadataResponseTopic> {
        let mut seen = HashSet::new();
        let mut topics = Vec::with_capacity(asked.len());
        for MetadataRequestTopic { topic_id, name } in asked {
            // The 4.1 Java client that asks by id gives an empty name with it.
            let name = name.as_ref().filter(|name| !name.is_empty() || topic_id.is_zero());
            let topic = match name {
                Some(name) if !seen.insert(name.as_str()) => continue,
                Some(name) => match self.cluster.topics.get(name.as_str()) {
                    Some(topic) => self.topic(name, topic),
                    None => missing(unknown_or_invalid(name), Some(name), Uuid::ZERO),
                },
                None => {
                    match self.cluster.topic_name(*topic_id).and_then(|name| self.cluster.topics.get_key_value(name)) {
                        Some((name, topic)) => self.topic(name, topic),
                        None => missing(ErrorCode::UNKNOWN_TOPIC_ID, None, *topic_id),
                    }
                }
            };
            topics.push(topic);
        }
        topics
    }

    fn topic(&self, name: &str, topic: &TopicMetadata) -> MetadataResponseTopic {
        let partitions = topic.partitions.iter().map(|(&index, state)| self.partition(index, state));
        MetadataResponseTopic {
            name: Some(name.to_owned()),
            topic_id: topic.id,
            is_internal: is_internal(name),
            partitions: partitions.collect(),
            ..Default::default()
        }
    }

    fn partition(&self, index: i32, state: &PartitionMetadata) -> MetadataResponsePartition {
        let leader = self.cluster.brokers.get(&state.leader);
        let dead = |id: &&i32| !self.cluster.is_alive(**id);
        let mut partition = MetadataResponsePartition {
            partition_index: index,
            leader_id: state.leader,
            leader_epoch: state.leader_epoch,
            replica_nodes: state.replicas.clone(),
            isr_nodes: state.isr.clone(),
            offline_replicas: state.replicas.iter().filter(dead).copied().collect(),
            ..Default::default()
        };
        partition.offline_replicas.extend(state.offline_replicas.iter().filter(|id| self.cluster.is_alive(**id)));
        // Clients of version 0 cannot do with brokers that are not in the list.
        let drops_dead = self.version == 0;
        let is_dead = partition.offline_replicas.len();
        if drops_dead {
            partition.replica_nodes.retain(|id| self.cluster.is_alive(*id));
            partition.isr_nodes.retain(|id| self.cluster.is_alive(*id));
        }
        let code = match leader {
            None => ErrorCode::LEADER_NOT_AVAILABLE,
            // Only from version 6 on are clients told that the leader cannot be reached the way they came.
            Some(leader) if leader.endpoint(self.listener).is_none() && self.version >= 6 => {
                ErrorCode::LISTENER_NOT_FOUND
            }
            Some(leader) if leader.endpoint(self.listener).is_none() => ErrorCode::LEADER_NOT_AVAILABLE,
            Some(_) if drops_dead && is_dead > 0 => ErrorCode::REPLICA_NOT_AVAILABLE,
            Some(_) => ErrorCode::NONE,
        };
        if !matches!(code, ErrorCode::NONE | ErrorCode::REPLICA_NOT_AVAILABLE) {
            partition.leader_id = NO_LEADER;
        }
        partition.error_code = code.0;
        partition
    }
}

/// A topic that cannot exist is told from one that does not.
fn unknown_or_invalid(name: &str) -> ErrorCode {
    match check_name(name) {
        Ok(()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        Err(refusal) => refusal.code,
    }
}

fn missing(code: ErrorCode, name: Option<&String>, id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.0,
        name: name.cloned(),
        topic_id: id,
        is_internal: name.is_some_and(|name| is_internal(name)),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
