//! InitProducerId (key 22), versions 0–5: an id for an idempotent producer, or id and epoch for a transactional one.
//!
//! - A transactional id's open transaction is aborted first; the answer is CONCURRENT_TRANSACTIONS until that is done.
//! - v3 a producer bumps its own epoch (KIP-360) · v4 PRODUCER_FENCED (KIP-588)

use std::sync::Arc;

use super::fenced_as_of;
use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::transaction::state::Producer;
use crate::wire::ErrorCode;
use crate::wire::messages::{InitProducerIdRequest, InitProducerIdResponse};

const NO_ID: i64 = -1;
const NO_EPOCH: i16 = -1;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: InitProducerIdRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let response = match init(&broker, &request).await {
            Ok(Producer { id, epoch }) => {
                InitProducerIdResponse { producer_id: id, producer_epoch: epoch, ..Default::default() }
            }
            Err(error) => InitProducerIdResponse {
                error_code: fenced_as_of(context.version(), 4, error).0,
                producer_id: NO_ID,
                producer_epoch: NO_EPOCH,
                ..Default::default()
            },
        };
        Response::of(&context, &response)
    })
}

async fn init(broker: &Arc<Broker>, request: &InitProducerIdRequest) -> Result<Producer, ErrorCode> {
    let expected = match (request.producer_id, request.producer_epoch) {
        (NO_ID, NO_EPOCH) => None,
        (NO_ID, _) | (_, NO_EPOCH) => return Err(ErrorCode::INVALID_REQUEST),
        (id, epoch) => Some(Producer { id, epoch }),
    };
    let Some(transactional_id) = &request.transactional_id else {
        return Ok(Producer { id: broker.producer_ids.next().await?, epoch: 0 });
    };
    if transactional_id.is_empty() {
        return Err(ErrorCode::INVALID_REQUEST);
    }
    let coordinator = broker.transaction_partition(transactional_id);
    let fresh_id = broker.producer_ids.next().await?;
    let timeout_ms = request.transaction_timeout_ms;
    broker.transactions.init_producer_id(coordinator, transactional_id, expected, timeout_ms, fresh_id).await
}
