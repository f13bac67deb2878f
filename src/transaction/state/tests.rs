use super::*;

const NOBODY: i64 = 99;

/// Stores what is to be stored, as a log that never fails does, and returns the error the caller gets.
fn settle(transaction: &mut Transaction, decision: Decision) -> ErrorCode {
    match decision {
        Decision::Done(error) => error,
        Decision::Store(_) => {
            transaction.stored();
            ErrorCode::NONE
        }
        Decision::Fence { error, .. } => {
            transaction.stored();
            error
        }
    }
}

fn init(transaction: &mut Transaction, expected: Option<Producer>) -> ErrorCode {
    let decision = transaction.init_producer_id(expected, 1000, NOBODY, 0);
    settle(transaction, decision)
}

fn add(transaction: &mut Transaction, producer: Producer, partition: i32) -> ErrorCode {
    let decision = transaction.add_partitions(producer, [TopicPartition::new("t", partition)], 10);
    settle(transaction, decision)
}

fn end(transaction: &mut Transaction, producer: Producer, outcome: Outcome) -> ErrorCode {
    let decision = transaction.end(producer, outcome, 20);
    settle(transaction, decision)
}

fn write_markers(transaction: &mut Transaction) {
    let partitions: Vec<TopicPartition> = transaction.metadata().partitions.iter().cloned().collect();
    let last = partitions.len() - 1;
    for (index, partition) in partitions.iter().enumerate() {
        assert_eq!(transaction.marker_done(partition), index == last);
    }
    assert!(transaction.complete(30).is_some());
    transaction.stored();
}

fn producer(transaction: &Transaction) -> Producer {
    Producer { id: transaction.metadata().producer_id, epoch: transaction.metadata().producer_epoch }
}

fn begun() -> (Transaction, Producer) {
    let mut transaction = Transaction::new(5, 1000, 0);
    assert_eq!(init(&mut transaction, None), ErrorCode::NONE);
    let producer = producer(&transaction);
    assert_eq!(producer, Producer { id: 5, epoch: 0 });
    (transaction, producer)
}

#[test]
fn a_transaction_commits_and_another_begins() {
    let (mut transaction, producer) = begun();
    for _ in 0..2 {
        assert_eq!(add(&mut transaction, producer, 0), ErrorCode::NONE);
        assert_eq!(add(&mut transaction, producer, 1), ErrorCode::NONE);
        assert_eq!(add(&mut transaction, producer, 1), ErrorCode::NONE);
        assert_eq!(end(&mut transaction, producer, Outcome::Commit), ErrorCode::NONE);
        assert_eq!(transaction.ending(), Some(Outcome::Commit));
        assert_eq!(add(&mut transaction, producer, 2), ErrorCode::CONCURRENT_TRANSACTIONS);
        assert_eq!(end(&mut transaction, producer, Outcome::Commit), ErrorCode::CONCURRENT_TRANSACTIONS);
        assert_eq!(end(&mut transaction, producer, Outcome::Abort), ErrorCode::INVALID_TXN_STATE);
        write_markers(&mut transaction);
        assert_eq!(end(&mut transaction, producer, Outcome::Commit), ErrorCode::NONE);
        assert_eq!(end(&mut transaction, producer, Outcome::Abort), ErrorCode::INVALID_TXN_STATE);
    }
}

#[test]
fn nothing_changes_before_it_is_stored() {
    let (mut transaction, producer) = begun();
    let decision = transaction.add_partitions(producer, [TopicPartition::new("t", 0)], 10);
    assert!(matches!(decision, Decision::Store(_)));
    assert_eq!(transaction.metadata().state, State::Empty);
    assert_eq!(transaction.end(producer, Outcome::Commit, 10), Decision::Done(ErrorCode::CONCURRENT_TRANSACTIONS));
    transaction.not_stored();
    assert_eq!(end(&mut transaction, producer, Outcome::Commit), ErrorCode::INVALID_TXN_STATE);
}

#[test]
fn a_new_producer_fences_the_old_one_and_its_open_transaction() {
    let (mut transaction, old) = begun();
    add(&mut transaction, old, 0);
    assert_eq!(init(&mut transaction, None), ErrorCode::CONCURRENT_TRANSACTIONS);
    assert_eq!(transaction.ending(), Some(Outcome::Abort));
    assert_eq!(transaction.metadata().producer_epoch, 1);
    assert_eq!(init(&mut transaction, None), ErrorCode::CONCURRENT_TRANSACTIONS);
    write_markers(&mut transaction);
    assert_eq!(init(&mut transaction, None), ErrorCode::NONE);
    assert_eq!(transaction.metadata().producer_epoch, 2);
    assert_eq!(add(&mut transaction, old, 0), ErrorCode::PRODUCER_FENCED);
    assert_eq!(end(&mut transaction, old, Outcome::Commit), ErrorCode::PRODUCER_FENCED);
    let stranger = Producer { id: 6, epoch: 2 };
    assert_eq!(add(&mut transaction, stranger, 0), ErrorCode::INVALID_PRODUCER_ID_MAPPING);
}

#[test]
fn a_producer_bumps_its_own_epoch_and_may_ask_twice() {
    let (mut transaction, first) = begun();
    assert_eq!(init(&mut transaction, Some(first)), ErrorCode::NONE);
    let second = producer(&transaction);
    assert_eq!(second.epoch, 1);
    assert_eq!(init(&mut transaction, Some(first)), ErrorCode::NONE);
    assert_eq!(producer(&transaction), second);
    assert_eq!(init(&mut transaction, Some(second)), ErrorCode::NONE);
    assert_eq!(init(&mut transaction, Some(first)), ErrorCode::PRODUCER_FENCED);
    assert_eq!(init(&mut transaction, Some(Producer { id: 6, epoch: 2 })), ErrorCode::PRODUCER_FENCED);
}

#[test]
fn used_up_epochs_lead_to_a_new_id() {
    let (mut transaction, _) = begun();
    let mut used_up = transaction.metadata().clone();
    used_up.producer_epoch = EPOCH_EXHAUSTED;
    transaction = Transaction::loaded(used_up);
    assert_eq!(init(&mut transaction, None), ErrorCode::NONE);
    assert_eq!(producer(&transaction), Producer { id: NOBODY, epoch: 0 });
}

#[test]
fn a_transaction_whose_time_is_up_is_aborted() {
    let (mut transaction, producer) = begun();
    assert_eq!(transaction.abort_if_timed_out(1_000_000), None);
    add(&mut transaction, producer, 0);
    assert_eq!(transaction.abort_if_timed_out(1009), None);
    assert!(transaction.abort_if_timed_out(1010).is_some());
    assert_eq!(transaction.abort_if_timed_out(1010), None);
    transaction.stored();
    assert_eq!(end(&mut transaction, producer, Outcome::Commit), ErrorCode::PRODUCER_FENCED);
    write_markers(&mut transaction);
    assert_eq!(transaction.metadata().state, State::CompleteAbort);
    assert!(!transaction.is_expired(100, 129));
    assert!(transaction.is_expired(100, 130));
}

#[test]
fn only_partitions_of_the_open_transaction_are_verified() {
    let (mut transaction, producer) = begun();
    let partition = TopicPartition::new("t", 0);
    assert_eq!(transaction.verify_partition(producer, &partition), ErrorCode::INVALID_TXN_STATE);
    add(&mut transaction, producer, 0);
    assert_eq!(transaction.verify_partition(producer, &partition), ErrorCode::NONE);
    assert_eq!(transaction.verify_partition(producer, &TopicPartition::new("t", 1)), ErrorCode::INVALID_TXN_STATE);
}

#[test]
fn a_producer_whose_epochs_are_used_up_gets_a_new_id_and_may_ask_twice() {
    let (transaction, _) = begun();
    let used_up = Metadata { producer_epoch: EPOCH_EXHAUSTED, ..transaction.metadata().clone() };
    let mut transaction = Transaction::loaded(used_up);
    let old = producer(&transaction);
    assert_eq!(init(&mut transaction, Some(old)), ErrorCode::NONE);
    assert_eq!(producer(&transaction), Producer { id: NOBODY, epoch: 0 });
    assert_eq!(init(&mut transaction, Some(old)), ErrorCode::NONE);
    assert_eq!(producer(&transaction), Producer { id: NOBODY, epoch: 0 });
    assert_eq!(init(&mut transaction, Some(Producer { epoch: old.epoch - 1, ..old })), ErrorCode::PRODUCER_FENCED);
    let fresh = producer(&transaction);
    assert_eq!(init(&mut transaction, Some(fresh)), ErrorCode::NONE);
    assert_eq!(init(&mut transaction, Some(old)), ErrorCode::PRODUCER_FENCED);
}

#[test]
fn the_last_epoch_of_all_fences_the_producer_before_it() {
    let (transaction, _) = begun();
    let used_up = Metadata { producer_epoch: EPOCH_EXHAUSTED, ..transaction.metadata().clone() };
    let mut transaction = Transaction::loaded(used_up);
    let old = producer(&transaction);
    add(&mut transaction, old, 0);
    assert_eq!(init(&mut transaction, None), ErrorCode::CONCURRENT_TRANSACTIONS);
    assert_eq!(transaction.metadata().producer_epoch, i16::MAX);
    assert_eq!(end(&mut transaction, old, Outcome::Commit), ErrorCode::PRODUCER_FENCED);
    write_markers(&mut transaction);
    assert_eq!(init(&mut transaction, None), ErrorCode::NONE);
    assert_eq!(producer(&transaction), Producer { id: NOBODY, epoch: 0 });
}

#[test]
fn an_epoch_that_was_not_stored_is_not_remembered() {
    let (mut transaction, first) = begun();
    assert_eq!(init(&mut transaction, Some(first)), ErrorCode::NONE);
    let second = producer(&transaction);
    assert!(matches!(transaction.init_producer_id(Some(second), 1000, NOBODY, 0), Decision::Store(_)));
    transaction.not_stored();
    // The answer to its first request was lost, and it still is the same producer.
    assert_eq!(init(&mut transaction, Some(first)), ErrorCode::NONE);
    assert_eq!(producer(&transaction), second);
}
