use super::*;

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

/// A coordinator of partition 3 in a cluster without topics: every marker is written as soon as it is tried, for a
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
    let coordinator = TransactionCoordinator::new(config, log.clone(), Arc::default());
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
