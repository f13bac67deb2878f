//! What a partition knows of its producers: who wrote last with which sequence, and whose transactions are open.
//! Pure; and the codec of its snapshots.
//!
//! An idempotent producer numbers its records. The last five batches are remembered, so that one sent again is answered
//! with the offsets it already has, and a gap is refused (KIP-98). The oldest open transaction bounds what readers of
//! committed data may see.
//!
//! ```text
//! snapshot: version i16 = 1 | crc u32 (CRC-32C of what follows) | count i32 | entries, 46 bytes each:
//! producer_id i64 | epoch i16 | last_sequence i32 | last_offset i64 | offset_delta i32 | timestamp i64
//! | coordinator_epoch i32 | current_txn_first_offset i64 (-1: none)
//! ```
//! `offset_delta` is the last batch's records less one; the four batches before it do not survive a restart.
//!
//! Source: `ProducerStateManager`, `ProducerStateEntry`, `ProducerAppendInfo`.

use std::collections::{BTreeMap, HashMap};

use super::error::Error;
use crate::wire::batch::{Batch, ControlRecordType, NO_PRODUCER_EPOCH, NO_SEQUENCE};

/// Batches remembered of each producer: as many as a client may have in flight.
const BATCHES: usize = 5;
const VERSION: i16 = 1;
const ENTRY: usize = 46;

/// Where an append comes from, which says how strictly it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A produce request: everything is checked.
    Client,
    /// This broker's group or transaction coordinator: no sequences, control batches allowed.
    Coordinator,
    /// The leader, or our own disk: what has been accepted once is not refused.
    Replication,
}

/// One remembered batch of a producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchMetadata {
    pub last_sequence: i32,
    pub last_offset: i64,
    pub offset_delta: i32,
    pub timestamp: i64,
}

impl BatchMetadata {
    pub fn first_offset(&self) -> i64 {
        self.last_offset - i64::from(self.offset_delta)
    }

    pub fn first_sequence(&self) -> i32 {
        // Sequences wrap from i32::MAX to 0.
        let first = i64::from(self.last_sequence) - i64::from(self.offset_delta);
        if first < 0 { (first + i64::from(i32::MAX) + 1) as i32 } else { first as i32 }
    }
}

/// A producer's last batches, oldest first. No heap: entries are copied for every append.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentBatches {
    batches: [BatchMetadata; BATCHES],
    len: usize,
}

impl RecentBatches {
    pub fn iter(&self) -> impl Iterator<Item = &BatchMetadata> {
        self.batches[..self.len].iter()
    }

    pub fn last(&self) -> Option<&BatchMetadata> {
        self.batches[..self.len].last()
    }

    fn push(&mut self, batch: BatchMetadata) {
        if self.len == BATCHES {
            self.batches.rotate_left(1);
            self.len -= 1;
        }
        self.batches[self.len] = batch;
        self.len += 1;
    }

    fn clear(&mut self) {
        self.len = 0;
    }
}

/// What is known of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    pub producer_id: i64,
    /// -1: none seen yet.
    pub epoch: i16,
    pub batches: RecentBatches,
    /// -1: no marker seen.
    pub coordinator_epoch: i32,
    pub last_timestamp: i64,
    pub current_txn_first_offset: Option<i64>,
}

impl ProducerEntry {
    fn new(producer_id: i64) -> ProducerEntry {
        ProducerEntry {
            producer_id,
            epoch: NO_PRODUCER_EPOCH,
            batches: RecentBatches::default(),
            coordinator_epoch: -1,
            last_timestamp: -1,
            current_txn_first_offset: None,
        }
    }

    /// The last record's sequence number; -1 if the producer has written none in this epoch.
    pub fn last_sequence(&self) -> i32 {
        self.batches.last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// The last record's offset; -1 if there is none.
    pub fn last_offset(&self) -> i64 {
        self.batches.last().map_or(-1, |batch| batch.last_offset)
    }

    /// The remembered batch that this one repeats: same epoch, first and last sequence.
    fn duplicate_of(&self, batch: &Batch<'_>) -> Option<BatchMetadata> {
        if batch.producer_epoch() != self.epoch {
            return None;
        }
        let (first, last) = (batch.base_sequence(), batch.last_sequence());
        self.batches.iter().find(|known| known.first_sequence() == first && known.last_sequence == last).copied()
    }

    fn set_epoch(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.batches.clear();
            self.epoch = epoch;
        }
    }
}

/// A transaction that a marker has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CompletedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The marker's.
    pub last_offset: i64,
    pub aborted: bool,
}

#[derive(Clone, Copy, Debug)]
struct Txn {
    producer_id: i64,
    /// The marker's; None while the transaction is open.
    last_offset: Option<i64>,
}

/// Says that a producer was asked about, and not ended since: a transaction that was verified with its coordinator may
/// begin here only as long as no marker has come by in the meantime (KIP-890). Without it a batch that was held up would
/// begin a transaction that nobody ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerificationGuard(u64);

/// What an append will change, decided before it is written.
#[derive(Debug, Default)]
pub(super) struct ProducerUpdate {
    entries: Vec<ProducerEntry>,
    started: Vec<(i64, i64)>,
    /// Producers of whom there was a marker, whether or not they had a transaction here.
    marked: Vec<i64>,
    pub completed: Vec<CompletedTxn>,
}

/// All producers of a partition.
#[derive(Clone, Debug, Default)]
pub(super) struct ProducerState {
    producers: HashMap<i64, ProducerEntry>,
    /// Open transactions by first offset.
    ongoing: BTreeMap<i64, Txn>,
    /// Ended ones whose marker the high watermark has not passed.
    unreplicated: BTreeMap<i64, Txn>,
    /// Producers whose next transaction is being verified; each ends with an append, a marker or the verification's
    /// failure, so there are no more than requests in flight.
    verifications: HashMap<i64, VerificationGuard>,
    next_guard: u64,
    /// The log is reflected up to here.
    pub map_end_offset: i64,
}

impl ProducerState {
    pub fn starting_at(offset: i64) -> ProducerState {
        ProducerState { map_end_offset: offset, ..ProducerState::default() }
    }

    pub fn entries(&self) -> impl Iterator<Item = &ProducerEntry> {
        self.producers.values()
    }

    /// The batch this one repeats, if a client has sent it again.
    pub fn duplicate_of(&self, batch: &Batch<'_>) -> Option<BatchMetadata> {
        if !batch.has_producer_id() {
            return None;
        }
        self.producers.get(&batch.producer_id())?.duplicate_of(batch)
    }

    /// What a transactional batch of this producer has to show when it is appended; None if its transaction is open
    /// here already, so that nothing has to be verified.
    pub fn begin_verification(&mut self, producer_id: i64, epoch: i16) -> Option<VerificationGuard> {
        let is_open = |entry: &ProducerEntry| entry.epoch == epoch && entry.current_txn_first_offset.is_some();
        if self.producers.get(&producer_id).is_some_and(is_open) {
            return None;
        }
        let fresh = VerificationGuard(self.next_guard);
        let guard = *self.verifications.entry(producer_id).or_insert(fresh);
        self.next_guard += u64::from(guard == fresh);
        Some(guard)
    }

    /// The coordinator said no.
    pub fn end_verification(&mut self, producer_id: i64, guard: VerificationGuard) {
        if self.verifications.get(&producer_id) == Some(&guard) {
            self.verifications.remove(&producer_id);
        }
    }

    /// Refuses to begin a transaction that was verified before the last marker.
    ///
    /// # Errors
    /// `InvalidTxnState`.
    pub fn check_verification(&self, batch: &Batch<'_>, guard: VerificationGuard) -> Result<(), Error> {
        let producer_id = batch.producer_id();
        let is_open = |entry: &ProducerEntry| entry.current_txn_first_offset.is_some();
        let may_begin = self.verifications.get(&producer_id) == Some(&guard);
        if may_begin || self.producers.get(&producer_id).is_some_and(is_open) {
            return Ok(());
        }
        Err(Error::InvalidTxnState("Record was not part of an ongoing transaction".to_owned()))
    }

    /// Decides what `batch`, about to stand at `base_offset`, changes; adds it to `update`.
    /// `partition` is for the messages.
    ///
    /// # Errors
    /// `OutOfOrderSequence`, `InvalidProducerEpoch`, `InvalidTxnState`, `TransactionCoordinatorFenced`; never for
    /// `AppendOrigin::Replication`.
    pub fn prepare(
        &self,
        batch: &Batch<'_>,
        base_offset: i64,
        origin: AppendOrigin,
        partition: &dyn std::fmt::Display,
        update: &mut ProducerUpdate,
    ) -> Result<(), Error> {
        if !batch.has_producer_id() {
            return Ok(());
        }
        let producer_id = batch.producer_id();
        let at = match update.entries.iter().position(|entry| entry.producer_id == producer_id) {
            Some(at) => at,
            None => {
                let known = self.producers.get(&producer_id).cloned();
                update.entries.push(known.unwrap_or_else(|| ProducerEntry::new(producer_id)));
                update.entries.len() - 1
            }
        };
        let entry = &mut update.entries[at];
        let epoch = batch.producer_epoch();
        if epoch < entry.epoch && origin != AppendOrigin::Replication {
            return Err(Error::InvalidProducerEpoch(format!(
                "Epoch of producer {producer_id} at offset {base_offset} in {partition} is {epoch}, which is smaller \
                 than the last seen epoch {}",
                entry.epoch
            )));
        }
        if batch.is_control() {
            let Some((kind, coordinator_epoch)) = batch.control_record() else { return Ok(()) };
            if !matches!(kind, ControlRecordType::Abort | ControlRecordType::Commit) {
                return Ok(());
            }
            if entry.coordinator_epoch > coordinator_epoch && origin != AppendOrigin::Replication {
                return Err(Error::TransactionCoordinatorFenced(format!(
                    "Invalid coordinator epoch for producerId {producer_id} at offset {base_offset} in partition \
                     {partition}: {coordinator_epoch} (zombie), {} (current)",
                    entry.coordinator_epoch
                )));
            }
            if let Some(first_offset) = entry.current_txn_first_offset.take() {
                let aborted = kind == ControlRecordType::Abort;
                update.completed.push(CompletedTxn { producer_id, first_offset, last_offset: base_offset, aborted });
            }
            update.marked.push(producer_id);
            entry.set_epoch(epoch);
            entry.coordinator_epoch = coordinator_epoch;
            entry.last_timestamp = batch.max_timestamp();
            return Ok(());
        }
        if origin == AppendOrigin::Client {
            check_sequence(entry, batch, base_offset, partition)?;
        }
        if entry.current_txn_first_offset.is_some() && !batch.is_transactional() && origin != AppendOrigin::Replication
        {
            return Err(Error::InvalidTxnState(format!(
                "Expected transactional write from producer {producer_id} at offset {base_offset} in partition \
                 {partition}"
            )));
        }
        entry.set_epoch(epoch);
        entry.last_timestamp = batch.max_timestamp();
        entry.batches.push(BatchMetadata {
            last_sequence: batch.last_sequence(),
            last_offset: base_offset + i64::from(batch.last_offset_delta()),
            offset_delta: batch.last_offset_delta(),
            timestamp: batch.max_timestamp(),
        });
        if batch.is_transactional() && entry.current_txn_first_offset.is_none() {
            entry.current_txn_first_offset = Some(base_offset);
            update.started.push((base_offset, producer_id));
        }
        Ok(())
    }

    /// Takes over what was prepared; the log now ends at `end_offset`. `completed` must be ended one by one with
    /// [`ProducerState::complete`].
    pub fn apply(&mut self, update: ProducerUpdate, end_offset: i64) -> Vec<CompletedTxn> {
        for entry in update.entries {
            self.producers.insert(entry.producer_id, entry);
        }
        for producer_id in update.marked {
            self.verifications.remove(&producer_id);
        }
        for (first_offset, producer_id) in update.started {
            self.verifications.remove(&producer_id);
            self.ongoing.insert(first_offset, Txn { producer_id, last_offset: None });
        }
        self.map_end_offset = end_offset;
        update.completed
    }

    /// The last stable offset once this transaction has ended: where the next open one begins.
    pub fn last_stable_offset_after(&self, txn: &CompletedTxn) -> i64 {
        let next = self.ongoing.iter().find(|(_, open)| open.producer_id != txn.producer_id);
        next.map_or(txn.last_offset + 1, |(first_offset, _)| *first_offset)
    }

    /// Ends a transaction; it still bounds the last stable offset until its marker is replicated.
    pub fn complete(&mut self, txn: &CompletedTxn) {
        if let Some(mut open) = self.ongoing.remove(&txn.first_offset) {
            open.last_offset = Some(txn.last_offset);
            self.unreplicated.insert(txn.first_offset, open);
        }
    }

    /// The first offset that a reader of committed data may not pass, transactions' doing alone.
    pub fn first_unstable_offset(&self) -> Option<i64> {
        let first = |txns: &BTreeMap<i64, Txn>| txns.first_key_value().map(|(offset, _)| *offset);
        match (first(&self.unreplicated), first(&self.ongoing)) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Lets go of ended transactions whose marker lies below `offset`: replicated, or gone with the log's start.
    pub fn forget_replicated(&mut self, offset: i64) {
        if !self.unreplicated.is_empty() {
            self.unreplicated.retain(|_, txn| txn.last_offset.is_none_or(|last| last >= offset));
        }
    }

    /// Forgets producers that have been silent for `expiration_ms`; open transactions stay.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.producers.retain(|_, entry| !is_expired(entry, now_ms, expiration_ms));
    }

    /// The snapshot's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(10 + self.producers.len() * ENTRY);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.producers.len() as i32).to_be_bytes());
        // Sorted, so that equal states give equal files.
        let mut entries: Vec<&ProducerEntry> = self.producers.values().collect();
        entries.sort_by_key(|entry| entry.producer_id);
        for entry in entries {
            let last = entry.batches.last();
            out.extend_from_slice(&entry.producer_id.to_be_bytes());
            out.extend_from_slice(&entry.epoch.to_be_bytes());
            out.extend_from_slice(&entry.last_sequence().to_be_bytes());
            out.extend_from_slice(&entry.last_offset().to_be_bytes());
            out.extend_from_slice(&last.map_or(0, |batch| batch.offset_delta).to_be_bytes());
            out.extend_from_slice(&entry.last_timestamp.to_be_bytes());
            out.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
            out.extend_from_slice(&entry.current_txn_first_offset.unwrap_or(-1).to_be_bytes());
        }
        let crc = crc32c::crc32c(&out[6..]);
        out[2..6].copy_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads a snapshot taken at `offset`; producers expired by `now_ms` are left out.
    ///
    /// # Errors
    /// A sentence, if the bytes are not a snapshot.
    pub fn decode(bytes: &[u8], offset: i64, now_ms: i64, expiration_ms: i64) -> Result<ProducerState, String> {
        let Some((head, body)) = bytes.split_at_checked(10) else {
            return Err("snapshot is cut off".into());
        };
        let version = i16::from_be_bytes([head[0], head[1]]);
        if version != VERSION {
            return Err(format!("snapshot has unknown version {version}"));
        }
        let crc = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
        if crc != crc32c::crc32c(&bytes[6..]) {
            return Err(format!("snapshot is corrupt (CRC is no longer valid). Stored crc: {crc}"));
        }
        let count = i32::from_be_bytes([head[6], head[7], head[8], head[9]]);
        let (chunks, rest) = body.as_chunks::<ENTRY>();
        if usize::try_from(count) != Ok(chunks.len()) || !rest.is_empty() {
            return Err(format!("snapshot says {count} entries and holds {} bytes", body.len()));
        }
        let mut state = ProducerState::starting_at(offset);
        for chunk in chunks {
            let entry = decode_entry(chunk);
            if is_expired(&entry, now_ms, expiration_ms) {
                continue;
            }
            if let Some(first_offset) = entry.current_txn_first_offset {
                state.ongoing.insert(first_offset, Txn { producer_id: entry.producer_id, last_offset: None });
            }
            state.producers.insert(entry.producer_id, entry);
        }
        Ok(state)
    }
}

fn is_expired(entry: &ProducerEntry, now_ms: i64, expiration_ms: i64) -> bool {
    entry.current_txn_first_offset.is_none() && now_ms.saturating_sub(entry.last_timestamp) >= expiration_ms
}

fn decode_entry(chunk: &[u8; ENTRY]) -> ProducerEntry {
    let long = |at: usize| i64::from_be_bytes(chunk[at..at + 8].try_into().expect("eight bytes"));
    let int = |at: usize| i32::from_be_bytes(chunk[at..at + 4].try_into().expect("four bytes"));
    let (last_sequence, last_offset, timestamp) = (int(10), long(14), long(26));
    let mut entry = ProducerEntry::new(long(0));
    entry.epoch = i16::from_be_bytes([chunk[8], chunk[9]]);
    entry.last_timestamp = timestamp;
    entry.coordinator_epoch = int(34);
    entry.current_txn_first_offset = Some(long(38)).filter(|offset| *offset >= 0);
    if last_offset >= 0 {
        entry.batches.push(BatchMetadata { last_sequence, last_offset, offset_delta: int(22), timestamp });
    }
    entry
}

/// An idempotent producer's next batch must go on where its last one ended.
fn check_sequence(
    entry: &ProducerEntry,
    batch: &Batch<'_>,
    offset: i64,
    partition: &dyn std::fmt::Display,
) -> Result<(), Error> {
    let (producer_id, epoch, first) = (batch.producer_id(), batch.producer_epoch(), batch.base_sequence());
    // A producer of whom nothing is known (its records may all be deleted by now) may go on anywhere.
    if entry.epoch == NO_PRODUCER_EPOCH {
        return Ok(());
    }
    if epoch != entry.epoch {
        if first != 0 {
            return Err(Error::OutOfOrderSequence(format!(
                "Invalid sequence number for new epoch of producer {producer_id}at offset {offset} in partition \
                 {partition}: {epoch} (request epoch), {first} (seq. number), {} (current producer epoch)",
                entry.epoch
            )));
        }
        return Ok(());
    }
    let last = entry.last_sequence();
    if i64::from(first) == i64::from(last) + 1 || (first == 0 && last == i32::MAX) {
        return Ok(());
    }
    Err(Error::OutOfOrderSequence(format!(
        "Out of order sequence number for producer {producer_id} at offset {offset} in partition {partition}: {first} \
         (incoming seq. number), {last} (current end sequence number)"
    )))
}

#[cfg(test)]
mod tests;
