//! From the files of a partition's folder to its state in memory.
//!
//! After a clean stop nothing but names, index ends and the newest producer snapshot is read. Otherwise every batch from
//! the recovery point on is checked; the first bad byte ends the log there, later segments go, and indexes, aborted
//! transactions, leader epochs and producer state are built anew from what is left.
//!
//! Hazards, and what guards against each:
//! - A write cut short by a crash: lengths and CRC-32C of every batch beyond the recovery point.
//! - A segment that lost its end while the next survived: offsets go on from one to the next, or the log ends there.
//! - Index files that lag, lie, or are zeros: never trusted beyond the recovery point; checked for sanity below it.
//! - A crash while the cleaner swaps segments: `.cleaned` files are dropped, `.swap` files completed.
//! - A crash while files are deleted: `.deleted` is dropped; an index without a log too.
//! - A snapshot that is newer than what survived of the log: dropped.
//!
//! Source: `LogLoader`, `LogSegment.recover`, `UnifiedLog.rebuildProducerState`.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

use super::checkpoints::sync_dir;
use super::config::LogConfig;
use super::leader_epochs::LeaderEpochs;
use super::producer_state::{AppendOrigin, ProducerState, ProducerUpdate};
use super::scan::{Entry, Scan};
use super::segment::{
    BatchMeta, CLEANED_SUFFIX, DELETED_SUFFIX, LOG_SUFFIX, SWAP_SUFFIX, Segment, file_name, offset_of,
};
use super::transaction_index::{self, AbortedTxn};
use super::{offset_index, time_index};
use crate::wire::batch::{self, Batch, legacy};

pub(super) const SNAPSHOT_SUFFIX: &str = "snapshot";
pub(super) const LEADER_EPOCHS: &str = "leader-epoch-checkpoint";

/// What is known about a partition before its folder is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct LoadOptions {
    pub clean: bool,
    /// Below it everything is on disk for sure.
    pub recovery_point: i64,
    /// From the log dir's checkpoint; 0 if there is none.
    pub log_start_offset: i64,
    pub now_ms: i64,
}

pub(super) struct Loaded {
    /// At least one, ascending.
    pub segments: Vec<Segment>,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub recovery_point: i64,
    pub producers: ProducerState,
    pub leader_epochs: LeaderEpochs,
    /// Offsets of the producer snapshots on disk.
    pub snapshots: BTreeSet<i64>,
}

/// Loads the partition in `dir`, and repairs what a crash has left.
pub(super) fn load(dir: &Path, config: &LogConfig, options: LoadOptions) -> io::Result<Loaded> {
    let mut names = file_names(dir)?;
    if complete_interrupted_swaps(dir, &names)? {
        names = file_names(dir)?;
    }
    let Files { bases, mut snapshots, transaction_indexes } = sort_out(dir, names)?;
    let mut leader_epochs = LeaderEpochs::default();
    let mut epochs_known = true;
    let mut epochs_on_disk = None;
    match fs::read_to_string(dir.join(LEADER_EPOCHS)) {
        Ok(text) => match LeaderEpochs::decode(&text) {
            Ok(read) => {
                epochs_on_disk = Some(text);
                leader_epochs = read;
            }
            Err(reason) => {
                warn!("{}: {LEADER_EPOCHS}: {reason}; reading the epochs from the log", dir.display());
                epochs_known = false;
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => epochs_known = options.clean,
        Err(error) => return Err(error),
    }

    let mut segments = Vec::with_capacity(bases.len());
    let mut damaged = Vec::with_capacity(bases.len());
    for base in bases {
        let (segment, unusable) = Segment::open(dir, base, transaction_indexes.contains(&base))?;
        if let Some(unusable) = &unusable {
            warn!("{}: segment {base}: {}; rebuilding its indexes", dir.display(), unusable.reason);
        }
        segments.push(segment);
        damaged.push(unusable.is_some());
    }
    if !epochs_known {
        for segment in &segments {
            let mut scan = segment.headers(dir, 0)?;
            while let Some(Ok(entry)) = scan.next()? {
                assign_epoch(&mut leader_epochs, &entry);
            }
        }
    }

    let unflushed = if options.clean {
        segments.len()
    } else {
        // The segment that holds the recovery point, and all after it.
        segments.partition_point(|segment| segment.base_offset <= options.recovery_point).saturating_sub(1)
    };
    for flag in damaged.iter_mut().skip(unflushed) {
        *flag = true;
    }
    let mut loading = Loading { dir, config, options, leader_epochs, producers: ProducerState::default() };
    let log_end_offset = loading.recover(&mut segments, &damaged, unflushed, &mut snapshots)?;
    let Loading { mut leader_epochs, mut producers, .. } = loading;

    let mut log_end_offset = log_end_offset;
    if !segments.is_empty() && log_end_offset < options.log_start_offset {
        warn!(
            "{}: deleting all segments because log end offset {log_end_offset} is smaller than log start offset {}",
            dir.display(),
            options.log_start_offset
        );
        delete_segments(dir, segments.drain(..))?;
        leader_epochs.clear();
        producers = ProducerState::starting_at(options.log_start_offset);
    }
    if segments.is_empty() {
        log_end_offset = options.log_start_offset.max(0);
        segments.push(Segment::create(dir, log_end_offset, options.now_ms)?);
        producers.map_end_offset = log_end_offset;
    }
    let log_start_offset = options.log_start_offset.max(segments[0].base_offset);
    leader_epochs.truncate_from_end(log_end_offset);
    leader_epochs.truncate_from_start(log_start_offset);
    remove_stray_snapshots(dir, &segments, log_end_offset, &mut snapshots)?;
    let changed = match epochs_on_disk {
        Some(text) => text != leader_epochs.encode(),
        None => leader_epochs.latest().is_some(),
    };
    if changed {
        write_leader_epochs(dir, &leader_epochs)?;
    }
    segments.iter_mut().for_each(Segment::release);
    let recovery_point =
        if options.clean { log_end_offset } else { options.recovery_point.clamp(log_start_offset, log_end_offset) };
    Ok(Loaded { segments, log_start_offset, log_end_offset, recovery_point, producers, leader_epochs, snapshots })
}

struct Loading<'a> {
    dir: &'a Path,
    config: &'a LogConfig,
    options: LoadOptions,
    leader_epochs: LeaderEpochs,
    producers: ProducerState,
}

impl Loading<'_> {
    /// Brings indexes and producer state up to the log's end, which it returns.
    fn recover(
        &mut self,
        segments: &mut Vec<Segment>,
        damaged: &[bool],
        unflushed: usize,
        snapshots: &mut BTreeSet<i64>,
    ) -> io::Result<i64> {
        let Some(last) = segments.last_mut() else { return Ok(self.options.log_start_offset) };
        let first_damaged = damaged.iter().position(|damaged| *damaged);
        let sure = match first_damaged {
            Some(at) => segments[at].base_offset,
            None => last.read_next_offset(self.dir)?,
        };
        let log_start_offset = self.options.log_start_offset.max(segments[0].base_offset);
        if first_damaged.is_none() && self.options.clean && snapshots.is_empty() {
            // Nothing was ever known of producers here: that is how an orderly stop of an older version looks.
            self.producers = ProducerState::starting_at(sure);
            return Ok(sure);
        }
        self.load_snapshot(log_start_offset, sure, snapshots)?;
        let mut next_offset = sure;
        let mut truncated_at = None;
        for at in 0..segments.len() {
            let end = segments.get(at + 1).map(|next| next.base_offset);
            if end.is_some_and(|end| end <= self.producers.map_end_offset) && !damaged[at] {
                continue;
            }
            let segment = &mut segments[at];
            if !damaged[at] {
                self.replay(segment)?;
                next_offset = self.producers.map_end_offset.max(segment.base_offset);
                continue;
            }
            let size = segment.size;
            next_offset = self.recover_segment(segment, at >= unflushed)?;
            let lost = size - segment.size;
            if lost > 0 {
                warn!(
                    "{}: segment {}: {lost} bytes after offset {next_offset} are no sound batches",
                    self.dir.display(),
                    segment.base_offset
                );
            }
            self.producers.map_end_offset = self.producers.map_end_offset.max(next_offset);
            if at + 1 < segments.len() {
                write_snapshot(self.dir, &self.producers, next_offset, false)?;
                snapshots.insert(next_offset);
            }
            // The end of this one may be lost though the next one is there: files are written in no order. Compacted
            // logs have holes anyway.
            let hole = !self.config.cleanup_policy.compact
                && segments.get(at + 1).is_some_and(|next| next.base_offset > next_offset);
            if (lost > 0 || hole) && at >= unflushed {
                truncated_at = Some(at + 1);
                break;
            }
        }
        if let Some(from) = truncated_at
            && from < segments.len()
        {
            warn!("{}: deleting {} segments after the damaged one", self.dir.display(), segments.len() - from);
            delete_segments(self.dir, segments.drain(from..))?;
        }
        // Compaction may have emptied what lies before an empty last segment.
        let log_end_offset = if first_damaged.is_none() { sure } else { next_offset };
        self.producers.map_end_offset = log_end_offset;
        Ok(log_end_offset)
    }

    /// Takes the newest sound snapshot in `(log_start_offset, sure]`; drops newer ones.
    fn load_snapshot(&mut self, log_start_offset: i64, sure: i64, snapshots: &mut BTreeSet<i64>) -> io::Result<()> {
        self.producers = ProducerState::starting_at(log_start_offset);
        while let Some(offset) = snapshots.last().copied() {
            let path = self.dir.join(file_name(offset, SNAPSHOT_SUFFIX));
            if offset <= sure && offset > log_start_offset {
                let bytes = fs::read(&path)?;
                match ProducerState::decode(&bytes, offset, self.options.now_ms, self.config.producer_id_expiration_ms)
                {
                    Ok(state) => {
                        self.producers = state;
                        return Ok(());
                    }
                    Err(reason) => warn!("{}: {reason}; trying an older one", path.display()),
                }
            }
            snapshots.remove(&offset);
            fs::remove_file(&path)?;
        }
        Ok(())
    }

    /// Reads producers' doings from `map_end_offset` on out of a segment that is sound.
    fn replay(&mut self, segment: &mut Segment) -> io::Result<()> {
        let from = segment.offset_index.find(self.dir, self.producers.map_end_offset)?;
        let from = from.map_or(0, |entry| entry.position);
        let mut scan = segment.batches(self.dir, from)?;
        while let Some(entry) = scan.next_sound()? {
            if entry.last_offset >= self.producers.map_end_offset {
                self.update_producers(&entry, scan.batch(&entry)?, None)?;
            }
        }
        Ok(())
    }

    /// Checks every batch and builds the segment's indexes anew; cuts the file at the first bad byte if it may.
    /// Returns the offset after the last good batch.
    fn recover_segment(&mut self, segment: &mut Segment, may_cut: bool) -> io::Result<i64> {
        segment.reset_indexes(self.dir)?;
        let size = segment.size;
        if size == 0 {
            return Ok(segment.base_offset);
        }
        info!("{}: recovering segment {} of {size} bytes", self.dir.display(), segment.base_offset);
        let mut scan = segment.batches(self.dir, 0)?;
        let mut next_offset = segment.base_offset;
        let mut position = 0;
        while let Some(Ok(entry)) = scan.next()? {
            // Base offsets are outside the checksum; what an index could not hold is no offset of this segment.
            let in_range = next_offset..=segment.base_offset.saturating_add(i64::from(i32::MAX));
            if !in_range.contains(&entry.last_offset) || verify(&entry, scan.batch(&entry)?, next_offset).is_err() {
                break;
            }
            let meta = BatchMeta {
                size: entry.size,
                base_offset: entry.base_offset,
                last_offset: entry.last_offset,
                max_timestamp: entry.max_timestamp,
            };
            segment.index(self.dir, entry.position, &meta, self.config.index_interval_bytes)?;
            assign_epoch(&mut self.leader_epochs, &entry);
            self.update_producers(&entry, scan.batch(&entry)?, Some(segment))?;
            next_offset = entry.last_offset + 1;
            position = entry.end();
        }
        segment.size = position;
        if position < size && may_cut {
            let file = segment.file(self.dir)?;
            file.set_len(position)?;
            file.sync_all()?;
        }
        let max = segment.max_timestamp(self.dir)?;
        segment.time_index.push(self.dir, max)?;
        segment.offset_index.close(self.dir)?;
        segment.time_index.close(self.dir)?;
        Ok(next_offset)
    }

    /// Takes over what a batch says of its producer; with a segment also into its index of aborted transactions.
    fn update_producers(&mut self, entry: &Entry, bytes: &[u8], segment: Option<&mut Segment>) -> io::Result<()> {
        if entry.magic < batch::MAGIC {
            self.producers.map_end_offset = self.producers.map_end_offset.max(entry.last_offset + 1);
            return Ok(());
        }
        let Ok((batch, _)) = Batch::split_first(bytes) else { return Ok(()) };
        let mut update = ProducerUpdate::default();
        // What the snapshot has seen already must not be counted twice, but its markers still belong in the index.
        let seen = entry.last_offset < self.producers.map_end_offset;
        if seen {
            return Ok(());
        }
        self.producers
            .prepare(&batch, batch.base_offset(), AppendOrigin::Replication, &"", &mut update)
            .map_err(io::Error::other)?;
        let completed = self.producers.apply(update, entry.last_offset + 1);
        let mut segment = segment;
        for txn in completed {
            if let Some(segment) = segment.as_deref_mut()
                && txn.aborted
            {
                let last_stable_offset = self.producers.last_stable_offset_after(&txn);
                let aborted = AbortedTxn {
                    producer_id: txn.producer_id,
                    first_offset: txn.first_offset,
                    last_offset: txn.last_offset,
                    last_stable_offset,
                };
                segment.push_aborted(self.dir, aborted)?;
            }
            self.producers.complete(&txn);
        }
        Ok(())
    }
}

/// What is known of producers when the log ends at `end_offset`: the newest snapshot below, and what follows it.
pub(super) fn producers_at(
    dir: &Path,
    config: &LogConfig,
    segments: &mut VecDeque<Segment>,
    snapshots: &mut BTreeSet<i64>,
    log_start_offset: i64,
    end_offset: i64,
    now_ms: i64,
) -> io::Result<ProducerState> {
    let options = LoadOptions { clean: true, recovery_point: end_offset, log_start_offset, now_ms };
    let leader_epochs = LeaderEpochs::default();
    let mut loading = Loading { dir, config, options, leader_epochs, producers: ProducerState::default() };
    loading.load_snapshot(log_start_offset, end_offset, snapshots)?;
    let ends: Vec<i64> = segments.iter().skip(1).map(|next| next.base_offset).chain([end_offset]).collect();
    for (segment, end) in segments.iter_mut().zip(ends) {
        if end > loading.producers.map_end_offset {
            loading.replay(segment)?;
        }
    }
    loading.producers.map_end_offset = end_offset;
    Ok(loading.producers)
}

fn assign_epoch(epochs: &mut LeaderEpochs, entry: &Entry) {
    let newest = epochs.latest().map_or(-1, |latest| latest.epoch);
    if entry.magic >= batch::MAGIC && entry.leader_epoch > newest {
        epochs.assign(entry.leader_epoch, entry.base_offset);
    }
}

/// Whether a batch found on disk is sound and can follow what stands before it.
fn verify(entry: &Entry, bytes: &[u8], next_offset: i64) -> Result<(), batch::Error> {
    if entry.magic < batch::MAGIC {
        return legacy::verify_crc(bytes);
    }
    let (batch, _) = Batch::split_first(bytes)?;
    batch.verify()?;
    if batch.base_offset() < next_offset {
        return Err(batch::Error::Record("offset below the one before"));
    }
    Ok(())
}

/// Not synced here: that happens before the recovery point passes what the entries speak of.
pub(super) fn write_leader_epochs(dir: &Path, epochs: &LeaderEpochs) -> io::Result<()> {
    super::checkpoints::replace(dir, LEADER_EPOCHS, epochs.encode().as_bytes(), false)
}

/// Writes a producer snapshot.
pub(super) fn write_snapshot(dir: &Path, producers: &ProducerState, offset: i64, sync: bool) -> io::Result<()> {
    super::checkpoints::replace(dir, &file_name(offset, SNAPSHOT_SUFFIX), &producers.encode(), sync)
}

fn file_names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        // What is no text is no file of Kafka's.
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

struct Files {
    /// The base offsets of the segments.
    bases: BTreeSet<i64>,
    /// The offsets of the producer snapshots.
    snapshots: BTreeSet<i64>,
    /// The segments that have an index of aborted transactions.
    transaction_indexes: BTreeSet<i64>,
}

/// What the names in `dir` say; removes indexes without a log.
fn sort_out(dir: &Path, names: Vec<String>) -> io::Result<Files> {
    let offsets = |suffix: &str| names.iter().filter_map(|name| offset_of(name, suffix)).collect::<BTreeSet<i64>>();
    let bases = offsets(LOG_SUFFIX);
    let (snapshots, transaction_indexes) = (offsets(SNAPSHOT_SUFFIX), offsets(transaction_index::SUFFIX));
    for suffix in [offset_index::SUFFIX, time_index::SUFFIX, transaction_index::SUFFIX] {
        for name in names.iter().filter(|name| offset_of(name, suffix).is_some_and(|base| !bases.contains(&base))) {
            warn!("{}: removing {name}, an index without a log", dir.display());
            fs::remove_file(dir.join(name))?;
        }
    }
    Ok(Files { bases, snapshots, transaction_indexes })
}

/// Drops what was half done and finishes what was done but for its names; true if the names are others now.
fn complete_interrupted_swaps(dir: &Path, names: &[String]) -> io::Result<bool> {
    let ending = |suffix: &str| names.iter().filter(|name| name.ends_with(suffix)).cloned().collect::<Vec<String>>();
    let (swaps, cleaned) = (ending(SWAP_SUFFIX), ending(CLEANED_SUFFIX));
    let dropped = [ending(DELETED_SUFFIX), ending(".tmp")].concat();
    for name in &dropped {
        fs::remove_file(dir.join(name))?;
    }
    if swaps.is_empty() && cleaned.is_empty() {
        return Ok(!dropped.is_empty());
    }
    let offset = |name: &str| name.split('.').next().and_then(|digits| digits.parse::<i64>().ok());
    // A swap at or after a file still being cleaned belongs to a split that was not finished.
    let min_cleaned = cleaned.iter().filter_map(|name| offset(name)).min().unwrap_or(i64::MAX);
    let (dropped, swaps): (Vec<String>, Vec<String>) =
        swaps.into_iter().partition(|name| offset(name).is_none_or(|offset| offset >= min_cleaned));
    for name in dropped.iter().chain(&cleaned) {
        fs::remove_file(dir.join(name))?;
    }
    if swaps.is_empty() {
        return Ok(true);
    }
    // The finished swaps replace every segment between their first offset and their last.
    let (mut from, mut to) = (i64::MAX, i64::MIN);
    for name in swaps.iter().filter(|name| name.ends_with(".log.swap")) {
        let Some(base) = offset(name) else { continue };
        let file = Arc::new(fs::File::open(dir.join(name))?);
        let size = file.metadata()?.len();
        let mut scan = Scan::headers(file, 0, size);
        let mut next = base;
        while let Some(Ok(entry)) = scan.next()? {
            next = entry.last_offset + 1;
        }
        (from, to) = (from.min(base), to.max(next));
    }
    for name in names {
        let is_segment_file = [LOG_SUFFIX, offset_index::SUFFIX, time_index::SUFFIX, transaction_index::SUFFIX]
            .iter()
            .any(|suffix| offset_of(name, suffix).is_some_and(|base| (from..to).contains(&base)));
        if is_segment_file {
            fs::remove_file(dir.join(name))?;
        }
    }
    for name in swaps {
        info!("{}: completing the swap of {name}", dir.display());
        fs::rename(dir.join(&name), dir.join(name.trim_end_matches(SWAP_SUFFIX)))?;
    }
    sync_dir(dir)?;
    Ok(true)
}

/// Removes segments that recovery has found to be beyond the log's end.
fn delete_segments(dir: &Path, segments: impl Iterator<Item = Segment>) -> io::Result<()> {
    for segment in segments {
        let base = segment.base_offset;
        drop(segment);
        for path in Segment::rename_to_deleted(dir, base)? {
            fs::remove_file(path)?;
        }
    }
    sync_dir(dir)
}

/// Keeps the snapshots at segment starts, and the newest of all.
fn remove_stray_snapshots(
    dir: &Path,
    segments: &[Segment],
    log_end_offset: i64,
    snapshots: &mut BTreeSet<i64>,
) -> io::Result<()> {
    let newest = snapshots.range(..=log_end_offset).next_back().copied();
    let stray: Vec<i64> = snapshots
        .iter()
        .copied()
        .filter(|offset| {
            Some(*offset) != newest && segments.binary_search_by_key(offset, |segment| segment.base_offset).is_err()
        })
        .collect();
    for offset in stray {
        fs::remove_file(dir.join(file_name(offset, SNAPSHOT_SUFFIX)))?;
        snapshots.remove(&offset);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
