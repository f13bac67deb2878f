//! Compaction: what is known of every key but the newest record is taken out of compacted logs, in the background.
//!
//! A round over one log reads the dirty part into a map from key to newest offset, then copies every segment up to the
//! map's end, without what the map knows something newer for. Neighbours that have shrunk become one. Memory is the
//! map (`log.cleaner.dedupe.buffer.size` over all threads, and no more than the dirty part can need) and one buffer;
//! what does not fit into the map waits for another round.
//!
//! [`choice`] says what to clean, [`filter`] what stays, [`offset_map`] which record is the newest, [`throttle`] how
//! fast: all pure. [`round`] does it to a log's files; here are the threads.
//!
//! Hazards, and what guards against each:
//! - A crash while a segment is written: it is called `.cleaned`, and thrown away at the next start.
//! - A crash while it is swapped in: it is synced first, then called `.swap`, then the old ones become `.deleted`, then
//!   it gets its name. The next start finishes what has a `.swap`.
//! - The log is truncated, shortened or deleted meanwhile: noticed under the log's lock before the swap; the round is
//!   given up.
//! - Readers in the middle of an old segment: they keep its file, or look again (`State::truncations`).
//! - Bytes that are no batches: the partition is left alone until a restart.
//!
//! Source: `LogCleaner`, `Cleaner`.

mod choice;
mod filter;
mod offset_map;
mod round;
mod throttle;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::{Condvar, Mutex};
use tracing::{debug, error, info, warn};

use super::{Error, Log, LogManager};
use crate::wire::TopicPartition;
use crate::wire::batch;
use choice::LogToClean;
use round::Round;
use throttle::Throttle;

/// The `log.cleaner.*` keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CleanerConfig {
    pub threads: usize,
    /// `log.cleaner.dedupe.buffer.size`: bytes of all threads' maps together.
    pub dedupe_buffer_size: u64,
    /// `log.cleaner.io.buffer.load.factor`: how full a map may get.
    pub load_factor: f64,
    pub max_bytes_per_second: f64,
    /// Milliseconds of sleep when nothing is dirty.
    pub backoff_ms: i64,
}

impl Default for CleanerConfig {
    fn default() -> CleanerConfig {
        CleanerConfig {
            threads: 1,
            dedupe_buffer_size: 128 << 20,
            load_factor: 0.9,
            max_bytes_per_second: f64::MAX,
            backoff_ms: 15_000,
        }
    }
}

/// The threads that compact a broker's logs.
pub struct LogCleaner {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    logs: Arc<LogManager>,
    state: Mutex<CleanerState>,
    /// The configuration has changed, or the end has come.
    changed: Condvar,
    throttle: Mutex<Throttle>,
    started: Instant,
}

struct CleanerState {
    config: CleanerConfig,
    /// Threads of an older generation end.
    generation: u64,
    in_progress: HashSet<TopicPartition>,
    /// Something was wrong with their bytes.
    uncleanable: HashSet<TopicPartition>,
}

/// What a round has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CleanerStats {
    pub bytes_read: u64,
    pub bytes_written: u64,
    pub invalid_records: u64,
    pub end_offset: i64,
}

/// Why a round was not finished.
#[derive(Debug)]
enum Interrupted {
    /// The cleaner stops, or the log has changed under it.
    Aborted,
    Failed(Error),
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Interrupted {
        match error.kind() {
            // Retention or a deletion was quicker.
            io::ErrorKind::NotFound => Interrupted::Aborted,
            io::ErrorKind::InvalidData => Interrupted::Failed(Error::CorruptBatch(error.to_string())),
            _ => Interrupted::Failed(Error::storage(PathBuf::new(), error)),
        }
    }
}

impl From<batch::Error> for Interrupted {
    fn from(error: batch::Error) -> Interrupted {
        Interrupted::Failed(error.into())
    }
}

impl LogCleaner {
    /// Starts the threads.
    pub fn start(logs: Arc<LogManager>, config: CleanerConfig) -> LogCleaner {
        let cleaner = LogCleaner::without_threads(logs, config);
        cleaner.spawn(config.threads, 0);
        cleaner
    }

    /// A cleaner that does nothing by itself.
    fn without_threads(logs: Arc<LogManager>, config: CleanerConfig) -> LogCleaner {
        let state = CleanerState { config, generation: 0, in_progress: HashSet::new(), uncleanable: HashSet::new() };
        let shared = Shared {
            logs,
            state: Mutex::new(state),
            changed: Condvar::new(),
            throttle: Mutex::new(Throttle::new(config.max_bytes_per_second, 0)),
            started: Instant::now(),
        };
        LogCleaner { shared: Arc::new(shared), threads: Mutex::default() }
    }

    fn spawn(&self, threads: usize, generation: u64) {
        let mut handles = self.threads.lock();
        for id in 0..threads {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name(format!("kafka-log-cleaner-thread-{id}"));
            match thread.spawn(move || shared.work(generation)) {
                Ok(handle) => handles.push(handle),
                Err(reason) => error!("the log cleaner cannot start thread {id}: {reason}"),
            }
        }
    }

    /// Obeys another configuration. A round under way is given up if the threads change.
    pub fn reconfigure(&self, config: CleanerConfig) {
        let generation = {
            let mut state = self.shared.state.lock();
            if state.config == config {
                return;
            }
            self.shared.throttle.lock().set_rate(config.max_bytes_per_second);
            state.config = config;
            state.generation += 1;
            self.shared.changed.notify_all();
            state.generation
        };
        self.join();
        self.spawn(config.threads, generation);
    }

    /// Ends the threads; returns when they have ended.
    pub fn stop(&self) {
        {
            let mut state = self.shared.state.lock();
            state.generation += 1;
            self.shared.changed.notify_all();
        }
        self.join();
    }

    fn join(&self) {
        for thread in std::mem::take(&mut *self.threads.lock()) {
            if thread.join().is_err() {
                error!("a log cleaner thread has failed");
            }
        }
    }
}

impl Shared {
    fn work(&self, generation: u64) {
        while self.is_current(generation) {
            if self.clean_dirtiest(generation, wall_ms()).is_none() {
                let mut state = self.state.lock();
                let backoff = Duration::from_millis(state.config.backoff_ms.max(1) as u64);
                if state.generation == generation {
                    self.changed.wait_for(&mut state, backoff);
                }
            }
        }
    }

    fn is_current(&self, generation: u64) -> bool {
        self.state.lock().generation == generation
    }

    /// Cleans the dirtiest log there is, if any is dirty enough; None if none is.
    fn clean_dirtiest(&self, generation: u64, now_ms: i64) -> Option<(TopicPartition, Option<CleanerStats>)> {
        let (log, plan, config) = self.take_dirtiest(now_ms)?;
        let partition = log.topic_partition().clone();
        let started = Instant::now();
        let memory = config.dedupe_buffer_size / config.threads.max(1) as u64;
        let round = Round {
            log: &log,
            config: log.config(),
            memory: usize::try_from(memory).unwrap_or(usize::MAX),
            load_factor: config.load_factor,
            now_ms,
            pause: &|bytes| self.pause(generation, bytes),
        };
        let result = round.clean(&plan);
        let done = match result {
            Ok(stats) => {
                let mut state = log.state.lock();
                // A truncation meanwhile has made this void.
                let end = stats.end_offset.min(state.log_end_offset);
                state.first_dirty_offset = Some(end.max(state.log_start_offset));
                drop(state);
                info!(
                    "log cleaner cleaned log {partition} (dirty section = [{}, {}]): {} bytes became {} in {:.1} s",
                    plan.first_dirty_offset,
                    stats.end_offset,
                    stats.bytes_read,
                    stats.bytes_written,
                    started.elapsed().as_secs_f64()
                );
                if stats.invalid_records > 0 {
                    warn!("{partition}: {} records without a key were dropped by compaction", stats.invalid_records);
                }
                self.logs.checkpoint_cleaner_offsets();
                Some(stats)
            }
            Err(Interrupted::Aborted) => {
                debug!("compaction of {partition} is given up for now");
                None
            }
            Err(Interrupted::Failed(Error::Storage { source, .. })) => {
                error!("failed to clean up log for {partition}: {source}");
                drop(log.failed(source));
                None
            }
            Err(Interrupted::Failed(reason)) => {
                error!("{partition} is not compacted any more until a restart: {reason}");
                self.state.lock().uncleanable.insert(partition.clone());
                None
            }
        };
        self.state.lock().in_progress.remove(&partition);
        Some((partition, done))
    }

    /// The dirtiest log that nobody is at, marked as being cleaned.
    fn take_dirtiest(&self, now_ms: i64) -> Option<(Arc<Log>, LogToClean, CleanerConfig)> {
        let mut state = self.state.lock();
        let mut dirtiest: Option<(Arc<Log>, LogToClean)> = None;
        for log in self.logs.all_logs() {
            let config = log.config();
            let partition = log.topic_partition();
            if !config.cleanup_policy.compact
                || log.log_dir().is_offline()
                || state.in_progress.contains(partition)
                || state.uncleanable.contains(partition)
            {
                continue;
            }
            let facts = match log.state.lock().cleaning_facts(&config) {
                Ok(facts) => facts,
                Err(reason) => {
                    error!("{partition} cannot be looked at for compaction: {reason}");
                    state.uncleanable.insert(partition.clone());
                    continue;
                }
            };
            let plan = LogToClean::of(&facts, &config, now_ms);
            if plan.is_due(&config) && dirtiest.as_ref().is_none_or(|(_, other)| plan.ratio() > other.ratio()) {
                dirtiest = Some((log, plan));
            }
        }
        let (log, plan) = dirtiest?;
        state.in_progress.insert(log.topic_partition().clone());
        Some((log, plan, state.config))
    }

    /// Takes note of bytes read or written, and waits as the throttle wants it.
    fn pause(&self, generation: u64, bytes: u64) -> Result<(), Interrupted> {
        let wait_ms = self.throttle.lock().observe(bytes as f64, self.started.elapsed().as_millis() as i64);
        let mut state = self.state.lock();
        let until = Instant::now() + Duration::from_millis(wait_ms as u64);
        while state.generation == generation {
            if wait_ms == 0 || self.changed.wait_until(&mut state, until).timed_out() {
                return Ok(());
            }
        }
        Err(Interrupted::Aborted)
    }
}

fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
