//! This broker's picture of the cluster: what the controller's UpdateMetadata requests have told it.
//!
//! Readers take the whole picture with [`MetadataCache::current`] and see one moment of it; a change makes a new one.
//!
//! Source: `ZkMetadataCache`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::RwLock;
use tokio::sync::watch;

use crate::wire::messages::update_metadata::{UpdateMetadataPartitionState, UpdateMetadataRequest};
use crate::wire::{ErrorCode, TopicPartition, Uuid};

/// Stands for the leader of a partition that is being deleted, in UpdateMetadata.
const LEADER_DURING_DELETE: i32 = -2;
/// Stands for the leader of a partition that has none.
pub const NO_LEADER: i32 = -1;

/// The topics whose records are the brokers' own.
pub const INTERNAL_TOPICS: [&str; 2] = ["__consumer_offsets", "__transaction_state"];

/// Whether the topic's records are the brokers' own.
pub fn is_internal(topic: &str) -> bool {
    INTERNAL_TOPICS.contains(&topic)
}

/// A broker as it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveBroker {
    pub id: i32,
    pub endpoints: Vec<BrokerEndpoint>,
    pub rack: Option<String>,
}

/// One address of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerEndpoint {
    /// Name of the listener, such as `PLAINTEXT`.
    pub listener: String,
    pub host: String,
    pub port: i32,
    /// Number of the security protocol; 0 is PLAINTEXT.
    pub security_protocol: i16,
}

impl BrokerEndpoint {
    /// `host:port`, an IPv6 address in brackets.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl LiveBroker {
    /// Its address on the listener of that name.
    pub fn endpoint(&self, listener: &str) -> Option<&BrokerEndpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }
}

/// A topic: its id, and its partitions by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Zero if the controller gave none (inter-broker protocol below 2.8).
    pub id: Uuid,
    pub partitions: BTreeMap<i32, PartitionMetadata>,
}

/// What the controller decided about one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// [`NO_LEADER`] if no replica can lead.
    pub leader: i32,
    pub leader_epoch: i32,
    /// The version of the partition's state znode.
    pub partition_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// Replicas whose log dir is offline; those on dead brokers are not among them.
    pub offline_replicas: Vec<i32>,
}

/// The cluster at one moment.
#[derive(Clone, Debug, Default)]
pub struct ClusterMetadata {
    /// None before the first UpdateMetadata.
    pub controller_id: Option<i32>,
    pub brokers: BTreeMap<i32, Arc<LiveBroker>>,
    pub topics: BTreeMap<Arc<str>, Arc<TopicMetadata>>,
    names: HashMap<Uuid, Arc<str>>,
}

impl ClusterMetadata {
    /// Whether that broker is registered.
    pub fn is_alive(&self, broker_id: i32) -> bool {
        self.brokers.contains_key(&broker_id)
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionMetadata> {
        self.topics.get(topic)?.partitions.get(&partition)
    }

    pub fn contains(&self, topic: &str, partition: i32) -> bool {
        self.partition(topic, partition).is_some()
    }

    /// The name of the topic with this id; zero belongs to none.
    pub fn topic_name(&self, id: Uuid) -> Option<&Arc<str>> {
        self.names.get(&id)
    }

    /// The id of the topic of this name, zero if it is not known.
    pub fn topic_id(&self, topic: &str) -> Uuid {
        self.topics.get(topic).map_or(Uuid::ZERO, |topic| topic.id)
    }

    /// The controller's id, -1 while it is not a live broker.
    pub fn live_controller(&self) -> i32 {
        self.controller_id.filter(|id| self.is_alive(*id)).unwrap_or(-1)
    }

    /// How a client of `listener` reaches the leader of a partition, if it has one that is alive.
    pub fn leader_endpoint(
        &self,
        topic: &str,
        partition: i32,
        listener: &str,
    ) -> Option<(&LiveBroker, &BrokerEndpoint)> {
        let leader = self.brokers.get(&self.partition(topic, partition)?.leader)?;
        Some((leader, leader.endpoint(listener)?))
    }

    fn apply(&mut self, request: &UpdateMetadataRequest) -> Gone {
        self.controller_id = (request.controller_id >= 0).then_some(request.controller_id);
        // The list is always whole: who is not on it is dead.
        let live = request.live_brokers.iter().map(|broker| (broker.id, Arc::new(live_broker(broker)))).collect();
        let before = std::mem::replace(&mut self.brokers, live);
        let brokers = before.into_keys().filter(|id| !self.brokers.contains_key(id)).collect();
        let mut deleted = Vec::new();
        for state in &request.ungrouped_partition_states {
            self.apply_partition(&state.topic_name, Uuid::ZERO, state, &mut deleted);
        }
        for topic in &request.topic_states {
            for state in &topic.partition_states {
                self.apply_partition(&topic.topic_name, topic.topic_id, state, &mut deleted);
            }
        }
        Gone { partitions: deleted, brokers }
    }

    fn apply_partition(
        &mut self,
        topic: &str,
        id: Uuid,
        state: &UpdateMetadataPartitionState,
        deleted: &mut Vec<TopicPartition>,
    ) {
        if state.leader == LEADER_DURING_DELETE {
            if self.forget(topic, state.partition_index) {
                deleted.push(TopicPartition::new(topic, state.partition_index));
            }
            return;
        }
        let name = match self.topics.get_key_value(topic) {
            Some((name, _)) => name.clone(),
            None => Arc::from(topic),
        };
        let entry = Arc::make_mut(self.topics.entry(name.clone()).or_default());
        if !id.is_zero() && entry.id != id {
            self.names.remove(&entry.id);
            self.names.insert(id, name);
            entry.id = id;
        }
        entry.partitions.insert(
            state.partition_index,
            PartitionMetadata {
                leader: state.leader,
                leader_epoch: state.leader_epoch,
                partition_epoch: state.zk_version,
                replicas: state.replicas.clone(),
                isr: state.isr.clone(),
                offline_replicas: state.offline_replicas.clone(),
            },
        );
    }

    fn forget(&mut self, topic: &str, partition: i32) -> bool {
        let Some(entry) = self.topics.get_mut(topic) else { return false };
        let entry = Arc::make_mut(entry);
        let known = entry.partitions.remove(&partition).is_some();
        if entry.partitions.is_empty() {
            let id = entry.id;
            self.topics.remove(topic);
            self.names.remove(&id);
        }
        known
    }
}

fn live_broker(broker: &crate::wire::messages::update_metadata::UpdateMetadataBroker) -> LiveBroker {
    let mut endpoints: Vec<BrokerEndpoint> = broker
        .endpoints
        .iter()
        .map(|endpoint| BrokerEndpoint {
            // Before version 3 a listener was named after its security protocol.
            listener: match endpoint.listener.is_empty() {
                true => security_protocol_name(endpoint.security_protocol).to_owned(),
                false => endpoint.listener.clone(),
            },
            host: endpoint.host.clone(),
            port: endpoint.port,
            security_protocol: endpoint.security_protocol,
        })
        .collect();
    if endpoints.is_empty() && !broker.v0_host.is_empty() {
        let (host, port) = (broker.v0_host.clone(), broker.v0_port);
        endpoints.push(BrokerEndpoint { listener: "PLAINTEXT".to_owned(), host, port, security_protocol: 0 });
    }
    let rack = broker.rack.clone().filter(|rack| !rack.is_empty());
    LiveBroker { id: broker.id, endpoints, rack }
}

fn security_protocol_name(id: i16) -> &'static str {
    match id {
        1 => "SSL",
        2 => "SASL_PLAINTEXT",
        3 => "SASL_SSL",
        _ => "PLAINTEXT",
    }
}

/// What an update says is no more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Being deleted.
    pub partitions: Vec<TopicPartition>,
    /// Dead.
    pub brokers: Vec<i32>,
}

/// The picture, shared by all requests.
#[derive(Debug)]
pub struct MetadataCache {
    current: RwLock<State>,
    /// How many updates there were.
    updates: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    cluster: Arc<ClusterMetadata>,
    /// Highest epoch of a controller heard from.
    controller_epoch: i32,
}

impl State {
    fn obey(&mut self, controller_epoch: i32) -> Result<(), ErrorCode> {
        if controller_epoch < self.controller_epoch {
            return Err(ErrorCode::STALE_CONTROLLER_EPOCH);
        }
        self.controller_epoch = controller_epoch;
        Ok(())
    }
}

impl Default for MetadataCache {
    fn default() -> MetadataCache {
        MetadataCache { current: RwLock::default(), updates: watch::Sender::new(0) }
    }
}

impl MetadataCache {
    /// The cluster as of the last update.
    pub fn current(&self) -> Arc<ClusterMetadata> {
        self.current.read().cluster.clone()
    }

    /// Another number after every update.
    pub fn version(&self) -> u64 {
        *self.updates.borrow()
    }

    /// Takes in what the controller says and returns what is no more.
    ///
    /// # Errors
    /// `STALE_CONTROLLER_EPOCH` if a later controller has spoken already; the picture is as it was.
    pub fn update(&self, request: &UpdateMetadataRequest) -> Result<Gone, ErrorCode> {
        let gone = {
            let mut state = self.current.write();
            state.obey(request.controller_epoch)?;
            // Readers that hold the old picture keep it; without readers nothing is copied.
            Arc::make_mut(&mut state.cluster).apply(request)
        };
        self.updates.send_modify(|count| *count += 1);
        Ok(gone)
    }

    /// Takes a controller's word that is not about the picture: from now on earlier ones are refused.
    ///
    /// # Errors
    /// `STALE_CONTROLLER_EPOCH` if a later controller has spoken already.
    pub fn obey(&self, controller_epoch: i32) -> Result<(), ErrorCode> {
        self.current.write().obey(controller_epoch)
    }

    /// Waits until the picture fulfils `condition`: for ever, so put a timeout around it.
    pub async fn wait_for(&self, condition: impl Fn(&ClusterMetadata) -> bool) {
        let mut updates = self.updates.subscribe();
        loop {
            updates.borrow_and_update();
            if condition(&self.current()) {
                return;
            }
            if updates.changed().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
