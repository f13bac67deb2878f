//! A producer: librdkafka's, called raw where its wrapper would cost.
//!
//! Records go in by the batch (`rd_kafka_produce_batch`, copied: measured 0.45 s of CPU for a million, half of one
//! call per record). Only what was not delivered comes back (`delivery.report.only.error`), as events on a thread of
//! our own, so a caller may block on its input for hours and still hear of a failure at once. Delivery reports as
//! events also let `flush` sleep until the last record is acknowledged instead of polling every 10 ms.

mod placement;

use std::ffi::{CStr, CString, c_char, c_void};
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::bindings as rd;

pub use placement::Keys;
use placement::{Placement, UNASSIGNED};

use super::oauth::{TokenKeeper, TokenSource};
use crate::wire::error_code::ErrorCode;

/// What is sent. `id` comes back when it could not be delivered.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    pub id: u64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<Header<'a>>,
}

/// A name, which may repeat, and a value.
#[derive(Debug, Clone)]
pub struct Header<'a> {
    pub name: &'a [u8],
    pub value: Option<&'a [u8]>,
}

/// Something the event thread has to tell.
#[derive(Debug)]
pub enum Notice {
    Undelivered(Undelivered),
    /// A connection or the client as a whole is in trouble; records may still arrive.
    Trouble(ClientError),
}

/// A record that the cluster does not have, or is not known to have.
#[derive(Debug)]
pub struct Undelivered {
    pub id: u64,
    pub partition: Option<i32>,
    /// Length of the key; `None` for a null one.
    pub key_length: Option<usize>,
    pub value_length: Option<usize>,
    pub error: ClientError,
}

impl Undelivered {
    /// A record that was not even handed over.
    pub fn new(record: &Record, error: ClientError) -> Undelivered {
        Undelivered {
            id: record.id,
            partition: None,
            key_length: record.key.map(<[u8]>::len),
            value_length: record.value.map(<[u8]>::len),
            error,
        }
    }

    fn of_message(message: &rd::rd_kafka_message_t) -> Undelivered {
        let length = |bytes: *mut c_void, length: usize| Some(length).filter(|_| !bytes.is_null());
        Undelivered {
            id: message._private as u64,
            partition: Some(message.partition).filter(|partition| *partition >= 0),
            key_length: length(message.key, message.key_len),
            value_length: length(message.payload, message.len),
            error: ClientError::from_code(message_code(message)),
        }
    }
}

/// librdkafka's error: a broker's code when it is positive, its own below zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientError {
    pub code: i32,
    pub reason: String,
}

impl ClientError {
    /// The broker's error code, if it was a broker that refused.
    pub fn broker_code(&self) -> Option<ErrorCode> {
        i16::try_from(self.code).ok().filter(|code| *code > 0).map(ErrorCode)
    }

    /// Whether this is one of [`code`]'s.
    pub fn is(&self, code: i32) -> bool {
        self.code == code
    }

    fn from_code(code: i32) -> ClientError {
        let reason = match rd::rd_kafka_resp_err_t::try_from(code) {
            // SAFETY: returns a static string.
            Ok(known) => unsafe { text(rd::rd_kafka_err2str(known)) },
            Err(_) => format!("error {code}"),
        };
        ClientError { code, reason }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for ClientError {}

/// librdkafka's own codes that a caller may want to tell apart.
pub mod code {
    use super::rd::rd_kafka_resp_err_t::*;

    pub const TRANSPORT: i32 = RD_KAFKA_RESP_ERR__TRANSPORT as i32;
    pub const RESOLVE: i32 = RD_KAFKA_RESP_ERR__RESOLVE as i32;
    pub const ALL_BROKERS_DOWN: i32 = RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN as i32;
    pub const AUTHENTICATION: i32 = RD_KAFKA_RESP_ERR__AUTHENTICATION as i32;
    pub const SSL: i32 = RD_KAFKA_RESP_ERR__SSL as i32;
    /// A record's `delivery.timeout.ms` is over.
    pub const MSG_TIMED_OUT: i32 = RD_KAFKA_RESP_ERR__MSG_TIMED_OUT as i32;
    pub const TIMED_OUT: i32 = RD_KAFKA_RESP_ERR__TIMED_OUT as i32;
    pub const QUEUE_FULL: i32 = RD_KAFKA_RESP_ERR__QUEUE_FULL as i32;
    pub const UNKNOWN_TOPIC: i32 = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC as i32;
    pub const UNKNOWN_PARTITION: i32 = RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION as i32;
}

/// A producer for one topic.
pub struct Producer {
    client: *mut rd::rd_kafka_t,
    topic: *mut rd::rd_kafka_topic_t,
    topic_name: CString,
    events: *mut rd::rd_kafka_queue_t,
    shared: Arc<Shared>,
    event_thread: Option<JoinHandle<()>>,
    token_keeper: Option<TokenKeeper>,
    /// Reused from call to call.
    messages: Vec<rd::rd_kafka_message_t>,
    placement: Placement,
    looked_up: Instant,
    is_idempotent: bool,
}

/// A topic that is there.
struct Found {
    /// Its partitions that have a leader.
    available: Vec<i32>,
    /// The answer came from a broker known by its id, not from one of the bootstrap list.
    from_member: bool,
}

/// Between the event thread and the rest.
#[derive(Default)]
struct Shared {
    stopping: AtomicBool,
    /// The cluster does not want us: credentials or certificates that trying again will not mend.
    denied: Mutex<Option<ClientError>>,
}

/// How long our knowledge of the partitions' leaders is good for choosing among them.
const PLACEMENT_AGE: Duration = Duration::from_secs(5);
/// How long to wait before a full queue is tried again: at 300 MB/s it has drained by 1.5 MB of its 32.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);
/// The pauses between looks for a topic that is not there yet: short ones for a topic that is being created because
/// we asked for it, then Java's `retry.backoff.ms`.
const METADATA_PAUSE: std::ops::Range<Duration> = Duration::from_millis(5)..Duration::from_millis(100);
/// How long one look may wait for a broker before we ask whether there is still a point in waiting.
const METADATA_SLICE: Duration = Duration::from_millis(500);

impl Producer {
    /// Starts the client; no connection is waited for. `settings` are librdkafka's; `tokens` is for OAUTHBEARER;
    /// `notify` runs on the event thread.
    ///
    /// # Errors
    /// A setting that librdkafka refuses, or no token.
    pub fn new(
        settings: &[(String, String)],
        tokens: Option<TokenSource>,
        topic: &str,
        keys: Keys,
        notify: impl FnMut(Notice) + Send + 'static,
    ) -> Result<Producer, ClientError> {
        let topic_name = c_string(topic)?;
        let setting = |key: &str| settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let batch_bytes = setting("batch.size").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        let mut errstr = [0 as c_char; 512];
        let conf = Conf::new(settings)?;
        // SAFETY: `conf` is live and given away only when the call succeeds; `errstr` has the size that is passed.
        let client = unsafe {
            rd::rd_kafka_conf_set_events(conf.0, rd::RD_KAFKA_EVENT_DR | rd::RD_KAFKA_EVENT_ERROR);
            rd::rd_kafka_conf_set_log_cb(conf.0, None);
            rd::rd_kafka_new(rd::rd_kafka_type_t::RD_KAFKA_PRODUCER, conf.0, errstr.as_mut_ptr(), errstr.len())
        };
        if client.is_null() {
            // SAFETY: on failure `errstr` holds a NUL-terminated text.
            return Err(invalid_argument(unsafe { text(errstr.as_ptr()) }));
        }
        std::mem::forget(conf);
        // SAFETY: the keeper is dropped before the client is destroyed, here and in `drop`.
        let token_keeper = match tokens.map(|tokens| unsafe { TokenKeeper::start(client, tokens) }).transpose() {
            Ok(keeper) => keeper,
            Err(reason) => {
                // SAFETY: `client` is live and nothing else refers to it.
                unsafe { rd::rd_kafka_destroy(client) };
                return Err(ClientError { code: code::AUTHENTICATION, reason });
            }
        };
        // SAFETY: `client` is live, `topic_name` NUL-terminated; a null configuration means the defaults.
        let handle = unsafe { rd::rd_kafka_topic_new(client, topic_name.as_ptr(), ptr::null_mut()) };
        if handle.is_null() {
            drop(token_keeper);
            // SAFETY: `client` is live and nothing else refers to it.
            unsafe { rd::rd_kafka_destroy(client) };
            return Err(invalid_argument(format!("topic name {topic:?} is not usable")));
        }
        // SAFETY: `client` is live; the queue is given back in `drop`, after the thread that serves it has ended.
        let events = unsafe { rd::rd_kafka_queue_get_main(client) };
        let shared = Arc::new(Shared::default());
        let served = Served { client, events, shared: shared.clone() };
        let event_thread = std::thread::spawn(move || served.serve(notify));
        Ok(Producer {
            client,
            topic: handle,
            topic_name,
            events,
            shared,
            event_thread: Some(event_thread),
            token_keeper,
            messages: Vec::new(),
            placement: Placement::new(keys, batch_bytes),
            looked_up: Instant::now(),
            is_idempotent: setting("enable.idempotence") == Some("true"),
        })
    }

    /// Waits until the cluster is reachable and has the topic, at most `limit`.
    ///
    /// After each look in vain `keep_waiting` hears why, and how long it has been, and may end the wait.
    ///
    /// # Errors
    /// `TIMED_OUT` when the time is over; what waiting cannot cure (bad name, no permission, bad credentials) at once.
    pub fn wait_for_topic(
        &mut self,
        limit: Duration,
        mut keep_waiting: impl FnMut(&ClientError, Duration) -> bool,
    ) -> Result<(), ClientError> {
        let started = Instant::now();
        let mut pause = METADATA_PAUSE.start;
        loop {
            let remaining = limit.saturating_sub(started.elapsed());
            let looked_up = self.look_up_topic(remaining.min(METADATA_SLICE));
            if let Some(denied) = self.shared.denied.lock().take() {
                return Err(denied);
            }
            match looked_up {
                Ok(found) => {
                    if self.is_idempotent && !found.from_member {
                        self.hasten_producer_id();
                    }
                    self.placement.set_available(found.available);
                    self.looked_up = Instant::now();
                    return Ok(());
                }
                Err(error) if !may_pass(&error) => return Err(error),
                Err(error) => {
                    let is_over = started.elapsed() + pause >= limit;
                    if is_over || !keep_waiting(&error, started.elapsed()) {
                        return Err(ClientError::from_code(code::TIMED_OUT));
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(METADATA_PAUSE.end);
                }
            }
        }
    }

    /// Asks for metadata until a broker answers under its own id.
    ///
    /// The first answer comes over the bootstrap connection, which librdkafka then gives up; it looks for a broker
    /// to get a producer id from, finds none connected yet, and looks again after 500 ms or at the next metadata.
    /// With that, a single record took half a second; the question costs one round trip.
    fn hasten_producer_id(&self) {
        for _ in 0..10 {
            match self.look_up_topic(METADATA_SLICE) {
                Ok(found) if found.from_member => return,
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn look_up_topic(&self, limit: Duration) -> Result<Found, ClientError> {
        let mut metadata: *const rd::rd_kafka_metadata = ptr::null();
        let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1);
        // SAFETY: both handles are live; on success `metadata` points to a value that is ours to destroy, and it is
        // read only before that. Codes are read as numbers, since a broker may send one the enum does not have.
        unsafe {
            let code = rd::rd_kafka_metadata(self.client, 0, self.topic, &mut metadata, limit_ms) as i32;
            if code != 0 {
                return Err(ClientError::from_code(code));
            }
            let found = match (*metadata).topic_cnt {
                0 => Err(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32),
                _ => {
                    let topic = &*(*metadata).topics;
                    match (ptr::addr_of!(topic.err).cast::<i32>().read(), usize::try_from(topic.partition_cnt)) {
                        (0, Ok(count @ 1..)) => {
                            let partitions = std::slice::from_raw_parts(topic.partitions, count);
                            let available = partitions.iter().filter(|p| p.leader >= 0).map(|p| p.id).collect();
                            Ok(Found { available, from_member: (*metadata).orig_broker_id >= 0 })
                        }
                        (0, _) => Err(rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART as i32),
                        (code, _) => Err(code),
                    }
                }
            };
            rd::rd_kafka_metadata_destroy(metadata);
            found.map_err(ClientError::from_code)
        }
    }

    /// Hands records over, in order, and returns those that were not taken, with the reason. Their bytes are copied.
    ///
    /// While the queue is full it waits, at most `limit` without any progress.
    pub fn send(&mut self, records: &[Record], limit: Duration) -> Vec<Undelivered> {
        self.refresh_placement();
        let mut refused = Vec::new();
        let mut rest = records;
        while let Some(first) = rest.first() {
            let plain = rest.iter().take_while(|record| record.headers.is_empty()).count();
            let (now, later) = rest.split_at(plain.max(1));
            match plain {
                0 => self.send_with_headers(first, limit, &mut refused),
                _ => self.send_plain(now, limit, &mut refused),
            }
            rest = later;
        }
        refused
    }

    /// Partitions lose and find leaders.
    fn refresh_placement(&mut self) {
        if self.looked_up.elapsed() < PLACEMENT_AGE {
            return;
        }
        if let Ok(found) = self.look_up_topic(METADATA_SLICE) {
            self.placement.set_available(found.available);
        }
        self.looked_up = Instant::now();
    }

    fn send_plain(&mut self, records: &[Record], limit: Duration, refused: &mut Vec<Undelivered>) {
        let mut messages = std::mem::take(&mut self.messages);
        messages.clear();
        messages.extend(records.iter().map(|record| self.message(record)));
        let flags = rd::RD_KAFKA_MSG_F_COPY | rd::RD_KAFKA_MSG_F_PARTITION;
        let mut waiting = &mut messages[..];
        let mut deadline = None;
        while !waiting.is_empty() {
            let count = i32::try_from(waiting.len()).unwrap_or(i32::MAX);
            // SAFETY: `waiting` has at least `count` messages whose pointers are to slices of `records`, alive for
            // this call; librdkafka copies what they point to.
            let taken =
                unsafe { rd::rd_kafka_produce_batch(self.topic, UNASSIGNED, flags, waiting.as_mut_ptr(), count) };
            if taken == count {
                break;
            }
            // The queue was full from some message on; the ones before it were taken or refused for good.
            let full_at = waiting.iter().position(|m| message_code(m) == code::QUEUE_FULL).unwrap_or(waiting.len());
            let (done, rest) = waiting.split_at_mut(full_at);
            for message in done.iter().filter(|message| message_code(message) != 0) {
                refused.push(Undelivered::of_message(message));
            }
            waiting = rest;
            if taken > 0 {
                deadline = None;
            }
            if waiting.is_empty() {
                break;
            }
            if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + limit) {
                refused.extend(waiting.iter().map(Undelivered::of_message));
                break;
            }
            std::thread::sleep(QUEUE_FULL_PAUSE);
        }
        self.messages = messages;
    }

    fn message(&mut self, record: &Record) -> rd::rd_kafka_message_t {
        let (payload, len) = raw(record.value);
        let (key, key_len) = raw(record.key);
        rd::rd_kafka_message_t {
            err: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR,
            rkt: ptr::null_mut(),
            partition: self.placement.place(record.key.is_some(), len + key_len),
            payload,
            len,
            key,
            key_len,
            offset: 0,
            _private: record.id as *mut c_void,
        }
    }

    /// Batches carry no headers, so a record with headers goes alone.
    fn send_with_headers(&mut self, record: &Record, limit: Duration, refused: &mut Vec<Undelivered>) {
        let size = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        let partition = self.placement.place(record.key.is_some(), size);
        let deadline = Instant::now() + limit;
        loop {
            let code = self.produce_one(record, partition);
            match code {
                0 => return,
                code::QUEUE_FULL if Instant::now() < deadline => std::thread::sleep(QUEUE_FULL_PAUSE),
                code => return refused.push(Undelivered::new(record, ClientError::from_code(code))),
            }
        }
    }

    fn produce_one(&self, record: &Record, partition: i32) -> i32 {
        use rd::rd_kafka_vtype_t::*;
        let mem = |bytes: Option<&[u8]>| {
            let (ptr, size) = raw(bytes);
            rd::rd_kafka_vu_s__bindgen_ty_1 { mem: rd::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 { ptr, size } }
        };
        // SAFETY: the pointers in `values` are to `record`, `self.topic` and `headers`, all alive for the call, which
        // copies the record. The headers are librdkafka's after success and ours to destroy after failure.
        unsafe {
            let headers = rd::rd_kafka_headers_new(record.headers.len());
            for header in &record.headers {
                let (value, size) = raw(header.value);
                rd::rd_kafka_header_add(
                    headers,
                    header.name.as_ptr().cast(),
                    header.name.len() as isize,
                    value,
                    size as isize,
                );
            }
            let values = [
                (RD_KAFKA_VTYPE_RKT, rd::rd_kafka_vu_s__bindgen_ty_1 { rkt: self.topic }),
                (RD_KAFKA_VTYPE_PARTITION, rd::rd_kafka_vu_s__bindgen_ty_1 { i32_: partition }),
                (RD_KAFKA_VTYPE_MSGFLAGS, rd::rd_kafka_vu_s__bindgen_ty_1 { i: rd::RD_KAFKA_MSG_F_COPY }),
                (RD_KAFKA_VTYPE_VALUE, mem(record.value)),
                (RD_KAFKA_VTYPE_KEY, mem(record.key)),
                (RD_KAFKA_VTYPE_OPAQUE, rd::rd_kafka_vu_s__bindgen_ty_1 { ptr: record.id as *mut c_void }),
                (RD_KAFKA_VTYPE_HEADERS, rd::rd_kafka_vu_s__bindgen_ty_1 { headers }),
            ]
            .map(|(vtype, u)| rd::rd_kafka_vu_t { vtype, u });
            let error = rd::rd_kafka_produceva(self.client, values.as_ptr(), values.len());
            if error.is_null() {
                return 0;
            }
            let code = rd::rd_kafka_error_code(error) as i32;
            rd::rd_kafka_error_destroy(error);
            rd::rd_kafka_headers_destroy(headers);
            code
        }
    }

    /// Sends what lingers and waits, at most `limit`, until every record is delivered or reported as undelivered.
    /// Returns whether that is so.
    pub fn flush(&self, limit: Duration) -> bool {
        let limit_ms = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the client is live.
        unsafe { rd::rd_kafka_flush(self.client, limit_ms) as i32 == 0 }
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        self.topic_name.to_str().unwrap_or_default()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        drop(self.token_keeper.take());
        // SAFETY: all handles are live; the thread that uses the queue and the client has ended before they go.
        unsafe {
            rd::rd_kafka_queue_yield(self.events);
            if let Some(thread) = self.event_thread.take() {
                let _ = thread.join();
            }
            rd::rd_kafka_queue_destroy(self.events);
            rd::rd_kafka_topic_destroy(self.topic);
            rd::rd_kafka_destroy(self.client);
        }
    }
}

/// What the event thread needs.
struct Served {
    client: *mut rd::rd_kafka_t,
    events: *mut rd::rd_kafka_queue_t,
    shared: Arc<Shared>,
}

// SAFETY: librdkafka's handles may be used from any thread, and `Producer::drop` joins this one before it frees them.
unsafe impl Send for Served {}

impl Served {
    fn serve(self, mut notify: impl FnMut(Notice)) {
        block_signals();
        while !self.shared.stopping.load(Ordering::Acquire) {
            // SAFETY: the queue is live; a returned event is ours until it is destroyed below.
            let event = unsafe { rd::rd_kafka_queue_poll(self.events, -1) };
            if event.is_null() {
                continue;
            }
            // SAFETY: as above; each accessor is called for the type of event that has it.
            unsafe {
                match rd::rd_kafka_event_type(event) {
                    rd::RD_KAFKA_EVENT_DR => self.undelivered(event, &mut notify),
                    rd::RD_KAFKA_EVENT_ERROR => {
                        let trouble = self.trouble(event);
                        if trouble.is(code::AUTHENTICATION) || trouble.is(code::SSL) {
                            *self.shared.denied.lock() = Some(trouble.clone());
                        }
                        notify(Notice::Trouble(trouble));
                    }
                    _ => {}
                }
                rd::rd_kafka_event_destroy(event);
            }
        }
    }

    /// # Safety
    /// `event` is a live delivery report.
    unsafe fn undelivered(&self, event: *mut rd::rd_kafka_event_t, notify: &mut impl FnMut(Notice)) {
        loop {
            // SAFETY: the message is the event's and is read before the event is destroyed.
            let message = unsafe { rd::rd_kafka_event_message_next(event).as_ref() };
            let Some(message) = message else { return };
            if message_code(message) != 0 {
                notify(Notice::Undelivered(Undelivered::of_message(message)));
            }
        }
    }

    /// # Safety
    /// `event` is a live error event.
    unsafe fn trouble(&self, event: *mut rd::rd_kafka_event_t) -> ClientError {
        let mut errstr = [0 as c_char; 512];
        // SAFETY: the event is live; the client is; `errstr` has the size that is passed.
        unsafe {
            let code = rd::rd_kafka_event_error(event) as i32;
            if code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__FATAL as i32 {
                let code = rd::rd_kafka_fatal_error(self.client, errstr.as_mut_ptr(), errstr.len()) as i32;
                return ClientError { code, reason: text(errstr.as_ptr()) };
            }
            ClientError { code, reason: text(rd::rd_kafka_event_error_string(event)) }
        }
    }
}

/// A configuration that is destroyed unless it was given to a client.
struct Conf(*mut rd::rd_kafka_conf_t);

impl Conf {
    fn new(settings: &[(String, String)]) -> Result<Conf, ClientError> {
        // SAFETY: takes nothing, returns a configuration that is ours.
        let conf = Conf(unsafe { rd::rd_kafka_conf_new() });
        let mut errstr = [0 as c_char; 512];
        for (name, value) in settings {
            let (name, value) = (c_string(name)?, c_string(value)?);
            // SAFETY: the configuration is live, both strings NUL-terminated, `errstr` of the size that is passed.
            let result = unsafe {
                rd::rd_kafka_conf_set(conf.0, name.as_ptr(), value.as_ptr(), errstr.as_mut_ptr(), errstr.len())
            };
            if result != rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                // SAFETY: on failure `errstr` holds a NUL-terminated text.
                return Err(invalid_argument(unsafe { text(errstr.as_ptr()) }));
            }
        }
        Ok(conf)
    }
}

impl Drop for Conf {
    fn drop(&mut self) {
        // SAFETY: the configuration is live and was not given away (then this is forgotten).
        unsafe { rd::rd_kafka_conf_destroy(self.0) }
    }
}

/// Null is null; nothing is a pointer to no bytes, which librdkafka keeps apart.
fn raw(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    match bytes {
        Some(bytes) => (bytes.as_ptr().cast_mut().cast(), bytes.len()),
        None => (ptr::null_mut(), 0),
    }
}

/// The message's code as a number: brokers send codes that librdkafka's enum may not have.
fn message_code(message: &rd::rd_kafka_message_t) -> i32 {
    // SAFETY: the enum is a C int, and every bit pattern is an i32.
    unsafe { ptr::addr_of!(message.err).cast::<i32>().read() }
}

/// Whether time may cure it: no broker reachable, topic being created, leader being elected.
fn may_pass(error: &ClientError) -> bool {
    use rd::rd_kafka_resp_err_t::*;
    [
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR__TIMED_OUT,
        RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
        RD_KAFKA_RESP_ERR__WAIT_COORD,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
        RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
        RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
        RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ]
    .into_iter()
    .any(|passing| error.is(passing as i32))
}

fn invalid_argument(reason: String) -> ClientError {
    ClientError { code: rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__INVALID_ARG as i32, reason }
}

fn c_string(text: &str) -> Result<CString, ClientError> {
    CString::new(text).map_err(|_| invalid_argument(format!("{text:?} has a NUL byte in it")))
}

/// # Safety
/// `text` is null or NUL-terminated.
unsafe fn text(text: *const c_char) -> String {
    match text.is_null() {
        true => String::new(),
        // SAFETY: the caller's promise.
        false => unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned(),
    }
}

/// A signal must interrupt the thread that waits for input, not this one.
fn block_signals() {
    // SAFETY: `set` is initialised by sigfillset before it is read.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigfillset(&mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &set, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests;
