//! Log lines on stderr in the layout of Apache's tools: `[2025-11-23 00:12:01,123] WARN message (logger)`.

use std::fmt;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::producer::ClientError;
use crate::client::producer::code::{ALL_BROKERS_DOWN, RESOLVE, TRANSPORT};

/// The logger of what concerns connections.
pub const NETWORK_CLIENT: &str = "org.apache.kafka.clients.NetworkClient";

/// Writes one WARN line. A stderr that is gone is not an error.
pub fn warn(message: impl fmt::Display, logger: &str) {
    line("WARN", message, logger);
}

/// Writes one ERROR line. A stderr that is gone is not an error.
pub fn error(message: impl fmt::Display, logger: &str) {
    line("ERROR", message, logger);
}

/// Writes an ERROR line and below it the exception, as log4j prints one that it was given.
pub fn exception(message: impl fmt::Display, logger: &str, exception: impl fmt::Display) {
    let text = format!("[{}] ERROR {message} ({logger})\n{exception}\n", timestamp(SystemTime::now()));
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Writes a client's trouble as Java's network client words it. `client` is e.g. `Producer clientId=console-producer`.
pub fn client_trouble(client: &str, error: &ClientError) {
    if error.is(ALL_BROKERS_DOWN) {
        return; // each of them was told already
    }
    // librdkafka: `host:port/ID: Connect to ipv4#host:port failed: Connection refused (…)`, ID being a number or `bootstrap`.
    let node = error.reason.split_once(": ").and_then(|(node, _)| node.split_once('/'));
    match node {
        Some((address, id)) if error.is(TRANSPORT) || error.is(RESOLVE) => {
            let id = id.parse::<i32>().unwrap_or(-1);
            let what = match error.reason.contains(": Connect to ") || error.is(RESOLVE) {
                true => {
                    format!("Connection to node {id} ({address}) could not be established. Node may not be available.")
                }
                false => format!("Node {id} ({address}) disconnected."),
            };
            warn(format_args!("[{client}] {what}"), NETWORK_CLIENT);
        }
        _ => warn(format_args!("[{client}] {}", error.reason), NETWORK_CLIENT),
    }
}

/// Writes one ERROR line where the caller wants it.
///
/// # Errors
/// Those of writing.
pub fn error_to(out: &mut dyn Write, message: impl fmt::Display, logger: &str) -> io::Result<()> {
    out.write_all(text("ERROR", message, logger).as_bytes())
}

fn line(level: &str, message: impl fmt::Display, logger: &str) {
    let _ = io::stderr().lock().write_all(text(level, message, logger).as_bytes());
}

fn text(level: &str, message: impl fmt::Display, logger: &str) -> String {
    format!("[{}] {level} {message} ({logger})\n", timestamp(SystemTime::now()))
}

/// Local time, as log4j's ISO8601 has it: `2025-11-23 00:12:01,123`.
pub fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() as libc::time_t;
    // SAFETY: both pointers are to live values of the right type; localtime_r writes the second and keeps neither.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        libc::localtime_r(&seconds, &mut tm);
        tm
    };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03}",
        tm.tm_year + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        since.subsec_millis()
    )
}

/// Sends what this process's own rooms log at WARN and above to stderr, in this layout. For a command's start.
pub fn install() {
    // An error means that it was done before, which is as good.
    let _ = tracing::subscriber::set_global_default(Subscriber);
}

/// Prints events as they come; there are no spans in a command.
struct Subscriber;

impl tracing::Subscriber for Subscriber {
    fn enabled(&self, metadata: &tracing::Metadata) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(tracing::level_filters::LevelFilter::WARN)
    }

    fn event(&self, event: &tracing::Event) {
        let mut text = Text::default();
        event.record(&mut text);
        line(
            event.metadata().level().as_str(),
            format_args!("{}{}", text.message, text.fields),
            event.metadata().target(),
        );
    }

    fn new_span(&self, _: &tracing::span::Attributes) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[derive(Default)]
struct Text {
    message: String,
    /// ` name=value` for each field but the message.
    fields: String,
}

impl tracing::field::Visit for Text {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.fields.push_str(&format!(" {name}={value:?}")),
        }
    }
}
