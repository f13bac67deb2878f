//! `ottla quickstart`: the whole tutorial at once, on a broker of its own that leaves nothing behind.
//!
//! Every step is a command line of this program, shown as it is run: start a broker on free ports with a temporary
//! directory, create a topic with two partitions, produce a text, read it back, compare, list, describe, delete,
//! stop.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use anyhow::{Context, bail, ensure};

/// Runs it.
pub fn main() -> ExitCode {
    match Quickstart::begin().and_then(|mut quickstart| quickstart.run()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "quickstart: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A text that everybody has: our licence.
const TEXT: &str = include_str!("../../LICENSE");

struct Quickstart {
    /// This program, as it was called.
    program: PathBuf,
    /// Removed at the end.
    dir: PathBuf,
    broker: Option<Child>,
}

impl Quickstart {
    fn begin() -> anyhow::Result<Quickstart> {
        let program = std::env::current_exe().context("find this program")?;
        let dir = std::env::temp_dir().join(format!("ottla-quickstart-{}", std::process::id()));
        fs::create_dir(&dir).with_context(|| format!("create {}", dir.display()))?;
        Ok(Quickstart { program, dir, broker: None })
    }

    fn run(&mut self) -> anyhow::Result<()> {
        let address = self.start_broker()?;
        let server = ["--bootstrap-server", address.as_str()];
        let topic = ["--topic", "first"];

        self.topics(&[&server[..], &["--create"], &topic, &["--partitions", "2", "--replication-factor", "1"]])?;

        let text = self.dir.join("text");
        fs::write(&text, TEXT).with_context(|| format!("write {}", text.display()))?;
        self.step(&[&["console-producer"], &server[..], &topic].concat(), Some(&text))?;

        let lines = TEXT.lines().count().to_string();
        let read_to_end = ["--from-beginning", "--max-messages", &lines, "--timeout-ms", "20000"];
        let came = self.step(&[&["console-consumer"], &server[..], &topic, &read_to_end].concat(), None)?;
        // Two partitions have two orders; every line must have come, and none twice.
        ensure!(sorted(TEXT) == sorted(&came), "the {lines} lines that were sent are not those that came back");
        say(&format!("  ({lines} lines, the same that were sent)\n"))?;

        let listed = self.topics(&[&server[..], &["--list"]])?;
        ensure!(listed.lines().any(|name| name == "first"), "the list lacks the topic");
        let described = self.topics(&[&server[..], &["--describe"], &topic])?;
        ensure!(described.contains("PartitionCount: 2"), "the topic has not two partitions");
        self.topics(&[&server[..], &["--delete"], &topic])?;
        let listed = self.topics(&[&server[..], &["--list"]])?;
        ensure!(!listed.lines().any(|name| name == "first"), "the topic is still there");

        self.stop_broker()
    }

    /// Returns the address on which the broker listens.
    fn start_broker(&mut self) -> anyhow::Result<String> {
        let config = self.dir.join("server.properties");
        let text = format!(
            "broker.id=0\nlisteners=PLAINTEXT://127.0.0.1:0\nregistry.listener=127.0.0.1:0\nlog.dirs={}\n\
             offsets.topic.replication.factor=1\ngroup.initial.rebalance.delay.ms=0\n",
            self.dir.join("kafka-logs").display()
        );
        fs::write(&config, &text).with_context(|| format!("write {}", config.display()))?;
        let words = ["server-start", &config.display().to_string()].map(str::to_owned);
        say(&format!("$ cat {}\n{}\n$ {} &\n", config.display(), indented(&text), self.line(&words)))?;
        let mut child = Command::new(&self.program)
            .args(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("start the broker")?;
        let stdout = child.stdout.take().context("read the broker's output")?;
        self.broker = Some(child);
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next().context("the broker ended before it listened")??;
        let Some(address) = first.strip_prefix("Listening on PLAINTEXT://").map(str::to_owned) else {
            let rest: Vec<String> = lines.map_while(Result::ok).collect();
            bail!("the broker did not start:\n{first}\n{}", rest.join("\n"));
        };
        // The broker's log would block it once the pipe is full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        say(&format!("{}\n", indented(&first)))?;
        Ok(address)
    }

    fn stop_broker(&mut self) -> anyhow::Result<()> {
        let mut broker = self.broker.take().context("the broker is running")?;
        say(&format!("$ kill -TERM {}\n", broker.id()))?;
        terminate(&broker);
        let status = broker.wait().context("wait for the broker")?;
        ensure!(status.code() == Some(143), "the broker did not end in order: {status}");
        say("  (stopped)\n")
    }

    fn topics(&self, words: &[&[&str]]) -> anyhow::Result<String> {
        self.step(&[&["topics"], words.concat().as_slice()].concat(), None)
    }

    /// Shows a command line, runs it, shows what it prints (but for the text itself) and returns that.
    fn step(&self, words: &[&str], stdin: Option<&Path>) -> anyhow::Result<String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        let from = stdin.map_or(String::new(), |file| format!(" < {}", file.display()));
        say(&format!("$ {}{from}\n", self.line(&words)))?;
        let input = match stdin {
            Some(file) => Stdio::from(File::open(file).with_context(|| format!("open {}", file.display()))?),
            None => Stdio::null(),
        };
        let output = Command::new(&self.program)
            .args(&words)
            .stdin(input)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("run {}", words[0]))?;
        ensure!(output.status.success(), "{} failed: {}", words[0], output.status);
        let printed = String::from_utf8(output.stdout).with_context(|| format!("read {}", words[0]))?;
        if words[0] != "console-consumer" {
            say(&indented(&printed))?;
        }
        Ok(printed)
    }

    fn line(&self, words: &[String]) -> String {
        let program = std::env::args().next().unwrap_or_else(|| self.program.display().to_string());
        format!("{program} {}", words.join(" "))
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        if let Some(broker) = &mut self.broker {
            terminate(broker);
            let _ = broker.wait();
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The broker executes itself anew at its start, but stays the process that we started.
fn terminate(broker: &Child) {
    let pid = i32::try_from(broker.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).context("print")
}
