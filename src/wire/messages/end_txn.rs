//! EndTxn (key 26), versions 0–4, flexible from 3.

use super::prelude::*;

api!(EndTxn, 26, 0..=4, flexible 3, EndTxnRequest => EndTxnResponse);

messages! {
    struct EndTxnRequest {
        transactional_id: String [0..],
        producer_id: i64 [0..],
        producer_epoch: i16 [0..],
        committed: bool [0..],
    }

    struct EndTxnResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
    }
}
