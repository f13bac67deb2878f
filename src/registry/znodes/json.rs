//! JSON as Kafka reads it: tolerant, with the path in every complaint.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::registry::Error;

/// Parses a znode's data.
pub fn parse<T: DeserializeOwned>(path: &str, data: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(data).map_err(|err| malformed(path, err))
}

/// The text of a JSON value, without blanks, as Jackson writes it.
pub fn text(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

pub fn malformed(path: &str, reason: impl ToString) -> Error {
    Error::MalformedZnode { path: path.to_owned(), reason: reason.to_string() }
}

/// A znode whose data is plain text.
pub fn utf8<'a>(path: &str, data: &'a [u8]) -> Result<&'a str, Error> {
    std::str::from_utf8(data).map(str::trim).map_err(|err| malformed(path, err))
}

/// Deserializes a number that some versions of Kafka wrote as text (`"timestamp":"1795394168582"`).
pub fn number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged)]
    enum NumberOrText {
        Number(i64),
        Text(String),
    }
    match serde::Deserialize::deserialize(deserializer)? {
        NumberOrText::Number(number) => Ok(number),
        NumberOrText::Text(text) => text.trim().parse().map_err(serde::de::Error::custom),
    }
}
