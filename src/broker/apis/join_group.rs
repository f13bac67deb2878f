//! JoinGroup (key 11), versions 0–9: a member asks to be part of a group's next generation.
//!
//! - Answered when every member has joined, or when the slowest one's rebalance time-out is over.
//! - v1 rebalance time-out · v4 member id required (KIP-394) · v5 static members (KIP-345) · v7 protocol type
//!   · v8 reason · v9 skip_assignment (KIP-814)

use std::sync::Arc;

use crate::broker::Broker;
use crate::group::classic::Joiner;
use crate::network::{Reply, RequestContext, Response};
use crate::registry::znodes::Uuid;
use crate::wire::ErrorCode;
use crate::wire::messages::{JoinGroupRequest, JoinGroupResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: JoinGroupRequest) -> Reply {
    let Some(joiner) = joiner(&context) else {
        let response = JoinGroupResponse { error_code: ErrorCode::UNKNOWN_SERVER_ERROR.0, ..Default::default() };
        return Reply::now(&context, &response);
    };
    let joining = broker.groups.join(broker.group_partition(&request.group_id), &request, &joiner);
    Reply::later(async move {
        let mut response = joining.await.ok()?;
        if context.version() < 7 {
            // Only from version 7 on can a response say that there is no protocol.
            response.protocol_name.get_or_insert_default();
        }
        Response::of(&context, &response)
    })
}

/// Who sends a request to join a group; None, and told, if there is no random number for a member id.
pub(super) fn joiner(context: &RequestContext) -> Option<Joiner> {
    let uuid = Uuid::random().inspect_err(|error| tracing::error!(%error, "no random number for a member id")).ok()?;
    Some(Joiner {
        client_id: context.client_id().to_owned(),
        client_host: format!("/{}", context.client_address),
        unique: hyphenated(uuid),
        version: context.version(),
    })
}

/// A UUID as Java prints it.
fn hyphenated(uuid: Uuid) -> String {
    let hex: String = uuid.0.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
