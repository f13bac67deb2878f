//! What survives: transactions in `log.<first zxid in hex>`, now and then a snapshot, in `version-2`.
//!
//! A log is a header and records, in Apache ZooKeeper's format:
//!
//! ```text
//! i32 "ZKLG", i32 version 2, i64 database id 0
//! record: i64 Adler-32 of the transaction, buffer transaction, byte 'B'
//! ```
//!
//! One thread writes. It takes all records that came while it was busy, writes and syncs them together, and then says
//! how far the log is durable; nothing is answered before that. A crash can leave a torn record at the end of the
//! last file: it was never acknowledged, and is cut off when the log is opened. A file made after a snapshot starts
//! anew; files that the last two snapshots do not need are removed.
//!
//! Source: `FileTxnLog`, `FileTxnSnapLog`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::snapshot::{self, adler32};
use super::tree::Tree;
use super::txn::{Txn, TxnHeader};
use crate::registry::Error;
use crate::registry::jute::{Malformed, Reader, Writer};
use crate::registry::proto::Code;

const HEADER: &[u8; 16] = b"ZKLG\0\0\0\x02\0\0\0\0\0\0\0\0";
const END_OF_RECORD: u8 = b'B';

/// A snapshot is due when so much was logged since the last one, or twice that one's size if that is more.
const LOG_BYTES_PER_SNAPSHOT: u64 = 4 << 20;
const SNAPSHOTS_KEPT: usize = 2;

/// The place of a record in the order of all records; 0 is before the first.
pub type Lsn = u64;

/// The writing end of the log. Dropping it writes what is pending, and ends the thread.
pub struct TxnLog {
    shared: Arc<Shared>,
    durable: watch::Receiver<Lsn>,
    thread: Option<JoinHandle<()>>,
    /// No second server may work on the same directory.
    _lock: File,
}

struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    snapshotting: AtomicBool,
    directories: Directories,
}

#[derive(Default)]
struct Pending {
    records: Vec<u8>,
    /// Of the first of `records`.
    first_zxid: i64,
    appended: Lsn,
    /// Taken right after the last of `records`.
    snapshot: Option<(i64, Vec<u8>)>,
    bytes_since_snapshot: u64,
    snapshot_bytes: u64,
    closing: bool,
}

#[derive(Debug, Clone)]
struct Directories {
    snapshots: PathBuf,
    logs: PathBuf,
}

/// What the directory held.
pub struct Recovered {
    pub tree: Tree,
    /// Session id to timeout in milliseconds.
    pub sessions: BTreeMap<i64, i32>,
    pub last_zxid: i64,
}

impl TxnLog {
    /// Opens the directories (made if missing), and reads back what they hold.
    ///
    /// # Errors
    /// `Io`; `Config` when another server uses the directory, or when it is damaged other than at its end.
    pub fn open(data_dir: &Path, data_log_dir: &Path) -> Result<(TxnLog, Recovered), Error> {
        let directories = Directories { snapshots: data_dir.join("version-2"), logs: data_log_dir.join("version-2") };
        for directory in [&directories.snapshots, &directories.logs] {
            fs::create_dir_all(directory)
                .map_err(Error::io(format!("create registry directory {}", directory.display())))?;
        }
        let lock = lock(data_dir)?;
        let (recovered, bytes_since_snapshot, snapshot_bytes) = recover(&directories)?;
        let pending = Pending { bytes_since_snapshot, snapshot_bytes, ..Pending::default() };
        let (sender, durable) = watch::channel(0);
        let shared = Arc::new(Shared {
            pending: Mutex::new(pending),
            wake: Condvar::new(),
            snapshotting: AtomicBool::new(false),
            directories,
        });
        let thread = std::thread::Builder::new()
            .name("registry-log".to_owned())
            .spawn({
                let shared = shared.clone();
                move || run(&shared, &sender)
            })
            .map_err(Error::io("start registry log thread"))?;
        Ok((TxnLog { shared, durable, thread: Some(thread), _lock: lock }, recovered))
    }

    /// Queues one transaction. It is durable when [`durable`](TxnLog::durable) has reached what this returns.
    pub fn append(&self, header: &TxnHeader, txn: &Txn) -> Lsn {
        let mut w = Writer::new();
        txn.write(header, &mut w);
        let transaction = w.into_bytes();
        let mut pending = self.shared.pending.lock();
        if pending.records.is_empty() {
            pending.first_zxid = header.zxid;
        }
        let mut record = Writer::new();
        record.i64(i64::from(adler32(&transaction))).buffer(Some(&transaction)).bytes(&[END_OF_RECORD]);
        let record = record.into_bytes();
        pending.bytes_since_snapshot += record.len() as u64;
        pending.records.extend_from_slice(&record);
        pending.appended += 1;
        self.shared.wake.notify_one();
        pending.appended
    }

    /// The last record appended.
    pub fn appended(&self) -> Lsn {
        self.shared.pending.lock().appended
    }

    /// How far the log is on disk. Its sender is gone when the disk has refused: nothing more will be durable.
    pub fn durable(&self) -> watch::Receiver<Lsn> {
        self.durable.clone()
    }

    /// Whether it is time for [`snapshot`](TxnLog::snapshot).
    pub fn wants_snapshot(&self) -> bool {
        let pending = self.shared.pending.lock();
        let due = LOG_BYTES_PER_SNAPSHOT.max(2 * pending.snapshot_bytes);
        pending.bytes_since_snapshot >= due && !self.shared.snapshotting.load(Ordering::Relaxed)
    }

    /// Takes the bytes of a snapshot as of `zxid`, the last transaction appended, to disk in the background.
    pub fn snapshot(&self, zxid: i64, bytes: Vec<u8>) {
        self.shared.snapshotting.store(true, Ordering::Relaxed);
        let mut pending = self.shared.pending.lock();
        pending.bytes_since_snapshot = 0;
        pending.snapshot_bytes = bytes.len() as u64;
        pending.snapshot = Some((zxid, bytes));
        self.shared.wake.notify_one();
    }
}

impl Drop for TxnLog {
    fn drop(&mut self) {
        self.shared.pending.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported there.
            let _ = thread.join();
        }
    }
}

/// `data_dir/.lock`, held as long as the file is open.
fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io(format!("open {}", path.display())))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Config(format!(
            "another registry uses the directory {} (it holds the lock {})",
            data_dir.display(),
            path.display()
        ))),
        Err(fs::TryLockError::Error(err)) => Err(Error::io(format!("lock {}", path.display()))(err)),
    }
}

/// The thread: writes, syncs, tells.
fn run(shared: &Arc<Shared>, durable: &watch::Sender<Lsn>) {
    let mut file: Option<File> = None;
    let mut snapshot_thread: Option<JoinHandle<()>> = None;
    loop {
        let mut pending = shared.pending.lock();
        while pending.records.is_empty() && pending.snapshot.is_none() && !pending.closing {
            shared.wake.wait(&mut pending);
        }
        let records = std::mem::take(&mut pending.records);
        let snapshot = pending.snapshot.take();
        let (first_zxid, appended, closing) = (pending.first_zxid, pending.appended, pending.closing);
        drop(pending);
        if !records.is_empty() {
            if let Err(err) = write(&mut file, &shared.directories.logs, first_zxid, &records) {
                // Dropping the sender ends every connection: what cannot be made durable is not acknowledged.
                error!(directory = %shared.directories.logs.display(), %err, "the registry's log cannot be written");
                return;
            }
            durable.send_replace(appended);
        }
        if let Some((zxid, bytes)) = snapshot {
            // The next record starts a new file, so that this one can go when two snapshots have been taken.
            file = None;
            join(snapshot_thread.take());
            let shared = shared.clone();
            snapshot_thread = Some(std::thread::spawn(move || {
                match write_snapshot(&shared.directories, zxid, &bytes) {
                    Ok(()) => debug!(zxid, bytes = bytes.len(), "registry snapshot written"),
                    // All the logs are still there.
                    Err(err) => warn!(%err, "the registry's snapshot cannot be written"),
                }
                shared.snapshotting.store(false, Ordering::Relaxed);
            }));
        }
        if closing {
            return join(snapshot_thread);
        }
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        let _ = thread.join();
    }
}

fn write(file: &mut Option<File>, directory: &Path, first_zxid: i64, records: &[u8]) -> io::Result<()> {
    match file {
        Some(file) => {
            file.write_all(records)?;
            file.sync_data()
        }
        None => {
            let mut new = File::create(directory.join(file_name("log", first_zxid)))?;
            new.write_all(HEADER)?;
            new.write_all(records)?;
            new.sync_all()?;
            File::open(directory)?.sync_all()?;
            *file = Some(new);
            Ok(())
        }
    }
}

fn write_snapshot(directories: &Directories, zxid: i64, bytes: &[u8]) -> io::Result<()> {
    let path = directories.snapshots.join(file_name("snapshot", zxid));
    let unfinished = path.with_extension("tmp");
    let mut file = File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, &path)?;
    File::open(&directories.snapshots)?.sync_all()?;
    remove_old(directories)
}

/// Removes snapshots but the last few, and the logs that none of those needs.
fn remove_old(directories: &Directories) -> io::Result<()> {
    let snapshots = files(&directories.snapshots, "snapshot")?;
    let Some(oldest_kept) = snapshots.keys().rev().nth(SNAPSHOTS_KEPT - 1).copied() else { return Ok(()) };
    for (_, path) in snapshots.range(..oldest_kept) {
        fs::remove_file(path)?;
    }
    let logs = files(&directories.logs, "log")?;
    for (first_zxid, path) in &logs {
        // It ends before the next one begins.
        let next = logs.range(first_zxid + 1..).next();
        if next.is_some_and(|(next, _)| *next <= oldest_kept + 1) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn file_name(prefix: &str, zxid: i64) -> String {
    format!("{prefix}.{zxid:x}")
}

/// The files with a prefix, by the zxid in their name.
fn files(directory: &Path, prefix: &str) -> io::Result<BTreeMap<i64, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let zxid = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.'));
        if let Some(zxid) = zxid.and_then(|hex| i64::from_str_radix(hex, 16).ok()) {
            found.insert(zxid, path);
        }
    }
    Ok(found)
}

/// Reads snapshot and logs; returns too how many bytes were read of the logs and of the snapshot.
fn recover(directories: &Directories) -> Result<(Recovered, u64, u64), Error> {
    let listing = |directory: &Path, prefix| {
        files(directory, prefix).map_err(Error::io(format!("list registry directory {}", directory.display())))
    };
    let snapshots = listing(&directories.snapshots, "snapshot")?;
    let logs = listing(&directories.logs, "log")?;
    let (mut recovered, snapshot_bytes) = match newest_snapshot(&snapshots)? {
        Some(newest) => newest,
        None if logs.keys().next().is_none_or(|first| *first <= 1) => {
            let new = Recovered { tree: Tree::new(), sessions: BTreeMap::new(), last_zxid: 0 };
            let bytes = snapshot::encode(&new.tree, &new.sessions);
            if logs.is_empty() {
                // For Apache's server, which does not start on logs alone. Not synced: it holds nothing, and what a
                // power cut leaves of it is passed over.
                fs::write(directories.snapshots.join(file_name("snapshot", 0)), &bytes)
                    .map_err(Error::io("write the first registry snapshot"))?;
            }
            (new, bytes.len() as u64)
        }
        None => {
            let directory = directories.snapshots.display();
            return Err(Error::Config(format!("No snapshot found, but there are log entries. Look at {directory}")));
        }
    };
    let snapshot_zxid = recovered.last_zxid;
    let first_needed = logs.range(..=snapshot_zxid + 1).next_back().map_or(i64::MIN, |(first, _)| *first);
    let mut bytes_read = 0;
    for (_, path) in logs.range(first_needed..) {
        let is_last = logs.values().next_back() == Some(path);
        bytes_read += replay(path, is_last, &mut recovered)?;
    }
    info!(
        zxid = format_args!("0x{:x}", recovered.last_zxid),
        snapshot = format_args!("0x{snapshot_zxid:x}"),
        znodes = recovered.tree.node_count(),
        sessions = recovered.sessions.len(),
        "registry read"
    );
    Ok((recovered, bytes_read, snapshot_bytes))
}

/// The newest snapshot that is whole.
fn newest_snapshot(snapshots: &BTreeMap<i64, PathBuf>) -> Result<Option<(Recovered, u64)>, Error> {
    for (zxid, path) in snapshots.iter().rev() {
        let bytes = fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
        match snapshot::decode(&bytes) {
            Ok(snapshot) => {
                let recovered = Recovered { tree: snapshot.tree, sessions: snapshot.sessions, last_zxid: *zxid };
                return Ok(Some((recovered, bytes.len() as u64)));
            }
            Err(err) => warn!(file = %path.display(), %err, "registry snapshot skipped"),
        }
    }
    // The first one, of the empty registry, is not synced and not needed.
    match snapshots.iter().rev().find(|(zxid, _)| **zxid > 0).map(|(_, path)| path) {
        None => Ok(None),
        Some(path) => {
            Err(Error::Config(format!("no registry snapshot in {} is whole", path.with_file_name("").display())))
        }
    }
}

/// Applies one log; returns its length in bytes.
fn replay(path: &Path, is_last: bool, recovered: &mut Recovered) -> Result<u64, Error> {
    let bytes = fs::read(path).map_err(Error::io(format!("read {}", path.display())))?;
    let mut valid = 0;
    if bytes.starts_with(HEADER.first_chunk::<8>().unwrap_or(&[0; 8])) && bytes.len() >= HEADER.len() {
        valid = HEADER.len();
        while let Ok(Some((header, txn, length))) = next_record(&bytes[valid..]) {
            let expected = recovered.last_zxid + 1;
            // An ensemble's zxids jump when its leader changes.
            let follows = header.zxid == expected || header.zxid >> 32 > recovered.last_zxid >> 32;
            if header.zxid > recovered.last_zxid {
                if !follows {
                    return Err(Error::Config(format!(
                        "the registry's log {} is damaged: zxid 0x{expected:x} is missing before 0x{:x}",
                        path.display(),
                        header.zxid
                    )));
                }
                apply(&header, &txn, recovered);
            }
            valid += length;
        }
    }
    let rest = &bytes[valid..];
    // Apache's server fills its files up with zeros beforehand.
    let is_padding = rest.iter().all(|byte| *byte == 0);
    if is_last && !rest.is_empty() {
        if !is_padding {
            warn!(file = %path.display(), bytes = rest.len(), "registry log cut at a torn record");
        }
        let cut = || -> io::Result<()> {
            let file = File::options().write(true).open(path)?;
            file.set_len(valid as u64)?;
            file.sync_all()
        };
        cut().map_err(Error::io(format!("cut {}", path.display())))?;
    }
    // A torn end of an earlier file is fine if the next one goes on where this one ends, which is looked at there.
    Ok(valid as u64)
}

/// One record and its length; `None` at the end.
fn next_record(bytes: &[u8]) -> Result<Option<(TxnHeader, Txn, usize)>, Malformed> {
    let mut r = Reader::new(bytes);
    let checksum = r.i64()?;
    let transaction = r.buffer()?.unwrap_or_default();
    if transaction.is_empty() {
        return Ok(None);
    }
    if r.bytes(1)? != [END_OF_RECORD] || checksum != i64::from(adler32(transaction)) {
        return Err(Malformed("record"));
    }
    let length = bytes.len() - r.rest().len();
    let (header, txn) = Txn::read(&mut Reader::new(transaction))?;
    Ok(Some((header, txn, length)))
}

fn apply(header: &TxnHeader, txn: &Txn, recovered: &mut Recovered) {
    recovered.last_zxid = header.zxid;
    match txn {
        Txn::CreateSession { timeout_ms } => {
            recovered.sessions.insert(header.session_id, *timeout_ms);
        }
        Txn::CloseSession { .. } => {
            recovered.sessions.remove(&header.session_id);
        }
        _ => {}
    }
    let txns = match txn {
        Txn::Multi(txns) if txns.iter().any(|txn| matches!(txn, Txn::Error(_))) => &[],
        Txn::Multi(txns) => txns.as_slice(),
        txn => std::slice::from_ref(txn),
    };
    for txn in txns {
        // Apache's snapshots are taken while the tree changes, and may hold some of what the log after them says.
        if let (Err(Code::NODE_EXISTS), Txn::Create { path, parent_creations, .. }) =
            (recovered.tree.apply(header, txn), txn)
        {
            recovered.tree.catch_up(path, *parent_creations, header.zxid);
        }
    }
}

#[cfg(test)]
mod tests;
