use std::collections::HashMap;

use super::deserializers::{Deserializer, java_double, java_float};
use super::formatter::{Formatter, Settings as FormatterSettings};
use super::options::{self, Request, Settings, Topics};
use super::{check_servers, failed_address};
use crate::cli::error::Error;
use crate::client::consumer::{Headers, Record, Reset, Start, Timestamp};

type Header<'a> = (&'a [u8], Option<&'a [u8]>);

const PLAIN: Record<'static> = Record {
    topic: "t",
    partition: 3,
    offset: 42,
    timestamp: Timestamp::CreateTime(1_700_000_000_000),
    key: Some(b"k"),
    value: Some(b"v"),
    headers: NO_HEADERS,
};
const NO_HEADERS: Headers<'static> = Headers::listed(&[]);

fn formatter(class: &str, properties: &[(&str, &str)], columns_of_4: bool) -> Formatter {
    let properties: HashMap<String, String> =
        properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let settings = FormatterSettings { properties: &properties, old_consumer: false, columns_of_4 };
    Formatter::new(class, &settings, &mut Vec::new()).unwrap()
}

fn printed(record: &Record<'_>, properties: &[(&str, &str)]) -> String {
    let mut out = Vec::new();
    formatter(super::formatter::DEFAULT_CLASS, properties, false).write_to(record, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

const ALL: [(&str, &str); 5] = [
    ("print.timestamp", "true"),
    ("print.partition", " TRUE "),
    ("print.offset", "true"),
    ("print.headers", "true"),
    ("print.key", "true"),
];

#[test]
fn the_value_and_a_newline_are_printed_by_default() {
    assert_eq!(printed(&PLAIN, &[]), "v\n");
    assert_eq!(printed(&Record { value: None, ..PLAIN }, &[]), "null\n");
}

#[test]
fn columns_stand_in_apaches_order() {
    let headers: [Header; 3] = [(b"h", Some(b"1")), (b"h", None), (b"", Some(b""))];
    let record = Record { headers: Headers::listed(&headers), ..PLAIN };
    assert_eq!(printed(&record, &ALL), "CreateTime:1700000000000\tPartition:3\tOffset:42\th:1,h:null,:\tk\tv\n");
    let none = Record { timestamp: Timestamp::None, key: None, ..PLAIN };
    assert_eq!(printed(&none, &ALL), "NO_TIMESTAMP\tPartition:3\tOffset:42\tNO_HEADERS\tnull\tv\n");
    let appended = Record { timestamp: Timestamp::LogAppendTime(5), ..PLAIN };
    assert_eq!(printed(&appended, &ALL[..1]), "LogAppendTime:5\tv\n");
}

#[test]
fn the_last_column_ends_with_the_line_separator() {
    assert_eq!(printed(&PLAIN, &[("print.key", "true"), ("print.value", "false")]), "k\n");
    assert_eq!(printed(&PLAIN, &[("print.offset", "true"), ("print.value", "false")]), "Offset:42\n");
    assert_eq!(printed(&PLAIN, &[("print.value", "yes")]), "");
}

#[test]
fn separators_and_the_null_literal_are_taken_literally() {
    let properties = [("print.key", "true"), ("key.separator", "\\t"), ("line.separator", ""), ("null.literal", "<>")];
    assert_eq!(printed(&Record { key: None, ..PLAIN }, &properties), "<>\\tv");
}

#[test]
fn the_columns_of_4_show_only_to_those_who_speak_its_language() {
    let properties = [("print.epoch", "true"), ("print.delivery", "true")];
    assert_eq!(printed(&PLAIN, &properties), "v\n");
    let mut out = Vec::new();
    formatter(super::formatter::DEFAULT_CLASS, &properties, true).write_to(&PLAIN, &mut out).unwrap();
    assert_eq!(out, b"Delivery:NOT_PRESENT\tEpoch:NOT_PRESENT\tv\n");
}

#[test]
fn bytes_that_are_no_text_go_out_as_they_are() {
    let mut out = Vec::new();
    let record = Record { value: Some(b"\xff\x00\n"), ..PLAIN };
    formatter(super::formatter::DEFAULT_CLASS, &[], false).write_to(&record, &mut out).unwrap();
    assert_eq!(out, b"\xff\x00\n\n");
}

#[test]
fn what_precedes_a_bad_value_stays_printed() {
    let class = "org.apache.kafka.common.serialization.LongDeserializer";
    let long =
        formatter(super::formatter::DEFAULT_CLASS, &[("print.key", "true"), ("value.deserializer", class)], false);
    let mut out = Vec::new();
    let error = long.write_to(&PLAIN, &mut out).unwrap_err();
    assert!(error.ends_with("Size of data received by LongDeserializer is not 8"), "{error}");
    assert_eq!(out, b"k\t");
}

#[test]
fn an_unknown_deserializer_is_only_complained_of() {
    let properties = HashMap::from([("value.deserializer".to_owned(), "StringDeserializer".to_owned())]);
    let settings = FormatterSettings { properties: &properties, old_consumer: false, columns_of_4: false };
    let mut complaints = Vec::new();
    let default = Formatter::new(super::formatter::DEFAULT_CLASS, &settings, &mut complaints).unwrap();
    assert_eq!(complaints.len(), 1);
    let mut out = Vec::new();
    default.write_to(&PLAIN, &mut out).unwrap();
    assert_eq!(out, b"v\n");
}

#[test]
fn every_formatter_is_known_by_its_old_and_new_name() {
    let settings = FormatterSettings { properties: &HashMap::new(), old_consumer: false, columns_of_4: false };
    for (name, deprecated) in [
        ("kafka.tools.DefaultMessageFormatter", true),
        ("kafka.tools.LoggingMessageFormatter", true),
        ("kafka.tools.NoOpMessageFormatter", true),
        ("kafka.tools.ChecksumMessageFormatter", false),
        ("org.apache.kafka.tools.consumer.LoggingMessageFormatter", false),
        ("org.apache.kafka.tools.consumer.NoOpMessageFormatter", false),
        ("kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter", true),
        ("kafka.server.OffsetManager$OffsetsMessageFormatter", false),
    ] {
        assert!(Formatter::new(name, &settings, &mut Vec::new()).is_some(), "{name}");
        assert_eq!(super::formatter::deprecation(name).is_some(), deprecated, "{name}");
    }
    assert!(Formatter::new("NoOpMessageFormatter", &settings, &mut Vec::new()).is_none());
}

fn deserialized(name: &str, data: &[u8]) -> String {
    let class = format!("org.apache.kafka.common.serialization.{name}Deserializer");
    let mut out = Vec::new();
    match Deserializer::named(&class, &HashMap::new(), false).unwrap().deserialize(data, &mut out) {
        Ok(()) => String::from_utf8(out).unwrap(),
        Err(error) => error.0,
    }
}

#[test]
fn deserializers_print_what_java_prints() {
    assert_eq!(deserialized("Integer", b"null"), "1853189228");
    assert_eq!(deserialized("Integer", &(-1i32).to_be_bytes()), "-1");
    assert_eq!(deserialized("Long", b"abcdefgh"), "7017280452245743464");
    assert_eq!(deserialized("Long", b"null"), "Size of data received by LongDeserializer is not 8");
    assert_eq!(deserialized("Short", b"ab"), "24930");
    assert_eq!(deserialized("Double", b"abcdefgh"), "1.2926117907728089E161");
    assert_eq!(deserialized("Double", b""), "Size of data received by Deserializer is not 8");
    assert_eq!(deserialized("Float", b"abcd"), "2.6100788E20");
    assert_eq!(deserialized("Boolean", &[1]), "true");
    assert_eq!(deserialized("Boolean", &[255]), "Unexpected byte received by BooleanDeserializer: -1");
    assert_eq!(deserialized("Bytes", b"a\\\n~\x7f"), "a\\x5C\\x0A~\\x7F");
    assert_eq!(deserialized("String", b"a\xffb"), "a\u{fffd}b");
    assert_eq!(deserialized("UUID", b"1-2-3-4-5"), "00000001-0002-0003-0004-000000000005");
    assert_eq!(deserialized("UUID", b"123e4567-e89b-12d3-a456-426614174000"), "123e4567-e89b-12d3-a456-426614174000");
    assert_eq!(deserialized("UUID", b"nothing"), "Error parsing data into UUID");
    assert_eq!(deserialized("Void", b""), "Data should be null for a VoidDeserializer.");
    assert!(deserialized("ByteArray", b"x").starts_with("[B@"));
}

#[test]
fn a_charset_is_configured_under_the_deserializers_prefix() {
    let class = "org.apache.kafka.common.serialization.StringDeserializer";
    let latin = formatter(
        super::formatter::DEFAULT_CLASS,
        &[("value.deserializer", class), ("value.deserializer.deserializer.encoding", "ISO-8859-1")],
        false,
    );
    let mut out = Vec::new();
    latin.write_to(&Record { value: Some(b"\xe9"), ..PLAIN }, &mut out).unwrap();
    assert_eq!(out, "é\n".as_bytes());
}

#[test]
fn lists_print_their_entries_and_hostile_ones_end() {
    let serde = "org.apache.kafka.common.serialization.Serdes$IntegerSerde";
    let config = HashMap::from([
        ("default.list.value.serde.type", "java.util.ArrayList"),
        ("default.list.value.serde.inner", serde),
    ]);
    let class = "org.apache.kafka.common.serialization.ListDeserializer";
    let list = Deserializer::named(class, &config, false).unwrap();
    // Strategy 0, one null at index 1, three entries of four bytes of which two are there.
    let data = [&[0][..], &[0, 0, 0, 1], &[0, 0, 0, 1], &[0, 0, 0, 3], &[0, 0, 0, 7], &[0, 0, 0, 9]].concat();
    let mut out = Vec::new();
    list.deserialize(&data, &mut out).unwrap();
    assert_eq!(out, b"[7, null, 9]");
    assert!(list.deserialize(&[1, 127, 255, 255, 255], &mut out).is_err());
    assert!(list.deserialize(&data[..data.len() - 1], &mut out).is_err());
    assert!(Deserializer::named(class, &HashMap::new(), false).is_err());
}

#[test]
fn numbers_are_written_in_javas_notation() {
    for (value, expected) in [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1.0, "1.0"),
        (-12.5, "-12.5"),
        (1234567.0, "1234567.0"),
        (1e7, "1.0E7"),
        (0.001, "0.001"),
        (0.000999, "9.99E-4"),
        (f64::MAX, "1.7976931348623157E308"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(java_double(value), expected);
    }
    assert_eq!(java_float(0.1), "0.1");
    assert_eq!(java_float(3.4e38), "3.4E38");
}

/// An offset commit of group g, topic t, partition 0, as 3.9 and as 4.x write it.
#[test]
fn offset_commits_are_printed_as_json_and_as_text() {
    let key = [&[0, 1][..], &[0, 1], b"g", &[0, 1], b"t", &[0, 0, 0, 0]].concat();
    let rest = [&2i64.to_be_bytes()[..], &(-1i32).to_be_bytes()].concat();
    let old = [&[0, 3][..], &rest, &[0, 0], &7i64.to_be_bytes()].concat();
    let new = [&[0, 4][..], &rest, &[1], &7i64.to_be_bytes(), &[0]].concat();
    let print = |class: &str, key: &[u8], value: Option<&[u8]>| {
        let mut out = Vec::new();
        let record = Record { key: Some(key), value, ..PLAIN };
        formatter(class, &[], false).write_to(&record, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let json = "org.apache.kafka.tools.consumer.OffsetsMessageFormatter";
    let data = r#""data":{"offset":2,"leaderEpoch":-1,"metadata":"","commitTimestamp":7}"#;
    assert_eq!(
        print(json, &key, Some(&old)),
        format!(
            r#"{{"key":{{"version":1,"data":{{"group":"g","topic":"t","partition":0}}}},"value":{{"version":3,{data}}}}}"#
        )
    );
    assert_eq!(
        print(json, &key, Some(&new)),
        format!(
            r#"{{"key":{{"type":1,"data":{{"group":"g","topic":"t","partition":0}}}},"value":{{"version":4,{data}}}}}"#
        )
    );
    assert!(print(json, &key, None).ends_with(r#","value":null}"#));
    let text = "kafka.coordinator.group.GroupMetadataManager$OffsetsMessageFormatter";
    assert_eq!(
        print(text, &key, Some(&old)),
        "[g,t,0]::OffsetAndMetadata(offset=2, leaderEpoch=Optional.empty, metadata=, commitTimestamp=7, expireTimestamp=None)\n"
    );
    assert_eq!(print(text, &key, None), "[g,t,0]::NULL\n");
    // A group's own record is another formatter's business.
    assert_eq!(print(json, &[0, 2, 0, 1, b'g'], None), "");
    assert_eq!(print("org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter", &key, None), "");
}

#[test]
fn every_cut_of_an_internal_record_is_an_error_or_nothing_worse() {
    let member = [&[0, 1][..], b"m", &[255, 255], &[0, 1], b"c", &[0, 1], b"h"].concat();
    let value = [
        &[0, 3][..],
        &[0, 8],
        b"consumer",
        &[0, 0, 0, 5],
        &[0, 5],
        b"range",
        &[0, 1],
        b"m",
        &9i64.to_be_bytes(),
        &[0, 0, 0, 1],
        &member,
        &[0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 250, 0, 0, 0, 0],
    ]
    .concat();
    let group = formatter("org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter", &[], false);
    let key = [0, 2, 0, 1, b'g'];
    let mut out = Vec::new();
    group.write_to(&Record { key: Some(&key), value: Some(&value), ..PLAIN }, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.contains(r#""rebalanceTimeout":1,"sessionTimeout":2,"subscription":"+g==","assignment":"""#),
        "{text}"
    );
    for end in 0..value.len() {
        let cut = Record { key: Some(&key), value: Some(&value[..end]), ..PLAIN };
        assert!(group.write_to(&cut, &mut Vec::new()).is_err(), "cut at {end}");
    }
}

fn request(line: &str) -> Result<Request, Error> {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    options::check(&options::parse(&args)?)
}

fn settings(line: &str) -> Settings {
    match request(line).unwrap() {
        Request::New(settings) | Request::Old { settings, .. } => settings,
    }
}

fn refused(line: &str, expected: &str) {
    assert_eq!(request(line).unwrap_err().to_string(), expected, "{line}");
}

#[test]
fn contradictions_are_refused_in_apaches_words() {
    let b = "--bootstrap-server h:1";
    refused("--bootstrap-server h:1", "Exactly one of --include/--topic is required. ");
    refused(&format!("{b} --topic t --include u"), "Exactly one of --include/--topic is required. ");
    refused("--topic t", "Missing required argument \"[bootstrap-server]\"");
    refused(&format!("{b} --include t --partition 0"), "The topic is required when partition is specified.");
    refused(&format!("{b} --topic t --offset 1"), "The partition is required when offset is specified.");
    refused(
        &format!("{b} --topic t --partition 0 --group g"),
        "Options group and partition cannot be specified together.",
    );
    refused(
        &format!("{b} --topic t --partition 0 --offset -5"),
        "The provided offset value '-5' is incorrect. Valid values are 'earliest', 'latest', or a non-negative long.",
    );
    refused(
        &format!("{b} --topic t --from-beginning --consumer-property auto.offset.reset=none"),
        "Can't simultaneously specify --from-beginning and 'auto.offset.reset=none', please remove one option",
    );
    refused(&format!("{b} --topic t --formatter x.Y"), "x.Y");
    refused(
        &format!("{b} --topic t --property a=b --formatter-property c=d"),
        "Options --property and --formatter-property cannot be specified together.",
    );
    refused(&format!("{b} --topic t --zookeeper z"), "Option [bootstrap-server] is not valid with [zookeeper].");
    refused("--zookeeper z --topic t --whitelist u", "Exactly one of whitelist/blacklist/topic is required.");
}

#[test]
fn flags_win_over_files_and_properties() {
    let settings = settings(
        "--bootstrap-server h:1 --topic t --consumer-property isolation.level=read_uncommitted \
         --isolation-level read_committed --consumer-property client.id=me",
    );
    assert_eq!(options::find(&settings.properties, "isolation.level"), Some("read_committed"));
    assert_eq!(options::find(&settings.properties, "client.id"), Some("me"));
    assert_eq!(options::find(&settings.properties, "auto.offset.reset"), Some("latest"));
}

#[test]
fn a_partition_begins_where_it_is_told() {
    let start = |line: &str| settings(&format!("--bootstrap-server h:1 --topic t --partition 2 {line}")).partition;
    assert_eq!(start(""), Some((2, Start::Latest)));
    assert_eq!(start("--from-beginning"), Some((2, Start::Earliest)));
    assert_eq!(start("--offset EARLIEST"), Some((2, Start::Earliest)));
    assert_eq!(start("--offset 7"), Some((2, Start::Offset(7))));
}

#[test]
fn the_group_may_come_from_a_property() {
    let settings = settings("--bootstrap-server h:1 --topic t --consumer-property group.id=g --group g");
    assert_eq!(settings.group.as_deref(), Some("g"));
}

#[test]
fn the_old_consumer_takes_a_topic_for_a_pattern_and_abbreviations() {
    let Request::Old { settings, zookeeper, delete_offsets } =
        request("--zookeeper z:1/k --topic t --max-m 3 --autocommit.interval.ms 5 --delete-consumer-offsets").unwrap()
    else {
        panic!("the old consumer was asked for");
    };
    assert_eq!(settings.topics, Topics::Matching("t".to_owned()));
    assert_eq!((zookeeper.as_str(), delete_offsets), ("z:1/k", true));
    assert_eq!(settings.max_messages.as_deref(), Some("3"));
    assert_eq!(options::find(&settings.properties, "auto.commit.interval.ms"), Some("5"));
    assert_eq!(options::find(&settings.properties, "auto.offset.reset"), Some("largest"));
}

#[test]
fn a_reset_may_be_a_duration() {
    let reset = |text: &str| options::reset(&[("auto.offset.reset".to_owned(), text.to_owned())]);
    assert_eq!(reset("earliest"), Reset::Earliest);
    assert_eq!(reset("none"), Reset::Fail);
    assert_eq!(reset("by_duration:PT1H"), Reset::SinceMs(3_600_000));
    assert_eq!(reset("by_duration:P1DT1.5S"), Reset::SinceMs(86_401_500));
}

#[test]
fn servers_need_a_port() {
    assert!(check_servers("localhost:9092, [::1]:9093").is_ok());
    assert!(check_servers("PLAINTEXT://h:1").is_ok());
    assert_eq!(check_servers("nohost").unwrap_err(), "Invalid url in bootstrap.servers: nohost");
    assert!(check_servers("").is_err());
}

#[test]
fn a_failed_connection_is_told_with_the_address_as_java_writes_it() {
    let text = "[thrd:localhost:1/bootstrap]: localhost:1/bootstrap: Connect to ipv4#127.0.0.1:1 failed: \
                Connection refused (after 0ms in state CONNECT)";
    assert_eq!(failed_address(text).as_deref(), Some("localhost/127.0.0.1:1"));
    assert_eq!(failed_address("something else"), None);
}
