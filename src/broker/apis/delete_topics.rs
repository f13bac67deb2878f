//! DeleteTopics (key 20), versions 0–6: the controller notes the wish, and answers when the topics are gone from the
//! metadata and, unless a dead replica holds them up, from the registry: their names are free then.
//!
//! - v3 TOPIC_DELETION_DISABLED · v5 messages · v6 by id (KIP-516)

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::broker::Broker;
use crate::broker::topic_creation::{Refusal, timeout_of, wait_for_metadata};
use crate::network::{Reply, RequestContext, Response};
use crate::registry;
use crate::registry::session::CreateMode;
use crate::registry::znodes::{DeleteTopics, TopicAssignment};
use crate::wire::messages::delete_topics::DeletableTopicResult;
use crate::wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use crate::wire::{ErrorCode, Uuid};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DeleteTopicsRequest) -> Reply {
    let version = context.version();
    let mut results: Vec<DeletableTopicResult> = match version {
        0..=5 => request.topic_names.iter().map(|name| asked(Some(name), Uuid::ZERO)).collect(),
        _ => request.topics.iter().map(|topic| asked(topic.name.as_ref(), topic.topic_id)).collect(),
    };
    if let Some(code) = refuse_all(broker, version, &results) {
        results.iter_mut().for_each(|result| result.error_code = code.0);
        return Reply::now(&context, &DeleteTopicsResponse { responses: results, ..Default::default() });
    }
    let cluster = broker.metadata.current();
    for result in &mut results {
        if !result.topic_id.is_zero() {
            result.name = cluster.topic_name(result.topic_id).map(|name| name.to_string());
        }
        let code = match &result.name {
            None => ErrorCode::UNKNOWN_TOPIC_ID,
            Some(name) if !cluster.topics.contains_key(name.as_str()) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Some(_) => ErrorCode::NONE,
        };
        result.error_code = code.0;
    }
    let broker = broker.clone();
    Reply::later(async move {
        delete(&broker, request.timeout_ms, &mut results).await;
        Response::of(&context, &DeleteTopicsResponse { responses: results, ..Default::default() })
    })
}

fn asked(name: Option<&String>, topic_id: Uuid) -> DeletableTopicResult {
    DeletableTopicResult { name: name.cloned(), topic_id, ..Default::default() }
}

fn refuse_all(broker: &Broker, version: i16, results: &[DeletableTopicResult]) -> Option<ErrorCode> {
    if !broker.controller.is_active() {
        return Some(ErrorCode::NOT_CONTROLLER);
    }
    if !broker.config().delete_topic_enable {
        return Some(if version < 3 { ErrorCode::INVALID_REQUEST } else { ErrorCode::TOPIC_DELETION_DISABLED });
    }
    let is_both = |result: &DeletableTopicResult| result.name.is_some() && !result.topic_id.is_zero();
    results.iter().any(is_both).then_some(ErrorCode::INVALID_REQUEST)
}

async fn delete(broker: &Broker, timeout_ms: i32, results: &mut [DeletableTopicResult]) {
    let began = Instant::now();
    let names: BTreeSet<String> =
        results.iter().filter(|result| result.error_code == 0).filter_map(|result| result.name.clone()).collect();
    let mut wished: Vec<Arc<str>> = Vec::new();
    for name in names {
        match wish(broker, &name).await {
            Ok(()) => wished.push(name.into()),
            Err(refusal) => fail(results, &name, refusal.code),
        }
    }
    if wished.is_empty() {
        return;
    }
    let timeout = timeout_of(timeout_ms);
    let is_gone = |topic: &Arc<str>| !broker.metadata.current().topics.contains_key(topic);
    let all_gone =
        wait_for_metadata(broker, timeout, |cluster| wished.iter().all(|topic| !cluster.topics.contains_key(topic)));
    if timeout_ms > 0 && all_gone.await {
        let rest = timeout.saturating_sub(began.elapsed());
        // Kafka answers here already; then creating a topic of that name again fails for some time.
        let _ = tokio::time::timeout(rest, broker.controller.await_deletion(wished)).await;
        return;
    }
    for topic in wished.iter().filter(|topic| timeout_ms <= 0 || !is_gone(topic)) {
        fail(results, topic, ErrorCode::REQUEST_TIMED_OUT);
    }
}

fn fail(results: &mut [DeletableTopicResult], name: &str, code: ErrorCode) {
    let of_name = results.iter_mut().filter(|result| result.name.as_deref() == Some(name));
    of_name.filter(|result| result.error_code == 0).for_each(|result| result.error_code = code.0);
}

/// Notes that the topic is to be deleted; that it was noted already is as good.
async fn wish(broker: &Broker, topic: &str) -> Result<(), Refusal> {
    if broker.session.exists(&TopicAssignment::path(topic)).await?.is_none() {
        return Err(Refusal::plain(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    }
    match broker.session.create(&DeleteTopics::path(topic), None, CreateMode::Persistent).await {
        Ok(_) | Err(registry::Error::NodeExists(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
