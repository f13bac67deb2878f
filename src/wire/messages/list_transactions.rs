//! ListTransactions (key 66), versions 0–1, flexible from 0.

use super::prelude::*;

api!(ListTransactions, 66, 0..=1, flexible 0, ListTransactionsRequest => ListTransactionsResponse);

messages! {
    struct ListTransactionsRequest {
        state_filters: Vec<String> [0..],
        producer_id_filters: Vec<i64> [0..],
        duration_filter: i64 [1..] = -1,
    }

    struct ListTransactionsResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        unknown_state_filters: Vec<String> [0..],
        transaction_states: Vec<TransactionState> [0..],
    }

    struct TransactionState {
        transactional_id: String [0..],
        producer_id: i64 [0..],
        transaction_state: String [0..],
    }
}
