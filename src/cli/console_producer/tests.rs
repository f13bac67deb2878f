use std::io::Read;

use super::line_message_reader::LineMessageReader;
use super::lines::{Lines, through_java_utf8};
use super::options::{Options, TABLE};
use super::undelivered::ranges;
use crate::cli::args::Abbreviations;
use crate::cli::error::Error;
use crate::client::producer::Record;
use crate::config::Properties;

/// Gives its pieces one a read.
struct Pieces(Vec<&'static [u8]>);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let (now, later) = self.0[0].split_at(self.0[0].len().min(buffer.len()));
        buffer[..now.len()].copy_from_slice(now);
        match later.is_empty() {
            true => drop(self.0.remove(0)),
            false => self.0[0] = later,
        }
        Ok(now.len())
    }
}

fn lines_of(pieces: &[&'static [u8]], most: usize) -> Vec<String> {
    let mut lines = Lines::new(Pieces(pieces.to_vec()));
    let mut out = Vec::new();
    loop {
        let taken: Vec<String> =
            lines.take(most).iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        if taken.is_empty() && !lines.fill().unwrap() {
            return out;
        }
        out.extend(taken);
    }
}

#[test]
fn lines_end_at_newline_carriage_return_or_both() {
    for most in [1, 2, 100] {
        assert_eq!(lines_of(&[b"one\ntwo\r\nthree\rfour"], most), ["one", "two", "three", "four"]);
        assert_eq!(lines_of(&[b"a\n\n b\t\r\r\n"], most), ["a", "", " b\t", ""]);
        assert_eq!(lines_of(&[b"one\r", b"\ntwo", b"", b"lost"], most), ["one", "two"]);
        assert_eq!(lines_of(&[b"one\r", b"\n"], most), ["one"]);
        assert_eq!(lines_of(&[b"on", b"e", b"\n", b"t"], most), ["one", "t"]);
        assert!(lines_of(&[], most).is_empty());
        assert_eq!(lines_of(&[b"\n"], most), [""]);
    }
}

#[test]
fn a_line_may_be_longer_than_the_buffer() {
    let piece: &'static [u8] = vec![b'x'; 700_000].leak();
    let lines = lines_of(&[piece, &piece[..300_000], piece, b"\nend"], 10);
    assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [1_700_000, 3]);
}

#[test]
fn malformed_utf8_is_replaced_as_java_does() {
    let through = |bytes: &[u8]| String::from_utf8(through_java_utf8(bytes).into_owned()).unwrap();
    assert_eq!(through("héllo 日".as_bytes()), "héllo 日");
    assert_eq!(through(b"a\xffb"), "a\u{fffd}b");
    assert_eq!(through(b"\xc0\x80"), "\u{fffd}\u{fffd}");
    assert_eq!(through(b"\xe6\x97x"), "\u{fffd}x");
    assert_eq!(through(b"\xe6x"), "\u{fffd}x");
    assert_eq!(through(b"\xed\xa0\x80|\xed\xb0\x80"), "\u{fffd}|\u{fffd}"); // Rust's own replacement makes three of each
    assert_eq!(through(b"\xe0\x80\x80"), "\u{fffd}\u{fffd}\u{fffd}");
    assert_eq!(through(b"\xf0\x9f\x98"), "\u{fffd}");
    assert_eq!(through(b"\xf4\x90\x80\x80"), "\u{fffd}\u{fffd}\u{fffd}\u{fffd}");
}

fn reader(properties: &[(&str, &str)]) -> Result<LineMessageReader, Error> {
    let mut all = Properties::new();
    all.set("topic", "t");
    properties.iter().for_each(|(key, value)| all.set(*key, *value));
    LineMessageReader::new(&all)
}

/// `headers | key | value`, null as `-`.
fn read(properties: &[(&str, &str)], line: &str) -> Result<String, String> {
    let reader = reader(properties).map_err(|error| error.to_string())?;
    let record = reader.read(line.as_bytes(), 7).map_err(|error| error.to_string())?;
    let text = |bytes: Option<&[u8]>| bytes.map_or("-".to_owned(), |b| String::from_utf8_lossy(b).into_owned());
    let headers: Vec<String> =
        record.headers.iter().map(|h| format!("{}={}", text(Some(h.name)), text(h.value))).collect();
    Ok(format!("{}|{}|{}", headers.join(";"), text(record.key), text(record.value)))
}

#[test]
fn a_line_is_a_value_unless_told_otherwise() {
    assert_eq!(read(&[], "k\tv").unwrap(), "|-|k\tv");
    assert_eq!(read(&[("parse.key", "")], "k\tv").unwrap(), "|-|k\tv");
    assert_eq!(read(&[("parse.key", " TRUE ")], "k\tv\tw").unwrap(), "|k|v\tw");
    assert_eq!(read(&[("parse.key", "true"), ("key.separator", " => ")], "k => v => w").unwrap(), "|k|v => w");
    assert_eq!(read(&[("parse.key", "true"), ("key.separator", ":")], ":v").unwrap(), "||v");
}

#[test]
fn headers_come_first() {
    let both = [("parse.headers", "true"), ("parse.key", "true")];
    assert_eq!(read(&both, "h1:v1,h2:v:2\tk\tv").unwrap(), "h1=v1;h2=v:2|k|v");
    let custom = [("parse.headers", "true"), ("headers.separator", r"\|"), ("headers.key.separator", "=")];
    assert_eq!(read(&custom, "a=1|b=2||\tv").unwrap(), "a=1;b=2|-|v");
    assert_eq!(read(&[("parse.headers", "true"), ("headers.separator", ".")], "ab\tv").unwrap(), "|-|v");
}

#[test]
fn the_marker_makes_nulls() {
    let all = [("parse.headers", "true"), ("parse.key", "true"), ("null.marker", "NIL")];
    assert_eq!(read(&all, "h:NIL\tNIL\tNIL").unwrap(), "h=-|-|-");
    assert_eq!(read(&all, "NIL\tk\tv").unwrap(), "|k|v");
    assert_eq!(
        read(&all, "NIL:x\tk\tv").unwrap_err(),
        "org.apache.kafka.common.KafkaException: Header keys should not be equal to the null marker 'NIL' as they can't be null"
    );
}

#[test]
fn what_is_missing_is_an_error_or_ignored() {
    let exception = |text: &str| Err::<String, _>(format!("org.apache.kafka.common.KafkaException: {text}"));
    assert_eq!(read(&[("parse.key", "true")], "nokey"), exception("No key separator found on line number 7: 'nokey'"));
    assert_eq!(read(&[("parse.headers", "true")], "x"), exception("No headers delimiter found on line number 7: 'x'"));
    assert_eq!(
        read(&[("parse.headers", "true")], "h1\tv"),
        exception("No header key separator found in pair 'h1' on line number 7")
    );
    let ignore = [("parse.key", "true"), ("parse.headers", "true"), ("ignore.error", "true")];
    assert_eq!(read(&ignore, "nokey").unwrap(), "|-|nokey");
    assert_eq!(read(&ignore, "h1,h2:v\tk\tv").unwrap(), "h1=-;h2=v|k|v");
}

#[test]
fn separators_must_differ() {
    let error = |properties| reader(properties).err().unwrap().to_string();
    assert!(
        error(&[("headers.separator", ":")]).ends_with("headers.separator and headers.key.separator may not be equal")
    );
    assert!(error(&[("null.marker", ",")]).ends_with("null.marker and headers.separator may not be equal"));
    assert!(error(&[("null.marker", "\t")]).ends_with("null.marker and key.separator may not be equal"));
    assert!(reader(&[("key.separator", ":")]).is_ok());
}

fn options(line: &str) -> Result<Options, Error> {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    Options::new(&TABLE.parse(&args, Abbreviations::Refused)?)
}

fn error_of(line: &str) -> String {
    options(line).err().unwrap().to_string()
}

#[test]
fn required_flags_are_asked_for_in_apaches_order() {
    assert_eq!(error_of(""), "Missing required option(s) [bootstrap-server]");
    assert_eq!(error_of("--broker-list h:1"), "Missing required argument \"[topic]\"");
    let bad = "Please provide valid host:port like host1:9091,host2:9092\n ";
    for servers in ["nohost", "h:1,nohost", "h:x", ","] {
        assert_eq!(error_of(&format!("--topic t --bootstrap-server {servers}")), bad, "{servers}");
    }
    for servers in ["h:1,,", "h:1,g:2", "[::1]:9092", "PLAINTEXT://h:1"] {
        assert!(options(&format!("--topic t --bootstrap-server {servers}")).is_ok(), "{servers}");
    }
}

#[test]
fn a_flag_beats_a_property_and_a_property_beats_a_flags_default() {
    let get = |line: &str, key: &str| {
        options(&format!("--topic t --bootstrap-server h:1 {line}")).unwrap().client.get(key).map(str::to_owned)
    };
    assert_eq!(get("", "linger.ms").as_deref(), Some("1000"));
    assert_eq!(get("--producer-property linger.ms=7", "linger.ms").as_deref(), Some("7"));
    assert_eq!(get("--producer-property linger.ms=7 --timeout 9", "linger.ms").as_deref(), Some("9"));
    assert_eq!(get("--producer-property compression.type=zstd", "compression.type").as_deref(), Some("none"));
    assert_eq!(get("--compression-codec", "compression.type").as_deref(), Some("gzip"));
    assert_eq!(get("--compress", "compression.type").as_deref(), Some("gzip"));
    assert_eq!(get("--producer-property bootstrap.servers=x:1", "bootstrap.servers").as_deref(), Some("h:1"));
    assert_eq!(get("--batch-size 5 --max-partition-memory-bytes 6", "batch.size").as_deref(), Some("6"));
    assert_eq!(get("--max-partition-memory-bytes 6", "batch.size").as_deref(), Some("6"));
    assert_eq!(get("", "client.id").as_deref(), Some("console-producer"));
}

#[test]
fn bad_values_are_told_as_apache_tells_them() {
    let error = |line: &str| error_of(&format!("--topic t --bootstrap-server h:1 {line}"));
    assert_eq!(error("--batch-size big"), "Cannot parse argument 'big' of option batch-size");
    assert_eq!(error("--producer.config nosuch.properties"), "java.nio.file.NoSuchFileException: nosuch.properties");
    assert_eq!(error("--line-reader com.example.X"), "java.lang.ClassNotFoundException: com.example.X");
    assert_eq!(
        error("--request-required-acks 2"),
        "org.apache.kafka.common.config.ConfigException: Invalid value 2 for configuration acks: String must be one of: all, -1, 0, 1"
    );
    assert_eq!(
        error("--property a=b --reader-property a=b"),
        "Options --reader-property and --property cannot be specified together."
    );
}

#[test]
fn sizes_are_counted_as_javas_producer_counts_them() {
    let options = options("--topic t --bootstrap-server h:1 --producer-property max.request.size=1000").unwrap();
    let value = vec![b'x'; 3000];
    let record = Record { value: Some(&value), ..Record::default() };
    assert_eq!(
        options.too_large(&record).as_deref(),
        Some(
            "The message is 3086 bytes when serialized which is larger than 1000, which is the value of the max.request.size configuration."
        )
    );
    assert_eq!(options.too_large(&Record { value: Some(b"small"), ..Record::default() }), None);
}

#[test]
fn lost_lines_are_named_by_ranges() {
    assert_eq!(ranges(&[7]), "line 7");
    assert_eq!(ranges(&[1, 2, 3, 5, 9, 10]), "lines 1-3, 5, 9-10");
    let even: Vec<u64> = (0..30).map(|n| n * 2).collect();
    assert!(ranges(&even).ends_with(", 38 and 10 more"), "{}", ranges(&even));
}
