//! librdkafka's handles, each owned by a Rust value. The safe crate's consumers are not used: dropping one costs
//! 100 ms, and reading through them twice the CPU of batches (measured, one million records of 100 bytes).

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as rd;

use super::Timestamp;
use super::record::{Headers, Record, bytes};

/// A librdkafka error code, as a number: brokers may send ones that the bindings have no name for.
pub type Code = i32;

pub(super) const NO_ERROR: Code = 0;

/// A consumer instance. Never destroyed: that waits for all its threads, and the process is about to end.
pub(super) struct Client(NonNull<rd::rd_kafka_t>);

// SAFETY: librdkafka's instances may be used from any thread at any time.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

/// The callbacks' context: what [`Client::new`] was given, for as long as the process lives.
pub(super) struct Callbacks<T: 'static> {
    pub context: &'static T,
    pub log: unsafe extern "C" fn(*const rd::rd_kafka_t, c_int, *const c_char, *const c_char),
    pub error: unsafe extern "C" fn(*mut rd::rd_kafka_t, c_int, *const c_char, *mut c_void),
    pub rebalance: unsafe extern "C" fn(
        *mut rd::rd_kafka_t,
        rd::rd_kafka_resp_err_t,
        *mut rd::rd_kafka_topic_partition_list_t,
        *mut c_void,
    ),
}

impl Client {
    /// Creates a consumer with librdkafka's own `settings`.
    ///
    /// # Errors
    /// librdkafka's text about a setting it refuses.
    pub fn new<T: Sync>(settings: &[(String, String)], callbacks: Callbacks<T>) -> Result<Client, String> {
        let mut text = [0 as c_char; 512];
        // SAFETY: the strings outlive each call, the buffer's size is passed along, and `conf` is either consumed
        // by rd_kafka_new or destroyed here.
        unsafe {
            let conf = rd::rd_kafka_conf_new();
            for (key, value) in settings {
                let (key, value) = (c_string(key), c_string(value));
                let outcome = rd::rd_kafka_conf_set(conf, key.as_ptr(), value.as_ptr(), text.as_mut_ptr(), text.len());
                if outcome != rd::rd_kafka_conf_res_t::RD_KAFKA_CONF_OK {
                    rd::rd_kafka_conf_destroy(conf);
                    return Err(CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned());
                }
            }
            rd::rd_kafka_conf_set_opaque(conf, ptr::from_ref(callbacks.context).cast_mut().cast());
            rd::rd_kafka_conf_set_log_cb(conf, Some(callbacks.log));
            rd::rd_kafka_conf_set_error_cb(conf, Some(callbacks.error));
            rd::rd_kafka_conf_set_rebalance_cb(conf, Some(callbacks.rebalance));
            let kind = rd::rd_kafka_type_t::RD_KAFKA_CONSUMER;
            let client = rd::rd_kafka_new(kind, conf, text.as_mut_ptr(), text.len());
            NonNull::new(client).map(Client).ok_or_else(|| {
                rd::rd_kafka_conf_destroy(conf);
                CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
            })
        }
    }

    /// A second handle on the instance that a callback was called for.
    pub fn of_callback(instance: *mut rd::rd_kafka_t) -> Option<Client> {
        NonNull::new(instance).map(Client)
    }

    pub fn as_ptr(&self) -> *mut rd::rd_kafka_t {
        self.0.as_ptr()
    }

    /// The queue of a consumer with a group.id; its other events are served with it.
    pub fn consumer_queue(self: &Arc<Client>) -> Option<Queue> {
        // SAFETY: the instance is valid; without a group the answer is null.
        let queue = unsafe {
            rd::rd_kafka_poll_set_consumer(self.as_ptr());
            rd::rd_kafka_queue_get_consumer(self.as_ptr())
        };
        NonNull::new(queue).map(|queue| Queue { queue, _client: self.clone() })
    }

    /// A new queue for directly assigned partitions; errors of the instance arrive in it too.
    pub fn own_queue(self: &Arc<Client>) -> Option<Queue> {
        // SAFETY: the instance is valid; forwarding keeps both queues alive.
        let queue = unsafe {
            let queue = rd::rd_kafka_queue_new(self.as_ptr());
            let main = rd::rd_kafka_queue_get_main(self.as_ptr());
            rd::rd_kafka_queue_forward(main, queue);
            rd::rd_kafka_queue_destroy(main);
            queue
        };
        NonNull::new(queue).map(|queue| Queue { queue, _client: self.clone() })
    }

    /// The instance's handle on a topic. It lives as long as the instance.
    pub fn topic(&self, name: &str) -> Option<Topic> {
        let name = c_string(name);
        // SAFETY: a null configuration means the instance's default.
        NonNull::new(unsafe { rd::rd_kafka_topic_new(self.as_ptr(), name.as_ptr(), ptr::null_mut()) }).map(Topic)
    }

    /// Asks the cluster about one topic (creating it where client and broker allow that), or about all.
    pub fn metadata(&self, topic: Option<&Topic>, timeout: Duration) -> Result<Vec<TopicMetadata>, Code> {
        let mut metadata: *const rd::rd_kafka_metadata_t = ptr::null();
        let only = topic.map_or(ptr::null_mut(), |topic| topic.0.as_ptr());
        // SAFETY: instance and topic are valid; on success `metadata` is ours to destroy.
        unsafe {
            let outcome = rd::rd_kafka_metadata(
                self.as_ptr(),
                c_int::from(topic.is_none()),
                only,
                &mut metadata,
                millis(timeout),
            ) as Code;
            if outcome != NO_ERROR {
                return Err(outcome);
            }
            let topics = read_metadata(&*metadata);
            rd::rd_kafka_metadata_destroy(metadata);
            Ok(topics)
        }
    }

    /// Starts fetching a partition into `queue`; `offset` may be one of librdkafka's logical ones.
    pub fn start(&self, topic: &Topic, partition: i32, offset: i64, queue: &Queue) {
        // SAFETY: all handles are valid. It fails only for negative partitions or partitions started before.
        unsafe { rd::rd_kafka_consume_start_queue(topic.0.as_ptr(), partition, offset, queue.queue.as_ptr()) };
    }

    /// Stops fetching a partition and drops what is queued of it.
    pub fn stop(&self, topic: &Topic, partition: i32) {
        // SAFETY: the topic's handle is valid; a partition that was not started is refused.
        unsafe { rd::rd_kafka_consume_stop(topic.0.as_ptr(), partition) };
    }

    pub fn subscribe(&self, topics: &[String]) -> Code {
        let list = PartitionList::new();
        for topic in topics {
            list.add(topic, -1);
        }
        // SAFETY: instance and list are valid; the list is copied.
        unsafe { rd::rd_kafka_subscribe(self.as_ptr(), list.as_ptr()) as Code }
    }

    /// Commits what is stored, leaves the group and gives the partitions up.
    pub fn close(&self) {
        // SAFETY: the instance is valid.
        unsafe { rd::rd_kafka_consumer_close(self.as_ptr()) };
    }
}

/// A topic's handle.
#[derive(Clone, Copy)]
pub(super) struct Topic(NonNull<rd::rd_kafka_topic_t>);

// SAFETY: topic handles may be used from any thread.
unsafe impl Send for Topic {}

/// What the cluster said about a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TopicMetadata {
    pub name: String,
    pub error: Code,
    pub partitions: Vec<i32>,
    /// Whether every partition has a leader.
    pub complete: bool,
}

/// # Safety
/// `metadata` must come from rd_kafka_metadata and not be destroyed yet.
unsafe fn read_metadata(metadata: &rd::rd_kafka_metadata) -> Vec<TopicMetadata> {
    // SAFETY: librdkafka's counts and pointers belong together.
    let topics = unsafe { list(metadata.topics, metadata.topic_cnt) };
    topics
        .iter()
        .map(|topic| {
            // SAFETY: as above; the name is a C string.
            let (name, partitions) =
                unsafe { (CStr::from_ptr(topic.topic), list(topic.partitions, topic.partition_cnt)) };
            let mut ids: Vec<i32> = partitions.iter().map(|partition| partition.id).collect();
            ids.sort_unstable();
            TopicMetadata {
                name: name.to_string_lossy().into_owned(),
                error: code_of(&topic.err),
                partitions: ids,
                complete: partitions.iter().all(|partition| partition.leader >= 0),
            }
        })
        .collect()
}

/// # Safety
/// `start` must be null or point to `count` values.
unsafe fn list<'a, T>(start: *const T, count: c_int) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: the caller's promise.
        Ok(count) if !start.is_null() => unsafe { std::slice::from_raw_parts(start, count) },
        _ => &[],
    }
}

/// Reads an error code without asserting that the bindings know it.
fn code_of(error: *const rd::rd_kafka_resp_err_t) -> Code {
    // SAFETY: the enumeration is represented as an i32, and the pointer comes from a reference.
    unsafe { *error.cast::<Code>() }
}

/// A queue of fetched records and events.
pub(super) struct Queue {
    queue: NonNull<rd::rd_kafka_queue_t>,
    _client: Arc<Client>,
}

// SAFETY: librdkafka's queues may be used from any thread.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

impl Queue {
    /// Makes a call that waits on this queue return.
    pub fn wake(&self) {
        // SAFETY: the queue lives as long as the process.
        unsafe { rd::rd_kafka_queue_yield(self.queue.as_ptr()) };
    }

    /// Takes records into `batch`, which must be empty: at most `limit`, waiting up to `wait` **for that many**
    /// (`None`: for ever). So a caller takes what is there with no wait, and waits for one record only.
    pub fn take(&self, batch: &mut Batch, limit: usize, wait: Option<Duration>) {
        batch.clear();
        batch.messages.reserve(limit);
        // SAFETY: there is room for `limit` pointers, and librdkafka says how many of them it wrote.
        unsafe {
            let taken = rd::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                wait.map_or(-1, millis),
                batch.messages.as_mut_ptr(),
                limit,
            );
            batch.messages.set_len(usize::try_from(taken).unwrap_or(0));
        }
    }
}

/// Records (and errors) taken from a queue together; given back when cleared or dropped.
#[derive(Default)]
pub struct Batch {
    messages: Vec<*mut rd::rd_kafka_message_t>,
}

/// One entry of a batch.
pub enum Entry<'a> {
    Record(Record<'a>),
    /// The code is librdkafka's: negative for its own errors, Kafka's otherwise.
    Error {
        code: Code,
        text: String,
    },
}

impl Batch {
    /// How many entries there are, errors included.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Gives the records back.
    pub fn clear(&mut self) {
        for message in self.messages.drain(..) {
            // SAFETY: each message was handed to us and is destroyed once.
            unsafe { rd::rd_kafka_message_destroy(message) };
        }
    }

    /// The records and errors, in the order in which they were fetched.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        let mut topic = (ptr::null_mut(), "");
        // SAFETY: the messages live until the batch is cleared, which needs it mutably.
        self.messages.iter().map(move |&message| unsafe { read_message(message, &mut topic) })
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.clear();
    }
}

/// `topic`: the last topic's handle and its name, so that a name is looked up once for a run of records.
///
/// # Safety
/// `message` must be valid for `'a`.
unsafe fn read_message<'a>(
    message: *mut rd::rd_kafka_message_t,
    topic: &mut (*mut rd::rd_kafka_topic_t, &'a str),
) -> Entry<'a> {
    // SAFETY: the caller's promise; key and payload are as long as the message says.
    unsafe {
        let code = code_of(&raw const (*message).err);
        if code != NO_ERROR {
            let text = rd::rd_kafka_message_errstr(message);
            let text = if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() };
            return Entry::Error { code, text };
        }
        let mut kind = rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        let time = rd::rd_kafka_message_timestamp(message, &mut kind);
        let timestamp = match kind {
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::None,
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(time),
            rd::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Timestamp::LogAppendTime(time),
        };
        if topic.0 != (*message).rkt {
            let name = CStr::from_ptr(rd::rd_kafka_topic_name((*message).rkt));
            *topic = ((*message).rkt, name.to_str().unwrap_or_default());
        }
        let record = Record {
            topic: topic.1,
            partition: (*message).partition,
            offset: (*message).offset,
            timestamp,
            key: bytes((*message).key.cast(), (*message).key_len),
            value: bytes((*message).payload.cast(), (*message).len),
            headers: Headers::of_message(message),
        };
        Entry::Record(record)
    }
}

/// A list of partitions with offsets.
pub(super) struct PartitionList(NonNull<rd::rd_kafka_topic_partition_list_t>);

impl PartitionList {
    pub fn new() -> PartitionList {
        // SAFETY: it allocates, and aborts when it cannot.
        let list = unsafe { rd::rd_kafka_topic_partition_list_new(8) };
        PartitionList(NonNull::new(list).expect("librdkafka aborts rather than return null"))
    }

    pub fn copy_of(list: *const rd::rd_kafka_topic_partition_list_t) -> Option<PartitionList> {
        // SAFETY: the list is one that a callback was given.
        NonNull::new(unsafe { rd::rd_kafka_topic_partition_list_copy(list) }).map(PartitionList)
    }

    pub fn as_ptr(&self) -> *mut rd::rd_kafka_topic_partition_list_t {
        self.0.as_ptr()
    }

    fn add(&self, topic: &str, partition: i32) -> *mut rd::rd_kafka_topic_partition_t {
        let topic = c_string(topic);
        // SAFETY: the list is valid, the name copied.
        unsafe { rd::rd_kafka_topic_partition_list_add(self.as_ptr(), topic.as_ptr(), partition) }
    }

    /// Adds a partition with the next offset to read, and the epoch of the record before it (-1: unknown).
    pub fn add_offset(&self, topic: &str, partition: i32, offset: i64, leader_epoch: i32) {
        let element = self.add(topic, partition);
        // SAFETY: the element was just added to our list.
        unsafe {
            (*element).offset = offset;
            rd::rd_kafka_topic_partition_set_leader_epoch(element, leader_epoch);
        }
    }

    pub fn elements(&self) -> &[rd::rd_kafka_topic_partition_t] {
        // SAFETY: count and pointer belong together.
        unsafe { list(self.0.as_ref().elems, self.0.as_ref().cnt) }
    }

    pub fn elements_mut(&mut self) -> &mut [rd::rd_kafka_topic_partition_t] {
        // SAFETY: as above, and the list is ours alone.
        unsafe {
            let list = self.0.as_mut();
            match usize::try_from(list.cnt) {
                Ok(count) if !list.elems.is_null() => std::slice::from_raw_parts_mut(list.elems, count),
                _ => &mut [],
            }
        }
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: the list is ours.
        unsafe { rd::rd_kafka_topic_partition_list_destroy(self.as_ptr()) };
    }
}

/// The name of a list's element.
pub(super) fn element_topic(element: &rd::rd_kafka_topic_partition_t) -> String {
    // SAFETY: every element has a name.
    unsafe { CStr::from_ptr(element.topic).to_string_lossy().into_owned() }
}

pub(super) fn millis(duration: Duration) -> c_int {
    c_int::try_from(duration.as_millis()).unwrap_or(c_int::MAX)
}

/// A C string; a NUL, which no name or setting can hold, ends it.
pub(super) fn c_string(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}
