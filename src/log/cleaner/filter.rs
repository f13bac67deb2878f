//! What of a log survives compaction, batch by batch. Pure: bytes in, bytes out.
//!
//! A record survives if it is the newest of its key, or newer than the map. A tombstone, and the marker of a
//! transaction that has no records left, survives until its batch's *delete horizon* has passed, which the first round
//! that meets it sets `delete.retention.ms` ahead (KIP-534). Records of aborted transactions go at once; their marker
//! stays as long as any of them does. A producer's last batch stays, empty if need be, since it carries the sequence
//! number; so does the last batch of the round, since it carries the offset.
//!
//! Source: `Cleaner`, `CleanedTransactionMetadata`, `MemoryRecords.filterTo`.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::offset_map::{Full, OffsetMap};
use crate::log::AbortedTxn;
use crate::wire::batch::{
    Batch, BatchBuilder, ControlRecordType, Error, MAX_DECOMPRESSED, Record, TimestampType, legacy,
};

/// A batch of any magic, as it lies in a segment.
#[derive(Clone, Copy)]
pub enum Stored<'b> {
    Batch(Batch<'b>),
    /// One message of magic 0 or 1, possibly a wrapper of others.
    Legacy(&'b [u8]),
}

impl<'b> Stored<'b> {
    /// Takes the whole batch that `bytes` are.
    ///
    /// # Errors
    /// What is wrong with them, the checksum included: what a disk has spoiled must not get a fresh one.
    pub fn parse(bytes: &'b [u8]) -> Result<Stored<'b>, Error> {
        match Batch::split_first(bytes) {
            Ok((batch, _)) => batch.verify().map(|()| Stored::Batch(batch)),
            Err(Error::Magic(0 | 1)) => Ok(Stored::Legacy(bytes)),
            Err(error) => Err(error),
        }
    }

    pub fn last_offset(&self) -> i64 {
        match self {
            Stored::Batch(batch) => batch.last_offset(),
            Stored::Legacy(bytes) => legacy::MessageHeader::parse(bytes).map_or(-1, |header| header.offset),
        }
    }
}

/// Follows the transactions while the log is walked from its start.
#[derive(Default)]
pub struct Transactions {
    committed: HashSet<i64>,
    /// By producer; true once a batch of it has been met.
    aborted: HashMap<i64, (AbortedTxn, bool)>,
    /// Known from the indexes, not reached yet; by first offset.
    ahead: BinaryHeap<Reverse<Ahead>>,
}

#[derive(PartialEq, Eq)]
struct Ahead(AbortedTxn);

impl Ord for Ahead {
    fn cmp(&self, other: &Ahead) -> std::cmp::Ordering {
        self.0.first_offset.cmp(&other.0.first_offset)
    }
}

impl PartialOrd for Ahead {
    fn partial_cmp(&self, other: &Ahead) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Transactions {
    /// What the transaction indexes say of the stretch that is walked next.
    pub fn expect(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        self.ahead.extend(aborted.into_iter().map(|txn| Reverse(Ahead(txn))));
    }

    fn reach(&mut self, offset: i64) {
        while self.ahead.peek().is_some_and(|Reverse(next)| next.0.first_offset <= offset) {
            let Some(Reverse(Ahead(txn))) = self.ahead.pop() else { break };
            self.aborted.entry(txn.producer_id).or_insert((txn, false));
        }
    }

    /// Meets a batch of records; returns whether it was written in vain.
    fn on_batch(&mut self, batch: &Batch<'_>) -> bool {
        self.reach(batch.last_offset());
        if !batch.is_transactional() {
            return false;
        }
        match self.aborted.get_mut(&batch.producer_id()) {
            Some((_, met)) => {
                *met = true;
                true
            }
            None => {
                self.committed.insert(batch.producer_id());
                false
            }
        }
    }

    /// Meets a marker; returns whether nothing is left of its transaction. An aborted one of which something is left
    /// goes to `kept`, for the index of the new segment.
    fn on_control_batch(&mut self, batch: &Batch<'_>, kept: &mut Vec<AbortedTxn>) -> bool {
        self.reach(batch.last_offset());
        match batch.control_record() {
            Some((ControlRecordType::Abort, _)) => match self.aborted.remove(&batch.producer_id()) {
                Some((txn, true)) => {
                    kept.push(txn);
                    false
                }
                _ => true,
            },
            Some((ControlRecordType::Commit, _)) => !self.committed.remove(&batch.producer_id()),
            Some(_) => false,
            // Emptied in an earlier round.
            None => true,
        }
    }
}

/// Adds a batch's keys to the map.
///
/// # Errors
/// `Ok(Err(Full))` if the map was full before the batch's end; else what is wrong with the bytes.
pub fn index(
    map: &mut OffsetMap,
    transactions: &mut Transactions,
    stored: Stored<'_>,
    start_offset: i64,
) -> Result<Result<(), Full>, Error> {
    let last_offset = stored.last_offset();
    let mut full = false;
    let mut put = |key: Option<&[u8]>, offset: i64| {
        if let Some(key) = key
            && offset >= start_offset
            && !full
        {
            full = map.put(key, offset).is_err();
        }
    };
    match stored {
        Stored::Batch(batch) if batch.is_control() => {
            transactions.on_control_batch(&batch, &mut Vec::new());
        }
        Stored::Batch(batch) => {
            if !transactions.on_batch(&batch) {
                batch.for_each_record(MAX_DECOMPRESSED, |record| -> Result<(), Error> {
                    put(record.key, record.offset);
                    Ok(())
                })?;
            }
        }
        Stored::Legacy(bytes) => {
            for message in legacy::messages(bytes, MAX_DECOMPRESSED)? {
                put(message.key.as_deref(), message.offset);
            }
        }
    }
    if full {
        return Ok(Err(Full));
    }
    if last_offset >= start_offset {
        map.update_latest_offset(last_offset);
    }
    Ok(Ok(()))
}

/// The last thing an active producer has written.
#[derive(Clone, Copy, Debug)]
pub struct LastRecord {
    /// None if only a marker is known.
    pub last_data_offset: Option<i64>,
    pub epoch: i16,
}

/// The rules of one round over one log.
pub struct Filter<'m> {
    pub map: &'m OffsetMap,
    pub transactions: Transactions,
    pub active_producers: HashMap<i64, LastRecord>,
    /// Where the round ends.
    pub round_end_offset: i64,
    pub now_ms: i64,
    pub delete_retention_ms: i64,
    /// Whether tombstones of magic 0 and 1 in this segment are too young to go.
    pub retain_legacy_deletes: bool,
    /// Aborted transactions of which something was left, since this was last taken.
    pub kept_aborted: Vec<AbortedTxn>,
    /// Records without a key, which have no business here.
    pub invalid_records: u64,
}

/// What is left of a batch.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    AsIs,
    Rewritten(Vec<u8>),
}

impl Filter<'_> {
    /// Decides about one batch.
    ///
    /// # Errors
    /// What is wrong with the bytes.
    pub fn apply(&mut self, stored: Stored<'_>) -> Result<Kept, Error> {
        match stored {
            Stored::Batch(batch) => self.apply_to_batch(&batch),
            Stored::Legacy(bytes) => self.apply_to_legacy(bytes),
        }
    }

    fn apply_to_batch(&mut self, batch: &Batch<'_>) -> Result<Kept, Error> {
        let is_control = batch.is_control();
        let (discard, marker_of_nothing) = if is_control {
            let nothing_left = self.transactions.on_control_batch(batch, &mut self.kept_aborted);
            let due = batch.delete_horizon_ms().is_some_and(|horizon| horizon <= self.now_ms);
            (nothing_left && due, nothing_left)
        } else {
            (self.transactions.on_batch(batch), false)
        };
        let retain_empty = self.is_last_of_producer(batch) || batch.next_offset() == self.round_end_offset;
        if discard {
            return Ok(if retain_empty { Kept::Rewritten(emptied(batch)) } else { Kept::Nothing });
        }
        let data = batch.record_data(MAX_DECOMPRESSED)?;
        let mut kept = Vec::new();
        let mut tombstones = false;
        let mut count = 0;
        for record in batch.records(&data) {
            let record = record?;
            count += 1;
            if is_control || self.is_retained(batch, &record) {
                tombstones |= record.value.is_none();
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(if retain_empty { Kept::Rewritten(emptied(batch)) } else { Kept::Nothing });
        }
        let horizon = match batch.delete_horizon_ms() {
            None if tombstones || marker_of_nothing => Some(self.now_ms.saturating_add(self.delete_retention_ms)),
            _ if kept.len() == count => return Ok(Kept::AsIs),
            horizon => horizon,
        };
        Ok(Kept::Rewritten(rebuilt(batch, kept, horizon)?))
    }

    fn is_last_of_producer(&self, batch: &Batch<'_>) -> bool {
        if !batch.has_producer_id() {
            return false;
        }
        self.active_producers.get(&batch.producer_id()).is_some_and(|last| match last.last_data_offset {
            Some(offset) => batch.last_offset() == offset,
            None => batch.is_control() && batch.producer_epoch() == last.epoch,
        })
    }

    fn is_retained(&mut self, batch: &Batch<'_>, record: &Record<'_>) -> bool {
        let deletes_stay = batch.delete_horizon_ms().is_none_or(|horizon| self.now_ms < horizon);
        self.is_newest(record.offset, record.key, record.value.is_some() || deletes_stay)
    }

    fn is_newest(&mut self, offset: i64, key: Option<&[u8]>, value_or_young: bool) -> bool {
        if offset > self.map.latest_offset() {
            return true;
        }
        let Some(key) = key else {
            self.invalid_records += 1;
            return false;
        };
        value_or_young && self.map.get(key).is_none_or(|newest| offset >= newest)
    }

    fn apply_to_legacy(&mut self, bytes: &[u8]) -> Result<Kept, Error> {
        let header = legacy::MessageHeader::parse(bytes)?;
        self.transactions.reach(header.offset);
        let messages = legacy::messages(bytes, MAX_DECOMPRESSED)?;
        let count = messages.len();
        let retain_deletes = self.retain_legacy_deletes;
        let kept: Vec<_> = messages
            .into_iter()
            .filter(|message| {
                self.is_newest(message.offset, message.key.as_deref(), message.value.is_some() || retain_deletes)
            })
            .collect();
        if kept.is_empty() {
            return Ok(Kept::Nothing);
        }
        if kept.len() == count {
            return Ok(Kept::AsIs);
        }
        // Out of their wrapper: the format allows both, and few such segments are left in the world.
        let mut out = Vec::new();
        for message in &kept {
            legacy::put_message(
                &mut out,
                header.magic,
                message.offset,
                message.timestamp,
                header.attributes & legacy::LOG_APPEND_TIME,
                message.key.as_deref(),
                message.value.as_deref(),
            );
        }
        Ok(Kept::Rewritten(out))
    }
}

/// The batch without its records: offsets, producer, sequence and times stay.
fn emptied(batch: &Batch<'_>) -> Vec<u8> {
    let mut builder = header_of(batch);
    builder.last_offset_delta(batch.last_offset_delta());
    builder.max_timestamp(batch.max_timestamp());
    builder.finish()
}

/// The batch with some of its records, in its own codec.
fn rebuilt(batch: &Batch<'_>, records: Vec<Record<'_>>, horizon: Option<i64>) -> Result<Vec<u8>, Error> {
    let mut builder = header_of(batch).compression(batch.compression()?.into());
    if let Some(horizon) = horizon {
        builder = builder.delete_horizon(horizon);
    }
    let mut last = -1;
    for record in records {
        if record.offset_delta <= last {
            return Err(Error::Record("offsets of a batch do not grow"));
        }
        last = record.offset_delta;
        builder.append_at(record.offset_delta, record.timestamp, record.key, record.value, record.headers);
    }
    builder.last_offset_delta(batch.last_offset_delta());
    if batch.timestamp_type() == TimestampType::LogAppendTime {
        builder.max_timestamp(batch.max_timestamp());
    }
    Ok(builder.finish())
}

fn header_of(batch: &Batch<'_>) -> BatchBuilder {
    let mut builder = BatchBuilder::new()
        .base_offset(batch.base_offset())
        .leader_epoch(batch.partition_leader_epoch())
        .producer(batch.producer_id(), batch.producer_epoch(), batch.base_sequence())
        .timestamp_type(batch.timestamp_type());
    if batch.is_transactional() {
        builder = builder.transactional();
    }
    if batch.is_control() {
        builder = builder.control();
    }
    builder
}
