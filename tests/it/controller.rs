//! Several brokers on one registry: election, failure and return, hand-over, expiry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla::network::Peer;
use ottla::registry::Session;
use ottla::registry::server::{Server, ServerConfig};
use ottla::registry::session::CreateMode;
use ottla::wire::ErrorCode;
use ottla::wire::messages::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use ottla::wire::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use ottla::wire::messages::metadata::MetadataResponsePartition;
use ottla::wire::messages::*;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::broker::{TestBroker, topic_metadata};

/// A registry whose sessions may be short.
pub struct Cluster {
    registry: Server,
    _dir: tempfile::TempDir,
}

impl Cluster {
    pub async fn start() -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new("127.0.0.1:0", dir.path());
        config.tick_time_ms = 100;
        Cluster { registry: ottla::registry::server::start(config).await.unwrap(), _dir: dir }
    }

    pub fn address(&self) -> String {
        self.registry.local_addr().to_string()
    }

    pub async fn broker(&self, id: &str, overrides: &[(&str, &str)]) -> TestBroker {
        let address = self.address();
        let mut keys = vec![("broker.id", id), ("zookeeper.connect", address.as_str())];
        keys.extend(overrides);
        TestBroker::start_with(&keys).await
    }

    pub async fn session(&self) -> Session {
        Session::connect(&self.address(), Duration::from_secs(10), Duration::from_secs(10)).await.unwrap()
    }
}

/// Creates a topic with these replicas, at whichever broker is the controller.
pub async fn create(brokers: &[&TestBroker], name: &str, replicas: &[&[i32]]) {
    let rows = (0..)
        .zip(replicas)
        .map(|(partition_index, ids)| CreatableReplicaAssignment { partition_index, broker_ids: ids.to_vec() });
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: rows.collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
    let began = Instant::now();
    loop {
        for broker in brokers {
            let result = broker.connect().await.call(&request, 7).await.unwrap().topics.remove(0);
            match ErrorCode(result.error_code) {
                ErrorCode::NOT_CONTROLLER => {}
                code => return assert_eq!((code, result.error_message), (ErrorCode::NONE, None)),
            }
        }
        assert!(began.elapsed() < Duration::from_secs(10), "nobody is the controller");
    }
}

/// Waits until a partition is as wanted, as this broker knows it.
pub async fn until(peer: &Peer, topic: &str, partition: usize, wanted: impl Fn(&MetadataResponsePartition) -> bool) {
    let began = Instant::now();
    loop {
        let found = topic_metadata(peer, topic).await;
        match found.partitions.iter().find(|found| found.partition_index == partition as i32) {
            Some(found) if wanted(found) => return,
            found => assert!(began.elapsed() < Duration::from_secs(10), "{topic}-{partition}: {found:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn led_by(leader: i32, isr: &[i32]) -> impl Fn(&MetadataResponsePartition) -> bool {
    let isr = isr.to_vec();
    move |partition| partition.leader_id == leader && partition.isr_nodes == isr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_moves_when_a_broker_leaves_dies_and_returns() {
    let cluster = Cluster::start().await;
    let (zero, one, two) = tokio::join!(cluster.broker("0", &[]), cluster.broker("1", &[]), async {
        cluster.broker("2", &[("controlled.shutdown.enable", "false")]).await
    });
    create(&[&zero, &one, &two], "t", &[&[1, 0], &[2, 0]]).await;
    create(&[&zero, &one, &two], "single", &[&[2]]).await;
    let peer = zero.connect().await;
    until(&peer, "t", 0, led_by(1, &[1, 0])).await;
    until(&peer, "t", 1, led_by(2, &[2, 0])).await;

    // One that leaves in order hands over first; one that just goes is noticed by its session.
    one.broker.shutdown().await;
    until(&peer, "t", 0, led_by(0, &[0])).await;
    let two = {
        let (broker, dir) = (two.broker.clone(), two.dir.clone());
        broker.shutdown().await;
        until(&peer, "t", 1, led_by(0, &[0])).await;
        until(&peer, "single", 0, |partition| partition.leader_id == -1 && partition.error_code == 5).await;
        drop((broker, dir));
        two.restart().await
    };
    until(&peer, "single", 0, led_by(2, &[2])).await;
    // What it knows itself is the same.
    until(&two.connect().await, "t", 1, |partition| partition.leader_id == 0).await;
    for broker in [two, zero] {
        broker.broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_controller_goes_another_takes_over() {
    let cluster = Cluster::start().await;
    let zero = cluster.broker("0", &[("controlled.shutdown.enable", "false")]).await;
    let one = cluster.broker("1", &[]).await;
    create(&[&zero], "t", &[&[1], &[0]]).await;
    // The one that is not the controller says so.
    let request = DeleteTopicsRequest { topic_names: vec!["t".to_owned()], timeout_ms: 1000, ..Default::default() };
    let refused = one.connect().await.call(&request, 5).await.unwrap().responses.remove(0);
    assert_eq!(refused.error_code, ErrorCode::NOT_CONTROLLER.0);
    zero.broker.shutdown().await;
    create(&[&one], "u", &[&[1]]).await;
    let peer = one.connect().await;
    until(&peer, "t", 1, |partition| partition.leader_id == -1).await;
    let session = cluster.session().await;
    let (epoch, _) = session.get("/controller_epoch").await.unwrap();
    assert_eq!(epoch.as_ref(), b"2");
    // A topic with a replica on a dead broker waits for it; everything else of it is gone.
    let deleted = peer.call(&request, 5).await.unwrap().responses.remove(0);
    assert_eq!(deleted.error_code, 0);
    assert!(session.exists("/brokers/topics/t").await.unwrap().is_some());
    let zero = zero.restart().await;
    let began = Instant::now();
    while session.exists("/brokers/topics/t").await.unwrap().is_some() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!zero.dir.path().join("logs/t-1").exists());
    for broker in [zero, one] {
        broker.broker.shutdown().await;
    }
}

/// Lets connections through to the registry while it is open.
async fn gate(to: String, open: watch::Receiver<bool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut inner, _)) = listener.accept().await {
            let (to, mut open) = (to.clone(), open.clone());
            tokio::spawn(async move {
                if !*open.borrow() {
                    return;
                }
                let mut outer = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut inner, &mut outer) => {}
                    _ = open.wait_for(|open| !open) => {}
                }
            });
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_whose_session_expired_registers_anew_and_goes_on() {
    let cluster = Cluster::start().await;
    let (door, open) = watch::channel(true);
    let address = gate(cluster.address(), open).await;
    let keys = [("zookeeper.connect", address.as_str()), ("zookeeper.session.timeout.ms", "1000")];
    let zero = cluster.broker("0", &keys).await;
    create(&[&zero], "t", &[&[0]]).await;
    let session = cluster.session().await;
    let first = session.exists("/brokers/ids/0").await.unwrap().unwrap().czxid;
    door.send_replace(false);
    let began = Instant::now();
    while session.exists("/brokers/ids/0").await.unwrap().is_some() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(session.exists("/controller").await.unwrap(), None);
    door.send_replace(true);
    create(&[&zero], "u", &[&[0]]).await;
    assert!(session.exists("/brokers/ids/0").await.unwrap().unwrap().czxid > first);
    let peer = zero.connect().await;
    until(&peer, "t", 0, led_by(0, &[0])).await;
    zero.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_former_life_left_in_the_registry_makes_room_at_once() {
    let cluster = Cluster::start().await;
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let listener = format!("PLAINTEXT://127.0.0.1:{port}");
    let former = cluster.session().await;
    former.create_with_parents("/brokers/ids", None, CreateMode::Persistent).await.unwrap();
    let node = format!(
        r#"{{"listener_security_protocol_map":{{"PLAINTEXT":"PLAINTEXT"}},"endpoints":["{listener}"],"version":5}}"#
    );
    former.create("/brokers/ids/0", Some(node.as_bytes()), CreateMode::Ephemeral).await.unwrap();
    let node = r#"{"version":2,"brokerid":0,"timestamp":"1","kraftControllerEpoch":-1}"#;
    former.create("/controller", Some(node.as_bytes()), CreateMode::Ephemeral).await.unwrap();
    let began = Instant::now();
    let broker = cluster.broker("0", &[("listeners", &listener)]).await;
    create(&[&broker], "t", &[&[0]]).await;
    // The former session would have lasted ten seconds.
    assert!(began.elapsed() < Duration::from_secs(5));
    // Another broker may not have the same address.
    let keys = [
        ("broker.id".to_owned(), "1".to_owned()),
        ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
        ("advertised.listeners".to_owned(), listener.clone()),
        ("zookeeper.connect".to_owned(), cluster.address()),
        ("log.dirs".to_owned(), broker.dir.path().join("other").display().to_string()),
    ];
    let config = ottla::config::BrokerConfig::from_properties(ottla::config::Properties::new(), &keys).unwrap();
    let refused = ottla::broker::Broker::start(config).await.map(|_: Arc<_>| ()).unwrap_err();
    let text = format!(
        "requirement failed: Configured end points 127.0.0.1:{port} in advertised listeners are already registered by \
         broker 0"
    );
    assert_eq!(refused.to_string(), text);
    broker.broker.shutdown().await;
}

async fn reassign(peer: &Peer, topic: &str, partition_index: i32, replicas: Option<&[i32]>) -> (ErrorCode, String) {
    let partition = ReassignablePartition { partition_index, replicas: replicas.map(<[i32]>::to_vec) };
    let topics = vec![ReassignableTopic { name: topic.to_owned(), partitions: vec![partition] }];
    let request = AlterPartitionReassignmentsRequest { timeout_ms: 10_000, topics };
    let mut response = peer.call(&request, 0).await.unwrap();
    assert_eq!(response.error_code, 0);
    let row = response.responses.remove(0).partitions.remove(0);
    (ErrorCode(row.error_code), row.error_message.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_move_and_leaders_are_elected_on_request() {
    let cluster = Cluster::start().await;
    let (zero, one, two) = tokio::join!(cluster.broker("0", &[]), cluster.broker("1", &[]), cluster.broker("2", &[]));
    let brokers = [&zero, &one, &two];
    create(&brokers, "t", &[&[1, 0], &[2, 1]]).await;
    let session = cluster.session().await;
    let (controller, _) = session.get("/controller").await.unwrap();
    let id = serde_json::from_slice::<serde_json::Value>(&controller).unwrap()["brokerid"].as_u64().unwrap() as usize;
    let (peer, other) = (brokers[id].connect().await, brokers[(id + 1) % 3].connect().await);
    until(&peer, "t", 0, led_by(1, &[1, 0])).await;

    // Away from its leader, to a replica that is in sync; and within the set, by the old znode.
    assert_eq!(reassign(&peer, "t", 0, Some(&[0])).await, (ErrorCode::NONE, String::new()));
    until(&peer, "t", 0, |partition| partition.leader_id == 0 && partition.replica_nodes == [0]).await;
    let began = Instant::now();
    while one.dir.path().join("logs/t-0").exists() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (topic, _) = session.get("/brokers/topics/t").await.unwrap();
    let topic: serde_json::Value = serde_json::from_slice(&topic).unwrap();
    assert_eq!(
        (&topic["partitions"]["0"], &topic["removing_replicas"]),
        (&serde_json::json!([0]), &serde_json::json!({}))
    );
    let (error, text) = reassign(&peer, "t", 0, None).await;
    assert_eq!(
        (error, text.as_str()),
        (ErrorCode::NO_REASSIGNMENT_IN_PROGRESS, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS.message())
    );
    let node = r#"{"version":1,"partitions":[{"topic":"t","partition":1,"replicas":[1,2]}]}"#;
    session.create("/admin/reassign_partitions", Some(node.as_bytes()), CreateMode::Persistent).await.unwrap();
    let began = Instant::now();
    while session.exists("/admin/reassign_partitions").await.unwrap().is_some() {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let list = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
    assert_eq!(peer.call(&list, 0).await.unwrap().topics, []);
    assert_eq!(ErrorCode(other.call(&list, 0).await.unwrap().error_code), ErrorCode::NOT_CONTROLLER);

    let elect = |partitions: Vec<i32>| ElectLeadersRequest {
        topic_partitions: Some(vec![elect_leaders::TopicPartitions { topic: "t".to_owned(), partitions }]),
        ..Default::default()
    };
    let response = peer.call(&elect(vec![0, 7]), 2).await.unwrap();
    let rows = &response.replica_election_results[0].partition_result;
    let codes: Vec<_> = rows.iter().map(|row| (row.partition_id, ErrorCode(row.error_code))).collect();
    assert_eq!(codes, [(0, ErrorCode::ELECTION_NOT_NEEDED), (7, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
    let all = ElectLeadersRequest { topic_partitions: None, ..Default::default() };
    let elected = peer.call(&all, 2).await.unwrap().replica_election_results;
    let rows: Vec<_> = elected[0].partition_result.iter().map(|row| (row.partition_id, row.error_code)).collect();
    assert_eq!((elected[0].topic.as_str(), rows), ("t", vec![(1, 0)]), "of the new order the first");
    until(&peer, "t", 1, |partition| partition.leader_id == 1).await;
    assert_eq!(peer.call(&all, 2).await.unwrap().replica_election_results, []);
    let refused = other.call(&elect(vec![0]), 2).await.unwrap();
    let row = &refused.replica_election_results[0].partition_result[0];
    assert_eq!(ErrorCode(row.error_code), ErrorCode::NOT_CONTROLLER);
    for broker in [one, two, zero] {
        broker.broker.shutdown().await;
    }
}
