//! EndTxn (key 26), versions 0–4: a transaction commits or aborts. Answered when the decision is in the log; the markers
//! follow by themselves.

use std::sync::Arc;

use super::fenced_as_of;
use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::transaction::state::{Outcome, Producer};
use crate::wire::ErrorCode;
use crate::wire::messages::{EndTxnRequest, EndTxnResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: EndTxnRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
        let outcome = if request.committed { Outcome::Commit } else { Outcome::Abort };
        let id = &request.transactional_id;
        let ended = broker.transactions.end(broker.transaction_partition(id), id, producer, outcome).await;
        let error = ended.map_or_else(|error| fenced_as_of(context.version(), 2, error), |()| ErrorCode::NONE);
        Response::of(&context, &EndTxnResponse { error_code: error.0, ..Default::default() })
    })
}
