//! The commands. Each is one file with a `main()`; [`COMMANDS`] lists them all.
//!
//! A command declares its flags as an [`args::OptionTable`] and has `run(args, io)`; its `main` is
//! `run_command(NAME, &TABLE, run)`. It prints to [`Io`] only, never with `println!` (which panics when the reader of a
//! pipe has gone), and fails with an [`error::Error`].

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub mod advice;
pub mod args;
pub mod console_consumer;
pub mod console_producer;
pub mod daemon;
mod environment;
pub mod error;
mod generate;
pub mod java_hash;
pub mod leader_election;
pub mod log4j;
pub mod nearest;
pub mod ottla;
pub mod output;
mod picker;
mod progress;
pub mod quickstart;
pub mod reassign_partitions;
pub mod server_start;
pub mod server_stop;
pub mod signals;
pub mod terminal;
mod topic_names;
pub mod topics;
mod topics_zk;
pub mod zookeeper_server_start;
pub mod zookeeper_server_stop;

use args::OptionTable;
use output::{Document, Output};
use terminal::Terminal;

/// The release whose behaviour the commands have, printed by `--version`.
pub const VERSION: &str = "3.9.1";

/// What a command reads its surroundings from and prints to; a test gives its own.
pub struct Io<'a> {
    /// Buffered when it is the process's: [`run_command`] flushes at the end. With `--output json` it is stderr, and
    /// what belongs on stdout goes into `document`.
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
    /// `KAFKA_STRICT_COMPAT=1`: Apache's behaviour also where ours differs on purpose.
    pub strict_compat: bool,
    /// How facts are to be printed, by commands that have [`output::OPTION`].
    pub output: Output,
    /// What is told with `--output json`.
    pub document: Document,
    pub terminal: Terminal,
}

impl<'a> Io<'a> {
    /// As a script sees a command: no terminal, plain output.
    pub fn plain(stdout: &'a mut dyn Write, stderr: &'a mut dyn Write) -> Io<'a> {
        let (output, document) = (Output::Plain, Document::default());
        Io { stdout, stderr, strict_compat: false, output, document, terminal: Terminal::NONE }
    }

    /// Whether what Apache does not say may be said: advice to a person, after Apache's own text.
    pub fn gives_hints(&self) -> bool {
        self.terminal.stderr && !self.strict_compat
    }
}

/// Runs a command on this process's arguments and streams, and tells its error.
pub fn run_command(
    name: &str,
    table: &'static args::OptionTable,
    run: fn(&[String], &mut Io) -> Result<ExitCode, error::Error>,
) -> ExitCode {
    let args = arguments();
    let strict_compat = is_strict();
    let terminal = Terminal::of_this_process();
    let has_output = table.options.iter().any(|option| option.name == output::OPTION.name);
    let asked_for = if has_output { Output::asked_for(&args) } else { Ok(None) };
    let at_terminal = if terminal.stdout && !strict_compat { Output::Table } else { Output::Plain };
    let mut buffered = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let (mut stderr, mut prose) = (io::stderr(), io::stderr());
    let output = asked_for.as_ref().map_or(Output::Plain, |asked_for| asked_for.unwrap_or(at_terminal));
    let is_json = output == Output::Json;
    let (code, document) = {
        let stdout: &mut dyn Write = if is_json { &mut prose } else { &mut buffered };
        let document = Document::default();
        let mut io = Io { stdout, stderr: &mut stderr, strict_compat, output, document, terminal };
        let result = match asked_for {
            Ok(_) => run(&args, &mut io),
            Err(value) => Err(error::Error::Usage(format!(
                "Cannot parse argument '{value}' of option output: plain, table or json is expected"
            ))),
        };
        // What was printed comes before the error, as the lines of an unbuffered stream would.
        let flushed = io.stdout.flush().map_err(error::Error::from);
        let code = match result.and_then(|code| flushed.map(|()| code)) {
            Ok(code) => code,
            Err(error) => error.report(table, &args, &mut io),
        };
        (code, io.document)
    };
    if is_json && document.write(name, &mut buffered).and_then(|()| buffered.flush()).is_err() {
        // The reader has gone, and has what it wanted.
        return code;
    }
    code
}

/// `KAFKA_STRICT_COMPAT=1` in the environment.
pub fn is_strict() -> bool {
    std::env::var_os("KAFKA_STRICT_COMPAT").is_some_and(|value| value == "1")
}

/// This process's arguments without the command's name: `ottla topics --list` has one, `kafka-topics --list` too.
/// Bytes that are not UTF-8 are replaced, as Java does.
pub fn arguments() -> Vec<String> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let is_ottla = words.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "ottla"));
    words.into_iter().skip(1 + usize::from(is_ottla)).collect()
}

/// One command: its installed name, its entry, and what help, completions and man pages are made from.
pub struct Command {
    /// As in Apache's `bin/`, without `.sh`.
    pub name: &'static str,
    /// What it does, for the list of commands.
    pub about: &'static str,
    /// Runs it on this process's arguments.
    pub main: fn() -> ExitCode,
    pub options: &'static OptionTable,
    /// What `--output json` prints, one entry an action: its name, and a schema in the manner of the man page.
    pub json: &'static [(&'static str, &'static str)],
}

/// Every command, in the order in which help lists them. After a change: `cargo run --bin ottla -- generate .`
pub const COMMANDS: &[Command] = &[
    Command {
        name: "kafka-topics",
        about: "creates, lists, describes, alters and deletes topics",
        main: topics::main,
        options: &topics::TABLE,
        json: topics::JSON,
    },
    Command {
        name: "kafka-console-producer",
        about: "sends lines as records",
        main: console_producer::main,
        options: &console_producer::TABLE,
        json: &[],
    },
    Command {
        name: "kafka-console-consumer",
        about: "prints records as lines",
        main: console_consumer::main,
        options: &console_consumer::TABLE,
        json: &[],
    },
    Command {
        name: "kafka-leader-election",
        about: "elects leaders of partitions",
        main: leader_election::main,
        options: &leader_election::TABLE,
        json: &[],
    },
    Command {
        name: "kafka-reassign-partitions",
        about: "moves partitions between brokers and log directories",
        main: reassign_partitions::main,
        options: &reassign_partitions::TABLE,
        json: &[],
    },
    Command {
        name: "kafka-server-start",
        about: "runs a broker",
        main: server_start::main,
        options: &server_start::TABLE,
        json: &[],
    },
    Command {
        name: "kafka-server-stop",
        about: "stops the brokers of this machine",
        main: server_stop::main,
        options: &server_stop::TABLE,
        json: &[],
    },
    Command {
        name: "zookeeper-server-start",
        about: "runs a registry that speaks ZooKeeper's protocol",
        main: zookeeper_server_start::main,
        options: &zookeeper_server_start::TABLE,
        json: &[],
    },
    Command {
        name: "zookeeper-server-stop",
        about: "stops the registries of this machine",
        main: zookeeper_server_stop::main,
        options: &zookeeper_server_stop::TABLE,
        json: &[],
    },
];
