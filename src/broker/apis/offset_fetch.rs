//! OffsetFetch (key 9), versions 0–9: what groups have committed.
//!
//! - No offset: -1 with empty metadata and no error; in version 0, which reads ZooKeeper, UNKNOWN_TOPIC_OR_PARTITION.
//! - v2 no topics = all · v5 leader epoch · v7 require_stable (KIP-447) · v8 several groups (KIP-709) · v9 member epoch

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::{Broker, registry_offsets};
use crate::group::records::OffsetAndMetadata;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::offset_fetch::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
    OffsetFetchResponseTopics,
};
use crate::wire::messages::{OffsetFetchRequest, OffsetFetchResponse};
use crate::wire::{ErrorCode, TopicPartition};

/// What a group has for a partition, or why it cannot be told.
type Found = (TopicPartition, Result<Option<OffsetAndMetadata>, ErrorCode>);

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: OffsetFetchRequest) -> Reply {
    match context.version() {
        0 => {
            let broker = broker.clone();
            Reply::later(async move {
                let asked = asked_of_one(&request).unwrap_or_default();
                let found = registry_offsets::fetch(&broker.session, &request.group_id, asked).await;
                Response::of(&context, &one_group(found, ErrorCode::NONE))
            })
        }
        1..=7 => {
            let asked = asked_of_one(&request);
            let (found, error) = find(broker, &request.group_id, (None, -1), asked.as_deref(), request.require_stable);
            Reply::now(&context, &one_group(found, error))
        }
        _ => {
            let groups = request.groups.iter().map(|group| {
                let asked: Option<Vec<TopicPartition>> = group.topics.as_ref().map(|topics| {
                    let partitions = topics.iter().flat_map(|topic| partitions(&topic.name, &topic.partition_indexes));
                    partitions.collect()
                });
                let member = (group.member_id.as_deref(), group.member_epoch);
                let (found, error) = find(broker, &group.group_id, member, asked.as_deref(), request.require_stable);
                of_group(&group.group_id, found, error)
            });
            Reply::now(&context, &OffsetFetchResponse { groups: groups.collect(), ..Default::default() })
        }
    }
}

fn asked_of_one(request: &OffsetFetchRequest) -> Option<Vec<TopicPartition>> {
    let topics = request.topics.as_ref()?;
    Some(topics.iter().flat_map(|topic| partitions(&topic.name, &topic.partition_indexes)).collect())
}

fn partitions<'a>(topic: &str, indexes: &'a [i32]) -> impl Iterator<Item = TopicPartition> + use<'a> {
    let topic: Arc<str> = topic.into();
    indexes.iter().map(move |&index| TopicPartition::new(topic.clone(), index))
}

fn find(
    broker: &Broker,
    group_id: &str,
    member: (Option<&str>, i32),
    asked: Option<&[TopicPartition]>,
    require_stable: bool,
) -> (Vec<Found>, ErrorCode) {
    let coordinator = broker.group_partition(group_id);
    let offsets = match broker.groups.offsets(coordinator, group_id, member, asked) {
        Ok(offsets) => offsets,
        // Before version 2 the error has its place in the partitions alone.
        Err(error) => {
            let refused = asked.unwrap_or_default().iter().map(|of| (of.clone(), Err(error)));
            return (refused.collect(), error);
        }
    };
    let unstable = match require_stable {
        true => broker.groups.unstable_offsets(coordinator, group_id),
        false => HashSet::new(),
    };
    let found = offsets.into_iter().map(|(of, value)| match unstable.contains(&of) {
        true => (of, Err(ErrorCode::UNSTABLE_OFFSET_COMMIT)),
        false => (of, Ok(value)),
    });
    (found.collect(), ErrorCode::NONE)
}

fn one_group(found: Vec<Found>, error: ErrorCode) -> OffsetFetchResponse {
    let mut topics: Vec<OffsetFetchResponseTopic> = Vec::new();
    for (partition, value) in found {
        if topics.last().is_none_or(|topic| topic.name != *partition.topic) {
            topics.push(OffsetFetchResponseTopic { name: partition.topic.to_string(), partitions: Vec::new() });
        }
        let (value, error) = shown(value);
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(OffsetFetchResponsePartition {
                partition_index: partition.partition,
                committed_offset: value.offset,
                committed_leader_epoch: value.leader_epoch,
                metadata: Some(value.metadata),
                error_code: error.0,
            });
        }
    }
    OffsetFetchResponse { topics, error_code: error.0, ..Default::default() }
}

fn of_group(group_id: &str, found: Vec<Found>, error: ErrorCode) -> OffsetFetchResponseGroup {
    let mut topics: Vec<OffsetFetchResponseTopics> = Vec::new();
    let found = if error.is_ok() { found } else { Vec::new() };
    for (partition, value) in found {
        if topics.last().is_none_or(|topic| topic.name != *partition.topic) {
            topics.push(OffsetFetchResponseTopics { name: partition.topic.to_string(), partitions: Vec::new() });
        }
        let (value, error) = shown(value);
        if let Some(topic) = topics.last_mut() {
            topic.partitions.push(OffsetFetchResponsePartitions {
                partition_index: partition.partition,
                committed_offset: value.offset,
                committed_leader_epoch: value.leader_epoch,
                metadata: Some(value.metadata),
                error_code: error.0,
            });
        }
    }
    OffsetFetchResponseGroup { group_id: group_id.to_owned(), topics, error_code: error.0 }
}

fn shown(value: Result<Option<OffsetAndMetadata>, ErrorCode>) -> (OffsetAndMetadata, ErrorCode) {
    let none = || OffsetAndMetadata {
        offset: -1,
        leader_epoch: -1,
        metadata: String::new(),
        commit_timestamp: -1,
        expire_timestamp: None,
    };
    match value {
        Ok(value) => (value.unwrap_or_else(none), ErrorCode::NONE),
        Err(error) => (none(), error),
    }
}
