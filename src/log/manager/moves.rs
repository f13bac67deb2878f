//! Partitions on their way from one log dir to another.

use super::*;

/// Copied at once, before the next partition has its turn.
const CHUNK: usize = 1 << 20;

/// What is in a log dir.
#[derive(Debug)]
pub struct DirContents {
    pub dir: Arc<LogDir>,
    /// None if the dir has failed.
    pub logs: Option<Vec<LogSize>>,
}

/// A log in a log dir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSize {
    pub partition: TopicPartition,
    pub bytes: u64,
    /// Records that it lacks: of a future log compared with the current one, of another with its high watermark.
    pub lag: i64,
    pub is_future: bool,
}

impl LogManager {
    /// The log dir of that absolute path.
    ///
    /// # Errors
    /// `LogDirNotFound`; `Storage` if it has failed.
    pub fn log_dir(&self, path: &Path) -> Result<Arc<LogDir>, Error> {
        let wanted = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let dir = self.dirs.iter().find(|dir| dir.absolute_path() == wanted);
        let dir = dir.ok_or_else(|| Error::LogDirNotFound(path.to_owned()))?;
        if dir.is_offline() {
            return Err(offline(dir.path()));
        }
        Ok(dir.clone())
    }

    /// Has the partition move to that log dir, or be made there if it is not here yet. False in that case.
    ///
    /// # Errors
    /// As [`LogManager::log_dir`]; `Storage` too if any other log dir has failed, since the partition might be there;
    /// `NameTooLong`.
    pub fn move_log(&self, partition: &TopicPartition, to: &Path, now_ms: i64) -> Result<bool, Error> {
        if partition.to_string().len() + UNIQUE_LEN + FUTURE_SUFFIX.len() > NAME_MAX {
            return Err(Error::NameTooLong);
        }
        let to = self.log_dir(to)?;
        let mut changes = self.changes.lock();
        let Some(current) = self.log(partition) else {
            changes.preferred.insert(partition.clone(), to);
            return Ok(false);
        };
        if current.is_offline() {
            return Err(offline(current.log_dir().path()));
        }
        let is_there = |log: &Arc<Log>| log.log_dir().path() == to.path();
        let future = self.futures.read().get(partition).cloned();
        match future {
            Some(future) if is_there(&future) => return Ok(true),
            Some(_) => self.drop_future(partition, &mut changes, now_ms)?,
            None => {}
        }
        if is_there(&current) {
            return Ok(true);
        }
        if let Some(failed) = self.dirs.iter().find(|dir| dir.is_offline()) {
            return Err(offline(failed.path()));
        }
        let path = to.path().join(format!("{partition}{}{FUTURE_SUFFIX}", unique()));
        let new = NewLog {
            partition: partition.clone(),
            topic_id: current.topic_id(),
            config: (*current.config()).clone(),
            is_new: true,
        };
        let future = make_log(new, &to, path, now_ms)?;
        info!("{partition} moves from {} to {}", current.log_dir().path().display(), to.path().display());
        self.futures.write().insert(partition.clone(), future);
        Ok(true)
    }

    /// Whether any partition is on its way.
    pub fn has_moves(&self) -> bool {
        !self.futures.read().is_empty()
    }

    /// Goes on with every partition that is on its way, a megabyte each; those that have arrived take their place.
    /// Returns how many bytes were copied.
    pub fn advance_moves(&self, now_ms: i64) -> usize {
        let futures: Vec<Arc<Log>> = self.futures.read().values().cloned().collect();
        let mut copied = 0;
        for future in futures {
            let partition = future.topic_partition();
            let Some(current) = self.log(partition) else { continue };
            if current.is_offline() || future.is_offline() {
                self.futures.write().remove(partition);
                continue;
            }
            let advanced = match current.copy_to(&future, CHUNK, now_ms) {
                Ok(0) => self.arrive(&current, &future, now_ms).map(|()| 0),
                other => other,
            };
            match advanced {
                Ok(bytes) => copied += bytes,
                Err(reason) => {
                    error!("{partition} cannot move on, and stays where it is: {reason}");
                    if let Err(reason) = self.drop_future(partition, &mut self.changes.lock(), now_ms) {
                        error!("{reason}");
                    }
                }
            }
        }
        copied
    }

    fn arrive(&self, current: &Log, future: &Arc<Log>, now_ms: i64) -> Result<(), Error> {
        let mut changes = self.changes.lock();
        let partition = current.topic_partition();
        if !self.futures.read().get(partition).is_some_and(|known| Arc::ptr_eq(known, future)) {
            // Called off, or the partition deleted.
            return Ok(());
        }
        // The disk works while appends go on; what comes after this is little.
        future.flush(now_ms)?;
        match current.move_to(future, &partition.to_string(), &deleted_name(partition)) {
            Ok(false) => return Ok(()),
            moved => {
                self.futures.write().remove(partition);
                // The dir that it left must not remember it, should it come back.
                self.write_all_checkpoints(&mut changes);
                moved?;
            }
        }
        info!("{partition} is in {} now", current.log_dir().path().display());
        let at_ms = now_ms.saturating_add(current.config().file_delete_delay_ms);
        changes.doomed.push((at_ms, future.state.lock().path.clone()));
        Ok(())
    }

    /// Gives up a move: the future log is deleted.
    pub(super) fn drop_future(
        &self,
        partition: &TopicPartition,
        changes: &mut Changes,
        now_ms: i64,
    ) -> Result<(), Error> {
        let Some(future) = self.futures.write().remove(partition) else { return Ok(()) };
        let path = future.rename_folder(&deleted_name(partition))?;
        changes.doomed.push((now_ms, path));
        Ok(())
    }

    /// What is where.
    pub fn contents(&self) -> Vec<DirContents> {
        let mut by_dir: HashMap<PathBuf, Vec<LogSize>> = HashMap::new();
        let mut add = |log: &Log, lag: i64, is_future: bool| {
            let size = LogSize {
                partition: log.topic_partition().clone(),
                bytes: log.size_bytes(),
                lag: lag.max(0),
                is_future,
            };
            by_dir.entry(log.log_dir().path().to_owned()).or_default().push(size);
        };
        for log in self.all_logs() {
            add(&log, log.high_watermark() - log.log_end_offset(), false);
        }
        let futures: Vec<Arc<Log>> = self.futures.read().values().cloned().collect();
        for future in futures {
            let current_end = self.log(future.topic_partition()).map_or(0, |current| current.log_end_offset());
            add(&future, current_end - future.log_end_offset(), true);
        }
        let contents = |dir: &Arc<LogDir>| DirContents {
            dir: dir.clone(),
            logs: (!dir.is_offline()).then(|| by_dir.remove(dir.path()).unwrap_or_default()),
        };
        self.dirs.iter().map(contents).collect()
    }
}
