//! Transactions through crashes: what a broker makes of the logs that a crash between any two steps leaves behind.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ottla::network::Peer;
use ottla::wire::batch::{Batch, BatchBuilder};
use ottla::wire::messages::*;
use ottla::wire::messages::{add_partitions_to_txn, create_topics, fetch};
use ottla::wire::{Bytes, ErrorCode};

use crate::broker::*;

const ID: &str = "x";
const SETTINGS: &[(&str, &str)] = &[
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "1"),
];

#[derive(Clone, Copy)]
struct Producer {
    id: i64,
    epoch: i16,
    sequence: i32,
}

/// Asks until the coordinator has the id to give: it ends what is open first.
async fn init(peer: &Peer) -> Producer {
    let find = FindCoordinatorRequest { key: ID.into(), key_type: 1, ..Default::default() };
    let request = InitProducerIdRequest {
        transactional_id: Some(ID.into()),
        transaction_timeout_ms: 60_000,
        producer_id: -1,
        producer_epoch: -1,
    };
    for _ in 0..500 {
        if peer.call(&find, 3).await.unwrap().error_code == 0 {
            let answer = peer.call(&request, 4).await.unwrap();
            if answer.error_code == 0 {
                return Producer { id: answer.producer_id, epoch: answer.producer_epoch, sequence: 0 };
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no producer id");
}

async fn add(peer: &Peer, producer: Producer) {
    let topic = add_partitions_to_txn::AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![0, 1] };
    let request = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: ID.into(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![topic],
        ..Default::default()
    };
    for _ in 0..500 {
        let answer = peer.call(&request, 3).await.unwrap();
        let codes = answer.results_by_topic_v3_and_below.iter().flat_map(|topic| &topic.results_by_partition);
        let codes: Vec<i16> = codes.map(|result| result.partition_error_code).collect();
        if codes == [0, 0] {
            return;
        }
        assert_eq!(codes, [ErrorCode::CONCURRENT_TRANSACTIONS.0; 2]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the transaction before does not end");
}

async fn write(peer: &Peer, producer: Producer, partition: i32, value: &str) {
    let mut batch = BatchBuilder::new().producer(producer.id, producer.epoch, producer.sequence).transactional();
    // Of now: a marker's time lies so far behind 1970 that its batch would begin a segment.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    batch.append(now.as_millis() as i64, None, Some(value.as_bytes()), &[]);
    let request =
        ProduceRequest { transactional_id: Some(ID.into()), ..produce_request("t", partition, -1, batch.finish()) };
    let answer = peer.call(&request, 9).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

async fn end(peer: &Peer, producer: Producer, committed: bool) {
    let request = EndTxnRequest {
        transactional_id: ID.into(),
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        committed,
    };
    assert_eq!(peer.call(&request, 3).await.unwrap().error_code, 0);
}

/// What a consumer with isolation.level=read_committed shows of a partition; and whether nothing is left open in it.
async fn read_committed(peer: &Peer, partition: i32) -> (Vec<String>, bool) {
    let wanted = fetch::FetchPartition { partition, partition_max_bytes: 1 << 20, ..Default::default() };
    let topics = vec![fetch::FetchTopic { topic: "t".to_owned(), partitions: vec![wanted], ..Default::default() }];
    let request = FetchRequest { max_wait_ms: 0, min_bytes: 1, isolation_level: 1, topics, ..Default::default() };
    let mut response = peer.call(&request, 12).await.unwrap();
    let data = response.responses.remove(0).partitions.remove(0);
    assert_eq!(data.error_code, 0);
    let mut aborted = data.aborted_transactions.unwrap_or_default();
    aborted.sort_by_key(|transaction| transaction.first_offset);
    let (mut open, mut shown) = (Vec::new(), Vec::new());
    let records: Bytes = data.records.unwrap_or_default();
    let mut rest: &[u8] = &records;
    while !rest.is_empty() {
        let (batch, after) = Batch::split_first(rest).unwrap();
        while aborted.first().is_some_and(|transaction| transaction.first_offset <= batch.base_offset()) {
            open.push(aborted.remove(0).producer_id);
        }
        if batch.is_control() {
            open.retain(|id| *id != batch.producer_id());
        } else if !open.contains(&batch.producer_id()) {
            shown.extend(values(&Some(Bytes::copy_from_slice(batch.bytes()))).into_iter().map(|(_, value)| value));
        }
        rest = after;
    }
    (shown, data.last_stable_offset == data.high_watermark)
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn log_file(dir: &Path, partition: &str) -> std::path::PathBuf {
    dir.join("logs").join(partition).join("00000000000000000000.log")
}

/// Where the batches of a log end, 0 first.
fn batch_ends(file: &Path) -> Vec<usize> {
    let bytes = std::fs::read(file).unwrap();
    let mut ends = vec![0];
    while let Ok((batch, _)) = Batch::split_first(&bytes[*ends.last().unwrap()..]) {
        ends.push(ends.last().unwrap() + batch.size());
    }
    ends
}

fn cut(file: &Path, batches: usize) {
    let end = batch_ends(file)[batches];
    std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(end as u64).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_aborted_record_is_shown_after_a_crash_between_any_two_steps() {
    let broker = TestBroker::start_with(SETTINGS).await;
    broker.create_topic("t", 2, &[]).await;
    let peer = broker.connect().await;
    let mut producer = init(&peer).await;
    for (value, outcome) in [("aborted", Some(false)), ("committed", Some(true)), ("open", None)] {
        add(&peer, producer).await;
        for partition in 0..2 {
            write(&peer, producer, partition, value).await;
        }
        producer.sequence += 1;
        if let Some(committed) = outcome {
            end(&peer, producer, committed).await;
        }
    }
    // The logs as a crash leaves them; the registry without a session that somebody would have to wait out.
    let image = tempfile::tempdir().unwrap();
    copy_dir(&broker.dir.path().join("logs"), &image.path().join("logs"));
    let (dir, overrides) = broker.stop().await;
    copy_dir(&dir.path().join("registry"), &image.path().join("registry"));
    for checkpoint in ["replication-offset-checkpoint", "recovery-point-offset-checkpoint"] {
        let _ = std::fs::remove_file(image.path().join("logs").join(checkpoint));
    }
    // Empty, then Ongoing, PrepareAbort, CompleteAbort, Ongoing, PrepareCommit, CompleteCommit, Ongoing.
    assert_eq!(batch_ends(&log_file(image.path(), "__transaction_state-0")).len(), 1 + 8);
    assert_eq!(batch_ends(&log_file(image.path(), "t-0")).len(), 1 + 5);

    // How far the coordinator's log had come, and between which lengths the partitions' logs are then.
    let steps = [(1, 0, 0), (2, 0, 1), (3, 1, 2), (4, 2, 2), (5, 2, 3), (6, 3, 4), (7, 4, 4), (8, 4, 5)];
    for (coordinator, least, most) in steps {
        for (first, second) in [(least, least), (most, least), (most, most)] {
            if least == most && (first, second) != (least, least) {
                continue;
            }
            let crashed = Arc::new(tempfile::tempdir().unwrap());
            copy_dir(image.path(), crashed.path());
            cut(&log_file(crashed.path(), "__transaction_state-0"), coordinator);
            cut(&log_file(crashed.path(), "t-0"), first);
            cut(&log_file(crashed.path(), "t-1"), second);
            let what = format!("{coordinator} decisions, {first} and {second} batches");
            let broker = TestBroker::open(crashed, overrides.clone()).await;
            let peer = broker.connect().await;
            let is_decided = coordinator >= 6;
            for partition in 0..2 {
                let (shown, _) = read_committed(&peer, partition).await;
                assert!(shown.iter().all(|value| value == "committed") && (is_decided || shown.is_empty()), "{what}");
            }
            init(&peer).await;
            for partition in 0..2 {
                let expected: &[&str] = if is_decided { &["committed"] } else { &[] };
                let (mut shown, mut is_closed) = (Vec::new(), false);
                for _ in 0..200 {
                    (shown, is_closed) = read_committed(&peer, partition).await;
                    if is_closed {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                assert_eq!(
                    (&shown[..], is_closed),
                    (&expected.iter().map(|v| v.to_string()).collect::<Vec<_>>()[..], true),
                    "{what}"
                );
            }
            broker.broker.shutdown().await;
        }
    }
}

/// Records of a transaction, for partition 0.
fn transactional(producer: Producer, sequence: i32, value: &str) -> ProduceRequest {
    let mut batch = BatchBuilder::new().producer(producer.id, producer.epoch, sequence).transactional();
    batch.append(1, None, Some(value.as_bytes()), &[]);
    ProduceRequest { transactional_id: Some(ID.into()), ..produce_request("t", 0, -1, batch.finish()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_asks_the_coordinator_on_another_broker_before_a_transaction_begins() {
    let coordinator = TestBroker::start_with(SETTINGS).await;
    let registry = coordinator.broker.registry_address().unwrap().to_string();
    let mut settings = SETTINGS.to_vec();
    settings.extend([("broker.id", "1"), ("zookeeper.connect", &registry)]);
    let leader = TestBroker::start_with(&settings).await;
    let (to_coordinator, to_leader) = (coordinator.connect().await, leader.connect().await);
    let on = |name: &str, broker_id: i32| create_topics::CreatableTopic {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        assignments: vec![create_topics::CreatableReplicaAssignment {
            partition_index: 0,
            broker_ids: vec![broker_id],
        }],
        ..Default::default()
    };
    let topics = vec![on("__transaction_state", 0), on("t", 1)];
    let created =
        to_coordinator.call(&CreateTopicsRequest { topics, timeout_ms: 10_000, validate_only: false }, 5).await;
    assert!(created.unwrap().topics.iter().all(|topic| topic.error_code == 0));

    let producer = init(&to_coordinator).await;
    let outcome = async |request: &ProduceRequest| {
        let mut answer = to_leader.call(request, 9).await.unwrap();
        let partition = answer.responses.remove(0).partition_responses.remove(0);
        (ErrorCode(partition.error_code), partition.base_offset)
    };
    let early = transactional(producer, 0, "early");
    let mut refused = outcome(&early).await;
    for _ in 0..200 {
        // Until the leader has heard of its topic, and where the coordinator is.
        let not_yet =
            [ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::NOT_ENOUGH_REPLICAS];
        if !not_yet.contains(&refused.0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        refused = outcome(&early).await;
    }
    assert_eq!(refused, (ErrorCode::INVALID_TXN_STATE, -1));

    let topic = add_partitions_to_txn::AddPartitionsToTxnTopic { name: "t".into(), partitions: vec![0] };
    let added = AddPartitionsToTxnRequest {
        v3_and_below_transactional_id: ID.into(),
        v3_and_below_producer_id: producer.id,
        v3_and_below_producer_epoch: producer.epoch,
        v3_and_below_topics: vec![topic],
        ..Default::default()
    };
    let added = to_coordinator.call(&added, 3).await.unwrap();
    assert_eq!(added.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code, 0);
    // Two on the way at once: the second does not overtake the first, which waits for the coordinator.
    let (first, second) = (transactional(producer, 0, "a"), transactional(producer, 1, "b"));
    let both = tokio::join!(outcome(&first), outcome(&second));
    assert_eq!(both, ((ErrorCode::NONE, 0), (ErrorCode::NONE, 1)));
    end(&to_coordinator, producer, true).await;
    let mut read = read_committed(&to_leader, 0).await;
    for _ in 0..500 {
        if read.1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        read = read_committed(&to_leader, 0).await;
    }
    assert_eq!(read, (vec!["a".to_owned(), "b".to_owned()], true));
    leader.broker.shutdown().await;
    coordinator.broker.shutdown().await;
}
