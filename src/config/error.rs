//! What can be wrong with a configuration, in Apache's words.

use std::fmt;
use std::path::PathBuf;

/// Where a value was written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In a `.properties` file; lines count from 1.
    File { file: PathBuf, line: u32 },
    /// On the command line, as `--override`.
    Override,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File { file, line } => write!(f, "{}, line {line}", file.display()),
            Location::Override => f.write_str("--override"),
        }
    }
}

/// A refused configuration. The first line of `Display` is Apache's own text, which scripts compare; where the
/// value came from a file or the command line, a second one tells the place and what would be allowed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("{}", read_text(.file, .source))]
    Read { file: PathBuf, source: std::io::Error },
    /// The file is not in Java's properties syntax.
    #[error("{reason} ({}, line {line})", .file.display())]
    Syntax { file: PathBuf, line: u32, reason: String },
    /// A known key with a value that it does not take.
    #[error("Invalid value {value} for configuration {key}: {reason}{}", whence(.location, .allowed))]
    InvalidValue { key: String, value: String, reason: Box<str>, allowed: Box<str>, location: Option<Location> },
    /// Keys or values that do not go together.
    #[error("{reason}{}", whence(.location, ""))]
    Unusable { reason: String, location: Option<Location> },
    /// A topic key that Kafka does not have.
    #[error("Unknown topic config name: {0}")]
    UnknownTopicKey(String),
    /// A topic key set to null when a topic is created.
    #[error("Null value not supported for topic configs: {0}")]
    NullTopicValue(String),
    /// Broker keys that cannot be changed while the broker runs.
    #[error("Cannot update these configs dynamically: Set({})", .0.join(", "))]
    NotDynamic(Vec<String>),
    /// Broker keys that only make sense for one broker, set for all.
    #[error("Cannot update these configs at default cluster level, broker id must be specified: Set({})", .0.join(", "))]
    PerBrokerOnly(Vec<String>),
    /// Security keys that need the `listener.name.NAME.` prefix when they are set dynamically.
    #[error(
        "These security configs can be dynamically updated only per-listener using the listener prefix: Set({})",
        .0.join(", ")
    )]
    NeedsListenerPrefix(Vec<String>),
}

impl Error {
    /// The same error, with the place where the value stood.
    pub(super) fn at(mut self, place: Option<Location>) -> Error {
        if let Error::InvalidValue { location, .. } | Error::Unusable { location, .. } = &mut self {
            *location = place;
        }
        self
    }

    pub(super) fn unusable(reason: impl Into<String>) -> Error {
        Error::Unusable { reason: reason.into(), location: None }
    }
}

fn read_text(file: &std::path::Path, source: &std::io::Error) -> String {
    match source.kind() {
        std::io::ErrorKind::NotFound => format!("java.nio.file.NoSuchFileException: {}", file.display()),
        std::io::ErrorKind::PermissionDenied => format!("java.nio.file.AccessDeniedException: {}", file.display()),
        _ => format!("{}: {source}", file.display()),
    }
}

fn whence(location: &Option<Location>, allowed: &str) -> String {
    match (location, allowed.is_empty()) {
        (None, _) => String::new(),
        (Some(location), true) => format!("\n\t({location})"),
        (Some(location), false) => format!("\n\t({location}; allowed: {allowed})"),
    }
}
