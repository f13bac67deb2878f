//! Whether a partition is part of a producer's open transaction, asked of the coordinator by the partition's leader
//! before the first batch of the transaction is written there (KIP-890, part 1): AddPartitionsToTxn with verify_only.
//!
//! Source: `AddPartitionsToTxnManager`, `ReplicaManager.maybeStartTransactionVerificationForPartition`.

use std::sync::Arc;
use std::time::Duration;

use super::peers::Peers;
use super::state::Producer;
use super::{TOPIC, TransactionCoordinator};
use crate::replication::MetadataCache;
use crate::wire::messages::AddPartitionsToTxnRequest;
use crate::wire::messages::add_partitions_to_txn::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use crate::wire::{ErrorCode, TopicPartition};

/// The first version that brokers speak; every one that serves transactions this way has it.
const VERSION: i16 = 4;
/// A producer waits no longer for a coordinator that does not answer; it asks again by itself.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks coordinators, here or on other brokers.
#[derive(Debug)]
pub struct Verifier {
    coordinator: Arc<TransactionCoordinator>,
    metadata: Arc<MetadataCache>,
    listener: String,
    peers: Peers,
}

impl Verifier {
    /// `listener`: `inter.broker.listener.name`.
    pub fn new(
        coordinator: Arc<TransactionCoordinator>,
        metadata: Arc<MetadataCache>,
        listener: String,
        broker_id: i32,
    ) -> Verifier {
        Verifier { coordinator, metadata, listener, peers: Peers::new(broker_id) }
    }

    /// What the coordinator on this broker says at once, one code for each partition; `NOT_COORDINATOR` if it is not
    /// here.
    ///
    /// # Errors
    /// Those of the coordinator as a whole.
    pub fn verify_here(
        &self,
        coordinator_partition: i32,
        transactional_id: &str,
        producer: Producer,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.coordinator.verify_partitions(coordinator_partition, transactional_id, producer, partitions)
    }

    /// What the coordinator says, wherever it is, one code for each partition.
    ///
    /// # Errors
    /// `COORDINATOR_NOT_AVAILABLE` if none is known, `NETWORK_EXCEPTION` if it cannot be asked, or its own.
    pub async fn verify(
        &self,
        coordinator_partition: i32,
        transactional_id: &str,
        producer: Producer,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        match self.verify_here(coordinator_partition, transactional_id, producer, partitions) {
            Err(ErrorCode::NOT_COORDINATOR) => {}
            answered => return answered,
        }
        let address = {
            let cluster = self.metadata.current();
            let leader = cluster.leader_endpoint(TOPIC, coordinator_partition, &self.listener);
            leader.map(|(_, endpoint)| endpoint.address()).ok_or(ErrorCode::COORDINATOR_NOT_AVAILABLE)?
        };
        let request = request(transactional_id, producer, partitions);
        let response = self.peers.call(&address, &request, VERSION, TIMEOUT).await.map_err(|error| {
            tracing::debug!(%address, %error, "a transaction could not be verified");
            ErrorCode::NETWORK_EXCEPTION
        })?;
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => {}
            // The coordinator does not take us for a broker.
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED => return Err(ErrorCode::INVALID_TXN_STATE),
            error => return Err(error),
        }
        let results = response.results_by_transaction.iter().flat_map(|result| &result.topic_results);
        let results: Vec<_> = results.collect();
        let code = |of: &TopicPartition| {
            let topic = results.iter().find(|topic| topic.name == *of.topic)?;
            let result = topic.results_by_partition.iter().find(|result| result.partition_index == of.partition)?;
            Some(ErrorCode(result.partition_error_code))
        };
        Ok(partitions.iter().map(|of| code(of).unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR)).collect())
    }
}

fn request(transactional_id: &str, producer: Producer, partitions: &[TopicPartition]) -> AddPartitionsToTxnRequest {
    let mut topics: Vec<AddPartitionsToTxnTopic> = Vec::new();
    for of in partitions {
        match topics.iter_mut().find(|topic| topic.name == *of.topic) {
            Some(topic) => topic.partitions.push(of.partition),
            None => {
                topics.push(AddPartitionsToTxnTopic { name: of.topic.to_string(), partitions: vec![of.partition] });
            }
        }
    }
    let transaction = AddPartitionsToTxnTransaction {
        transactional_id: transactional_id.to_owned(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        verify_only: true,
        topics,
    };
    AddPartitionsToTxnRequest { transactions: vec![transaction], ..Default::default() }
}
