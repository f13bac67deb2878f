//! `zookeeper-server-start [-daemon] zookeeper.properties`: runs the embedded registry alone.
//!
//! With `-daemon` it returns when the registry serves, or says on stderr why it does not; Apache's returns at once
//! and says nothing (`KAFKA_STRICT_COMPAT=1`). As Apache's, it also takes `port datadir [ticktime] [maxcnxns]`
//! instead of a file.
//!
//! Exit codes: 1 without arguments or when it cannot serve, 2 for a configuration that does not work, 3 for a data
//! directory that cannot be had, 143 after SIGTERM, 130 after SIGINT.
//!
//! Source: `zookeeper-server-start.sh`, `QuorumPeerMain`, `ZooKeeperServerMain` of ZooKeeper 3.8.

use std::io::{self, Write};
use std::process::ExitCode;

use super::args::{Opt, OptionTable};
use super::arguments;
use super::daemon::{self, Program};
use crate::config::Properties;
use crate::registry::server::{self, ServerConfig};

const PROGRAM: Program = Program {
    main_class: "org.apache.zookeeper.server.quorum.QuorumPeerMain",
    out_file: "zookeeper.out",
    log_file: "zookeeper.log",
};

/// The one flag, which comes first.
pub(super) const TABLE: OptionTable = OptionTable {
    purpose: "Runs a registry that speaks ZooKeeper's protocol: [-daemon] zookeeper.properties",
    options: &[Opt::flag("daemon", "0.8", "Return when the registry serves, and leave it running.")],
};

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    if let Some(args) = daemon::server_arguments(&PROGRAM) {
        return serve(&args);
    }
    let args = arguments();
    match args.split_first() {
        None => {
            let name = std::env::args_os().next().unwrap_or_default();
            let _ = writeln!(io::stdout(), "USAGE: {} [-daemon] zookeeper.properties", name.to_string_lossy());
            ExitCode::FAILURE
        }
        Some((first, args)) if first == "-daemon" => {
            let strict_compat = std::env::var_os("KAFKA_STRICT_COMPAT").is_some_and(|value| value == "1");
            daemon::launch(&PROGRAM, args, strict_compat)
        }
        Some(_) => {
            let error = daemon::exec(&PROGRAM, &args);
            let _ = writeln!(io::stderr(), "start the server: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the server ends before it serves.
struct Failure {
    exit_code: u8,
    /// Apache's words for this kind.
    kind: &'static str,
    reason: String,
}

/// Runs the server in this process until a signal ends it.
fn serve(args: &[String]) -> ExitCode {
    let mut process = daemon::Server::start(&PROGRAM, args);
    process.log().release(None);
    let ended = configure(args).and_then(|config| run(config, &mut process));
    ended.unwrap_or_else(|failure| {
        let Failure { exit_code, kind, reason } = failure;
        tracing::error!(target: PROGRAM.main_class, exception = %reason, "{kind}, exiting abnormally");
        match process.is_daemon() {
            true => process.failed(&reason),
            false => {
                let _ = writeln!(io::stderr(), "{kind}, exiting abnormally");
            }
        }
        ExitCode::from(exit_code)
    })
}

fn configure(args: &[String]) -> Result<ServerConfig, Failure> {
    let invalid = |reason: String| Failure { exit_code: 2, kind: "Invalid config", reason };
    let config = match args {
        [] => Err("Usage: zookeeper.properties | port datadir [ticktime] [maxcnxns]".to_owned()),
        [file] => {
            let properties = Properties::read(file).map_err(|error| format!("Error processing {file}: {error}"));
            properties.and_then(|properties| {
                ServerConfig::from_properties(properties.iter())
                    .map_err(|error| format!("Error processing {file}: {error}"))
            })
        }
        [_, _, ..] => {
            let keys = ["clientPort", "dataDir", "tickTime", "maxClientCnxns"];
            let properties = keys.into_iter().zip(args.iter().map(String::as_str));
            ServerConfig::from_properties(properties).map_err(|error| error.to_string())
        }
    };
    let config = config.map_err(invalid)?;
    let data_log_dir = config.data_log_dir.as_ref();
    for dir in [Some(&config.data_dir), data_log_dir].into_iter().flatten() {
        std::fs::create_dir_all(dir).map_err(|error| Failure {
            exit_code: 3,
            kind: "Unable to access datadir",
            reason: format!("create {}: {error}", dir.display()),
        })?;
    }
    Ok(config)
}

fn run(config: ServerConfig, process: &mut daemon::Server) -> Result<ExitCode, Failure> {
    let unexpected = |reason: String| Failure { exit_code: 1, kind: "Unexpected exception", reason };
    // One thread carries the connections, another the disk: the order of all changes is one anyway.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| unexpected(format!("start the runtime: {error}")))?;
    runtime.block_on(async {
        let terminated = daemon::terminated(process.is_daemon());
        let server = server::start(config).await.map_err(|error| unexpected(error.to_string()))?;
        tracing::info!(
            target: "org.apache.zookeeper.server.NIOServerCnxnFactory",
            "binding to port {}",
            server.local_addr()
        );
        process.ready();
        let exit_code = tokio::select! {
            terminated = terminated => match terminated {
                Ok(signal) => signal.exit_code(),
                Err(error) => return Err(unexpected(format!("catch signals: {error}"))),
            },
            () = server.failed() => {
                return Err(unexpected("the log cannot be written".to_owned()));
            }
        };
        server.shutdown().await;
        Ok(exit_code)
    })
}
