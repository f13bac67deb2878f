//! One of the broker's log dirs: its lock, its `meta.properties`, its marker of a clean stop, and whether it still works.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tracing::error;

use super::checkpoints::{self, RECOVERY_POINTS};
use super::error::Error;
use crate::wire::{TopicPartition, Uuid};

const LOCK: &str = ".lock";
const META_PROPERTIES: &str = "meta.properties";
const CLEAN_SHUTDOWN: &str = ".kafka_cleanshutdown";
const PARTITION_METADATA: &str = "partition.metadata";

/// A log dir that this process has locked. Once a disk error has taken it offline it stays so until a restart.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    offline: AtomicBool,
    lock: Mutex<Option<File>>,
    failures: Failures,
    /// Held while a checkpoint of the dir is decided on and written. Before any log's lock.
    pub(super) checkpointing: Mutex<()>,
}

/// Counts the dirs that fail, for those who must do something about it.
pub(super) type Failures = watch::Sender<usize>;

impl LogDir {
    /// Creates the folder if need be, and locks it.
    ///
    /// # Errors
    /// `Locked` if another broker, ours or Apache's, has it; `Storage`.
    pub(super) fn lock(path: &Path, failures: &Failures) -> Result<LogDir, Error> {
        let storage = |error| Error::storage(path, error);
        fs::create_dir_all(path).map_err(storage)?;
        let lock_path = path.join(LOCK);
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&lock_path)
                .map_err(storage)?;
            match try_lock(&file) {
                Ok(()) => {}
                Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
                    return Err(Error::Locked { dir: path.to_owned() });
                }
                Err(error) => return Err(storage(error)),
            }
            // A broker that stops removes the file; what we have locked must still be the one that has the name.
            let named = fs::metadata(&lock_path).map(|metadata| metadata.ino());
            if named.ok() == Some(file.metadata().map_err(storage)?.ino()) {
                return Ok(LogDir {
                    path: path.to_owned(),
                    offline: AtomicBool::new(false),
                    lock: Mutex::new(Some(file)),
                    failures: failures.clone(),
                    checkpointing: Mutex::default(),
                });
            }
        }
    }

    /// A dir that could not even be locked.
    pub(super) fn failed(path: &Path, failures: &Failures) -> LogDir {
        LogDir {
            path: path.to_owned(),
            offline: AtomicBool::new(true),
            lock: Mutex::default(),
            failures: failures.clone(),
            checkpointing: Mutex::default(),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// As Kafka's protocol names it.
    pub fn absolute_path(&self) -> PathBuf {
        std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone())
    }

    /// Bytes that the dir's file system has, and those that are left to us.
    ///
    /// # Errors
    /// The disk's.
    pub fn capacity(&self) -> io::Result<(u64, u64)> {
        let stat = rustix::fs::statvfs(&self.path)?;
        Ok((stat.f_blocks.saturating_mul(stat.f_frsize), stat.f_bavail.saturating_mul(stat.f_frsize)))
    }

    /// Whether a disk error has taken the dir out of service.
    pub fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Takes the dir out of service.
    pub(super) fn fail(&self, reason: &io::Error) {
        if !self.offline.swap(true, Ordering::AcqRel) {
            error!("Stopping serving logs in dir {}: {reason}", self.path.display());
            self.failures.send_modify(|failures| *failures += 1);
        }
    }

    /// The partition was truncated: what comes after `offset` now is not what was synced, and the checkpoint must not
    /// say so, or a start after a crash would not look at it.
    pub(super) fn lower_recovery_point(&self, partition: &TopicPartition, offset: i64) -> io::Result<()> {
        let _checkpointing = self.checkpointing.lock();
        let mut points = match checkpoints::read_offsets(&self.path, RECOVERY_POINTS) {
            // A start goes on without it, and looks at everything.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(()),
            read => read?,
        };
        match points.get_mut(partition) {
            Some(point) if *point > offset => *point = offset,
            _ => return Ok(()),
        }
        checkpoints::write_offsets(&self.path, RECOVERY_POINTS, &points)
    }

    /// Reads and removes the marker of a clean stop.
    pub(super) fn take_clean_shutdown_marker(&self) -> io::Result<bool> {
        match fs::remove_file(self.path.join(CLEAN_SHUTDOWN)) {
            Ok(()) => checkpoints::sync_dir(&self.path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Says that everything is on disk and nothing needs to be checked at the next start.
    pub(super) fn write_clean_shutdown_marker(&self) -> io::Result<()> {
        checkpoints::replace(&self.path, CLEAN_SHUTDOWN, br#"{"version":0,"brokerEpoch":-1}"#, true)
    }

    /// Lets others have the dir.
    pub(super) fn unlock(&self) {
        if let Some(file) = self.lock.lock().take() {
            let _ = fs::remove_file(self.path.join(LOCK));
            drop(file);
        }
    }
}

/// Locks the whole file for this open file description: excludes other brokers of ours, in this process too, and
/// Apache's, which takes a POSIX record lock. (`flock` would not see the latter.)
fn try_lock(file: &File) -> io::Result<()> {
    // SAFETY: `flock` is plain data for which zeros are valid: from the start, to the end, whatever it is.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    // SAFETY: the descriptor is open as long as `file` is borrowed, and the kernel only reads the structure.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// `meta.properties`: whose log dir this is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetaProperties {
    pub broker_id: Option<i32>,
    pub cluster_id: Option<String>,
}

impl MetaProperties {
    /// Reads a log dir's file; None if there is none.
    ///
    /// # Errors
    /// `Malformed`, `Storage`.
    pub fn read(dir: &Path) -> Result<Option<MetaProperties>, Error> {
        let path = dir.join(META_PROPERTIES);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::storage(dir, error)),
        };
        let malformed = |reason: String| Error::Malformed { path: path.clone(), reason };
        let mut properties = BTreeMap::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '!'])) {
            let (key, value) = line.split_once('=').ok_or_else(|| malformed(format!("not a property: {line}")))?;
            // Java escapes a few characters that none of these values has; taking the backslashes away is enough.
            properties.insert(key.trim().to_owned(), value.trim().replace('\\', ""));
        }
        match properties.get("version").map(String::as_str) {
            Some("0" | "1") => {}
            version => return Err(malformed(format!("unknown version {}", version.unwrap_or("(none)")))),
        }
        let id = properties.get("broker.id").or_else(|| properties.get("node.id"));
        let broker_id = id.map(|id| id.parse::<i32>().map_err(|_| malformed(format!("broker.id={id} is no number"))));
        Ok(Some(MetaProperties { broker_id: broker_id.transpose()?, cluster_id: properties.remove("cluster.id") }))
    }

    /// Writes a log dir's file, in ZooKeeper's form.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let mut text = String::from("#\n");
        if let Some(id) = self.broker_id {
            text.push_str(&format!("broker.id={id}\n"));
        }
        if let Some(id) = &self.cluster_id {
            text.push_str(&format!("cluster.id={id}\n"));
        }
        text.push_str("version=0\n");
        checkpoints::replace(dir, META_PROPERTIES, text.as_bytes(), true)
    }
}

/// The topic id in a partition's folder; None if it has none.
pub(super) fn read_partition_metadata(folder: &Path) -> Result<Option<Uuid>, Error> {
    let path = folder.join(PARTITION_METADATA);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::storage(folder, error)),
    };
    let id = match text.split_once('\n') {
        Some(("version: 0", rest)) => rest.trim().strip_prefix("topic_id: ").and_then(Uuid::parse),
        _ => None,
    };
    match id {
        Some(id) => Ok(Some(id)),
        None => Err(Error::Malformed { path, reason: format!("not a topic's id: {text:?}") }),
    }
}

/// Writes the topic id into a partition's folder, durably.
pub(super) fn write_partition_metadata(folder: &Path, topic_id: Uuid) -> io::Result<()> {
    // No newline at the end: Apache has none.
    checkpoints::replace(folder, PARTITION_METADATA, format!("version: 0\ntopic_id: {topic_id}").as_bytes(), true)
}
