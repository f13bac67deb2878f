use super::*;
use crate::wire::batch::{BatchBuilder, end_transaction_marker, stamp};

/// A partition's producers and its end, fed with batches as a log would.
#[derive(Default)]
struct Fed {
    state: ProducerState,
    end: i64,
}

impl Fed {
    fn feed(&mut self, mut bytes: Vec<u8>, origin: AppendOrigin) -> Result<i64, Error> {
        stamp(&mut bytes, self.end, 0);
        let (batch, _) = Batch::split_first(&bytes).unwrap();
        let mut update = ProducerUpdate::default();
        self.state.prepare(&batch, self.end, origin, &"t-0", &mut update)?;
        let at = self.end;
        self.end = batch.next_offset();
        for txn in self.state.apply(update, self.end) {
            self.state.complete(&txn);
        }
        Ok(at)
    }

    fn write(&mut self, epoch: i16, sequence: i32, count: usize) -> Result<i64, Error> {
        self.feed(data(epoch, sequence, count), AppendOrigin::Client)
    }

    fn write_in_txn(&mut self, producer: i64, sequence: i32) -> Result<i64, Error> {
        let mut batch = BatchBuilder::new().producer(producer, 0, sequence).transactional();
        batch.append(7, None, None, &[]);
        self.feed(batch.finish(), AppendOrigin::Client)
    }

    fn end_txn(&mut self, producer: i64, coordinator_epoch: i32) -> Result<i64, Error> {
        let marker = end_transaction_marker(ControlRecordType::Abort, producer, 0, coordinator_epoch, 9);
        self.feed(marker, AppendOrigin::Coordinator)
    }

    fn duplicate(&self, epoch: i16, sequence: i32, count: usize) -> Option<i64> {
        let bytes = data(epoch, sequence, count);
        self.state.duplicate_of(&Batch::split_first(&bytes).unwrap().0).map(|known| known.first_offset())
    }
}

fn data(epoch: i16, sequence: i32, count: usize) -> Vec<u8> {
    let mut batch = BatchBuilder::new().producer(1, epoch, sequence);
    for _ in 0..count {
        batch.append(7, None, None, &[]);
    }
    batch.finish()
}

#[test]
fn the_last_five_batches_are_known_again() {
    let mut fed = Fed::default();
    for i in 0..7 {
        fed.write(0, i * 2, 2).unwrap();
    }
    assert_eq!(fed.duplicate(0, 2, 2), None, "older than five");
    assert_eq!(fed.duplicate(0, 4, 2), Some(4));
    assert_eq!(fed.duplicate(0, 12, 2), Some(12));
    assert_eq!(fed.duplicate(0, 12, 1), None, "another length");
    assert_eq!(fed.duplicate(1, 12, 2), None, "another epoch");
}

#[test]
fn gaps_overlaps_and_old_epochs_are_refused() {
    let mut fed = Fed::default();
    fed.write(3, 50, 5).unwrap();
    assert!(matches!(fed.write(3, 56, 1), Err(Error::OutOfOrderSequence(_))), "gap");
    assert!(matches!(fed.write(3, 54, 2), Err(Error::OutOfOrderSequence(_))), "overlap");
    assert!(matches!(fed.write(2, 55, 1), Err(Error::InvalidProducerEpoch(_))));
    assert!(matches!(fed.write(4, 55, 1), Err(Error::OutOfOrderSequence(_))), "a new epoch starts at 0");
    fed.write(3, 55, 1).unwrap();
    fed.write(4, 0, 1).unwrap();
    assert_eq!(fed.duplicate(4, 0, 1), Some(6));
    fed.feed(data(3, 99, 1), AppendOrigin::Replication).expect("a follower takes what its leader took");
}

#[test]
fn a_sequence_wraps_after_the_largest() {
    let mut fed = Fed::default();
    fed.write(0, i32::MAX - 1, 2).unwrap();
    fed.write(0, 0, 1).unwrap();
    assert_eq!(fed.duplicate(0, i32::MAX - 1, 2), Some(0));
    let mut fed = Fed::default();
    fed.write(0, i32::MAX - 1, 4).unwrap();
    fed.write(0, 2, 1).unwrap();
    assert_eq!(fed.duplicate(0, i32::MAX - 1, 4), Some(0));
}

#[test]
fn open_transactions_hold_back_the_stable_offset_until_their_markers_are_replicated() {
    let mut fed = Fed::default();
    fed.write_in_txn(1, 0).unwrap(); // offset 0
    fed.write_in_txn(2, 0).unwrap(); // offset 1
    assert_eq!(fed.state.first_unstable_offset(), Some(0));
    fed.end_txn(1, 0).unwrap(); // offset 2
    assert_eq!(fed.state.first_unstable_offset(), Some(0), "the marker is not replicated yet");
    fed.state.forget_replicated(3);
    assert_eq!(fed.state.first_unstable_offset(), Some(1));
    fed.end_txn(2, 0).unwrap();
    fed.state.forget_replicated(4);
    assert_eq!(fed.state.first_unstable_offset(), None);
}

#[test]
fn markers_of_a_fenced_coordinator_and_plain_writes_in_a_transaction_are_refused() {
    let mut fed = Fed::default();
    fed.write_in_txn(1, 0).unwrap();
    assert!(matches!(fed.write(0, 1, 1), Err(Error::InvalidTxnState(_))));
    fed.end_txn(1, 5).unwrap();
    fed.write_in_txn(1, 1).unwrap();
    assert!(matches!(fed.end_txn(1, 4), Err(Error::TransactionCoordinatorFenced(_))));
    fed.end_txn(1, 5).unwrap();
}

#[test]
fn a_marker_of_a_new_epoch_starts_sequences_anew() {
    let mut fed = Fed::default();
    fed.write(0, 0, 3).unwrap();
    let marker = end_transaction_marker(ControlRecordType::Abort, 1, 1, 0, 9);
    fed.feed(marker, AppendOrigin::Coordinator).unwrap();
    assert!(matches!(fed.write(1, 3, 1), Err(Error::OutOfOrderSequence(_))));
    fed.write(1, 0, 1).unwrap();
}

#[test]
fn a_snapshot_comes_back_with_the_last_batch_of_each() {
    let mut fed = Fed::default();
    for i in 0..3 {
        fed.write(0, i * 2, 2).unwrap();
    }
    fed.write_in_txn(2, 0).unwrap();
    let bytes = fed.state.encode();
    assert_eq!(bytes.len(), 10 + 2 * 46);
    let read = ProducerState::decode(&bytes, 7, 0, 24 * 60 * 60 * 1000).unwrap();
    assert_eq!(read.encode(), bytes);
    assert_eq!(read.first_unstable_offset(), Some(6));
    let read = Fed { state: read, end: 7 };
    assert_eq!(read.duplicate(0, 4, 2), Some(4));
    assert_eq!(read.duplicate(0, 2, 2), None);
    assert_eq!(ProducerState::default().encode(), [0, 1, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0], "as Apache has it");
}

#[test]
fn damaged_snapshots_are_refused() {
    let mut fed = Fed::default();
    fed.write(0, 0, 1).unwrap();
    let bytes = fed.state.encode();
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(ProducerState::decode(&flipped, 1, 0, i64::MAX).is_err(), "byte {at}");
        assert!(ProducerState::decode(&bytes[..at], 1, 0, i64::MAX).is_err(), "cut at {at}");
    }
}

#[test]
fn silent_producers_are_forgotten_unless_their_transaction_is_open() {
    let mut fed = Fed::default();
    fed.write(0, 0, 1).unwrap();
    fed.write_in_txn(2, 0).unwrap();
    fed.state.expire(7 + 999, 1000);
    assert_eq!(fed.state.entries().count(), 2);
    let bytes = fed.state.encode();
    fed.state.expire(7 + 1000, 1000);
    let left: Vec<i64> = fed.state.entries().map(|entry| entry.producer_id).collect();
    assert_eq!(left, [2]);
    assert_eq!(ProducerState::decode(&bytes, 2, 7 + 1000, 1000).unwrap().entries().count(), 1);
}
