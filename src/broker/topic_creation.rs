//! How a topic comes into the world: checked, given replicas, written to the registry. The controller sees it there and
//! does the rest; whoever asked waits until our metadata has it, with leaders.
//!
//! Source: `ZkAdminManager.createTopics`, `AdminZkClient`, `Topic`, `AutoTopicCreationManager`.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::Broker;
use crate::config::{self, BrokerConfig, validate_topic_configs};
use crate::controller::assignment::{self, Candidate, Start, assign};
use crate::registry::session::{CreateMode, MultiError, Op};
use crate::registry::znodes::{
    ConfigEntity, DeleteTopics, EntityConfig, ReplicaAssignment, TOPICS, TopicAssignment, Uuid as ZnodeUuid,
};
use crate::registry::{self, Session};
use crate::replication::{ClusterMetadata, NO_LEADER};
use crate::wire::messages::create_topics::CreatableTopic;
use crate::wire::{ErrorCode, Uuid};

/// Says "the broker's default" for a number of partitions or replicas.
pub(super) const NOT_SAID: i32 = -1;
/// More partitions do not fit a topic's znode, which ZooKeeper limits to 1 MiB.
const MAX_PARTITIONS: i32 = 50_000;
const MAX_NAME_LENGTH: usize = 249;
/// KRaft's own log, which no client may create.
const CLUSTER_METADATA_TOPIC: &str = "__cluster_metadata";

/// Why a request about a topic, or about anything else in the registry, is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub code: ErrorCode,
    /// `None`: the code says it all.
    pub message: Option<String>,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { code, message: Some(message.into()) }
    }

    pub fn plain(code: ErrorCode) -> Refusal {
        Refusal { code, message: None }
    }

    pub fn exists(topic: &str) -> Refusal {
        Refusal::new(ErrorCode::TOPIC_ALREADY_EXISTS, format!("Topic '{topic}' already exists."))
    }
}

impl From<assignment::Error> for Refusal {
    fn from(error: assignment::Error) -> Refusal {
        let code = match error {
            assignment::Error::Partitions => ErrorCode::INVALID_PARTITIONS,
            assignment::Error::ReplicationFactor | assignment::Error::TooFewBrokers { .. } => {
                ErrorCode::INVALID_REPLICATION_FACTOR
            }
            // AdminOperationException is none of the protocol's errors.
            assignment::Error::RackMissing => ErrorCode::UNKNOWN_SERVER_ERROR,
        };
        Refusal::new(code, error.to_string())
    }
}

impl From<config::Error> for Refusal {
    fn from(error: config::Error) -> Refusal {
        Refusal::new(ErrorCode::INVALID_CONFIG, error.to_string())
    }
}

impl From<registry::Error> for Refusal {
    fn from(error: registry::Error) -> Refusal {
        tracing::error!(%error, "the registry did not do as asked");
        match error {
            // Then we are not the controller any more, or not for long: clients look for it and ask again.
            registry::Error::SessionExpired | registry::Error::ConnectionLoss(_) => {
                Refusal::plain(ErrorCode::NOT_CONTROLLER)
            }
            _ => Refusal::plain(ErrorCode::UNKNOWN_SERVER_ERROR),
        }
    }
}

/// A topic that may be created.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewTopic {
    pub name: String,
    /// Replicas by partition, from 0 on without gaps.
    pub replicas: Vec<Vec<i32>>,
    pub configs: BTreeMap<String, String>,
}

/// A random number, from the keys that the standard library draws for its hash maps.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Checks a name, before it becomes part of a path.
///
/// # Errors
/// `INVALID_TOPIC_EXCEPTION` with Apache's text.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let reason = match name {
        "" => "the empty string is not allowed".to_owned(),
        "." => "'.' is not allowed".to_owned(),
        ".." => "'..' is not allowed".to_owned(),
        // Java counts UTF-16 units.
        name if name.encode_utf16().count() > MAX_NAME_LENGTH => {
            format!("the length of '{name}' is longer than the max allowed length {MAX_NAME_LENGTH}")
        }
        name if !name.chars().all(is_legal) => {
            format!("'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'")
        }
        _ => return Ok(()),
    };
    Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, format!("Topic name is invalid: {reason}")))
}

/// Live brokers as the metadata has them.
pub(super) fn candidates(cluster: &ClusterMetadata) -> Vec<Candidate> {
    cluster.brokers.values().map(|live| Candidate { id: live.id, rack: live.rack.clone() }).collect()
}

/// What can be said about a request without asking the registry, in the order in which Apache's broker says it.
///
/// # Errors
/// See protocol.md §9, CreateTopics.
pub(super) fn plan(
    topic: &CreatableTopic,
    config: &BrokerConfig,
    cluster: &ClusterMetadata,
    random: u64,
) -> Result<NewTopic, Refusal> {
    if topic.name == CLUSTER_METADATA_TOPIC {
        let message = format!("Creation of internal topic {CLUSTER_METADATA_TOPIC} is prohibited.");
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    if cluster.topics.contains_key(topic.name.as_str()) {
        return Err(Refusal::exists(&topic.name));
    }
    let nulls: Vec<&str> =
        topic.configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        return Err(config::Error::NullTopicValue(nulls.join(",")).into());
    }
    let has_counts = topic.num_partitions != NOT_SAID || i32::from(topic.replication_factor) != NOT_SAID;
    if has_counts && !topic.assignments.is_empty() {
        return Err(Refusal::new(
            ErrorCode::INVALID_REQUEST,
            "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the \
             same time.",
        ));
    }
    let replicas = match topic.assignments.is_empty() {
        true => automatic(topic, config, cluster, random)?,
        // A partition that is named twice is what it is the second time.
        false => topic.assignments.iter().map(|row| (row.partition_index, row.broker_ids.clone())).collect(),
    };
    check_name(&topic.name)?;
    let replicas = check_replicas(replicas)?;
    let configs = topic.configs.iter().map(|config| (config.name.as_str(), config.value.as_deref()));
    validate_topic_configs(configs)?;
    let configs = topic.configs.iter().filter_map(|config| Some((config.name.clone(), config.value.clone()?)));
    Ok(NewTopic { name: topic.name.clone(), replicas, configs: configs.collect() })
}

fn automatic(
    topic: &CreatableTopic,
    config: &BrokerConfig,
    cluster: &ClusterMetadata,
    random: u64,
) -> Result<BTreeMap<i32, Vec<i32>>, Refusal> {
    let or_default = |said: i32, default: i32| if said == NOT_SAID { default } else { said };
    let partitions = or_default(topic.num_partitions, config.num_partitions);
    let factor = or_default(topic.replication_factor.into(), config.default_replication_factor);
    check_partition_count(partitions)?;
    let brokers = candidates(cluster);
    let assigned = assign(&brokers, partitions, factor, Start::random(random, brokers.len()))?;
    Ok((0..).zip(assigned).collect())
}

/// A count beyond what the registry can hold would only cost memory before it fails.
pub(super) fn check_partition_count(partitions: i32) -> Result<(), Refusal> {
    match partitions > MAX_PARTITIONS {
        true => Err(Refusal::new(
            ErrorCode::INVALID_PARTITIONS,
            format!("Number of partitions must not be larger than {MAX_PARTITIONS}."),
        )),
        false => Ok(()),
    }
}

fn check_replicas(replicas: BTreeMap<i32, Vec<i32>>) -> Result<Vec<Vec<i32>>, Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    if replicas.values().map(Vec::len).collect::<BTreeSet<_>>().len() != 1 {
        return refuse("All partitions should have the same number of replicas".to_owned());
    }
    if replicas.values().any(|ids| has_duplicates(ids)) {
        // As Scala prints its maps.
        let row = |(partition, ids): (&i32, &Vec<i32>)| format!("{partition} -> ArrayBuffer({})", joined(ids));
        let rows = replicas.iter().map(row).collect::<Vec<_>>().join(", ");
        return refuse(format!("Duplicate replica assignment found: HashMap({rows})"));
    }
    if !replicas.keys().copied().eq(0..replicas.len() as i32) {
        return refuse("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    check_partition_count(replicas.len() as i32)?;
    Ok(replicas.into_values().collect())
}

pub(super) fn has_duplicates(ids: &[i32]) -> bool {
    ids.iter().collect::<BTreeSet<_>>().len() != ids.len()
}

/// `1, 2, 3`
pub(super) fn joined(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// `.` and `_` are the same in a metric's name, so two topics may not differ in nothing else.
fn collides(topic: &str, other: &str) -> bool {
    topic.replace('.', "_") == other.replace('.', "_")
}

/// What only the registry knows: that there is no such topic, nor one being deleted, nor one that collides.
///
/// # Errors
/// `TOPIC_ALREADY_EXISTS`, `INVALID_TOPIC_EXCEPTION`, with Apache's texts.
pub(super) async fn check_free(session: &Session, topic: &str) -> Result<(), Refusal> {
    let (wish, node) = (DeleteTopics::path(topic), TopicAssignment::path(topic));
    let (deleted, exists) = tokio::try_join!(session.exists(&wish), session.exists(&node))?;
    if deleted.is_some() {
        let message = format!("Topic '{topic}' is marked for deletion.");
        return Err(Refusal::new(ErrorCode::TOPIC_ALREADY_EXISTS, message));
    }
    if exists.is_some() {
        return Err(Refusal::exists(topic));
    }
    if !topic.contains(['.', '_']) {
        return Ok(());
    }
    let mut others = session.children(TOPICS).await?;
    if others.iter().any(|other| other == topic) {
        return Err(Refusal::exists(topic));
    }
    others.retain(|other| collides(topic, other));
    if others.is_empty() {
        return Ok(());
    }
    others.sort();
    let message = format!("Topic '{topic}' collides with existing topics: {}", others.join(", "));
    Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, message))
}

/// Writes a topic's config and assignment, both or none: one sync of the registry's disk. Returns the topic's id.
///
/// # Errors
/// `TOPIC_ALREADY_EXISTS`.
pub(super) async fn write(session: &Session, topic: &NewTopic) -> Result<Uuid, Refusal> {
    let id = ZnodeUuid::random().map_err(|error| {
        tracing::error!(%error, "no random numbers");
        Refusal::plain(ErrorCode::UNKNOWN_SERVER_ERROR)
    })?;
    let replicas = topic.replicas.iter().map(|ids| ReplicaAssignment { replicas: ids.clone(), ..Default::default() });
    let partitions = (0..).zip(replicas).collect();
    let assignment = TopicAssignment { topic_id: Some(id), partitions }.encode();
    let config = EntityConfig { config: topic.configs.clone() }.encode();
    let config_path = EntityConfig::path(&ConfigEntity::Topic(topic.name.clone()));
    let create_topic = Op::create(TopicAssignment::path(&topic.name), Some(&assignment), CreateMode::Persistent);
    let create_config = Op::create(&config_path, Some(&config), CreateMode::Persistent);
    // Somebody may have left a config without a topic: then that is replaced.
    let set_config = Op::set(&config_path, config, -1);
    let mut result = session.multi(&[create_config, create_topic.clone()]).await;
    if matches!(result, Err(MultiError { index: Some(0), error: registry::Error::NodeExists(_) })) {
        result = session.multi(&[set_config, create_topic]).await;
    }
    match result.map_err(registry::Error::from) {
        Ok(_) => Ok(Uuid(id.0)),
        Err(registry::Error::NodeExists(_)) => Err(Refusal::exists(&topic.name)),
        Err(error) => Err(error.into()),
    }
}

/// Whether every one of these partitions has a leader.
pub(super) fn has_leaders(cluster: &ClusterMetadata, topic: &str, partitions: usize) -> bool {
    let led = |partition| cluster.partition(topic, partition).is_some_and(|state| state.leader != NO_LEADER);
    (0..partitions as i32).all(led)
}

/// Waits until the metadata is as wanted; false if it is not by then.
pub(super) async fn wait_for_metadata(
    broker: &Broker,
    timeout: Duration,
    condition: impl Fn(&ClusterMetadata) -> bool,
) -> bool {
    tokio::time::timeout(timeout, broker.metadata.wait_for(condition)).await.is_ok()
}

/// A time in a request; what is not positive is no time at all.
pub(super) fn timeout_of(ms: i32) -> Duration {
    Duration::from_millis(ms.max(0) as u64)
}

impl Broker {
    /// Checks a topic and, unless it is only to be checked, writes it. Returns the topic as it is created, and its id.
    pub(super) async fn create_topic(
        &self,
        topic: &CreatableTopic,
        validate_only: bool,
    ) -> Result<(NewTopic, Uuid), Refusal> {
        let new = plan(topic, &self.config(), &self.metadata.current(), random())?;
        check_free(&self.session, &new.name).await?;
        let id = if validate_only { Uuid::ZERO } else { write(&self.session, &new).await? };
        Ok((new, id))
    }

    /// Creates a topic that a client or the broker itself asked for without creating it: with the broker's defaults,
    /// or what an internal topic needs. Nobody waits for it: those who asked ask again.
    ///
    /// The code is what Metadata answers for the topic: `LEADER_NOT_AVAILABLE` when it was created, or exists.
    pub(crate) fn auto_create_topic(
        self: &Arc<Self>,
        name: &str,
    ) -> impl Future<Output = ErrorCode> + Send + 'static + use<> {
        let broker = self.clone();
        let topic = internal_topic(&broker.config(), name);
        async move {
            match broker.create_topic(&topic, false).await {
                Ok(_) => ErrorCode::LEADER_NOT_AVAILABLE,
                Err(Refusal { code: ErrorCode::TOPIC_ALREADY_EXISTS, .. }) => ErrorCode::LEADER_NOT_AVAILABLE,
                Err(Refusal { code, message }) => {
                    tracing::warn!(topic = topic.name, code = code.name(), message, "topic cannot be created");
                    code
                }
            }
        }
    }
}

/// A request for a topic as the broker itself would make it.
fn internal_topic(config: &BrokerConfig, name: &str) -> CreatableTopic {
    use crate::wire::messages::create_topics::CreatableTopicConfig;
    let compacted = |compression: &str, segment_bytes: i32| {
        let rows = [
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", compression.to_owned()),
            ("segment.bytes", segment_bytes.to_string()),
        ];
        rows.map(|(name, value)| CreatableTopicConfig { name: name.to_owned(), value: Some(value) }).to_vec()
    };
    let (num_partitions, replication_factor, configs) = match name {
        "__consumer_offsets" => (
            config.offsets_topic_num_partitions,
            config.offsets_topic_replication_factor,
            compacted("producer", config.offsets_topic_segment_bytes),
        ),
        "__transaction_state" => {
            let mut configs = compacted("uncompressed", config.transaction_state_log_segment_bytes);
            let rows = [
                ("min.insync.replicas", config.transaction_state_log_min_isr.to_string()),
                ("unclean.leader.election.enable", "false".to_owned()),
            ];
            configs
                .extend(rows.map(|(name, value)| CreatableTopicConfig { name: name.to_owned(), value: Some(value) }));
            let replication_factor = config.transaction_state_log_replication_factor;
            (config.transaction_state_log_num_partitions, replication_factor, configs)
        }
        _ => (NOT_SAID, NOT_SAID as i16, Vec::new()),
    };
    CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, configs, assignments: Vec::new() }
}

#[cfg(test)]
mod tests;
