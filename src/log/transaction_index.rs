//! A segment's `.txnindex`: the transactions that were aborted by a marker in this segment. Most segments have none,
//! and then no file.
//!
//! ```text
//! entry, 34 bytes: version i16 = 0 | producer_id i64 | first_offset i64 | last_offset i64 | last_stable_offset i64
//! ```
//!
//! Source: `TransactionIndex`, `AbortedTxn`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::segment::file_name;

pub(super) const SUFFIX: &str = "txnindex";
const ENTRY: usize = 34;

/// A transaction that came to nothing: readers of committed data skip this producer's records in its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTxn {
    pub producer_id: i64,
    pub first_offset: i64,
    /// The marker's.
    pub last_offset: i64,
    /// The log's when the marker was appended.
    pub last_stable_offset: i64,
}

impl AbortedTxn {
    fn encode(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        for (at, value) in
            [self.producer_id, self.first_offset, self.last_offset, self.last_stable_offset].into_iter().enumerate()
        {
            bytes[2 + 8 * at..10 + 8 * at].copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    fn decode(bytes: &[u8; ENTRY]) -> Option<AbortedTxn> {
        let field = |at: usize| i64::from_be_bytes(bytes[2 + 8 * at..10 + 8 * at].try_into().expect("eight bytes"));
        (bytes[..2] == [0, 0]).then(|| AbortedTxn {
            producer_id: field(0),
            first_offset: field(1),
            last_offset: field(2),
            last_stable_offset: field(3),
        })
    }
}

/// The aborted transactions of one segment, all in memory: there are few.
#[derive(Default)]
pub(super) struct TransactionIndex {
    entries: Vec<AbortedTxn>,
}

impl TransactionIndex {
    /// Reads the file if there is one. None if it cannot be what it should be.
    pub fn open(dir: &Path, base_offset: i64) -> io::Result<Option<TransactionIndex>> {
        let bytes = match fs::read(dir.join(file_name(base_offset, SUFFIX))) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(TransactionIndex::default())),
            Err(error) => return Err(error),
        };
        let (chunks, rest) = bytes.as_chunks::<ENTRY>();
        let entries: Option<Vec<AbortedTxn>> = chunks.iter().map(AbortedTxn::decode).collect();
        let sane = rest.is_empty()
            && entries.as_ref().is_some_and(|entries| entries.iter().all(|txn| txn.last_offset >= base_offset));
        Ok(entries.filter(|_| sane).map(|entries| TransactionIndex { entries }))
    }

    /// A whole index at once, in a file of that suffix; none if there are no entries.
    pub fn write_new(
        dir: &Path,
        base_offset: i64,
        suffix: &str,
        entries: Vec<AbortedTxn>,
    ) -> io::Result<TransactionIndex> {
        if !entries.is_empty() {
            let bytes: Vec<u8> = entries.iter().flat_map(AbortedTxn::encode).collect();
            let mut file = fs::File::create(dir.join(file_name(base_offset, suffix)))?;
            file.write_all(&bytes)?;
            file.sync_data()?;
        }
        Ok(TransactionIndex { entries })
    }

    pub fn push(&mut self, dir: &Path, base_offset: i64, txn: AbortedTxn) -> io::Result<()> {
        let path = dir.join(file_name(base_offset, SUFFIX));
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        file.write_all_at(&txn.encode(), (self.entries.len() * ENTRY) as u64)?;
        self.entries.push(txn);
        Ok(())
    }

    /// Adds to `found` the transactions that overlap `[from, to)`; returns whether later segments cannot hold more.
    pub fn collect(&self, from: i64, to: i64, found: &mut Vec<AbortedTxn>) -> bool {
        for txn in &self.entries {
            if txn.last_offset >= from && txn.first_offset < to {
                found.push(*txn);
            }
            if txn.last_stable_offset >= to {
                return true;
            }
        }
        false
    }

    /// Drops transactions whose marker lies at `offset` or later.
    pub fn truncate(&mut self, dir: &Path, base_offset: i64, offset: i64) -> io::Result<()> {
        let keep = self.entries.partition_point(|txn| txn.last_offset < offset);
        if keep == self.entries.len() {
            return Ok(());
        }
        self.entries.truncate(keep);
        let path = dir.join(file_name(base_offset, SUFFIX));
        if keep == 0 {
            return fs::remove_file(path);
        }
        OpenOptions::new().write(true).open(path)?.set_len((keep * ENTRY) as u64)
    }

    pub fn sync(&self, dir: &Path, base_offset: i64) -> io::Result<()> {
        if self.entries.is_empty() {
            return Ok(());
        }
        OpenOptions::new().write(true).open(dir.join(file_name(base_offset, SUFFIX)))?.sync_data()
    }
}
