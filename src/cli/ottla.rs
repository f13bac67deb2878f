//! `ottla`: every command under one name.
//!
//! - `ottla topics --list` is `kafka-topics --list`;
//! - called through a link named `kafka-topics` or `kafka-topics.sh` it is that command;
//! - `ottla link DIR` makes such links, so that `DIR/kafka-topics.sh` can be typed as in Apache's `bin/`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::{COMMANDS, Command, VERSION, daemon, generate, quickstart, server_start, topic_names};

/// Runs what the name and the arguments of this process ask for.
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(class) = daemon::main_class() {
        return match SERVERS.iter().find(|(name, _)| *name == class) {
            Some((_, main)) => main(),
            None => refuse(&format!("no server runs as {class}")),
        };
    }
    let program = words.first().map(String::as_str).unwrap_or_default();
    if let Some(command) = called_as(program) {
        return (command.main)();
    }
    match words.get(1).map(String::as_str) {
        None | Some("--help" | "-h" | "help") => help(),
        Some("--version") => tell(&format!("ottla {} (as Apache Kafka {VERSION})\n", env!("CARGO_PKG_VERSION"))),
        Some("quickstart") => quickstart::main(),
        // These two are for our build and for shells, and not in the help.
        Some("generate") => generate::main(words.get(2).map(String::as_str)),
        Some("complete-topics") => topic_names::main(&words[2..]),
        Some("link") => link(words.get(2).map(String::as_str)),
        Some(word) => match subcommand(word) {
            Some(command) => (command.main)(),
            None => refuse(&format!("{word} is no command of ottla; `ottla --help` lists them")),
        },
    }
}

/// Which command a server's Java command line means.
const SERVERS: &[(&str, fn() -> ExitCode)] = &[
    ("kafka.Kafka", server_start::main),
    ("org.apache.zookeeper.server.quorum.QuorumPeerMain", super::zookeeper_server_start::main),
];

/// The command that a link to this program is named after.
fn called_as(program: &str) -> Option<&'static Command> {
    let name = Path::new(program).file_name()?.to_str()?;
    let name = name.strip_suffix(".sh").unwrap_or(name);
    COMMANDS.iter().find(|command| command.name == name)
}

/// The command of a first argument: `topics`, `kafka-topics` and `kafka-topics.sh` are the same.
fn subcommand(word: &str) -> Option<&'static Command> {
    let name = word.strip_suffix(".sh").unwrap_or(word);
    COMMANDS.iter().find(|command| command.name == name || command.name.strip_prefix("kafka-") == Some(name))
}

fn help() -> ExitCode {
    let mut text = String::from(
        "ottla COMMAND [ARGUMENT…]\n\nApache Kafka's commands. Each has Apache's own options; COMMAND --help lists them.\n\n",
    );
    for command in COMMANDS {
        let short = command.name.strip_prefix("kafka-").unwrap_or(command.name);
        text.push_str(&format!("  {short:24}{}\n", command.about));
    }
    text.push_str(
        "\nOurs:\n\n\
         \x20 quickstart              starts a broker, creates, produces, consumes, deletes, stops, and shows how\n\
         \x20 link DIR                makes links DIR/kafka-topics, DIR/kafka-topics.sh, …\n",
    );
    tell(&text)
}

fn tell(text: &str) -> ExitCode {
    // A reader that went away has seen what it wanted.
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn refuse(reason: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::FAILURE
}

fn link(dir: Option<&str>) -> ExitCode {
    let Some(dir) = dir.filter(|dir| !dir.starts_with('-')) else {
        return refuse("USAGE: ottla link DIR");
    };
    match make_links(Path::new(dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&format!("{error:#}")),
    }
}

/// Links every command's two names to this program. What is there already stays, unless it is a link.
fn make_links(dir: &Path) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("find this program")?;
    fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    for name in COMMANDS.iter().flat_map(|command| [command.name.to_owned(), format!("{}.sh", command.name)]) {
        let path = dir.join(name);
        if path.is_symlink() {
            fs::remove_file(&path).with_context(|| format!("replace {}", path.display()))?;
        }
        symlink(&program, &path).with_context(|| format!("create {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
