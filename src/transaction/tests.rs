use super::*;
use crate::wire::messages::UpdateMetadataRequest;
use crate::wire::messages::update_metadata::{UpdateMetadataPartitionState, UpdateMetadataTopicState};

/// A log in memory, in which every batch is committed at once, or refused.
#[derive(Default)]
struct Memory {
    batches: Mutex<Vec<Vec<u8>>>,
    refuse: Mutex<Option<ErrorCode>>,
}

impl StateLog for Memory {
    fn append(&self, _: i32, batch: Vec<u8>) -> CommittedFuture {
        let outcome = match *self.refuse.lock() {
            Some(error) => error,
            None => {
                self.batches.lock().push(batch);
                ErrorCode::NONE
            }
        };
        Box::pin(std::future::ready(outcome))
    }

    fn read(&self, _: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode> {
        self.batches.lock().iter().for_each(|batch| visit(batch));
        Ok(())
    }
}

/// What the controller says of a topic with a partition 3 that nobody leads.
fn of_topic(topic: &str) -> UpdateMetadataRequest {
    let partition = UpdateMetadataPartitionState { partition_index: 3, leader: -1, ..Default::default() };
    let topic_states = vec![UpdateMetadataTopicState {
        topic_name: topic.into(),
        partition_states: vec![partition],
        ..Default::default()
    }];
    UpdateMetadataRequest { topic_states, ..Default::default() }
}

/// A coordinator of partition 3 in a cluster without other topics: every marker is written as soon as it is tried, for a
/// partition that does not exist needs none.
fn coordinator(log: &Arc<Memory>) -> Arc<TransactionCoordinator> {
    let config = Config {
        transaction_max_timeout_ms: 900_000,
        transactional_id_expiration_ms: 1000,
        abort_timed_out_interval_ms: 10_000,
        remove_expired_interval_ms: 3_600_000,
        inter_broker_listener_name: "PLAINTEXT".into(),
        broker_id: 0,
    };
    let metadata = Arc::new(MetadataCache::default());
    metadata.update(&of_topic(TOPIC)).unwrap();
    let coordinator = TransactionCoordinator::new(config, log.clone(), metadata);
    coordinator.load(&[(3, 0)]);
    coordinator
}

async fn state_becomes(coordinator: &TransactionCoordinator, expected: State) {
    while coordinator.describe(3, "x").unwrap().state != expected {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn partition() -> Vec<TopicPartition> {
    vec![TopicPartition::new("t", 0)]
}

#[tokio::test]
async fn a_transaction_is_ended_in_the_log_and_after_a_restart() {
    let log = Arc::new(Memory::default());
    let first = coordinator(&log);
    let producer = first.init_producer_id(3, "x", None, 60_000, 42).await.unwrap();
    assert_eq!(producer, Producer { id: 42, epoch: 0 });
    first.add_partitions(3, "x", producer, partition()).await.unwrap();
    assert_eq!(first.verify_partitions(3, "x", producer, &partition()).unwrap(), [ErrorCode::NONE]);
    let second = coordinator(&log);
    assert_eq!(second.describe(3, "x").unwrap().state, State::Ongoing);
    second.end(3, "x", producer, Outcome::Commit).await.unwrap();
    state_becomes(&second, State::CompleteCommit).await;
    let third = coordinator(&log);
    assert_eq!(third.describe(3, "x").unwrap().state, State::CompleteCommit);
    let again = third.init_producer_id(3, "x", None, 60_000, 43).await.unwrap();
    assert_eq!(again, Producer { id: 42, epoch: 1 });
}

#[tokio::test]
async fn an_end_that_was_decided_before_a_crash_is_carried_out_after_it() {
    let log = Arc::new(Memory::default());
    let first = coordinator(&log);
    let producer = first.init_producer_id(3, "x", None, 60_000, 42).await.unwrap();
    first.add_partitions(3, "x", producer, partition()).await.unwrap();
    first.end(3, "x", producer, Outcome::Abort).await.unwrap();
    state_becomes(&first, State::CompleteAbort).await;
    // The crash: the record of completion never got there.
    log.batches.lock().pop();
    let second = coordinator(&log);
    state_becomes(&second, State::CompleteAbort).await;
}

#[tokio::test]
async fn what_cannot_be_stored_did_not_happen() {
    let log = Arc::new(Memory::default());
    let coordinator = coordinator(&log);
    let producer = coordinator.init_producer_id(3, "x", None, 60_000, 42).await.unwrap();
    *log.refuse.lock() = Some(ErrorCode::NOT_ENOUGH_REPLICAS);
    let refused = coordinator.add_partitions(3, "x", producer, partition()).await;
    assert_eq!(refused, Err(ErrorCode::COORDINATOR_NOT_AVAILABLE));
    assert_eq!(coordinator.describe(3, "x").unwrap().state, State::Empty);
    *log.refuse.lock() = None;
    coordinator.add_partitions(3, "x", producer, partition()).await.unwrap();
}

#[tokio::test]
async fn a_timed_out_transaction_is_aborted_and_an_unused_id_forgotten() {
    let log = Arc::new(Memory::default());
    let coordinator = coordinator(&log);
    let producer = coordinator.init_producer_id(3, "x", None, 10, 42).await.unwrap();
    coordinator.add_partitions(3, "x", producer, partition()).await.unwrap();
    coordinator.abort_timed_out(now_ms() + 11);
    state_becomes(&coordinator, State::CompleteAbort).await;
    let late = coordinator.end(3, "x", producer, Outcome::Commit).await;
    assert_eq!(late, Err(ErrorCode::PRODUCER_FENCED));
    coordinator.remove_expired(now_ms() + 1000);
    assert_eq!(coordinator.describe(3, "x"), Err(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND));
    assert_eq!(coordinator.list().0, []);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let log = Arc::new(Memory::default());
    let coordinator = coordinator(&log);
    for timeout_ms in [0, -1, 900_001] {
        let refused = coordinator.init_producer_id(3, "x", None, timeout_ms, 42).await;
        assert_eq!(refused, Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT));
    }
    assert_eq!(coordinator.init_producer_id(4, "x", None, 10, 42).await, Err(ErrorCode::NOT_COORDINATOR));
    let producer = Producer { id: 1, epoch: 0 };
    let unknown = coordinator.add_partitions(3, "nobody", producer, partition()).await;
    assert_eq!(unknown, Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING));
    coordinator.resign(&[3]);
    assert_eq!(coordinator.describe(3, "x"), Err(ErrorCode::NOT_COORDINATOR));
}

/// A partition that is not known yet is not taken for one that is gone: its marker would never be written.
#[tokio::test]
async fn a_broker_that_has_been_told_nothing_yet_ends_no_transaction() {
    let log = Arc::new(Memory::default());
    let before = coordinator(&log);
    let producer = before.init_producer_id(3, "x", None, 60_000, 42).await.unwrap();
    before.add_partitions(3, "x", producer, partition()).await.unwrap();
    before.end(3, "x", producer, Outcome::Commit).await.unwrap();
    state_becomes(&before, State::CompleteCommit).await;
    log.batches.lock().pop();
    let metadata = Arc::new(MetadataCache::default());
    let after = TransactionCoordinator::new(before.config.clone(), log.clone(), metadata.clone());
    after.load(&[(3, 1)]);
    let outcome = (after.describe(3, "x").unwrap(), Outcome::Commit);
    assert_eq!(after.markers.write(3, &outcome.0, outcome.1, 1).await, []);
    // The topic has no leader: there still is something to mark.
    metadata.update(&of_topic("t")).unwrap();
    assert_eq!(after.markers.write(3, &outcome.0, outcome.1, 1).await, []);
    metadata.update(&of_topic(TOPIC)).unwrap();
    let gone = after.markers.write(3, &outcome.0, outcome.1, 1).await;
    assert_eq!(gone, partition());
    state_becomes(&after, State::CompleteCommit).await;
}
