//! WriteTxnMarkers (key 27), versions 0–1: a transaction coordinator ends a transaction in partitions that we lead.
//!
//! - Each marker is a control batch; in `__consumer_offsets` it also makes the transaction's offsets count, or not.

use std::sync::Arc;
use std::time::Duration;

use crate::broker::internal_topic::committed;
use crate::broker::{Broker, wall_ms};
use crate::group;
use crate::network::{Reply, RequestContext, Response};
use crate::replication::{Appended, Replica};
use crate::wire::batch::{ControlRecordType, end_transaction_marker};
use crate::wire::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use crate::wire::messages::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use crate::wire::{ErrorCode, TopicPartition};

/// How long a marker waits for enough replicas: `request.timeout.ms` of the coordinator that sent it.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A marker in the log of its partition, with the offset that must be replicated; or why it is not.
type Outcome = (TopicPartition, Result<(Arc<Replica>, Appended), ErrorCode>);

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: WriteTxnMarkersRequest) -> Reply {
    let appended: Vec<Vec<Outcome>> = request.markers.iter().map(|marker| append(broker, marker)).collect();
    let broker = broker.clone();
    Reply::later(async move {
        let mut markers = Vec::with_capacity(appended.len());
        for (marker, appended) in request.markers.iter().zip(appended) {
            let mut topics: Vec<WritableTxnMarkerTopicResult> = Vec::new();
            for (partition, outcome) in appended {
                let error = match outcome {
                    Ok((replica, appended)) => committed(&replica, &appended, TIMEOUT).await,
                    Err(error) => error,
                };
                if error.is_ok() && &*partition.topic == group::TOPIC {
                    let committed = marker.transaction_result;
                    broker.groups.transaction_ended(partition.partition, marker.producer_id, committed);
                }
                let result =
                    WritableTxnMarkerPartitionResult { partition_index: partition.partition, error_code: error.0 };
                match topics.last_mut() {
                    Some(topic) if topic.name == *partition.topic => topic.partitions.push(result),
                    _ => topics.push(WritableTxnMarkerTopicResult {
                        name: partition.topic.to_string(),
                        partitions: vec![result],
                    }),
                }
            }
            markers.push(WritableTxnMarkerResult { producer_id: marker.producer_id, topics });
        }
        Response::of(&context, &WriteTxnMarkersResponse { markers })
    })
}

fn append(broker: &Broker, marker: &WritableTxnMarker) -> Vec<Outcome> {
    let now_ms = wall_ms();
    let kind = if marker.transaction_result { ControlRecordType::Commit } else { ControlRecordType::Abort };
    let mut appended = Vec::new();
    for topic in &marker.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for &index in &topic.partition_indexes {
            let mut batch = end_transaction_marker(
                kind,
                marker.producer_id,
                marker.producer_epoch,
                marker.coordinator_epoch,
                now_ms,
            );
            let outcome = broker.replicas.append_internal(&topic.name, index, &mut batch);
            appended.push((TopicPartition::new(name.clone(), index), outcome));
        }
    }
    appended
}
