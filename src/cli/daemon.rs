//! How a server command becomes a process: under a Java command line, and with `-daemon` in the background.
//!
//! Scripts of fifteen years look for brokers with `ps ax | grep kafka.Kafka`, `jps` and `pgrep -f`. So a server runs
//! as `java … kafka.Kafka server.properties`: the launcher executes its own program once more with these words as
//! its command line. It does so before there is any thread.
//!
//! With `-daemon` the launcher stays until the server says that it serves (exit 0) or that it failed (exit 1, the
//! reason on stderr). The two talk over a pipe that is the server's standard input: one line, `ready`, or anything
//! else, which is the reason.

mod jvmstat;
mod server_log;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

pub use jvmstat::JvmstatFile;
pub use server_log::ServerLog;

/// A server command.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// The Java class that Apache's command runs, as `ps` and `jps` show it.
    pub main_class: &'static str,
    /// File in the log directory that takes a daemon's stdout and stderr; truncated at each start.
    pub out_file: &'static str,
    /// File in the log directory that takes a daemon's log; grows.
    pub log_file: &'static str,
}

/// Replaces this process by the server, under its Java command line, in the foreground.
///
/// Returns only if that failed.
pub fn exec(program: &Program, args: &[String]) -> io::Error {
    match java_command(program, args) {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

/// Starts the server in the background, and waits until it serves or has failed. What there is to say about a
/// failure goes to stderr.
///
/// `strict_compat`: do not wait, do not look, exit 0, as Apache's scripts.
pub fn launch(program: &Program, args: &[String], strict_compat: bool) -> ExitCode {
    match try_launch(program, args, strict_compat) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn try_launch(program: &Program, args: &[String], strict_compat: bool) -> anyhow::Result<()> {
    use anyhow::Context;
    let dir = log_dir();
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let path = dir.join(program.out_file);
    File::create(&path).with_context(|| format!("create {}", path.display()))?;
    // To append, so that a server that still ends into the same file does not leave a hole in it.
    let out = OpenOptions::new().append(true).open(&path).with_context(|| format!("open {}", path.display()))?;
    let (from_server, to_launcher) = io::pipe().context("make a pipe")?;
    let mut command = java_command(program, args).context("find this program")?;
    command.env(DAEMON, "1").stdin(Stdio::from(to_launcher)).stdout(out.try_clone()?).stderr(out);
    let mut server = command.spawn().context("start the server")?;
    // The command holds the pipe's other end too; without this the end of the server would not be seen.
    drop(command);
    if strict_compat {
        return Ok(());
    }
    let mut lines = BufReader::new(from_server);
    let mut first = String::new();
    lines.read_line(&mut first).context("wait for the server")?;
    if first == READY {
        return Ok(());
    }
    lines.read_to_string(&mut first).context("wait for the server")?;
    let status = server.wait().context("wait for the server")?;
    let reason = first.trim_end();
    match reason.is_empty() {
        true => anyhow::bail!("the server ended ({status}); see {}", path.display()),
        false => anyhow::bail!("{reason}\n(log: {})", path.display()),
    }
}

fn java_command(program: &Program, args: &[String]) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let dir = log_dir();
    let mut logs = OsString::from("-Dkafka.logs.dir=");
    logs.push(&dir);
    command.arg0(JAVA).arg(logs).arg(program.main_class).args(args);
    // The server does not know the path under which it was called, on which the default depends.
    command.env("LOG_DIR", dir).env(STARTED, "1");
    Ok(command)
}

/// Whether this process runs under a Java command line, and with which words after the class.
pub fn server_arguments(program: &Program) -> Option<Vec<String>> {
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let is_java = words.first().is_some_and(|name| name == JAVA) && std::env::var_os(STARTED).is_some();
    let class = words.iter().position(|word| word == program.main_class)?;
    is_java.then(|| words[class + 1..].to_vec())
}

/// The main class in a Java command line of this process, for a program of many commands.
pub fn main_class() -> Option<String> {
    let mut words = std::env::args_os();
    if words.next()? != *JAVA || std::env::var_os(STARTED).is_none() {
        return None;
    }
    words.map(|word| word.to_string_lossy().into_owned()).find(|word| !word.starts_with('-'))
}

/// The running server's side: tells the launcher, keeps the log, is listed by `jps`.
#[derive(Debug)]
pub struct Server {
    launcher: Option<File>,
    /// Removed when the server is dropped.
    _jvmstat: Option<JvmstatFile>,
    log: ServerLog,
}

impl Server {
    /// Makes this process the server: a session of its own when it is a daemon, the log, the file that `jps` reads.
    ///
    /// Call it before any thread is started.
    pub fn start(program: &Program, args: &[String]) -> Server {
        let is_daemon = std::env::var_os(DAEMON).is_some();
        if is_daemon {
            // Fails only for a process that leads a group already, which one just started does not.
            let _ = rustix::process::setsid();
        }
        let launcher = is_daemon.then(|| io::stdin().as_fd().try_clone_to_owned().ok()).flatten().map(File::from);
        let log_file = std::env::var_os("LOG_DIR").filter(|_| is_daemon).map(PathBuf::from);
        let log = ServerLog::start(log_file.map(|dir| dir.join(program.log_file)));
        let java_command = [&[program.main_class.to_owned()], args].concat().join(" ");
        // Not being listed by jps is no reason not to serve.
        let jvmstat = JvmstatFile::create(&java_command)
            .inspect_err(|error| tracing::debug!("jps will not list this process: {error}"))
            .ok();
        Server { launcher, _jvmstat: jvmstat, log }
    }

    /// Whether it runs in the background.
    pub fn is_daemon(&self) -> bool {
        self.launcher.is_some()
    }

    /// Where the log goes.
    pub fn log(&self) -> &ServerLog {
        &self.log
    }

    /// Tells the launcher that the server serves, so that `-daemon` returns, and the service manager (`Type=notify`).
    pub fn ready(&mut self) {
        self.tell(READY);
        if let Some(socket) = std::env::var_os("NOTIFY_SOCKET")
            && let Err(error) = notify(&socket, "READY=1")
        {
            tracing::warn!("tell the service manager at {}: {error}", socket.display());
        }
    }

    /// Tells the launcher why the server ends.
    pub fn failed(&mut self, reason: &str) {
        self.tell(reason);
    }

    fn tell(&mut self, text: &str) {
        if let Some(launcher) = &mut self.launcher {
            // A launcher that was interrupted has gone; nobody needs to know then.
            let _ = launcher.write_all(text.as_bytes());
        }
    }
}

/// Sends a line to the socket of a service manager: a path, or after `@` an abstract name. Source: `sd_notify(3)`.
fn notify(socket: &OsStr, state: &str) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// `LOG_DIR`; else `logs` beside the `bin` that the command was called from, if that looks like a Kafka directory;
/// else `logs` in the state directory.
pub fn log_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("LOG_DIR").filter(|dir| !dir.is_empty()) {
        return PathBuf::from(dir);
    }
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let base = called.parent().filter(|bin| bin.ends_with("bin")).map(|bin| bin.join(".."));
    match base.filter(|base| base.join("config").is_dir()).and_then(|base| fs::canonicalize(base).ok()) {
        Some(base) => base.join("logs"),
        None => state_dir().join("logs"),
    }
}

/// Where a server keeps what no option places: `$KAFKA_DATA_DIR`, else `kafka` in the XDG state directory.
pub fn state_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("KAFKA_DATA_DIR")
        .or_else(|| Some(variable("XDG_STATE_HOME")?.join("kafka")))
        .or_else(|| Some(variable("HOME")?.join(".local/state/kafka")))
        .unwrap_or_else(|| Path::new("/var/lib/kafka").to_owned())
}

/// A signal that ends a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Termination {
    pub name: &'static str,
    number: u8,
}

impl Termination {
    /// 128 + the signal's number, though the end was an orderly one: so Java does.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(128 + self.number)
    }
}

/// Waits for SIGTERM, SIGINT or, in the foreground, SIGHUP (a daemon is what `nohup` makes of it), logs it as
/// Apache's broker does and returns it.
///
/// # Errors
/// If the handlers cannot be installed.
pub async fn terminated(is_daemon: bool) -> io::Result<Termination> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let termination = loop {
        tokio::select! {
            _ = term.recv() => break Termination { name: "SIGTERM", number: 15 },
            _ = interrupt.recv() => break Termination { name: "SIGINT", number: 2 },
            _ = hangup.recv() => if !is_daemon { break Termination { name: "SIGHUP", number: 1 } },
        }
    };
    tracing::info!(
        target: "org.apache.kafka.common.utils.LoggingSignalHandler",
        "Terminating process due to signal {}",
        termination.name
    );
    Ok(termination)
}

/// `argv[0]` of a running server.
const JAVA: &str = "java";
/// Set for the server that the launcher executes, so that a program which really is called `java` is left alone.
const STARTED: &str = "OTTLA_SERVER";
/// Set for a server in the background, whose standard input is the pipe to its launcher.
const DAEMON: &str = "OTTLA_DAEMON";
const READY: &str = "ready\n";

#[cfg(test)]
mod tests;
