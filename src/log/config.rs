//! What a log needs to know of its topic's configuration.

use crate::wire::batch::{Compression, CompressionSettings, TimestampType};

/// The topic keys that shape a log, typed; `config` has their names, ranges and documentation.
///
/// The defaults are Apache Kafka's.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    pub segment_bytes: u32,
    /// Milliseconds.
    pub segment_ms: i64,
    /// At most so many milliseconds are taken off `segment_ms`, at random, so that logs do not roll in step.
    pub segment_jitter_ms: i64,
    pub segment_index_bytes: u32,
    pub index_interval_bytes: u32,
    /// Milliseconds; -1: for ever.
    pub retention_ms: i64,
    /// -1: no limit.
    pub retention_bytes: i64,
    pub max_message_bytes: u32,
    pub message_timestamp_type: TimestampType,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_after_max_ms: i64,
    pub cleanup_policy: CleanupPolicy,
    /// None is `producer`: what comes is stored as it comes.
    pub compression_type: Option<CompressionSettings>,
    /// Records between two fsyncs.
    pub flush_messages: i64,
    /// Milliseconds that a record may lie unsynced.
    pub flush_ms: i64,
    /// Milliseconds between the renaming of a file to `.deleted` and its end.
    pub file_delete_delay_ms: i64,
    pub preallocate: bool,
    pub min_insync_replicas: i32,
    pub delete_retention_ms: i64,
    pub min_compaction_lag_ms: i64,
    pub max_compaction_lag_ms: i64,
    pub min_cleanable_dirty_ratio: f64,
    pub unclean_leader_election_enable: bool,
    pub message_downconversion_enable: bool,
    /// `producer.id.expiration.ms`, which is the broker's: how long a silent producer is remembered.
    pub producer_id_expiration_ms: i64,
}

/// `cleanup.policy`: a set of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub delete: bool,
    pub compact: bool,
}

impl CleanupPolicy {
    pub const DELETE: CleanupPolicy = CleanupPolicy { delete: true, compact: false };
    pub const COMPACT: CleanupPolicy = CleanupPolicy { delete: false, compact: true };
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 60 * 60 * 1000,
            segment_jitter_ms: 0,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4096,
            retention_ms: 7 * 24 * 60 * 60 * 1000,
            retention_bytes: -1,
            // 1 MiB and the batch's overhead in a log.
            max_message_bytes: (1 << 20) + 12,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: i64::MAX,
            message_timestamp_after_max_ms: i64::MAX,
            cleanup_policy: CleanupPolicy::DELETE,
            compression_type: None,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            file_delete_delay_ms: 60_000,
            preallocate: false,
            min_insync_replicas: 1,
            delete_retention_ms: 24 * 60 * 60 * 1000,
            min_compaction_lag_ms: 0,
            max_compaction_lag_ms: i64::MAX,
            min_cleanable_dirty_ratio: 0.5,
            unclean_leader_election_enable: false,
            message_downconversion_enable: true,
            producer_id_expiration_ms: 24 * 60 * 60 * 1000,
        }
    }
}

impl LogConfig {
    /// The codec that a batch is stored in, if it came in `source`.
    pub(super) fn target_compression(&self, source: Compression) -> Option<CompressionSettings> {
        self.compression_type.filter(|target| target.codec != source)
    }
}
