//! The brokers, the registry and the network of a simulated cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ottla::controller::ControlRequest;
use ottla::controller::state::{Action as Decision, Answer, ControllerState, Event as News, LiveBroker, Written};
use ottla::log::LeaderEpochs;
use ottla::registry::znodes::{self, BrokerRegistration, PartitionState, ReplicaAssignment, TopicAssignment};
use ottla::replication::fetcher::state::{Done, Fetcher, Following, Limits as FetchLimits, Next, Position, Todo};
use ottla::replication::partition::{
    Action, Event, LeaderAndIsr, Limits, Millis, Partition, diverging_epoch, truncation_point,
};
use ottla::wire::messages::alter_partition::{BrokerState, PartitionDataRequest, TopicDataRequest};
use ottla::wire::messages::fetch::{EpochEndOffset, FetchableTopicResponse, PartitionData};
use ottla::wire::messages::leader_and_isr::{LeaderAndIsrPartitionError, LeaderAndIsrTopicError};
use ottla::wire::messages::*;
use ottla::wire::{Bytes, ErrorCode, TopicPartition, Uuid};

const TOPIC_ID: Uuid = Uuid([5; 16]);
const SESSION_MS: Millis = 6_000;
const LAG_MS: Millis = 5_000;
/// After so long an unanswered request has failed.
const TIMEOUT_MS: Millis = 2_000;
const MIN_ISR: usize = 2;

/// What happened in a history.
#[derive(Debug, Default, Clone)]
pub struct Told {
    pub appended: u64,
    pub acknowledged: u64,
    pub crashes: u64,
    pub forgotten: u64,
    pub elections: u64,
    pub controllers: u64,
    pub cuts: u64,
    pub truncations: u64,
}

impl Told {
    pub fn add(&mut self, other: &Told) {
        self.appended += other.appended;
        self.acknowledged += other.acknowledged;
        self.crashes += other.crashes;
        self.forgotten += other.forgotten;
        self.elections += other.elections;
        self.controllers += other.controllers;
        self.cuts += other.cuts;
        self.truncations += other.truncations;
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len() as u64) as usize]
    }
}

/// One record: the epoch it was written in, and a value that no other has.
type Record = (i32, u64);

/// What a replica has on its disk.
#[derive(Default)]
struct Disk {
    records: Vec<Record>,
    epochs: LeaderEpochs,
    /// Before this, nothing is forgotten.
    synced: usize,
    checkpointed_high_watermark: i64,
}

struct Replica {
    partition: Partition,
    /// Appends that wait for the high watermark: value, the offset after it, epoch.
    waiting: Vec<(u64, i64, i32)>,
    /// An ISR that was proposed and is not answered.
    proposal: Option<(Vec<i32>, i32, i32)>,
}

#[derive(Default)]
struct Node {
    up: bool,
    stopped: bool,
    /// Counts starts: what belongs to an earlier one is nothing.
    life: u64,
    /// The broker epoch, while there is a session.
    session: Option<i64>,
    /// When the registry last heard of it.
    heard: Millis,
    replicas: BTreeMap<i32, Replica>,
    disks: BTreeMap<i32, Disk>,
    fetchers: BTreeMap<i32, Fetcher>,
    /// A fetch under way to this leader, by number.
    fetching: BTreeMap<i32, u64>,
    /// An AlterPartition under way, by number.
    altering: Option<u64>,
    alive: BTreeSet<i32>,
    controller_epoch: i32,
    controller: i32,
}

enum Message {
    Fetch { from: i32, to: i32, life: u64, number: u64, request: FetchRequest },
    Fetched { by: i32, leader: i32, life: u64, number: u64, response: FetchResponse },
    FetchFailed { by: i32, leader: i32, life: u64, number: u64 },
    Control { reign: i32, to: i32, request: ControlRequest },
    Controlled { reign: i32, from: i32, answer: Option<News> },
    Alter { from: i32, life: u64, number: u64, request: AlterPartitionRequest },
    Altered { by: i32, life: u64, number: u64, response: AlterPartitionResponse },
    AlterFailed { by: i32, life: u64, number: u64 },
    Wrote { reign: i32, results: Vec<Written> },
    Tick(i32),
    Produce,
    Fault,
    Registry,
}

/// The controller, where it runs, and what it has yet to send.
struct Reign {
    host: i32,
    life: u64,
    epoch: i32,
    state: ControllerState,
    /// Each broker's requests, in order; the first one is under way.
    outbox: BTreeMap<i32, Vec<ControlRequest>>,
    asked: BTreeMap<u64, (i32, u64, u64)>,
    tokens: u64,
}

pub struct Cluster {
    seed: u64,
    random: Random,
    now: Millis,
    queue: BTreeMap<(Millis, u64), Message>,
    sequence: u64,
    nodes: BTreeMap<i32, Node>,
    cut: BTreeSet<(i32, i32)>,
    faulty: bool,
    // The registry.
    registered: BTreeMap<i32, i64>,
    zxid: i64,
    states: BTreeMap<i32, (PartitionState, i32)>,
    assignment: TopicAssignment,
    controller_epoch: i32,
    reign: Option<Reign>,
    // What must hold.
    values: u64,
    acknowledged: BTreeMap<i32, BTreeMap<i64, u64>>,
    leaders: BTreeMap<(i32, i32), i32>,
    told: Told,
}

fn name(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn live(id: i32, epoch: i64) -> LiveBroker {
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

impl Disk {
    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    fn end_offset_for(&self, epoch: i32) -> Option<(i32, i64)> {
        self.epochs.end_offset_for(epoch, self.end())
    }

    fn append(&mut self, record: Record) {
        self.epochs.assign(record.0, self.end());
        self.records.push(record);
    }

    fn truncate(&mut self, to: i64) {
        self.records.truncate(to.max(0) as usize);
        self.epochs.truncate_from_end(to);
        self.synced = self.synced.min(self.records.len());
        self.checkpointed_high_watermark = self.checkpointed_high_watermark.min(to);
    }
}

impl Cluster {
    pub fn new(seed: u64) -> Cluster {
        let mut random = Random(seed);
        let count = 3 + random.below(5) as i32;
        let ids: Vec<i32> = (1..=count).collect();
        let rows = (0..2).map(|partition| {
            let replicas = (0..3).map(|n| ids[((partition + n) % count) as usize]).collect();
            (partition, ReplicaAssignment { replicas, ..Default::default() })
        });
        let assignment = TopicAssignment { topic_id: Some(znodes::Uuid(TOPIC_ID.0)), partitions: rows.collect() };
        let mut cluster = Cluster {
            seed,
            random,
            now: 1_000_000,
            queue: BTreeMap::new(),
            sequence: 0,
            nodes: ids.iter().map(|id| (*id, Node::default())).collect(),
            cut: BTreeSet::new(),
            faulty: true,
            registered: BTreeMap::new(),
            zxid: 0,
            states: BTreeMap::new(),
            assignment,
            controller_epoch: 0,
            reign: None,
            values: 0,
            acknowledged: BTreeMap::new(),
            leaders: BTreeMap::new(),
            told: Told::default(),
        };
        for id in ids {
            cluster.start(id);
            cluster.later(10, Message::Tick(id));
        }
        cluster.later(5, Message::Registry);
        cluster.later(500, Message::Produce);
        cluster.later(2_000, Message::Fault);
        cluster
    }

    pub fn told(&self) -> Told {
        self.told.clone()
    }

    fn later(&mut self, ms: Millis, message: Message) {
        self.sequence += 1;
        self.queue.insert((self.now + ms, self.sequence), message);
    }

    pub fn run(&mut self, ms: Millis) {
        let until = self.now + ms;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > until {
                break;
            }
            let ((at, _), message) = entry.remove_entry();
            self.now = at;
            self.take(message);
        }
        self.now = until;
    }

    /// Ends all faults, so that the cluster can come to rest.
    pub fn heal(&mut self) {
        self.faulty = false;
        self.cut.clear();
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        for id in ids {
            self.node(id).stopped = false;
            if !self.nodes[&id].up {
                self.start(id);
            }
        }
    }

    fn node(&mut self, id: i32) -> &mut Node {
        self.nodes.get_mut(&id).expect("a broker of this cluster")
    }

    fn runs(&self, id: i32, life: u64) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.up && !node.stopped && node.life == life)
    }

    fn is_cut(&self, a: i32, b: i32) -> bool {
        a != b && (self.cut.contains(&(a, b)) || self.cut.contains(&(b, a)))
    }

    /// Sends something from one broker to another: it may be slow, or never arrive.
    fn send(&mut self, from: i32, to: i32, message: Message) {
        let lost = self.is_cut(from, to) || self.faulty && self.random.one_in(60);
        let is_slow = self.faulty && self.random.one_in(20);
        let delay = 1 + self.random.below(if is_slow { 400 } else { 15 });
        if !lost {
            self.later(delay as Millis, message);
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Tick(id) => {
                self.tick(id);
                let pause = 10 + self.random.below(20);
                self.later(pause as Millis, Message::Tick(id));
            }
            Message::Produce => {
                self.produce();
                let pause = 5 + self.random.below(60);
                self.later(pause as Millis, Message::Produce);
            }
            Message::Fault => {
                if self.faulty {
                    self.fault();
                }
                let pause = 300 + self.random.below(4_000);
                self.later(pause as Millis, Message::Fault);
            }
            Message::Registry => {
                self.registry();
                self.later(50, Message::Registry);
            }
            Message::Fetch { from, to, life, number, request } => {
                // One that is stopped finds it when it goes on.
                if self.nodes[&to].up && self.nodes[&to].stopped {
                    return self.later(50, Message::Fetch { from, to, life, number, request });
                }
                if self.nodes[&to].up {
                    let response = self.serve(from, to, request);
                    self.send(to, from, Message::Fetched { by: from, leader: to, life, number, response });
                }
            }
            Message::Fetched { by, leader, life, number, response } => self.fetched(by, leader, life, number, response),
            Message::FetchFailed { by, leader, life, number } => {
                let now = self.now;
                if self.nodes[&by].life == life && self.nodes[&by].fetching.get(&leader) == Some(&number) {
                    let limits = limits(by);
                    let node = self.node(by);
                    node.fetching.remove(&leader);
                    if let Some(fetcher) = node.fetchers.get_mut(&leader) {
                        fetcher.unanswered(&limits, now);
                    }
                }
            }
            Message::Control { reign, to, request } => {
                if self.nodes[&to].up && self.nodes[&to].stopped {
                    return self.later(50, Message::Control { reign, to, request });
                }
                if self.nodes[&to].up {
                    let answer = self.controlled(to, request);
                    let host = self.reign.as_ref().filter(|now| now.epoch == reign).map_or(to, |now| now.host);
                    self.send(to, host, Message::Controlled { reign, from: to, answer });
                }
            }
            Message::Controlled { reign, from, answer } => self.control_answered(reign, from, answer),
            Message::Alter { from, life, number, request } => self.alter(from, life, number, request),
            Message::Altered { by, life, number, response } => {
                if self.nodes[&by].life == life && self.nodes[&by].altering == Some(number) {
                    self.node(by).altering = None;
                    self.altered(by, &response);
                }
            }
            Message::AlterFailed { by, life, number } => {
                if self.nodes[&by].life == life && self.nodes[&by].altering == Some(number) {
                    self.node(by).altering = None;
                }
            }
            Message::Wrote { reign, results } => {
                if self.reign.as_ref().is_some_and(|now| now.epoch == reign) {
                    self.decide(News::Written(results));
                }
            }
        }
    }

    // ---------------------------------------------------------------- faults

    fn fault(&mut self) {
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        let id = self.random.of(&ids);
        match self.random.below(10) {
            0..=2 => {
                let forgets = self.random.one_in(2);
                self.crash(id, forgets);
            }
            3..=4 => self.node(id).stopped = true,
            5 => {
                let other = self.random.of(&ids);
                self.cut.insert((id, other));
                self.told.cuts += 1;
            }
            6 => {
                // From everybody, and from the registry (0).
                self.cut.extend(ids.iter().map(|other| (id, *other)));
                self.cut.insert((id, 0));
                self.told.cuts += 1;
            }
            7 => self.cut.clear(),
            _ => {
                self.cut.clear();
                for id in ids {
                    self.node(id).stopped = false;
                    if !self.nodes[&id].up {
                        self.start(id);
                    }
                }
            }
        }
    }

    fn crash(&mut self, id: i32, forgets: bool) {
        if !self.nodes[&id].up {
            return;
        }
        self.told.crashes += 1;
        let mut lost = Vec::new();
        let random = &mut self.random;
        let node = self.nodes.get_mut(&id).expect("a broker of this cluster");
        node.up = false;
        node.stopped = false;
        node.life += 1;
        node.replicas.clear();
        node.fetchers.clear();
        node.fetching.clear();
        node.altering = None;
        for (partition, disk) in &mut node.disks {
            let unsynced = disk.records.len() - disk.synced;
            if forgets && unsynced > 0 {
                let kept = disk.synced + random.below(unsynced as u64 + 1) as usize;
                if kept < disk.records.len() {
                    disk.truncate(kept as i64);
                    lost.push(*partition);
                }
            }
        }
        for partition in lost {
            self.told.forgotten += 1;
            self.excuse(partition);
        }
    }

    /// When no member of the ISR is left that has not forgotten, what was acknowledged may be gone.
    fn excuse(&mut self, partition: i32) {
        let Some((state, _)) = self.states.get(&partition) else { return };
        let is_whole = |id: &i32| self.nodes[id].up;
        if !state.isr.iter().any(is_whole) {
            self.acknowledged.remove(&partition);
        }
    }

    fn start(&mut self, id: i32) {
        let now = self.now;
        let node = self.node(id);
        node.up = true;
        node.stopped = false;
        node.life += 1;
        node.session = None;
        node.heard = now;
        node.alive.clear();
        node.controller_epoch = 0;
        node.controller = -1;
    }

    // ---------------------------------------------------------------- the registry

    /// Sessions end and begin, and there is a controller.
    fn registry(&mut self) {
        let now = self.now;
        let mut changed = false;
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        for id in ids {
            let is_heard = self.nodes[&id].up && !self.nodes[&id].stopped && !self.is_cut(id, 0);
            let is_registered = self.registered.get(&id).copied();
            if is_heard {
                let node = self.node(id);
                node.heard = now;
                match (is_registered, node.session) {
                    (Some(registered), Some(own)) if registered == own => {}
                    // An earlier life's session must end first.
                    (Some(_), None) => {}
                    (_, Some(_)) => node.session = None,
                    (None, None) => {
                        self.zxid += 1;
                        let epoch = self.zxid;
                        self.node(id).session = Some(epoch);
                        self.registered.insert(id, epoch);
                        changed = true;
                    }
                }
            }
            let is_own = self.registered.get(&id).copied() == self.nodes[&id].session;
            let silent = !is_heard || !is_own;
            if self.registered.contains_key(&id) && silent && now - self.silent_since(id) > SESSION_MS {
                self.registered.remove(&id);
                changed = true;
            }
        }
        let host_lives = self.reign.as_ref().is_some_and(|reign| {
            self.registered.contains_key(&reign.host) && self.nodes[&reign.host].life == reign.life
        });
        if !host_lives || self.faulty && self.random.one_in(400) {
            self.elect();
        } else if changed {
            let brokers = self.registered.iter().map(|(id, epoch)| live(*id, *epoch)).collect();
            self.decide(News::BrokersChanged(brokers));
        }
    }

    fn silent_since(&self, id: i32) -> Millis {
        let node = &self.nodes[&id];
        let is_own = self.registered.get(&id).copied() == node.session;
        // A restarted broker is heard, but its earlier session is not.
        if is_own { node.heard } else { node.heard.min(self.now - SESSION_MS - 1) }
    }

    fn elect(&mut self) {
        let able: Vec<i32> = self
            .registered
            .keys()
            .copied()
            .filter(|id| self.runs(*id, self.nodes[id].life) && !self.is_cut(*id, 0))
            .collect();
        self.reign = None;
        if able.is_empty() {
            return;
        }
        let host = self.random.of(&able);
        self.controller_epoch += 1;
        self.told.controllers += 1;
        let epoch = self.controller_epoch;
        let state = ControllerState::new(host, epoch, "PLAINTEXT", true);
        let life = self.nodes[&host].life;
        let (outbox, asked) = (BTreeMap::new(), BTreeMap::new());
        self.reign = Some(Reign { host, life, epoch, state, outbox, asked, tokens: 0 });
        let states = self.states.iter().map(|(id, (state, version))| (name(*id), state.clone(), *version)).collect();
        self.decide(News::Started {
            brokers: self.registered.iter().map(|(id, epoch)| live(*id, *epoch)).collect(),
            topics: vec![(Arc::from("t"), self.assignment.clone())],
            states,
            deletions: Vec::new(),
        });
    }

    // ---------------------------------------------------------------- the controller

    fn decide(&mut self, news: News) {
        let Some(reign) = &mut self.reign else { return };
        let (epoch, decisions) = (reign.epoch, reign.state.handle(news));
        for decision in decisions {
            match decision {
                Decision::Connect { broker, .. } => {
                    if let Some(reign) = &mut self.reign {
                        reign.outbox.insert(broker, Vec::new());
                    }
                }
                Decision::Disconnect { broker } => {
                    if let Some(reign) = &mut self.reign {
                        reign.outbox.remove(&broker);
                    }
                }
                Decision::Send { broker, request } => {
                    let Some(queue) = self.reign.as_mut().and_then(|reign| reign.outbox.get_mut(&broker)) else {
                        continue;
                    };
                    queue.push(request);
                    if queue.len() == 1 {
                        self.send_control(broker);
                    }
                }
                Decision::Write(writes) => {
                    let results = writes
                        .into_iter()
                        .map(|write| {
                            let number = write.number;
                            let partition = write.partition.partition;
                            let known = self.states.get(&partition).map(|(_, version)| *version);
                            let result = if known == write.expected {
                                let version = known.map_or(0, |version| version + 1);
                                self.note_leader(partition, &write.state);
                                self.states.insert(partition, (write.state, version));
                                Ok(version)
                            } else {
                                Err(ottla::controller::state::Conflict)
                            };
                            Written { partition: write.partition, number, result }
                        })
                        .collect();
                    self.later(2, Message::Wrote { reign: epoch, results });
                }
                Decision::ReadStates(partitions) => {
                    let read = partitions.into_iter().map(|partition| {
                        let state = self.states.get(&partition.partition).cloned();
                        (partition, state)
                    });
                    let read = read.collect();
                    self.decide(News::StatesRead(read));
                }
                Decision::ReadTopicConfig(topic) => self.decide(News::UncleanElection { topic, allowed: false }),
                Decision::Answer { token, answer: Answer::AlterPartition(response) } => {
                    let Some(reign) = &mut self.reign else { continue };
                    if let Some((by, life, number)) = reign.asked.remove(&token) {
                        let host = reign.host;
                        self.send(host, by, Message::Altered { by, life, number, response });
                    }
                }
                _ => {}
            }
        }
    }

    fn send_control(&mut self, broker: i32) {
        let Some(reign) = &self.reign else { return };
        let Some(request) = reign.outbox.get(&broker).and_then(|queue| queue.first()).cloned() else { return };
        let (host, epoch) = (reign.host, reign.epoch);
        self.send(host, broker, Message::Control { reign: epoch, to: broker, request });
        // Unanswered, it is sent again.
        self.later(TIMEOUT_MS, Message::Controlled { reign: epoch, from: broker, answer: None });
    }

    fn control_answered(&mut self, epoch: i32, broker: i32, answer: Option<News>) {
        let Some(reign) = self.reign.as_mut().filter(|reign| reign.epoch == epoch) else { return };
        if !self.nodes[&reign.host].up || self.nodes[&reign.host].stopped {
            return self.later(50, Message::Controlled { reign: epoch, from: broker, answer });
        }
        let Some(queue) = reign.outbox.get_mut(&broker) else { return };
        match answer {
            Some(answer) => {
                if !queue.is_empty() {
                    queue.remove(0);
                }
                if !matches!(&answer, News::LeaderAndIsrAnswered { broker_epoch: -1, .. }) {
                    self.decide(answer);
                }
                self.send_control(broker);
            }
            None if !queue.is_empty() => self.send_control(broker),
            None => {}
        }
    }

    /// Two leaders in one epoch are the end of all promises.
    fn note_leader(&mut self, partition: i32, state: &PartitionState) {
        if state.leader < 0 {
            return;
        }
        let key = (partition, state.leader_epoch);
        let before = self.leaders.insert(key, state.leader);
        if before.is_none() {
            self.told.elections += 1;
        }
        let seed = self.seed;
        assert!(
            before.is_none_or(|before| before == state.leader),
            "seed {seed}: two leaders of {partition} in epoch {}: {before:?} and {}",
            state.leader_epoch,
            state.leader
        );
    }

    // ---------------------------------------------------------------- a broker obeys

    fn controlled(&mut self, id: i32, request: ControlRequest) -> Option<News> {
        let nothing = LeaderAndIsrResponse::default();
        // Anything will do that the controller takes for an answer: only that of LeaderAndIsr is read.
        let ack = |broker_epoch| Some(News::LeaderAndIsrAnswered { broker: id, broker_epoch, response: nothing });
        let own = self.nodes[&id].session.unwrap_or(-1);
        match request {
            ControlRequest::UpdateMetadata(request) => {
                let node = self.node(id);
                if request.controller_epoch < node.controller_epoch || request.broker_epoch < own {
                    return ack(-1);
                }
                node.controller_epoch = request.controller_epoch;
                node.controller = request.controller_id;
                let alive: BTreeSet<i32> = request.live_brokers.iter().map(|broker| broker.id).collect();
                let died: Vec<i32> = node.alive.difference(&alive).copied().collect();
                node.alive = alive;
                let partitions: Vec<i32> = node.replicas.keys().copied().collect();
                for partition in partitions {
                    self.happens(id, partition, Event::Died(died.clone()));
                }
                ack(-1)
            }
            ControlRequest::LeaderAndIsr(request) => {
                if request.controller_epoch < self.nodes[&id].controller_epoch || request.broker_epoch < own {
                    return ack(-1);
                }
                self.node(id).controller_epoch = request.controller_epoch;
                let broker_epoch = request.broker_epoch;
                let mut topics = Vec::new();
                for topic in &request.topic_states {
                    let mut partition_errors = Vec::new();
                    for state in &topic.partition_states {
                        let decided = LeaderAndIsr {
                            controller_epoch: state.controller_epoch,
                            leader: state.leader,
                            leader_epoch: state.leader_epoch,
                            isr: state.isr.clone(),
                            partition_epoch: state.partition_epoch,
                            replicas: state.replicas.clone(),
                            ..Default::default()
                        };
                        let error = self.lead_or_follow(id, state.partition_index, decided);
                        partition_errors.push(LeaderAndIsrPartitionError {
                            partition_index: state.partition_index,
                            error_code: error.0,
                            ..Default::default()
                        });
                    }
                    topics.push(LeaderAndIsrTopicError { topic_id: topic.topic_id, partition_errors });
                }
                let response = LeaderAndIsrResponse { topics, ..Default::default() };
                Some(News::LeaderAndIsrAnswered { broker: id, broker_epoch, response })
            }
            ControlRequest::StopReplica(_) => ack(-1),
        }
    }

    fn lead_or_follow(&mut self, id: i32, number: i32, state: LeaderAndIsr) -> ErrorCode {
        let now = self.now;
        let node = self.node(id);
        let disk = node.disks.entry(number).or_default();
        let (end, checkpointed) = (disk.end(), disk.checkpointed_high_watermark);
        let replica = node.replicas.entry(number).or_insert_with(|| {
            let mut partition = Partition::new(id, end, checkpointed);
            partition.set_limits(Limits { min_insync_replicas: MIN_ISR, replica_lag_time_max_ms: LAG_MS });
            Replica { partition, waiting: Vec::new(), proposal: None }
        });
        let (leader, leader_epoch) = (state.leader, state.leader_epoch);
        let actions = match replica.partition.lead_or_follow(state, end, now) {
            Ok(actions) => actions,
            Err(code) => return code,
        };
        replica.proposal = None;
        let follows = leader >= 0 && leader != id;
        for (source, fetcher) in &mut node.fetchers {
            if !follows || *source != leader {
                fetcher.unfollow(&name(number));
            }
        }
        if follows {
            let of = Following { partition: name(number), leader_epoch };
            node.fetchers.entry(leader).or_default().follow(of, TOPIC_ID);
        }
        self.perform(id, number, actions);
        self.acknowledge(id, number);
        ErrorCode::NONE
    }

    /// One event of a partition, and what it leads to.
    fn happens(&mut self, id: i32, number: i32, event: Event) {
        let now = self.now;
        let Some(replica) = self.node(id).replicas.get_mut(&number) else { return };
        let actions = replica.partition.handle(event, now);
        self.perform(id, number, actions);
        self.acknowledge(id, number);
    }

    fn perform(&mut self, id: i32, number: i32, actions: Vec<Action>) {
        let node = self.node(id);
        for action in actions {
            match action {
                Action::ProposeIsr { isr, leader_epoch, partition_epoch } => {
                    if let Some(replica) = node.replicas.get_mut(&number) {
                        replica.proposal = Some((isr, leader_epoch, partition_epoch));
                    }
                }
                Action::Lead { leader_epoch, start_offset } => {
                    if let Some(disk) = node.disks.get_mut(&number) {
                        disk.epochs.assign(leader_epoch, start_offset);
                    }
                }
                Action::HighWatermark(_) | Action::Follow { .. } => {}
            }
        }
    }

    /// Answers the producers whose records are on enough replicas.
    fn acknowledge(&mut self, id: i32, number: i32) {
        let node = self.nodes.get_mut(&id).expect("a broker of this cluster");
        let Some(replica) = node.replicas.get_mut(&number) else { return };
        let partition = &replica.partition;
        let mut acknowledged = Vec::new();
        replica.waiting.retain(|(value, required, epoch)| match partition.is_replicated(*required, *epoch) {
            Ok(true) => {
                acknowledged.push((*required - 1, *value));
                false
            }
            Ok(false) => true,
            Err(_) => false,
        });
        for (offset, value) in acknowledged {
            self.told.acknowledged += 1;
            let before = self.acknowledged.entry(number).or_default().insert(offset, value);
            let seed = self.seed;
            assert_eq!(before.unwrap_or(value), value, "seed {seed}: two records acknowledged at {number}@{offset}");
        }
    }

    // ---------------------------------------------------------------- followers and leaders

    fn tick(&mut self, id: i32) {
        if !self.runs(id, self.nodes[&id].life) {
            return;
        }
        let leaders: Vec<i32> = self.nodes[&id].fetchers.keys().copied().collect();
        for leader in leaders {
            self.fetch(id, leader);
        }
        self.propose(id);
        let partitions: Vec<i32> = self.nodes[&id].replicas.keys().copied().collect();
        for partition in partitions {
            if self.random.one_in(80) {
                self.happens(id, partition, Event::CheckLag);
            }
            let syncs = self.random.one_in(40);
            let node = self.node(id);
            let high_watermark = node.replicas[&partition].partition.high_watermark();
            let Some(disk) = node.disks.get_mut(&partition) else { continue };
            if syncs {
                disk.synced = disk.records.len();
                disk.checkpointed_high_watermark = high_watermark;
            }
        }
    }

    fn fetch(&mut self, id: i32, leader: i32) {
        let now = self.now;
        let number = self.sequence + 1;
        let node = self.node(id);
        if node.fetching.contains_key(&leader) {
            return;
        }
        let disks = &node.disks;
        let position = |partition: &TopicPartition| {
            let disk = disks.get(&partition.partition)?;
            let latest_epoch = disk.epochs.latest().map(|entry| entry.epoch);
            Some(Position { log_start_offset: 0, log_end_offset: disk.end(), latest_epoch })
        };
        let Some(fetcher) = node.fetchers.get_mut(&leader) else { return };
        if let Next::Fetch(request, _) = fetcher.next(&limits(id), position, now) {
            node.fetching.insert(leader, number);
            let life = node.life;
            self.send(id, leader, Message::Fetch { from: id, to: leader, life, number, request });
            self.later(TIMEOUT_MS, Message::FetchFailed { by: id, leader, life, number });
        }
    }

    /// What `ReplicaManager` and the Fetch handler do, without sessions and waiting.
    fn serve(&mut self, from: i32, id: i32, request: FetchRequest) -> FetchResponse {
        let mut partitions = Vec::new();
        for asked in request.topics.iter().flat_map(|topic| &topic.partitions) {
            let number = asked.partition;
            let data = match self.serve_partition(from, id, asked) {
                Ok(data) => data,
                Err(code) => PartitionData { error_code: code.0, ..Default::default() },
            };
            partitions.push(PartitionData { partition_index: number, ..data });
        }
        let topic = FetchableTopicResponse { topic_id: TOPIC_ID, partitions, ..Default::default() };
        FetchResponse { responses: vec![topic], ..Default::default() }
    }

    fn serve_partition(
        &mut self,
        from: i32,
        id: i32,
        asked: &fetch::FetchPartition,
    ) -> Result<PartitionData, ErrorCode> {
        let number = asked.partition;
        let node = &self.nodes[&id];
        let replica = node.replicas.get(&number).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        replica.partition.check_leader(Some(asked.current_leader_epoch))?;
        if !replica.partition.replicas().contains(&from) {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        let disk = &node.disks[&number];
        if asked.last_fetched_epoch >= 0 {
            let known = disk.end_offset_for(asked.last_fetched_epoch);
            if let Some((epoch, end_offset)) = diverging_epoch(asked.last_fetched_epoch, asked.fetch_offset, known)? {
                let diverging_epoch = EpochEndOffset { epoch, end_offset };
                return Ok(PartitionData { diverging_epoch, ..Default::default() });
            }
        }
        if asked.fetch_offset > disk.end() {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        let is_alive = node.alive.contains(&from);
        let fetch_offset = asked.fetch_offset;
        self.happens(id, number, Event::FollowerFetched { replica: from, fetch_offset, log_start_offset: 0, is_alive });
        let most = 1 + self.random.below(30) as usize;
        let node = &self.nodes[&id];
        let records = node.disks[&number].records[fetch_offset as usize..].iter().take(most);
        let bytes: Vec<u8> = records
            .flat_map(|(epoch, value)| [epoch.to_be_bytes().to_vec(), value.to_be_bytes().to_vec()].concat())
            .collect();
        let high_watermark = node.replicas[&number].partition.high_watermark();
        Ok(PartitionData { high_watermark, records: Some(Bytes::from(bytes)), ..Default::default() })
    }

    fn fetched(&mut self, id: i32, leader: i32, life: u64, number: u64, response: FetchResponse) {
        if self.nodes[&id].up && self.nodes[&id].stopped && self.nodes[&id].life == life {
            return self.later(50, Message::Fetched { by: id, leader, life, number, response });
        }
        if !self.runs(id, life) || self.nodes[&id].fetching.get(&leader) != Some(&number) {
            return;
        }
        let now = self.now;
        let limits = limits(id);
        let node = self.node(id);
        node.fetching.remove(&leader);
        let Some(fetcher) = node.fetchers.get_mut(&leader) else { return };
        for todo in fetcher.fetched(response, &limits, now) {
            let (of, done) = self.carry_out(id, leader, todo);
            if let Some(fetcher) = self.node(id).fetchers.get_mut(&leader) {
                fetcher.done(&of, done, &limits, now);
            }
        }
    }

    /// What the fetcher's shell and `Replica` do.
    fn carry_out(&mut self, id: i32, leader: i32, todo: Todo) -> (Following, Done) {
        let (of, outcome) = match todo {
            Todo::Append { of, fetch_offset, records, high_watermark, .. } => {
                let appended = self.append_fetched(id, &of, fetch_offset, &records, high_watermark);
                (of, appended)
            }
            Todo::Truncate { of, epoch, end_offset } => {
                let number = of.partition.partition;
                let own = self.nodes[&id].disks[&number].end_offset_for(epoch);
                let high_watermark = self.nodes[&id].replicas[&number].partition.high_watermark();
                let (to, _) = truncation_point(epoch, end_offset, own, high_watermark);
                let cut = self.cut_log(id, &of, to);
                (of, cut)
            }
            Todo::FindRange { of } => {
                let number = of.partition.partition;
                // As if ListOffsets were answered at once.
                let leads = |replica: &&Replica| replica.partition.check_leader(Some(of.leader_epoch)).is_ok();
                let end = match self.nodes[&leader].replicas.get(&number).filter(leads) {
                    Some(_) if self.nodes[&leader].up => self.nodes[&leader].disks[&number].end(),
                    _ => return (of, Done::Failed),
                };
                let cut = self.cut_log(id, &of, end);
                (of, cut)
            }
        };
        (of, if outcome.is_ok() { Done::Went } else { Done::Failed })
    }

    fn append_fetched(
        &mut self,
        id: i32,
        of: &Following,
        fetch_offset: i64,
        records: &[u8],
        leader_high_watermark: i64,
    ) -> Result<(), ErrorCode> {
        let number = of.partition.partition;
        let node = self.node(id);
        let replica = node.replicas.get(&number).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        replica.partition.check_follows(of.leader_epoch)?;
        let disk = node.disks.get_mut(&number).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if disk.end() != fetch_offset {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        for record in records.chunks_exact(12) {
            let (epoch, value) = record.split_at(4);
            let epoch = i32::from_be_bytes(epoch.try_into().expect("four bytes"));
            disk.append((epoch, u64::from_be_bytes(value.try_into().expect("eight bytes"))));
        }
        let log_end_offset = disk.end();
        self.happens(id, number, Event::Followed { log_end_offset, leader_high_watermark });
        Ok(())
    }

    fn cut_log(&mut self, id: i32, of: &Following, to: i64) -> Result<(), ErrorCode> {
        let number = of.partition.partition;
        let node = self.nodes.get_mut(&id).expect("a broker of this cluster");
        let replica = node.replicas.get_mut(&number).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        replica.partition.check_follows(of.leader_epoch)?;
        let disk = node.disks.get_mut(&number).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if to < disk.end() {
            self.told.truncations += 1;
        }
        disk.truncate(to);
        let end = disk.end();
        replica.partition.truncated(end, replica.partition.high_watermark());
        Ok(())
    }

    fn produce(&mut self) {
        let number = self.random.below(2) as i32;
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        // Clients may well believe in a leader that is none any more.
        for id in ids {
            if !self.runs(id, self.nodes[&id].life) {
                continue;
            }
            self.values += 1;
            let value = self.values;
            let node = self.nodes.get_mut(&id).expect("a broker of this cluster");
            let Some(replica) = node.replicas.get_mut(&number) else { continue };
            let partition = &replica.partition;
            if partition.check_leader(None).is_err() || partition.check_enough_replicas().is_err() {
                continue;
            }
            let epoch = partition.leader_epoch();
            let disk = node.disks.get_mut(&number).expect("who leads has a disk");
            disk.append((epoch, value));
            let log_end_offset = disk.end();
            replica.waiting.push((value, log_end_offset, epoch));
            self.told.appended += 1;
            self.happens(id, number, Event::Appended { log_end_offset });
        }
    }

    // ---------------------------------------------------------------- ISRs

    fn propose(&mut self, id: i32) {
        let number = self.sequence + 1;
        let controller = self.nodes[&id].controller;
        let node = self.node(id);
        if node.altering.is_some() || controller < 0 {
            return;
        }
        let open = node.replicas.iter_mut().filter_map(|(index, replica)| {
            let (isr, leader_epoch, partition_epoch) = replica.proposal.clone()?;
            if replica.partition.check_leader(Some(leader_epoch)).is_err() {
                replica.proposal = None;
                return None;
            }
            Some(PartitionDataRequest {
                partition_index: *index,
                leader_epoch,
                new_isr_with_epochs: isr
                    .iter()
                    .map(|id| BrokerState { broker_id: *id, ..Default::default() })
                    .collect(),
                partition_epoch,
                ..Default::default()
            })
        });
        let partitions: Vec<PartitionDataRequest> = open.collect();
        if partitions.is_empty() {
            return;
        }
        let topics = vec![TopicDataRequest { topic_id: TOPIC_ID, partitions, ..Default::default() }];
        let request = AlterPartitionRequest { broker_id: id, broker_epoch: node.session.unwrap_or(-1), topics };
        node.altering = Some(number);
        let life = node.life;
        self.send(id, controller, Message::Alter { from: id, life, number, request });
        self.later(TIMEOUT_MS, Message::AlterFailed { by: id, life, number });
    }

    fn alter(&mut self, from: i32, life: u64, number: u64, request: AlterPartitionRequest) {
        let Some(reign) = &mut self.reign else { return };
        if !self.nodes[&reign.host].up {
            return;
        }
        if self.nodes[&reign.host].stopped {
            return self.later(50, Message::Alter { from, life, number, request });
        }
        reign.tokens += 1;
        let token = reign.tokens;
        reign.asked.insert(token, (from, life, number));
        self.decide(News::AlterPartition { request, version: 3, token });
    }

    fn altered(&mut self, id: i32, response: &AlterPartitionResponse) {
        if response.error_code != 0 {
            return;
        }
        for answer in response.topics.iter().flat_map(|topic| &topic.partitions) {
            let number = answer.partition_index;
            let Some(replica) = self.node(id).replicas.get_mut(&number) else { continue };
            let Some((_, leader_epoch, _)) = replica.proposal else { continue };
            let event = match ErrorCode(answer.error_code) {
                ErrorCode::NONE => Event::IsrAccepted {
                    leader_epoch: answer.leader_epoch,
                    isr: answer.isr.clone(),
                    partition_epoch: answer.partition_epoch,
                },
                ErrorCode::INELIGIBLE_REPLICA | ErrorCode::OPERATION_NOT_ATTEMPTED => {
                    Event::IsrRefused { leader_epoch, give_up: false }
                }
                ErrorCode::FENCED_LEADER_EPOCH
                | ErrorCode::INVALID_REQUEST
                | ErrorCode::INVALID_UPDATE_VERSION
                | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                | ErrorCode::UNKNOWN_TOPIC_ID => Event::IsrRefused { leader_epoch, give_up: true },
                _ => continue,
            };
            replica.proposal = None;
            self.happens(id, number, event);
        }
    }

    // ---------------------------------------------------------------- what must hold

    /// Everything has had time to come to rest: whoever leads has all that was acknowledged, and all replicas are alike.
    pub fn check_at_rest(&self) {
        let seed = self.seed;
        for (number, (state, _)) in &self.states {
            let replicas = &self.assignment.partitions[number].replicas;
            let mut isr = state.isr.clone();
            isr.sort_unstable();
            let mut all = replicas.clone();
            all.sort_unstable();
            assert_eq!(isr, all, "seed {seed}: partition {number} is not whole: {state:?}");
            let leader = &self.nodes[&state.leader];
            let log = &leader.disks[number].records;
            for (offset, value) in self.acknowledged.get(number).into_iter().flatten() {
                let found = log.get(*offset as usize).map(|(_, value)| *value);
                assert_eq!(found, Some(*value), "seed {seed}: lost: partition {number}, offset {offset}");
            }
            let committed = leader.replicas[number].partition.high_watermark() as usize;
            for id in replicas {
                let node = &self.nodes[id];
                let own = node.replicas[number].partition.high_watermark() as usize;
                let common = committed.min(own);
                let alike = node.disks[number].records.get(..common) == log.get(..common);
                assert!(alike, "seed {seed}: partition {number} of broker {id} differs below the high watermark");
            }
        }
    }
}

fn limits(id: i32) -> FetchLimits {
    FetchLimits {
        replica_id: id,
        replica_epoch: -1,
        fetch_version: 17,
        max_wait_ms: 0,
        min_bytes: 1,
        response_max_bytes: 1 << 20,
        partition_max_bytes: 1 << 20,
        backoff_ms: 1_000,
    }
}
