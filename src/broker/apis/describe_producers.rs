//! DescribeProducers (key 61), version 0: who has written to partitions that we lead, as far as we remember (KIP-664).

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_producers::{PartitionResponse, ProducerState, TopicRequest, TopicResponse};
use crate::wire::messages::{DescribeProducersRequest, DescribeProducersResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DescribeProducersRequest) -> Reply {
    let of_topic = |topic: &TopicRequest| TopicResponse {
        name: topic.name.clone(),
        partitions: topic.partition_indexes.iter().map(|&index| describe(broker, &topic.name, index)).collect(),
    };
    let topics = request.topics.iter().map(of_topic).collect();
    Reply::now(&context, &DescribeProducersResponse { topics, ..Default::default() })
}

fn describe(broker: &Broker, topic: &str, partition_index: i32) -> PartitionResponse {
    let replica = broker.replicas.replica(topic, partition_index).and_then(|replica| {
        replica.check_leader(None)?;
        Ok(replica)
    });
    let replica = match replica {
        Ok(replica) => replica,
        Err(ErrorCode(error_code)) => {
            let active_producers = Vec::new();
            return PartitionResponse { partition_index, error_code, error_message: None, active_producers };
        }
    };
    let active_producers = replica.log().producers().into_iter().map(|producer| ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: producer.epoch.into(),
        last_sequence: producer.last_sequence(),
        last_timestamp: producer.last_timestamp,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.current_txn_first_offset.unwrap_or(-1),
    });
    PartitionResponse {
        partition_index,
        error_code: 0,
        error_message: None,
        active_producers: active_producers.collect(),
    }
}
