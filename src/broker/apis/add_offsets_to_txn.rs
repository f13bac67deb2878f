//! AddOffsetsToTxn (key 25), versions 0–4: a transaction is about to commit a group's offsets, so that the group's
//! partition of `__consumer_offsets` becomes part of it.

use std::sync::Arc;

use super::fenced_as_of;
use crate::broker::Broker;
use crate::group;
use crate::network::{Reply, RequestContext, Response};
use crate::transaction::state::Producer;
use crate::wire::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
use crate::wire::{ErrorCode, TopicPartition};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: AddOffsetsToTxnRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
        let id = &request.transactional_id;
        let offsets = TopicPartition::new(group::TOPIC, broker.group_partition(&request.group_id));
        let coordinator = broker.transaction_partition(id);
        let added = broker.transactions.add_partitions(coordinator, id, producer, vec![offsets]).await;
        let error = added.map_or_else(|error| fenced_as_of(context.version(), 2, error), |()| ErrorCode::NONE);
        Response::of(&context, &AddOffsetsToTxnResponse { error_code: error.0, ..Default::default() })
    })
}
