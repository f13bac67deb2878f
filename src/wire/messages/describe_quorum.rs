//! DescribeQuorum (key 55), versions 0–2, flexible from 0.

use super::prelude::*;

api!(DescribeQuorum, 55, 0..=2, flexible 0, DescribeQuorumRequest => DescribeQuorumResponse);

messages! {
    struct DescribeQuorumRequest {
        topics: Vec<TopicDataRequest> [0..],
    }

    struct TopicDataRequest {
        topic_name: String [0..],
        partitions: Vec<PartitionDataRequest> [0..],
    }

    struct PartitionDataRequest {
        partition_index: i32 [0..],
    }

    struct DescribeQuorumResponse {
        error_code: i16 [0..],
        error_message: Option<String> [2..] = Some(String::new()),
        topics: Vec<TopicDataResponse> [0..],
        nodes: Vec<Node> [2..],
    }

    struct TopicDataResponse {
        topic_name: String [0..],
        partitions: Vec<PartitionDataResponse> [0..],
    }

    struct PartitionDataResponse {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<String> [2..] = Some(String::new()),
        leader_id: i32 [0..],
        leader_epoch: i32 [0..],
        high_watermark: i64 [0..],
        current_voters: Vec<ReplicaState> [0..],
        observers: Vec<ReplicaState> [0..],
    }

    struct Node {
        node_id: i32 [2..],
        listeners: Vec<Listener> [2..],
    }

    struct Listener {
        name: String [2..],
        host: String [2..],
        port: u16 [2..],
    }

    struct ReplicaState {
        replica_id: i32 [0..],
        replica_directory_id: Uuid [2..],
        log_end_offset: i64 [0..],
        last_fetch_timestamp: i64 [1..] = -1,
        last_caught_up_timestamp: i64 [1..] = -1,
    }
}
