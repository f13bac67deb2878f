//! Configurations of topics, brokers and other resources: read, and altered key by key.

use std::collections::HashMap;

use super::{Admin, Client, Error, To, join_all};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use crate::wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

/// What can be configured; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i8)]
pub enum ResourceType {
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

/// One thing that can be configured. The empty broker name stands for the default of all brokers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConfigResource {
    pub kind: ResourceType,
    pub name: String,
}

impl ConfigResource {
    pub fn topic(name: impl Into<String>) -> ConfigResource {
        ConfigResource { kind: ResourceType::Topic, name: name.into() }
    }

    /// Which broker must be asked: a broker's own configuration is known to that broker only.
    fn to(&self) -> To {
        match (self.kind, self.name.parse()) {
            (ResourceType::Broker | ResourceType::BrokerLogger, Ok(id)) => To::Broker(id),
            _ => To::Any,
        }
    }
}

/// Where a value comes from; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigSource(pub i8);

impl ConfigSource {
    pub const UNKNOWN: ConfigSource = ConfigSource(0);
    pub const DYNAMIC_TOPIC_CONFIG: ConfigSource = ConfigSource(1);
    pub const DYNAMIC_BROKER_CONFIG: ConfigSource = ConfigSource(2);
    pub const DYNAMIC_DEFAULT_BROKER_CONFIG: ConfigSource = ConfigSource(3);
    pub const STATIC_BROKER_CONFIG: ConfigSource = ConfigSource(4);
    pub const DEFAULT_CONFIG: ConfigSource = ConfigSource(5);
    pub const DYNAMIC_BROKER_LOGGER_CONFIG: ConfigSource = ConfigSource(6);
    pub const DYNAMIC_CLIENT_METRICS_CONFIG: ConfigSource = ConfigSource(7);
    pub const GROUP_CONFIG: ConfigSource = ConfigSource(8);

    /// Java's name of it.
    pub fn name(self) -> &'static str {
        match self {
            ConfigSource::DYNAMIC_TOPIC_CONFIG => "DYNAMIC_TOPIC_CONFIG",
            ConfigSource::DYNAMIC_BROKER_CONFIG => "DYNAMIC_BROKER_CONFIG",
            ConfigSource::DYNAMIC_DEFAULT_BROKER_CONFIG => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            ConfigSource::STATIC_BROKER_CONFIG => "STATIC_BROKER_CONFIG",
            ConfigSource::DEFAULT_CONFIG => "DEFAULT_CONFIG",
            ConfigSource::DYNAMIC_BROKER_LOGGER_CONFIG => "DYNAMIC_BROKER_LOGGER_CONFIG",
            ConfigSource::DYNAMIC_CLIENT_METRICS_CONFIG => "DYNAMIC_CLIENT_METRICS_CONFIG",
            ConfigSource::GROUP_CONFIG => "GROUP_CONFIG",
            _ => "UNKNOWN",
        }
    }
}

/// One key of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None`: hidden, or no value at all.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub is_sensitive: bool,
    pub is_read_only: bool,
    /// Strongest first; empty unless asked for.
    pub synonyms: Vec<ConfigSynonym>,
}

impl ConfigEntry {
    /// Whether the value is Kafka's built-in one.
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::DEFAULT_CONFIG
    }
}

/// Another place that gives the same key a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    pub name: String,
    pub value: Option<String>,
    pub source: ConfigSource,
}

/// How a key changes; the numbers are the protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigOp {
    Set = 0,
    Delete = 1,
    /// To a list.
    Append = 2,
    Subtract = 3,
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlterConfigOp {
    pub name: String,
    pub op: ConfigOp,
    /// `None` for `Delete`.
    pub value: Option<String>,
}

/// What became of each resource, in the order asked for.
type PerResource<T> = Vec<(ConfigResource, Result<T, Error>)>;

impl Admin {
    /// Every key of each resource, in the broker's order.
    ///
    /// # Errors
    /// Of the whole: `Timeout`. Each resource has its own result.
    pub fn describe_configs(
        &self,
        resources: &[ConfigResource],
        include_synonyms: bool,
    ) -> Result<PerResource<Vec<ConfigEntry>>, Error> {
        self.run(self.client.describe_configs(resources, include_synonyms))
    }

    /// Changes keys, leaving the others as they are.
    ///
    /// # Errors
    /// Of the whole: `Timeout`, UNSUPPORTED_VERSION from brokers before 2.3. Each resource has its own result.
    pub fn incremental_alter_configs(
        &self,
        changes: &[(ConfigResource, Vec<AlterConfigOp>)],
        validate_only: bool,
    ) -> Result<PerResource<()>, Error> {
        self.run(self.client.incremental_alter_configs(changes, validate_only))
    }
}

impl Client {
    pub(super) async fn describe_configs(
        &self,
        resources: &[ConfigResource],
        include_synonyms: bool,
    ) -> Result<PerResource<Vec<ConfigEntry>>, Error> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let asked = by_broker(resources, ConfigResource::to);
        let asking = asked.iter().map(|(to, resources)| self.describe_configs_at(*to, resources, include_synonyms));
        let mut answers = HashMap::new();
        for part in join_all(asking.collect()).await {
            answers.extend(part?.into_iter().map(|row| ((row.resource_type, row.resource_name.clone()), row)));
        }
        Ok(resources.iter().map(|resource| (resource.clone(), entries(&mut answers, resource))).collect())
    }

    pub(super) async fn describe_configs_at(
        &self,
        to: To,
        resources: &[&ConfigResource],
        include_synonyms: bool,
    ) -> Result<Vec<DescribeConfigsResult>, Error> {
        let mut call = self.call(if to == To::Any { "describeConfigs" } else { "describeBrokerConfigs" });
        let row = |resource: &&ConfigResource| DescribeConfigsResource {
            resource_type: resource.kind as i8,
            resource_name: resource.name.clone(),
            configuration_keys: None,
        };
        let request = |_, _| DescribeConfigsRequest {
            resources: resources.iter().map(row).collect(),
            include_synonyms,
            include_documentation: false,
        };
        Ok(self.send(&mut call, to, request).await?.results)
    }

    pub(super) async fn incremental_alter_configs(
        &self,
        changes: &[(ConfigResource, Vec<AlterConfigOp>)],
        validate_only: bool,
    ) -> Result<PerResource<()>, Error> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        // Topics and defaults may be altered at any broker, which passes them on to the controller.
        let asked = by_broker(changes, |(resource, _)| resource.to());
        let asking = asked.iter().map(|(to, changes)| self.alter_configs_at(*to, changes, validate_only));
        let mut answers = Vec::new();
        for part in join_all(asking.collect()).await {
            answers.extend(part?);
        }
        let result = |resource: &ConfigResource| {
            let found = answers.iter().find(|(kind, name, _)| *kind == resource.kind as i8 && *name == resource.name);
            found.map_or_else(|| Err(unanswered(resource)), |(_, _, result)| result.clone())
        };
        Ok(changes.iter().map(|(resource, _)| (resource.clone(), result(resource))).collect())
    }

    pub(super) async fn alter_configs_at(
        &self,
        to: To,
        changes: &[&(ConfigResource, Vec<AlterConfigOp>)],
        validate_only: bool,
    ) -> Result<Vec<(i8, String, Result<(), Error>)>, Error> {
        let mut call = self.call("incrementalAlterConfigs");
        let config = |change: &AlterConfigOp| AlterableConfig {
            name: change.name.clone(),
            config_operation: change.op as i8,
            value: change.value.clone(),
        };
        let row = |(resource, ops): &&(ConfigResource, Vec<AlterConfigOp>)| AlterConfigsResource {
            resource_type: resource.kind as i8,
            resource_name: resource.name.clone(),
            configs: ops.iter().map(config).collect(),
        };
        let request =
            |_, _| IncrementalAlterConfigsRequest { resources: changes.iter().map(row).collect(), validate_only };
        let response = self.send(&mut call, to, request).await?;
        let rows = response.responses.into_iter();
        Ok(rows.map(|r| (r.resource_type, r.resource_name, Error::check(r.error_code, r.error_message))).collect())
    }
}

/// Parts the rows by the broker that must be asked.
fn by_broker<T>(rows: &[T], to: impl Fn(&T) -> To) -> Vec<(To, Vec<&T>)> {
    let mut parts: Vec<(To, Vec<&T>)> = Vec::new();
    for row in rows {
        match parts.iter_mut().find(|(known, _)| *known == to(row)) {
            Some((_, rows)) => rows.push(row),
            None => parts.push((to(row), vec![row])),
        }
    }
    parts
}

fn entries(
    answers: &mut HashMap<(i8, String), DescribeConfigsResult>,
    resource: &ConfigResource,
) -> Result<Vec<ConfigEntry>, Error> {
    let answer = answers.remove(&(resource.kind as i8, resource.name.clone())).ok_or_else(|| unanswered(resource))?;
    Error::check(answer.error_code, answer.error_message)?;
    Ok(answer.configs.into_iter().map(|row| entry(row, resource.kind)).collect())
}

fn entry(row: DescribeConfigsResourceResult, kind: ResourceType) -> ConfigEntry {
    // Version 0 (before 1.1) names no source, only whether the value is the default.
    let source = match (row.config_source, row.is_default) {
        (-1, true) => ConfigSource::DEFAULT_CONFIG,
        (-1, false) if kind == ResourceType::Topic => ConfigSource::DYNAMIC_TOPIC_CONFIG,
        (-1, false) => ConfigSource::STATIC_BROKER_CONFIG,
        (source, _) => ConfigSource(source),
    };
    let synonyms = row.synonyms.into_iter().map(|synonym| ConfigSynonym {
        name: synonym.name,
        value: synonym.value,
        source: ConfigSource(synonym.source),
    });
    ConfigEntry {
        name: row.name,
        value: row.value,
        source,
        is_sensitive: row.is_sensitive,
        is_read_only: row.read_only,
        synonyms: synonyms.collect(),
    }
}

fn unanswered(resource: &ConfigResource) -> Error {
    let message = format!("The broker response did not contain a result for config resource {}", resource.name);
    Error::Api { code: ErrorCode::UNKNOWN_SERVER_ERROR, message }
}
