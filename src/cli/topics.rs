//! `kafka-topics`: over the brokers as in Apache Kafka 3.9, or straight on ZooKeeper as up to 2.8.
//!
//! Operation errors go to stdout (`Error while executing topic command : …`), usage errors to stderr; both exit 1.
//! `--alter` and `--delete` say nothing when all went well.
//!
//! Source: `TopicCommand` of 3.9.

mod describe;
mod options;
mod values;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::args::{ArgsError, Matches};
use crate::cli::error::{Error, advise, help_or_version};
use crate::cli::output::{Output, write_table};
use crate::cli::{Io, advice, environment, java_hash, log4j, picker, run_command, topics_zk};
use crate::client::admin::{
    self, Admin, ConfigEntry, NewPartitions, NewTopic, PartitionInfo, TopicDescription, TopicDetails, TopicListing,
};
use crate::config::{Properties, keys, validate_topic_configs};
use crate::wire::{ErrorCode, Uuid};

pub(super) use describe::{Elr, Filter, PartitionLine, Section, TopicLine, print_sections};
use describe::{Reassignment, replication_factor};
use java_hash::Table;
pub(super) use options::TABLE;
pub(super) use values::{NewTopicArgs, choose_topics, has_collision_chars};

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    log4j::install();
    run_command("kafka-topics", &TABLE, run)
}

/// Runs the command.
///
/// # Errors
/// What ended it, unless it was said already.
pub fn run(args: &[String], io: &mut Io) -> Result<ExitCode, Error> {
    let mut matches = match options::parse(args) {
        Ok(matches) => matches,
        Err(error) => return Err(uncaught(error.exception().unwrap_or_default(), &error)),
    };
    if let Some(code) = help_or_version(&TABLE, &matches, io)? {
        return Ok(code);
    }
    if matches.is_empty() {
        return Err(Error::Usage("Create, delete, describe, or change a topic.".to_owned()));
    }
    environment::supply_bootstrap(&mut matches, &["bootstrap-server", "zookeeper"], io);
    if matches.has("alter") || matches.has("delete") {
        picker::supply_topic(&mut matches, &["topic"], io);
    }
    options::check(&matches, io)?;
    if matches.has("zookeeper") {
        let done = topics_zk::run(&matches, io)?;
        return finish(done, |_| Vec::new(), io);
    }
    let mut admin = connect(&matches)?;
    advice::be_impatient(&mut admin, io);
    let done = execute(&matches, &admin, io);
    finish(done, |failure| hints(failure, &matches, &admin), io)
}

/// Tells what an operation failed with: on stdout, as Apache's tool does; `hints` says the way out, if anybody listens.
fn finish(
    done: Result<(), Failure>,
    hints: impl FnOnce(&Failure) -> Vec<String>,
    io: &mut Io,
) -> Result<ExitCode, Error> {
    let failure = match done {
        Ok(()) => return Ok(ExitCode::SUCCESS),
        Err(failure) => failure,
    };
    let wants_hints = io.gives_hints() || io.output == Output::Json;
    let hints = if wants_hints { hints(&failure) } else { Vec::new() };
    match failure {
        Failure::Output(error) => Err(Error::Output(error)),
        Failure::Operation { message, trace } => {
            writeln!(io.stdout, "Error while executing topic command : {message}")?;
            io.stdout.flush()?;
            log4j::error_to(io.stderr, format_args!("{trace}\n"), "org.apache.kafka.tools.TopicCommand")?;
            let class = trace.split_once(": ").map(|(class, _)| class);
            io.document.fail(class, &message, &hints);
            advise(io, &hints);
            Ok(ExitCode::FAILURE)
        }
    }
}

/// What may help after a failure.
fn hints(failure: &Failure, matches: &Matches, admin: &Admin) -> Vec<String> {
    if !admin.is_reached() {
        return advice::unreachable(admin);
    }
    let Failure::Operation { message, .. } = failure else { return Vec::new() };
    match matches.value("topic") {
        Ok(Some(topic)) if message.contains("does not exist") => advice::unknown_topic(&topic, admin),
        _ => Vec::new(),
    }
}

/// Why an operation failed. It is told on stdout; usage errors are not among these.
#[derive(Debug)]
pub(super) enum Failure {
    /// `trace` is what Java would log: class, message, causes.
    Operation {
        message: String,
        trace: String,
    },
    Output(io::Error),
}

impl Failure {
    /// An exception of Java's with its full class name.
    pub fn new(class: &str, message: impl fmt::Display) -> Failure {
        Failure::Operation { message: message.to_string(), trace: format!("{class}: {message}") }
    }

    pub fn illegal_argument(message: impl fmt::Display) -> Failure {
        Failure::new("java.lang.IllegalArgumentException", message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<admin::Error> for Failure {
    fn from(error: admin::Error) -> Failure {
        Failure::Operation { message: error.to_string(), trace: error.stack_trace() }
    }
}

impl From<ArgsError> for Failure {
    fn from(error: ArgsError) -> Failure {
        Failure::new(error.exception().unwrap_or("joptsimple.OptionException"), error)
    }
}

/// What Apache's main prints when something escapes it: the message, then the stack trace.
fn uncaught(class: &str, message: impl fmt::Display) -> Error {
    Error::Message(format!("{message}\n{class}: {message}\n"))
}

fn connect(matches: &Matches) -> Result<Admin, Error> {
    let value = |name| matches.value(name).map_err(|error| uncaught(error.exception().unwrap_or_default(), &error));
    let properties = match value("command-config")? {
        Some(file) => Properties::read(&file).map_err(|error| match error {
            crate::config::Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                uncaught("java.nio.file.NoSuchFileException", file)
            }
            error => uncaught("java.io.IOException", error),
        })?,
        None => Properties::new(),
    };
    let servers = value("bootstrap-server")?;
    Admin::new(&properties, servers.as_deref())
        .map_err(|error| Error::Message(format!("{error}\n{}\n", error.stack_trace())))
}

fn execute(matches: &Matches, admin: &Admin, io: &mut Io) -> Result<(), Failure> {
    if matches.has("create") {
        create(matches, admin, io)
    } else if matches.has("alter") {
        alter(matches, admin, io)
    } else if matches.has("list") {
        list(matches, admin, io)
    } else if matches.has("describe") {
        describe(matches, admin, io)
    } else {
        delete(matches, admin, io)
    }
}

fn create(matches: &Matches, admin: &Admin, io: &mut Io) -> Result<(), Failure> {
    let args = NewTopicArgs::read(matches, io)?;
    // A name that is not known here may be one of a newer broker's.
    let known = args.configs.iter().filter(|(name, _)| keys::topic_key(name).is_some());
    validate_topic_configs(known.map(|(name, value)| (name.as_str(), Some(value.as_str())))).map_err(invalid_config)?;
    warn_of_collisions(&args.topic, io)?;
    if args.replication_factor.is_some_and(|factor| factor > i32::from(i16::MAX) || factor < 1) {
        return Err(Failure::illegal_argument("The replication factor must be between 1 and 32767 inclusive"));
    }
    if args.partitions.is_some_and(|partitions| partitions < 1) {
        return Err(Failure::illegal_argument("The partitions must be greater than 0"));
    }
    let placed = !args.assignment.is_empty();
    let topic = NewTopic {
        name: args.topic.clone(),
        num_partitions: args.partitions.filter(|_| !placed),
        replication_factor: args.replication_factor.filter(|_| !placed).and_then(|factor| factor.try_into().ok()),
        assignments: (0..).zip(args.assignment).collect(),
        configs: args.configs,
    };
    let results = admin.create_topics(&[topic], false)?;
    match first_error(results) {
        None => {
            await_metadata(admin, std::slice::from_ref(&args.topic), |known| !known.is_empty());
            changed("create", std::slice::from_ref(&args.topic), io);
            writeln!(io.stdout, "Created topic {}.", args.topic)?;
        }
        Some(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) && matches.has("if-not-exists") => {}
        Some(error) => return Err(error.into()),
    }
    Ok(())
}

/// Apache's tool says so before it tries.
pub(super) fn warn_of_collisions(topic: &str, io: &mut Io) -> io::Result<()> {
    if has_collision_chars(topic) {
        writeln!(
            io.stdout,
            "WARNING: Due to limitations in metric names, topics with a period ('.') or underscore ('_') could \
             collide. To avoid issues it is best to use either, but not both."
        )?;
    }
    Ok(())
}

pub(super) fn invalid_config(error: crate::config::Error) -> Failure {
    match error {
        crate::config::Error::InvalidValue { key, value, reason, .. } => Failure::new(
            "org.apache.kafka.common.config.ConfigException",
            format_args!("Invalid value {value} for configuration {key}: {reason}"),
        ),
        error => Failure::new("org.apache.kafka.common.errors.InvalidConfigurationException", error),
    }
}

/// What `--output json` says of a change.
fn changed(action: &str, topics: &[String], io: &mut Io) {
    io.document.set("action", action);
    io.document.set("topics", topics);
}

fn alter(matches: &Matches, admin: &Admin, io: &mut Io) -> Result<(), Failure> {
    let topic = matches.value("topic")?;
    let partitions = matches.number::<i32>("partitions")?.unwrap_or_default();
    let assignment = values::replica_assignment(matches)?;
    let topics = topics(matches, admin)?;
    ensure_topic_exists(&topics, topic.as_deref(), matches)?;
    if topics.is_empty() {
        return Ok(());
    }
    let mut wanted = Vec::new();
    if assignment.is_empty() {
        wanted.extend(
            topics.into_iter().map(|topic| (topic, NewPartitions { total_count: partitions, assignments: None })),
        );
    } else {
        for (topic, description) in admin.describe_topics(&topics, PARTITION_LIMIT)? {
            // The assignment is that of all partitions; the ones that are there stay where they are.
            let new = assignment.iter().skip(description?.partitions.len()).cloned().collect();
            wanted.push((topic, NewPartitions { total_count: partitions, assignments: Some(new) }));
        }
    }
    if let Some(error) = first_error(admin.create_partitions(&wanted, false)?) {
        return Err(error.into());
    }
    let names = wanted.into_iter().map(|(topic, _)| topic).collect::<Vec<_>>();
    changed("alter", &names, io);
    await_metadata(admin, &names, |known| known.iter().all(|topic| topic.partitions.len() as i64 >= partitions.into()));
    Ok(())
}

/// Waits until a broker has heard of what the controller just did, so that the next command sees it.
///
/// A controller of KRaft answers before it has told the brokers. Apache's tool takes longer to start than that takes;
/// ours would come too early, and a script that creates a topic and then describes it would fail now and then.
fn await_metadata(admin: &Admin, topics: &[String], is_there: impl Fn(&[TopicDescription]) -> bool) {
    let mut pause = Duration::from_millis(2);
    let deadline = Instant::now() + METADATA_PATIENCE;
    // An error here is not one of the operation, which is done.
    while let Ok(known) = admin.known_topics(topics) {
        if is_there(&known) || Instant::now() + pause > deadline {
            return;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

fn list(matches: &Matches, admin: &Admin, io: &mut Io) -> Result<(), Failure> {
    let chosen = choose(admin.all_topics()?, |(listing, _)| listing, matches)?;
    let line = |(listing, known): (TopicListing, Result<TopicDescription, admin::Error>)| {
        let partitions = known.map(|topic| topic.partitions).unwrap_or_default();
        ListLine {
            topic: listing.name,
            partition_count: partitions.len(),
            replication_factor: partitions.first().map_or(0, |first| first.replicas.len()),
            is_internal: listing.is_internal,
        }
    };
    Ok(print_list(&chosen.into_iter().map(line).collect::<Vec<_>>(), io)?)
}

/// A topic as `--list` shows it.
pub(super) struct ListLine {
    pub topic: String,
    pub partition_count: usize,
    pub replication_factor: usize,
    pub is_internal: bool,
}

/// Prints a list of topics; with none, Apache prints an empty line.
pub(super) fn print_list(lines: &[ListLine], io: &mut Io) -> io::Result<()> {
    match io.output {
        Output::Plain => {
            let names = lines.iter().map(|line| line.topic.as_str()).collect::<Vec<_>>();
            writeln!(io.stdout, "{}", names.join("\n"))
        }
        Output::Table => {
            let row = |line: &ListLine| {
                let kind = if line.is_internal { "internal" } else { "" };
                vec![(&line.topic).into(), line.partition_count.into(), line.replication_factor.into(), kind.into()]
            };
            write_table(io.stdout, &io.terminal, &["TOPIC", "PARTITIONS", "REPLICAS", ""], lines.iter().map(row))
        }
        Output::Json => {
            let row = |line: &ListLine| {
                json!({
                    "topic": line.topic,
                    "partition_count": line.partition_count,
                    "replication_factor": line.replication_factor,
                    "internal": line.is_internal,
                })
            };
            io.document.set("action", "list");
            io.document.set("topics", lines.iter().map(row).collect::<Vec<_>>());
            Ok(())
        }
    }
}

/// What `--output json` prints.
pub const JSON: &[(&str, &str)] = &[
    (
        "--list",
        r#"{"version": 1, "command": "kafka-topics", "action": "list",
 "topics": [{"topic": string, "partition_count": int, "replication_factor": int,
             "internal": bool}]}"#,
    ),
    (
        "--describe",
        r#"{"version": 1, "command": "kafka-topics", "action": "describe",
 "topics": [{"topic": string,
             "topic_id": string|null, "partition_count": int, "replication_factor": int,
             "configs": {NAME: string, ...}, "marked_for_deletion": bool,
             "partitions": [{"partition": int, "leader": int|null, "replicas": [int],
                             "isr": [int], "adding_replicas": [int],
                             "removing_replicas": [int], "elr": [int]|null,
                             "last_known_elr": [int]|null}]}]}
Filters leave out the second and third line (those of partitions) or partitions."#,
    ),
    (
        "--create, --alter, --delete",
        r#"{"version": 1, "command": "kafka-topics", "action": string, "topics": [string]}
The topics that were created, altered or deleted."#,
    ),
];

fn delete(matches: &Matches, admin: &Admin, io: &mut Io) -> Result<(), Failure> {
    let listed = listed(matches, admin)?;
    let topics = listed.iter().map(|topic| topic.name.clone()).collect::<Vec<_>>();
    ensure_topic_exists(&topics, matches.value("topic")?.as_deref(), matches)?;
    if let Some(error) = first_error(admin.delete_topics(&topics)?) {
        return Err(error.into());
    }
    changed("delete", &topics, io);
    // A topic of the same name and another id is a new one.
    let is_old =
        |known: &TopicDescription| listed.iter().any(|old| old.name == known.name && old.topic_id == known.topic_id);
    if !topics.is_empty() {
        await_metadata(admin, &topics, |known| !known.iter().any(is_old));
    }
    Ok(())
}

fn describe(matches: &Matches, admin: &Admin, io: &mut Io) -> Result<(), Failure> {
    let topic_id = match matches.value("topic-id")? {
        Some(text) => Some(values::topic_id(&text).map_err(Failure::illegal_argument)?).filter(|id| !id.is_zero()),
        None => None,
    };
    let details = match topic_id {
        Some(id) => {
            let topic = topic_by_id(id, matches, admin)?;
            admin.topic_details(topic.map(|topic| (topic.name.clone(), Ok(topic))).into_iter().collect(), None)?
        }
        None => details_by_name(matches, admin)?,
    };
    print_descriptions(&arrange(details), &Filter::new(matches), io)
}

fn topic_by_id(id: Uuid, matches: &Matches, admin: &Admin) -> Result<Option<TopicDescription>, Failure> {
    let mut listed = admin.list_topics()?.into_iter();
    let exclude_internal = matches.has("exclude-internal");
    if listed.any(|topic| topic.topic_id == id && !(exclude_internal && topic.is_internal)) {
        return Ok(Some(admin.describe_topic_by_id(id)?));
    }
    match matches.has("if-exists") {
        true => Ok(None),
        false => Err(Failure::illegal_argument(format_args!("TopicId '{id}' does not exist as expected"))),
    }
}

fn details_by_name(matches: &Matches, admin: &Admin) -> Result<TopicDetails, Failure> {
    let limit = matches.number::<i32>("partition-size-limit-per-response");
    let all = admin.all_topics()?;
    let chosen = choose(all, |(listing, _)| listing, matches)?;
    let names = chosen.iter().map(|(listing, _)| listing.name.clone()).collect::<Vec<_>>();
    ensure_topic_exists(&names, matches.value("topic")?.as_deref(), matches)?;
    let known = names.into_iter().zip(chosen.into_iter().map(|(_, known)| known)).collect();
    Ok(admin.topic_details(known, Some(limit?.unwrap_or(PARTITION_LIMIT)))?)
}

/// Three maps hand the topics on, each filled in the order in which the one before is read.
fn in_java_order<T>(topics: Vec<T>, name: fn(&T) -> &str) -> Vec<T> {
    let count = topics.len();
    let tables = [Table::Capacity(count), Table::CopyOf(count), Table::Capacity(count)];
    tables
        .into_iter()
        .fold(topics, |topics, table| java_hash::order(topics, table, |topic: &T| java_hash::string(name(topic))))
}

/// A topic with all that its lines are made of.
struct Described {
    topic: TopicDescription,
    /// In the order in which Java prints them.
    configs: Vec<ConfigEntry>,
    reassignments: HashMap<i32, Reassignment>,
}

struct Description {
    topics: Vec<Described>,
    live_brokers: HashSet<i32>,
}

/// Puts everything where Java's tool would have it.
fn arrange(details: TopicDetails) -> Description {
    let mut reassignments: HashMap<String, HashMap<i32, Reassignment>> = HashMap::new();
    for row in details.reassignments {
        let reassignment =
            Reassignment { replicas: row.replicas, adding: row.adding_replicas, removing: row.removing_replicas };
        let of_topic = reassignments.entry(row.partition.topic.to_string()).or_default();
        of_topic.insert(row.partition.partition, reassignment);
    }
    let topics = in_java_order(details.topics, |(topic, _)| &topic.name).into_iter().map(|(topic, configs)| {
        let configs = java_hash::order(configs, Table::Default, |entry| java_hash::string(&entry.name));
        let reassignments = reassignments.remove(&topic.name).unwrap_or_default();
        Described { topic, configs, reassignments }
    });
    Description { topics: topics.collect(), live_brokers: details.live_brokers }
}

fn print_descriptions(description: &Description, filter: &Filter, io: &mut Io) -> Result<(), Failure> {
    let section = |described: &Described| {
        let overrides = described.configs.iter().filter(|entry| !entry.is_default()).collect::<Vec<_>>();
        let mut section = Section::default();
        if filter.shows_topic(!overrides.is_empty()) {
            section.topic = Some(topic_line(described, &overrides));
        }
        if filter.shows_partitions() {
            let lines = described.topic.partitions.iter().map(|partition| partition_line(described, partition));
            section.partitions = lines.filter(|line| filter.shows_partition(line, &description.live_brokers)).collect();
        }
        section
    };
    let sections = description.topics.iter().map(section).filter(|s| s.topic.is_some() || !s.partitions.is_empty());
    Ok(print_sections(&sections.collect::<Vec<_>>(), io)?)
}

fn topic_line(described: &Described, overrides: &[&ConfigEntry]) -> TopicLine {
    let topic = &described.topic;
    let first = topic.partitions.first();
    let factor =
        first.map_or(0, |first| replication_factor(&first.replicas, described.reassignments.get(&first.partition)));
    let shown = |entry: &&ConfigEntry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("null"));
    TopicLine {
        topic: topic.name.clone(),
        topic_id: topic.topic_id,
        partition_count: topic.partitions.len(),
        replication_factor: factor,
        configs: overrides.iter().map(shown).collect(),
        marked_for_deletion: false,
    }
}

fn partition_line(described: &Described, partition: &PartitionInfo) -> PartitionLine {
    let min_isr = described.configs.iter().find(|entry| entry.name == "min.insync.replicas");
    let elr = match (&partition.elr, &partition.last_known_elr) {
        (Some(elr), Some(last_known)) => Elr::Known { elr: elr.clone(), last_known: last_known.clone() },
        _ => Elr::Unknown,
    };
    PartitionLine {
        topic: described.topic.name.clone(),
        partition: partition.partition,
        leader: partition.leader,
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
        reassignment: described.reassignments.get(&partition.partition).cloned(),
        elr,
        marked_for_deletion: false,
        min_isr: min_isr.and_then(|entry| entry.value.as_deref()?.parse().ok()),
    }
}

/// The names of the topics that `--topic` and `--exclude-internal` choose, sorted.
fn topics(matches: &Matches, admin: &Admin) -> Result<Vec<String>, Failure> {
    Ok(listed(matches, admin)?.into_iter().map(|topic| topic.name).collect())
}

/// The topics that `--topic` and `--exclude-internal` choose, sorted by name.
fn listed(matches: &Matches, admin: &Admin) -> Result<Vec<TopicListing>, Failure> {
    choose(admin.list_topics()?, |listing| listing, matches)
}

/// Those of `all` that `--topic` and `--exclude-internal` choose, sorted by name.
fn choose<T>(mut all: Vec<T>, listing: fn(&T) -> &TopicListing, matches: &Matches) -> Result<Vec<T>, Failure> {
    let pattern = matches.value("topic")?;
    let exclude_internal = matches.has("exclude-internal");
    all.retain(|topic| !(exclude_internal && listing(topic).is_internal));
    let names = all.iter().map(|topic| listing(topic).name.clone()).collect();
    let chosen = choose_topics(names, pattern.as_deref(), exclude_internal)?;
    all.retain(|topic| chosen.binary_search(&listing(topic).name).is_ok());
    all.sort_by(|a, b| listing(a).name.cmp(&listing(b).name));
    Ok(all)
}

/// # Errors
/// A topic that was named and is not there, unless `--if-exists` allows it.
pub(super) fn ensure_topic_exists(found: &[String], wanted: Option<&str>, matches: &Matches) -> Result<(), Failure> {
    match wanted {
        Some(topic) if found.is_empty() && !topic.is_empty() && !matches.has("if-exists") => {
            Err(Failure::illegal_argument(format_args!("Topic '{topic}' does not exist as expected")))
        }
        _ => Ok(()),
    }
}

fn first_error<T>(results: Vec<(String, Result<T, admin::Error>)>) -> Option<admin::Error> {
    results.into_iter().find_map(|(_, result)| result.err())
}

/// `--partition-size-limit-per-response` when it is not given.
const PARTITION_LIMIT: i32 = 2000;

/// How long a change may take to reach the broker that is asked.
const METADATA_PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
