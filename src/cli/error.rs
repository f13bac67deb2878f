//! How a command fails: what it says, where, and with which exit code. The texts are Apache's.

use std::fmt;
use std::io;
use std::process::ExitCode;

use crate::cli::args::{ArgsError, OptionTable};
use crate::cli::nearest::nearest;
use crate::cli::{Io, VERSION};
use crate::wire::error_code::ErrorCode;

/// Why a command ends early.
#[derive(Debug)]
pub enum Error {
    /// The message, then the option table, on stderr; exit 1 (`CommandLineUtils.printUsageAndExit`).
    Usage(String),
    /// The message alone on stderr; exit 1.
    Message(String),
    /// What Apache's tool throws: `class: message` on stderr; exit 1. A script sees the first line of a stack trace.
    Exception { class: String, message: String },
    /// A write to stdout or stderr failed. A reader that went away is a normal end.
    Output(io::Error),
    /// Everything was said already.
    Exit(u8),
}

impl Error {
    /// An exception of Apache's clients, `org.apache.kafka.common.…`; `class` is what follows those words.
    pub fn kafka(class: &str, message: impl Into<String>) -> Error {
        Error::Exception { class: format!("org.apache.kafka.common.{class}"), message: message.into() }
    }

    /// A broker's error as the client's exception. `message` is the broker's own, if it sent one.
    pub fn from_code(code: ErrorCode, message: Option<&str>) -> Error {
        Error::Exception { class: exception_class(code), message: message.unwrap_or_else(|| code.message()).to_owned() }
    }

    /// Says it, with advice where somebody is there to take it, and returns the exit code.
    pub fn report(&self, table: &OptionTable, args: &[String], io: &mut Io) -> ExitCode {
        let code = match self.tell(table, io) {
            Ok(code) => code,
            Err(_) => ExitCode::FAILURE, // stderr is gone: nothing can be said, but the code still tells
        };
        let (class, message) = match self {
            Error::Exception { class, message } => (Some(class.as_str()), message.clone()),
            Error::Output(_) | Error::Exit(_) => return code,
            // Where a stack trace follows, the message is the first line.
            other => (None, other.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        let hints = unknown_option_hint(table, args).into_iter().collect::<Vec<_>>();
        io.document.fail(class, &message, &hints);
        advise(io, &hints);
        code
    }

    fn tell(&self, table: &OptionTable, io: &mut Io) -> io::Result<ExitCode> {
        match self {
            Error::Usage(message) => {
                writeln!(io.stderr, "{message}")?;
                table.write_options(io.stderr)?;
            }
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::SUCCESS),
            Error::Exit(code) => return Ok(ExitCode::from(*code)),
            other => writeln!(io.stderr, "{other}")?,
        }
        Ok(ExitCode::FAILURE)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Usage(message) | Error::Message(message) => f.write_str(message),
            Error::Exception { class, message } => write!(f, "{class}: {message}"),
            Error::Output(error) => write!(f, "write output: {error}"),
            Error::Exit(code) => write!(f, "exit {code}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Output(error)
    }
}

/// As most of Apache's tools show it: message and option table, or the message alone where the value was bad.
impl From<ArgsError> for Error {
    fn from(error: ArgsError) -> Error {
        match error.shows_usage() {
            true => Error::Usage(error.to_string()),
            false => Error::Message(error.to_string()),
        }
    }
}

/// The full name of the Java exception that a client throws for an error code.
pub fn exception_class(code: ErrorCode) -> String {
    format!("org.apache.kafka.common.errors.{}", code.exception())
}

/// Tells a person the way out, after Apache's own text. Scripts do not get to see it.
pub fn advise(io: &mut Io, hints: &[String]) {
    if io.gives_hints() {
        for hint in hints {
            // A stderr that is gone is not an error.
            let _ = writeln!(io.stderr, "hint: {hint}");
        }
    }
}

fn unknown_option_hint(table: &OptionTable, args: &[String]) -> Option<String> {
    let unknown = table.unknown(args)?;
    let near = nearest(unknown, table.options.iter().map(|option| option.name));
    match near.is_empty() {
        true => Some(format!("there is no option --{unknown}; --help lists those there are")),
        false => {
            let near: Vec<String> = near.iter().map(|name| format!("--{name}")).collect();
            Some(format!("there is no option --{unknown}; did you mean {}?", near.join(" or ")))
        }
    }
}

/// Answers `--help` and `--version`, which every jopt command has.
///
/// Help goes to stdout with exit 0; with `KAFKA_STRICT_COMPAT=1` to stderr with exit 1, as Apache's does.
///
/// # Errors
/// Those of writing.
pub fn help_or_version(
    table: &OptionTable,
    matches: &crate::cli::args::Matches,
    io: &mut Io,
) -> Result<Option<ExitCode>, Error> {
    if matches.has("help") {
        if io.strict_compat {
            return Err(Error::Usage(table.purpose.to_owned()));
        }
        writeln!(io.stdout, "{}", table.purpose)?;
        table.write_options(io.stdout)?;
        return Ok(Some(ExitCode::SUCCESS));
    }
    if matches.has("version") {
        writeln!(io.stdout, "{VERSION}")?;
        return Ok(Some(ExitCode::SUCCESS));
    }
    Ok(None)
}
