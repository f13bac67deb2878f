//! SyncGroup (key 14), versions 0–5: the leader hands in the assignment, every member gets its part.
//!
//! - Followers wait for the leader; in a stable group the stored assignment is answered.
//! - v3 static members (KIP-345) · v5 protocol type and name are checked (KIP-559)

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::SyncGroupRequest;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: SyncGroupRequest) -> Reply {
    let syncing = broker.groups.sync(broker.group_partition(&request.group_id), &request);
    Reply::later(async move { Response::of(&context, &syncing.await.ok()?) })
}
