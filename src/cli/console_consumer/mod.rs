//! `kafka-console-consumer`: records of a topic, a partition or the topics of a pattern, formatted on stdout.
//!
//! - Without `--group` no group is joined: see [`crate::client::consumer`].
//! - What was printed is counted on stderr at every end; any error while polling ends with exit 0, as Apache's does.
//! - Output is written in blocks, and at once whenever the input pauses. Offsets are committed only for what was
//!   written.
//!
//! Source: `ConsoleConsumer` and `ConsoleConsumerOptions` of 3.9, `ConsoleConsumer` of 1.1 for `--zookeeper`.

mod deserializers;
mod formatter;
mod internal_topics;
mod options;
mod signals;
mod silence;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub(super) use self::options::TABLE;
use self::options::{Request, Settings, Topics};
use self::signals::{Received, Signals};
use super::error::{Error, help_or_version};
use super::progress::Progress;
use super::{Io, environment, log4j, picker, run_command};
use crate::client::consumer::{
    Batch, Code, Consumer, Entry, Error as ConsumeError, LogLine, Notice, Options, Subscription, Waker,
};
use crate::client::properties::{ClientSettings, ConfigError, Role};
use crate::client::topic_filter::{PatternError, TopicFilter};
use crate::client::zk_consumer::{Options as OldOptions, Pattern, StartError, ZkConsumer};
use crate::client::{admin, preflight};
use crate::wire::error_code::ErrorCode;

const LOGGER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    run_command("kafka-console-consumer", &options::TABLE, run)
}

fn run(args: &[String], io: &mut Io) -> Result<ExitCode, Error> {
    let mut matches = options::parse(args)?;
    if matches.is_empty() {
        return Err(Error::Usage(options::TABLE.purpose.to_owned()));
    }
    if let Some(code) = help_or_version(&options::TABLE, &matches, io)? {
        return Ok(code);
    }
    environment::supply_bootstrap(&mut matches, &["bootstrap-server", "zookeeper"], io);
    if !matches.has("zookeeper") {
        picker::supply_topic(&mut matches, &["topic", "include", "whitelist"], io);
    }
    let request = options::check(&matches)?;
    let (Request::New(settings) | Request::Old { settings, .. }) = &request;
    for warning in &settings.warnings {
        writeln!(io.stderr, "{warning}")?;
    }
    for (message, exception) in &settings.complaints {
        log_error(io, message, exception, "org.apache.kafka.tools.consumer.DefaultMessageFormatter")?;
    }
    let waker: Arc<OnceLock<Waker>> = Arc::default();
    let signalled = waker.clone();
    let received = Signals::hold_back()?.on_first(move || {
        if let Some(waker) = signalled.get() {
            waker.stop();
        }
    });
    let (mut source, client) = match open(&request, &received, io)? {
        Ok(opened) => opened,
        Err(code) => return Ok(code),
    };
    // A signal that came before there was anything to wake is made good for.
    let waker = waker.get_or_init(|| source.waker());
    if received.signal().is_some() {
        waker.stop();
    }

    let mut session = Session { count: 0, settings, client };
    let end = session.consume(&mut source, io);
    source.close();
    // From here on nobody is left to tell when stdout or stderr is gone.
    let _ = writeln!(io.stderr, "Processed a total of {} messages", session.count);
    let mut code = received.signal().map_or(0, |signal| 128 + signal);
    if let Err(exception) = end {
        let _ = unknown_error(io, &exception);
        code = 1;
    } else if settings.enable_systest_events {
        let _ = writeln!(io.stdout, "shutdown_complete");
    }
    let _ = io.stdout.flush();
    // SAFETY: ends the process at once, without OpenSSL's exit handler, which librdkafka's threads would run into.
    unsafe { libc::_exit(code) }
}

/// Makes the consumer and its name in the log; or says why there is none, and gives the exit code.
fn open(request: &Request, received: &Received, io: &mut Io) -> Result<Result<(Source, String), ExitCode>, Error> {
    match request {
        Request::New(settings) => match new_consumer(settings) {
            Ok((consumer, client)) => {
                for warning in client.warnings() {
                    log4j::warn(warning, "org.apache.kafka.clients.consumer.ConsumerConfig");
                }
                Ok(Ok((Source::New(consumer), client_name(settings, &client))))
            }
            Err(failure) => unknown_error(io, &failure.exception()).map(Err),
        },
        Request::Old { settings, zookeeper, delete_offsets } => {
            let options = old_options(settings, zookeeper, *delete_offsets);
            let client = format!("[{}]", options.group);
            match ZkConsumer::start(options, || received.signal().is_some()) {
                Ok(consumer) => Ok(Ok((Source::Old(consumer), client))),
                Err(refusal @ (StartError::NoBrokers | StartError::OffsetsFound(_))) => {
                    Err(Error::Message(refusal.to_string()))
                }
                Err(StartError::InvalidPattern(text)) => {
                    let exception = format!("java.lang.RuntimeException: {text} is an invalid regex.");
                    Err(Error::Message(exception))
                }
                Err(StartError::Stopped) => Ok(Err(received.exit_code().unwrap_or(ExitCode::FAILURE))),
                Err(StartError::Other(exception)) => unknown_error(io, &exception).map(Err),
            }
        }
    }
}

fn old_options(settings: &Settings, zookeeper: &str, delete_offsets: bool) -> OldOptions {
    let pattern = match &settings.topics {
        Topics::Named(pattern) | Topics::Matching(pattern) => Pattern::Matching(pattern.clone()),
        Topics::NotMatching(pattern) => Pattern::NotMatching(pattern.clone()),
    };
    OldOptions {
        connect: zookeeper.to_owned(),
        group: settings.group.clone().unwrap_or_else(|| format!("console-consumer-{}", random_below(100_000))),
        temporary: settings.group.is_none(),
        pattern,
        from_beginning: options::find(&settings.properties, "auto.offset.reset") == Some("smallest"),
        delete_offsets,
        properties: settings.properties.clone(),
        log: log_librdkafka,
    }
}

/// A number that tells made-up groups apart.
fn random_below(limit: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // Every RandomState is keyed anew from the system's randomness.
    std::hash::RandomState::new().build_hasher().finish() % limit
}

/// Why there is no consumer.
enum Failure {
    Config(ConfigError),
    Url(String),
    Pattern(PatternError),
    Librdkafka(String),
    Refused(admin::Error),
}

impl Failure {
    /// The exception that Java logs, its causes following on lines of their own.
    fn exception(&self) -> String {
        const CONFIG: &str = ConfigError::CLASS;
        const KAFKA: &str = "org.apache.kafka.common.KafkaException: Failed to construct kafka consumer";
        match self {
            Failure::Config(error) => format!("{CONFIG}: {error}"),
            Failure::Url(text) => format!("{KAFKA}\nCaused by: {CONFIG}: {text}"),
            Failure::Pattern(error) => format!("java.util.regex.PatternSyntaxException: {error}"),
            Failure::Refused(error) => error.stack_trace(),
            Failure::Librdkafka(text) => format!("{KAFKA}\nCaused by: {text}"),
        }
    }
}

fn new_consumer(settings: &Settings) -> Result<(Consumer, ClientSettings), Failure> {
    let reset = options::reset(&settings.properties);
    let properties = settings.properties.iter().map(|(key, value)| {
        // Kafka 4.0's way to begin at a time; librdkafka never sees it, for we ask for the offset ourselves.
        let by_duration = key == "auto.offset.reset" && value.starts_with("by_duration:");
        (key.as_str(), if by_duration { "latest" } else { value.as_str() })
    });
    let client = ClientSettings::check(Role::Consumer, properties).map_err(Failure::Config)?;
    check_servers(client.get("bootstrap.servers").unwrap_or_default()).map_err(Failure::Url)?;
    let subscription = match (&settings.topics, settings.partition) {
        (Topics::Named(topic), Some((partition, from))) => {
            Subscription::Partition { topic: topic.clone(), partition, from }
        }
        (Topics::Named(topic), None) => Subscription::Topic(topic.clone()),
        (Topics::Matching(pattern), _) => {
            let filter = TopicFilter::including(pattern).map_err(Failure::Pattern)?;
            let internal = client.get("exclude.internal.topics") == Some("false");
            Subscription::Matching(if internal { filter.with_internal_topics() } else { filter })
        }
        (Topics::NotMatching(pattern), _) => {
            Subscription::Matching(TopicFilter::excluding(pattern).map_err(Failure::Pattern)?)
        }
    };
    if let Some(refusal) = preflight::refused(&client).map_err(Failure::Config)? {
        return Err(Failure::Refused(refusal));
    }
    let mut librdkafka = client.to_librdkafka().map_err(Failure::Config)?;
    librdkafka.extend(TUNING.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    if let Some(group) = &settings.group {
        librdkafka.push(("group.id".to_owned(), group.clone()));
    }
    if client.get("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer")) {
        // These are the coordinator's to know in the protocol of KIP-848, and librdkafka refuses them with it.
        let of_the_classic = ["partition.assignment.strategy", "session.timeout.ms", "heartbeat.interval.ms"];
        librdkafka.retain(|(key, _)| !of_the_classic.contains(&key.as_str()));
    }
    let refresh = u64::try_from(client.number("metadata.max.age.ms", 300_000)).unwrap_or(300_000);
    let options = Options {
        settings: librdkafka,
        tokens: client.token_source().map_err(Failure::Config)?,
        group: settings.group.clone(),
        reset,
        refresh: Duration::from_millis(refresh.max(100)),
        log: log_librdkafka,
    };
    let consumer = Consumer::new(options, subscription).map_err(Failure::Librdkafka)?;
    Ok((consumer, client))
}

/// How much is fetched ahead, and how soon again when that much is there: librdkafka's defaults are 64 MiB and 1 s.
const TUNING: [(&str, &str); 2] = [("queued.max.messages.kbytes", "16384"), ("fetch.queue.backoff.ms", "5")];

/// `host:port,…` as Java's clients take it.
fn check_servers(servers: &str) -> Result<(), String> {
    let mut any = false;
    for server in servers.split(',').map(str::trim).filter(|server| !server.is_empty()) {
        any = true;
        let address = server.split_once("://").map_or(server, |(_, address)| address);
        let valid =
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u32>().is_ok());
        if !valid {
            return Err(format!("Invalid url in bootstrap.servers: {server}"));
        }
    }
    if any { Ok(()) } else { Err("No resolvable bootstrap urls given in bootstrap.servers".to_owned()) }
}

/// How Java's consumer names itself in its log.
fn client_name(settings: &Settings, client: &ClientSettings) -> String {
    let id = client.get("client.id").unwrap_or("console-consumer");
    match &settings.group {
        Some(group) => format!("[Consumer clientId={id}, groupId={group}]"),
        None => format!("[Consumer clientId={id}]"),
    }
}

/// The consumers there are.
enum Source {
    New(Consumer),
    /// With `--zookeeper`.
    Old(ZkConsumer),
}

impl Source {
    fn poll(
        &mut self,
        batch: &mut Batch,
        limit: usize,
        wait: Option<Duration>,
        notices: &mut Vec<Notice>,
    ) -> Result<(), ConsumeError> {
        match self {
            Source::New(consumer) => consumer.poll(batch, limit, wait, notices),
            Source::Old(consumer) => consumer.poll(batch, limit, wait, notices),
        }
    }

    fn mark(&mut self, record: &crate::client::consumer::Record<'_>) {
        match self {
            Source::New(consumer) => consumer.mark(record),
            Source::Old(consumer) => consumer.mark(record),
        }
    }

    /// What was marked has been written: it may be committed.
    fn written(&mut self) {
        match self {
            Source::New(consumer) => consumer.store_marked(),
            Source::Old(consumer) => consumer.written(),
        }
    }

    fn judge(&self, code: Code, text: &str) -> Result<Option<Notice>, ConsumeError> {
        match self {
            Source::New(consumer) => consumer.judge(code, text),
            Source::Old(consumer) => consumer.judge(code, text),
        }
    }

    fn is_stopping(&self) -> bool {
        match self {
            Source::New(consumer) => consumer.is_stopping(),
            Source::Old(consumer) => consumer.is_stopping(),
        }
    }

    fn waker(&self) -> Waker {
        match self {
            Source::New(consumer) => consumer.waker(),
            Source::Old(consumer) => consumer.waker(),
        }
    }

    /// Whether `--timeout-ms` runs: the old consumer joins its group before it begins to wait.
    fn has_begun(&self) -> bool {
        match self {
            Source::New(_) => true,
            Source::Old(consumer) => consumer.has_joined(),
        }
    }

    /// What `--timeout-ms` ends with.
    fn timeout_exception(&self) -> &'static str {
        match self {
            Source::New(_) => "org.apache.kafka.common.errors.TimeoutException",
            Source::Old(_) => "kafka.consumer.ConsumerTimeoutException",
        }
    }

    fn leave_unread(&mut self, batch: &mut Batch) {
        match self {
            Source::New(consumer) => consumer.leave_unread(batch),
            Source::Old(_) => {}
        }
    }

    fn close(self) {
        match self {
            Source::New(consumer) => consumer.close(),
            Source::Old(consumer) => consumer.close(),
        }
    }
}

/// How consuming ended, short of an error that makes the command fail.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// `--max-messages`, a time-out, a signal, or an error while polling.
    Done,
    /// Nobody reads our output any more.
    Closed,
}

/// One run: what was counted so far.
struct Session<'a> {
    count: u64,
    settings: &'a Settings,
    client: String,
}

/// How many records are taken at a time: enough for the cost of taking them not to show.
const BATCH: u64 = 1000;
/// Output is written when so much has come together, or sooner when no input is there.
const BLOCK: usize = 64 * 1024;

impl Session<'_> {
    /// Prints records until something ends it.
    ///
    /// # Errors
    /// The exception that ends the command with exit 1.
    fn consume(&mut self, source: &mut Source, io: &mut Io) -> Result<End, String> {
        let limit = match &self.settings.max_messages {
            None => None,
            Some(text) => match text.parse::<i32>() {
                Ok(-1) => None,
                Ok(number) => Some(u64::try_from(number).unwrap_or(0)),
                Err(_) => {
                    let exception = "joptsimple.OptionArgumentConversionException";
                    return Err(format!("{exception}: Cannot parse argument '{text}' of option max-messages"));
                }
            },
        };
        let mut batch = Batch::default();
        let mut out = Vec::with_capacity(BLOCK + BLOCK / 4);
        let mut notices = Vec::new();
        let mut waiting_since = Instant::now();
        let mut progress = Progress::new(io, None, !io.terminal.stdout);
        // Silence is explained once, until there is something to print.
        let mut silent_since = io.gives_hints().then(Instant::now);
        loop {
            let left = limit.map_or(BATCH, |limit| limit - self.count);
            if left == 0 {
                if self.write(&mut out, source, io) == End::Closed {
                    return Ok(End::Closed);
                }
                source.leave_unread(&mut batch);
                return Ok(End::Done);
            }
            let room = left.min(BATCH) as usize;
            let mut polled = source.poll(&mut batch, room, Some(Duration::ZERO), &mut notices);
            if polled.is_ok() && batch.is_empty() {
                if self.write(&mut out, source, io) == End::Closed {
                    return Ok(End::Closed);
                }
                if source.is_stopping() {
                    return Ok(End::Done);
                }
                if !source.has_begun() {
                    waiting_since = Instant::now();
                }
                let wait = self.settings.timeout.map(|timeout| timeout.saturating_sub(waiting_since.elapsed()));
                if wait == Some(Duration::ZERO) {
                    tell(io, TERMINATING, source.timeout_exception());
                    return Ok(End::Done);
                }
                progress.pause();
                let quiet = silent_since.map(|since| silence::PATIENCE.saturating_sub(since.elapsed()));
                let until = [wait, quiet].into_iter().flatten().min();
                polled = source.poll(&mut batch, room, until, &mut notices);
                if batch.is_empty() && silent_since.is_some_and(|since| since.elapsed() >= silence::PATIENCE) {
                    silent_since = None;
                    for reason in silence::reasons(self.settings).iter().filter(|_| !source.is_stopping()) {
                        let _ = writeln!(io.stderr, "hint: {reason}");
                    }
                }
            }
            for notice in notices.drain(..) {
                self.warn(&notice);
            }
            if let Err(error) = polled {
                return Ok(self.terminate(&error, &mut out, source, io));
            }
            if batch.is_empty() {
                continue;
            }
            match self.format_all(&batch, &mut out, source, io) {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => {}
                Err(exception) => {
                    // What came before the bad record was printed, and is written.
                    self.write(&mut out, source, io);
                    return Err(exception);
                }
            }
            waiting_since = Instant::now();
            silent_since = io.gives_hints().then_some(waiting_since);
            progress.set(self.count);
            if source.is_stopping() {
                return Ok(self.write(&mut out, source, io));
            }
        }
    }

    /// Formats a batch into `out`, which is written whenever it is a block.
    fn format_all(
        &mut self,
        batch: &Batch,
        out: &mut Vec<u8>,
        source: &mut Source,
        io: &mut Io,
    ) -> Result<Option<End>, String> {
        for entry in batch.entries() {
            let record = match entry {
                Entry::Record(record) => record,
                Entry::Error { code, text } => match source.judge(code, &text) {
                    Ok(notice) => {
                        notice.iter().for_each(|notice| self.warn(notice));
                        continue;
                    }
                    Err(error) => return Ok(Some(self.terminate(&error, out, source, io))),
                },
            };
            self.count += 1;
            if let Err(exception) = self.settings.formatter.write_to(&record, out) {
                if !self.settings.skip_message_on_error {
                    return Err(exception);
                }
                tell(io, "Error processing message, skipping this message: ", &exception);
            }
            source.mark(&record);
            // Somebody reads along at a terminal.
            let is_due = out.len() >= BLOCK || io.terminal.stdout;
            if is_due && self.write(out, source, io) == End::Closed {
                return Ok(Some(End::Closed));
            }
        }
        Ok(None)
    }

    /// Writes what was formatted. Offsets go with it: what nobody could read was not consumed.
    fn write(&self, out: &mut Vec<u8>, source: &mut Source, io: &mut Io) -> End {
        let written = io.stdout.write_all(out).and_then(|()| io.stdout.flush());
        out.clear();
        match written {
            Ok(()) => {
                source.written();
                End::Done
            }
            Err(_) => {
                let _ = writeln!(io.stderr, "Unable to write to standard out, closing consumer.");
                End::Closed
            }
        }
    }

    fn terminate(&self, error: &ConsumeError, out: &mut Vec<u8>, source: &mut Source, io: &mut Io) -> End {
        let end = self.write(out, source, io);
        tell(io, TERMINATING, &exception(error));
        end
    }

    fn warn(&self, notice: &Notice) {
        const LOGGER: &str = "org.apache.kafka.clients.NetworkClient";
        let client = &self.client;
        match notice {
            Notice::MissingTopic { topic, code } => {
                let name = i16::try_from(*code).map(|code| format!("{}", ErrorCode::from(code))).unwrap_or_default();
                log4j::warn(format!("{client} Error while fetching metadata : {{{topic}={name}}}"), LOGGER);
            }
            Notice::Trouble(text) => log4j::warn(format!("{client} {text}"), LOGGER),
        }
    }
}

const TERMINATING: &str = "Error processing message, terminating consumer process: ";

/// The exception that Java's consumer throws.
fn exception(error: &ConsumeError) -> String {
    let class = match error {
        ConsumeError::InvalidTopic(_) => "common.errors.InvalidTopicException",
        ConsumeError::TopicAuthorization(_) => "common.errors.TopicAuthorizationException",
        ConsumeError::GroupAuthorization(_) => "common.errors.GroupAuthorizationException",
        ConsumeError::NoOffset(_) => "clients.consumer.NoOffsetForPartitionException",
        ConsumeError::Authentication(_) => "common.errors.SaslAuthenticationException",
        ConsumeError::Other(_) => "common.KafkaException",
    };
    format!("org.apache.kafka.{class}: {error}")
}

/// A log line at ERROR, the exception on the next, as log4j prints them.
fn tell(io: &mut Io, message: &str, exception: &str) {
    // A stderr that is gone is not an error.
    let _ = log_error(io, message, exception, LOGGER);
}

fn log_error(io: &mut Io, message: &str, exception: &str, logger: &str) -> Result<(), Error> {
    log4j::error(message, logger);
    Ok(writeln!(io.stderr, "{exception}")?)
}

fn unknown_error(io: &mut Io, exception: &str) -> Result<ExitCode, Error> {
    tell(io, "Unknown error when running consumer: ", exception);
    Ok(ExitCode::FAILURE)
}

/// What librdkafka logs, in the words of Java's client where it has them.
fn log_librdkafka(line: &LogLine) {
    const WARNING: i32 = 4;
    const LOGGER: &str = "org.apache.kafka.clients.NetworkClient";
    if line.level > WARNING {
        return;
    }
    match line.facility {
        // "[thrd:host:port/bootstrap]: host:port/bootstrap: Connect to ipv4#1.2.3.4:9092 failed: …"
        "FAIL" => match failed_address(line.text) {
            Some(address) => log4j::warn(
                format!("Connection to node -1 ({address}) could not be established. Node may not be available."),
                LOGGER,
            ),
            None => log4j::warn(line.text, LOGGER),
        },
        // "1/1 brokers are down", which the line before has told better; and settings that are a producer's.
        "ERROR" if line.text.contains("brokers are down") => {}
        "CONFWARN" => {}
        _ => log4j::warn(line.text, LOGGER),
    }
}

/// `host/1.2.3.4:9092`, as Java writes addresses, from librdkafka's text about a failed connection.
fn failed_address(text: &str) -> Option<String> {
    let (before, after) = text.split_once(": Connect to ")?;
    let address = after.split_once(" failed:")?.0.split_once('#')?.1;
    let name = before.rsplit(": ").next()?.split('/').next()?;
    let host = name.rsplit_once(':')?.0;
    Some(format!("{host}/{address}"))
}

#[cfg(test)]
mod tests;
