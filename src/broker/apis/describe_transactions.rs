//! DescribeTransactions (key 65), version 0: what this coordinator knows of transactional ids (KIP-664).

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::describe_transactions::{TopicData, TransactionState};
use crate::wire::messages::{DescribeTransactionsRequest, DescribeTransactionsResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DescribeTransactionsRequest) -> Reply {
    let states = request.transactional_ids.into_iter().map(|id| describe(broker, id));
    let response = DescribeTransactionsResponse { transaction_states: states.collect(), ..Default::default() };
    Reply::now(&context, &response)
}

fn describe(broker: &Broker, transactional_id: String) -> TransactionState {
    let coordinator = broker.transaction_partition(&transactional_id);
    let metadata = match broker.transactions.describe(coordinator, &transactional_id) {
        Ok(metadata) => metadata,
        Err(error) => return TransactionState { error_code: error.0, transactional_id, ..Default::default() },
    };
    let mut topics: Vec<TopicData> = Vec::new();
    for of in &metadata.partitions {
        match topics.last_mut() {
            Some(topic) if topic.topic == *of.topic => topic.partitions.push(of.partition),
            _ => topics.push(TopicData { topic: of.topic.to_string(), partitions: vec![of.partition] }),
        }
    }
    TransactionState {
        error_code: 0,
        transactional_id,
        transaction_state: metadata.state.name().to_owned(),
        transaction_timeout_ms: metadata.timeout_ms,
        transaction_start_time_ms: metadata.start_ms,
        producer_id: metadata.producer_id,
        producer_epoch: metadata.producer_epoch,
        topics,
    }
}
