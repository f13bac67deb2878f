//! `kafka-console-producer`: lines of standard input become records of a topic.
//!
//! Where Apache's command logs an error and exits 0 although records were lost, ours says which lines they were and
//! exits 1; with `KAFKA_STRICT_COMPAT=1` the exit code is Apache's again.

mod batch_size;
mod line_message_reader;
mod lines;
mod options;
mod prompt;
mod undelivered;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::args::Abbreviations;
use crate::cli::error::{Error, help_or_version};
use crate::cli::progress::Progress;
use crate::cli::signals::{Signals, Stdin};
use crate::cli::{Io, advice, environment, log4j, picker, run_command};
use crate::client::preflight;
use crate::client::producer::{ClientError, Notice, Producer, Record, Undelivered};
use line_message_reader::LineMessageReader;
use lines::{Lines, through_java_utf8};
use options::Options;
pub(super) use options::TABLE;
use prompt::{Prompt, Typed};
use undelivered::Losses;

/// Lines that go to librdkafka in one call.
const BATCH: usize = 4096;

/// How long a wait for the topic is no news.
const ADVICE_AFTER: Duration = Duration::from_secs(2);

/// Runs the command on this process's arguments.
pub fn main() -> ExitCode {
    run_command("kafka-console-producer", &TABLE, run)
}

fn run(args: &[String], io: &mut Io) -> Result<ExitCode, Error> {
    // Before 0.11, when abbreviations were taken, the brokers' option had this name.
    let is_old = args.iter().any(|arg| arg.trim_start_matches('-').starts_with("bro"))
        && !args.iter().any(|arg| arg.trim_start_matches('-').starts_with("bootstrap-"));
    let abbreviations = if is_old { Abbreviations::Taken } else { Abbreviations::Refused };
    let mut matches = TABLE.parse(args, abbreviations)?;
    if let Some(code) = help_or_version(&TABLE, &matches, io)? {
        return Ok(code);
    }
    if !matches.is_empty() {
        environment::supply_bootstrap(&mut matches, &["bootstrap-server", "broker-list"], io);
        picker::supply_topic(&mut matches, &["topic"], io);
    }
    let mut options = Options::new(&matches)?;
    for warning in options.client.warnings() {
        log4j::warn(warning, "org.apache.kafka.clients.producer.ProducerConfig");
    }
    let reader = LineMessageReader::new(&options.reader)?;
    let signals = Signals::catch()?;
    options.check_bootstrap()?;
    if let Some(refusal) = preflight::refused(&options.client).map_err(options::config_exception)? {
        return Err(Error::Exception { class: refusal.class(), message: refusal.to_string() });
    }
    options.fit_batches(&reader.topic);
    Session::start(&options, reader, &signals, io.gives_hints())?.run(io)
}

/// One run of the command: from the first line to the last acknowledgement.
struct Session<'a> {
    options: &'a Options,
    signals: &'a Signals,
    /// As log lines name it.
    client: String,
    reader: LineMessageReader,
    producer: Producer,
    losses: Arc<Losses>,
    topic_is_known: bool,
    lines_read: u64,
    /// Somebody is there to take advice.
    gives_hints: bool,
}

impl<'a> Session<'a> {
    fn start(
        options: &'a Options,
        reader: LineMessageReader,
        signals: &'a Signals,
        gives_hints: bool,
    ) -> Result<Session<'a>, Error> {
        let losses = Arc::new(Losses::new(options, &reader.topic));
        let told = losses.clone();
        let client = format!("Producer clientId={}", options.client.get("client.id").unwrap_or_default());
        let name = client.clone();
        let settings = options.client.to_librdkafka().map_err(options::config_exception)?;
        let tokens = options.client.token_source().map_err(options::config_exception)?;
        let keys = options.client.keys();
        let producer = Producer::new(&settings, tokens, &reader.topic, keys, move |notice| match notice {
            Notice::Undelivered(record) => told.add(&record),
            Notice::Trouble(error) => log4j::client_trouble(&name, &error),
        })
        .map_err(|error| Error::kafka("KafkaException", format!("Failed to construct kafka producer: {error}")))?;
        Ok(Session {
            options,
            signals,
            client,
            reader,
            producer,
            losses,
            topic_is_known: false,
            lines_read: 0,
            gives_hints,
        })
    }

    fn run(mut self, io: &mut Io) -> Result<ExitCode, Error> {
        let read = self.read_all(io);
        // What was read before an error or a signal is delivered all the same.
        while !self.producer.flush(Duration::from_secs(3600)) {}
        if let Err(error) = &read {
            io.stdout.flush()?;
            writeln!(io.stderr, "{error}")?;
        }
        let told = self.losses.tell(self.lines_read, io)?;
        drop(self.producer);
        match (read, self.signals.caught()) {
            (Err(_), _) => Ok(ExitCode::FAILURE),
            (Ok(()), Some(signal)) => Ok(ExitCode::from(Signals::exit_code(signal))),
            (Ok(()), None) => Ok(told),
        }
    }

    fn read_all(&mut self, io: &mut Io) -> Result<(), Error> {
        if let Some(mut prompt) = Prompt::open(io) {
            return self.read_typed(&mut prompt);
        }
        let prompts = io.terminal.stdin && io.terminal.stdout;
        let total = batch_size::input_bytes(io::stdin()).and_then(|bytes| u64::try_from(bytes).ok());
        let mut progress = Progress::new(io, total.filter(|bytes| *bytes > 0), !io.terminal.stdin);
        let mut bytes_read = 0;
        let most = if prompts || self.options.sync { 1 } else { BATCH };
        let mut lines = Lines::new(Stdin::new(self.signals));
        loop {
            if prompts {
                io.stdout.write_all(b">")?;
                io.stdout.flush()?;
            }
            loop {
                let batch = lines.take(most);
                if !batch.is_empty() {
                    bytes_read += batch.iter().map(|line| line.len() as u64 + 1).sum::<u64>();
                    self.send_lines(&batch)?;
                    progress.set(if total.is_some() { bytes_read } else { self.lines_read });
                    break;
                }
                match lines.fill() {
                    Ok(true) => {}
                    Ok(false) => return Ok(()),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
                    Err(error) => {
                        return Err(Error::Exception {
                            class: "java.io.IOException".to_owned(),
                            message: error.to_string(),
                        });
                    }
                }
            }
        }
    }

    /// Sends line by line what somebody types.
    fn read_typed(&mut self, prompt: &mut Prompt) -> Result<(), Error> {
        loop {
            match prompt.read() {
                Ok(Typed::Line(line)) => self.send_lines(&[line.as_bytes()])?,
                Ok(Typed::End) => return Ok(()),
                Ok(Typed::Interrupt) => {
                    // The terminal was not in a state to make a signal of it.
                    self.signals.note(libc::SIGINT);
                    return Ok(());
                }
                Err(error) => {
                    let class = "java.io.IOException".to_owned();
                    return Err(Error::Exception { class, message: error.to_string() });
                }
            }
            if self.signals.caught().is_some() {
                return Ok(());
            }
        }
    }

    /// Sends what precedes a line that cannot be read, then fails with that line's error.
    fn send_lines(&mut self, lines: &[&[u8]]) -> Result<(), Error> {
        let lines: Vec<_> = lines.iter().map(|line| through_java_utf8(line)).collect();
        let mut records = Vec::with_capacity(lines.len());
        let mut failed = None;
        for line in &lines {
            self.lines_read += 1;
            match self.reader.read(line, self.lines_read) {
                Ok(record) => records.push(record),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.send(records)?;
        failed.map_or(Ok(()), Err)
    }

    fn send(&mut self, mut records: Vec<Record>) -> Result<(), Error> {
        if records.is_empty() {
            return Ok(());
        }
        if self.options.client.get("transactional.id").is_some() {
            return Err(Error::Exception {
                class: "java.lang.IllegalStateException".to_owned(),
                message: "Cannot perform a 'send' before completing a call to initTransactions when transactions are enabled."
                    .to_owned(),
            });
        }
        if !self.topic_is_known {
            match self.wait_for_topic() {
                Ok(()) => self.topic_is_known = true,
                Err(error) => {
                    for record in &records {
                        self.losses.add(&Undelivered::new(record, error.clone()));
                    }
                    return self.stop_if_sync();
                }
            }
        }
        records.retain(|record| {
            let reason = self.options.too_large(record);
            if let Some(reason) = &reason {
                self.losses.add_too_large(record, reason);
            }
            reason.is_none()
        });
        for refused in self.producer.send(&records, self.options.max_block) {
            self.losses.add(&refused);
        }
        if self.options.sync {
            while !self.producer.flush(Duration::from_secs(3600)) {}
        }
        self.stop_if_sync()
    }

    /// Says once what it waits for, unless the wait is short: a topic that is created by being asked for is no news.
    fn wait_for_topic(&mut self) -> Result<(), ClientError> {
        let mut told = false;
        let mut advised = !self.gives_hints;
        self.producer.wait_for_topic(self.options.max_block, |obstacle, waited| {
            if !advised && waited > ADVICE_AFTER {
                advised = true;
                let topic = obstacle.broker_code().is_some().then_some(self.reader.topic.as_str());
                advice::while_waiting(&self.options.client, topic);
            }
            if let Some(code) = obstacle.broker_code().filter(|_| !told && waited > Duration::from_secs(1)) {
                told = true;
                let (client, topic) = (&self.client, &self.reader.topic);
                log4j::warn(
                    format_args!("[{client}] Error while fetching metadata : {{{topic}={}}}", code.name()),
                    log4j::NETWORK_CLIENT,
                );
            }
            self.signals.caught().is_none()
        })
    }

    /// With `--sync` the first record that is lost ends the command.
    fn stop_if_sync(&self) -> Result<(), Error> {
        match self.losses.first() {
            Some((class, message)) if self.options.sync => {
                Err(Error::Exception { class: format!("java.util.concurrent.ExecutionException: {class}"), message })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
