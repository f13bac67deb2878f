//! `LineMessageReader`: a line becomes headers, key and value.

use memchr::memmem;
use regex::bytes::Regex;

use crate::cli::error::Error;
use crate::client::producer::{Header, Record};
use crate::config::Properties;

/// Apache's default line reader with its properties. With headers and key a line is `headers TAB key TAB value`.
pub struct LineMessageReader {
    /// `topic` among the properties overrides the one of the command line.
    pub topic: String,
    parse_key: bool,
    key_separator: String,
    parse_headers: bool,
    headers_delimiter: String,
    headers_separator: Regex,
    headers_key_separator: String,
    null_marker: Option<String>,
    ignore_error: bool,
}

impl LineMessageReader {
    /// Class names under which releases knew this reader.
    pub const CLASSES: &[&str] = &[
        "kafka.tools.ConsoleProducer$LineMessageReader",
        "kafka.producer.ConsoleProducer$LineMessageReader",
        "org.apache.kafka.tools.LineMessageReader",
    ];

    /// Reads the properties; those it does not know are ignored.
    ///
    /// # Errors
    /// Separators that may not be equal, or a `headers.separator` that is no regular expression.
    pub fn new(properties: &Properties) -> Result<LineMessageReader, Error> {
        let text = |key: &str, default: &str| properties.get(key).unwrap_or(default).to_owned();
        let is_true = |key: &str| properties.get(key).is_some_and(|value| value.trim().eq_ignore_ascii_case("true"));
        let separators = [
            ("headers.delimiter", text("headers.delimiter", "\t")),
            ("headers.separator", text("headers.separator", ",")),
            ("headers.key.separator", text("headers.key.separator", ":")),
        ];
        let [(_, headers_delimiter), (_, headers_separator), (_, headers_key_separator)] = separators.clone();
        let key_separator = text("key.separator", "\t");
        let null_marker = properties.get("null.marker").map(str::to_owned);
        let pairs = [(0, 1), (0, 2), (1, 2)];
        if let Some((a, b)) = pairs.into_iter().find(|(a, b)| separators[*a].1 == separators[*b].1) {
            return Err(may_not_be_equal(separators[a].0, separators[b].0));
        }
        let marker_order = [("key.separator", &key_separator)]
            .into_iter()
            .chain([1, 0, 2].map(|i| (separators[i].0, &separators[i].1)));
        for (name, separator) in marker_order {
            if null_marker.as_ref() == Some(separator) {
                return Err(may_not_be_equal("null.marker", name));
            }
        }
        Ok(LineMessageReader {
            topic: text("topic", ""),
            parse_key: is_true("parse.key"),
            key_separator,
            parse_headers: is_true("parse.headers"),
            headers_delimiter,
            headers_separator: Regex::new(&headers_separator).map_err(|error| Error::Exception {
                class: "java.util.regex.PatternSyntaxException".to_owned(),
                message: error.to_string(),
            })?,
            headers_key_separator,
            null_marker,
            ignore_error: is_true("ignore.error"),
        })
    }

    /// Makes a record of a line. `number` counts from 1 and becomes the record's id.
    ///
    /// # Errors
    /// A part that should be there is not, unless `ignore.error` is set.
    pub fn read<'a>(&self, line: &'a [u8], number: u64) -> Result<Record<'a>, Error> {
        let (headers, rest) = match self.parse_headers {
            true => self.cut(line, line, &self.headers_delimiter, "headers delimiter", number)?,
            false => (None, line),
        };
        let (key, value) = match self.parse_key {
            true => self.cut(line, rest, &self.key_separator, "key separator", number)?,
            false => (None, rest),
        };
        let headers = match headers {
            Some(headers) if !self.is_null(headers) => self.split_headers(headers, number)?,
            _ => Vec::new(),
        };
        Ok(Record { id: number, key: self.unless_null(key), value: self.unless_null(Some(value)), headers })
    }

    /// Cuts `rest`, the end of `line`, at the first separator. Without one: nothing and all of it, or an error.
    fn cut<'a>(
        &self,
        line: &[u8],
        rest: &'a [u8],
        separator: &str,
        what: &str,
        number: u64,
    ) -> Result<(Option<&'a [u8]>, &'a [u8]), Error> {
        match memmem::find(rest, separator.as_bytes()) {
            Some(at) => Ok((Some(&rest[..at]), &rest[at + separator.len()..])),
            None if self.ignore_error => Ok((None, rest)),
            None => {
                let line = String::from_utf8_lossy(line);
                Err(Error::kafka("KafkaException", format!("No {what} found on line number {number}: '{line}'")))
            }
        }
    }

    fn split_headers<'a>(&self, headers: &'a [u8], number: u64) -> Result<Vec<Header<'a>>, Error> {
        java_split(&self.headers_separator, headers).into_iter().map(|pair| self.header(pair, number)).collect()
    }

    fn header<'a>(&self, pair: &'a [u8], number: u64) -> Result<Header<'a>, Error> {
        let separator = self.headers_key_separator.as_bytes();
        match memmem::find(pair, separator) {
            Some(at) if self.is_null(&pair[..at]) => {
                let marker = self.null_marker.as_deref().unwrap_or_default();
                Err(Error::kafka(
                    "KafkaException",
                    format!("Header keys should not be equal to the null marker '{marker}' as they can't be null"),
                ))
            }
            Some(at) => Ok(Header { name: &pair[..at], value: self.unless_null(Some(&pair[at + separator.len()..])) }),
            None if self.ignore_error => Ok(Header { name: pair, value: None }),
            None => {
                let pair = String::from_utf8_lossy(pair);
                Err(Error::kafka(
                    "KafkaException",
                    format!("No header key separator found in pair '{pair}' on line number {number}"),
                ))
            }
        }
    }

    fn is_null(&self, bytes: &[u8]) -> bool {
        self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == bytes)
    }

    fn unless_null<'a>(&self, bytes: Option<&'a [u8]>) -> Option<&'a [u8]> {
        bytes.filter(|bytes| !self.is_null(bytes))
    }
}

/// `Pattern.split`: trailing empty pieces go, and so does an empty first one that a match without width cut off.
fn java_split<'a>(pattern: &Regex, text: &'a [u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    let mut from = 0;
    for found in pattern.find_iter(text) {
        if found.end() == 0 {
            continue;
        }
        pieces.push(&text[from..found.start()]);
        from = found.end();
    }
    if from == 0 {
        return vec![text];
    }
    pieces.push(&text[from..]);
    while pieces.last().is_some_and(|piece| piece.is_empty()) {
        pieces.pop();
    }
    pieces
}

fn may_not_be_equal(one: &str, other: &str) -> Error {
    Error::kafka("KafkaException", format!("{one} and {other} may not be equal"))
}
