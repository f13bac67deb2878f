//! AllocateProducerIds (key 67), versions 0–0, flexible from 0.

use super::prelude::*;

api!(AllocateProducerIds, 67, 0..=0, flexible 0, AllocateProducerIdsRequest => AllocateProducerIdsResponse);

messages! {
    struct AllocateProducerIdsRequest {
        broker_id: i32 [0..],
        broker_epoch: i64 [0..] = -1,
    }

    struct AllocateProducerIdsResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        producer_id_start: i64 [0..],
        producer_id_len: i32 [0..],
    }
}
