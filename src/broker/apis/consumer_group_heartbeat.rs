//! ConsumerGroupHeartbeat (key 68), versions 0–1: the one request of a member of the consumer protocol (KIP-848).
//!
//! - It joins (epoch 0), leaves (-1; -2 for a static member that comes back), and says what the member reads and has.
//!   The answer has the member's epoch, and what it may have if that has changed.
//! - Refused with UNSUPPORTED_VERSION unless `group.coordinator.rebalance.protocols` has `consumer`.
//! - v1 subscription by regular expression, and the member makes up its own id

use std::sync::Arc;

use super::join_group::joiner;
use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::ErrorCode;
use crate::wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ConsumerGroupHeartbeatRequest) -> Reply {
    let refuse = |error: ErrorCode| ConsumerGroupHeartbeatResponse { error_code: error.0, ..Default::default() };
    if !broker.serves_consumer_protocol() {
        return Reply::now(&context, &refuse(ErrorCode::UNSUPPORTED_VERSION));
    }
    let Some(joiner) = joiner(&context) else {
        return Reply::now(&context, &refuse(ErrorCode::UNKNOWN_SERVER_ERROR));
    };
    let partition = broker.group_partition(&request.group_id);
    let beating = broker.groups.consumer_heartbeat(partition, &request, context.version(), &joiner);
    Reply::later(async move { Response::of(&context, &beating.await) })
}
