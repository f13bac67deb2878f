//! AlterPartitionReassignments (key 45), version 0: partitions move to other replicas, or a move is called off (KIP-455).
//!
//! - Answered when the wish is written down, not when the move is done: ListPartitionReassignments tells that.
//! - A partition that is named twice counts as it is named last.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::alter_partition_reassignments::{ReassignablePartitionResponse, ReassignableTopicResponse};
use crate::wire::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use crate::wire::{ErrorCode, TopicPartition};

pub(super) fn handle(
    broker: &Arc<Broker>,
    context: RequestContext,
    request: AlterPartitionReassignmentsRequest,
) -> Reply {
    let mut wanted: BTreeMap<TopicPartition, Option<Vec<i32>>> = BTreeMap::new();
    for topic in request.topics {
        let name: Arc<str> = topic.name.into();
        let rows = topic.partitions.into_iter();
        wanted.extend(rows.map(|row| (TopicPartition::new(name.clone(), row.partition_index), row.replicas)));
    }
    let answer = broker.controller.alter_reassignments(wanted.into_iter().collect());
    Reply::later(async move {
        let mut response = AlterPartitionReassignmentsResponse { error_message: None, ..Default::default() };
        match answer.await {
            None => {
                response.error_code = ErrorCode::NOT_CONTROLLER.0;
                response.error_message = Some(ErrorCode::NOT_CONTROLLER.message().to_owned());
            }
            Some(results) => {
                for (name, result) in results {
                    let (error_code, error_message) = match result {
                        Ok(()) => (0, None),
                        Err(refusal) => (refusal.error.0, Some(refusal.message)),
                    };
                    let row =
                        ReassignablePartitionResponse { partition_index: name.partition, error_code, error_message };
                    match response.responses.last_mut().filter(|topic| *topic.name == *name.topic) {
                        Some(topic) => topic.partitions.push(row),
                        None => response
                            .responses
                            .push(ReassignableTopicResponse { name: name.topic.to_string(), partitions: vec![row] }),
                    }
                }
            }
        }
        Response::of(&context, &response)
    })
}
