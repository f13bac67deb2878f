//! ConsumerProtocolSubscription: what the members of a `consumer` group put into JoinGroup and SyncGroup; an i16 version stands before it.

use super::prelude::*;

messages! {
    struct ConsumerProtocolSubscription {
        topics: Vec<String> [0..],
        user_data: Option<Bytes> [0..],
        owned_partitions: Vec<TopicPartition> [1..],
        generation_id: i32 [2..] = -1,
        rack_id: Option<String> [3..],
    }

    struct TopicPartition {
        topic: String [1..],
        partitions: Vec<i32> [1..],
    }
}
