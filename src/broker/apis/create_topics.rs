//! CreateTopics (key 19), versions 0–7: the controller writes the topics and answers when their leaders are known.
//!
//! - A time of 0, or too little of it: REQUEST_TIMED_OUT, and the topic is created all the same.
//! - v1 messages, validate_only · v5 counts and configs of what was created (KIP-525) · v7 topic ids

use std::collections::HashMap;
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::topic_creation::{NewTopic, Refusal, has_leaders, timeout_of, wait_for_metadata};
use crate::config::describe_topic;
use crate::network::{Reply, RequestContext, Response};
use crate::replication::ClusterMetadata;
use crate::wire::messages::create_topics::{CreatableTopicConfigs, CreatableTopicResult};
use crate::wire::messages::{CreateTopicsRequest, CreateTopicsResponse};
use crate::wire::{ErrorCode, Uuid};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: CreateTopicsRequest) -> Reply {
    if !broker.controller.is_active() {
        let refused = request.topics.iter().map(|topic| CreatableTopicResult {
            name: topic.name.clone(),
            error_code: ErrorCode::NOT_CONTROLLER.0,
            ..Default::default()
        });
        return Reply::now(&context, &CreateTopicsResponse { topics: refused.collect(), ..Default::default() });
    }
    let broker = broker.clone();
    Reply::later(async move {
        let response = CreateTopicsResponse { topics: create(&broker, &request).await, ..Default::default() };
        Response::of(&context, &response)
    })
}

async fn create(broker: &Broker, request: &CreateTopicsRequest) -> Vec<CreatableTopicResult> {
    let mut times: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *times.entry(&topic.name).or_default() += 1;
    }
    let mut results = Vec::with_capacity(request.topics.len());
    let mut created = Vec::new();
    for topic in &request.topics {
        let result = match times[topic.name.as_str()] {
            1 => broker.create_topic(topic, request.validate_only).await,
            _ => Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Found multiple entries for this topic.")),
        };
        results.push(match result {
            Ok((new, id)) => {
                created.push((results.len(), new.name.clone(), new.replicas.len()));
                success(broker, &new, id)
            }
            Err(refusal) => failure(&topic.name, Uuid::ZERO, refusal),
        });
    }
    if request.validate_only {
        return results;
    }
    let are_led = |cluster: &ClusterMetadata| {
        created.iter().all(|(_, topic, partitions)| has_leaders(cluster, topic, *partitions))
    };
    let in_time = request.timeout_ms > 0 && wait_for_metadata(broker, timeout_of(request.timeout_ms), are_led).await;
    if !in_time {
        let cluster = broker.metadata.current();
        for (at, topic, partitions) in created {
            if request.timeout_ms <= 0 || !has_leaders(&cluster, &topic, partitions) {
                results[at] = failure(&topic, results[at].topic_id, Refusal::plain(ErrorCode::REQUEST_TIMED_OUT));
            }
        }
    }
    results
}

fn success(broker: &Broker, topic: &NewTopic, topic_id: Uuid) -> CreatableTopicResult {
    let overrides = topic.configs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let configs = describe_topic(&broker.config(), overrides).into_iter().map(|entry| CreatableTopicConfigs {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        config_source: entry.source as i8,
        is_sensitive: entry.is_sensitive,
    });
    CreatableTopicResult {
        name: topic.name.clone(),
        topic_id,
        error_message: None,
        num_partitions: topic.replicas.len() as i32,
        replication_factor: topic.replicas.first().map_or(-1, |replicas| replicas.len() as i16),
        configs: Some(configs.collect()),
        ..Default::default()
    }
}

fn failure(name: &str, topic_id: Uuid, refusal: Refusal) -> CreatableTopicResult {
    let (error_code, error_message) = (refusal.code.0, refusal.message);
    CreatableTopicResult { name: name.to_owned(), topic_id, error_code, error_message, ..Default::default() }
}
