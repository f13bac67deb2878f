//! `zookeeper-server-stop`: signals the ZooKeeper servers of this machine, ours and Apache's alike.
//!
//! As Apache's script, it does not wait for their end, takes no arguments, and exits 1 if there is none.
//! The signal is TERM, or what `SIGNAL` names.
//!
//! Source: `zookeeper-server-stop.sh` of 3.9.

use std::path::Path;
use std::process::ExitCode;

use super::args::OptionTable;
use super::server_stop::stop;

/// No flags.
pub(super) const TABLE: OptionTable =
    OptionTable { purpose: "Signals the ZooKeeper servers of this machine.", options: &[] };

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    stop("zookeeper", is_zookeeper, |_| Ok(true))
}

/// As the script's `ps ax | grep java | grep -i QuorumPeerMain`, but the program is Java and not an editor.
fn is_zookeeper(words: &[String]) -> bool {
    let is_java = words.first().is_some_and(|program| Path::new(program).file_name().is_some_and(|n| n == "java"));
    is_java && words.iter().any(|word| word.to_ascii_lowercase().ends_with("quorumpeermain"))
}

#[cfg(test)]
mod tests;
