//! OffsetCommit (key 8), versions 0–9, flexible from 8.

use super::prelude::*;

api!(OffsetCommit, 8, 0..=9, flexible 8, OffsetCommitRequest => OffsetCommitResponse);

messages! {
    struct OffsetCommitRequest {
        group_id: String [0..],
        generation_id_or_member_epoch: i32 [1..] = -1,
        member_id: String [1..],
        group_instance_id: Option<String> [7..],
        retention_time_ms: i64 [2..=4] = -1,
        topics: Vec<OffsetCommitRequestTopic> [0..],
    }

    struct OffsetCommitRequestTopic {
        name: String [0..],
        partitions: Vec<OffsetCommitRequestPartition> [0..],
    }

    struct OffsetCommitRequestPartition {
        partition_index: i32 [0..],
        committed_offset: i64 [0..],
        committed_leader_epoch: i32 [6..] = -1,
        commit_timestamp: i64 [1..=1] = -1,
        committed_metadata: Option<String> [0..] = Some(String::new()),
    }

    struct OffsetCommitResponse {
        throttle_time_ms: i32 [3..],
        topics: Vec<OffsetCommitResponseTopic> [0..],
    }

    struct OffsetCommitResponseTopic {
        name: String [0..],
        partitions: Vec<OffsetCommitResponsePartition> [0..],
    }

    struct OffsetCommitResponsePartition {
        partition_index: i32 [0..],
        error_code: i16 [0..],
    }
}
