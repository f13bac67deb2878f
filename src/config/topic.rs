//! A topic's configuration: its own values over the broker's.

use super::broker::BrokerConfig;
use super::error::Error;
use super::keys::topic_key;
use super::value::{check, split_list};

/// What happens to old segments. Both: compacted, and old ones deleted as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    pub compact: bool,
    pub delete: bool,
}

/// How batches are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As the producer sent them.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// Whose clock a record's timestamp is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// What holds for one topic. A field carries its key's name with dots as underscores.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    pub cleanup_policy: CleanupPolicy,
    pub compression_type: CompressionType,
    pub compression_gzip_level: i32,
    pub compression_lz4_level: i32,
    pub compression_zstd_level: i32,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub index_interval_bytes: i32,
    pub max_compaction_lag_ms: i64,
    pub max_message_bytes: i32,
    pub message_downconversion_enable: bool,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    /// The old name of both limits above: it has already been taken for the one that was not set.
    pub message_timestamp_difference_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: i32,
    pub preallocate: bool,
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub segment_bytes: i32,
    pub segment_index_bytes: i32,
    pub segment_jitter_ms: i64,
    pub segment_ms: i64,
    pub unclean_leader_election_enable: bool,
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        TopicConfig::from_broker(&BrokerConfig::default())
    }
}

impl TopicConfig {
    /// The config of a topic on this broker: `overrides` (the topic's own values) over the broker's.
    ///
    /// # Errors
    /// `UnknownTopicKey` or `InvalidValue`, with the texts of Apache's broker.
    pub fn effective<'a>(
        broker: &BrokerConfig,
        overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<TopicConfig, Error> {
        let mut config = TopicConfig::unsettled(broker);
        for (name, raw) in overrides {
            let key = topic_key(name).ok_or_else(|| Error::UnknownTopicKey(name.to_owned()))?;
            config.set(name, &check(name, key.kind, key.valid, raw)?)?;
        }
        Ok(config.settle())
    }

    /// As [`TopicConfig::effective`] for values that are already stored: what does not check is left out, and
    /// the second part says so, for the log.
    pub fn effective_lenient<'a>(
        broker: &BrokerConfig,
        overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (TopicConfig, Vec<Error>) {
        let mut config = TopicConfig::unsettled(broker);
        let mut errors = Vec::new();
        for (name, raw) in overrides {
            let set = topic_key(name)
                .ok_or_else(|| Error::UnknownTopicKey(name.to_owned()))
                .and_then(|key| check(name, key.kind, key.valid, raw))
                .and_then(|value| config.set(name, &value));
            errors.extend(set.err());
        }
        (config.settle(), errors)
    }

    /// The config of a topic without values of its own.
    pub fn from_broker(broker: &BrokerConfig) -> TopicConfig {
        TopicConfig::unsettled(broker).settle()
    }

    fn settle(mut self) -> TopicConfig {
        for limit_ms in [&mut self.message_timestamp_before_max_ms, &mut self.message_timestamp_after_max_ms] {
            if *limit_ms == i64::MAX {
                *limit_ms = self.message_timestamp_difference_max_ms;
            }
        }
        self
    }

    fn unsettled(broker: &BrokerConfig) -> TopicConfig {
        TopicConfig {
            cleanup_policy: CleanupPolicy::of(broker.log_cleanup_policy.iter().map(String::as_str)),
            compression_type: CompressionType::from_name(&broker.compression_type),
            compression_gzip_level: broker.compression_gzip_level,
            compression_lz4_level: broker.compression_lz4_level,
            compression_zstd_level: broker.compression_zstd_level,
            delete_retention_ms: broker.log_cleaner_delete_retention_ms,
            file_delete_delay_ms: broker.log_segment_delete_delay_ms,
            flush_messages: broker.log_flush_interval_messages,
            flush_ms: broker.log_flush_interval_ms,
            index_interval_bytes: broker.log_index_interval_bytes,
            max_compaction_lag_ms: broker.log_cleaner_max_compaction_lag_ms,
            max_message_bytes: broker.message_max_bytes,
            message_downconversion_enable: broker.log_message_downconversion_enable,
            message_timestamp_after_max_ms: broker.log_message_timestamp_after_max_ms,
            message_timestamp_before_max_ms: broker.log_message_timestamp_before_max_ms,
            message_timestamp_difference_max_ms: broker.log_message_timestamp_difference_max_ms,
            message_timestamp_type: TimestampType::from_name(&broker.log_message_timestamp_type),
            min_cleanable_dirty_ratio: broker.log_cleaner_min_cleanable_ratio,
            min_compaction_lag_ms: broker.log_cleaner_min_compaction_lag_ms,
            min_insync_replicas: broker.min_insync_replicas,
            preallocate: broker.log_preallocate,
            retention_bytes: broker.log_retention_bytes,
            retention_ms: broker.log_retention_ms,
            segment_bytes: broker.log_segment_bytes,
            segment_index_bytes: broker.log_index_size_max_bytes,
            segment_jitter_ms: broker.log_roll_jitter_ms,
            segment_ms: broker.log_roll_ms,
            unclean_leader_election_enable: broker.unclean_leader_election_enable,
        }
    }

    /// Takes a value that [`check`] has passed.
    fn set(&mut self, name: &str, value: &str) -> Result<(), Error> {
        fn parsed<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, Error> {
            value.parse().map_err(|_| Error::unusable(format!("{name} has no usable value: {value}")))
        }
        match name {
            "cleanup.policy" => self.cleanup_policy = CleanupPolicy::of(split_list(value).into_iter()),
            "compression.type" => self.compression_type = CompressionType::from_name(value),
            "compression.gzip.level" => self.compression_gzip_level = parsed(name, value)?,
            "compression.lz4.level" => self.compression_lz4_level = parsed(name, value)?,
            "compression.zstd.level" => self.compression_zstd_level = parsed(name, value)?,
            "delete.retention.ms" => self.delete_retention_ms = parsed(name, value)?,
            "file.delete.delay.ms" => self.file_delete_delay_ms = parsed(name, value)?,
            "flush.messages" => self.flush_messages = parsed(name, value)?,
            "flush.ms" => self.flush_ms = parsed(name, value)?,
            "index.interval.bytes" => self.index_interval_bytes = parsed(name, value)?,
            "max.compaction.lag.ms" => self.max_compaction_lag_ms = parsed(name, value)?,
            "max.message.bytes" => self.max_message_bytes = parsed(name, value)?,
            "message.downconversion.enable" => self.message_downconversion_enable = parsed(name, value)?,
            "message.timestamp.after.max.ms" => self.message_timestamp_after_max_ms = parsed(name, value)?,
            "message.timestamp.before.max.ms" => self.message_timestamp_before_max_ms = parsed(name, value)?,
            "message.timestamp.difference.max.ms" => self.message_timestamp_difference_max_ms = parsed(name, value)?,
            "message.timestamp.type" => self.message_timestamp_type = TimestampType::from_name(value),
            "min.cleanable.dirty.ratio" => self.min_cleanable_dirty_ratio = parsed(name, value)?,
            "min.compaction.lag.ms" => self.min_compaction_lag_ms = parsed(name, value)?,
            "min.insync.replicas" => self.min_insync_replicas = parsed(name, value)?,
            "preallocate" => self.preallocate = parsed(name, value)?,
            "retention.bytes" => self.retention_bytes = parsed(name, value)?,
            "retention.ms" => self.retention_ms = parsed(name, value)?,
            "segment.bytes" => self.segment_bytes = parsed(name, value)?,
            "segment.index.bytes" => self.segment_index_bytes = parsed(name, value)?,
            "segment.jitter.ms" => self.segment_jitter_ms = parsed(name, value)?,
            "segment.ms" => self.segment_ms = parsed(name, value)?,
            "unclean.leader.election.enable" => self.unclean_leader_election_enable = parsed(name, value)?,
            // Known, checked, stored and described, but nothing here acts on it: tiered storage, throttles,
            // and the message format, which Kafka 3 ignores too.
            _ => {}
        }
        Ok(())
    }
}

impl CleanupPolicy {
    fn of<'a>(words: impl Iterator<Item = &'a str>) -> CleanupPolicy {
        let words: Vec<&str> = words.collect();
        CleanupPolicy { compact: words.contains(&"compact"), delete: words.contains(&"delete") }
    }
}

impl CompressionType {
    fn from_name(name: &str) -> CompressionType {
        match name {
            "uncompressed" => CompressionType::Uncompressed,
            "gzip" => CompressionType::Gzip,
            "snappy" => CompressionType::Snappy,
            "lz4" => CompressionType::Lz4,
            "zstd" => CompressionType::Zstd,
            _ => CompressionType::Producer,
        }
    }
}

impl TimestampType {
    fn from_name(name: &str) -> TimestampType {
        match name {
            "LogAppendTime" => TimestampType::LogAppendTime,
            _ => TimestampType::CreateTime,
        }
    }

    /// As in `message.timestamp.type`.
    pub fn name(self) -> &'static str {
        match self {
            TimestampType::CreateTime => "CreateTime",
            TimestampType::LogAppendTime => "LogAppendTime",
        }
    }
}

/// Checks a topic's own values before they are stored.
///
/// # Errors
/// `NullTopicValue`, `UnknownTopicKey` or `InvalidValue`, with the texts of Apache's broker.
///
/// Source: `LogConfig.validate`.
pub fn validate_topic_configs<'a>(configs: impl IntoIterator<Item = (&'a str, Option<&'a str>)>) -> Result<(), Error> {
    let configs: Vec<(&str, Option<&str>)> = configs.into_iter().collect();
    let nulls: Vec<&str> = configs.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| *name).collect();
    if !nulls.is_empty() {
        return Err(Error::NullTopicValue(nulls.join(",")));
    }
    if let Some((name, _)) = configs.iter().find(|(name, _)| topic_key(name).is_none()) {
        return Err(Error::UnknownTopicKey((*name).to_owned()));
    }
    let mut lags: (i64, i64) = (0, i64::MAX);
    for (name, raw) in configs {
        let (Some(key), Some(raw)) = (topic_key(name), raw) else { continue };
        let value = check(name, key.kind, key.valid, raw)?;
        match name {
            "min.compaction.lag.ms" => lags.0 = value.parse().unwrap_or(0),
            "max.compaction.lag.ms" => lags.1 = value.parse().unwrap_or(i64::MAX),
            _ => {}
        }
    }
    if lags.0 > lags.1 {
        return Err(Error::InvalidValue {
            key: "min.compaction.lag.ms".into(),
            value: lags.0.to_string(),
            reason: "cannot be larger than max.compaction.lag.ms".into(),
            allowed: format!("0 to {}", lags.1).into(),
            location: None,
        });
    }
    Ok(())
}
