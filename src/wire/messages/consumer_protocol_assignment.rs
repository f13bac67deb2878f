//! ConsumerProtocolAssignment: what the members of a `consumer` group put into JoinGroup and SyncGroup; an i16 version stands before it.

use super::prelude::*;

messages! {
    struct ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartition> [0..],
        user_data: Option<Bytes> [0..],
    }

    struct TopicPartition {
        topic: String [0..],
        partitions: Vec<i32> [0..],
    }
}
