//! AddOffsetsToTxn (key 25), versions 0–4, flexible from 3.

use super::prelude::*;

api!(AddOffsetsToTxn, 25, 0..=4, flexible 3, AddOffsetsToTxnRequest => AddOffsetsToTxnResponse);

messages! {
    struct AddOffsetsToTxnRequest {
        transactional_id: String [0..],
        producer_id: i64 [0..],
        producer_epoch: i16 [0..],
        group_id: String [0..],
    }

    struct AddOffsetsToTxnResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
    }
}
