//! ControlledShutdown (key 7), versions 0–3: a broker asks the controller to have others lead what it leads.
//!
//! - Answered with the partitions that nobody else can lead; none: it may stop.
//! - v2 broker epoch (KIP-380)

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::ControlledShutdownRequest;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ControlledShutdownRequest) -> Reply {
    let answer = broker.controller.controlled_shutdown(request);
    Reply::later(async move { Response::of(&context, &answer.await) })
}
