//! Dynamic configs, and the notes that tell brokers to read them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::CONFIG_CHANGES;
use super::json::{self, malformed};
use crate::registry::Error;

/// Stands for "all others" where an entity's name would be.
const DEFAULT_NAME: &str = "<default>";

/// Whose config it is. `None` is the default entity of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigEntity {
    Topic(String),
    Broker(Option<i32>),
    Client(Option<String>),
    User(Option<String>),
    UserClient { user: Option<String>, client: Option<String> },
    Ip(Option<String>),
}

impl ConfigEntity {
    /// As a [`ConfigChange`] names it: `topics/t`, `brokers/<default>`, `users/u%20x/clients/c`.
    pub fn entity_path(&self) -> String {
        let name = |name: &Option<String>| name.as_deref().map_or(DEFAULT_NAME.to_owned(), sanitize);
        match self {
            ConfigEntity::Topic(topic) => format!("topics/{topic}"),
            ConfigEntity::Broker(None) => format!("brokers/{DEFAULT_NAME}"),
            ConfigEntity::Broker(Some(id)) => format!("brokers/{id}"),
            ConfigEntity::Client(client) => format!("clients/{}", name(client)),
            ConfigEntity::User(user) => format!("users/{}", name(user)),
            ConfigEntity::UserClient { user, client } => format!("users/{}/clients/{}", name(user), name(client)),
            ConfigEntity::Ip(ip) => format!("ips/{}", name(ip)),
        }
    }

    /// The entity that [`entity_path`](Self::entity_path) names; `None` if it names none.
    pub fn from_entity_path(path: &str) -> Option<ConfigEntity> {
        let name = |name: &str| match name {
            DEFAULT_NAME => Some(None),
            name => desanitize(name).map(Some),
        };
        let parts = path.split('/').collect::<Vec<_>>();
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        Some(match parts[..] {
            ["topics", topic] => ConfigEntity::Topic(topic.to_owned()),
            ["brokers", DEFAULT_NAME] => ConfigEntity::Broker(None),
            ["brokers", id] => ConfigEntity::Broker(Some(id.parse().ok()?)),
            ["clients", client] => ConfigEntity::Client(name(client)?),
            ["users", user] => ConfigEntity::User(name(user)?),
            ["users", user, "clients", client] => ConfigEntity::UserClient { user: name(user)?, client: name(client)? },
            ["ips", ip] => ConfigEntity::Ip(name(ip)?),
            _ => return None,
        })
    }
}

/// `/config/topics/T`, `/config/brokers/1`, …: the dynamic config of one entity.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EntityConfig {
    pub config: BTreeMap<String, String>,
}

impl EntityConfig {
    pub fn path(entity: &ConfigEntity) -> String {
        format!("/config/{}", entity.entity_path())
    }

    pub fn encode(&self) -> Vec<u8> {
        json::text(&json!({"version": 1, "config": self.config}))
    }

    /// Null data (an intermediate node) is an empty config.
    pub fn decode(entity: &ConfigEntity, data: &[u8]) -> Result<EntityConfig, Error> {
        #[derive(Deserialize)]
        struct Json {
            config: Option<BTreeMap<String, String>>,
        }
        if data.is_empty() {
            return Ok(EntityConfig::default());
        }
        let json: Json = json::parse(&Self::path(entity), data)?;
        Ok(EntityConfig { config: json.config.unwrap_or_default() })
    }
}

/// `/config/changes/config_change_N`: an entity's config changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// See [`ConfigEntity::entity_path`].
    pub entity_path: String,
}

impl ConfigChange {
    /// For a sequential create.
    pub fn path_prefix() -> String {
        format!("{CONFIG_CHANGES}/config_change_")
    }

    /// Version 2.
    pub fn encode(&self) -> Vec<u8> {
        json::text(&json!({"version": 2, "entity_path": self.entity_path}))
    }

    /// Version 2, and version 1 with type and name apart.
    pub fn decode(data: &[u8]) -> Result<ConfigChange, Error> {
        #[derive(Deserialize)]
        struct Json {
            entity_path: Option<String>,
            entity_type: Option<String>,
            entity_name: Option<String>,
        }
        let json: Json = json::parse(CONFIG_CHANGES, data)?;
        let entity_path = match (json.entity_path, json.entity_type, json.entity_name) {
            (Some(path), _, _) => path,
            (None, Some(kind), Some(name)) => format!("{kind}/{name}"),
            _ => return Err(malformed(CONFIG_CHANGES, "no entity_path")),
        };
        Ok(ConfigChange { entity_path })
    }
}

/// A name as a path element: percent-encoded UTF-8. Source: `org.apache.kafka.common.utils.Sanitizer`.
pub fn sanitize(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    name.bytes().map(|byte| if plain(&byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect()
}

fn desanitize(name: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let (byte, tail) = match byte {
            b'%' => {
                let (hex, tail) = tail.split_at_checked(2)?;
                (u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?, tail)
            }
            b'+' => (b' ', tail),
            byte => (byte, tail),
        };
        bytes.push(byte);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}
