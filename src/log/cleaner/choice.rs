//! Which log is compacted next, and how much of it. Pure.
//!
//! ```text
//! log start … first dirty offset … first uncleanable offset … log end
//!      clean             cleanable            too new
//! ```
//! The dirtiest log is the one with the largest share of cleanable bytes. A log waits until that share exceeds
//! `min.cleanable.dirty.ratio`, or until a record has waited for longer than `max.compaction.lag.ms`.
//!
//! Source: `LogCleanerManager`, `Cleaner.groupSegmentsBySize`.

use crate::log::LogConfig;

/// What the choice needs to know of a segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentFacts {
    pub base_offset: i64,
    pub size: u64,
    /// Only looked at with a `min.compaction.lag.ms`.
    pub largest_timestamp: i64,
    /// The first batch's; only looked at with a `max.compaction.lag.ms`. Not positive if there is none.
    pub first_timestamp: i64,
}

/// What the choice needs to know of a log.
#[derive(Clone, Debug)]
pub struct LogFacts {
    /// Ascending; the last is the active one.
    pub segments: Vec<SegmentFacts>,
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    pub last_stable_offset: i64,
    /// Where the last round ended.
    pub checkpoint: Option<i64>,
}

/// A log and what could be done about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogToClean {
    pub first_dirty_offset: i64,
    /// The start of a segment.
    pub first_uncleanable_offset: i64,
    pub cleanable_bytes: u64,
    pub total_bytes: u64,
    /// A record has waited for longer than `max.compaction.lag.ms`.
    pub overdue: bool,
}

impl LogToClean {
    /// What can be cleaned of this log at `now_ms`.
    pub fn of(log: &LogFacts, config: &LogConfig, now_ms: i64) -> LogToClean {
        let active_base = log.segments.last().map_or(0, |active| active.base_offset);
        // A checkpoint that the log has left behind, or not reached (again), says nothing.
        let first_dirty_offset = match log.checkpoint {
            Some(offset) if (log.log_start_offset..=log.log_end_offset).contains(&offset) => offset,
            _ => log.log_start_offset,
        };
        let dirty = log.inactive_from(first_dirty_offset);
        let mut bound = log.last_stable_offset.min(active_base);
        if config.min_compaction_lag_ms > 0 {
            let newest_allowed = now_ms.saturating_sub(config.min_compaction_lag_ms);
            if let Some(too_new) = dirty.iter().find(|segment| segment.largest_timestamp > newest_allowed) {
                bound = bound.min(too_new.base_offset);
            }
        }
        let bound = bound.max(first_dirty_offset);
        let oldest = dirty.iter().map(|segment| segment.first_timestamp).filter(|timestamp| *timestamp > 0).min();
        let overdue_before = now_ms.saturating_sub(config.max_compaction_lag_ms.max(0));
        // Only whole segments are cleaned: not the one that holds the bound.
        let first_uncleanable_offset = log.inactive_from(bound).first().map_or(active_base, |first| first.base_offset);
        let size_of = |segments: &[SegmentFacts]| segments.iter().map(|segment| segment.size).sum::<u64>();
        let below = |offset: i64| log.segments.partition_point(|segment| segment.base_offset < offset);
        let from = log.floor(first_dirty_offset.min(first_uncleanable_offset));
        let to = below(first_uncleanable_offset);
        let cleanable_bytes = size_of(log.segments.get(from..to).unwrap_or_default());
        LogToClean {
            first_dirty_offset,
            first_uncleanable_offset,
            cleanable_bytes,
            total_bytes: size_of(&log.segments[..below(first_dirty_offset)]) + cleanable_bytes,
            overdue: oldest.is_some_and(|oldest| oldest < overdue_before),
        }
    }

    /// The share of the log that is dirty and can be cleaned.
    pub fn ratio(&self) -> f64 {
        self.cleanable_bytes as f64 / self.total_bytes as f64
    }

    /// Whether it is worth it.
    pub fn is_due(&self, config: &LogConfig) -> bool {
        self.total_bytes > 0
            && ((self.overdue && self.cleanable_bytes > 0) || self.ratio() > config.min_cleanable_dirty_ratio)
    }
}

impl LogFacts {
    /// The number of the segment that holds `offset`, or would.
    fn floor(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base_offset <= offset).saturating_sub(1)
    }

    /// The segments before the active one, from the one that holds `offset` on.
    fn inactive_from(&self, offset: i64) -> &[SegmentFacts] {
        let inactive = self.segments.len().saturating_sub(1);
        self.segments.get(self.floor(offset)..inactive).unwrap_or_default()
    }
}

/// What grouping needs to know of a segment.
#[derive(Clone, Copy, Debug)]
pub struct SegmentSizes {
    pub base_offset: i64,
    pub log: u64,
    pub offset_index: u64,
    pub time_index: u64,
}

/// Puts neighbours together as long as the sum is still a segment; each group becomes one. Returns how many segments
/// each group has. `end_offset`: where the last segment ends.
pub fn group_segments(segments: &[SegmentSizes], config: &LogConfig, end_offset: i64) -> Vec<usize> {
    let (max, max_index) = (u64::from(config.segment_bytes), u64::from(config.segment_index_bytes));
    let mut groups = Vec::new();
    let mut at = 0;
    while at < segments.len() {
        let first = segments[at];
        let (mut log, mut offset_index, mut time_index) = (first.log, first.offset_index, first.time_index);
        let mut count = 1;
        while let Some(next) = segments.get(at + count) {
            let last_offset = segments.get(at + count + 1).map_or(end_offset, |after| after.base_offset) - 1;
            let fits = log + next.log <= max
                && offset_index + next.offset_index <= max_index
                && time_index + next.time_index <= max_index
                && (next.log == 0 || last_offset - first.base_offset <= i64::from(i32::MAX));
            if !fits {
                break;
            }
            log += next.log;
            offset_index += next.offset_index;
            time_index += next.time_index;
            count += 1;
        }
        groups.push(count);
        at += count;
    }
    groups
}
