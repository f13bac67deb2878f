//! DeleteRecords (key 21), versions 0–2: the log of a partition starts later from now on (KIP-107).
//!
//! - Offset -1 is the high watermark. The answer comes when all live replicas have dropped the records, or in time.
//! - v2 flexible

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::replication::delayed::{Awaits, Parked};
use crate::replication::{Replica, is_internal};
use crate::wire::ErrorCode;
use crate::wire::messages::delete_records::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use crate::wire::messages::{DeleteRecordsRequest, DeleteRecordsResponse};

/// Says "up to the high watermark".
const HIGH_WATERMARK: i64 = -1;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DeleteRecordsRequest) -> Reply {
    let timeout = Duration::from_millis(request.timeout_ms.max(0) as u64);
    let mut response = DeleteRecordsResponse::default();
    let mut waiting = Vec::new();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for asked in &topic.partitions {
            let mut result = DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark: -1,
                ..Default::default()
            };
            match delete(broker, &topic.name, asked.partition_index, asked.offset) {
                Ok((replica, log_start)) => {
                    result.low_watermark = low_watermark(broker, &replica);
                    if result.low_watermark < log_start {
                        waiting.push(Waiting { at: (response.topics.len(), partitions.len()), replica, log_start });
                    }
                }
                Err(code) => result.error_code = code.0,
            }
            partitions.push(result);
        }
        response.topics.push(DeleteRecordsTopicResult { name: topic.name.clone(), partitions });
    }
    if waiting.is_empty() {
        return Reply::now(&context, &response);
    }
    let broker = broker.clone();
    Reply::later(async move {
        wait(&broker, waiting, timeout, &mut response).await;
        Response::of(&context, &response)
    })
}

/// A partition whose followers have not followed yet.
struct Waiting {
    at: (usize, usize),
    replica: Arc<Replica>,
    log_start: i64,
}

fn delete(broker: &Broker, topic: &str, partition: i32, offset: i64) -> Result<(Arc<Replica>, i64), ErrorCode> {
    if !broker.metadata.current().contains(topic, partition) {
        return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    }
    if is_internal(topic) {
        return Err(ErrorCode::INVALID_TOPIC_EXCEPTION);
    }
    let replica = broker.replicas.replica(topic, partition)?;
    let offset = if offset == HIGH_WATERMARK { None } else { Some(offset) };
    let log_start = replica.delete_records(offset).map_err(|error| error.code())?;
    Ok((replica, log_start))
}

fn low_watermark(broker: &Broker, replica: &Replica) -> i64 {
    let cluster = broker.metadata.current();
    replica.low_watermark(|id| cluster.is_alive(id))
}

async fn wait(broker: &Broker, mut waiting: Vec<Waiting>, timeout: Duration, response: &mut DeleteRecordsResponse) {
    let deadline = Instant::now() + timeout;
    let parked = Parked::at(waiting.iter().map(|one| one.replica.parking.clone()), Awaits::HighWatermark);
    loop {
        waiting.retain(|Waiting { at, replica, log_start }| {
            let result = &mut response.topics[at.0].partitions[at.1];
            match replica.check_leader(None) {
                Ok(()) => result.low_watermark = low_watermark(broker, replica),
                Err(code) => result.error_code = code.0,
            }
            result.error_code == 0 && result.low_watermark < *log_start
        });
        if waiting.is_empty() {
            return;
        }
        if tokio::time::timeout_at(deadline, parked.moved()).await.is_err() {
            break;
        }
    }
    for Waiting { at, .. } in waiting {
        let result = &mut response.topics[at.0].partitions[at.1];
        result.error_code = ErrorCode::REQUEST_TIMED_OUT.0;
        result.low_watermark = -1;
    }
}
