use std::path::Path;

use super::keys::{BROKER_KEYS, TOPIC_KEYS};
use super::*;

fn properties(text: &str) -> Properties {
    Properties::parse(text.as_bytes(), Some(Path::new("a.properties"))).expect("parses")
}

fn broker(text: &str) -> BrokerConfig {
    BrokerConfig::from_properties(properties(text), &[]).expect("is accepted")
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = BrokerConfig::from_properties(properties(text), &[]).expect_err("is refused");
    assert_eq!(error.to_string(), expected);
}

#[track_caller]
fn entry(text: &str, key: &str, value: &str) {
    assert_eq!(properties(text).get(key), Some(value), "{text:?}");
}

#[test]
fn properties_are_read_as_java_reads_them() {
    entry("a=b", "a", "b");
    entry("a:b", "a", "b");
    entry("a b", "a", "b");
    entry("  a  =  b c  ", "a", "b c  ");
    entry("a = : b", "a", ": b");
    entry("a\\=b=c", "a=b", "c");
    entry("a", "a", "");
    entry("a=1\na=2\n", "a", "2");
    entry("# a=1\n! b\na=2", "a", "2");
    entry("a=1,\\\n    2,\\\r\n\t3", "a", "1,2,3");
    entry("a=x\\\\\nb=2", "a", "x\\");
    entry("a=\\u00e4\\ud83d\\ude00\\t\\q", "a", "ä😀\tq");
    entry("a=1\rb=2", "b", "2");
    entry("a=b\\", "a", "b");
    let latin1 = Properties::parse(b"a=\xe4", None).expect("parses");
    assert_eq!(latin1.get("a"), Some("ä"));
    let utf8 = Properties::parse("a=ä".as_bytes(), None).expect("parses");
    assert_eq!(utf8.get("a"), Some("ä"));
}

#[test]
fn a_malformed_escape_names_its_line() {
    let error = Properties::parse(b"a=1\nb=\\u12", Some(Path::new("x"))).expect_err("is refused");
    assert_eq!(error.to_string(), "Malformed \\uxxxx encoding. (x, line 2)");
}

#[test]
fn keys_keep_their_order_when_one_is_taken_out() {
    let mut props = properties("a=1\nb=2\nc=3");
    assert_eq!(props.remove("b").as_deref(), Some("2"));
    props.set("d", "4");
    assert_eq!(props.iter().collect::<Vec<_>>(), [("a", "1"), ("c", "3"), ("d", "4")]);
    assert_eq!(props.get("c"), Some("3"));
}

#[test]
fn the_tables_are_sorted_and_their_defaults_valid() {
    assert!(BROKER_KEYS.is_sorted_by_key(|key| key.name));
    for key in BROKER_KEYS {
        if let Some(default) = key.default {
            assert_eq!(
                value::check(key.name, key.kind, key.valid, default).ok().as_deref(),
                Some(default),
                "{}",
                key.name
            );
        }
    }
    for key in TOPIC_KEYS {
        assert!(value::check(key.name, key.kind, key.valid, key.default).is_ok(), "{}", key.name);
        assert!(key.broker_key.is_none_or(|name| keys::broker_key(name).is_some()), "{}", key.name);
    }
    let config = BrokerConfig::default();
    assert_eq!((config.num_partitions, config.log_retention_ms, config.log_roll_ms), (1, 604_800_000, 604_800_000));
    assert_eq!(config.log_dirs, [Path::new("/tmp/kafka-logs")]);
    assert_eq!(config.registry_data_dir, Path::new("/tmp/kafka-logs-registry"));
    assert_eq!(config.listeners[0].to_string(), "PLAINTEXT://:9092");
    assert!(!config.advertised_listeners[0].host.is_empty());
    assert_eq!(config.zookeeper_connection_timeout_ms, 18000);
}

#[test]
fn wrong_values_are_refused_with_place_and_range() {
    refused(
        "broker.id=1\nlog.retention.hours=abc\n",
        "Invalid value abc for configuration log.retention.hours: Not a number of type INT\n\t\
         (a.properties, line 2; allowed: -2147483648 to 2147483647)",
    );
    refused(
        "num.partitions=0",
        "Invalid value 0 for configuration num.partitions: Value must be at least 1\n\t\
         (a.properties, line 1; allowed: 1 to 2147483647)",
    );
    refused(
        "delete.topic.enable=yes",
        "Invalid value yes for configuration delete.topic.enable: Expected value to be either true or false\n\t\
         (a.properties, line 1; allowed: true, false)",
    );
    refused(
        "listeners=FOO://:1",
        "Error creating broker listeners from 'FOO://:1': No security protocol defined for listener FOO\n\t\
        (a.properties, line 1)",
    );
    refused(
        "broker.id=1\nnode.id=2",
        "You must set `node.id` to the same value as `broker.id`.\n\t(a.properties, line 1)",
    );
    let overrides = [("log.retention.hours".to_owned(), "abc".to_owned())];
    let error = BrokerConfig::from_properties(Properties::new(), &overrides).expect_err("is refused");
    assert!(error.to_string().ends_with("(--override; allowed: -2147483648 to 2147483647)"), "{error}");
}

#[test]
fn a_protocol_that_is_not_served_is_refused_not_ignored() {
    refused(
        "listeners=SSL://:9093",
        "listeners: SSL://:9093 asks for SSL, and only PLAINTEXT is served yet\n\t(a.properties, line 1)",
    );
}

#[test]
fn precedence_is_kafkas() {
    assert_eq!(broker("log.retention.hours=1\nlog.retention.minutes=1").log_retention_ms, 60_000);
    assert_eq!(broker("log.retention.ms=5\nlog.retention.minutes=1").log_retention_ms, 5);
    assert_eq!(broker("log.retention.hours=-1").log_retention_ms, -1);
    assert_eq!(broker("log.dir=/a\nlog.dirs=/b , /c").log_dirs, [Path::new("/b"), Path::new("/c")]);
    assert_eq!(broker("node.id=7").broker_id, 7);
    assert_eq!(broker("broker.id = 8 ").broker_id, 8);
    let overrides = [("broker.id".to_owned(), "9".to_owned())];
    let config = BrokerConfig::from_properties(properties("broker.id=1"), &overrides).expect("is accepted");
    assert_eq!(config.broker_id, 9);
}

#[test]
fn old_files_keep_their_port() {
    assert_eq!(broker("port=9095\nhost.name=127.0.0.1").listeners[0].to_string(), "PLAINTEXT://127.0.0.1:9095");
    let both = broker("port=9095\nlisteners=PLAINTEXT://127.0.0.1:0");
    assert_eq!(both.listeners[0].to_string(), "PLAINTEXT://127.0.0.1:0");
    let advertised = broker("port=9095\nadvertised.host.name=example.org\nadvertised.port=1");
    assert_eq!(advertised.advertised_listeners[0].to_string(), "PLAINTEXT://example.org:1");
}

#[test]
fn a_kraft_file_starts_without_its_controller_listener() {
    let config = broker(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n",
    );
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.advertised_listeners.len(), 1);
    assert_eq!(config.warnings().len(), 1);
}

#[test]
fn unknown_keys_are_warned_about() {
    let config = broker("broker.id=1\nno.such.key=1\nlistener.name.plaintext.max.connections=5");
    assert_eq!(config.warnings(), ["Property no.such.key is not known and has no effect (a.properties, line 2)"]);
    let shown = config.values_text();
    assert!(shown.contains("\tbroker.id = 1\n") && shown.contains("\tlog.cleanup.policy = [delete]\n"), "{shown}");
    assert!(broker("ssl.key.password=secret").values_text().contains("\tssl.key.password = [hidden]\n"));
}

#[track_caller]
fn topic_refused(key: &str, value: Option<&str>, expected: &str) {
    let error = validate_topic_configs([(key, value)]).expect_err("is refused");
    assert_eq!(error.to_string(), expected);
}

#[test]
fn topic_configs_are_refused_in_apaches_words() {
    topic_refused("foo.bar", Some("1"), "Unknown topic config name: foo.bar");
    topic_refused("retention.ms", None, "Null value not supported for topic configs: retention.ms");
    let invalid = |key, value, reason: &str| {
        topic_refused(key, Some(value), &format!("Invalid value {value} for configuration {key}: {reason}"));
    };
    invalid("retention.ms", "abc", "Not a number of type LONG");
    invalid("cleanup.policy", "foo", "String must be one of: compact, delete");
    invalid("min.insync.replicas", "0", "Value must be at least 1");
    invalid("segment.bytes", "1", "Value must be at least 14");
    invalid("compression.type", "x", "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer");
    invalid("min.cleanable.dirty.ratio", "1.5", "Value must be no more than 1");
    assert!(
        validate_topic_configs([("cleanup.policy", Some("compact, delete")), ("retention.ms", Some("-1"))]).is_ok()
    );
    assert!(validate_topic_configs([("leader.replication.throttled.replicas", Some("0:1,1:2"))]).is_ok());
    assert!(validate_topic_configs([("leader.replication.throttled.replicas", Some("x"))]).is_err());
    assert!(validate_topic_configs([("message.format.version", Some("2.8"))]).is_ok());
    assert!(validate_topic_configs([("message.format.version", Some("7.1"))]).is_err());
}

#[test]
fn a_topics_values_win_over_the_brokers() {
    let config = broker("log.retention.hours=1\nlog.message.timestamp.difference.max.ms=10");
    let topic = TopicConfig::effective(&config, [("cleanup.policy", "compact,delete"), ("segment.bytes", " 2048 ")]);
    let topic = topic.expect("is accepted");
    assert_eq!(topic.retention_ms, 3_600_000);
    assert_eq!(topic.cleanup_policy, CleanupPolicy { compact: true, delete: true });
    assert_eq!((topic.segment_bytes, topic.message_timestamp_before_max_ms), (2048, 10));
    let (lenient, errors) = TopicConfig::effective_lenient(&config, [("nope", "1"), ("retention.ms", "7")]);
    assert_eq!((lenient.retention_ms, errors.len()), (7, 1));
}

#[test]
fn describe_says_where_each_value_comes_from() {
    let config = broker("log.segment.bytes=1000\nlog.retention.hours=168");
    let cluster = [("log.retention.ms".to_owned(), "500".to_owned())].into();
    let config = config.with_dynamic(cluster, Default::default()).expect("is accepted");
    let entries = describe_topic(&config, [("max.message.bytes", "2000")]);
    assert_eq!(entries.len(), 36);
    let find = |name: &str| entries.iter().find(|e| e.name == name).expect("is there");
    assert_eq!(find("segment.bytes").source, ConfigSource::StaticBroker);
    assert_eq!(find("retention.ms").source, ConfigSource::DynamicDefaultBroker);
    assert_eq!(find("retention.ms").value.as_deref(), Some("500"));
    let own = find("max.message.bytes");
    assert_eq!((own.source, own.value.as_deref()), (ConfigSource::Topic, Some("2000")));
    let names: Vec<_> = own.synonyms.iter().map(|s| (s.name.as_str(), s.value.as_deref(), s.source)).collect();
    assert_eq!(
        names,
        [
            ("max.message.bytes", Some("2000"), ConfigSource::Topic),
            ("message.max.bytes", Some("1048588"), ConfigSource::Default)
        ]
    );
    assert_eq!(describe_cluster_default(&config).len(), 1);
}

#[test]
fn a_static_retention_in_hours_is_not_a_synonym_of_retention_ms() {
    let entries = describe_topic(&broker("log.retention.hours=168"), []);
    let retention = entries.iter().find(|e| e.name == "retention.ms").expect("is there");
    assert_eq!((retention.source, retention.synonyms.len()), (ConfigSource::Default, 0));
}

#[test]
fn dynamic_broker_configs_are_checked_as_kafka_checks_them() {
    let refused = |configs: &[(&str, &str)], scope, expected: &str| {
        let error = validate_broker_configs(configs.iter().copied(), scope).expect_err("is refused");
        assert_eq!(error.to_string(), expected);
    };
    refused(&[("broker.id", "1")], Scope::OneBroker, "Cannot update these configs dynamically: Set(broker.id)");
    refused(
        &[("listeners", "PLAINTEXT://:1")],
        Scope::AllBrokers,
        "Cannot update these configs at default cluster level, broker id must be specified: Set(listeners)",
    );
    refused(
        &[("log.retention.ms", "x")],
        Scope::OneBroker,
        "Invalid value x for configuration log.retention.ms: Not a number of type LONG",
    );
    assert!(validate_broker_configs([("log.retention.ms", "5"), ("nobody.knows", "x")], Scope::AllBrokers).is_ok());
}
