//! UpdateMetadata (key 6), versions 0–8: the controller tells which brokers live and who leads what.
//!
//! - v5 topics are grouped, and the broker epoch says which registration of ours is meant (KIP-380) · v7 topic ids

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::{UpdateMetadataRequest, UpdateMetadataResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: UpdateMetadataRequest) -> Reply {
    let error_code = match update(broker, &request) {
        Ok(()) => ErrorCode::NONE,
        Err(code) => code,
    };
    Reply::now(&context, &UpdateMetadataResponse { error_code: error_code.0 })
}

fn update(broker: &Arc<Broker>, request: &UpdateMetadataRequest) -> Result<(), ErrorCode> {
    broker.check_broker_epoch(request.broker_epoch)?;
    let gone = broker.metadata.update(request)?;
    broker.partitions_deleted(&gone.partitions);
    broker.replicas.brokers_died(&gone.brokers);
    Ok(())
}
