//! The partitions on this broker: [`ReplicaManager`] holds them, a [`Replica`] is one of them with its log. Here the
//! pure [`Partition`] gets what it lacks: the log, the clock, the requests that wait.
//!
//! Lock order: the map of replicas, then a replica's partition, then its log. None is held while somebody is woken.
//!
//! Source: `ReplicaManager`, `Partition.appendRecordsToLeader`, `Partition.fetchRecords`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use super::delayed::{Moved, Parking};
use super::fetcher::{FetcherContext, Fetchers};
use super::metadata::{ClusterMetadata, MetadataCache};
use super::partition::{Action, Event, LeaderAndIsr, Limits, Millis, Partition, diverging_epoch, truncation_point};
use super::{AppendOrigin, Appended, Error, Fetched, FollowerFetch, Isolation, ReadParams, ReadResult, RequiredAcks};
use crate::log::{Log, LogConfig, LogManager, NewLog, UpperBound, VerificationGuard};
use crate::wire::messages::leader_and_isr::{
    LeaderAndIsrPartitionError, LeaderAndIsrPartitionState, LeaderAndIsrTopicError,
};
use crate::wire::messages::stop_replica::StopReplicaPartitionError;
use crate::wire::messages::{LeaderAndIsrRequest, LeaderAndIsrResponse, StopReplicaRequest, StopReplicaResponse};
use crate::wire::{ErrorCode, TopicPartition, Uuid};

/// In StopReplica: the topic is being deleted, whatever the epoch.
const EPOCH_DURING_DELETE: i32 = -2;
/// In StopReplica: the controller is too old to say.
const NO_EPOCH: i32 = -1;
/// Read at once when a whole partition is read.
const LOAD_BYTES: usize = 1 << 20;

/// One partition on this broker, with its log.
#[derive(Debug)]
pub struct Replica {
    pub name: TopicPartition,
    /// Requests that wait for this partition to move.
    pub parking: Arc<Parking>,
    partition: Mutex<Partition>,
    log: Arc<Log>,
    metadata: Arc<MetadataCache>,
    proposals: mpsc::UnboundedSender<IsrProposal>,
}

/// An ISR that the controller should be asked for.
#[derive(Clone, Debug)]
pub struct IsrProposal {
    pub replica: Arc<ReplicaName>,
    pub isr: Vec<i32>,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
}

/// A partition and the id of its topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaName {
    pub partition: TopicPartition,
    pub topic_id: Uuid,
}

/// This broker's part in a partition has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeadershipChange {
    /// We lead it since this epoch.
    Elected { leader_epoch: i32 },
    /// We lead it no longer, or have it no longer.
    Resigned,
}

/// Told of changes of leadership before the controller is answered.
pub type LeadershipListener = Box<dyn Fn(&[(TopicPartition, LeadershipChange)]) + Send + Sync>;

impl Replica {
    /// The partition's log.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    pub fn config(&self) -> Arc<LogConfig> {
        self.log.config()
    }

    pub fn topic_id(&self) -> Uuid {
        self.log.topic_id()
    }

    pub fn log_start_offset(&self) -> i64 {
        self.log.log_start_offset()
    }

    /// -1 before the controller has spoken.
    pub fn leader_epoch(&self) -> i32 {
        self.partition.lock().leader_epoch()
    }

    /// Whether we lead, in the epoch that a client believes in (None: it does not say).
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`, `NOT_LEADER_OR_FOLLOWER`.
    pub fn check_leader(&self, current_leader_epoch: Option<i32>) -> Result<(), ErrorCode> {
        self.partition.lock().check_leader(current_leader_epoch)
    }

    /// As [`Replica::check_leader`], for reads that a follower may answer too.
    ///
    /// # Errors
    /// As [`Replica::check_leader`].
    pub fn check_replica(&self, current_leader_epoch: Option<i32>) -> Result<(), ErrorCode> {
        self.partition.lock().check_replica(current_leader_epoch)
    }

    /// Whether offsets could seem to go back, since a new leader has not yet heard from its followers.
    pub fn is_high_watermark_behind_epoch(&self) -> bool {
        self.partition.lock().is_high_watermark_behind_epoch()
    }

    /// Appends one record batch as leader; `records` is stamped in place.
    ///
    /// # Errors
    /// `Refused` if we do not lead or too few replicas are in sync for acks=all, `Log` if the log refuses.
    pub fn append(&self, records: &mut [u8], acks: RequiredAcks, origin: AppendOrigin) -> Result<Appended, Error> {
        self.append_verified(records, acks, origin, None)
    }

    /// As [`Replica::append`], for a batch whose transaction was verified (`Log::begin_verification`).
    ///
    /// # Errors
    /// As [`Replica::append`].
    pub fn append_verified(
        &self,
        records: &mut [u8],
        acks: RequiredAcks,
        origin: AppendOrigin,
        guard: Option<VerificationGuard>,
    ) -> Result<Appended, Error> {
        let (appended, committed) = {
            let mut partition = self.partition.lock();
            partition.check_leader(None)?;
            if acks == RequiredAcks::All {
                partition.check_enough_replicas()?;
            }
            let now = now_ms();
            let info = self.log.append_verified(records, partition.leader_epoch(), origin, guard, now)?;
            let actions = partition.handle(Event::Appended { log_end_offset: self.log.log_end_offset() }, now);
            let committed = self.perform(actions);
            let appended = Appended {
                base_offset: info.first_offset,
                next_offset: info.last_offset + 1,
                leader_epoch: partition.leader_epoch(),
                log_append_time_ms: info.log_append_time_ms,
                log_start_offset: info.log_start_offset,
            };
            (appended, committed)
        };
        self.parking.wake(if committed { Moved::HighWatermark } else { Moved::LogEnd });
        Ok(appended)
    }

    /// Does what the partition says, under its lock; true if the high watermark has moved.
    fn perform(&self, actions: Vec<Action>) -> bool {
        let mut committed = false;
        for action in actions {
            match action {
                Action::HighWatermark(offset) => {
                    self.log.update_high_watermark(offset);
                    committed = true;
                }
                Action::ProposeIsr { isr, leader_epoch, partition_epoch } => {
                    let replica = ReplicaName { partition: self.name.clone(), topic_id: self.topic_id() };
                    let proposal = IsrProposal { replica: Arc::new(replica), isr, leader_epoch, partition_epoch };
                    // Nobody listens while the broker stops; leadership goes elsewhere then.
                    let _ = self.proposals.send(proposal);
                }
                Action::Lead { leader_epoch, start_offset } => {
                    if let Err(error) = self.log.assign_epoch(leader_epoch, start_offset) {
                        tracing::error!(partition = %self.name, %error, "leader epoch cannot be noted");
                    }
                }
                // Who holds the fetchers does this.
                Action::Follow { .. } => {}
            }
        }
        committed
    }

    /// How an append with acks=all stands: true once enough replicas have it.
    ///
    /// # Errors
    /// As [`Partition::is_replicated`].
    pub fn is_replicated(&self, appended: &Appended) -> Result<bool, ErrorCode> {
        self.partition.lock().is_replicated(appended.next_offset, appended.leader_epoch)
    }

    /// Reads what a consumer may see.
    ///
    /// # Errors
    /// `Refused` if we are not the one to ask, `Log` (offset out of range, disk).
    pub fn read(&self, params: &ReadParams) -> Result<ReadResult, Error> {
        {
            let partition = self.partition.lock();
            match params.only_leader {
                true => partition.check_leader(params.current_leader_epoch)?,
                false => partition.check_replica(params.current_leader_epoch)?,
            }
        }
        self.read_log(params)
    }

    /// Reads for a follower, and takes its offset as what it has.
    ///
    /// # Errors
    /// As [`Replica::read`]; `NOT_LEADER_OR_FOLLOWER` for a broker that is no replica of the partition.
    pub fn read_for_follower(&self, params: &ReadParams, follower: &FollowerFetch) -> Result<ReadResult, Error> {
        let committed = {
            let mut partition = self.partition.lock();
            partition.check_leader(params.current_leader_epoch)?;
            if !partition.replicas().contains(&follower.replica) {
                return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER.into());
            }
            let diverges = match params.last_fetched_epoch {
                Some(epoch) => self.diverging_epoch(epoch, params.fetch_offset)?.is_some(),
                None => false,
            };
            let is_in_range = (self.log.log_start_offset()..=self.log.log_end_offset()).contains(&params.fetch_offset);
            // What a follower has counts when it says so, not when its request has waited for a while.
            if follower.is_news && is_in_range && !diverges {
                let event = Event::FollowerFetched {
                    replica: follower.replica,
                    fetch_offset: params.fetch_offset,
                    log_start_offset: follower.log_start_offset,
                    // Asked under the lock, so that a death that is told of meanwhile is not undone.
                    is_alive: self.metadata.current().is_alive(follower.replica),
                };
                let actions = partition.handle(event, now_ms());
                self.perform(actions)
            } else {
                false
            }
        };
        if committed {
            self.parking.wake(Moved::HighWatermark);
        }
        self.read_log(params)
    }

    fn read_log(&self, params: &ReadParams) -> Result<ReadResult, Error> {
        let log = &self.log;
        let mut result = ReadResult {
            fetch_offset: params.fetch_offset,
            high_watermark: log.high_watermark(),
            last_stable_offset: log.last_stable_offset(),
            log_start_offset: log.log_start_offset(),
            ..ReadResult::default()
        };
        if let Some(epoch) = params.last_fetched_epoch {
            result.diverging_epoch = self.diverging_epoch(epoch, params.fetch_offset)?;
            if result.diverging_epoch.is_some() {
                return Ok(result);
            }
        }
        let bound = match params.isolation {
            Isolation::LogEnd => UpperBound::LogEnd,
            Isolation::ReadUncommitted => UpperBound::HighWatermark,
            Isolation::ReadCommitted => UpperBound::LastStableOffset,
        };
        // Nothing is left of the limits, but one batch may come all the same.
        let max_bytes = params.max_bytes.max(usize::from(params.one_batch));
        let info = log.read(params.fetch_offset, max_bytes, bound, params.one_batch)?;
        result.high_watermark = info.high_watermark;
        result.last_stable_offset = info.last_stable_offset;
        result.log_start_offset = info.log_start_offset;
        if params.isolation == Isolation::ReadCommitted {
            let aborted = info.aborted_transactions.iter();
            result.aborted_transactions = Some(aborted.map(|txn| (txn.producer_id, txn.first_offset)).collect());
        }
        result.in_older_segment = info.in_older_segment;
        result.records = info.records;
        Ok(result)
    }

    /// Where the log of the one who asks, whose last record has this epoch, ceases to be like ours.
    fn diverging_epoch(&self, last_fetched_epoch: i32, fetch_offset: i64) -> Result<Option<(i32, i64)>, Error> {
        if fetch_offset < self.log.log_start_offset() {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE.into());
        }
        Ok(diverging_epoch(last_fetched_epoch, fetch_offset, self.end_offset_for_epoch(last_fetched_epoch))?)
    }

    /// Appends what the leader sent, and takes over how far it has got.
    ///
    /// # Errors
    /// `Refused` if we do not follow in that epoch, or the log ends elsewhere; `Log`.
    ///
    /// Source: `ReplicaFetcherThread.processPartitionData`.
    pub fn append_fetched(&self, fetched: &Fetched<'_>) -> Result<(), Error> {
        let (grown, committed) = {
            let mut partition = self.partition.lock();
            partition.check_follows(fetched.leader_epoch)?;
            if self.log.log_end_offset() != fetched.fetch_offset {
                return Err(ErrorCode::OFFSET_OUT_OF_RANGE.into());
            }
            let now = now_ms();
            let grown = !fetched.records.is_empty() && self.log.append_as_follower(fetched.records, now)?.is_some();
            let log_end_offset = self.log.log_end_offset();
            let event = Event::Followed { log_end_offset, leader_high_watermark: fetched.high_watermark };
            let actions = partition.handle(event, now);
            let mut committed = self.perform(actions);
            // Beyond the high watermark nothing is known to be unwanted.
            let log_start_offset = fetched.log_start_offset.min(self.log.high_watermark());
            if log_start_offset > self.log.log_start_offset() {
                committed |= self.log.increment_log_start_offset(log_start_offset, now)?;
            }
            (grown, committed)
        };
        if committed {
            self.parking.wake(Moved::HighWatermark);
        } else if grown {
            self.parking.wake(Moved::LogEnd);
        }
        Ok(())
    }

    /// Cuts the log to be like the leader's, of which `epoch` ends at `end_offset`; -1 stands for what the leader does
    /// not know. True: all that was written in a later epoch is gone, and nothing differs any more.
    ///
    /// # Errors
    /// `Refused` if we do not follow in that leader epoch; `Log`. It may read much: call it where blocking is allowed.
    pub fn truncate_to_epoch(&self, leader_epoch: i32, epoch: i32, end_offset: i64) -> Result<bool, Error> {
        let mut partition = self.partition.lock();
        partition.check_follows(leader_epoch)?;
        let log_end = self.log.log_end_offset();
        let own_end = self.log.end_offset_for(epoch);
        let (to, complete) = truncation_point(epoch, end_offset, own_end, self.log.high_watermark());
        let to = to.min(log_end);
        self.cut(&mut partition, |log, now| log.truncate_to(to, now).map(drop))?;
        Ok(complete)
    }

    /// The leader's log goes from `start` to `end`, and ours ends elsewhere: cuts what it has no more, or begins anew
    /// where it begins.
    ///
    /// # Errors
    /// As [`Replica::truncate_to_epoch`].
    pub fn fit_to(&self, leader_epoch: i32, start: i64, end: i64) -> Result<(), Error> {
        let mut partition = self.partition.lock();
        partition.check_follows(leader_epoch)?;
        let log_end = self.log.log_end_offset();
        if end < log_end {
            self.cut(&mut partition, |log, now| log.truncate_to(end, now).map(drop))
        } else if start > log_end {
            self.cut(&mut partition, |log, now| log.truncate_fully_and_start_at(start, now))
        } else {
            Ok(())
        }
    }

    fn cut(
        &self,
        partition: &mut Partition,
        cut: impl FnOnce(&Log, Millis) -> Result<(), crate::log::Error>,
    ) -> Result<(), Error> {
        let high_watermark = self.log.high_watermark();
        cut(&self.log, now_ms())?;
        let log_end = self.log.log_end_offset();
        partition.truncated(log_end, self.log.high_watermark());
        if log_end < high_watermark {
            tracing::warn!(partition = %self.name, log_end, high_watermark, "cut below the high watermark");
        }
        Ok(())
    }

    /// The largest known leader epoch not above `epoch`, and where it ends; None if it is newer than any.
    pub fn end_offset_for_epoch(&self, epoch: i32) -> Option<(i32, i64)> {
        self.log.end_offset_for(epoch)
    }

    /// Drops what lies below `offset` (None: below the high watermark) and returns where the log starts now.
    ///
    /// # Errors
    /// `Refused` with NOT_LEADER_OR_FOLLOWER, POLICY_VIOLATION (nothing is deleted here) or OFFSET_OUT_OF_RANGE;
    /// `Log` for the disk.
    pub fn delete_records(&self, offset: Option<i64>) -> Result<i64, Error> {
        let moved = {
            let partition = self.partition.lock();
            partition.check_leader(None)?;
            if !self.log.config().cleanup_policy.delete {
                return Err(ErrorCode::POLICY_VIOLATION.into());
            }
            let high_watermark = self.log.high_watermark();
            let offset = offset.unwrap_or(high_watermark);
            if offset < 0 || offset > high_watermark {
                return Err(ErrorCode::OFFSET_OUT_OF_RANGE.into());
            }
            self.log.increment_log_start_offset(offset, now_ms())?
        };
        if moved {
            self.parking.wake(Moved::HighWatermark);
        }
        Ok(self.log.log_start_offset())
    }

    /// The follower that a consumer in `rack` should rather read from, if we lead (KIP-392): in sync, in that rack, and
    /// the furthest of those; None if we are in that rack ourselves, or nobody is.
    ///
    /// Source: `RackAwareReplicaSelector`.
    pub fn preferred_read_replica(&self, rack: &str, fetch_offset: i64, cluster: &ClusterMetadata) -> Option<i32> {
        let partition = self.partition.lock();
        let is_there = |id: i32| cluster.brokers.get(&id).is_some_and(|broker| broker.rack.as_deref() == Some(rack));
        if partition.leader().is_none_or(is_there) {
            return None;
        }
        let near = partition.readable_followers(fetch_offset).into_iter().filter(|(id, _)| is_there(*id));
        near.max_by_key(|(_, log_end_offset)| *log_end_offset).map(|(id, _)| id)
    }

    /// The least log start among the replicas that live.
    pub fn low_watermark(&self, is_alive: impl Fn(i32) -> bool) -> i64 {
        self.partition.lock().low_watermark(self.log.log_start_offset(), is_alive)
    }

    /// Gives every batch of the partition to `visit`, from log start to log end: how a coordinator loads its state.
    ///
    /// # Errors
    /// `Log`. It reads files: call it where blocking is allowed.
    pub fn read_all(&self, visit: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        let mut offset = self.log.log_start_offset();
        while offset < self.log.log_end_offset() {
            let info = self.log.read(offset, LOAD_BYTES, UpperBound::LogEnd, true)?;
            if info.is_empty() {
                return Ok(());
            }
            let bytes = info.read().map_err(|_| ErrorCode::KAFKA_STORAGE_ERROR)?;
            let mut rest = &bytes[..];
            let before = offset;
            while let Ok((batch, after)) = crate::wire::batch::Batch::split_first(rest) {
                visit(batch.bytes());
                offset = batch.next_offset();
                rest = after;
            }
            if offset == before {
                return Err(ErrorCode::CORRUPT_MESSAGE.into());
            }
        }
        Ok(())
    }

    fn check_lag(&self, now: Millis) {
        let mut partition = self.partition.lock();
        let actions = partition.handle(Event::CheckLag, now);
        self.perform(actions);
    }
}

/// What stands in the map.
#[derive(Clone, Debug)]
enum Hosted {
    Online(Arc<Replica>),
    /// Its log dir has failed.
    Offline,
}

/// All partitions on this broker.
pub struct ReplicaManager {
    broker_id: i32,
    logs: Arc<LogManager>,
    metadata: Arc<MetadataCache>,
    replica_lag_time_max_ms: Millis,
    hosted: RwLock<HashMap<Arc<str>, BTreeMap<i32, Hosted>>>,
    /// Held while a controller's request is carried out, so that they take effect one after another.
    controller_requests: Mutex<()>,
    leadership: OnceLock<LeadershipListener>,
    fetchers: OnceLock<Fetchers>,
    proposals: mpsc::UnboundedSender<IsrProposal>,
}

impl std::fmt::Debug for ReplicaManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReplicaManager").field("broker_id", &self.broker_id).finish_non_exhaustive()
    }
}

impl ReplicaManager {
    /// A manager that holds nothing yet; what leaders want of the controller comes out of the receiver.
    pub fn new(
        broker_id: i32,
        logs: Arc<LogManager>,
        metadata: Arc<MetadataCache>,
        replica_lag_time_max_ms: Millis,
    ) -> (ReplicaManager, mpsc::UnboundedReceiver<IsrProposal>) {
        let (proposals, receiver) = mpsc::unbounded_channel();
        let manager = ReplicaManager {
            broker_id,
            logs,
            metadata,
            replica_lag_time_max_ms,
            hosted: RwLock::default(),
            controller_requests: Mutex::default(),
            leadership: OnceLock::new(),
            fetchers: OnceLock::new(),
            proposals,
        };
        (manager, receiver)
    }

    /// Calls `listener` from now on when this broker's part in a partition changes. Only the first one is taken.
    pub fn on_leadership(&self, listener: LeadershipListener) {
        let _ = self.leadership.set(listener);
    }

    /// Lets followers fetch from now on. Only the first call counts.
    pub fn start_fetching(&self, context: FetcherContext) {
        let _ = self.fetchers.set(Fetchers::new(context));
    }

    /// Ends all fetching, for good.
    pub fn stop_fetching(&self) {
        if let Some(fetchers) = self.fetchers.get() {
            fetchers.stop();
        }
    }

    /// The partition, if it is here.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR` if its disk failed; `NOT_LEADER_OR_FOLLOWER` if it is on other brokers;
    /// `UNKNOWN_TOPIC_OR_PARTITION`.
    pub fn replica(&self, topic: &str, partition: i32) -> Result<Arc<Replica>, ErrorCode> {
        match self.hosted(topic, partition) {
            Some(Hosted::Online(replica)) if !replica.log.is_offline() => Ok(replica),
            Some(_) => Err(ErrorCode::KAFKA_STORAGE_ERROR),
            None if self.metadata.current().contains(topic, partition) => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
            None => Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
        }
    }

    fn hosted(&self, topic: &str, partition: i32) -> Option<Hosted> {
        self.hosted.read().get(topic)?.get(&partition).cloned()
    }

    /// Every partition whose disk works.
    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        let online = |hosted: &Hosted| match hosted {
            Hosted::Online(replica) => Some(replica.clone()),
            Hosted::Offline => None,
        };
        self.hosted.read().values().flat_map(|partitions| partitions.values().filter_map(online)).collect()
    }

    /// Whether a partition of that topic is here.
    pub fn hosts_topic(&self, topic: &str) -> bool {
        self.hosted.read().contains_key(topic)
    }

    /// The topics that have a partition here.
    pub fn topics(&self) -> Vec<Arc<str>> {
        self.hosted.read().keys().cloned().collect()
    }

    /// Gives the partitions of a topic their new config.
    pub fn update_topic_config(&self, topic: &str, config: &LogConfig) {
        let Some(partitions) = self.hosted.read().get(topic).cloned() else { return };
        for hosted in partitions.into_values() {
            if let Hosted::Online(replica) = hosted {
                replica.partition.lock().set_limits(self.limits(config));
                replica.log.update_config(config.clone());
            }
        }
    }

    fn limits(&self, config: &LogConfig) -> Limits {
        Limits {
            min_insync_replicas: config.min_insync_replicas.max(1) as usize,
            replica_lag_time_max_ms: self.replica_lag_time_max_ms,
        }
    }

    /// Appends a batch of a coordinator to a partition that we lead. Returns the replica, and what must be
    /// replicated for the batch to be committed ([`Replica::is_replicated`]).
    ///
    /// # Errors
    /// The code of what went wrong, as clients of Produce would see it.
    pub fn append_internal(
        &self,
        topic: &str,
        partition: i32,
        batch: &mut [u8],
    ) -> Result<(Arc<Replica>, Appended), ErrorCode> {
        let replica = self.replica(topic, partition)?;
        let appended = replica.append(batch, RequiredAcks::All, AppendOrigin::Coordinator);
        let appended = appended.map_err(|error| {
            tracing::warn!(partition = %replica.name, %error, "append of a coordinator refused");
            error.code()
        })?;
        Ok((replica, appended))
    }

    /// Looks for followers that lag: every half of `replica.lag.time.max.ms`.
    pub fn check_lag(&self) {
        let now = now_ms();
        self.replicas().iter().for_each(|replica| replica.check_lag(now));
    }

    /// Carries out LeaderAndIsr. It creates logs: call it where blocking is allowed. `config` gives a topic's config.
    pub fn become_leader_or_follower(
        &self,
        request: &LeaderAndIsrRequest,
        version: i16,
        config: &dyn Fn(&str) -> LogConfig,
    ) -> LeaderAndIsrResponse {
        let _one_at_a_time = self.controller_requests.lock();
        if let Err(code) = self.metadata.obey(request.controller_epoch) {
            return LeaderAndIsrResponse { error_code: code.0, ..Default::default() };
        }
        self.create_missing(request, config);
        let mut response = LeaderAndIsrResponse::default();
        let mut changes = Vec::new();
        for state in &request.ungrouped_partition_states {
            let error = self.apply(&state.topic_name, Uuid::ZERO, state, config, &mut changes);
            response.partition_errors.push(partition_error(Some(&state.topic_name), state, error));
        }
        for topic in &request.topic_states {
            let mut topic_error = LeaderAndIsrTopicError { topic_id: topic.topic_id, ..Default::default() };
            for state in &topic.partition_states {
                let error = self.apply(&topic.topic_name, topic.topic_id, state, config, &mut changes);
                match version >= 5 {
                    true => topic_error.partition_errors.push(partition_error(None, state, error)),
                    false => response.partition_errors.push(partition_error(Some(&topic.topic_name), state, error)),
                }
            }
            if version >= 5 {
                response.topics.push(topic_error);
            }
        }
        self.tell(&changes);
        response
    }

    fn tell(&self, changes: &[(TopicPartition, LeadershipChange)]) {
        if let Some(listener) = self.leadership.get()
            && !changes.is_empty()
        {
            listener(changes);
        }
    }

    fn apply(
        &self,
        topic: &str,
        topic_id: Uuid,
        state: &LeaderAndIsrPartitionState,
        config: &dyn Fn(&str) -> LogConfig,
        changes: &mut Vec<(TopicPartition, LeadershipChange)>,
    ) -> ErrorCode {
        if !state.replicas.contains(&self.broker_id) {
            tracing::warn!(topic, partition = state.partition_index, "told to lead or follow what is not ours");
            return ErrorCode::UNKNOWN_TOPIC_OR_PARTITION;
        }
        let replica = match self.get_or_create(topic, topic_id, state, config) {
            Ok(replica) => replica,
            Err(code) => return code,
        };
        let (led_before, outcome, leads_now) = {
            let mut partition = replica.partition.lock();
            let led_before = partition.is_leader();
            let outcome = partition.lead_or_follow(decided(state), replica.log.log_end_offset(), now_ms());
            let outcome = outcome.map(|actions| {
                replica.perform(actions);
            });
            (led_before, outcome, partition.is_leader())
        };
        if let Err(code) = outcome {
            return code;
        }
        if let Some(fetchers) = self.fetchers.get() {
            match state.leader {
                leader if leader >= 0 && leader != self.broker_id => {
                    fetchers.follow(&replica, leader, state.leader_epoch);
                }
                _ => fetchers.unfollow(&replica.name),
            }
        }
        replica.parking.wake(Moved::Leadership);
        let leader_epoch = state.leader_epoch;
        match (led_before, leads_now) {
            (_, true) => changes.push((replica.name.clone(), LeadershipChange::Elected { leader_epoch })),
            (true, false) => changes.push((replica.name.clone(), LeadershipChange::Resigned)),
            (false, false) => {}
        }
        ErrorCode::NONE
    }

    fn get_or_create(
        &self,
        topic: &str,
        topic_id: Uuid,
        state: &LeaderAndIsrPartitionState,
        config: &dyn Fn(&str) -> LogConfig,
    ) -> Result<Arc<Replica>, ErrorCode> {
        match self.hosted(topic, state.partition_index) {
            Some(Hosted::Online(replica)) if replica.log.is_offline() => return Err(ErrorCode::KAFKA_STORAGE_ERROR),
            Some(Hosted::Online(replica)) => {
                let replica_id = replica.topic_id();
                if !topic_id.is_zero() && !replica_id.is_zero() && topic_id != replica_id {
                    tracing::error!(partition = %replica.name, %topic_id, %replica_id, "another topic of that name is here");
                    return Err(ErrorCode::INCONSISTENT_TOPIC_ID);
                }
                return Ok(replica);
            }
            Some(Hosted::Offline) => return Err(ErrorCode::KAFKA_STORAGE_ERROR),
            None => {}
        }
        let name = TopicPartition::new(topic, state.partition_index);
        let config = config(topic);
        let limits = self.limits(&config);
        let new = NewLog { partition: name.clone(), topic_id, config, is_new: state.is_new };
        let Some(created) = self.logs.create_logs(vec![new], now_ms()).pop() else {
            return Err(ErrorCode::KAFKA_STORAGE_ERROR);
        };
        match self.host(name, created, limits)? {
            Hosted::Online(replica) => Ok(replica),
            Hosted::Offline => Err(ErrorCode::KAFKA_STORAGE_ERROR),
        }
    }

    /// Makes the logs of a request's new partitions all at once: the disk is slow, and does not mind many.
    fn create_missing(&self, request: &LeaderAndIsrRequest, config: &dyn Fn(&str) -> LogConfig) {
        let mut wanted = Vec::new();
        let mut limits = Vec::new();
        for topic in &request.topic_states {
            let config = config(&topic.topic_name);
            for state in &topic.partition_states {
                let is_ours = state.replicas.contains(&self.broker_id);
                if is_ours && self.hosted(&topic.topic_name, state.partition_index).is_none() {
                    limits.push(self.limits(&config));
                    wanted.push(NewLog {
                        partition: TopicPartition::new(topic.topic_name.as_str(), state.partition_index),
                        topic_id: topic.topic_id,
                        config: config.clone(),
                        is_new: state.is_new,
                    });
                }
            }
        }
        if wanted.len() < 2 {
            return;
        }
        let names: Vec<TopicPartition> = wanted.iter().map(|new| new.partition.clone()).collect();
        let created = self.logs.create_logs(wanted, now_ms());
        for ((name, created), limits) in names.into_iter().zip(created).zip(limits) {
            // One that failed is tried again, and refused, when its turn comes.
            if created.is_ok() {
                let _ = self.host(name, created, limits);
            }
        }
    }

    /// Takes a partition in, with the log that was made for it or not.
    ///
    /// # Errors
    /// `INCONSISTENT_TOPIC_ID`; `KAFKA_STORAGE_ERROR` if it might go better next time: it is not taken in.
    fn host(
        &self,
        name: TopicPartition,
        created: Result<Arc<Log>, crate::log::Error>,
        limits: Limits,
    ) -> Result<Hosted, ErrorCode> {
        let hosted = match created {
            Ok(log) => {
                let mut partition = Partition::new(self.broker_id, log.log_end_offset(), log.high_watermark());
                partition.set_limits(limits);
                Hosted::Online(Arc::new(Replica {
                    name: name.clone(),
                    parking: Arc::default(),
                    partition: Mutex::new(partition),
                    log,
                    metadata: self.metadata.clone(),
                    proposals: self.proposals.clone(),
                }))
            }
            Err(error @ crate::log::Error::InconsistentTopicId { .. }) => {
                tracing::error!(partition = %name, %error, "another topic of that name is here");
                return Err(ErrorCode::INCONSISTENT_TOPIC_ID);
            }
            Err(error) => {
                tracing::error!(partition = %name, %error, "log cannot be created");
                if !self.logs.dirs().iter().any(|dir| dir.is_offline()) {
                    return Err(ErrorCode::KAFKA_STORAGE_ERROR);
                }
                Hosted::Offline
            }
        };
        self.hosted.write().entry(name.topic).or_default().insert(name.partition, hosted.clone());
        Ok(hosted)
    }

    /// Log dirs have failed: the partitions there are offline from now on, their leadership and their fetching end.
    /// Returns how many.
    pub fn log_dirs_failed(&self) -> usize {
        // As a request of the controller would be: one after the other.
        let _one_at_a_time = self.controller_requests.lock();
        let lost: Vec<Arc<Replica>> = self.replicas().into_iter().filter(|replica| replica.log.is_offline()).collect();
        let mut changes = Vec::new();
        for replica in &lost {
            {
                let mut partition = replica.partition.lock();
                if partition.is_leader() {
                    changes.push((replica.name.clone(), LeadershipChange::Resigned));
                }
                partition.stop();
            }
            if let Some(fetchers) = self.fetchers.get() {
                fetchers.unfollow(&replica.name);
            }
            let mut hosted = self.hosted.write();
            hosted.entry(replica.name.topic.clone()).or_default().insert(replica.name.partition, Hosted::Offline);
        }
        self.tell(&changes);
        lost.iter().for_each(|replica| replica.parking.wake(Moved::Leadership));
        lost.len()
    }

    /// Carries out StopReplica: partitions end here, their logs are deleted if it says so. It renames folders: call
    /// it where blocking is allowed.
    pub fn stop_replicas(&self, request: &StopReplicaRequest) -> StopReplicaResponse {
        let _one_at_a_time = self.controller_requests.lock();
        if let Err(code) = self.metadata.obey(request.controller_epoch) {
            return StopReplicaResponse { error_code: code.0, ..Default::default() };
        }
        let mut response = StopReplicaResponse::default();
        let mut changes = Vec::new();
        for (topic, partition, leader_epoch, delete) in stopped_partitions(request) {
            let code = self.stop(topic, partition, leader_epoch, delete, &mut changes);
            response.partition_errors.push(StopReplicaPartitionError {
                topic_name: topic.to_owned(),
                partition_index: partition,
                error_code: code.0,
            });
        }
        self.tell(&changes);
        response
    }

    fn stop(
        &self,
        topic: &str,
        partition: i32,
        leader_epoch: i32,
        delete: bool,
        changes: &mut Vec<(TopicPartition, LeadershipChange)>,
    ) -> ErrorCode {
        let name = TopicPartition::new(topic, partition);
        match self.hosted(topic, partition) {
            Some(Hosted::Offline) => return ErrorCode::KAFKA_STORAGE_ERROR,
            Some(Hosted::Online(replica)) => {
                let known = replica.leader_epoch();
                if leader_epoch != EPOCH_DURING_DELETE && leader_epoch != NO_EPOCH && leader_epoch < known {
                    return ErrorCode::FENCED_LEADER_EPOCH;
                }
                let led = {
                    let mut state = replica.partition.lock();
                    let led = state.is_leader();
                    state.stop();
                    led
                };
                if led {
                    changes.push((name.clone(), LeadershipChange::Resigned));
                }
                if let Some(fetchers) = self.fetchers.get() {
                    fetchers.unfollow(&name);
                }
                if delete {
                    self.forget(&name);
                }
                replica.parking.wake(Moved::Leadership);
            }
            None => {}
        }
        if delete && let Err(error) = self.logs.delete_log(&name, now_ms()) {
            tracing::error!(partition = %name, %error, "log cannot be deleted");
            return ErrorCode::KAFKA_STORAGE_ERROR;
        }
        ErrorCode::NONE
    }

    fn forget(&self, name: &TopicPartition) {
        let mut hosted = self.hosted.write();
        if let Some(partitions) = hosted.get_mut(&name.topic) {
            partitions.remove(&name.partition);
            if partitions.is_empty() {
                hosted.remove(&name.topic);
            }
        }
    }

    /// Tells leaders that brokers have died, after the metadata say so.
    pub fn brokers_died(&self, brokers: &[i32]) {
        if brokers.is_empty() {
            return;
        }
        for replica in self.replicas() {
            let committed = {
                let mut partition = replica.partition.lock();
                let actions = partition.handle(Event::Died(brokers.to_vec()), now_ms());
                replica.perform(actions)
            };
            if committed {
                replica.parking.wake(Moved::HighWatermark);
            }
        }
    }

    /// Whether this broker leads a partition in that epoch, so that a proposal made then still stands.
    pub fn leads_in(&self, name: &TopicPartition, leader_epoch: i32) -> bool {
        match self.hosted(&name.topic, name.partition) {
            Some(Hosted::Online(replica)) => replica.check_leader(Some(leader_epoch)).is_ok(),
            _ => false,
        }
    }

    /// What the controller answered to a proposed ISR.
    pub fn isr_answered(&self, name: &TopicPartition, event: Event) {
        let Some(Hosted::Online(replica)) = self.hosted(&name.topic, name.partition) else { return };
        let committed = {
            let mut partition = replica.partition.lock();
            let actions = partition.handle(event, now_ms());
            replica.perform(actions)
        };
        if committed {
            replica.parking.wake(Moved::HighWatermark);
        }
    }
}

fn decided(state: &LeaderAndIsrPartitionState) -> LeaderAndIsr {
    LeaderAndIsr {
        controller_epoch: state.controller_epoch,
        leader: state.leader,
        leader_epoch: state.leader_epoch,
        isr: state.isr.clone(),
        partition_epoch: state.partition_epoch,
        replicas: state.replicas.clone(),
        adding_replicas: state.adding_replicas.clone(),
        removing_replicas: state.removing_replicas.clone(),
    }
}

fn partition_error(
    topic: Option<&String>,
    state: &LeaderAndIsrPartitionState,
    code: ErrorCode,
) -> LeaderAndIsrPartitionError {
    LeaderAndIsrPartitionError {
        topic_name: topic.cloned().unwrap_or_default(),
        partition_index: state.partition_index,
        error_code: code.0,
    }
}

/// Topic, partition, leader epoch, and whether to delete: the same in all versions.
fn stopped_partitions(request: &StopReplicaRequest) -> Vec<(&str, i32, i32, bool)> {
    let mut partitions = Vec::new();
    let all = request.delete_partitions;
    for partition in &request.ungrouped_partitions {
        partitions.push((partition.topic_name.as_str(), partition.partition_index, NO_EPOCH, all));
    }
    for topic in &request.topics {
        partitions.extend(topic.partition_indexes.iter().map(|&index| (topic.name.as_str(), index, NO_EPOCH, all)));
    }
    for topic in &request.topic_states {
        let states = topic.partition_states.iter();
        let state = |s: &crate::wire::messages::stop_replica::StopReplicaPartitionState| {
            (topic.topic_name.as_str(), s.partition_index, s.leader_epoch, s.delete_partition)
        };
        partitions.extend(states.map(state));
    }
    partitions
}

fn now_ms() -> Millis {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as Millis)
}

#[cfg(test)]
mod tests;
