//! A segment's `.timeindex`: up to which offset all timestamps are at most so and so.
//!
//! ```text
//! entry, 12 bytes: timestamp i64 | relative offset i32
//! ```
//! The timestamp is the largest so far in the segment, the offset the last of the batch that holds it. Written together
//! with entries of the offset index, and once when the segment becomes inactive; only if the timestamp has grown.
//!
//! Source: `TimeIndex`.

use std::io;
use std::path::Path;

use super::index_file::IndexFile;

pub(super) const SUFFIX: &str = "timeindex";
/// While the cleaner writes it.
pub(super) const CLEANED_SUFFIX: &str = "timeindex.cleaned";
pub(super) const ENTRY: usize = 12;

/// A timestamp, milliseconds since 1970, and an offset that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimestampOffset {
    pub timestamp: i64,
    pub offset: i64,
}

pub(super) struct TimeIndex {
    base_offset: i64,
    file: IndexFile<ENTRY>,
}

fn decode(base_offset: i64, entry: [u8; ENTRY]) -> TimestampOffset {
    let (timestamp, offset) = entry.split_at(8);
    TimestampOffset {
        timestamp: i64::from_be_bytes(timestamp.try_into().expect("eight bytes")),
        offset: base_offset + i64::from(u32::from_be_bytes(offset.try_into().expect("four bytes"))),
    }
}

impl TimeIndex {
    /// The index of a segment that is not the log's yet.
    pub fn create_cleaned(dir: &Path, base_offset: i64) -> io::Result<TimeIndex> {
        Ok(TimeIndex { base_offset, file: IndexFile::create(dir, base_offset, CLEANED_SUFFIX)? })
    }

    /// The segment has become the log's.
    pub fn swapped_in(&mut self) {
        self.file.renamed_to(SUFFIX);
    }

    pub fn create(dir: &Path, base_offset: i64) -> io::Result<TimeIndex> {
        Ok(TimeIndex { base_offset, file: IndexFile::create(dir, base_offset, SUFFIX)? })
    }

    /// None if the file is missing or cannot be an index of this segment.
    pub fn open(dir: &Path, base_offset: i64) -> io::Result<Option<TimeIndex>> {
        let Some(file) = IndexFile::open(dir, base_offset, SUFFIX)? else { return Ok(None) };
        let mut index = TimeIndex { base_offset, file };
        let last = index.last(dir)?;
        // Apache leaves a file of zeros when it crashes, and an entry (0, base) is what zeros decode to.
        let sane = last.is_none_or(|last| last.timestamp > 0 && last.offset >= base_offset);
        index.file.release();
        Ok(sane.then_some(index))
    }

    pub fn len(&self) -> usize {
        self.file.len()
    }

    /// Adds `entry` if its timestamp is larger than the last one's.
    pub fn push(&mut self, dir: &Path, entry: TimestampOffset) -> io::Result<()> {
        if entry.timestamp < 0 || self.last(dir)?.is_some_and(|last| entry.timestamp <= last.timestamp) {
            return Ok(());
        }
        let mut bytes = [0; ENTRY];
        bytes[..8].copy_from_slice(&entry.timestamp.to_be_bytes());
        bytes[8..].copy_from_slice(&((entry.offset - self.base_offset) as u32).to_be_bytes());
        self.file.push(dir, bytes)
    }

    pub fn last(&mut self, dir: &Path) -> io::Result<Option<TimestampOffset>> {
        Ok(self.file.last(dir)?.map(|entry| decode(self.base_offset, entry)))
    }

    /// The greatest entry whose timestamp is below `timestamp`: everything up to its offset is too old.
    pub fn find_below(&mut self, dir: &Path, timestamp: i64) -> io::Result<Option<TimestampOffset>> {
        let base = self.base_offset;
        Ok(self.file.find(dir, |entry| decode(base, *entry).timestamp < timestamp)?.map(|entry| decode(base, entry)))
    }

    /// Drops entries at `offset` and later.
    pub fn truncate(&mut self, dir: &Path, offset: i64) -> io::Result<()> {
        let base = self.base_offset;
        self.file.truncate(dir, |entry| decode(base, *entry).offset < offset)
    }

    pub fn sync(&mut self, dir: &Path) -> io::Result<()> {
        self.file.sync(dir)
    }

    /// Lets go of the file.
    pub fn release(&mut self) {
        self.file.release();
    }

    pub fn close(&mut self, dir: &Path) -> io::Result<()> {
        self.file.close(dir)
    }
}
