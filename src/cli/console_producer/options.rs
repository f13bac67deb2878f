//! The flags: as typed ([`TABLE`]), and what they mean ([`Options`]).

use std::net::ToSocketAddrs;
use std::time::Duration;

use crate::cli::args::{ArgsError, Matches, Opt, OptionTable, key_values};
use crate::cli::error::Error;
use crate::client::producer::Record;
use crate::client::properties::{ClientSettings, ConfigError, Role};
use crate::config::{self, Properties};

use super::batch_size;
use super::line_message_reader::LineMessageReader;

/// Every flag of every release, 0.8 to 4.2.
pub const TABLE: OptionTable = OptionTable {
    purpose: "This tool helps to read data from standard input and publish it to Kafka.",
    options: &[
        Opt::value("topic", "String: topic", "0.8", "REQUIRED: The topic to write to."),
        Opt::value("broker-list", "String: broker-list", "0.8", "The older name of --bootstrap-server, which wins if both are given. HOST1:PORT1,HOST2:PORT2.").until("3.9"),
        Opt::value("bootstrap-server", "String: server to connect to", "2.5", "REQUIRED unless --broker-list is given: brokers to find the cluster by. HOST1:PORT1,HOST2:PORT2."),
        Opt::flag("sync", "0.8", "Wait for each record's acknowledgement before the next line is read; the first failure ends the command."),
        Opt::flag("compress", "0.8", "Compress with gzip.").until("0.8.1"),
        Opt::optional("compression-codec", "String: compression-codec", "0.8.2", "How batches are compressed: 'none', 'gzip', 'snappy', 'lz4' or 'zstd'; 'gzip' if the value is left out."),
        Opt::value("batch-size", "Integer: size", "0.8", "Bytes of a partition's batch (`batch.size`). --max-partition-memory-bytes wins over it.").default("16384"),
        Opt::value("message-send-max-retries", "Integer", "0.8", "How often a record is sent again after a failure that may pass (`retries`).").default("3"),
        Opt::value("retry-backoff-ms", "Long", "0.8", "Pause before a record is sent again, in ms (`retry.backoff.ms`).").default("100"),
        Opt::value("timeout", "Long: timeout_ms", "0.8", "How long a record may wait for others to share its batch, in ms (`linger.ms`). The end of input waits for nothing.").default("1000"),
        Opt::value("request-required-acks", "String: request required acks", "0.8", "Who must have a record before it counts as delivered: '0' nobody, '1' the leader, '-1' or 'all' all in-sync replicas (`acks`).").default("-1"),
        Opt::value("request-timeout-ms", "Integer: request timeout ms", "0.8", "How long a broker may take for acknowledgements, in ms (`request.timeout.ms`).").default("1500"),
        Opt::value("metadata-expiry-ms", "Long: metadata expiration interval", "0.8.2", "Age at which knowledge of the cluster is refreshed, in ms (`metadata.max.age.ms`).").default("300000"),
        Opt::value("metadata-fetch-timeout-ms", "Long: metadata fetch timeout", "0.8.2", "The older name of --max-block-ms.").until("0.8.2"),
        Opt::value("max-block-ms", "Long: max block on send", "0.9", "How long to wait for the topic to be known, or for room in the buffer, in ms (`max.block.ms`).").default("60000"),
        Opt::value("max-memory-bytes", "Long: total memory in bytes", "0.8.2", "Bytes of records that may wait to be sent (`buffer.memory`).").default("33554432"),
        Opt::value("max-partition-memory-bytes", "Integer: memory in bytes per partition", "0.8.2", "Bytes of a partition's batch (`batch.size`).").default("16384"),
        Opt::value("line-reader", "String: reader_class", "0.8", "The class that makes records of lines; there is the one.").default(LineMessageReader::CLASSES[0]),
        Opt::value("socket-buffer-size", "Integer: size", "0.8", "Size of the sockets' send buffer (`send.buffer.bytes`).").default("102400"),
        Opt::value("property", "String: prop", "0.8", READER_PROPERTIES),
        Opt::value("reader-property", "String: prop", "4.2", "The newer name of --property."),
        Opt::value("reader-config", "String: config file", "3.4", "A file with reader properties; those of the command line win."),
        Opt::value("producer-property", "String: producer_prop", "0.9", "A setting key=value of the producer."),
        Opt::value("command-property", "String: producer_prop", "4.2", "The newer name of --producer-property."),
        Opt::value("producer.config", "String: config file", "0.9", "A file with settings of the producer; those of the command line win."),
        Opt::value("command-config", "String: config file", "4.2", "The newer name of --producer.config."),
        Opt::value("key-serializer", "String: encoder_class", "0.8", "Without effect: keys are bytes.").until("1.1"),
        Opt::value("value-serializer", "String: encoder_class", "0.8", "Without effect: values are bytes.").until("1.1"),
        Opt::value("queue-size", "Integer: queue_size", "0.8", "Without effect; see --max-memory-bytes.").until("1.1"),
        Opt::value("queue-enqueuetimeout-ms", "Integer: queue enqueuetimeout ms", "0.8", "Without effect; see --max-block-ms.").until("1.1"),
        Opt::flag("new-producer", "0.8.2", "Without effect: there is one producer.").until("0.8.2"),
        Opt::flag("old-producer", "0.9", "Without effect: there is one producer.").until("1.1"),
        Opt::flag("help", "2.2", "Print usage information."),
        Opt::flag("version", "2.3", "Display Kafka version."),
    ],
};

const READER_PROPERTIES: &str = "A property key=value of the line reader:
 parse.key=false
 parse.headers=false
 ignore.error=false
 key.separator=\\t
 headers.delimiter=\\t
 headers.separator=,
 headers.key.separator=:
 null.marker=   what stands for null
A line, when there are headers and a key:
 \"h1:v1,h2:v2...\\tkey\\tvalue\"";

/// What a command line means.
pub struct Options {
    pub sync: bool,
    pub max_block: Duration,
    /// The producer's settings under Java's names.
    pub client: ClientSettings,
    batch_size_is_given: bool,
    /// The line reader's, `topic` among them.
    pub reader: Properties,
    max_request_size: usize,
    buffer_memory: usize,
}

impl Options {
    /// Checks a command line in the order in which Apache's command does.
    ///
    /// # Errors
    /// Whatever is wrong with it, or with the files it names.
    pub fn new(matches: &Matches) -> Result<Options, Error> {
        if !matches.has("bootstrap-server") && !matches.has("broker-list") {
            return Err(Error::Usage("Missing required option(s) [bootstrap-server]".to_owned()));
        }
        matches.require(&["topic"])?;
        for (new, old) in [
            ("reader-property", "property"),
            ("command-property", "producer-property"),
            ("command-config", "producer.config"),
        ] {
            if matches.has(new) && matches.has(old) {
                return Err(Error::Usage(format!("Options --{new} and --{old} cannot be specified together.")));
            }
        }
        let topic = matches.value("topic")?.unwrap_or_default();
        let bootstrap = match matches.value("bootstrap-server")? {
            Some(servers) => servers,
            None => matches.value("broker-list")?.unwrap_or_default(),
        };
        if !has_ports(&bootstrap) {
            return Err(Error::Usage("Please provide valid host:port like host1:9091,host2:9092\n ".to_owned()));
        }
        let class = matches.value("line-reader")?.unwrap_or_default();
        let (client, batch_size_is_given) = client_settings(matches, &bootstrap)?;
        if !LineMessageReader::CLASSES.contains(&class.as_str()) {
            return Err(Error::Exception { class: "java.lang.ClassNotFoundException".to_owned(), message: class });
        }
        let positive = |key, default| usize::try_from(client.number(key, default)).unwrap_or(usize::MAX);
        Ok(Options {
            sync: matches.has("sync"),
            max_block: Duration::from_millis(client.number("max.block.ms", 60_000) as u64),
            max_request_size: positive("max.request.size", 1_048_576),
            buffer_memory: positive("buffer.memory", 33_554_432),
            reader: reader_properties(matches, &topic)?,
            client,
            batch_size_is_given,
        })
    }

    /// Makes batches as large as the topic takes, unless somebody has said how large they are to be.
    pub fn fit_batches(&mut self, topic: &str) {
        if self.batch_size_is_given {
            return;
        }
        if let Some(bytes) = batch_size::fitting(&self.client, topic) {
            self.client.set("batch.size", bytes);
        }
    }

    /// Why Java's producer would refuse a record without sending it. Source: `KafkaProducer.ensureValidRecordSize`.
    pub fn too_large(&self, record: &Record) -> Option<String> {
        let size = batch_size_of(record);
        let (limit, what) = match size {
            _ if size > self.max_request_size => {
                let limit = self.max_request_size;
                (format!("{limit}, which is the value of the max.request.size"), " configuration.")
            }
            _ if size > self.buffer_memory => {
                ("the total memory buffer you have configured with the buffer.memory".to_owned(), " configuration.")
            }
            _ => return None,
        };
        Some(format!("The message is {size} bytes when serialized which is larger than {limit}{what}"))
    }

    /// Fails when none of the servers has an address.
    pub fn check_bootstrap(&self) -> Result<(), Error> {
        let servers = self.client.get("bootstrap.servers").unwrap_or_default();
        let has_address = |server: &str| {
            let server = server.rsplit_once("://").map_or(server, |(_, server)| server);
            server.to_socket_addrs().is_ok_and(|mut addresses| addresses.next().is_some())
        };
        if servers.split(',').map(str::trim).filter(|server| !server.is_empty()).any(has_address) {
            return Ok(());
        }
        Err(Error::kafka(
            "KafkaException",
            format!(
                "Failed to construct kafka producer: No resolvable bootstrap urls given in bootstrap.servers: {servers}"
            ),
        ))
    }
}

/// The exception of a setting that Java refuses.
pub fn config_exception(error: ConfigError) -> Error {
    Error::Exception { class: ConfigError::CLASS.to_owned(), message: error.0 }
}

/// File, then `key=value`s, then flags that were given; a flag's default only where neither said anything.
/// Says too whether anything but a default gave the batch size.
fn client_settings(matches: &Matches, bootstrap: &str) -> Result<(ClientSettings, bool), Error> {
    let mut settings = read_file(matches, &["command-config", "producer.config"])?;
    for name in ["command-property", "producer-property"] {
        for (key, value) in key_values(matches.values(name)) {
            settings.set(key, value);
        }
    }
    settings.set("bootstrap.servers", bootstrap);
    settings.set("compression.type", compression(matches)?);
    if !settings.contains("client.id") {
        settings.set("client.id", "console-producer");
    }
    let batch_size_is_given = settings.contains("batch.size")
        || ["batch-size", "max-partition-memory-bytes"].iter().any(|flag| matches.has(flag));
    let mut merge = |key: &str, flag: &str, value: Result<Option<String>, ArgsError>| {
        if matches.has(flag) || !settings.contains(key) {
            settings.set(key, value?.unwrap_or_default());
        }
        Ok::<(), ArgsError>(())
    };
    let int = |flag: &str| Ok(matches.number::<i32>(flag)?.map(|number| number.to_string()));
    let long = |flag: &str| Ok(matches.number::<i64>(flag)?.map(|number| number.to_string()));
    merge("linger.ms", "timeout", long("timeout"))?;
    merge("acks", "request-required-acks", matches.value("request-required-acks"))?;
    merge("request.timeout.ms", "request-timeout-ms", int("request-timeout-ms"))?;
    merge("retries", "message-send-max-retries", int("message-send-max-retries"))?;
    merge("retry.backoff.ms", "retry-backoff-ms", long("retry-backoff-ms"))?;
    merge("buffer.memory", "max-memory-bytes", long("max-memory-bytes"))?;
    merge("batch.size", "batch-size", int("batch-size"))?;
    merge("batch.size", "max-partition-memory-bytes", int("max-partition-memory-bytes"))?;
    merge("metadata.max.age.ms", "metadata-expiry-ms", long("metadata-expiry-ms"))?;
    merge("max.block.ms", "max-block-ms", long("max-block-ms"))?;
    if matches.has("metadata-fetch-timeout-ms") {
        merge("max.block.ms", "metadata-fetch-timeout-ms", long("metadata-fetch-timeout-ms"))?;
    }
    // Its default, 100 KiB, is left out: it would only keep the kernel from sizing the buffer itself.
    if matches.has("socket-buffer-size") {
        merge("send.buffer.bytes", "socket-buffer-size", int("socket-buffer-size"))?;
    }
    let client = ClientSettings::check(Role::Producer, settings.iter()).map_err(config_exception)?;
    Ok((client, batch_size_is_given))
}

fn compression(matches: &Matches) -> Result<String, ArgsError> {
    let value = matches.value("compression-codec")?.filter(|value| !value.is_empty());
    let is_compressed = matches.has("compression-codec") || matches.has("compress");
    Ok(value.unwrap_or_else(|| if is_compressed { "gzip" } else { "none" }.to_owned()))
}

fn reader_properties(matches: &Matches, topic: &str) -> Result<Properties, Error> {
    let mut properties = read_file(matches, &["reader-config"])?;
    properties.set("topic", topic);
    for name in ["reader-property", "property"] {
        for (key, value) in key_values(matches.values(name)) {
            properties.set(key, value);
        }
    }
    Ok(properties)
}

fn read_file(matches: &Matches, flags: &[&str]) -> Result<Properties, Error> {
    for flag in flags {
        if let Some(file) = matches.value(flag)? {
            return Properties::read(&file).map_err(|error| file_exception(&file, error));
        }
    }
    Ok(Properties::new())
}

/// Java's exception for a properties file that cannot be read.
pub fn file_exception(file: &str, error: config::Error) -> Error {
    let class = match &error {
        config::Error::Read { source, .. } => match source.kind() {
            std::io::ErrorKind::NotFound => "java.nio.file.NoSuchFileException",
            std::io::ErrorKind::PermissionDenied => "java.nio.file.AccessDeniedException",
            _ => {
                return Error::Exception { class: "java.io.IOException".to_owned(), message: source.to_string() };
            }
        },
        _ => {
            let class = "java.lang.IllegalArgumentException".to_owned();
            return Error::Exception { class, message: error.to_string() };
        }
    };
    Error::Exception { class: class.to_owned(), message: file.to_owned() }
}

/// Whether every server has a port. Empty entries at the end do not count. Source: `ToolsUtils`, `Utils.getPort`.
fn has_ports(servers: &str) -> bool {
    let servers = servers.trim_end_matches(',');
    !servers.is_empty() && servers.split(',').all(|server| port(server).is_some())
}

fn port(server: &str) -> Option<u32> {
    let (host, port) = server.rsplit_once(':')?;
    let host = host.rsplit_once("://").map_or(host, |(_, host)| host);
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-%._:[]".contains(c);
    let is_port = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    if is_port && host.chars().all(is_host) { port.parse().ok() } else { None }
}

/// The most a batch with this one record takes. Source: `AbstractRecords.estimateSizeInBytesUpperBound`, magic 2.
fn batch_size_of(record: &Record) -> usize {
    const BATCH_OVERHEAD: usize = 61;
    const RECORD_OVERHEAD_MAX: usize = 21;
    let field = |bytes: Option<&[u8]>| match bytes {
        None => 1,
        Some(bytes) => varint_length(bytes.len()) + bytes.len(),
    };
    let headers: usize = record.headers.iter().map(|header| field(Some(header.name)) + field(header.value)).sum();
    let headers = varint_length(record.headers.len()) + headers;
    BATCH_OVERHEAD + RECORD_OVERHEAD_MAX + field(record.key) + field(record.value) + headers
}

/// Bytes of a length in zigzag, seven bits each.
fn varint_length(value: usize) -> usize {
    let bits = usize::BITS as usize - (value << 1).leading_zeros() as usize;
    bits.max(1).div_ceil(7)
}
