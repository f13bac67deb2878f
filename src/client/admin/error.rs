//! Why an admin request failed, in the words and under the names that Java's admin client has for it.

use std::fmt;

use crate::wire::ErrorCode;

/// A failed admin request, or a client that could not be set up.
#[derive(Debug, Clone)]
pub enum Error {
    /// The cluster refused, or the client itself did so before asking; `code` says which refusal it is.
    Api { code: ErrorCode, message: String },
    /// The deadline passed. `cause` is what the last attempt met, if there was one.
    Timeout { message: String, cause: Option<Box<Error>> },
    /// A connection broke while an answer was awaited. Retried, so it is seen only as the cause of a time-out.
    Disconnected(String),
    /// A broker that cannot be spoken to under TLS, and why.
    Tls(String),
    /// A key of the configuration has a value that it does not take.
    Config(String),
    /// The client could not do what it had to: be set up, or find brokers.
    Client { message: String, cause: Box<Error> },
}

impl Error {
    /// A client that could not be set up.
    pub fn start(cause: Error) -> Error {
        Error::Client { message: "Failed to create new KafkaAdminClient".to_owned(), cause: Box::new(cause) }
    }

    /// The refusal `code`, with the broker's own text where it sent one (which may be empty, and is then kept so).
    pub fn api(code: impl Into<ErrorCode>, message: Option<String>) -> Error {
        let code = code.into();
        Error::Api { code, message: message.unwrap_or_else(|| code.message().to_owned()) }
    }

    /// `Err` unless the code is NONE.
    pub fn check(code: i16, message: Option<String>) -> Result<(), Error> {
        if ErrorCode(code).is_ok() { Ok(()) } else { Err(Error::api(code, message)) }
    }

    /// The cluster's error code, if it is a refusal.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Api { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// The full name of the Java exception.
    pub fn class(&self) -> String {
        match self {
            Error::Api { code, .. } => format!("org.apache.kafka.common.errors.{}", code.exception()),
            Error::Timeout { .. } => "org.apache.kafka.common.errors.TimeoutException".to_owned(),
            Error::Disconnected(_) => "org.apache.kafka.common.errors.DisconnectException".to_owned(),
            Error::Tls(_) => "org.apache.kafka.common.errors.SslAuthenticationException".to_owned(),
            Error::Config(_) => "org.apache.kafka.common.config.ConfigException".to_owned(),
            Error::Client { .. } => "org.apache.kafka.common.KafkaException".to_owned(),
        }
    }

    /// What Java prints of it, without the frames: `class: message`, then a line for each cause.
    pub fn stack_trace(&self) -> String {
        let mut text = format!("{}: {self}", self.class());
        let mut cause = self.cause();
        while let Some(error) = cause {
            text.push_str(&format!("\nCaused by: {}: {error}", error.class()));
            cause = error.cause();
        }
        text
    }

    fn cause(&self) -> Option<&Error> {
        match self {
            Error::Timeout { cause, .. } => cause.as_deref(),
            Error::Client { cause, .. } => Some(cause),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Api { message, .. } | Error::Timeout { message, .. } | Error::Client { message, .. } => {
                f.write_str(message)
            }
            Error::Tls(reason) => write!(f, "SSL handshake failed: {reason}"),
            Error::Disconnected(message) | Error::Config(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause().map(|cause| cause as &(dyn std::error::Error + 'static))
    }
}
