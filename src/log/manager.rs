//! The broker's log dirs and all logs in them.
//!
//! There are no threads here: what must happen now and then is a method that takes the time, for the broker to call.
//!
//! Source: `LogManager`.

mod moves;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tracing::{error, info, warn};

use tokio::sync::watch;

pub use self::moves::{DirContents, LogSize};
use super::Log;
use super::checkpoints::{self, CLEANER_OFFSETS, HIGH_WATERMARKS, LOG_START_OFFSETS, RECOVERY_POINTS};
use super::config::LogConfig;
use super::error::{Error, is_transient};
use super::log_dir::{self, Failures, LogDir, MetaProperties};
use super::recovery::LoadOptions;
use crate::wire::{TopicPartition, Uuid};

const DELETE_SUFFIX: &str = "-delete";
const FUTURE_SUFFIX: &str = "-future";
const STRAY_SUFFIX: &str = "-stray";
/// Logs that are made side by side: they wait for the disk, not for a processor.
const CREATING_THREADS: usize = 16;
/// How often a long start says how far it has come.
const PROGRESS: Duration = Duration::from_secs(1);
/// A dot and a number in hexadecimal, between a partition's name and a suffix.
const UNIQUE_LEN: usize = 33;
/// What a file's name may have in bytes.
const NAME_MAX: usize = 255;

/// What the log dirs are opened with.
pub struct LogManagerOptions<'a> {
    /// `log.dirs`.
    pub dirs: Vec<PathBuf>,
    pub broker_id: i32,
    /// The registry's; every log dir must carry it, and a new one gets it.
    pub cluster_id: String,
    /// A topic's configuration, from the registry and the broker's defaults.
    pub config_of: &'a (dyn Fn(&str) -> LogConfig + Sync),
    /// `num.recovery.threads.per.data.dir`.
    pub recovery_threads_per_dir: usize,
    /// Wall clock, milliseconds since 1970.
    pub now_ms: i64,
}

/// A log that is to be made.
#[derive(Debug, Clone)]
pub struct NewLog {
    pub partition: TopicPartition,
    pub topic_id: Uuid,
    pub config: LogConfig,
    /// The partition has never been on this broker. Otherwise it may be in a log dir that has failed, and is not made
    /// anew while there is one.
    pub is_new: bool,
}

/// All logs of a broker.
pub struct LogManager {
    dirs: Vec<Arc<LogDir>>,
    logs: RwLock<HashMap<TopicPartition, Arc<Log>>>,
    /// Those that move to another log dir: what they have there so far.
    futures: RwLock<HashMap<TopicPartition, Arc<Log>>>,
    failures: Failures,
    /// Orders creation and deletion.
    changes: Mutex<Changes>,
    /// Held while a checkpoint is written: two writers of one would take each other's temporary file away. False once
    /// the dirs may be another's.
    may_checkpoint: Mutex<bool>,
    /// A hash of what each checkpoint was last written with: one that says the same need not be written.
    written: Mutex<HashMap<PathBuf, u64>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Changes {
    /// Folders of deleted partitions, with the time when they go for good.
    doomed: Vec<(i64, PathBuf)>,
    /// Partitions deleted since the checkpoints were written: their offsets are still in there.
    stale: HashSet<TopicPartition>,
    /// Where partitions that are not here yet shall be made.
    preferred: HashMap<TopicPartition, Arc<LogDir>>,
}

impl LogManager {
    /// Locks the log dirs, checks whose they are, and loads all logs: at once after a clean stop, checking what was
    /// not synced otherwise. A dir whose disk fails is left out.
    ///
    /// # Errors
    /// `Locked`, `InconsistentBrokerId`, `InconsistentClusterId`, `Malformed`; `Storage` if no dir is left.
    pub fn open(options: LogManagerOptions<'_>) -> Result<LogManager, Error> {
        let failures = Failures::default();
        let mut dirs = Vec::new();
        let mut failure = None;
        for path in &options.dirs {
            match LogDir::lock(path, &failures) {
                Ok(dir) => dirs.push(Arc::new(dir)),
                Err(reason @ Error::Storage { .. }) => {
                    error!("{reason}");
                    failure = Some(reason);
                    dirs.push(Arc::new(LogDir::failed(path, &failures)));
                }
                Err(other) => return Err(other),
            }
        }
        let manager = LogManager {
            dirs,
            logs: RwLock::default(),
            futures: RwLock::default(),
            failures,
            changes: Mutex::default(),
            may_checkpoint: Mutex::new(true),
            written: Mutex::default(),
            hasher: RandomState::new(),
        };
        let mut survived = |dir: &LogDir, result| match result {
            Err(Error::Storage { source, .. }) => {
                dir.fail(&source);
                failure = Some(Error::storage(dir.path(), source));
                Ok(())
            }
            other => other,
        };
        // Whose they are is looked at in all of them before anything is changed in one.
        for dir in manager.online_dirs() {
            survived(dir, claim(dir, &options))?;
        }
        for dir in manager.online_dirs() {
            survived(dir, manager.load_dir(dir, &options))?;
        }
        manager.logs.write().retain(|_, log| !log.is_offline());
        if manager.online_dirs().next().is_none() {
            let none = || Error::storage("", io::Error::other("no log directory is configured"));
            return Err(failure.unwrap_or_else(none));
        }
        Ok(manager)
    }

    /// The log dirs, failed ones too.
    pub fn dirs(&self) -> &[Arc<LogDir>] {
        &self.dirs
    }

    /// Counts the log dirs that have failed. Changes once for each.
    pub fn failures(&self) -> watch::Receiver<usize> {
        self.failures.subscribe()
    }

    /// Whether no log dir works any more.
    pub fn have_all_failed(&self) -> bool {
        self.online_dirs().next().is_none()
    }

    fn online_dirs(&self) -> impl Iterator<Item = &Arc<LogDir>> {
        self.dirs.iter().filter(|dir| !dir.is_offline())
    }

    fn load_dir(&self, dir: &Arc<LogDir>, options: &LogManagerOptions<'_>) -> Result<(), Error> {
        let storage = |error| Error::storage(dir.path(), error);
        let clean = dir.take_clean_shutdown_marker().map_err(storage)?;
        let read = |name| match checkpoints::read_offsets(dir.path(), name) {
            Ok(offsets) => offsets,
            Err(reason) => {
                warn!("{}: {reason}; going on without", dir.path().display());
                BTreeMap::new()
            }
        };
        let recovery_points = read(RECOVERY_POINTS);
        let high_watermarks = read(HIGH_WATERMARKS);
        let log_start_offsets = read(LOG_START_OFFSETS);
        let cleaner_offsets = read(CLEANER_OFFSETS);
        let mut folders = Vec::new();
        for entry in fs::read_dir(dir.path()).map_err(storage)? {
            let entry = entry.map_err(storage)?;
            if !entry.file_type().map_err(storage)?.is_dir() {
                continue;
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(DELETE_SUFFIX) {
                self.changes.lock().doomed.push((options.now_ms, entry.path()));
            } else if name.ends_with(STRAY_SUFFIX) {
                warn!("leaving {} alone", entry.path().display());
            } else if let Some(name) = name.strip_suffix(FUTURE_SUFFIX) {
                let partition = name.rsplit_once('.').and_then(|(partition, _)| parse_folder(partition));
                folders.extend(partition.map(|partition| (partition, entry.path(), true)));
            } else if let Some(partition) = parse_folder(name) {
                folders.push((partition, entry.path(), false));
            }
        }
        if !clean && !folders.is_empty() {
            info!(
                "Attempting recovery for all logs in {} since no clean shutdown file was found",
                dir.path().display()
            );
        }
        let (next, loaded) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let started = Instant::now();
        let said = Mutex::new(started);
        let load_next = || -> Result<(), Error> {
            while let Some((partition, path, is_future)) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
                // The checkpoints speak of the current log alone.
                let checkpointed =
                    |offsets: &BTreeMap<TopicPartition, i64>| offsets.get(partition).copied().filter(|_| !is_future);
                let load = LoadOptions {
                    clean: clean && !is_future,
                    recovery_point: checkpointed(&recovery_points).unwrap_or(0),
                    log_start_offset: checkpointed(&log_start_offsets).unwrap_or(0),
                    now_ms: options.now_ms,
                };
                let config = (options.config_of)(&partition.topic);
                let high_watermark = checkpointed(&high_watermarks);
                let log = Log::open(Arc::clone(dir), path.clone(), partition.clone(), config, load, high_watermark)?;
                log.state.lock().first_dirty_offset = checkpointed(&cleaner_offsets);
                let logs = if *is_future { &self.futures } else { &self.logs };
                let log = Arc::new(log);
                let duplicate = logs.write().insert(partition.clone(), log.clone());
                if let Some(other) = duplicate {
                    self.settle(logs, log, other, options.now_ms)?;
                }
                let done = loaded.fetch_add(1, Ordering::Relaxed) + 1;
                let mut said = said.lock();
                if done == folders.len() || said.elapsed() >= PROGRESS {
                    *said = Instant::now();
                    let (all, dir, ms) = (folders.len(), dir.path().display(), started.elapsed().as_millis());
                    info!("Loaded {done} of {all} logs in {dir} in {ms}ms");
                }
            }
            Ok(())
        };
        let threads = options.recovery_threads_per_dir.clamp(1, folders.len().max(1));
        if threads == 1 {
            return load_next();
        }
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(load_next)).collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
        })
    }

    /// A partition is in two log dirs: a move was cut short between its last two steps, or one of the dirs was away
    /// then. The one that knows more is the one that went on.
    fn settle(
        &self,
        logs: &RwLock<HashMap<TopicPartition, Arc<Log>>>,
        one: Arc<Log>,
        other: Arc<Log>,
        now_ms: i64,
    ) -> Result<(), Error> {
        let age = |log: &Log| (log.latest_epoch(), log.log_end_offset());
        let (kept, gone) = if age(&other) > age(&one) { (other, one) } else { (one, other) };
        let partition = kept.topic_partition();
        let [here, there] = [&kept, &gone].map(|log| log.log_dir().path().display().to_string());
        warn!("{partition} is in {here} and in {there}: going on with the former, deleting the latter");
        let path = gone.rename_folder(&deleted_name(partition))?;
        self.changes.lock().doomed.push((now_ms.saturating_add(gone.config().file_delete_delay_ms), path));
        logs.write().insert(partition.clone(), kept.clone());
        Ok(())
    }

    /// The partition's log, if there is one here and its log dir works.
    pub fn log(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.logs.read().get(partition).cloned()
    }

    /// All logs, in no order.
    pub fn all_logs(&self) -> Vec<Arc<Log>> {
        self.logs.read().values().cloned().collect()
    }

    /// The partition's log; a new one, in the log dir that has the fewest, if there was none.
    ///
    /// # Errors
    /// `InconsistentTopicId` if there is a folder with another topic's id; `Storage`.
    pub fn create_log(
        &self,
        topic: &str,
        partition: i32,
        topic_id: Uuid,
        config: LogConfig,
        now_ms: i64,
    ) -> Result<Arc<Log>, Error> {
        let wanted = NewLog { partition: TopicPartition::new(topic, partition), topic_id, config, is_new: true };
        let mut created = self.create_logs(vec![wanted], now_ms);
        created.pop().unwrap_or_else(|| Err(no_log_dir()))
    }

    /// Many logs at once, each as [`create_log`](Self::create_log) does it; the results are in the order of `wanted`.
    ///
    /// Each log costs two syncs of the disk. They are made side by side, so that a file system with a journal shares
    /// its commits among them.
    pub fn create_logs(&self, wanted: Vec<NewLog>, now_ms: i64) -> Vec<Result<Arc<Log>, Error>> {
        let mut changes = self.changes.lock();
        if wanted.iter().any(|new| changes.stale.contains(&new.partition)) {
            // The checkpoints still speak of the deleted namesake; after a crash they would be believed.
            self.write_all_checkpoints(&mut changes);
        }
        let names: Vec<(TopicPartition, Uuid)> =
            wanted.iter().map(|new| (new.partition.clone(), new.topic_id)).collect();
        let mut failed: HashMap<TopicPartition, Error> = HashMap::new();
        let mut may_be_made = wanted;
        if let Some(dir) = self.dirs.iter().find(|dir| dir.is_offline()) {
            // What is not new may be there, and must not begin anew here.
            let (new, lost): (Vec<NewLog>, _) = may_be_made.into_iter().partition(|new| new.is_new);
            failed.extend(lost.into_iter().map(|lost| (lost.partition, offline(dir.path()))));
            may_be_made = new;
        }
        for (partition, made) in self.make_logs(self.in_log_dirs(may_be_made, &mut changes), now_ms) {
            match made {
                Ok(log) => drop(self.logs.write().insert(partition, log)),
                Err(error) => drop(failed.insert(partition, error)),
            }
        }
        let mut result = |(partition, topic_id): (TopicPartition, Uuid)| match self.log(&partition) {
            Some(log) => log.assign_topic_id(topic_id).map(|()| log),
            None => Err(failed.remove(&partition).unwrap_or_else(no_log_dir)),
        };
        names.into_iter().map(&mut result).collect()
    }

    /// The logs that are not there yet, each once, with the log dir that takes it.
    fn in_log_dirs(&self, wanted: Vec<NewLog>, changes: &mut Changes) -> Vec<(NewLog, Arc<LogDir>)> {
        let logs = self.logs.read();
        let mut counts: HashMap<PathBuf, usize> = HashMap::new();
        for log in logs.values() {
            *counts.entry(log.log_dir().path().to_owned()).or_default() += 1;
        }
        let mut taken: HashSet<TopicPartition> = HashSet::new();
        let mut placed = Vec::with_capacity(wanted.len());
        for new in wanted {
            let Some(dir) = self.online_dirs().min_by_key(|dir| counts.get(dir.path()).copied().unwrap_or(0)) else {
                break;
            };
            if !logs.contains_key(&new.partition) && taken.insert(new.partition.clone()) {
                let preferred = changes.preferred.remove(&new.partition).filter(|dir| !dir.is_offline());
                let dir = preferred.as_ref().unwrap_or(dir);
                *counts.entry(dir.path().to_owned()).or_default() += 1;
                placed.push((new, dir.clone()));
            }
        }
        placed
    }

    fn make_logs(
        &self,
        mut placed: Vec<(NewLog, Arc<LogDir>)>,
        now_ms: i64,
    ) -> Vec<(TopicPartition, Result<Arc<Log>, Error>)> {
        let make = |(new, dir): (NewLog, Arc<LogDir>)| {
            let path = dir.path().join(new.partition.to_string());
            (new.partition.clone(), make_log(new, &dir, path, now_ms))
        };
        if placed.len() <= 1 {
            return placed.pop().map(make).into_iter().collect();
        }
        let threads = placed.len().min(CREATING_THREADS);
        let queue = Mutex::new(placed);
        let made = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    loop {
                        let Some(next) = queue.lock().pop() else { break };
                        let log = make(next);
                        made.lock().push(log);
                    }
                });
            }
        });
        made.into_inner()
    }

    /// Takes the partition's log away: its folder is renamed at once and goes for good after `file.delete.delay.ms`.
    /// Does nothing if there is none.
    ///
    /// # Errors
    /// `Storage`.
    pub fn delete_log(&self, partition: &TopicPartition, now_ms: i64) -> Result<(), Error> {
        let mut changes = self.changes.lock();
        let Some(log) = self.logs.write().remove(partition) else { return Ok(()) };
        changes.stale.insert(partition.clone());
        changes.preferred.remove(partition);
        self.drop_future(partition, &mut changes, now_ms)?;
        let path = log.rename_folder(&deleted_name(partition))?;
        info!("Log for partition {partition} is renamed to {} and is scheduled for deletion", path.display());
        let at_ms = now_ms.saturating_add(log.config().file_delete_delay_ms);
        changes.doomed.push((at_ms, path));
        Ok(())
    }

    /// From now on the topic's logs obey `config`.
    pub fn update_config(&self, topic: &str, config: &LogConfig) {
        for log in self.logs.read().values().filter(|log| &*log.topic_partition().topic == topic) {
            log.update_config(config.clone());
        }
    }

    /// Syncs what segments rolled since the last call have left, and what is due by `flush.ms`. Cheap when there is
    /// nothing to do: every second will do.
    pub fn flush_logs(&self, now_ms: i64) {
        self.for_each_log("flush", |log| log.flush_rolled(now_ms).and_then(|()| log.flush_if_due(now_ms)));
    }

    /// Every `log.flush.offset.checkpoint.interval.ms`.
    pub fn checkpoint_recovery_points(&self) {
        let mut changes = self.changes.lock();
        self.write_all_checkpoints(&mut changes);
    }

    /// Every `replica.high.watermark.checkpoint.interval.ms`.
    pub fn checkpoint_high_watermarks(&self) {
        self.write_checkpoint(HIGH_WATERMARKS, |log| Some(log.high_watermark()));
    }

    /// Every `log.flush.start.offset.checkpoint.interval.ms`.
    pub fn checkpoint_log_start_offsets(&self) {
        self.write_checkpoint(LOG_START_OFFSETS, Log::checkpointed_log_start_offset);
    }

    /// After every round of the cleaner.
    pub(super) fn checkpoint_cleaner_offsets(&self) {
        self.write_checkpoint(CLEANER_OFFSETS, |log| log.state.lock().first_dirty_offset);
    }

    /// Every `log.retention.check.interval.ms`: deletes segments past retention.
    pub fn run_retention(&self, now_ms: i64) {
        self.for_each_log("retention", |log| log.delete_old_segments(now_ms).map(drop));
    }

    /// Every `producer.id.expiration.check.interval.ms`: forgets silent producers.
    pub fn expire_producers(&self, now_ms: i64) {
        self.all_logs().iter().for_each(|log| log.expire_producers(now_ms));
    }

    /// Removes for good what was deleted long enough ago: segments and whole partitions.
    pub fn delete_expired_files(&self, now_ms: i64) {
        self.for_each_log("deletion", |log| log.delete_expired_files(now_ms));
        let due: Vec<PathBuf> = {
            let mut changes = self.changes.lock();
            let (due, later) = std::mem::take(&mut changes.doomed).into_iter().partition(|(at_ms, _)| *at_ms <= now_ms);
            changes.doomed = later;
            due.into_iter().map(|(_, path): (i64, PathBuf)| path).collect()
        };
        for path in due {
            if let Err(reason) = fs::remove_dir_all(&path)
                && reason.kind() != io::ErrorKind::NotFound
            {
                error!("deleting {}: {reason}", path.display());
            }
        }
    }

    /// An orderly stop: everything is synced, producers and offsets are written down, the dirs marked clean and unlocked.
    /// The logs take no more writes.
    pub fn shutdown(&self, now_ms: i64) {
        let mut changes = self.changes.lock();
        self.for_each_log("shutdown", |log| log.close(now_ms));
        self.write_all_checkpoints(&mut changes);
        *self.may_checkpoint.lock() = false;
        for dir in &self.dirs {
            if !dir.is_offline()
                && let Err(reason) = dir.write_clean_shutdown_marker()
            {
                dir.fail(&reason);
            }
            dir.unlock();
        }
    }

    fn write_all_checkpoints(&self, changes: &mut Changes) {
        self.write_checkpoint(RECOVERY_POINTS, |log| Some(log.recovery_point()));
        self.write_checkpoint(LOG_START_OFFSETS, Log::checkpointed_log_start_offset);
        self.write_checkpoint(HIGH_WATERMARKS, |log| Some(log.high_watermark()));
        // Brokers without compacted topics have no such file.
        let cleaned = |log: &Arc<Log>| log.state.lock().first_dirty_offset.is_some();
        if !changes.stale.is_empty() || self.all_logs().iter().any(cleaned) {
            self.checkpoint_cleaner_offsets();
        }
        changes.stale.clear();
    }

    fn write_checkpoint(&self, name: &str, offset_of: impl Fn(&Log) -> Option<i64>) {
        let may_checkpoint = self.may_checkpoint.lock();
        if !*may_checkpoint {
            return;
        }
        // A truncation lowers the checkpoint after the log: it must come after what is written here, or be seen by it.
        let _checkpointing: Vec<_> = self.dirs.iter().map(|dir| dir.checkpointing.lock()).collect();
        let mut by_dir: HashMap<PathBuf, BTreeMap<TopicPartition, i64>> = HashMap::new();
        let logs = self.all_logs();
        for log in &logs {
            if let Some(offset) = offset_of(log) {
                by_dir
                    .entry(log.log_dir().path().to_owned())
                    .or_default()
                    .insert(log.topic_partition().clone(), offset);
            }
        }
        for dir in self.online_dirs() {
            let offsets = by_dir.remove(dir.path()).unwrap_or_default();
            let (file, content) = (dir.path().join(name), self.hasher.hash_one(&offsets));
            let mut written = self.written.lock();
            if written.get(&file) == Some(&content) {
                continue;
            }
            match checkpoints::write_offsets(dir.path(), name, &offsets) {
                Ok(()) => drop(written.insert(file, content)),
                Err(reason) if is_transient(&reason) => error!("{}: {reason}", file.display()),
                Err(reason) => dir.fail(&reason),
            }
        }
    }

    /// Does something with every log of a working dir; a failure takes the dir offline, and is logged.
    fn for_each_log(&self, what: &str, act: impl Fn(&Log) -> Result<(), Error>) {
        let futures: Vec<Arc<Log>> = self.futures.read().values().cloned().collect();
        for log in self.all_logs().into_iter().chain(futures) {
            if log.is_offline() {
                continue;
            }
            if let Err(reason) = act(&log) {
                error!("{what} of {}: {reason}", log.topic_partition());
            }
        }
    }
}

/// Checks that the dir is this broker's in this cluster, and says so if nobody has.
fn claim(dir: &LogDir, options: &LogManagerOptions<'_>) -> Result<(), Error> {
    let path = dir.path();
    let Some(meta) = MetaProperties::read(path)? else {
        let meta = MetaProperties { broker_id: Some(options.broker_id), cluster_id: Some(options.cluster_id.clone()) };
        return meta.write(path).map_err(|error| Error::storage(path, error));
    };
    if let Some(stored) = meta.broker_id.filter(|id| *id != options.broker_id) {
        return Err(Error::InconsistentBrokerId { dir: path.to_owned(), configured: options.broker_id, stored });
    }
    if let Some(stored) = meta.cluster_id.filter(|id| *id != options.cluster_id) {
        let configured = options.cluster_id.clone();
        return Err(Error::InconsistentClusterId { dir: path.to_owned(), configured, stored });
    }
    Ok(())
}

/// `topic-0`: the partition whose folder has this name.
fn parse_folder(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let partition = partition.parse().ok().filter(|partition: &i32| *partition >= 0)?;
    (!topic.is_empty()).then(|| TopicPartition::new(topic, partition))
}

/// A number nobody has used, behind a dot: names of two deleted namesakes must differ.
fn unique() -> String {
    let random = |salt: u8| RandomState::new().hash_one(salt);
    format!(".{:016x}{:016x}", random(0), random(1))
}

/// The name that a deleted partition's folder gets; the topic is cut where it would be too long.
fn deleted_name(partition: &TopicPartition) -> String {
    let suffix = format!("{}{DELETE_SUFFIX}", unique());
    let name = partition.to_string();
    let keep = name.len().min(NAME_MAX - suffix.len());
    format!("{}{suffix}", &name[..keep])
}

/// The folder with the topic's id, and the empty log in it.
fn make_log(new: NewLog, dir: &Arc<LogDir>, path: PathBuf, now_ms: i64) -> Result<Arc<Log>, Error> {
    let NewLog { partition, topic_id, config, .. } = new;
    let made = fs::create_dir_all(&path).and_then(|()| match topic_id.is_zero() {
        true => Ok(()),
        false => log_dir::write_partition_metadata(&path, topic_id),
    });
    if let Err(reason) = made {
        dir.fail(&reason);
        return Err(Error::storage(dir.path(), reason));
    }
    let load = LoadOptions { clean: true, recovery_point: 0, log_start_offset: 0, now_ms };
    Ok(Arc::new(Log::open(Arc::clone(dir), path, partition, config, load, None)?))
}

fn offline(dir: &Path) -> Error {
    Error::storage(dir, io::Error::other("the log directory is offline"))
}

fn no_log_dir() -> Error {
    Error::storage("", io::Error::other("all log directories are offline"))
}

#[cfg(test)]
mod tests;
