//! What a transaction coordinator keeps in `__transaction_state`, in Apache's format, big-endian.
//!
//! ```text
//! key     i16 0, string transactional_id
//! value   i16 0, i64 producer_id, i16 producer_epoch, i32 timeout_ms, i8 state,
//!         i32 n (-1: none were ever added), n × (string topic, i32 m, m × i32 partition),
//!         i64 last_update_timestamp, i64 start_timestamp (-1: not begun)
//! ```
//! Value version 1 (4.x, flexible) is read too. A null value is a tombstone: the id has expired.
//!
//! Source: `TransactionLogKey/Value.json` of Apache Kafka 3.9.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::state::{Metadata, State};
use crate::wire::codec::{self, Field, Reader, Writer};
use crate::wire::{Bytes, TopicPartition};

/// Key and value of one transactional id.
///
/// # Errors
/// `TooLong` if a name does not fit a two-byte length.
pub fn encode(transactional_id: &str, metadata: &Metadata) -> codec::Result<(Vec<u8>, Vec<u8>)> {
    let mut w = Writer::new();
    w.i16(0);
    w.i64(metadata.producer_id);
    w.i16(metadata.producer_epoch);
    w.i32(metadata.timeout_ms);
    w.i8(metadata.state as i8);
    if metadata.state == State::Empty {
        w.array_len(None, false);
    } else {
        let mut topics: Vec<(&Arc<str>, Vec<i32>)> = Vec::new();
        for partition in &metadata.partitions {
            match topics.last_mut() {
                Some((topic, partitions)) if **topic == partition.topic => partitions.push(partition.partition),
                _ => topics.push((&partition.topic, vec![partition.partition])),
            }
        }
        w.array_len(Some(topics.len()), false);
        for (topic, partitions) in topics {
            w.nullable_string(Some(topic), false);
            partitions.write(&mut w, 0, false);
        }
    }
    w.i64(metadata.last_update_ms);
    w.i64(metadata.start_ms);
    Ok((encode_key(transactional_id)?, w.finish()?))
}

/// The key alone, for a tombstone.
///
/// # Errors
/// `TooLong`.
pub fn encode_key(transactional_id: &str) -> codec::Result<Vec<u8>> {
    let mut w = Writer::new();
    w.i16(0);
    w.nullable_string(Some(transactional_id), false);
    w.finish()
}

/// Reads a record: the transactional id, and what is known of it (None: a tombstone). None for a key version that is
/// not known here.
///
/// # Errors
/// Any codec error.
pub fn decode(key: &[u8], value: Option<&[u8]>) -> codec::Result<Option<(String, Option<Metadata>)>> {
    let mut r = Reader::new(Bytes::copy_from_slice(key));
    if r.i16()? != 0 {
        return Ok(None);
    }
    let transactional_id = String::read(&mut r, 0, false)?;
    let Some(value) = value else { return Ok(Some((transactional_id, None))) };
    let mut r = Reader::new(Bytes::copy_from_slice(value));
    let flexible = r.i16()? >= 1;
    let producer_id = r.i64()?;
    let producer_epoch = r.i16()?;
    let timeout_ms = r.i32()?;
    let state = State::from_i8(r.i8()?).ok_or(codec::Error::BadLength(-1))?;
    let mut partitions = BTreeSet::new();
    for _ in 0..r.array_len(flexible)?.unwrap_or_default() {
        let topic: Arc<str> = r.nullable_string(flexible)?.ok_or(codec::Error::UnexpectedNull)?.into();
        for partition in Vec::<i32>::read(&mut r, 0, flexible)? {
            partitions.insert(TopicPartition::new(topic.clone(), partition));
        }
        if flexible {
            r.skip_tagged_fields()?;
        }
    }
    let (last_update_ms, start_ms) = (r.i64()?, r.i64()?);
    let metadata = Metadata { producer_id, producer_epoch, timeout_ms, state, partitions, last_update_ms, start_ms };
    Ok(Some((transactional_id, Some(metadata))))
}

#[cfg(test)]
mod tests;
