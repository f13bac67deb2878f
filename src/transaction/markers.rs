//! The markers that end a transaction: WriteTxnMarkers to the leader of every partition it wrote to, this broker
//! included, by the same door.
//!
//! Source: `TransactionMarkerChannelManager`, `TransactionMarkerRequestCompletionHandler` of Apache Kafka 3.9.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::TOPIC;
use super::peers::Peers;
use super::state::{Metadata, Outcome};
use crate::replication::MetadataCache;
use crate::wire::messages::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic};
use crate::wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use crate::wire::{ErrorCode, TopicPartition};

/// The version that brokers use among themselves.
const VERSION: i16 = 1;
/// `request.timeout.ms` of Apache's brokers.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Sends markers, over one connection a broker.
pub(super) struct Markers {
    metadata: Arc<MetadataCache>,
    listener: String,
    peers: Arc<Peers>,
}

impl Markers {
    pub fn new(metadata: Arc<MetadataCache>, listener: String, broker_id: i32) -> Markers {
        Markers { metadata, listener, peers: Arc::new(Peers::new(broker_id)) }
    }

    /// Tries every partition once and returns those that need no marker any more: it is written, the topic is gone,
    /// or a newer producer or coordinator has taken over.
    ///
    /// `coordinator_partition`: the partition of `__transaction_state` in whose name it is done.
    pub async fn write(
        &self,
        coordinator_partition: i32,
        metadata: &Metadata,
        outcome: Outcome,
        coordinator_epoch: i32,
    ) -> Vec<TopicPartition> {
        let (mut done, mut by_leader) = (Vec::new(), BTreeMap::<String, Vec<TopicPartition>>::new());
        {
            let cluster = self.metadata.current();
            // A broker that starts is told what it leads before it is told what there is: until it knows of the
            // coordinator's own partition, what it does not know of is not gone.
            let knows_what_is_gone = cluster.contains(TOPIC, coordinator_partition);
            for of in &metadata.partitions {
                match cluster.leader_endpoint(&of.topic, of.partition, &self.listener) {
                    Some((_, at)) => {
                        by_leader.entry(at.address()).or_default().push(of.clone());
                    }
                    // Without a leader it waits for one; without a topic there is nothing to mark.
                    None if cluster.contains(&of.topic, of.partition) || !knows_what_is_gone => {}
                    None => done.push(of.clone()),
                }
            }
        }
        // All brokers at once: one that is dead does not hold up the markers of the others.
        let mut sending = JoinSet::new();
        for (address, partitions) in by_leader {
            let request = request(metadata, outcome, coordinator_epoch, &partitions);
            let peers = self.peers.clone();
            sending.spawn(async move {
                let sent = peers.call(&address, &request, VERSION, TIMEOUT).await;
                sent.inspect_err(|error| tracing::debug!(%address, %error, "markers could not be sent"))
            });
        }
        while let Some(sent) = sending.join_next().await {
            if let Ok(Ok(response)) = sent {
                done.extend(written(response));
            }
        }
        done
    }
}

/// The partitions of an answer that need no marker any more.
fn written(response: WriteTxnMarkersResponse) -> Vec<TopicPartition> {
    let mut done = Vec::new();
    for topic in response.markers.into_iter().flat_map(|marker| marker.topics) {
        let name: Arc<str> = topic.name.into();
        for result in topic.partitions {
            match ErrorCode(result.error_code) {
                ErrorCode::NONE | ErrorCode::INVALID_PRODUCER_EPOCH | ErrorCode::TRANSACTION_COORDINATOR_FENCED => {
                    done.push(TopicPartition::new(name.clone(), result.partition_index));
                }
                error => {
                    tracing::debug!(topic = %name, partition = result.partition_index, %error, "no marker yet");
                }
            }
        }
    }
    done
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
