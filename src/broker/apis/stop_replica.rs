//! StopReplica (key 5), versions 0–4: the controller ends partitions on this broker, and has their logs deleted.
//!
//! - v0 one flag for all · v1 broker epoch, topics grouped (KIP-380) · v3 a flag and an epoch for each (KIP-570)

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::{StopReplicaRequest, StopReplicaResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: StopReplicaRequest) -> Reply {
    if let Err(code) = broker.check_broker_epoch(request.broker_epoch) {
        return Reply::now(&context, &StopReplicaResponse { error_code: code.0, ..Default::default() });
    }
    let broker = broker.clone();
    Reply::later(async move {
        let carried_out = tokio::task::spawn_blocking(move || broker.replicas.stop_replicas(&request));
        Response::of(&context, &carried_out.await.ok()?)
    })
}
