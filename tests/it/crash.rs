//! Brokers as processes that are killed, or whose disk is full: what was acknowledged is there afterwards.
//!
//! `OTTLA_CRASH_ROUNDS=n` for more rounds (`.ci/crash-loop`), `OTTLA_FULL_DISK=folder` on a small file system for the
//! test of the full disk (`.ci/full-disk`).

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla::network::Peer;
use ottla::wire::ErrorCode;
use ottla::wire::messages::create_topics::{CreatableTopic, CreatableTopicConfig};
use ottla::wire::messages::delete_topics::DeleteTopicState;
use ottla::wire::messages::*;
use tokio::sync::Mutex;

use crate::broker::{batch, fetch_request, produce_request, topic_metadata, values};

/// Acknowledged with acks=1: (topic, partition, offset) and the value there.
type Acknowledged = Arc<Mutex<BTreeMap<(String, i32, i64), String>>>;

/// A `kafka-server-start` on one port, again and again.
struct Server {
    home: PathBuf,
    address: String,
    process: Option<Child>,
    lives: u32,
}

impl Server {
    fn new(home: &Path, settings: &str) -> Server {
        let ports: Vec<TcpListener> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let [address, registry] = [&ports[0], &ports[1]].map(|port| port.local_addr().unwrap().to_string());
        let path = |name: &str| home.join(name).display().to_string();
        let text = format!(
            "broker.id=0\nlisteners=PLAINTEXT://{address}\nregistry.listener={registry}\nregistry.data.dir={}\n\
             offsets.topic.replication.factor=1\n{settings}",
            path("registry")
        );
        fs::write(home.join("server.properties"), text).unwrap();
        Server { home: home.to_owned(), address, process: None, lives: 0 }
    }

    async fn start(&mut self) -> Peer {
        self.lives += 1;
        let log = File::create(self.home.join(format!("log-{}", self.lives))).unwrap();
        let ready = self.home.join("ready");
        let _ = fs::remove_file(&ready);
        let child = Command::new(env!("CARGO_BIN_EXE_kafka-server-start"))
            .arg(self.home.join("server.properties"))
            .arg("--ready-file")
            .arg(&ready)
            .env("TMPDIR", &self.home)
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .spawn()
            .unwrap();
        self.process = Some(child);
        let began = Instant::now();
        loop {
            if ready.exists() {
                return Peer::connect(&self.address, "test").await.unwrap();
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.join(format!("log-{}", self.lives))).unwrap_or_default()
    }

    /// `kill -9`.
    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    async fn ended(&mut self) -> ExitStatus {
        let mut process = self.process.take().unwrap();
        tokio::task::spawn_blocking(move || process.wait().unwrap()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

async fn create(peer: &Peer, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
    let configs = configs
        .iter()
        .map(|(name, value)| CreatableTopicConfig { name: name.to_string(), value: Some(value.to_string()) });
    let topic = CreatableTopic {
        name: topic.to_owned(),
        num_partitions: partitions,
        replication_factor: 1,
        configs: configs.collect(),
        ..Default::default()
    };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, validate_only: false };
    let code = ErrorCode(peer.call(&request, 7).await.unwrap().topics[0].error_code);
    assert!([ErrorCode::NONE, ErrorCode::TOPIC_ALREADY_EXISTS].contains(&code), "{code:?}");
}

async fn until_led(peer: &Peer, topic: &str, partitions: &[i32], server: &Server) {
    let began = Instant::now();
    loop {
        let found = topic_metadata(peer, topic).await.partitions;
        let is_led = |wanted: &i32| found.iter().any(|one| one.partition_index == *wanted && one.error_code == 0);
        if partitions.iter().all(is_led) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{topic}: {found:?}\n{}", server.log());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Produces one batch after the other, until the broker is gone or refuses: then with what error.
async fn produce_on(
    address: String,
    topic: String,
    partition: i32,
    size: usize,
    done: Acknowledged,
) -> Option<ErrorCode> {
    let peer = Peer::connect(&address, "producer").await.ok()?;
    for n in 0.. {
        let value = format!("{partition}-{n}-{}", "x".repeat(n * 37 % 100 + size));
        let records = batch(&[&value, "b"]);
        let response = peer.call(&produce_request(&topic, partition, 1, records), 9).await.ok()?;
        let answer = &response.responses[0].partition_responses[0];
        if answer.error_code != 0 {
            return Some(ErrorCode(answer.error_code));
        }
        done.lock().await.insert((topic.clone(), partition, answer.base_offset), value);
    }
    None
}

/// Every partition from its start to its end, without a hole; holds what was acknowledged.
async fn check(peer: &Peer, topic: &str, partitions: &[i32], acknowledged: &Acknowledged, server: &Server) {
    let mut found = BTreeMap::new();
    for &partition in partitions {
        let mut next = 0;
        loop {
            let mut request = fetch_request(topic, next);
            request.topics[0].partitions[0].partition = partition;
            let mut response = peer.call(&request, 12).await.unwrap();
            let data = response.responses.remove(0).partitions.remove(0);
            assert_eq!(data.error_code, 0, "{topic}-{partition} at {next}");
            let records = values(&data.records);
            if records.is_empty() {
                assert_eq!(data.high_watermark, next, "{topic}-{partition} has a hole");
                break;
            }
            let from = next;
            for (offset, value) in records.into_iter().skip_while(|(offset, _)| *offset < from) {
                assert_eq!(offset, next, "{topic}-{partition}");
                found.insert((topic.to_owned(), partition, offset), value);
                next = offset + 1;
            }
        }
    }
    for (place, value) in
        acknowledged.lock().await.iter().filter(|((of, partition, _), _)| of == topic && partitions.contains(partition))
    {
        assert_eq!(found.get(place), Some(value), "{place:?} was acknowledged\n{}", server.log());
    }
}

const TOPICS: [(&str, &[i32]); 2] = [("small", &[0, 1, 2, 3]), ("synced", &[0, 1])];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_under_load() {
    let rounds = env::var("OTTLA_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
    let home = tempfile::tempdir().unwrap();
    let dirs = [home.path().join("a"), home.path().join("b")].map(|dir| dir.display().to_string()).join(",");
    // Everything that is done by the clock is done often, so that deaths fall into all of it.
    let often = "log.flush.offset.checkpoint.interval.ms=70\nlog.flush.start.offset.checkpoint.interval.ms=90\n\
                 replica.high.watermark.checkpoint.interval.ms=30\nlog.retention.check.interval.ms=50\n\
                 log.initial.task.delay.ms=50\nlog.segment.delete.delay.ms=100\n";
    let mut server = Server::new(home.path(), &format!("log.dirs={dirs}\n{often}"));
    let acknowledged = Acknowledged::default();
    for round in 0..rounds {
        let peer = server.start().await;
        // Small segments, so that many are rolled; the other one is synced all the time.
        create(
            &peer,
            "small",
            4,
            &[("segment.bytes", "6000"), ("index.interval.bytes", "500"), ("retention.ms", "-1")],
        )
        .await;
        create(&peer, "synced", 2, &[("flush.messages", "3"), ("retention.ms", "-1")]).await;
        for (topic, partitions) in TOPICS {
            until_led(&peer, topic, partitions, &server).await;
            check(&peer, topic, partitions, &acknowledged, &server).await;
        }
        let before = acknowledged.lock().await.len();
        let produce = |topic: &str, partition| {
            tokio::spawn(produce_on(server.address.clone(), topic.to_owned(), partition, 50, acknowledged.clone()))
        };
        let mut load: Vec<_> = (0..4).map(|partition| produce("small", partition)).collect();
        load.extend((0..2).map(|partition| produce("synced", partition)));
        // Topics come and go meanwhile.
        let address = server.address.clone();
        let churn = tokio::spawn(async move {
            let Ok(peer) = Peer::connect(&address, "churn").await else { return };
            for n in 0.. {
                let name = format!("gone-{round}-{n}");
                let topic = CreatableTopic {
                    name: name.clone(),
                    num_partitions: 3,
                    replication_factor: 1,
                    ..Default::default()
                };
                let create = CreateTopicsRequest { topics: vec![topic], timeout_ms: 9_000, validate_only: false };
                let delete = DeleteTopicsRequest {
                    topics: vec![DeleteTopicState { name: Some(name), ..Default::default() }],
                    timeout_ms: 9_000,
                    ..Default::default()
                };
                if peer.call(&create, 7).await.is_err() || peer.call(&delete, 6).await.is_err() {
                    return;
                }
            }
        });
        // A third of a second to a second of it, another in each round.
        tokio::time::sleep(Duration::from_millis(300 + round * 137 % 700)).await;
        server.kill();
        for task in load {
            assert_eq!(task.await.unwrap(), None, "{}", server.log());
        }
        churn.await.unwrap();
        assert!(acknowledged.lock().await.len() > before, "nothing was acknowledged in round {round}");
        let log = server.log();
        assert!(!log.contains("Stopping serving logs"), "{log}");
    }
    let peer = server.start().await;
    for (topic, partitions) in TOPICS {
        until_led(&peer, topic, partitions, &server).await;
        check(&peer, topic, partitions, &acknowledged, &server).await;
    }
    println!("{rounds} rounds, {} batches acknowledged", acknowledged.lock().await.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_so_and_loses_nothing() {
    let Some(small) = env::var_os("OTTLA_FULL_DISK").map(PathBuf::from) else { return };
    let home = tempfile::tempdir().unwrap();
    // The file that goes when space is wanted again.
    let ballast = small.join("ballast");
    fs::write(&ballast, vec![1; 4 << 20]).unwrap();
    let (full, wide) = (small.join("full"), home.path().join("wide"));
    let mut server = Server::new(home.path(), &format!("log.dirs={},{}\n", full.display(), wide.display()));
    let acknowledged = Acknowledged::default();
    let peer = server.start().await;
    create(&peer, "t", 2, &[("segment.bytes", "1000000")]).await;
    until_led(&peer, "t", &[0, 1], &server).await;
    let lost = i32::from(full.join("t-1").exists());
    let address = || server.address.clone();
    let refused = produce_on(address(), "t".into(), lost, 20_000, acknowledged.clone()).await;
    assert_eq!(refused, Some(ErrorCode::KAFKA_STORAGE_ERROR));
    let log = server.log();
    let stopped = format!("Stopping serving logs in dir {}: No space left on device", full.display());
    assert!(log.contains(&stopped), "{log}");
    // The other dir serves; what is offline is said to be.
    let one = produce_request("t", 1 - lost, 1, batch(&["still"]));
    let answer = peer.call(&one, 9).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    let began = Instant::now();
    loop {
        let found = topic_metadata(&peer, "t").await.partitions;
        let of = found.iter().find(|partition| partition.partition_index == lost).unwrap();
        if of.leader_id == -1 && of.offline_replicas == [0] {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{of:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Restarted while the disk is still full, it serves the other one at least; nothing is lost by it.
    server.kill();
    let peer = server.start().await;
    until_led(&peer, "t", &[1 - lost], &server).await;
    server.kill();
    fs::remove_file(&ballast).unwrap();
    let peer = server.start().await;
    until_led(&peer, "t", &[0, 1], &server).await;
    check(&peer, "t", &[0, 1], &acknowledged, &server).await;
    let again = produce_request("t", lost, 1, batch(&["again"]));
    let answer = peer.call(&again, 9).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "{}", server.log());
    server.kill();

    // Where it is the only one, the broker ends.
    fs::write(&ballast, vec![1; 1 << 20]).unwrap();
    let mut server = Server::new(home.path(), &format!("log.dirs={}\n", full.display()));
    let peer = server.start().await;
    until_led(&peer, "t", &[lost], &server).await;
    let refused = produce_on(server.address.clone(), "t".into(), lost, 20_000, acknowledged.clone()).await;
    assert!(matches!(refused, Some(ErrorCode::KAFKA_STORAGE_ERROR) | None), "{refused:?}");
    assert_eq!(server.ended().await.code(), Some(1));
    let log = server.log();
    let shutdown = format!("Shutdown broker because all log dirs in {} have failed", full.display());
    assert!(log.contains(&shutdown), "{log}");
    fs::remove_file(&ballast).unwrap();
    let peer = server.start().await;
    until_led(&peer, "t", &[lost], &server).await;
    check(&peer, "t", &[lost], &acknowledged, &server).await;
}
