//! What the values of kafka-topics mean: names, patterns, assignments, configs, ids.

use super::Failure;
use crate::cli::Io;
use crate::cli::args::Matches;
use crate::client::topic_filter::{INTERNAL_TOPICS, TopicFilter};
use crate::wire::Uuid;

/// What `--create` was told.
#[derive(Debug, Clone)]
pub(in crate::cli) struct NewTopicArgs {
    pub topic: String,
    pub partitions: Option<i32>,
    pub replication_factor: Option<i32>,
    /// Brokers of each partition, from 0; empty: not given.
    pub assignment: Vec<Vec<i32>>,
    /// Their names and values are not checked yet.
    pub configs: Vec<(String, String)>,
}

impl NewTopicArgs {
    /// Reads the values in the order in which Apache's tool finds fault with them.
    pub fn read(matches: &Matches, io: &mut Io) -> Result<NewTopicArgs, Failure> {
        let args = NewTopicArgs {
            topic: matches.value("topic")?.unwrap_or_default(),
            partitions: matches.number("partitions")?,
            replication_factor: matches.number("replication-factor")?,
            assignment: replica_assignment(matches)?,
            configs: configs(matches.values("config"))?,
        };
        if let Some((name, version)) = args.configs.iter().find(|(name, _)| name == "message.format.version") {
            writeln!(
                io.stdout,
                "WARNING: The configuration {name}={version} is specified. This configuration will be ignored if the \
                 version is newer than the inter.broker.protocol.version specified in the broker or if the \
                 inter.broker.protocol.version is 3.0 or newer. This configuration is deprecated and it will be removed \
                 in Apache Kafka 4.0."
            )?;
        }
        Ok(args)
    }
}

/// Reads `--replica-assignment b:b,b:b`; empty when it was not given.
pub(in crate::cli) fn replica_assignment(matches: &Matches) -> Result<Vec<Vec<i32>>, Failure> {
    match matches.value("replica-assignment")? {
        Some(text) if !text.is_empty() => parse_replica_assignment(&text),
        _ => Ok(Vec::new()),
    }
}

pub(in crate::cli) fn parse_replica_assignment(text: &str) -> Result<Vec<Vec<i32>>, Failure> {
    let mut assignment: Vec<Vec<i32>> = Vec::new();
    for (partition, row) in split(text, ',').into_iter().enumerate() {
        let mut brokers = Vec::new();
        for word in split(row, ':') {
            let word = word.trim();
            brokers.push(word.parse::<i32>().map_err(|_| {
                Failure::new("java.lang.NumberFormatException", format_args!("For input string: \"{word}\""))
            })?);
        }
        let mut repeated: Vec<i32> = Vec::new();
        for (at, broker) in brokers.iter().enumerate() {
            if brokers[..at].contains(broker) && !repeated.contains(broker) {
                repeated.push(*broker);
            }
        }
        if !repeated.is_empty() {
            let repeated = repeated.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
            return Err(Failure::new(
                "org.apache.kafka.server.common.AdminCommandFailedException",
                format_args!("Partition replica lists may not contain duplicate entries: {repeated}"),
            ));
        }
        if assignment.first().is_some_and(|first| first.len() != brokers.len()) {
            return Err(Failure::new(
                "org.apache.kafka.server.common.AdminOperationException",
                format_args!("Partition {partition} has different replication factor: {brokers:?}"),
            ));
        }
        assignment.push(brokers);
    }
    Ok(assignment)
}

/// Java's `split`: empty pieces at the end are dropped.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut pieces = text.split(separator).collect::<Vec<_>>();
    while pieces.len() > 1 && pieces.last().is_some_and(|piece| piece.is_empty()) {
        pieces.pop();
    }
    pieces
}

/// Reads `name=value`; the last value of a name counts.
pub(in crate::cli) fn configs(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for word in words {
        let [name, value] = split(word, '=')[..] else {
            return Err(Failure::illegal_argument(
                "requirement failed: Invalid topic config: all configs to be added must be in the format \"key=val\".",
            ));
        };
        let (name, value) = (name.trim(), value.trim());
        match pairs.iter_mut().find(|(known, _)| known == name) {
            Some(pair) => pair.1 = value.to_owned(),
            None => pairs.push((name.to_owned(), value.to_owned())),
        }
    }
    Ok(pairs)
}

/// A topic id, or Java's text for what is none.
pub(super) fn topic_id(text: &str) -> Result<Uuid, String> {
    if text.chars().count() > 24 {
        let start = text.chars().take(24).collect::<String>();
        return Err(format!("Input string with prefix `{start}` is too long to be decoded as a base64 UUID"));
    }
    let digits = text.trim_end_matches('=');
    if let Some(c) = digits.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_".contains(*c)) {
        return Err(format!("Illegal base64 character {:x}", u32::from(c)));
    }
    if text.len() == 1 {
        return Err("Input byte[] should at least have 2 bytes for base64 bytes".to_owned());
    }
    if digits.len() % 4 == 1 {
        return Err("Last unit does not have enough valid bits".to_owned());
    }
    let bytes = digits.len() * 3 / 4;
    Uuid::parse(digits).ok_or_else(|| {
        format!(
            "Input string `{text}` decoded as {bytes} bytes, which is not equal to the expected 16 bytes of a \
             base64-encoded UUID"
        )
    })
}

/// `--topic` as a pattern for whole names: a comma means "or", blanks and quotes around it mean nothing.
///
/// Source: `TopicFilter.IncludeList`.
#[derive(Debug)]
pub(in crate::cli) struct IncludeList(TopicFilter);

impl IncludeList {
    pub fn new(text: &str) -> Result<IncludeList, Failure> {
        let quotes = ['"', '\''];
        let pattern = text.trim().replace(',', "|").replace(' ', "");
        let pattern = pattern.trim_start_matches(quotes).trim_end_matches(quotes);
        match TopicFilter::including(pattern) {
            Ok(filter) => Ok(IncludeList(filter.with_internal_topics())),
            Err(_) => Err(Failure::new("java.lang.RuntimeException", format_args!("{pattern} is an invalid regex."))),
        }
    }

    pub fn allows(&self, topic: &str) -> bool {
        self.0.allows(topic)
    }
}

/// The topics that the pattern chooses, sorted.
pub(in crate::cli) fn choose_topics(
    mut topics: Vec<String>,
    pattern: Option<&str>,
    exclude_internal: bool,
) -> Result<Vec<String>, Failure> {
    let list = pattern.map(IncludeList::new).transpose()?;
    topics.retain(|topic| {
        list.as_ref().is_none_or(|list| list.allows(topic)) && !(exclude_internal && is_internal(topic))
    });
    topics.sort();
    Ok(topics)
}

/// Whether Kafka keeps the topic for itself.
pub(in crate::cli) fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// Whether the name has a character that metric names cannot tell from another.
pub(in crate::cli) fn has_collision_chars(topic: &str) -> bool {
    topic.contains(['.', '_'])
}
