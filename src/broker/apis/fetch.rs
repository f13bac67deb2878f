//! Fetch (key 1), versions 0–17.
//!
//! - Waits at most `max_wait_ms` until `min_bytes` are there; an error is answered at once.
//! - The first partition with records gives at least one batch, whatever the limits; no batch is ever decoded.
//! - v0, v1 get their records as magic 0 · v2, v3 as magic 1 · v3 limit of the whole answer · v4 record batches,
//!   isolation (KIP-98) · v7 sessions (KIP-227) · v9 leader epochs (KIP-320) · v12 flexible, diverging epochs (KIP-595)
//!   · v13 topic ids (KIP-516) · v15 replica state (KIP-903) · v16 tells who leads instead (KIP-951)
//!
//! Request and answer are read and written by hand: the answer is a list of file ranges with a few bytes between them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::fetch_session::{self, Context, FetchSession, PartitionRef, Told, TopicRef, Wanted};
use super::leaders::LeaderHints;
use crate::broker::Broker;
use crate::network::{FileRange, Part, Reply, RequestContext, Response};
use crate::replication::delayed::{Awaits, Parked};
use crate::replication::{ClusterMetadata, FollowerFetch, Isolation, ReadParams, ReadResult, Replica};
use crate::wire::batch::{MAX_DECOMPRESSED, legacy};
use crate::wire::{ApiKey, Bytes, ErrorCode, Reader, Uuid, Writer, codec};

/// The first version that gives record batches as they are.
const BATCHES_SINCE: i16 = 4;
/// The replica id of a consumer.
const CONSUMER: i32 = -1;
/// Says in an answer that the one who was asked is the one to ask.
const NO_REPLICA: i32 = -1;
/// The only value of `replica.selector.class` that lets consumers read from followers.
const RACK_AWARE: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
/// Reads like a consumer, but from any replica.
const DEBUGGING_CONSUMER: i32 = -2;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, body: Bytes) -> Reply {
    let request = match Request::parse(&body, context.version()) {
        Ok(request) => request,
        Err(error) => {
            tracing::debug!(address = %context.client_address, %error, "malformed fetch request");
            return Reply::Close;
        }
    };
    let fetch = match Fetch::enter(broker, context, request) {
        Ok(fetch) => fetch,
        Err(reply) => return reply,
    };
    let read = fetch.read(Look::First);
    if fetch.is_enough(&read) || fetch.max_wait.is_zero() {
        return match fetch.answer(read) {
            Some(response) => Reply::Now(response),
            None => Reply::Close,
        };
    }
    Reply::later(fetch.wait(read))
}

struct Request {
    replica_id: i32,
    max_wait_ms: i32,
    min_bytes: i32,
    max_bytes: i32,
    read_committed: bool,
    /// Where the consumer is, if it says so.
    rack: Option<String>,
    session: fetch_session::Request,
}

impl Request {
    fn parse(body: &Bytes, version: i16) -> Result<Request, codec::Error> {
        let flexible = ApiKey::Fetch.is_flexible(version);
        let mut r = Reader::new(body.clone());
        let mut replica_id = if version <= 14 { r.i32()? } else { CONSUMER };
        let (max_wait_ms, min_bytes) = (r.i32()?, r.i32()?);
        let max_bytes = if version >= 3 { r.i32()? } else { i32::MAX };
        let read_committed = version >= 4 && r.i8()? == 1;
        let (session_id, session_epoch) = if version >= 7 { (r.i32()?, r.i32()?) } else { (0, -1) };
        let mut wanted = Vec::new();
        for _ in 0..r.array_len(flexible)?.ok_or(codec::Error::UnexpectedNull)? {
            let topic = topic_ref(&mut r, version, flexible)?;
            for _ in 0..r.array_len(flexible)?.ok_or(codec::Error::UnexpectedNull)? {
                wanted.push(partition(&mut r, version, &topic)?);
                skip_tags(&mut r, flexible)?;
            }
            skip_tags(&mut r, flexible)?;
        }
        let mut forgotten: Vec<PartitionRef> = Vec::new();
        if version >= 7 {
            for _ in 0..r.array_len(flexible)?.ok_or(codec::Error::UnexpectedNull)? {
                let topic = topic_ref(&mut r, version, flexible)?;
                for _ in 0..r.array_len(flexible)?.ok_or(codec::Error::UnexpectedNull)? {
                    forgotten.push((topic.clone(), r.i32()?));
                }
                skip_tags(&mut r, flexible)?;
            }
        }
        let mut rack = None;
        if version >= 11 {
            rack = r.nullable_string(flexible)?.filter(|rack| !rack.is_empty());
        }
        if flexible && let Some(id) = replica_state(&mut r, version)? {
            replica_id = id;
        }
        r.finish()?;
        let session = fetch_session::Request {
            session_id,
            session_epoch,
            wanted,
            forgotten,
            uses_ids: version >= 13,
            is_follower: replica_id >= 0,
        };
        Ok(Request { replica_id, max_wait_ms, min_bytes, max_bytes, read_committed, rack, session })
    }
}

fn topic_ref(r: &mut Reader, version: i16, flexible: bool) -> Result<TopicRef, codec::Error> {
    if version >= 13 {
        return Ok(TopicRef::Id(<Uuid as codec::Field>::read(r, version, flexible)?));
    }
    let name = r.nullable_string(flexible)?.ok_or(codec::Error::UnexpectedNull)?;
    Ok(TopicRef::Name(name.into()))
}

fn partition(r: &mut Reader, version: i16, topic: &TopicRef) -> Result<Wanted, codec::Error> {
    let partition = r.i32()?;
    let epoch = |value: i32| (value >= 0).then_some(value);
    let current_leader_epoch = if version >= 9 { epoch(r.i32()?) } else { None };
    let fetch_offset = r.i64()?;
    let last_fetched_epoch = if version >= 12 { epoch(r.i32()?) } else { None };
    let log_start_offset = if version >= 5 { r.i64()? } else { -1 };
    let max_bytes = r.i32()?;
    let topic = topic.clone();
    Ok(Wanted { topic, partition, fetch_offset, current_leader_epoch, last_fetched_epoch, log_start_offset, max_bytes })
}

fn skip_tags(r: &mut Reader, flexible: bool) -> Result<(), codec::Error> {
    if flexible { r.skip_tagged_fields() } else { Ok(()) }
}

/// The tagged fields at the end of the request: tag 1, from version 15 on, says which replica asks.
fn replica_state(r: &mut Reader, version: i16) -> Result<Option<i32>, codec::Error> {
    let mut replica_id = None;
    for _ in 0..r.unsigned_varint()? {
        let tag = r.unsigned_varint()?;
        let size = r.unsigned_varint()? as usize;
        let mut field = Reader::new(r.take(size)?);
        if tag == 1 && version >= 15 {
            replica_id = Some(field.i32()?);
        }
    }
    Ok(replica_id)
}

/// One fetch under way.
struct Fetch {
    broker: Arc<Broker>,
    context: RequestContext,
    replica_id: i32,
    max_wait: Duration,
    min_bytes: usize,
    max_bytes: usize,
    read_committed: bool,
    /// A consumer's rack, if there may be a replica that is nearer to it than the leader.
    rack: Option<String>,
    what: Context,
}

/// Whether the partitions are looked at when the request comes, or again while it waits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    First,
    Again,
}

/// What the partitions have for it right now.
#[derive(Default)]
struct Pass {
    items: Vec<Item>,
    bytes: usize,
    /// An error, or something else that the client should hear of at once.
    cannot_wait: bool,
}

struct Item {
    /// By what the session knows the partition.
    turn: Option<u64>,
    topic: TopicRef,
    name: Option<Arc<str>>,
    partition: i32,
    replica: Option<Arc<Replica>>,
    result: Result<ReadResult, ErrorCode>,
}

impl Fetch {
    /// Finds the session. A request whose session is refused is answered at once.
    fn enter(broker: &Arc<Broker>, context: RequestContext, request: Request) -> Result<Fetch, Reply> {
        let is_follower = request.replica_id >= 0;
        let entered = broker.fetch_sessions.lock().enter(request.session, random_id, broker.clock_ms());
        let what = match entered {
            Ok(what) => what,
            Err(code) => return Err(refuse(&context, code)),
        };
        let own_limit = match is_follower {
            true => i32::MAX,
            false => broker.config().fetch_max_bytes,
        };
        let selects = broker.config().replica_selector_class.as_deref() == Some(RACK_AWARE);
        let max_bytes = request.max_bytes.min(own_limit).max(0) as usize;
        Ok(Fetch {
            broker: broker.clone(),
            context,
            replica_id: request.replica_id,
            max_wait: Duration::from_millis(request.max_wait_ms.max(0) as u64),
            min_bytes: (request.min_bytes.max(0) as usize).min(max_bytes),
            max_bytes,
            read_committed: request.read_committed,
            rack: request.rack.filter(|_| selects && !is_follower),
            what,
        })
    }

    fn is_follower(&self) -> bool {
        self.replica_id >= 0
    }

    /// Reads every partition once.
    fn read(&self, look: Look) -> Pass {
        let cluster = self.broker.metadata.current();
        let mut pass = Pass::default();
        // Before version 3 the limits held for the first batch too.
        let one_batch = self.context.version() > 2;
        let mut reading = Reading { fetch: self, look, cluster: &cluster, left: self.max_bytes, one_batch };
        match &self.what {
            Context::Sessionless(wanted) => wanted.iter().for_each(|wanted| reading.read(None, wanted, &mut pass)),
            Context::New { session, .. } | Context::Incremental { session, .. } => {
                session.lock().wanted().for_each(|(turn, wanted)| reading.read(Some(turn), wanted, &mut pass));
            }
        }
        // Consumers read from followers too: they hear of a high watermark when it has moved, not with the next record.
        if let (Look::First, true, Context::Incremental { session, .. }) = (look, self.is_follower(), &self.what) {
            let session = session.lock();
            let is_news = |item: &Item| item.turn.is_some_and(|turn| session.is_news(turn, &item.told()));
            pass.cannot_wait |= pass.items.iter().any(is_news);
        }
        pass
    }

    fn is_enough(&self, pass: &Pass) -> bool {
        pass.items.is_empty() || pass.cannot_wait || pass.bytes >= self.min_bytes
    }

    /// The second part: parked at the partitions until there is enough, or the time is up.
    async fn wait(self, first: Pass) -> Option<Response> {
        let deadline = Instant::now() + self.max_wait;
        let awaits = if self.is_follower() { Awaits::LogEnd } else { Awaits::HighWatermark };
        let parkings = first.items.into_iter().filter_map(|item| item.replica).map(|replica| replica.parking.clone());
        let parked = Parked::at(parkings, awaits);
        loop {
            // Looked at after parking, so that nothing is missed in between.
            let pass = self.read(Look::Again);
            if self.is_enough(&pass) {
                return self.answer(pass);
            }
            drop(pass);
            if tokio::time::timeout_at(deadline, parked.moved()).await.is_err() {
                return self.answer(self.read(Look::Again));
            }
        }
    }

    /// The whole answer; None closes the connection.
    fn answer(&self, pass: Pass) -> Option<Response> {
        let version = self.context.version();
        let flexible = ApiKey::Fetch.is_flexible(version);
        let items = self.told(pass.items);
        let mut hints = LeaderHints::new(&self.broker, &self.context.listener_name);
        let mut w = Writer::new();
        if version >= 1 {
            w.i32(0); // throttle_time_ms
        }
        if version >= 7 {
            w.i16(ErrorCode::NONE.0);
            w.i32(match &self.what {
                Context::Sessionless(_) => 0,
                Context::New { id, .. } | Context::Incremental { id, .. } => *id,
            });
        }
        let mut frame = Frame { parts: Vec::new(), w };
        let topics: Vec<&[Item]> = items.chunk_by(|a, b| a.topic == b.topic).collect();
        frame.w.array_len(Some(topics.len()), flexible);
        for items in topics {
            match &items[0].topic {
                TopicRef::Name(name) => frame.w.nullable_string(Some(name), flexible),
                TopicRef::Id(id) => frame.w.bytes(&id.0),
            }
            frame.w.array_len(Some(items.len()), flexible);
            for item in items {
                self.write_partition(item, &mut hints, &mut frame);
            }
            if flexible {
                frame.w.unsigned_varint(0);
            }
        }
        if flexible {
            write_endpoints(&mut frame.w, hints, version);
        }
        frame.into_response(&self.context)
    }

    /// Leaves to an incremental answer what is news, and lets the session remember it.
    fn told(&self, items: Vec<Item>) -> Vec<Item> {
        let tell = |session: &Arc<Mutex<FetchSession>>, items: Vec<Item>, only_news: bool| {
            let mut session = session.lock();
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let (Some(turn), told) = (item.turn, item.told()) else { continue };
                if !only_news || session.is_news(turn, &told) {
                    session.told(turn, &told);
                    kept.push(item);
                }
            }
            kept
        };
        match &self.what {
            Context::Sessionless(_) => items,
            Context::New { session, .. } => tell(session, items, false),
            Context::Incremental { session, .. } => tell(session, items, true),
        }
    }

    fn write_partition(&self, item: &Item, hints: &mut LeaderHints<'_>, frame: &mut Frame) {
        let version = self.context.version();
        let flexible = ApiKey::Fetch.is_flexible(version);
        let converted = match (&item.result, version) {
            (Ok(read), ..=3) => Some(self.convert(item, read)),
            _ => None,
        };
        let none = ReadResult::default();
        let (code, read) = match (&item.result, &converted) {
            (Ok(_), Some(Err(code))) => (*code, &none),
            (Ok(read), _) => (ErrorCode::NONE, read),
            // Clients of version 5 do not know the code yet.
            (Err(ErrorCode::KAFKA_STORAGE_ERROR), _) if version <= 5 => (ErrorCode::NOT_LEADER_OR_FOLLOWER, &none),
            (Err(code), _) => (*code, &none),
        };
        let w = &mut frame.w;
        w.i32(item.partition);
        w.i16(code.0);
        w.i64(read.high_watermark);
        if version >= 4 {
            w.i64(read.last_stable_offset);
            if version >= 5 {
                w.i64(read.log_start_offset);
            }
            let aborted = read.aborted_transactions.as_ref();
            w.array_len(aborted.map(Vec::len), flexible);
            for (producer_id, first_offset) in aborted.into_iter().flatten() {
                w.i64(*producer_id);
                w.i64(*first_offset);
                if flexible {
                    w.unsigned_varint(0);
                }
            }
        }
        if version >= 11 {
            w.i32(read.preferred_read_replica.unwrap_or(NO_REPLICA));
        }
        match converted {
            Some(Ok(bytes)) => {
                w.array_len(Some(bytes.len()), flexible);
                w.bytes(&bytes);
            }
            _ => {
                let records = read.records.as_ref();
                w.array_len(Some(records.map_or(0, |records| records.len)), flexible);
                if let Some(records) = records {
                    let (file, position, len) = (records.file.clone(), records.position, records.len);
                    frame.file(FileRange { file, position, len });
                }
            }
        }
        if flexible {
            let leader = match version >= 16 {
                true => item.name.as_ref().and_then(|name| hints.leader(name, item.partition, code.0)),
                false => None,
            };
            write_partition_tags(&mut frame.w, read.diverging_epoch, leader);
        }
    }

    /// The records as clients of versions 0 to 3 know them.
    fn convert(&self, item: &Item, read: &ReadResult) -> Result<Vec<u8>, ErrorCode> {
        let (Some(records), Some(replica)) = (&read.records, &item.replica) else { return Ok(Vec::new()) };
        if !self.is_follower() && !replica.config().message_downconversion_enable {
            return Err(ErrorCode::UNSUPPORTED_VERSION);
        }
        let magic = if self.context.version() <= 1 { 0 } else { 1 };
        let bytes = records.read().map_err(|error| {
            tracing::warn!(partition = %replica.name, %error, "records to convert cannot be read");
            ErrorCode::KAFKA_STORAGE_ERROR
        })?;
        legacy::down_convert(&bytes, magic, read.fetch_offset, MAX_DECOMPRESSED).map_err(|error| {
            tracing::warn!(partition = %replica.name, %error, "records cannot be converted");
            ErrorCode::UNSUPPORTED_COMPRESSION_TYPE
        })
    }
}

impl Item {
    fn told(&self) -> Told {
        match &self.result {
            Ok(read) => Told {
                error: ErrorCode::NONE,
                has_records: read.records.is_some(),
                diverged: read.diverging_epoch.is_some() || read.preferred_read_replica.is_some(),
                high_watermark: read.high_watermark,
                log_start_offset: read.log_start_offset,
            },
            Err(code) => {
                Told { error: *code, has_records: false, diverged: false, high_watermark: -1, log_start_offset: -1 }
            }
        }
    }
}

/// One look at the partitions, and what the limits still allow.
struct Reading<'a> {
    fetch: &'a Fetch,
    look: Look,
    cluster: &'a ClusterMetadata,
    left: usize,
    /// Whether the next records may exceed the limits by being one batch.
    one_batch: bool,
}

impl Reading<'_> {
    fn read(&mut self, turn: Option<u64>, wanted: &Wanted, pass: &mut Pass) {
        let name = match &wanted.topic {
            TopicRef::Name(name) => Some(name.clone()),
            TopicRef::Id(id) => self.cluster.topic_name(*id).cloned(),
        };
        let (replica, result) = match self.find(name.as_deref(), wanted) {
            Ok(replica) => {
                let result = self.read_replica(&replica, wanted);
                (Some(replica), result)
            }
            Err(code) => (None, Err(code)),
        };
        match &result {
            Ok(read) => {
                let len = read.records.as_ref().map_or(0, |records| records.len);
                pass.bytes += len;
                self.left = self.left.saturating_sub(len);
                self.one_batch &= len == 0;
                // Reading from a segment that does not grow any more, one waits in vain.
                pass.cannot_wait |= read.diverging_epoch.is_some() || read.in_older_segment && len > 0;
                pass.cannot_wait |= read.preferred_read_replica.is_some();
            }
            Err(_) => pass.cannot_wait = true,
        }
        pass.items.push(Item { turn, topic: wanted.topic.clone(), name, partition: wanted.partition, replica, result });
    }

    fn find(&self, name: Option<&str>, wanted: &Wanted) -> Result<Arc<Replica>, ErrorCode> {
        let name = name.ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
        if !self.cluster.contains(name, wanted.partition) {
            return Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
        }
        let replica = self.fetch.broker.replicas.replica(name, wanted.partition)?;
        match &wanted.topic {
            TopicRef::Id(id) if *id != replica.topic_id() => Err(ErrorCode::INCONSISTENT_TOPIC_ID),
            _ => Ok(replica),
        }
    }

    /// What was read, or the replica that is nearer to the consumer.
    fn nearer(&self, replica: &Replica, wanted: &Wanted, read: ReadResult) -> ReadResult {
        let Some(rack) = self.fetch.rack.as_deref().filter(|_| read.diverging_epoch.is_none()) else { return read };
        match replica.preferred_read_replica(rack, wanted.fetch_offset, self.cluster) {
            None => read,
            preferred => ReadResult { preferred_read_replica: preferred, records: None, ..read },
        }
    }

    fn read_replica(&self, replica: &Replica, wanted: &Wanted) -> Result<ReadResult, ErrorCode> {
        let fetch = self.fetch;
        let params = ReadParams {
            fetch_offset: wanted.fetch_offset,
            max_bytes: (wanted.max_bytes.max(0) as usize).min(self.left),
            one_batch: self.one_batch,
            isolation: match (fetch.is_follower(), fetch.read_committed) {
                (true, _) => Isolation::LogEnd,
                (false, true) => Isolation::ReadCommitted,
                (false, false) => Isolation::ReadUncommitted,
            },
            current_leader_epoch: wanted.current_leader_epoch,
            last_fetched_epoch: wanted.last_fetched_epoch,
            // From version 11 on consumers may read from followers (KIP-392).
            only_leader: fetch.replica_id != DEBUGGING_CONSUMER
                && (fetch.is_follower() || fetch.context.version() < 11),
        };
        if !fetch.is_follower() && fetch.context.version() < BATCHES_SINCE {
            return read_something(replica, params).map_err(|error| error.code());
        }
        let read = match fetch.is_follower() {
            true => {
                let follower = FollowerFetch {
                    replica: fetch.replica_id,
                    log_start_offset: wanted.log_start_offset,
                    is_news: self.look == Look::First,
                };
                replica.read_for_follower(&params, &follower)
            }
            false => replica.read(&params).map(|read| self.nearer(replica, wanted, read)),
        };
        read.map_err(|error| error.code())
    }
}

/// Reads for a client that cannot be given markers, nor offsets alone: passes over batches of which nothing would be
/// left, which it would ask for again and again, to the first that has something for it, or to the end.
fn read_something(replica: &Replica, mut params: ReadParams) -> Result<ReadResult, crate::replication::Error> {
    loop {
        let read = replica.read(&params)?;
        let bytes = match &read.records {
            Some(records) => records.read(),
            None => return Ok(read),
        };
        // Bytes that cannot be read are told of when they are converted.
        let Ok(bytes) = bytes else { return Ok(read) };
        match legacy::offset_after_nothing(&bytes, params.fetch_offset, MAX_DECOMPRESSED) {
            Some(next_offset) if next_offset > params.fetch_offset => params.fetch_offset = next_offset,
            _ => return Ok(read),
        }
    }
}

/// An answer as it grows: bytes, and file ranges between them.
struct Frame {
    parts: Vec<Part>,
    w: Writer,
}

impl Frame {
    fn file(&mut self, range: FileRange) {
        self.take_written();
        self.parts.push(Part::File(range));
    }

    fn take_written(&mut self) {
        // Only file ranges lie between writers, and no string was written that could be too long: names came in
        // by the same lengths.
        let written = std::mem::take(&mut self.w).finish().unwrap_or_default();
        self.parts.push(Part::Bytes(written.into()));
    }

    fn into_response(mut self, context: &RequestContext) -> Option<Response> {
        self.take_written();
        let head = Response::writer(context).finish().ok()?;
        match Response::from_parts(head, self.parts) {
            Ok(response) => Some(response),
            Err(error) => {
                tracing::error!(%error, "fetch answer cannot be written");
                None
            }
        }
    }
}

fn write_partition_tags(w: &mut Writer, diverging_epoch: Option<(i32, i64)>, leader: Option<(i32, i32)>) {
    w.unsigned_varint(u32::from(diverging_epoch.is_some()) + u32::from(leader.is_some()));
    if let Some((epoch, end_offset)) = diverging_epoch {
        w.tagged_field(0, |w| {
            w.i32(epoch);
            w.i64(end_offset);
            w.unsigned_varint(0);
        });
    }
    if let Some((leader_id, leader_epoch)) = leader {
        w.tagged_field(1, |w| {
            w.i32(leader_id);
            w.i32(leader_epoch);
            w.unsigned_varint(0);
        });
    }
}

fn write_endpoints(w: &mut Writer, hints: LeaderHints<'_>, version: i16) {
    let endpoints: Vec<_> = hints.into_endpoints().collect();
    if version < 16 || endpoints.is_empty() {
        return w.unsigned_varint(0);
    }
    w.unsigned_varint(1);
    w.tagged_field(0, |w| {
        w.array_len(Some(endpoints.len()), true);
        for (id, host, port, rack) in endpoints {
            w.i32(id);
            w.nullable_string(Some(&host), true);
            w.i32(port);
            w.nullable_string(rack.as_deref(), true);
            w.unsigned_varint(0);
        }
    });
}

/// The answer to a request whose session is not what the client thinks it is.
fn refuse(context: &RequestContext, code: ErrorCode) -> Reply {
    let response = crate::wire::messages::FetchResponse { error_code: code.0, ..Default::default() };
    Reply::now(context, &response)
}

fn random_id() -> i32 {
    use std::hash::{BuildHasher, Hasher};
    // Every RandomState hashes differently.
    (std::hash::RandomState::new().build_hasher().finish() >> 33) as i32
}

#[cfg(test)]
mod tests;
