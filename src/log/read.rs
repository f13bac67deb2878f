//! Reading: where the bytes of an offset, or of a timestamp, are.
//!
//! A read returns a range of a segment's file, whole batches only, for `sendfile`. The lock is held to look at memory;
//! the disk, if it must be asked for an index entry or a header, is asked without it.
//!
//! Source: `LocalLog.read`, `LogSegment.read`, `UnifiedLog.fetchOffsetByTimestamp`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::Error;
use super::index_file::Search;
use super::offset_index;
use super::scan::{Entry, Scan};
use super::transaction_index::AbortedTxn;
use super::{Log, State};
use crate::wire::batch::{self, Batch, MAX_DECOMPRESSED, legacy};

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpperBound {
    /// Followers.
    LogEnd,
    /// Consumers.
    HighWatermark,
    /// Consumers of committed data.
    LastStableOffset,
}

/// A piece of a segment's file: whole batches, which stay as they are even if the segment is deleted meanwhile.
#[derive(Clone, Debug)]
pub struct FileRange {
    pub file: Arc<File>,
    pub position: u64,
    pub len: usize,
}

impl FileRange {
    /// Reads the bytes, for those who cannot use the file.
    ///
    /// # Errors
    /// The disk's; `UnexpectedEof` if the log was truncated meanwhile.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        self.file.read_exact_at(&mut bytes, self.position)?;
        Ok(bytes)
    }
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct ReadInfo {
    /// None if there is nothing to read (yet).
    pub records: Option<FileRange>,
    pub high_watermark: i64,
    pub log_start_offset: i64,
    pub last_stable_offset: i64,
    pub log_end_offset: i64,
    /// Aborted transactions that overlap what was read; only for `UpperBound::LastStableOffset`.
    pub aborted_transactions: Vec<AbortedTxn>,
    /// More lies in a later segment, so that waiting for this one to grow would be in vain.
    pub in_older_segment: bool,
}

impl ReadInfo {
    /// The bytes of the records; 0 if there are none.
    pub fn len(&self) -> usize {
        self.records.as_ref().map_or(0, |records| records.len)
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_none()
    }

    /// Reads the records, for those who cannot use the file.
    ///
    /// # Errors
    /// As [`FileRange::read`].
    pub fn read(&self) -> io::Result<Vec<u8>> {
        self.records.as_ref().map_or(Ok(Vec::new()), FileRange::read)
    }
}

/// A record that was looked for by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundOffset {
    /// Milliseconds since 1970.
    pub timestamp: i64,
    pub offset: i64,
    pub leader_epoch: Option<i32>,
}

/// A place that is known, or that an index and a walk must give.
enum Place {
    At(u64),
    /// The index's answer, from which a walk goes on.
    From(Search<{ offset_index::ENTRY }>),
}

/// What the lock had to say about a read.
struct Plan {
    file: Arc<File>,
    size: u64,
    base_offset: i64,
    start: Place,
    /// The end of what may be seen, in this segment.
    limit: Place,
    limit_offset: i64,
    by_position: Option<Search<{ offset_index::ENTRY }>>,
    truncations: u64,
}

impl Log {
    /// Finds the batches from the one that holds `start_offset` on, at most `max_bytes` of them, never beyond `bound`
    /// and never across a segment's end. `min_one_batch`: the first batch comes even if it alone is larger.
    ///
    /// # Errors
    /// `OffsetOutOfRange` outside log start and log end; `Storage`.
    pub fn read(
        &self,
        start_offset: i64,
        max_bytes: usize,
        bound: UpperBound,
        min_one_batch: bool,
    ) -> Result<ReadInfo, Error> {
        let mut at_segment = None;
        loop {
            let (plan, mut info, from_segment) = {
                let mut state = self.state.lock();
                self.check_online(&state)?;
                if start_offset < state.log_start_offset || start_offset > state.log_end_offset {
                    return Err(Error::OffsetOutOfRange {
                        offset: start_offset,
                        log_start_offset: state.log_start_offset,
                        log_end_offset: state.log_end_offset,
                    });
                }
                let bound_offset = state.bound(bound);
                let from_segment = at_segment.unwrap_or_else(|| state.segment_of(start_offset));
                let info = state.read_info();
                let Some(segment) = state.segments.get(from_segment) else { return Ok(info) };
                if start_offset >= bound_offset || segment.base_offset >= bound_offset || max_bytes == 0 {
                    return Ok(info);
                }
                let plan = state
                    .plan(from_segment, start_offset, bound_offset, max_bytes)
                    .map_err(|error| self.failed(error))?;
                (plan, info, from_segment)
            };
            let truncations = plan.truncations;
            let base_offset = plan.base_offset;
            let limit_offset = plan.limit_offset;
            let found = plan.resolve(start_offset, max_bytes, min_one_batch);
            let mut state = self.state.lock();
            if state.truncations != truncations {
                // What was found may be gone; the new end decides.
                at_segment = None;
                continue;
            }
            let Some(found) = found.map_err(|error| self.failed(error))? else {
                // Nothing at or after the offset in this segment (compaction): it goes on in the next.
                at_segment = Some(from_segment + 1);
                continue;
            };
            let len = (found.end - found.start) as usize;
            info.records = (len > 0).then_some(FileRange { file: found.file, position: found.start, len });
            info.in_older_segment = from_segment + 1 < state.segments.len();
            let end_offset = match found.end_offset {
                Some(end_offset) => {
                    state.tail.remember(end_offset, base_offset, found.end);
                    end_offset
                }
                None => limit_offset,
            };
            if bound == UpperBound::LastStableOffset && info.records.is_some() {
                for segment in state.segments.iter().skip(from_segment) {
                    if segment.transaction_index.collect(start_offset, end_offset, &mut info.aborted_transactions) {
                        break;
                    }
                }
            }
            return Ok(info);
        }
    }

    /// The first record whose timestamp is at least `timestamp`, milliseconds since 1970. None if all are older.
    ///
    /// # Errors
    /// `Storage`; `CorruptBatch` and its kin if the batch that holds it cannot be decoded.
    pub fn offset_for_timestamp(&self, timestamp: i64) -> Result<Option<FoundOffset>, Error> {
        // By offset, not by number: segments may be merged or deleted meanwhile.
        let mut from_base = i64::MIN;
        loop {
            let (scan, log_start_offset) = {
                let mut state = self.state.lock();
                self.check_online(&state)?;
                let log_start_offset = state.log_start_offset;
                match state.scan_for_timestamp(&mut from_base, timestamp).map_err(|error| self.failed(error))? {
                    Some(scan) => (scan, log_start_offset),
                    None => return Ok(None),
                }
            };
            let mut scan = scan;
            while let Some(entry) = scan.next_sound().map_err(|error| self.failed(error))? {
                if entry.max_timestamp < timestamp || entry.last_offset < log_start_offset {
                    continue;
                }
                let bytes = scan.batch(&entry).map_err(|error| self.failed(error))?;
                let found =
                    first_record(&entry, bytes, |offset, time| time >= timestamp && offset >= log_start_offset)?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
    }

    /// The first record that has the largest timestamp of the log. None if the log is empty.
    ///
    /// # Errors
    /// As [`Log::offset_for_timestamp`].
    pub fn offset_of_max_timestamp(&self) -> Result<Option<FoundOffset>, Error> {
        let newest = {
            let mut state = self.state.lock();
            self.check_online(&state)?;
            let State { segments, path, .. } = &mut *state;
            let mut newest = None;
            for segment in segments.iter_mut().filter(|segment| segment.size > 0) {
                let max = segment.max_timestamp(path).map_err(|error| self.failed(error))?;
                newest = newest.max(Some(max.timestamp));
            }
            newest
        };
        match newest {
            Some(timestamp) if timestamp >= 0 => self.offset_for_timestamp(timestamp),
            _ => Ok(None),
        }
    }

    /// ListOffsets v0: the log end and the segments' starts that were there at `timestamp` (-1: now, -2: the first),
    /// newest first, at most `max`.
    ///
    /// # Errors
    /// `Storage`.
    ///
    /// Source: `UnifiedLog.legacyFetchOffsetsBefore`.
    pub fn legacy_offsets_before(&self, timestamp: i64, max: usize) -> Result<Vec<i64>, Error> {
        let state = self.state.lock();
        self.check_online(&state)?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_millis() as i64);
        let mut offsets = Vec::new();
        for segment in &state.segments {
            let modified = segment.modified_ms(&state.path).map_err(|error| self.failed(error))?;
            offsets.push((segment.base_offset.max(state.log_start_offset), modified));
        }
        if state.segments.back().is_some_and(|active| active.size > 0) {
            offsets.push((state.log_end_offset, now_ms));
        }
        let end = match timestamp {
            -1 => offsets.len(),
            -2 => 1,
            _ => offsets.iter().rposition(|(_, modified)| *modified <= timestamp).map_or(0, |at| at + 1),
        };
        let mut found: Vec<i64> = offsets[..end].iter().rev().take(max).map(|(offset, _)| *offset).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found)
    }
}

impl State {
    fn bound(&self, bound: UpperBound) -> i64 {
        match bound {
            UpperBound::LogEnd => self.log_end_offset,
            UpperBound::HighWatermark => self.high_watermark,
            UpperBound::LastStableOffset => self.last_stable_offset(),
        }
    }

    /// A read that has found nothing so far.
    fn read_info(&self) -> ReadInfo {
        ReadInfo {
            records: None,
            high_watermark: self.high_watermark,
            log_start_offset: self.log_start_offset,
            last_stable_offset: self.last_stable_offset(),
            log_end_offset: self.log_end_offset,
            aborted_transactions: Vec::new(),
            in_older_segment: false,
        }
    }

    /// What memory knows of a read in one segment; the rest is left to [`Plan::resolve`].
    fn plan(&mut self, at: usize, start_offset: i64, bound_offset: i64, max_bytes: usize) -> io::Result<Plan> {
        let is_active = at + 1 == self.segments.len();
        let next_base = self.segments.get(at + 1).map(|next| next.base_offset);
        let truncations = self.truncations;
        let State { segments, path, tail, log_end_offset, .. } = self;
        let segment = &mut segments[at];
        let recent = |offset| if is_active { tail.position_of(offset) } else { None };
        let start = if start_offset <= segment.base_offset {
            Place::At(0)
        } else if let Some(position) = recent(start_offset).or_else(|| tail.hint(start_offset, segment.base_offset)) {
            Place::At(position)
        } else {
            Place::From(segment.offset_index.search(path, start_offset)?)
        };
        let (limit, limit_offset) = match next_base {
            Some(next) if next <= bound_offset => (Place::At(segment.size), next),
            _ if bound_offset >= *log_end_offset => (Place::At(segment.size), *log_end_offset),
            _ => match recent(bound_offset).or_else(|| tail.hint(bound_offset, segment.base_offset)) {
                Some(position) => (Place::At(position), bound_offset),
                None => (Place::From(segment.offset_index.search(path, bound_offset)?), bound_offset),
            },
        };
        let by_position = match (&start, &limit) {
            (Place::At(start), Place::At(limit)) if limit.saturating_sub(*start) <= max_bytes as u64 => None,
            (Place::At(start), _) => Some(segment.offset_index.search_position(path, start + max_bytes as u64)?),
            // Where to look is only known once the start is; a walk from there must do, or another look on disk.
            (Place::From(_), _) => None,
        };
        Ok(Plan {
            file: segment.file(path)?,
            size: segment.size,
            base_offset: segment.base_offset,
            start,
            limit,
            limit_offset,
            by_position,
            truncations,
        })
    }

    /// A walk over the first segment, of those based at `from_base` or later, that holds a timestamp of at least
    /// `timestamp`; the next walk goes on behind it.
    fn scan_for_timestamp(&mut self, from_base: &mut i64, timestamp: i64) -> io::Result<Option<Scan>> {
        let State { segments, path, .. } = self;
        for segment in segments.iter_mut().filter(|segment| segment.base_offset >= *from_base) {
            if segment.size == 0 || segment.max_timestamp(path)?.timestamp < timestamp {
                continue;
            }
            *from_base = segment.base_offset + 1;
            let from = match segment.time_index.find_below(path, timestamp)? {
                Some(below) => segment.offset_index.find(path, below.offset)?.map_or(0, |entry| entry.position),
                None => 0,
            };
            return Ok(Some(segment.batches(path, from)?));
        }
        Ok(None)
    }
}

struct Found {
    file: Arc<File>,
    start: u64,
    end: u64,
    /// The offset at `end`, if it lies before the limit.
    end_offset: Option<i64>,
}

impl Plan {
    /// Looks on disk for what memory did not know. None if the segment has nothing at or after the offset.
    fn resolve(self, start_offset: i64, max_bytes: usize, min_one_batch: bool) -> io::Result<Option<Found>> {
        let base = self.base_offset;
        let first_at_or_after = |place: Place, offset: i64| -> io::Result<u64> {
            let search = match place {
                Place::At(position) => return Ok(position),
                Place::From(search) => search,
            };
            let entry = search.finish(|entry| offset_index::decode(base, *entry).offset <= offset)?;
            let from = entry.map_or(0, |entry| offset_index::decode(base, entry).position);
            let mut scan = Scan::headers(Arc::clone(&self.file), from, self.size);
            while let Some(entry) = scan.next_sound()? {
                if entry.last_offset >= offset {
                    return Ok(entry.position);
                }
            }
            Ok(self.size)
        };
        let start = first_at_or_after(self.start, start_offset)?;
        let limit = first_at_or_after(self.limit, self.limit_offset)?;
        let file = Arc::clone(&self.file);
        if start >= self.size {
            return Ok(None);
        }
        if start >= limit {
            return Ok(Some(Found { file, start, end: start, end_offset: Some(start_offset) }));
        }
        let target = start + max_bytes as u64;
        if limit <= target {
            return Ok(Some(Found { file, start, end: limit, end_offset: None }));
        }
        let mut from = start;
        if let Some(search) = self.by_position {
            let entry = search.finish(|entry| offset_index::decode(base, *entry).position <= target)?;
            from = entry.map_or(start, |entry| offset_index::decode(base, entry).position.max(start));
        }
        let mut scan = Scan::headers(Arc::clone(&self.file), from, limit);
        while let Some(entry) = scan.next_sound()? {
            if entry.end() <= target {
                continue;
            }
            if entry.position > start {
                return Ok(Some(Found { file, start, end: entry.position, end_offset: Some(entry.base_offset) }));
            }
            return Ok(Some(if min_one_batch {
                Found { file, start, end: entry.end(), end_offset: Some(entry.last_offset + 1) }
            } else {
                Found { file, start, end: start, end_offset: Some(start_offset) }
            }));
        }
        Ok(Some(Found { file, start, end: limit, end_offset: None }))
    }
}

/// The first record of a batch that is `wanted`, by its offset and timestamp.
fn first_record(entry: &Entry, bytes: &[u8], wanted: impl Fn(i64, i64) -> bool) -> Result<Option<FoundOffset>, Error> {
    let leader_epoch = Some(entry.leader_epoch).filter(|epoch| *epoch >= 0);
    if entry.magic < batch::MAGIC {
        let messages = legacy::messages(bytes, MAX_DECOMPRESSED)?;
        let found = messages.iter().find(|message| wanted(message.offset, message.timestamp));
        return Ok(found.map(|found| FoundOffset { timestamp: found.timestamp, offset: found.offset, leader_epoch }));
    }
    let (batch, _) = Batch::split_first(bytes)?;
    let data = batch.record_data(MAX_DECOMPRESSED)?;
    for record in batch.records(&data) {
        let record = record?;
        if wanted(record.offset, record.timestamp) {
            return Ok(Some(FoundOffset { timestamp: record.timestamp, offset: record.offset, leader_epoch }));
        }
    }
    Ok(None)
}
