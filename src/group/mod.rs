//! Groups of the classic protocol: [`GroupCoordinator`] owns those whose partition of `__consumer_offsets` this broker
//! leads. What a group is and does stands in [`state`], pure; here is what it takes to do it: the log, the clock, the
//! requests that wait.
//!
//! Memory: a group costs some 300 bytes, a member some 400 and its subscription, an offset some 150 and its metadata;
//! nothing else is kept. Requests that wait are one slot each.
//!
//! Lock order: `Inner` is one lock, never held across an await; appending to the log happens under it, so that the
//! order in the log is the order of decisions.

pub mod records;
pub mod state;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use records::{OffsetAndMetadata, Record};
use state::{Action, Group, Joiner, Settings, State, Stored, Token};

use crate::wire::batch::{Batch, BatchBuilder, ControlRecordType};
use crate::wire::messages::leave_group::{MemberIdentity, MemberResponse};
use crate::wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
    SyncGroupResponse,
};
use crate::wire::{ErrorCode, TopicPartition};

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
    pub group: Settings,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`, in ms
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub offsets_retention_check_interval_ms: u64,
}

/// Coordinates the groups of the `__consumer_offsets` partitions that this broker leads.
pub struct GroupCoordinator {
    config: Config,
    log: Arc<dyn OffsetsLog>,
    inner: Mutex<Inner>,
    /// Rings when the first deadline may have changed.
    deadlines_changed: Notify,
}

#[derive(Default)]
struct Inner {
    partitions: HashMap<i32, Owned>,
    waiting: HashMap<Token, Waiting>,
    next_token: Token,
    /// When each group wants to be ticked: (ms since 1970, partition, group).
    deadlines: BTreeSet<(i64, i32, String)>,
}

/// A partition of `__consumer_offsets` that this broker leads.
struct Owned {
    leader_epoch: i32,
    loaded: bool,
    groups: HashMap<String, Slot>,
}

struct Slot {
    group: Group,
    /// As it stands in `deadlines`.
    deadline_ms: Option<i64>,
}

enum Waiting {
    Join(oneshot::Sender<JoinGroupResponse>),
    Sync(oneshot::Sender<SyncGroupResponse>),
}

/// An offset to commit, as the request has it.
#[derive(Clone, Debug)]
pub struct Commit {
    pub partition: TopicPartition,
    pub value: OffsetAndMetadata,
}

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub struct Committer<'a> {
    pub generation_id: i32,
    pub member_id: &'a str,
    pub group_instance_id: Option<&'a str>,
    /// Producer id and epoch of TxnOffsetCommit: the offsets count when the transaction commits.
    pub transaction: Option<(i64, i16)>,
}

/// One line of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub group_id: String,
    pub protocol_type: String,
    pub state: State,
}

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug)]
pub struct Described {
    pub state: State,
    pub protocol_type: String,
    pub protocol_name: String,
    pub members: Vec<records::StoredMember>,
}

/// The partition of `__consumer_offsets` that keeps a group: Java's `String.hashCode`, absolute, modulo.
pub fn partition_for(group_id: &str, partitions: i32) -> i32 {
    let hash = group_id.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Kafka's Utils.abs: the one number without a positive counterpart becomes 0.
    hash.checked_abs().unwrap_or(0) % partitions.max(1)
}

impl GroupCoordinator {
    /// A coordinator that owns nothing yet. Its clock runs in [`GroupCoordinator::run`].
    pub fn new(config: Config, log: Arc<dyn OffsetsLog>) -> Arc<GroupCoordinator> {
        let inner = Mutex::new(Inner::default());
        Arc::new(GroupCoordinator { config, log, inner, deadlines_changed: Notify::new() })
    }

    // ------------------------------------------------------------------ partitions come and go

    /// This broker leads these partitions of `__consumer_offsets` from now on: their groups are read back. Reads
    /// files: to be called where blocking is allowed.
    pub fn load(&self, partitions: &[(i32, i32)]) {
        {
            let mut inner = self.inner.lock();
            for &(partition, leader_epoch) in partitions {
                let known = inner.partitions.get(&partition).is_some_and(|owned| owned.leader_epoch >= leader_epoch);
                if !known {
                    let owned = Owned { leader_epoch, loaded: false, groups: HashMap::new() };
                    inner.partitions.insert(partition, owned);
                }
            }
        }
        for &(partition, leader_epoch) in partitions {
            let groups = match self.read_groups(partition) {
                Ok(groups) => groups,
                Err(error) => {
                    tracing::error!(partition, %error, "groups of a partition of {TOPIC} cannot be read");
                    self.inner.lock().partitions.remove(&partition);
                    continue;
                }
            };
            let mut inner = self.inner.lock();
            let Some(owned) = inner.partitions.get_mut(&partition) else { continue };
            if owned.leader_epoch == leader_epoch && !owned.loaded {
                owned.loaded = true;
                owned.groups = groups.into_iter().map(|g| (g.group_id.clone(), Slot::new(g))).collect();
                let ids: Vec<String> = owned.groups.keys().cloned().collect();
                for id in ids {
                    inner.set_deadline(partition, &id);
                }
            }
        }
        self.deadlines_changed.notify_one();
    }

    /// This broker does not lead these partitions any more: whoever waits is sent to find the new coordinator.
    pub fn resign(&self, partitions: &[i32]) {
        let mut inner = self.inner.lock();
        for partition in partitions {
            let Some(owned) = inner.partitions.remove(partition) else { continue };
            for (_, mut slot) in owned.groups {
                let actions = slot.group.shut(ErrorCode::NOT_COORDINATOR, now_ms());
                inner.answer_all(actions);
            }
            inner.deadlines.retain(|(_, of, _)| of != partition);
        }
    }

    fn read_groups(&self, partition: i32) -> Result<Vec<Group>, ErrorCode> {
        let now_ms = now_ms();
        let mut groups: HashMap<String, Group> = HashMap::new();
        let mut removed: HashSet<String> = HashSet::new();
        self.log.read(partition, &mut |bytes| {
            let batch = match Batch::split_first(bytes) {
                Ok((batch, _)) => batch,
                Err(error) => {
                    tracing::warn!(%error, "a batch of {TOPIC} cannot be read");
                    return;
                }
            };
            if let Some((kind, _)) = batch.control_record() {
                for group in groups.values_mut() {
                    group.replay_transaction_end(batch.producer_id(), kind == ControlRecordType::Commit);
                }
            }
            for record in decode_batch(&batch) {
                match record {
                    Record::Offset { group_id, partition, value: Some(value) } if batch.is_transactional() => {
                        let group = groups.entry(group_id.clone()).or_insert_with(|| Group::new(group_id, now_ms));
                        group.replay_pending_offset(batch.producer_id(), partition, value);
                    }
                    Record::Offset { group_id, partition, value } => {
                        let group = groups.entry(group_id.clone()).or_insert_with(|| Group::new(group_id, now_ms));
                        group.replay_offset(partition, value);
                    }
                    Record::Group { group_id, value: Some(value) } => {
                        removed.remove(&group_id);
                        let group = groups.entry(group_id.clone()).or_insert_with(|| Group::new(group_id, now_ms));
                        group.replay_metadata(value, now_ms);
                    }
                    Record::Group { group_id, value: None } => {
                        removed.insert(group_id);
                    }
                    Record::Unknown { .. } => {}
                }
            }
        })?;
        groups.retain(|id, group| !(removed.contains(id) || group.generation_id() == 0) || !group.offsets().is_empty());
        Ok(groups.into_values().collect())
    }

    // ------------------------------------------------------------------ requests

    /// JoinGroup: the answer comes when the rebalance has come to it.
    pub fn join(
        self: &Arc<Self>,
        partition: i32,
        request: &JoinGroupRequest,
        joiner: &Joiner,
    ) -> oneshot::Receiver<JoinGroupResponse> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        let refuse = |sender: oneshot::Sender<JoinGroupResponse>, error: ErrorCode| {
            let member_id = request.member_id.clone();
            let refusal =
                JoinGroupResponse { error_code: error.0, member_id, protocol_name: None, ..Default::default() };
            // A receiver that is gone is a client that is gone.
            let _ = sender.send(refusal);
        };
        let owned = match inner.owned(partition, &request.group_id) {
            Ok(owned) => owned,
            Err(error) => {
                refuse(sender, error);
                return receiver;
            }
        };
        if !owned.groups.contains_key(&request.group_id) {
            if !request.member_id.is_empty() {
                refuse(sender, ErrorCode::UNKNOWN_MEMBER_ID);
                return receiver;
            }
            let group = Group::new(request.group_id.clone(), now_ms());
            owned.groups.insert(request.group_id.clone(), Slot::new(group));
        }
        let token = inner.wait(Waiting::Join(sender));
        self.with(&mut inner, partition, &request.group_id, |group, now_ms| {
            group.join(token, request, joiner, &self.config.group, now_ms)
        });
        receiver
    }

    /// SyncGroup: the answer comes when the leader has assigned.
    pub fn sync(self: &Arc<Self>, partition: i32, request: &SyncGroupRequest) -> oneshot::Receiver<SyncGroupResponse> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        let known = inner.owned(partition, &request.group_id).and_then(|owned| {
            owned.groups.contains_key(&request.group_id).then_some(()).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
        });
        match known {
            Err(error) => {
                let _ = sender.send(SyncGroupResponse { error_code: error.0, ..Default::default() });
            }
            Ok(()) => {
                let token = inner.wait(Waiting::Sync(sender));
                self.with(&mut inner, partition, &request.group_id, |group, now_ms| group.sync(token, request, now_ms));
            }
        }
        receiver
    }

    pub fn heartbeat(&self, partition: i32, request: &HeartbeatRequest) -> ErrorCode {
        let mut inner = self.inner.lock();
        let owned = match inner.owned(partition, &request.group_id) {
            Ok(owned) => owned,
            Err(error) => return error,
        };
        let Some(slot) = owned.groups.get_mut(&request.group_id) else { return ErrorCode::UNKNOWN_MEMBER_ID };
        let outcome = slot.group.heartbeat(request, now_ms());
        // The deadline only moved back: the clock finds out when the old one comes.
        outcome
    }

    /// LeaveGroup: before version 3 one member, from then on several with an outcome each.
    pub fn leave(self: &Arc<Self>, partition: i32, request: &LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
        let mut inner = self.inner.lock();
        let mut response = LeaveGroupResponse::default();
        let known = match inner.owned(partition, &request.group_id) {
            Ok(owned) => owned.groups.contains_key(&request.group_id),
            Err(error) => {
                response.error_code = error.0;
                return response;
            }
        };
        let single;
        let leaving: &[MemberIdentity] = if version < 3 {
            single = [MemberIdentity { member_id: request.member_id.clone(), ..Default::default() }];
            &single
        } else {
            &request.members
        };
        for member in leaving {
            let instance = member.group_instance_id.as_deref();
            let mut outcome = ErrorCode::UNKNOWN_MEMBER_ID;
            if known {
                self.with(&mut inner, partition, &request.group_id, |group, now_ms| {
                    let (left, actions) = group.leave(&member.member_id, instance, now_ms);
                    outcome = left;
                    actions
                });
            }
            if version < 3 {
                response.error_code = outcome.0;
            } else {
                response.members.push(MemberResponse {
                    member_id: member.member_id.clone(),
                    group_instance_id: member.group_instance_id.clone(),
                    error_code: outcome.0,
                });
            }
        }
        response
    }

    /// OffsetCommit: the offsets that the request may commit. The future is done when they are in the log and can be
    /// fetched, or never will be.
    pub fn commit(
        self: &Arc<Self>,
        partition: i32,
        group_id: &str,
        committer: Committer<'_>,
        commits: Vec<Commit>,
    ) -> impl Future<Output = ErrorCode> + Send + use<> {
        let begun = self.begin_commit(partition, group_id, committer, &commits);
        let (this, group_id, transaction) = (self.clone(), group_id.to_owned(), committer.transaction);
        async move {
            match begun {
                Err(error) => error,
                Ok(None) => ErrorCode::NONE,
                Ok(Some(committed)) => {
                    let outcome = committed.await;
                    if transaction.is_none() && outcome.is_ok() {
                        let applied = commits.into_iter().map(|commit| (commit.partition, Some(commit.value)));
                        this.apply_offsets(partition, &group_id, applied);
                    }
                    commit_error(outcome)
                }
            }
        }
    }

    /// A marker has been written to this partition of `__consumer_offsets`: the producer's transaction has ended.
    pub fn transaction_ended(&self, partition: i32, producer_id: i64, committed: bool) {
        let mut inner = self.inner.lock();
        let Some(owned) = inner.partitions.get_mut(&partition) else { return };
        for slot in owned.groups.values_mut() {
            slot.group.replay_transaction_end(producer_id, committed);
        }
    }

    /// `offset.metadata.max.bytes`
    pub fn offset_metadata_max_bytes(&self) -> usize {
        self.config.offset_metadata_max_bytes
    }

    fn begin_commit(
        &self,
        partition: i32,
        group_id: &str,
        committer: Committer<'_>,
        commits: &[Commit],
    ) -> Result<Option<CommittedFuture>, ErrorCode> {
        let mut inner = self.inner.lock();
        // A group without a name can commit and fetch, though nobody can join it.
        let owned = inner.owned_any(partition)?;
        if !owned.groups.contains_key(group_id) {
            if committer.generation_id >= 0 {
                let is_transactional = committer.transaction.is_some();
                return Err(match is_transactional {
                    true => ErrorCode::UNKNOWN_MEMBER_ID,
                    false => ErrorCode::ILLEGAL_GENERATION,
                });
            }
            let group = Group::new(group_id, now_ms());
            owned.groups.insert(group_id.to_owned(), Slot::new(group));
        }
        let Some(slot) = owned.groups.get_mut(group_id) else { return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE) };
        let Committer { generation_id, member_id, group_instance_id, transaction } = committer;
        let group = &mut slot.group;
        let outcome = group.check_commit(generation_id, member_id, group_instance_id, transaction.is_some(), now_ms());
        if !outcome.is_ok() {
            return Err(outcome);
        }
        if commits.is_empty() {
            return Ok(None);
        }
        let records = commits.iter().map(|commit| Record::Offset {
            group_id: group_id.to_owned(),
            partition: commit.partition.clone(),
            value: Some(commit.value.clone()),
        });
        let Some((producer_id, producer_epoch)) = transaction else {
            let batch = encode_batch(records)?;
            return Ok(Some(self.log.append(partition, batch)));
        };
        let batch = BatchBuilder::new().producer(producer_id, producer_epoch, -1).transactional();
        let batch = append_records(batch, records)?;
        // Pending from here on: the marker may come before followers have taken the batch.
        for Commit { partition, value } in commits {
            group.replay_pending_offset(producer_id, partition.clone(), value.clone());
        }
        Ok(Some(self.log.append(partition, batch)))
    }

    fn apply_offsets(
        &self,
        partition: i32,
        group_id: &str,
        offsets: impl IntoIterator<Item = (TopicPartition, Option<OffsetAndMetadata>)>,
    ) {
        let mut inner = self.inner.lock();
        let Ok(owned) = inner.owned_any(partition) else { return };
        let Some(slot) = owned.groups.get_mut(group_id) else { return };
        for (partition, value) in offsets {
            slot.group.replay_offset(partition, value);
        }
    }

    /// Which of these offsets an open transaction would move (OffsetFetch with require_stable, KIP-447).
    pub fn unstable_offsets(&self, partition: i32, group_id: &str) -> HashSet<TopicPartition> {
        let mut inner = self.inner.lock();
        let slot = inner.slot(partition, group_id);
        slot.map(|slot| slot.group.unstable_offsets().cloned().collect()).unwrap_or_default()
    }

    /// OffsetFetch: the committed offsets of these partitions, None where there is none; of all if None is asked.
    ///
    /// # Errors
    /// `NOT_COORDINATOR`, `COORDINATOR_LOAD_IN_PROGRESS`.
    pub fn offsets(
        &self,
        partition: i32,
        group_id: &str,
        asked: Option<&[TopicPartition]>,
    ) -> Result<Vec<(TopicPartition, Option<OffsetAndMetadata>)>, ErrorCode> {
        let mut inner = self.inner.lock();
        let owned = inner.owned_any(partition)?;
        let offsets = owned.groups.get(group_id).map(|slot| slot.group.offsets());
        Ok(match asked {
            Some(asked) => {
                let found = |of: &TopicPartition| offsets.and_then(|offsets| offsets.get(of)).cloned();
                asked.iter().map(|of| (of.clone(), found(of))).collect()
            }
            None => offsets.into_iter().flatten().map(|(of, value)| (of.clone(), Some(value.clone()))).collect(),
        })
    }

    /// ListGroups: every group here, and whether some are still being read.
    pub fn list(&self) -> (Vec<Listed>, ErrorCode) {
        let inner = self.inner.lock();
        let loading = inner.partitions.values().any(|owned| !owned.loaded);
        let listed = inner.partitions.values().flat_map(|owned| owned.groups.values()).map(|slot| Listed {
            group_id: slot.group.group_id.clone(),
            protocol_type: slot.group.protocol_type().to_owned(),
            state: slot.group.state(),
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        (listed, if loading { ErrorCode::COORDINATOR_LOAD_IN_PROGRESS } else { ErrorCode::NONE })
    }

    /// DescribeGroups, one group; an unknown one is Dead.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID`, `NOT_COORDINATOR`, `COORDINATOR_LOAD_IN_PROGRESS`.
    pub fn describe(&self, partition: i32, group_id: &str) -> Result<Described, ErrorCode> {
        let mut inner = self.inner.lock();
        let owned = inner.owned(partition, group_id)?;
        let Some(slot) = owned.groups.get(group_id) else {
            let (protocol_type, protocol_name) = Default::default();
            return Ok(Described { state: State::Dead, protocol_type, protocol_name, members: Vec::new() });
        };
        let group = &slot.group;
        let settled = group.state() == State::Stable;
        Ok(Described {
            state: group.state(),
            protocol_type: group.protocol_type().to_owned(),
            protocol_name: if settled { group.protocol_name().to_owned() } else { String::new() },
            members: group.described_members(),
        })
    }

    /// DeleteGroups, one group: its offsets and its own record get tombstones.
    pub fn delete(self: &Arc<Self>, partition: i32, group_id: &str) -> impl Future<Output = ErrorCode> + Send + use<> {
        let begun = self.begin_delete(partition, group_id);
        let (this, group_id) = (self.clone(), group_id.to_owned());
        async move {
            let outcome = match begun {
                Err(error) => return error,
                Ok(committed) => committed.await,
            };
            if outcome.is_ok() {
                let mut inner = this.inner.lock();
                if let Ok(owned) = inner.owned_any(partition) {
                    owned.groups.remove(&group_id);
                }
                inner.deadlines.retain(|(_, _, of)| *of != group_id);
            }
            commit_error(outcome)
        }
    }

    fn begin_delete(&self, partition: i32, group_id: &str) -> Result<CommittedFuture, ErrorCode> {
        let mut inner = self.inner.lock();
        let owned = inner.owned_any(partition)?;
        let Some(slot) = owned.groups.get(group_id) else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        if slot.group.has_members() || slot.group.state() != State::Empty {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        let offsets = slot.group.offsets().keys().map(|of| tombstone(group_id, of));
        let records = offsets.chain([Record::Group { group_id: group_id.to_owned(), value: None }]);
        let batch = encode_batch(records)?;
        Ok(self.log.append(partition, batch))
    }

    /// OffsetDelete: an outcome per partition; those that a member still reads stay.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP` (not a consumer group), `NOT_COORDINATOR`, …: of the whole request.
    pub fn delete_offsets(
        self: &Arc<Self>,
        partition: i32,
        group_id: &str,
        asked: Vec<TopicPartition>,
    ) -> impl Future<Output = Result<Vec<(TopicPartition, ErrorCode)>, ErrorCode>> + Send + use<> {
        let begun = self.begin_delete_offsets(partition, group_id, &asked);
        let (this, group_id) = (self.clone(), group_id.to_owned());
        async move {
            let (outcomes, committed) = begun?;
            let Some(committed) = committed else { return Ok(outcomes) };
            let outcome = commit_error(committed.await);
            let deleted = |(of, error): &(TopicPartition, ErrorCode)| error.is_ok().then(|| (of.clone(), None));
            if outcome.is_ok() {
                this.apply_offsets(partition, &group_id, outcomes.iter().filter_map(deleted));
                return Ok(outcomes);
            }
            Ok(outcomes.into_iter().map(|(of, error)| (of, if error.is_ok() { outcome } else { error })).collect())
        }
    }

    #[allow(clippy::type_complexity)]
    fn begin_delete_offsets(
        &self,
        partition: i32,
        group_id: &str,
        asked: &[TopicPartition],
    ) -> Result<(Vec<(TopicPartition, ErrorCode)>, Option<CommittedFuture>), ErrorCode> {
        let mut inner = self.inner.lock();
        let owned = inner.owned(partition, group_id)?;
        let Some(slot) = owned.groups.get(group_id) else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        let group = &slot.group;
        if group.has_members() && group.protocol_type() != "consumer" {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        let outcome = |of: &TopicPartition| {
            let subscribed = group.has_members() && group.is_subscribed_to(&of.topic);
            if subscribed { ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC } else { ErrorCode::NONE }
        };
        let outcomes: Vec<_> = asked.iter().map(|of| (of.clone(), outcome(of))).collect();
        let there = outcomes.iter().filter(|(of, error)| error.is_ok() && group.offsets().contains_key(of));
        let records: Vec<Record> = there.map(|(of, _)| tombstone(group_id, of)).collect();
        if records.is_empty() {
            return Ok((outcomes, None));
        }
        let batch = encode_batch(records)?;
        Ok((outcomes, Some(self.log.append(partition, batch))))
    }

    /// Forgets the offsets of partitions that were deleted.
    pub fn partitions_deleted(&self, deleted: &[TopicPartition]) {
        let deleted: HashSet<&TopicPartition> = deleted.iter().collect();
        self.sweep(|group| group.offsets().keys().filter(|of| deleted.contains(of)).cloned().collect());
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
            if let Some(slot) = inner.slot(partition, &group_id) {
                slot.deadline_ms = None;
            }
            self.with(&mut inner, partition, &group_id, |group, _| group.tick(now_ms));
        }
    }

    fn expire_offsets(&self) {
        let (retention_ms, now_ms) = (self.config.offsets_retention_ms, now_ms());
        self.sweep(|group| group.expired_offsets(retention_ms, now_ms));
    }

    /// Writes tombstones for the offsets that `choose` names, and for groups of which then nothing is left.
    fn sweep(&self, choose: impl Fn(&Group) -> Vec<TopicPartition>) {
        let mut inner = self.inner.lock();
        for (partition, owned) in inner.partitions.iter_mut().filter(|(_, owned)| owned.loaded) {
            let mut records = Vec::new();
            owned.groups.retain(|group_id, slot| {
                for of in choose(&slot.group) {
                    slot.group.replay_offset(of.clone(), None);
                    records.push(tombstone(group_id, &of));
                }
                let gone = slot.group.is_forgettable() && slot.deadline_ms.is_none();
                if gone && slot.group.generation_id() > 0 {
                    records.push(Record::Group { group_id: group_id.clone(), value: None });
                }
                !gone
            });
            if records.is_empty() {
                continue;
            }
            match encode_batch(records) {
                // If it is not committed the offsets come back with the next load, and expire again.
                Ok(batch) => drop(self.log.append(*partition, batch)),
                Err(error) => tracing::error!(partition, %error, "expired offsets cannot be written"),
            }
        }
    }

    // ------------------------------------------------------------------ doing what a group says

    /// Gives a group its turn and does what it says.
    fn with(
        self: &Arc<Self>,
        inner: &mut Inner,
        partition: i32,
        group_id: &str,
        turn: impl FnOnce(&mut Group, i64) -> Vec<Action>,
    ) {
        let Some(slot) = inner.slot(partition, group_id) else { return };
        let mut actions: VecDeque<Action> = turn(&mut slot.group, now_ms()).into();
        while let Some(action) = actions.pop_front() {
            let Action::Store { record, then } = action else {
                inner.answer(action);
                continue;
            };
            let committed = match encode_batch([record]) {
                Ok(batch) => self.log.append(partition, batch),
                Err(error) => Box::pin(std::future::ready(error)),
            };
            let Stored::Assignment { generation_id } = then else { continue };
            match poll_now(committed) {
                Ok(outcome) => {
                    if let Some(slot) = inner.slot(partition, group_id) {
                        let outcome = commit_error(outcome);
                        actions.extend(slot.group.assignment_stored(generation_id, outcome, now_ms()));
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
            let outcome = commit_error(committed.await);
            let mut inner = this.inner.lock();
            this.with(&mut inner, partition, &group_id, |group, now_ms| {
                group.assignment_stored(generation_id, outcome, now_ms)
            });
        });
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

    fn wait(&mut self, waiting: Waiting) -> Token {
        self.next_token += 1;
        self.waiting.insert(self.next_token, waiting);
        self.next_token
    }

    fn answer_all(&mut self, actions: Vec<Action>) {
        for action in actions {
            self.answer(action);
        }
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

impl Slot {
    fn new(group: Group) -> Slot {
        Slot { group, deadline_ms: None }
    }
}

impl std::fmt::Debug for GroupCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupCoordinator").field("config", &self.config).finish_non_exhaustive()
    }
}

fn tombstone(group_id: &str, partition: &TopicPartition) -> Record {
    Record::Offset { group_id: group_id.to_owned(), partition: partition.clone(), value: None }
}

fn encode_batch(records: impl IntoIterator<Item = Record>) -> Result<Vec<u8>, ErrorCode> {
    append_records(BatchBuilder::new(), records)
}

fn append_records(mut batch: BatchBuilder, records: impl IntoIterator<Item = Record>) -> Result<Vec<u8>, ErrorCode> {
    let now_ms = now_ms();
    for record in records {
        let encoded = record.encode().map_err(|_| ErrorCode::INVALID_COMMIT_OFFSET_SIZE)?;
        if let Some((key, value)) = encoded {
            batch.append(now_ms, Some(&key), value.as_deref(), &[]);
        }
    }
    Ok(batch.finish())
}

/// What a batch of the log says; what cannot be read is told and passed over.
fn decode_batch(batch: &Batch<'_>) -> Vec<Record> {
    let mut records = Vec::new();
    if batch.is_control() {
        return records;
    }
    let outcome = batch.for_each_record(RECORD_BYTES_MAX, |record| {
        match record.key.map(|key| Record::decode(key, record.value)) {
            Some(Ok(record)) => records.push(record),
            Some(Err(error)) => tracing::warn!(%error, "a record of {TOPIC} cannot be read"),
            None => tracing::warn!("a record of {TOPIC} has no key"),
        }
        Ok::<(), crate::wire::batch::Error>(())
    });
    if let Err(error) = outcome {
        tracing::warn!(%error, "a batch of {TOPIC} cannot be read");
    }
    records
}

/// A batch of `__consumer_offsets` is never larger, decompressed (`message.max.bytes` is 1 MiB; a group's record can
/// be compressed by `offsets.topic.compression.codec`).
const RECORD_BYTES_MAX: usize = 64 << 20;

/// What a client is told when the log refused a group's record.
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
