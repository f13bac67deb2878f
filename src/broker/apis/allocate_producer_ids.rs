//! AllocateProducerIds (key 67), version 0: a broker takes a block of a thousand producer ids from the controller
//! (KIP-730).

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::AllocateProducerIdsRequest;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: AllocateProducerIdsRequest) -> Reply {
    let answer = broker.controller.allocate_producer_ids(request);
    Reply::later(async move { Response::of(&context, &answer.await) })
}
