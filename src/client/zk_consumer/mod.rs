//! The ancient consumer (0.8 … 1.1): a group whose members, partitions and offsets are znodes.
//!
//! A thread of its own ([`member`]) holds the ZooKeeper session: it registers the member, works out which partitions
//! are its own whenever members or partitions change, claims them, and commits offsets. The consumer's side fetches
//! through librdkafka. The two meet in [`ZkConsumer::poll`], between batches, so that a partition is given up only
//! when all that was taken of it has been written, and its offset says so.
//!
//! Source: `ZookeeperConsumerConnector` of 1.1; znodes: [`crate::registry::znodes`].

mod assignment;
mod member;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use self::assignment::{Strategy, TopicPartition};
use super::consumer::{
    Batch, Code, Consumer, Error, LogLine, Notice, Options as ConsumerOptions, Progress, Record, Reset, Start, Waker,
};
use super::properties::{ClientSettings, Role};
use super::topic_filter::TopicFilter;

/// How to join a group.
pub struct Options {
    /// `host:port,…[/chroot]`.
    pub connect: String,
    pub group: String,
    /// The group was made up: nothing of it is to remain.
    pub temporary: bool,
    pub pattern: Pattern,
    pub from_beginning: bool,
    pub delete_offsets: bool,
    /// The old consumer's Java properties; later ones win.
    pub properties: Vec<(String, String)>,
    /// Told what librdkafka logs.
    pub log: fn(&LogLine),
}

/// The topics to read, as a Java regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    Matching(String),
    NotMatching(String),
}

impl Pattern {
    /// The pattern as it stands in the member's znode, blanks and quotes taken off, commas meaning "or".
    fn text(&self) -> String {
        let (Pattern::Matching(raw) | Pattern::NotMatching(raw)) = self;
        let text = raw.trim().replace(',', "|").replace(' ', "");
        text.trim_matches(['"', '\'']).to_owned()
    }

    /// `white_list` or `black_list`.
    fn kind(&self) -> &'static str {
        match self {
            Pattern::Matching(_) => "white_list",
            Pattern::NotMatching(_) => "black_list",
        }
    }
}

/// Why the consumer does not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    #[error("No brokers found in ZK.")]
    NoBrokers,
    #[error(
        "Found previous offset information for this group {0}. Please use --delete-consumer-offsets to delete \
         previous offsets metadata"
    )]
    OffsetsFound(String),
    #[error("{0} is an invalid regex.")]
    InvalidPattern(String),
    #[error("{0}")]
    Other(String),
    /// Asked to stop before it began.
    #[error("stopped")]
    Stopped,
}

/// The old consumer's settings, typed; names and defaults are those of 1.1's `ConsumerConfig`.
#[derive(Debug, Clone)]
struct Config {
    connect: String,
    group: String,
    temporary: bool,
    pattern: Pattern,
    filter: TopicFilter,
    from_beginning: bool,
    delete_offsets: bool,
    exclude_internal_topics: bool,
    session_timeout: Duration,
    connection_timeout: Duration,
    rebalance_backoff: Duration,
    /// `None`: offsets are not committed.
    commit_interval: Option<Duration>,
    strategy: Strategy,
}

/// What the member's thread tells the consumer.
enum Event {
    /// The brokers' addresses: the group may be joined.
    Ready(Vec<String>),
    Refused(StartError),
    /// Stop reading these; answer when nothing of them is in flight any more.
    Release(Vec<TopicPartition>, oneshot::Sender<Positions>),
    /// Read these, from the committed offsets where there are any.
    Assign(Vec<(TopicPartition, Option<i64>)>),
    /// Something for the log.
    Trouble(String),
}

/// What the consumer tells the member's thread.
enum Control {
    /// Join; ring the bell with every event from now on.
    Join(super::consumer::Bell),
    /// Commit, leave, and end.
    Leave,
}

/// The next offset to read of each partition.
type Positions = BTreeMap<TopicPartition, i64>;

/// A member of an old consumer group.
pub struct ZkConsumer {
    consumer: Consumer,
    events: Receiver<Event>,
    /// An event that was received while records were in flight.
    pending: Option<Event>,
    control: tokio_mpsc::UnboundedSender<Control>,
    thread: Option<JoinHandle<()>>,
    progress: Progress,
    /// What may be committed, shared with the member's thread.
    positions: Arc<Mutex<Positions>>,
    reset: Reset,
    joined: bool,
}

impl ZkConsumer {
    /// Connects to ZooKeeper, makes the checks of Apache's tool, and begins to join the group.
    /// `stopping` is asked now and then whether to give up.
    ///
    /// # Errors
    /// See [`StartError`]; nothing was changed in ZooKeeper but what `delete_offsets` asked for.
    pub fn start(options: Options, stopping: impl Fn() -> bool) -> Result<ZkConsumer, StartError> {
        let config = config(&options)?;
        let reset = reset(&options.properties)?;
        let (event_sender, events) = mpsc::channel();
        let (control, control_receiver) = tokio_mpsc::unbounded_channel();
        let positions = Arc::new(Mutex::new(Positions::new()));
        let shared = positions.clone();
        let thread = thread::spawn(move || member::run(config, &event_sender, control_receiver, shared));
        let brokers = wait_until_ready(&events, &stopping)?;
        let consumer = connect(&options, &brokers, reset).map_err(StartError::Other)?;
        // A thread that is gone already has sent why.
        let _ = control.send(Control::Join(consumer.bell()));
        Ok(ZkConsumer {
            consumer,
            events,
            pending: None,
            control,
            thread: Some(thread),
            progress: Progress::default(),
            positions,
            reset,
            joined: false,
        })
    }

    /// As [`Consumer::poll`]. With a wait other than zero, everything taken before must have been marked and
    /// [written](ZkConsumer::written): that is when partitions change hands.
    ///
    /// # Errors
    /// As [`Consumer::poll`].
    pub fn poll(
        &mut self,
        batch: &mut Batch,
        limit: usize,
        wait: Option<Duration>,
        notices: &mut Vec<Notice>,
    ) -> Result<(), Error> {
        batch.clear();
        if wait == Some(Duration::ZERO) {
            if self.pending.is_none() {
                self.pending = self.events.try_recv().ok();
            }
            return match self.pending {
                Some(_) => Ok(()),
                None => self.consumer.take_now(batch, limit),
            };
        }
        while let Some(event) = self.pending.take().or_else(|| self.events.try_recv().ok()) {
            self.apply(event, notices);
        }
        self.consumer.take_now(batch, limit)?;
        if batch.is_empty() {
            // Taking may have used the wake-up of an event that came meanwhile.
            self.pending = self.events.try_recv().ok();
            if self.pending.is_none() {
                self.consumer.wait_for_one(batch, wait)?;
            }
        }
        Ok(())
    }

    /// Says that a record was dealt with.
    pub fn mark(&mut self, record: &Record<'_>) {
        self.progress.mark(record);
    }

    /// Says that all that was marked has been written: it may be committed.
    pub fn written(&mut self) {
        let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
        self.progress.take_marked(|topic, partition, next_offset, _| {
            // A partition that is not ours any more stays away.
            if let Some(position) = positions.get_mut(&(topic.to_owned(), partition)) {
                *position = next_offset;
            }
        });
    }

    /// Whether partitions were assigned, once at least (it may be none of them).
    pub fn has_joined(&self) -> bool {
        self.joined
    }

    /// As [`Consumer::waker`].
    pub fn waker(&self) -> Waker {
        self.consumer.waker()
    }

    /// As [`Consumer::is_stopping`].
    pub fn is_stopping(&self) -> bool {
        self.consumer.is_stopping()
    }

    /// As [`Consumer::judge`].
    ///
    /// # Errors
    /// As [`Consumer::judge`].
    pub fn judge(&self, code: Code, text: &str) -> Result<Option<Notice>, Error> {
        self.consumer.judge(code, text)
    }

    /// Commits what was written, gives the partitions up and leaves the group.
    pub fn close(mut self) {
        let _ = self.control.send(Control::Leave);
        // An answer that the member's thread may be waiting for will not come: dropping the events tells it.
        self.pending = None;
        let (_, nothing) = mpsc::channel();
        drop(std::mem::replace(&mut self.events, nothing));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    fn apply(&mut self, event: Event, notices: &mut Vec<Notice>) {
        match event {
            Event::Release(partitions, answer) => {
                let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
                let mut released = Positions::new();
                for partition in partitions {
                    self.consumer.stop(&partition.0, partition.1);
                    if let Some(position) = positions.remove(&partition) {
                        released.insert(partition, position);
                    }
                }
                // Whoever asked may have ended.
                let _ = answer.send(released);
            }
            Event::Assign(partitions) => {
                self.joined = true;
                let topics: BTreeSet<&str> = partitions.iter().map(|((topic, _), _)| topic.as_str()).collect();
                for topic in topics {
                    self.consumer.look_up(topic, LOOK_UP_TIMEOUT);
                }
                for ((topic, partition), committed) in partitions {
                    self.begin(topic, partition, committed);
                }
            }
            Event::Trouble(text) => notices.push(Notice::Trouble(text)),
            Event::Ready(_) | Event::Refused(_) => {}
        }
    }

    /// Starts reading a partition. Its position is known from the start, and is committed even if nothing is read.
    fn begin(&mut self, topic: String, partition: i32, committed: Option<i64>) {
        let place = match committed {
            Some(offset) => Start::Offset(offset),
            None if self.reset == Reset::Earliest => Start::Earliest,
            None => Start::Latest,
        };
        let offset = self.consumer.offset_of(&topic, partition, place);
        self.consumer.start(&topic, partition, offset.map_or(place, Start::Offset));
        if let Some(offset) = offset {
            let mut positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner);
            positions.insert((topic, partition), offset);
        }
    }
}

/// How long a broker may take to say where a topic's partitions are, before they are started without knowing.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

fn wait_until_ready(events: &Receiver<Event>, stopping: &impl Fn() -> bool) -> Result<Vec<String>, StartError> {
    loop {
        match events.recv_timeout(Duration::from_millis(50)) {
            Ok(Event::Ready(brokers)) => return Ok(brokers),
            Ok(Event::Refused(error)) => return Err(error),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) if stopping() => return Err(StartError::Stopped),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(StartError::NoBrokers),
        }
    }
}

fn connect(options: &Options, brokers: &[String], reset: Reset) -> Result<Consumer, String> {
    let servers = brokers.join(",");
    let client = ClientSettings::check(Role::Consumer, [("bootstrap.servers", servers.as_str())])
        .map_err(|error| error.to_string())?;
    let mut settings = client.to_librdkafka().map_err(|error| error.to_string())?;
    let mut set = |key: &str, value: &str| settings.push((key.to_owned(), value.to_owned()));
    set("client.id", find(&options.properties, "client.id").unwrap_or(&options.group));
    set("auto.offset.reset", if reset == Reset::Earliest { "earliest" } else { "latest" });
    // The topics are known from their znodes.
    set("allow.auto.create.topics", "false");
    set("queued.max.messages.kbytes", "16384");
    set("fetch.queue.backoff.ms", "5");
    for (old, new) in LIBRDKAFKA_NAMES {
        if let Some(value) = find(&options.properties, old) {
            set(new, value.trim());
        }
    }
    let refresh = Duration::from_secs(300);
    Consumer::idle(&ConsumerOptions { settings, tokens: None, group: None, reset, refresh, log: options.log })
}

/// Properties of the old consumer that mean something to librdkafka.
const LIBRDKAFKA_NAMES: [(&str, &str); 5] = [
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("fetch.min.bytes", "fetch.min.bytes"),
    ("fetch.wait.max.ms", "fetch.wait.max.ms"),
    ("socket.timeout.ms", "socket.timeout.ms"),
    ("socket.receive.buffer.bytes", "socket.receive.buffer.bytes"),
];

fn find<'a>(properties: &'a [(String, String)], key: &str) -> Option<&'a str> {
    properties.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

fn reset(properties: &[(String, String)]) -> Result<Reset, StartError> {
    match find(properties, "auto.offset.reset").unwrap_or("largest") {
        "smallest" => Ok(Reset::Earliest),
        "largest" => Ok(Reset::Latest),
        wrong => Err(StartError::Other(format!(
            "kafka.common.InvalidConfigException: Wrong value {wrong} of auto.offset.reset in ConsumerConfig; Valid \
             values are smallest and largest"
        ))),
    }
}

fn config(options: &Options) -> Result<Config, StartError> {
    let properties = &options.properties;
    let number = |key: &str, default: u64| match find(properties, key) {
        None => Ok(default),
        Some(text) => text.trim().parse::<u64>().map_err(|_| {
            StartError::Other(format!("java.lang.NumberFormatException: For input string: \"{text}\" ({key})"))
        }),
    };
    let flag = |key: &str, default: bool| match find(properties, key) {
        None => Ok(default),
        Some("true") => Ok(true),
        Some("false") => Ok(false),
        Some(text) => Err(StartError::Other(format!(
            "java.lang.IllegalArgumentException: Unacceptable value for property {key}, boolean values must be either \
             'true' or 'false' ({text})"
        ))),
    };
    let strategy = match find(properties, "partition.assignment.strategy").unwrap_or("range") {
        "range" => Strategy::Range,
        "roundrobin" => Strategy::RoundRobin,
        wrong => {
            return Err(StartError::Other(format!(
                "kafka.common.InvalidConfigException: Wrong value {wrong} of partition.assignment.strategy in consumer \
                 config; Valid values are 'range' and 'roundrobin'"
            )));
        }
    };
    let session_timeout_ms = number("zookeeper.session.timeout.ms", 6000)?;
    let commit_interval_ms = number("auto.commit.interval.ms", 60_000)?;
    let exclude_internal_topics = flag("exclude.internal.topics", true)?;
    Ok(Config {
        connect: options.connect.clone(),
        group: options.group.clone(),
        temporary: options.temporary,
        filter: filter(options.pattern.kind(), &options.pattern.text(), exclude_internal_topics)
            .ok_or_else(|| StartError::InvalidPattern(options.pattern.text()))?,
        pattern: options.pattern.clone(),
        from_beginning: options.from_beginning,
        delete_offsets: options.delete_offsets,
        exclude_internal_topics,
        session_timeout: Duration::from_millis(session_timeout_ms),
        connection_timeout: Duration::from_millis(number("zookeeper.connection.timeout.ms", session_timeout_ms)?),
        rebalance_backoff: Duration::from_millis(
            number("rebalance.backoff.ms", number("zookeeper.sync.time.ms", 2000)?)?.max(10),
        ),
        commit_interval: flag("auto.commit.enable", true)?.then(|| Duration::from_millis(commit_interval_ms.max(1))),
        strategy,
    })
}

/// The filter that a member's znode describes; `None` for a pattern we cannot read.
fn filter(kind: &str, pattern: &str, exclude_internal_topics: bool) -> Option<TopicFilter> {
    let filter = match kind {
        "black_list" => TopicFilter::excluding(pattern),
        _ => TopicFilter::including(pattern),
    };
    let filter = filter.ok()?;
    Some(if exclude_internal_topics { filter } else { filter.with_internal_topics() })
}

#[cfg(test)]
mod tests;
