//! What a group coordinator keeps in `__consumer_offsets`: keys and values in Apache's format, big-endian, with
//! two-byte string and four-byte array lengths.
//!
//! ```text
//! offset key     i16 1 (0 is read too), string group, string topic, i32 partition
//! offset value   i16 3, i64 offset, i32 leader_epoch, string metadata, i64 commit_timestamp
//!                i16 1, i64 offset, string metadata, i64 commit_timestamp, i64 expire_timestamp   (with a retention time)
//! group key      i16 2, string group
//! group value    i16 3, string protocol_type, i32 generation, nullable string protocol, nullable string leader,
//!                i64 current_state_timestamp, i32 n, n × (string member_id, nullable string group_instance_id,
//!                string client_id, string client_host, i32 rebalance_timeout, i32 session_timeout,
//!                bytes subscription, bytes assignment)
//! ```
//! A null value is a tombstone: the offset was deleted or has expired, the group is gone.
//!
//! Source: `OffsetCommitKey/Value.json`, `GroupMetadataKey/Value.json` of Apache Kafka 3.9.

use crate::wire::codec::{self, Field, Reader, Writer};
use crate::wire::{Bytes, TopicPartition};

/// A record of `__consumer_offsets`, decoded.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Offset {
        group_id: String,
        partition: TopicPartition,
        value: Option<OffsetAndMetadata>,
    },
    Group {
        group_id: String,
        value: Option<GroupMetadata>,
    },
    /// A key version that is not known here (KIP-848 groups): kept in the log, passed over on load.
    Unknown {
        key_version: i16,
    },
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

/// A generation of a group, as it was stored.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupMetadata {
    pub protocol_type: String,
    pub generation_id: i32,
    pub protocol_name: Option<String>,
    pub leader: Option<String>,
    /// -1: not known (value versions before 2).
    pub current_state_timestamp: i64,
    pub members: Vec<StoredMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StoredMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub subscription: Bytes,
    pub assignment: Bytes,
}

const OFFSET_KEY: i16 = 1;
const GROUP_KEY: i16 = 2;

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
                value.as_ref().map(GroupMetadata::encode)
            }
        };
        Ok(Some((key.finish()?, value.transpose()?)))
    }

    /// # Errors
    /// Any codec error: the log holds something that is no record of a group coordinator.
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> codec::Result<Record> {
        let mut r = Reader::new(Bytes::copy_from_slice(key));
        let mut value = value.map(|value| Reader::new(Bytes::copy_from_slice(value)));
        match r.i16()? {
            0 | OFFSET_KEY => {
                let group_id = String::read(&mut r, 0, false)?;
                let topic = String::read(&mut r, 0, false)?;
                let partition = TopicPartition::new(topic, r.i32()?);
                let value = value.as_mut().map(OffsetAndMetadata::decode).transpose()?;
                Ok(Record::Offset { group_id, partition, value })
            }
            GROUP_KEY => {
                let group_id = String::read(&mut r, 0, false)?;
                let value = value.as_mut().map(GroupMetadata::decode).transpose()?;
                Ok(Record::Group { group_id, value })
            }
            key_version => Ok(Record::Unknown { key_version }),
        }
    }
}

impl OffsetAndMetadata {
    fn encode(&self) -> codec::Result<Vec<u8>> {
        let mut w = Writer::new();
        // An expiry time exists in version 1 alone, a leader epoch from version 3 on.
        w.i16(if self.expire_timestamp.is_some() { 1 } else { 3 });
        w.i64(self.offset);
        if self.expire_timestamp.is_none() {
            w.i32(self.leader_epoch);
        }
        w.nullable_string(Some(&self.metadata), false);
        w.i64(self.commit_timestamp);
        if let Some(expire_timestamp) = self.expire_timestamp {
            w.i64(expire_timestamp);
        }
        w.finish()
    }

    fn decode(r: &mut Reader) -> codec::Result<OffsetAndMetadata> {
        let version = r.i16()?;
        let offset = r.i64()?;
        let leader_epoch = if version == 3 { r.i32()? } else { -1 };
        let metadata = String::read(r, 0, false)?;
        let commit_timestamp = r.i64()?;
        let expire_timestamp = if version == 1 { Some(r.i64()?).filter(|&at| at >= 0) } else { None };
        Ok(OffsetAndMetadata { offset, leader_epoch, metadata, commit_timestamp, expire_timestamp })
    }
}

impl GroupMetadata {
    fn encode(&self) -> codec::Result<Vec<u8>> {
        let mut w = Writer::new();
        w.i16(3);
        w.nullable_string(Some(&self.protocol_type), false);
        w.i32(self.generation_id);
        w.nullable_string(self.protocol_name.as_deref(), false);
        w.nullable_string(self.leader.as_deref(), false);
        w.i64(self.current_state_timestamp);
        w.array_len(Some(self.members.len()), false);
        for member in &self.members {
            w.nullable_string(Some(&member.member_id), false);
            w.nullable_string(member.group_instance_id.as_deref(), false);
            w.nullable_string(Some(&member.client_id), false);
            w.nullable_string(Some(&member.client_host), false);
            w.i32(member.rebalance_timeout_ms);
            w.i32(member.session_timeout_ms);
            member.subscription.write(&mut w, 0, false);
            member.assignment.write(&mut w, 0, false);
        }
        w.finish()
    }

    fn decode(r: &mut Reader) -> codec::Result<GroupMetadata> {
        let version = r.i16()?;
        let protocol_type = String::read(r, 0, false)?;
        let generation_id = r.i32()?;
        let protocol_name = r.nullable_string(false)?;
        let leader = r.nullable_string(false)?;
        let current_state_timestamp = if version >= 2 { r.i64()? } else { -1 };
        let count = r.array_len(false)?.unwrap_or_default();
        let mut members = Vec::new();
        for _ in 0..count {
            let member_id = String::read(r, 0, false)?;
            let group_instance_id = if version >= 3 { r.nullable_string(false)? } else { None };
            let client_id = String::read(r, 0, false)?;
            let client_host = String::read(r, 0, false)?;
            let rebalance_timeout = if version >= 1 { Some(r.i32()?) } else { None };
            let session_timeout_ms = r.i32()?;
            members.push(StoredMember {
                member_id,
                group_instance_id,
                client_id,
                client_host,
                rebalance_timeout_ms: rebalance_timeout.unwrap_or(session_timeout_ms),
                session_timeout_ms,
                subscription: Bytes::read(r, 0, false)?,
                assignment: Bytes::read(r, 0, false)?,
            });
        }
        Ok(GroupMetadata { protocol_type, generation_id, protocol_name, leader, current_state_timestamp, members })
    }
}

#[cfg(test)]
mod tests;
