//! Every key that a broker or a topic takes, one row each.
//!
//! A row without a doc text is a key that is accepted, checked and shown, while nothing here acts on it.
//!
//! Source: the `ConfigDef` of Apache Kafka 3.9.1's `KafkaConfig` and `LogConfig`.

use std::collections::HashMap;
use std::sync::LazyLock;

use Kind::*;
use Update::*;
use Valid::*;

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Str,
    Int,
    Short,
    Long,
    Double,
    List,
    Class,
    Password,
}

impl Kind {
    /// The type's id in DescribeConfigs.
    pub fn id(self) -> i8 {
        match self {
            Boolean => 1,
            Str => 2,
            Int => 3,
            Short => 4,
            Long => 5,
            Double => 6,
            List => 7,
            Class => 8,
            Password => 9,
        }
    }

    /// The type's name, as error messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Boolean => "BOOLEAN",
            Str => "STRING",
            Int => "INT",
            Short => "SHORT",
            Long => "LONG",
            Double => "DOUBLE",
            List => "LIST",
            Class => "CLASS",
            Password => "PASSWORD",
        }
    }
}

/// Which values of its type a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Valid {
    Any,
    AtLeast(i64),
    Between(i64, i64),
    /// -1 for "the codec's or pool's own default", or a value in between.
    MinusOneOr(i64, i64),
    /// From 0 to here.
    Ratio(f64),
    /// One of these; of a list, each element.
    OneOf(&'static [&'static str]),
    /// One of these, in any case.
    OneOfAnyCase(&'static [&'static str]),
    NonEmpty,
    /// A release of Kafka: `2.8`, `2.8-IV1`, `0.10.2`.
    Version,
    /// `*` or `partition:broker,…`.
    ThrottledReplicas,
}

/// How a broker key may be changed while the broker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    ReadOnly,
    PerBroker,
    ClusterWide,
}

/// A broker key.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// `None`: no value.
    pub default: Option<&'static str>,
    pub valid: Valid,
    pub update: Update,
    /// Known, but not listed by DescribeConfigs.
    pub internal: bool,
    pub doc: &'static str,
}

impl Key {
    /// Whether DescribeConfigs and the log hide the value.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Password
    }
}

/// A topic key.
#[derive(Debug)]
pub struct TopicKey {
    pub name: &'static str,
    pub kind: Kind,
    pub default: &'static str,
    pub valid: Valid,
    /// The broker key that gives the value when the topic has none of its own.
    pub broker_key: Option<&'static str>,
}

/// The broker key of that name.
pub fn broker_key(name: &str) -> Option<&'static Key> {
    static INDEX: LazyLock<HashMap<&str, &Key>> = LazyLock::new(|| BROKER_KEYS.iter().map(|k| (k.name, k)).collect());
    INDEX.get(name).copied()
}

/// The topic key of that name.
pub fn topic_key(name: &str) -> Option<&'static TopicKey> {
    TOPIC_KEYS.iter().find(|key| key.name == name)
}

/// All keys that say the same thing as `name`, the strongest first; `name` among them.
///
/// Source: `DynamicBrokerConfig.brokerConfigSynonyms`.
pub fn broker_synonyms(name: &str) -> Vec<&str> {
    match name {
        "log.roll.ms" | "log.roll.hours" => vec!["log.roll.ms", "log.roll.hours"],
        "log.roll.jitter.ms" | "log.roll.jitter.hours" => vec!["log.roll.jitter.ms", "log.roll.jitter.hours"],
        "log.flush.interval.ms" => vec!["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
        "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
            vec!["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
        }
        name => vec![name],
    }
}

/// A key of ours, or one that only an old release knew.
#[derive(Debug)]
pub struct OldKey {
    pub name: &'static str,
    pub doc: &'static str,
}

/// Keys that stock files of Kafka 0.8 … 2.8 carried and later releases dropped. They count only where
/// `listeners` or `advertised.listeners` is absent, as in the releases that had them.
pub const OLD_KEYS: &[OldKey] = &[
    OldKey { name: "port", doc: "Port of the PLAINTEXT listener." },
    OldKey { name: "host.name", doc: "Host of the PLAINTEXT listener." },
    OldKey { name: "advertised.port", doc: "Port that clients are told to connect to." },
    OldKey { name: "advertised.host.name", doc: "Host that clients are told to connect to." },
];

const fn key(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    valid: Valid,
    update: Update,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, valid, update, internal: false, doc }
}

const fn internal(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    valid: Valid,
    update: Update,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, valid, update, internal: true, doc }
}

const fn topic(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    valid: Valid,
    broker_key: Option<&'static str>,
) -> TopicKey {
    TopicKey { name, kind, default, valid, broker_key }
}

/// Topic keys, in the order in which Apache's broker describes them.
#[rustfmt::skip]
pub const TOPIC_KEYS: &[TopicKey] = &[
    topic("compression.type", Str, "producer", OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), Some("compression.type")),
    topic("remote.log.delete.on.disable", Boolean, "false", Any, None),
    topic("leader.replication.throttled.replicas", List, "", ThrottledReplicas, None),
    topic("remote.storage.enable", Boolean, "false", Any, None),
    topic("message.downconversion.enable", Boolean, "true", Any, Some("log.message.downconversion.enable")),
    topic("min.insync.replicas", Int, "1", AtLeast(1), Some("min.insync.replicas")),
    topic("segment.jitter.ms", Long, "0", AtLeast(0), Some("log.roll.jitter.ms")),
    topic("remote.log.copy.disable", Boolean, "false", Any, None),
    topic("local.retention.ms", Long, "-2", AtLeast(-2), Some("log.local.retention.ms")),
    topic("cleanup.policy", List, "delete", OneOf(&["compact", "delete"]), Some("log.cleanup.policy")),
    topic("flush.ms", Long, "9223372036854775807", AtLeast(0), Some("log.flush.interval.ms")),
    topic("follower.replication.throttled.replicas", List, "", ThrottledReplicas, None),
    topic("compression.lz4.level", Int, "9", Between(1, 17), Some("compression.lz4.level")),
    topic("segment.bytes", Int, "1073741824", AtLeast(14), Some("log.segment.bytes")),
    topic("retention.ms", Long, "604800000", AtLeast(-1), Some("log.retention.ms")),
    topic("compression.gzip.level", Int, "-1", MinusOneOr(1, 9), Some("compression.gzip.level")),
    topic("flush.messages", Long, "9223372036854775807", AtLeast(1), Some("log.flush.interval.messages")),
    topic("compression.zstd.level", Int, "3", Between(-131072, 22), Some("compression.zstd.level")),
    topic("message.format.version", Str, "3.0-IV1", Version, Some("log.message.format.version")),
    topic("max.compaction.lag.ms", Long, "9223372036854775807", AtLeast(1), Some("log.cleaner.max.compaction.lag.ms")),
    topic("file.delete.delay.ms", Long, "60000", AtLeast(0), Some("log.segment.delete.delay.ms")),
    topic("max.message.bytes", Int, "1048588", AtLeast(0), Some("message.max.bytes")),
    topic("min.compaction.lag.ms", Long, "0", AtLeast(0), Some("log.cleaner.min.compaction.lag.ms")),
    topic("message.timestamp.type", Str, "CreateTime", OneOf(&["CreateTime", "LogAppendTime"]), Some("log.message.timestamp.type")),
    topic("local.retention.bytes", Long, "-2", AtLeast(-2), Some("log.local.retention.bytes")),
    topic("preallocate", Boolean, "false", Any, Some("log.preallocate")),
    topic("min.cleanable.dirty.ratio", Double, "0.5", Ratio(1.0), Some("log.cleaner.min.cleanable.ratio")),
    topic("index.interval.bytes", Int, "4096", AtLeast(0), Some("log.index.interval.bytes")),
    topic("unclean.leader.election.enable", Boolean, "false", Any, Some("unclean.leader.election.enable")),
    topic("retention.bytes", Long, "-1", Any, Some("log.retention.bytes")),
    topic("delete.retention.ms", Long, "86400000", AtLeast(0), Some("log.cleaner.delete.retention.ms")),
    topic("message.timestamp.after.max.ms", Long, "9223372036854775807", AtLeast(0), Some("log.message.timestamp.after.max.ms")),
    topic("message.timestamp.before.max.ms", Long, "9223372036854775807", AtLeast(0), Some("log.message.timestamp.before.max.ms")),
    topic("segment.ms", Long, "604800000", AtLeast(1), Some("log.roll.ms")),
    topic("message.timestamp.difference.max.ms", Long, "9223372036854775807", AtLeast(0), Some("log.message.timestamp.difference.max.ms")),
    topic("segment.index.bytes", Int, "10485760", AtLeast(4), Some("log.index.size.max.bytes")),
];

/// Broker keys, by name. The three without a namesake in Kafka are ours: `metrics.listener`, `registry.data.dir`,
/// `registry.listener`.
#[rustfmt::skip]
pub const BROKER_KEYS: &[Key] = &[
    key("advertised.listeners", Str, None, Any, PerBroker, "Addresses that clients are told to connect to; default: `listeners`."),
    key("alter.config.policy.class.name", Class, None, Any, ReadOnly, ""),
    key("alter.log.dirs.replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, ""),
    key("alter.log.dirs.replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, ""),
    key("authorizer.class.name", Str, Some(""), Any, ReadOnly, ""),
    key("auto.create.topics.enable", Boolean, Some("true"), Any, ReadOnly, "Whether a request for a missing topic creates it."),
    key("auto.include.jmx.reporter", Boolean, Some("true"), Any, ReadOnly, ""),
    key("auto.leader.rebalance.enable", Boolean, Some("true"), Any, ReadOnly, "Whether the controller gives partitions back to their preferred leader."),
    key("background.threads", Int, Some("10"), AtLeast(1), ClusterWide, "Threads of a JVM broker for small jobs; accepted."),
    key("broker.heartbeat.interval.ms", Int, Some("2000"), Any, ReadOnly, ""),
    key("broker.id", Int, Some("-1"), Any, ReadOnly, "This broker's number in the cluster; -1: taken from the registry."),
    key("broker.id.generation.enable", Boolean, Some("true"), Any, ReadOnly, "Whether `broker.id=-1` takes an id from the registry."),
    key("broker.rack", Str, None, Any, ReadOnly, "Where this broker stands; replicas are spread over racks."),
    key("broker.session.timeout.ms", Int, Some("9000"), Any, ReadOnly, ""),
    key("client.quota.callback.class", Class, None, Any, ReadOnly, ""),
    key("compression.gzip.level", Int, Some("-1"), MinusOneOr(1, 9), ClusterWide, "Level of recompression for `compression.type=gzip`."),
    key("compression.lz4.level", Int, Some("9"), Between(1, 17), ClusterWide, "Level of recompression for `compression.type=lz4`."),
    key("compression.type", Str, Some("producer"), OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]), ClusterWide, "Codec that batches are stored with; `producer`: as they come."),
    key("compression.zstd.level", Int, Some("3"), Between(-131072, 22), ClusterWide, "Level of recompression for `compression.type=zstd`."),
    key("connection.failed.authentication.delay.ms", Int, Some("100"), AtLeast(0), ReadOnly, "How long a failed authentication waits for its answer."),
    key("connections.max.idle.ms", Long, Some("600000"), Any, ReadOnly, "An idle connection is closed after so long; negative: never."),
    key("connections.max.reauth.ms", Long, Some("0"), Any, ReadOnly, ""),
    key("control.plane.listener.name", Str, None, Any, ReadOnly, ""),
    key("controlled.shutdown.enable", Boolean, Some("true"), Any, ReadOnly, "Whether leadership moves away before the broker stops."),
    key("controlled.shutdown.max.retries", Int, Some("3"), Any, ReadOnly, "How often a controlled shutdown is tried."),
    key("controlled.shutdown.retry.backoff.ms", Long, Some("5000"), Any, ReadOnly, "Pause between two tries of a controlled shutdown."),
    key("controller.listener.names", Str, None, Any, ReadOnly, ""),
    key("controller.quorum.append.linger.ms", Int, Some("25"), Any, ReadOnly, ""),
    key("controller.quorum.bootstrap.servers", List, Some(""), Any, ReadOnly, ""),
    key("controller.quorum.election.backoff.max.ms", Int, Some("1000"), Any, ReadOnly, ""),
    key("controller.quorum.election.timeout.ms", Int, Some("1000"), Any, ReadOnly, ""),
    key("controller.quorum.fetch.timeout.ms", Int, Some("2000"), Any, ReadOnly, ""),
    key("controller.quorum.request.timeout.ms", Int, Some("2000"), Any, ReadOnly, ""),
    key("controller.quorum.retry.backoff.ms", Int, Some("20"), Any, ReadOnly, ""),
    key("controller.quorum.voters", List, Some(""), Any, ReadOnly, ""),
    key("controller.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, ""),
    key("controller.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, ""),
    key("controller.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly, "How long the controller waits for a broker's answer."),
    key("create.topic.policy.class.name", Class, None, Any, ReadOnly, ""),
    key("default.replication.factor", Int, Some("1"), Any, ReadOnly, "Replicas of a topic created without a number."),
    key("delegation.token.expiry.check.interval.ms", Long, Some("3600000"), AtLeast(1), ReadOnly, ""),
    key("delegation.token.expiry.time.ms", Long, Some("86400000"), AtLeast(1), ReadOnly, ""),
    key("delegation.token.master.key", Password, None, Any, ReadOnly, ""),
    key("delegation.token.max.lifetime.ms", Long, Some("604800000"), AtLeast(1), ReadOnly, ""),
    key("delegation.token.secret.key", Password, None, Any, ReadOnly, ""),
    key("delete.records.purgatory.purge.interval.requests", Int, Some("1"), Any, ReadOnly, ""),
    key("delete.topic.enable", Boolean, Some("true"), Any, ReadOnly, "Whether topics may be deleted."),
    key("early.start.listeners", Str, None, Any, ReadOnly, ""),
    key("eligible.leader.replicas.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("fetch.max.bytes", Int, Some("57671680"), AtLeast(1024), ReadOnly, "Most bytes that one Fetch answers with."),
    key("fetch.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly, ""),
    key("group.consumer.assignors", List, Some("org.apache.kafka.coordinator.group.assignor.UniformAssignor,org.apache.kafka.coordinator.group.assignor.RangeAssignor"), Any, ReadOnly, ""),
    key("group.consumer.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly, ""),
    key("group.consumer.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly, ""),
    key("group.consumer.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly, ""),
    key("group.consumer.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly, ""),
    internal("group.consumer.migration.policy", Str, Some("bidirectional"), OneOfAnyCase(&["disabled", "downgrade", "upgrade", "bidirectional"]), ReadOnly, "Whether a group in use may go from the classic protocol to the consumer protocol, and back."),
    key("group.consumer.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly, ""),
    key("group.consumer.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly, ""),
    key("group.consumer.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly, ""),
    key("group.coordinator.append.linger.ms", Int, Some("10"), AtLeast(0), ReadOnly, ""),
    internal("group.coordinator.new.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("group.coordinator.rebalance.protocols", List, Some("classic,consumer"), OneOf(&["consumer", "classic", "share", "unknown"]), ReadOnly, "Protocols that groups may speak; without `consumer` those of KIP-848 are refused, as Apache 3.9 does by default."),
    key("group.coordinator.threads", Int, Some("1"), AtLeast(1), ReadOnly, ""),
    key("group.initial.rebalance.delay.ms", Int, Some("3000"), Any, ReadOnly, "How long an empty group waits for more members before its first rebalance."),
    key("group.max.session.timeout.ms", Int, Some("1800000"), Any, ReadOnly, "Longest session timeout that a group member may ask for."),
    key("group.max.size", Int, Some("2147483647"), AtLeast(1), ReadOnly, "Most members of one group."),
    key("group.min.session.timeout.ms", Int, Some("6000"), Any, ReadOnly, "Shortest session timeout that a group member may ask for."),
    key("group.share.delivery.count.limit", Int, Some("5"), Between(2, 10), ReadOnly, ""),
    internal("group.share.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("group.share.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly, ""),
    key("group.share.max.groups", Short, Some("10"), Between(1, 100), ReadOnly, ""),
    key("group.share.max.heartbeat.interval.ms", Int, Some("15000"), AtLeast(1), ReadOnly, ""),
    key("group.share.max.record.lock.duration.ms", Int, Some("60000"), Between(30000, 3600000), ReadOnly, ""),
    key("group.share.max.session.timeout.ms", Int, Some("60000"), AtLeast(1), ReadOnly, ""),
    key("group.share.max.size", Short, Some("200"), Between(10, 1000), ReadOnly, ""),
    key("group.share.min.heartbeat.interval.ms", Int, Some("5000"), AtLeast(1), ReadOnly, ""),
    key("group.share.min.record.lock.duration.ms", Int, Some("15000"), Between(1000, 30000), ReadOnly, ""),
    key("group.share.min.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly, ""),
    key("group.share.partition.max.record.locks", Int, Some("200"), Between(100, 10000), ReadOnly, ""),
    key("group.share.record.lock.duration.ms", Int, Some("30000"), Between(1000, 60000), ReadOnly, ""),
    key("group.share.session.timeout.ms", Int, Some("45000"), AtLeast(1), ReadOnly, ""),
    key("initial.broker.registration.timeout.ms", Int, Some("60000"), Any, ReadOnly, ""),
    key("inter.broker.listener.name", Str, None, Any, ReadOnly, "Listener that brokers use among themselves."),
    key("inter.broker.protocol.version", Str, Some("3.9-IV0"), Version, ReadOnly, "The versions of the requests among brokers; the same on all brokers of a cluster."),
    key("kafka.metrics.polling.interval.secs", Int, Some("10"), AtLeast(1), ReadOnly, ""),
    key("kafka.metrics.reporters", List, Some(""), Any, ReadOnly, ""),
    key("leader.imbalance.check.interval.seconds", Long, Some("300"), AtLeast(1), ReadOnly, "How often preferred leaders are looked after."),
    key("leader.imbalance.per.broker.percentage", Int, Some("10"), Any, ReadOnly, "Share of partitions away from their preferred leader that is tolerated."),
    key("listener.security.protocol.map", Str, Some("SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT"), Any, PerBroker, "Which security protocol each listener name speaks."),
    key("listeners", Str, Some("PLAINTEXT://:9092"), Any, PerBroker, "Where the broker listens: `NAME://HOST:PORT`, comma-separated; port 0: any free one."),
    key("log.cleaner.backoff.ms", Long, Some("15000"), AtLeast(0), ClusterWide, "How long the cleaner sleeps when nothing is dirty."),
    key("log.cleaner.dedupe.buffer.size", Long, Some("134217728"), Any, ClusterWide, "Memory of all cleaner threads for their key maps."),
    key("log.cleaner.delete.retention.ms", Long, Some("86400000"), AtLeast(0), ClusterWide, "How long tombstones of a compacted topic stay."),
    key("log.cleaner.enable", Boolean, Some("true"), Any, ReadOnly, "Whether compacted topics are compacted."),
    key("log.cleaner.io.buffer.load.factor", Double, Some("0.9"), Any, ClusterWide, "How full the cleaner's key map may get."),
    key("log.cleaner.io.buffer.size", Int, Some("524288"), AtLeast(0), ClusterWide, "Memory of all cleaner threads for reading and writing."),
    key("log.cleaner.io.max.bytes.per.second", Double, Some("1.7976931348623157E308"), Any, ClusterWide, "Limit of the cleaner's reading and writing."),
    key("log.cleaner.max.compaction.lag.ms", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide, "Longest time that a record may stay uncompacted."),
    key("log.cleaner.min.cleanable.ratio", Double, Some("0.5"), Ratio(1.0), ClusterWide, "Share of a log that must be dirty before it is compacted."),
    key("log.cleaner.min.compaction.lag.ms", Long, Some("0"), AtLeast(0), ClusterWide, "Shortest time that a record stays uncompacted."),
    key("log.cleaner.threads", Int, Some("1"), AtLeast(0), ClusterWide, "Threads of the cleaner."),
    key("log.cleanup.policy", List, Some("delete"), OneOf(&["compact", "delete"]), ClusterWide, "What happens to old segments: `delete`, `compact` or both."),
    key("log.dir", Str, Some("/tmp/kafka-logs"), Any, ReadOnly, "Data directory, when `log.dirs` is absent."),
    key("log.dir.failure.timeout.ms", Long, Some("30000"), AtLeast(1), ReadOnly, ""),
    key("log.dirs", Str, None, Any, ReadOnly, "Data directories, comma-separated."),
    key("log.flush.interval.messages", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide, "Flush to disk after so many records."),
    key("log.flush.interval.ms", Long, None, Any, ClusterWide, "Flush to disk after so long."),
    key("log.flush.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly, "How often the recovery points are written down."),
    key("log.flush.scheduler.interval.ms", Long, Some("9223372036854775807"), Any, ReadOnly, "How often the flusher looks for logs to flush."),
    key("log.flush.start.offset.checkpoint.interval.ms", Int, Some("60000"), AtLeast(0), ReadOnly, "How often the log start offsets are written down."),
    key("log.index.interval.bytes", Int, Some("4096"), AtLeast(0), ClusterWide, "An index entry every so many bytes."),
    key("log.index.size.max.bytes", Int, Some("10485760"), AtLeast(4), ClusterWide, "Largest offset or time index."),
    internal("log.initial.task.delay.ms", Long, Some("30000"), AtLeast(0), ReadOnly, "Pause before the first round of retention and checkpoints."),
    key("log.local.retention.bytes", Long, Some("-2"), AtLeast(-2), ClusterWide, ""),
    key("log.local.retention.ms", Long, Some("-2"), AtLeast(-2), ClusterWide, ""),
    key("log.message.downconversion.enable", Boolean, Some("true"), Any, ClusterWide, "Whether old consumers get batches converted to their format."),
    key("log.message.format.version", Str, Some("3.0-IV1"), Version, ReadOnly, "Accepted and ignored, as in Kafka 3.x."),
    key("log.message.timestamp.after.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide, "How far a record's timestamp may lie in the future."),
    key("log.message.timestamp.before.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide, "How far a record's timestamp may lie in the past."),
    key("log.message.timestamp.difference.max.ms", Long, Some("9223372036854775807"), AtLeast(0), ClusterWide, "Old name of both limits on a record's timestamp."),
    key("log.message.timestamp.type", Str, Some("CreateTime"), OneOf(&["CreateTime", "LogAppendTime"]), ClusterWide, "`CreateTime`: the producer's time; `LogAppendTime`: the broker's."),
    key("log.preallocate", Boolean, Some("false"), Any, ClusterWide, "Whether segments are given their full size on creation."),
    key("log.retention.bytes", Long, Some("-1"), Any, ClusterWide, "Largest size of a partition before old segments go; -1: no limit."),
    key("log.retention.check.interval.ms", Long, Some("300000"), AtLeast(1), ReadOnly, "How often retention is looked after."),
    key("log.retention.hours", Int, Some("168"), Any, ReadOnly, "Age after which old segments go, when neither the ms nor the minutes key is set."),
    key("log.retention.minutes", Int, None, Any, ReadOnly, "Age after which old segments go, when the ms key is not set."),
    key("log.retention.ms", Long, None, Any, ClusterWide, "Age after which old segments go; -1: never."),
    key("log.roll.hours", Int, Some("168"), AtLeast(1), ReadOnly, "Age at which a segment is closed, when `log.roll.ms` is not set."),
    key("log.roll.jitter.hours", Int, Some("0"), AtLeast(0), ReadOnly, "Spread of the age at which segments close, when the ms key is not set."),
    key("log.roll.jitter.ms", Long, None, Any, ClusterWide, "Spread of the age at which segments close."),
    key("log.roll.ms", Long, None, Any, ClusterWide, "Age at which a segment is closed."),
    key("log.segment.bytes", Int, Some("1073741824"), AtLeast(14), ClusterWide, "Size at which a segment is closed."),
    key("log.segment.delete.delay.ms", Long, Some("60000"), AtLeast(0), ClusterWide, "How long a deleted segment's file stays."),
    key("max.connection.creation.rate", Int, Some("2147483647"), AtLeast(0), ClusterWide, "Most new connections a second."),
    key("max.connections", Int, Some("2147483647"), AtLeast(0), ClusterWide, "Most connections at a time."),
    key("max.connections.per.ip", Int, Some("2147483647"), AtLeast(0), ClusterWide, "Most connections at a time from one address."),
    key("max.connections.per.ip.overrides", Str, Some(""), Any, ClusterWide, "Exceptions to it: `host:limit`, comma-separated."),
    key("max.incremental.fetch.session.cache.slots", Int, Some("1000"), AtLeast(0), ReadOnly, "Most fetch sessions at a time."),
    key("max.request.partition.size.limit", Int, Some("2000"), AtLeast(1), ReadOnly, "Most partitions that one DescribeTopicPartitions answers with."),
    key("message.max.bytes", Int, Some("1048588"), AtLeast(0), ClusterWide, "Largest record batch."),
    key("metadata.log.dir", Str, None, Any, ReadOnly, ""),
    key("metadata.log.max.record.bytes.between.snapshots", Long, Some("20971520"), AtLeast(1), ReadOnly, ""),
    key("metadata.log.max.snapshot.interval.ms", Long, Some("3600000"), AtLeast(0), ReadOnly, ""),
    key("metadata.log.segment.bytes", Int, Some("1073741824"), AtLeast(12), ReadOnly, ""),
    internal("metadata.log.segment.min.bytes", Int, Some("8388608"), AtLeast(12), ReadOnly, ""),
    key("metadata.log.segment.ms", Long, Some("604800000"), Any, ReadOnly, ""),
    key("metadata.max.idle.interval.ms", Int, Some("500"), AtLeast(0), ReadOnly, ""),
    key("metadata.max.retention.bytes", Long, Some("104857600"), Any, ReadOnly, ""),
    key("metadata.max.retention.ms", Long, Some("604800000"), Any, ReadOnly, ""),
    key("metric.reporters", List, Some(""), Any, ClusterWide, ""),
    internal("metrics.listener", Str, None, Any, ReadOnly, "`HOST:PORT` for metrics; accepted, not served yet."),
    key("metrics.num.samples", Int, Some("2"), AtLeast(1), ReadOnly, "Accepted."),
    key("metrics.recording.level", Str, Some("INFO"), Any, ReadOnly, ""),
    key("metrics.sample.window.ms", Long, Some("30000"), AtLeast(1), ReadOnly, ""),
    key("min.insync.replicas", Int, Some("1"), AtLeast(1), ClusterWide, "Replicas that must be in sync for `acks=all`."),
    key("node.id", Int, Some("-1"), Any, ReadOnly, "Alias of `broker.id`."),
    key("num.io.threads", Int, Some("8"), AtLeast(1), ClusterWide, "Threads for requests; here: worker threads at most."),
    key("num.network.threads", Int, Some("3"), AtLeast(1), ClusterWide, "Accepted; connections share the worker threads."),
    key("num.partitions", Int, Some("1"), AtLeast(1), ReadOnly, "Partitions of a topic created without a number."),
    key("num.recovery.threads.per.data.dir", Int, Some("1"), AtLeast(1), ClusterWide, "Threads that load and recover logs, per directory."),
    key("num.replica.alter.log.dirs.threads", Int, None, Any, ReadOnly, ""),
    key("num.replica.fetchers", Int, Some("1"), Any, ClusterWide, "Connections to each leader that is followed."),
    key("offset.metadata.max.bytes", Int, Some("4096"), Any, ReadOnly, "Longest metadata of a committed offset."),
    key("offsets.commit.required.acks", Short, Some("-1"), Any, ReadOnly, ""),
    key("offsets.commit.timeout.ms", Int, Some("5000"), AtLeast(1), ReadOnly, "How long an offset commit waits for its replicas."),
    key("offsets.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly, "Bytes read at a time when a coordinator loads its partition."),
    key("offsets.retention.check.interval.ms", Long, Some("600000"), AtLeast(1), ReadOnly, "How often expired offsets are looked for."),
    key("offsets.retention.minutes", Int, Some("10080"), AtLeast(1), ReadOnly, "How long an empty group's offsets are kept."),
    key("offsets.topic.compression.codec", Int, Some("0"), Any, ReadOnly, "Codec of `__consumer_offsets`: 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd."),
    key("offsets.topic.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly, "Partitions of `__consumer_offsets`."),
    key("offsets.topic.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly, "Replicas of `__consumer_offsets`."),
    key("offsets.topic.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly, "Segment size of `__consumer_offsets`."),
    key("password.encoder.cipher.algorithm", Str, Some("AES/CBC/PKCS5Padding"), Any, ReadOnly, ""),
    key("password.encoder.iterations", Int, Some("4096"), AtLeast(1024), ReadOnly, ""),
    key("password.encoder.key.length", Int, Some("128"), AtLeast(8), ReadOnly, ""),
    key("password.encoder.keyfactory.algorithm", Str, None, Any, ReadOnly, ""),
    key("password.encoder.old.secret", Password, None, Any, ReadOnly, ""),
    key("password.encoder.secret", Password, None, Any, ReadOnly, ""),
    key("principal.builder.class", Class, Some("org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"), Any, PerBroker, ""),
    key("process.roles", List, Some(""), OneOf(&["broker", "controller"]), ReadOnly, ""),
    internal("producer.id.expiration.check.interval.ms", Int, Some("600000"), AtLeast(1), ReadOnly, "How often forgotten producers are looked for."),
    key("producer.id.expiration.ms", Int, Some("86400000"), AtLeast(1), ClusterWide, "How long a partition remembers an idle producer's sequence numbers."),
    key("producer.purgatory.purge.interval.requests", Int, Some("1000"), Any, ReadOnly, ""),
    key("queued.max.request.bytes", Long, Some("-1"), Any, ReadOnly, "Most bytes of requests in flight; -1: no limit."),
    key("queued.max.requests", Int, Some("500"), AtLeast(1), ReadOnly, "Most requests in flight before reading stops."),
    key("quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, ""),
    key("quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, ""),
    internal("registry.data.dir", Str, None, Any, ReadOnly, "Where the registry inside the broker keeps its data; default: the first data directory's name with `-registry` after it."),
    internal("registry.listener", Str, Some("127.0.0.1:2181"), NonEmpty, ReadOnly, "Where the registry inside the broker listens, when `zookeeper.connect` is absent."),
    key("remote.fetch.max.wait.ms", Int, Some("500"), AtLeast(1), ClusterWide, ""),
    key("remote.log.index.file.cache.total.size.bytes", Long, Some("1073741824"), AtLeast(1), ClusterWide, ""),
    key("remote.log.manager.copier.thread.pool.size", Int, Some("-1"), MinusOneOr(1, i64::MAX), ReadOnly, ""),
    key("remote.log.manager.copy.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide, ""),
    key("remote.log.manager.copy.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, ""),
    key("remote.log.manager.copy.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, ""),
    key("remote.log.manager.expiration.thread.pool.size", Int, Some("-1"), MinusOneOr(1, i64::MAX), ReadOnly, ""),
    key("remote.log.manager.fetch.max.bytes.per.second", Long, Some("9223372036854775807"), AtLeast(1), ClusterWide, ""),
    key("remote.log.manager.fetch.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, ""),
    key("remote.log.manager.fetch.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, ""),
    key("remote.log.manager.task.interval.ms", Long, Some("30000"), AtLeast(1), ReadOnly, ""),
    internal("remote.log.manager.task.retry.backoff.max.ms", Long, Some("30000"), AtLeast(1), ReadOnly, ""),
    internal("remote.log.manager.task.retry.backoff.ms", Long, Some("500"), AtLeast(1), ReadOnly, ""),
    internal("remote.log.manager.task.retry.jitter", Double, Some("0.2"), Ratio(0.5), ReadOnly, ""),
    key("remote.log.manager.thread.pool.size", Int, Some("10"), AtLeast(1), ReadOnly, ""),
    key("remote.log.metadata.custom.metadata.max.bytes", Int, Some("128"), AtLeast(0), ReadOnly, ""),
    key("remote.log.metadata.manager.class.name", Str, Some("org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager"), NonEmpty, ReadOnly, ""),
    key("remote.log.metadata.manager.class.path", Str, None, Any, ReadOnly, ""),
    key("remote.log.metadata.manager.impl.prefix", Str, Some("rlmm.config."), NonEmpty, ReadOnly, ""),
    key("remote.log.metadata.manager.listener.name", Str, None, NonEmpty, ReadOnly, ""),
    key("remote.log.reader.max.pending.tasks", Int, Some("100"), AtLeast(1), ReadOnly, ""),
    key("remote.log.reader.threads", Int, Some("10"), AtLeast(1), ReadOnly, ""),
    key("remote.log.storage.manager.class.name", Str, None, NonEmpty, ReadOnly, ""),
    key("remote.log.storage.manager.class.path", Str, None, Any, ReadOnly, ""),
    key("remote.log.storage.manager.impl.prefix", Str, Some("rsm.config."), NonEmpty, ReadOnly, ""),
    key("remote.log.storage.system.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("replica.fetch.backoff.ms", Int, Some("1000"), AtLeast(0), ReadOnly, "Pause of a follower after an error."),
    key("replica.fetch.max.bytes", Int, Some("1048576"), AtLeast(0), ReadOnly, "Bytes per partition that a follower asks for."),
    key("replica.fetch.min.bytes", Int, Some("1"), Any, ReadOnly, "Bytes that a follower's fetch waits for."),
    key("replica.fetch.response.max.bytes", Int, Some("10485760"), AtLeast(0), ReadOnly, "Bytes that a follower asks for at a time."),
    key("replica.fetch.wait.max.ms", Int, Some("500"), Any, ReadOnly, "How long a follower's fetch may wait."),
    key("replica.high.watermark.checkpoint.interval.ms", Long, Some("5000"), Any, ReadOnly, "How often high watermarks are written down."),
    key("replica.lag.time.max.ms", Long, Some("30000"), Any, ReadOnly, "A follower that has not caught up for so long leaves the ISR."),
    key("replica.selector.class", Str, None, Any, ReadOnly, ""),
    key("replica.socket.receive.buffer.bytes", Int, Some("65536"), Any, ReadOnly, ""),
    key("replica.socket.timeout.ms", Int, Some("30000"), Any, ReadOnly, "How long a follower waits for its leader."),
    key("replication.quota.window.num", Int, Some("11"), AtLeast(1), ReadOnly, ""),
    key("replication.quota.window.size.seconds", Int, Some("1"), AtLeast(1), ReadOnly, ""),
    key("request.timeout.ms", Int, Some("30000"), Any, ReadOnly, "How long a request of this broker to another may take."),
    key("reserved.broker.max.id", Int, Some("1000"), AtLeast(0), ReadOnly, "Largest id that `broker.id` may name; generated ids lie above."),
    key("sasl.client.callback.handler.class", Class, None, Any, ReadOnly, ""),
    key("sasl.enabled.mechanisms", List, Some("GSSAPI"), Any, PerBroker, ""),
    key("sasl.jaas.config", Password, None, Any, PerBroker, ""),
    key("sasl.kerberos.kinit.cmd", Str, Some("/usr/bin/kinit"), Any, PerBroker, ""),
    key("sasl.kerberos.min.time.before.relogin", Long, Some("60000"), Any, PerBroker, ""),
    key("sasl.kerberos.principal.to.local.rules", List, Some("DEFAULT"), Any, PerBroker, ""),
    key("sasl.kerberos.service.name", Str, None, Any, PerBroker, ""),
    key("sasl.kerberos.ticket.renew.jitter", Double, Some("0.05"), Any, PerBroker, ""),
    key("sasl.kerberos.ticket.renew.window.factor", Double, Some("0.8"), Any, PerBroker, ""),
    key("sasl.login.callback.handler.class", Class, None, Any, ReadOnly, ""),
    key("sasl.login.class", Class, None, Any, ReadOnly, ""),
    key("sasl.login.connect.timeout.ms", Int, None, Any, ReadOnly, ""),
    key("sasl.login.read.timeout.ms", Int, None, Any, ReadOnly, ""),
    key("sasl.login.refresh.buffer.seconds", Short, Some("300"), Any, PerBroker, ""),
    key("sasl.login.refresh.min.period.seconds", Short, Some("60"), Any, PerBroker, ""),
    key("sasl.login.refresh.window.factor", Double, Some("0.8"), Any, PerBroker, ""),
    key("sasl.login.refresh.window.jitter", Double, Some("0.05"), Any, PerBroker, ""),
    key("sasl.login.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly, ""),
    key("sasl.login.retry.backoff.ms", Long, Some("100"), Any, ReadOnly, ""),
    key("sasl.mechanism.controller.protocol", Str, Some("GSSAPI"), Any, ReadOnly, ""),
    key("sasl.mechanism.inter.broker.protocol", Str, Some("GSSAPI"), Any, PerBroker, ""),
    key("sasl.oauthbearer.clock.skew.seconds", Int, Some("30"), Any, ReadOnly, ""),
    key("sasl.oauthbearer.expected.audience", List, None, Any, ReadOnly, ""),
    key("sasl.oauthbearer.expected.issuer", Str, None, Any, ReadOnly, ""),
    key("sasl.oauthbearer.jwks.endpoint.refresh.ms", Long, Some("3600000"), Any, ReadOnly, ""),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Long, Some("10000"), Any, ReadOnly, ""),
    key("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Long, Some("100"), Any, ReadOnly, ""),
    key("sasl.oauthbearer.jwks.endpoint.url", Str, None, Any, ReadOnly, ""),
    key("sasl.oauthbearer.scope.claim.name", Str, Some("scope"), Any, ReadOnly, ""),
    key("sasl.oauthbearer.sub.claim.name", Str, Some("sub"), Any, ReadOnly, ""),
    key("sasl.oauthbearer.token.endpoint.url", Str, None, Any, ReadOnly, ""),
    key("sasl.server.callback.handler.class", Class, None, Any, ReadOnly, ""),
    key("sasl.server.max.receive.size", Int, Some("524288"), Any, ReadOnly, ""),
    key("security.inter.broker.protocol", Str, Some("PLAINTEXT"), OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly, "Security protocol between brokers, when no listener is named."),
    key("security.providers", Str, None, Any, ReadOnly, ""),
    internal("server.max.startup.time.ms", Long, Some("9223372036854775807"), AtLeast(0), ReadOnly, ""),
    key("socket.connection.setup.timeout.max.ms", Long, Some("30000"), Any, ReadOnly, ""),
    key("socket.connection.setup.timeout.ms", Long, Some("10000"), Any, ReadOnly, ""),
    key("socket.listen.backlog.size", Int, Some("50"), AtLeast(1), ReadOnly, "Connections that may wait to be accepted."),
    key("socket.receive.buffer.bytes", Int, Some("102400"), Any, ReadOnly, "Receive buffer of a socket; -1: the system's."),
    key("socket.request.max.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly, "Largest request."),
    key("socket.send.buffer.bytes", Int, Some("102400"), Any, ReadOnly, "Send buffer of a socket; -1: the system's."),
    key("ssl.allow.dn.changes", Boolean, Some("false"), Any, ReadOnly, ""),
    key("ssl.allow.san.changes", Boolean, Some("false"), Any, ReadOnly, ""),
    key("ssl.cipher.suites", List, Some(""), Any, PerBroker, ""),
    key("ssl.client.auth", Str, Some("none"), OneOf(&["required", "requested", "none"]), PerBroker, ""),
    key("ssl.enabled.protocols", List, Some("TLSv1.2,TLSv1.3"), Any, PerBroker, ""),
    key("ssl.endpoint.identification.algorithm", Str, Some("https"), Any, PerBroker, ""),
    key("ssl.engine.factory.class", Class, None, Any, PerBroker, ""),
    key("ssl.key.password", Password, None, Any, PerBroker, ""),
    key("ssl.keymanager.algorithm", Str, Some("SunX509"), Any, PerBroker, ""),
    key("ssl.keystore.certificate.chain", Password, None, Any, PerBroker, ""),
    key("ssl.keystore.key", Password, None, Any, PerBroker, ""),
    key("ssl.keystore.location", Str, None, Any, PerBroker, ""),
    key("ssl.keystore.password", Password, None, Any, PerBroker, ""),
    key("ssl.keystore.type", Str, Some("JKS"), Any, PerBroker, ""),
    key("ssl.principal.mapping.rules", Str, Some("DEFAULT"), Any, ReadOnly, ""),
    key("ssl.protocol", Str, Some("TLSv1.3"), Any, PerBroker, ""),
    key("ssl.provider", Str, None, Any, PerBroker, ""),
    key("ssl.secure.random.implementation", Str, None, Any, PerBroker, ""),
    key("ssl.trustmanager.algorithm", Str, Some("PKIX"), Any, PerBroker, ""),
    key("ssl.truststore.certificates", Password, None, Any, PerBroker, ""),
    key("ssl.truststore.location", Str, None, Any, PerBroker, ""),
    key("ssl.truststore.password", Password, None, Any, PerBroker, ""),
    key("ssl.truststore.type", Str, Some("JKS"), Any, PerBroker, ""),
    key("telemetry.max.bytes", Int, Some("1048576"), AtLeast(1), ReadOnly, ""),
    key("transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, Some("10000"), AtLeast(1), ReadOnly, ""),
    key("transaction.max.timeout.ms", Int, Some("900000"), AtLeast(1), ReadOnly, "Longest transaction timeout that a producer may ask for."),
    key("transaction.partition.verification.enable", Boolean, Some("true"), Any, ClusterWide, ""),
    key("transaction.remove.expired.transaction.cleanup.interval.ms", Int, Some("3600000"), AtLeast(1), ReadOnly, ""),
    key("transaction.state.log.load.buffer.size", Int, Some("5242880"), AtLeast(1), ReadOnly, ""),
    key("transaction.state.log.min.isr", Int, Some("2"), AtLeast(1), ReadOnly, "`min.insync.replicas` of `__transaction_state`."),
    key("transaction.state.log.num.partitions", Int, Some("50"), AtLeast(1), ReadOnly, "Partitions of `__transaction_state`."),
    key("transaction.state.log.replication.factor", Short, Some("3"), AtLeast(1), ReadOnly, "Replicas of `__transaction_state`."),
    key("transaction.state.log.segment.bytes", Int, Some("104857600"), AtLeast(1), ReadOnly, "Segment size of `__transaction_state`."),
    key("transactional.id.expiration.ms", Int, Some("604800000"), AtLeast(1), ReadOnly, "How long an idle transactional id is remembered."),
    key("unclean.leader.election.enable", Boolean, Some("false"), Any, ClusterWide, "Whether a replica outside the ISR may lead when no other is left."),
    internal("unclean.leader.election.interval.ms", Long, Some("300000"), AtLeast(1), ReadOnly, ""),
    internal("unstable.api.versions.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    internal("unstable.feature.versions.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("zookeeper.clientCnxnSocket", Str, None, Any, ReadOnly, ""),
    key("zookeeper.connect", Str, None, Any, ReadOnly, "The ZooKeeper ensemble, `host:port,…[/chroot]`; absent: the registry inside this process."),
    key("zookeeper.connection.timeout.ms", Int, None, Any, ReadOnly, "How long to wait for the first connection; default: the session timeout."),
    key("zookeeper.max.in.flight.requests", Int, Some("10"), AtLeast(1), ReadOnly, ""),
    key("zookeeper.metadata.migration.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    internal("zookeeper.metadata.migration.min.batch.size", Int, Some("200"), AtLeast(1), ReadOnly, ""),
    key("zookeeper.session.timeout.ms", Int, Some("18000"), Any, ReadOnly, "Session timeout asked of ZooKeeper."),
    key("zookeeper.set.acl", Boolean, Some("false"), Any, ReadOnly, "Accepted."),
    key("zookeeper.ssl.cipher.suites", List, None, Any, ReadOnly, ""),
    key("zookeeper.ssl.client.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("zookeeper.ssl.crl.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("zookeeper.ssl.enabled.protocols", List, None, Any, ReadOnly, ""),
    key("zookeeper.ssl.endpoint.identification.algorithm", Str, Some("HTTPS"), Any, ReadOnly, ""),
    key("zookeeper.ssl.keystore.location", Str, None, Any, ReadOnly, ""),
    key("zookeeper.ssl.keystore.password", Password, None, Any, ReadOnly, ""),
    key("zookeeper.ssl.keystore.type", Str, None, Any, ReadOnly, ""),
    key("zookeeper.ssl.ocsp.enable", Boolean, Some("false"), Any, ReadOnly, ""),
    key("zookeeper.ssl.protocol", Str, Some("TLSv1.2"), Any, ReadOnly, ""),
    key("zookeeper.ssl.truststore.location", Str, None, Any, ReadOnly, ""),
    key("zookeeper.ssl.truststore.password", Password, None, Any, ReadOnly, ""),
    key("zookeeper.ssl.truststore.type", Str, None, Any, ReadOnly, ""),
];
