//! A partition that moves from one log dir to another: its *future* log follows the current one, as a follower would,
//! until it has everything; then it takes its place.
//!
//! Source: `ReplicaAlterLogDirsThread`, `LogManager.replaceCurrentWithFutureLog`; KIP-113.

use std::fs;
use std::sync::atomic::Ordering;

use super::{Error, Log, UpperBound};

impl Log {
    /// Copies the next records to `future`, at most `max_bytes` of them or one batch; returns how many bytes. 0: it has
    /// everything.
    ///
    /// # Errors
    /// Those of reading here and appending there.
    pub(super) fn copy_to(&self, future: &Log, max_bytes: usize, now_ms: i64) -> Result<usize, Error> {
        let start = self.log_start_offset();
        if future.log_end_offset() < start {
            future.truncate_fully_and_start_at(start, now_ms)?;
        }
        // What was truncated here has to go there too, also if other records have taken its place.
        let agreed = match future.latest_epoch() {
            Some(epoch) => self.end_offset_for(epoch).map_or(start, |(_, end)| end),
            None => future.log_end_offset(),
        };
        if agreed.min(self.log_end_offset()) < future.log_end_offset() {
            future.truncate_to(agreed.min(self.log_end_offset()), now_ms)?;
        }
        let read = self.read(future.log_end_offset(), max_bytes, UpperBound::LogEnd, true)?;
        let bytes = read.read().map_err(|error| self.failed(error))?;
        if !bytes.is_empty() {
            future.append_as_follower(&bytes, now_ms)?;
        }
        let high_watermark = future.update_high_watermark(read.high_watermark);
        future.increment_log_start_offset(read.log_start_offset.min(high_watermark), now_ms)?;
        Ok(bytes.len())
    }

    /// Lets `future`, if it has everything, be this log from now on: whoever holds this one has the future one's files
    /// in his hands. `future` becomes what this was, closed, its folder renamed to `gone_name`. Returns false, with
    /// nothing changed, if records are missing there.
    ///
    /// # Errors
    /// `Storage`: if the future one's folder cannot be renamed nothing has changed; if this one's cannot, it stays,
    /// in a log dir that is offline then.
    pub(super) fn move_to(&self, future: &Log, name: &str, gone_name: &str) -> Result<bool, Error> {
        {
            let (mut state, mut new) = (self.state.lock(), future.state.lock());
            self.check_online(&state)?;
            future.check_online(&new)?;
            if new.log_end_offset != state.log_end_offset || new.log_start_offset > state.log_start_offset {
                return Ok(false);
            }
            let to = future.log_dir().path().join(name);
            fs::rename(&new.path, &to).map_err(|error| future.broken(error))?;
            new.path = to;
            new.dir_dirty = true;
            new.log_start_offset = state.log_start_offset;
            new.high_watermark = state.high_watermark;
            let high_watermark = new.high_watermark;
            new.producers.forget_replicated(high_watermark);
            // Who has looked up a place in the old files must look again.
            let changes = state.truncations.max(new.truncations) + 1;
            (state.truncations, new.truncations) = (changes, changes);
            std::mem::swap(&mut *state, &mut *new);
            std::mem::swap(&mut *self.log_dir.write(), &mut *future.log_dir.write());
            self.rolled.store(true, Ordering::Release);
            self.publish(&state);
        }
        future.rename_folder(gone_name)?;
        Ok(true)
    }
}
