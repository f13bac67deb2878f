//! One round of compaction over one log: its files read, written anew, and swapped in.
//!
//! Source: `Cleaner.doClean`, `LocalLog.replaceSegments`.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::debug;

use super::choice::{self, LogFacts, LogToClean, SegmentFacts, SegmentSizes};
use super::filter::{self, Filter, Kept, LastRecord, Stored, Transactions};
use super::offset_map::OffsetMap;
use super::{CleanerStats, Interrupted};
use crate::log::checkpoints::sync_dir;
use crate::log::scan::{Entry, Scan};
use crate::log::segment::{BatchMeta, CLEANED_SUFFIX, DELETED_SUFFIX, LOG_SUFFIX, SWAP_SUFFIX, Segment, file_name};
use crate::log::transaction_index::{self, AbortedTxn, TransactionIndex};
use crate::log::{Log, LogConfig, State, offset_index, time_index};
use crate::wire::batch::{Batch, legacy};

/// Retained bytes are written when there are so many.
const WRITE_BUFFER: usize = 1 << 20;
/// The files of a segment.
const SUFFIXES: [&str; 4] = [LOG_SUFFIX, offset_index::SUFFIX, time_index::SUFFIX, transaction_index::SUFFIX];

/// What a round works on and with.
pub(super) struct Round<'a> {
    pub log: &'a Log,
    pub config: Arc<LogConfig>,
    /// Bytes for the map.
    pub memory: usize,
    pub load_factor: f64,
    pub now_ms: i64,
    /// Is told of bytes read and written; may wait, may end the round.
    pub pause: &'a dyn Fn(u64) -> Result<(), Interrupted>,
}

/// The segments to be read, as they were when the round began.
struct Sources {
    dir: PathBuf,
    segments: Vec<Source>,
    /// The log's `truncations`: if it moves, and not by our doing, the round is void.
    truncations: Cell<u64>,
}

struct Source {
    base_offset: i64,
    size: u64,
    /// From here on there may be dirty batches.
    dirty_from: u64,
    modified: SystemTime,
    sizes: SegmentSizes,
    /// Aborted transactions that overlap this segment.
    aborted: Vec<AbortedTxn>,
}

impl Source {
    /// One file is open at a time, not all of a log.
    fn scan(&self, dir: &Path, from: u64) -> io::Result<Scan> {
        let file = File::open(dir.join(file_name(self.base_offset, LOG_SUFFIX)))?;
        Ok(Scan::batches(Arc::new(file), from, self.size))
    }
}

impl Round<'_> {
    /// Cleans what `plan` says, as far as the map goes.
    pub fn clean(&self, plan: &LogToClean) -> Result<CleanerStats, Interrupted> {
        let sources = self.sources(plan)?;
        self.clean_sources(plan, &sources).map_err(|reason| {
            // Files that were cut or renamed while they were read are no disk's fault.
            let state = self.log.state.lock();
            let changed = self.log.is_closed() || state.truncations != sources.truncations.get();
            if changed { Interrupted::Aborted } else { reason }
        })
    }

    fn clean_sources(&self, plan: &LogToClean, sources: &Sources) -> Result<CleanerStats, Interrupted> {
        let mut stats = CleanerStats::default();
        let map = self.map_keys(plan, sources)?;
        let end_offset = map.latest_offset() + 1;
        debug!("{}: {} keys up to offset {end_offset}", self.log.topic_partition(), map.len());
        let clean_part = sources.segments.iter().rev().find(|source| source.base_offset < plan.first_dirty_offset);
        let delete_retention = Duration::from_millis(self.config.delete_retention_ms.max(0) as u64);
        let legacy_horizon = clean_part.and_then(|newest| newest.modified.checked_sub(delete_retention));
        let mut filter = Filter {
            map: &map,
            transactions: Transactions::default(),
            active_producers: HashMap::new(),
            round_end_offset: plan.first_uncleanable_offset,
            now_ms: self.now_ms,
            delete_retention_ms: self.config.delete_retention_ms,
            retain_legacy_deletes: true,
            kept_aborted: Vec::new(),
            invalid_records: 0,
        };
        let taken = sources.segments.partition_point(|source| source.base_offset < end_offset);
        let mut rest = &sources.segments[..taken];
        let sizes: Vec<SegmentSizes> = rest.iter().map(|source| source.sizes).collect();
        for count in choice::group_segments(&sizes, &self.config, plan.first_uncleanable_offset) {
            let (group, after) = rest.split_at(count);
            rest = after;
            filter.active_producers = self.active_producers();
            let swapped = self
                .clean_group(&sources.dir, group, legacy_horizon, &mut filter, &mut stats)
                .and_then(|cleaned| self.swap_in(sources, cleaned, group));
            if swapped.is_err() {
                discard(&sources.dir, group[0].base_offset);
            }
            swapped?;
        }
        stats.invalid_records = filter.invalid_records;
        stats.end_offset = end_offset;
        Ok(stats)
    }

    /// Everything below the first uncleanable offset, as it is now.
    fn sources(&self, plan: &LogToClean) -> Result<Sources, Interrupted> {
        let mut state = self.log.state.lock();
        if self.log.is_closed() {
            return Err(Interrupted::Aborted);
        }
        let State { segments, path, truncations, .. } = &mut *state;
        let count = segments.iter().take_while(|segment| segment.base_offset < plan.first_uncleanable_offset).count();
        if count >= segments.len() {
            // The active segment is nobody's to clean.
            return Err(Interrupted::Aborted);
        }
        let mut sources = Vec::with_capacity(count);
        for at in 0..count {
            let (base_offset, end_offset) = (segments[at].base_offset, segments[at + 1].base_offset);
            let mut aborted = Vec::new();
            for segment in segments.iter().skip(at) {
                if segment.transaction_index.collect(base_offset, end_offset, &mut aborted) {
                    break;
                }
            }
            let segment = &mut segments[at];
            let dirty = segment.offset_index.find(path, plan.first_dirty_offset)?;
            sources.push(Source {
                base_offset,
                size: segment.size,
                dirty_from: dirty.map_or(0, |entry| entry.position),
                modified: fs::metadata(path.join(file_name(base_offset, LOG_SUFFIX)))?.modified()?,
                sizes: SegmentSizes {
                    base_offset,
                    log: segment.size,
                    offset_index: (segment.offset_index.len() * offset_index::ENTRY) as u64,
                    time_index: (segment.time_index.len() * time_index::ENTRY) as u64,
                },
                aborted,
            });
        }
        Ok(Sources { dir: path.clone(), segments: sources, truncations: Cell::new(*truncations) })
    }

    /// Reads the dirty part into a map, as far as it fits.
    fn map_keys(&self, plan: &LogToClean, sources: &Sources) -> Result<OffsetMap, Interrupted> {
        let start = plan.first_dirty_offset;
        // Each offset has one key at most.
        let keys = (plan.first_uncleanable_offset - start).max(0) as u64;
        let mut map = OffsetMap::new(self.memory, self.load_factor, keys);
        let segments = &sources.segments;
        let first = segments.partition_point(|source| source.base_offset <= start).saturating_sub(1);
        let dirty = segments.get(first..).unwrap_or_default();
        let mut transactions = Transactions::default();
        let overlapping = |txn: &AbortedTxn| txn.last_offset >= start;
        for (at, source) in dirty.iter().enumerate() {
            transactions.expect(source.aborted.iter().filter(|txn| overlapping(txn)).copied());
            let mut scan = source.scan(&sources.dir, source.dirty_from)?;
            while let Some(entry) = scan.next_sound()? {
                (self.pause)(entry.size as u64)?;
                if filter::index(&mut map, &mut transactions, stored(&mut scan, &entry)?, start)?.is_err() {
                    return Ok(map);
                }
            }
            let end = dirty.get(at + 1).map_or(plan.first_uncleanable_offset, |next| next.base_offset);
            map.update_latest_offset(end - 1);
        }
        Ok(map)
    }

    fn active_producers(&self) -> HashMap<i64, LastRecord> {
        let state = self.log.state.lock();
        let last = |entry: &crate::log::ProducerEntry| LastRecord {
            last_data_offset: Some(entry.last_offset()).filter(|offset| *offset >= 0),
            epoch: entry.epoch,
        };
        state.producers.entries().map(|entry| (entry.producer_id, last(entry))).collect()
    }

    /// Writes one new segment for a group of old ones, and syncs it.
    fn clean_group(
        &self,
        dir: &Path,
        group: &[Source],
        legacy_horizon: Option<SystemTime>,
        filter: &mut Filter<'_>,
        stats: &mut CleanerStats,
    ) -> Result<Segment, Interrupted> {
        let base_offset = group[0].base_offset;
        let mut out = Output {
            dir,
            segment: Segment::create_cleaned(dir, base_offset)?,
            index_interval: self.config.index_interval_bytes,
            bytes: Vec::new(),
            metas: Vec::new(),
        };
        for source in group {
            filter.transactions.expect(source.aborted.iter().copied());
            filter.retain_legacy_deletes = legacy_horizon.is_none_or(|horizon| source.modified > horizon);
            let mut scan = source.scan(dir, 0)?;
            while let Some(entry) = scan.next_sound()? {
                (self.pause)(entry.size as u64)?;
                stats.bytes_read += entry.size as u64;
                let batch = stored(&mut scan, &entry)?;
                let bytes = match filter.apply(batch)? {
                    Kept::Nothing => continue,
                    Kept::AsIs => {
                        out.push(scan.batch(&entry)?, &entry);
                        entry.size
                    }
                    Kept::Rewritten(bytes) => {
                        out.push_rewritten(&bytes)?;
                        bytes.len()
                    }
                };
                stats.bytes_written += bytes as u64;
                if out.bytes.len() >= WRITE_BUFFER {
                    (self.pause)(out.bytes.len() as u64)?;
                    out.write()?;
                }
            }
        }
        (self.pause)(out.bytes.len() as u64)?;
        out.write()?;
        let mut segment = out.segment;
        segment.become_inactive(dir)?;
        segment.sync_indexes(dir)?;
        let suffix = format!("{}{CLEANED_SUFFIX}", transaction_index::SUFFIX);
        let aborted = std::mem::take(&mut filter.kept_aborted);
        segment.transaction_index = TransactionIndex::write_new(dir, base_offset, &suffix, aborted)?;
        // Where records have no time the file's is looked at.
        let file = segment.file(dir)?;
        file.set_modified(group[group.len() - 1].modified)?;
        file.sync_all()?;
        Ok(segment)
    }

    /// Puts the new segment in the place of the old ones, unless the log has changed meanwhile.
    fn swap_in(&self, sources: &Sources, mut cleaned: Segment, group: &[Source]) -> Result<(), Interrupted> {
        let delete_at_ms = self.now_ms.saturating_add(self.config.file_delete_delay_ms);
        let mut state = self.log.state.lock();
        let at = state.segments.partition_point(|segment| segment.base_offset < cleaned.base_offset);
        let unchanged = group.iter().enumerate().all(|(nth, source)| {
            state.segments.get(at + nth).is_some_and(|segment| segment.base_offset == source.base_offset)
        });
        if self.log.is_closed()
            || self.log.log_dir().is_offline()
            || state.truncations != sources.truncations.get()
            || !unchanged
            || at + group.len() >= state.segments.len()
        {
            return Err(Interrupted::Aborted);
        }
        let bases: Vec<i64> = group.iter().map(|source| source.base_offset).collect();
        // Only renames: a file system with a journal keeps their order through a crash. They are synced below, without
        // the lock.
        let mut renamed = Vec::new();
        for rename in swap_steps(&sources.dir, &bases)? {
            fs::rename(&rename.from, &rename.to)?;
            if rename.is_deletion {
                renamed.push(rename.to);
            }
        }
        cleaned.swapped_in();
        state.segments.drain(at + 1..at + group.len());
        state.segments[at] = cleaned;
        state.deleted.push((delete_at_ms, renamed));
        state.delete_snapshots(|offset| bases[1..].contains(&offset))?;
        state.tail.reset();
        state.truncations += 1;
        sources.truncations.set(state.truncations);
        drop(state);
        sync_dir(&sources.dir)?;
        Ok(())
    }
}

/// One rename of a swap.
#[derive(Debug)]
pub(super) struct Rename {
    pub from: PathBuf,
    pub to: PathBuf,
    /// Of an old segment's file, to be removed later.
    pub is_deletion: bool,
}

/// What takes the `.cleaned` files based at `bases[0]` into the place of the segments based at `bases`, in an order of
/// which every beginning is something that the next start can finish or undo.
pub(super) fn swap_steps(dir: &Path, bases: &[i64]) -> io::Result<Vec<Rename>> {
    let base = bases[0];
    let cleaned = |name: &str| dir.join(format!("{name}{CLEANED_SUFFIX}"));
    let swap = |name: &str| dir.join(format!("{name}{SWAP_SUFFIX}"));
    let mut existing = Vec::new();
    for name in SUFFIXES.map(|suffix| file_name(base, suffix)) {
        if cleaned(&name).try_exists()? {
            existing.push(name);
        }
    }
    let mut steps = Vec::new();
    for name in &existing {
        steps.push(Rename { from: cleaned(name), to: swap(name), is_deletion: false });
    }
    for old in bases.iter().flat_map(|base| SUFFIXES.iter().map(|suffix| file_name(*base, suffix))) {
        let from = dir.join(&old);
        if from.try_exists()? {
            let to = dir.join(format!("{old}{DELETED_SUFFIX}"));
            steps.push(Rename { from, to, is_deletion: true });
        }
    }
    for name in &existing {
        steps.push(Rename { from: swap(name), to: dir.join(name), is_deletion: false });
    }
    Ok(steps)
}

/// Removes what an unfinished round has written.
fn discard(dir: &Path, base_offset: i64) {
    for suffix in SUFFIXES {
        // What is left is thrown away at the next start.
        let _ = fs::remove_file(dir.join(format!("{}{CLEANED_SUFFIX}", file_name(base_offset, suffix))));
    }
}

fn stored<'s>(scan: &'s mut Scan, entry: &Entry) -> Result<Stored<'s>, Interrupted> {
    Ok(Stored::parse(scan.batch(entry)?)?)
}

/// The segment being written.
struct Output<'a> {
    dir: &'a Path,
    segment: Segment,
    index_interval: u32,
    bytes: Vec<u8>,
    metas: Vec<BatchMeta>,
}

impl Output<'_> {
    fn push(&mut self, bytes: &[u8], entry: &Entry) {
        self.bytes.extend_from_slice(bytes);
        self.metas.push(BatchMeta {
            size: entry.size,
            base_offset: entry.base_offset,
            last_offset: entry.last_offset,
            max_timestamp: entry.max_timestamp,
        });
    }

    /// A batch, or messages of magic 0 or 1.
    fn push_rewritten(&mut self, bytes: &[u8]) -> Result<(), Interrupted> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (size, base_offset, last_offset, max_timestamp) = match Batch::split_first(rest) {
                Ok((batch, _)) => (batch.size(), batch.base_offset(), batch.last_offset(), batch.max_timestamp()),
                Err(_) => {
                    let message = legacy::MessageHeader::parse(rest)?;
                    (message.size, message.offset, message.offset, message.timestamp)
                }
            };
            self.metas.push(BatchMeta { size, base_offset, last_offset, max_timestamp });
            rest = &rest[size..];
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if !self.metas.is_empty() {
            self.segment.append(self.dir, &self.bytes, &self.metas, self.index_interval)?;
        }
        self.bytes.clear();
        self.metas.clear();
        Ok(())
    }
}

impl State {
    /// What the choice of the dirtiest log needs to know of this one.
    pub(super) fn cleaning_facts(&mut self, config: &LogConfig) -> io::Result<LogFacts> {
        let last_stable_offset = self.last_stable_offset();
        let State { segments, path, log_start_offset, log_end_offset, first_dirty_offset, .. } = self;
        let inactive = segments.len() - 1;
        let mut facts = Vec::with_capacity(segments.len());
        for (at, segment) in segments.iter_mut().enumerate() {
            // Looking up timestamps may cost a read each; only dirty segments before the active one are asked for it.
            let looked_at = at < inactive;
            facts.push(SegmentFacts {
                base_offset: segment.base_offset,
                size: segment.size,
                largest_timestamp: match config.min_compaction_lag_ms {
                    lag if lag > 0 && looked_at => segment.largest_timestamp(path)?,
                    _ => -1,
                },
                first_timestamp: match config.max_compaction_lag_ms {
                    lag if lag < i64::MAX && looked_at => segment.first_timestamp(path)?,
                    _ => -1,
                },
            });
        }
        Ok(LogFacts {
            segments: facts,
            log_start_offset: *log_start_offset,
            log_end_offset: *log_end_offset,
            last_stable_offset,
            checkpoint: *first_dirty_offset,
        })
    }
}
