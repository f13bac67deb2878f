//! A server's log: `tracing` events as log4j lines on stdout, and in a file when the server is a daemon.
//!
//! `[2026-01-01 00:00:00,000] INFO message (logger)`; an event's field `exception` follows on a line of its own, as
//! a stack trace would. Levels are chosen with `KAFKA_LOG_LEVEL` (`debug`, `info,ottla::log=trace`; default `info`).

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::cli::log4j::timestamp;

/// The log of this process. Clones are the same log.
///
/// Lines are held back until [`ServerLog::release`], so that the line which says where the server listens can be
/// the first on stdout.
#[derive(Debug, Clone)]
pub struct ServerLog {
    sink: Arc<Mutex<Sink>>,
}

#[derive(Debug)]
struct Sink {
    /// Lines that stdout has not seen yet.
    held: Option<Vec<u8>>,
    file: Option<File>,
}

impl ServerLog {
    /// Makes this the process's log. A file that cannot be opened is said in the log and done without.
    pub fn start(file: Option<PathBuf>) -> ServerLog {
        let opened = file.as_ref().map(|path| {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            OpenOptions::new().create(true).append(true).open(path)
        });
        let (file, failure) = match opened {
            Some(Ok(file)) => (Some(file), None),
            Some(Err(error)) => (None, Some(error)),
            None => (None, None),
        };
        let log = ServerLog { sink: Arc::new(Mutex::new(Sink { held: Some(Vec::new()), file })) };
        let levels = std::env::var("KAFKA_LOG_LEVEL").unwrap_or_else(|_| DEFAULT_LEVELS.into());
        let filter = tracing_subscriber::EnvFilter::builder().parse_lossy(levels);
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .event_format(Log4jLayout)
            .with_writer(log.clone())
            .finish();
        // Only a second server in one process could find the place taken; the first log serves both then.
        let _ = tracing::subscriber::set_global_default(subscriber);
        if let Some(error) = failure {
            tracing::warn!("open log file: {error}");
        }
        log
    }

    /// Writes `first_line` to stdout, if there is one, then what was held back; from now on nothing is.
    pub fn release(&self, first_line: Option<&str>) {
        let mut sink = self.sink.lock();
        let Some(held) = sink.held.take() else { return };
        let mut stdout = io::stdout().lock();
        // A reader that went away takes nothing from a server.
        let _ = first_line.map_or(Ok(()), |line| writeln!(stdout, "{line}"));
        let _ = stdout.write_all(&held);
        let _ = stdout.flush();
    }
}

/// Without a filter of the user's.
const DEFAULT_LEVELS: &str = "info";

impl<'a> MakeWriter<'a> for ServerLog {
    type Writer = &'a ServerLog;

    fn make_writer(&'a self) -> &'a ServerLog {
        self
    }
}

impl Write for &ServerLog {
    /// Takes one whole line: the layout hands over an event at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut sink = self.sink.lock();
        match &mut sink.held {
            Some(held) => held.extend_from_slice(line),
            None => {
                let mut stdout = io::stdout().lock();
                let _ = stdout.write_all(line).and_then(|()| stdout.flush());
            }
        }
        if let Some(file) = &mut sink.file {
            let _ = file.write_all(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// log4j's `[%d] %p %m (%c)%n`.
struct Log4jLayout;

impl<S, N> FormatEvent<S, N> for Log4jLayout
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &tracing::Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let (level, logger) = (event.metadata().level(), event.metadata().target());
        let Parts { message, fields, exception } = parts;
        writeln!(writer, "[{}] {level} {message}{fields} ({logger})", timestamp(SystemTime::now()))?;
        if !exception.is_empty() {
            writeln!(writer, "{exception}")?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Parts {
    message: String,
    fields: String,
    exception: String,
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "exception" => write!(self.exception, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
