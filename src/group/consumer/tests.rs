use super::*;
use crate::replication::MetadataCache;
use crate::wire::messages::consumer_group_heartbeat::TopicPartitionsRequest;
use crate::wire::messages::update_metadata::{
    UpdateMetadataPartitionState, UpdateMetadataRequest, UpdateMetadataTopicState,
};
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, JoinGroupRequest, SyncGroupRequest,
};

pub(in crate::group) fn settings() -> ConsumerSettings {
    ConsumerSettings {
        session_timeout_ms: 45_000,
        heartbeat_interval_ms: 5000,
        size_max: 1000,
        assignors: Assignor::ALL.to_vec(),
    }
}

/// A cluster of topics with so many partitions; a topic's id is its name.
pub(in crate::group) fn cluster(topics: &[(&str, i32)]) -> ClusterMetadata {
    let cache = MetadataCache::default();
    let of_topic = |(name, partitions): &(&str, i32)| UpdateMetadataTopicState {
        topic_name: (*name).to_owned(),
        topic_id: topic_id(name),
        partition_states: (0..*partitions)
            .map(|partition_index| UpdateMetadataPartitionState { partition_index, ..Default::default() })
            .collect(),
    };
    let request = UpdateMetadataRequest { topic_states: topics.iter().map(of_topic).collect(), ..Default::default() };
    cache.update(&request).unwrap();
    (*cache.current()).clone()
}

fn topic_id(name: &str) -> Uuid {
    let mut id = [0; 16];
    for (to, from) in id.iter_mut().zip(name.bytes()) {
        *to = from;
    }
    Uuid(id)
}

/// A group, its clock and cluster, and all the records it made.
struct World {
    group: ConsumerGroup,
    cluster: ClusterMetadata,
    cluster_version: u64,
    settings: ConsumerSettings,
    now_ms: i64,
    log: Vec<Record>,
}

/// A client of the consumer protocol that does as it is told.
#[derive(Clone, Debug)]
struct Client {
    member_id: String,
    instance_id: Option<String>,
    topics: Vec<String>,
    epoch: i32,
    owned: Partitions,
    /// What it was last told to have.
    told: Partitions,
}

impl Client {
    fn new(member_id: &str, topics: &[&str]) -> Client {
        Client {
            member_id: member_id.to_owned(),
            instance_id: None,
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            epoch: JOIN_EPOCH,
            owned: Partitions::default(),
            told: Partitions::default(),
        }
    }

    fn request(&self) -> ConsumerGroupHeartbeatRequest {
        let of_topic = |(topic_id, partitions)| TopicPartitionsRequest { topic_id, partitions };
        ConsumerGroupHeartbeatRequest {
            group_id: "g".into(),
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: 60_000,
            subscribed_topic_names: Some(self.topics.clone()),
            topic_partitions: Some(self.owned.by_topic().map(of_topic).collect()),
            ..Default::default()
        }
    }
}

impl World {
    fn new(topics: &[(&str, i32)]) -> World {
        World {
            group: ConsumerGroup::new("g"),
            cluster: cluster(topics),
            cluster_version: 1,
            settings: settings(),
            now_ms: 1000,
            log: Vec::new(),
        }
    }

    fn turn<R>(
        &mut self,
        turn: impl FnOnce(&mut ConsumerGroup, &Surroundings<'_>) -> Result<R, Refusal>,
    ) -> Result<R, ErrorCode> {
        let around = Surroundings {
            cluster: &self.cluster,
            cluster_version: self.cluster_version,
            settings: &self.settings,
            now_ms: self.now_ms,
        };
        let outcome = turn(&mut self.group, &around).map_err(|refusal| refusal.error);
        let made = self.group.take_records();
        match outcome.is_ok() {
            true => {
                self.log.extend(made);
                self.group.commit();
            }
            false => self.group.roll_back(),
        }
        outcome
    }

    fn send(&mut self, request: &ConsumerGroupHeartbeatRequest) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        ConsumerGroup::check_request(request, 1, &self.settings).map_err(|refusal| refusal.error)?;
        let joiner = Joiner { client_id: "c".into(), client_host: "/h".into(), unique: "u".into(), version: 1 };
        self.turn(|group, around| group.heartbeat(request, &joiner, around))
    }

    /// A heartbeat, and the client does as it is told: it gives up, then takes.
    fn beat(&mut self, client: &mut Client) -> Result<(), ErrorCode> {
        let response = self.send(&client.request())?;
        client.epoch = response.member_epoch;
        if let Some(assignment) = response.assignment {
            let each = assignment.topic_partitions.into_iter();
            client.told = each.flat_map(|of| of.partitions.into_iter().map(move |p| (of.topic_id, p))).collect();
        }
        client.owned = client.told.clone();
        Ok(())
    }

    /// Everybody heartbeats until nothing changes.
    fn settle(&mut self, clients: &mut [&mut Client]) {
        for _ in 0..10 {
            for client in clients.iter_mut() {
                self.beat(client).unwrap();
            }
        }
        assert_eq!(self.group.state_name(), "Stable");
    }

    fn check(&self) {
        let mut seen = BTreeSet::new();
        for member in self.group.members() {
            for partition in member.assigned.iter().chain(member.pending_revocation.iter()) {
                assert!(seen.insert(partition), "{partition:?} has two owners");
                assert!(self.group.holders.contains_key(&partition));
            }
        }
        assert_eq!(seen.len(), self.group.holders.len());
        assert!(self.group.assignment_epoch <= self.group.epoch);
    }

    /// The group as a coordinator makes it that reads the log.
    fn replayed(&self) -> ConsumerGroup {
        let mut group = ConsumerGroup::new("g");
        for record in &self.log {
            let (key, value) = record.encode().unwrap().unwrap();
            let Record::Consumer { record, .. } = Record::decode(&key, value.as_deref()).unwrap() else { panic!() };
            group.replay(record);
        }
        group
    }
}

fn same(a: &ConsumerGroup, b: &ConsumerGroup) {
    assert_eq!((a.epoch, a.assignment_epoch), (b.epoch, b.assignment_epoch));
    assert_eq!((&a.members, &a.static_members), (&b.members, &b.static_members));
    assert_eq!((&a.topics, &a.regexes), (&b.topics, &b.regexes));
    let present =
        |group: &ConsumerGroup| -> Vec<_> { group.members().map(|m| group.target_of(&m.member_id)).collect() };
    assert_eq!(present(a), present(b));
    assert_eq!(a.holders.keys().collect::<BTreeSet<_>>(), b.holders.keys().collect::<BTreeSet<_>>());
}

#[test]
fn a_partition_is_given_up_before_another_takes_it() {
    let mut world = World::new(&[("t", 4)]);
    let mut a = Client::new("a", &["t"]);
    world.beat(&mut a).unwrap();
    assert_eq!((a.epoch, a.owned.len()), (1, 4));
    let mut b = Client::new("b", &["t"]);
    world.beat(&mut b).unwrap();
    assert_eq!((b.epoch, b.owned.len()), (2, 0), "its partitions are not free yet");
    world.check();
    world.beat(&mut a).unwrap();
    assert_eq!((a.epoch, a.told.len()), (1, 2), "it stays in its epoch until it has given up");
    world.beat(&mut b).unwrap();
    assert_eq!(b.owned.len(), 0);
    world.beat(&mut a).unwrap();
    assert_eq!(a.epoch, 2);
    world.beat(&mut b).unwrap();
    assert_eq!(b.owned.len(), 2);
    assert_eq!(world.group.state_name(), "Stable");
    same(&world.group, &world.replayed());
}

#[test]
fn requests_that_cannot_be_are_refused() {
    let mut world = World::new(&[("t", 4)]);
    let mut check = |change: &dyn Fn(&mut ConsumerGroupHeartbeatRequest), expected: ErrorCode| {
        let mut request = Client::new("a", &["t"]).request();
        change(&mut request);
        assert_eq!(world.send(&request).map(|_| ()).err(), Some(expected).filter(|error| !error.is_ok()));
    };
    check(&|r| r.group_id.clear(), ErrorCode::INVALID_REQUEST);
    check(&|r| r.member_id.clear(), ErrorCode::INVALID_REQUEST);
    check(&|r| r.instance_id = Some(String::new()), ErrorCode::INVALID_REQUEST);
    check(&|r| r.rebalance_timeout_ms = -1, ErrorCode::INVALID_REQUEST);
    check(&|r| r.topic_partitions = None, ErrorCode::INVALID_REQUEST);
    check(&|r| r.subscribed_topic_names = None, ErrorCode::INVALID_REQUEST);
    check(&|r| r.member_epoch = -3, ErrorCode::INVALID_REQUEST);
    check(&|r| r.server_assignor = Some("mine".into()), ErrorCode::UNSUPPORTED_ASSIGNOR);
    check(&|r| r.subscribed_topic_regex = Some("(".into()), ErrorCode::INVALID_REGULAR_EXPRESSION);
    check(&|r| r.member_epoch = 1, ErrorCode::UNKNOWN_MEMBER_ID);
    check(&|_| {}, ErrorCode::NONE);
    check(&|r| r.member_epoch = 2, ErrorCode::FENCED_MEMBER_EPOCH);
    // The answer to the join was lost: it comes again as it came.
    check(&|_| {}, ErrorCode::NONE);
}

#[test]
fn what_a_refused_request_began_is_undone() {
    let mut world = World::new(&[("t", 4)]);
    let mut a = Client::new("a", &["t"]);
    world.beat(&mut a).unwrap();
    let before = world.group.clone();
    let mut request = a.request();
    request.subscribed_topic_names = Some(vec!["u".into()]);
    let around = Surroundings { cluster: &world.cluster, cluster_version: 1, settings: &world.settings, now_ms: 0 };
    let joiner = Joiner { client_id: "c".into(), client_host: "/h".into(), unique: "u".into(), version: 1 };
    world.group.heartbeat(&request, &joiner, &around).unwrap();
    assert!(!world.group.take_records().is_empty() && world.group.epoch() > before.epoch());
    world.group.roll_back();
    same(&world.group, &before);
}

#[test]
fn a_static_member_comes_back_to_what_it_had() {
    let mut world = World::new(&[("t", 4)]);
    let mut a = Client { instance_id: Some("i".into()), ..Client::new("a", &["t"]) };
    let mut b = Client::new("b", &["t"]);
    world.beat(&mut a).unwrap();
    world.beat(&mut b).unwrap();
    world.settle(&mut [&mut a, &mut b]);
    let (epoch, had) = (world.group.epoch(), a.owned.clone());

    let again = Client { instance_id: Some("i".into()), ..Client::new("a2", &["t"]) };
    assert_eq!(world.send(&again.request()).unwrap_err(), ErrorCode::UNRELEASED_INSTANCE_ID);
    world.turn(|group, _| group.leaving("a", Some("i")).map(|id| group.leave_for_a_while(&id))).unwrap();
    let mut again = again;
    world.beat(&mut again).unwrap();
    assert_eq!((&again.owned, world.group.epoch()), (&had, epoch), "nobody else notices");
    assert_eq!(world.send(&a.request()).unwrap_err(), ErrorCode::FENCED_INSTANCE_ID);
    same(&world.group, &world.replayed());
}

#[test]
fn who_falls_silent_or_does_not_give_up_in_time_is_out() {
    let mut world = World::new(&[("t", 4)]);
    let mut a = Client::new("a", &["t"]);
    world.beat(&mut a).unwrap();
    assert_eq!(world.group.next_deadline_ms(), Some(46_000));
    let mut b = Client::new("b", &["t"]);
    world.beat(&mut b).unwrap();
    world.send(&ConsumerGroupHeartbeatRequest { rebalance_timeout_ms: 7000, ..a.request() }).unwrap();
    assert_eq!(world.group.next_deadline_ms(), Some(8000), "until then it has to have given up");
    assert_eq!(world.group.due(8000), ["a"]);
    world
        .turn(|group, around| {
            group.remove("a", around);
            Ok(())
        })
        .unwrap();
    assert_eq!(world.beat(&mut a).unwrap_err(), ErrorCode::UNKNOWN_MEMBER_ID);
    world.settle(&mut [&mut b]);
    assert_eq!(b.owned.len(), 4);
}

#[test]
fn new_partitions_and_topics_that_match_are_found() {
    let mut world = World::new(&[("ta", 2), ("other", 3), ("__consumer_offsets", 50)]);
    let mut a = Client::new("a", &[]);
    let mut request = a.request();
    (request.subscribed_topic_names, request.subscribed_topic_regex) = (None, Some("t.*|__.*".into()));
    world.send(&request).unwrap();
    assert_eq!(world.group.target_of("a").len(), 52, "the brokers' own topics too");
    (world.cluster, world.cluster_version) = (cluster(&[("ta", 3), ("tb", 4), ("other", 3)]), 2);
    a.epoch = 1;
    request.member_epoch = 1;
    world.send(&request).unwrap();
    assert_eq!(world.group.target_of("a").len(), 7);
    assert!(world.group.is_subscribed_to("tb") && !world.group.is_subscribed_to("other"));
    same(&world.group, &world.replayed());
}

#[test]
fn commits_and_fetches_are_held_against_the_epoch() {
    let mut world = World::new(&[("t", 4)]);
    assert_eq!(world.group.check_commit("", -1, None, Some(9)), Ok(()), "an empty group is anybody's");
    let mut a = Client::new("a", &["t"]);
    world.beat(&mut a).unwrap();
    let commit = |member: &str, epoch, version| world.group.check_commit(member, epoch, None, version);
    assert_eq!(commit("a", 1, Some(9)), Ok(()));
    assert_eq!(commit("a", 0, Some(9)), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(commit("a", 1, Some(8)), Err(ErrorCode::UNSUPPORTED_VERSION));
    assert_eq!(commit("b", 1, Some(9)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(commit("", -1, Some(9)), Err(ErrorCode::UNKNOWN_MEMBER_ID));
    assert_eq!(commit("", -1, None), Ok(()), "a transaction has been checked elsewhere");
    assert_eq!(commit("a", 0, None), Err(ErrorCode::ILLEGAL_GENERATION));
    assert_eq!(world.group.check_fetch(None, -1), Ok(()));
    assert_eq!(world.group.check_fetch(Some("a"), 1), Ok(()));
    assert_eq!(world.group.check_fetch(Some("a"), 2), Err(ErrorCode::STALE_MEMBER_EPOCH));
    assert_eq!(world.group.check_fetch(Some("b"), 1), Err(ErrorCode::UNKNOWN_MEMBER_ID));
}

#[test]
fn the_assignor_is_what_most_members_want() {
    let mut world = World::new(&[("t", 4)]);
    assert_eq!(world.group.assignor(&world.settings), Assignor::Uniform);
    let wants =
        ConsumerGroupHeartbeatRequest { server_assignor: Some("range".into()), ..Client::new("a", &["t"]).request() };
    world.send(&wants).unwrap();
    assert_eq!(world.group.assignor(&world.settings), Assignor::Range);
}

#[test]
fn a_member_of_the_classic_protocol_gives_up_and_takes_by_joining_again() {
    let mut world = World::new(&[("t", 4)]);
    let mut new = Client::new("new", &["t"]);
    world.beat(&mut new).unwrap();
    assert_eq!(new.owned.len(), 4);
    // Version 1: one topic "t", no user data, nothing owned.
    let protocol = crate::wire::messages::join_group::JoinGroupRequestProtocol {
        name: "cooperative-sticky".into(),
        metadata: crate::wire::Bytes::from_static(b"\0\x01\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\0"),
    };
    let request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: "consumer".into(),
        protocols: vec![protocol],
        ..Default::default()
    };
    let joiner = Joiner { client_id: "c".into(), client_host: "/h".into(), unique: "old".into(), version: 9 };
    let asked = world.turn(|group, around| group.classic_join(&request, &joiner, around)).unwrap();
    assert_eq!(ErrorCode(asked.error_code), ErrorCode::MEMBER_ID_REQUIRED);
    let request = JoinGroupRequest { member_id: asked.member_id, ..request };
    let joined = world.turn(|group, around| group.classic_join(&request, &joiner, around)).unwrap();
    assert_eq!((joined.generation_id, joined.protocol_name.as_deref()), (2, Some("cooperative-sticky")));
    let sync = SyncGroupRequest {
        generation_id: 2,
        member_id: request.member_id.clone(),
        protocol_type: Some("consumer".into()),
        ..Default::default()
    };
    let heartbeat = HeartbeatRequest { generation_id: 2, member_id: request.member_id.clone(), ..Default::default() };
    let synced = world.turn(|group, around| Ok(group.classic_sync(&sync, around)?)).unwrap();
    assert_eq!(&synced.assignment[..], b"\0\x01\0\0\0\0\xff\xff\xff\xff", "the other one has not given up yet");
    let beat = |world: &mut World| world.turn(|group, around| Ok(group.classic_heartbeat(&heartbeat, around)?));
    assert_eq!(beat(&mut world), Ok(()));
    world.beat(&mut new).unwrap();
    world.beat(&mut new).unwrap();
    assert_eq!(beat(&mut world), Err(ErrorCode::REBALANCE_IN_PROGRESS), "there is something to take");
    let joined = world.turn(|group, around| group.classic_join(&request, &joiner, around)).unwrap();
    assert_eq!(joined.generation_id, 2);
    let synced = world.turn(|group, around| Ok(group.classic_sync(&sync, around)?)).unwrap();
    assert_eq!(&synced.assignment[..12], b"\0\x01\0\0\0\x01\0\x01t\0\0\0");
    assert_eq!(beat(&mut world), Ok(()));
    assert_eq!(world.group.check_commit(&request.member_id, 1, None, Some(8)), Err(ErrorCode::ILLEGAL_GENERATION));
    world.check();
    same(&world.group, &world.replayed());
    assert_eq!(world.group.classic_leaving(&request.member_id, None), Ok(request.member_id.clone()));
}

/// Random members come, go, fall silent, lose answers, change what they read, while topics grow: no partition has two
/// owners at any time, a commit of an earlier epoch is refused, the log makes the same group, and when it is quiet
/// everybody converges.
#[test]
fn random_histories_keep_the_invariants() {
    for seed in 0..60u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut pick = move |n: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % n as u64) as usize
        };
        let mut partitions = 3;
        let mut world = World::new(&[("t", partitions), ("u", 2)]);
        let mut clients: Vec<Client> = Vec::new();
        for step in 0..150 {
            let chosen = pick(clients.len().max(1));
            match pick(10) {
                0 | 1 => {
                    let topics: &[&str] = if pick(3) == 0 { &["t", "u"] } else { &["t"] };
                    let instance_id = (pick(3) == 0).then(|| format!("i{}", pick(3)));
                    let mut client = Client { instance_id, ..Client::new(&format!("m{step}"), topics) };
                    if world.beat(&mut client).is_ok() {
                        clients.push(client);
                    }
                }
                2 if !clients.is_empty() => {
                    let client = clients.remove(chosen);
                    let stays = client.instance_id.is_some() && pick(2) == 0;
                    let left = world.turn(|group, around| {
                        let id = group.leaving(&client.member_id, client.instance_id.as_deref())?;
                        if stays {
                            group.leave_for_a_while(&id)
                        } else {
                            group.remove(&id, around)
                        }
                        Ok(())
                    });
                    assert!(left.is_ok(), "seed {seed}: {left:?}");
                }
                3 => {
                    world.now_ms += pick(40_000) as i64;
                    for member_id in world.group.due(world.now_ms) {
                        clients.retain(|client| client.member_id != member_id);
                        world
                            .turn(|group, around| {
                                group.remove(&member_id, around);
                                Ok(())
                            })
                            .unwrap();
                    }
                }
                4 if !clients.is_empty() => {
                    // The answer is lost.
                    drop(world.send(&clients[chosen].request()));
                }
                5 if pick(4) == 0 => {
                    partitions += 1;
                    world.cluster_version += 1;
                    world.cluster = cluster(&[("t", partitions), ("u", 2)]);
                }
                _ if clients.is_empty() => {}
                _ => {
                    if world.beat(&mut clients[chosen]).is_err() {
                        clients.remove(chosen);
                    }
                }
            }
            world.check();
            for member in world.group.members().filter(|member| member.epoch > 1) {
                let stale = world.group.check_commit(&member.member_id, member.epoch - 1, None, Some(9));
                assert_eq!(stale, Err(ErrorCode::STALE_MEMBER_EPOCH), "seed {seed}");
            }
            for (index, one) in clients.iter().enumerate() {
                let others =
                    clients[index + 1..].iter().filter(|other| world.group.members.contains_key(&other.member_id));
                if world.group.members.contains_key(&one.member_id) {
                    assert!(others.into_iter().all(|other| !one.owned.intersects(&other.owned)), "seed {seed}");
                }
            }
        }
        same(&world.group, &world.replayed());
        // It becomes quiet: those who do not come any more are out after their session, the others converge.
        world.now_ms += 1;
        let alive: BTreeSet<String> = clients.iter().map(|client| client.member_id.clone()).collect();
        let silent: Vec<String> = world.group.members.keys().filter(|id| !alive.contains(*id)).cloned().collect();
        for member_id in silent {
            world
                .turn(|group, around| {
                    group.remove(&member_id, around);
                    Ok(())
                })
                .unwrap();
        }
        for _ in 0..12 {
            for client in &mut clients {
                if let Err(error) = world.beat(client) {
                    // Its answers were lost once too often: it begins anew, as clients do.
                    assert_eq!(error, ErrorCode::FENCED_MEMBER_EPOCH, "seed {seed}");
                    world
                        .turn(|group, around| {
                            group.remove(&client.member_id, around);
                            Ok(())
                        })
                        .unwrap();
                    (client.epoch, client.owned) = (JOIN_EPOCH, Partitions::default());
                }
            }
        }
        if !clients.is_empty() {
            assert_eq!(world.group.state_name(), "Stable", "seed {seed}");
            let read_u = clients.iter().any(|client| client.topics.len() == 2);
            let expected = partitions as usize + if read_u { 2 } else { 0 };
            assert_eq!(clients.iter().map(|client| client.owned.len()).sum::<usize>(), expected, "seed {seed}");
        }
    }
}
