//! What topics have of their own: the values in `/config/topics`, over the broker's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;

use super::Broker;
use crate::config::{BrokerConfig, CompressionType, TimestampType, TopicConfig};
use crate::log::{CleanerConfig, CleanupPolicy, LogConfig};
use crate::registry::znodes::{ConfigEntity, EntityConfig};
use crate::registry::{self, Session};
use crate::wire::batch::{self, Compression, CompressionSettings};

/// The own values of the topics that have any.
#[derive(Debug, Default)]
pub(crate) struct TopicConfigs {
    overrides: RwLock<HashMap<Arc<str>, BTreeMap<String, String>>>,
}

impl TopicConfigs {
    /// The topic's own values; none if it is not known.
    pub fn overrides(&self, topic: &str) -> BTreeMap<String, String> {
        self.overrides.read().get(topic).cloned().unwrap_or_default()
    }

    /// Takes a topic's own values, all of them.
    pub fn set(&self, topic: &str, values: BTreeMap<String, String>) {
        match values.is_empty() {
            true => self.overrides.write().remove(topic),
            false => self.overrides.write().insert(topic.into(), values),
        };
    }

    /// How the topic's logs are kept on this broker.
    pub fn log_config(&self, broker: &BrokerConfig, topic: &str) -> LogConfig {
        let overrides = self.overrides.read();
        let values = overrides.get(topic).into_iter().flatten().map(|(key, value)| (key.as_str(), value.as_str()));
        let (config, errors) = TopicConfig::effective_lenient(broker, values);
        for error in errors {
            // Somebody else wrote it; the topic is served all the same.
            tracing::warn!(topic, %error, "a value of the topic is ignored");
        }
        log_config(&config, broker)
    }

    /// Reads all topics' values, at the start.
    pub async fn load(session: &Session) -> Result<TopicConfigs, registry::Error> {
        let configs = TopicConfigs::default();
        let topics = session.children("/config/topics").await?;
        let reads: Vec<_> = topics.into_iter().map(|topic| read(session.clone(), topic)).collect();
        // The session sends them one behind the other without waiting, and answers in that order.
        for task in reads.into_iter().map(tokio::spawn).collect::<Vec<_>>() {
            let Ok(read) = task.await else { continue };
            let (topic, values) = read?;
            configs.set(&topic, values);
        }
        Ok(configs)
    }
}

/// A topic's own values as the registry has them now; none if it has none.
async fn read(session: Session, topic: String) -> Result<(String, BTreeMap<String, String>), registry::Error> {
    let entity = ConfigEntity::Topic(topic.clone());
    match session.get(&EntityConfig::path(&entity)).await {
        Ok((data, _)) => Ok((topic, EntityConfig::decode(&entity, &data)?.config)),
        Err(registry::Error::NoNode(_)) => Ok((topic, BTreeMap::new())),
        Err(error) => Err(error),
    }
}

impl Broker {
    /// Reads a topic's own values before its first log is created here.
    pub(crate) async fn load_topic_config(&self, topic: &str) {
        match read(self.session.clone(), topic.to_owned()).await {
            Ok((_, values)) => self.topic_configs.set(topic, values),
            Err(error) => tracing::warn!(topic, %error, "the topic's own values cannot be read"),
        }
    }

    /// A topic has these values of its own now: its logs obey them from here on.
    pub(crate) fn topic_config_changed(&self, topic: &str, values: BTreeMap<String, String>) {
        self.topic_configs.set(topic, values);
        let config = self.topic_configs.log_config(&self.config(), topic);
        self.replicas.update_topic_config(topic, &config);
        self.controller.topic_config_changed(topic, config.unclean_leader_election_enable);
    }

    /// The broker's own configuration has changed: topics inherit from it.
    pub(crate) fn broker_config_changed(&self, mut config: BrokerConfig) {
        let before = self.config();
        // Found at the start, and not in the file from which the new one was made.
        config.broker_id = self.id;
        config.listeners = before.listeners.clone();
        config.advertised_listeners = before.advertised_listeners.clone();
        let config = Arc::new(config);
        self.config.send_replace(config.clone());
        let (cleaner, cleaner_config) = (self.cleaner.clone(), cleaner_config(&config));
        // Waits for the threads' end, if they are to be others.
        tokio::task::spawn_blocking(move || cleaner.reconfigure(cleaner_config));
        for topic in self.replicas.topics() {
            self.replicas.update_topic_config(&topic, &self.topic_configs.log_config(&config, &topic));
        }
    }
}

/// The `log.cleaner.*` keys as the cleaner wants them; without `log.cleaner.enable` it has no threads.
pub(super) fn cleaner_config(config: &BrokerConfig) -> CleanerConfig {
    CleanerConfig {
        threads: if config.log_cleaner_enable { config.log_cleaner_threads.max(0) as usize } else { 0 },
        dedupe_buffer_size: config.log_cleaner_dedupe_buffer_size.max(0) as u64,
        load_factor: config.log_cleaner_io_buffer_load_factor,
        max_bytes_per_second: config.log_cleaner_io_max_bytes_per_second,
        backoff_ms: config.log_cleaner_backoff_ms,
    }
}

/// The part of a topic's configuration that its logs need.
fn log_config(topic: &TopicConfig, broker: &BrokerConfig) -> LogConfig {
    LogConfig {
        segment_bytes: topic.segment_bytes.max(0) as u32,
        segment_ms: topic.segment_ms,
        segment_jitter_ms: topic.segment_jitter_ms,
        segment_index_bytes: topic.segment_index_bytes.max(0) as u32,
        index_interval_bytes: topic.index_interval_bytes.max(0) as u32,
        retention_ms: topic.retention_ms,
        retention_bytes: topic.retention_bytes,
        max_message_bytes: topic.max_message_bytes.max(0) as u32,
        message_timestamp_type: match topic.message_timestamp_type {
            TimestampType::CreateTime => batch::TimestampType::CreateTime,
            TimestampType::LogAppendTime => batch::TimestampType::LogAppendTime,
        },
        message_timestamp_before_max_ms: topic.message_timestamp_before_max_ms,
        message_timestamp_after_max_ms: topic.message_timestamp_after_max_ms,
        cleanup_policy: CleanupPolicy { delete: topic.cleanup_policy.delete, compact: topic.cleanup_policy.compact },
        compression_type: compression(topic),
        flush_messages: topic.flush_messages,
        flush_ms: topic.flush_ms,
        file_delete_delay_ms: topic.file_delete_delay_ms,
        preallocate: topic.preallocate,
        min_insync_replicas: topic.min_insync_replicas,
        delete_retention_ms: topic.delete_retention_ms,
        min_compaction_lag_ms: topic.min_compaction_lag_ms,
        max_compaction_lag_ms: topic.max_compaction_lag_ms,
        min_cleanable_dirty_ratio: topic.min_cleanable_dirty_ratio,
        unclean_leader_election_enable: topic.unclean_leader_election_enable,
        message_downconversion_enable: topic.message_downconversion_enable,
        producer_id_expiration_ms: broker.producer_id_expiration_ms.into(),
    }
}

fn compression(topic: &TopicConfig) -> Option<CompressionSettings> {
    let (codec, level) = match topic.compression_type {
        CompressionType::Producer => return None,
        CompressionType::Uncompressed => (Compression::None, None),
        CompressionType::Gzip => (Compression::Gzip, Some(topic.compression_gzip_level)),
        CompressionType::Snappy => (Compression::Snappy, None),
        CompressionType::Lz4 => (Compression::Lz4, Some(topic.compression_lz4_level)),
        CompressionType::Zstd => (Compression::Zstd, Some(topic.compression_zstd_level)),
    };
    Some(CompressionSettings { codec, level })
}
