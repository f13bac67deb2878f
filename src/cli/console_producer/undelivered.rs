//! The records that were lost: Apache's log line for each, and at the end which lines they were.

use std::process::ExitCode;
use std::time::Duration;

use parking_lot::Mutex;

use crate::cli::error::{Error, exception_class};
use crate::cli::{Io, log4j};
use crate::client::producer::{ClientError, Record, Undelivered, code};

use super::options::Options;

/// How many ranges of lines the last message names before it only counts.
const RANGES_SHOWN: usize = 20;

/// Collects losses from the main thread and the client's.
pub struct Losses {
    topic: String,
    sync: bool,
    max_block: Duration,
    delivery_timeout_ms: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Numbers of lines.
    lines: Vec<u64>,
    first: Option<(String, String)>,
}

impl Losses {
    pub fn new(options: &Options, topic: &str) -> Losses {
        Losses {
            topic: topic.to_owned(),
            sync: options.sync,
            max_block: options.max_block,
            delivery_timeout_ms: options.client.number("delivery.timeout.ms", 120_000),
            state: Mutex::default(),
        }
    }

    /// Notes a record that was not delivered.
    pub fn add(&self, record: &Undelivered) {
        let (class, message) = self.exception(record);
        self.note(record.id, record.key_length, record.value_length, class, message);
    }

    /// Notes a record that exceeds what the producer is allowed to send.
    pub fn add_too_large(&self, record: &Record, reason: &str) {
        let class = "org.apache.kafka.common.errors.RecordTooLargeException".to_owned();
        self.note(record.id, record.key.map(<[u8]>::len), record.value.map(<[u8]>::len), class, reason.to_owned());
    }

    /// Class and message of the first loss.
    pub fn first(&self) -> Option<(String, String)> {
        self.state.lock().first.clone()
    }

    /// Says which lines were lost, unless Apache's silence is wanted, and returns the exit code.
    pub fn tell(&self, lines_read: u64, io: &mut Io) -> Result<ExitCode, Error> {
        let mut lines = std::mem::take(&mut self.state.lock().lines);
        if lines.is_empty() || io.strict_compat {
            return Ok(ExitCode::SUCCESS);
        }
        lines.sort_unstable();
        let (lost, ranges) = (lines.len(), ranges(&lines));
        writeln!(io.stderr, "{lost} of {lines_read} records were not delivered: {ranges}")?;
        Ok(ExitCode::FAILURE)
    }

    fn note(&self, id: u64, key: Option<usize>, value: Option<usize>, class: String, message: String) {
        let mut state = self.state.lock();
        state.lines.push(id);
        if !self.sync {
            let length = |bytes: Option<usize>| bytes.map_or("null".to_owned(), |length| format!("{length} bytes"));
            log4j::exception(
                format_args!(
                    "Error when sending message to topic {} with key: {}, value: {} with error:",
                    self.topic,
                    length(key),
                    length(value)
                ),
                "org.apache.kafka.clients.producer.internals.ErrorLoggingCallback",
                format_args!("{class}: {message}"),
            );
        }
        state.first.get_or_insert((class, message));
    }

    /// What Java's producer would have thrown.
    fn exception(&self, record: &Undelivered) -> (String, String) {
        let error = &record.error;
        let topic = &self.topic;
        let errors = |class: &str, message: String| (format!("org.apache.kafka.common.errors.{class}"), message);
        if let Some(code) = error.broker_code() {
            let message = match code.name() {
                "INVALID_TOPIC_EXCEPTION" => format!("Invalid topics: [{topic}]"),
                "TOPIC_AUTHORIZATION_FAILED" => format!("Not authorized to access topics: [{topic}]"),
                _ => code.message().to_owned(),
            };
            return (exception_class(code), message);
        }
        match error.code {
            code::TIMED_OUT => {
                let limit = self.max_block.as_millis();
                errors("TimeoutException", format!("Topic {topic} not present in metadata after {limit} ms."))
            }
            code::MSG_TIMED_OUT => {
                let partition = record.partition.map(|partition| format!("-{partition}")).unwrap_or_default();
                let limit = self.delivery_timeout_ms;
                errors(
                    "TimeoutException",
                    format!("Expiring 1 record(s) for {topic}{partition}:{limit} ms has passed since batch creation"),
                )
            }
            code::QUEUE_FULL => {
                let size = record.key_length.unwrap_or(0) + record.value_length.unwrap_or(0);
                let limit = self.max_block.as_millis();
                (
                    "org.apache.kafka.clients.producer.BufferExhaustedException".to_owned(),
                    format!("Failed to allocate {size} bytes within the configured max blocking time {limit} ms."),
                )
            }
            code::AUTHENTICATION => errors("SaslAuthenticationException", error.reason.clone()),
            code::SSL => errors("SslAuthenticationException", error.reason.clone()),
            code::UNKNOWN_TOPIC | code::UNKNOWN_PARTITION => {
                errors("UnknownTopicOrPartitionException", "This server does not host this topic-partition.".to_owned())
            }
            code::TRANSPORT => errors("NetworkException", error.reason.clone()),
            _ => ("org.apache.kafka.common.KafkaException".to_owned(), reason(error)),
        }
    }
}

fn reason(error: &ClientError) -> String {
    match error.reason.is_empty() {
        true => format!("error {}", error.code),
        false => error.reason.clone(),
    }
}

/// `line 7`, or `lines 1-3, 5 and 12 more`; `lines` is sorted.
pub fn ranges(lines: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &line in lines {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == line || *last == line => *last = line,
            _ => ranges.push((line, line)),
        }
    }
    let shown: Vec<String> = ranges
        .iter()
        .take(RANGES_SHOWN)
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    let hidden: u64 = ranges.iter().skip(RANGES_SHOWN).map(|(first, last)| last - first + 1).sum();
    let more = if hidden > 0 { format!(" and {hidden} more") } else { String::new() };
    let word = if lines.len() == 1 { "line" } else { "lines" };
    format!("{word} {}{more}", shown.join(", "))
}
