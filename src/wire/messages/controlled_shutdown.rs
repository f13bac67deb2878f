//! ControlledShutdown (key 7), versions 0–3, flexible from 3.

use super::prelude::*;

api!(ControlledShutdown, 7, 0..=3, flexible 3, ControlledShutdownRequest => ControlledShutdownResponse);

messages! {
    struct ControlledShutdownRequest {
        broker_id: i32 [0..],
        broker_epoch: i64 [2..] = -1,
    }

    struct ControlledShutdownResponse {
        error_code: i16 [0..],
        remaining_partitions: Vec<RemainingPartition> [0..],
    }

    struct RemainingPartition {
        topic_name: String [0..],
        partition_index: i32 [0..],
    }
}
