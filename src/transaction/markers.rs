//! The markers that end a transaction: WriteTxnMarkers to the leader of every partition it wrote to, this broker
//! included, by the same door.
//!
//! Source: `TransactionMarkerChannelManager`, `TransactionMarkerRequestCompletionHandler` of Apache Kafka 3.9.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::state::{Metadata, Outcome};
use crate::network::Peer;
use crate::replication::MetadataCache;
use crate::wire::messages::WriteTxnMarkersRequest;
use crate::wire::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::wire::{ErrorCode, TopicPartition};

/// The version that brokers use among themselves.
const VERSION: i16 = 1;
/// `request.timeout.ms` of Apache's brokers.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends markers, over one connection a broker.
pub(super) struct Markers {
    metadata: Arc<MetadataCache>,
    listener: String,
    client_id: String,
    peers: Mutex<HashMap<String, Arc<Peer>>>,
}

impl Markers {
    pub fn new(metadata: Arc<MetadataCache>, listener: String, broker_id: i32) -> Markers {
        Markers { metadata, listener, client_id: broker_id.to_string(), peers: Mutex::default() }
    }

    /// Tries every partition once and returns those that need no marker any more: it is written, the topic is gone,
    /// or a newer producer or coordinator has taken over.
    pub async fn write(&self, metadata: &Metadata, outcome: Outcome, coordinator_epoch: i32) -> Vec<TopicPartition> {
        let (mut done, mut by_leader) = (Vec::new(), BTreeMap::<String, Vec<TopicPartition>>::new());
        {
            let cluster = self.metadata.current();
            for of in &metadata.partitions {
                match cluster.leader_endpoint(&of.topic, of.partition, &self.listener) {
                    Some((_, at)) => {
                        by_leader.entry(format!("{}:{}", at.host, at.port)).or_default().push(of.clone());
                    }
                    // Without a leader it waits for one; without a topic there is nothing to mark.
                    None if cluster.contains(&of.topic, of.partition) => {}
                    None => done.push(of.clone()),
                }
            }
        }
        for (address, partitions) in by_leader {
            let request = request(metadata, outcome, coordinator_epoch, &partitions);
            match self.send(&address, &request).await {
                Ok(written) => done.extend(written),
                Err(error) => tracing::debug!(%address, %error, "markers could not be sent"),
            }
        }
        done
    }

    async fn send(
        &self,
        address: &str,
        request: &WriteTxnMarkersRequest,
    ) -> Result<Vec<TopicPartition>, crate::network::Error> {
        let peer = self.peer(address).await?;
        let response = match peer.call_within(request, VERSION, TIMEOUT).await {
            Ok(response) => response,
            Err(error) => {
                self.peers.lock().await.remove(address);
                return Err(error);
            }
        };
        let mut done = Vec::new();
        for topic in response.markers.into_iter().flat_map(|marker| marker.topics) {
            let name: Arc<str> = topic.name.into();
            for result in topic.partitions {
                match ErrorCode(result.error_code) {
                    ErrorCode::NONE | ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::TRANSACTION_COORDINATOR_FENCED => {
                        done.push(TopicPartition::new(name.clone(), result.partition_index));
                    }
                    error => {
                        tracing::debug!(topic = %name, partition = result.partition_index, %error, "no marker yet")
                    }
                }
            }
        }
        Ok(done)
    }

    async fn peer(&self, address: &str) -> Result<Arc<Peer>, crate::network::Error> {
        if let Some(peer) = self.peers.lock().await.get(address) {
            return Ok(peer.clone());
        }
        let peer = Arc::new(Peer::connect_within(address, &self.client_id, TIMEOUT).await?);
        self.peers.lock().await.insert(address.to_owned(), peer.clone());
        Ok(peer)
    }
}

fn request(
    metadata: &Metadata,
    outcome: Outcome,
    coordinator_epoch: i32,
    partitions: &[TopicPartition],
) -> WriteTxnMarkersRequest {
    let mut topics: Vec<WritableTxnMarkerTopic> = Vec::new();
    for of in partitions {
        match topics.last_mut() {
            Some(topic) if topic.name == *of.topic => topic.partition_indexes.push(of.partition),
            _ => topics
                .push(WritableTxnMarkerTopic { name: of.topic.to_string(), partition_indexes: vec![of.partition] }),
        }
    }
    let marker = WritableTxnMarker {
        producer_id: metadata.producer_id,
        producer_epoch: metadata.producer_epoch,
        transaction_result: outcome == Outcome::Commit,
        topics,
        coordinator_epoch,
    };
    WriteTxnMarkersRequest { markers: vec![marker] }
}
