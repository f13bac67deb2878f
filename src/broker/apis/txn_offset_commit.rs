//! TxnOffsetCommit (key 28), versions 0–4: a group's offsets as part of a transaction; they count when it commits.
//!
//! - v2 leader epoch · v3 member and generation are checked (KIP-447)

use std::sync::Arc;

use crate::broker::transactions::Verdict;
use crate::broker::{Broker, wall_ms};
use crate::group;
use crate::group::records::OffsetAndMetadata;
use crate::group::{Commit, Committer};
use crate::network::{Reply, RequestContext, Response};
use crate::transaction::state::Producer;
use crate::wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequestTopic, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use crate::wire::messages::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
use crate::wire::{ErrorCode, TopicPartition};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: TxnOffsetCommitRequest) -> Reply {
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let offsets = broker.unverified(group::TOPIC, broker.group_partition(&request.group_id), producer);
    let Some(unverified) = offsets else { return commit(broker, context, request, ErrorCode::NONE) };
    match broker.verify_here(&request.transactional_id, vec![unverified]) {
        Ok(verdicts) => commit(broker, context, request, verdict(&verdicts)),
        Err(unverified) => {
            let broker = broker.clone();
            Reply::first(async move {
                let verdicts = broker.verify(&request.transactional_id, unverified).await;
                commit(&broker, context, request, verdict(&verdicts))
            })
        }
    }
}

/// What the transaction's coordinator said, in the words of TxnOffsetCommit.
///
/// Source: `GroupCoordinator.handleTxnCommitOffsets`, `GroupMetadataManager.maybeConvertOffsetCommitError`.
fn verdict(verdicts: &[Verdict]) -> ErrorCode {
    match verdicts.first().and_then(|verdict| verdict.outcome.err()) {
        None => ErrorCode::NONE,
        Some(ErrorCode::NETWORK_EXCEPTION) => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
        Some(ErrorCode::PRODUCER_FENCED) => ErrorCode::INVALID_PRODUCER_EPOCH,
        Some(error) => error,
    }
}

/// `verified`: whether the transaction knows of the group.
fn commit(
    broker: &Arc<Broker>,
    context: RequestContext,
    request: TxnOffsetCommitRequest,
    verified: ErrorCode,
) -> Reply {
    if !verified.is_ok() {
        let topics = results(&request.topics, &mut std::iter::repeat(verified));
        return Reply::now(&context, &TxnOffsetCommitResponse { topics, ..Default::default() });
    }
    let now_ms = wall_ms();
    let cluster = broker.metadata.current();
    let mut commits = Vec::new();
    let mut refused: Vec<ErrorCode> = Vec::new();
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for asked in &topic.partitions {
            let metadata = asked.committed_metadata.clone().unwrap_or_default();
            refused.push(if !cluster.contains(&topic.name, asked.partition_index) {
                ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
            } else if metadata.len() > broker.groups.offset_metadata_max_bytes() {
                ErrorCode::OFFSET_METADATA_TOO_LARGE
            } else {
                let value = OffsetAndMetadata {
                    offset: asked.committed_offset,
                    leader_epoch: asked.committed_leader_epoch,
                    metadata,
                    commit_timestamp: now_ms,
                    expire_timestamp: None,
                };
                commits.push(Commit { partition: TopicPartition::new(name.clone(), asked.partition_index), value });
                ErrorCode::NONE
            });
        }
    }
    let committer = Committer {
        generation_id_or_member_epoch: request.generation_id,
        member_id: &request.member_id,
        group_instance_id: request.group_instance_id.as_deref(),
        version: context.version(),
        transaction: Some((request.producer_id, request.producer_epoch)),
    };
    let coordinator = broker.group_partition(&request.group_id);
    let committing = broker.groups.commit(coordinator, &request.group_id, committer, commits);
    Reply::later(async move {
        let outcome = committing.await;
        let errors = refused.into_iter().map(|error| if error.is_ok() { outcome } else { error });
        let topics = results(&request.topics, &mut { errors });
        Response::of(&context, &TxnOffsetCommitResponse { topics, ..Default::default() })
    })
}

/// One error for each partition of the request, in its order.
fn results(
    topics: &[TxnOffsetCommitRequestTopic],
    errors: &mut dyn Iterator<Item = ErrorCode>,
) -> Vec<TxnOffsetCommitResponseTopic> {
    let of_topic = |topic: &TxnOffsetCommitRequestTopic| TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .zip(&mut *errors)
            .map(|(asked, error)| TxnOffsetCommitResponsePartition {
                partition_index: asked.partition_index,
                error_code: error.0,
            })
            .collect(),
    };
    topics.iter().map(of_topic).collect()
}
