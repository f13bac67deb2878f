//! kafka-server-start as a process: where it says that it listens, how it ends, what a daemon tells its launcher.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[test]
fn a_broker_says_where_it_listens_and_ends_in_order() {
    let home = Home::new();
    let mut broker = home.start(&["--ready-file", &home.path("ready")]);
    let address = broker.address();
    TcpStream::connect(&address).expect("connects");
    home.wait_for("the ready file", || fs::read_to_string(home.path("ready")).is_ok_and(|text| !text.is_empty()));
    assert_eq!(fs::read_to_string(home.path("ready")).expect("reads"), format!("{address}\n"));
    assert!(Path::new(&jvmstat_file(broker.pid())).exists(), "jps does not list it");
    let command_line = fs::read(format!("/proc/{}/cmdline", broker.pid())).expect("reads");
    let command_line = String::from_utf8_lossy(&command_line).replace('\0', " ");
    assert!(command_line.starts_with("java ") && command_line.contains(" kafka.Kafka "), "{command_line}");

    let (code, log) = broker.end(Signal::TERM);
    assert_eq!(code, Some(143));
    assert!(log.contains("[KafkaServer id=7] started (kafka.server.KafkaServer)\n"), "{log}");
    assert!(log.contains("Terminating process due to signal SIGTERM"), "{log}");
    assert!(log.ends_with("[KafkaServer id=7] shut down completed (kafka.server.KafkaServer)\n"), "{log}");
    assert!(!Path::new(&home.path("ready")).exists());
    assert!(!Path::new(&jvmstat_file(broker.pid())).exists());
}

#[test]
fn ctrl_c_ends_it_with_130() {
    let home = Home::new();
    let mut broker = home.start(&[]);
    broker.address();
    assert_eq!(broker.end(Signal::INT).0, Some(130));
}

#[test]
fn a_data_directory_is_one_brokers() {
    let home = Home::new();
    let mut first = home.start(&[]);
    first.address();
    let second = home.command().arg(home.path("s.properties")).output().expect("runs");
    assert_eq!(second.status.code(), Some(1));
    let log = String::from_utf8_lossy(&second.stdout);
    assert!(log.contains("ERROR Exiting Kafka due to fatal exception"), "{log}");
    assert_eq!(first.end(Signal::TERM).0, Some(143));
}

#[test]
fn a_daemon_returns_when_it_serves() {
    let home = Home::new();
    let launched = home.command().args(["-daemon", &home.path("s.properties")]).output().expect("runs");
    let daemon = home.running();
    let log = fs::read_to_string(home.path("logs/server.log")).unwrap_or_default();
    let _ = daemon.map(|pid| kill_process(pid, Signal::TERM));
    assert_eq!((launched.status.code(), launched.stdout.len(), launched.stderr.len()), (Some(0), 0, 0));
    assert!(daemon.is_some() && log.contains("started (kafka.server.KafkaServer)"), "{log}");
    home.wait_for("the daemon's end", || home.running().is_none());
    let out = fs::read_to_string(home.path("logs/kafkaServer.out")).expect("reads");
    assert!(out.starts_with("Listening on PLAINTEXT://127.0.0.1:"), "{out}");
    assert!(out.contains("shut down completed"), "{out}");
}

#[test]
fn a_daemon_that_cannot_serve_says_why() {
    let home = Home::new();
    let bad = ["--override", "num.partitions=none"];
    let launched = home.command().args(["-daemon", &home.path("s.properties")]).args(bad).output().expect("runs");
    assert_eq!(launched.status.code(), Some(1));
    let said = String::from_utf8_lossy(&launched.stderr);
    assert!(said.contains("Invalid value none for configuration num.partitions: Not a number of type INT"), "{said}");
    assert!(home.running().is_none());
}

#[test]
fn without_arguments_a_script_gets_the_usage() {
    let home = Home::new();
    let output = home.command().output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.starts_with("USAGE: ") && said.contains("[-daemon] server.properties"), "{said}");
}

/// A folder with a `server.properties` for a broker on free ports; everything of it goes at the end.
struct Home {
    dir: TempDir,
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().expect("makes a folder");
        let home = Home { dir };
        let text = format!(
            "broker.id=7\nlisteners=PLAINTEXT://127.0.0.1:0\nregistry.listener=127.0.0.1:0\nlog.dirs={}\n",
            home.path("data")
        );
        fs::write(home.path("s.properties"), text).expect("writes");
        home
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-server-start"));
        command.env("HOME", self.dir.path()).env("LOG_DIR", self.path("logs"));
        command.env_remove("KAFKA_DATA_DIR").env_remove("KAFKA_STRICT_COMPAT").stdin(Stdio::null());
        command
    }

    fn start(&self, options: &[&str]) -> Broker {
        let mut command = self.command();
        let mut child =
            command.arg(self.path("s.properties")).args(options).stdout(Stdio::piped()).spawn().expect("starts");
        let stdout = BufReader::new(child.stdout.take().expect("has an output"));
        Broker { child, stdout, read: String::new() }
    }

    /// The broker that runs on this folder's file, whoever started it.
    fn running(&self) -> Option<Pid> {
        let file = self.path("s.properties");
        let is_ours = |entry: &PathBuf| {
            let line = fs::read(entry.join("cmdline")).unwrap_or_default();
            let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
            words.contains(&"kafka.Kafka".as_bytes()) && words.contains(&file.as_bytes())
        };
        let entries = fs::read_dir("/proc").expect("lists").flatten().map(|entry| entry.path());
        let found = entries.into_iter().find(is_ours)?;
        Pid::from_raw(found.file_name()?.to_str()?.parse().ok()?)
    }

    fn wait_for(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !holds() {
            assert!(Instant::now() < deadline, "waited for {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

struct Broker {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// What it has printed so far.
    read: String,
}

impl Broker {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn address(&mut self) -> String {
        self.stdout.read_line(&mut self.read).expect("prints");
        let address = self.read.trim_end().strip_prefix("Listening on PLAINTEXT://").map(str::to_owned);
        address.unwrap_or_else(|| {
            let _ = self.stdout.read_to_string(&mut self.read);
            panic!("does not say where it listens: {}", self.read)
        })
    }

    /// Signals it and returns its exit code and all it printed.
    fn end(&mut self, signal: Signal) -> (Option<i32>, String) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("has a number");
        kill_process(pid, signal).expect("is there");
        self.stdout.read_to_string(&mut self.read).expect("prints");
        (self.child.wait().expect("ends").code(), std::mem::take(&mut self.read))
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where jps looks for a process; the folder is named after the user.
fn jvmstat_file(pid: u32) -> String {
    let folders = fs::read_dir("/tmp").expect("lists").flatten().map(|entry| entry.path());
    let ours = folders.filter(|path| path.to_string_lossy().contains("hsperfdata_"));
    let files: Vec<PathBuf> = ours.map(|folder| folder.join(pid.to_string())).collect();
    files.into_iter().find(|file| file.exists()).unwrap_or_default().display().to_string()
}
