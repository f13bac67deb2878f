//! Kafka's files: a partition's log of record batches in segments, with indexes, producer state, leader epochs and
//! checkpoints, byte for byte as Apache Kafka keeps them.
//!
//! [`Log`] is one partition; [`LogManager`] the log dirs. A record lies below the *high watermark* once enough replicas
//! have it, and below the *last stable offset* once its transaction has ended too; both are `replication`'s and this
//! room's to move, and bound what readers see.
//!
//! ```text
//! log start ≤ last stable offset ≤ high watermark ≤ log end
//! ```
//!
//! Reads hand out ranges of files, never copies. An append is one write under the partition's lock; what must be
//! checked of its bytes is checked before.
//!
//! Source: `UnifiedLog`, `LocalLog`.

mod append;
pub mod checkpoints;
mod cleaner;
mod config;
mod error;
mod index_file;
mod leader_epochs;
mod log_dir;
mod manager;
mod moves;
mod offset_index;
mod open_files;
mod producer_state;
mod read;
mod recovery;
mod retention;
mod scan;
mod segment;
mod tail;
mod time_index;
mod transaction_index;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};

pub use append::AppendInfo;
pub use cleaner::{CleanerConfig, LogCleaner};
pub use config::{CleanupPolicy, LogConfig};
pub use error::{Error, RecordError};
pub use leader_epochs::{EpochEntry, LeaderEpochs};
pub use log_dir::{LogDir, MetaProperties};
pub use manager::{DirContents, LogManager, LogManagerOptions, LogSize, NewLog};
pub use producer_state::{AppendOrigin, BatchMetadata, ProducerEntry, RecentBatches, VerificationGuard};
pub use read::{FileRange, FoundOffset, ReadInfo, UpperBound};
pub use transaction_index::AbortedTxn;

use crate::wire::{TopicPartition, Uuid};
use producer_state::ProducerState;
use recovery::LoadOptions;
use segment::{RollLimits, Segment};
use tail::Tail;

/// One partition's log. Shared by all who touch the partition; every method may be called from any thread.
///
/// Methods that change the log are ordered by an inner lock, which is held across writes to the page cache but never
/// across an fsync. Offsets can be asked without it.
pub struct Log {
    topic_partition: TopicPartition,
    /// Changes when the partition moves from one to another.
    log_dir: RwLock<Arc<LogDir>>,
    config: RwLock<Arc<LogConfig>>,
    state: Mutex<State>,
    log_start_offset: AtomicI64,
    log_end_offset: AtomicI64,
    high_watermark: AtomicI64,
    last_stable_offset: AtomicI64,
    /// Set when a segment was rolled: what lies before it wants an fsync soon.
    rolled: AtomicBool,
    /// Held while the disk works, so that those who want a sync meanwhile share the next.
    flushing: Mutex<()>,
    /// The folder was deleted or the broker stops: whoever still holds the log must not write. Set under the inner lock.
    closed: AtomicBool,
}

struct State {
    /// The partition's folder.
    path: PathBuf,
    topic_id: Uuid,
    /// Ascending, never empty; the last one is appended to.
    segments: VecDeque<Segment>,
    log_start_offset: i64,
    log_end_offset: i64,
    high_watermark: i64,
    /// Everything below is synced.
    recovery_point: i64,
    /// Wall clock of the last flush, and records since.
    last_flush_ms: i64,
    producers: ProducerState,
    snapshots: BTreeSet<i64>,
    leader_epochs: LeaderEpochs,
    /// A reign has begun that has written nothing yet: its entry is written with its first batch. Until then it says
    /// nothing that a start would not throw away.
    epochs_unwritten: bool,
    tail: Tail,
    /// Raised by every truncation and every swap, so that a reader can tell that what it saw is gone.
    truncations: u64,
    /// Where the cleaner's last round ended; None before the first.
    first_dirty_offset: Option<i64>,
    /// Files renamed to `.deleted`, with the time when they go for good.
    deleted: Vec<(i64, Vec<PathBuf>)>,
    /// Names in the folder have changed since it was last synced.
    dir_dirty: bool,
}

impl Log {
    /// Opens the partition's log in `path`, a folder of `log_dir`; creates an empty one if there are no segments.
    fn open(
        log_dir: Arc<LogDir>,
        path: PathBuf,
        topic_partition: TopicPartition,
        config: LogConfig,
        options: LoadOptions,
        high_watermark: Option<i64>,
    ) -> Result<Log, Error> {
        let storage = |error| Error::storage(log_dir.path(), error);
        let loaded = recovery::load(&path, &config, options).map_err(storage)?;
        let topic_id = log_dir::read_partition_metadata(&path)?.unwrap_or(Uuid::ZERO);
        let high_watermark = high_watermark.unwrap_or(0).clamp(loaded.log_start_offset, loaded.log_end_offset);
        let mut producers = loaded.producers;
        producers.forget_replicated(high_watermark);
        let state = State {
            path,
            topic_id,
            segments: loaded.segments.into(),
            log_start_offset: loaded.log_start_offset,
            log_end_offset: loaded.log_end_offset,
            high_watermark,
            recovery_point: loaded.recovery_point,
            last_flush_ms: options.now_ms,
            producers,
            snapshots: loaded.snapshots,
            leader_epochs: loaded.leader_epochs,
            epochs_unwritten: false,
            tail: Tail::default(),
            truncations: 0,
            first_dirty_offset: None,
            deleted: Vec::new(),
            dir_dirty: false,
        };
        let log = Log {
            topic_partition,
            log_dir: RwLock::new(log_dir),
            config: RwLock::new(Arc::new(config)),
            log_start_offset: AtomicI64::new(state.log_start_offset),
            log_end_offset: AtomicI64::new(state.log_end_offset),
            high_watermark: AtomicI64::new(state.high_watermark),
            last_stable_offset: AtomicI64::new(state.last_stable_offset()),
            rolled: AtomicBool::new(state.segments.len() > 1),
            flushing: Mutex::default(),
            closed: AtomicBool::new(false),
            state: Mutex::new(state),
        };
        log.log_end_changed(&mut log.state.lock());
        Ok(log)
    }

    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The log dir that the partition lies in.
    pub fn log_dir(&self) -> Arc<LogDir> {
        Arc::clone(&self.log_dir.read())
    }

    /// Whether the log dir has failed.
    pub fn is_offline(&self) -> bool {
        self.log_dir.read().is_offline()
    }

    /// The topic's id as `partition.metadata` has it; zero if there is none yet.
    pub fn topic_id(&self) -> Uuid {
        self.state.lock().topic_id
    }

    /// Writes the topic's id into `partition.metadata`, if there was none.
    ///
    /// # Errors
    /// `InconsistentTopicId` if the folder belongs to another topic of that name; `Storage`.
    pub fn assign_topic_id(&self, topic_id: Uuid) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.topic_id == topic_id || topic_id.is_zero() {
            return Ok(());
        }
        self.check_online(&state)?;
        if !state.topic_id.is_zero() {
            return Err(Error::InconsistentTopicId {
                name: self.topic_partition.to_string(),
                given: topic_id.to_string(),
                stored: state.topic_id.to_string(),
            });
        }
        log_dir::write_partition_metadata(&state.path, topic_id).map_err(|error| self.failed(error))?;
        state.topic_id = topic_id;
        Ok(())
    }

    pub fn config(&self) -> Arc<LogConfig> {
        Arc::clone(&self.config.read())
    }

    /// From now on the log obeys `config`.
    pub fn update_config(&self, config: LogConfig) {
        *self.config.write() = Arc::new(config);
    }

    /// The first offset that can be read.
    pub fn log_start_offset(&self) -> i64 {
        self.log_start_offset.load(Ordering::Acquire)
    }

    /// The offset that the next record gets.
    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset.load(Ordering::Acquire)
    }

    /// The offset below which every record is on enough replicas.
    pub fn high_watermark(&self) -> i64 {
        self.high_watermark.load(Ordering::Acquire)
    }

    /// The offset below which, in addition, every transaction has ended.
    pub fn last_stable_offset(&self) -> i64 {
        self.last_stable_offset.load(Ordering::Acquire)
    }

    /// Sets the high watermark, kept between log start and log end; returns what it is then.
    pub fn update_high_watermark(&self, offset: i64) -> i64 {
        let mut state = self.state.lock();
        state.high_watermark = offset.clamp(state.log_start_offset, state.log_end_offset);
        let high_watermark = state.high_watermark;
        state.producers.forget_replicated(high_watermark);
        self.publish(&state);
        high_watermark
    }

    /// The bytes of all segments.
    pub fn size_bytes(&self) -> u64 {
        self.state.lock().segments.iter().map(|segment| segment.size).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.state.lock().segments.len()
    }

    /// The producers that the partition remembers, in no order.
    pub fn producers(&self) -> Vec<ProducerEntry> {
        self.state.lock().producers.entries().cloned().collect()
    }

    /// What a producer's batch has to show when it begins a transaction; None if its transaction is open here already.
    pub fn begin_verification(&self, producer_id: i64, epoch: i16) -> Option<VerificationGuard> {
        self.state.lock().producers.begin_verification(producer_id, epoch)
    }

    /// The batch will not come.
    pub fn end_verification(&self, producer_id: i64, guard: VerificationGuard) {
        self.state.lock().producers.end_verification(producer_id, guard);
    }

    /// Forgets producers that have been silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&self, now_ms: i64) {
        let expiration_ms = self.config.read().producer_id_expiration_ms;
        self.state.lock().producers.expire(now_ms, expiration_ms);
    }

    /// A copy of the reigns of the partition's leaders.
    pub fn leader_epochs(&self) -> LeaderEpochs {
        self.state.lock().leader_epochs.clone()
    }

    /// The newest leader epoch that has written here.
    pub fn latest_epoch(&self) -> Option<i32> {
        self.state.lock().leader_epochs.latest().map(|entry| entry.epoch)
    }

    /// The largest known epoch not above `epoch`, and where it ends; None if nothing can be said.
    pub fn end_offset_for(&self, epoch: i32) -> Option<(i32, i64)> {
        let state = self.state.lock();
        state.leader_epochs.end_offset_for(epoch, state.log_end_offset)
    }

    /// Says that `epoch` begins at `start_offset`. A leader does so when it takes over, before its first append.
    ///
    /// # Errors
    /// `Storage`.
    pub fn assign_epoch(&self, epoch: i32, start_offset: i64) -> Result<(), Error> {
        let mut state = self.state.lock();
        self.assign_epoch_locked(&mut state, epoch, start_offset)
    }

    fn assign_epoch_locked(&self, state: &mut State, epoch: i32, start_offset: i64) -> Result<(), Error> {
        self.check_online(state)?;
        state.epochs_unwritten |= state.leader_epochs.assign(epoch, start_offset);
        Ok(())
    }

    /// Syncs everything up to the log end, and moves the recovery point there.
    ///
    /// # Errors
    /// `Storage`.
    pub fn flush(&self, now_ms: i64) -> Result<(), Error> {
        let end = self.log_end_offset();
        self.flush_to(end, now_ms)
    }

    /// Syncs the segments before the last one, if any was rolled since this was last called.
    ///
    /// # Errors
    /// `Storage`.
    pub fn flush_rolled(&self, now_ms: i64) -> Result<(), Error> {
        if !self.rolled.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let base = self.state.lock().active().base_offset;
        self.flush_to(base, now_ms)
    }

    /// Syncs if records have lain unsynced for longer than `flush.ms`.
    ///
    /// # Errors
    /// `Storage`.
    pub fn flush_if_due(&self, now_ms: i64) -> Result<(), Error> {
        let flush_ms = self.config.read().flush_ms;
        let due = {
            let state = self.state.lock();
            state.recovery_point < state.log_end_offset && now_ms.saturating_sub(state.last_flush_ms) >= flush_ms
        };
        if due { self.flush(now_ms) } else { Ok(()) }
    }

    /// The log start, if a checkpoint must keep it: where a segment begins, it needs none.
    fn checkpointed_log_start_offset(&self) -> Option<i64> {
        let state = self.state.lock();
        (state.log_start_offset > state.segments[0].base_offset).then_some(state.log_start_offset)
    }

    /// Everything below is synced.
    pub fn recovery_point(&self) -> i64 {
        self.state.lock().recovery_point
    }

    /// Syncs the segments that hold `[recovery point, offset)`. The lock is not held while the disk works; who comes
    /// meanwhile waits, and finds that the next one's sync was his too.
    fn flush_to(&self, offset: i64, now_ms: i64) -> Result<(), Error> {
        let _flushing = self.flushing.lock();
        let result = (|| {
            let (files, path, sync_dir, changes, end) = {
                let mut state = self.state.lock();
                if offset <= state.recovery_point || self.is_closed() {
                    return Ok(());
                }
                let state = &mut *state;
                // What has come since belongs to those who wait.
                let offset = if offset > state.active_base() { state.log_end_offset } else { offset };
                let from = state.recovery_point;
                let first = state.segments.partition_point(|segment| segment.base_offset <= from).saturating_sub(1);
                let mut files = Vec::new();
                for segment in state.segments.iter_mut().skip(first).filter(|segment| segment.base_offset < offset) {
                    // Indexes are small; they may be synced under the lock.
                    segment.sync_indexes(&state.path)?;
                    files.push(segment.file(&state.path)?);
                }
                let sync_dir = std::mem::take(&mut state.dir_dirty);
                (files, state.path.clone(), sync_dir, state.truncations, offset)
            };
            for file in files {
                file.sync_data()?;
            }
            if sync_dir {
                sync_leader_epochs(&path)?;
                checkpoints::sync_dir(&path)?;
            }
            let mut state = self.state.lock();
            if state.truncations == changes {
                state.recovery_point = state.recovery_point.max(end);
            } else {
                // What was synced is not what is there now.
                state.dir_dirty |= sync_dir;
            }
            state.last_flush_ms = now_ms;
            Ok(())
        })();
        result.map_err(|error| self.failed(error))
    }

    /// Ends the log's life in memory after an orderly stop: snapshot, last index entries, everything synced.
    fn close(&self, now_ms: i64) -> Result<(), Error> {
        {
            let mut state = self.state.lock();
            if self.is_closed() {
                return Ok(());
            }
            state.finish().map_err(|error| self.failed(error))?;
        }
        self.flush(now_ms)?;
        let _state = self.state.lock();
        self.closed.store(true, Ordering::Release);
        Ok(())
    }

    /// Renames the partition's folder; after that the log takes no more writes.
    fn rename_folder(&self, name: &str) -> Result<PathBuf, Error> {
        let mut state = self.state.lock();
        let to = self.log_dir().path().join(name);
        fs::rename(&state.path, &to).map_err(|error| self.broken(error))?;
        state.path = to.clone();
        self.closed.store(true, Ordering::Release);
        Ok(to)
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Turns an I/O error into this room's, and takes the log dir offline; but not for bytes that are no batches, where
    /// the disk works and only a reader of these bytes is in trouble.
    fn failed(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::InvalidData {
            return Error::CorruptBatch(format!("{}: {error}", self.topic_partition));
        }
        if error::is_transient(&error) {
            tracing::error!("{}: {error}", self.topic_partition);
            return Error::storage(self.log_dir().path(), error);
        }
        self.broken(error)
    }

    /// As [`Log::failed`], where memory and disk may be apart now: whatever it was, the log dir goes offline. Not if
    /// the log is closed: its folder is another's or gone, and that is no fault of the disk.
    fn broken(&self, error: io::Error) -> Error {
        let log_dir = self.log_dir();
        if !self.is_closed() {
            log_dir.fail(&error);
        }
        Error::storage(log_dir.path(), error)
    }

    /// Refuses to work on a log dir that has failed, or on a log that was closed or deleted.
    fn check_online(&self, state: &State) -> Result<(), Error> {
        let log_dir = self.log_dir.read();
        if log_dir.is_offline() {
            return Err(Error::storage(log_dir.path(), io::Error::other("the log directory is offline")));
        }
        if self.is_closed() {
            return Err(Error::storage(&state.path, io::Error::other("the log is closed")));
        }
        Ok(())
    }

    /// Shows the outside where the log's offsets are now.
    fn publish(&self, state: &State) {
        self.log_start_offset.store(state.log_start_offset, Ordering::Release);
        self.log_end_offset.store(state.log_end_offset, Ordering::Release);
        self.high_watermark.store(state.high_watermark, Ordering::Release);
        self.last_stable_offset.store(state.last_stable_offset(), Ordering::Release);
    }

    fn log_end_changed(&self, state: &mut State) {
        state.high_watermark = state.high_watermark.clamp(state.log_start_offset, state.log_end_offset);
        self.publish(state);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log({}, {}..{})", self.topic_partition, self.log_start_offset(), self.log_end_offset())
    }
}

impl State {
    fn active(&mut self) -> &mut Segment {
        self.segments.back_mut().expect("a log has at least one segment")
    }

    fn active_base(&self) -> i64 {
        self.segments.back().map_or(0, |active| active.base_offset)
    }

    fn last_stable_offset(&self) -> i64 {
        match self.producers.first_unstable_offset() {
            Some(unstable) => unstable.max(self.log_start_offset).min(self.high_watermark),
            None => self.high_watermark,
        }
    }

    /// The segment that holds `offset`, or would.
    fn segment_of(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1)
    }

    fn write_leader_epochs(&mut self) -> io::Result<()> {
        recovery::write_leader_epochs(&self.path, &self.leader_epochs)?;
        self.epochs_unwritten = false;
        self.dir_dirty = true;
        Ok(())
    }

    /// Begins a new segment at the log end: the old one's indexes are finished, producers are written down.
    fn roll(&mut self, config: &LogConfig, now_ms: i64) -> io::Result<()> {
        let base = self.log_end_offset;
        let State { segments, path, .. } = self;
        let active = segments.back_mut().expect("a log has at least one segment");
        if active.base_offset == base {
            // Nothing in it yet: a new one would take its name.
            return Ok(());
        }
        active.become_inactive(path)?;
        self.take_snapshot(false)?;
        let segment = Segment::create(&self.path, base, now_ms)?;
        if config.preallocate {
            use rustix::fs::{FallocateFlags, fallocate};
            // Size kept: the blocks are there, and nobody takes zeros for batches.
            fallocate(&*segment.file(&self.path)?, FallocateFlags::KEEP_SIZE, 0, u64::from(config.segment_bytes))?;
        }
        self.segments.push_back(segment);
        self.tail.clear();
        self.dir_dirty = true;
        Ok(())
    }

    /// Writes what is known of producers, as of the log end.
    fn take_snapshot(&mut self, sync: bool) -> io::Result<()> {
        let offset = self.log_end_offset;
        if self.snapshots.contains(&offset) || offset <= self.log_start_offset {
            return Ok(());
        }
        recovery::write_snapshot(&self.path, &self.producers, offset, sync)?;
        self.snapshots.insert(offset);
        Ok(())
    }

    /// What an orderly stop leaves behind, short of syncing.
    fn finish(&mut self) -> io::Result<()> {
        let unflushed = self.recovery_point < self.log_end_offset;
        self.take_snapshot(true)?;
        if unflushed {
            let State { segments, path, .. } = self;
            let active = segments.back_mut().expect("a log has at least one segment");
            active.become_inactive(path)?;
            active.file(path)?.set_len(active.size)?;
        }
        // The snapshot at the former stop is no segment's; the new one replaces it.
        let stray: BTreeSet<i64> = self
            .snapshots
            .iter()
            .copied()
            .filter(|offset| {
                *offset != self.log_end_offset
                    && self.segments.binary_search_by_key(offset, |segment| segment.base_offset).is_err()
            })
            .collect();
        self.delete_snapshots(|offset| stray.contains(&offset))
    }
}

fn roll_limits(config: &LogConfig) -> RollLimits {
    RollLimits {
        segment_bytes: config.segment_bytes,
        segment_ms: config.segment_ms,
        segment_jitter_ms: config.segment_jitter_ms,
        segment_index_bytes: config.segment_index_bytes,
    }
}

fn sync_leader_epochs(dir: &Path) -> io::Result<()> {
    match fs::File::open(dir.join(recovery::LEADER_EPOCHS)) {
        Ok(file) => file.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
