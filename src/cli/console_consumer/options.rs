//! The flags of `kafka-console-consumer`, of all releases from 0.8 to 4.2, and what they mean together.
//!
//! Where releases contradict each other, 3.9's words and behaviour hold. `--zookeeper` chooses the tool of 1.1.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use super::formatter::{self, Formatter};
use crate::cli::args::{Abbreviations, Matches, Opt, OptionTable, key_values};
use crate::cli::error::Error;
use crate::client::consumer::{Reset, Start};
use crate::config::{self, Properties};

/// Everything that can be asked for.
pub const TABLE: OptionTable = OptionTable {
    purpose: "This tool helps to read data from Kafka topics and outputs it to standard output.",
    options: &[
        Opt::value("topic", "String: topic", "0.8", "The topic to read."),
        Opt::value("include", "String: Java regex (String)", "3.0", "Read the topics whose whole name matches."),
        Opt::value("whitelist", "String: Java regex (String)", "0.8", "DEPRECATED: use --include, which wins over it.")
            .until("3.9"),
        Opt::value("blacklist", "String: blacklist", "0.8", "With --zookeeper: read all topics but these.")
            .until("1.1"),
        Opt::value("bootstrap-server", "String: server to connect to", "0.9", "REQUIRED: the brokers, host:port,…"),
        Opt::value("zookeeper", "String: urls", "0.8", "Use the old consumer, over ZooKeeper: host:port,…[/chroot].")
            .until("1.1"),
        Opt::flag("new-consumer", "0.9", "Use the new consumer: the default. DEPRECATED.").until("1.1"),
        Opt::value("group", "String: consumer group id", "0.8", "The consumer group to join."),
        Opt::value(
            "partition",
            "Integer: partition",
            "0.10.1",
            "The one partition to read: from its end, unless --offset or --from-beginning says otherwise.",
        ),
        Opt::value(
            "offset",
            "String: consume offset",
            "0.10.1",
            "Where to begin in the partition: a non-negative number, 'earliest' or 'latest'.",
        )
        .default("latest"),
        Opt::flag(
            "from-beginning",
            "0.8",
            "Begin with the earliest message when the group has no committed offset, rather than with the next to come.",
        ),
        Opt::value("max-messages", "Integer: num_messages", "0.8", "How many messages to read; without it, no end."),
        Opt::value("timeout-ms", "Long: timeout_ms", "0.9", "End when no message came for so long."),
        Opt::value("consumer-timeout-ms", "Integer: prop", "0.8", "As --timeout-ms.").until("0.8.1"),
        Opt::flag("skip-message-on-error", "0.8", "Go on with the next message when one cannot be formatted."),
        Opt::value(
            "isolation-level",
            "String",
            "0.11",
            "read_committed leaves out messages of transactions that were not committed; read_uncommitted does not.",
        )
        .default("read_uncommitted"),
        Opt::value("formatter", "String: class", "0.8", "The Java class name of a formatter of messages.")
            .default(formatter::DEFAULT_CLASS),
        Opt::value("property", "String: prop", "0.8", FORMATTER_PROPERTIES),
        Opt::value("formatter-property", "String: prop", "4.2", "The newer name of --property."),
        Opt::value(
            "formatter-config",
            "String: config file",
            "3.4",
            "A file of formatter properties; those given by flags win.",
        ),
        Opt::value("key-deserializer", "String: deserializer for key", "0.9", "The Java class that reads keys."),
        Opt::value("value-deserializer", "String: deserializer for values", "0.9", "The Java class that reads values."),
        Opt::value("consumer-property", "String: consumer_prop", "0.10.1", "A property of the client, key=value."),
        Opt::value("command-property", "String: config", "4.2", "The newer name of --consumer-property."),
        Opt::value(
            "consumer.config",
            "String: config file",
            "0.8.2",
            "A file of client properties; those given by --consumer-property win.",
        ),
        Opt::value("command-config", "String: config file", "4.2", "The newer name of --consumer.config."),
        Opt::flag("enable-systest-events", "0.10.0", "Print shutdown_complete at the end, for system tests."),
        Opt::flag("delete-consumer-offsets", "0.8.2", "With --zookeeper: delete what the group left there, first.")
            .until("1.1"),
        Opt::flag("csv-reporter-enabled", "0.8", "Accepted and ignored: metrics as CSV files.").until("1.1"),
        Opt::value("metrics-dir", "String: metrics directory", "0.8", "Accepted and ignored.").until("1.1"),
        Opt::value("fetch-size", "Integer: size", "0.8", "Old consumer: fetch.message.max.bytes.").until("0.8.1"),
        Opt::value("min-fetch-bytes", "Integer: bytes", "0.8", "Old consumer: fetch.min.bytes.").until("0.8.1"),
        Opt::value("max-wait-ms", "Integer: ms", "0.8", "Old consumer: fetch.wait.max.ms.").until("0.8.1"),
        Opt::value("socket-buffer-size", "Integer: size", "0.8", "Old consumer: socket.receive.buffer.bytes.")
            .until("0.8.1"),
        Opt::value("socket-timeout-ms", "Integer: ms", "0.8", "Old consumer: socket.timeout.ms.").until("0.8.1"),
        Opt::value("refresh-leader-backoff-ms", "Integer: ms", "0.8", "Old consumer: refresh.leader.backoff.ms.")
            .until("0.8.1"),
        Opt::value("autocommit.interval.ms", "Integer: ms", "0.8", "Old consumer: auto.commit.interval.ms.")
            .until("0.8.1"),
        Opt::flag("help", "2.2", "Print usage information."),
        Opt::flag("version", "2.3", "Display Kafka version."),
    ],
};

const FORMATTER_PROPERTIES: &str = "A property of the formatter, key=value. The default formatter knows:\n\
     print.timestamp=true|false\n\
     print.key=true|false\n\
     print.offset=true|false\n\
     print.partition=true|false\n\
     print.headers=true|false\n\
     print.value=true|false\n\
     key.separator=<between columns>\n\
     line.separator=<after each message>\n\
     headers.separator=<between headers>\n\
     null.literal=<for null>\n\
     key.deserializer=<class>\n\
     value.deserializer=<class>\n\
     headers.deserializer=<class>\n\
     Properties that begin with 'key.deserializer.', 'value.deserializer.' or 'headers.deserializer.' go to the \
     deserializer.";

/// A command line that makes sense.
#[derive(Debug)]
pub enum Request {
    /// The consumer of Kafka 0.9 and later.
    New(Settings),
    /// The consumer that found its brokers, partitions and offsets in ZooKeeper.
    Old { settings: Settings, zookeeper: String, delete_offsets: bool },
}

/// What both consumers need.
#[derive(Debug)]
pub struct Settings {
    pub topics: Topics,
    /// One partition of the topic, and where to begin in it.
    pub partition: Option<(i32, Start)>,
    /// The group the user named; `None` when one would be made up.
    pub group: Option<String>,
    /// The client's Java properties, `bootstrap.servers` included; later ones win.
    pub properties: Vec<(String, String)>,
    /// As written: what is wrong with it shows late.
    pub max_messages: Option<String>,
    pub timeout: Option<Duration>,
    pub formatter: Formatter,
    pub skip_message_on_error: bool,
    pub enable_systest_events: bool,
    /// What is to be logged as an error, each with an exception.
    pub complaints: Vec<(String, String)>,
    /// What goes to stderr before anything else.
    pub warnings: Vec<String>,
}

/// Which topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    Named(String),
    Matching(String),
    /// All but those that match (old consumer).
    NotMatching(String),
}

/// Reads the command line. `Err` carries Apache's message.
pub fn parse(args: &[String]) -> Result<Matches, Error> {
    // The tool that knew --zookeeper took abbreviations through most of its life.
    let old = args.iter().any(|word| word.trim_start_matches('-').split('=').next() == Some("zookeeper"));
    let abbreviations = if old { Abbreviations::Taken } else { Abbreviations::Refused };
    // Here the option table follows whatever is wrong.
    TABLE.parse(args, abbreviations).map_err(|error| Error::Usage(error.to_string()))
}

/// Checks the command line, in Apache's order.
///
/// # Errors
/// Apache's message, and whether the option table follows it.
pub fn check(matches: &Matches) -> Result<Request, Error> {
    if matches.has("zookeeper") { check_old(matches) } else { check_new(matches).map(Request::New) }
}

fn usage<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Usage(message.into()))
}

fn check_new(matches: &Matches) -> Result<Settings, Error> {
    let topic = matches.value("topic")?;
    let include = match matches.value("include")? {
        Some(include) => Some(include),
        None => matches.value("whitelist")?,
    };
    let topics = match (topic, include) {
        (Some(topic), None) => Topics::Named(topic),
        (None, Some(include)) => Topics::Matching(include),
        _ => {
            let tail = match matches.has("whitelist") {
                true => "--whitelist is DEPRECATED use --include instead; ignored if --include specified.",
                false => "",
            };
            return usage(format!("Exactly one of --include/--topic is required. {tail}"));
        }
    };
    let partition: Option<i32> = matches.number("partition")?;
    if partition.is_some() {
        if !matches.has("topic") {
            return usage("The topic is required when partition is specified.");
        }
        if matches.has("from-beginning") && matches.has("offset") {
            return usage("Options from-beginning and offset cannot be specified together.");
        }
    } else if matches.has("offset") {
        return usage("The partition is required when offset is specified.");
    }
    matches.require(&["bootstrap-server"])?;
    one_of(matches, "consumer.config", "command-config")?;
    one_of(matches, "consumer-property", "command-property")?;
    one_of(matches, "property", "formatter-property")?;

    let (mut properties, group) = client_properties(matches)?;
    if group.is_some() && partition.is_some() {
        return usage("Options group and partition cannot be specified together.");
    }
    reset_property(matches, &mut properties, "earliest", "latest")?;
    properties.push(("bootstrap.servers".to_owned(), matches.value("bootstrap-server")?.unwrap_or_default()));
    if find(&properties, "client.id").is_none() {
        properties.push(("client.id".to_owned(), "console-consumer".to_owned()));
    }
    if matches.has("isolation-level") || find(&properties, "isolation.level").is_none() {
        properties.push(("isolation.level".to_owned(), matches.value("isolation-level")?.unwrap_or_default()));
    }
    let start = start(matches)?;
    let timeout: Option<i64> = match matches.number("timeout-ms")? {
        Some(timeout) => Some(timeout),
        None => matches.number("consumer-timeout-ms")?,
    };
    let mut settings = settings(matches, topics, group, properties, false)?;
    settings.partition = partition.map(|partition| (partition, start));
    settings.timeout = timeout.and_then(|timeout| u64::try_from(timeout).ok()).map(Duration::from_millis);
    if matches.has("new-consumer") {
        let warning = "The --new-consumer option is deprecated and will be removed in a future major release.\
                       The new consumer is used by default if the --bootstrap-server option is provided.";
        settings.warnings.push(warning.to_owned());
    }
    Ok(settings)
}

fn check_old(matches: &Matches) -> Result<Request, Error> {
    for new in ["bootstrap-server", "new-consumer"] {
        if matches.has(new) {
            return usage(format!("Option [{new}] is not valid with [zookeeper]."));
        }
    }
    let topics = match (matches.value("topic")?, matches.value("whitelist")?, matches.value("blacklist")?) {
        // The old consumer takes a topic for a pattern too.
        (Some(pattern), None, None) | (None, Some(pattern), None) => Topics::Matching(pattern),
        (None, None, Some(pattern)) => Topics::NotMatching(pattern),
        _ => return usage("Exactly one of whitelist/blacklist/topic is required."),
    };
    let deprecation = "Using the ConsoleConsumer with old consumer is deprecated and will be removed in a future major \
                       release. Consider using the new consumer by passing [bootstrap-server] instead of [zookeeper].";
    if matches.has("partition") || matches.has("offset") {
        let only_new = "Partition-offset based consumption is supported in the new consumer only.";
        return usage(format!("{deprecation}\n{only_new}"));
    }
    let (mut properties, group) = client_properties(matches)?;
    for (flag, key) in OLD_FLAGS {
        if let Some(number) = matches.number::<i32>(flag)? {
            properties.push((key.to_owned(), number.to_string()));
        }
    }
    reset_property(matches, &mut properties, "smallest", "largest")?;
    let timeout: Option<i64> = match matches.number::<i32>("timeout-ms")? {
        Some(timeout) => Some(i64::from(timeout)),
        None => matches
            .number("consumer-timeout-ms")?
            .or_else(|| find(&properties, "consumer.timeout.ms").and_then(|timeout| timeout.trim().parse().ok())),
    };
    let mut settings = settings(matches, topics, group, properties, true)?;
    settings.timeout = timeout.and_then(|timeout| u64::try_from(timeout).ok()).map(Duration::from_millis);
    settings.warnings.insert(0, deprecation.to_owned());
    let zookeeper = matches.value("zookeeper")?.unwrap_or_default();
    Ok(Request::Old { settings, zookeeper, delete_offsets: matches.has("delete-consumer-offsets") })
}

/// The flags of 0.8 and 0.8.1 that later became properties.
const OLD_FLAGS: [(&str, &str); 7] = [
    ("fetch-size", "fetch.message.max.bytes"),
    ("min-fetch-bytes", "fetch.min.bytes"),
    ("max-wait-ms", "fetch.wait.max.ms"),
    ("socket-buffer-size", "socket.receive.buffer.bytes"),
    ("socket-timeout-ms", "socket.timeout.ms"),
    ("refresh-leader-backoff-ms", "refresh.leader.backoff.ms"),
    ("autocommit.interval.ms", "auto.commit.interval.ms"),
];

fn settings(
    matches: &Matches,
    topics: Topics,
    group: Option<String>,
    properties: Vec<(String, String)>,
    old_consumer: bool,
) -> Result<Settings, Error> {
    let class = matches.value("formatter")?.unwrap_or_default();
    let mut complaints = Vec::new();
    let formatter_properties = formatter_properties(matches)?;
    let formatter_settings = formatter::Settings {
        properties: &formatter_properties,
        old_consumer,
        // 3.9 ignores them; whoever uses the name of 4.2 speaks its language.
        columns_of_4: matches.has("formatter-property"),
    };
    let Some(formatter) = Formatter::new(&class, &formatter_settings, &mut complaints) else {
        return usage(class);
    };
    Ok(Settings {
        topics,
        partition: None,
        group,
        properties,
        max_messages: matches.value("max-messages")?,
        timeout: None,
        formatter,
        skip_message_on_error: matches.has("skip-message-on-error"),
        enable_systest_events: matches.has("enable-systest-events"),
        complaints,
        warnings: formatter::deprecation(&class).into_iter().collect(),
    })
}

fn one_of(matches: &Matches, old: &str, new: &str) -> Result<(), Error> {
    if matches.has(old) && matches.has(new) {
        return usage(format!("Options --{old} and --{new} cannot be specified together."));
    }
    Ok(())
}

/// The last value of a property.
pub fn find<'a>(properties: &'a [(String, String)], key: &str) -> Option<&'a str> {
    properties.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// The properties of file and flags, the flags later; and the group that they and `--group` name.
#[allow(clippy::type_complexity)]
fn client_properties(matches: &Matches) -> Result<(Vec<(String, String)>, Option<String>), Error> {
    let file = match matches.value("command-config")? {
        Some(file) => Some(file),
        None => matches.value("consumer.config")?,
    };
    let mut from_file = match file {
        Some(file) => load(&file)?,
        None => Vec::new(),
    };
    let mut from_flags = key_values(matches.values("consumer-property"));
    from_flags.extend(key_values(matches.values("command-property")));

    let mut groups: Vec<String> = Vec::new();
    let flag = matches.value("group")?;
    for group in [flag.as_deref(), find(&from_file, "group.id"), find(&from_flags, "group.id")].into_iter().flatten() {
        if !groups.iter().any(|known| known == group) {
            groups.push(group.to_owned());
        }
    }
    if groups.len() > 1 {
        // Java shows the elements of a hash set.
        groups.sort_by_key(|group| hash_bucket(group));
        let detected: Vec<String> = groups.iter().map(|group| format!("'{group}'")).collect();
        return usage(format!(
            "The group ids provided in different places (directly using '--group', via '--consumer-property', or via \
             '--consumer.config') do not match. Detected group ids: {}",
            detected.join(", ")
        ));
    }
    from_file.extend(from_flags);
    Ok((from_file, groups.pop()))
}

/// Where a string lies in a Java hash table of 16 buckets.
fn hash_bucket(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
    (hash ^ (hash >> 16)) & 15
}

fn reset_property(
    matches: &Matches,
    properties: &mut Vec<(String, String)>,
    earliest: &str,
    latest: &str,
) -> Result<(), Error> {
    let from_beginning = matches.has("from-beginning");
    match find(properties, "auto.offset.reset") {
        Some(reset) if from_beginning && reset != earliest => Err(Error::Message(format!(
            "Can't simultaneously specify --from-beginning and 'auto.offset.reset={reset}', please remove one option"
        ))),
        Some(_) => Ok(()),
        None => {
            let reset = if from_beginning { earliest } else { latest };
            properties.push(("auto.offset.reset".to_owned(), reset.to_owned()));
            Ok(())
        }
    }
}

fn start(matches: &Matches) -> Result<Start, Error> {
    if !matches.has("offset") {
        return Ok(if matches.has("from-beginning") { Start::Earliest } else { Start::Latest });
    }
    let offset = matches.value("offset")?.unwrap_or_default();
    match offset.to_lowercase().as_str() {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        _ => match offset.parse::<i64>() {
            Ok(number) if number >= 0 => Ok(Start::Offset(number)),
            _ => usage(format!(
                "The provided offset value '{offset}' is incorrect. Valid values are 'earliest', 'latest', or a \
                 non-negative long."
            )),
        },
    }
}

/// File, then the deserializer flags, then the properties of flags: later ones win.
fn formatter_properties(matches: &Matches) -> Result<HashMap<String, String>, Error> {
    let mut all = HashMap::new();
    if let Some(file) = matches.value("formatter-config")? {
        all.extend(load(&file)?);
    }
    for (flag, key) in [("key-deserializer", "key.deserializer"), ("value-deserializer", "value.deserializer")] {
        if let Some(class) = matches.value(flag)?.filter(|class| !class.is_empty()) {
            all.insert(key.to_owned(), class);
        }
    }
    all.extend(key_values(matches.values("property")));
    all.extend(key_values(matches.values("formatter-property")));
    Ok(all)
}

fn load(file: &str) -> Result<Vec<(String, String)>, Error> {
    match Properties::read(file) {
        Ok(properties) => Ok(properties.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
        Err(config::Error::Read { source, .. }) => {
            let class = match source.kind() {
                io::ErrorKind::NotFound => "java.nio.file.NoSuchFileException",
                io::ErrorKind::PermissionDenied => "java.nio.file.AccessDeniedException",
                _ => {
                    return Err(Error::Exception {
                        class: "java.io.IOException".to_owned(),
                        message: source.to_string(),
                    });
                }
            };
            Err(Error::Exception { class: class.to_owned(), message: file.to_owned() })
        }
        Err(other) => {
            Err(Error::Exception { class: "java.lang.IllegalArgumentException".to_owned(), message: other.to_string() })
        }
    }
}

/// What `auto.offset.reset` means to the client. What is wrong with it was found before.
pub fn reset(properties: &[(String, String)]) -> Reset {
    match find(properties, "auto.offset.reset").unwrap_or("latest").trim() {
        "earliest" | "smallest" => Reset::Earliest,
        "none" => Reset::Fail,
        text => match text.strip_prefix("by_duration:").and_then(duration_ms) {
            Some(age_ms) => Reset::SinceMs(age_ms),
            None => Reset::Latest,
        },
    }
}

/// An ISO-8601 duration of days and less, as `java.time.Duration` reads it, in milliseconds.
fn duration_ms(text: &str) -> Option<i64> {
    let text = text.to_ascii_uppercase();
    let mut rest = text.strip_prefix('P')?;
    let mut total = 0.0;
    let mut in_time = false;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            in_time = true;
            rest = time;
            continue;
        }
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit_ms = match (&rest[end..=end], in_time) {
            ("D", false) => 86_400_000.0,
            ("H", true) => 3_600_000.0,
            ("M", true) => 60_000.0,
            ("S", true) => 1_000.0,
            _ => return None,
        };
        total += number * unit_ms;
        rest = &rest[end + 1..];
    }
    Some(total as i64)
}
