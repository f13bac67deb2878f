//! OffsetCommit (key 8), versions 0–9: a group's offsets, as records of `__consumer_offsets`.
//!
//! - Answered when the records are committed. Partitions that do not exist, or whose metadata is too long, get an
//!   error of their own; the others are committed.
//! - v0 goes to ZooKeeper (`/consumers/G/offsets/T/P`) · v1 per-partition timestamp · v2–4 retention time
//!   · v6 leader epoch · v7 static members · v9 flexible member epochs (KIP-848)

use std::sync::Arc;

use crate::broker::{Broker, registry_offsets, wall_ms};
use crate::group::records::OffsetAndMetadata;
use crate::group::{Commit, Committer};
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use crate::wire::messages::{OffsetCommitRequest, OffsetCommitResponse};
use crate::wire::{ErrorCode, TopicPartition};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: OffsetCommitRequest) -> Reply {
    let cluster = broker.metadata.current();
    let mut commits = Vec::new();
    let mut outcomes: Vec<(TopicPartition, ErrorCode)> = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for asked in &topic.partitions {
            let partition = TopicPartition::new(name.clone(), asked.partition_index);
            let metadata_len = asked.committed_metadata.as_ref().map_or(0, String::len);
            let outcome = if !cluster.contains(&topic.name, asked.partition_index) {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            } else if metadata_len > broker.groups.offset_metadata_max_bytes() {
                ErrorCode::OFFSET_METADATA_TOO_LARGE
            } else {
                let value = value(context.version(), &request, asked);
                commits.push(Commit { partition: partition.clone(), value });
                ErrorCode::NONE
            };
            outcomes.push((partition, outcome));
        }
    }
    if context.version() == 0 {
        let broker = broker.clone();
        return Reply::later(async move {
            let outcome = registry_offsets::commit(&broker.session, &request.group_id, &commits).await;
            Response::of(&context, &response(outcomes, outcome))
        });
    }
    let committer = Committer {
        generation_id_or_member_epoch: request.generation_id_or_member_epoch,
        member_id: &request.member_id,
        group_instance_id: request.group_instance_id.as_deref(),
        version: context.version(),
        transaction: None,
    };
    let coordinator = broker.group_partition(&request.group_id);
    let committing = broker.groups.commit(coordinator, &request.group_id, committer, commits);
    Reply::later(async move { Response::of(&context, &response(outcomes, committing.await)) })
}

fn value(version: i16, request: &OffsetCommitRequest, asked: &OffsetCommitRequestPartition) -> OffsetAndMetadata {
    let now_ms = wall_ms();
    let commit_timestamp = if version == 1 && asked.commit_timestamp >= 0 { asked.commit_timestamp } else { now_ms };
    let retention_ms = Some(request.retention_time_ms).filter(|&ms| ms >= 0);
    OffsetAndMetadata {
        offset: asked.committed_offset,
        leader_epoch: asked.committed_leader_epoch,
        metadata: asked.committed_metadata.clone().unwrap_or_default(),
        commit_timestamp,
        expire_timestamp: retention_ms.map(|ms| commit_timestamp.saturating_add(ms)),
    }
}

/// Every partition in the order of the request; those that were not refused before get `outcome`.
fn response(outcomes: Vec<(TopicPartition, ErrorCode)>, outcome: ErrorCode) -> OffsetCommitResponse {
    let mut topics: Vec<OffsetCommitResponseTopic> = Vec::new();
    for (partition, refused) in outcomes {
        let error = if refused.is_ok() { outcome } else { refused };
        if topics.last().is_none_or(|topic| topic.name != *partition.topic) {
            topics.push(OffsetCommitResponseTopic { name: partition.topic.to_string(), partitions: Vec::new() });
        }
        if let Some(topic) = topics.last_mut() {
            topic
                .partitions
                .push(OffsetCommitResponsePartition { partition_index: partition.partition, error_code: error.0 });
        }
    }
    OffsetCommitResponse { topics, ..Default::default() }
}
