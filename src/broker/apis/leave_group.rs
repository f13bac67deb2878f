//! LeaveGroup (key 13), versions 0–5: members go at once instead of when their session ends.
//!
//! - v3 several members, static ones by their instance id (KIP-345) · v5 reason (KIP-800)

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::LeaveGroupRequest;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: LeaveGroupRequest) -> Reply {
    let partition = broker.group_partition(&request.group_id);
    Reply::now(&context, &broker.groups.leave(partition, &request, context.version()))
}
