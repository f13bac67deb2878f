//! Walks the batches of a segment file, of every magic there ever was.
//!
//! A walk over headers reads some kilobytes at a time and skips bodies; a walk over whole batches (recovery, replay,
//! search by timestamp) reads ahead by the megabyte.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::wire::batch::{self, Batch, legacy};

/// What the log needs to know of a batch, from its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub position: u64,
    pub size: usize,
    pub magic: i8,
    /// For a compressed message of magic 0 or 1 the same as the last: only decompression would tell.
    pub base_offset: i64,
    pub last_offset: i64,
    /// -1 for magic 0 and 1.
    pub leader_epoch: i32,
    /// -1 if there is none.
    pub max_timestamp: i64,
}

impl Entry {
    pub fn end(&self) -> u64 {
        self.position + self.size as u64
    }

    /// Reads the header at the start of `bytes`, which may be shorter than the batch.
    fn parse(position: u64, bytes: &[u8]) -> Result<Entry, batch::Error> {
        let size = batch::size_of(bytes)?;
        let magic = *bytes.get(16).ok_or(batch::Error::Truncated { needed: 17, available: bytes.len() })? as i8;
        if magic >= batch::MAGIC {
            let truncated = batch::Error::Truncated { needed: batch::HEADER_LEN, available: bytes.len() };
            let header = Batch::header(bytes.first_chunk().ok_or(truncated)?)?;
            return Ok(Entry {
                position,
                size,
                magic,
                base_offset: header.base_offset(),
                last_offset: header.last_offset(),
                leader_epoch: header.partition_leader_epoch(),
                max_timestamp: header.max_timestamp(),
            });
        }
        let message = legacy::MessageHeader::parse(bytes)?;
        Ok(Entry {
            position,
            size,
            magic,
            base_offset: message.offset,
            last_offset: message.offset,
            leader_epoch: -1,
            max_timestamp: message.timestamp,
        })
    }
}

/// A walk over `[position, end)` of a file.
pub(super) struct Scan {
    file: Arc<File>,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// Where in the file the buffer begins.
    buffer_at: u64,
    read_ahead: usize,
}

/// Enough for the headers of the batches between two index entries, if they are small.
const HEADERS: usize = 4096;
const BATCHES: usize = 1 << 20;

impl Scan {
    /// A walk that only wants headers.
    pub fn headers(file: Arc<File>, position: u64, end: u64) -> Scan {
        Scan { file, position, end, buffer: Vec::new(), buffer_at: 0, read_ahead: HEADERS }
    }

    /// A walk that wants whole batches.
    pub fn batches(file: Arc<File>, position: u64, end: u64) -> Scan {
        Scan { file, position, end, buffer: Vec::new(), buffer_at: 0, read_ahead: BATCHES }
    }

    /// The header of the next batch, and a step past it. None at the end.
    ///
    /// # Errors
    /// The file cannot be read; inside, what is wrong with the bytes: no batch, or one that is not whole.
    pub fn next(&mut self) -> io::Result<Option<Result<Entry, batch::Error>>> {
        if self.position >= self.end {
            return Ok(None);
        }
        let position = self.position;
        let left = self.end - position;
        let bytes = self.bytes(position, left.min(batch::HEADER_LEN as u64) as usize)?;
        let entry = match Entry::parse(position, bytes) {
            Ok(entry) if entry.size as u64 > left => {
                Err(batch::Error::Truncated { needed: entry.size, available: left as usize })
            }
            other => other,
        };
        if let Ok(entry) = &entry {
            self.position = entry.end();
        }
        Ok(Some(entry))
    }

    /// Like [`Scan::next`] where only a damaged disk could have put anything but batches.
    pub fn next_sound(&mut self) -> io::Result<Option<Entry>> {
        match self.next()? {
            None => Ok(None),
            Some(Ok(entry)) => Ok(Some(entry)),
            Some(Err(error)) => {
                let reason = format!("at position {} of a segment: {error}", self.position);
                Err(io::Error::new(io::ErrorKind::InvalidData, reason))
            }
        }
    }

    /// The whole bytes of a batch that `next` returned.
    pub fn batch(&mut self, entry: &Entry) -> io::Result<&[u8]> {
        self.bytes(entry.position, entry.size)
    }

    fn bytes(&mut self, position: u64, length: usize) -> io::Result<&[u8]> {
        let have = self.buffer_at..self.buffer_at + self.buffer.len() as u64;
        if !have.contains(&position) || position + length as u64 > have.end {
            let want = (self.end - position).min(self.read_ahead.max(length) as u64) as usize;
            self.buffer.resize(want, 0);
            self.buffer_at = position;
            if let Err(error) = self.file.read_exact_at(&mut self.buffer, position) {
                self.buffer.clear();
                return Err(error);
            }
        }
        let at = (position - self.buffer_at) as usize;
        Ok(&self.buffer[at..at + length])
    }
}
