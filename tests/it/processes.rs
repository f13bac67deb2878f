//! Three brokers as processes on one registry: killed, brought back, moved about, and nothing that was acknowledged lost.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ottla::network::Peer;
use ottla::registry::Session;
use ottla::registry::server::{Server, ServerConfig};
use ottla::wire::ErrorCode;
use ottla::wire::messages::alter_partition_reassignments::{ReassignablePartition, ReassignableTopic};
use ottla::wire::messages::create_topics::{CreatableReplicaAssignment, CreatableTopic};
use ottla::wire::messages::*;
use serde_json::{Value, json};

use crate::broker::{batch, produce_request, values};

/// Longer than any of these steps takes on a busy machine; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);

struct Cluster {
    registry: Server,
    session: Session,
    brokers: BTreeMap<i32, Child>,
    session_timeout_ms: u32,
    dir: tempfile::TempDir,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in self.brokers.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Cluster {
    async fn start(ids: RangeInclusive<i32>, session_timeout_ms: u32) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let mut config = ServerConfig::new("127.0.0.1:0", dir.path().join("registry"));
        // Sessions last at most twenty ticks.
        config.tick_time_ms = 500.max(session_timeout_ms as i32 / 20);
        let registry = ottla::registry::server::start(config).await.unwrap();
        let address = registry.local_addr().to_string();
        let session = Session::connect(&address, Duration::from_secs(10), Duration::from_secs(10)).await.unwrap();
        let mut cluster = Cluster { registry, session, brokers: BTreeMap::new(), session_timeout_ms, dir };
        for id in ids.clone() {
            cluster.spawn(id);
        }
        for id in ids {
            cluster.is_up(id).await;
        }
        cluster
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn spawn(&mut self, id: i32) {
        let ready = self.path(&format!("ready{id}"));
        let _ = std::fs::remove_file(&ready);
        let settings = [
            format!("broker.id={id}"),
            "listeners=PLAINTEXT://127.0.0.1:0".to_owned(),
            format!("log.dirs={}", self.path(&format!("logs{id}"))),
            format!("zookeeper.connect={}", self.registry.local_addr()),
            format!("zookeeper.session.timeout.ms={}", self.session_timeout_ms),
            "replica.lag.time.max.ms=3000".to_owned(),
            "auto.leader.rebalance.enable=false".to_owned(),
        ];
        let file = self.path(&format!("server{id}.properties"));
        std::fs::write(&file, settings.join("\n")).unwrap();
        let log = std::fs::File::create(self.path(&format!("broker{id}.out"))).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_kafka-server-start"))
            .args([&file, "--ready-file", &ready])
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        self.brokers.insert(id, child);
    }

    /// Its address, once it serves.
    async fn is_up(&self, id: i32) -> String {
        let began = Instant::now();
        loop {
            let ready = std::fs::read_to_string(self.path(&format!("ready{id}"))).unwrap_or_default();
            if ready.ends_with('\n') {
                return ready.trim().to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "broker {id} does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn kill(&mut self, id: i32) {
        let mut child = self.brokers.remove(&id).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn peer(&self, id: i32) -> Peer {
        Peer::connect(&self.is_up(id).await, "test").await.unwrap()
    }

    async fn json(&self, path: &str) -> Value {
        match self.session.get(path).await {
            Ok((data, _)) => serde_json::from_slice(&data).unwrap(),
            Err(_) => Value::Null,
        }
    }

    /// Waits until a znode is as wanted.
    async fn until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let found = self.json(path).await;
            if wanted(&found) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "{path} stays {found}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn until_in_sync(&self, partition: i32, leader: Option<i32>, isr: &[i32]) {
        let path = format!("/brokers/topics/t/partitions/{partition}/state");
        let mut isr = isr.to_vec();
        isr.sort();
        let is_so = |state: &Value| {
            let mut found: Vec<i32> = serde_json::from_value(state["isr"].clone()).unwrap_or_default();
            found.sort();
            found == isr && leader.is_none_or(|leader| state["leader"] == leader)
        };
        self.until(&path, is_so).await;
    }

    async fn controller(&self) -> i32 {
        self.until("/controller", |node| node["brokerid"].is_i64()).await["brokerid"].as_i64().unwrap() as i32
    }

    /// Asks the controller, whoever it is by then, until it answers as one.
    async fn ask<R>(&self, ask: impl AsyncFn(Peer) -> (ErrorCode, R)) -> R {
        let began = Instant::now();
        loop {
            let (code, answer) = ask(self.peer(self.controller().await).await).await;
            if code != ErrorCode::NOT_CONTROLLER {
                assert_eq!(code, ErrorCode::NONE);
                return answer;
            }
            assert!(began.elapsed() < PATIENCE, "nobody is the controller");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn create(&self, name: &str, replicas: &[&[i32]]) {
        let rows = (0..).zip(replicas);
        let rows =
            rows.map(|(partition_index, ids)| CreatableReplicaAssignment { partition_index, broker_ids: ids.to_vec() });
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: -1,
            replication_factor: -1,
            assignments: rows.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
        self.ask(async |peer| {
            let result = peer.call(&request, 7).await.unwrap().topics.remove(0);
            (ErrorCode(result.error_code), ())
        })
        .await;
    }

    async fn reassign(&self, partition_index: i32, replicas: &[i32]) {
        let partitions = vec![ReassignablePartition { partition_index, replicas: Some(replicas.to_vec()) }];
        let topics = vec![ReassignableTopic { name: "t".to_owned(), partitions }];
        let request = AlterPartitionReassignmentsRequest { timeout_ms: 30_000, topics };
        self.ask(async |peer| {
            let mut response = peer.call(&request, 0).await.unwrap();
            let code = match ErrorCode(response.error_code) {
                ErrorCode::NONE => ErrorCode(response.responses.remove(0).partitions.remove(0).error_code),
                code => code,
            };
            (code, ())
        })
        .await;
    }

    async fn until_moved(&self, partition: i32, replicas: &[i32]) {
        let is_there = |topic: &Value| {
            topic["partitions"][partition.to_string()] == json!(replicas)
                && topic["adding_replicas"] == json!({})
                && topic["removing_replicas"] == json!({})
        };
        self.until("/brokers/topics/t", is_there).await;
    }

    /// With acks=all, at whoever leads; again when that changes meanwhile.
    async fn produce(&self, partition: i32, value: &str) {
        let began = Instant::now();
        loop {
            let path = format!("/brokers/topics/t/partitions/{partition}/state");
            let leader =
                self.until(&path, |state| state["leader"].as_i64() > Some(0)).await["leader"].as_i64().unwrap();
            let request = produce_request("t", partition, -1, batch(&[value]));
            if let Ok(peer) = Peer::connect(&self.is_up(leader as i32).await, "test").await
                && let Ok(mut response) = peer.call(&request, 9).await
                && response.responses.remove(0).partition_responses.remove(0).error_code == 0
            {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "t-{partition} takes no records");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All values of a partition, from its leader.
    async fn read(&self, leader: i32, partition: i32) -> Vec<String> {
        let mut request = crate::broker::fetch_request("t", 0);
        request.topics[0].partitions[0].partition = partition;
        let mut response = self.peer(leader).await.call(&request, 12).await.unwrap();
        let fetched = response.responses.remove(0).partitions.remove(0);
        assert_eq!(ErrorCode(fetched.error_code), ErrorCode::NONE);
        values(&fetched.records).into_iter().map(|(_, value)| value).collect()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_loses_brokers_and_controllers_but_no_record() {
    let mut cluster = Cluster::start(1..=3, 3000).await;
    cluster.create("t", &[&[1, 2, 3], &[2, 3, 1]]).await;
    cluster.create("gone", &[&[1, 2, 3]]).await;
    cluster.until_in_sync(0, Some(1), &[1, 2, 3]).await;
    cluster.produce(0, "a").await;

    // The leader is killed: another leads, and records are taken on.
    cluster.kill(1);
    cluster.until_in_sync(0, Some(2), &[2, 3]).await;
    cluster.produce(0, "b").await;

    // A topic of which it has a replica cannot go yet.
    let request =
        DeleteTopicsRequest { topic_names: vec!["gone".to_owned()], timeout_ms: 20_000, ..Default::default() };
    cluster
        .ask(async |peer| {
            let result = peer.call(&request, 5).await.unwrap().responses.remove(0);
            (ErrorCode(result.error_code), ())
        })
        .await;
    assert!(cluster.session.exists("/brokers/topics/gone").await.unwrap().is_some());

    // Back on another port: it catches up, its replica of the topic goes, it leads again when asked to.
    cluster.spawn(1);
    cluster.until_in_sync(0, Some(2), &[1, 2, 3]).await;
    cluster.until("/brokers/topics/gone", Value::is_null).await;
    assert!(!cluster.dir.path().join("logs1/gone-0").exists());
    let request = ElectLeadersRequest { topic_partitions: None, timeout_ms: 20_000, ..Default::default() };
    cluster
        .ask(async |peer| {
            let response = peer.call(&request, 2).await.unwrap();
            let rows = response.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
            (rows.map(|row| ErrorCode(row.error_code)).find(|code| *code != ErrorCode::NONE).unwrap_or_default(), ())
        })
        .await;
    cluster.until_in_sync(0, Some(1), &[1, 2, 3]).await;
    cluster.produce(0, "c").await;

    // A partition moves away from its leader and from a follower, another onto a broker, while the controller dies.
    cluster.reassign(0, &[3]).await;
    cluster.until_moved(0, &[3]).await;
    cluster.until_in_sync(0, Some(3), &[3]).await;
    cluster.produce(0, "d").await;
    let controller = cluster.controller().await;
    cluster.reassign(0, &[2, 1]).await;
    cluster.kill(controller);
    cluster.until("/controller", |node| node["brokerid"].is_i64() && node["brokerid"] != controller).await;
    cluster.spawn(controller);
    cluster.until_moved(0, &[2, 1]).await;
    cluster.until_in_sync(0, None, &[1, 2]).await;
    cluster.produce(0, "e").await;
    let leader = cluster.json("/brokers/topics/t/partitions/0/state").await["leader"].as_i64().unwrap();
    assert_eq!(cluster.read(leader as i32, 0).await, ["a", "b", "c", "d", "e"]);
}

/// A start that waited for the former session would take longer than anybody waits here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_on_any_port_does_not_wait_for_its_former_session() {
    let mut cluster = Cluster::start(1..=1, 60_000).await;
    let former = cluster.session.exists("/brokers/ids/1").await.unwrap().unwrap();
    let address = cluster.is_up(1).await;
    cluster.kill(1);
    assert!(cluster.session.exists("/brokers/ids/1").await.unwrap().is_some());
    // Somebody else has the port now, so that it must be another.
    let _taken = tokio::net::TcpListener::bind(&address).await.unwrap();
    cluster.spawn(1);
    assert_ne!(cluster.is_up(1).await, address);
    assert!(cluster.session.exists("/brokers/ids/1").await.unwrap().unwrap().czxid > former.czxid);
    cluster.create("t", &[&[1]]).await;
}
