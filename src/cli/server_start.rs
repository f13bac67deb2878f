//! `kafka-server-start [-daemon] server.properties [--override property=value]*`: runs a broker.
//!
//! Where ours differs from Apache's on purpose; `KAFKA_STRICT_COMPAT=1` takes all of it back:
//! - `-daemon` returns when the broker serves, or has failed: then with exit 1 and the reason on stderr;
//! - without `zookeeper.connect` the broker keeps its metadata in a registry of its own, instead of refusing;
//! - without arguments it runs on a stock file in `$KAFKA_DATA_DIR` or the XDG state directory, but only at a
//!   terminal or when `KAFKA_DATA_DIR` is set; a script gets Apache's usage line and exit 1;
//! - `--help` goes to stdout, exit 0.
//!
//! Ours in addition: `--ready-file FILE`, and a first line on stdout that says where the broker listens.
//!
//! Source: `kafka-server-start.sh`, `kafka.Kafka` of 3.9.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use super::args::{Abbreviations, ArgsError, Opt, OptionTable, key_values};
use super::daemon::{self, Program, Server};
use super::{VERSION, arguments};
use crate::broker::Broker;
use crate::config::{self, BrokerConfig, Properties};

const PROGRAM: Program = Program { main_class: "kafka.Kafka", out_file: "kafkaServer.out", log_file: "server.log" };

pub(super) const TABLE: OptionTable = OptionTable {
    purpose: "USAGE: java [options] kafka.Kafka server.properties [--override property=value]*",
    options: &[
        Opt::value("override", "String", "0.9", "Sets a property over the one in server.properties; may be repeated."),
        Opt::flag("version", "2.0", "Prints the version and exits."),
        Opt::value("ready-file", "String: file", "ours", "Written when the broker serves, with a HOST:PORT per line."),
    ],
};

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    if let Some(args) = daemon::server_arguments(&PROGRAM) {
        return serve(&args);
    }
    let mut args = arguments();
    let strict_compat = std::env::var_os("KAFKA_STRICT_COMPAT").is_some_and(|value| value == "1");
    let is_daemon = args.first().is_some_and(|word| word == "-daemon");
    if is_daemon {
        args.remove(0);
    }
    if args.is_empty() && !(is_daemon && strict_compat) {
        match own_file(strict_compat) {
            Some(Ok(file)) => args.push(file.display().to_string()),
            Some(Err(error)) => return fail(&format!("{error:#}")),
            None => return usage(),
        }
    }
    if args.iter().any(|word| word == "--help") {
        return help(strict_compat);
    }
    if args.iter().any(|word| word == "--version") {
        let _ = writeln!(io::stdout(), "{VERSION}");
        return ExitCode::SUCCESS;
    }
    match is_daemon {
        true => daemon::launch(&PROGRAM, &args, strict_compat),
        false => fail(&format!("start the server: {}", daemon::exec(&PROGRAM, &args))),
    }
}

/// Apache's script without arguments.
fn usage() -> ExitCode {
    let command = std::env::args().next().unwrap_or_else(|| "kafka-server-start".into());
    let _ = writeln!(io::stdout(), "USAGE: {command} [-daemon] server.properties [--override property=value]*");
    ExitCode::FAILURE
}

fn help(strict_compat: bool) -> ExitCode {
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    let out: &mut dyn Write = if strict_compat { &mut stderr } else { &mut stdout };
    let _ = writeln!(out, "{}", TABLE.purpose).and_then(|()| TABLE.write_options(out));
    ExitCode::from(u8::from(strict_compat))
}

fn fail(reason: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::FAILURE
}

/// The file that stands in for a missing argument: the stock one, with its directories in the state directory,
/// written on first use. `None` where Apache's usage line is the better answer.
fn own_file(strict_compat: bool) -> Option<anyhow::Result<PathBuf>> {
    use anyhow::Context;
    let is_asked_for = io::stdout().is_terminal() || std::env::var_os("KAFKA_DATA_DIR").is_some();
    if strict_compat || !is_asked_for {
        return None;
    }
    let dir = daemon::state_dir();
    let file = dir.join("server.properties");
    let write = || -> anyhow::Result<PathBuf> {
        if file.exists() {
            return Ok(file.clone());
        }
        let stock = include_str!("../../config/server.properties");
        let data = dir.join("kafka-logs");
        let own: String = stock
            .lines()
            .map(|line| match line.strip_prefix("log.dirs=") {
                Some(_) => format!("log.dirs={}\n", data.display()),
                None => format!("{line}\n"),
            })
            .collect();
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        fs::write(&file, own).with_context(|| format!("write {}", file.display()))?;
        Ok(file.clone())
    };
    Some(write())
}

/// The server itself, `args` being the words after the class.
fn serve(args: &[String]) -> ExitCode {
    let mut server = Server::start(&PROGRAM, args);
    let code = match Start::read(args) {
        Ok(start) => run(&mut server, start),
        Err(Refusal::Usage(message)) => {
            server.failed(&message);
            let mut stderr = io::stderr();
            let _ = writeln!(stderr, "{message}").and_then(|()| TABLE.write_options(&mut stderr));
            ExitCode::FAILURE
        }
        Err(Refusal::Exception(text)) => {
            server.failed(&text);
            tracing::error!(target: "kafka.Kafka$", exception = %text, "Exiting Kafka due to fatal exception");
            ExitCode::FAILURE
        }
    };
    server.log().release(None);
    code
}

/// What the command line asks for, checked.
struct Start {
    config: BrokerConfig,
    ready_file: Option<PathBuf>,
}

/// Why there is nothing to start.
enum Refusal {
    /// A message and the option table on stderr.
    Usage(String),
    /// Class and message of what Apache's broker throws, in the log.
    Exception(String),
}

impl From<ArgsError> for Refusal {
    fn from(error: ArgsError) -> Refusal {
        let class = error.exception().unwrap_or("java.lang.IllegalArgumentException");
        Refusal::Exception(format!("{class}: {error}"))
    }
}

impl From<config::Error> for Refusal {
    fn from(error: config::Error) -> Refusal {
        let is_requirement = matches!(&error, config::Error::Unusable { reason, .. }
            if reason.starts_with("requirement failed") || reason.starts_with("Error creating"));
        Refusal::Exception(match error {
            config::Error::Read { .. } => error.to_string(),
            _ if is_requirement => format!("java.lang.IllegalArgumentException: {error}"),
            _ => format!("org.apache.kafka.common.config.ConfigException: {error}"),
        })
    }
}

impl Start {
    /// The first word is the file, whatever it looks like; options follow.
    fn read(args: &[String]) -> Result<Start, Refusal> {
        let (file, options) = args.split_first().ok_or_else(|| Refusal::Usage(TABLE.purpose.into()))?;
        let props = Properties::read(file)?;
        let matches = TABLE.parse(options, Abbreviations::Refused)?;
        if !matches.leftovers().is_empty() {
            return Err(Refusal::Usage(format!("Found non argument parameters: {}", matches.leftovers().join(","))));
        }
        let overrides = key_values(matches.values("override"));
        let config = BrokerConfig::from_properties(props, &overrides)?;
        let strict_compat = std::env::var_os("KAFKA_STRICT_COMPAT").is_some_and(|value| value == "1");
        if strict_compat && config.zookeeper_connect.is_none() {
            return Err(Refusal::Exception(
                "org.apache.kafka.common.config.ConfigException: \
                 Missing required configuration `zookeeper.connect` which has no default value."
                    .into(),
            ));
        }
        Ok(Start { config, ready_file: matches.value("ready-file")?.map(PathBuf::from) })
    }
}

fn run(server: &mut Server, start: Start) -> ExitCode {
    raise_open_files();
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let at_most = usize::try_from(start.config.num_io_threads).unwrap_or(1);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.clamp(1, at_most.max(1)))
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fatal(server, &format!("start worker threads: {error}")),
    };
    runtime.block_on(run_broker(server, start))
}

/// Connections and segments want many descriptors: as many as we may have, which the JVM takes too.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With what there is, fewer connections and open segments are held.
    let _ = setrlimit(Resource::Nofile, limit);
}

async fn run_broker(server: &mut Server, start: Start) -> ExitCode {
    let Start { config, ready_file } = start;
    for warning in config.warnings() {
        tracing::warn!(target: "kafka.server.KafkaConfig", "{warning}");
    }
    tracing::info!(target: "kafka.server.KafkaConfig", "{}", config.values_text());
    let termination = daemon::terminated(server.is_daemon());
    tokio::pin!(termination);

    let log = server.log().clone();
    let starting = Broker::start(config);
    tokio::pin!(starting);
    let broker = loop {
        tokio::select! {
            started = &mut starting => match started {
                Ok(broker) => break broker,
                Err(error) => return fatal(server, &error.to_string()),
            },
            // Nobody has been promised anything yet: there is nothing to shut down in order.
            ended = &mut termination => return ended.map_or(ExitCode::FAILURE, daemon::Termination::exit_code),
            // A start that takes long is one that waits for somebody; then the log is what one wants to see.
            () = tokio::time::sleep(HELD_BACK_AT_MOST) => log.release(None),
        }
    };

    let id = broker.id();
    let addresses = broker.addresses();
    let listeners: Vec<String> = addresses.iter().map(|(name, address)| format!("{name}://{address}")).collect();
    log.release(Some(&format!("Listening on {}", listeners.join(","))));
    if let Some(registry) = broker.registry_address() {
        tracing::info!(target: "kafka.server.KafkaServer", "the registry listens on {registry}");
    }
    tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={id}] started");
    if let Some(file) = &ready_file {
        let lines: String = addresses.iter().map(|(_, address)| reachable(*address) + "\n").collect();
        if let Err(error) = write_whole(file, &lines) {
            tracing::error!("write ready file {}: {error}", file.display());
        }
    }
    server.ready();

    let ended = tokio::select! {
        ended = &mut termination => ended,
        // Nothing can be brought in order any more, and who leads here is to be replaced soon.
        reason = broker.failure() => return fatal(server, &reason),
    };
    tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={id}] shutting down");
    broker.shutdown().await;
    if let Some(file) = &ready_file {
        let _ = fs::remove_file(file);
    }
    tracing::info!(target: "kafka.server.KafkaServer", "[KafkaServer id={id}] shut down completed");
    ended.map_or(ExitCode::FAILURE, daemon::Termination::exit_code)
}

/// The address for a client on this machine.
fn reachable(address: SocketAddr) -> String {
    match address.ip().is_unspecified() {
        true => format!("localhost:{}", address.port()),
        false => address.to_string(),
    }
}

/// Lines of the log are held back so long for the line that says where the broker listens.
const HELD_BACK_AT_MOST: Duration = Duration::from_secs(2);

fn fatal(server: &mut Server, reason: &str) -> ExitCode {
    server.failed(reason);
    tracing::error!(target: "kafka.Kafka$", exception = %reason, "Exiting Kafka due to fatal exception during startup.");
    ExitCode::FAILURE
}

/// Writes a file so that who waits for it never sees a part.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let mut unfinished = file.as_os_str().to_owned();
    unfinished.push(".tmp");
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, file)
}

#[cfg(test)]
mod tests;
