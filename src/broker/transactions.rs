//! What the transaction coordinator is told by the broker's keys, and where a transactional id belongs.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use super::internal_topic::InternalTopic;
use crate::config::BrokerConfig;
use crate::group::partition_for;
use crate::replication::{MetadataCache, ReplicaManager};
use crate::transaction::{self, Config, TransactionCoordinator};

/// How long a record of a transaction waits for enough replicas; Apache's broker takes the time-out of the request,
/// which is `request.timeout.ms` of its clients.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The coordinator of this broker; it owns nothing until the broker leads partitions of `__transaction_state`.
pub(super) fn coordinator(
    broker_id: i32,
    config: &BrokerConfig,
    replicas: &Arc<ReplicaManager>,
    metadata: Arc<MetadataCache>,
) -> Arc<TransactionCoordinator> {
    let config = Config {
        transaction_max_timeout_ms: config.transaction_max_timeout_ms,
        transactional_id_expiration_ms: config.transactional_id_expiration_ms.into(),
        abort_timed_out_interval_ms: config.transaction_abort_timed_out_transaction_cleanup_interval_ms.max(1) as u64,
        remove_expired_interval_ms: config.transaction_remove_expired_transaction_cleanup_interval_ms.max(1) as u64,
        inter_broker_listener_name: config.inter_broker_listener_name.clone(),
        broker_id,
    };
    let log = InternalTopic::new(transaction::TOPIC, replicas, COMMIT_TIMEOUT);
    TransactionCoordinator::new(config, Arc::new(log), metadata)
}

impl Broker {
    /// The partition of `__transaction_state` that keeps this transactional id.
    pub(crate) fn transaction_partition(&self, transactional_id: &str) -> i32 {
        let existing =
            self.metadata.current().topics.get(transaction::TOPIC).map(|topic| topic.partitions.len() as i32);
        let configured = || self.config().transaction_state_log_num_partitions;
        partition_for(transactional_id, existing.unwrap_or_else(configured))
    }
}
