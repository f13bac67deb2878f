//! The files that say what to move, and what is printed in their form.
//!
//! Source: `ReassignPartitionsCommand.parsePartitionReassignmentData`, `parseTopicsData`,
//! `formatAsReassignmentJson` of 3.9.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::Failure;
use crate::client::admin::Replica;
use crate::wire::TopicPartition;

/// Where partitions shall be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// In the order of the file, where one may come twice.
    pub partitions: Vec<(TopicPartition, Vec<i32>)>,
    /// Replicas that shall be in a log dir of their own.
    pub log_dirs: BTreeMap<Replica, String>,
}

impl Plan {
    /// Reads a file's text.
    pub fn parse(text: &str) -> Result<Plan, Failure> {
        let root = parse_json(text)?;
        let mut plan = Plan::default();
        for row in rows(&root, "partitions")? {
            let topic = row.get("topic").and_then(Value::as_str).ok_or_else(|| missing("topic"))?;
            let id = row.get("partition").and_then(Value::as_i64).and_then(|id| i32::try_from(id).ok());
            let partition = TopicPartition::new(topic, id.ok_or_else(|| missing("partition"))?);
            let replica = |id: &Value| id.as_i64().and_then(|id| i32::try_from(id).ok());
            let replicas = row.get("replicas").and_then(Value::as_array);
            let replicas: Option<Vec<i32>> = replicas.and_then(|ids| ids.iter().map(replica).collect());
            let replicas = replicas.ok_or_else(|| missing("replicas"))?;
            if let Some(dirs) = row.get("log_dirs") {
                let dir = |dir: &Value| dir.as_str().map(str::to_owned);
                let dirs: Option<Vec<String>> = dirs.as_array().and_then(|dirs| dirs.iter().map(dir).collect());
                let dirs = dirs.ok_or_else(|| missing("log_dirs"))?;
                if dirs.len() != replicas.len() {
                    return Err(Failure::command(format!(
                        "Size of replicas list [{}] is different from size of log dirs list [{}] for partition {partition}",
                        join(&replicas, ", "),
                        dirs.join(", ")
                    )));
                }
                for (broker, dir) in replicas.iter().zip(dirs).filter(|(_, dir)| dir != ANY) {
                    plan.log_dirs.insert(Replica { broker: *broker, partition: partition.clone() }, dir);
                }
            }
            plan.partitions.push((partition, replicas));
        }
        Ok(plan)
    }

    /// As [`Plan::parse`], for a plan that is to be acted on.
    pub fn parse_to_execute(text: &str) -> Result<Plan, Failure> {
        let plan = Plan::parse(text)?;
        if plan.partitions.is_empty() {
            return Err(Failure::command("Partition reassignment list cannot be empty"));
        }
        if plan.partitions.iter().any(|(_, replicas)| replicas.is_empty()) {
            return Err(Failure::command("Partition replica list cannot be empty"));
        }
        let duplicates = duplicates(plan.partitions.iter().map(|(partition, _)| partition));
        if !duplicates.is_empty() {
            let duplicates = join(&duplicates, ",");
            return Err(Failure::command(format!(
                "Partition reassignment contains duplicate topic partitions: {duplicates}"
            )));
        }
        let twice = plan.partitions.iter().filter_map(|(partition, replicas)| {
            let twice = self::duplicates(replicas.iter());
            (!twice.is_empty()).then(|| format!("{partition} contains multiple entries for {}", join(&twice, ", ")))
        });
        let twice: Vec<String> = twice.collect();
        if !twice.is_empty() {
            let twice = twice.join(". ");
            return Err(Failure::command(format!(
                "Partition replica lists may not contain duplicate entries: {twice}"
            )));
        }
        Ok(plan)
    }

    /// The topics, sorted.
    pub fn topics(&self) -> BTreeSet<String> {
        self.partitions.iter().map(|(partition, _)| partition.topic.to_string()).collect()
    }
}

/// The topics that a file names.
pub(super) fn parse_topics(text: &str) -> Result<Vec<String>, Failure> {
    let root = parse_json(text)?;
    let topic =
        |row: &Value| row.get("topic").and_then(Value::as_str).map(str::to_owned).ok_or_else(|| missing("topic"));
    let topics: Vec<String> = rows(&root, "topics")?.iter().map(topic).collect::<Result<_, _>>()?;
    match duplicates(topics.iter()) {
        twice if twice.is_empty() => Ok(topics),
        twice => Err(Failure::command(format!(
            "List of topics to reassign contains duplicate entries: [{}]",
            join(&twice, ", ")
        ))),
    }
}

/// The brokers of `--broker-list`.
pub(super) fn parse_brokers(text: &str) -> Result<Vec<i32>, Failure> {
    let broker = |id: &str| {
        id.parse().map_err(|_| Failure::new("java.lang.NumberFormatException", format!("For input string: \"{id}\"")))
    };
    let brokers: Vec<i32> = text.split(',').map(broker).collect::<Result<_, _>>()?;
    match duplicates(brokers.iter()) {
        twice if twice.is_empty() => Ok(brokers),
        twice => Err(Failure::command(format!("Broker list contains duplicate entries: [{}]", join(&twice, ", ")))),
    }
}

/// An assignment in the form of the file. Which log dirs replicas are in is not said.
pub(super) fn format(assignment: &BTreeMap<TopicPartition, Vec<i32>>) -> String {
    let row = |(partition, replicas): (&TopicPartition, &Vec<i32>)| {
        json!({
            "topic": *partition.topic,
            "partition": partition.partition,
            "replicas": replicas,
            "log_dirs": vec![ANY; replicas.len()],
        })
    };
    json!({ "version": 1, "partitions": assignment.iter().map(row).collect::<Vec<_>>() }).to_string()
}

const ANY: &str = "any";

fn parse_json(text: &str) -> Result<Value, Failure> {
    let root: Value = serde_json::from_str(text).map_err(|error| {
        let kind = match error.classify() {
            serde_json::error::Category::Eof => "Unexpected end-of-input within/between Object entries".to_owned(),
            _ => error.to_string(),
        };
        let (line, column) = (error.line(), error.column() + 1);
        // Where Apache's parser says that it found it.
        let message = format!(
            "{kind}\n at [Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: {line}, column: {column}]"
        );
        let cause = format!("Caused by: com.fasterxml.jackson.core.JsonParseException: {message}\n");
        Failure::Error { trace: format!("{OPERATION}: {message}\n{cause}"), message }
    })?;
    match root.get("version").map(Value::as_i64) {
        None | Some(Some(1)) => Ok(root),
        Some(version) => {
            let version = version.map_or_else(|| root["version"].to_string(), |version| version.to_string());
            Err(Failure::new(OPERATION, format!("Not supported version field value {version}")))
        }
    }
}

fn rows<'a>(root: &'a Value, name: &str) -> Result<&'a [Value], Failure> {
    match root.get(name) {
        None => Ok(&[]),
        Some(rows) => rows.as_array().map(Vec::as_slice).ok_or_else(|| missing(name)),
    }
}

const OPERATION: &str = "org.apache.kafka.server.common.AdminOperationException";

fn missing(name: &str) -> Failure {
    Failure::new(OPERATION, format!("The input string is not a valid JSON: {name} is missing or not of its type"))
}

/// What comes more than once, in the order of its second coming.
fn duplicates<'a, T: Ord>(items: impl Iterator<Item = &'a T>) -> Vec<&'a T> {
    let (mut seen, mut twice) = (BTreeSet::new(), Vec::new());
    for item in items {
        if !seen.insert(item) && !twice.contains(&item) {
            twice.push(item);
        }
    }
    twice
}

pub(super) fn join<T: ToString>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}
