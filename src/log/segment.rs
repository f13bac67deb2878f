//! One segment: a `.log` of batches and its indexes, all named after the offset it starts at.
//!
//! Appends go to the end of the last segment with one write each. Bytes beyond `size` are not the log's, whatever a
//! failed write may have left there.
//!
//! Source: `LogSegment`.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::offset_index::{self, OffsetIndex, OffsetPosition};
use super::open_files::LazyFile;
use super::scan::Scan;
use super::time_index::{self, TimeIndex, TimestampOffset};
use super::transaction_index::{self, AbortedTxn, TransactionIndex};

pub(super) const LOG_SUFFIX: &str = "log";
/// What the cleaner's files end in while it writes them, and once they are whole.
pub(super) const CLEANED_SUFFIX: &str = ".cleaned";
pub(super) const SWAP_SUFFIX: &str = ".swap";
const CLEANED_LOG_SUFFIX: &str = "log.cleaned";
/// What a file to be removed is renamed to; it goes for good after `file.delete.delay.ms`.
pub(super) const DELETED_SUFFIX: &str = ".deleted";

/// `00000000000000000010.log`: the name of a segment's file, or of a snapshot at that offset.
pub(super) fn file_name(offset: i64, suffix: &str) -> String {
    format!("{offset:020}.{suffix}")
}

/// The offset in a file's name, if it is one of `suffix`.
pub(super) fn offset_of(name: &str, suffix: &str) -> Option<i64> {
    let digits = name.strip_suffix(suffix)?.strip_suffix('.')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// What an append tells the segment about one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchMeta {
    pub size: usize,
    pub base_offset: i64,
    pub last_offset: i64,
    pub max_timestamp: i64,
}

pub(super) struct Segment {
    pub base_offset: i64,
    /// What the `.log` is called: the cleaner's has another name until it is the log's.
    suffix: &'static str,
    file: LazyFile,
    /// Bytes of whole batches.
    pub size: u64,
    pub offset_index: OffsetIndex,
    pub time_index: TimeIndex,
    pub transaction_index: TransactionIndex,
    bytes_since_index_entry: u64,
    /// The largest timestamp so far; None: not looked up yet.
    max_timestamp: Option<TimestampOffset>,
    /// The first batch's largest timestamp, from which `segment.ms` counts; None: not looked up yet.
    first_timestamp: Option<i64>,
    created_ms: i64,
}

/// A segment's files could not be trusted and must be built anew from its `.log`.
pub(super) struct IndexesUnusable {
    pub reason: &'static str,
}

impl Segment {
    /// A new, empty segment with its files.
    pub fn create(dir: &Path, base_offset: i64, now_ms: i64) -> io::Result<Segment> {
        let indexes = (OffsetIndex::create(dir, base_offset)?, TimeIndex::create(dir, base_offset)?);
        Segment::create_as(dir, base_offset, LOG_SUFFIX, indexes, now_ms)
    }

    /// A new, empty segment for the cleaner to fill: no log's yet.
    pub fn create_cleaned(dir: &Path, base_offset: i64) -> io::Result<Segment> {
        let indexes = (OffsetIndex::create_cleaned(dir, base_offset)?, TimeIndex::create_cleaned(dir, base_offset)?);
        Segment::create_as(dir, base_offset, CLEANED_LOG_SUFFIX, indexes, 0)
    }

    fn create_as(
        dir: &Path,
        base_offset: i64,
        suffix: &'static str,
        (offset_index, time_index): (OffsetIndex, TimeIndex),
        now_ms: i64,
    ) -> io::Result<Segment> {
        File::create(dir.join(file_name(base_offset, suffix)))?;
        Ok(Segment {
            base_offset,
            suffix,
            file: LazyFile::new(),
            size: 0,
            offset_index,
            time_index,
            transaction_index: TransactionIndex::default(),
            bytes_since_index_entry: 0,
            max_timestamp: Some(TimestampOffset { timestamp: -1, offset: base_offset }),
            first_timestamp: Some(-1),
            created_ms: now_ms,
        })
    }

    /// Opens an existing segment; `has_aborted`: there is an index of aborted transactions. If its indexes cannot be used, they are replaced by empty ones, and why is said:
    /// the segment must then be recovered.
    pub fn open(dir: &Path, base_offset: i64, has_aborted: bool) -> io::Result<(Segment, Option<IndexesUnusable>)> {
        let metadata = fs::metadata(dir.join(file_name(base_offset, LOG_SUFFIX)))?;
        let size = metadata.len();
        let created_ms = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as i64);
        let mut unusable = None;
        let mut refuse = |reason| unusable = Some(IndexesUnusable { reason });
        let offset_index = match OffsetIndex::open(dir, base_offset, size)? {
            Some(index) => index,
            None => {
                refuse("the offset index is missing or corrupt");
                OffsetIndex::create(dir, base_offset)?
            }
        };
        let time_index = match TimeIndex::open(dir, base_offset)? {
            Some(index) => index,
            None => {
                refuse("the time index is missing or corrupt");
                TimeIndex::create(dir, base_offset)?
            }
        };
        let found =
            if has_aborted { TransactionIndex::open(dir, base_offset)? } else { Some(TransactionIndex::default()) };
        let transaction_index = match found {
            Some(index) => index,
            None => {
                refuse("the transaction index is corrupt");
                fs::remove_file(dir.join(file_name(base_offset, transaction_index::SUFFIX)))?;
                TransactionIndex::default()
            }
        };
        let segment = Segment {
            base_offset,
            suffix: LOG_SUFFIX,
            file: LazyFile::new(),
            size,
            offset_index,
            time_index,
            transaction_index,
            bytes_since_index_entry: 0,
            max_timestamp: None,
            first_timestamp: None,
            created_ms,
        };
        Ok((segment, unusable))
    }

    /// The `.log`, open.
    pub fn file(&self, dir: &Path) -> io::Result<Arc<File>> {
        self.file.get(|| dir.join(file_name(self.base_offset, self.suffix)))
    }

    /// The files have got the names of a log's segment.
    pub fn swapped_in(&mut self) {
        self.suffix = LOG_SUFFIX;
        self.offset_index.swapped_in();
        self.time_index.swapped_in();
    }

    /// A walk over the headers of the batches from a position on.
    pub fn headers(&self, dir: &Path, from: u64) -> io::Result<Scan> {
        Ok(Scan::headers(self.file(dir)?, from, self.size))
    }

    /// A walk over the batches from a position on.
    pub fn batches(&self, dir: &Path, from: u64) -> io::Result<Scan> {
        Ok(Scan::batches(self.file(dir)?, from, self.size))
    }

    /// Lets go of the files; they are opened again when they are wanted.
    pub fn release(&mut self) {
        self.file.close();
        self.offset_index.release();
        self.time_index.release();
    }

    /// Writes whole batches, stamped and in order, at the end; `batches` describes each of them.
    ///
    /// # Errors
    /// The disk's. The segment is as it was then.
    pub fn append(&mut self, dir: &Path, bytes: &[u8], batches: &[BatchMeta], index_interval: u32) -> io::Result<()> {
        let max_timestamp = self.max_timestamp(dir)?;
        let file = self.file(dir)?;
        if let Err(error) = file.write_all_at(bytes, self.size) {
            // What a full disk has taken of the batch is cut off again, so that a restart need not.
            let _ = file.set_len(self.size);
            return Err(error);
        }
        self.max_timestamp = Some(max_timestamp);
        for batch in batches {
            self.index(dir, self.size, batch, index_interval)?;
            self.size += batch.size as u64;
        }
        Ok(())
    }

    /// Takes note of a batch at `position` that is in the file.
    pub fn index(&mut self, dir: &Path, position: u64, batch: &BatchMeta, index_interval: u32) -> io::Result<()> {
        let mut max = self.max_timestamp(dir)?;
        if position == 0 {
            self.first_timestamp = Some(batch.max_timestamp);
        }
        if batch.max_timestamp > max.timestamp {
            max = TimestampOffset { timestamp: batch.max_timestamp, offset: batch.last_offset };
            self.max_timestamp = Some(max);
        }
        if self.bytes_since_index_entry > u64::from(index_interval) {
            self.offset_index.push(dir, OffsetPosition { offset: batch.last_offset, position })?;
            self.time_index.push(dir, max)?;
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry += batch.size as u64;
        Ok(())
    }

    /// Whether a batch that ends at `last_offset`, with this largest timestamp, must go to a new segment.
    pub fn is_full_for(
        &mut self,
        dir: &Path,
        limits: &RollLimits,
        size: u64,
        last_offset: i64,
        max_timestamp: i64,
        now_ms: i64,
    ) -> io::Result<bool> {
        if self.size == 0 {
            return Ok(last_offset - self.base_offset > i64::from(i32::MAX));
        }
        // `segment.ms` counts in the records' own time if the first had one, else since the file was made.
        let waited = match (self.first_timestamp(dir)?, max_timestamp) {
            (first, newest) if first >= 0 && newest >= 0 => newest - first,
            _ => now_ms - self.created_ms,
        };
        Ok(self.size + size > u64::from(limits.segment_bytes)
            || waited > limits.segment_ms - self.jitter_ms(dir, limits)
            || (self.offset_index.len() + 1) * offset_index::ENTRY > limits.segment_index_bytes as usize
            || (self.time_index.len() + 1) * time_index::ENTRY > limits.segment_index_bytes as usize
            || last_offset - self.base_offset > i64::from(i32::MAX))
    }

    /// What is taken off `segment.ms`, so that logs do not roll in step: less than `segment.jitter.ms`, the same for
    /// a segment all its life, another for each.
    fn jitter_ms(&self, dir: &Path, limits: &RollLimits) -> i64 {
        let max = limits.segment_jitter_ms.min(limits.segment_ms);
        if max <= 0 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        (dir.file_name(), self.base_offset).hash(&mut hasher);
        (hasher.finish() % max as u64) as i64
    }

    /// The offset after the last record. Reads headers from the last index entry on.
    pub fn read_next_offset(&mut self, dir: &Path) -> io::Result<i64> {
        if self.size == 0 {
            return Ok(self.base_offset);
        }
        let from = self.offset_index.last(dir)?.map_or(0, |last| last.position);
        let mut next = self.base_offset;
        let mut scan = self.headers(dir, from)?;
        while let Some(entry) = scan.next_sound()? {
            next = entry.last_offset + 1;
        }
        self.bytes_since_index_entry = self.size - from;
        Ok(next)
    }

    /// The largest timestamp of the segment and the last offset of its batch; timestamp -1 if none has one.
    pub fn max_timestamp(&mut self, dir: &Path) -> io::Result<TimestampOffset> {
        if let Some(known) = self.max_timestamp {
            return Ok(known);
        }
        if self.size == 0 {
            let none = TimestampOffset { timestamp: -1, offset: self.base_offset };
            self.max_timestamp = Some(none);
            return Ok(none);
        }
        let mut max = self.time_index.last(dir)?.unwrap_or(TimestampOffset { timestamp: -1, offset: self.base_offset });
        // The last entry may be older than the last batches, if the segment was not closed in order.
        let from = self.offset_index.find(dir, max.offset)?.map_or(0, |entry| entry.position);
        let mut scan = self.headers(dir, from)?;
        while let Some(entry) = scan.next_sound()? {
            if entry.max_timestamp > max.timestamp {
                max = TimestampOffset { timestamp: entry.max_timestamp, offset: entry.last_offset };
            }
        }
        self.max_timestamp = Some(max);
        Ok(max)
    }

    /// The first batch's largest timestamp; -1 if there is none.
    pub fn first_timestamp(&mut self, dir: &Path) -> io::Result<i64> {
        if let Some(known) = self.first_timestamp {
            return Ok(known);
        }
        let first = self.headers(dir, 0)?.next_sound()?;
        let timestamp = first.map_or(-1, |entry| entry.max_timestamp);
        self.first_timestamp = Some(timestamp);
        Ok(timestamp)
    }

    /// When the file was last written, milliseconds since 1970.
    pub fn modified_ms(&self, dir: &Path) -> io::Result<i64> {
        let modified = fs::metadata(dir.join(file_name(self.base_offset, LOG_SUFFIX)))?.modified()?;
        Ok(modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_millis() as i64))
    }

    /// The largest timestamp, or the file's own time where records have none.
    pub fn largest_timestamp(&mut self, dir: &Path) -> io::Result<i64> {
        match self.max_timestamp(dir)?.timestamp {
            timestamp if timestamp >= 0 => Ok(timestamp),
            _ => self.modified_ms(dir),
        }
    }

    /// Notes an aborted transaction whose marker lies in this segment.
    pub fn push_aborted(&mut self, dir: &Path, txn: AbortedTxn) -> io::Result<()> {
        self.transaction_index.push(dir, self.base_offset, txn)
    }

    /// Ends the segment's life as the active one: the last time index entry, and everything handed to the kernel.
    pub fn become_inactive(&mut self, dir: &Path) -> io::Result<()> {
        let max = self.max_timestamp(dir)?;
        self.time_index.push(dir, max)?;
        self.offset_index.close(dir)?;
        self.time_index.close(dir)
    }

    /// Syncs the indexes; the log's own file is synced without the lock.
    pub fn sync_indexes(&mut self, dir: &Path) -> io::Result<()> {
        self.offset_index.sync(dir)?;
        self.time_index.sync(dir)?;
        self.transaction_index.sync(dir, self.base_offset)
    }

    /// Cuts the segment so that no record at `offset` or later is left.
    pub fn truncate(&mut self, dir: &Path, offset: i64) -> io::Result<()> {
        let from = self.offset_index.find(dir, offset)?.map_or(0, |entry| entry.position);
        let mut scan = self.headers(dir, from)?;
        let mut position = self.size;
        while let Some(entry) = scan.next_sound()? {
            if entry.last_offset >= offset {
                position = entry.position;
                break;
            }
        }
        self.cut(dir, position, offset)
    }

    /// Cuts the file at `position`, where the batch of `offset` begins, and the indexes with it.
    pub fn cut(&mut self, dir: &Path, position: u64, offset: i64) -> io::Result<()> {
        self.file(dir)?.set_len(position)?;
        self.size = position;
        self.offset_index.truncate(dir, position)?;
        self.time_index.truncate(dir, offset)?;
        self.transaction_index.truncate(dir, self.base_offset, offset)?;
        self.bytes_since_index_entry = position - self.offset_index.last(dir)?.map_or(0, |last| last.position);
        self.max_timestamp = None;
        self.first_timestamp = None;
        Ok(())
    }

    /// Forgets what the indexes say, on disk too, before they are built anew.
    pub fn reset_indexes(&mut self, dir: &Path) -> io::Result<()> {
        self.offset_index.truncate(dir, 0)?;
        self.time_index.truncate(dir, i64::MIN)?;
        self.transaction_index.truncate(dir, self.base_offset, i64::MIN)?;
        self.bytes_since_index_entry = 0;
        self.max_timestamp = Some(TimestampOffset { timestamp: -1, offset: self.base_offset });
        self.first_timestamp = None;
        Ok(())
    }

    /// Renames the segment's files to `.deleted`; returns their new paths.
    pub fn rename_to_deleted(dir: &Path, base_offset: i64) -> io::Result<Vec<PathBuf>> {
        let mut renamed = Vec::new();
        for suffix in [LOG_SUFFIX, offset_index::SUFFIX, time_index::SUFFIX, transaction_index::SUFFIX] {
            let name = file_name(base_offset, suffix);
            let to = dir.join(format!("{name}{DELETED_SUFFIX}"));
            match fs::rename(dir.join(name), &to) {
                Ok(()) => renamed.push(to),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(renamed)
    }
}

/// When a segment is full.
#[derive(Clone, Copy, Debug)]
pub(super) struct RollLimits {
    pub segment_bytes: u32,
    pub segment_ms: i64,
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: u32,
}
