//! What the controller tells brokers: gathered while an event is handled, then one request of each kind for each broker.
//!
//! Source: `AbstractControllerBrokerRequestBatch`.

use std::collections::{BTreeMap, BTreeSet};

use super::election::Standing;
use super::state::{Action, ControllerState, LiveBroker, Partition, Topic};
use crate::wire::TopicPartition;
use crate::wire::messages::leader_and_isr::{
    LeaderAndIsrLiveLeader, LeaderAndIsrPartitionState, LeaderAndIsrRequest, LeaderAndIsrTopicState,
};
use crate::wire::messages::stop_replica::{StopReplicaPartitionState, StopReplicaRequest, StopReplicaTopicState};
use crate::wire::messages::update_metadata::{
    UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState, UpdateMetadataRequest,
    UpdateMetadataTopicState,
};

/// Leader of a partition that is being deleted, in UpdateMetadata.
const LEADER_DURING_DELETE: i32 = -2;
/// Leader epoch that overrides every other, in StopReplica for a topic that is being deleted.
const EPOCH_DURING_DELETE: i32 = -2;

/// A request of the controller to one broker.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlRequest {
    LeaderAndIsr(LeaderAndIsrRequest),
    UpdateMetadata(UpdateMetadataRequest),
    StopReplica(StopReplicaRequest),
}

/// What the brokers have yet to be told.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// By broker and partition: whether the partition is new.
    leader_and_isr: BTreeMap<i32, BTreeMap<TopicPartition, bool>>,
    update_metadata: BTreeMap<i32, BTreeSet<TopicPartition>>,
    /// By broker and partition: whether its log is to be deleted.
    stop_replica: BTreeMap<i32, BTreeMap<TopicPartition, bool>>,
}

impl Batch {
    /// Tells `broker` to lead or follow, and every live broker who leads.
    pub fn lead_or_follow(&mut self, broker: i32, partition: &TopicPartition, is_new: bool) {
        let partitions = self.leader_and_isr.entry(broker).or_default();
        *partitions.entry(partition.clone()).or_default() |= is_new;
    }

    pub fn stop(&mut self, broker: i32, partition: &TopicPartition, delete: bool) {
        let partitions = self.stop_replica.entry(broker).or_default();
        *partitions.entry(partition.clone()).or_default() |= delete;
    }

    /// Tells `broker` who lives, and who leads `partitions`.
    pub fn metadata<'a>(&mut self, broker: i32, partitions: impl IntoIterator<Item = &'a TopicPartition>) {
        self.update_metadata.entry(broker).or_default().extend(partitions.into_iter().cloned());
    }

    /// Turns it into requests, in the order in which brokers must see them; nothing is left.
    pub fn flush(&mut self, controller: &ControllerState, actions: &mut Vec<Action>) {
        for (broker, partitions) in std::mem::take(&mut self.leader_and_isr) {
            let Some(live) = controller.brokers.get(&broker) else { continue };
            let request = leader_and_isr(controller, live, &partitions);
            actions.push(Action::Send { broker, request: ControlRequest::LeaderAndIsr(request) });
        }
        let brokers = live_brokers(controller);
        for (broker, partitions) in std::mem::take(&mut self.update_metadata) {
            let Some(live) = controller.brokers.get(&broker) else { continue };
            let request = update_metadata(controller, live, &brokers, &partitions);
            actions.push(Action::Send { broker, request: ControlRequest::UpdateMetadata(request) });
        }
        for (broker, partitions) in std::mem::take(&mut self.stop_replica) {
            let Some(live) = controller.brokers.get(&broker) else { continue };
            let request = stop_replica(controller, live, &partitions);
            actions.push(Action::Send { broker, request: ControlRequest::StopReplica(request) });
        }
    }
}

/// Partitions of one topic after another, with what is known of them.
fn by_topic<'a, T>(
    controller: &'a ControllerState,
    partitions: impl IntoIterator<Item = (&'a TopicPartition, T)>,
) -> Vec<(&'a TopicPartition, &'a Topic, Vec<(i32, &'a Partition, T)>)> {
    let mut topics: Vec<(&TopicPartition, &Topic, Vec<(i32, &Partition, T)>)> = Vec::new();
    for (name, extra) in partitions {
        let Some(topic) = controller.topics.get(&name.topic) else { continue };
        let Some(partition) = topic.partitions.get(&name.partition) else { continue };
        match topics.last_mut() {
            Some((last, _, rows)) if last.topic == name.topic => rows.push((name.partition, partition, extra)),
            _ => topics.push((name, topic, vec![(name.partition, partition, extra)])),
        }
    }
    topics
}

fn leader_and_isr(
    controller: &ControllerState,
    broker: &LiveBroker,
    partitions: &BTreeMap<TopicPartition, bool>,
) -> LeaderAndIsrRequest {
    let mut leaders = BTreeSet::new();
    let mut topic_states = Vec::new();
    for (name, topic, rows) in by_topic(controller, partitions) {
        let mut partition_states = Vec::with_capacity(rows.len());
        for (partition_index, partition, is_new) in rows {
            let Some(known) = &partition.known else { continue };
            leaders.insert(known.state.leader);
            partition_states.push(LeaderAndIsrPartitionState {
                partition_index,
                controller_epoch: known.state.controller_epoch,
                leader: known.state.leader,
                leader_epoch: known.state.leader_epoch,
                isr: known.state.isr.clone(),
                partition_epoch: known.partition_epoch,
                replicas: partition.assignment.replicas.clone(),
                adding_replicas: partition.assignment.adding_replicas.clone(),
                removing_replicas: partition.assignment.removing_replicas.clone(),
                is_new: *is_new,
                leader_recovery_state: i8::from(known.state.leader_recovering),
                ..Default::default()
            });
        }
        if !partition_states.is_empty() {
            let topic_name = name.topic.to_string();
            topic_states.push(LeaderAndIsrTopicState { topic_name, topic_id: topic.id, partition_states });
        }
    }
    let live_leaders = controller.brokers.values().filter(|live| leaders.contains(&live.id)).filter_map(|live| {
        let endpoint = live.endpoint(&controller.inter_broker_listener)?;
        Some(LeaderAndIsrLiveLeader { broker_id: live.id, host_name: endpoint.host.clone(), port: endpoint.port })
    });
    LeaderAndIsrRequest {
        controller_id: controller.broker_id,
        controller_epoch: controller.epoch,
        broker_epoch: broker.epoch,
        topic_states,
        live_leaders: live_leaders.collect(),
        ..Default::default()
    }
}

fn live_brokers(controller: &ControllerState) -> Vec<UpdateMetadataBroker> {
    let endpoints = |broker: &LiveBroker| {
        let endpoints = broker.registration.endpoints.iter();
        let endpoint = endpoints.map(|endpoint| UpdateMetadataEndpoint {
            port: endpoint.port,
            host: endpoint.host.clone(),
            listener: endpoint.listener.clone(),
            security_protocol: security_protocol_id(&endpoint.security_protocol),
        });
        endpoint.collect()
    };
    let brokers = controller.brokers.values();
    let broker = brokers.map(|broker| UpdateMetadataBroker {
        id: broker.id,
        endpoints: endpoints(broker),
        rack: broker.registration.rack.clone(),
        ..Default::default()
    });
    broker.collect()
}

fn security_protocol_id(name: &str) -> i16 {
    crate::config::SecurityProtocol::from_name(name).map_or(0, |protocol| protocol.id())
}

fn update_metadata(
    controller: &ControllerState,
    broker: &LiveBroker,
    live_brokers: &[UpdateMetadataBroker],
    partitions: &BTreeSet<TopicPartition>,
) -> UpdateMetadataRequest {
    let mut topic_states = Vec::new();
    for (name, topic, rows) in by_topic(controller, partitions.iter().map(|partition| (partition, ()))) {
        let mut partition_states = Vec::with_capacity(rows.len());
        for (partition_index, partition, ()) in rows {
            let Some(known) = &partition.known else { continue };
            let (leader, leader_epoch) = match topic.deletion {
                None => (known.state.leader, known.state.leader_epoch),
                Some(_) => (LEADER_DURING_DELETE, EPOCH_DURING_DELETE),
            };
            let tp = TopicPartition::new(name.topic.clone(), partition_index);
            let offline = |id: &i32| controller.standing(*id, &tp) != Standing::Alive;
            partition_states.push(UpdateMetadataPartitionState {
                partition_index,
                controller_epoch: known.state.controller_epoch,
                leader,
                leader_epoch,
                isr: known.state.isr.clone(),
                zk_version: known.partition_epoch,
                replicas: partition.assignment.replicas.clone(),
                offline_replicas: partition.assignment.replicas.iter().copied().filter(offline).collect(),
                ..Default::default()
            });
        }
        if !partition_states.is_empty() {
            let topic_name = name.topic.to_string();
            topic_states.push(UpdateMetadataTopicState { topic_name, topic_id: topic.id, partition_states });
        }
    }
    UpdateMetadataRequest {
        controller_id: controller.broker_id,
        controller_epoch: controller.epoch,
        broker_epoch: broker.epoch,
        topic_states,
        live_brokers: live_brokers.to_vec(),
        ..Default::default()
    }
}

fn stop_replica(
    controller: &ControllerState,
    broker: &LiveBroker,
    partitions: &BTreeMap<TopicPartition, bool>,
) -> StopReplicaRequest {
    let mut topic_states = Vec::new();
    for (name, topic, rows) in by_topic(controller, partitions) {
        let states = rows.into_iter().map(|(partition_index, partition, delete)| StopReplicaPartitionState {
            partition_index,
            leader_epoch: match (&topic.deletion, &partition.known) {
                (Some(_), _) => EPOCH_DURING_DELETE,
                (None, Some(known)) => known.state.leader_epoch,
                (None, None) => -1,
            },
            delete_partition: *delete,
        });
        topic_states
            .push(StopReplicaTopicState { topic_name: name.topic.to_string(), partition_states: states.collect() });
    }
    StopReplicaRequest {
        controller_id: controller.broker_id,
        controller_epoch: controller.epoch,
        broker_epoch: broker.epoch,
        topic_states,
        ..Default::default()
    }
}
