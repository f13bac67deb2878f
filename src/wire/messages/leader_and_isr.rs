//! LeaderAndIsr (key 4), versions 0–7, flexible from 4.

use super::prelude::*;

api!(LeaderAndIsr, 4, 0..=7, flexible 4, LeaderAndIsrRequest => LeaderAndIsrResponse);

messages! {
    struct LeaderAndIsrRequest {
        controller_id: i32 [0..],
        is_k_raft_controller: bool [7..],
        controller_epoch: i32 [0..],
        broker_epoch: i64 [2..] = -1,
        r#type: i8 [5..],
        ungrouped_partition_states: Vec<LeaderAndIsrPartitionState> [0..=1],
        topic_states: Vec<LeaderAndIsrTopicState> [2..],
        live_leaders: Vec<LeaderAndIsrLiveLeader> [0..],
    }

    struct LeaderAndIsrTopicState {
        topic_name: String [2..],
        topic_id: Uuid [5..],
        partition_states: Vec<LeaderAndIsrPartitionState> [2..],
    }

    struct LeaderAndIsrLiveLeader {
        broker_id: i32 [0..],
        host_name: String [0..],
        port: i32 [0..],
    }

    struct LeaderAndIsrPartitionState {
        topic_name: String [0..=1],
        partition_index: i32 [0..],
        controller_epoch: i32 [0..],
        leader: i32 [0..],
        leader_epoch: i32 [0..],
        isr: Vec<i32> [0..],
        partition_epoch: i32 [0..],
        replicas: Vec<i32> [0..],
        adding_replicas: Vec<i32> [3..],
        removing_replicas: Vec<i32> [3..],
        is_new: bool [1..],
        leader_recovery_state: i8 [6..],
    }

    struct LeaderAndIsrResponse {
        error_code: i16 [0..],
        partition_errors: Vec<LeaderAndIsrPartitionError> [0..=4],
        topics: Vec<LeaderAndIsrTopicError> [5..],
    }

    struct LeaderAndIsrTopicError {
        topic_id: Uuid [5..],
        partition_errors: Vec<LeaderAndIsrPartitionError> [5..],
    }

    struct LeaderAndIsrPartitionError {
        topic_name: String [0..=4],
        partition_index: i32 [0..],
        error_code: i16 [0..],
    }
}
