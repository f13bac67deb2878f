//! Random histories by seed: brokers die and return, topics come and go and move, controllers are killed between any
//! two deeds, the registry's answers come late. What must always hold is checked at every step; at the end everything
//! heals, and then everything that was begun must be done.

use super::*;

/// Small, fast, and the same everywhere: splitmix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides as u64) as usize
    }
}

const BROKERS: usize = 5;

/// A world in which the registry's answers come in order, but late.
struct History {
    dice: Dice,
    world: World,
    late: Vec<Event>,
    token: Token,
    epoch: i32,
    broker_epoch: i64,
}

impl History {
    fn new(seed: u64) -> History {
        let mut dice = Dice(seed);
        let ids: Vec<i32> = (1..=BROKERS as i32).collect();
        let mut world = World::new(&ids);
        world.unclean = dice.roll(4) == 0;
        History { dice, world, late: Vec::new(), token: 0, epoch: 7, broker_epoch: 1000 }
    }

    fn one(&mut self, sides: usize) -> bool {
        self.dice.roll(sides) == 0
    }

    fn any_broker(&mut self) -> i32 {
        self.dice.roll(BROKERS) as i32 + 1
    }

    /// Different brokers, at least one.
    fn some_brokers(&mut self) -> Vec<i32> {
        let (first, count) = (self.dice.roll(BROKERS), 1 + self.dice.roll(3));
        (0..count).map(|n| ((first + n) % BROKERS) as i32 + 1).collect()
    }

    fn any_topic(&mut self) -> Arc<str> {
        format!("t{}", self.dice.roll(4)).into()
    }

    fn any_partition(&mut self) -> TopicPartition {
        let topic = self.any_topic();
        TopicPartition::new(topic, self.dice.roll(3) as i32)
    }

    fn run(&mut self) {
        for _ in 0..200 {
            self.token += 1;
            let events = self.happens();
            for event in events {
                self.step(event);
            }
            // What the registry answers comes in order, sooner or later.
            while !self.late.is_empty() && !self.one(3) {
                let event = self.late.remove(0);
                self.step(event);
            }
        }
        self.heal();
    }

    fn happens(&mut self) -> Vec<Event> {
        match self.dice.roll(14) {
            0 | 1 => vec![self.broker_goes_or_comes()],
            2 => self.topic_created(),
            3..=5 => self.leader_wants_an_isr().into_iter().collect(),
            6 => {
                let broker_id = self.any_broker();
                let broker_epoch = self.world.brokers.get(&broker_id).map_or(0, |live| live.epoch);
                let request = ControlledShutdownRequest { broker_id, broker_epoch };
                vec![Event::ControlledShutdown { request, token: self.token }]
            }
            7 if self.one(3) => {
                let topic = self.any_topic();
                self.world.wishes.insert(topic.clone());
                vec![Event::DeleteTopics(vec![topic])]
            }
            8 => self.brokers_answer(5),
            9 | 10 => vec![self.somebody_moves_partitions()],
            11 => vec![self.somebody_wants_an_election()],
            12 => vec![self.a_disk_fails_or_recovers()],
            13 if self.one(2) => self.another_controller(),
            _ => Vec::new(),
        }
    }

    fn broker_goes_or_comes(&mut self) -> Event {
        let id = self.any_broker();
        if self.world.brokers.remove(&id).is_none() || self.one(4) {
            self.broker_epoch += 1;
            self.world.brokers.insert(id, broker(id, self.broker_epoch));
        }
        Event::BrokersChanged(self.world.brokers.values().cloned().collect())
    }

    fn topic_created(&mut self) -> Vec<Event> {
        let topic = self.any_topic();
        let rows: Vec<Vec<i32>> = (0..1 + self.dice.roll(3)).map(|_| self.some_brokers()).collect();
        let rows: Vec<&[i32]> = rows.iter().map(Vec::as_slice).collect();
        let id = (self.token % 251) as u8 + 1;
        self.world.topics.entry(topic).or_insert_with(|| assignment(id, &rows));
        let names: BTreeSet<Arc<str>> = self.world.topics.keys().cloned().collect();
        let new = names.iter().filter(|name| self.world.controller.topic_id(name).is_none());
        let new = new.map(|name| (name.clone(), self.world.topics[name].clone())).collect();
        vec![Event::TopicsChanged { names, new }]
    }

    /// With what it knows, which may be of yesterday.
    fn leader_wants_an_isr(&mut self) -> Option<Event> {
        let known: Vec<TopicPartition> = self.world.states.keys().cloned().collect();
        if known.is_empty() {
            return None;
        }
        let name = known[self.dice.roll(known.len())].clone();
        let (leader, _, _) = self.world.state(&name.topic, name.partition);
        let replicas = self.world.topics.get(&name.topic)?.partitions.get(&name.partition)?.replicas.clone();
        let isr = replicas.into_iter().filter(|id| *id == leader || !self.one(3)).collect();
        self.alter(&name, isr)
    }

    fn alter(&mut self, name: &TopicPartition, isr: Vec<i32>) -> Option<Event> {
        let (state, version) = self.world.states.get(name)?.clone();
        let asked = PartitionDataRequest {
            partition_index: name.partition,
            leader_epoch: state.leader_epoch,
            new_isr_with_epochs: isr.into_iter().map(|broker_id| BrokerState { broker_id, broker_epoch: -1 }).collect(),
            partition_epoch: version,
            ..Default::default()
        };
        let topic_id = self.world.controller.topic_id(&name.topic)?;
        let topics = vec![TopicDataRequest { topic_id, partitions: vec![asked], ..Default::default() }];
        let broker_epoch = self.world.brokers.get(&state.leader).map_or(0, |live| live.epoch);
        let request = AlterPartitionRequest { broker_id: state.leader, broker_epoch, topics };
        Some(Event::AlterPartition { request, version: 3, token: self.token })
    }

    /// Brokers answer what they were told to stop; one in `errors` with an error, or none.
    fn brokers_answer(&mut self, errors: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for (id, request) in stops(self.world.sent()) {
            let Some(live) = self.world.brokers.get(&id) else { continue };
            let broker_epoch = live.epoch;
            if request.broker_epoch != broker_epoch {
                continue;
            }
            let fails = errors > 0 && self.one(errors);
            let error = if fails { ErrorCode::KAFKA_STORAGE_ERROR } else { ErrorCode::NONE };
            let rows = request.topic_states.iter().flat_map(|topic| {
                topic.partition_states.iter().map(|partition| StopReplicaPartitionError {
                    topic_name: topic.topic_name.clone(),
                    partition_index: partition.partition_index,
                    error_code: error.0,
                })
            });
            let response = StopReplicaResponse { error_code: 0, partition_errors: rows.collect() };
            events.push(Event::StopReplicaAnswered { broker: id, broker_epoch, request, response });
        }
        events
    }

    fn somebody_moves_partitions(&mut self) -> Event {
        let name = self.any_partition();
        if self.one(4) {
            // Whoever notes it down takes what stands there along.
            let target = self.some_brokers();
            self.world.noted.insert(name, target);
            return Event::ReassignmentsRead(self.world.noted.clone().into_iter().collect());
        }
        let target = if self.one(4) { None } else { Some(self.some_brokers()) };
        let other = (self.any_partition(), Some(self.some_brokers()));
        let partitions = BTreeMap::from([other, (name, target)]).into_iter().collect();
        Event::AlterReassignments { partitions, token: self.token }
    }

    fn somebody_wants_an_election(&mut self) -> Event {
        let partitions = vec![self.any_partition(), self.any_partition()];
        match self.dice.roll(4) {
            0 => Event::RebalanceDue { tolerated_percentage: 10 },
            1 if self.world.unclean => Event::ElectLeaders {
                partitions,
                election: ElectionType::Unclean,
                trigger: Trigger::Request(self.token),
            },
            2 => {
                self.world.preferred = Some(partitions.clone());
                Event::ElectLeaders { partitions, election: ElectionType::Preferred, trigger: Trigger::Znode }
            }
            _ => Event::ElectLeaders {
                partitions,
                election: ElectionType::Preferred,
                trigger: Trigger::Request(self.token),
            },
        }
    }

    fn a_disk_fails_or_recovers(&mut self) -> Event {
        let (broker, name) = (self.any_broker(), self.any_partition());
        let error = if self.one(2) { ErrorCode::KAFKA_STORAGE_ERROR } else { ErrorCode::NONE };
        self.answers_for(broker, &name, error)
    }

    fn answers_for(&self, broker: i32, name: &TopicPartition, error: ErrorCode) -> Event {
        let row =
            LeaderAndIsrPartitionError { partition_index: name.partition, error_code: error.0, ..Default::default() };
        let topic_id = self.world.controller.topic_id(&name.topic).unwrap_or_default();
        let response = LeaderAndIsrResponse {
            topics: vec![LeaderAndIsrTopicError { topic_id, partition_errors: vec![row] }],
            ..Default::default()
        };
        let broker_epoch = self.world.brokers.get(&broker).map_or(0, |live| live.epoch);
        Event::LeaderAndIsrAnswered { broker, broker_epoch, response }
    }

    /// What was under way at the old one is nobody's any more.
    fn another_controller(&mut self) -> Vec<Event> {
        self.epoch += 1;
        self.late.clear();
        self.world.sent();
        self.world.takes_over(self.epoch)
    }

    fn step(&mut self, event: Event) {
        let world = &mut self.world;
        let before = all(&world.controller).filter_map(|(name, p)| Some((name, p.known.clone()?)));
        let before: BTreeMap<TopicPartition, Known> = before.collect();
        let same_topics: BTreeSet<Uuid> = world.controller.names.keys().copied().collect();
        let shown = event.clone();
        let mut actions = world.controller.handle(event);
        let kept = before.into_iter().filter(|(name, _)| {
            world.controller.topics.get(&name.topic).is_some_and(|topic| same_topics.contains(&topic.id))
        });
        if let Some(violation) = violation(&kept.collect(), &world.controller) {
            panic!("{violation}, after {shown:?}");
        }
        // Killed in the middle: of what it was about to do, only the first part is done.
        let is_killed = self.dice.roll(60) == 0;
        if is_killed {
            actions.truncate(self.dice.roll(actions.len() + 1));
            if let Some(Action::Write(writes)) = actions.last_mut() {
                writes.truncate(self.dice.roll(writes.len() + 1));
            }
        }
        for action in actions {
            self.late.extend(self.world.act(action));
        }
        if is_killed {
            for event in self.another_controller() {
                self.step(event);
            }
        }
    }

    fn quiet(&mut self) {
        while !self.late.is_empty() {
            let event = self.late.remove(0);
            self.step(event);
        }
    }

    /// Everybody lives, every disk is whole, every follower catches up: what was begun comes to its end.
    fn heal(&mut self) {
        self.quiet();
        self.settled();
        for id in 1..=BROKERS as i32 {
            self.broker_epoch += 1;
            let epoch = self.broker_epoch;
            self.world.brokers.insert(id, broker(id, epoch));
        }
        self.step(Event::BrokersChanged(self.world.brokers.values().cloned().collect()));
        for _ in 0..6 {
            self.quiet();
            for event in self.brokers_answer(0) {
                self.step(event);
                self.quiet();
            }
            let names: Vec<TopicPartition> = self.world.states.keys().cloned().collect();
            for name in names {
                self.token += 1;
                let Some(topic) = self.world.topics.get(&name.topic) else { continue };
                let replicas = topic.partitions[&name.partition].replicas.clone();
                if let Some(event) = self.alter(&name, replicas) {
                    self.step(event);
                    self.quiet();
                }
            }
        }
        self.settled();
        self.everything_is_done();
    }

    /// When nothing is under way: what is known is what the registry has, and whatever can be led is led.
    fn settled(&self) {
        let world = &self.world;
        for (name, partition) in all(&world.controller) {
            assert!(!world.controller.is_busy(&name), "{name} hangs");
            let topic = &world.controller.topics[&name.topic];
            if topic.deletion.is_some() {
                continue;
            }
            assert_eq!(partition.assignment, world.topics[&name.topic].partitions[&name.partition], "{name}");
            let known = partition.known.as_ref().map(|known| (known.state.clone(), known.partition_epoch));
            assert_eq!(known.as_ref(), world.states.get(&name), "{name}");
            let alive = |id: &i32| world.controller.standing(*id, &name) == Standing::Alive;
            match known {
                None => assert!(!partition.assignment.replicas.iter().any(alive), "{name} could be led"),
                Some((state, _)) if state.leader == -1 => {
                    assert!(!state.isr.iter().any(alive), "{name} could be led: {state:?}");
                    assert!(!world.unclean || !partition.assignment.replicas.iter().any(alive), "{name}: {state:?}");
                }
                Some((state, _)) => {
                    let standing = world.controller.standing(state.leader, &name);
                    assert_ne!(standing, Standing::Dead, "{name}: {state:?}");
                    let others = state.isr.iter().filter(|id| **id != state.leader);
                    assert!(others.into_iter().all(alive), "{name}: dead in the ISR: {state:?}");
                }
            }
        }
        let controller = &world.controller;
        assert!(controller.deferred.is_empty() && controller.alters.is_empty(), "somebody waits for ever");
        assert!(controller.shutdowns.is_empty(), "a shutdown waits for ever");
        assert!(controller.pending_reassignments.is_empty(), "a reassignment waits for ever");
        assert!(controller.pending_elections.is_empty(), "an election waits for ever");
    }

    fn everything_is_done(&self) {
        let world = &self.world;
        for (name, partition) in all(&world.controller) {
            assert!(!partition.assignment.is_being_reassigned(), "{name} moves for ever: {partition:?}");
            let Some(known) = &partition.known else { panic!("{name} has no state") };
            assert!(known.state.leader >= 0, "{name} has no leader: {known:?}");
            assert!(partition.leaving.is_empty(), "{name}: somebody has not been told to go");
        }
        assert_eq!(world.noted, BTreeMap::new());
        assert_eq!(world.wishes, BTreeSet::new());
        assert_eq!(world.preferred, None);
    }
}

#[test]
fn random_histories_keep_the_invariants() {
    let seeds = std::env::var("OTTLA_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(100);
    for seed in 0..seeds {
        if let Err(panic) = std::panic::catch_unwind(|| History::new(seed).run()) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
