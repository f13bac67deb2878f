//! One transactional id as a value: it takes what a producer asks or what the clock says, and tells what to answer and
//! what to store. Nothing changes before it is stored: a change is first `pending`, and [`Transaction::stored`] makes it
//! so. No I/O, no clock: they are arguments.
//!
//! ```text
//! Empty ─add─▶ Ongoing ─end─▶ PrepareCommit ─markers written─▶ CompleteCommit ─add─▶ Ongoing …
//!                 │  └──end──▶ PrepareAbort  ─markers written─▶ CompleteAbort  ─add─▶ Ongoing …
//!                 └─ a newer producer, or the time-out: epoch + 1, then PrepareAbort
//! ```
//!
//! Source: `TransactionCoordinator`, `TransactionMetadata` of Apache Kafka 3.9; KIP-98, KIP-360 (epoch bump),
//! KIP-588 (PRODUCER_FENCED).

use std::collections::BTreeSet;

use crate::wire::{ErrorCode, TopicPartition};

/// The states, with their bytes in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum State {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
    Dead = 6,
    PrepareEpochFence = 7,
}

impl State {
    pub fn from_i8(byte: i8) -> Option<State> {
        use State::*;
        [Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, Dead, PrepareEpochFence]
            .into_iter()
            .find(|state| *state as i8 == byte)
    }

    /// As DescribeTransactions and ListTransactions spell it.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::Dead => "Dead",
            State::PrepareEpochFence => "PrepareEpochFence",
        }
    }
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Commit,
    Abort,
}

/// What the log keeps of a transactional id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub producer_id: i64,
    /// -1: given to no producer yet.
    pub producer_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    pub partitions: BTreeSet<TopicPartition>,
    /// ms since 1970
    pub last_update_ms: i64,
    /// When the transaction began, ms since 1970; -1: it has not.
    pub start_ms: i64,
}

/// Epochs from here on are not given out: the producer gets a new id instead.
const EPOCH_EXHAUSTED: i16 = i16::MAX - 1;

/// A producer as its requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// What a request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing has to change.
    Done(ErrorCode),
    /// Store this, then call [`Transaction::stored`] or [`Transaction::not_stored`].
    Store(Metadata),
    /// An older transaction is in the way: store this (its end), write its markers; the caller gets `error` at once
    /// and tries again.
    Fence { store: Metadata, error: ErrorCode },
}

/// A transactional id, and what is on its way to the log.
#[derive(Clone, Debug)]
pub struct Transaction {
    current: Metadata,
    /// The id before the last change of it, which the producer itself asked for when its epochs were used up.
    last_producer_id: i64,
    /// The epoch before the last bump that the producer itself asked for (KIP-360): its retry is known by it.
    last_producer_epoch: i16,
    pending: Option<Metadata>,
    /// What `last_producer_*` will be when the pending change is stored.
    pending_last: Option<Producer>,
}

impl Transaction {
    /// An id that is used for the first time.
    pub fn new(producer_id: i64, timeout_ms: i32, now_ms: i64) -> Transaction {
        Transaction::loaded(Metadata {
            producer_id,
            producer_epoch: -1,
            timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            last_update_ms: now_ms,
            start_ms: -1,
        })
    }

    /// An id as it was read from the log.
    pub fn loaded(metadata: Metadata) -> Transaction {
        Transaction {
            current: metadata,
            last_producer_id: -1,
            last_producer_epoch: -1,
            pending: None,
            pending_last: None,
        }
    }

    pub fn metadata(&self) -> &Metadata {
        &self.current
    }

    pub fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// InitProducerId. `expected`: the id and epoch that the producer has already (KIP-360); `fresh_id`: an id to
    /// move to when the epochs of the present one are used up.
    pub fn init_producer_id(
        &mut self,
        expected: Option<Producer>,
        timeout_ms: i32,
        fresh_id: i64,
        now_ms: i64,
    ) -> Decision {
        if self.pending.is_some() {
            return Decision::Done(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        if expected.is_some_and(|expected| !self.may_continue(expected)) {
            return Decision::Done(ErrorCode::PRODUCER_FENCED);
        }
        match self.current.state {
            State::PrepareCommit | State::PrepareAbort => Decision::Done(ErrorCode::CONCURRENT_TRANSACTIONS),
            State::Ongoing => self.fence(now_ms, ErrorCode::CONCURRENT_TRANSACTIONS),
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                let mut next = self.current.clone();
                let epoch = self.current.producer_epoch;
                let last = if is_exhausted(epoch) && expected.is_none_or(|expected| expected.epoch == epoch) {
                    (next.producer_id, next.producer_epoch) = (fresh_id, 0);
                    Producer { id: self.current.producer_id, epoch: if expected.is_some() { epoch } else { -1 } }
                } else {
                    let Some((epoch, last_epoch)) = self.next_epoch(expected) else {
                        return Decision::Done(ErrorCode::PRODUCER_FENCED);
                    };
                    next.producer_epoch = epoch;
                    Producer { id: self.current.producer_id, epoch: last_epoch }
                };
                next.timeout_ms = timeout_ms;
                next.state = State::Empty;
                next.partitions.clear();
                next.start_ms = -1;
                next.last_update_ms = now_ms;
                self.pending_last = Some(last);
                self.store(next)
            }
            State::Dead | State::PrepareEpochFence => Decision::Done(ErrorCode::UNKNOWN_SERVER_ERROR),
        }
    }

    fn may_continue(&self, expected: Producer) -> bool {
        let is_retry_of_rotation = expected.id == self.last_producer_id && is_exhausted(expected.epoch);
        self.current.producer_epoch == -1 || expected.id == self.current.producer_id || is_retry_of_rotation
    }

    /// The epoch after this one, and the one it replaces where the producer itself asked; None when there is none, or
    /// the producer is not the one that may ask.
    fn next_epoch(&self, expected: Option<Producer>) -> Option<(i16, i16)> {
        let epoch = self.current.producer_epoch;
        if epoch == -1 {
            return Some((0, -1));
        }
        match expected {
            None => Some((epoch.saturating_add(1), -1)),
            Some(expected) if expected.epoch == epoch => Some((epoch.saturating_add(1), epoch)),
            // The answer to its last request was lost: it gets the same one again.
            Some(expected) if expected.epoch == self.last_producer_epoch => Some((epoch, self.last_producer_epoch)),
            Some(_) => None,
        }
    }

    /// Ends an open transaction in the name of a producer that nobody is any more.
    fn fence(&mut self, now_ms: i64, error: ErrorCode) -> Decision {
        let mut next = self.current.clone();
        // The last epoch of all is kept for this: it is given to no producer, so that the fenced one really is.
        next.producer_epoch = next.producer_epoch.saturating_add(1);
        next.state = State::PrepareAbort;
        next.last_update_ms = now_ms;
        self.pending_last = Some(Producer { id: self.last_producer_id, epoch: -1 });
        self.pending = Some(next.clone());
        Decision::Fence { store: next, error }
    }

    fn store(&mut self, next: Metadata) -> Decision {
        self.pending = Some(next.clone());
        Decision::Store(next)
    }

    /// What is wrong with who asks; `PRODUCER_FENCED` is for the caller to turn into the older
    /// `INVALID_PRODUCER_EPOCH` where the version wants that.
    fn check(&self, producer: Producer) -> Result<(), ErrorCode> {
        if producer.id != self.current.producer_id {
            return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
        }
        if producer.epoch != self.current.producer_epoch {
            return Err(ErrorCode::PRODUCER_FENCED);
        }
        Ok(())
    }

    /// AddPartitionsToTxn, AddOffsetsToTxn: these partitions are part of the transaction from now on.
    pub fn add_partitions(
        &mut self,
        producer: Producer,
        partitions: impl IntoIterator<Item = TopicPartition>,
        now_ms: i64,
    ) -> Decision {
        if let Err(error) = self.check(producer) {
            return Decision::Done(error);
        }
        if self.pending.is_some() {
            return Decision::Done(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let mut next = self.current.clone();
        match self.current.state {
            State::PrepareCommit | State::PrepareAbort => {
                return Decision::Done(ErrorCode::CONCURRENT_TRANSACTIONS);
            }
            State::Dead | State::PrepareEpochFence => return Decision::Done(ErrorCode::INVALID_TXN_STATE),
            State::Ongoing => {}
            State::Empty | State::CompleteCommit | State::CompleteAbort => {
                next.partitions.clear();
                next.start_ms = now_ms;
            }
        }
        let before = next.partitions.len();
        next.partitions.extend(partitions);
        if self.current.state == State::Ongoing && next.partitions.len() == before {
            return Decision::Done(ErrorCode::NONE);
        }
        next.state = State::Ongoing;
        next.last_update_ms = now_ms;
        self.store(next)
    }

    /// Whether the partition is part of the open transaction (AddPartitionsToTxn with verify_only, KIP-890).
    pub fn verify_partition(&self, producer: Producer, partition: &TopicPartition) -> ErrorCode {
        if let Err(error) = self.check(producer) {
            return error;
        }
        match self.current.state {
            State::PrepareCommit | State::PrepareAbort => ErrorCode::CONCURRENT_TRANSACTIONS,
            State::Ongoing if self.current.partitions.contains(partition) => ErrorCode::NONE,
            _ => ErrorCode::INVALID_TXN_STATE,
        }
    }

    /// EndTxn. After the store the markers are to be written, then [`Transaction::complete`].
    pub fn end(&mut self, producer: Producer, outcome: Outcome, now_ms: i64) -> Decision {
        if let Err(error) = self.check(producer) {
            return Decision::Done(error);
        }
        if self.pending.is_some() {
            return Decision::Done(ErrorCode::CONCURRENT_TRANSACTIONS);
        }
        let done = |is_same: bool, error: ErrorCode| {
            Decision::Done(if is_same { error } else { ErrorCode::INVALID_TXN_STATE })
        };
        match self.current.state {
            State::Ongoing => {
                let mut next = self.current.clone();
                next.state = match outcome {
                    Outcome::Commit => State::PrepareCommit,
                    Outcome::Abort => State::PrepareAbort,
                };
                next.last_update_ms = now_ms;
                self.store(next)
            }
            State::CompleteCommit => done(outcome == Outcome::Commit, ErrorCode::NONE),
            State::CompleteAbort => done(outcome == Outcome::Abort, ErrorCode::NONE),
            State::PrepareCommit => done(outcome == Outcome::Commit, ErrorCode::CONCURRENT_TRANSACTIONS),
            State::PrepareAbort => done(outcome == Outcome::Abort, ErrorCode::CONCURRENT_TRANSACTIONS),
            State::Empty | State::Dead | State::PrepareEpochFence => Decision::Done(ErrorCode::INVALID_TXN_STATE),
        }
    }

    /// All markers are written: what to store now. None unless the transaction was prepared to end.
    pub fn complete(&mut self, now_ms: i64) -> Option<Metadata> {
        let state = match self.current.state {
            State::PrepareCommit => State::CompleteCommit,
            State::PrepareAbort => State::CompleteAbort,
            _ => return None,
        };
        let mut next = self.current.clone();
        next.state = state;
        next.partitions.clear();
        next.last_update_ms = now_ms;
        self.pending = Some(next.clone());
        Some(next)
    }

    /// A marker is written, or its partition is gone: it is not waited for any more. True if it was the last.
    pub fn marker_done(&mut self, partition: &TopicPartition) -> bool {
        let is_ending = matches!(self.current.state, State::PrepareCommit | State::PrepareAbort);
        is_ending && self.current.partitions.remove(partition) && self.current.partitions.is_empty()
    }

    /// How a transaction that is prepared is going to end.
    pub fn ending(&self) -> Option<Outcome> {
        match self.current.state {
            State::PrepareCommit => Some(Outcome::Commit),
            State::PrepareAbort => Some(Outcome::Abort),
            _ => None,
        }
    }

    /// The clock: an open transaction whose time is up is fenced and aborted.
    pub fn abort_if_timed_out(&mut self, now_ms: i64) -> Option<Metadata> {
        let is_due = self.current.state == State::Ongoing
            && self.pending.is_none()
            && now_ms >= self.current.start_ms.saturating_add(i64::from(self.current.timeout_ms));
        if !is_due {
            return None;
        }
        match self.fence(now_ms, ErrorCode::NONE) {
            Decision::Fence { store, .. } => Some(store),
            Decision::Done(_) | Decision::Store(_) => None,
        }
    }

    /// Whether nobody has used the id for `expiration_ms` (`transactional.id.expiration.ms`).
    pub fn is_expired(&self, expiration_ms: i64, now_ms: i64) -> bool {
        let is_idle = matches!(self.current.state, State::Empty | State::CompleteCommit | State::CompleteAbort);
        is_idle && self.pending.is_none() && now_ms.saturating_sub(self.current.last_update_ms) >= expiration_ms
    }

    /// The pending change is in the log.
    pub fn stored(&mut self) {
        if let Some(next) = self.pending.take() {
            self.current = next;
        }
        if let Some(last) = self.pending_last.take() {
            (self.last_producer_id, self.last_producer_epoch) = (last.id, last.epoch);
        }
    }

    /// The pending change did not get into the log: everything is as before.
    pub fn not_stored(&mut self) {
        self.pending = None;
        self.pending_last = None;
    }
}

fn is_exhausted(epoch: i16) -> bool {
    epoch >= EPOCH_EXHAUSTED
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
