//! One group of the classic protocol, as a value: it takes what a member sent or what the clock says, and tells what
//! to answer and what to store. No I/O, no clock, no randomness: they are arguments.
//!
//! ```text
//! Empty ──join──▶ PreparingRebalance ──all joined, or time is up──▶ CompletingRebalance ──leader's sync──▶ Stable
//!   ▲                   ▲  │ nobody left                                  │  a member joins, leaves, expires   │
//!   └───────────────────┼──┘◀────────────────────────────────────────────┴────────────────────────────────────┘
//! ```
//!
//! [`join`] takes members in, [`sync`] gives them their assignments and hears from them, [`rebalance`] goes from one
//! generation to the next.
//!
//! Source: `GroupCoordinator`, `GroupMetadata` of Apache Kafka 3.9 (ZooKeeper mode); KIP-62 (rebalance time-out),
//! KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member id required), KIP-800 (reasons).

mod join;
mod rebalance;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use super::offsets::Expiry;
use super::records::{GroupMetadataValue, MemberMetadata, Record};
use crate::wire::messages::join_group::JoinGroupResponseMember;
use crate::wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use crate::wire::{Bytes, ErrorCode};

/// Names a request that waits for its answer; the shell gives it out.
pub type Token = u64;

/// What has to happen now.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    AnswerJoin {
        token: Token,
        response: JoinGroupResponse,
    },
    AnswerSync {
        token: Token,
        response: SyncGroupResponse,
    },
    /// Append these to the log. For `Stored::Assignment` the outcome comes back through [`ClassicGroup::assignment_stored`].
    Store {
        record: Record,
        then: Stored,
    },
}

/// What waits for a record to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// The answers to this generation's syncs.
    Assignment {
        generation_id: i32,
    },
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    Dead,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
            State::Dead => "Dead",
        }
    }
}

/// The broker's keys that shape groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i64,
    /// `group.min.session.timeout.ms`, `group.max.session.timeout.ms`
    pub session_timeout_ms_min: i32,
    pub session_timeout_ms_max: i32,
    /// `group.max.size`
    pub size_max: usize,
}

/// Who sends a join: what is not in the request itself.
#[derive(Clone, Debug)]
pub struct Joiner {
    pub client_id: String,
    /// As Java prints an address: `/127.0.0.1`.
    pub client_host: String,
    /// What makes a new member id unique: a random UUID.
    pub unique: String,
    /// The version of the request; it decides what the member can do.
    pub version: i16,
}

/// A member that never finished its first rebalance is kept this long without a heartbeat, ms
/// (`GroupCoordinator.NewMemberJoinTimeoutMs`).
const NEW_MEMBER_JOIN_TIMEOUT_MS: i64 = 5 * 60 * 1000;

/// A group of the classic protocol: its members, and the generation they are in.
#[derive(Clone, Debug)]
pub struct ClassicGroup {
    pub group_id: String,
    state: State,
    state_since_ms: i64,
    generation_id: i32,
    protocol_type: Option<String>,
    protocol_name: Option<String>,
    leader: Option<String>,
    members: BTreeMap<String, Member>,
    /// Member ids that were given out and have not come back yet, with the time by which they must.
    pending_members: BTreeMap<String, i64>,
    /// group.instance.id → member id.
    static_members: BTreeMap<String, String>,
    /// Members of this generation that have not synced yet.
    pending_sync: BTreeSet<String>,
    join: Option<JoinPhase>,
    sync_deadline_ms: Option<i64>,
    /// Topics that the members of a `consumer` group are subscribed to; None: not known, or not that protocol.
    subscribed_topics: Option<BTreeSet<String>>,
    joined: u64,
}

#[derive(Clone, Debug)]
struct Member {
    member_id: String,
    group_instance_id: Option<String>,
    client_id: String,
    client_host: String,
    session_timeout_ms: i32,
    rebalance_timeout_ms: i32,
    protocols: Vec<(String, Bytes)>,
    assignment: Bytes,
    /// Orders members by when they came: the longest member leads.
    joined: u64,
    /// True until its first rebalance is complete.
    is_new: bool,
    awaiting_join: Option<Token>,
    awaiting_sync: Option<Token>,
    session_deadline_ms: i64,
}

/// The wait for all members to join.
#[derive(Clone, Copy, Debug)]
struct JoinPhase {
    deadline_ms: i64,
    /// A group's first rebalance is put off for members that arrive (KIP-134).
    initial: Option<InitialDelay>,
    member_added: bool,
}

#[derive(Clone, Copy, Debug)]
struct InitialDelay {
    /// `group.initial.rebalance.delay.ms`
    step_ms: i64,
    /// How much longer it may still be put off.
    remaining_ms: i64,
}

impl ClassicGroup {
    pub fn new(group_id: impl Into<String>, now_ms: i64) -> ClassicGroup {
        ClassicGroup {
            group_id: group_id.into(),
            state: State::Empty,
            state_since_ms: now_ms,
            generation_id: 0,
            protocol_type: None,
            protocol_name: None,
            leader: None,
            members: BTreeMap::new(),
            pending_members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            join: None,
            sync_deadline_ms: None,
            subscribed_topics: None,
            joined: 0,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn generation_id(&self) -> i32 {
        self.generation_id
    }

    /// Empty for a group that only ever committed offsets.
    pub fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    pub fn protocol_name(&self) -> &str {
        self.protocol_name.as_deref().unwrap_or_default()
    }

    pub fn has_members(&self) -> bool {
        !self.members.is_empty() || !self.pending_members.is_empty()
    }

    /// How many members there are, without those that have yet to come back with the id they were given.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Every member as it is stored, with all the protocols that it knows. Before a protocol was chosen its first one
    /// stands for it.
    pub fn members_with_protocols(&self) -> Vec<(MemberMetadata, Vec<(String, Bytes)>)> {
        let each = self.members.values().map(|member| {
            let first = member.protocols.first().map(|(name, _)| name.as_str()).unwrap_or_default();
            let chosen = self.protocol_name.as_deref().unwrap_or(first);
            (member.stored(chosen), member.protocols.clone())
        });
        each.collect()
    }

    /// All the protocols that a member knows: the log keeps the chosen one alone.
    pub fn set_protocols(&mut self, member_id: &str, protocols: Vec<(String, Bytes)>) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.protocols = protocols;
        }
    }

    /// Has the members join again, because the group came to be in another way than by a rebalance.
    pub fn begin_rebalance(&mut self, now_ms: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        self.prepare_rebalance(0, now_ms, &mut actions);
        actions
    }

    /// Members as DescribeGroups shows them. Subscriptions are told only when the group has agreed on a protocol.
    pub fn described_members(&self) -> Vec<MemberMetadata> {
        let settled = self.state == State::Stable;
        let protocol = self.protocol_name().to_owned();
        let mut members: Vec<&Member> = self.members.values().collect();
        members.sort_by_key(|member| member.joined);
        let stored = members.into_iter().map(|member| {
            let mut stored = member.stored(&protocol);
            if !settled {
                (stored.subscription, stored.assignment) = (Bytes::new(), Bytes::new());
            }
            stored
        });
        stored.collect()
    }

    /// Whether a member is subscribed to `topic`, so that its offsets must not be deleted.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match (&self.subscribed_topics, self.state) {
            (_, State::Empty | State::Dead) => false,
            (Some(topics), _) => topics.contains(topic),
            // A subscription that cannot be read may be to anything.
            (None, _) => true,
        }
    }

    // ------------------------------------------------------------------ what the clock says

    /// The next time at which [`ClassicGroup::tick`] has something to do, ms since 1970.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let sessions = self.members.values().filter(|member| member.may_expire()).map(|m| m.session_deadline_ms);
        let pending = self.pending_members.values().copied();
        let phases = self.join.map(|join| join.deadline_ms).into_iter().chain(self.sync_deadline_ms);
        sessions.chain(pending).chain(phases).min()
    }

    /// Does what is due: sessions that ended, a join or sync phase whose time is up.
    pub fn tick(&mut self, now_ms: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        self.pending_members.retain(|_, deadline| *deadline > now_ms);
        let expired = |member: &&Member| member.may_expire() && member.session_deadline_ms <= now_ms;
        let expired: Vec<String> = self.members.values().filter(expired).map(|m| m.member_id.clone()).collect();
        for member_id in expired {
            self.remove_member(&member_id, now_ms, &mut actions);
        }
        if self.sync_deadline_ms.is_some_and(|deadline| deadline <= now_ms) {
            self.sync_deadline_ms = None;
            let late: Vec<String> = std::mem::take(&mut self.pending_sync).into_iter().collect();
            for member_id in late {
                self.remove_member(&member_id, now_ms, &mut actions);
            }
        }
        self.maybe_complete_join(now_ms, &mut actions);
        if let Some(join) = self.join
            && join.deadline_ms <= now_ms
        {
            self.join_time_is_up(join, now_ms, &mut actions);
        }
        actions
    }

    fn join_time_is_up(&mut self, join: JoinPhase, now_ms: i64, actions: &mut Vec<Action>) {
        match join.initial {
            // While members keep arriving, a new group waits for more of them.
            Some(InitialDelay { step_ms, remaining_ms }) if join.member_added && step_ms.min(remaining_ms) > 0 => {
                let delay = step_ms.min(remaining_ms);
                let initial = Some(InitialDelay { step_ms, remaining_ms: remaining_ms - delay });
                self.join = Some(JoinPhase { deadline_ms: now_ms + delay, initial, member_added: false });
            }
            _ => self.complete_join(now_ms, actions),
        }
    }

    // ------------------------------------------------------------------ answers

    fn join_response(&self, member_id: &str) -> JoinGroupResponse {
        let leader = self.leader.clone().unwrap_or_default();
        let name = self.protocol_name();
        let members = if leader == member_id {
            let mut members: Vec<&Member> = self.members.values().collect();
            members.sort_by_key(|member| member.joined);
            let listed = members.into_iter().map(|member| JoinGroupResponseMember {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id.clone(),
                metadata: member.metadata(name).cloned().unwrap_or_default(),
            });
            listed.collect()
        } else {
            Vec::new()
        };
        JoinGroupResponse {
            generation_id: self.generation_id,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader,
            member_id: member_id.to_owned(),
            members,
            ..Default::default()
        }
    }

    fn answer_sync(&self, token: Token, assignment: Bytes) -> Action {
        let response = SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment,
            ..Default::default()
        };
        Action::AnswerSync { token, response }
    }

    // ------------------------------------------------------------------ what is stored

    /// The group as it is now, for the log.
    fn record(&self) -> Record {
        let protocol = self.protocol_name();
        let mut members: Vec<&Member> = self.members.values().collect();
        members.sort_by_key(|member| member.joined);
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type().to_owned(),
            generation: self.generation_id,
            protocol: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since_ms,
            members: members.into_iter().map(|member| member.stored(protocol)).collect(),
        };
        Record::Group { group_id: self.group_id.clone(), value: Some(value) }
    }

    /// Takes over a generation that was read from the log. Members get a full session to show themselves.
    pub fn replay_metadata(&mut self, stored: GroupMetadataValue, now_ms: i64) {
        *self = ClassicGroup::new(std::mem::take(&mut self.group_id), now_ms);
        self.generation_id = stored.generation;
        self.protocol_type = Some(stored.protocol_type).filter(|kind| !kind.is_empty());
        self.protocol_name = stored.protocol.clone();
        self.leader = stored.leader;
        for member in stored.members {
            self.joined += 1;
            if let Some(instance) = &member.group_instance_id {
                self.static_members.insert(instance.clone(), member.member_id.clone());
            }
            let restored = Member {
                member_id: member.member_id.clone(),
                group_instance_id: member.group_instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                session_timeout_ms: member.session_timeout,
                // Version 0 of the value has none: the session's is it.
                rebalance_timeout_ms: match member.rebalance_timeout {
                    ..0 => member.session_timeout,
                    given => given,
                },
                protocols: vec![(stored.protocol.clone().unwrap_or_default(), member.subscription)],
                assignment: member.assignment,
                joined: self.joined,
                is_new: false,
                awaiting_join: None,
                awaiting_sync: None,
                session_deadline_ms: now_ms + i64::from(member.session_timeout),
            };
            self.members.insert(member.member_id, restored);
        }
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        if stored.current_state_timestamp >= 0 {
            self.state_since_ms = stored.current_state_timestamp;
        }
        self.subscribed_topics = self.read_subscriptions();
    }

    /// When offsets of this group expire.
    pub fn expiry(&self) -> Expiry {
        match self.state {
            State::Empty if self.protocol_type.is_some() => Expiry::SinceEmpty(self.state_since_ms),
            State::Empty => Expiry::SinceCommit,
            State::Stable if self.subscribed_topics.is_some() => Expiry::SinceCommit,
            _ => Expiry::Never,
        }
    }

    /// Ends the group: it was deleted, or its coordinator moved. Whoever waits is told `error`.
    pub fn shut(&mut self, error: ErrorCode, now_ms: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        for member in self.members.values_mut() {
            if let Some(token) = member.awaiting_join.take() {
                actions.push(refuse_join(token, error, member.member_id.clone()));
            }
            if let Some(token) = member.awaiting_sync.take() {
                actions.push(refuse_sync(token, error));
            }
        }
        self.join = None;
        self.transition(State::Dead, now_ms);
        actions
    }
}

impl Member {
    fn metadata(&self, protocol: &str) -> Option<&Bytes> {
        self.protocols.iter().find(|(name, _)| name == protocol).map(|(_, metadata)| metadata)
    }

    fn has_protocols(&self, request: &JoinGroupRequest) -> bool {
        let same = |((name, metadata), asked): (
            &(String, Bytes),
            &crate::wire::messages::join_group::JoinGroupRequestProtocol,
        )| { *name == asked.name && *metadata == asked.metadata };
        self.protocols.len() == request.protocols.len() && self.protocols.iter().zip(&request.protocols).all(same)
    }

    /// A member that waits for the others is not expected to heartbeat; a new one all the same, for it may be gone.
    fn may_expire(&self) -> bool {
        self.is_new || (self.awaiting_join.is_none() && self.awaiting_sync.is_none())
    }

    fn stored(&self, protocol: &str) -> MemberMetadata {
        MemberMetadata {
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout: self.rebalance_timeout_ms,
            session_timeout: self.session_timeout_ms,
            subscription: self.metadata(protocol).cloned().unwrap_or_default(),
            assignment: self.assignment.clone(),
        }
    }
}

fn protocols(request: &JoinGroupRequest) -> Vec<(String, Bytes)> {
    request.protocols.iter().map(|protocol| (protocol.name.clone(), protocol.metadata.clone())).collect()
}

/// JoinGroup 0 has no rebalance time-out of its own: the session's is it.
fn rebalance_timeout_ms(request: &JoinGroupRequest, version: i16) -> i32 {
    if version == 0 || request.rebalance_timeout_ms < 0 {
        request.session_timeout_ms
    } else {
        request.rebalance_timeout_ms
    }
}

fn refuse_join(token: Token, error: ErrorCode, member_id: String) -> Action {
    let response = JoinGroupResponse { error_code: error.0, member_id, protocol_name: None, ..Default::default() };
    Action::AnswerJoin { token, response }
}

fn refuse_sync(token: Token, error: ErrorCode) -> Action {
    Action::AnswerSync { token, response: SyncGroupResponse { error_code: error.0, ..Default::default() } }
}

#[cfg(test)]
mod tests;
