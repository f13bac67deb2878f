//! Envelope (key 58), version 0: a request that another broker forwards in its client's name (KIP-590). Nothing is
//! forwarded without KRaft, so whoever sends one is disconnected, as Apache's broker in ZooKeeper mode does it although
//! it advertises the API.

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::EnvelopeRequest;

pub(super) fn handle(_: &Arc<Broker>, context: RequestContext, _: EnvelopeRequest) -> Reply {
    tracing::info!(address = %context.client_address, "an Envelope request, though nothing is forwarded here");
    Reply::Close
}
