//! Each key's value and where it comes from, as DescribeConfigs answers.

use std::collections::BTreeMap;

use super::broker::{BrokerConfig, base_name};
use super::keys::{BROKER_KEYS, Kind, TOPIC_KEYS, Update, broker_key, broker_synonyms};
use super::value::check;

/// Where a value comes from; the numbers are DescribeConfigs'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigSource {
    Topic = 1,
    DynamicBroker = 2,
    DynamicDefaultBroker = 3,
    StaticBroker = 4,
    Default = 5,
}

/// One key of a topic or broker, as DescribeConfigs tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None`: no value, or a hidden one.
    pub value: Option<String>,
    /// `None`: a key that nobody knows.
    pub kind: Option<Kind>,
    pub read_only: bool,
    pub is_sensitive: bool,
    pub source: ConfigSource,
    /// Every place that gives the key a value, the strongest first.
    pub synonyms: Vec<ConfigSynonym>,
    pub doc: &'static str,
}

/// One place that gives a key a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSynonym {
    pub name: String,
    pub value: Option<String>,
    pub source: ConfigSource,
}

/// All topic keys with their values on this broker, in the order in which Apache's broker gives them.
/// `overrides`: the topic's own values, already checked.
///
/// Source: `ConfigHelper.createTopicConfigEntry`.
pub fn describe_topic<'a>(
    broker: &BrokerConfig,
    overrides: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<ConfigEntry> {
    let overrides: BTreeMap<&str, &str> = overrides.into_iter().collect();
    let entry = |key: &'static super::keys::TopicKey| {
        let own = overrides.get(key.name).map(|raw| normal(key.name, key.kind, key.valid, raw));
        let mut synonyms = key.broker_key.map_or(Vec::new(), |name| synonyms(broker, name, false));
        if let Some(value) = &own {
            let synonym =
                ConfigSynonym { name: key.name.into(), value: Some(value.clone()), source: ConfigSource::Topic };
            synonyms.insert(0, synonym);
        }
        ConfigEntry {
            name: key.name.into(),
            value: own.or_else(|| Some(broker_value(broker, key))),
            kind: Some(key.kind),
            read_only: false,
            is_sensitive: false,
            source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
            synonyms,
            doc: key.broker_key.and_then(broker_key).map_or("", |key| key.doc),
        }
    };
    TOPIC_KEYS.iter().map(entry).collect()
}

/// All broker keys with their values, and the keys of the file that nobody knows.
///
/// Source: `ConfigHelper.createBrokerConfigEntry`.
pub fn describe_broker(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let known = BROKER_KEYS.iter().filter(|key| !key.internal || broker.layers().file.contains(key.name));
    let mut entries: Vec<ConfigEntry> = known.map(|key| broker_entry(broker, key.name)).collect();
    let layers = broker.layers();
    let written = layers.file.iter().map(|(name, _)| name).chain(layers.cluster.keys().map(String::as_str));
    let mut others: Vec<&str> = written.chain(layers.broker.keys().map(String::as_str)).collect();
    others.retain(|name| broker_key(name).is_none());
    others.sort_unstable();
    others.dedup();
    entries.extend(others.into_iter().map(|name| broker_entry(broker, name)));
    entries
}

/// The dynamic values for all brokers, as DescribeConfigs answers for the broker named "".
pub fn describe_cluster_default(broker: &BrokerConfig) -> Vec<ConfigEntry> {
    let mut entries: Vec<ConfigEntry> = broker.layers().cluster.keys().map(|name| broker_entry(broker, name)).collect();
    for entry in &mut entries {
        entry.synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
        entry.source = entry.synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source);
        let value = broker.layers().cluster.get(&entry.name).filter(|_| !entry.is_sensitive);
        entry.value = value.cloned();
    }
    entries
}

fn broker_entry(broker: &BrokerConfig, name: &str) -> ConfigEntry {
    let key = broker_key(base_name(name));
    // Of a key that nobody knows, nobody knows whether it is a secret.
    let is_sensitive = key.is_none_or(|key| key.is_sensitive());
    let synonyms = synonyms(broker, name, is_sensitive);
    let value = broker.value(name).map(str::to_owned).or_else(|| synonyms.first()?.value.clone());
    ConfigEntry {
        name: name.to_owned(),
        value: value.filter(|_| !is_sensitive),
        kind: key.map(|key| key.kind),
        read_only: key.is_none_or(|key| key.update == Update::ReadOnly),
        is_sensitive,
        source: synonyms.first().map_or(ConfigSource::Default, |synonym| synonym.source),
        synonyms,
        doc: key.map_or("", |key| key.doc),
    }
}

/// Layer by layer, each with all names of the key. What stands before the key's own name is dropped, so a key
/// whose own name has no value has no synonyms, even if another name has one: Apache's broker does so.
///
/// Source: `ConfigHelper.configSynonyms`.
fn synonyms(broker: &BrokerConfig, name: &str, is_sensitive: bool) -> Vec<ConfigSynonym> {
    let names = broker_synonyms(name);
    let layers = broker.layers();
    let mut found = Vec::new();
    let mut add = |value: Option<&str>, name: &str, source| {
        if let Some(value) = value {
            let value = Some(value.to_owned()).filter(|_| !is_sensitive);
            found.push(ConfigSynonym { name: name.to_owned(), value, source });
        }
    };
    for name in &names {
        add(layers.broker.get(*name).map(String::as_str), name, ConfigSource::DynamicBroker);
    }
    for name in &names {
        add(layers.cluster.get(*name).map(String::as_str), name, ConfigSource::DynamicDefaultBroker);
    }
    for name in &names {
        add(layers.file.get(name), name, ConfigSource::StaticBroker);
    }
    for name in &names {
        add(broker_key(name).and_then(|key| key.default), name, ConfigSource::Default);
    }
    let first = found.iter().position(|synonym| synonym.name == name).unwrap_or(found.len());
    found.split_off(first)
}

/// The value that a topic without its own has.
fn broker_value(broker: &BrokerConfig, key: &super::keys::TopicKey) -> String {
    match key.name {
        "retention.ms" => broker.log_retention_ms.to_string(),
        "segment.ms" => broker.log_roll_ms.to_string(),
        "segment.jitter.ms" => broker.log_roll_jitter_ms.max(0).to_string(),
        "flush.ms" => broker.log_flush_interval_ms.to_string(),
        _ => key.broker_key.and_then(|name| broker.value(name)).unwrap_or(key.default).to_owned(),
    }
}

fn normal(name: &str, kind: Kind, valid: super::keys::Valid, raw: &str) -> String {
    check(name, kind, valid, raw).unwrap_or_else(|_| raw.to_owned())
}
