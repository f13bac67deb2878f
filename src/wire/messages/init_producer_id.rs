//! InitProducerId (key 22), versions 0–5, flexible from 2.

use super::prelude::*;

api!(InitProducerId, 22, 0..=5, flexible 2, InitProducerIdRequest => InitProducerIdResponse);

messages! {
    struct InitProducerIdRequest {
        transactional_id: Option<String> [0..] = Some(String::new()),
        transaction_timeout_ms: i32 [0..],
        producer_id: i64 [3..] = -1,
        producer_epoch: i16 [3..] = -1,
    }

    struct InitProducerIdResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        producer_id: i64 [0..] = -1,
        producer_epoch: i16 [0..],
    }
}
