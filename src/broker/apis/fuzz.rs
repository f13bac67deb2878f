//! Requests that mean nothing, to every API in every version: well-formed ones with random values, some of them names
//! that exist, and broken ones. The broker may answer what it likes, or close the connection; it must not panic, and it
//! must serve the next request.
//!
//! A short form runs with the other tests. `OTTLA_FUZZ_SECONDS=600` runs for so long, with seeds of its own; it says each
//! seed that fails, which then belongs into [`REGRESSIONS`], and how much memory the process has at the end.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::config::{BrokerConfig, Properties};
use crate::wire::batch::{BatchBuilder, ControlRecordType, end_transaction_marker};
use crate::wire::codec::random::Source;
use crate::wire::header::RequestHeader;
use crate::wire::messages::random_bodies;

/// Seeds that once failed: key, version, seed.
const REGRESSIONS: &[(ApiKey, i16, u64)] = &[];

/// Names that are worth asking for.
const WORDS: &[&str] = &[
    "t",
    "u",
    "g",
    "x",
    "",
    "__consumer_offsets",
    "__transaction_state",
    "range",
    "consumer",
    "user",
    "client-id",
    "0",
    "retention.ms",
    "cleanup.policy",
    "compact",
    "classic",
    "Stable",
    "Ongoing",
    "127.0.0.1",
];

/// What the controller asks of brokers: a stranger who sends it can undo a broker, here as in Apache's.
const OF_THE_CONTROLLER: [ApiKey; 4] =
    [ApiKey::LeaderAndIsr, ApiKey::StopReplica, ApiKey::UpdateMetadata, ApiKey::ControlledShutdown];

/// How long an answer is waited for; then the connection is closed.
const PATIENCE: Duration = Duration::from_millis(5);

struct Victim {
    broker: Arc<Broker>,
    _dir: tempfile::TempDir,
    connection_id: AtomicU64,
}

impl Victim {
    async fn start() -> Victim {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let settings = [
            pair("broker.id", "0"),
            pair("listeners", "PLAINTEXT://127.0.0.1:0"),
            pair("registry.listener", "127.0.0.1:0"),
            pair("registry.data.dir", &path("registry")),
            pair("log.dirs", &path("logs")),
            pair("offsets.topic.num.partitions", "2"),
            pair("transaction.state.log.num.partitions", "2"),
            pair("offsets.topic.replication.factor", "1"),
            pair("transaction.state.log.replication.factor", "1"),
            pair("transaction.state.log.min.isr", "1"),
            pair("log.index.size.max.bytes", "4096"),
        ];
        let config = BrokerConfig::from_properties(Properties::new(), &settings).unwrap();
        let broker = Broker::start(config).await.unwrap();
        let victim = Victim { broker, _dir: dir, connection_id: AtomicU64::new(0) };
        // The topics that the words name.
        for topic in ["t", "u", crate::group::TOPIC, crate::transaction::TOPIC] {
            victim.broker.auto_create_topic(topic).await;
        }
        victim
    }

    fn context(&self, api: ApiKey, version: i16) -> RequestContext {
        let header =
            RequestHeader { api_key: api as i16, api_version: version, correlation_id: 1, client_id: Some("x".into()) };
        RequestContext {
            header,
            api: Some(api),
            listener_name: "PLAINTEXT".into(),
            client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            connection_id: self.connection_id.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Sends a body and waits a little for what becomes of it; false: something panicked.
    async fn survives(&self, api: ApiKey, version: i16, body: Vec<u8>) -> bool {
        let (broker, context) = (self.broker.clone(), self.context(api, version));
        let exchange = async move {
            let mut reply = handle(&broker, context, body.into());
            while let Reply::First(future) = reply {
                reply = future.await;
            }
            if let Reply::Later(future) = reply {
                future.await;
            }
        };
        // A task of its own, which takes a panic to itself.
        tokio::spawn(tokio::time::timeout(PATIENCE, exchange)).await.is_ok()
    }

    /// Whether a request that makes sense is answered.
    async fn still_serves(&self) -> bool {
        let request = ApiVersionsRequest { client_software_name: "x".into(), client_software_version: "1".into() };
        let body = request.to_bytes(3).unwrap();
        matches!(handle(&self.broker, self.context(ApiKey::ApiVersions, 3), body.into()), Reply::Now(_))
    }
}

/// A request of this seed, whole or broken.
fn body(api: ApiKey, version: i16, seed: u64) -> Vec<u8> {
    let mut source = Source::new(seed << 20 | (api as u64) << 8 | version as u64, seed.is_multiple_of(2));
    source.words = WORDS;
    source.blobs = blobs();
    let (mut body, _) = random_bodies(api, version, &mut source);
    if source.below(3) > 0 {
        return body;
    }
    match source.below(3) {
        0 => body.truncate(source.below(body.len() as u64 + 1) as usize),
        1 => body.extend((0..source.below(9)).map(|_| source.next() as u8)),
        _ => {}
    }
    for _ in 0..source.below(4) {
        if !body.is_empty() {
            let at = source.below(body.len() as u64) as usize;
            body[at] = [0, 0x7f, 0x80, 0xff, source.next() as u8][source.below(5) as usize];
        }
    }
    body
}

/// Records as they may be sent, and as they may not.
fn blobs() -> Vec<Bytes> {
    let mut plain = BatchBuilder::new();
    plain.append(1, Some(b"k"), Some(b"v"), &[]);
    plain.append(2, None, None, &[]);
    let plain = plain.finish();
    let marker = end_transaction_marker(ControlRecordType::Abort, 1, 0, 0, 1);
    let mut lying = plain.clone();
    lying[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut of_magic_1 = plain.clone();
    of_magic_1[16] = 1;
    let twice = [&plain[..], &plain[..]].concat();
    [plain, marker, lying, of_magic_1, twice].into_iter().map(Bytes::from).collect()
}

fn versions(of_the_controller: bool) -> impl Iterator<Item = (ApiKey, i16)> {
    let apis = APIS.iter().filter(move |api| of_the_controller || !OF_THE_CONTROLLER.contains(&api.key));
    apis.flat_map(|api| api.versions.clone().map(move |version| (api.key, version)))
}

async fn run(victim: &Victim, of_the_controller: bool, seeds: impl Iterator<Item = u64>, until: Option<Instant>) {
    let mut failed = Vec::new();
    'seeds: for seed in seeds {
        for (api, version) in versions(of_the_controller) {
            if until.is_some_and(|until| Instant::now() > until) {
                break 'seeds;
            }
            if !victim.survives(api, version, body(api, version, seed)).await {
                failed.push((api, version, seed));
            }
        }
        assert!(victim.still_serves().await, "after seed {seed}");
    }
    assert!(failed.is_empty(), "these seeds panic: {failed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_mean_nothing_do_no_harm() {
    let victim = Victim::start().await;
    for &(api, version, seed) in REGRESSIONS {
        assert!(victim.survives(api, version, body(api, version, seed)).await, "{api:?} v{version} seed {seed}");
    }
    run(&victim, false, 1..3, None).await;
    // Last, for it may lose its topics by this.
    run(&victim, true, 3..4, None).await;
    victim.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_mean_nothing_do_no_harm_for_long() {
    let Some(seconds) = std::env::var("OTTLA_FUZZ_SECONDS").ok().and_then(|text| text.parse::<u64>().ok()) else {
        return;
    };
    let first_seed = std::env::var("OTTLA_FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
    let victim = Victim::start().await;
    let half = Duration::from_secs(seconds / 2);
    run(&victim, false, first_seed..first_seed + 3, None).await;
    let before = resident_bytes();
    run(&victim, false, first_seed + 3.., Some(Instant::now() + half)).await;
    let after = resident_bytes();
    println!("resident: {} MiB, then {} MiB", before >> 20, after >> 20);
    // Groups, transactional ids and topics that were made stay; what they may cost is known to be little.
    assert!(after < before + (256 << 20), "memory grew from {before} to {after}");
    run(&victim, true, first_seed.., Some(Instant::now() + half)).await;
    victim.broker.shutdown().await;
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4096
}
