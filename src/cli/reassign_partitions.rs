//! `kafka-reassign-partitions`: moves partitions to other brokers, and replicas to other log dirs.
//!
//! What fails while it runs is told on stdout, as Apache's tool does: `Error: …` with the exception, or for what was
//! to be expected the message alone.
//!
//! Source: `ReassignPartitionsCommand` of 3.9; KIP-455.

mod options;
mod plan;
mod throttles;
mod zk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::cli::args::{Abbreviations, ArgsError, Matches};
use crate::cli::error::{Error, help_or_version};
use crate::cli::topics_zk::assignment::{Broker, Start, assign_replicas};
use crate::cli::{Io, log4j, run_command, topics};
use crate::client::admin::{self, Admin, PartitionReassignment, Replica, ReplicaLogDirs};
use crate::config::Properties;
use crate::wire::{ErrorCode, TopicPartition};

use options::Action;
pub(super) use options::TABLE;
use plan::{Plan, join};
use throttles::Changes;

type Assignment = BTreeMap<TopicPartition, Vec<i32>>;

const COMMAND_FAILED: &str = "org.apache.kafka.server.common.AdminCommandFailedException";
const EXECUTION: &str = "java.util.concurrent.ExecutionException";
/// How long to wait before a log dir is asked again for a replica that it does not know yet.
const MOVE_PAUSE: Duration = Duration::from_millis(100);

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    log4j::install();
    run_command("kafka-reassign-partitions", &TABLE, run)
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the command line, or with writing; the rest is told on stdout.
pub fn run(args: &[String], io: &mut Io) -> Result<ExitCode, Error> {
    let matches = TABLE.parse(args, Abbreviations::Refused).map_err(options::uncaught)?;
    if matches.is_empty() {
        return Err(Error::Usage(TABLE.purpose.to_owned()));
    }
    if let Some(code) = help_or_version(&TABLE, &matches, io)? {
        return Ok(code);
    }
    let action = options::action(&matches)?;
    match act(action, &matches, io) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Failure::Output(error)) => Err(error.into()),
        Err(Failure::Expected(message)) => {
            writeln!(io.stdout, "{message}")?;
            Ok(ExitCode::FAILURE)
        }
        Err(Failure::Error { message, trace }) => {
            writeln!(io.stdout, "Error: {message}\n{trace}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Why an action ended.
#[derive(Debug)]
enum Failure {
    /// Told as it is: `TerseException`.
    Expected(String),
    /// `trace` is the exception with its causes, each on a line that is ended.
    Error {
        message: String,
        trace: String,
    },
    Output(io::Error),
}

impl Failure {
    fn new(class: &str, message: impl fmt::Display) -> Failure {
        Failure::Error { trace: format!("{class}: {message}\n"), message: message.to_string() }
    }

    fn command(message: impl fmt::Display) -> Failure {
        Failure::new(COMMAND_FAILED, message)
    }

    /// What a future of Java's admin client throws.
    fn execution(error: admin::Error) -> Failure {
        let message = format!("{}: {error}", error.class());
        Failure::Error { trace: format!("{EXECUTION}: {message}\nCaused by: {}\n", error.stack_trace()), message }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<admin::Error> for Failure {
    fn from(error: admin::Error) -> Failure {
        Failure::execution(error)
    }
}

impl From<ArgsError> for Failure {
    fn from(error: ArgsError) -> Failure {
        Failure::new(error.exception().unwrap_or_default(), &error)
    }
}

impl From<topics::Failure> for Failure {
    fn from(failure: topics::Failure) -> Failure {
        match failure {
            topics::Failure::Operation { message, trace } => Failure::Error { message, trace: format!("{trace}\n") },
            topics::Failure::Output(error) => Failure::Output(error),
        }
    }
}

fn act(action: Action, matches: &Matches, io: &mut Io) -> Result<(), Failure> {
    if matches.has("zookeeper") {
        return zk::act(action, matches, io);
    }
    let admin = connect(matches)?;
    let preserve = matches.has("preserve-throttles");
    let patience = Duration::from_millis(matches.number::<i64>("timeout")?.unwrap_or(0).max(0) as u64);
    match action {
        Action::List => list(&admin, io),
        Action::Generate => {
            let topics = plan::parse_topics(&read(matches, "topics-to-move-json-file")?)?;
            let brokers = plan::parse_brokers(&matches.value("broker-list")?.unwrap_or_default())?;
            generate(&admin, &topics, &brokers, !matches.has("disable-rack-aware"), io)
        }
        Action::Verify => {
            let plan = Plan::parse(&read(matches, "reassignment-json-file")?)?;
            verify(&admin, &plan, preserve, io)
        }
        Action::Cancel => {
            let plan = Plan::parse_to_execute(&read(matches, "reassignment-json-file")?)?;
            cancel(&admin, &plan, preserve, patience, io)
        }
        Action::Execute => {
            let plan = Plan::parse_to_execute(&read(matches, "reassignment-json-file")?)?;
            execute(&admin, &plan, matches.has("additional"), Limits::new(matches)?, patience, io)
        }
    }
}

fn connect(matches: &Matches) -> Result<Admin, Failure> {
    let mut properties = match matches.value("command-config")? {
        Some(file) => Properties::read(&file).map_err(|error| unreadable(&file, &error.to_string()))?,
        None => Properties::new(),
    };
    if !properties.contains("client.id") {
        properties.set("client.id", "reassign-partitions-tool");
    }
    let servers = matches.value("bootstrap-server")?;
    Admin::new(&properties, servers.as_deref())
        .map_err(|error| Failure::Error { message: error.to_string(), trace: format!("{}\n", error.stack_trace()) })
}

fn read(matches: &Matches, option: &str) -> Result<String, Failure> {
    let file = matches.value(option)?.unwrap_or_default();
    std::fs::read_to_string(&file).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => unreadable(&file, &format!("java.nio.file.NoSuchFileException: {file}")),
        _ => unreadable(&file, &format!("java.io.IOException: {error}")),
    })
}

fn unreadable(file: &str, cause: &str) -> Failure {
    let message = format!("Unable to read file {file}");
    Failure::Error { trace: format!("java.io.IOException: {message}\nCaused by: {cause}\n"), message }
}

fn list(admin: &Admin, io: &mut Io) -> Result<(), Failure> {
    let mut reassignments = admin.list_partition_reassignments(None)?;
    if reassignments.is_empty() {
        writeln!(io.stdout, "No partition reassignments found.")?;
        return Ok(());
    }
    writeln!(io.stdout, "Current partition reassignments:")?;
    reassignments.sort_by(|a, b| a.partition.cmp(&b.partition));
    for found in reassignments {
        write!(io.stdout, "{}: replicas: {}.", found.partition, join(&found.replicas, ","))?;
        for (what, replicas) in [("adding", &found.adding_replicas), ("removing", &found.removing_replicas)] {
            if !replicas.is_empty() {
                write!(io.stdout, " {what}: {}.", join(replicas, ","))?;
            }
        }
        writeln!(io.stdout)?;
    }
    Ok(())
}

fn generate(admin: &Admin, topics: &[String], brokers: &[i32], by_rack: bool, io: &mut Io) -> Result<(), Failure> {
    let current = assignment_of_topics(admin, topics)?;
    let nodes = admin.describe_cluster()?.nodes.into_iter();
    let brokers = brokers_with_racks(nodes.map(|node| Broker { id: node.id, rack: node.rack }), brokers, by_rack)?;
    propose(topics, &current, &brokers, io)
}

/// Those of the live brokers that are wanted, by id; their racks count, or nobody's do.
fn brokers_with_racks(
    alive: impl IntoIterator<Item = Broker>,
    wanted: &[i32],
    by_rack: bool,
) -> Result<Vec<Broker>, Failure> {
    let wanted = alive.into_iter().filter(|broker| wanted.contains(&broker.id));
    let mut brokers: Vec<Broker> =
        wanted.map(|broker| Broker { rack: broker.rack.filter(|_| by_rack), ..broker }).collect();
    brokers.sort_by_key(|broker| broker.id);
    let with_rack = brokers.iter().filter(|broker| broker.rack.is_some()).count();
    if with_rack != 0 && with_rack != brokers.len() {
        return Err(Failure::new(
            "org.apache.kafka.server.common.AdminOperationException",
            "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica \
             assignment without rack information.",
        ));
    }
    Ok(brokers)
}

/// Prints where the topics are, and where they could be.
fn propose(topics: &[String], current: &Assignment, brokers: &[Broker], io: &mut Io) -> Result<(), Failure> {
    let mut proposed = Assignment::new();
    for topic in topics.iter().collect::<BTreeSet<_>>() {
        let of_topic: Vec<_> = current.iter().filter(|(partition, _)| *partition.topic == **topic).collect();
        let factor = of_topic.first().map_or(0, |(_, replicas)| replicas.len());
        let start = random_start(brokers.len());
        let rows = assign_replicas(brokers, of_topic.len() as i32, factor as i32, 0, start)?;
        proposed.extend(rows.into_iter().map(|(id, replicas)| (TopicPartition::new(topic.as_str(), id), replicas)));
    }
    writeln!(
        io.stdout,
        "Current partition replica assignment\n{}\n\nProposed partition reassignment configuration\n{}",
        plan::format(current),
        plan::format(&proposed)
    )?;
    Ok(())
}

/// Where going round the brokers begins is left to chance, so that topics do not all begin with the same one.
fn random_start(brokers: usize) -> Start {
    use std::hash::{BuildHasher, Hasher};
    let random = || std::collections::hash_map::RandomState::new().build_hasher().finish() as usize;
    Start { index: random() % brokers.max(1), shift: random() % brokers.max(1) }
}

/// What `--throttle` and `--replica-alter-log-dirs-throttle` say, in bytes a second; negative: nothing.
#[derive(Clone, Copy)]
struct Limits {
    between_brokers: i64,
    within_brokers: i64,
}

impl Limits {
    fn new(matches: &Matches) -> Result<Limits, Failure> {
        Ok(Limits {
            between_brokers: matches.number("throttle")?.unwrap_or(-1),
            within_brokers: matches.number("replica-alter-log-dirs-throttle")?.unwrap_or(-1),
        })
    }
}

const EXISTING: &str = "Cannot execute because there is an existing partition assignment.  Use --additional to override \
                        this and create a new partition assignment in addition to the existing one. The --additional \
                        flag can also be used to change the throttle by resubmitting the current reassignment.";

fn execute(
    admin: &Admin,
    plan: &Plan,
    additional: bool,
    limits: Limits,
    patience: Duration,
    io: &mut Io,
) -> Result<(), Failure> {
    let under_way = admin.list_partition_reassignments(None)?;
    if !additional && !under_way.is_empty() {
        return Err(Failure::Expected(EXISTING.to_owned()));
    }
    let alive = admin.describe_cluster()?.nodes.iter().map(|node| node.id).collect();
    check_brokers(plan, &alive)?;
    let topics: Vec<String> = plan.topics().into_iter().collect();
    let current = of_plan(plan, assignment_of_topics(admin, &topics)?)?;
    tell_current(&current, limits, io)?;
    if limits.between_brokers >= 0 {
        let moves = throttles::moves(&under_way, plan, &current);
        throttles::limit_between_brokers(|changes| alter(admin, changes), &moves, limits.between_brokers, io)?;
    }
    if limits.within_brokers >= 0 {
        let brokers = plan.log_dirs.keys().map(|replica| replica.broker).collect();
        throttles::limit_within_brokers(|changes| alter(admin, changes), brokers, limits.within_brokers, io)?;
    }
    let targets = plan.partitions.iter().map(|(partition, replicas)| (partition.clone(), Some(replicas.clone())));
    let targets: Vec<_> = targets.collect();
    refuse_failed("Error reassigning partition(s):", admin.alter_partition_reassignments(&targets)?)?;
    let started: BTreeSet<&TopicPartition> = plan.partitions.iter().map(|(partition, _)| partition).collect();
    let count = plural(started.len());
    writeln!(io.stdout, "Successfully started partition reassignment{count} for {}", join(started, ","))?;
    if plan.log_dirs.is_empty() { Ok(()) } else { move_between_log_dirs(admin, &plan.log_dirs, patience, io) }
}

fn check_brokers(plan: &Plan, alive: &BTreeSet<i32>) -> Result<(), Failure> {
    match plan.partitions.iter().flat_map(|(_, replicas)| replicas).find(|id| !alive.contains(id)) {
        Some(id) => Err(Failure::command(format!("Unknown broker id {id}"))),
        None => Ok(()),
    }
}

/// What to go back with, before anything is changed.
fn tell_current(current: &Assignment, limits: Limits, io: &mut Io) -> io::Result<()> {
    writeln!(
        io.stdout,
        "Current partition replica assignment\n\n{}\n\nSave this to use as the --reassignment-json-file option during \
         rollback",
        plan::format(current)
    )?;
    if limits.between_brokers >= 0 || limits.within_brokers >= 0 {
        writeln!(
            io.stdout,
            "Warning: You must run --verify periodically, until the reassignment completes, to ensure the throttle is \
             removed."
        )?;
    }
    Ok(())
}

fn alter(admin: &Admin, changes: Changes) -> Result<(), Failure> {
    for (_, result) in admin.incremental_alter_configs(&changes, false)? {
        result?;
    }
    Ok(())
}

/// Takes throttles away everywhere.
fn clear_throttles(admin: &Admin, plan: &Plan, io: &mut Io) -> Result<(), Failure> {
    let alive = admin.describe_cluster()?.nodes.iter().map(|node| node.id).collect();
    throttles::clear(|changes| alter(admin, changes), alive, plan, io)
}

/// Fails with a line for each partition that was refused.
fn refuse_failed(heading: &str, results: Vec<(TopicPartition, Result<(), admin::Error>)>) -> Result<(), Failure> {
    let failed = results.into_iter().filter_map(|(partition, result)| Some((partition, result.err()?)));
    let failed: BTreeMap<TopicPartition, admin::Error> = failed.collect();
    if failed.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = failed.iter().map(|(partition, error)| format!("{partition}: {error}")).collect();
    Err(Failure::Expected(format!("{heading}\n{}", lines.join("\n"))))
}

/// Starts the moves, again while a broker does not have the replica yet.
fn move_between_log_dirs(
    admin: &Admin,
    moves: &BTreeMap<Replica, String>,
    patience: Duration,
    io: &mut Io,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut pending: Vec<(Replica, String)> =
        moves.iter().map(|(replica, dir)| (replica.clone(), dir.clone())).collect();
    loop {
        let mut results: BTreeMap<Replica, Result<(), admin::Error>> =
            admin.alter_replica_log_dirs(&pending)?.into_iter().collect();
        let mut left = Vec::new();
        for (replica, dir) in pending {
            let Replica { broker, partition } = &replica;
            match results.remove(&replica) {
                Some(Ok(())) => writeln!(
                    io.stdout,
                    "Successfully started moving log directory to {dir} for replica {partition} with broker {broker} "
                )?,
                Some(Err(error)) if error.code() != Some(ErrorCode::REPLICA_NOT_AVAILABLE) => {
                    let message = format!("Failed to alter dir for {partition}-{broker}");
                    let trace = format!("{COMMAND_FAILED}: {message}\nCaused by: {}\n", error.stack_trace());
                    return Err(Failure::Error { message, trace });
                }
                _ => left.push((replica, dir)),
            }
        }
        pending = left;
        if pending.is_empty() {
            return Ok(());
        }
        if started.elapsed() >= patience {
            let replicas: Vec<String> =
                pending.iter().map(|(replica, _)| format!("{}-{}", replica.partition, replica.broker)).collect();
            return Err(Failure::Expected(format!(
                "Timed out before log directory move{} could be started for: {}",
                plural(replicas.len()),
                replicas.join(",")
            )));
        }
        std::thread::sleep(MOVE_PAUSE);
    }
}

fn verify(admin: &Admin, plan: &Plan, preserve_throttles: bool, io: &mut Io) -> Result<(), Failure> {
    let under_way = admin.list_partition_reassignments(None)?;
    let settled = plan.topics().into_iter().filter(|topic| {
        let of_topic = plan.partitions.iter().filter(|(partition, _)| *partition.topic == **topic);
        of_topic.into_iter().any(|(partition, _)| !is_among(partition, &under_way))
    });
    // A topic that is gone has no replicas anywhere.
    let current = admin.describe_topics(&settled.collect::<Vec<_>>(), DESCRIBE_LIMIT)?;
    let mut found = Assignment::new();
    for (topic, description) in current {
        match description {
            Ok(description) => found.extend(
                description
                    .partitions
                    .into_iter()
                    .map(|p| (TopicPartition::new(topic.as_str(), p.partition), p.replicas)),
            ),
            Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {}
            Err(error) => return Err(error.into()),
        }
    }
    tell_status(plan, &found, |partition| is_among(partition, &under_way), io)?;
    let moves = log_dir_moves(admin, &plan.log_dirs)?;
    writeln!(io.stdout, "{}", join(moves.iter().map(LogDirMove::told), "\n"))?;
    let is_over = under_way.is_empty() && moves.iter().all(|found| !found.is_active());
    if is_over && !preserve_throttles { clear_throttles(admin, plan, io) } else { Ok(()) }
}

fn tell_status(
    plan: &Plan,
    found: &Assignment,
    is_moving: impl Fn(&TopicPartition) -> bool,
    io: &mut Io,
) -> io::Result<()> {
    writeln!(io.stdout, "Status of partition reassignment:")?;
    let mut targets: Vec<_> = plan.partitions.iter().collect();
    targets.sort_by(|a, b| a.0.cmp(&b.0));
    for (partition, target) in targets {
        let replicas = found.get(partition).cloned().unwrap_or_default();
        let line = match is_moving(partition) {
            true => format!("Reassignment of partition {partition} is still in progress."),
            false if replicas == *target => format!("Reassignment of partition {partition} is completed."),
            false => format!(
                "There is no active reassignment of partition {partition}, but replica set is {} rather than {}.",
                join(&replicas, ","),
                join(target, ",")
            ),
        };
        writeln!(io.stdout, "{line}")?;
    }
    Ok(())
}

fn is_among(partition: &TopicPartition, reassignments: &[PartitionReassignment]) -> bool {
    reassignments.iter().any(|reassignment| reassignment.partition == *partition)
}

/// A replica that was to be in one log dir, and where it is.
struct LogDirMove {
    replica: Replica,
    target: String,
    /// `None`: the broker does not have the replica at all.
    found: Option<ReplicaLogDirs>,
}

impl LogDirMove {
    fn is_active(&self) -> bool {
        self.found.as_ref().is_some_and(|dirs| dirs.current.is_some() && dirs.future.is_some())
    }

    fn told(&self) -> String {
        let Replica { broker, partition } = &self.replica;
        let target = &self.target;
        let Some(ReplicaLogDirs { current, future }) = &self.found else {
            return format!("Partition {partition} cannot be found in any live log directory on broker {broker}.");
        };
        match (current, future) {
            (None, _) => format!(
                "Partition {partition} is not found in any live log dir on broker {broker}. There is likely an offline \
                 log directory on the broker."
            ),
            (_, Some(future)) if future == target => {
                format!("Reassignment of replica {partition}-{broker} is still in progress.")
            }
            (_, Some(future)) => {
                format!(
                    "Partition {partition} on broker {broker} is being moved to log dir {future} instead of {target}."
                )
            }
            (Some(current), None) if current == target => {
                format!("Reassignment of replica {partition}-{broker} completed successfully.")
            }
            (Some(current), None) => {
                format!(
                    "Partition {partition} on broker {broker} is not being moved from log dir {current} to {target}."
                )
            }
        }
    }
}

/// Sorted by broker, topic, partition.
fn log_dir_moves(admin: &Admin, targets: &BTreeMap<Replica, String>) -> Result<Vec<LogDirMove>, Failure> {
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let replicas: Vec<Replica> = targets.keys().cloned().collect();
    let mut found = admin.replica_log_dirs(&replicas)?;
    let moves = targets.iter().map(|(replica, target)| LogDirMove {
        replica: replica.clone(),
        target: target.clone(),
        found: found.remove(replica),
    });
    Ok(moves.collect())
}

fn cancel(
    admin: &Admin,
    plan: &Plan,
    preserve_throttles: bool,
    patience: Duration,
    io: &mut Io,
) -> Result<(), Failure> {
    let partitions: Vec<TopicPartition> = plan.partitions.iter().map(|(partition, _)| partition.clone()).collect();
    let under_way = admin.list_partition_reassignments(Some(&partitions))?;
    let moving = under_way.into_iter().filter(|found| {
        // Releases before 4.1 left alone what only added replicas.
        !found.adding_replicas.is_empty() || !found.removing_replicas.is_empty()
    });
    let moving: BTreeSet<TopicPartition> = moving.map(|found| found.partition).collect();
    if moving.is_empty() {
        writeln!(io.stdout, "None of the specified partition reassignments are active.")?;
    } else {
        let targets: Vec<_> = moving.iter().map(|partition| (partition.clone(), None)).collect();
        let count = plural(moving.len());
        let heading = format!("Error cancelling partition reassignment{count} for:");
        refuse_failed(&heading, admin.alter_partition_reassignments(&targets)?)?;
        writeln!(io.stdout, "Successfully cancelled partition reassignment{count} for: {}", join(moving, ","))?;
    }
    let active = log_dir_moves(admin, &plan.log_dirs)?.into_iter().filter(LogDirMove::is_active);
    let back: BTreeMap<Replica, String> =
        active.filter_map(|found| Some((found.replica, found.found?.current?))).collect();
    match back.is_empty() {
        // Apache's tool ends this line nowhere.
        true => write!(io.stdout, "None of the specified partition moves are active.")?,
        false => move_between_log_dirs(admin, &back, patience, io)?,
    }
    if preserve_throttles { Ok(()) } else { clear_throttles(admin, plan, io) }
}

/// Partitions in one answer, where a broker pages them.
const DESCRIBE_LIMIT: i32 = 2000;

fn assignment_of_topics(admin: &Admin, topics: &[String]) -> Result<Assignment, Failure> {
    let mut found = Assignment::new();
    for (topic, description) in admin.describe_topics(topics, DESCRIBE_LIMIT)? {
        let description = description.map_err(|error| match error.code() {
            // Where the broker says less, Apache's tool says which topic it is.
            Some(code @ ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => {
                admin::Error::api(code, Some(format!("Topic {topic} not found.")))
            }
            _ => error,
        });
        let partitions = description?.partitions.into_iter();
        found.extend(partitions.map(|p| (TopicPartition::new(topic.as_str(), p.partition), p.replicas)));
    }
    Ok(found)
}

/// Where the plan's partitions are, of all that were found.
fn of_plan(plan: &Plan, found: Assignment) -> Result<Assignment, Failure> {
    let mut found = found;
    let find = |(partition, _): &(TopicPartition, Vec<i32>)| match found.remove_entry(partition) {
        Some(found) => Ok(found),
        None => {
            let message = format!("Unable to find partition: {partition}");
            Err(Failure::execution(admin::Error::api(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, Some(message))))
        }
    };
    plan.partitions.iter().map(find).collect()
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests;
