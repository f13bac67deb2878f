//! The cluster, its brokers, and the controller.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::json::{self, malformed};
use super::{BROKER_IDS, LOG_DIR_EVENT_NOTIFICATION};
use crate::registry::Error;

/// `/cluster/id`: made once by the first broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterId {
    /// 22 letters of base64, see [`Uuid`](super::Uuid).
    pub id: String,
}

impl ClusterId {
    pub const PATH: &str = "/cluster/id";

    pub fn encode(&self) -> Vec<u8> {
        json::text(&json!({"version": "1", "id": self.id}))
    }

    pub fn decode(data: &[u8]) -> Result<ClusterId, Error> {
        #[derive(Deserialize)]
        struct Json {
            id: String,
        }
        json::parse(Self::PATH, data).map(|Json { id }| ClusterId { id })
    }
}

/// One address of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// Listener name, such as `PLAINTEXT` or `INTERNAL`.
    pub listener: String,
    pub host: String,
    pub port: i32,
    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub security_protocol: String,
}

/// `/brokers/ids/N`: an ephemeral, there as long as the broker's session; its czxid is the broker epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerRegistration {
    pub endpoints: Vec<BrokerEndpoint>,
    pub rack: Option<String>,
    /// -1: none.
    pub jmx_port: i32,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Finalizable features, by name.
    pub features: BTreeMap<String, FeatureRange>,
}

/// The versions of a feature that a broker supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct FeatureRange {
    pub min_version: i16,
    pub max_version: i16,
}

impl BrokerRegistration {
    pub fn path(broker_id: i32) -> String {
        format!("{BROKER_IDS}/{broker_id}")
    }

    /// Version 5. `host` and `port` are those of the first PLAINTEXT listener, for old readers.
    pub fn encode(&self) -> Vec<u8> {
        let plaintext = self.endpoints.iter().find(|e| e.security_protocol == "PLAINTEXT");
        let mut node = Map::new();
        node.insert(
            "features".to_owned(),
            self.features
                .iter()
                .map(|(name, range)| {
                    (name.clone(), json!({"min_version": range.min_version, "max_version": range.max_version}))
                })
                .collect::<Map<_, _>>()
                .into(),
        );
        node.insert(
            "listener_security_protocol_map".to_owned(),
            self.endpoints
                .iter()
                .map(|e| (e.listener.clone(), Value::from(e.security_protocol.clone())))
                .collect::<Map<_, _>>()
                .into(),
        );
        node.insert("endpoints".to_owned(), self.endpoints.iter().map(endpoint_text).collect::<Vec<_>>().into());
        if let Some(rack) = &self.rack {
            node.insert("rack".to_owned(), rack.as_str().into());
        }
        node.insert("jmx_port".to_owned(), self.jmx_port.into());
        node.insert("port".to_owned(), plaintext.map_or(-1, |e| e.port).into());
        node.insert("host".to_owned(), plaintext.map_or(Value::Null, |e| e.host.as_str().into()));
        node.insert("version".to_owned(), 5.into());
        node.insert("timestamp".to_owned(), self.timestamp_ms.to_string().into());
        json::text(&node.into())
    }

    /// Versions 1 (host and port only) to 5.
    pub fn decode(broker_id: i32, data: &[u8]) -> Result<BrokerRegistration, Error> {
        #[derive(Deserialize)]
        struct Json {
            version: i32,
            host: Option<String>,
            port: Option<i32>,
            endpoints: Option<Vec<String>>,
            listener_security_protocol_map: Option<BTreeMap<String, String>>,
            rack: Option<String>,
            jmx_port: Option<i32>,
            #[serde(default, deserialize_with = "json::number")]
            timestamp: i64,
            features: Option<BTreeMap<String, FeatureRange>>,
        }
        let path = Self::path(broker_id);
        let json: Json = json::parse(&path, data)?;
        let endpoints = match json.endpoints {
            _ if json.version < 1 => return Err(malformed(&path, format!("version {}", json.version))),
            Some(endpoints) if json.version > 1 => endpoints
                .iter()
                .map(|text| {
                    parse_endpoint(text, json.listener_security_protocol_map.as_ref())
                        .ok_or_else(|| malformed(&path, format!("endpoint {text}")))
                })
                .collect::<Result<_, _>>()?,
            _ => vec![BrokerEndpoint {
                listener: "PLAINTEXT".to_owned(),
                host: json.host.ok_or_else(|| malformed(&path, "no host"))?,
                port: json.port.ok_or_else(|| malformed(&path, "no port"))?,
                security_protocol: "PLAINTEXT".to_owned(),
            }],
        };
        Ok(BrokerRegistration {
            endpoints,
            rack: json.rack,
            jmx_port: json.jmx_port.unwrap_or(-1),
            timestamp_ms: json.timestamp,
            features: json.features.unwrap_or_default(),
        })
    }
}

/// `LISTENER://host:port`, an IPv6 host in brackets.
fn endpoint_text(endpoint: &BrokerEndpoint) -> String {
    let BrokerEndpoint { listener, host, port, .. } = endpoint;
    match host.contains(':') && !host.starts_with('[') {
        true => format!("{listener}://[{host}]:{port}"),
        false => format!("{listener}://{host}:{port}"),
    }
}

/// Without a protocol map (version < 4) the listener's name is the protocol's.
fn parse_endpoint(text: &str, protocols: Option<&BTreeMap<String, String>>) -> Option<BrokerEndpoint> {
    let (listener, address) = text.split_once("://")?;
    let (host, port) = address.rsplit_once(':')?;
    let security_protocol = match protocols {
        Some(protocols) => protocols.get(listener)?.clone(),
        None => listener.to_owned(),
    };
    Some(BrokerEndpoint {
        listener: listener.to_owned(),
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: port.parse().ok()?,
        security_protocol,
    })
}

/// `/controller`: an ephemeral of the broker that is it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControllerNode {
    pub broker_id: i32,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
}

impl ControllerNode {
    pub const PATH: &str = "/controller";

    /// Version 2; we are no KRaft controller, so its epoch is -1.
    pub fn encode(&self) -> Vec<u8> {
        json::text(&json!({
            "version": 2, "brokerid": self.broker_id, "timestamp": self.timestamp_ms.to_string(),
            "kraftControllerEpoch": -1,
        }))
    }

    pub fn decode(data: &[u8]) -> Result<ControllerNode, Error> {
        #[derive(Deserialize)]
        struct Json {
            brokerid: i32,
            #[serde(default, deserialize_with = "json::number")]
            timestamp: i64,
        }
        let json: Json = json::parse(Self::PATH, data)?;
        Ok(ControllerNode { broker_id: json.brokerid, timestamp_ms: json.timestamp })
    }
}

/// `/controller_epoch`: grows with every election; its znode version fences the controller's writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControllerEpoch(pub i32);

impl ControllerEpoch {
    pub const PATH: &str = "/controller_epoch";

    pub fn encode(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    pub fn decode(data: &[u8]) -> Result<ControllerEpoch, Error> {
        let text = json::utf8(Self::PATH, data)?;
        text.parse().map(ControllerEpoch).map_err(|err| malformed(Self::PATH, err))
    }
}

/// Whether finalized features are in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureStatus {
    Disabled,
    Enabled,
}

/// `/feature`: the finalized features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureNode {
    pub status: FeatureStatus,
    /// Finalized level by feature name.
    pub features: BTreeMap<String, i16>,
}

impl FeatureNode {
    pub const PATH: &str = "/feature";

    pub fn encode(&self) -> Vec<u8> {
        let status = i32::from(self.status == FeatureStatus::Enabled);
        json::text(&json!({"features": self.features, "version": 2, "status": status}))
    }

    /// Version 2; in version 1 features were ranges, of which the upper end counts.
    pub fn decode(data: &[u8]) -> Result<FeatureNode, Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Level {
            Level(i16),
            Range { max_version_level: i16 },
        }
        #[derive(Deserialize)]
        struct Json {
            status: i32,
            features: Option<BTreeMap<String, Level>>,
        }
        let json: Json = json::parse(Self::PATH, data)?;
        let status = match json.status {
            0 => FeatureStatus::Disabled,
            1 => FeatureStatus::Enabled,
            status => return Err(malformed(Self::PATH, format!("status {status}"))),
        };
        let level = |level| match level {
            Level::Level(level) | Level::Range { max_version_level: level } => level,
        };
        let features = json.features.unwrap_or_default();
        Ok(FeatureNode { status, features: features.into_iter().map(|(name, l)| (name, level(l))).collect() })
    }
}

/// `/latest_producer_id_block`: the last block of producer ids given to a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerIdBlock {
    pub broker_id: i32,
    pub block_start: i64,
    /// The last id of the block, inclusive.
    pub block_end: i64,
}

impl ProducerIdBlock {
    pub const PATH: &str = "/latest_producer_id_block";

    pub fn encode(&self) -> Vec<u8> {
        json::text(&json!({
            "version": 1, "broker": self.broker_id,
            "block_start": self.block_start.to_string(), "block_end": self.block_end.to_string(),
        }))
    }

    /// `None`: no block was given yet (null data).
    pub fn decode(data: &[u8]) -> Result<Option<ProducerIdBlock>, Error> {
        #[derive(Deserialize)]
        struct Json {
            broker: i32,
            #[serde(deserialize_with = "json::number")]
            block_start: i64,
            #[serde(deserialize_with = "json::number")]
            block_end: i64,
        }
        if data.is_empty() {
            return Ok(None);
        }
        let json: Json = json::parse(Self::PATH, data)?;
        Ok(Some(ProducerIdBlock { broker_id: json.broker, block_start: json.block_start, block_end: json.block_end }))
    }
}

/// `/log_dir_event_notification/log_dir_event_N`: a broker lost a log directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDirEvent {
    pub broker_id: i32,
}

impl LogDirEvent {
    /// For a sequential create.
    pub fn path_prefix() -> String {
        format!("{LOG_DIR_EVENT_NOTIFICATION}/log_dir_event_")
    }

    /// Event 1: a failure; there is no other.
    pub fn encode(&self) -> Vec<u8> {
        json::text(&json!({"version": 1, "broker": self.broker_id, "event": 1}))
    }

    pub fn decode(data: &[u8]) -> Result<LogDirEvent, Error> {
        #[derive(Deserialize)]
        struct Json {
            broker: i32,
        }
        json::parse(LOG_DIR_EVENT_NOTIFICATION, data).map(|Json { broker }| LogDirEvent { broker_id: broker })
    }
}
