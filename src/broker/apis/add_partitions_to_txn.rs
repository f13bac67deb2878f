//! AddPartitionsToTxn (key 24), versions 0–5: partitions that a transaction is about to write to.
//!
//! - If one of them does not exist it gets UNKNOWN_TOPIC_OR_PARTITION, and the others are not attempted.
//! - v2 PRODUCER_FENCED (KIP-588) · v4 batches of transactions and verify_only, for brokers (KIP-890)

use std::sync::Arc;

use super::fenced_as_of;
use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::replication::is_internal;
use crate::transaction::state::Producer;
use crate::wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};
use crate::wire::messages::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
use crate::wire::{ErrorCode, TopicPartition};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: AddPartitionsToTxnRequest) -> Reply {
    let version = context.version();
    let transactions = if version >= 4 { request.transactions.clone() } else { vec![single(&request)] };
    let broker = broker.clone();
    Reply::later(async move {
        let mut results = Vec::with_capacity(transactions.len());
        for transaction in transactions {
            let topic_results = add(&broker, &transaction, version).await;
            results.push(AddPartitionsToTxnResult { transactional_id: transaction.transactional_id, topic_results });
        }
        let response = if version >= 4 {
            AddPartitionsToTxnResponse { results_by_transaction: results, ..Default::default() }
        } else {
            let only = results.pop().map(|result| result.topic_results).unwrap_or_default();
            AddPartitionsToTxnResponse { results_by_topic_v3_and_below: only, ..Default::default() }
        };
        Response::of(&context, &response)
    })
}

fn single(request: &AddPartitionsToTxnRequest) -> AddPartitionsToTxnTransaction {
    AddPartitionsToTxnTransaction {
        transactional_id: request.v3_and_below_transactional_id.clone(),
        producer_id: request.v3_and_below_producer_id,
        producer_epoch: request.v3_and_below_producer_epoch,
        verify_only: false,
        topics: request.v3_and_below_topics.clone(),
    }
}

async fn add(
    broker: &Arc<Broker>,
    transaction: &AddPartitionsToTxnTransaction,
    version: i16,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let producer = Producer { id: transaction.producer_id, epoch: transaction.producer_epoch };
    let (id, partitions) = (&transaction.transactional_id, partitions(&transaction.topics));
    let coordinator = broker.transaction_partition(id);
    let cluster = broker.metadata.current();
    let refusal = |of: &TopicPartition| match () {
        // Clients have no business in the brokers' own topics: brokers speak version 4.
        () if version < 4 && is_internal(&of.topic) => Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED),
        () if !cluster.contains(&of.topic, of.partition) => Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        () => None,
    };
    let refusals: Vec<Option<ErrorCode>> = partitions.iter().map(refusal).collect();
    if refusals.iter().any(Option::is_some) {
        let errors = refusals.into_iter().map(|refusal| refusal.unwrap_or(ErrorCode::OPERATION_NOT_ATTEMPTED));
        return results(&transaction.topics, &mut { errors });
    }
    drop(cluster);
    if transaction.verify_only {
        let verified = broker.transactions.verify_partitions(coordinator, id, producer, &partitions);
        let errors = verified.unwrap_or_else(|error| vec![error; partitions.len()]);
        return results(&transaction.topics, &mut errors.into_iter());
    }
    let added = broker.transactions.add_partitions(coordinator, id, producer, partitions).await;
    let error = added.map_or_else(|error| fenced_as_of(version, 2, error), |()| ErrorCode::NONE);
    results(&transaction.topics, &mut std::iter::repeat(error))
}

fn partitions(topics: &[AddPartitionsToTxnTopic]) -> Vec<TopicPartition> {
    let of_topic = |topic: &AddPartitionsToTxnTopic| {
        let name: Arc<str> = topic.name.as_str().into();
        let partitions = topic.partitions.iter().map(|&index| TopicPartition::new(name.clone(), index));
        partitions.collect::<Vec<_>>()
    };
    topics.iter().flat_map(of_topic).collect()
}

/// One error for each partition of the request, in its order.
fn results(
    topics: &[AddPartitionsToTxnTopic],
    errors: &mut dyn Iterator<Item = ErrorCode>,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let of_topic = |topic: &AddPartitionsToTxnTopic| AddPartitionsToTxnTopicResult {
        name: topic.name.clone(),
        results_by_partition: topic
            .partitions
            .iter()
            .zip(&mut *errors)
            .map(|(&partition_index, error)| AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: error.0,
            })
            .collect(),
    };
    topics.iter().map(of_topic).collect()
}
