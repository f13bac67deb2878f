//! Produce (key 0), versions 0–11.
//!
//! - acks=0 gets no answer, and a closed connection if anything failed; acks=all waits for the in-sync replicas, at
//!   most `timeout_ms`.
//! - A partition's error leaves the other partitions' appends standing.
//! - v0 and v1 carry old message sets, which are stored as record batches · v2 log append time · v3 exactly one
//!   record batch (KIP-98) · v5 log_start_offset · v7 zstd (KIP-110) · v8 record_errors (KIP-467) · v9 flexible
//!   · v10 tells who leads instead (KIP-951)
//!
//! The body is not decoded but looked through: records are ranges of the frame, stamped and written where they lie.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::leaders::LeaderHints;
use crate::broker::Broker;
use crate::broker::transactions::{Unverified, Verdict};
use crate::network::{Reply, RequestContext, Response};
use crate::replication::delayed::{Awaits, Parked};
use crate::replication::{
    AppendOrigin, Appended, ClusterMetadata, Replica, RequiredAcks, VerificationGuard, is_internal,
};
use crate::transaction::state::Producer;
use crate::wire::batch::{self, Batch, Compression, legacy};
use crate::wire::messages::ProduceResponse;
use crate::wire::messages::produce::{
    BatchIndexAndErrorMessage, LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse, TopicProduceResponse,
};
use crate::wire::{ApiKey, Bytes, ErrorCode, Reader, TopicPartition, codec};

/// The client that may write into the brokers' own topics: Apache's tools that repair them.
const ADMIN_CLIENT: &str = "__admin_client";
/// The first version whose clients know zstd.
const ZSTD_SINCE: i16 = 7;
/// The first version that carries record batches only.
const BATCHES_SINCE: i16 = 3;

/// Does what must happen in order (the appends) before it returns; waiting for followers is in the reply.
pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, body: Bytes) -> Reply {
    let request = match Request::parse(&body, context.version()) {
        Ok(request) => request,
        Err(error) => {
            tracing::debug!(address = %context.client_address, %error, "malformed produce request");
            return Reply::Close;
        }
    };
    // A large frame is ours alone and is stamped where it lies; of a small one there may be other owners.
    let frame = body.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let unverified = unverified(broker, &request, &frame);
    let Some(transactional_id) = request.transactional_id.clone().filter(|_| !unverified.is_empty()) else {
        return append_and_answer(broker, context, request, frame, &[]);
    };
    match broker.verify_here(&transactional_id, unverified) {
        Ok(verdicts) => append_and_answer(broker, context, request, frame, &verdicts),
        Err(unverified) => {
            let broker = broker.clone();
            // The appends come after the answer of another broker, and the next request's after them.
            Reply::first(async move {
                let verdicts = broker.verify(&transactional_id, unverified).await;
                append_and_answer(&broker, context, request, frame, &verdicts)
            })
        }
    }
}

fn append_and_answer(
    broker: &Arc<Broker>,
    context: RequestContext,
    request: Request,
    frame: BytesMut,
    verdicts: &[Verdict],
) -> Reply {
    let acks = request.acks;
    let timeout = Duration::from_millis(request.timeout_ms.max(0) as u64);
    let outcome = append_all(broker, &context, request, frame, verdicts);
    match acks {
        0 if outcome.topics.iter().any(Topic::has_failed) => Reply::Close,
        0 => Reply::Nothing,
        _ if outcome.is_waiting() => {
            let broker = broker.clone();
            Reply::later(async move {
                let outcome = outcome.replicated(timeout).await;
                Response::of(&context, &outcome.into_response(&broker, &context))
            })
        }
        _ => Reply::now(&context, &outcome.into_response(broker, &context)),
    }
}

/// A request, its records still in the frame.
struct Request {
    transactional_id: Option<String>,
    acks: i16,
    timeout_ms: i32,
    topics: Vec<(String, Vec<PartitionRecords>)>,
}

struct PartitionRecords {
    index: i32,
    /// Where they lie in the body.
    records: Range<usize>,
}

impl Request {
    /// Null records are refused as malformed; Apache's broker never answers them.
    fn parse(body: &Bytes, version: i16) -> Result<Request, codec::Error> {
        let flexible = ApiKey::Produce.is_flexible(version);
        let mut r = Reader::new(body.clone());
        let mut request = Request { transactional_id: None, acks: 0, timeout_ms: 0, topics: Vec::new() };
        if version >= 3 {
            request.transactional_id = r.nullable_string(flexible)?;
        }
        request.acks = r.i16()?;
        request.timeout_ms = r.i32()?;
        let tags = |r: &mut Reader| if flexible { r.skip_tagged_fields() } else { Ok(()) };
        for _ in 0..r.array_len(flexible)?.ok_or(codec::Error::UnexpectedNull)? {
            let name = r.nullable_string(flexible)?.ok_or(codec::Error::UnexpectedNull)?;
            let mut partitions = Vec::new();
            for _ in 0..r.array_len(flexible)?.ok_or(codec::Error::UnexpectedNull)? {
                let index = r.i32()?;
                let len = r.array_len(flexible)?.ok_or(codec::Error::UnexpectedNull)?;
                let start = body.len() - r.remaining();
                r.skip(len)?;
                tags(&mut r)?;
                partitions.push(PartitionRecords { index, records: start..start + len });
            }
            tags(&mut r)?;
            request.topics.push((name, partitions));
        }
        tags(&mut r)?;
        r.finish()?;
        Ok(request)
    }
}

/// What became of the request so far.
struct Outcome {
    topics: Vec<Topic>,
}

struct Topic {
    name: String,
    partitions: Vec<Partition>,
}

struct Partition {
    answer: PartitionProduceResponse,
    /// Appended, but not on enough replicas yet: the answer is good when they have everything before the offset.
    waits_for: Option<(Arc<Replica>, Appended)>,
}

impl Partition {
    fn refused(index: i32, refusal: Refusal) -> Partition {
        let record_error = |(batch_index, message)| BatchIndexAndErrorMessage {
            batch_index,
            batch_index_error_message: Some(message),
        };
        let answer = PartitionProduceResponse {
            index,
            error_code: refusal.code.0,
            base_offset: -1,
            log_start_offset: refusal.log_start_offset,
            record_errors: refusal.record_errors.into_iter().map(record_error).collect(),
            error_message: refusal.message,
            ..Default::default()
        };
        Partition { answer, waits_for: None }
    }
}

/// Why records were not appended.
struct Refusal {
    code: ErrorCode,
    message: Option<String>,
    log_start_offset: i64,
    record_errors: Vec<(i32, String)>,
}

impl From<ErrorCode> for Refusal {
    fn from(code: ErrorCode) -> Refusal {
        Refusal { code, message: None, log_start_offset: -1, record_errors: Vec::new() }
    }
}

/// The partitions in which a transaction begins with this request: their coordinator is asked first.
fn unverified(broker: &Broker, request: &Request, frame: &BytesMut) -> Vec<Unverified> {
    if request.transactional_id.is_none() {
        return Vec::new();
    }
    let mut unverified = Vec::new();
    for (topic, partitions) in &request.topics {
        for PartitionRecords { index, records } in partitions {
            let Ok((batch, _)) = Batch::split_first(&frame[records.clone()]) else { continue };
            if batch.is_transactional() && batch.has_producer_id() {
                let producer = Producer { id: batch.producer_id(), epoch: batch.producer_epoch() };
                unverified.extend(broker.unverified(topic, *index, producer));
            }
        }
    }
    unverified
}

fn append_all(
    broker: &Broker,
    context: &RequestContext,
    request: Request,
    mut frame: BytesMut,
    verdicts: &[Verdict],
) -> Outcome {
    let whole = refuse_whole(&request, &frame);
    let cluster = broker.metadata.current();
    let target = Target { broker, context, cluster: &cluster, acks: request.acks, verdicts };
    let count: usize = request.topics.iter().map(|(_, partitions)| partitions.len()).sum();
    // Named twice, a partition is written once, as Apache's broker does it; most requests name but one.
    let mut seen = (count > 1).then(|| HashSet::with_capacity(count));
    let mut outcome = Outcome { topics: Vec::with_capacity(request.topics.len()) };
    for (name, partitions) in request.topics {
        let mut topic = Topic { partitions: Vec::with_capacity(partitions.len()), name };
        for PartitionRecords { index, records } in partitions {
            if let Some(seen) = &mut seen
                && !seen.insert((topic.name.clone(), index))
            {
                continue;
            }
            let appended = match whole {
                Some(code) => Err(Refusal::from(code)),
                None => target.append(&topic.name, index, &mut frame[records]),
            };
            topic.partitions.push(appended.unwrap_or_else(|refusal| Partition::refused(index, refusal)));
        }
        if !topic.partitions.is_empty() {
            outcome.topics.push(topic);
        }
    }
    outcome
}

/// What is wrong with the request as a whole, said of each of its partitions.
fn refuse_whole(request: &Request, frame: &BytesMut) -> Option<ErrorCode> {
    if RequiredAcks::from_i16(request.acks).is_none() {
        return Some(ErrorCode::INVALID_REQUIRED_ACKS);
    }
    if request.transactional_id.is_some() {
        return None;
    }
    let is_transactional = |records: &PartitionRecords| {
        Batch::split_first(&frame[records.records.clone()]).is_ok_and(|(batch, _)| batch.is_transactional())
    };
    let mut partitions = request.topics.iter().flat_map(|(_, partitions)| partitions);
    partitions.any(is_transactional).then_some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
}

/// What is the same for all partitions of a request.
struct Target<'a> {
    broker: &'a Broker,
    context: &'a RequestContext,
    cluster: &'a ClusterMetadata,
    acks: i16,
    verdicts: &'a [Verdict],
}

impl Target<'_> {
    fn append(&self, topic: &str, index: i32, records: &mut [u8]) -> Result<Partition, Refusal> {
        if !self.cluster.contains(topic, index) {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.into());
        }
        check_format(records, self.context.version())?;
        if is_internal(topic) && self.context.client_id() != ADMIN_CLIENT {
            return Err(ErrorCode::INVALID_TOPIC_EXCEPTION.into());
        }
        let replica = self.broker.replicas.replica(topic, index)?;
        let acks = RequiredAcks::from_i16(self.acks).ok_or(ErrorCode::INVALID_REQUIRED_ACKS)?;
        let guard = self.guard(&replica.name)?;
        let is_legacy = records.get(16).is_some_and(|&magic| (magic as i8) < batch::MAGIC);
        let appended = match is_legacy {
            false => replica.append_verified(records, acks, AppendOrigin::Client, guard),
            true => {
                let converted = legacy::up_convert(records, batch::MAX_DECOMPRESSED);
                replica.append(&mut converted.map_err(|error| corrupt(&error))?, acks, AppendOrigin::Client)
            }
        };
        let appended = appended.map_err(|error| refusal(error, &replica))?;
        let answer = PartitionProduceResponse {
            index,
            base_offset: appended.base_offset,
            log_append_time_ms: appended.log_append_time_ms,
            log_start_offset: appended.log_start_offset,
            ..Default::default()
        };
        let waits_for = match acks {
            RequiredAcks::All => Some((replica, appended)),
            RequiredAcks::None | RequiredAcks::Leader => None,
        };
        let mut partition = Partition { answer, waits_for };
        partition.look();
        Ok(partition)
    }

    /// What the append has to show if a transaction begins with it; refused if the coordinator does not know of it.
    ///
    /// Source: `ReplicaManager.handleProduceAppend`.
    fn guard(&self, name: &TopicPartition) -> Result<Option<VerificationGuard>, Refusal> {
        let Some(verdict) = self.verdicts.iter().find(|verdict| verdict.partition == *name) else { return Ok(None) };
        verdict.outcome.map(Some).map_err(|error| match error {
            ErrorCode::INVALID_TXN_STATE => Refusal {
                message: Some("Partition was not added to the transaction".to_owned()),
                ..Refusal::from(error)
            },
            // Clients of every version try again when they are told this, and do not ask for metadata.
            ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::NETWORK_EXCEPTION
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR => Refusal {
                message: Some(format!(
                    "Unable to verify the partition has been added to the transaction. Underlying error: {}",
                    error.name()
                )),
                ..Refusal::from(ErrorCode::NOT_ENOUGH_REPLICAS)
            },
            // So a fenced producer is told by Produce.
            ErrorCode::PRODUCER_FENCED => ErrorCode::INVALID_PRODUCER_EPOCH.into(),
            error => error.into(),
        })
    }
}

/// What a version allows as records, before the log looks at them.
///
/// Source: `ProduceRequest.validateRecords`.
fn check_format(records: &[u8], version: i16) -> Result<(), Refusal> {
    if version < BATCHES_SINCE {
        return Ok(());
    }
    let first = match Batch::split_first(records) {
        Ok((first, [])) => first,
        // More than one, less than one, or one of the old formats: Apache's broker says no more than the code.
        Ok(_) | Err(batch::Error::Truncated { .. } | batch::Error::Magic(0 | 1)) => {
            return Err(ErrorCode::INVALID_RECORD.into());
        }
        Err(error) => return Err(corrupt(&error)),
    };
    if version < ZSTD_SINCE && first.compression() == Ok(Compression::Zstd) {
        return Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE.into());
    }
    Ok(())
}

fn corrupt(error: &batch::Error) -> Refusal {
    Refusal { message: Some(error.to_string()), ..Refusal::from(ErrorCode::CORRUPT_MESSAGE) }
}

/// What the client is told of a failed append.
fn refusal(error: crate::replication::Error, replica: &Replica) -> Refusal {
    use crate::log::Error as Log;
    let code = error.code();
    let (message, record_errors) = match error {
        crate::replication::Error::Log(Log::InvalidRecord { message, record_errors })
        | crate::replication::Error::Log(Log::InvalidTimestamp { message, record_errors })
            if !record_errors.is_empty() =>
        {
            (Some(message), record_errors.into_iter().map(|error| (error.batch_index, error.message)).collect())
        }
        error => {
            tracing::debug!(partition = %replica.name, %error, "append refused");
            (None, Vec::new())
        }
    };
    // Apache's broker leaves the log start out where it did not come as far as the log.
    let unknown_log = matches!(
        code,
        ErrorCode::NOT_LEADER_OR_FOLLOWER
            | ErrorCode::MESSAGE_TOO_LARGE
            | ErrorCode::RECORD_LIST_TOO_LARGE
            | ErrorCode::CORRUPT_MESSAGE
            | ErrorCode::KAFKA_STORAGE_ERROR
    );
    let log_start_offset = if unknown_log { -1 } else { replica.log_start_offset() };
    Refusal { code, message, log_start_offset, record_errors }
}

impl Partition {
    /// Whether enough replicas have it now.
    fn look(&mut self) {
        let Some((replica, appended)) = &self.waits_for else { return };
        match replica.is_replicated(appended) {
            Ok(false) => return,
            Ok(true) => {}
            Err(code) => self.fail(code),
        }
        self.waits_for = None;
    }

    fn fail(&mut self, code: ErrorCode) {
        self.answer.error_code = code.0;
    }
}

impl Topic {
    fn has_failed(&self) -> bool {
        self.partitions.iter().any(|partition| partition.answer.error_code != ErrorCode::NONE.0)
    }
}

impl Outcome {
    fn is_waiting(&self) -> bool {
        self.topics.iter().flat_map(|topic| &topic.partitions).any(|partition| partition.waits_for.is_some())
    }

    fn look(&mut self) {
        self.topics.iter_mut().flat_map(|topic| &mut topic.partitions).for_each(Partition::look);
    }

    /// Waits until enough replicas have everything, or the time is up.
    async fn replicated(mut self, timeout: Duration) -> Outcome {
        let deadline = Instant::now() + timeout;
        let waiting = self.topics.iter().flat_map(|topic| &topic.partitions).filter_map(|p| p.waits_for.as_ref());
        let parked = Parked::at(waiting.map(|(replica, _)| replica.parking.clone()), Awaits::HighWatermark);
        loop {
            self.look();
            if !self.is_waiting() {
                return self;
            }
            if tokio::time::timeout_at(deadline, parked.moved()).await.is_err() {
                break;
            }
        }
        for partition in self.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            if partition.waits_for.take().is_some() {
                // The records stay: the client may see them although it was told this.
                partition.fail(ErrorCode::REQUEST_TIMED_OUT);
            }
        }
        self
    }

    fn into_response(self, broker: &Broker, context: &RequestContext) -> ProduceResponse {
        let mut hints = LeaderHints::new(broker, &context.listener_name);
        let mut response = ProduceResponse::default();
        for topic in self.topics {
            let mut partition_responses = Vec::with_capacity(topic.partitions.len());
            for Partition { mut answer, .. } in topic.partitions {
                if context.version() >= 10
                    && let Some((leader_id, leader_epoch)) = hints.leader(&topic.name, answer.index, answer.error_code)
                {
                    answer.current_leader = LeaderIdAndEpoch { leader_id, leader_epoch };
                }
                partition_responses.push(answer);
            }
            response.responses.push(TopicProduceResponse { name: topic.name, partition_responses });
        }
        let endpoint = |(node_id, host, port, rack)| NodeEndpoint { node_id, host, port, rack };
        response.node_endpoints = hints.into_endpoints().map(endpoint).collect();
        response
    }
}

#[cfg(test)]
mod tests;
