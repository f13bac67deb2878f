//! ListOffsets (key 2), versions 0–9: the offset of a time, of the log's start or of its end.
//!
//! - timestamp -1 latest · -2 earliest · -3 largest timestamp (v7) · -4 earliest local (v8) · -5 latest tiered (v9)
//! - v0 answers a list of segment starts · v2 isolation · v4 leader epochs · v6 flexible

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::replication::Replica;
use crate::wire::ErrorCode;
use crate::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use crate::wire::messages::{ListOffsetsRequest, ListOffsetsResponse};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;

const CONSUMER: i32 = -1;
const DEBUGGING_CONSUMER: i32 = -2;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ListOffsetsRequest) -> Reply {
    let version = context.version();
    let twice = named_twice(&request);
    let mut response = ListOffsetsResponse::default();
    for topic in &request.topics {
        let answer = |asked: &ListOffsetsPartition| {
            let mut answer =
                ListOffsetsPartitionResponse { partition_index: asked.partition_index, ..Default::default() };
            let look = match twice.contains(&(topic.name.as_str(), asked.partition_index)) && version > 0 {
                true => Err(ErrorCode::INVALID_REQUEST),
                false => look(broker, &request, version, &topic.name, asked, &mut answer),
            };
            if let Err(code) = look {
                answer.error_code = known_error(code, version).0;
            }
            answer
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        response.topics.push(ListOffsetsTopicResponse { name: topic.name.clone(), partitions });
    }
    Reply::now(&context, &response)
}

fn named_twice(request: &ListOffsetsRequest) -> HashSet<(&str, i32)> {
    let mut seen = HashSet::new();
    let names = request.topics.iter().flat_map(|t| t.partitions.iter().map(|p| (t.name.as_str(), p.partition_index)));
    names.filter(|name| !seen.insert(*name)).collect()
}

fn look(
    broker: &Broker,
    request: &ListOffsetsRequest,
    version: i16,
    topic: &str,
    asked: &ListOffsetsPartition,
    answer: &mut ListOffsetsPartitionResponse,
) -> Result<(), ErrorCode> {
    let lowest = match version {
        0..=6 => EARLIEST,
        7 => MAX_TIMESTAMP,
        8 => EARLIEST_LOCAL,
        _ => LATEST_TIERED,
    };
    if asked.timestamp < lowest {
        return Err(ErrorCode::UNSUPPORTED_VERSION);
    }
    let replica = broker.replicas.replica(topic, asked.partition_index)?;
    let epoch = (asked.current_leader_epoch >= 0).then_some(asked.current_leader_epoch);
    match request.replica_id == DEBUGGING_CONSUMER {
        true => replica.check_replica(epoch)?,
        false => replica.check_leader(epoch)?,
    }
    if version == 0 {
        answer.old_style_offsets = legacy_offsets(&replica, request, asked)?;
        return Ok(());
    }
    find(&replica, request, asked.timestamp, answer)
}

fn find(
    replica: &Replica,
    request: &ListOffsetsRequest,
    timestamp: i64,
    answer: &mut ListOffsetsPartitionResponse,
) -> Result<(), ErrorCode> {
    let log = replica.log();
    let is_consumer = matches!(request.replica_id, CONSUMER | DEBUGGING_CONSUMER);
    let latest = match (is_consumer, request.isolation_level) {
        (false, _) => log.log_end_offset(),
        (true, 0) => log.high_watermark(),
        (true, _) => log.last_stable_offset(),
    };
    let is_behind = is_consumer && replica.is_high_watermark_behind_epoch();
    let failed = |error: crate::log::Error| crate::replication::Error::from(error).code();
    match timestamp {
        LATEST if is_behind => return Err(ErrorCode::OFFSET_NOT_AVAILABLE),
        LATEST => {
            answer.offset = latest;
            answer.leader_epoch = replica.leader_epoch();
        }
        EARLIEST | EARLIEST_LOCAL => {
            answer.offset = log.log_start_offset();
            let start = log.log_start_offset();
            // The epoch that wrote the first record; of an empty log nobody did.
            answer.leader_epoch = log.leader_epochs().epoch_for_offset(start).unwrap_or(-1);
        }
        // Nothing is tiered.
        LATEST_TIERED => {}
        timestamp => {
            let found = match timestamp {
                MAX_TIMESTAMP => log.offset_of_max_timestamp().map_err(failed)?,
                timestamp => log.offset_for_timestamp(timestamp).map_err(failed)?,
            };
            match found {
                Some(found) if found.offset < latest => {
                    answer.timestamp = found.timestamp;
                    answer.offset = found.offset;
                    answer.leader_epoch = found.leader_epoch.unwrap_or(-1);
                }
                Some(_) if is_behind => return Err(ErrorCode::OFFSET_NOT_AVAILABLE),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Segment starts and the log end, newest first; a consumer sees none beyond the high watermark.
///
/// Source: `Partition.legacyFetchOffsetsForTimestamp`.
fn legacy_offsets(
    replica: &Replica,
    request: &ListOffsetsRequest,
    asked: &ListOffsetsPartition,
) -> Result<Vec<i64>, ErrorCode> {
    let log = replica.log();
    let max = asked.max_num_offsets.max(0) as usize;
    let offsets = log.legacy_offsets_before(asked.timestamp, max);
    let offsets = offsets.map_err(|error| crate::replication::Error::from(error).code())?;
    if request.replica_id != CONSUMER {
        return Ok(offsets);
    }
    let high_watermark = log.high_watermark();
    if offsets.iter().all(|offset| *offset <= high_watermark) {
        return Ok(offsets);
    }
    let visible = offsets.into_iter().filter(|offset| *offset < high_watermark);
    Ok(std::iter::once(high_watermark).chain(visible).collect())
}

/// Clients before version 5 do not know that an offset can be unavailable for a while.
fn known_error(code: ErrorCode, version: i16) -> ErrorCode {
    match code {
        ErrorCode::OFFSET_NOT_AVAILABLE if version < 5 => ErrorCode::LEADER_NOT_AVAILABLE,
        code => code,
    }
}
