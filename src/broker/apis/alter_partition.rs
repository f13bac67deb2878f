//! AlterPartition (key 56), versions 0–3: a leader asks the controller to change the ISR of its partitions (KIP-497).
//!
//! - v2 topics by id · v3 brokers of the ISR with their epochs, which have no meaning in ZooKeeper mode

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::AlterPartitionRequest;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: AlterPartitionRequest) -> Reply {
    let answer = broker.controller.alter_partition(request, context.version());
    Reply::later(async move { Response::of(&context, &answer.await) })
}
