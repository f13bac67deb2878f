//! Records from any cluster, through librdkafka: a station of a record's way, the last before it is formatted.
//!
//! Without a group the partitions are assigned directly: no coordinator is asked, no group joined, none left behind.
//! With a group librdkafka keeps the membership, and offsets are stored for what was [marked](Consumer::mark) as
//! consumed, so that what is committed is exactly what was printed.

mod discovery;
mod group;
mod native;
mod record;

use std::collections::HashSet;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::bindings as rd;

use self::discovery::{Discovered, Wanted};
pub(super) use self::group::Progress;
use self::native::{Callbacks, Client, Queue, TopicMetadata};
use super::oauth::{TokenKeeper, TokenSource};
use super::topic_filter::TopicFilter;

pub use self::native::{Batch, Code, Entry};
pub use self::record::{Headers, Record, Timestamp};

/// What to read.
#[derive(Debug, Clone)]
pub enum Subscription {
    /// All partitions of one topic.
    Topic(String),
    /// All partitions of the topics that a pattern chooses, later ones included.
    Matching(TopicFilter),
    /// One partition, from a place of its own.
    Partition { topic: String, partition: i32, from: Start },
}

/// Where to begin in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    Earliest,
    Latest,
    Offset(i64),
}

/// Where to begin where nothing is committed: `auto.offset.reset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reset {
    Earliest,
    Latest,
    /// The first record that is at most so many milliseconds old (`by_duration:`).
    SinceMs(i64),
    /// `none`: it is an error.
    Fail,
}

/// How to consume.
pub struct Options {
    /// librdkafka's own settings, later ones winning.
    pub settings: Vec<(String, String)>,
    /// For OAUTHBEARER.
    pub tokens: Option<TokenSource>,
    /// The group to join; `None` assigns partitions directly.
    pub group: Option<String>,
    pub reset: Reset,
    /// `metadata.max.age.ms`: how often to look for new topics and partitions.
    pub refresh: Duration,
    /// Told what librdkafka logs, by any thread.
    pub log: fn(&LogLine),
}

/// A line of librdkafka's log.
#[derive(Debug, Clone)]
pub struct LogLine<'a> {
    /// As syslog's: 3 is an error, 4 a warning.
    pub level: i32,
    /// A short word: `FAIL`, `CONFWARN`.
    pub facility: &'a str,
    pub text: &'a str,
}

/// Why consuming cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Invalid topics: [{0}]")]
    InvalidTopic(String),
    #[error("Not authorized to access topics: [{0}]")]
    TopicAuthorization(String),
    #[error("Not authorized to access group: {0}")]
    GroupAuthorization(String),
    #[error("Undefined offset with no reset policy for partitions: [{0}]")]
    NoOffset(String),
    #[error("{0}")]
    Authentication(String),
    #[error("{0}")]
    Other(String),
}

/// Something short of an error that the user may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A wanted topic is not there (yet).
    MissingTopic { topic: String, code: Code },
    /// librdkafka could not do something and goes on trying.
    Trouble(String),
}

/// Makes a waiting [`Consumer::poll`] return, from any thread.
#[derive(Clone)]
pub struct Waker {
    queue: Arc<Queue>,
    stopping: &'static AtomicBool,
}

impl Waker {
    /// Wakes the consumer for good: it will not wait any more.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.queue.wake();
    }
}

/// Makes a waiting consumer look up, without stopping it.
pub(super) struct Bell(Arc<Queue>);

impl Bell {
    pub fn ring(&self) {
        self.0.wake();
    }
}

/// What the callbacks of a client share with it. One per process in practice, and never freed: librdkafka's threads
/// may call until the process ends.
struct Context {
    log: fn(&LogLine),
    reset: Reset,
    stopping: AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl Context {
    fn fail(&self, error: Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn failure(&self) -> Option<Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A consumer of records.
pub struct Consumer {
    client: Arc<Client>,
    queue: Arc<Queue>,
    context: &'static Context,
    discovered: Option<Receiver<Discovered>>,
    assignment: Assignment,
    group: Option<String>,
}

/// What is read, and how it came to be.
enum Assignment {
    /// Directly: what was started already, and where to begin in what is new.
    Direct { subscription: Subscription, started: HashSet<(String, i32)>, reset: Reset },
    /// Through the group: the topics subscribed to, and how far each partition was consumed.
    Group { wanted: Wanted, subscribed: Vec<String>, missing: bool, progress: Progress },
    /// By [`Consumer::start`] and [`Consumer::stop`] only.
    ByHand,
}

impl Consumer {
    /// Connects, and begins to look for what `subscription` names. Does not wait for the cluster.
    ///
    /// # Errors
    /// librdkafka's text about a setting it refuses.
    pub fn new(options: Options, subscription: Subscription) -> Result<Consumer, String> {
        let mut consumer = Consumer::idle(&options)?;
        let wanted = match &subscription {
            Subscription::Topic(topic) | Subscription::Partition { topic, .. } => Wanted::Topic(topic.clone()),
            Subscription::Matching(filter) => Wanted::Matching(filter.clone()),
        };
        consumer.assignment = match options.group {
            Some(_) => {
                let mut subscribed = Vec::new();
                if let Wanted::Topic(topic) = &wanted {
                    // At once, for joining takes a while: metadata can come meanwhile.
                    subscribed.push(topic.clone());
                    consumer.client.subscribe(&subscribed);
                }
                Assignment::Group { wanted: wanted.clone(), subscribed, missing: false, progress: Progress::default() }
            }
            None => Assignment::Direct { subscription, started: HashSet::new(), reset: options.reset },
        };
        consumer.discovered =
            Some(discovery::start(consumer.client.clone(), consumer.queue.clone(), wanted, options.refresh));
        Ok(consumer)
    }

    /// Connects, and reads nothing until [`Consumer::start`] says what.
    ///
    /// # Errors
    /// As [`Consumer::new`], or no token.
    pub fn idle(options: &Options) -> Result<Consumer, String> {
        let mut settings = options.settings.clone();
        if options.group.is_some() {
            // What is stored, and with that committed, is what was marked as consumed.
            settings.push(("enable.auto.offset.store".to_owned(), "false".to_owned()));
        } else {
            settings.retain(|(key, _)| key != "group.id" && key != "group.instance.id");
            settings.push(("enable.auto.commit".to_owned(), "false".to_owned()));
        }
        let context: &'static Context = Box::leak(Box::new(Context {
            log: options.log,
            reset: options.reset,
            stopping: AtomicBool::new(false),
            failure: Mutex::new(None),
        }));
        let callbacks = Callbacks { context, log: on_log, error: on_error, rebalance: on_rebalance };
        let client = Arc::new(Client::new(&settings, callbacks)?);
        if let Some(tokens) = options.tokens.clone() {
            // SAFETY: the instance is never destroyed ([`Client`]).
            let keeper = unsafe { TokenKeeper::start(client.as_ptr(), tokens)? };
            // It serves the instance as long as that lives.
            std::mem::forget(keeper);
        }
        let queue = if options.group.is_some() { client.consumer_queue() } else { client.own_queue() };
        let queue = Arc::new(queue.ok_or("librdkafka gave no queue")?);
        let group = options.group.clone();
        Ok(Consumer { client, queue, context, discovered: None, assignment: Assignment::ByHand, group })
    }

    /// A handle with which another thread ends the waiting.
    pub fn waker(&self) -> Waker {
        Waker { queue: self.queue.clone(), stopping: &self.context.stopping }
    }

    /// Whether [`Waker::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.context.stopping.load(Ordering::SeqCst)
    }

    /// Takes up to `limit` records that are there into `batch`; when there are none, waits for one, up to `wait`
    /// (`None`: for ever). May return none earlier. What happened besides is appended to `notices`.
    ///
    /// # Errors
    /// Consuming cannot go on. `batch` is empty then.
    pub fn poll(
        &mut self,
        batch: &mut Batch,
        limit: usize,
        wait: Option<Duration>,
        notices: &mut Vec<Notice>,
    ) -> Result<(), Error> {
        batch.clear();
        self.apply_discovered(notices)?;
        self.take_now(batch, limit)?;
        if batch.is_empty() && wait != Some(Duration::ZERO) {
            // Taking may have used a wake-up: what it was for is looked for again before waiting for the next.
            self.apply_discovered(notices)?;
            self.wait_for_one(batch, wait)?;
        }
        Ok(())
    }

    /// Takes what is there, at most `limit` records.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub(super) fn take_now(&self, batch: &mut Batch, limit: usize) -> Result<(), Error> {
        self.queue.take(batch, limit, Some(Duration::ZERO));
        self.context.failure().map_or(Ok(()), Err)
    }

    /// Waits for one record, a wake-up, or until `wait` is over. Returns at once when stopping.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub(super) fn wait_for_one(&self, batch: &mut Batch, wait: Option<Duration>) -> Result<(), Error> {
        if !self.is_stopping() {
            self.queue.take(batch, 1, wait);
        }
        self.context.failure().map_or(Ok(()), Err)
    }

    /// Rings for another thread that has something to tell.
    pub(super) fn bell(&self) -> Bell {
        Bell(self.queue.clone())
    }

    /// The offset that a logical place has now; `None` when the cluster does not answer in time.
    pub(super) fn offset_of(&self, topic: &str, partition: i32, place: Start) -> Option<i64> {
        match place {
            Start::Offset(offset) => Some(offset),
            place => group::offset_at(&self.client, topic, partition, logical(place)),
        }
    }

    /// Says that a record was dealt with, so that its offset may be committed. Nothing to do without a group.
    pub fn mark(&mut self, record: &Record<'_>) {
        if let Assignment::Group { progress, .. } = &mut self.assignment {
            progress.mark(record);
        }
    }

    /// Stores what was marked since the last call; the next automatic commit takes it along.
    pub fn store_marked(&mut self) {
        if let Assignment::Group { progress, .. } = &mut self.assignment {
            progress.store(&self.client);
        }
    }

    /// Says that records which were fetched are left unread, before [`Consumer::close`]: as when Java's consumer
    /// seeks back to them, the position committed carries no leader epoch.
    pub fn leave_unread(&mut self, batch: &mut Batch) {
        if let Assignment::Group { progress, .. } = &mut self.assignment {
            self.queue.take(batch, 500, Some(Duration::ZERO));
            for entry in batch.entries() {
                if let Entry::Record(record) = entry {
                    progress.forget_epoch(&record);
                }
            }
            progress.store(&self.client);
        }
    }

    /// Learns where a topic's partitions are, before they are started: starting them blindly costs half a second.
    pub(super) fn look_up(&self, topic: &str, timeout: Duration) {
        if let Some(topic) = self.client.topic(topic) {
            // Without an answer it only takes longer.
            let _ = self.client.metadata(Some(&topic), timeout);
        }
    }

    /// Starts reading one partition, of a consumer made with [`Consumer::idle`].
    pub fn start(&self, topic: &str, partition: i32, from: Start) {
        if let Some(topic) = self.client.topic(topic) {
            self.client.start(&topic, partition, logical(from), &self.queue);
        }
    }

    /// Stops reading one partition; what was fetched of it and not taken yet is dropped.
    pub fn stop(&self, topic: &str, partition: i32) {
        if let Some(topic) = self.client.topic(topic) {
            self.client.stop(&topic, partition);
        }
    }

    /// Commits what is stored and leaves the group. Without a group there is nothing to say to anyone.
    pub fn close(self) {
        if self.group.is_some() {
            self.context.stopping.store(true, Ordering::SeqCst);
            self.client.close();
        }
    }

    /// What an error entry of a batch means: an error, a notice, or nothing.
    pub fn judge(&self, code: Code, text: &str) -> Result<Option<Notice>, Error> {
        use rd::rd_kafka_resp_err_t as e;
        let is = |error: e| error as Code == code;
        if is(e::RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            return Ok(None);
        }
        if is(e::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED) {
            return Err(Error::GroupAuthorization(self.group.clone().unwrap_or_default()));
        }
        if is(e::RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
            return Err(Error::NoOffset(text.to_owned()));
        }
        if is(e::RD_KAFKA_RESP_ERR__FATAL) || is(e::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID) {
            return Err(Error::Other(text.to_owned()));
        }
        // What the discovery says better, and what librdkafka retries.
        let known = [
            e::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            e::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC,
            e::RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION,
            e::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
            e::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
        ];
        Ok((!known.into_iter().any(is)).then(|| Notice::Trouble(text.to_owned())))
    }

    fn apply_discovered(&mut self, notices: &mut Vec<Notice>) -> Result<(), Error> {
        while let Some(Ok(discovered)) = self.discovered.as_ref().map(Receiver::try_recv) {
            self.apply(discovered, notices)?;
        }
        Ok(())
    }

    fn apply(&mut self, discovered: Discovered, notices: &mut Vec<Notice>) -> Result<(), Error> {
        // Failing to reach any broker is what librdkafka's log tells.
        let Discovered::Topics { topics, complete } = discovered else { return Ok(()) };
        for topic in &topics {
            check(topic, notices)?;
        }
        match &mut self.assignment {
            Assignment::Direct { subscription, started, reset } => {
                start_new(&self.client, &self.queue, subscription, started, *reset, &topics);
            }
            Assignment::Group { wanted, subscribed, missing, .. } => {
                let mut names: Vec<String> = match wanted {
                    Wanted::Topic(name) => vec![name.clone()],
                    Wanted::Matching(_) => topics.iter().map(|topic| topic.name.clone()).collect(),
                };
                names.sort_unstable();
                // librdkafka looks for a missing topic only now and then: it is told when the topic has come.
                let came = *missing && complete;
                *missing = !complete;
                if !names.is_empty() && (names != *subscribed || came) {
                    self.client.subscribe(&names);
                    *subscribed = names;
                }
            }
            Assignment::ByHand => {}
        }
        Ok(())
    }
}

/// Looks at what the cluster says about one wanted topic.
fn check(topic: &TopicMetadata, notices: &mut Vec<Notice>) -> Result<(), Error> {
    use rd::rd_kafka_resp_err_t as e;
    let name = topic.name.clone();
    match e::try_from(topic.error) {
        Ok(e::RD_KAFKA_RESP_ERR_NO_ERROR) => Ok(()),
        Ok(e::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION) => Err(Error::InvalidTopic(name)),
        Ok(e::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => Err(Error::TopicAuthorization(name)),
        _ => {
            notices.push(Notice::MissingTopic { topic: name, code: topic.error });
            Ok(())
        }
    }
}

/// Starts the partitions that were not started before.
fn start_new(
    client: &Client,
    queue: &Queue,
    subscription: &Subscription,
    started: &mut HashSet<(String, i32)>,
    reset: Reset,
    topics: &[TopicMetadata],
) {
    for topic in topics {
        let Some(handle) = client.topic(&topic.name) else { continue };
        for &partition in &topic.partitions {
            let offset = match subscription {
                Subscription::Partition { partition: only, .. } if *only != partition => continue,
                Subscription::Partition { from, .. } => logical(*from),
                _ => match reset {
                    Reset::Earliest => logical(Start::Earliest),
                    // The broker is asked for an offset to begin at; Fail: as in Java, where a group that was made
                    // up has nothing committed, librdkafka reports the missing offset.
                    Reset::Latest => logical(Start::Latest),
                    Reset::SinceMs(age) => group::offset_since(client, &topic.name, partition, age),
                    Reset::Fail => i64::from(rd::RD_KAFKA_OFFSET_INVALID),
                },
            };
            if started.insert((topic.name.clone(), partition)) {
                client.start(&handle, partition, offset, queue);
            }
        }
    }
}

fn logical(from: Start) -> i64 {
    match from {
        Start::Earliest => i64::from(rd::RD_KAFKA_OFFSET_BEGINNING),
        Start::Latest => i64::from(rd::RD_KAFKA_OFFSET_END),
        Start::Offset(offset) => offset,
    }
}

unsafe extern "C" fn on_log(
    instance: *const rd::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    text: *const c_char,
) {
    // SAFETY: the opaque pointer is the leaked context; both texts are C strings for the time of the call.
    let (context, facility, text) = unsafe {
        (
            &*rd::rd_kafka_opaque(instance).cast::<Context>(),
            CStr::from_ptr(facility).to_string_lossy(),
            CStr::from_ptr(text).to_string_lossy(),
        )
    };
    (context.log)(&LogLine { level, facility: &facility, text: &text });
}

unsafe extern "C" fn on_error(instance: *mut rd::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    use rd::rd_kafka_resp_err_t as e;
    // SAFETY: as in `on_log`.
    let (context, reason) =
        unsafe { (&*opaque.cast::<Context>(), CStr::from_ptr(reason).to_string_lossy().into_owned()) };
    match e::try_from(code) {
        Ok(e::RD_KAFKA_RESP_ERR__AUTHENTICATION | e::RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED) => {
            context.fail(Error::Authentication(reason));
        }
        Ok(e::RD_KAFKA_RESP_ERR__FATAL) => context.fail(Error::Other(reason)),
        // The log has told it.
        _ => return,
    }
    // We are called from within the wait for a record, which has to end now.
    // SAFETY: the instance is the one that calls.
    unsafe { rd::rd_kafka_yield(instance) };
}

unsafe extern "C" fn on_rebalance(
    instance: *mut rd::rd_kafka_t,
    code: rd::rd_kafka_resp_err_t,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: as in `on_log`.
    let context = unsafe { &*opaque.cast::<Context>() };
    let assigned = code == rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    group::rebalance(instance, assigned, partitions, context);
}
