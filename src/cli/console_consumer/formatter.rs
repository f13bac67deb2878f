//! Message formatters: a record in, what is printed of it out. Named by Apache's classes, old and new.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::Write;

use super::deserializers::Deserializer;
use super::internal_topics;
use crate::client::consumer::{Record, Timestamp};

/// What turns a record into output.
#[derive(Debug)]
pub enum Formatter {
    /// Columns of text: the default. `LoggingMessageFormatter` prints the same, and what it logs at INFO the tools'
    /// stock log level never shows.
    Default(DefaultMessageFormatter),
    NoOp,
    /// The record's checksum (0.8 … 2.8), after the property `topic`.
    Checksum {
        topic: String,
        old_consumer: bool,
    },
    /// Records of an internal topic.
    Internal {
        kind: InternalRecord,
        style: Style,
    },
}

/// Which internal records are printed; those of other kinds are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InternalRecord {
    Offset,
    GroupMetadata,
    TransactionLog,
}

/// The two ways in which Apache printed internal records.
#[derive(Debug, Clone)]
pub enum Style {
    /// JSON, with no newline between records (3.9 and later). The key's version is labelled `type` since 4.0, whose
    /// brokers write values of newer versions than any before: that is how we tell.
    Json { label: Cell<&'static str> },
    /// `key::value`, a line each (up to 3.9).
    Text,
}

/// A class name that means one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Class {
    kind: Kind,
    /// The name that Apache 3.8 and 3.9 ask the user of an old name to write.
    replacement: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Default,
    NoOp,
    Checksum,
    Json(InternalRecord),
    Text(InternalRecord),
}

fn class(name: &str) -> Option<Class> {
    let current = |kind| Some(Class { kind, replacement: None });
    let renamed = |kind, replacement| Some(Class { kind, replacement: Some(replacement) });
    match name {
        "org.apache.kafka.tools.consumer.DefaultMessageFormatter"
        | "org.apache.kafka.tools.consumer.LoggingMessageFormatter" => current(Kind::Default),
        "org.apache.kafka.tools.consumer.NoOpMessageFormatter" => current(Kind::NoOp),
        "org.apache.kafka.tools.consumer.OffsetsMessageFormatter" => current(Kind::Json(InternalRecord::Offset)),
        "org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter" => {
            current(Kind::Json(InternalRecord::GroupMetadata))
        }
        "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter" => {
            current(Kind::Json(InternalRecord::TransactionLog))
        }
        "kafka.tools.ChecksumMessageFormatter" => current(Kind::Checksum),
        "kafka.tools.DefaultMessageFormatter" => {
            renamed(Kind::Default, "org.apache.kafka.tools.consumer.DefaultMessageFormatter")
        }
        "kafka.tools.LoggingMessageFormatter" => {
            renamed(Kind::Default, "org.apache.kafka.tools.consumer.LoggingMessageFormatter")
        }
        "kafka.tools.NoOpMessageFormatter" => {
            renamed(Kind::NoOp, "org.apache.kafka.tools.consumer.NoOpMessageFormatter")
        }
        "kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter" => {
            let replacement = "org.apache.kafka.tools.consumer.OffsetsMessageFormatter";
            renamed(Kind::Text(InternalRecord::Offset), replacement)
        }
        "kafka.coordinator.group.GroupMetadataManager$GroupMetadataMessageFormatter" => {
            let replacement = "org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter";
            renamed(Kind::Text(InternalRecord::GroupMetadata), replacement)
        }
        "kafka.coordinator.transaction.TransactionLog$TransactionLogMessageFormatter" => {
            let replacement = "org.apache.kafka.tools.consumer.TransactionLogMessageFormatter";
            renamed(Kind::Text(InternalRecord::TransactionLog), replacement)
        }
        // The names of 0.9 … 0.10 and of 0.8.2, which no later release warned about.
        "kafka.coordinator.GroupMetadataManager$OffsetsMessageFormatter"
        | "kafka.server.OffsetManager$OffsetsMessageFormatter" => current(Kind::Text(InternalRecord::Offset)),
        "kafka.coordinator.GroupMetadataManager$GroupMetadataMessageFormatter" => {
            current(Kind::Text(InternalRecord::GroupMetadata))
        }
        _ => None,
    }
}

/// The formatter used when none is named.
pub const DEFAULT_CLASS: &str = "org.apache.kafka.tools.consumer.DefaultMessageFormatter";

/// What goes to stderr about an old class name: Apache 3.8's and 3.9's words.
pub fn deprecation(name: &str) -> Option<String> {
    let replacement = class(name)?.replacement?;
    Some(format!(
        "WARNING: {name} is deprecated and will be removed in the next major release. Please use {replacement} instead"
    ))
}

/// How formatters are configured.
pub struct Settings<'a> {
    /// Formatter properties.
    pub properties: &'a HashMap<String, String>,
    /// Records come from the ZooKeeper consumer.
    pub old_consumer: bool,
    /// The columns of 4.0 (`print.epoch`, `print.delivery`) are known.
    pub columns_of_4: bool,
}

impl Formatter {
    /// Makes the formatter of class `name`, `None` when there is no such class. What is wrong with its
    /// deserializers is appended to `complaints`, each with its exception: as in Java, it does not stop the tool.
    pub fn new(name: &str, settings: &Settings<'_>, complaints: &mut Vec<(String, String)>) -> Option<Formatter> {
        Some(match class(name)?.kind {
            Kind::Default => Formatter::Default(DefaultMessageFormatter::new(settings, complaints)),
            Kind::NoOp => Formatter::NoOp,
            Kind::Checksum => Formatter::Checksum {
                topic: settings.properties.get("topic").map(|topic| format!("{topic}:")).unwrap_or_default(),
                old_consumer: settings.old_consumer,
            },
            Kind::Json(kind) => Formatter::Internal { kind, style: Style::Json { label: Cell::new("version") } },
            Kind::Text(kind) => Formatter::Internal { kind, style: Style::Text },
        })
    }

    /// Appends what is printed of `record` to `out`.
    ///
    /// # Errors
    /// The Java exception, when the record is not what the formatter expects. What was printed before the place of
    /// the error stays in `out`.
    pub fn write_to(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match self {
            Formatter::Default(formatter) => formatter.write_to(record, out),
            Formatter::NoOp => Ok(()),
            Formatter::Checksum { topic, old_consumer } => {
                let checksum = if *old_consumer { message_checksum(record) } else { partial_checksum(record) };
                // Writing to a Vec cannot fail.
                let _ = writeln!(out, "{topic}checksum:{checksum}");
                Ok(())
            }
            Formatter::Internal { kind, style } => internal_topics::write_to(*kind, style, record, out),
        }
    }
}

/// `DefaultMessageFormatter`: timestamp, partition, offset, delivery, epoch, headers, key, value.
#[derive(Debug)]
pub struct DefaultMessageFormatter {
    print_timestamp: bool,
    print_partition: bool,
    print_offset: bool,
    print_delivery: bool,
    print_epoch: bool,
    print_headers: bool,
    print_key: bool,
    print_value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_deserializer: Option<Deserializer>,
    value_deserializer: Option<Deserializer>,
    headers_deserializer: Option<Deserializer>,
}

impl DefaultMessageFormatter {
    fn new(settings: &Settings<'_>, complaints: &mut Vec<(String, String)>) -> DefaultMessageFormatter {
        let properties = settings.properties;
        let flag = |key: &str, default: bool| match properties.get(key) {
            Some(value) => value.trim().eq_ignore_ascii_case("true"),
            None => default,
        };
        let text = |key: &str, default: &str| {
            properties.get(key).map_or(default.as_bytes(), |value| value.as_bytes()).to_vec()
        };
        let mut deserializer = |key: &str, is_key: bool| deserializer(properties, key, is_key, complaints);
        DefaultMessageFormatter {
            print_timestamp: flag("print.timestamp", false),
            print_partition: flag("print.partition", false),
            print_offset: flag("print.offset", false),
            print_delivery: settings.columns_of_4 && flag("print.delivery", false),
            print_epoch: settings.columns_of_4 && flag("print.epoch", false),
            print_headers: flag("print.headers", false),
            print_key: flag("print.key", false),
            print_value: flag("print.value", true),
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null_literal: text("null.literal", "null"),
            key_deserializer: deserializer("key.deserializer", true),
            value_deserializer: deserializer("value.deserializer", false),
            headers_deserializer: deserializer("headers.deserializer", false),
        }
    }

    fn write_to(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        // Each column ends with the separator that belongs after it: the line's when no column follows.
        let after_epoch = self.print_headers || self.print_key || self.print_value;
        let after_delivery = self.print_epoch || after_epoch;
        let after_offset = self.print_delivery || after_delivery;
        let after_partition = self.print_offset || after_offset;
        let after_timestamp = self.print_partition || after_partition;
        // Writing to a Vec cannot fail.
        if self.print_timestamp {
            let _ = match record.timestamp {
                Timestamp::None => write!(out, "NO_TIMESTAMP"),
                Timestamp::CreateTime(time) => write!(out, "CreateTime:{time}"),
                Timestamp::LogAppendTime(time) => write!(out, "LogAppendTime:{time}"),
            };
            self.separate(after_timestamp, out);
        }
        if self.print_partition {
            let _ = write!(out, "Partition:{}", record.partition);
            self.separate(after_partition, out);
        }
        if self.print_offset {
            let _ = write!(out, "Offset:{}", record.offset);
            self.separate(after_offset, out);
        }
        // Apache hands its formatter a record that carries neither.
        if self.print_delivery {
            out.extend_from_slice(b"Delivery:NOT_PRESENT");
            self.separate(after_delivery, out);
        }
        if self.print_epoch {
            out.extend_from_slice(b"Epoch:NOT_PRESENT");
            self.separate(after_epoch, out);
        }
        if self.print_headers {
            self.write_headers(record, out)?;
            self.separate(self.print_key || self.print_value, out);
        }
        if self.print_key {
            self.write_bytes(record.key, &self.key_deserializer, out)?;
            self.separate(self.print_value, out);
        }
        if self.print_value {
            self.write_bytes(record.value, &self.value_deserializer, out)?;
            out.extend_from_slice(&self.line_separator);
        }
        Ok(())
    }

    fn write_headers(&self, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        let headers = record.headers.to_vec();
        if headers.is_empty() {
            out.extend_from_slice(b"NO_HEADERS");
        }
        for (index, (key, value)) in headers.into_iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(&self.headers_separator);
            }
            out.extend_from_slice(key);
            out.push(b':');
            self.write_bytes(value, &self.headers_deserializer, out)?;
        }
        Ok(())
    }

    /// The null literal goes through the deserializer like any other bytes.
    fn write_bytes(
        &self,
        bytes: Option<&[u8]>,
        deserializer: &Option<Deserializer>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let bytes = bytes.unwrap_or(&self.null_literal);
        match deserializer {
            Some(deserializer) => deserializer.deserialize(bytes, out).map_err(|error| error.to_string()),
            None => {
                out.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    fn separate(&self, column_follows: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(if column_follows { &self.key_separator } else { &self.line_separator });
    }
}

fn deserializer(
    properties: &HashMap<String, String>,
    key: &str,
    is_key: bool,
    complaints: &mut Vec<(String, String)>,
) -> Option<Deserializer> {
    let class = properties.get(key)?;
    let own: HashMap<&str, &str> = properties
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix(key)?.strip_prefix('.')?, value.as_str())))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    match Deserializer::named(class, &own, is_key) {
        Ok(deserializer) => Some(deserializer),
        Err(exception) => {
            complaints.push((format!("Unable to instantiate a deserializer from {class}"), exception));
            None
        }
    }
}

/// The CRC-32 of the message as a broker of that time stored it: magic 1, or 0 without a timestamp; uncompressed.
///
/// Source: 1.1 `Message`: i8 magic, i8 attributes, i64 timestamp (magic 1), key, value with i32 sizes.
fn message_checksum(record: &Record<'_>) -> u32 {
    let mut crc = flate2::Crc::new();
    match record.timestamp {
        Timestamp::None => crc.update(&[0, 0]),
        Timestamp::CreateTime(time) => {
            crc.update(&[1, 0]);
            crc.update(&time.to_be_bytes());
        }
        Timestamp::LogAppendTime(time) => {
            crc.update(&[1, 8]);
            crc.update(&time.to_be_bytes());
        }
    }
    for part in [record.key, record.value] {
        crc.update(&size_of_part(part).to_be_bytes());
        crc.update(part.unwrap_or_default());
    }
    crc.sum()
}

/// What Java's new consumer answers for a record that has no checksum of its own: the CRC-32C of timestamp and sizes.
///
/// Source: `DefaultRecord.computePartialChecksum`.
fn partial_checksum(record: &Record<'_>) -> u32 {
    let time = match record.timestamp {
        Timestamp::None => -1,
        Timestamp::CreateTime(time) | Timestamp::LogAppendTime(time) => time,
    };
    let mut bytes = time.to_be_bytes().to_vec();
    bytes.extend_from_slice(&size_of_part(record.key).to_be_bytes());
    bytes.extend_from_slice(&size_of_part(record.value).to_be_bytes());
    crc32c::crc32c(&bytes)
}

fn size_of_part(part: Option<&[u8]>) -> i32 {
    part.map_or(-1, |part| i32::try_from(part.len()).unwrap_or(i32::MAX))
}
