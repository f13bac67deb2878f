//! UpdateMetadata (key 6), versions 0–8, flexible from 6.

use super::prelude::*;

api!(UpdateMetadata, 6, 0..=8, flexible 6, UpdateMetadataRequest => UpdateMetadataResponse);

messages! {
    struct UpdateMetadataRequest {
        controller_id: i32 [0..],
        is_k_raft_controller: bool [8..],
        controller_epoch: i32 [0..],
        broker_epoch: i64 [5..] = -1,
        ungrouped_partition_states: Vec<UpdateMetadataPartitionState> [0..=4],
        topic_states: Vec<UpdateMetadataTopicState> [5..],
        live_brokers: Vec<UpdateMetadataBroker> [0..],
        r#type: i8 [8.., tag 0],
    }

    struct UpdateMetadataTopicState {
        topic_name: String [5..],
        topic_id: Uuid [7..],
        partition_states: Vec<UpdateMetadataPartitionState> [5..],
    }

    struct UpdateMetadataBroker {
        id: i32 [0..],
        v0_host: String [0..=0],
        v0_port: i32 [0..=0],
        endpoints: Vec<UpdateMetadataEndpoint> [1..],
        rack: Option<String> [2..] = Some(String::new()),
    }

    struct UpdateMetadataEndpoint {
        port: i32 [1..],
        host: String [1..],
        listener: String [3..],
        security_protocol: i16 [1..],
    }

    struct UpdateMetadataPartitionState {
        topic_name: String [0..=4],
        partition_index: i32 [0..],
        controller_epoch: i32 [0..],
        leader: i32 [0..],
        leader_epoch: i32 [0..],
        isr: Vec<i32> [0..],
        zk_version: i32 [0..],
        replicas: Vec<i32> [0..],
        offline_replicas: Vec<i32> [4..],
    }

    struct UpdateMetadataResponse {
        error_code: i16 [0..],
    }
}
