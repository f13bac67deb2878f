//! `kafka-topics --zookeeper`: topics made and changed straight on the znodes, as up to Apache Kafka 2.8.
//!
//! The controller sees the znodes change and does the rest; a topic made here has no id until the controller gives
//! it one.
//!
//! Source: `TopicCommand.ZookeeperTopicService` and `AdminZkClient` of 2.8.

pub(super) mod assignment;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::cli::Io;
use crate::cli::args::Matches;
use crate::cli::error::Error;
use crate::cli::java_hash::{self, Table};
use crate::cli::output::Output;
use crate::cli::topics::{
    Elr, Failure, Filter, ListLine, NewTopicArgs, PartitionLine, Section, TopicLine, choose_topics,
    ensure_topic_exists, has_collision_chars, invalid_config, print_list, print_sections, warn_of_collisions,
};
use crate::config::{keys, validate_topic_configs};
use crate::registry;
use crate::registry::session::{CreateMode, Session};
use crate::registry::znodes::{
    BROKER_IDS, BrokerRegistration, ConfigChange, ConfigEntity, DELETE_TOPICS, DeleteTopics, EntityConfig,
    PartitionState, ReplicaAssignment, TOPICS, TopicAssignment,
};
use crate::wire::Uuid;
use assignment::{Broker, Start, assign_replicas};

/// For the session as for the first connection. Source: `TopicCommand` of 2.8.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Runs the action on the ensemble of `--zookeeper`. The inner result is the operation's.
///
/// # Errors
/// What ends the command before the operation began.
pub(super) fn run(matches: &Matches, io: &mut Io) -> Result<Result<(), Failure>, Error> {
    let uncaught = |class: &str, message: &dyn std::fmt::Display| {
        Error::Message(format!("Exception in thread \"main\" {class}: {message}"))
    };
    let connect_string = matches
        .value("zookeeper")
        .map_err(|error| uncaught(error.exception().unwrap_or_default(), &error))?
        .unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let session = Session::connect(&connect_string, TIMEOUT, TIMEOUT).await.map_err(|error| match error {
            registry::Error::Timeout => uncaught("kafka.zookeeper.ZooKeeperClientTimeoutException", &error),
            error => uncaught("java.lang.IllegalArgumentException", &error),
        })?;
        let service = Service { session, matches };
        let done = service.execute(io).await;
        service.session.close().await;
        Ok(done)
    })
}

struct Service<'a> {
    session: Session,
    matches: &'a Matches,
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Failure {
        Failure::new("org.apache.zookeeper.KeeperException", error)
    }
}

impl Service<'_> {
    async fn execute(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        if self.matches.has("create") {
            self.create(io).await
        } else if self.matches.has("alter") {
            self.alter(io).await
        } else if self.matches.has("list") {
            self.list(io).await
        } else if self.matches.has("describe") {
            self.describe(io).await
        } else {
            self.delete(io).await
        }
    }

    async fn create(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        let args = NewTopicArgs::read(self.matches, io)?;
        check_configs(&args.configs)?;
        warn_of_collisions(&args.topic, io)?;
        match self.create_topic(&args).await {
            Ok(()) => writeln!(io.stdout, "Created topic {}.", args.topic)?,
            Err(CreateFailure::Exists) if self.matches.has("if-not-exists") => {}
            Err(CreateFailure::Exists) => {
                return Err(exception("TopicExistsException", format_args!("Topic '{}' already exists.", args.topic)));
            }
            Err(CreateFailure::Other(failure)) => return Err(failure),
        }
        Ok(())
    }

    async fn create_topic(&self, args: &NewTopicArgs) -> Result<(), CreateFailure> {
        let partitions = if args.assignment.is_empty() {
            let brokers = self.brokers(!self.matches.has("disable-rack-aware")).await?;
            let start = Start { index: random_below(brokers.len()), shift: random_below(brokers.len()) };
            let (count, factor) = (args.partitions.unwrap_or_default(), args.replication_factor.unwrap_or_default());
            assign_replicas(&brokers, count, factor, 0, start)?
        } else {
            (0..).zip(args.assignment.iter().cloned()).collect()
        };
        self.check_name_is_free(&args.topic).await?;
        let config = EntityConfig { config: args.configs.iter().cloned().collect() };
        self.write_config(&args.topic, &config).await?;
        let rows = partitions.into_iter();
        let partitions =
            rows.map(|(partition, replicas)| (partition, ReplicaAssignment { replicas, ..Default::default() }));
        let node = TopicAssignment { topic_id: None, partitions: partitions.collect() };
        let path = TopicAssignment::path(&args.topic);
        match self.session.create_with_parents(&path, Some(&node.encode()), CreateMode::Persistent).await {
            Ok(_) => Ok(()),
            Err(registry::Error::NodeExists(_)) => Err(CreateFailure::Exists),
            Err(error) => Err(CreateFailure::Other(error.into())),
        }
    }

    async fn check_name_is_free(&self, topic: &str) -> Result<(), CreateFailure> {
        check_name(topic)?;
        if self.session.exists(&TopicAssignment::path(topic)).await?.is_some() {
            return Err(CreateFailure::Exists);
        }
        if !has_collision_chars(topic) {
            return Ok(());
        }
        let all = self.all_topics().await?;
        let same = |other: &&String| other.replace('.', "_") == topic.replace('.', "_");
        let colliding = all.iter().filter(same).map(String::as_str).collect::<Vec<_>>();
        if colliding.is_empty() {
            return Ok(());
        }
        Err(CreateFailure::Other(exception(
            "InvalidTopicException",
            format_args!("Topic '{topic}' collides with existing topics: {}", colliding.join(", ")),
        )))
    }

    async fn list(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        let topics = self.topics().await?;
        let marked = self.marked_for_deletion().await?;
        if io.output == Output::Plain {
            for topic in topics {
                let mark = if marked.contains(&topic) { " - marked for deletion" } else { "" };
                writeln!(io.stdout, "{topic}{mark}")?;
            }
            return Ok(());
        }
        let mut listed = Vec::new();
        for topic in topics {
            let partitions = match self.session.get(&TopicAssignment::path(&topic)).await {
                Ok((data, _)) => TopicAssignment::decode(&topic, &data)?.partitions,
                Err(registry::Error::NoNode(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let replication_factor = partitions.values().next().map_or(0, |partition| partition.replicas.len());
            listed.push(ListLine {
                is_internal: KEPT_AS_THEY_ARE.contains(&topic.as_str()),
                topic,
                partition_count: partitions.len(),
                replication_factor,
            });
        }
        Ok(print_list(&listed, io)?)
    }

    async fn alter(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        let topics = self.topics().await?;
        let args = NewTopicArgs::read(self.matches, io)?;
        check_configs(&args.configs)?;
        let removed = ["delete-config", "deleteConfig"].into_iter().flat_map(|name| self.matches.values(name));
        let removed = removed.map(|name| name.trim()).collect::<Vec<_>>();
        if let Some(unknown) = removed.iter().find(|name| keys::topic_key(name).is_none()) {
            return Err(invalid_config(crate::config::Error::UnknownTopicKey((*unknown).to_owned())));
        }
        ensure_topic_exists(&topics, Some(&args.topic), self.matches)?;
        for topic in topics {
            if !args.configs.is_empty() || !removed.is_empty() {
                self.alter_configs(&topic, &args.configs, &removed, io).await?;
            }
            if let Some(count) = args.partitions {
                self.add_partitions(&topic, count, &args.assignment, io).await?;
            }
        }
        Ok(())
    }

    async fn alter_configs(
        &self,
        topic: &str,
        added: &[(String, String)],
        removed: &[&str],
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        writeln!(
            io.stdout,
            "WARNING: Altering topic configuration from this script has been deprecated and may be removed in future \
             releases.\n         Going forward, please use kafka-configs.sh for this functionality"
        )?;
        let mut config = self.topic_config(topic).await?;
        config.config.extend(added.iter().cloned());
        config.config.retain(|name, _| !removed.contains(&name.as_str()));
        check_name(topic)?;
        let values = config.config.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
        validate_topic_configs(values).map_err(invalid_config)?;
        self.write_config(topic, &config).await?;
        // Brokers read the config again when they see the note.
        let note = ConfigChange { entity_path: ConfigEntity::Topic(topic.to_owned()).entity_path() };
        let path = ConfigChange::path_prefix();
        self.session.create_with_parents(&path, Some(&note.encode()), CreateMode::PersistentSequential).await?;
        writeln!(io.stdout, "Updated config for topic {topic}.")?;
        Ok(())
    }

    async fn add_partitions(
        &self,
        topic: &str,
        count: i32,
        wanted: &[Vec<i32>],
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        if KEPT_AS_THEY_ARE.contains(&topic) {
            return Err(Failure::illegal_argument(format_args!(
                "The number of partitions for the internal topic {topic} cannot be changed."
            )));
        }
        writeln!(
            io.stdout,
            "WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the \
             messages will be affected"
        )?;
        let path = TopicAssignment::path(topic);
        let (data, _) = self.session.get(&path).await?;
        let mut node = TopicAssignment::decode(topic, &data)?;
        let brokers = self.brokers(true).await?;
        let new = new_partitions(topic, &node, count, wanted, &brokers)?;
        let rows = new.into_iter();
        node.partitions.extend(
            rows.map(|(partition, replicas)| (partition, ReplicaAssignment { replicas, ..Default::default() })),
        );
        self.session.set(&path, &node.encode(), ANY_VERSION).await?;
        writeln!(io.stdout, "Adding partitions succeeded!")?;
        Ok(())
    }

    async fn describe(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        let topics = self.topics().await?;
        ensure_topic_exists(&topics, self.matches.value("topic")?.as_deref(), self.matches)?;
        let filter = Filter::new(self.matches);
        let live = self.broker_ids().await?.into_iter().collect::<HashSet<_>>();
        let marked = self.marked_for_deletion().await?;
        let mut sections = Vec::new();
        for topic in topics {
            let node = match self.session.get(&TopicAssignment::path(&topic)).await {
                Ok((data, _)) => TopicAssignment::decode(&topic, &data)?,
                Err(registry::Error::NoNode(_)) => {
                    writeln!(io.stdout, "Topic {topic} doesn't exist!")?;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let is_marked = marked.contains(&topic);
            let config = self.topic_config(&topic).await?;
            let mut section = Section::default();
            if filter.shows_topic(!config.config.is_empty()) {
                section.topic = Some(topic_line(&topic, &node, &config, is_marked));
            }
            if filter.shows_partitions() {
                let states = self.partition_states(&topic, &node).await?;
                let lines = node.partitions.iter().map(|(partition, assignment)| {
                    partition_line(&topic, *partition, assignment, states.get(partition), is_marked)
                });
                section.partitions = lines.filter(|line| filter.shows_partition(line, &live)).collect();
            }
            sections.push(section);
        }
        Ok(print_sections(&sections, io)?)
    }

    async fn delete(&self, io: &mut Io<'_>) -> Result<(), Failure> {
        let topics = self.topics().await?;
        ensure_topic_exists(&topics, self.matches.value("topic")?.as_deref(), self.matches)?;
        for topic in topics {
            if KEPT_AS_THEY_ARE.contains(&topic.as_str()) {
                return Err(operation_exception(format_args!(
                    "Topic {topic} is a kafka internal topic and is not allowed to be marked for deletion."
                )));
            }
            let path = DeleteTopics::path(&topic);
            match self.session.create_with_parents(&path, None, CreateMode::Persistent).await {
                Ok(_) => writeln!(
                    io.stdout,
                    "Topic {topic} is marked for deletion.\n\
                     Note: This will have no impact if delete.topic.enable is not set to true."
                )?,
                Err(registry::Error::NodeExists(_)) => {
                    writeln!(io.stdout, "Topic {topic} is already marked for deletion.")?;
                }
                Err(_) => return Err(operation_exception(format_args!("Error while deleting topic {topic}"))),
            }
        }
        Ok(())
    }

    /// The topics that `--topic` and `--exclude-internal` choose, sorted.
    async fn topics(&self) -> Result<Vec<String>, Failure> {
        let pattern = self.matches.value("topic")?;
        choose_topics(self.all_topics().await?, pattern.as_deref(), self.matches.has("exclude-internal"))
    }

    async fn all_topics(&self) -> Result<Vec<String>, registry::Error> {
        let mut topics = self.children(TOPICS).await?;
        topics.sort();
        Ok(topics)
    }

    async fn marked_for_deletion(&self) -> Result<HashSet<String>, registry::Error> {
        Ok(self.children(DELETE_TOPICS).await?.into_iter().collect())
    }

    async fn children(&self, path: &str) -> Result<Vec<String>, registry::Error> {
        match self.session.children(path).await {
            Err(registry::Error::NoNode(_)) => Ok(Vec::new()),
            children => children,
        }
    }

    async fn broker_ids(&self) -> Result<BTreeSet<i32>, registry::Error> {
        Ok(self.children(BROKER_IDS).await?.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// The live brokers by id; with their racks if those count.
    async fn brokers(&self, rack_aware: bool) -> Result<Vec<Broker>, Failure> {
        let mut brokers = Vec::new();
        for id in self.broker_ids().await? {
            match self.session.get(&BrokerRegistration::path(id)).await {
                Ok((data, _)) => {
                    let rack = BrokerRegistration::decode(id, &data)?.rack.filter(|_| rack_aware);
                    brokers.push(Broker { id, rack });
                }
                // It left in between.
                Err(registry::Error::NoNode(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let with_rack = brokers.iter().filter(|broker| broker.rack.is_some()).count();
        if with_rack != 0 && with_rack != brokers.len() {
            return Err(operation_exception(
                "Not all brokers have rack information. Add --disable-rack-aware in command line to make replica \
                 assignment without rack information.",
            ));
        }
        Ok(brokers)
    }

    async fn topic_config(&self, topic: &str) -> Result<EntityConfig, registry::Error> {
        let entity = ConfigEntity::Topic(topic.to_owned());
        match self.session.get(&EntityConfig::path(&entity)).await {
            Ok((data, _)) => EntityConfig::decode(&entity, &data),
            Err(registry::Error::NoNode(_)) => Ok(EntityConfig::default()),
            Err(error) => Err(error),
        }
    }

    async fn write_config(&self, topic: &str, config: &EntityConfig) -> Result<(), registry::Error> {
        let path = EntityConfig::path(&ConfigEntity::Topic(topic.to_owned()));
        let data = config.encode();
        match self.session.set(&path, &data, ANY_VERSION).await {
            Err(registry::Error::NoNode(_)) => {}
            done => return done.map(drop),
        }
        match self.session.create_with_parents(&path, Some(&data), CreateMode::Persistent).await {
            Err(registry::Error::NodeExists(_)) => self.session.set(&path, &data, ANY_VERSION).await.map(drop),
            done => done.map(drop),
        }
    }

    /// The states of all partitions that have one, asked for at once.
    async fn partition_states(
        &self,
        topic: &str,
        node: &TopicAssignment,
    ) -> Result<BTreeMap<i32, PartitionState>, registry::Error> {
        let mut reads = JoinSet::new();
        for &partition in node.partitions.keys() {
            let (session, topic) = (self.session.clone(), topic.to_owned());
            reads.spawn(async move {
                match session.get(&PartitionState::path(&topic, partition)).await {
                    Ok((data, _)) => PartitionState::decode(&topic, partition, &data).map(|s| Some((partition, s))),
                    // The controller has not got to it yet.
                    Err(registry::Error::NoNode(_)) => Ok(None),
                    Err(error) => Err(error),
                }
            });
        }
        let mut states = BTreeMap::new();
        while let Some(read) = reads.join_next().await {
            // A read that panicked is a bug of ours, not a state that is missing.
            states.extend(read.expect("a read of a znode does not panic")?);
        }
        Ok(states)
    }
}

/// Why a topic was not made.
enum CreateFailure {
    Exists,
    Other(Failure),
}

impl<E: Into<Failure>> From<E> for CreateFailure {
    fn from(error: E) -> CreateFailure {
        CreateFailure::Other(error.into())
    }
}

/// The partitions that make the topic have `count`, from the wanted assignment of all of them or of our own choice.
fn new_partitions(
    topic: &str,
    node: &TopicAssignment,
    count: i32,
    wanted: &[Vec<i32>],
    brokers: &[Broker],
) -> Result<BTreeMap<i32, Vec<i32>>, Failure> {
    let existing = node.partitions.len() as i32;
    let Some(first) = node.partitions.get(&0) else {
        return Err(operation_exception(format_args!(
            "Unexpected existing replica assignment for topic '{topic}', partition id 0 is missing."
        )));
    };
    if count <= existing {
        return Err(exception(
            "InvalidPartitionsException",
            format_args!(
                "The number of partitions for a topic can only be increased. Topic {topic} currently has {existing} \
                 partitions, {count} would not be an increase."
            ),
        ));
    }
    let new = (0..).zip(wanted).skip(existing as usize).map(|(partition, row)| (partition, row.clone()));
    let new = new.collect::<BTreeMap<i32, Vec<i32>>>();
    let factor = first.replicas.len();
    if new.is_empty() {
        let leader = first.replicas.first().copied().unwrap_or_default();
        let index = brokers.iter().position(|broker| broker.id >= leader).unwrap_or(0);
        return assign_replicas(brokers, count - existing, factor as i32, existing, Start { index, shift: index });
    }
    check_assignment(&new, factor, brokers)?;
    Ok(new)
}

fn check_assignment(new: &BTreeMap<i32, Vec<i32>>, factor: usize, brokers: &[Broker]) -> Result<(), Failure> {
    let shown = |ids: &mut dyn Iterator<Item = String>| ids.collect::<Vec<_>>().join(", ");
    for (partition, replicas) in new {
        if !replicas.iter().all(|id| brokers.iter().any(|broker| broker.id == *id)) {
            return Err(exception(
                "BrokerNotAvailableException",
                format_args!(
                    "Some brokers specified for partition id {partition} are not available. Specified brokers: {}, \
                     available brokers: {}.",
                    shown(&mut replicas.iter().map(i32::to_string)),
                    shown(&mut brokers.iter().map(|broker| broker.id.to_string()))
                ),
            ));
        }
    }
    let bad = new.iter().filter(|(_, replicas)| replicas.len() != factor).collect::<Vec<_>>();
    if bad.is_empty() {
        return Ok(());
    }
    Err(exception(
        "InvalidReplicaAssignmentException",
        format_args!(
            "Inconsistent replication factor between partitions, partition 0 has {factor} while partitions [{}] have \
             replication factors [{}], respectively.",
            shown(&mut bad.iter().map(|(partition, _)| partition.to_string())),
            shown(&mut bad.iter().map(|(_, replicas)| replicas.len().to_string()))
        ),
    ))
}

fn topic_line(topic: &str, node: &TopicAssignment, config: &EntityConfig, is_marked: bool) -> TopicLine {
    let configs = config.config.iter().collect::<Vec<_>>();
    let configs = java_hash::order(configs, Table::Default, |(name, _)| java_hash::string(name));
    TopicLine {
        topic: topic.to_owned(),
        topic_id: node.topic_id.map_or(Uuid::ZERO, |id| Uuid(id.0)),
        partition_count: node.partitions.len(),
        replication_factor: node.partitions.values().next().map_or(0, |first| first.replicas.len()),
        configs: configs.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
        marked_for_deletion: is_marked,
    }
}

fn partition_line(
    topic: &str,
    partition: i32,
    assignment: &ReplicaAssignment,
    state: Option<&PartitionState>,
    is_marked: bool,
) -> PartitionLine {
    PartitionLine {
        topic: topic.to_owned(),
        partition,
        leader: state.map(|state| state.leader).filter(|leader| *leader >= 0),
        replicas: assignment.replicas.clone(),
        isr: state.map(|state| state.isr.clone()).unwrap_or_default(),
        reassignment: None,
        elr: Elr::NotShown,
        marked_for_deletion: is_marked,
        min_isr: None,
    }
}

fn check_configs(configs: &[(String, String)]) -> Result<(), Failure> {
    let values = configs.iter().map(|(name, value)| (name.as_str(), Some(value.as_str())));
    validate_topic_configs(values).map_err(invalid_config)
}

/// Source: `Topic.validate` of 2.8.
fn check_name(topic: &str) -> Result<(), Failure> {
    let refuse = |message: String| Err(exception("InvalidTopicException", message));
    if topic.is_empty() {
        return refuse("Topic name is illegal, it can't be empty".to_owned());
    }
    if topic == "." || topic == ".." {
        return refuse("Topic name cannot be \".\" or \"..\"".to_owned());
    }
    if topic.encode_utf16().count() > 249 {
        return refuse(format!("Topic name is illegal, it can't be longer than 249 characters, topic name: {topic}"));
    }
    if !topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        return refuse(format!(
            "Topic name \"{topic}\" is illegal, it contains a character other than ASCII alphanumerics, '.', '_' and '-'"
        ));
    }
    Ok(())
}

/// An exception of Kafka's clients.
fn exception(class: &str, message: impl std::fmt::Display) -> Failure {
    Failure::new(&format!("org.apache.kafka.common.errors.{class}"), message)
}

fn operation_exception(message: impl std::fmt::Display) -> Failure {
    Failure::new("kafka.admin.AdminOperationException", message)
}

/// A number below `end`, which differs from run to run; 0 if there is none.
fn random_below(end: usize) -> usize {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    usize::try_from(random % end.max(1) as u64).unwrap_or(0)
}

/// The topics that 2.8 neither deletes nor gives more partitions.
const KEPT_AS_THEY_ARE: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// A znode version that fits any.
const ANY_VERSION: i32 = -1;

#[cfg(test)]
mod tests;
