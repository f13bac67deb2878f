//! AlterPartitionReassignments (key 45), versions 0–0, flexible from 0.

use super::prelude::*;

api!(AlterPartitionReassignments, 45, 0..=0, flexible 0, AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse);

messages! {
    struct AlterPartitionReassignmentsRequest {
        timeout_ms: i32 [0..] = 60000,
        topics: Vec<ReassignableTopic> [0..],
    }

    struct ReassignableTopic {
        name: String [0..],
        partitions: Vec<ReassignablePartition> [0..],
    }

    struct ReassignablePartition {
        partition_index: i32 [0..],
        replicas: Option<Vec<i32>> [0..],
    }

    struct AlterPartitionReassignmentsResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
        responses: Vec<ReassignableTopicResponse> [0..],
    }

    struct ReassignableTopicResponse {
        name: String [0..],
        partitions: Vec<ReassignablePartitionResponse> [0..],
    }

    struct ReassignablePartitionResponse {
        partition_index: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
    }
}
