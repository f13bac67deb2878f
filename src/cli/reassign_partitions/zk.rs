//! `--zookeeper`: reassignments asked for on the znodes, as up to Apache Kafka 2.8.
//!
//! The controller takes the plan from `/admin/reassign_partitions` and deletes that znode when all is done. There is
//! one plan at a time, and none for log dirs.
//!
//! Source: `ReassignPartitionsCommand` of 2.8, the methods that take a `KafkaZkClient`.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use super::options::Action;
use super::plan::{self, Plan, join};
use super::throttles::{self, Changes};
use super::{Assignment, EXISTING, Failure, Limits, brokers_with_racks, plural, propose, read};
use crate::cli::Io;
use crate::cli::args::Matches;
use crate::cli::topics_zk::assignment::Broker;
use crate::client::admin::{ConfigOp, ResourceType};
use crate::registry;
use crate::registry::session::{CreateMode, Session};
use crate::registry::znodes::{
    BROKER_IDS, BrokerRegistration, ConfigChange, ConfigEntity, EntityConfig, PartitionReassignment,
    ReassignPartitions, TopicAssignment,
};
use crate::wire::TopicPartition;

/// For the session as for the first connection. Source: `ReassignPartitionsCommand` of 2.8.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A znode version that fits any.
const ANY_VERSION: i32 = -1;

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Failure {
        Failure::new("org.apache.zookeeper.KeeperException", error)
    }
}

/// Does what the command line asks for on the ensemble of `--zookeeper`.
pub(super) fn act(action: Action, matches: &Matches, io: &mut Io) -> Result<(), Failure> {
    writeln!(io.stdout, "Warning: --zookeeper is deprecated, and will be removed in a future version of Kafka.")?;
    let znodes = Znodes::connect(&matches.value("zookeeper")?.unwrap_or_default())?;
    match action {
        Action::Generate => {
            let topics = plan::parse_topics(&read(matches, "topics-to-move-json-file")?)?;
            let wanted = plan::parse_brokers(&matches.value("broker-list")?.unwrap_or_default())?;
            let brokers = brokers_with_racks(znodes.brokers()?, &wanted, !matches.has("disable-rack-aware"))?;
            propose(&topics, &znodes.assignment(&topics.iter().cloned().collect())?, &brokers, io)
        }
        Action::Verify => {
            let plan = Plan::parse(&read(matches, "reassignment-json-file")?)?;
            verify(&znodes, &plan, matches.has("preserve-throttles"), io)
        }
        Action::Execute => {
            let plan = Plan::parse_to_execute(&read(matches, "reassignment-json-file")?)?;
            execute(&znodes, &plan, Limits::new(matches)?, io)
        }
        // The check of the command line lets no other through.
        Action::Cancel | Action::List => Ok(()),
    }
}

fn execute(znodes: &Znodes, plan: &Plan, limits: Limits, io: &mut Io) -> Result<(), Failure> {
    if !plan.log_dirs.is_empty() {
        return Err(Failure::command("bootstrap-server needs to be provided when replica reassignments are present."));
    }
    if znodes.under_way()?.is_some() {
        return Err(Failure::Expected(EXISTING.to_owned()));
    }
    let alive: BTreeSet<i32> = znodes.brokers()?.into_iter().map(|broker| broker.id).collect();
    super::check_brokers(plan, &alive)?;
    let current = super::of_plan(plan, znodes.assignment(&plan.topics())?)?;
    super::tell_current(&current, limits, io)?;
    if limits.between_brokers >= 0 {
        let moves = throttles::moves(&[], plan, &current);
        throttles::limit_between_brokers(|changes| znodes.alter(changes), &moves, limits.between_brokers, io)?;
    }
    let started: BTreeSet<&TopicPartition> = plan.partitions.iter().map(|(partition, _)| partition).collect();
    znodes.start(plan)?;
    let count = plural(started.len());
    writeln!(io.stdout, "Successfully started partition reassignment{count} for {}", join(started, ","))?;
    Ok(())
}

fn verify(znodes: &Znodes, plan: &Plan, preserve_throttles: bool, io: &mut Io) -> Result<(), Failure> {
    let under_way = znodes.under_way()?;
    let rows = under_way.iter().flat_map(|all| &all.partitions);
    let moving: BTreeSet<TopicPartition> =
        rows.map(|row| TopicPartition::new(row.topic.as_str(), row.partition)).collect();
    let found = znodes.assignment(&plan.topics())?;
    super::tell_status(plan, &found, |partition| moving.contains(partition), io)?;
    if under_way.is_some() || preserve_throttles {
        return Ok(());
    }
    let alive = znodes.brokers()?.into_iter().map(|broker| broker.id).collect();
    throttles::clear(|changes| znodes.alter(changes), alive, plan, io)
}

/// A session, waited for call by call.
struct Znodes {
    runtime: tokio::runtime::Runtime,
    session: Session,
}

impl Znodes {
    fn connect(servers: &str) -> Result<Znodes, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let session = runtime.block_on(Session::connect(servers, TIMEOUT, TIMEOUT)).map_err(|error| match error {
            registry::Error::Timeout => Failure::new("kafka.zookeeper.ZooKeeperClientTimeoutException", error),
            error => Failure::new("java.lang.IllegalArgumentException", error),
        })?;
        Ok(Znodes { runtime, session })
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// The data of a znode that may not be there.
    fn get(&self, path: &str) -> Result<Option<Vec<u8>>, registry::Error> {
        match self.run(self.session.get(path)) {
            Ok((data, _)) => Ok(Some(data.to_vec())),
            Err(registry::Error::NoNode(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn put(&self, path: &str, data: &[u8]) -> Result<(), registry::Error> {
        match self.run(self.session.set(path, data, ANY_VERSION)) {
            Err(registry::Error::NoNode(_)) => {
                let created = self.session.create_with_parents(path, Some(data), CreateMode::Persistent);
                self.run(created).map(drop)
            }
            done => done.map(drop),
        }
    }

    /// The live brokers by id.
    fn brokers(&self) -> Result<Vec<Broker>, registry::Error> {
        let ids = match self.run(self.session.children(BROKER_IDS)) {
            Err(registry::Error::NoNode(_)) => Vec::new(),
            ids => ids?,
        };
        let mut brokers = Vec::new();
        for id in ids.iter().filter_map(|id| id.parse().ok()).collect::<BTreeSet<i32>>() {
            if let Some(data) = self.get(&BrokerRegistration::path(id))? {
                brokers.push(Broker { id, rack: BrokerRegistration::decode(id, &data)?.rack });
            }
        }
        Ok(brokers)
    }

    /// Where the partitions of the topics are; a topic that is not there has none.
    fn assignment(&self, topics: &BTreeSet<String>) -> Result<Assignment, registry::Error> {
        let mut found = Assignment::new();
        for topic in topics {
            if let Some(data) = self.get(&TopicAssignment::path(topic))? {
                let partitions = TopicAssignment::decode(topic, &data)?.partitions.into_iter();
                found.extend(partitions.map(|(id, row)| (TopicPartition::new(topic.as_str(), id), row.replicas)));
            }
        }
        Ok(found)
    }

    /// The plan that the controller is at.
    fn under_way(&self) -> Result<Option<ReassignPartitions>, registry::Error> {
        self.get(ReassignPartitions::PATH)?.map(|data| ReassignPartitions::decode(&data)).transpose()
    }

    fn start(&self, plan: &Plan) -> Result<(), Failure> {
        let row = |(partition, replicas): &(TopicPartition, Vec<i32>)| PartitionReassignment {
            topic: partition.topic.to_string(),
            partition: partition.partition,
            replicas: replicas.clone(),
        };
        let data = ReassignPartitions { partitions: plan.partitions.iter().map(row).collect() }.encode();
        let create = self.session.create_with_parents(ReassignPartitions::PATH, Some(&data), CreateMode::Persistent);
        match self.run(create) {
            // Somebody else was quicker.
            Err(registry::Error::NodeExists(_)) => Err(Failure::Expected(EXISTING.to_owned())),
            done => Ok(done.map(drop)?),
        }
    }

    /// Changes configs, and leaves the note on which brokers read them again.
    fn alter(&self, changes: Changes) -> Result<(), Failure> {
        for (resource, ops) in changes {
            let entity = match resource.kind {
                ResourceType::Broker => ConfigEntity::Broker(resource.name.parse().ok()),
                _ => ConfigEntity::Topic(resource.name),
            };
            let path = EntityConfig::path(&entity);
            let mut config = match self.get(&path)? {
                Some(data) => EntityConfig::decode(&entity, &data)?,
                None => EntityConfig::default(),
            };
            let before = config.config.clone();
            for op in ops {
                match (op.op, op.value) {
                    (ConfigOp::Set, Some(value)) => drop(config.config.insert(op.name, value)),
                    _ => drop(config.config.remove(&op.name)),
                }
            }
            if config.config == before {
                continue;
            }
            self.put(&path, &config.encode())?;
            let note = ConfigChange { entity_path: entity.entity_path() }.encode();
            let prefix = ConfigChange::path_prefix();
            let create = self.session.create_with_parents(&prefix, Some(&note), CreateMode::PersistentSequential);
            self.run(create)?;
        }
        Ok(())
    }
}
