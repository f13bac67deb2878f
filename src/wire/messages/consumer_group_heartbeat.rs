//! ConsumerGroupHeartbeat (key 68), versions 0–1, flexible from 0.

use super::prelude::*;

api!(ConsumerGroupHeartbeat, 68, 0..=1, flexible 0, ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse);

messages! {
    struct ConsumerGroupHeartbeatRequest {
        group_id: String [0..],
        member_id: String [0..],
        member_epoch: i32 [0..],
        instance_id: Option<String> [0..],
        rack_id: Option<String> [0..],
        rebalance_timeout_ms: i32 [0..] = -1,
        subscribed_topic_names: Option<Vec<String>> [0..],
        subscribed_topic_regex: Option<String> [1..],
        server_assignor: Option<String> [0..],
        topic_partitions: Option<Vec<TopicPartitionsRequest>> [0..],
    }

    struct TopicPartitionsRequest {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }

    struct ConsumerGroupHeartbeatResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<String> [0..],
        member_id: Option<String> [0..],
        member_epoch: i32 [0..],
        heartbeat_interval_ms: i32 [0..],
        assignment: Option<Assignment> [0..],
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitionsResponse> [0..],
    }

    struct TopicPartitionsResponse {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }
}
