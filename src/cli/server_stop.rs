//! `kafka-server-stop [--process-role=ROLE] [--node-id=N]`: signals the brokers of this machine.
//!
//! A broker is any process whose command line reads `java … kafka.Kafka …`: ours and Apache's alike. As Apache's
//! script, it does not wait for their end. The signal is TERM, or what `SIGNAL` names.
//!
//! The two flags look at the effective values of a broker, `--override` included, and at the file as the broker
//! sees it; Apache's script looks at the text of a file relative to its own directory.
//!
//! Source: `kafka-server-stop.sh` of 3.9.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{Pid, Signal, kill_process};

use super::args::{Opt, OptionTable, key_values};
use super::arguments;
use crate::config::Properties;

/// The flags, which are read by hand: the script knows only the form with `=`.
pub(super) const TABLE: OptionTable = OptionTable {
    purpose: "Signals the brokers of this machine.",
    options: &[
        Opt::value("process-role", "String: role", "3.7", "Only brokers with this process.roles."),
        Opt::value("node-id", "Integer: id", "3.7", "Only the broker with this node.id or broker.id."),
    ],
};

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    let wanted = Wanted::read(&arguments());
    stop("kafka", is_broker, |process| wanted.matches(process))
}

/// Signals every process that `is_server` and for which `is_wanted`; `name` is for `No NAME server to stop`.
///
/// Shared with `zookeeper-server-stop`.
pub(super) fn stop(
    name: &str,
    is_server: impl Fn(&[String]) -> bool,
    is_wanted: impl Fn(&Process) -> Result<bool, String>,
) -> ExitCode {
    let mut stdout = io::stdout().lock();
    let servers: Vec<Process> = processes().into_iter().filter(|process| is_server(&process.words)).collect();
    if servers.is_empty() {
        let _ = writeln!(stdout, "No {name} server to stop");
        return ExitCode::FAILURE;
    }
    let signal_name = std::env::var("SIGNAL").ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "TERM".into());
    let Some(signal) = signal_of(&signal_name) else {
        let _ = writeln!(io::stderr(), "kill: {signal_name}: invalid signal specification");
        return ExitCode::FAILURE;
    };
    let mut code = ExitCode::SUCCESS;
    for process in &servers {
        match is_wanted(process) {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = kill_process(process.pid, signal) {
                    let _ = writeln!(io::stderr(), "kill: ({}): {error}", process.pid.as_raw_nonzero());
                    code = ExitCode::FAILURE;
                }
            }
            Err(message) => {
                let _ = writeln!(stdout, "{message}");
                return ExitCode::FAILURE;
            }
        }
    }
    code
}

/// A running process.
#[derive(Debug)]
pub(super) struct Process {
    pub pid: Pid,
    /// Its command line.
    pub words: Vec<String>,
}

/// All processes that let us read their command line, but for this one.
fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let own = i32::try_from(std::process::id()).unwrap_or(-1);
    numbers
        .filter(|&number| number != own)
        .filter_map(|number| {
            let line = fs::read(format!("/proc/{number}/cmdline")).ok()?;
            let words = line.split(|&byte| byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
            let mut words: Vec<String> = words.collect();
            words.pop();
            Some(Process { pid: Pid::from_raw(number)?, words })
        })
        .collect()
}

/// As the script's `ps ax | grep ' kafka\.Kafka ' | grep java`, but a word is a word: an editor that was opened on a
/// file named so is not a broker.
fn is_broker(words: &[String]) -> bool {
    let is_java = words.first().is_some_and(|program| Path::new(program).file_name().is_some_and(|n| n == "java"));
    is_java && words.iter().any(|word| word == "kafka.Kafka")
}

/// Which brokers the flags mean.
struct Wanted {
    process_role: Option<String>,
    node_id: Option<String>,
}

impl Wanted {
    /// Only the form with `=` counts, and everything else is ignored, as in the script.
    fn read(args: &[String]) -> Wanted {
        let value = |flag: &str| {
            let mut values = args.iter().filter_map(|word| word.strip_prefix(flag)).filter(|value| !value.is_empty());
            values.next_back().map(str::to_owned)
        };
        let wanted = Wanted { process_role: value("--process-role="), node_id: value("--node-id=") };
        if wanted.process_role.is_some() && wanted.node_id.is_some() {
            let _ = writeln!(
                io::stdout(),
                "When both node-id and process-role are provided, the value for node-id will take precedence"
            );
        }
        wanted
    }

    fn matches(&self, process: &Process) -> Result<bool, String> {
        if self.process_role.is_none() && self.node_id.is_none() {
            return Ok(true);
        }
        let props = effective_properties(process).ok_or(
            "Can not find the configuration file in the current directory. Please make sure the kafka stop process \
             and the start process are called in the same directory.",
        )?;
        let value = |key: &str| props.get(key).map(str::trim);
        Ok(match &self.node_id {
            Some(id) => value("node.id").or(value("broker.id")) == Some(id),
            None => value("process.roles") == self.process_role.as_deref(),
        })
    }
}

/// The broker's file with its overrides. The file's name is relative to the broker's directory, else to ours.
fn effective_properties(process: &Process) -> Option<Properties> {
    let class = process.words.iter().position(|word| word == "kafka.Kafka")?;
    let (file, options) = process.words.get(class + 1..)?.split_first()?;
    let directory = fs::read_link(format!("/proc/{}/cwd", process.pid.as_raw_nonzero())).ok();
    let there = directory.map_or_else(|| PathBuf::from(file), |directory| directory.join(file));
    let mut props = Properties::read(there).or_else(|_| Properties::read(file)).ok()?;
    let values = options.windows(2).filter(|pair| pair[0].trim_start_matches('-') == "override");
    let joined = options.iter().filter_map(|word| word.trim_start_matches('-').strip_prefix("override="));
    let overrides: Vec<String> = values.map(|pair| pair[1].clone()).chain(joined.map(str::to_owned)).collect();
    for (key, value) in key_values(&overrides) {
        props.set_override(key, value);
    }
    Some(props)
}

/// The signal of a name as `kill -s` takes it: with or without `SIG`, in any case, or a number.
fn signal_of(name: &str) -> Option<Signal> {
    let name = name.to_ascii_uppercase();
    match name.strip_prefix("SIG").unwrap_or(&name) {
        "TERM" | "15" => Some(Signal::TERM),
        "INT" | "2" => Some(Signal::INT),
        "HUP" | "1" => Some(Signal::HUP),
        "QUIT" | "3" => Some(Signal::QUIT),
        "KILL" | "9" => Some(Signal::KILL),
        "ABRT" | "6" => Some(Signal::ABORT),
        "USR1" | "10" => Some(Signal::USR1),
        "USR2" | "12" => Some(Signal::USR2),
        "STOP" | "19" => Some(Signal::STOP),
        "CONT" | "18" => Some(Signal::CONT),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
