//! Where each leader's reign began: pure, and its text for `leader-epoch-checkpoint`.
//!
//! Followers compare it with the leader's to find where their logs part (KIP-101, KIP-279).
//!
//! Source: `LeaderEpochFileCache`.

use super::checkpoints;

/// One reign: an epoch and the offset of its first record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    pub epoch: i32,
    pub start_offset: i64,
}

/// The reigns of a partition, both columns strictly growing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn earliest(&self) -> Option<EpochEntry> {
        self.entries.first().copied()
    }

    /// Says that `epoch` begins at `start_offset`; entries that contradict it go. Returns whether anything changed.
    pub fn assign(&mut self, epoch: i32, start_offset: i64) -> bool {
        if epoch < 0 || start_offset < 0 {
            return false;
        }
        if let Some(last) = self.entries.last()
            && last.epoch == epoch
            && start_offset >= last.start_offset
        {
            return false;
        }
        while self.entries.last().is_some_and(|last| last.epoch >= epoch || last.start_offset >= start_offset) {
            self.entries.pop();
        }
        self.entries.push(EpochEntry { epoch, start_offset });
        true
    }

    /// The largest known epoch not above `epoch`, and the offset where the next one begins (the log's end for the
    /// newest). None if nothing can be said: epoch unknown and newer than all, or no epochs at all.
    pub fn end_offset_for(&self, epoch: i32, log_end_offset: i64) -> Option<(i32, i64)> {
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        match (after.checked_sub(1).map(|at| self.entries[at]), self.entries.get(after)) {
            (_, _) if epoch < 0 => None,
            (Some(newest), None) if newest.epoch == epoch => Some((epoch, log_end_offset)),
            (_, None) => None,
            (Some(floor), Some(next)) => Some((floor.epoch, next.start_offset)),
            (None, Some(next)) => Some((epoch, next.start_offset)),
        }
    }

    /// The epoch under which the record at `offset` was written.
    pub fn epoch_for_offset(&self, offset: i64) -> Option<i32> {
        let after = self.entries.partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// Forgets reigns that begin at or after `end_offset`. Returns whether anything changed.
    pub fn truncate_from_end(&mut self, end_offset: i64) -> bool {
        let keep = self.entries.partition_point(|entry| entry.start_offset < end_offset);
        let changed = keep < self.entries.len();
        self.entries.truncate(keep);
        changed
    }

    /// Forgets reigns that ended before `start_offset`; the one it lies in begins there now.
    /// Returns whether anything changed.
    pub fn truncate_from_start(&mut self, start_offset: i64) -> bool {
        let after = self.entries.partition_point(|entry| entry.start_offset <= start_offset);
        let Some(at) = after.checked_sub(1) else { return false };
        if at == 0 && self.entries[0].start_offset == start_offset {
            return false;
        }
        self.entries.drain(..at);
        self.entries[0].start_offset = start_offset;
        true
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The checkpoint's text: version 0, count, then `epoch offset` a line.
    pub fn encode(&self) -> String {
        checkpoints::encode(self.entries.iter().map(|entry| format!("{} {}", entry.epoch, entry.start_offset)))
    }

    /// # Errors
    /// A sentence, if the text is not a checkpoint, or its entries do not grow.
    pub fn decode(text: &str) -> Result<LeaderEpochs, String> {
        let mut epochs = LeaderEpochs::default();
        for line in checkpoints::decode(text)? {
            let entry = line.split_once(' ').and_then(|(epoch, offset)| {
                Some(EpochEntry { epoch: epoch.parse().ok()?, start_offset: offset.trim().parse().ok()? })
            });
            let entry = entry.ok_or_else(|| format!("malformed line in checkpoint file: {line}"))?;
            // What Apache Kafka cannot have written may still be repaired: the later line wins, as in `assign`.
            epochs.assign(entry.epoch, entry.start_offset);
        }
        Ok(epochs)
    }
}

#[cfg(test)]
mod tests;
