//! Consumer groups: [`GroupCoordinator`] owns those whose partition of `__consumer_offsets` this broker leads. What a
//! group is and does stands in [`classic`] and [`consumer`] (KIP-848), and what it has committed in [`offsets`], all of
//! them pure; here is what it takes to do it: the log, the clock, the requests that wait.
//!
//! - `load`: partitions come and go · `members`: requests of members · `commits`: offsets · `listing`: what
//!   administrators ask
//!
//! Memory: a group costs some 300 bytes; a member of the classic protocol some 400 and its subscription, one of the
//! consumer protocol some 500, the names it reads, and 100 for each of its partitions; an offset some 160 and its
//! metadata (at most `offset.metadata.max.bytes`). Nothing else is kept. Requests that wait are one slot each. A group
//! has at most `group.max.size` (`group.consumer.max.size`) members; an offset lives until its group has been without
//! members for `offsets.retention.minutes`.
//!
//! Lock order: `Inner` is one lock, never held across an await; appending to the log happens under it, so that the
//! order in the log is the order of decisions.

pub mod assignors;
pub mod classic;
mod commits;
pub mod consumer;
mod consumer_protocol;
mod listing;
mod load;
mod members;
pub mod migration;
pub mod offsets;
mod partitions;
pub mod records;
mod slot;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use classic::{Action, ClassicGroup, Settings, Stored, Token};
pub use commits::{Commit, Committer};
use consumer::{ConsumerGroup, ConsumerSettings, Refusal, Surroundings};
pub use listing::{Described, DescribedConsumer, Listed};
use migration::MigrationPolicy;
use offsets::Sequence;
use records::Record;
use slot::{Group, Slot};

use crate::replication::{ClusterMetadata, MetadataCache};
use crate::wire::ErrorCode;
use crate::wire::batch::{BatchBuilder, CompressionSettings};
use crate::wire::messages::{JoinGroupResponse, SyncGroupResponse};

/// The name of the topic in which groups and offsets are kept.
pub const TOPIC: &str = "__consumer_offsets";

/// The partitions of `__consumer_offsets` on this broker.
pub trait OffsetsLog: Send + Sync + 'static {
    /// Appends a batch before it returns; the future is done when the batch is committed.
    fn append(&self, partition: i32, batch: Vec<u8>) -> CommittedFuture;

    /// Gives every batch of the partition to `visit`, in order.
    ///
    /// # Errors
    /// `NOT_COORDINATOR` if the partition is not here any more, `KAFKA_STORAGE_ERROR` if it cannot be read.
    fn read(&self, partition: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode>;
}

/// The outcome of an append.
pub type CommittedFuture = Pin<Box<dyn Future<Output = ErrorCode> + Send>>;

/// What a coordinator is told by the broker's keys.
#[derive(Clone, Debug)]
pub struct Config {
    pub classic: Settings,
    pub consumer: ConsumerSettings,
    /// `group.consumer.migration.policy`
    pub migration: MigrationPolicy,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in ms
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: u64,
    /// `offsets.topic.compression.codec`
    pub compression: CompressionSettings,
}

/// Coordinates the groups of the `__consumer_offsets` partitions that this broker leads.
pub struct GroupCoordinator {
    config: Config,
    log: Arc<dyn OffsetsLog>,
    metadata: Arc<MetadataCache>,
    inner: Mutex<Inner>,
    /// Rings when the first deadline may have changed.
    deadlines_changed: Notify,
}

#[derive(Default)]
struct Inner {
    partitions: HashMap<i32, Owned>,
    waiting: HashMap<Token, Waiting>,
    next_token: Token,
    /// The number of the last append of offsets.
    sequence: Sequence,
    /// When each group wants to be ticked: (ms since 1970, partition, group).
    deadlines: BTreeSet<(i64, i32, String)>,
}

/// A partition of `__consumer_offsets` that this broker leads.
struct Owned {
    leader_epoch: i32,
    loaded: bool,
    groups: HashMap<String, Slot>,
}

enum Waiting {
    Join(oneshot::Sender<JoinGroupResponse>),
    Sync(oneshot::Sender<SyncGroupResponse>),
}

/// The partition of `__consumer_offsets` that keeps a group: Java's `String.hashCode`, absolute, modulo.
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's Utils.abs: the one number without a positive counterpart becomes 0.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

impl GroupCoordinator {
    /// A coordinator that owns nothing yet. Its clock runs in [`GroupCoordinator::run`].
    pub fn new(config: Config, log: Arc<dyn OffsetsLog>, metadata: Arc<MetadataCache>) -> Arc<GroupCoordinator> {
        let inner = Mutex::new(Inner::default());
        Arc::new(GroupCoordinator { config, log, metadata, inner, deadlines_changed: Notify::new() })
    }

    // ------------------------------------------------------------------ the clock

    /// Runs the clock: ends sessions and rebalances whose time is up, and forgets what has expired. Ends never.
    pub async fn run(self: Arc<Self>) {
        let mut expiry =
            tokio::time::interval(Duration::from_millis(self.config.offsets_retention_check_interval_ms.max(1)));
        expiry.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        expiry.tick().await;
        loop {
            let first = self.inner.lock().deadlines.first().map(|(at_ms, _, _)| *at_ms);
            let wait = first.map(|at_ms| Duration::from_millis((at_ms - now_ms()).max(0) as u64));
            tokio::select! {
                () = self.deadlines_changed.notified() => {}
                _ = expiry.tick() => self.expire_offsets(),
                () = sleep_for(wait) => self.tick(now_ms()),
            }
        }
    }

    /// Does what is due at `now_ms`.
    fn tick(self: &Arc<Self>, now_ms: i64) {
        let mut inner = self.inner.lock();
        while let Some((at_ms, partition, group_id)) = inner.deadlines.first().cloned() {
            if at_ms > now_ms {
                return;
            }
            inner.deadlines.pop_first();
            let Some(slot) = inner.slot(partition, &group_id) else { continue };
            slot.deadline_ms = None;
            match &mut slot.group {
                Group::Classic(_) => {
                    self.with_classic(&mut inner, partition, &group_id, |group, _| group.tick(now_ms));
                }
                Group::Consumer(group) => {
                    for member_id in group.due(now_ms) {
                        self.end_session(&mut inner, partition, &group_id, &member_id);
                    }
                    inner.set_deadline(partition, &group_id);
                }
            }
        }
    }

    // ------------------------------------------------------------------ doing what a group says

    /// Gives a group of the classic protocol its turn and does what it says.
    fn with_classic(
        self: &Arc<Self>,
        inner: &mut Inner,
        partition: i32,
        group_id: &str,
        turn: impl FnOnce(&mut ClassicGroup, i64) -> Vec<Action>,
    ) {
        let Some(group) = inner.classic(partition, group_id) else { return };
        let actions = turn(group, now_ms());
        self.do_what_it_says(inner, partition, group_id, actions);
    }

    fn do_what_it_says(self: &Arc<Self>, inner: &mut Inner, partition: i32, group_id: &str, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            let Action::Store { record, then } = action else {
                inner.answer(action);
                continue;
            };
            let committed = self.append(partition, [record]);
            let Stored::Assignment { generation_id } = then else { continue };
            match poll_now(committed) {
                Ok(outcome) => {
                    if let Some(group) = inner.classic(partition, group_id) {
                        actions.extend(group.assignment_stored(generation_id, group_error(outcome), now_ms()));
                    }
                }
                Err(committed) => self.finish_later(partition, group_id.to_owned(), generation_id, committed),
            }
        }
        inner.set_deadline(partition, group_id);
        self.deadlines_changed.notify_one();
    }

    /// Followers have yet to take the assignment: its members are answered when they have.
    fn finish_later(
        self: &Arc<Self>,
        partition: i32,
        group_id: String,
        generation_id: i32,
        committed: CommittedFuture,
    ) {
        let this = self.clone();
        tokio::spawn(async move {
            let outcome = group_error(committed.await);
            let mut inner = this.inner.lock();
            this.with_classic(&mut inner, partition, &group_id, |group, now_ms| {
                group.assignment_stored(generation_id, outcome, now_ms)
            });
        });
    }

    /// Gives a group of the consumer protocol its turn and appends the records it made. `before`: records that have to
    /// stand before them. What comes back is to be told when the future is done, if there is one.
    ///
    /// # Errors
    /// The turn's, and what the log says; the group is as it was then.
    fn with_consumer<R>(
        &self,
        inner: &mut Inner,
        partition: i32,
        group_id: &str,
        before: Vec<Record>,
        turn: impl FnOnce(&mut ConsumerGroup, &Surroundings<'_>) -> Result<R, Refusal>,
    ) -> Result<(R, Option<CommittedFuture>), Refusal> {
        let unknown = || Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, format!("Group {group_id} not found."));
        let group = inner.consumer(partition, group_id).ok_or_else(unknown)?;
        let outcome = self.in_surroundings(|around| turn(group, around));
        let made = group.take_records();
        let outcome = outcome.and_then(|result| {
            if before.is_empty() && made.is_empty() {
                return Ok((result, None));
            }
            match poll_now(self.append(partition, before.into_iter().chain(made))) {
                Ok(ErrorCode::NONE) => Ok((result, None)),
                Ok(error) => Err(group_error(error).into()),
                Err(committed) => Ok((result, Some(committed))),
            }
        });
        match &outcome {
            Ok(_) => group.commit(),
            Err(_) => group.roll_back(),
        }
        inner.set_deadline(partition, group_id);
        self.deadlines_changed.notify_one();
        outcome
    }

    fn in_surroundings<R>(&self, look: impl FnOnce(&Surroundings<'_>) -> R) -> R {
        // The version first: a picture that is newer than it is looked at once more, an older one would not be.
        let cluster_version = self.metadata.version();
        let cluster: Arc<ClusterMetadata> = self.metadata.current();
        let settings = &self.config.consumer;
        look(&Surroundings { cluster: &cluster, cluster_version, settings, now_ms: now_ms() })
    }

    /// Appends records, in as many batches as they need; done when the last one is committed.
    fn append(&self, partition: i32, records: impl IntoIterator<Item = Record>) -> CommittedFuture {
        let mut committed: CommittedFuture = Box::pin(std::future::ready(ErrorCode::NONE));
        let mut batch = self.batch();
        for record in records {
            if let Err(error) = append_record(&mut batch, &record) {
                return Box::pin(std::future::ready(error));
            }
            if batch.size() > BATCH_BYTES_MAX {
                match poll_now(self.log.append(partition, batch.finish())) {
                    Ok(ErrorCode::NONE) | Err(_) => batch = self.batch(),
                    Ok(error) => return Box::pin(std::future::ready(error)),
                }
            }
        }
        if !batch.is_empty() {
            committed = self.log.append(partition, batch.finish());
        }
        committed
    }

    fn batch(&self) -> BatchBuilder {
        BatchBuilder::new().compression(self.config.compression)
    }
}

impl Inner {
    /// The partition a group belongs to, if it is here and read.
    fn owned(&mut self, partition: i32, group_id: &str) -> Result<&mut Owned, ErrorCode> {
        if group_id.is_empty() {
            return Err(ErrorCode::INVALID_GROUP_ID);
        }
        self.owned_any(partition)
    }

    /// The same for requests that a group without a name may send.
    fn owned_any(&mut self, partition: i32) -> Result<&mut Owned, ErrorCode> {
        match self.partitions.get_mut(&partition) {
            None => Err(ErrorCode::NOT_COORDINATOR),
            Some(owned) if !owned.loaded => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            Some(owned) => Ok(owned),
        }
    }

    fn slot(&mut self, partition: i32, group_id: &str) -> Option<&mut Slot> {
        self.partitions.get_mut(&partition)?.groups.get_mut(group_id)
    }

    fn classic(&mut self, partition: i32, group_id: &str) -> Option<&mut ClassicGroup> {
        match &mut self.slot(partition, group_id)?.group {
            Group::Classic(group) => Some(group),
            Group::Consumer(_) => None,
        }
    }

    fn consumer(&mut self, partition: i32, group_id: &str) -> Option<&mut ConsumerGroup> {
        match &mut self.slot(partition, group_id)?.group {
            Group::Consumer(group) => Some(group),
            Group::Classic(_) => None,
        }
    }

    fn wait(&mut self, waiting: Waiting) -> Token {
        self.next_token += 1;
        self.waiting.insert(self.next_token, waiting);
        self.next_token
    }

    fn next_sequence(&mut self) -> Sequence {
        self.sequence += 1;
        self.sequence
    }

    /// Answers who waits. A receiver that is gone is a client that is gone: its session will tell.
    fn answer(&mut self, action: Action) {
        match action {
            Action::AnswerJoin { token, response } => {
                if let Some(Waiting::Join(sender)) = self.waiting.remove(&token) {
                    let _ = sender.send(response);
                }
            }
            Action::AnswerSync { token, response } => {
                if let Some(Waiting::Sync(sender)) = self.waiting.remove(&token) {
                    let _ = sender.send(response);
                }
            }
            Action::Store { .. } => {}
        }
    }

    /// Forgets a group of which nothing is left to remember.
    fn remove(&mut self, partition: i32, group_id: &str) {
        let Some(owned) = self.partitions.get_mut(&partition) else { return };
        if let Some(slot) = owned.groups.remove(group_id)
            && let Some(at_ms) = slot.deadline_ms
        {
            self.deadlines.remove(&(at_ms, partition, group_id.to_owned()));
        }
    }

    /// Brings `deadlines` up to what the group says.
    fn set_deadline(&mut self, partition: i32, group_id: &str) {
        let Some(slot) = self.partitions.get_mut(&partition).and_then(|owned| owned.groups.get_mut(group_id)) else {
            return;
        };
        let next = slot.group.next_deadline_ms();
        if next == slot.deadline_ms {
            return;
        }
        if let Some(at_ms) = std::mem::replace(&mut slot.deadline_ms, next) {
            self.deadlines.remove(&(at_ms, partition, group_id.to_owned()));
        }
        if let Some(at_ms) = next {
            self.deadlines.insert((at_ms, partition, group_id.to_owned()));
        }
    }
}

impl std::fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCoordinator").field("config", &self.config).finish_non_exhaustive()
    }
}

/// A batch is ended when it is larger than this: `message.max.bytes` is 1 MiB by default.
const BATCH_BYTES_MAX: usize = 512 << 10;

fn append_record(batch: &mut BatchBuilder, record: &Record) -> Result<(), ErrorCode> {
    let encoded = record.encode().map_err(|_| ErrorCode::INVALID_COMMIT_OFFSET_SIZE)?;
    if let Some((key, value)) = encoded {
        batch.append(now_ms(), Some(&key), value.as_deref(), &[]);
    }
    Ok(())
}

/// What a client is told when the log refused an offset.
fn commit_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::INVALID_COMMIT_OFFSET_SIZE
        }
        error => error,
    }
}

/// What a member is told when the log refused a record of its group.
fn group_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE | ErrorCode::INVALID_FETCH_SIZE => {
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
        error => error,
    }
}

/// The outcome if it is there already, as it is when no follower has to be waited for.
fn poll_now(mut committed: CommittedFuture) -> Result<ErrorCode, CommittedFuture> {
    match committed.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Ok(outcome),
        Poll::Pending => Err(committed),
    }
}

async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests;
