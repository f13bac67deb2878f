//! Heartbeat (key 12), versions 0–4: a member is there, and learns whether a rebalance has begun.
//!
//! - v3 static members (KIP-345)

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::{HeartbeatRequest, HeartbeatResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: HeartbeatRequest) -> Reply {
    let outcome = broker.groups.heartbeat(broker.group_partition(&request.group_id), &request);
    Reply::now(&context, &HeartbeatResponse { error_code: outcome.0, ..Default::default() })
}
