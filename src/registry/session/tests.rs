//! What a session does, on the embedded registry and, where `OTTLA_TEST_ZOOKEEPER` names one (`host:port`), on Apache's
//! ZooKeeper: the same scenario must hold on both.

use super::*;
use crate::registry::server::{ServerConfig, start};

const SECOND: Duration = Duration::from_secs(1);

async fn connect(hosts: &str) -> Session {
    Session::connect(hosts, 10 * SECOND, 10 * SECOND).await.unwrap()
}

/// Runs a scenario with two sessions in a chroot of their own.
async fn everywhere(scenario: impl AsyncFn(Session, Session)) {
    let dir = tempfile::tempdir().unwrap();
    let server = start(ServerConfig::new("127.0.0.1:0", dir.path())).await.unwrap();
    let chroot = format!("/ottla-{}", crate::registry::znodes::Uuid::random().unwrap());
    let zookeeper = std::env::var("OTTLA_TEST_ZOOKEEPER").ok();
    for host in [Some(server.local_addr().to_string()), zookeeper].into_iter().flatten() {
        let hosts = format!("{host}{chroot}");
        let (ours, theirs) = (connect(&hosts).await, connect(&hosts).await);
        ours.ensure_chroot().await.unwrap();
        scenario(ours.clone(), theirs.clone()).await;
        theirs.close().await;
        ours.close().await;
        connect(&host).await.delete_recursive(&chroot).await.unwrap();
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_znode_is_created_read_set_and_deleted() {
    everywhere(async |session, _| {
        assert_eq!(session.create("/a", None, CreateMode::Persistent).await.unwrap(), "/a");
        assert!(matches!(session.create("/a", None, CreateMode::Persistent).await, Err(Error::NodeExists(_))));
        assert!(matches!(session.create("/x/y", None, CreateMode::Persistent).await, Err(Error::NoNode(_))));
        let (data, stat) = session.get("/a").await.unwrap();
        assert!(data.is_empty());
        assert_eq!((stat.version, stat.data_length, stat.czxid), (0, 0, stat.mzxid));
        let stat = session.set("/a", b"one", 0).await.unwrap();
        assert_eq!((stat.version, stat.data_length), (1, 3));
        assert!(matches!(session.set("/a", b"two", 0).await, Err(Error::BadVersion(_))));
        session.create("/a/b", Some(b""), CreateMode::Persistent).await.unwrap();
        session.create("/a/c", None, CreateMode::Container).await.unwrap();
        assert!(matches!(session.delete("/a", -1).await, Err(Error::NotEmpty(_))));
        let mut children = session.children("/a").await.unwrap();
        children.sort();
        assert_eq!(children, ["b", "c"]);
        session.delete_recursive("/a").await.unwrap();
        assert_eq!(session.exists("/a").await.unwrap(), None);
        assert!(matches!(session.get("/a").await, Err(Error::NoNode(path)) if path == "/a"));
        assert!(matches!(session.get("a").await, Err(Error::BadArguments(_))));
        session.close().await;
        assert_eq!(session.state(), State::Closed);
        assert!(matches!(session.get("/").await, Err(Error::Closed)));
    })
    .await;
}

#[tokio::test]
async fn sequential_znodes_are_numbered_by_their_parent() {
    everywhere(async |session, _| {
        let first = session.create_with_parents("/p/q/n_", None, CreateMode::PersistentSequential).await.unwrap();
        session.create("/p/q/other", None, CreateMode::Persistent).await.unwrap();
        let third = session.create("/p/q/n_", None, CreateMode::EphemeralSequential).await.unwrap();
        assert_eq!((first.as_str(), third.as_str()), ("/p/q/n_0000000000", "/p/q/n_0000000002"));
        session.delete(&third, -1).await.unwrap();
        let (_, stat) = session.get("/p/q").await.unwrap();
        assert_eq!((stat.cversion, stat.num_children), (4, 2));
    })
    .await;
}

#[tokio::test]
async fn a_multi_is_all_or_nothing() {
    everywhere(async |session, _| {
        // What a Kafka broker does to register itself.
        let done =
            session.multi(&[Op::create("/b", None, CreateMode::Ephemeral), Op::set("/b", *b"json", 0)]).await.unwrap();
        let [OpResult::Created(path), OpResult::Set(stat)] = &done[..] else { panic!("{done:?}") };
        assert_eq!((path.as_str(), stat.version, stat.czxid), ("/b", 1, stat.mzxid));
        assert_eq!(Some(stat.ephemeral_owner), session.session_id());

        let (_, root) = session.get("/").await.unwrap();
        let failed = session
            .multi(&[
                Op::create("/c", None, CreateMode::Persistent),
                Op::set("/b", *b"other", -1),
                Op::delete("/b", -1),
                Op::check("/c", 7),
                Op::delete("/nothing", -1),
            ])
            .await
            .unwrap_err();
        assert_eq!(failed.index, Some(3));
        assert!(matches!(failed.error, Error::BadVersion(path) if path == "/c"));
        assert_eq!(session.exists("/c").await.unwrap(), None);
        assert_eq!(session.get("/b").await.unwrap().0, "json");
        assert_eq!(session.get("/").await.unwrap().1, root);
        let checked = session.multi(&[Op::check("/b", 1), Op::delete("/b", 1)]).await.unwrap();
        assert_eq!(checked, [OpResult::Checked, OpResult::Deleted]);
        let container = session.multi(&[Op::create("/box", None, CreateMode::Container)]).await.unwrap();
        assert_eq!(container, [OpResult::Created("/box".into())]);
    })
    .await;
}

#[tokio::test]
async fn watches_fire_once() {
    everywhere(async |ours, theirs| {
        let (none, created) = ours.exists_and_watch("/a").await.unwrap();
        assert_eq!(none, None);
        let (_, children) = ours.children_and_watch("/").await.unwrap();
        let (_, _, dropped) = ours.get_and_watch("/").await.unwrap();
        drop(dropped);
        theirs.create("/a", None, CreateMode::Persistent).await.unwrap();
        assert_eq!(created.await.kind, EventKind::NodeCreated);
        assert_eq!(children.await.kind, EventKind::NodeChildrenChanged);
        let (_, _, changed) = ours.get_and_watch("/a").await.unwrap();
        let (_, _, again) = ours.get_and_watch("/a").await.unwrap();
        theirs.set("/a", b"x", -1).await.unwrap();
        assert_eq!(changed.await.kind, EventKind::NodeDataChanged);
        let event = again.await;
        assert_eq!((event.kind, event.path.as_str()), (EventKind::NodeDataChanged, "/a"));
        let (_, deleted) = ours.exists_and_watch("/a").await.unwrap();
        theirs.delete("/a", -1).await.unwrap();
        assert_eq!(deleted.await.kind, EventKind::NodeDeleted);
        let (_, _, at_the_end) = ours.get_and_watch("/").await.unwrap();
        ours.close().await;
        assert_eq!(at_the_end.await, WatchEvent { kind: EventKind::SessionLost, path: "/".into() });
    })
    .await;
}

#[tokio::test]
async fn a_chroot_is_seen_by_nobody_inside() {
    everywhere(async |session, other| {
        let (_, _, changed) = session.get_and_watch("/").await.unwrap();
        assert_eq!(session.create("/a", None, CreateMode::Persistent).await.unwrap(), "/a");
        other.set("/", b"", -1).await.unwrap();
        assert_eq!(changed.await.path, "/");
        let made = session.multi(&[Op::create("/b", None, CreateMode::Persistent)]).await.unwrap();
        assert_eq!(made, [OpResult::Created("/b".into())]);
        session.ensure_chroot().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn many_requests_under_way_are_answered_each_with_its_own() {
    everywhere(async |session, _| {
        let payload = vec![b'x'; 20_000];
        let mut creations = tokio::task::JoinSet::new();
        for i in 0..500 {
            let (session, payload) = (session.clone(), payload.clone());
            creations.spawn(async move {
                session.create(&format!("/n{i}"), Some(&payload), CreateMode::Persistent).await.unwrap()
            });
        }
        assert_eq!(creations.join_all().await.len(), 500);
        let mut reads = tokio::task::JoinSet::new();
        for i in 0..500 {
            let session = session.clone();
            reads.spawn(async move { session.get(&format!("/n{i}")).await.unwrap().0.len() });
        }
        assert!(reads.join_all().await.iter().all(|length| *length == 20_000));
    })
    .await;
}
