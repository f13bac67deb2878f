//! AlterReplicaLogDirs (key 34), versions 0–2, flexible from 2.

use super::prelude::*;

api!(AlterReplicaLogDirs, 34, 0..=2, flexible 2, AlterReplicaLogDirsRequest => AlterReplicaLogDirsResponse);

messages! {
    struct AlterReplicaLogDirsRequest {
        dirs: Vec<AlterReplicaLogDir> [0..],
    }

    struct AlterReplicaLogDir {
        path: String [0..],
        topics: Vec<AlterReplicaLogDirTopic> [0..],
    }

    struct AlterReplicaLogDirTopic {
        name: String [0..],
        partitions: Vec<i32> [0..],
    }

    struct AlterReplicaLogDirsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<AlterReplicaLogDirTopicResult> [0..],
    }

    struct AlterReplicaLogDirTopicResult {
        topic_name: String [0..],
        partitions: Vec<AlterReplicaLogDirPartitionResult> [0..],
    }

    struct AlterReplicaLogDirPartitionResult {
        partition_index: i32 [0..],
        error_code: i16 [0..],
    }
}
