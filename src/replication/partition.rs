//! One partition as this broker holds it: leader or follower, in-sync replicas, high watermark. A value: it is told
//! what happened and says what must be done; files, sockets and clock are the manager's.
//!
//! The high watermark of a leader is the least log end among the in-sync replicas, and those about to be; it stands
//! still while fewer than `min.insync.replicas` are in sync, and never goes back.
//!
//! Source: `Partition`, `Replica`, `PartitionState` of Apache Kafka 3.9; KIP-101, KIP-279, KIP-392, KIP-497.

use std::collections::BTreeMap;

use crate::wire::ErrorCode;

/// Milliseconds since 1970, or since any other moment as long as it is the same for one partition.
pub type Millis = i64;

/// Says "not known": the log end of a replica that has not fetched yet, an epoch that was not given.
const UNKNOWN: i64 = -1;
const NO_EPOCH: i32 = -1;
/// When a follower was last in sync that never was.
const LONG_AGO: Millis = Millis::MIN / 2;

/// What the controller decided about a partition: one partition state of LeaderAndIsr.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderAndIsr {
    pub controller_epoch: i32,
    /// -1: none.
    pub leader: i32,
    pub leader_epoch: i32,
    pub isr: Vec<i32>,
    /// The version of the partition's state znode.
    pub partition_epoch: i32,
    pub replicas: Vec<i32>,
    pub adding_replicas: Vec<i32>,
    pub removing_replicas: Vec<i32>,
}

/// What configs say about how this partition is replicated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `min.insync.replicas` of the topic.
    pub min_insync_replicas: usize,
    /// `replica.lag.time.max.ms` of the broker.
    pub replica_lag_time_max_ms: Millis,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { min_insync_replicas: 1, replica_lag_time_max_ms: 30_000 }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Our own log ends here now (leader: after an append).
    Appended { log_end_offset: i64 },
    /// A follower asks for what comes after its log's end.
    FollowerFetched {
        replica: i32,
        fetch_offset: i64,
        log_start_offset: i64,
        /// Whether the follower is a live broker, as far as we know: others cannot join the ISR.
        is_alive: bool,
    },
    /// We follow, and have appended what the leader sent with its high watermark.
    Followed { log_end_offset: i64, leader_high_watermark: i64 },
    /// These brokers are dead.
    Died(Vec<i32>),
    /// Time to look for followers that lag.
    CheckLag,
    /// The controller accepted a proposed ISR (or says what holds instead).
    IsrAccepted { leader_epoch: i32, isr: Vec<i32>, partition_epoch: i32 },
    /// The controller refused; with `give_up` only a new LeaderAndIsr can bring news.
    IsrRefused { leader_epoch: i32, give_up: bool },
}

/// What must be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The high watermark is this: tell the log, wake who waits.
    HighWatermark(i64),
    /// Ask the controller for this ISR.
    ProposeIsr { isr: Vec<i32>, leader_epoch: i32, partition_epoch: i32 },
    /// We lead from `start_offset` on: note it in the log's leader epochs, accept appends.
    Lead { leader_epoch: i32, start_offset: i64 },
    /// We follow: fetch from `leader`; None: nobody leads now.
    Follow { leader: Option<i32>, leader_epoch: i32 },
}

/// The state of one partition on this broker.
#[derive(Clone, Debug)]
pub struct Partition {
    broker_id: i32,
    limits: Limits,
    role: Role,
    controller_epoch: i32,
    leader_epoch: i32,
    partition_epoch: i32,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    log_end_offset: i64,
    high_watermark: i64,
}

#[derive(Clone, Debug)]
enum Role {
    /// The controller has not said anything yet.
    Undecided,
    Leader(Leadership),
    Follower {
        leader: Option<i32>,
    },
}

/// What only a leader knows.
#[derive(Clone, Debug, Default)]
struct Leadership {
    /// The first of the leader epochs, one after another, in which this broker leads.
    since_epoch: i32,
    /// Where the log ended when this epoch began.
    start_offset: i64,
    followers: BTreeMap<i32, Follower>,
    /// A proposed ISR that the controller has not answered yet.
    pending_isr: Option<Vec<i32>>,
}

/// A follower as its fetches show it.
#[derive(Clone, Copy, Debug)]
struct Follower {
    log_end_offset: i64,
    log_start_offset: i64,
    /// When it last had everything that we had.
    last_caught_up: Millis,
    last_fetch: Millis,
    /// Where our log ended at its last fetch.
    leader_end_at_last_fetch: i64,
    /// As far as the controller has told: nobody waits for the dead to join the ISR.
    is_alive: bool,
}

impl Follower {
    fn unknown(last_caught_up: Millis) -> Follower {
        Follower {
            log_end_offset: UNKNOWN,
            log_start_offset: UNKNOWN,
            last_caught_up,
            last_fetch: 0,
            leader_end_at_last_fetch: 0,
            is_alive: false,
        }
    }

    fn fetched(&mut self, fetch_offset: i64, log_start_offset: i64, leader_end: i64, now: Millis) {
        if fetch_offset >= leader_end {
            self.last_caught_up = self.last_caught_up.max(now);
        } else if fetch_offset >= self.leader_end_at_last_fetch {
            self.last_caught_up = self.last_caught_up.max(self.last_fetch);
        }
        self.log_end_offset = fetch_offset;
        self.log_start_offset = log_start_offset;
        self.leader_end_at_last_fetch = leader_end;
        self.last_fetch = now;
    }

    fn is_caught_up(&self, leader_end: i64, now: Millis, lag_max: Millis) -> bool {
        self.log_end_offset == leader_end || now - self.last_caught_up <= lag_max
    }
}

impl Partition {
    /// A partition of which the log says where it ends and which high watermark was checkpointed.
    pub fn new(broker_id: i32, log_end_offset: i64, high_watermark: i64) -> Partition {
        Partition {
            broker_id,
            limits: Limits::default(),
            role: Role::Undecided,
            controller_epoch: 0,
            leader_epoch: NO_EPOCH,
            partition_epoch: NO_EPOCH,
            replicas: Vec::new(),
            isr: Vec::new(),
            log_end_offset,
            high_watermark: high_watermark.min(log_end_offset),
        }
    }

    /// Takes what configs say now.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Who leads, as far as we were told.
    pub fn leader(&self) -> Option<i32> {
        match self.role {
            Role::Undecided => None,
            Role::Leader(_) => Some(self.broker_id),
            Role::Follower { leader } => leader,
        }
    }

    /// -1 before the controller has spoken.
    pub fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    pub fn isr(&self) -> &[i32] {
        &self.isr
    }

    pub fn replicas(&self) -> &[i32] {
        &self.replicas
    }

    pub fn high_watermark(&self) -> i64 {
        self.high_watermark
    }

    pub fn log_end_offset(&self) -> i64 {
        self.log_end_offset
    }

    /// Whether a new leader has not yet learnt that its followers have what it had: offsets could seem to go back.
    pub fn is_high_watermark_behind_epoch(&self) -> bool {
        match &self.role {
            Role::Leader(leadership) => self.high_watermark < leadership.start_offset,
            _ => false,
        }
    }

    /// Whether we lead, in the epoch that the client believes in (None: it does not say).
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`, `NOT_LEADER_OR_FOLLOWER`.
    pub fn check_leader(&self, current_leader_epoch: Option<i32>) -> Result<(), ErrorCode> {
        self.check_epoch(current_leader_epoch)?;
        if self.is_leader() { Ok(()) } else { Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) }
    }

    /// As [`Partition::check_leader`], for reads that any replica may answer.
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH`, `UNKNOWN_LEADER_EPOCH`, `NOT_LEADER_OR_FOLLOWER` while we are told nothing.
    pub fn check_replica(&self, current_leader_epoch: Option<i32>) -> Result<(), ErrorCode> {
        self.check_epoch(current_leader_epoch)?;
        if matches!(self.role, Role::Undecided) { Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) } else { Ok(()) }
    }

    fn check_epoch(&self, current: Option<i32>) -> Result<(), ErrorCode> {
        match current {
            Some(epoch) if epoch < self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            Some(epoch) if epoch > self.leader_epoch => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
            _ => Ok(()),
        }
    }

    /// Whether so few replicas are in sync that an append with acks=all is refused.
    ///
    /// # Errors
    /// `NOT_ENOUGH_REPLICAS`.
    pub fn check_enough_replicas(&self) -> Result<(), ErrorCode> {
        if self.is_under_min_isr() { Err(ErrorCode::NOT_ENOUGH_REPLICAS) } else { Ok(()) }
    }

    fn is_under_min_isr(&self) -> bool {
        self.isr.len() < self.min_isr()
    }

    fn min_isr(&self) -> usize {
        // A topic cannot ask for more replicas than it has.
        self.limits.min_insync_replicas.min(self.replicas.len())
    }

    /// How an append with acks=all stands that was made in `leader_epoch`, and whose last record lies before
    /// `required_offset`: false while it waits.
    ///
    /// # Errors
    /// `NOT_LEADER_OR_FOLLOWER` if we have not led ever since, so that the records may be others' by now;
    /// `NOT_ENOUGH_REPLICAS_AFTER_APPEND`.
    pub fn is_replicated(&self, required_offset: i64, leader_epoch: i32) -> Result<bool, ErrorCode> {
        let Role::Leader(leadership) = &self.role else { return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER) };
        if leader_epoch < leadership.since_epoch {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        if self.high_watermark < required_offset {
            return Ok(false);
        }
        // Who is about to join has it too.
        let maximal = leadership.pending_isr.as_ref().map_or(0, Vec::len).max(self.isr.len());
        if maximal < self.min_isr() { Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND) } else { Ok(true) }
    }

    /// The followers in sync from which a consumer may read at `fetch_offset`: with their log's end, the one that
    /// caught up last behind the others of the same.
    pub fn readable_followers(&self, fetch_offset: i64) -> Vec<(i32, i64)> {
        let Role::Leader(leadership) = &self.role else { return Vec::new() };
        let can_serve = |id: &i32, follower: &Follower| {
            self.isr.contains(id) && (follower.log_start_offset..=follower.log_end_offset).contains(&fetch_offset)
        };
        let mut readable: Vec<(&i32, &Follower)> =
            leadership.followers.iter().filter(|(id, follower)| can_serve(id, follower)).collect();
        readable.sort_by_key(|(_, follower)| follower.last_caught_up);
        readable.into_iter().map(|(id, follower)| (*id, follower.log_end_offset)).collect()
    }

    /// The least log start among the replicas that live: what lies below is gone everywhere.
    pub fn low_watermark(&self, own_log_start: i64, is_alive: impl Fn(i32) -> bool) -> i64 {
        let Role::Leader(leadership) = &self.role else { return own_log_start };
        let others = leadership.followers.iter().filter(|(id, _)| is_alive(**id)).map(|(_, f)| f.log_start_offset);
        others.fold(own_log_start, i64::min)
    }

    /// Takes over what the controller decided.
    ///
    /// # Errors
    /// `STALE_CONTROLLER_EPOCH` unless the leader epoch is higher than what we know: all stays as it was.
    pub fn lead_or_follow(
        &mut self,
        state: LeaderAndIsr,
        log_end_offset: i64,
        now: Millis,
    ) -> Result<Vec<Action>, ErrorCode> {
        if state.leader_epoch <= self.leader_epoch {
            return Err(ErrorCode::STALE_CONTROLLER_EPOCH);
        }
        self.controller_epoch = state.controller_epoch;
        self.leader_epoch = state.leader_epoch;
        self.partition_epoch = state.partition_epoch;
        self.replicas = state.replicas;
        self.isr = state.isr;
        self.log_end_offset = log_end_offset;
        if state.leader == self.broker_id {
            return Ok(self.lead(now));
        }
        let leader = (state.leader >= 0).then_some(state.leader);
        self.role = Role::Follower { leader };
        Ok(vec![Action::Follow { leader, leader_epoch: self.leader_epoch }])
    }

    fn lead(&mut self, now: Millis) -> Vec<Action> {
        let (since_epoch, before) = match std::mem::replace(&mut self.role, Role::Undecided) {
            Role::Leader(leadership) => (leadership.since_epoch, leadership.followers),
            _ => (self.leader_epoch, BTreeMap::new()),
        };
        // Who is in sync gets time to show it; who is not counts for nothing until it has fetched again: a dead one must
        // not hold the watermark back.
        let follower = |id: &i32| {
            let follower = match (self.isr.contains(id), before.get(id)) {
                (true, Some(known)) => Follower { last_caught_up: known.last_caught_up.max(now), ..*known },
                (true, None) => Follower::unknown(now),
                (false, _) => Follower::unknown(LONG_AGO),
            };
            (*id, follower)
        };
        let followers = self.replicas.iter().filter(|id| **id != self.broker_id).map(follower).collect();
        let start_offset = self.log_end_offset;
        self.role = Role::Leader(Leadership { since_epoch, start_offset, followers, pending_isr: None });
        let mut actions = vec![Action::Lead { leader_epoch: self.leader_epoch, start_offset: self.log_end_offset }];
        actions.extend(self.advance(now));
        actions
    }

    /// Takes one event and says what must happen now; does none of it.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Action> {
        match event {
            Event::Appended { log_end_offset } => {
                self.log_end_offset = log_end_offset;
                self.advance(now).into_iter().collect()
            }
            Event::FollowerFetched { replica, fetch_offset, log_start_offset, is_alive } => {
                self.follower_fetched(replica, fetch_offset, log_start_offset, is_alive, now)
            }
            Event::Followed { log_end_offset, leader_high_watermark } => {
                self.log_end_offset = log_end_offset;
                self.move_high_watermark(leader_high_watermark.min(log_end_offset)).into_iter().collect()
            }
            Event::Died(brokers) => self.died(&brokers, now).into_iter().collect(),
            Event::CheckLag => self.shrink_isr(now).into_iter().collect(),
            Event::IsrAccepted { leader_epoch, isr, partition_epoch } => {
                self.isr_accepted(leader_epoch, isr, partition_epoch, now)
            }
            Event::IsrRefused { leader_epoch, give_up } => {
                if let Role::Leader(leadership) = &mut self.role
                    && leader_epoch == self.leader_epoch
                    && !give_up
                {
                    // Proposed again at the next occasion.
                    leadership.pending_isr = None;
                }
                self.advance(now).into_iter().collect()
            }
        }
    }

    fn follower_fetched(
        &mut self,
        replica: i32,
        fetch_offset: i64,
        log_start_offset: i64,
        is_alive: bool,
        now: Millis,
    ) -> Vec<Action> {
        let leader_end = self.log_end_offset;
        let Role::Leader(leadership) = &mut self.role else { return Vec::new() };
        let Some(follower) = leadership.followers.get_mut(&replica) else { return Vec::new() };
        follower.fetched(fetch_offset, log_start_offset, leader_end, now);
        follower.is_alive = is_alive;
        let joins = if is_alive { self.expand_isr(replica) } else { None };
        let mut actions: Vec<Action> = joins.into_iter().collect();
        actions.extend(self.advance(now));
        actions
    }

    fn died(&mut self, brokers: &[i32], now: Millis) -> Option<Action> {
        let Role::Leader(leadership) = &mut self.role else { return None };
        let followers = leadership.followers.iter_mut().filter(|(id, _)| brokers.contains(id));
        followers.for_each(|(_, follower)| follower.is_alive = false);
        self.advance(now)
    }

    /// A follower joins once it has everything committed, and what this leader started with.
    fn expand_isr(&mut self, replica: i32) -> Option<Action> {
        let Role::Leader(leadership) = &mut self.role else { return None };
        let end = leadership.followers.get(&replica)?.log_end_offset;
        let joins = leadership.pending_isr.is_none()
            && !self.isr.contains(&replica)
            && end >= self.high_watermark
            && end >= leadership.start_offset;
        if !joins {
            return None;
        }
        let mut isr = self.isr.clone();
        isr.push(replica);
        leadership.pending_isr = Some(isr.clone());
        Some(Action::ProposeIsr { isr, leader_epoch: self.leader_epoch, partition_epoch: self.partition_epoch })
    }

    fn shrink_isr(&mut self, now: Millis) -> Option<Action> {
        let (end, lag_max) = (self.log_end_offset, self.limits.replica_lag_time_max_ms);
        let Role::Leader(leadership) = &mut self.role else { return None };
        if leadership.pending_isr.is_some() {
            return None;
        }
        let in_sync = |id: &i32| match leadership.followers.get(id) {
            None => true,
            Some(follower) => follower.is_caught_up(end, now, lag_max),
        };
        let isr: Vec<i32> = self.isr.iter().copied().filter(in_sync).collect();
        if isr.len() == self.isr.len() {
            return None;
        }
        leadership.pending_isr = Some(isr.clone());
        Some(Action::ProposeIsr { isr, leader_epoch: self.leader_epoch, partition_epoch: self.partition_epoch })
    }

    fn isr_accepted(&mut self, leader_epoch: i32, isr: Vec<i32>, partition_epoch: i32, now: Millis) -> Vec<Action> {
        // The same partition epoch: the ISR was like this already.
        if leader_epoch != self.leader_epoch || partition_epoch < self.partition_epoch {
            return Vec::new();
        }
        let Role::Leader(leadership) = &mut self.role else { return Vec::new() };
        leadership.pending_isr = None;
        self.isr = isr;
        self.partition_epoch = partition_epoch;
        self.advance(now).into_iter().collect()
    }

    /// Raises a leader's high watermark as far as the in-sync replicas allow.
    fn advance(&mut self, now: Millis) -> Option<Action> {
        let Role::Leader(leadership) = &self.role else { return None };
        if self.is_under_min_isr() {
            return None;
        }
        let (end, lag_max) = (self.log_end_offset, self.limits.replica_lag_time_max_ms);
        // Until the controller has answered, the watermark suits both the old and the proposed ISR.
        let counts = |id: &i32, follower: &Follower| {
            let proposed = leadership.pending_isr.as_ref().is_some_and(|isr| isr.contains(id));
            let is_joining = follower.is_alive && now - follower.last_caught_up <= lag_max;
            proposed || self.isr.contains(id) || is_joining
        };
        let counted = leadership.followers.iter().filter(|(id, follower)| counts(id, follower));
        let committed = counted.map(|(_, follower)| follower.log_end_offset).fold(end, i64::min);
        self.move_high_watermark(committed)
    }

    fn move_high_watermark(&mut self, to: i64) -> Option<Action> {
        if to <= self.high_watermark {
            return None;
        }
        self.high_watermark = to;
        Some(Action::HighWatermark(to))
    }

    /// This broker's part ends; only a higher leader epoch brings it back.
    pub fn stop(&mut self) {
        self.role = Role::Undecided;
    }

    /// Whether we follow a leader in this epoch.
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH` in another epoch, `NOT_LEADER_OR_FOLLOWER` if we follow nobody.
    pub fn check_follows(&self, leader_epoch: i32) -> Result<(), ErrorCode> {
        match self.role {
            _ if leader_epoch != self.leader_epoch => Err(ErrorCode::FENCED_LEADER_EPOCH),
            Role::Follower { leader: Some(_) } => Ok(()),
            _ => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        }
    }

    /// The log was cut or begun anew (a follower's, to be like its leader's): it ends here now, and this is what is
    /// left of its high watermark.
    pub fn truncated(&mut self, log_end_offset: i64, high_watermark: i64) {
        self.log_end_offset = log_end_offset;
        self.high_watermark = high_watermark.min(log_end_offset);
    }
}

/// Where the log of one who asks, whose last record has the epoch `last_fetched_epoch`, ceases to be like ours, in
/// which that epoch ends at `known` (the largest not above it, and its end). None: it does not.
///
/// # Errors
/// `OFFSET_OUT_OF_RANGE` if we know nothing of the epoch.
///
/// Source: `Partition.readRecords`; KIP-595.
pub fn diverging_epoch(
    last_fetched_epoch: i32,
    fetch_offset: i64,
    known: Option<(i32, i64)>,
) -> Result<Option<(i32, i64)>, ErrorCode> {
    let (epoch, end_offset) = known.ok_or(ErrorCode::OFFSET_OUT_OF_RANGE)?;
    Ok((epoch < last_fetched_epoch || end_offset < fetch_offset).then_some((epoch, end_offset)))
}

/// Where a follower cuts its log to be like the leader's, of which `epoch` ends at `end_offset` (-1 each: unknown).
/// `own_end`: the largest epoch not above it that the follower has, and its end. True: nothing differs any more.
///
/// Source: `AbstractFetcherThread.getOffsetTruncationState`; KIP-279.
pub fn truncation_point(epoch: i32, end_offset: i64, own_end: Option<(i32, i64)>, high_watermark: i64) -> (i64, bool) {
    match own_end {
        // The leader knows less than any epoch: only what is committed is sure.
        _ if end_offset < 0 => (high_watermark, true),
        Some((own_epoch, own_end)) if epoch >= 0 => (own_end.min(end_offset), own_epoch == epoch),
        _ => (end_offset, true),
    }
}

#[cfg(test)]
mod tests;
