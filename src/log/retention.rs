//! What shortens a log: retention and DeleteRecords at its start, truncation at its end.
//!
//! Source: `UnifiedLog.deleteOldSegments`, `truncateTo`, `maybeIncrementLogStartOffset`.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use tracing::info;

use super::producer_state::ProducerState;
use super::recovery::SNAPSHOT_SUFFIX;
use super::segment::{Segment, file_name};
use super::{Error, Log, LogConfig, State, recovery};

impl Log {
    /// Moves the log start up to `offset` (DeleteRecords, or a follower obeying its leader). Segments wholly below go.
    /// Returns whether anything changed.
    ///
    /// # Errors
    /// `OffsetOutOfRange` beyond the high watermark; `Storage`.
    pub fn increment_log_start_offset(&self, offset: i64, now_ms: i64) -> Result<bool, Error> {
        let config = self.config();
        let mut state = self.state.lock();
        self.check_online(&state)?;
        if offset > state.high_watermark {
            return Err(Error::OffsetOutOfRange {
                offset,
                log_start_offset: state.log_start_offset,
                log_end_offset: state.log_end_offset,
            });
        }
        if offset <= state.log_start_offset {
            return Ok(false);
        }
        let moved = state.move_log_start(offset).and_then(|()| {
            let below = state.segments.iter().skip(1).take_while(|next| next.base_offset <= offset).count();
            state.delete_first_segments(below, now_ms.saturating_add(config.file_delete_delay_ms))
        });
        moved.map_err(|error| self.broken(error))?;
        self.publish(&state);
        Ok(true)
    }

    /// Deletes the oldest segments as `retention.ms` and `retention.bytes` want it; returns how many.
    /// Nothing above the high watermark goes.
    ///
    /// # Errors
    /// `Storage`.
    pub fn delete_old_segments(&self, now_ms: i64) -> Result<usize, Error> {
        let config = self.config();
        let mut state = self.state.lock();
        self.check_online(&state)?;
        let mut count = 0;
        if config.cleanup_policy.delete {
            let mut excess = match config.retention_bytes {
                limit if limit >= 0 => {
                    state.segments.iter().map(|segment| segment.size as i64).sum::<i64>().saturating_sub(limit)
                }
                _ => -1,
            };
            let ends: Vec<i64> = state.segments.iter().skip(1).map(|next| next.base_offset).collect();
            let State { segments, path, high_watermark, log_end_offset, .. } = &mut *state;
            for (at, segment) in segments.iter_mut().enumerate() {
                let end = ends.get(at).copied().unwrap_or(*log_end_offset);
                if end > *high_watermark || (at == ends.len() && segment.size == 0) {
                    break;
                }
                let too_large = excess >= 0 && excess >= segment.size as i64;
                let too_old = config.retention_ms >= 0
                    && now_ms.saturating_sub(segment.largest_timestamp(path).map_err(|error| self.failed(error))?)
                        > config.retention_ms;
                if !too_large && !too_old {
                    break;
                }
                excess -= segment.size as i64;
                count += 1;
            }
        }
        if count == 0 {
            return Ok(0);
        }
        let deleted = (|| {
            if count == state.segments.len() {
                // The active one goes too: a new one takes its place first.
                state.roll(&config, now_ms)?;
            }
            let start = state.segments[count].base_offset;
            state.move_log_start(start)?;
            state.delete_first_segments(count, now_ms.saturating_add(config.file_delete_delay_ms))
        })();
        deleted.map_err(|error| self.broken(error))?;
        info!(
            "{}: deleted {count} segments past retention; the log starts at {}",
            self.topic_partition, state.log_start_offset
        );
        self.publish(&state);
        Ok(count)
    }

    /// Removes for good what was renamed to `.deleted` long enough ago.
    ///
    /// # Errors
    /// `Storage`.
    pub fn delete_expired_files(&self, now_ms: i64) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.deleted.is_empty() {
            return Ok(());
        }
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.deleted).into_iter().partition(|(at_ms, _)| *at_ms <= now_ms);
        state.deleted = later;
        for path in due.into_iter().flat_map(|(_, paths)| paths) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(self.failed(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Cuts the log so that its end is `offset`, if that is lower than it was; returns whether anything changed.
    /// The high watermark, the recovery point, leader epochs and producers come down with it.
    ///
    /// # Errors
    /// `Storage`.
    pub fn truncate_to(&self, offset: i64, now_ms: i64) -> Result<bool, Error> {
        let config = self.config();
        let mut state = self.state.lock();
        self.check_online(&state)?;
        if offset >= state.log_end_offset {
            // The last reign may have begun at the end and have written nothing.
            if offset == state.log_end_offset && state.leader_epochs.truncate_from_end(offset) {
                state.write_leader_epochs().map_err(|error| self.failed(error))?;
            }
            return Ok(false);
        }
        info!("{}: truncating to offset {offset}", self.topic_partition);
        if state.segments[0].base_offset > offset {
            drop(state);
            self.truncate_fully_and_start_at(offset, now_ms)?;
            return Ok(true);
        }
        state.truncate(&config, offset, now_ms).map_err(|error| self.broken(error))?;
        self.log_end_changed(&mut state);
        drop(state);
        self.lower_recovery_point(offset)?;
        Ok(true)
    }

    /// Throws everything away; the log is empty and starts at `offset`.
    ///
    /// # Errors
    /// `Storage`.
    pub fn truncate_fully_and_start_at(&self, offset: i64, now_ms: i64) -> Result<(), Error> {
        let config = self.config();
        let mut state = self.state.lock();
        self.check_online(&state)?;
        info!("{}: truncating fully, starting at offset {offset}", self.topic_partition);
        let restarted = state.restart_at(offset, now_ms.saturating_add(config.file_delete_delay_ms), now_ms);
        restarted.map_err(|error| self.broken(error))?;
        self.rolled.store(false, Ordering::Release);
        state.high_watermark = offset;
        self.log_end_changed(&mut state);
        drop(state);
        self.lower_recovery_point(offset)
    }

    fn lower_recovery_point(&self, offset: i64) -> Result<(), Error> {
        self.log_dir().lower_recovery_point(&self.topic_partition, offset).map_err(|error| self.broken(error))
    }
}

impl State {
    fn move_log_start(&mut self, offset: i64) -> io::Result<()> {
        self.log_start_offset = self.log_start_offset.max(offset);
        self.recovery_point = self.recovery_point.max(self.log_start_offset);
        self.producers.forget_replicated(self.log_start_offset);
        if self.leader_epochs.truncate_from_start(self.log_start_offset) {
            self.write_leader_epochs()?;
        }
        Ok(())
    }

    /// Takes the first `count` segments out, and their snapshots; their files go at `delete_at_ms`.
    fn delete_first_segments(&mut self, count: usize, delete_at_ms: i64) -> io::Result<()> {
        for _ in 0..count {
            let base = self.segments.pop_front().expect("fewer are deleted than there are").base_offset;
            self.delete_files(base, delete_at_ms)?;
        }
        Ok(())
    }

    fn delete_files(&mut self, base_offset: i64, delete_at_ms: i64) -> io::Result<()> {
        let renamed = Segment::rename_to_deleted(&self.path, base_offset)?;
        self.deleted.push((delete_at_ms, renamed));
        self.dir_dirty = true;
        self.delete_snapshots(|offset| offset == base_offset)
    }

    pub(super) fn delete_snapshots(&mut self, gone: impl Fn(i64) -> bool) -> io::Result<()> {
        let gone: Vec<i64> = self.snapshots.iter().copied().filter(|offset| gone(*offset)).collect();
        for offset in gone {
            match fs::remove_file(self.path.join(file_name(offset, SNAPSHOT_SUFFIX))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.snapshots.remove(&offset),
            };
        }
        Ok(())
    }

    fn truncate(&mut self, config: &LogConfig, offset: i64, now_ms: i64) -> io::Result<()> {
        let delete_at_ms = now_ms.saturating_add(config.file_delete_delay_ms);
        self.truncations += 1;
        self.tail.reset();
        while self.segments.len() > 1 && self.active().base_offset >= offset {
            let base = self.segments.pop_back().expect("more than one").base_offset;
            self.delete_files(base, delete_at_ms)?;
        }
        let State { segments, path, .. } = self;
        segments.back_mut().expect("a log has at least one segment").truncate(path, offset)?;
        self.log_end_offset = offset;
        self.first_dirty_offset = self.first_dirty_offset.map(|dirty| dirty.min(offset));
        self.recovery_point = self.recovery_point.min(offset);
        self.log_start_offset = self.log_start_offset.min(offset);
        if self.leader_epochs.truncate_from_end(offset) {
            self.write_leader_epochs()?;
        }
        self.delete_snapshots(|snapshot| snapshot > offset)?;
        // What the producers did beyond the end must be forgotten: back to a snapshot, and forward again.
        self.producers = recovery::producers_at(
            &self.path,
            config,
            &mut self.segments,
            &mut self.snapshots,
            self.log_start_offset,
            offset,
            now_ms,
        )?;
        self.dir_dirty = true;
        Ok(())
    }

    fn restart_at(&mut self, offset: i64, delete_at_ms: i64, now_ms: i64) -> io::Result<()> {
        self.truncations += 1;
        self.tail.reset();
        while let Some(segment) = self.segments.pop_front() {
            let base = segment.base_offset;
            drop(segment);
            self.delete_files(base, delete_at_ms)?;
        }
        self.segments.push_back(Segment::create(&self.path, offset, now_ms)?);
        self.delete_snapshots(|_| true)?;
        self.log_start_offset = offset;
        self.log_end_offset = offset;
        self.first_dirty_offset = None;
        self.recovery_point = offset;
        self.producers = ProducerState::starting_at(offset);
        self.leader_epochs.clear();
        self.dir_dirty = true;
        self.write_leader_epochs()
    }
}
