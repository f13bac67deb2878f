//! Room `config`: what every key means.
//!
//! A `.properties` file is read by [`Properties`], which remembers on which line a key stood. [`keys`] is the
//! table of every broker and topic key: type, default, allowed values, how it may be updated. [`BrokerConfig`]
//! and [`TopicConfig`] are the typed results; both are values that never change: a dynamic update makes a new
//! one. [`describe_broker`] and [`describe_topic`] say where each value comes from, as DescribeConfigs wants it.
//!
//! Source: `ConfigDef`, `KafkaConfig`, `LogConfig`, `DynamicBrokerConfig` of Apache Kafka 3.9.

mod broker;
mod describe;
mod endpoint;
mod error;
mod inter_broker_protocol;
pub mod keys;
mod properties;
mod topic;
mod value;

pub use broker::{BrokerConfig, Scope, validate_broker_configs};
pub use describe::{
    ConfigEntry, ConfigSource, ConfigSynonym, describe_broker, describe_cluster_default, describe_topic,
};
pub use endpoint::{Endpoint, SecurityProtocol};
pub use error::{Error, Location};
pub use inter_broker_protocol::InterBrokerProtocol;
pub use properties::Properties;
pub use topic::{CleanupPolicy, CompressionType, TimestampType, TopicConfig, validate_topic_configs};
pub(crate) use value::show_double;

#[cfg(test)]
mod tests;
