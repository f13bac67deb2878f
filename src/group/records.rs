//! What a group coordinator keeps in `__consumer_offsets`: keys and values in Apache's format. A key begins with its
//! own version, which says what it is of; it has two-byte strings and four-byte arrays. A value begins with its
//! version, and is flexible (KIP-482) where noted.
//!
//! ```text
//! 1  offset key    string group, string topic, i32 partition              (0 is read too)
//!    value 3       i64 offset, i32 leader_epoch, string metadata, i64 commit_timestamp
//!    value 1       i64 offset, string metadata, i64 commit_timestamp, i64 expire_timestamp   (with a retention time)
//! 2  group key     string group
//!    value 3       [`GroupMetadataValue`]
//! 3…8, 16          groups of KIP-848, see [`consumer`]
//! ```
//! Values 0–2 and the flexible 4 of both are read too. A null value is a tombstone: the offset was deleted or has
//! expired, the group is gone.
//!
//! Source: `OffsetCommitKey/Value.json`, `GroupMetadataKey/Value.json`, `ConsumerGroup*Key/Value.json` of Apache
//! Kafka 3.9 and 4.1.

pub mod consumer;

use consumer::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue,
    ConsumerGroupPartitionMetadataValue, ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue,
    ConsumerGroupTargetAssignmentMetadataValue,
};

use crate::wire::codec::{self, Field, Reader, Writer, messages};
use crate::wire::{Bytes, TopicPartition};

/// A record of `__consumer_offsets`, decoded. A value of None deletes.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Offset {
        group_id: String,
        partition: TopicPartition,
        value: Option<OffsetAndMetadata>,
    },
    Group {
        group_id: String,
        value: Option<GroupMetadataValue>,
    },
    /// A record of a group of KIP-848.
    Consumer {
        group_id: String,
        record: ConsumerRecord,
    },
    /// A key version that is not known here (share and streams groups): kept in the log, passed over on load.
    Unknown {
        key_version: i16,
    },
}

/// What is kept of a group of KIP-848.
#[derive(Clone, Debug, PartialEq)]
pub enum ConsumerRecord {
    /// 3: the group's epoch.
    Epoch(Option<ConsumerGroupMetadataValue>),
    /// 4: the topics that its members read.
    PartitionMetadata(Option<ConsumerGroupPartitionMetadataValue>),
    /// 5: who a member is, and what it is subscribed to.
    Member { member_id: String, value: Option<ConsumerGroupMemberMetadataValue> },
    /// 6: the epoch that the target assignment was made for.
    TargetEpoch(Option<ConsumerGroupTargetAssignmentMetadataValue>),
    /// 7: what a member shall have.
    Target { member_id: String, value: Option<ConsumerGroupTargetAssignmentMemberValue> },
    /// 8: what a member has.
    Current { member_id: String, value: Option<ConsumerGroupCurrentMemberAssignmentValue> },
    /// 16: the topics that a regular expression was resolved to (written from 4.0 on).
    Regex { regex: String, value: Option<ConsumerGroupRegularExpressionValue> },
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetAndMetadata {
    pub offset: i64,
    /// -1: not given.
    pub leader_epoch: i32,
    pub metadata: String,
    /// When it was committed, ms since 1970.
    pub commit_timestamp: i64,
    /// When it expires, ms since 1970, if the commit said so (OffsetCommit 2–4 with a retention time).
    pub expire_timestamp: Option<i64>,
}

messages! {
    struct OffsetCommitValue {
        offset: i64 [0..],
        leader_epoch: i32 [3..] = -1,
        metadata: String [0..],
        commit_timestamp: i64 [0..],
        expire_timestamp: i64 [1..=1] = -1,
    }

    struct GroupMetadataValue {
        protocol_type: String [0..],
        generation: i32 [0..],
        protocol: Option<String> [0..],
        leader: Option<String> [0..],
        current_state_timestamp: i64 [2..] = -1,
        members: Vec<MemberMetadata> [0..],
    }

    struct MemberMetadata {
        member_id: String [0..],
        group_instance_id: Option<String> [3..],
        client_id: String [0..],
        client_host: String [0..],
        rebalance_timeout: i32 [1..] = -1,
        session_timeout: i32 [0..],
        subscription: Bytes [0..],
        assignment: Bytes [0..],
    }
}

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;
/// An expiry time exists in this version alone.
const OFFSET_VALUE_WITH_EXPIRY: i16 = 1;
const OFFSET_VALUE: i16 = 3;
const GROUP_VALUE: i16 = 3;
/// The first flexible version of offset and group values.
const FLEXIBLE_SINCE: i16 = 4;

impl Record {
    /// Key and value as they stand in the log; a null value deletes. None for `Unknown`, which is never written.
    ///
    /// # Errors
    /// `TooLong` if a name does not fit a two-byte length.
    pub fn encode(&self) -> codec::Result<Option<(Vec<u8>, Option<Vec<u8>>)>> {
        let mut key = Writer::new();
        let value = match self {
            Record::Unknown { .. } => return Ok(None),
            Record::Offset { group_id, partition, value } => {
                key.i16(OFFSET_KEY);
                key.nullable_string(Some(group_id), false);
                key.nullable_string(Some(&partition.topic), false);
                key.i32(partition.partition);
                value.as_ref().map(OffsetAndMetadata::encode)
            }
            Record::Group { group_id, value } => {
                key.i16(GROUP_KEY);
                key.nullable_string(Some(group_id), false);
                value.as_ref().map(|value| encode_value(value, GROUP_VALUE, false))
            }
            Record::Consumer { group_id, record } => record.encode(group_id, &mut key),
        };
        Ok(Some((key.finish()?, value.transpose()?)))
    }

    /// # Errors
    /// Any codec error: the log holds something that is no record of a group coordinator.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> codec::Result<Record> {
        let mut r = Reader::new(Bytes::copy_from_slice(key));
        let value = value.map(|value| Reader::new(Bytes::copy_from_slice(value)));
        let key_version = r.i16()?;
        if !matches!(key_version, 0..=8 | consumer::REGEX_KEY) {
            return Ok(Record::Unknown { key_version });
        }
        let group_id = String::read(&mut r, 0, false)?;
        match key_version {
            0 | OFFSET_KEY => {
                let topic = String::read(&mut r, 0, false)?;
                let partition = TopicPartition::new(topic, r.i32()?);
                let value = value.map(OffsetAndMetadata::decode).transpose()?;
                Ok(Record::Offset { group_id, partition, value })
            }
            GROUP_KEY => {
                let value = value.map(|mut r| {
                    let version = r.i16()?;
                    GroupMetadataValue::read(&mut r, version, version >= FLEXIBLE_SINCE)
                });
                Ok(Record::Group { group_id, value: value.transpose()? })
            }
            _ => Ok(Record::Consumer { group_id, record: ConsumerRecord::decode(key_version, &mut r, value)? }),
        }
    }
}

impl OffsetAndMetadata {
    fn encode(&self) -> codec::Result<Vec<u8>> {
        let value = OffsetCommitValue {
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: self.metadata.clone(),
            commit_timestamp: self.commit_timestamp,
            expire_timestamp: self.expire_timestamp.unwrap_or(-1),
        };
        let version = if self.expire_timestamp.is_some() { OFFSET_VALUE_WITH_EXPIRY } else { OFFSET_VALUE };
        encode_value(&value, version, false)
    }

    fn decode(mut r: Reader) -> codec::Result<OffsetAndMetadata> {
        let version = r.i16()?;
        let value = OffsetCommitValue::read(&mut r, version, version >= FLEXIBLE_SINCE)?;
        Ok(OffsetAndMetadata {
            offset: value.offset,
            leader_epoch: value.leader_epoch,
            metadata: value.metadata,
            commit_timestamp: value.commit_timestamp,
            expire_timestamp: Some(value.expire_timestamp).filter(|&at| at >= 0),
        })
    }
}

fn encode_value(value: &impl Field, version: i16, flexible: bool) -> codec::Result<Vec<u8>> {
    let mut w = Writer::new();
    w.i16(version);
    value.write(&mut w, version, flexible);
    w.finish()
}

#[cfg(test)]
mod tests;
