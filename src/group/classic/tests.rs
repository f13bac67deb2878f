use super::*;
use crate::wire::messages::join_group::JoinGroupRequestProtocol;
use crate::wire::messages::sync_group::SyncGroupRequestAssignment;

const SETTINGS: Settings = Settings {
    initial_rebalance_delay_ms: 0,
    session_timeout_ms_min: 6000,
    session_timeout_ms_max: 1_800_000,
    size_max: 3,
};

/// A group, a clock, and what was answered and stored so far.
struct World {
    group: ClassicGroup,
    settings: Settings,
    now_ms: i64,
    next_token: Token,
    joins: BTreeMap<Token, JoinGroupResponse>,
    syncs: BTreeMap<Token, SyncGroupResponse>,
    stored: Vec<Record>,
}

impl World {
    fn new() -> World {
        World {
            group: ClassicGroup::new("g", 0),
            settings: SETTINGS,
            now_ms: 1000,
            next_token: 0,
            joins: BTreeMap::new(),
            syncs: BTreeMap::new(),
            stored: Vec::new(),
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::AnswerJoin { token, response } => {
                    assert!(self.joins.insert(token, response).is_none(), "answered twice");
                }
                Action::AnswerSync { token, response } => {
                    assert!(self.syncs.insert(token, response).is_none(), "answered twice");
                }
                Action::Store { record, then } => {
                    self.stored.push(record);
                    if let Stored::Assignment { generation_id } = then {
                        let more = self.group.assignment_stored(generation_id, ErrorCode::NONE, self.now_ms);
                        self.take(more);
                    }
                }
            }
        }
    }

    fn join_with(&mut self, request: JoinGroupRequest, version: i16) -> Token {
        self.next_token += 1;
        let token = self.next_token;
        let joiner =
            Joiner { client_id: "c".into(), client_host: "/127.0.0.1".into(), unique: format!("u{token}"), version };
        let actions = self.group.join(token, &request, &joiner, &self.settings, self.now_ms);
        self.take(actions);
        token
    }

    fn join(&mut self, member_id: &str) -> Token {
        self.join_with(join_request(member_id), 5)
    }

    /// Joins as clients do: once without an id, once with the id that was given out.
    fn join_new(&mut self) -> (String, Token) {
        let first = self.join("");
        let refused = &self.joins[&first];
        assert_eq!(ErrorCode(refused.error_code), ErrorCode::MEMBER_ID_REQUIRED);
        let member_id = refused.member_id.clone();
        let token = self.join(&member_id);
        (member_id, token)
    }

    fn sync(&mut self, member_id: &str, assignments: &[(&str, &'static str)]) -> Token {
        self.next_token += 1;
        let request = SyncGroupRequest {
            group_id: "g".into(),
            generation_id: self.group.generation_id(),
            member_id: member_id.into(),
            assignments: assignments
                .iter()
                .map(|(member_id, assignment)| SyncGroupRequestAssignment {
                    member_id: (*member_id).into(),
                    assignment: Bytes::from_static(assignment.as_bytes()),
                })
                .collect(),
            ..Default::default()
        };
        let actions = self.group.sync(self.next_token, &request, self.now_ms);
        self.take(actions);
        self.next_token
    }

    fn heartbeat(&mut self, member_id: &str) -> ErrorCode {
        let request = HeartbeatRequest {
            group_id: "g".into(),
            generation_id: self.group.generation_id(),
            member_id: member_id.into(),
            group_instance_id: None,
        };
        self.group.heartbeat(&request, self.now_ms)
    }

    fn pass(&mut self, ms: i64) {
        let until = self.now_ms + ms;
        while let Some(at) = self.group.next_deadline_ms().filter(|&at| at <= until) {
            self.now_ms = at.max(self.now_ms);
            let actions = self.group.tick(self.now_ms);
            self.take(actions);
        }
        self.now_ms = until;
    }

    /// A stable group of two; the first leads.
    fn stable_pair() -> (World, String, String) {
        let mut world = World::new();
        let (first, _) = world.join_new();
        let first_sync = world.sync(&first, &[(&first, "all")]);
        assert_eq!(&world.syncs[&first_sync].assignment[..], b"all");
        let (second, second_join) = world.join_new();
        assert!(!world.joins.contains_key(&second_join), "a rebalance waits for the first member");
        world.join(&first);
        assert_eq!(world.joins[&second_join].generation_id, 2);
        let waiting = world.sync(&second, &[]);
        world.sync(&first, &[(&first, "a"), (&second, "b")]);
        assert_eq!(&world.syncs[&waiting].assignment[..], b"b");
        assert_eq!(world.group.state(), State::Stable);
        (world, first, second)
    }
}

fn join_request(member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range"), protocol("roundrobin")],
        ..Default::default()
    }
}

fn protocol(name: &str) -> JoinGroupRequestProtocol {
    // Version 0, one topic "t", no user data.
    JoinGroupRequestProtocol {
        name: name.into(),
        metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
    }
}

fn error(code: i16) -> ErrorCode {
    ErrorCode(code)
}

#[test]
fn members_share_and_the_leader_learns_of_all() {
    let (world, first, second) = World::stable_pair();
    let leader_answer = world.joins.values().rfind(|join| join.member_id == first).unwrap();
    assert_eq!(leader_answer.leader, first);
    let ids: Vec<&str> = leader_answer.members.iter().map(|member| member.member_id.as_str()).collect();
    assert_eq!(ids, [first.as_str(), second.as_str()]);
    let follower_answer = world.joins.values().rfind(|join| join.member_id == second).unwrap();
    assert!(follower_answer.members.is_empty());
    assert_eq!(follower_answer.protocol_name.as_deref(), Some("range"));
}

#[test]
fn a_member_that_falls_silent_is_dropped_and_the_others_rebalance() {
    let (mut world, first, second) = World::stable_pair();
    for _ in 0..3 {
        world.pass(4000);
        assert!([ErrorCode::NONE, ErrorCode::REBALANCE_IN_PROGRESS].contains(&world.heartbeat(&first)));
    }
    assert_eq!(world.heartbeat(&first), ErrorCode::REBALANCE_IN_PROGRESS);
    assert_eq!(world.heartbeat(&second), ErrorCode::UNKNOWN_MEMBER_ID);
    let alone = world.join(&first);
    assert_eq!(world.joins[&alone].generation_id, 3);
}

#[test]
fn a_member_that_does_not_rejoin_in_time_is_dropped() {
    let (mut world, first, second) = World::stable_pair();
    world.group.leave("nobody", None, world.now_ms);
    let (third, third_join) = world.join_new();
    world.join(&first);
    for _ in 0..20 {
        // It heartbeats all the time, but never joins.
        world.heartbeat(&second);
        world.pass(3100);
    }
    assert_eq!(world.heartbeat(&second), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.joins[&third_join].member_id, third);
    assert_eq!(world.joins[&third_join].generation_id, 3);
}

#[test]
fn who_does_not_sync_in_time_is_dropped() {
    let mut world = World::new();
    let (first, join) = world.join_new();
    assert_eq!(world.joins[&join].generation_id, 1);
    for _ in 0..13 {
        world.heartbeat(&first);
        world.pass(5000);
    }
    assert_eq!(world.heartbeat(&first), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(world.group.state(), State::Empty);
}

#[test]
fn the_last_to_leave_leaves_an_empty_group_that_is_stored() {
    let (mut world, first, second) = World::stable_pair();
    for member in [first, second] {
        let (outcome, actions) = world.group.leave(&member, None, world.now_ms);
        assert_eq!(outcome, ErrorCode::NONE);
        world.take(actions);
    }
    assert_eq!(world.group.state(), State::Empty);
    let Some(Record::Group { value: Some(value), .. }) = world.stored.last() else { panic!("{:?}", world.stored) };
    assert_eq!((value.generation, value.members.len(), value.leader.clone()), (3, 0, None));
}

#[test]
fn a_new_group_waits_for_more_members_while_they_come() {
    let mut world = World::new();
    world.settings.initial_rebalance_delay_ms = 3000;
    let (_, first) = world.join_new();
    world.pass(2000);
    let (_, second) = world.join_new();
    world.pass(1500);
    assert!(!world.joins.contains_key(&first), "put off once more for the second member");
    world.pass(3000);
    assert_eq!(world.joins[&first].generation_id, 1);
    assert_eq!(world.joins[&second].generation_id, 1);
}

#[test]
fn old_clients_join_at_once_without_an_id() {
    let mut world = World::new();
    let token = world.join_with(join_request(""), 2);
    let answer = &world.joins[&token];
    assert_eq!((error(answer.error_code), answer.member_id.as_str()), (ErrorCode::NONE, "c-u1"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (mut world, first, _) = World::stable_pair();
    let mut check = |change: &dyn Fn(&mut JoinGroupRequest), expected: ErrorCode| {
        let mut request = join_request("");
        change(&mut request);
        let token = world.join_with(request, 5);
        assert_eq!(error(world.joins[&token].error_code), expected);
    };
    check(&|r| r.session_timeout_ms = 5999, ErrorCode::INVALID_SESSION_TIMEOUT);
    check(&|r| r.protocols.clear(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    check(&|r| r.protocol_type = "connect".into(), ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    check(&|r| r.protocols = vec![protocol("sticky")], ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
    check(&|r| r.member_id = "never-seen".into(), ErrorCode::UNKNOWN_MEMBER_ID);
    check(&|_| {}, ErrorCode::MEMBER_ID_REQUIRED);
    let stale = HeartbeatRequest { generation_id: 1, member_id: first, ..Default::default() };
    assert_eq!(world.group.heartbeat(&stale, world.now_ms), ErrorCode::ILLEGAL_GENERATION);
}

#[test]
fn a_full_group_lets_nobody_in_but_its_members() {
    let (mut world, first, second) = World::stable_pair();
    world.settings.size_max = 2;
    let refused = world.join("");
    assert_eq!(error(world.joins[&refused].error_code), ErrorCode::GROUP_MAX_SIZE_REACHED);
    let again = [world.join(&first), world.join(&second)];
    assert!(again.iter().all(|token| world.joins[token].error_code == 0));
}

#[test]
fn commits_are_taken_from_members_of_the_generation_and_from_nobody_else() {
    let (mut world, first, _) = World::stable_pair();
    let mut check = |generation: i32, member: &str| world.group.check_commit(generation, member, None, false, 2000);
    assert_eq!(check(2, &first), ErrorCode::NONE);
    assert_eq!(check(1, &first), ErrorCode::ILLEGAL_GENERATION);
    assert_eq!(check(2, "other"), ErrorCode::UNKNOWN_MEMBER_ID);
    assert_eq!(check(-1, ""), ErrorCode::UNKNOWN_MEMBER_ID);
    let mut empty = ClassicGroup::new("e", 0);
    assert_eq!(empty.check_commit(-1, "", None, false, 0), ErrorCode::NONE);
    assert_eq!(empty.check_commit(3, "m", None, false, 0), ErrorCode::UNKNOWN_MEMBER_ID);
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    let mut world = World::new();
    let mut request = join_request("");
    request.group_instance_id = Some("i".into());
    let first = world.join_with(request.clone(), 9);
    let old_id = world.joins[&first].member_id.clone();
    world.sync(&old_id, &[(&old_id, "all")]);
    let again = world.join_with(request.clone(), 9);
    let answer = &world.joins[&again];
    assert_eq!((answer.generation_id, answer.skip_assignment), (1, true));
    assert_ne!(answer.member_id, old_id);
    let new_id = answer.member_id.clone();
    let sync = world.sync(&new_id, &[]);
    assert_eq!(&world.syncs[&sync].assignment[..], b"all");
    let fenced = HeartbeatRequest {
        generation_id: 1,
        member_id: old_id,
        group_instance_id: Some("i".into()),
        ..Default::default()
    };
    assert_eq!(world.group.heartbeat(&fenced, world.now_ms), ErrorCode::FENCED_INSTANCE_ID);
    assert_eq!(world.group.leave("", Some("i"), world.now_ms).0, ErrorCode::NONE);
}

#[test]
fn a_stored_group_goes_on_after_a_restart() {
    let (mut world, first, second) = World::stable_pair();
    let Some(Record::Group { value: Some(stored), .. }) = world.stored.last().cloned() else { panic!() };
    let mut restored = ClassicGroup::new("g", 0);
    restored.replay_metadata(stored, world.now_ms);
    world.group = restored;
    assert_eq!(world.group.state(), State::Stable);
    assert_eq!(world.heartbeat(&first), ErrorCode::NONE);
    assert_eq!(world.heartbeat(&second), ErrorCode::NONE);
    assert!(world.group.is_subscribed_to("t"));
    assert!(!world.group.is_subscribed_to("u"));
    let sync = world.sync(&second, &[]);
    assert_eq!(&world.syncs[&sync].assignment[..], b"b");
}

/// Random members do random things: nobody is answered twice, generations only grow, and while the group is stable
/// all its members are of one generation with the assignment that its leader gave them.
#[test]
fn random_histories_keep_the_invariants() {
    for seed in 0..300u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut pick = move |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let mut world = World::new();
        world.settings.size_max = 6;
        let mut known: Vec<String> = Vec::new();
        let mut generation = 0;
        for _ in 0..200 {
            let member =
                if known.is_empty() { String::new() } else { known[pick(known.len() as u64) as usize].clone() };
            match pick(7) {
                0 => {
                    let token = world.join("");
                    if let Some(answer) = world.joins.get(&token) {
                        known.push(answer.member_id.clone());
                    }
                }
                1 | 2 => drop(world.join(&member)),
                3 => {
                    let all: Vec<String> = known.clone();
                    let given: Vec<(&str, &'static str)> = all.iter().map(|id| (id.as_str(), "x")).collect();
                    world.sync(&member, &given);
                }
                4 => drop(world.heartbeat(&member)),
                5 => {
                    let (_, actions) = world.group.leave(&member, None, world.now_ms);
                    world.take(actions);
                }
                _ => world.pass(pick(9000) as i64),
            }
            let group = &world.group;
            assert!(group.generation_id() >= generation, "seed {seed}");
            generation = group.generation_id();
            if group.state() == State::Stable {
                assert!(!group.members.is_empty(), "seed {seed}");
                assert!(group.members.values().all(|m| m.awaiting_join.is_none() && m.awaiting_sync.is_none()));
                assert!(group.members.contains_key(group.leader.as_deref().unwrap()), "seed {seed}");
            }
            if group.state() == State::Empty {
                assert!(group.members.is_empty() && group.leader.is_none(), "seed {seed}");
            }
        }
    }
}
