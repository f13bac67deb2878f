//! What one fetcher asks of one leader, and what its answers mean. A value: it is told where the logs end, what was
//! answered and what became of it, and says what to do next; sockets, logs and clock are the shell's.
//!
//! Each partition asks for what comes after its log's end, with the epoch of its last record. The leader sends records,
//! or says from where on the logs differ: then the partition cuts its own and asks again. Before inter-broker protocol
//! 2.7 the leader does not say so by itself, and is asked for the end of the epoch first (KIP-101).
//!
//! A partition of which the leader does not know enough yet is left out for a while. A first pause is short, since
//! leaders and followers hear from the controller within milliseconds of one another.
//!
//! Source: `AbstractFetcherThread`, `ReplicaFetcherThread`, `RemoteLeaderEndPoint`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::session::{Asked, Session};
use crate::replication::partition::Millis;
use crate::wire::messages::fetch::{PartitionData, ReplicaState};
use crate::wire::messages::offset_for_leader_epoch::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use crate::wire::messages::{FetchRequest, FetchResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use crate::wire::{Bytes, ErrorCode, TopicPartition, Uuid};

/// The first pause after a failure; each further one doubles it, up to `replica.fetch.backoff.ms`.
const FIRST_BACKOFF_MS: Millis = 25;
/// From this version of Fetch on, topics have ids.
const IDS_SINCE: i16 = 13;
/// From this version of Fetch on, the leader says by itself where logs part.
const DIVERGENCE_SINCE: i16 = 12;
const NO_EPOCH: i32 = -1;

/// What a fetcher obeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub replica_id: i32,
    /// Our broker epoch.
    pub replica_epoch: i64,
    /// The version of Fetch that the inter-broker protocol has.
    pub fetch_version: i16,
    /// `replica.fetch.wait.max.ms`.
    pub max_wait_ms: i32,
    /// `replica.fetch.min.bytes`.
    pub min_bytes: i32,
    /// `replica.fetch.response.max.bytes`.
    pub response_max_bytes: i32,
    /// `replica.fetch.max.bytes`.
    pub partition_max_bytes: i32,
    /// `replica.fetch.backoff.ms`.
    pub backoff_ms: Millis,
}

/// Where a follower's log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub log_start_offset: i64,
    pub log_end_offset: i64,
    /// The epoch of the last record, or one that began after it.
    pub latest_epoch: Option<i32>,
}

/// A partition, and the leader epoch in which it follows: what was asked in another epoch is nobody's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Following {
    pub partition: TopicPartition,
    pub leader_epoch: i32,
}

/// What the shell does next.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Sends this in this version.
    Fetch(FetchRequest, i16),
    /// Asks where epochs end, before anything is fetched of these partitions.
    EndOfEpochs(OffsetForLeaderEpochRequest),
    /// Nothing until then (None: until something is told).
    Wait(Option<Millis>),
}

/// What an answer asks for, partition by partition; [`Fetcher::done`] hears what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Append these, if the log still ends at `fetch_offset`, and take over the leader's watermarks.
    Append { of: Following, fetch_offset: i64, records: Bytes, high_watermark: i64, log_start_offset: i64 },
    /// The leader's `epoch` ends at `end_offset` (-1, -1: it knows none): cut what differs.
    Truncate { of: Following, epoch: i32, end_offset: i64 },
    /// The leader's log does not reach `fetch_offset`, or begins later: ask for its offsets, and cut or begin anew.
    FindRange { of: Following },
}

/// What became of a [`Todo`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Go on from where the log stands.
    Went,
    /// Try again later.
    Failed,
    /// Nothing can be done before the controller says something new.
    GaveUp,
}

/// Everything that is followed over one connection.
#[derive(Debug, Default)]
pub struct Fetcher {
    partitions: BTreeMap<TopicPartition, Progress>,
    names: HashMap<Uuid, Arc<str>>,
    session: Session,
    /// How often the leader could not be asked, one time after another, and until when to leave it alone.
    pause: Pause,
}

#[derive(Debug)]
struct Progress {
    topic_id: Uuid,
    leader_epoch: i32,
    /// The leader has not been asked where our last epoch ends.
    must_compare: bool,
    given_up: bool,
    pause: Pause,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    failures: u32,
    until: Millis,
}

impl Pause {
    fn failed(&mut self, now: Millis, backoff_ms: Millis) {
        let pause = FIRST_BACKOFF_MS.saturating_mul(1 << self.failures.min(20));
        self.until = now + pause.min(backoff_ms);
        self.failures += 1;
    }
}

impl Fetcher {
    /// Follows a partition from now on; in a new epoch afresh.
    pub fn follow(&mut self, of: Following, topic_id: Uuid) {
        if !topic_id.is_zero() {
            self.names.insert(topic_id, of.partition.topic.clone());
        }
        let progress = Progress {
            topic_id,
            leader_epoch: of.leader_epoch,
            must_compare: true,
            given_up: false,
            pause: Pause::default(),
        };
        self.partitions.insert(of.partition, progress);
    }

    pub fn unfollow(&mut self, partition: &TopicPartition) {
        let Some(progress) = self.partitions.remove(partition) else { return };
        let first = TopicPartition::new(partition.topic.clone(), i32::MIN);
        let is_last = self.partitions.range(first..).next().is_none_or(|(next, _)| next.topic != partition.topic);
        if is_last {
            self.names.remove(&progress.topic_id);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// What to do next. `position` says where a partition's log stands.
    pub fn next(
        &mut self,
        limits: &Limits,
        position: impl Fn(&TopicPartition) -> Option<Position>,
        now: Millis,
    ) -> Next {
        if now < self.pause.until {
            return Next::Wait(Some(self.pause.until));
        }
        let ready =
            self.partitions.iter_mut().filter(|(_, progress)| !progress.given_up && progress.pause.until <= now);
        let mut wanted = BTreeMap::new();
        let mut compared = Vec::new();
        for (partition, progress) in ready {
            let Some(at) = position(partition) else { continue };
            let last_fetched_epoch = at.latest_epoch.unwrap_or(NO_EPOCH);
            let compares = limits.fetch_version < DIVERGENCE_SINCE && last_fetched_epoch != NO_EPOCH;
            if progress.must_compare && compares {
                compared.push((partition, progress.leader_epoch, last_fetched_epoch));
                continue;
            }
            progress.must_compare = false;
            let asked = Asked {
                topic_id: progress.topic_id,
                leader_epoch: progress.leader_epoch,
                fetch_offset: at.log_end_offset,
                last_fetched_epoch,
                log_start_offset: at.log_start_offset,
                max_bytes: limits.partition_max_bytes,
            };
            wanted.insert(partition.clone(), asked);
        }
        if !compared.is_empty() {
            return Next::EndOfEpochs(end_of_epochs(limits, &compared));
        }
        if wanted.is_empty() {
            return Next::Wait(self.next_pause(now));
        }
        let uses_ids = limits.fetch_version >= IDS_SINCE && wanted.values().all(|asked| !asked.topic_id.is_zero());
        let version = if uses_ids { limits.fetch_version } else { limits.fetch_version.min(IDS_SINCE - 1) };
        let (replica_id, replica_epoch) = (limits.replica_id, limits.replica_epoch);
        // Who pauses should not have to wait until others have news.
        let paused = self.next_pause(now).map_or(i32::MAX, |until| i32::try_from(until - now).unwrap_or(i32::MAX));
        let request = FetchRequest {
            replica_id,
            replica_state: ReplicaState { replica_id, replica_epoch },
            max_wait_ms: limits.max_wait_ms.min(paused),
            min_bytes: limits.min_bytes,
            max_bytes: limits.response_max_bytes,
            ..self.session.ask(wanted, uses_ids)
        };
        Next::Fetch(request, version)
    }

    /// When the first of the partitions that pause may go on.
    fn next_pause(&self, now: Millis) -> Option<Millis> {
        let paused = self.partitions.values().filter(|progress| !progress.given_up);
        paused.map(|progress| progress.pause.until).filter(|until| *until > now).min()
    }

    /// Takes an answer to the last Fetch.
    pub fn fetched(&mut self, response: FetchResponse, limits: &Limits, now: Millis) -> Vec<Todo> {
        if !self.session.answered(&response) {
            // What is wrong with a session is cured by a new one; anything else may take time.
            let is_session = matches!(
                ErrorCode(response.error_code),
                ErrorCode::FETCH_SESSION_ID_NOT_FOUND
                    | ErrorCode::INVALID_FETCH_SESSION_EPOCH
                    | ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR
            );
            if !is_session {
                self.pause.failed(now, limits.backoff_ms);
            }
            return Vec::new();
        }
        self.pause = Pause::default();
        let mut todo = Vec::new();
        for topic in response.responses {
            let name = match topic.topic_id.is_zero() {
                true => Some(Arc::from(topic.topic)),
                false => self.names.get(&topic.topic_id).cloned(),
            };
            let Some(name) = name else { continue };
            for data in topic.partitions {
                let partition = TopicPartition::new(name.clone(), data.partition_index);
                todo.extend(self.fetched_partition(partition, data, limits, now));
            }
        }
        todo
    }

    fn fetched_partition(
        &mut self,
        partition: TopicPartition,
        data: PartitionData,
        limits: &Limits,
        now: Millis,
    ) -> Option<Todo> {
        let asked = *self.session.asked(&partition)?;
        let progress = self.partitions.get_mut(&partition)?;
        if progress.leader_epoch != asked.leader_epoch || progress.given_up {
            return None;
        }
        let of = Following { partition, leader_epoch: asked.leader_epoch };
        match ErrorCode(data.error_code) {
            ErrorCode::NONE if data.diverging_epoch.epoch >= 0 => {
                let diverging = data.diverging_epoch;
                Some(Todo::Truncate { of, epoch: diverging.epoch, end_offset: diverging.end_offset })
            }
            ErrorCode::NONE => {
                progress.pause = Pause::default();
                Some(Todo::Append {
                    of,
                    fetch_offset: asked.fetch_offset,
                    records: data.records.unwrap_or_default(),
                    high_watermark: data.high_watermark,
                    log_start_offset: data.log_start_offset,
                })
            }
            ErrorCode::OFFSET_OUT_OF_RANGE => Some(Todo::FindRange { of }),
            code => {
                progress.refused(code, now, limits);
                None
            }
        }
    }

    /// Takes an answer to the last OffsetForLeaderEpoch.
    pub fn epochs_ended(
        &mut self,
        response: OffsetForLeaderEpochResponse,
        asked: &OffsetForLeaderEpochRequest,
        limits: &Limits,
        now: Millis,
    ) -> Vec<Todo> {
        self.pause = Pause::default();
        let mut todo = Vec::new();
        for topic in response.topics {
            let questions = asked.topics.iter().filter(|question| question.topic == topic.topic);
            let questions: Vec<&OffsetForLeaderPartition> = questions.flat_map(|topic| &topic.partitions).collect();
            let name: Arc<str> = Arc::from(topic.topic.as_str());
            for end in topic.partitions {
                let partition = TopicPartition::new(name.clone(), end.partition);
                let question = questions.iter().find(|question| question.partition == end.partition);
                let (Some(question), Some(progress)) = (question, self.partitions.get_mut(&partition)) else {
                    continue;
                };
                let leader_epoch = question.current_leader_epoch;
                if progress.leader_epoch != leader_epoch || progress.given_up {
                    continue;
                }
                let of = Following { partition, leader_epoch };
                match ErrorCode(end.error_code) {
                    ErrorCode::NONE => {
                        todo.push(Todo::Truncate { of, epoch: end.leader_epoch, end_offset: end.end_offset })
                    }
                    code => progress.refused(code, now, limits),
                }
            }
        }
        todo
    }

    /// The leader could not be asked, or did not answer.
    pub fn unanswered(&mut self, limits: &Limits, now: Millis) {
        self.session.begin_again();
        self.pause.failed(now, limits.backoff_ms);
    }

    /// The answer to the last request is waited for no longer, for reasons of our own.
    pub fn interrupted(&mut self) {
        self.session.begin_again();
    }

    /// What became of something to do.
    pub fn done(&mut self, of: &Following, done: Done, limits: &Limits, now: Millis) {
        let Some(progress) = self.partitions.get_mut(&of.partition) else { return };
        if progress.leader_epoch != of.leader_epoch {
            return;
        }
        match done {
            Done::Went => progress.pause = Pause::default(),
            Done::Failed => progress.pause.failed(now, limits.backoff_ms),
            Done::GaveUp => progress.given_up = true,
        }
    }

    /// The log was cut to the leader's; with `complete` nothing of it differs any more.
    pub fn truncated(&mut self, of: &Following, complete: bool) {
        if let Some(progress) = self.partitions.get_mut(&of.partition)
            && progress.leader_epoch == of.leader_epoch
        {
            progress.must_compare &= !complete;
        }
    }
}

impl Progress {
    fn refused(&mut self, code: ErrorCode, now: Millis, limits: &Limits) {
        match code {
            // The leader is of a later epoch than ours: the controller is about to tell us too.
            ErrorCode::FENCED_LEADER_EPOCH => self.given_up = true,
            _ => self.pause.failed(now, limits.backoff_ms),
        }
    }
}

fn end_of_epochs(limits: &Limits, compared: &[(&TopicPartition, i32, i32)]) -> OffsetForLeaderEpochRequest {
    let mut topics: Vec<OffsetForLeaderTopic> = Vec::new();
    for (partition, current_leader_epoch, leader_epoch) in compared {
        let (current_leader_epoch, leader_epoch) = (*current_leader_epoch, *leader_epoch);
        let asked = OffsetForLeaderPartition { partition: partition.partition, current_leader_epoch, leader_epoch };
        match topics.last_mut() {
            Some(last) if *last.topic == *partition.topic => last.partitions.push(asked),
            _ => topics.push(OffsetForLeaderTopic { topic: partition.topic.to_string(), partitions: vec![asked] }),
        }
    }
    OffsetForLeaderEpochRequest { replica_id: limits.replica_id, topics }
}

#[cfg(test)]
mod tests;
