//! Where the newest batches of the active segment are, and where readers stopped: what tailing consumers and followers
//! ask for, answered without a look at the disk.

use std::collections::VecDeque;

/// Batches remembered; a follower or consumer that keeps up is rarely further behind.
const BATCHES: usize = 128;
/// Readers remembered.
const HINTS: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Place {
    base_offset: i64,
    last_offset: i64,
    position: u64,
}

#[derive(Clone, Copy, Debug)]
struct Hint {
    offset: i64,
    segment: i64,
    position: u64,
}

#[derive(Debug, Default)]
pub(super) struct Tail {
    batches: VecDeque<Place>,
    hints: VecDeque<Hint>,
}

impl Tail {
    /// Notes a batch appended to the active segment.
    pub fn push(&mut self, base_offset: i64, last_offset: i64, position: u64) {
        if self.batches.len() == BATCHES {
            self.batches.pop_front();
        }
        self.batches.push_back(Place { base_offset, last_offset, position });
    }

    /// A new active segment has begun.
    pub fn clear(&mut self) {
        self.batches.clear();
    }

    /// The log was cut: nothing remembered is sure.
    pub fn reset(&mut self) {
        self.batches.clear();
        self.hints.clear();
    }

    /// The position in the active segment of the first batch that ends at `offset` or later, if it is a new one.
    pub fn position_of(&self, offset: i64) -> Option<u64> {
        if self.batches.front()?.base_offset > offset {
            return None;
        }
        let at = self.batches.partition_point(|place| place.last_offset < offset);
        self.batches.get(at).map(|place| place.position)
    }

    /// Notes that a reader's next offset, in the segment based at `segment`, is at `position`.
    pub fn remember(&mut self, offset: i64, segment: i64, position: u64) {
        if self.hint(offset, segment).is_some() {
            return;
        }
        if self.hints.len() == HINTS {
            self.hints.pop_front();
        }
        self.hints.push_back(Hint { offset, segment, position });
    }

    /// Where a reader that stopped at `offset` goes on.
    pub fn hint(&self, offset: i64, segment: i64) -> Option<u64> {
        self.hints.iter().find(|hint| hint.offset == offset && hint.segment == segment).map(|hint| hint.position)
    }
}
