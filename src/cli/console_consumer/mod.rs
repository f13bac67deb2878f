//! `kafka-console-consumer`.

use std::process::ExitCode;

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    todo!()
}
