//! `kafka-leader-election`: makes preferred replicas leaders again, or any live one where none is left.
//!
//! Source: `LeaderElectionCommand` of 3.9.

use std::fmt;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::args::{Abbreviations, Matches, Opt, OptionTable};
use crate::cli::error::{Error, help_or_version};
use crate::cli::java_hash::{self, Table};
use crate::cli::{Io, log4j, run_command};
use crate::client::admin::{self, Admin, ElectionType};
use crate::config::Properties;
use crate::wire::{ErrorCode, TopicPartition};

pub(super) static TABLE: OptionTable = OptionTable {
    purpose: "This tool attempts to elect a new leader for a set of topic partitions. The type of elections supported \
              are preferred replicas and unclean replicas.",
    options: &[
        Opt::value(
            "bootstrap-server",
            "String: host:port",
            "2.4",
            "REQUIRED: brokers to begin with: host:port,host:port.",
        ),
        Opt::value("admin.config", "String: config file", "2.4", "A file with settings of the admin client."),
        Opt::value("command-config", "String: config file", "4.2", "A file with settings of the admin client."),
        Opt::value(
            "path-to-json-file",
            "String: Path to JSON file",
            "2.4",
            "A file that lists the partitions: {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1}]}. Not \
             together with --all-topic-partitions or --topic.",
        ),
        Opt::value(
            "topic",
            "String: topic name",
            "2.4",
            "The topic of the partition. Not together with --path-to-json-file or --all-topic-partitions.",
        ),
        Opt::value("partition", "Integer: partition id", "2.4", "The partition. REQUIRED with --topic."),
        Opt::flag(
            "all-topic-partitions",
            "2.4",
            "All partitions that --election-type has something to do for. Not together with --topic or \
             --path-to-json-file.",
        ),
        Opt::value(
            "election-type",
            "[PREFERRED,UNCLEAN]: election type",
            "2.4",
            "REQUIRED: \"preferred\" elects the first of the assigned replicas where another one leads; \"unclean\" \
             any live replica where no one leads, even if records are lost.",
        ),
        Opt::flag("help", "2.4", "Print usage information."),
        Opt::flag("version", "2.4", "Display Kafka version."),
    ],
};

const COMMAND_FAILED: &str = "org.apache.kafka.server.common.AdminCommandFailedException";
const OPERATION: &str = "org.apache.kafka.server.common.AdminOperationException";
/// Apache's tool waits half of its 30 s for one answer.
const DEFAULT_API_TIMEOUT_MS: &str = "30000";
const REQUEST_TIMEOUT_MS: &str = "15000";

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    log4j::install();
    run_command("kafka-leader-election", &TABLE, run)
}

/// Runs the command.
///
/// # Errors
/// What ended it.
pub fn run(args: &[String], io: &mut Io) -> Result<ExitCode, Error> {
    let matches = TABLE
        .parse(args, Abbreviations::Refused)
        .map_err(|error| exception(error.exception().unwrap_or_default(), &error, ""))?;
    if matches.is_empty() {
        return Err(Error::Usage(TABLE.purpose.to_owned()));
    }
    if let Some(code) = help_or_version(&TABLE, &matches, io)? {
        return Ok(code);
    }
    let request = Request::new(&matches)?;
    let admin = connect(&matches)?;
    let results = admin.elect_leaders(request.election, request.partitions.as_deref()).map_err(failure)?;
    tell(request.election, results, io)
}

/// What a command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Request {
    election: ElectionType,
    /// `None`: all.
    partitions: Option<Vec<TopicPartition>>,
}

impl Request {
    fn new(matches: &Matches) -> Result<Request, Error> {
        let refuse = |message: &str| Err(exception(COMMAND_FAILED, message, ""));
        let required = ["bootstrap-server", "election-type"];
        let missing: Vec<&str> = required.into_iter().filter(|name| !matches.has(name)).collect();
        if !missing.is_empty() {
            return refuse(&format!("Missing required option(s): {}", missing.join(", ")));
        }
        let choices = ["topic", "all-topic-partitions", "path-to-json-file"];
        if choices.iter().filter(|name| matches.has(name)).count() != 1 {
            let choices = choices.join(", ");
            return refuse(&format!("One and only one of the following options is required: {choices}"));
        }
        match (matches.has("topic"), matches.has("partition")) {
            (true, false) => return refuse("Missing required option(s): partition"),
            (false, true) => return refuse("Option partition is only allowed if topic is used"),
            _ => {}
        }
        let election = election(&value(matches, "election-type")?.unwrap_or_default())?;
        let number =
            |name| matches.number::<i32>(name).map_err(|e| exception(e.exception().unwrap_or_default(), &e, ""));
        let partitions = match (value(matches, "topic")?, value(matches, "path-to-json-file")?) {
            (Some(topic), _) => Some(vec![TopicPartition::new(topic, number("partition")?.unwrap_or_default())]),
            (None, Some(file)) => Some(parse(&read(&file)?)?),
            (None, None) => None,
        };
        Ok(Request { election, partitions })
    }
}

fn value(matches: &Matches, name: &str) -> Result<Option<String>, Error> {
    matches.value(name).map_err(|error| exception(error.exception().unwrap_or_default(), &error, ""))
}

fn election(text: &str) -> Result<ElectionType, Error> {
    let known = [ElectionType::Preferred, ElectionType::Unclean];
    known.into_iter().find(|election| election.name().eq_ignore_ascii_case(text)).ok_or_else(|| {
        exception(
            "joptsimple.OptionArgumentConversionException",
            format_args!("Cannot parse argument '{text}' of option election-type"),
            &format!(
                "Caused by: joptsimple.ValueConversionException: Value [{text}] is not one of [[PREFERRED,UNCLEAN]]\n"
            ),
        )
    })
}

fn read(file: &str) -> Result<String, Error> {
    std::fs::read_to_string(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => exception("java.nio.file.NoSuchFileException", file, ""),
        _ => exception("java.io.IOException", format_args!("{file}: {error}"), ""),
    })
}

/// The partitions that a file lists.
fn parse(text: &str) -> Result<Vec<TopicPartition>, Error> {
    let refuse = |message: String| exception(OPERATION, message, "");
    let root: Value = serde_json::from_str(text)
        .map_err(|error| refuse(format!("Replica election data is not valid JSON: {error}")))?;
    let rows = root
        .get("partitions")
        .ok_or_else(|| refuse("Replica election data is missing \"partitions\" field".to_owned()))?;
    let row = |row: &Value| {
        let topic = row.get("topic").and_then(Value::as_str);
        let partition = row.get("partition").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok());
        Some(TopicPartition::new(topic?, partition?))
    };
    let partitions: Option<Vec<_>> = rows.as_array().and_then(|rows| rows.iter().map(row).collect());
    let partitions = partitions.ok_or_else(|| {
        refuse("Replica election data: each entry of \"partitions\" needs a \"topic\" and a \"partition\"".to_owned())
    })?;
    let mut seen = std::collections::HashSet::new();
    let duplicates: Vec<String> = partitions.iter().filter(|p| !seen.insert(*p)).map(ToString::to_string).collect();
    if !duplicates.is_empty() {
        return Err(refuse(format!(
            "Replica election data contains duplicate partitions: [{}]",
            duplicates.join(", ")
        )));
    }
    if partitions.is_empty() {
        return Err(refuse("Replica election data is empty".to_owned()));
    }
    Ok(partitions)
}

fn connect(matches: &Matches) -> Result<Admin, Error> {
    let file = match value(matches, "command-config")? {
        Some(file) => Some(file),
        None => value(matches, "admin.config")?,
    };
    let mut properties = match file {
        None => Properties::new(),
        Some(file) => Properties::read(&file).map_err(|error| match error {
            crate::config::Error::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                exception("java.nio.file.NoSuchFileException", file, "")
            }
            error => exception("java.io.IOException", error, ""),
        })?,
    };
    for (key, default) in
        [("default.api.timeout.ms", DEFAULT_API_TIMEOUT_MS), ("request.timeout.ms", REQUEST_TIMEOUT_MS)]
    {
        if !properties.contains(key) {
            properties.set(key, default);
        }
    }
    let servers = value(matches, "bootstrap-server")?;
    Admin::new(&properties, servers.as_deref())
        .map_err(|error| Error::Message(format!("{error}\n{}\n", error.stack_trace())))
}

fn failure(error: admin::Error) -> Error {
    let cause = format!("Caused by: {}\n", error.stack_trace());
    match error.code() {
        Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED) => {
            exception(COMMAND_FAILED, "Not authorized to perform leader election", &cause)
        }
        _ if matches!(error, admin::Error::Timeout { .. }) => {
            exception(COMMAND_FAILED, "Timeout waiting for election results", &cause)
        }
        _ => Error::Message(format!("{error}\n{}\n", error.stack_trace())),
    }
}

fn tell(
    election: ElectionType,
    results: Vec<(TopicPartition, Result<(), admin::Error>)>,
    io: &mut Io,
) -> Result<ExitCode, Error> {
    let election = election.name();
    let hash = |partition: &TopicPartition| java_hash::topic_partition(&partition.topic, partition.partition);
    let results = java_hash::order(results, Table::Default, |(partition, _)| hash(partition));
    let mut succeeded = Vec::new();
    let mut not_needed = Vec::new();
    let mut failed = Vec::new();
    for (partition, result) in results {
        match result {
            Ok(()) => succeeded.push(partition),
            Err(error) if error.code() == Some(ErrorCode::ELECTION_NOT_NEEDED) => not_needed.push(partition),
            Err(error) => failed.push((partition, error)),
        }
    }
    let list = |partitions: Vec<TopicPartition>| {
        let partitions = java_hash::order(partitions, Table::Default, hash);
        partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    if !succeeded.is_empty() {
        let partitions = list(succeeded);
        writeln!(io.stdout, "Successfully completed leader election ({election}) for partitions {partitions}")?;
    }
    if !not_needed.is_empty() {
        writeln!(io.stdout, "Valid replica already elected for partitions {}", list(not_needed))?;
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let count = failed.len();
    let mut suppressed = String::new();
    for (partition, error) in java_hash::order(failed, Table::Default, |(partition, _)| hash(partition)) {
        let error = format!("{}: {error}", error.class());
        writeln!(io.stdout, "Error completing leader election ({election}) for partition: {partition}: {error}")?;
        suppressed.push_str(&format!("\tSuppressed: {error}\n"));
    }
    Err(exception(COMMAND_FAILED, format_args!("{count} replica(s) could not be elected"), &suppressed))
}

/// As Apache's main tells what escapes it: the message, then the stack trace, of which `more` is what follows.
fn exception(class: &str, message: impl fmt::Display, more: &str) -> Error {
    Error::Message(format!("{message}\n{class}: {message}\n{more}"))
}

#[cfg(test)]
mod tests;
