use super::*;
use crate::registry::proto::{CreateMode, Stat};
use crate::registry::server::snapshot;
use std::net::IpAddr;

/// A registry without sockets, files or clock, and a client for each connection.
struct World {
    state: State,
    now: Now,
    next_connection: ConnectionId,
    /// What was logged.
    txns: Vec<(TxnHeader, Txn)>,
    /// Event frames that each connection got, as kind and path.
    events: BTreeMap<ConnectionId, Vec<(i32, String)>>,
    closed: Vec<ConnectionId>,
}

impl World {
    fn new() -> World {
        let now = Now { wall_ms: 1_700_000_000_000, monotonic_ms: 0 };
        let state = State::new(Tree::new(), &BTreeMap::new(), 0, 1000..=10_000, now);
        World { state, now, next_connection: 1, txns: vec![], events: BTreeMap::new(), closed: vec![] }
    }

    fn connection(&mut self) -> ConnectionId {
        let id = self.next_connection;
        self.next_connection += 1;
        self.state.connected(id, format!("client:{id}"), Identity::new(IpAddr::from([127, 0, 0, 1])));
        id
    }

    /// A new session on a new connection.
    fn client(&mut self) -> ConnectionId {
        let id = self.connection();
        let mut w = Writer::new();
        w.i32(0).i64(0).i32(5000).i64(0).buffer(Some(&[0; 16])).bool(false);
        self.frame(id, &w.into_bytes()).unwrap();
        id
    }

    /// Takes effects as the shell does; returns the last frame to `to` that is no event, without length.
    fn take(&mut self, to: ConnectionId, effects: Effects) -> Option<Vec<u8>> {
        self.txns.extend(effects.txns);
        self.closed.extend(effects.close);
        let mut answer = None;
        for (receiver, frame) in effects.frames {
            if frame[4..8] == xid::NOTIFICATION.to_be_bytes() {
                let mut r = Reader::new(&frame[20..]);
                let (kind, _, path) = (r.i32().unwrap(), r.i32().unwrap(), r.string().unwrap().to_owned());
                assert!(answer.is_none() || receiver != to, "events come before the answer");
                self.events.entry(receiver).or_default().push((kind, path));
            } else {
                assert_eq!(receiver, to);
                answer = Some(frame[4..].to_vec());
            }
        }
        answer
    }

    fn frame(&mut self, id: ConnectionId, frame: &[u8]) -> Option<Vec<u8>> {
        let effects = self.state.handle(id, frame, self.now).unwrap();
        self.take(id, effects)
    }

    /// The answer's code and body.
    fn request(&mut self, id: ConnectionId, opcode: i32, body: impl FnOnce(&mut Writer)) -> (Code, Vec<u8>) {
        let mut w = Writer::new();
        w.i32(7).i32(opcode);
        body(&mut w);
        let answer = self.frame(id, &w.into_bytes()).unwrap();
        let mut r = Reader::new(&answer);
        assert_eq!(r.i32().unwrap(), 7);
        assert_eq!(r.i64().unwrap(), self.state.last_zxid);
        (Code(r.i32().unwrap()), r.rest().to_vec())
    }

    fn create(&mut self, id: ConnectionId, path: &str, mode: CreateMode) -> Code {
        self.request(id, op::CREATE, |w| write_create(w, path, b"data", mode)).0
    }

    fn image(&self) -> Vec<u8> {
        snapshot::encode(&self.state.tree, &self.state.session_timeouts())
    }

    fn heard(&mut self, id: ConnectionId) -> Vec<(i32, String)> {
        self.events.remove(&id).unwrap_or_default()
    }
}

fn write_create(w: &mut Writer, path: &str, data: &[u8], mode: CreateMode) {
    w.string(path).buffer(Some(data));
    Acl::write_list(&[Acl::open()], w);
    w.i32(mode.flags());
}

fn event(kind: EventKind, path: &str) -> (i32, String) {
    (kind.wire(), path.to_owned())
}

#[test]
fn paths_without_a_meaning_are_bad_arguments() {
    let mut world = World::new();
    let id = world.client();
    for path in ["", "a", "/a/", "//", "/a//b", "/.", "/a/../b", "/a\0", "/\u{1}"] {
        assert_eq!(world.create(id, path, CreateMode::Persistent), Code::BAD_ARGUMENTS, "{path:?}");
    }
    assert_eq!(world.create(id, "/", CreateMode::Persistent), Code::NODE_EXISTS);
    for path in ["/", "/zookeeper", "/zookeeper/quota", "x"] {
        let (code, _) = world.request(id, op::DELETE, |w| _ = w.string(path).i32(-1));
        assert_eq!(code, Code::BAD_ARGUMENTS, "{path:?}");
    }
    // A parent that ends in a slash is fine where a number follows.
    assert_eq!(world.create(id, "/", CreateMode::PersistentSequential), Code::OK);
    assert!(world.state.tree.node("/0000000000").is_some());
}

#[test]
fn a_session_expires_at_its_time_with_its_ephemerals_and_not_before() {
    let mut world = World::new();
    let (mine, other) = (world.client(), world.client());
    assert_eq!(world.create(mine, "/e", CreateMode::Ephemeral), Code::OK);
    assert_eq!(world.create(mine, "/e/child", CreateMode::Persistent), Code::NO_CHILDREN_FOR_EPHEMERALS);
    world.request(other, op::EXISTS, |w| _ = w.string("/e").bool(true));
    world.request(other, op::GET_CHILDREN, |w| _ = w.string("/").bool(true));
    world.now.monotonic_ms = 4999;
    let effects = world.state.expire(world.now);
    assert!(effects.txns.is_empty());
    world.request(other, op::PING, |_| ());
    world.now.monotonic_ms = 5000;
    let effects = world.state.expire(world.now);
    world.take(0, effects);
    assert_eq!(world.state.tree.node("/e").map(|_| ()), None);
    assert_eq!(world.heard(other), [event(EventKind::NodeDeleted, "/e"), event(EventKind::NodeChildrenChanged, "/")]);
    assert_eq!(world.closed, [mine]);
    // What it still sends falls on deaf ears.
    assert_eq!(world.frame(mine, &[0, 0, 0, 1, 0, 0, 0, 11]), None);
}

#[test]
fn a_client_that_was_away_hears_what_it_missed() {
    let mut world = World::new();
    let actor = world.client();
    for path in ["/same", "/changed", "/gone", "/parent", "/calm"] {
        world.create(actor, path, CreateMode::Persistent);
    }
    let seen = world.state.last_zxid;
    world.request(actor, op::SET_DATA, |w| _ = w.string("/changed").buffer(None).i32(-1));
    world.request(actor, op::DELETE, |w| _ = w.string("/gone").i32(-1));
    world.create(actor, "/parent/child", CreateMode::Persistent);
    world.create(actor, "/new", CreateMode::Persistent);
    let back = world.client();
    let (code, body) = world.request(back, op::SET_WATCHES, |w| {
        w.i64(seen).strings(["/same", "/changed", "/gone"].iter());
        w.strings(["/new", "/not-yet"].iter()).strings(["/parent", "/calm", "/gone"].iter());
    });
    assert_eq!((code, body.len()), (Code::OK, 0));
    assert_eq!(
        world.heard(back),
        [
            event(EventKind::NodeDataChanged, "/changed"),
            event(EventKind::NodeDeleted, "/gone"),
            event(EventKind::NodeCreated, "/new"),
            event(EventKind::NodeChildrenChanged, "/parent"),
            event(EventKind::NodeDeleted, "/gone"),
        ]
    );
    // The rest is armed.
    world.request(actor, op::SET_DATA, |w| _ = w.string("/same").buffer(None).i32(-1));
    world.create(actor, "/not-yet", CreateMode::Persistent);
    world.create(actor, "/calm/child", CreateMode::Persistent);
    assert_eq!(
        world.heard(back),
        [
            event(EventKind::NodeDataChanged, "/same"),
            event(EventKind::NodeCreated, "/not-yet"),
            event(EventKind::NodeChildrenChanged, "/calm"),
        ]
    );
}

#[test]
fn lasting_watches_are_set_heard_and_removed() {
    let mut world = World::new();
    let (watcher, actor) = (world.client(), world.client());
    let (code, _) = world.request(watcher, op::ADD_WATCH, |w| _ = w.string("/a").i32(1));
    assert_eq!(code, Code::OK);
    world.create(actor, "/a", CreateMode::Persistent);
    world.create(actor, "/a/b", CreateMode::Persistent);
    assert_eq!(world.heard(watcher), [event(EventKind::NodeCreated, "/a"), event(EventKind::NodeCreated, "/a/b")]);
    let remove = |world: &mut World| world.request(watcher, op::REMOVE_WATCHES, |w| _ = w.string("/a").i32(3)).0;
    assert_eq!(remove(&mut world), Code::OK);
    assert_eq!(remove(&mut world), Code::NO_WATCHER);
    world.create(actor, "/a/c", CreateMode::Persistent);
    assert_eq!(world.heard(watcher), []);
    assert_eq!(world.request(watcher, op::ADD_WATCH, |w| _ = w.string("/a").i32(9)).0, Code::BAD_ARGUMENTS);
}

#[test]
fn a_container_goes_after_its_last_child_and_not_before_its_first() {
    let mut world = World::new();
    let id = world.client();
    let (code, body) = world.request(id, op::CREATE_CONTAINER, |w| write_create(w, "/c", b"", CreateMode::Container));
    assert_eq!((code, body.len()), (Code::OK, 4 + 2 + Stat::LENGTH));
    let check = |world: &mut World| {
        let effects = world.state.delete_forsaken_containers(world.now);
        world.take(0, effects);
        world.state.tree.node("/c").is_some()
    };
    assert!(check(&mut world));
    world.create(id, "/c/child", CreateMode::Persistent);
    assert!(check(&mut world));
    world.request(id, op::DELETE, |w| _ = w.string("/c/child").i32(-1));
    assert!(!check(&mut world));
}

#[test]
fn small_requests_answer_as_apaches_server() {
    let mut world = World::new();
    let id = world.client();
    world.create(id, "/a", CreateMode::Ephemeral);
    world.create(id, "/b", CreateMode::Ephemeral);
    world.create(id, "/p", CreateMode::Persistent);
    world.create(id, "/p/q", CreateMode::Persistent);
    let strings = |body: Vec<u8>| Reader::new(&body).strings().unwrap();
    let (_, body) = world.request(id, op::GET_EPHEMERALS, |w| _ = w.string("/a"));
    assert_eq!(strings(body), ["/a"]);
    let (_, body) = world.request(id, op::GET_EPHEMERALS, |w| _ = w.string("/"));
    assert_eq!(strings(body), ["/a", "/b"]);
    let (_, body) = world.request(id, op::GET_ALL_CHILDREN_NUMBER, |w| _ = w.string("/p"));
    assert_eq!(body, 1i32.to_be_bytes());
    let (_, body) = world.request(id, op::SYNC, |w| _ = w.string("/p"));
    assert_eq!(Reader::new(&body).string().unwrap(), "/p");
    let (code, _) = world.request(id, op::AUTH, |w| _ = w.i32(0).string("digest").buffer(Some(b"u:p")));
    assert_eq!(code, Code::OK);
    let (_, body) = world.request(id, op::WHO_AM_I, |_| ());
    let mut r = Reader::new(&body);
    assert_eq!((r.i32(), r.string(), r.string()), (Ok(2), Ok("ip"), Ok("127.0.0.1")));
    assert_eq!((r.string(), r.string()), (Ok("digest"), Ok("u")));
    // SASL, reconfiguration, a number nobody knows: refused, and the connection stays.
    for opcode in [102, 16, 4711] {
        assert_eq!(world.request(id, opcode, |_| ()).0, Code::UNIMPLEMENTED);
    }
    let ttl = |w: &mut Writer| {
        w.string("/ttl").buffer(None);
        Acl::write_list(&[Acl::open()], w);
        w.i32(5).i64(1000);
    };
    assert_eq!(world.request(id, op::CREATE_TTL, ttl).0, Code::UNIMPLEMENTED);
    let (code, body) = world.request(id, op::MULTI_READ, |w| {
        for (opcode, path) in [(op::GET_DATA, "/p"), (op::GET_CHILDREN, "/p"), (op::GET_DATA, "/none")] {
            w.i32(opcode).bool(false).i32(-1).string(path).bool(false);
        }
        w.i32(-1).bool(true).i32(-1);
    });
    // The last result: an error, no end yet, and its code.
    assert_eq!(
        (code, &body[body.len() - 22..body.len() - 14]),
        (Code::OK, &[255, 255, 255, 255, 0, 255, 255, 255][..])
    );
    assert!(world.closed.is_empty());
    let (code, _) = world.request(id, op::AUTH, |w| _ = w.i32(0).string("kerberos").buffer(None));
    assert_eq!((code, world.closed.as_slice()), (Code::AUTH_FAILED, &[id][..]));
}

#[test]
fn whatever_is_done_the_log_tells_it_and_a_failed_multi_leaves_no_trace() {
    for seed in 1..=8 {
        random_history(seed);
    }
}

/// Random requests of a few clients; then the log alone must make the same tree.
fn random_history(seed: u64) {
    let mut world = World::new();
    let clients: Vec<ConnectionId> = (0..3).map(|_| world.client()).collect();
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut below = |bound: u64| {
        random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (random >> 33) % bound
    };
    let paths = ["/a", "/b", "/a/x", "/a/y", "/b/x", "/a/x/deep"];
    let modes =
        [CreateMode::Persistent, CreateMode::Ephemeral, CreateMode::PersistentSequential, CreateMode::Container];
    for _ in 0..300 {
        let id = clients[below(3) as usize];
        let mut ops = Vec::new();
        for _ in 0..=below(4) {
            let (path, version) = (paths[below(6) as usize], below(3) as i32 - 1);
            ops.push((below(4), path, version, modes[below(4) as usize]));
        }
        let write = |w: &mut Writer, (kind, path, version, mode): (u64, &str, i32, CreateMode)| match kind {
            0 => write_create(w, path, b"x", mode),
            1 => _ = w.string(path).i32(version),
            2 => _ = w.string(path).buffer(Some(b"other")).i32(version),
            _ => _ = w.string(path).i32(version),
        };
        let opcodes = [op::CREATE, op::DELETE, op::SET_DATA, op::CHECK];
        if below(2) == 0 {
            world.request(id, opcodes[ops[0].0 as usize], |w| write(w, ops[0]));
            continue;
        }
        let (before, zxid) = (world.image(), world.state.last_zxid);
        let (code, body) = world.request(id, op::MULTI, |w| {
            for op in &ops {
                w.i32(opcodes[op.0 as usize]).bool(false).i32(-1);
                write(w, *op);
            }
            w.i32(-1).bool(true).i32(-1);
        });
        assert_eq!(code, Code::OK);
        let failed = body[..4] == op::ERROR.to_be_bytes();
        if failed {
            assert!(world.image() == before && world.state.last_zxid == zxid, "seed {seed}");
        } else {
            assert_eq!(world.state.last_zxid, zxid + 1, "seed {seed}");
        }
    }
    let mut replayed = Tree::new();
    for (i, (header, txn)) in world.txns.iter().enumerate() {
        assert_eq!(header.zxid, i as i64 + 1);
        let mut w = Writer::new();
        txn.write(header, &mut w);
        let bytes = w.into_bytes();
        let (read_header, read_txn) = Txn::read(&mut Reader::new(&bytes)).unwrap();
        assert_eq!((&read_header, &read_txn), (header, txn));
        match &read_txn {
            Txn::Multi(txns) => txns.iter().for_each(|txn| _ = replayed.apply(header, txn).unwrap()),
            txn => _ = replayed.apply(header, txn).unwrap(),
        }
    }
    assert!(snapshot::encode(&replayed, &world.state.session_timeouts()) == world.image(), "seed {seed}");
}
