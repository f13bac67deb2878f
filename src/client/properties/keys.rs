//! Every key of Java's clients that means something here: who has it, what a value must be, what it becomes.

use super::{ConfigError, Role};

/// One key of a Java client.
pub(super) struct Key {
    pub name: &'static str,
    pub roles: &'static [Role],
    pub kind: Kind,
    pub to: To,
}

/// What librdkafka gets.
#[derive(Clone, Copy)]
pub(super) enum To {
    /// The same value under the same name.
    Same,
    /// A number, brought into librdkafka's range.
    Clamped(&'static str, i64, i64),
    /// Without effect, and nobody would miss it.
    Nothing,
    /// Without effect, and somebody might: named in a warning.
    CannotHonour,
    /// Translated by hand.
    Special,
}

/// The type of a value, and the test that it has to pass.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Taken as it is written.
    Text,
    /// Java's passwords, lists and classes.
    Trimmed,
    Int(i64),
    Long(i64),
    Boolean,
    OneOf(&'static [&'static str]),
    OneOfIgnoringCase(&'static [&'static str]),
}

impl Kind {
    /// Returns the value as the rest of the room reads it (trimmed where Java trims).
    ///
    /// # Errors
    /// Java's text. Source: `ConfigDef.parseType`, `Range`, `ValidString`, `CaseInsensitiveValidString`.
    pub(super) fn check(self, key: &str, value: &str) -> Result<String, ConfigError> {
        let trimmed = value.trim();
        let number = |type_name: &str, least: i64, range: std::ops::RangeInclusive<i64>| {
            let number = trimmed.parse::<i64>().ok().filter(|number| range.contains(number));
            match number {
                None => Err(ConfigError::invalid(key, value, format_args!("Not a number of type {type_name}"))),
                Some(n) if n < least => {
                    Err(ConfigError::invalid(key, trimmed, format_args!("Value must be at least {least}")))
                }
                Some(n) => Ok(n.to_string()),
            }
        };
        match self {
            Kind::Text => Ok(value.to_owned()),
            Kind::Trimmed => Ok(trimmed.to_owned()),
            Kind::Int(least) => number("INT", least, i64::from(i32::MIN)..=i64::from(i32::MAX)),
            Kind::Long(least) => number("LONG", least, i64::MIN..=i64::MAX),
            Kind::Boolean if ["true", "false"].iter().any(|b| trimmed.eq_ignore_ascii_case(b)) => {
                Ok(trimmed.to_ascii_lowercase())
            }
            Kind::Boolean => Err(ConfigError::invalid(key, value, "Expected value to be either true or false")),
            Kind::OneOf(values) if values.contains(&value) => Ok(value.to_owned()),
            Kind::OneOf(values) => {
                Err(ConfigError::invalid(key, value, format_args!("String must be one of: {}", values.join(", "))))
            }
            Kind::OneOfIgnoringCase(values) if values.iter().any(|v| v.eq_ignore_ascii_case(value)) => {
                Ok(value.to_owned())
            }
            Kind::OneOfIgnoringCase(values) => Err(ConfigError::invalid(
                key,
                value,
                format_args!("String must be one of (case insensitive): {}", values.join(", ")),
            )),
        }
    }
}

const ALL: &[Role] = &[Role::Producer, Role::Consumer, Role::Admin];
const P: &[Role] = &[Role::Producer];
const C: &[Role] = &[Role::Consumer];
const PC: &[Role] = &[Role::Producer, Role::Consumer];
const CA: &[Role] = &[Role::Consumer, Role::Admin];

const fn key(name: &'static str, roles: &'static [Role], kind: Kind, to: To) -> Key {
    Key { name, roles, kind, to }
}

use Kind::*;
use To::*;

/// In the order in which Java's producer, then its consumer, defines them: the first bad one is what the user hears of.
#[rustfmt::skip]
pub(super) const KEYS: &[Key] = &[
    key("bootstrap.servers", ALL, Text, Special),
    key("client.dns.lookup", ALL, OneOf(&["use_all_dns_ips", "resolve_canonical_bootstrap_servers_only"]), Same),
    // producer
    key("buffer.memory", P, Long(0), Special),
    key("retries", P, Int(0), Clamped("retries", 0, i32::MAX as i64)),
    key("retries", &[Role::Admin], Int(0), Nothing),
    key("acks", P, OneOf(&["all", "-1", "0", "1"]), Special),
    key("compression.type", P, OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]), Special),
    key("compression.gzip.level", P, Int(-1), Special),
    key("compression.lz4.level", P, Int(1), Special),
    key("compression.zstd.level", P, Int(-131_072), Special),
    key("batch.size", P, Int(0), Clamped("batch.size", 1, i32::MAX as i64)),
    key("partitioner.adaptive.partitioning.enable", P, Boolean, Nothing),
    key("partitioner.availability.timeout.ms", P, Long(0), Nothing),
    key("partitioner.ignore.keys", P, Boolean, Special),
    key("linger.ms", P, Long(0), Clamped("linger.ms", 0, 900_000)),
    key("delivery.timeout.ms", P, Int(0), Special),
    key("max.request.size", P, Int(0), Clamped("message.max.bytes", 1000, 1_000_000_000)),
    key("max.block.ms", P, Long(0), Clamped("topic.metadata.propagation.max.ms", 0, 3_600_000)),
    key("metadata.max.idle.ms", P, Long(5000), Nothing),
    key("max.in.flight.requests.per.connection", P, Int(1), Clamped("max.in.flight.requests.per.connection", 1, 1_000_000)),
    key("key.serializer", P, Text, Nothing),
    key("value.serializer", P, Text, Nothing),
    key("partitioner.class", P, Text, Special),
    key("enable.idempotence", P, Boolean, Special),
    key("transaction.timeout.ms", P, Int(i64::MIN), Nothing),
    key("transactional.id", P, Text, Special),
    // consumer
    key("group.id", C, Text, Same),
    key("group.instance.id", C, Text, Same),
    key("session.timeout.ms", C, Int(0), Clamped("session.timeout.ms", 1, 3_600_000)),
    key("heartbeat.interval.ms", C, Int(0), Clamped("heartbeat.interval.ms", 1, 3_600_000)),
    key("partition.assignment.strategy", C, Text, Special),
    key("enable.auto.commit", C, Boolean, Same),
    key("auto.commit.interval.ms", C, Int(0), Clamped("auto.commit.interval.ms", 0, 86_400_000)),
    key("max.partition.fetch.bytes", C, Int(0), Clamped("max.partition.fetch.bytes", 1, 1_000_000_000)),
    key("fetch.min.bytes", C, Int(0), Clamped("fetch.min.bytes", 1, 100_000_000)),
    key("fetch.max.bytes", C, Int(0), Clamped("fetch.max.bytes", 0, 2_147_483_135)),
    key("fetch.max.wait.ms", C, Int(0), Clamped("fetch.wait.max.ms", 0, 300_000)),
    key("auto.offset.reset", C, OneOf(&["latest", "earliest", "none"]), Special),
    key("check.crcs", C, Boolean, Same),
    key("key.deserializer", C, Text, Nothing),
    key("value.deserializer", C, Text, Nothing),
    key("default.api.timeout.ms", CA, Int(0), Nothing),
    key("max.poll.records", C, Int(1), Nothing),
    key("max.poll.interval.ms", C, Int(1), Clamped("max.poll.interval.ms", 1, 86_400_000)),
    key("exclude.internal.topics", C, Boolean, Nothing),
    key("isolation.level", C, OneOf(&["read_committed", "read_uncommitted"]), Same),
    key("allow.auto.create.topics", C, Boolean, Same),
    key("group.protocol", C, OneOfIgnoringCase(&["CONSUMER", "CLASSIC"]), Same),
    key("group.remote.assignor", C, Text, Same),
    key("client.rack", C, Text, Same),
    // all
    key("client.id", ALL, Text, Same),
    key("send.buffer.bytes", ALL, Int(-1), Clamped("socket.send.buffer.bytes", 0, 100_000_000)),
    key("receive.buffer.bytes", ALL, Int(-1), Clamped("socket.receive.buffer.bytes", 0, 100_000_000)),
    key("reconnect.backoff.ms", ALL, Long(0), Clamped("reconnect.backoff.ms", 0, 3_600_000)),
    key("reconnect.backoff.max.ms", ALL, Long(0), Clamped("reconnect.backoff.max.ms", 0, 3_600_000)),
    key("retry.backoff.ms", ALL, Long(0), Clamped("retry.backoff.ms", 1, 300_000)),
    key("retry.backoff.max.ms", ALL, Long(0), Clamped("retry.backoff.max.ms", 1, 300_000)),
    key("enable.metrics.push", ALL, Boolean, Same),
    key("request.timeout.ms", P, Int(0), Clamped("request.timeout.ms", 1, 900_000)),
    key("request.timeout.ms", CA, Int(0), Special),
    key("metadata.max.age.ms", ALL, Long(0), Special),
    key("metrics.sample.window.ms", ALL, Long(0), Nothing),
    key("metrics.num.samples", ALL, Int(1), Nothing),
    key("metrics.recording.level", ALL, OneOf(&["INFO", "DEBUG", "TRACE"]), Nothing),
    key("metric.reporters", ALL, Text, CannotHonour),
    key("auto.include.jmx.reporter", ALL, Boolean, Nothing),
    key("socket.connection.setup.timeout.ms", ALL, Long(i64::MIN), Clamped("socket.connection.setup.timeout.ms", 1000, i32::MAX as i64)),
    key("socket.connection.setup.timeout.max.ms", ALL, Long(i64::MIN), Nothing),
    key("connections.max.idle.ms", ALL, Long(i64::MIN), Clamped("connections.max.idle.ms", 0, i32::MAX as i64)),
    key("interceptor.classes", PC, Text, CannotHonour),
    key("security.protocol", ALL, OneOfIgnoringCase(&["SASL_SSL", "PLAINTEXT", "SSL", "SASL_PLAINTEXT"]), Special),
    key("security.providers", ALL, Text, CannotHonour),
    key("metadata.recovery.strategy", ALL, OneOfIgnoringCase(&["REBOOTSTRAP", "NONE"]), Same),
    key("ssl.protocol", ALL, Text, Nothing),
    key("ssl.provider", ALL, Text, Nothing),
    key("ssl.cipher.suites", ALL, Trimmed, Special),
    key("ssl.enabled.protocols", ALL, Trimmed, Special),
    key("ssl.keystore.type", ALL, Text, Special),
    key("ssl.keystore.location", ALL, Text, Special),
    key("ssl.keystore.password", ALL, Trimmed, Special),
    key("ssl.key.password", ALL, Trimmed, Special),
    key("ssl.keystore.key", ALL, Trimmed, Special),
    key("ssl.keystore.certificate.chain", ALL, Trimmed, Special),
    key("ssl.truststore.certificates", ALL, Trimmed, Special),
    key("ssl.truststore.type", ALL, Text, Special),
    key("ssl.truststore.location", ALL, Text, Special),
    key("ssl.truststore.password", ALL, Trimmed, Special),
    key("ssl.keymanager.algorithm", ALL, Text, Nothing),
    key("ssl.trustmanager.algorithm", ALL, Text, Nothing),
    key("ssl.endpoint.identification.algorithm", ALL, Text, Special),
    key("ssl.secure.random.implementation", ALL, Text, Nothing),
    key("ssl.engine.factory.class", ALL, Trimmed, CannotHonour),
    key("sasl.kerberos.service.name", ALL, Text, Special),
    key("sasl.kerberos.kinit.cmd", ALL, Text, Nothing), // a path for Java, a whole shell command for librdkafka
    key("sasl.kerberos.min.time.before.relogin", ALL, Long(i64::MIN), Clamped("sasl.kerberos.min.time.before.relogin", 0, 86_400_000)),
    key("sasl.mechanism", ALL, Text, Special),
    key("sasl.jaas.config", ALL, Trimmed, Special),
    key("sasl.client.callback.handler.class", ALL, Trimmed, CannotHonour),
    key("sasl.login.callback.handler.class", ALL, Trimmed, Special),
    key("sasl.login.class", ALL, Trimmed, CannotHonour),
    key("sasl.oauthbearer.token.endpoint.url", ALL, Text, Special),
    key("sasl.oauthbearer.client.credentials.client.id", ALL, Text, Special),
    key("sasl.oauthbearer.client.credentials.client.secret", ALL, Trimmed, Special),
    key("sasl.oauthbearer.scope", ALL, Text, Special),
];
