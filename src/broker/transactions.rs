//! What the transaction coordinator is told by the broker's keys, and where a transactional id belongs.

use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use super::internal_topic::InternalTopic;
use crate::config::BrokerConfig;
use crate::group::partition_for;
use crate::replication::{MetadataCache, Replica, ReplicaManager, VerificationGuard};
use crate::transaction::state::Producer;
use crate::transaction::{self, Config, TransactionCoordinator};
use crate::wire::{ErrorCode, TopicPartition};

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

/// A partition to which a producer is about to write the first batch of its transaction, which its coordinator must
/// know of.
#[derive(Debug)]
pub(super) struct Unverified {
    pub replica: Arc<Replica>,
    pub producer: Producer,
    guard: VerificationGuard,
}

/// What came of it: what the append has to show, or why there is none.
#[derive(Debug)]
pub(super) struct Verdict {
    pub partition: TopicPartition,
    pub outcome: Result<VerificationGuard, ErrorCode>,
}

impl Broker {
    /// None if nothing has to be verified: the transaction is open in this partition already, or
    /// `transaction.partition.verification.enable` is off.
    pub(super) fn unverified(&self, topic: &str, partition: i32, producer: Producer) -> Option<Unverified> {
        if !self.config().transaction_partition_verification_enable {
            return None;
        }
        // Who does not lead it refuses the append in any case.
        let replica = self.replicas.replica(topic, partition).ok()?;
        let guard = replica.log().begin_verification(producer.id, producer.epoch)?;
        Some(Unverified { replica, producer, guard })
    }

    /// Asks the coordinator on this broker; the partitions come back if it is on another.
    pub(super) fn verify_here(
        &self,
        transactional_id: &str,
        unverified: Vec<Unverified>,
    ) -> Result<Vec<Verdict>, Vec<Unverified>> {
        let coordinator = self.transaction_partition(transactional_id);
        let mut answers = Vec::with_capacity(unverified.len());
        for one in &unverified {
            let names = std::slice::from_ref(&one.replica.name);
            match self.verifier.verify_here(coordinator, transactional_id, one.producer, names) {
                Err(ErrorCode::NOT_COORDINATOR) => return Err(unverified),
                answer => answers.push(answer.map(|codes| codes.first().copied().unwrap_or_default())),
            }
        }
        let verdicts = unverified.into_iter().zip(answers).map(|(one, answer)| one.verdict(answer));
        Ok(verdicts.collect())
    }

    /// Asks the coordinator, wherever it is: once for each producer, of which a request has one.
    pub(super) async fn verify(&self, transactional_id: &str, mut unverified: Vec<Unverified>) -> Vec<Verdict> {
        let coordinator = self.transaction_partition(transactional_id);
        let mut verdicts = Vec::with_capacity(unverified.len());
        while let Some(producer) = unverified.first().map(|one| one.producer) {
            let (of_producer, rest) = unverified.into_iter().partition::<Vec<_>, _>(|one| one.producer == producer);
            unverified = rest;
            let names: Vec<TopicPartition> = of_producer.iter().map(|one| one.replica.name.clone()).collect();
            let answers = self.verifier.verify(coordinator, transactional_id, producer, &names).await;
            for (index, one) in of_producer.into_iter().enumerate() {
                let answer = answers.as_ref().map(|codes| codes.get(index).copied().unwrap_or_default());
                verdicts.push(one.verdict(answer.map_err(|error| *error)));
            }
        }
        verdicts
    }
}

impl Unverified {
    fn verdict(self, answer: Result<ErrorCode, ErrorCode>) -> Verdict {
        let outcome = match answer {
            Ok(ErrorCode::NONE) => Ok(self.guard),
            Ok(error) | Err(error) => {
                self.replica.log().end_verification(self.producer.id, self.guard);
                Err(error)
            }
        };
        Verdict { partition: self.replica.name.clone(), outcome }
    }
}
