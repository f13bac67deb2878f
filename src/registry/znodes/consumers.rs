//! What the ancient consumer (Kafka ≤ 1.1, `--zookeeper`) keeps under `/consumers`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::json::{self, malformed};
use crate::registry::Error;

/// `/consumers/G/ids/C`: an ephemeral, one per member of the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRegistration {
    /// How many streams of each topic; for a pattern the pattern stands where a topic would.
    pub subscription: BTreeMap<String, i32>,
    /// `white_list`, `black_list` or `static`.
    pub pattern: String,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

impl ConsumerRegistration {
    /// `/consumers/G/ids`, whose children are the members.
    pub fn parent_path(group: &str) -> String {
        format!("/consumers/{group}/ids")
    }

    /// `consumer_id`: `GROUP_HOST-MILLIS-8 hex digits`.
    pub fn path(group: &str, consumer_id: &str) -> String {
        format!("/consumers/{group}/ids/{consumer_id}")
    }

    pub fn encode(&self) -> Vec<u8> {
        json::text(&json!({
            "version": 1, "subscription": self.subscription, "pattern": self.pattern,
            "timestamp": self.timestamp_ms.to_string(),
        }))
    }

    pub fn decode(group: &str, consumer_id: &str, data: &[u8]) -> Result<ConsumerRegistration, Error> {
        #[derive(Deserialize)]
        struct Json {
            subscription: BTreeMap<String, i32>,
            pattern: String,
            #[serde(default, deserialize_with = "json::number")]
            timestamp: i64,
        }
        let json: Json = json::parse(&Self::path(group, consumer_id), data)?;
        let Json { subscription, pattern, timestamp: timestamp_ms } = json;
        Ok(ConsumerRegistration { subscription, pattern, timestamp_ms })
    }
}

/// `/consumers/G/owners/T/P`: an ephemeral, the consumer thread that reads the partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerOwner {
    /// The consumer id, `-` and the number of the stream.
    pub thread_id: String,
}

impl ConsumerOwner {
    pub fn parent_path(group: &str, topic: &str) -> String {
        format!("/consumers/{group}/owners/{topic}")
    }

    pub fn path(group: &str, topic: &str, partition: i32) -> String {
        format!("/consumers/{group}/owners/{topic}/{partition}")
    }

    pub fn encode(&self) -> Vec<u8> {
        self.thread_id.clone().into_bytes()
    }

    pub fn decode(group: &str, topic: &str, partition: i32, data: &[u8]) -> Result<ConsumerOwner, Error> {
        let thread_id = json::utf8(&Self::path(group, topic, partition), data)?.to_owned();
        Ok(ConsumerOwner { thread_id })
    }
}

/// `/consumers/G/offsets/T/P`: the next offset to read, in decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumerOffset(pub i64);

impl ConsumerOffset {
    pub fn parent_path(group: &str, topic: &str) -> String {
        format!("/consumers/{group}/offsets/{topic}")
    }

    pub fn path(group: &str, topic: &str, partition: i32) -> String {
        format!("/consumers/{group}/offsets/{topic}/{partition}")
    }

    pub fn encode(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    pub fn decode(group: &str, topic: &str, partition: i32, data: &[u8]) -> Result<ConsumerOffset, Error> {
        let path = Self::path(group, topic, partition);
        json::utf8(&path, data)?.parse().map(ConsumerOffset).map_err(|err| malformed(&path, err))
    }
}
