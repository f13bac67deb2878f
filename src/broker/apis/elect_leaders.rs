//! ElectLeaders (key 43), versions 0–2: the preferred leader is to lead again, or anybody at all (KIP-460).
//!
//! - Answered when this broker's metadata names the elected, at most after `timeout_ms`.
//! - v1 unclean elections · v2 flexible
//! - Of an election for all partitions, those that needed none are left out of the answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::topic_creation::{timeout_of, wait_for_metadata};
use crate::controller::{ElectionType, PartitionResults};
use crate::network::{Reply, RequestContext, Response};
use crate::replication::ClusterMetadata;
use crate::wire::messages::elect_leaders::{PartitionResult, ReplicaElectionResult};
use crate::wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use crate::wire::{ErrorCode, TopicPartition};

/// Error code and text by partition.
type Outcome = BTreeMap<TopicPartition, (ErrorCode, Option<String>)>;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ElectLeadersRequest) -> Reply {
    let partitions = match &request.topic_partitions {
        None => all_partitions(&broker.metadata.current()),
        Some(topics) => {
            let names = topics.iter().flat_map(|topic| {
                let name: Arc<str> = topic.topic.as_str().into();
                topic.partitions.iter().map(move |number| TopicPartition::new(name.clone(), *number))
            });
            BTreeSet::from_iter(names)
        }
    };
    let election = match request.election_type {
        0 => ElectionType::Preferred,
        1 => ElectionType::Unclean,
        _ => {
            let error = ErrorCode::UNKNOWN_SERVER_ERROR;
            let outcome = partitions.into_iter().map(|name| (name, (error, Some(error.message().to_owned()))));
            return Reply::now(&context, &response(error, outcome.collect()));
        }
    };
    let answer = broker.controller.elect_leaders(partitions.iter().cloned().collect(), election);
    let broker = broker.clone();
    Reply::later(async move {
        let mut outcome = match answer.await {
            None => partitions.into_iter().map(|name| (name, (ErrorCode::NOT_CONTROLLER, None))).collect(),
            Some(results) => settle(&broker, results, request.timeout_ms).await,
        };
        if request.topic_partitions.is_none() {
            outcome.retain(|_, (error, _)| *error != ErrorCode::ELECTION_NOT_NEEDED);
        }
        Response::of(&context, &response(ErrorCode::NONE, outcome))
    })
}

fn all_partitions(cluster: &ClusterMetadata) -> BTreeSet<TopicPartition> {
    let topics = cluster.topics.iter();
    let names = topics
        .flat_map(|(name, topic)| topic.partitions.keys().map(|number| TopicPartition::new(name.clone(), *number)));
    names.collect()
}

/// Waits until what was decided is known here.
///
/// Source: `DelayedElectLeader`.
async fn settle(broker: &Broker, results: PartitionResults<i32>, timeout_ms: i32) -> Outcome {
    let elected: Vec<(&TopicPartition, i32)> =
        results.iter().filter_map(|(name, result)| Some((name, *result.as_ref().ok()?))).collect();
    let leads = |cluster: &ClusterMetadata, name: &TopicPartition, leader: i32| {
        cluster.partition(&name.topic, name.partition).is_some_and(|state| state.leader == leader)
    };
    let all_lead = |cluster: &ClusterMetadata| elected.iter().all(|(name, leader)| leads(cluster, name, *leader));
    if !elected.is_empty() {
        wait_for_metadata(broker, timeout_of(timeout_ms), all_lead).await;
    }
    let cluster = broker.metadata.current();
    let outcome = results.into_iter().map(|(name, result)| {
        let outcome = match result {
            Ok(leader) if leads(&cluster, &name, leader) => (ErrorCode::NONE, None),
            Ok(_) => (ErrorCode::REQUEST_TIMED_OUT, None),
            Err(refusal) => (refusal.error, Some(refusal.message)),
        };
        (name, outcome)
    });
    outcome.collect()
}

fn response(error: ErrorCode, outcome: Outcome) -> ElectLeadersResponse {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    for (name, (error, error_message)) in outcome {
        let row = PartitionResult { partition_id: name.partition, error_code: error.0, error_message };
        match topics.last_mut().filter(|topic| *topic.topic == *name.topic) {
            Some(topic) => topic.partition_result.push(row),
            None => {
                topics.push(ReplicaElectionResult { topic: name.topic.to_string(), partition_result: vec![row] });
            }
        }
    }
    ElectLeadersResponse { error_code: error.0, replica_election_results: topics, ..Default::default() }
}
