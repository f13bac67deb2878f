//! A file of sorted entries of one size, as both of a segment's indexes are.
//!
//! What is added stays in memory until there is enough for a write: an index is only a shortcut, and one that a crash
//! cuts short is built anew with its segment. Entries on disk are found with a few small reads; nothing of them is kept
//! in memory, so an idle partition costs nothing here.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::error::is_transient;
use super::open_files::LazyFile;
use super::segment::file_name;

/// Entries in memory before they are written: 1 KiB of offset index, half a megabyte of log at the stock interval.
const PENDING: usize = 128;
/// A search reads single entries until it has come down to so many, and then those in one go.
const BLOCK: usize = 512;

pub(super) struct IndexFile<const N: usize> {
    base_offset: i64,
    suffix: &'static str,
    file: LazyFile,
    on_disk: usize,
    pending: Vec<[u8; N]>,
}

/// The part of an index that lies on disk, for a search without the log's lock.
pub(super) struct DiskIndex<const N: usize> {
    file: Arc<File>,
    entries: usize,
}

/// A search's answer so far: known from memory, or to be looked up on disk.
pub(super) enum Search<const N: usize> {
    /// The last entry that satisfies the predicate, if any does.
    Known(Option<[u8; N]>),
    OnDisk(DiskIndex<N>),
}

impl<const N: usize> IndexFile<N> {
    /// A new, empty index and its file. The file is not kept open: most partitions never write that much.
    pub fn create(dir: &Path, base_offset: i64, suffix: &'static str) -> io::Result<IndexFile<N>> {
        File::create(dir.join(file_name(base_offset, suffix)))?;
        Ok(IndexFile { base_offset, suffix, file: LazyFile::new(), on_disk: 0, pending: Vec::new() })
    }

    /// The file has been renamed: from now on its name ends so.
    pub fn renamed_to(&mut self, suffix: &'static str) {
        self.suffix = suffix;
    }

    /// The index of an existing segment; None if there is no file, or its size is no multiple of an entry's.
    pub fn open(dir: &Path, base_offset: i64, suffix: &'static str) -> io::Result<Option<IndexFile<N>>> {
        match fs::metadata(dir.join(file_name(base_offset, suffix))) {
            Ok(metadata) if metadata.len() % N as u64 != 0 => Ok(None),
            Ok(metadata) => {
                let on_disk = metadata.len() as usize / N;
                Ok(Some(IndexFile { base_offset, suffix, file: LazyFile::new(), on_disk, pending: Vec::new() }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file(&self, dir: &Path) -> io::Result<Arc<File>> {
        self.file.get(|| dir.join(file_name(self.base_offset, self.suffix)))
    }

    pub fn len(&self) -> usize {
        self.on_disk + self.pending.len()
    }

    pub fn push(&mut self, dir: &Path, entry: [u8; N]) -> io::Result<()> {
        self.pending.push(entry);
        if self.pending.len() < PENDING {
            return Ok(());
        }
        match self.write_pending(dir) {
            // They stay in memory, and go with the next.
            Err(error) if is_transient(&error) => Ok(()),
            written => written,
        }
    }

    /// Writes what is only in memory yet.
    pub fn write_pending(&mut self, dir: &Path) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let at = (self.on_disk * N) as u64;
        let pending = std::mem::take(&mut self.pending);
        let written = self.file(dir).and_then(|file| file.write_all_at(pending.as_flattened(), at));
        if written.is_err() {
            self.pending = pending;
            return written;
        }
        self.on_disk += pending.len();
        Ok(())
    }

    /// Writes what is pending; then lets go of the file and of the memory, as an inactive segment should.
    pub fn close(&mut self, dir: &Path) -> io::Result<()> {
        self.write_pending(dir)?;
        self.pending = Vec::new();
        self.file.close();
        Ok(())
    }

    pub fn sync(&mut self, dir: &Path) -> io::Result<()> {
        self.write_pending(dir)?;
        if self.on_disk == 0 {
            return Ok(());
        }
        let was_open = self.file.is_open();
        self.file(dir)?.sync_data()?;
        if !was_open {
            self.file.close();
        }
        Ok(())
    }

    /// Lets go of the file; the next who needs it opens it again.
    pub fn release(&mut self) {
        self.file.close();
    }

    pub fn last(&mut self, dir: &Path) -> io::Result<Option<[u8; N]>> {
        match (self.pending.last(), self.on_disk.checked_sub(1)) {
            (Some(entry), _) => Ok(Some(*entry)),
            (None, None) => Ok(None),
            (None, Some(at)) => {
                let mut entry = [0; N];
                self.file(dir)?.read_exact_at(&mut entry, (at * N) as u64)?;
                Ok(Some(entry))
            }
        }
    }

    /// Finds the last entry for which `holds`, which must hold for all before it: here if memory knows, else by the
    /// [`DiskIndex`] that is returned.
    pub fn search(&mut self, dir: &Path, holds: impl Fn(&[u8; N]) -> bool) -> io::Result<Search<N>> {
        let at = self.pending.partition_point(&holds);
        if at > 0 {
            return Ok(Search::Known(Some(self.pending[at - 1])));
        }
        if self.on_disk == 0 {
            return Ok(Search::Known(None));
        }
        let entries = self.on_disk;
        Ok(Search::OnDisk(DiskIndex { file: self.file(dir)?, entries }))
    }

    /// Like `search`, and looks on disk at once.
    pub fn find(&mut self, dir: &Path, holds: impl Fn(&[u8; N]) -> bool) -> io::Result<Option<[u8; N]>> {
        self.search(dir, &holds)?.finish(holds)
    }

    /// Keeps the entries for which `holds`, which must be a prefix.
    pub fn truncate(&mut self, dir: &Path, holds: impl Fn(&[u8; N]) -> bool) -> io::Result<()> {
        let keep = self.pending.partition_point(&holds);
        self.pending.truncate(keep);
        if keep > 0 || self.on_disk == 0 {
            return Ok(());
        }
        let entries = self.on_disk;
        let disk = DiskIndex { file: self.file(dir)?, entries };
        let keep = disk.count(holds)?;
        if keep < self.on_disk {
            disk.file.set_len((keep * N) as u64)?;
            self.on_disk = keep;
        }
        Ok(())
    }
}

impl<const N: usize> Search<N> {
    pub fn finish(self, holds: impl Fn(&[u8; N]) -> bool) -> io::Result<Option<[u8; N]>> {
        match self {
            Search::Known(entry) => Ok(entry),
            Search::OnDisk(disk) => disk.find(holds),
        }
    }
}

impl<const N: usize> DiskIndex<N> {
    /// How many entries, from the first, satisfy `holds`.
    fn count(&self, holds: impl Fn(&[u8; N]) -> bool) -> io::Result<usize> {
        Ok(self.narrow(holds)?.0)
    }

    /// The last entry that satisfies `holds`.
    pub fn find(&self, holds: impl Fn(&[u8; N]) -> bool) -> io::Result<Option<[u8; N]>> {
        Ok(self.narrow(holds)?.1)
    }

    fn narrow(&self, holds: impl Fn(&[u8; N]) -> bool) -> io::Result<(usize, Option<[u8; N]>)> {
        let (mut low, mut high) = (0, self.entries);
        let mut below = None;
        while high - low > BLOCK {
            let middle = low + (high - low) / 2;
            let mut entry = [0; N];
            self.file.read_exact_at(&mut entry, (middle * N) as u64)?;
            if holds(&entry) {
                (low, below) = (middle + 1, Some(entry));
            } else {
                high = middle;
            }
        }
        let mut block = vec![[0; N]; high - low];
        self.file.read_exact_at(block.as_flattened_mut(), (low * N) as u64)?;
        let count = block.partition_point(holds);
        Ok((low + count, if count > 0 { Some(block[count - 1]) } else { below }))
    }
}

#[cfg(test)]
mod tests;
