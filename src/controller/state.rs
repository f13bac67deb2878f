//! The controller as a value: what happened goes in as an [`Event`], what is to be done comes out as [`Action`]s.
//!
//! It holds a picture of the cluster and drives every partition towards the state that follows from who lives
//! ([`next_state`]): whatever changed, the partitions concerned are looked at again. A partition has at most one write
//! under way; what happens meanwhile is looked at when the answer is there. So events may come in any order.
//!
//! A topic's deletion is such a drive too: its replicas are asked to delete until all have, then its znodes go.
//!
//! Source: `KafkaController`, `PartitionStateMachine`, `ReplicaStateMachine`, `TopicDeletionManager` of Kafka 3.9.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::election::{Next, Standing, Unclean, first_state, next_epoch, next_state};
use super::requests::{Batch, ControlRequest};
use crate::registry::znodes::{BrokerEndpoint, BrokerRegistration, PartitionState, ReplicaAssignment, TopicAssignment};
use crate::wire::messages::alter_partition::{
    AlterPartitionRequest, AlterPartitionResponse, PartitionDataResponse, TopicDataResponse,
};
use crate::wire::messages::controlled_shutdown::{
    ControlledShutdownRequest, ControlledShutdownResponse, RemainingPartition,
};
use crate::wire::messages::leader_and_isr::LeaderAndIsrResponse;
use crate::wire::messages::stop_replica::{StopReplicaRequest, StopReplicaResponse};
use crate::wire::{ErrorCode, TopicPartition, Uuid};

pub use elections::{ElectionType, Trigger};

/// Names a question that waits for its [`Action::Answer`].
pub type Token = u64;

/// A broker as its registration has it.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveBroker {
    pub id: i32,
    /// czxid of the registration.
    pub epoch: i64,
    pub registration: BrokerRegistration,
    /// It asked to leave (ControlledShutdown).
    shutting_down: bool,
    /// Its replicas whose log dir failed.
    offline: BTreeSet<TopicPartition>,
}

impl LiveBroker {
    pub fn new(id: i32, epoch: i64, registration: BrokerRegistration) -> LiveBroker {
        LiveBroker { id, epoch, registration, shutting_down: false, offline: BTreeSet::new() }
    }

    /// Its address on a listener.
    pub fn endpoint(&self, listener: &str) -> Option<&BrokerEndpoint> {
        self.registration.endpoints.iter().find(|endpoint| endpoint.listener == listener)
    }
}

/// A topic and what happens to it.
#[derive(Debug, Clone)]
pub(super) struct Topic {
    pub id: Uuid,
    pub partitions: BTreeMap<i32, Partition>,
    pub deletion: Option<Deletion>,
    /// `unclean.leader.election.enable`, once somebody needed to know.
    unclean: Unclean,
    asking_unclean: bool,
    /// Assignments that are being written.
    assigning: Option<Assigning>,
    /// Assignments of reassignments that are complete, to be written next.
    settled: BTreeMap<i32, ReplicaAssignment>,
}

/// A write of assignments under way; its partitions are left alone until it is done.
#[derive(Debug, Clone)]
struct Assigning {
    partitions: BTreeMap<i32, ReplicaAssignment>,
    /// The request that wants it, if it was one.
    asked_by: Option<Token>,
}

/// One partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    pub assignment: ReplicaAssignment,
    /// As the registry has it; `None`: it has no state yet.
    pub known: Option<Known>,
    in_flight: Option<InFlight>,
    /// Its replicas have changed: they must hear of it, in a new leader epoch.
    is_stale: bool,
    /// Replicas no more; they delete their logs as soon as they are out of the ISR.
    leaving: BTreeSet<i32>,
}

/// A state and the version of its znode.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    pub state: PartitionState,
    pub partition_epoch: i32,
}

/// A write under way.
#[derive(Debug, Clone)]
struct InFlight {
    number: u64,
    state: PartitionState,
    asked_by: AskedBy,
    /// It makes [`Partition::is_stale`] untrue.
    refreshes: bool,
    /// It ends the reassignment.
    completes: bool,
}

/// Who waits for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AskedBy {
    Nobody,
    /// The leader, with its AlterPartition.
    Leader(Token),
    /// Whoever asked for an election.
    Elector(Token),
}

/// How far a topic's deletion is. Replicas are named by partition and broker.
#[derive(Debug, Clone, Default)]
pub(super) struct Deletion {
    /// Replicas that are deleted.
    gone: BTreeSet<(i32, i32)>,
    /// Replicas whose broker was asked and has not answered.
    asked: BTreeSet<(i32, i32)>,
    /// Replicas that their broker could not delete; asked again when it returns.
    refused: BTreeSet<(i32, i32)>,
    /// All replicas are gone, the znodes are being deleted.
    erasing: bool,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The election was won; this is what the registry holds. The first event, once.
    Started {
        brokers: Vec<LiveBroker>,
        topics: Vec<(Arc<str>, TopicAssignment)>,
        states: Vec<(TopicPartition, PartitionState, i32)>,
        deletions: Vec<Arc<str>>,
    },
    /// All registered brokers.
    BrokersChanged(Vec<LiveBroker>),
    /// All topics, and the assignments of those that are not known yet.
    TopicsChanged {
        names: BTreeSet<Arc<str>>,
        new: Vec<(Arc<str>, TopicAssignment)>,
    },
    /// The topic's assignment was written.
    TopicDataChanged {
        topic: Arc<str>,
        assignment: TopicAssignment,
    },
    /// Topics that somebody wants deleted.
    DeleteTopics(Vec<Arc<str>>),
    /// How each write of an [`Action::Write`] went.
    Written(Vec<Written>),
    /// States and their versions, as asked by [`Action::ReadStates`]; `None`: no such znode.
    StatesRead(Vec<(TopicPartition, Option<(PartitionState, i32)>)>),
    /// How the write of an [`Action::WriteAssignment`] went.
    AssignmentWritten {
        topic: Arc<str>,
        id: Uuid,
        result: Result<(), Conflict>,
    },
    /// Somebody wants partitions moved to other replicas; `None`: wants a move that is under way called off.
    AlterReassignments {
        partitions: Vec<(TopicPartition, Option<Vec<i32>>)>,
        token: Token,
    },
    /// What `/admin/reassign_partitions` says, whenever it says something new.
    ReassignmentsRead(Vec<(TopicPartition, Vec<i32>)>),
    /// Somebody wants leaders elected.
    ElectLeaders {
        partitions: Vec<TopicPartition>,
        election: ElectionType,
        trigger: Trigger,
    },
    /// It is time to see whether too many partitions are led by another than their preferred leader.
    RebalanceDue {
        /// `leader.imbalance.per.broker.percentage`.
        tolerated_percentage: i32,
    },
    /// Leaders without AlterPartition (inter-broker protocol before 2.7) have written these partitions' states.
    IsrChangesNoted(Vec<TopicPartition>),
    /// The brokers' own `unclean.leader.election.enable` was changed.
    UncleanElectionDefaultChanged,
    /// The topic's config was read, as asked by [`Action::ReadTopicConfig`], or has changed.
    UncleanElection {
        topic: Arc<str>,
        allowed: bool,
    },
    /// The topic of this id is gone, as asked by [`Action::EraseTopic`] or by another's hand.
    TopicErased {
        topic: Arc<str>,
        id: Uuid,
    },
    /// A leader wants to change ISRs.
    AlterPartition {
        request: AlterPartitionRequest,
        version: i16,
        token: Token,
    },
    /// A broker wants to stop.
    ControlledShutdown {
        request: ControlledShutdownRequest,
        token: Token,
    },
    /// Somebody waits until the topics are deleted, or cannot be at present.
    AwaitDeletion {
        topics: Vec<Arc<str>>,
        token: Token,
    },
    /// A broker, at that epoch, answered.
    LeaderAndIsrAnswered {
        broker: i32,
        broker_epoch: i64,
        response: LeaderAndIsrResponse,
    },
    StopReplicaAnswered {
        broker: i32,
        broker_epoch: i64,
        request: StopReplicaRequest,
        response: StopReplicaResponse,
    },
    /// A broker lost a log dir; which replicas it had there must be found out.
    LogDirFailed {
        broker: i32,
    },
}

/// The znode was not as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

/// A partition's state to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct StateWrite {
    pub partition: TopicPartition,
    /// Tells this write from others of the same partition.
    pub number: u64,
    pub state: PartitionState,
    /// The version that the znode must have; `None`: it is to be created, with its parents.
    pub expected: Option<i32>,
}

/// How a [`StateWrite`] went.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    pub partition: TopicPartition,
    pub number: u64,
    /// The znode's version now.
    pub result: Result<i32, Conflict>,
}

/// What is to be done, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Hold a connection to the broker, at `host:port`, for what is sent from now on.
    Connect {
        broker: i32,
        epoch: i64,
        address: Option<String>,
    },
    /// Give up the connection and what was not sent.
    Disconnect {
        broker: i32,
    },
    Send {
        broker: i32,
        request: ControlRequest,
    },
    /// Answered by one [`Event::Written`].
    Write(Vec<StateWrite>),
    /// Answered by one [`Event::StatesRead`].
    ReadStates(Vec<TopicPartition>),
    /// Answered by [`Event::UncleanElection`].
    ReadTopicConfig(Arc<str>),
    /// Replace the assignments of these partitions of the topic, and of no others. Answered by
    /// [`Event::AssignmentWritten`]; a conflict if the topic of this id is gone.
    WriteAssignment {
        topic: Arc<str>,
        id: Uuid,
        partitions: BTreeMap<i32, ReplicaAssignment>,
    },
    /// Take these out of `/admin/reassign_partitions`, those with replicas only if they stand there with the same.
    ForgetReassignments(Vec<(TopicPartition, Option<Vec<i32>>)>),
    /// Delete `/admin/preferred_replica_election`.
    ForgetPreferredElection,
    /// Remove what the registry has of the topic, these partitions too. Answered by [`Event::TopicErased`].
    EraseTopic {
        topic: Arc<str>,
        id: Uuid,
        partitions: Vec<i32>,
    },
    /// Refuse a wish to delete topics that there are not, or that may not be deleted.
    ForgetDeletions(Vec<Arc<str>>),
    Answer {
        token: Token,
        answer: Answer,
    },
}

/// What the asker of a [`Token`] gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    AlterPartition(AlterPartitionResponse),
    ControlledShutdown(ControlledShutdownResponse),
    Deletion,
    /// By partition, in the order in which they were asked for.
    Reassignments(PartitionResults<()>),
    /// By partition: who was elected.
    Elections(PartitionResults<i32>),
}

/// What became of each partition of a request.
pub type PartitionResults<T> = Vec<(TopicPartition, Result<T, Refusal>)>;
/// The same while some of it is not known yet.
type Pending<T> = Vec<(TopicPartition, Option<Result<T, Refusal>>)>;

/// An error of the protocol, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub error: ErrorCode,
    pub message: String,
}

impl Refusal {
    fn new(error: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { error, message: message.into() }
    }

    /// With the error's own text.
    fn plain(error: ErrorCode) -> Refusal {
        Refusal::new(error, error.message())
    }
}

/// An AlterPartition of which some writes are under way.
#[derive(Debug)]
struct PendingAlter {
    response: AlterPartitionResponse,
    /// Where in the response each partition that is being written stands.
    waiting: BTreeMap<TopicPartition, (usize, usize)>,
}

/// The controller of one epoch, from election to resignation.
#[derive(Debug)]
pub struct ControllerState {
    pub(super) broker_id: i32,
    pub(super) epoch: i32,
    pub(super) inter_broker_listener: String,
    deletion_enabled: bool,
    pub(super) brokers: BTreeMap<i32, LiveBroker>,
    pub(super) topics: BTreeMap<Arc<str>, Topic>,
    names: BTreeMap<Uuid, Arc<str>>,
    /// Topics that are being deleted.
    deleting: BTreeSet<Arc<str>>,
    alters: BTreeMap<Token, PendingAlter>,
    /// Requests whose partitions have a write under way; looked at again when it is done.
    deferred: Vec<Event>,
    /// Topics to be deleted when their reassignments are done.
    deletions_held_up: BTreeSet<Arc<str>>,
    /// Reassignments that stand in `/admin/reassign_partitions`.
    noted_reassignments: BTreeMap<TopicPartition, Vec<i32>>,
    /// Topics with [`Topic::settled`] assignments.
    settling: BTreeSet<Arc<str>>,
    pending_reassignments: BTreeMap<Token, Pending<()>>,
    pending_elections: BTreeMap<Token, Pending<i32>>,
    shutdowns: Vec<(Token, i32)>,
    awaiting_deletion: Vec<(Token, Vec<Arc<str>>)>,
    writes: u64,
}

/// What an event leads to, while it is gathered.
#[derive(Default)]
struct Out {
    actions: Vec<Action>,
    batch: Batch,
    writes: Vec<StateWrite>,
    reads: Vec<TopicPartition>,
    /// What must not be done before the writes.
    last: Vec<Action>,
}

impl ControllerState {
    /// `epoch`: the controller epoch just won. `inter_broker_listener`: the listener by which brokers reach one another.
    /// `deletion_enabled`: `delete.topic.enable`.
    pub fn new(broker_id: i32, epoch: i32, inter_broker_listener: &str, deletion_enabled: bool) -> ControllerState {
        ControllerState {
            broker_id,
            epoch,
            inter_broker_listener: inter_broker_listener.to_owned(),
            deletion_enabled,
            brokers: BTreeMap::new(),
            topics: BTreeMap::new(),
            names: BTreeMap::new(),
            deleting: BTreeSet::new(),
            alters: BTreeMap::new(),
            deferred: Vec::new(),
            deletions_held_up: BTreeSet::new(),
            noted_reassignments: BTreeMap::new(),
            settling: BTreeSet::new(),
            pending_reassignments: BTreeMap::new(),
            pending_elections: BTreeMap::new(),
            shutdowns: Vec::new(),
            awaiting_deletion: Vec::new(),
            writes: 0,
        }
    }

    /// The id of a topic that is known, being deleted or not.
    pub fn topic_id(&self, topic: &str) -> Option<Uuid> {
        self.topics.get(topic).map(|known| known.id)
    }

    /// The epoch of a live broker.
    pub fn broker_epoch(&self, broker: i32) -> Option<i64> {
        self.brokers.get(&broker).map(|live| live.epoch)
    }

    /// Takes in what happened. No clock is needed: nothing the controller does here depends on time.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut out = Out::default();
        self.take_in(event, &mut out);
        self.finish(&mut out);
        out.actions
    }

    fn take_in(&mut self, event: Event, out: &mut Out) {
        match event {
            Event::Started { brokers, topics, states, deletions } => {
                self.start(brokers, topics, states, deletions, out)
            }
            Event::BrokersChanged(brokers) => self.brokers_changed(brokers, out),
            Event::TopicsChanged { names, new } => self.topics_changed(names, new, out),
            Event::TopicDataChanged { topic, assignment } => self.topic_changed(topic, assignment, out),
            Event::DeleteTopics(topics) => self.delete_topics(topics, out),
            Event::Written(results) => {
                self.written(results, out);
                self.retry_deferred(out);
            }
            Event::StatesRead(states) => self.states_read(states, out),
            Event::AssignmentWritten { topic, id, result } => {
                self.assignment_written(&topic, id, result, out);
                self.retry_deferred(out);
            }
            Event::AlterReassignments { partitions, token } => self.alter_reassignments(partitions, token, out),
            Event::ReassignmentsRead(rows) => self.reassignments_read(rows, out),
            Event::ElectLeaders { partitions, election, trigger } => {
                self.elect_leaders(partitions, election, trigger, out);
            }
            Event::RebalanceDue { tolerated_percentage } => self.rebalance(tolerated_percentage, out),
            Event::IsrChangesNoted(partitions) => {
                let known = partitions.into_iter().filter(|name| self.partition(name).is_some());
                out.reads.extend(known);
            }
            Event::UncleanElection { topic, allowed } => {
                if let Some(entry) = self.topics.get_mut(&topic) {
                    entry.unclean = if allowed { Unclean::Allowed } else { Unclean::Refused };
                    entry.asking_unclean = false;
                    self.drive(self.partitions_of(&topic), out);
                }
            }
            Event::UncleanElectionDefaultChanged => {
                self.topics.values_mut().for_each(|topic| topic.unclean = Unclean::Unknown);
                self.drive(self.all_partitions(), out);
            }
            Event::TopicErased { topic, id } => {
                if self.topics.get(&topic).is_some_and(|known| known.id == id) {
                    self.remove_topic(&topic);
                    self.retry_deferred(out);
                }
            }
            Event::AlterPartition { request, version, token } => self.alter_partition(request, version, token, out),
            Event::ControlledShutdown { request, token } => self.controlled_shutdown(&request, token, out),
            Event::AwaitDeletion { topics, token } => self.awaiting_deletion.push((token, topics)),
            Event::LeaderAndIsrAnswered { broker, broker_epoch, response } => {
                self.leader_and_isr_answered(broker, broker_epoch, &response, out);
            }
            Event::StopReplicaAnswered { broker, broker_epoch, request, response } => {
                self.stop_replica_answered(broker, broker_epoch, &request, &response, out);
            }
            Event::LogDirFailed { broker } => {
                for partition in self.partitions_on(&[broker].into()) {
                    out.batch.lead_or_follow(broker, &partition, false);
                }
            }
        }
    }

    /// Looks again at the requests that met a write under way.
    fn retry_deferred(&mut self, out: &mut Out) {
        for event in std::mem::take(&mut self.deferred) {
            self.take_in(event, out);
        }
    }

    /// Turns what was gathered into actions, and answers those who waited for it.
    fn finish(&mut self, out: &mut Out) {
        self.write_settled_assignments(out);
        self.answer_alters(out);
        self.answer_reassignments(out);
        self.answer_elections(out);
        self.answer_shutdowns(out);
        self.answer_deletions(out);
        let mut batch = std::mem::take(&mut out.batch);
        batch.flush(self, &mut out.actions);
        if !out.writes.is_empty() {
            out.actions.push(Action::Write(std::mem::take(&mut out.writes)));
        }
        if !out.reads.is_empty() {
            out.actions.push(Action::ReadStates(std::mem::take(&mut out.reads)));
        }
        out.actions.append(&mut out.last);
    }

    fn start(
        &mut self,
        brokers: Vec<LiveBroker>,
        topics: Vec<(Arc<str>, TopicAssignment)>,
        states: Vec<(TopicPartition, PartitionState, i32)>,
        deletions: Vec<Arc<str>>,
        out: &mut Out,
    ) {
        for (name, assignment) in topics {
            self.add_topic(name, assignment);
        }
        for (name, state, partition_epoch) in states {
            if let Some(partition) = self.partition_mut(&name) {
                // Whether the controller before us had told of a move, nobody knows; and when one was called off, it may
                // not have come to removing those who joined for it.
                let assignment = &partition.assignment;
                partition.is_stale = assignment.is_being_reassigned();
                partition.leaving = state.isr.iter().copied().filter(|id| !assignment.replicas.contains(id)).collect();
                partition.known = Some(Known { state, partition_epoch });
            }
        }
        for broker in brokers {
            out.actions.push(self.connect(&broker));
            self.brokers.insert(broker.id, broker);
        }
        // Brokers must know one another before they follow one another.
        for broker in self.brokers.keys() {
            out.batch.metadata(*broker, []);
        }
        self.flush(out);
        self.delete_topics(deletions, out);
        let everything = self.all_partitions();
        for partition in &everything {
            self.announce(partition, None, false, out);
        }
        self.drive(everything, out);
    }

    fn flush(&self, out: &mut Out) {
        let mut batch = std::mem::take(&mut out.batch);
        batch.flush(self, &mut out.actions);
    }

    pub(super) fn partition(&self, name: &TopicPartition) -> Option<&Partition> {
        self.topics.get(&name.topic)?.partitions.get(&name.partition)
    }

    fn partition_mut(&mut self, name: &TopicPartition) -> Option<&mut Partition> {
        self.topics.get_mut(&name.topic)?.partitions.get_mut(&name.partition)
    }

    fn all_partitions(&self) -> Vec<TopicPartition> {
        self.topics.keys().flat_map(|topic| self.partitions_of(topic)).collect()
    }

    fn partitions_of(&self, topic: &Arc<str>) -> Vec<TopicPartition> {
        let numbers = self.topics.get(topic).into_iter().flat_map(|known| known.partitions.keys());
        numbers.map(|number| TopicPartition::new(topic.clone(), *number)).collect()
    }

    /// Partitions, not being deleted, with a replica on one of these brokers.
    fn partitions_on(&self, brokers: &BTreeSet<i32>) -> Vec<TopicPartition> {
        let all = self.all_partitions().into_iter();
        all.filter(|name| self.topics[&name.topic].deletion.is_none() && !self.replicas_on(name, brokers).is_empty())
            .collect()
    }

    fn replicas_on(&self, name: &TopicPartition, brokers: &BTreeSet<i32>) -> Vec<i32> {
        let replicas = self.partition(name).into_iter().flat_map(|partition| &partition.assignment.replicas);
        replicas.copied().filter(|id| brokers.contains(id)).collect()
    }
}

mod brokers;
mod deletion;
mod elections;
mod isr;
mod partitions;
mod reassignment;

#[cfg(test)]
mod tests;
