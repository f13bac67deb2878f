//! The commands. Each is one file with a `main()`; [`COMMANDS`] lists them all.

use std::process::ExitCode;

pub mod console_consumer;
pub mod console_producer;
pub mod server_start;
pub mod server_stop;
pub mod topics;
pub mod zookeeper_server_start;
pub mod zookeeper_server_stop;

/// One command: its installed name and its entry.
pub struct Command {
    /// As in Apache's `bin/`, without `.sh`.
    pub name: &'static str,
    /// Runs it on this process's arguments.
    pub main: fn() -> ExitCode,
}

/// Every command, in the order in which help lists them.
pub const COMMANDS: &[Command] = &[
    Command { name: "kafka-topics", main: topics::main },
    Command { name: "kafka-console-producer", main: console_producer::main },
    Command { name: "kafka-console-consumer", main: console_consumer::main },
    Command { name: "kafka-server-start", main: server_start::main },
    Command { name: "kafka-server-stop", main: server_stop::main },
    Command { name: "zookeeper-server-start", main: zookeeper_server_start::main },
    Command { name: "zookeeper-server-stop", main: zookeeper_server_stop::main },
];
