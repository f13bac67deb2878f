//! A topic or a broker as the thing whose configuration is changed: which it is, what it has, what it may be given.
//!
//! Source: `ConfigAdminManager`, `ZkAdminManager.alterConfigs`, `DynamicBrokerConfig`.

use std::collections::BTreeMap;

use super::topic_creation::Refusal;
use super::{Broker, config_changes};
use crate::config::keys::{self, broker_key, topic_key};
use crate::config::{self, Scope, validate_broker_configs, validate_topic_configs};
use crate::registry::znodes::ConfigEntity;
use crate::wire::ErrorCode;

/// What a configuration can belong to. Source: `ConfigResource.Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Topic,
    Broker,
    BrokerLogger,
    ClientMetrics,
}

impl Kind {
    pub fn from_id(id: i8) -> Option<Kind> {
        match id {
            2 => Some(Kind::Topic),
            4 => Some(Kind::Broker),
            8 => Some(Kind::BrokerLogger),
            16 => Some(Kind::ClientMetrics),
            _ => None,
        }
    }
}

/// The number of a broker. `what`: how the text calls it.
pub(super) fn broker_id(what: &str, name: &str) -> Result<i32, Refusal> {
    name.parse().map_err(|_| {
        Refusal::new(ErrorCode::INVALID_REQUEST, format!("{what} id must be an integer, but it is: {name}"))
    })
}

/// A request names a resource twice.
pub(super) fn named_twice() -> Refusal {
    Refusal::new(ErrorCode::INVALID_REQUEST, "Each resource must appear at most once.")
}

/// What is altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    Topic(String),
    /// `None`: all brokers.
    Broker(Option<i32>),
}

impl Resource {
    /// # Errors
    /// The texts of protocol.md §9, IncrementalAlterConfigs.
    pub fn parse(broker: &Broker, kind: i8, name: &str) -> Result<Resource, Refusal> {
        let refuse = |code: ErrorCode, message: String| Err(Refusal::new(code, message));
        match Kind::from_id(kind) {
            Some(Kind::Topic) if name.is_empty() => {
                refuse(ErrorCode::INVALID_REQUEST, "Default topic resources are not allowed.".to_owned())
            }
            Some(Kind::Topic) if !broker.metadata.current().topics.contains_key(name) => {
                refuse(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("The topic '{name}' does not exist."))
            }
            Some(Kind::Topic) => Ok(Resource::Topic(name.to_owned())),
            Some(Kind::Broker) if name.is_empty() => Ok(Resource::Broker(None)),
            Some(Kind::Broker) => own_id(broker, name).map(|id| Resource::Broker(Some(id))),
            Some(Kind::ClientMetrics) => {
                let message =
                    "AlterConfigs is only supported for topics and brokers, but resource type is CLIENT_METRICS";
                refuse(ErrorCode::INVALID_REQUEST, message.to_owned())
            }
            Some(Kind::BrokerLogger) | None => {
                refuse(ErrorCode::INVALID_REQUEST, format!("Unknown resource type {kind}"))
            }
        }
    }

    /// Whether it is this broker's log4j; another broker's is refused.
    pub fn is_logger(broker: &Broker, kind: i8, name: &str) -> Result<bool, Refusal> {
        match Kind::from_id(kind) {
            Some(Kind::BrokerLogger) => own_id(broker, name).map(|_| true),
            _ => Ok(false),
        }
    }

    /// Its own values as they are now.
    pub async fn values(&self, broker: &Broker) -> Result<BTreeMap<String, String>, Refusal> {
        Ok(config_changes::read(&broker.session, &self.entity()).await?)
    }

    /// Whether a key is a list, and its default; `None` for a key that is not known.
    pub fn key(&self, name: &str) -> Option<(bool, &'static str)> {
        match self {
            Resource::Topic(_) => topic_key(name).map(|key| (key.kind == keys::Kind::List, key.default)),
            Resource::Broker(_) => {
                broker_key(name).map(|key| (key.kind == keys::Kind::List, key.default.unwrap_or_default()))
            }
        }
    }

    /// Checks the values and, unless they are only to be checked, makes them all that it has of its own.
    pub async fn store(
        &self,
        broker: &Broker,
        values: BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<(), Refusal> {
        self.check(broker, &values)?;
        if !validate_only {
            config_changes::write(broker, &self.entity(), values).await?;
        }
        Ok(())
    }

    fn entity(&self) -> ConfigEntity {
        match self {
            Resource::Topic(topic) => ConfigEntity::Topic(topic.clone()),
            Resource::Broker(id) => ConfigEntity::Broker(*id),
        }
    }

    fn check(&self, broker: &Broker, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        let pairs = values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        match self {
            Resource::Topic(topic) => {
                let checked = validate_topic_configs(pairs.map(|(name, value)| (name, Some(value))));
                checked.map_err(|error| match error {
                    // An ApiException of its own in Kafka, which is not wrapped.
                    config::Error::UnknownTopicKey(_) => error.into(),
                    error => {
                        let message = format!(
                            "Invalid config value for resource ConfigResource(type=TOPIC, name='{topic}'): {error}"
                        );
                        Refusal::new(ErrorCode::INVALID_CONFIG, message)
                    }
                })
            }
            Resource::Broker(id) => {
                let invalid = |message: String| Refusal::new(ErrorCode::INVALID_REQUEST, message);
                let scope = if id.is_some() { Scope::OneBroker } else { Scope::AllBrokers };
                validate_broker_configs(pairs, scope).map_err(|error| invalid(error.to_string()))?;
                // In the registry everybody could read it; Kafka encrypts it, with a secret that is not configured.
                if values.keys().any(|name| broker_key(name).is_some_and(|key| key.is_sensitive())) {
                    return Err(invalid("Password encoder secret not configured".to_owned()));
                }
                // Values may be right one by one and wrong together.
                let config = broker.config();
                let (all, own) = config.dynamic_values();
                let changed = match id {
                    Some(_) => config.with_dynamic(all.clone(), values.clone()),
                    None => config.with_dynamic(values.clone(), own.clone()),
                };
                changed.map(drop).map_err(|error| invalid(error.to_string()))
            }
        }
    }
}

/// This broker's id: others are altered by themselves.
fn own_id(broker: &Broker, name: &str) -> Result<i32, Refusal> {
    match broker_id("Node", name)? {
        id if id == broker.id => Ok(id),
        _ => {
            let message = format!("Unexpected broker id, expected {}, but received {name}", broker.id);
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
        }
    }
}
