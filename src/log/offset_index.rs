//! A segment's `.index`: where in the `.log` an offset is, roughly.
//!
//! ```text
//! entry, 8 bytes: relative offset i32 | file position i32
//! ```
//! The offset is the *last* of the batch that starts at the position, relative to the segment's base. An entry is
//! written when more than `index.interval.bytes` have been appended since the one before; the first batch never has one.
//!
//! Source: `OffsetIndex`.

use std::io;
use std::path::Path;

use super::index_file::{IndexFile, Search};

pub(super) const SUFFIX: &str = "index";
/// While the cleaner writes it.
pub(super) const CLEANED_SUFFIX: &str = "index.cleaned";
pub(super) const ENTRY: usize = 8;

/// A place in a segment, and the last offset of the batch that starts there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetPosition {
    pub offset: i64,
    pub position: u64,
}

pub(super) struct OffsetIndex {
    base_offset: i64,
    file: IndexFile<ENTRY>,
}

pub(super) fn decode(base_offset: i64, entry: [u8; ENTRY]) -> OffsetPosition {
    let [a, b, c, d, e, f, g, h] = entry;
    OffsetPosition {
        offset: base_offset + i64::from(u32::from_be_bytes([a, b, c, d])),
        position: u64::from(u32::from_be_bytes([e, f, g, h])),
    }
}

impl OffsetIndex {
    /// The index of a segment that is not the log's yet.
    pub fn create_cleaned(dir: &Path, base_offset: i64) -> io::Result<OffsetIndex> {
        Ok(OffsetIndex { base_offset, file: IndexFile::create(dir, base_offset, CLEANED_SUFFIX)? })
    }

    /// The segment has become the log's.
    pub fn swapped_in(&mut self) {
        self.file.renamed_to(SUFFIX);
    }

    pub fn create(dir: &Path, base_offset: i64) -> io::Result<OffsetIndex> {
        Ok(OffsetIndex { base_offset, file: IndexFile::create(dir, base_offset, SUFFIX)? })
    }

    /// None if the file is missing or cannot be an index of this segment: then it must be built anew.
    pub fn open(dir: &Path, base_offset: i64, log_size: u64) -> io::Result<Option<OffsetIndex>> {
        let Some(file) = IndexFile::open(dir, base_offset, SUFFIX)? else { return Ok(None) };
        let mut index = OffsetIndex { base_offset, file };
        // Apache's own check, which also meets its files of zeros that a crash leaves behind.
        let sane = index.last(dir)?.is_none_or(|last| last.offset > base_offset && last.position < log_size);
        index.file.release();
        Ok(sane.then_some(index))
    }

    pub fn len(&self) -> usize {
        self.file.len()
    }

    pub fn push(&mut self, dir: &Path, entry: OffsetPosition) -> io::Result<()> {
        let mut bytes = [0; ENTRY];
        bytes[..4].copy_from_slice(&((entry.offset - self.base_offset) as u32).to_be_bytes());
        bytes[4..].copy_from_slice(&(entry.position as u32).to_be_bytes());
        self.file.push(dir, bytes)
    }

    pub fn last(&mut self, dir: &Path) -> io::Result<Option<OffsetPosition>> {
        Ok(self.file.last(dir)?.map(|entry| decode(self.base_offset, entry)))
    }

    /// The greatest entry whose offset is at most `offset`.
    pub fn search(&mut self, dir: &Path, offset: i64) -> io::Result<Search<ENTRY>> {
        let base = self.base_offset;
        self.file.search(dir, move |entry| decode(base, *entry).offset <= offset)
    }

    pub fn find(&mut self, dir: &Path, offset: i64) -> io::Result<Option<OffsetPosition>> {
        let base = self.base_offset;
        Ok(self.file.find(dir, |entry| decode(base, *entry).offset <= offset)?.map(|entry| decode(base, entry)))
    }

    /// The greatest entry whose position is at most `position`.
    pub fn search_position(&mut self, dir: &Path, position: u64) -> io::Result<Search<ENTRY>> {
        let base = self.base_offset;
        self.file.search(dir, move |entry| decode(base, *entry).position <= position)
    }

    /// Drops entries of batches that start at `position` or later.
    pub fn truncate(&mut self, dir: &Path, position: u64) -> io::Result<()> {
        let base = self.base_offset;
        self.file.truncate(dir, |entry| decode(base, *entry).position < position)
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
