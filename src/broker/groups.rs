//! What the group coordinator is told by the broker's keys, and where a group belongs.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use super::internal_topic::InternalTopic;
use crate::config::BrokerConfig;
use crate::group::assignors::Assignor;
use crate::group::classic::Settings;
use crate::group::consumer::ConsumerSettings;
use crate::group::migration::MigrationPolicy;
use crate::group::{self, Config, GroupCoordinator};
use crate::replication::{MetadataCache, ReplicaManager};
use crate::wire::TopicPartition;
use crate::wire::batch::Compression;

const MS_PER_MINUTE: i64 = 60_000;

/// The coordinator of this broker; it owns nothing until the broker leads partitions of `__consumer_offsets`.
pub(super) fn coordinator(
    config: &BrokerConfig,
    replicas: &Arc<ReplicaManager>,
    metadata: Arc<MetadataCache>,
) -> Arc<GroupCoordinator> {
    let commit_timeout = Duration::from_millis(config.offsets_commit_timeout_ms.max(0) as u64);
    let topic = InternalTopic::new(group::TOPIC, replicas, commit_timeout);
    let topic = if config.offsets_commit_required_acks == ALL_ACKS { topic } else { topic.without_waiting() };
    let codec = u8::try_from(config.offsets_topic_compression_codec).unwrap_or_default();
    let config = Config {
        classic: Settings {
            initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms.into(),
            session_timeout_ms_min: config.group_min_session_timeout_ms,
            session_timeout_ms_max: config.group_max_session_timeout_ms,
            size_max: config.group_max_size.max(0) as usize,
        },
        consumer: ConsumerSettings {
            session_timeout_ms: config.group_consumer_session_timeout_ms,
            heartbeat_interval_ms: config.group_consumer_heartbeat_interval_ms,
            size_max: config.group_consumer_max_size.max(0) as usize,
            assignors: assignors(&config.group_consumer_assignors),
        },
        migration: MigrationPolicy::named(&config.group_consumer_migration_policy).unwrap_or(MigrationPolicy::Disabled),
        offset_metadata_max_bytes: config.offset_metadata_max_bytes.max(0) as usize,
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * MS_PER_MINUTE,
        offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms.max(1) as u64,
        compression: Compression::from_id(codec).unwrap_or_default().into(),
    };
    GroupCoordinator::new(config, Arc::new(topic), metadata)
}

/// `offsets.commit.required.acks`: every replica in sync.
const ALL_ACKS: i16 = -1;

/// Those that are known here; a class of somebody's own cannot be run.
fn assignors(names: &[String]) -> Vec<Assignor> {
    let known = names.iter().filter_map(|name| {
        let assignor = Assignor::named(name);
        if assignor.is_none() {
            tracing::warn!(name, "group.consumer.assignors: not known here");
        }
        assignor
    });
    let known: Vec<Assignor> = known.collect();
    if known.is_empty() { Assignor::ALL.to_vec() } else { known }
}

impl Broker {
    /// The partition of `__consumer_offsets` that keeps this group.
    pub(crate) fn group_partition(&self, group_id: &str) -> i32 {
        let existing = self.metadata.current().topics.get(group::TOPIC).map(|topic| topic.partitions.len() as i32);
        group::partition_for(group_id, existing.unwrap_or_else(|| self.config().offsets_topic_num_partitions))
    }

    /// Whether `group.coordinator.rebalance.protocols` lets groups speak the consumer protocol (KIP-848).
    pub(crate) fn serves_consumer_protocol(&self) -> bool {
        self.config().group_coordinator_rebalance_protocols.iter().any(|protocol| protocol == "consumer")
    }

    /// Forgets what groups have committed for partitions that were deleted.
    pub(crate) fn partitions_deleted(&self, deleted: &[TopicPartition]) {
        if !deleted.is_empty() {
            self.groups.partitions_deleted(deleted);
        }
    }
}
