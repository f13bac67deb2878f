//! The commands. Each is one file with a `main()`; [`COMMANDS`] lists them all.
//!
//! A command declares its flags as an [`args::OptionTable`] and has `run(args, io)`; its `main` is
//! `run_command(&TABLE, run)`. It prints to [`Io`] only, never with `println!` (which panics when the reader of a
//! pipe has gone), and fails with an [`error::Error`].

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

pub mod args;
pub mod console_consumer;
pub mod console_producer;
pub mod daemon;
pub mod error;
pub mod java_hash;
pub mod leader_election;
pub mod log4j;
pub mod ottla;
pub mod quickstart;
pub mod reassign_partitions;
pub mod server_start;
pub mod server_stop;
pub mod signals;
pub mod topics;
mod topics_zk;
pub mod zookeeper_server_start;
pub mod zookeeper_server_stop;

/// The release whose behaviour the commands have, printed by `--version`.
pub const VERSION: &str = "3.9.1";

/// What a command reads its surroundings from and prints to; a test gives its own.
pub struct Io<'a> {
    /// Buffered when it is the process's: [`run_command`] flushes at the end.
    pub stdout: &'a mut dyn Write,
    pub stderr: &'a mut dyn Write,
    /// `KAFKA_STRICT_COMPAT=1`: Apache's behaviour also where ours differs on purpose.
    pub strict_compat: bool,
}

/// Runs a command on this process's arguments and streams, and tells its error.
pub fn run_command(
    table: &'static args::OptionTable,
    run: fn(&[String], &mut Io) -> Result<ExitCode, error::Error>,
) -> ExitCode {
    let args = arguments();
    let mut stdout = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    let mut stderr = io::stderr();
    let strict_compat = std::env::var_os("KAFKA_STRICT_COMPAT").is_some_and(|value| value == "1");
    let mut io = Io { stdout: &mut stdout, stderr: &mut stderr, strict_compat };
    let result = run(&args, &mut io);
    // What was printed comes before the error, as the lines of an unbuffered stream would.
    let flushed = io.stdout.flush().map_err(error::Error::from);
    match result.and_then(|code| flushed.map(|()| code)) {
        Ok(code) => code,
        Err(error) => error.report(table, &mut io),
    }
}

/// This process's arguments without the command's name: `ottla topics --list` has one, `kafka-topics --list` too.
/// Bytes that are not UTF-8 are replaced, as Java does.
pub fn arguments() -> Vec<String> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let is_ottla = words.first().is_some_and(|name| Path::new(name).file_name().is_some_and(|name| name == "ottla"));
    words.into_iter().skip(1 + usize::from(is_ottla)).collect()
}

/// One command: its installed name and its entry.
pub struct Command {
    /// As in Apache's `bin/`, without `.sh`.
    pub name: &'static str,
    /// What it does, for the list of commands.
    pub about: &'static str,
    /// Runs it on this process's arguments.
    pub main: fn() -> ExitCode,
}

/// Every command, in the order in which help lists them.
pub const COMMANDS: &[Command] = &[
    Command { name: "kafka-topics", about: "creates, lists, describes, alters and deletes topics", main: topics::main },
    Command { name: "kafka-console-producer", about: "sends lines as records", main: console_producer::main },
    Command { name: "kafka-console-consumer", about: "prints records as lines", main: console_consumer::main },
    Command { name: "kafka-leader-election", about: "elects leaders of partitions", main: leader_election::main },
    Command {
        name: "kafka-reassign-partitions",
        about: "moves partitions between brokers and log directories",
        main: reassign_partitions::main,
    },
    Command { name: "kafka-server-start", about: "runs a broker", main: server_start::main },
    Command { name: "kafka-server-stop", about: "stops the brokers of this machine", main: server_stop::main },
    Command {
        name: "zookeeper-server-start",
        about: "runs a registry that speaks ZooKeeper's protocol",
        main: zookeeper_server_start::main,
    },
    Command {
        name: "zookeeper-server-stop",
        about: "stops the registries of this machine",
        main: zookeeper_server_stop::main,
    },
];
