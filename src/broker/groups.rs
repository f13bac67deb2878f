//! What the group coordinator leans on: the partitions of `__consumer_offsets` on this broker, and being told when
//! this broker begins or ceases to lead one.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Broker;
use crate::config::BrokerConfig;
use crate::group::state::Settings;
use crate::group::{self, CommittedFuture, Config, GroupCoordinator, OffsetsLog};
use crate::replication::delayed::{Awaits, Parked};
use crate::replication::{LeadershipChange, LeadershipListener, Replica, ReplicaManager};
use crate::wire::{ErrorCode, TopicPartition};

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
    // The manager's listener knows the coordinator, so the coordinator only knows the manager weakly.
    let log = Offsets { replicas: Arc::downgrade(replicas), commit_timeout };
    GroupCoordinator::new(config, Arc::new(log))
}

/// Loads and unloads groups as this broker's part in `__consumer_offsets` changes.
pub(super) fn follow_leadership(groups: Arc<GroupCoordinator>) -> LeadershipListener {
    Box::new(move |changes| {
        let of_groups = changes.iter().filter(|(name, _)| &*name.topic == group::TOPIC);
        let (mut elected, mut resigned) = (Vec::new(), Vec::new());
        for (name, change) in of_groups {
            match change {
                LeadershipChange::Elected { leader_epoch } => elected.push((name.partition, *leader_epoch)),
                LeadershipChange::Resigned => resigned.push(name.partition),
            }
        }
        if !resigned.is_empty() {
            groups.resign(&resigned);
        }
        if !elected.is_empty() {
            // A large partition takes its time, and the controller waits for its answer.
            let groups = groups.clone();
            tokio::task::spawn_blocking(move || groups.load(&elected));
        }
    })
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

/// The partitions of `__consumer_offsets`, through replication like everyone else's.
struct Offsets {
    replicas: Weak<ReplicaManager>,
    /// `offsets.commit.timeout.ms`
    commit_timeout: Duration,
}

impl OffsetsLog for Offsets {
    fn append(&self, partition: i32, mut batch: Vec<u8>) -> CommittedFuture {
        let Some(replicas) = self.replicas.upgrade() else {
            return Box::pin(std::future::ready(ErrorCode::NOT_COORDINATOR));
        };
        let commit_timeout = self.commit_timeout;
        let appended = replicas.append_internal(group::TOPIC, partition, &mut batch);
        Box::pin(async move {
            match appended {
                Ok((replica, next_offset)) => committed(&replica, next_offset, commit_timeout).await,
                Err(code) => code,
            }
        })
    }

    fn read(&self, partition: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode> {
        let replicas = self.replicas.upgrade().ok_or(ErrorCode::NOT_COORDINATOR)?;
        let replica = replicas.replica(group::TOPIC, partition)?;
        replica.check_leader(None)?;
        replica.read_all(visit).map_err(|error| error.code())
    }
}

/// Waits until enough replicas have everything before `next_offset`.
async fn committed(replica: &Replica, next_offset: i64, timeout: Duration) -> ErrorCode {
    let look = || match replica.is_replicated(next_offset) {
        Ok(true) => Some(ErrorCode::NONE),
        Ok(false) => None,
        Err(code) => Some(code),
    };
    if let Some(code) = look() {
        return code;
    }
    let parked = Parked::at([replica.parking.clone()], Awaits::HighWatermark);
    let waiting = async {
        loop {
            if let Some(code) = look() {
                return code;
            }
            parked.moved().await;
        }
    };
    tokio::time::timeout(timeout, waiting).await.unwrap_or(ErrorCode::REQUEST_TIMED_OUT)
}
