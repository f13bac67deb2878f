//! A Java client's settings: checked as Java checks them, then translated into librdkafka's.
//!
//! Unknown keys are no error for a Java client, and none here. What Java validates at start is refused with its
//! text. Where the two clients' defaults differ, Java's are set, so that a cluster sees the same behaviour; a
//! user's keys go on top. Stores, JAAS entries and placeholders are read here ([`SecuritySettings`]); what cannot be
//! read is refused by name rather than dropped: a connection that silently lost its credentials would fail in a way
//! nobody understands.
//!
//! Source: `ProducerConfig`, `ConsumerConfig`, `ConfigDef` of 3.9; librdkafka 2.12 CONFIGURATION.md.

mod config_providers;
mod jaas;
mod keys;
mod security;
mod stores;

use std::collections::BTreeMap;
use std::fmt;

use keys::{KEYS, Key, To};
pub use security::{Login, SecuritySettings, TlsStores};

use crate::client::oauth::TokenSource;
use crate::client::producer::Keys;

/// Which client the settings are for. A key that is another role's is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Producer,
    Consumer,
    Admin,
}

/// A value that Java's client would have refused: its `ConfigException`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl ConfigError {
    /// The Java class that Apache's tools name.
    pub const CLASS: &'static str = "org.apache.kafka.common.config.ConfigException";

    fn invalid(key: &str, value: &str, reason: impl fmt::Display) -> ConfigError {
        ConfigError(format!("Invalid value {value} for configuration {key}: {reason}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Settings under Java's names whose values have been checked.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    role: Role,
    given: BTreeMap<String, String>,
    unknown: Vec<String>,
}

impl ClientSettings {
    /// Checks every key that the role knows. Where a key comes twice, the last value counts.
    ///
    /// # Errors
    /// The first value, in the order in which Java defines the keys, that does not fit its key; a placeholder whose
    /// file cannot be read.
    pub fn check<'a>(
        role: Role,
        settings: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<ClientSettings, ConfigError> {
        let mut given: BTreeMap<String, String> =
            settings.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        config_providers::expand(&mut given, |name| std::env::var(name).ok())?;
        let is_known = |name: &str| keys_of(role).any(|key| key.name == name);
        let unknown: Vec<String> = given.keys().filter(|name| !is_known(name)).cloned().collect();
        for key in keys_of(role) {
            if let Some(value) = given.get_mut(key.name) {
                *value = key.kind.check(key.name, value)?;
            }
        }
        let settings = ClientSettings { role, given, unknown };
        if role == Role::Producer {
            settings.check_idempotence()?;
            settings.check_delivery_timeout()?;
        }
        Ok(settings)
    }

    /// The value as given, trimmed where Java trims.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.given.get(key).map(String::as_str)
    }

    /// Every setting that was given, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Puts a number in place of what was given.
    pub fn set(&mut self, key: &str, number: i64) {
        self.given.insert(key.to_owned(), number.to_string());
    }

    /// A number that was given, else `default`, which is the caller's to know.
    pub fn number(&self, key: &str, default: i64) -> i64 {
        self.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
    }

    fn is_true(&self, key: &str, default: bool) -> bool {
        self.get(key).map_or(default, |value| value.eq_ignore_ascii_case("true"))
    }

    /// Keys that Java's client would have ignored, sorted.
    pub fn unknown(&self) -> &[String] {
        &self.unknown
    }

    /// What a user should know: keys whose effect we cannot give.
    pub fn warnings(&self) -> Vec<String> {
        keys_of(self.role)
            .filter(|key| matches!(key.to, To::CannotHonour) && self.get(key.name).is_some_and(|v| !v.is_empty()))
            .map(|key| format!("The configuration '{}' has no effect here.", key.name))
            .collect()
    }

    /// librdkafka's settings, in an order in which they can be set one after the other.
    ///
    /// # Errors
    /// A setting that cannot work: a store that does not open, a login that is not said or that librdkafka lacks.
    pub fn to_librdkafka(&self) -> Result<Vec<(String, String)>, ConfigError> {
        let mut out = Translation(Vec::new());
        out.extend(BASE);
        match self.role {
            Role::Producer => out.extend(PRODUCER),
            Role::Consumer => out.extend(CONSUMER),
            Role::Admin => {}
        }
        for key in keys_of(self.role) {
            let Some(value) = self.get(key.name) else { continue };
            match key.to {
                To::Same => out.set(key.name, value),
                To::Clamped(name, least, most) => {
                    out.set(name, self.number(key.name, least).clamp(least, most).to_string());
                }
                To::Nothing | To::CannotHonour | To::Special => {}
            }
        }
        self.connection(&mut out);
        self.security()?.to_librdkafka(&mut out)?;
        match self.role {
            Role::Producer => self.producer(&mut out)?,
            Role::Consumer => self.consumer(&mut out),
            Role::Admin => {}
        }
        Ok(out.0)
    }

    /// How connections are secured. Opens the stores.
    ///
    /// # Errors
    /// As [`SecuritySettings::new`].
    pub fn security(&self) -> Result<SecuritySettings, ConfigError> {
        SecuritySettings::new(self, &std::env::var("KAFKA_OPTS").unwrap_or_default())
    }

    /// Where tokens come from, for a client that logs in with them.
    ///
    /// # Errors
    /// As [`SecuritySettings::new`].
    pub fn token_source(&self) -> Result<Option<TokenSource>, ConfigError> {
        let is_oauth = self.get("sasl.mechanism") == Some("OAUTHBEARER");
        Ok(if is_oauth { self.security()?.into_token_source() } else { None })
    }

    fn connection(&self, out: &mut Translation) {
        if let Some(servers) = self.get("bootstrap.servers") {
            let servers: Vec<&str> = servers.split(',').map(str::trim).filter(|server| !server.is_empty()).collect();
            out.set("bootstrap.servers", servers.join(","));
        }
        if let Some(protocol) = self.get("security.protocol") {
            out.set("security.protocol", protocol.to_ascii_lowercase());
        }
        if self.get("metadata.max.age.ms").is_some() {
            let age = self.number("metadata.max.age.ms", 300_000);
            out.set("topic.metadata.refresh.interval.ms", age.clamp(10, 3_600_000).to_string());
            out.set("metadata.max.age.ms", age.saturating_mul(3).clamp(10, 86_400_000).to_string());
        }
        // Java waits so long for any response. librdkafka has one limit for the socket and one that a broker
        // observes; below its default the socket's is left, or a busy broker would be hung up on again and again.
        if self.get("request.timeout.ms").is_some() {
            let timeout = self.number("request.timeout.ms", 30_000);
            out.set("socket.timeout.ms", timeout.clamp(30_000, 300_000).to_string());
        }
    }

    fn producer(&self, out: &mut Translation) -> Result<(), ConfigError> {
        let idempotent = self.is_true("enable.idempotence", true) && self.idempotence_obstacle().is_none();
        out.set("enable.idempotence", idempotent.to_string());
        if let Some(acks) = self.get("acks") {
            out.set("acks", if acks == "all" { "-1" } else { acks });
        }
        let linger = self.number("linger.ms", 0);
        let delivery = match self.get("delivery.timeout.ms") {
            Some(_) => self.number("delivery.timeout.ms", 120_000),
            None => 120_000.max(linger + self.number("request.timeout.ms", 30_000)),
        };
        // librdkafka wants it to be greater than the linger time, and takes 0 for "never".
        out.set("delivery.timeout.ms", delivery.clamp(linger.min(900_000) + 1, i64::from(i32::MAX)).to_string());
        if let Some(codec) = self.get("compression.type") {
            out.set("compression.type", codec);
            let level = self.get(&format!("compression.{codec}.level"));
            if let Some(level) = level.and_then(|level| level.parse::<i64>().ok()) {
                let most = if codec == "gzip" { 9 } else { 12 };
                out.set("compression.level", level.clamp(-1, most).to_string());
            }
        }
        match self.get("partitioner.class").unwrap_or_default() {
            "" => {}
            class if JAVA_DEFAULT_PARTITIONERS.contains(&class) || class == ROUND_ROBIN_PARTITIONER => {}
            class => {
                return Err(ConfigError::invalid(
                    "partitioner.class",
                    class,
                    format_args!("Class {class} could not be found."),
                ));
            }
        }
        Ok(())
    }

    /// What a producer's keys mean for the choice of the partition.
    pub fn keys(&self) -> Keys {
        match self.get("partitioner.class") {
            Some(ROUND_ROBIN_PARTITIONER) => Keys::InTurn,
            _ if self.is_true("partitioner.ignore.keys", false) => Keys::Ignored,
            _ => Keys::Decide,
        }
    }

    fn consumer(&self, out: &mut Translation) {
        if let Some(reset) = self.get("auto.offset.reset") {
            out.set("auto.offset.reset", if reset == "none" { "error" } else { reset });
        }
        if let Some(assignors) = self.get("partition.assignment.strategy") {
            let names: Vec<&str> = assignors
                .split(',')
                .filter_map(|class| match class.trim().rsplit('.').next().unwrap_or_default() {
                    "RangeAssignor" => Some("range"),
                    "RoundRobinAssignor" => Some("roundrobin"),
                    "CooperativeStickyAssignor" => Some("cooperative-sticky"),
                    _ => None,
                })
                .collect();
            // The two rebalance protocols cannot be mixed: Java's default list means range until all members moved.
            let eager = names.iter().copied().find(|name| *name != "cooperative-sticky");
            out.set("partition.assignment.strategy", eager.or(names.first().copied()).unwrap_or("range"));
        }
    }

    fn check_idempotence(&self) -> Result<(), ConfigError> {
        match self.idempotence_obstacle() {
            Some(obstacle) if self.get("enable.idempotence").is_some() && self.is_true("enable.idempotence", true) => {
                Err(ConfigError(obstacle.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// Why Java would switch idempotence off, or refuse it where it was asked for.
    fn idempotence_obstacle(&self) -> Option<&'static str> {
        if self.number("retries", 1) == 0 {
            return Some("Must set retries to non-zero when using the idempotent producer.");
        }
        if !matches!(self.get("acks").unwrap_or("all"), "all" | "-1") {
            return Some(
                "Must set acks to all in order to use the idempotent producer. Otherwise we cannot guarantee idempotence.",
            );
        }
        if self.number("max.in.flight.requests.per.connection", 5) > 5 {
            return Some("Must set max.in.flight.requests.per.connection to at most 5 to use the idempotent producer.");
        }
        None
    }

    fn check_delivery_timeout(&self) -> Result<(), ConfigError> {
        let least = self.number("linger.ms", 0).saturating_add(self.number("request.timeout.ms", 30_000));
        match self.get("delivery.timeout.ms") {
            Some(_) if self.number("delivery.timeout.ms", 0) < least => Err(ConfigError(
                "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

const JAVA_DEFAULT_PARTITIONERS: &[&str] = &[
    "org.apache.kafka.clients.producer.internals.DefaultPartitioner",
    "org.apache.kafka.clients.producer.UniformStickyPartitioner",
];
const ROUND_ROBIN_PARTITIONER: &str = "org.apache.kafka.clients.producer.RoundRobinPartitioner";

/// Java's defaults where librdkafka's differ, and what short-lived tools need: connections to all brokers at once
/// instead of on demand took a metadata request from 60 ms to 9 ms; pushing metrics is for clients that stay.
const BASE: &[(&str, &str)] = &[
    ("enable.sparse.connections", "false"),
    ("enable.metrics.push", "false"),
    ("socket.nagle.disable", "true"),
    ("socket.timeout.ms", "30000"),
    ("socket.connection.setup.timeout.ms", "10000"),
    ("reconnect.backoff.ms", "50"),
    ("reconnect.backoff.max.ms", "1000"),
    ("connections.max.idle.ms", "540000"),
];

/// `queue.buffering.max.messages` bounds what librdkafka itself adds to each record, some 250 bytes.
const PRODUCER: &[(&str, &str)] = &[
    ("acks", "-1"),
    ("max.in.flight.requests.per.connection", "5"),
    ("partitioner", "murmur2_random"),
    ("batch.size", "16384"),
    ("linger.ms", "0"),
    ("message.max.bytes", "1048576"),
    ("queue.buffering.max.kbytes", "32768"),
    ("queue.buffering.max.messages", "100000"),
    ("topic.metadata.propagation.max.ms", "60000"),
];

const CONSUMER: &[(&str, &str)] = &[
    ("isolation.level", "read_uncommitted"),
    ("allow.auto.create.topics", "true"),
    ("partition.assignment.strategy", "range"),
    ("check.crcs", "true"),
    ("enable.partition.eof", "false"),
];

/// Settings under librdkafka's names; setting one again replaces it.
struct Translation(Vec<(String, String)>);

impl Translation {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(key, _)| key != name);
        self.0.push((name.to_owned(), value.into()));
    }

    fn extend(&mut self, settings: &[(&str, &str)]) {
        for (name, value) in settings {
            self.set(name, *value);
        }
    }
}

fn keys_of(role: Role) -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(move |key| key.roles.contains(&role))
}

#[cfg(test)]
mod tests;
