//! Appending: what a leader takes from clients and coordinators, and what a follower takes from its leader.
//!
//! Everything that looks at the bytes happens before the lock: lengths, checksum, counts, timestamps, keys. Under it:
//! producer state, rolling, stamping, one write. A leader walks the records of an uncompressed batch, since they are at
//! hand; it opens a compressed one only if the topic's configuration makes it: compacted topics want keys, bounded
//! timestamps want each record's, another codec wants all of them.
//!
//! Source: `UnifiedLog.append`, `LogValidator`.

use std::borrow::Cow;
use std::sync::atomic::Ordering;

use super::config::LogConfig;
use super::error::{Error, RecordError};
use super::producer_state::{AppendOrigin, ProducerUpdate, VerificationGuard};
use super::segment::BatchMeta;
use super::transaction_index::AbortedTxn;
use super::{Log, State, roll_limits};
use crate::wire::batch::{
    self, Batch, BatchBuilder, Compression, CompressionSettings, MAX_DECOMPRESSED, NO_TIMESTAMP, Record, TimestampType,
};

/// Where an append landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendInfo {
    pub first_offset: i64,
    pub last_offset: i64,
    /// Milliseconds since 1970 for topics of `LogAppendTime`, else -1; for a duplicate the old batch's timestamp.
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
    /// The producer had sent this before; nothing was written.
    pub duplicate: bool,
}

impl Log {
    /// Appends record batches at the log end offset and returns where they landed.
    ///
    /// The bytes stay as they came; base offset and leader epoch are stamped in place, for `LogAppendTime` topics the
    /// timestamp too. Only a topic with a `compression.type` of its own has them rewritten. A client sends exactly one
    /// batch. `now_ms`: wall clock, milliseconds since 1970.
    ///
    /// # Errors
    /// `CorruptBatch`, `InvalidRecord`, `InvalidTimestamp`, `RecordTooLarge`, `RecordListTooLarge`,
    /// `UnsupportedCompression`, `OutOfOrderSequence`, `InvalidProducerEpoch`, `InvalidTxnState`,
    /// `TransactionCoordinatorFenced` if they are refused; `Storage` if the disk refused. In all cases the log is as it
    /// was.
    ///
    /// Source: `UnifiedLog.appendAsLeader`; KIP-98, KIP-101.
    pub fn append_as_leader(
        &self,
        records: &mut [u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        now_ms: i64,
    ) -> Result<AppendInfo, Error> {
        self.append_verified(records, leader_epoch, origin, None, now_ms)
    }

    /// As [`Log::append_as_leader`]; a transaction that begins with these records must not have been ended since `guard`
    /// was given ([`Log::begin_verification`]).
    ///
    /// # Errors
    /// As [`Log::append_as_leader`].
    pub fn append_verified(
        &self,
        records: &mut [u8],
        leader_epoch: i32,
        origin: AppendOrigin,
        guard: Option<VerificationGuard>,
        now_ms: i64,
    ) -> Result<AppendInfo, Error> {
        let config = self.config();
        let mut replaced = Vec::new();
        let mut wrong_max_timestamp = None;
        let mut rest = &records[..];
        let mut count = 0;
        while !rest.is_empty() {
            let (batch, after) = Batch::split_first(rest)?;
            rest = after;
            count += 1;
            if count > 1 && origin == AppendOrigin::Client {
                return Err(Error::invalid_record("Compressed outer record has more than one batch"));
            }
            let newest = self.check_batch(&batch, origin, &config, now_ms)?;
            wrong_max_timestamp = newest.filter(|newest| *newest != batch.max_timestamp());
            if let Some(target) = config.target_compression(batch.compression()?)
                && !batch.is_control()
            {
                replaced.extend_from_slice(&recompress(&batch, target)?);
            } else if !replaced.is_empty() || count > 1 && config.compression_type.is_some() {
                replaced.extend_from_slice(batch.bytes());
            }
        }
        if count == 0 {
            return Err(Error::invalid_record("Record batch has no batches at all"));
        }
        let bytes = if replaced.is_empty() { records } else { &mut replaced[..] };
        if let Some(newest) = wrong_max_timestamp
            && count == 1
        {
            // Who looks for a time believes the header.
            batch::stamp_max_timestamp(bytes, newest);
        }
        if bytes.len() > config.segment_bytes as usize {
            return Err(Error::RecordListTooLarge { size: bytes.len(), max: config.segment_bytes as usize });
        }
        stamp_timestamp_type(bytes, &config, now_ms)?;

        let mut state = self.state.lock();
        self.check_online(&state)?;
        if origin == AppendOrigin::Client {
            let (batch, _) = Batch::split_first(bytes)?;
            if let Some(known) = state.producers.duplicate_of(&batch) {
                return Ok(AppendInfo {
                    first_offset: known.first_offset(),
                    last_offset: known.last_offset,
                    log_append_time_ms: known.timestamp,
                    log_start_offset: state.log_start_offset,
                    duplicate: true,
                });
            }
            if let Some(guard) = guard {
                state.producers.check_verification(&batch, guard)?;
            }
        }
        let first_offset = state.log_end_offset;
        let metas = stamp_offsets(bytes, first_offset, leader_epoch)?;
        let update = self.prepare_producers(&state, bytes, origin)?;
        let last_offset = self.write(&mut state, &config, bytes, &metas, update, now_ms)?;
        self.publish(&state);
        let info = AppendInfo {
            first_offset,
            last_offset,
            log_append_time_ms: match config.message_timestamp_type {
                TimestampType::LogAppendTime => now_ms,
                TimestampType::CreateTime => NO_TIMESTAMP,
            },
            log_start_offset: state.log_start_offset,
            duplicate: false,
        };
        let flush = state.log_end_offset.saturating_sub(state.recovery_point) >= config.flush_messages;
        drop(state);
        if flush {
            self.flush(now_ms)?;
        }
        Ok(info)
    }

    /// Appends what a follower has fetched from its leader, bytes and offsets as they are. What is cut off at the end
    /// is left out. None if there was no whole batch.
    ///
    /// # Errors
    /// `CorruptBatch`, `InvalidRecord`; `UnexpectedAppendOffset` if the first offset lies below the log end; `Storage`.
    ///
    /// Source: `UnifiedLog.appendAsFollower`.
    pub fn append_as_follower(&self, records: &[u8], now_ms: i64) -> Result<Option<AppendInfo>, Error> {
        let config = self.config();
        let mut metas = Vec::new();
        let mut next_offset = i64::MIN;
        let mut valid = 0;
        while let Ok((batch, _)) = match Batch::split_first(&records[valid..]) {
            Err(batch::Error::Truncated { .. }) => Err(()),
            other => Ok(other?),
        } {
            batch.verify()?;
            if batch.base_offset() < next_offset {
                return Err(Error::invalid_record(format!(
                    "Out of order offsets found in append to {}: {} after {next_offset}",
                    self.topic_partition,
                    batch.base_offset()
                )));
            }
            next_offset = batch.next_offset();
            metas.push(meta_of(&batch));
            valid += batch.size();
        }
        let Some(first) = metas.first() else { return Ok(None) };
        let (first_offset, last_offset) = (first.base_offset, next_offset - 1);
        let bytes = &records[..valid];

        let mut state = self.state.lock();
        self.check_online(&state)?;
        if first_offset < state.log_end_offset {
            let log_end_offset = state.log_end_offset;
            return Err(Error::UnexpectedAppendOffset { first_offset, last_offset, log_end_offset });
        }
        let update = self.prepare_producers(&state, bytes, AppendOrigin::Replication)?;
        self.write(&mut state, &config, bytes, &metas, update, now_ms)?;
        self.publish(&state);
        let log_start_offset = state.log_start_offset;
        let flush = state.log_end_offset.saturating_sub(state.recovery_point) >= config.flush_messages;
        drop(state);
        if flush {
            self.flush(now_ms)?;
        }
        let log_append_time_ms = NO_TIMESTAMP;
        Ok(Some(AppendInfo { first_offset, last_offset, log_append_time_ms, log_start_offset, duplicate: false }))
    }

    fn prepare_producers(&self, state: &State, bytes: &[u8], origin: AppendOrigin) -> Result<ProducerUpdate, Error> {
        let mut update = ProducerUpdate::default();
        let mut rest = bytes;
        while !rest.is_empty() {
            let (batch, after) = Batch::split_first(rest)?;
            state.producers.prepare(&batch, batch.base_offset(), origin, &self.topic_partition, &mut update)?;
            rest = after;
        }
        Ok(update)
    }

    /// Writes stamped batches, rolling where a segment is full, and takes over what they change. Returns the last offset.
    fn write(
        &self,
        state: &mut State,
        config: &LogConfig,
        bytes: &[u8],
        metas: &[BatchMeta],
        update: ProducerUpdate,
        now_ms: i64,
    ) -> Result<i64, Error> {
        let limits = roll_limits(config);
        let (mut bytes, mut metas) = (bytes, metas);
        while !metas.is_empty() {
            // As many batches as fit go out in one write.
            let mut size = 0;
            let mut fitting = 0;
            for meta in metas {
                let add = (size + meta.size) as u64;
                let State { segments, path, .. } = &mut *state;
                let full = segments
                    .back_mut()
                    .expect("a log has at least one segment")
                    .is_full_for(path, &limits, add, meta.last_offset, meta.max_timestamp, now_ms)
                    .map_err(|error| self.failed(error))?;
                // An empty segment takes its first batch, whatever the limits say.
                let over = fitting > 0 && state.active().size == 0 && add > u64::from(limits.segment_bytes);
                if full || over {
                    break;
                }
                size += meta.size;
                fitting += 1;
            }
            if fitting == 0 {
                // The new segment begins where this batch does; on a follower that may lie beyond the log end.
                state.log_end_offset = state.log_end_offset.max(metas[0].base_offset);
                state.roll(config, now_ms).map_err(|error| self.failed(error))?;
                self.rolled.store(true, Ordering::Release);
                continue;
            }
            let (now, later) = metas.split_at(fitting);
            let (chunk, rest) = bytes.split_at(size);
            self.write_chunk(state, config, chunk, now)?;
            (bytes, metas) = (rest, later);
        }
        let log_end_offset = state.log_end_offset;
        for txn in state.producers.apply(update, log_end_offset) {
            if txn.aborted {
                let aborted = AbortedTxn {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                    last_offset: txn.last_offset,
                    last_stable_offset: state.producers.last_stable_offset_after(&txn),
                };
                let at = state.segment_of(txn.last_offset);
                let State { segments, path, .. } = state;
                segments[at].push_aborted(path, aborted).map_err(|error| self.broken(error))?;
            }
            state.producers.complete(&txn);
        }
        Ok(log_end_offset - 1)
    }

    /// One write to the active segment.
    fn write_chunk(
        &self,
        state: &mut State,
        config: &LogConfig,
        bytes: &[u8],
        metas: &[BatchMeta],
    ) -> Result<(), Error> {
        // An epoch must be on record before its first batch is: a crash in between leaves an entry too many at worst,
        // which the next start cuts off.
        let mut rest = bytes;
        while let Ok((batch, after)) = Batch::split_first(rest) {
            let epoch = batch.partition_leader_epoch();
            if state.leader_epochs.latest().is_none_or(|latest| latest.epoch != epoch) {
                self.assign_epoch_locked(state, epoch, batch.base_offset())?;
            }
            rest = after;
        }
        if state.epochs_unwritten {
            state.write_leader_epochs().map_err(|error| self.failed(error))?;
        }
        let State { segments, path, tail, .. } = state;
        let active = segments.back_mut().expect("a log has at least one segment");
        let mut position = active.size;
        active.append(path, bytes, metas, config.index_interval_bytes).map_err(|error| self.failed(error))?;
        for meta in metas {
            tail.push(meta.base_offset, meta.last_offset, position);
            position += meta.size as u64;
        }
        state.log_end_offset = metas.last().expect("at least one batch").last_offset + 1;
        Ok(())
    }

    /// Everything a leader can say about a batch without the log's state. Returns the largest timestamp of its records,
    /// if they were looked at.
    fn check_batch(
        &self,
        batch: &Batch<'_>,
        origin: AppendOrigin,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<Option<i64>, Error> {
        let partition = &self.topic_partition;
        if origin == AppendOrigin::Client && batch.base_offset() != 0 {
            return Err(Error::invalid_record(format!(
                "The baseOffset of the record batch in the append to {partition} should be 0, but it is {}",
                batch.base_offset()
            )));
        }
        if batch.size() > config.max_message_bytes as usize {
            return Err(Error::RecordTooLarge { size: batch.size(), max: config.max_message_bytes as usize });
        }
        batch.verify_crc()?;
        batch.compression()?;
        let (count, delta) = (batch.record_count(), batch.last_offset_delta());
        if delta < 0 {
            return Err(Error::invalid_record(format!(
                "Batch has an invalid offset range: [0, {delta}] in topic partition {partition}"
            )));
        }
        if count <= 0 {
            return Err(Error::invalid_record(format!(
                "Invalid reported count for record batch: {count} in topic partition {partition}"
            )));
        }
        if i64::from(delta) + 1 != i64::from(count) {
            return Err(Error::invalid_record(format!(
                "Inconsistent batch offset range [0, {delta}] and count of records {count} in topic partition \
                 {partition}"
            )));
        }
        if origin == AppendOrigin::Client {
            if batch.is_control() {
                return Err(Error::invalid_record(format!(
                    "Clients are not allowed to write control records in topic partition {partition}"
                )));
            }
            if batch.has_producer_id() && batch.base_sequence() < 0 {
                return Err(Error::invalid_record(format!(
                    "Invalid sequence number {} in record batch with producerId {} in topic partition {partition}",
                    batch.base_sequence(),
                    batch.producer_id()
                )));
            }
            return self.check_records(batch, config, now_ms);
        }
        Ok(None)
    }

    /// Looks at single records: always, if they are not compressed, else where the topic's configuration wants it.
    /// Returns the largest timestamp among them.
    fn check_records(&self, batch: &Batch<'_>, config: &LogConfig, now_ms: i64) -> Result<Option<i64>, Error> {
        let before = config.message_timestamp_before_max_ms;
        let after = config.message_timestamp_after_max_ms;
        let create_time = config.message_timestamp_type == TimestampType::CreateTime;
        // The header has the newest timestamp; the oldest must be looked for.
        let timestamps =
            create_time && (before != i64::MAX || is_out_of_range(batch.max_timestamp(), now_ms, i64::MAX, after));
        let keys = config.cleanup_policy.compact;
        if !timestamps && !keys && batch.compression()? != Compression::None {
            return Ok(None);
        }
        let mut newest = NO_TIMESTAMP;
        let mut errors = Vec::new();
        let mut bad_timestamp = false;
        let mut index = 0;
        batch.for_each_record(MAX_DECOMPRESSED, |record: Record<'_>| -> Result<(), Error> {
            let batch_index = index;
            index += 1;
            newest = newest.max(record.timestamp);
            if keys && record.key.is_none() {
                let message = format!(
                    "Compacted topic cannot accept message without key in topic partition {}",
                    self.topic_partition
                );
                errors.push(RecordError { batch_index, message });
            } else if create_time && is_out_of_range(record.timestamp, now_ms, before, after) {
                bad_timestamp = true;
                let message = format!(
                    "Timestamp {} of message with offset {} is out of range. The timestamp should be within [{}, {}]",
                    record.timestamp,
                    record.offset,
                    now_ms.wrapping_sub(before),
                    now_ms.wrapping_add(after)
                );
                errors.push(RecordError { batch_index, message });
            }
            Ok(())
        })?;
        if errors.is_empty() {
            return Ok(Some(newest));
        }
        if bad_timestamp {
            let message = "One or more records have been rejected due to invalid timestamp".to_owned();
            return Err(Error::InvalidTimestamp { message, record_errors: errors });
        }
        let shown: Vec<String> = errors
            .iter()
            .take(3)
            .map(|error| format!("RecordError(batchIndex={}, message='{}')", error.batch_index, error.message))
            .collect();
        let message = format!(
            "One or more records have been rejected due to {} record errors in total, and only showing the first three \
             errors at most: [{}]",
            errors.len(),
            shown.join(", ")
        );
        Err(Error::InvalidRecord { message, record_errors: errors })
    }
}

fn is_out_of_range(timestamp: i64, now_ms: i64, before_max_ms: i64, after_max_ms: i64) -> bool {
    let age = now_ms.saturating_sub(timestamp);
    timestamp != NO_TIMESTAMP && (age > before_max_ms || age.saturating_neg() > after_max_ms)
}

fn meta_of(batch: &Batch<'_>) -> BatchMeta {
    BatchMeta {
        size: batch.size(),
        base_offset: batch.base_offset(),
        last_offset: batch.last_offset(),
        max_timestamp: batch.max_timestamp(),
    }
}

/// Makes the batches say which clock their timestamps come from; both cost a new checksum.
fn stamp_timestamp_type(bytes: &mut [u8], config: &LogConfig, now_ms: i64) -> Result<(), Error> {
    let mut at = 0;
    while at < bytes.len() {
        let (batch, _) = Batch::split_first(&bytes[at..])?;
        let (size, timestamp_type) = (batch.size(), batch.timestamp_type());
        let batch = &mut bytes[at..at + size];
        match (config.message_timestamp_type, timestamp_type) {
            (TimestampType::LogAppendTime, _) => batch::stamp_log_append_time(batch, now_ms),
            (TimestampType::CreateTime, TimestampType::LogAppendTime) => batch::stamp_create_time(batch),
            (TimestampType::CreateTime, TimestampType::CreateTime) => {}
        }
        at += size;
    }
    Ok(())
}

/// Gives the batches their offsets, from `first_offset` on.
fn stamp_offsets(bytes: &mut [u8], first_offset: i64, leader_epoch: i32) -> Result<Vec<BatchMeta>, Error> {
    let mut metas = Vec::with_capacity(1);
    let (mut at, mut offset) = (0, first_offset);
    while at < bytes.len() {
        batch::stamp(&mut bytes[at..], offset, leader_epoch);
        let (batch, _) = Batch::split_first(&bytes[at..])?;
        metas.push(meta_of(&batch));
        offset = batch.next_offset();
        at += batch.size();
    }
    Ok(metas)
}

/// The same records in another codec.
fn recompress(batch: &Batch<'_>, target: CompressionSettings) -> Result<Vec<u8>, Error> {
    let mut builder = BatchBuilder::new()
        .compression(target)
        .producer(batch.producer_id(), batch.producer_epoch(), batch.base_sequence())
        .timestamp_type(batch.timestamp_type());
    if batch.is_transactional() {
        builder = builder.transactional();
    }
    let data: Cow<'_, [u8]> = batch.record_data(MAX_DECOMPRESSED)?;
    for record in batch.records(&data) {
        let record = record?;
        let timestamp = match batch.timestamp_type() {
            TimestampType::CreateTime => record.timestamp,
            TimestampType::LogAppendTime => batch.max_timestamp(),
        };
        // Whatever deltas the producer gave: each record gets the next offset.
        builder.append_at(builder.record_count(), timestamp, record.key, record.value, record.headers);
    }
    Ok(builder.finish())
}
