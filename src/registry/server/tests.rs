use std::path::Path;
use std::time::Duration;

use super::*;
use crate::registry::session::{CreateMode, EventKind, Session, State as SessionState};

const SECOND: Duration = Duration::from_secs(1);

fn config(dir: &Path) -> ServerConfig {
    ServerConfig { tick_time_ms: 100, ..ServerConfig::new("127.0.0.1:0", dir) }
}

async fn connect(server: &Server) -> Session {
    Session::connect(&server.local_addr().to_string(), 10 * SECOND, 10 * SECOND).await.unwrap()
}

#[tokio::test]
async fn ephemerals_go_with_a_session_that_falls_silent() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let session = connect(&server).await;
    // A client that says nothing more once it has made its znode; 200 ms is two ticks.
    let mut silent = Raw::connect(&server).await;
    let id = silent.handshake(0, 0, &[0; 16], 200).await.unwrap().1;
    silent.create("/e", 1).await;
    let (stat, gone) = session.exists_and_watch("/e").await.unwrap();
    assert_eq!(stat.unwrap().ephemeral_owner, id);
    let event = tokio::time::timeout(10 * SECOND, gone).await.unwrap();
    assert_eq!(event.kind, EventKind::NodeDeleted);
    assert_eq!(silent.read_to_end().await, 0, "an expired session's connection is closed");
    let mut late = Raw::connect(&server).await;
    assert_eq!(late.handshake(0, id, &sessions::password(id), 200).await, None);
}

#[tokio::test]
async fn a_session_moves_to_a_new_connection_and_only_with_its_password() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let mut first = Raw::connect(&server).await;
    let (_, id, password) = first.handshake(0, 0, &[0; 16], 10_000).await.unwrap();
    first.create("/e", 1).await;
    let mut thief = Raw::connect(&server).await;
    assert_eq!(thief.handshake(0, id, &[7; 16], 10_000).await, None);
    let mut second = Raw::connect(&server).await;
    assert_eq!(second.handshake(0, id, &password, 10_000).await.unwrap().1, id);
    assert_eq!(first.read_to_end().await, 0, "the former connection is closed");
    let session = connect(&server).await;
    assert_eq!(session.get("/e").await.unwrap().1.ephemeral_owner, id);
}

#[tokio::test]
async fn a_client_that_has_seen_the_future_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let mut client = Raw::connect(&server).await;
    client.send_handshake(1 << 40, 0, &[0; 16], 10_000).await;
    assert_eq!(client.read_to_end().await, 0);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_and_so_are_the_sessions() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let mut client = Raw::connect(&server).await;
    let (_, id, password) = client.handshake(0, 0, &[0; 16], 10_000).await.unwrap();
    client.create("/e", 1).await;
    let session = connect(&server).await;
    session.create("/p", Some(b"data"), CreateMode::Persistent).await.unwrap();
    let (_, before) = session.get("/p").await.unwrap();
    server.shutdown().await;

    let server = start(config(dir.path())).await.unwrap();
    let mut back = Raw::connect(&server).await;
    assert_eq!(back.handshake(0, id, &password, 10_000).await.unwrap().1, id);
    let session = connect(&server).await;
    assert_eq!(session.get("/p").await.unwrap(), ("data".into(), before));
    assert_eq!(session.get("/e").await.unwrap().1.ephemeral_owner, id);
    let (_, gone) = session.exists_and_watch("/e").await.unwrap();
    back.request(9, -11, &[]).await;
    assert_eq!(gone.await.kind, EventKind::NodeDeleted);
}

#[tokio::test]
async fn a_session_outlives_its_server_and_finds_its_watches_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let listener = server.local_addr().to_string();
    let session = connect(&server).await;
    let id = session.session_id();
    session.create("/a", Some(b"0"), CreateMode::Persistent).await.unwrap();
    session.create("/e", None, CreateMode::Ephemeral).await.unwrap();
    let (_, _, changed) = session.get_and_watch("/a").await.unwrap();
    let (_, created) = session.exists_and_watch("/new").await.unwrap();
    server.shutdown().await;

    let restarted = ServerConfig { listener, ..config(dir.path()) };
    let server = start(restarted).await.unwrap();
    // Waits for the connection by itself.
    assert_eq!(session.get("/a").await.unwrap().0, "0");
    assert_eq!(session.session_id(), id);
    let other = connect(&server).await;
    assert!(other.exists("/e").await.unwrap().is_some());
    other.set("/a", b"1", -1).await.unwrap();
    other.create("/new", None, CreateMode::Persistent).await.unwrap();
    assert_eq!(changed.await.kind, EventKind::NodeDataChanged);
    assert_eq!(created.await.kind, EventKind::NodeCreated);
}

#[tokio::test]
async fn expiry_is_told_and_the_session_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let session = connect(&server).await;
    let id = session.session_id().unwrap();
    let clone = session.clone();
    session.create("/e", None, CreateMode::Ephemeral).await.unwrap();
    let (_, _, watch) = session.get_and_watch("/e").await.unwrap();
    let mut states = session.states();
    {
        // As if the client had been away for too long.
        let mut locked = server.shared.locked.lock();
        let later = Now { wall_ms: 0, monotonic_ms: u64::MAX };
        let effects = locked.state.expire(later);
        server.shared.carry_out(&mut locked, effects);
    }
    session.lost().await;
    assert_eq!(*states.borrow_and_update(), SessionState::Expired);
    assert_eq!(watch.await.kind, EventKind::SessionLost);
    assert!(matches!(clone.get("/").await, Err(Error::SessionExpired)));
    session.rebuild().await.unwrap();
    assert_ne!(clone.session_id().unwrap(), id);
    assert_eq!(clone.exists("/e").await.unwrap(), None);
}

#[tokio::test]
async fn no_registry_is_a_timeout() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = Session::connect(&free.to_string(), 10 * SECOND, Duration::from_millis(50)).await;
    assert!(matches!(refused, Err(Error::Timeout)));
}

#[tokio::test]
async fn a_directory_serves_one_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let Err(err) = start(config(dir.path())).await else { panic!("two servers on one directory") };
    assert!(err.to_string().contains("another registry uses the directory"), "{err}");
    server.shutdown().await;
    start(config(dir.path())).await.unwrap().shutdown().await;
}

#[tokio::test]
async fn hostile_bytes_end_their_connection_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let session = connect(&server).await;
    let mut seed = 0x9e37_79b9_u64;
    let mut random = || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (seed >> 56) as u8
    };
    for round in 0..200 {
        let mut client = Raw::connect(&server).await;
        if round % 2 == 0 {
            client.handshake(0, 0, &[0; 16], 10_000).await.unwrap();
        }
        let length = usize::from(random());
        let mut payload: Vec<u8> = (0..length).map(|_| random()).collect();
        if round % 4 == 0 && length > 8 {
            // A plausible op code gets further.
            payload[4..8].copy_from_slice(&i32::from(random() % 25).to_be_bytes());
        }
        client.write(&(payload.len() as u32).to_be_bytes()).await;
        client.write(&payload).await;
    }
    for prefix in [[0x7f, 0xff, 0xff, 0xff], [0x80, 0, 0, 0], [0, 0x20, 0, 0]] {
        let mut huge = Raw::connect(&server).await;
        huge.write(&prefix).await;
        assert_eq!(huge.read_to_end().await, 0, "{prefix:?}");
    }
    let mut half = Raw::connect(&server).await;
    half.write(&[0, 0, 0, 44, 0, 0]).await;
    // A vector of two thousand million paths in a frame of a few bytes.
    let mut vector = Raw::connect(&server).await;
    vector.handshake(0, 0, &[0; 16], 10_000).await.unwrap();
    vector.write_request(1, 101, &[0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]).await;
    assert_eq!(vector.read_to_end().await, 0);
    assert_eq!(session.children("/zookeeper").await.unwrap(), ["config", "quota"]);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_either() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let session = connect(&server).await;
    session.create("/big", Some(&[7; 500_000]), CreateMode::Persistent).await.unwrap();
    let mut slow = Raw::connect(&server).await;
    slow.handshake(0, 0, &[0; 16], 10_000).await.unwrap();
    let mut w = crate::registry::jute::Writer::frame();
    w.i32(1).i32(4).string("/big").bool(false);
    let requests = w.into_frame().repeat(100);
    slow.write(&requests).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let queued: Vec<usize> =
        server.shared.locked.lock().outboxes.values().map(|outbox| outbox.queued_bytes()).collect();
    // The limit, and the answer that went beyond it.
    assert!(queued.iter().all(|bytes| *bytes < (1 << 20) + 1_000_000), "{queued:?}");
    assert_eq!(session.get("/big").await.unwrap().0.len(), 500_000);
    for _ in 0..100 {
        assert_eq!(slow.frame().await.unwrap().len(), 16 + 4 + 500_000 + 68);
    }
}

#[tokio::test]
async fn nothing_is_acknowledged_that_the_disk_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    std::fs::remove_dir_all(dir.path().join("version-2")).unwrap();
    let refused = Session::connect(&server.local_addr().to_string(), 10 * SECOND, Duration::from_millis(300)).await;
    assert!(matches!(refused, Err(Error::Timeout)));
    tokio::time::timeout(10 * SECOND, server.failed()).await.expect("the server knows");
    server.shutdown().await;
}

#[tokio::test]
async fn four_letter_words_are_answered_when_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(config(dir.path())).await.unwrap();
    let session = connect(&server).await;
    let (_, _watch) = session.exists_and_watch("/x").await.unwrap();
    let ask = async |word: &'static str| Raw::connect(&server).await.ask(word).await;
    assert_eq!(ask("ruok").await, "imok");
    assert_eq!(ask("isro").await, "rw");
    let srvr = ask("srvr").await;
    assert!(
        srvr.starts_with("Zookeeper version: 3.") && srvr.contains("\nMode: standalone\nNode count: 5\n"),
        "{srvr}"
    );
    assert!(ask("mntr").await.contains("zk_znode_count\t5\n"));
    assert!(ask("wchp").await.starts_with("/x\n\t0x"));
    assert_eq!(ask("wchs").await, "1 connections watching 1 paths\nTotal watches:1\n");
    for word in ["stat", "conf", "cons", "dump", "wchc", "envi", "dirs", "crst", "srst"] {
        assert!(!ask(word).await.is_empty(), "{word}");
    }
    server.shutdown().await;

    let only = FourLetterWords::Only(vec!["srvr".into()]);
    let server = start(ServerConfig { four_letter_words: only, ..config(dir.path()) }).await.unwrap();
    let refused = Raw::connect(&server).await.ask("ruok").await;
    assert_eq!(refused, "ruok is not executed because it is not in the whitelist.\n");
}

#[tokio::test]
async fn one_address_gets_so_many_connections() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(ServerConfig { max_client_connections: 1, ..config(dir.path()) }).await.unwrap();
    let session = connect(&server).await;
    let mut second = Raw::connect(&server).await;
    assert_eq!(second.read_to_end().await, 0);
    assert!(session.exists("/").await.unwrap().is_some());
}

/// A client that says what it likes.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    async fn connect(server: &Server) -> Raw {
        Raw { stream: TcpStream::connect(server.local_addr()).await.unwrap() }
    }

    /// The other end may have hung up already.
    async fn write(&mut self, bytes: &[u8]) {
        use tokio::io::AsyncWriteExt;
        let _ = self.stream.write_all(bytes).await;
    }

    async fn write_request(&mut self, xid: i32, opcode: i32, body: &[u8]) {
        let mut w = crate::registry::jute::Writer::frame();
        w.i32(xid).i32(opcode).bytes(body);
        self.write(&w.into_frame()).await;
    }

    /// The next frame, or `None` at the end.
    async fn frame(&mut self) -> Option<Vec<u8>> {
        use tokio::io::AsyncReadExt;
        let length = self.stream.read_u32().await.ok()?;
        let mut frame = vec![0; length as usize];
        self.stream.read_exact(&mut frame).await.ok()?;
        Some(frame)
    }

    async fn request(&mut self, xid: i32, opcode: i32, body: &[u8]) -> Option<Vec<u8>> {
        self.write_request(xid, opcode, body).await;
        self.frame().await
    }

    async fn send_handshake(&mut self, zxid: i64, id: i64, password: &[u8], timeout_ms: i32) {
        let mut w = crate::registry::jute::Writer::frame();
        w.i32(0).i64(zxid).i32(timeout_ms).i64(id).buffer(Some(password)).bool(false);
        self.write(&w.into_frame()).await;
    }

    /// Timeout, session and password; `None` when refused.
    async fn handshake(&mut self, zxid: i64, id: i64, password: &[u8], timeout_ms: i32) -> Option<(i32, i64, Vec<u8>)> {
        self.send_handshake(zxid, id, password, timeout_ms).await;
        let frame = self.frame().await?;
        assert_eq!(frame.len(), 37);
        let mut r = crate::registry::jute::Reader::new(&frame);
        r.i32().unwrap();
        let (timeout_ms, id) = (r.i32().unwrap(), r.i64().unwrap());
        let password = r.buffer().unwrap().unwrap().to_vec();
        (id != 0).then_some((timeout_ms, id, password))
    }

    async fn create(&mut self, path: &str, flags: i32) {
        let mut w = crate::registry::jute::Writer::new();
        w.string(path).buffer(None);
        crate::registry::proto::Acl::write_list(&[crate::registry::proto::Acl::open()], &mut w);
        w.i32(flags);
        let reply = self.request(1, 1, &w.into_bytes()).await.unwrap();
        assert_eq!(reply[12..16], [0; 4], "no error");
    }

    /// How many bytes came before the end.
    async fn read_to_end(&mut self) -> usize {
        use tokio::io::AsyncReadExt;
        let mut rest = Vec::new();
        let end = tokio::time::timeout(10 * SECOND, self.stream.read_to_end(&mut rest)).await;
        let _ = end.expect("the connection ends");
        rest.len()
    }

    async fn ask(&mut self, word: &str) -> String {
        use tokio::io::AsyncReadExt;
        self.write(word.as_bytes()).await;
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
