//! A registry and brokers in memory around the real state machine; scenarios by name, and random histories by seed.

mod elections;
mod histories;
mod reassignment;

use super::*;
use crate::registry::znodes;
use crate::wire::messages::alter_partition::{BrokerState, PartitionDataRequest, TopicDataRequest};
use crate::wire::messages::leader_and_isr::{
    LeaderAndIsrPartitionError, LeaderAndIsrPartitionState, LeaderAndIsrRequest, LeaderAndIsrTopicError,
};
use crate::wire::messages::stop_replica::StopReplicaPartitionError;
use crate::wire::messages::update_metadata::UpdateMetadataRequest;

/// What every correct history has; the first thing that is wrong, if any is.
fn violation(before: &BTreeMap<TopicPartition, Known>, after: &ControllerState) -> Option<String> {
    for (name, partition) in all(after) {
        let Some(known) = &partition.known else { continue };
        let state = &known.state;
        if state.leader != -1 && !state.isr.contains(&state.leader) {
            return Some(format!("{name}: leader outside the ISR: {state:?}"));
        }
        if state.isr.is_empty() {
            return Some(format!("{name}: nobody in the ISR"));
        }
        let is_replica = |id: &i32| partition.assignment.replicas.contains(id) || partition.leaving.contains(id);
        if !state.isr.iter().all(is_replica) {
            return Some(format!("{name}: ISR outside the assignment: {state:?}"));
        }
        let Some(old) = before.get(&name) else { continue };
        if state.leader_epoch < old.state.leader_epoch || known.partition_epoch < old.partition_epoch {
            return Some(format!("{name}: an epoch fell: {old:?} to {known:?}"));
        }
        let by_controller = state.leader_epoch != old.state.leader_epoch;
        if by_controller && !state.leader_recovering && state.isr.iter().any(|id| !old.state.isr.contains(id)) {
            return Some(format!("{name}: the controller put somebody into the ISR: {old:?} to {known:?}"));
        }
        if state.leader_epoch == old.state.leader_epoch && state.leader != old.state.leader {
            return Some(format!("{name}: two leaders in one epoch: {old:?} and {known:?}"));
        }
        if !state.leader_recovering && state.leader != -1 && !old.state.isr.contains(&state.leader) {
            return Some(format!("{name}: an unclean election without saying so: {old:?} to {known:?}"));
        }
    }
    None
}

fn all(controller: &ControllerState) -> impl Iterator<Item = (TopicPartition, &Partition)> {
    let topics = controller.topics.iter();
    topics.flat_map(|(topic, entry)| {
        entry.partitions.iter().map(|(n, partition)| (TopicPartition::new(topic.clone(), *n), partition))
    })
}

fn broker(id: i32, epoch: i64) -> LiveBroker {
    let endpoint = znodes::BrokerEndpoint {
        listener: "PLAINTEXT".into(),
        host: "h".into(),
        port: 9000 + id,
        security_protocol: "PLAINTEXT".into(),
    };
    let registration = BrokerRegistration {
        endpoints: vec![endpoint],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 0,
        features: BTreeMap::new(),
    };
    LiveBroker::new(id, epoch, registration)
}

fn assignment(id: u8, partitions: &[&[i32]]) -> TopicAssignment {
    let rows = partitions.iter().enumerate();
    let replicas = rows.map(|(n, ids)| (n as i32, ReplicaAssignment { replicas: ids.to_vec(), ..Default::default() }));
    TopicAssignment { topic_id: Some(znodes::Uuid([id; 16])), partitions: replicas.collect() }
}

fn tp(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

/// The world around a controller: what the registry holds, and what was done.
struct World {
    controller: ControllerState,
    brokers: BTreeMap<i32, LiveBroker>,
    topics: BTreeMap<Arc<str>, TopicAssignment>,
    states: BTreeMap<TopicPartition, (PartitionState, i32)>,
    unclean: bool,
    sent: Vec<(i32, ControlRequest)>,
    answers: BTreeMap<Token, Answer>,
    writes: usize,
    erased: Vec<Arc<str>>,
    forgotten: Vec<Arc<str>>,
    /// `/admin/delete_topics`.
    wishes: BTreeSet<Arc<str>>,
    /// `/admin/reassign_partitions`.
    noted: BTreeMap<TopicPartition, Vec<i32>>,
    /// `/admin/preferred_replica_election`.
    preferred: Option<Vec<TopicPartition>>,
}

impl World {
    fn new(ids: &[i32]) -> World {
        let mut world = World {
            controller: ControllerState::new(1, 7, "PLAINTEXT", true),
            brokers: ids.iter().map(|id| (*id, broker(*id, 100 + i64::from(*id)))).collect(),
            topics: BTreeMap::new(),
            states: BTreeMap::new(),
            unclean: false,
            sent: Vec::new(),
            answers: BTreeMap::new(),
            writes: 0,
            erased: Vec::new(),
            forgotten: Vec::new(),
            wishes: BTreeSet::new(),
            noted: BTreeMap::new(),
            preferred: None,
        };
        world.elect(7);
        world
    }

    /// A new controller takes over from what the registry holds.
    fn elect(&mut self, epoch: i32) {
        for event in self.takes_over(epoch) {
            self.does(event);
        }
    }

    /// A new controller, and the events it begins with.
    fn takes_over(&mut self, epoch: i32) -> Vec<Event> {
        self.controller = ControllerState::new(1, epoch, "PLAINTEXT", true);
        let states = self.states.iter().map(|(name, (state, version))| (name.clone(), state.clone(), *version));
        let mut events = vec![
            Event::Started {
                brokers: self.brokers.values().cloned().collect(),
                topics: self.topics.clone().into_iter().collect(),
                states: states.collect(),
                deletions: self.wishes.iter().cloned().collect(),
            },
            Event::ReassignmentsRead(self.noted.clone().into_iter().collect()),
        ];
        if let Some(partitions) = self.preferred.clone() {
            let (election, trigger) = (ElectionType::Preferred, Trigger::Znode);
            events.push(Event::ElectLeaders { partitions, election, trigger });
        }
        events
    }

    /// One event and all that follows from it in the registry.
    fn does(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let before = all(&self.controller).filter_map(|(name, p)| Some((name, p.known.clone()?))).collect();
            let shown = format!("{event:?}");
            let actions = self.controller.handle(event);
            if let Some(violation) = violation(&before, &self.controller) {
                panic!("{violation}, after {shown}");
            }
            for action in actions {
                events.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Connect { .. } | Action::Disconnect { .. } => {}
            Action::Send { broker, request } => {
                self.check_stops(broker, &request);
                self.sent.push((broker, request));
            }
            Action::WriteAssignment { topic, id, partitions } => {
                let found =
                    self.topics.get_mut(&topic).filter(|found| found.topic_id.is_some_and(|uuid| uuid.0 == id.0));
                let result = found.map(|found| found.partitions.extend(partitions)).ok_or(Conflict);
                return Some(Event::AssignmentWritten { topic, id, result });
            }
            Action::ForgetReassignments(rows) => {
                for (name, with) in rows {
                    if with.is_none() || self.noted.get(&name) == with.as_ref() {
                        self.noted.remove(&name);
                    }
                }
            }
            Action::ForgetPreferredElection => self.preferred = None,
            Action::Write(writes) => {
                return Some(Event::Written(writes.into_iter().map(|write| self.write(write)).collect()));
            }
            Action::ReadStates(names) => {
                let read = names.into_iter().map(|name| (name.clone(), self.states.get(&name).cloned()));
                return Some(Event::StatesRead(read.collect()));
            }
            Action::ReadTopicConfig(topic) => {
                return Some(Event::UncleanElection { topic, allowed: self.unclean });
            }
            Action::EraseTopic { topic, id, partitions } => {
                let known: Vec<i32> = self.topics[&topic].partitions.keys().copied().collect();
                assert_eq!(partitions, known);
                self.topics.remove(&topic);
                self.states.retain(|name, _| name.topic != topic);
                self.wishes.remove(&topic);
                self.erased.push(topic.clone());
                return Some(Event::TopicErased { topic, id });
            }
            Action::ForgetDeletions(topics) => {
                self.wishes.retain(|wish| !topics.contains(wish));
                self.forgotten.extend(topics);
            }
            Action::Answer { token, answer } => {
                assert_eq!(self.answers.insert(token, answer), None, "answered twice");
            }
        }
        None
    }

    /// Nobody whom a partition counts on may be told to delete its log.
    fn check_stops(&self, broker: i32, request: &ControlRequest) {
        let ControlRequest::StopReplica(request) = request else { return };
        for topic in &request.topic_states {
            for partition in topic.partition_states.iter().filter(|p| p.delete_partition && p.leader_epoch != -2) {
                let name = tp(&topic.topic_name, partition.partition_index);
                let (state, _) = &self.states[&name];
                assert!(!state.isr.contains(&broker), "{broker} deletes {name}, whose ISR it is in: {state:?}");
            }
        }
    }

    fn write(&mut self, write: StateWrite) -> Written {
        let StateWrite { partition, number, state, expected } = write;
        self.writes += 1;
        let found = self.states.get(&partition).map(|(_, version)| *version);
        if found != expected || !self.topics.contains_key(&partition.topic) {
            return Written { partition, number, result: Err(Conflict) };
        }
        let version = found.map_or(0, |version| version + 1);
        self.states.insert(partition.clone(), (state, version));
        Written { partition, number, result: Ok(version) }
    }

    fn create(&mut self, topic: &str, id: u8, partitions: &[&[i32]]) {
        self.topics.insert(topic.into(), assignment(id, partitions));
        let names: BTreeSet<Arc<str>> = self.topics.keys().cloned().collect();
        let new = names.iter().filter(|name| self.controller.topic_id(name).is_none());
        let new = new.map(|name| (name.clone(), self.topics[name].clone())).collect();
        self.does(Event::TopicsChanged { names, new });
    }

    fn brokers_are(&mut self, brokers: &[(i32, i64)]) {
        self.brokers = brokers.iter().map(|(id, epoch)| (*id, broker(*id, *epoch))).collect();
        self.does(Event::BrokersChanged(self.brokers.values().cloned().collect()));
    }

    /// Leader, leader epoch, ISR as the registry has them.
    fn state(&self, topic: &str, partition: i32) -> (i32, i32, Vec<i32>) {
        let (state, _) = &self.states[&tp(topic, partition)];
        (state.leader, state.leader_epoch, state.isr.clone())
    }

    fn sent(&mut self) -> Vec<(i32, ControlRequest)> {
        std::mem::take(&mut self.sent)
    }

    /// Requests by kind: broker and a short text each, in order.
    fn told(&mut self) -> Vec<String> {
        self.sent().iter().map(|(broker, request)| format!("{broker}: {}", short(request))).collect()
    }

    fn answers_stop(&mut self, broker: i32, request: StopReplicaRequest, error: ErrorCode) {
        let rows = request.topic_states.iter().flat_map(|topic| {
            topic.partition_states.iter().map(|partition| StopReplicaPartitionError {
                topic_name: topic.topic_name.clone(),
                partition_index: partition.partition_index,
                error_code: error.0,
            })
        });
        let response = StopReplicaResponse { error_code: 0, partition_errors: rows.collect() };
        let broker_epoch = self.brokers[&broker].epoch;
        self.does(Event::StopReplicaAnswered { broker, broker_epoch, request, response });
    }

    fn isr_change(&mut self, token: Token, from: i32, topic: u8, partition: i32, isr: &[i32]) -> ErrorCode {
        let name = self.controller.names[&Uuid([topic; 16])].clone();
        let (state, version) = self.states[&tp(&name, partition)].clone();
        let asked = PartitionDataRequest {
            partition_index: partition,
            leader_epoch: state.leader_epoch,
            new_isr_with_epochs: isr.iter().map(|id| BrokerState { broker_id: *id, broker_epoch: -1 }).collect(),
            partition_epoch: version,
            ..Default::default()
        };
        self.alter(token, from, topic, asked)
    }

    fn alter(&mut self, token: Token, from: i32, topic: u8, asked: PartitionDataRequest) -> ErrorCode {
        let topics =
            vec![TopicDataRequest { topic_id: Uuid([topic; 16]), partitions: vec![asked], ..Default::default() }];
        let broker_epoch = self.brokers.get(&from).map_or(0, |live| live.epoch);
        let request = AlterPartitionRequest { broker_id: from, broker_epoch, topics };
        self.does(Event::AlterPartition { request, version: 3, token });
        match &self.answers[&token] {
            Answer::AlterPartition(response) if response.error_code != 0 => ErrorCode(response.error_code),
            Answer::AlterPartition(response) => ErrorCode(response.topics[0].partitions[0].error_code),
            other => panic!("{other:?}"),
        }
    }

    fn shut_down(&mut self, token: Token, id: i32, broker_epoch: i64) -> ControlledShutdownResponse {
        self.does(Event::ControlledShutdown {
            request: ControlledShutdownRequest { broker_id: id, broker_epoch },
            token,
        });
        match &self.answers[&token] {
            Answer::ControlledShutdown(response) => response.clone(),
            other => panic!("{other:?}"),
        }
    }
}

fn short(request: &ControlRequest) -> String {
    match request {
        ControlRequest::LeaderAndIsr(LeaderAndIsrRequest { topic_states, .. }) => {
            let rows = topic_states.iter().flat_map(|topic| {
                topic.partition_states.iter().map(|p: &LeaderAndIsrPartitionState| {
                    let new = if p.is_new { " new" } else { "" };
                    format!("{}-{} led by {}@{}{new}", topic.topic_name, p.partition_index, p.leader, p.leader_epoch)
                })
            });
            format!("lead {}", rows.collect::<Vec<_>>().join(", "))
        }
        ControlRequest::UpdateMetadata(UpdateMetadataRequest { topic_states, live_brokers, .. }) => {
            let brokers: Vec<String> = live_brokers.iter().map(|broker| broker.id.to_string()).collect();
            let rows = topic_states.iter().flat_map(|topic| {
                topic
                    .partition_states
                    .iter()
                    .map(|p| format!(" {}-{}@{}", topic.topic_name, p.partition_index, p.leader))
            });
            format!("know {}{}", brokers.join("+"), rows.collect::<String>())
        }
        ControlRequest::StopReplica(StopReplicaRequest { topic_states, .. }) => {
            let rows = topic_states.iter().flat_map(|topic| {
                topic.partition_states.iter().map(|p| {
                    let delete = if p.delete_partition { " delete" } else { "" };
                    format!("{}-{}@{}{delete}", topic.topic_name, p.partition_index, p.leader_epoch)
                })
            });
            format!("stop {}", rows.collect::<Vec<_>>().join(", "))
        }
    }
}

fn stops(sent: Vec<(i32, ControlRequest)>) -> Vec<(i32, StopReplicaRequest)> {
    let stop = |(broker, request)| match request {
        ControlRequest::StopReplica(request) => Some((broker, request)),
        _ => None,
    };
    sent.into_iter().filter_map(stop).collect()
}

#[test]
fn a_new_topic_is_written_told_to_its_replicas_and_known_to_all() {
    let mut world = World::new(&[1, 2, 3]);
    assert_eq!(world.told(), ["1: know 1+2+3", "2: know 1+2+3", "3: know 1+2+3"]);
    world.create("t", 9, &[&[2, 1], &[3, 1]]);
    assert_eq!(world.state("t", 0), (2, 0, vec![2, 1]));
    assert_eq!(
        world.told(),
        [
            "1: lead t-0 led by 2@0 new, t-1 led by 3@0 new",
            "2: lead t-0 led by 2@0 new",
            "3: lead t-1 led by 3@0 new",
            "1: know 1+2+3 t-0@2 t-1@3",
            "2: know 1+2+3 t-0@2 t-1@3",
            "3: know 1+2+3 t-0@2 t-1@3",
        ]
    );
}

#[test]
fn requests_carry_epochs_ids_and_the_leaders_addresses() {
    let mut world = World::new(&[1, 2]);
    world.sent();
    world.create("t", 9, &[&[2, 1]]);
    let Some((1, ControlRequest::LeaderAndIsr(request))) = world.sent().first().cloned() else { panic!() };
    assert_eq!((request.controller_id, request.controller_epoch, request.broker_epoch), (1, 7, 101));
    assert_eq!(request.topic_states[0].topic_id, Uuid([9; 16]));
    let leaders: Vec<_> = request.live_leaders.iter().map(|l| (l.broker_id, l.host_name.as_str(), l.port)).collect();
    assert_eq!(leaders, [(2, "h", 9002)]);
}

#[test]
fn a_restarted_single_broker_leads_what_it_led_without_a_write() {
    let mut world = World::new(&[1]);
    world.create("t", 9, &[&[1], &[1]]);
    let writes = world.writes;
    world.sent();
    world.elect(8);
    assert_eq!(world.writes, writes);
    assert_eq!(world.told(), ["1: know 1", "1: lead t-0 led by 1@0, t-1 led by 1@0", "1: know 1 t-0@1 t-1@1"]);
}

#[test]
fn partitions_that_join_a_topic_are_new_and_the_others_are_left_alone() {
    let mut world = World::new(&[1]);
    world.create("t", 9, &[&[1]]);
    world.sent();
    let grown = assignment(9, &[&[1], &[1], &[1]]);
    world.topics.insert("t".into(), grown.clone());
    world.does(Event::TopicDataChanged { topic: "t".into(), assignment: grown });
    assert_eq!(world.told(), ["1: lead t-1 led by 1@0 new, t-2 led by 1@0 new", "1: know 1 t-1@1 t-2@1"]);
}

#[test]
fn when_a_broker_dies_others_lead_and_when_it_returns_it_follows() {
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[2, 3], &[3, 2], &[2]]);
    world.sent();
    world.brokers_are(&[(1, 101), (3, 103)]);
    assert_eq!(world.state("t", 0), (3, 1, vec![3]));
    assert_eq!(world.state("t", 1), (3, 1, vec![3]));
    assert_eq!(world.state("t", 2), (-1, 1, vec![2]));
    world.sent();
    world.brokers_are(&[(1, 101), (2, 202), (3, 103)]);
    assert_eq!(world.state("t", 0), (3, 1, vec![3]));
    assert_eq!(world.state("t", 2), (2, 2, vec![2]));
    let told = world.told();
    assert!(told.contains(&"2: lead t-0 led by 3@1, t-1 led by 3@1, t-2 led by -1@1".to_owned()), "{told:?}");
    assert!(told.contains(&"2: lead t-2 led by 2@2".to_owned()), "{told:?}");
    // Back in sync, it is in the ISR again; the leader says so.
    assert_eq!(world.isr_change(1, 3, 9, 0, &[3, 2]), ErrorCode::NONE);
    assert_eq!(world.state("t", 0), (3, 1, vec![3, 2]));
}

#[test]
fn a_broker_that_bounced_between_two_looks_has_lost_its_leadership() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[2, 1], &[2]]);
    world.brokers_are(&[(1, 101), (2, 222)]);
    assert_eq!(world.state("t", 0), (1, 1, vec![1]));
    // Nobody else could lead that one.
    assert_eq!(world.state("t", 1), (2, 2, vec![2]));
}

#[test]
fn an_unclean_election_happens_only_where_the_topic_allows_it() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2]]);
    assert_eq!(world.isr_change(1, 1, 9, 0, &[1]), ErrorCode::NONE);
    world.brokers_are(&[(2, 102)]);
    assert_eq!(world.state("t", 0), (-1, 1, vec![1]));
    world.does(Event::UncleanElection { topic: "t".into(), allowed: true });
    assert_eq!(world.state("t", 0), (2, 2, vec![2]));
    assert!(world.states[&tp("t", 0)].0.leader_recovering);
}

#[test]
fn the_isr_changes_only_as_its_leader_of_this_epoch_says() {
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[1, 2, 3]]);
    assert_eq!(world.isr_change(1, 1, 9, 0, &[1, 2]), ErrorCode::NONE);
    assert_eq!(world.state("t", 0), (1, 0, vec![1, 2]));
    let Answer::AlterPartition(response) = &world.answers[&1] else { panic!() };
    let answered = &response.topics[0].partitions[0];
    assert_eq!((answered.leader_id, answered.leader_epoch, answered.partition_epoch), (1, 0, 1));
    assert_eq!(answered.isr, [1, 2]);
    // Saying so again is fine.
    assert_eq!(world.isr_change(2, 1, 9, 0, &[1, 2]), ErrorCode::NONE);
    assert_eq!(world.isr_change(3, 2, 9, 0, &[2]), ErrorCode::INVALID_REQUEST);
    assert_eq!(world.isr_change(4, 1, 9, 0, &[2]), ErrorCode::INVALID_REQUEST);
    assert_eq!(world.isr_change(5, 1, 9, 0, &[1, 2, 4]), ErrorCode::INELIGIBLE_REPLICA);
    let asked = |leader_epoch, partition_epoch| PartitionDataRequest {
        leader_epoch,
        partition_epoch,
        new_isr_with_epochs: vec![BrokerState { broker_id: 1, broker_epoch: -1 }],
        ..Default::default()
    };
    assert_eq!(world.alter(6, 1, 9, asked(0, 0)), ErrorCode::INVALID_UPDATE_VERSION);
    assert_eq!(world.alter(7, 1, 9, asked(1, 1)), ErrorCode::NOT_CONTROLLER);
    assert_eq!(world.alter(8, 1, 9, asked(0, 2)), ErrorCode::NOT_CONTROLLER);
    assert_eq!(world.alter(9, 1, 9, asked(-1, 1)), ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(world.alter(10, 1, 8, asked(0, 1)), ErrorCode::UNKNOWN_TOPIC_ID);
    assert_eq!(world.alter(11, 7, 9, asked(0, 1)), ErrorCode::STALE_BROKER_EPOCH);
    let unknown = PartitionDataRequest { partition_index: 5, ..asked(0, 0) };
    assert_eq!(world.alter(12, 1, 9, unknown), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
}

#[test]
fn an_isr_change_that_meets_another_write_waits_for_it() {
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[1, 2, 3]]);
    let alive = vec![broker(1, 101), broker(2, 102)];
    world.brokers.remove(&3);
    let actions = world.controller.handle(Event::BrokersChanged(alive));
    let request = AlterPartitionRequest {
        broker_id: 1,
        broker_epoch: 101,
        topics: vec![TopicDataRequest {
            topic_id: Uuid([9; 16]),
            partitions: vec![PartitionDataRequest {
                new_isr_with_epochs: vec![BrokerState { broker_id: 1, broker_epoch: -1 }],
                ..Default::default()
            }],
            ..Default::default()
        }],
    };
    let meanwhile = world.controller.handle(Event::AlterPartition { request, version: 3, token: 1 });
    assert_eq!(meanwhile, []);
    let follow: Vec<Event> = actions.into_iter().filter_map(|action| world.act(action)).collect();
    follow.into_iter().for_each(|event| world.does(event));
    assert_eq!(world.state("t", 0), (1, 1, vec![1, 2]));
    let Answer::AlterPartition(response) = &world.answers[&1] else { panic!() };
    assert_eq!(ErrorCode(response.topics[0].partitions[0].error_code), ErrorCode::FENCED_LEADER_EPOCH);
}

#[test]
fn a_state_that_somebody_else_wrote_is_read_again() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2]]);
    // Behind our back, as an older controller's last write would.
    let entry = world.states.get_mut(&tp("t", 0)).unwrap();
    *entry = (PartitionState { isr: vec![1], ..entry.0.clone() }, 5);
    assert_eq!(world.isr_change(1, 1, 9, 0, &[1, 2]), ErrorCode::NOT_CONTROLLER);
    world.brokers_are(&[(1, 101)]);
    assert_eq!(world.states[&tp("t", 0)].1, 5);
    assert_eq!(world.controller.partition(&tp("t", 0)).unwrap().known.as_ref().unwrap().partition_epoch, 5);
}

#[test]
fn a_leaving_broker_hands_over_and_is_told_to_stop_following() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[2, 1], &[1, 2], &[2]]);
    world.sent();
    let response = world.shut_down(1, 2, 102);
    assert_eq!((response.error_code, response.remaining_partitions.len()), (0, 0));
    assert_eq!(world.state("t", 0), (1, 1, vec![1]));
    assert_eq!(world.state("t", 1), (1, 1, vec![1]));
    assert_eq!(world.state("t", 2), (2, 0, vec![2]));
    let told = world.told();
    assert!(told.contains(&"2: lead t-0 led by 1@1".to_owned()), "{told:?}");
    assert!(told.contains(&"2: stop t-1@1".to_owned()), "{told:?}");
    // It may not come back into the ISR.
    assert_eq!(world.isr_change(2, 1, 9, 0, &[1, 2]), ErrorCode::INELIGIBLE_REPLICA);
    assert_eq!(world.shut_down(3, 2, 101).error_code, ErrorCode::STALE_BROKER_EPOCH.0);
    assert_eq!(world.shut_down(4, 5, -1).error_code, ErrorCode::BROKER_NOT_AVAILABLE.0);
}

#[test]
fn a_leaving_broker_keeps_what_nobody_else_can_lead() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[2, 1]]);
    world.isr_change(1, 2, 9, 0, &[2]);
    let response = world.shut_down(2, 2, 102);
    assert_eq!(response.remaining_partitions.len(), 1);
    assert_eq!(world.state("t", 0), (2, 0, vec![2]));
}

#[test]
fn a_deleted_topic_is_forgotten_deleted_everywhere_and_erased() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2], &[2, 1]]);
    world.sent();
    world.does(Event::DeleteTopics(vec!["t".into(), "nope".into()]));
    assert_eq!(world.forgotten, [Arc::from("nope")]);
    world.does(Event::AwaitDeletion { topics: vec!["t".into()], token: 1 });
    let sent = world.sent();
    let told: Vec<String> = sent.iter().map(|(broker, request)| format!("{broker}: {}", short(request))).collect();
    assert_eq!(
        told,
        [
            "1: know 1+2 t-0@-2 t-1@-2",
            "2: know 1+2 t-0@-2 t-1@-2",
            "1: stop t-0@-2 delete, t-1@-2 delete",
            "2: stop t-0@-2 delete, t-1@-2 delete",
        ]
    );
    for (broker, request) in stops(sent) {
        assert!(world.erased.is_empty() && world.answers.is_empty());
        world.answers_stop(broker, request, ErrorCode::NONE);
    }
    assert_eq!(world.erased, [Arc::from("t")]);
    assert_eq!(world.answers[&1], Answer::Deletion);
    // The name is free again.
    world.create("t", 10, &[&[2]]);
    assert_eq!(world.state("t", 0), (2, 0, vec![2]));
}

#[test]
fn a_deletion_waits_for_a_dead_replica_and_goes_on_when_it_returns() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2]]);
    world.brokers_are(&[(1, 101)]);
    world.sent();
    world.does(Event::DeleteTopics(vec!["t".into()]));
    let first = stops(world.sent());
    world.does(Event::AwaitDeletion { topics: vec!["t".into()], token: 1 });
    assert!(world.answers.is_empty());
    first.into_iter().for_each(|(broker, request)| world.answers_stop(broker, request, ErrorCode::NONE));
    assert_eq!(world.answers[&1], Answer::Deletion);
    assert!(world.erased.is_empty());
    world.brokers_are(&[(1, 101), (2, 202)]);
    let second = stops(world.sent());
    assert_eq!(second.len(), 1);
    second.into_iter().for_each(|(broker, request)| world.answers_stop(broker, request, ErrorCode::NONE));
    assert_eq!(world.erased, [Arc::from("t")]);
}

#[test]
fn a_topic_that_was_replaced_behind_our_back_is_another_topic() {
    let mut world = World::new(&[1]);
    world.create("t", 9, &[&[1]]);
    world.states.clear();
    let other = assignment(10, &[&[1], &[1]]);
    world.topics.insert("t".into(), other.clone());
    world.does(Event::TopicDataChanged { topic: "t".into(), assignment: other });
    assert_eq!(world.states.len(), 2);
    assert_eq!(world.controller.topics["t"].id, Uuid([10; 16]));
    assert!(!world.controller.names.contains_key(&Uuid([9; 16])));
}

#[test]
fn a_replica_whose_disk_failed_neither_leads_nor_stays_in_the_isr() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2]]);
    let answer = |error: ErrorCode| Event::LeaderAndIsrAnswered {
        broker: 1,
        broker_epoch: 101,
        response: LeaderAndIsrResponse {
            error_code: 0,
            topics: vec![LeaderAndIsrTopicError {
                topic_id: Uuid([9; 16]),
                partition_errors: vec![LeaderAndIsrPartitionError { error_code: error.0, ..Default::default() }],
            }],
            ..Default::default()
        },
    };
    world.does(answer(ErrorCode::KAFKA_STORAGE_ERROR));
    assert_eq!(world.state("t", 0), (2, 1, vec![2]));
    world.does(answer(ErrorCode::NONE));
    assert_eq!(world.isr_change(1, 2, 9, 0, &[2, 1]), ErrorCode::NONE);
}
