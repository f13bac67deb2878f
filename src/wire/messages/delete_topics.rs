//! DeleteTopics (key 20), versions 0–6, flexible from 4.

use super::prelude::*;

api!(DeleteTopics, 20, 0..=6, flexible 4, DeleteTopicsRequest => DeleteTopicsResponse);

messages! {
    struct DeleteTopicsRequest {
        topics: Vec<DeleteTopicState> [6..],
        topic_names: Vec<String> [0..=5],
        timeout_ms: i32 [0..],
    }

    struct DeleteTopicState {
        name: Option<String> [6..],
        topic_id: Uuid [6..],
    }

    struct DeleteTopicsResponse {
        throttle_time_ms: i32 [1..],
        responses: Vec<DeletableTopicResult> [0..],
    }

    struct DeletableTopicResult {
        name: Option<String> [0..] = Some(String::new()),
        topic_id: Uuid [6..],
        error_code: i16 [0..],
        error_message: Option<String> [5..],
    }
}
