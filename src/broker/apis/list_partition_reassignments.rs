//! ListPartitionReassignments (key 46), version 0: which partitions are moving, and from where to where (KIP-455).

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::ErrorCode;
use crate::wire::messages::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};

pub(super) fn handle(
    broker: &Arc<Broker>,
    context: RequestContext,
    request: ListPartitionReassignmentsRequest,
) -> Reply {
    let answer = broker.controller.list_reassignments(request);
    Reply::later(async move {
        let response = answer.await.unwrap_or_else(|| ListPartitionReassignmentsResponse {
            error_code: ErrorCode::NOT_CONTROLLER.0,
            error_message: Some(ErrorCode::NOT_CONTROLLER.message().to_owned()),
            ..Default::default()
        });
        Response::of(&context, &response)
    })
}
