//! AlterPartition (key 56), versions 0–3, flexible from 0.

use super::prelude::*;

api!(AlterPartition, 56, 0..=3, flexible 0, AlterPartitionRequest => AlterPartitionResponse);

messages! {
    struct AlterPartitionRequest {
        broker_id: i32 [0..],
        broker_epoch: i64 [0..] = -1,
        topics: Vec<TopicDataRequest> [0..],
    }

    struct TopicDataRequest {
        topic_name: String [0..=1],
        topic_id: Uuid [2..],
        partitions: Vec<PartitionDataRequest> [0..],
    }

    struct PartitionDataRequest {
        partition_index: i32 [0..],
        leader_epoch: i32 [0..],
        new_isr: Vec<i32> [0..=2],
        new_isr_with_epochs: Vec<BrokerState> [3..],
        leader_recovery_state: i8 [1..],
        partition_epoch: i32 [0..],
    }

    struct BrokerState {
        broker_id: i32 [3..],
        broker_epoch: i64 [3..] = -1,
    }

    struct AlterPartitionResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        topics: Vec<TopicDataResponse> [0..],
    }

    struct TopicDataResponse {
        topic_name: String [0..=1],
        topic_id: Uuid [2..],
        partitions: Vec<PartitionDataResponse> [0..],
    }

    struct PartitionDataResponse {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        leader_id: i32 [0..],
        leader_epoch: i32 [0..],
        isr: Vec<i32> [0..],
        leader_recovery_state: i8 [1..],
        partition_epoch: i32 [0..],
    }
}
