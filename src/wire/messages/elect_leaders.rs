//! ElectLeaders (key 43), versions 0–2, flexible from 2.

use super::prelude::*;

api!(ElectLeaders, 43, 0..=2, flexible 2, ElectLeadersRequest => ElectLeadersResponse);

messages! {
    struct ElectLeadersRequest {
        election_type: i8 [1..],
        topic_partitions: Option<Vec<TopicPartitions>> [0..] = Some(Vec::new()),
        timeout_ms: i32 [0..] = 60000,
    }

    struct TopicPartitions {
        topic: String [0..],
        partitions: Vec<i32> [0..],
    }

    struct ElectLeadersResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [1..],
        replica_election_results: Vec<ReplicaElectionResult> [0..],
    }

    struct ReplicaElectionResult {
        topic: String [0..],
        partition_result: Vec<PartitionResult> [0..],
    }

    struct PartitionResult {
        partition_id: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
    }
}
