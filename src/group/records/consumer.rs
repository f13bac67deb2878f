//! The records of groups of KIP-848, and of the moves between the protocols.
//!
//! ```text
//! 3   string group                      the group's epoch
//! 4   string group                      the topics that its members read (written by 3.9, a hash in 3 from 4.1 on)
//! 5   string group, string member_id    who the member is
//! 6   string group                      the epoch of the target assignment
//! 7   string group, string member_id    what the member shall have
//! 8   string group, string member_id    what it has
//! 16  string group, string regex        the topics that the regular expression matches (from 4.0 on)
//! ```
//! All values are of version 0 and flexible.

use super::{ConsumerRecord, encode_value};
use crate::wire::codec::{self, Field, Reader, Writer, messages};
use crate::wire::{Bytes, Uuid};

const EPOCH_KEY: i16 = 3;
const PARTITION_METADATA_KEY: i16 = 4;
const MEMBER_KEY: i16 = 5;
const TARGET_EPOCH_KEY: i16 = 6;
const TARGET_KEY: i16 = 7;
const CURRENT_KEY: i16 = 8;
pub(super) const REGEX_KEY: i16 = 16;

const VALUE: i16 = 0;

messages! {
    struct ConsumerGroupMetadataValue {
        epoch: i32 [0..],
        metadata_hash: i64 [0.., tag 0],
    }

    struct ConsumerGroupPartitionMetadataValue {
        topics: Vec<TopicMetadata> [0..],
    }

    struct TopicMetadata {
        topic_id: Uuid [0..],
        topic_name: String [0..],
        num_partitions: i32 [0..],
        partition_metadata: Vec<PartitionMetadata> [0..],
    }

    struct PartitionMetadata {
        partition: i32 [0..],
        racks: Vec<String> [0..],
    }

    struct ConsumerGroupMemberMetadataValue {
        instance_id: Option<String> [0..],
        rack_id: Option<String> [0..],
        client_id: String [0..],
        client_host: String [0..],
        subscribed_topic_names: Vec<String> [0..],
        subscribed_topic_regex: Option<String> [0..],
        rebalance_timeout_ms: i32 [0..] = -1,
        server_assignor: Option<String> [0..],
        classic_member_metadata: Option<ClassicMemberMetadata> [0.., tag 0],
    }

    struct ClassicMemberMetadata {
        session_timeout_ms: i32 [0..],
        supported_protocols: Vec<ClassicProtocol> [0..],
    }

    struct ClassicProtocol {
        name: String [0..],
        metadata: Bytes [0..],
    }

    struct ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch: i32 [0..],
    }

    struct ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartitions> [0..],
    }

    struct TopicPartitions {
        topic_id: Uuid [0..],
        partitions: Vec<i32> [0..],
    }

    struct ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch: i32 [0..],
        previous_member_epoch: i32 [0..],
        state: i8 [0..],
        assigned_partitions: Vec<TopicPartitions> [0..],
        partitions_pending_revocation: Vec<TopicPartitions> [0..],
    }

    struct ConsumerGroupRegularExpressionValue {
        topics: Vec<String> [0..],
        version: i64 [0..],
        timestamp: i64 [0..],
    }
}

impl ConsumerRecord {
    /// Whether it deletes.
    pub fn is_tombstone(&self) -> bool {
        match self {
            ConsumerRecord::Epoch(value) => value.is_none(),
            ConsumerRecord::PartitionMetadata(value) => value.is_none(),
            ConsumerRecord::Member { value, .. } => value.is_none(),
            ConsumerRecord::TargetEpoch(value) => value.is_none(),
            ConsumerRecord::Target { value, .. } => value.is_none(),
            ConsumerRecord::Current { value, .. } => value.is_none(),
            ConsumerRecord::Regex { value, .. } => value.is_none(),
        }
    }

    /// Writes the key; the value is the result, None for a tombstone.
    pub(super) fn encode(&self, group_id: &str, key: &mut Writer) -> Option<codec::Result<Vec<u8>>> {
        let (version, second) = match self {
            ConsumerRecord::Epoch(_) => (EPOCH_KEY, None),
            ConsumerRecord::PartitionMetadata(_) => (PARTITION_METADATA_KEY, None),
            ConsumerRecord::Member { member_id, .. } => (MEMBER_KEY, Some(member_id)),
            ConsumerRecord::TargetEpoch(_) => (TARGET_EPOCH_KEY, None),
            ConsumerRecord::Target { member_id, .. } => (TARGET_KEY, Some(member_id)),
            ConsumerRecord::Current { member_id, .. } => (CURRENT_KEY, Some(member_id)),
            ConsumerRecord::Regex { regex, .. } => (REGEX_KEY, Some(regex)),
        };
        key.i16(version);
        key.nullable_string(Some(group_id), false);
        if let Some(second) = second {
            key.nullable_string(Some(second), false);
        }
        match self {
            ConsumerRecord::Epoch(value) => encode(value),
            ConsumerRecord::PartitionMetadata(value) => encode(value),
            ConsumerRecord::Member { value, .. } => encode(value),
            ConsumerRecord::TargetEpoch(value) => encode(value),
            ConsumerRecord::Target { value, .. } => encode(value),
            ConsumerRecord::Current { value, .. } => encode(value),
            ConsumerRecord::Regex { value, .. } => encode(value),
        }
    }

    /// Reads what stands after the group's name in the key, and the value.
    pub(super) fn decode(key_version: i16, key: &mut Reader, value: Option<Reader>) -> codec::Result<ConsumerRecord> {
        Ok(match key_version {
            EPOCH_KEY => ConsumerRecord::Epoch(decode(value)?),
            PARTITION_METADATA_KEY => ConsumerRecord::PartitionMetadata(decode(value)?),
            MEMBER_KEY => ConsumerRecord::Member { member_id: String::read(key, 0, false)?, value: decode(value)? },
            TARGET_EPOCH_KEY => ConsumerRecord::TargetEpoch(decode(value)?),
            TARGET_KEY => ConsumerRecord::Target { member_id: String::read(key, 0, false)?, value: decode(value)? },
            CURRENT_KEY => ConsumerRecord::Current { member_id: String::read(key, 0, false)?, value: decode(value)? },
            _ => ConsumerRecord::Regex { regex: String::read(key, 0, false)?, value: decode(value)? },
        })
    }
}

fn encode(value: &Option<impl Field>) -> Option<codec::Result<Vec<u8>>> {
    value.as_ref().map(|value| encode_value(value, VALUE, true))
}

fn decode<T: Field>(value: Option<Reader>) -> codec::Result<Option<T>> {
    let Some(mut r) = value else { return Ok(None) };
    let version = r.i16()?;
    T::read(&mut r, version, true).map(Some)
}
