//! What the group coordinator is told by the broker's keys, and where a group belongs.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use super::internal_topic::InternalTopic;
use crate::config::BrokerConfig;
use crate::group::state::Settings;
use crate::group::{self, Config, GroupCoordinator};
use crate::replication::ReplicaManager;
use crate::wire::TopicPartition;

const MS_PER_MINUTE: i64 = 60_000;

/// The coordinator of this broker; it owns nothing until the broker leads partitions of `__consumer_offsets`.
pub(super) fn coordinator(config: &BrokerConfig, replicas: &Arc<ReplicaManager>) -> Arc<GroupCoordinator> {
    let commit_timeout = Duration::from_millis(config.offsets_commit_timeout_ms.max(0) as u64);
    let config = Config {
        group: Settings {
            initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms.into(),
            session_timeout_ms_min: config.group_min_session_timeout_ms,
            session_timeout_ms_max: config.group_max_session_timeout_ms,
            size_max: config.group_max_size.max(0) as usize,
        },
        offset_metadata_max_bytes: config.offset_metadata_max_bytes.max(0) as usize,
        offsets_retention_ms: i64::from(config.offsets_retention_minutes) * MS_PER_MINUTE,
        offsets_retention_check_interval_ms: config.offsets_retention_check_interval_ms.max(1) as u64,
    };
    GroupCoordinator::new(config, InternalTopic::new(group::TOPIC, replicas, commit_timeout))
}

impl Broker {
    /// The partition of `__consumer_offsets` that keeps this group.
    pub(crate) fn group_partition(&self, group_id: &str) -> i32 {
        let existing = self.metadata.current().topics.get(group::TOPIC).map(|topic| topic.partitions.len() as i32);
        group::partition_for(group_id, existing.unwrap_or_else(|| self.config().offsets_topic_num_partitions))
    }

    /// Forgets what groups have committed for partitions that were deleted.
    pub(crate) fn partitions_deleted(&self, deleted: &[TopicPartition]) {
        if !deleted.is_empty() {
            self.groups.partitions_deleted(deleted);
        }
    }
}
