//! One group of the classic protocol, as a value: it takes what a member sent or what the clock says, and tells what
//! to answer and what to store. No I/O, no clock, no randomness: they are arguments.
//!
//! ```text
//! Empty ──join──▶ PreparingRebalance ──all joined, or time is up──▶ CompletingRebalance ──leader's sync──▶ Stable
//!   ▲                   ▲  │ nobody left                                  │  a member joins, leaves, expires   │
//!   └───────────────────┼──┘◀────────────────────────────────────────────┴────────────────────────────────────┘
//! ```
//!
//! Source: `GroupCoordinator`, `GroupMetadata` of Apache Kafka 3.9 (ZooKeeper mode); KIP-62 (rebalance time-out),
//! KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member id required), KIP-800 (reasons).

use std::collections::{BTreeMap, BTreeSet};

use super::records::{GroupMetadata, OffsetAndMetadata, Record, StoredMember};
use crate::wire::codec::Field;
use crate::wire::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use crate::wire::messages::join_group::JoinGroupResponseMember;
use crate::wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};
use crate::wire::{Bytes, ErrorCode, Reader, TopicPartition};

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
    /// Append these to the log. For `Stored::Assignment` the outcome comes back through [`Group::assignment_stored`].
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

/// A group: its members, and the offsets it committed.
#[derive(Clone, Debug)]
pub struct Group {
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
    offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// Offsets of transactions that have not ended yet, by producer id.
    pending_offsets: BTreeMap<i64, BTreeMap<TopicPartition, OffsetAndMetadata>>,
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

impl Group {
    pub fn new(group_id: impl Into<String>, now_ms: i64) -> Group {
        Group {
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
            offsets: BTreeMap::new(),
            pending_offsets: BTreeMap::new(),
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

    pub fn offsets(&self) -> &BTreeMap<TopicPartition, OffsetAndMetadata> {
        &self.offsets
    }

    /// Members as DescribeGroups shows them. Subscriptions are told only when the group has agreed on a protocol.
    pub fn described_members(&self) -> Vec<StoredMember> {
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

    // ------------------------------------------------------------------ what members send

    /// JoinGroup. Its answer comes, now or later, as `AnswerJoin` with `token`.
    pub fn join(
        &mut self,
        token: Token,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        settings: &Settings,
        now_ms: i64,
    ) -> Vec<Action> {
        match self.try_join(token, request, joiner, settings, now_ms) {
            Ok(actions) => actions,
            Err((error, member_id)) => vec![refuse_join(token, error, member_id)],
        }
    }

    fn try_join(
        &mut self,
        token: Token,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Vec<Action>, (ErrorCode, String)> {
        let member_id = request.member_id.as_str();
        let refuse = |error: ErrorCode| Err((error, member_id.to_owned()));
        let session_range = settings.session_timeout_ms_min..=settings.session_timeout_ms_max;
        if !session_range.contains(&request.session_timeout_ms) {
            return refuse(ErrorCode::INVALID_SESSION_TIMEOUT);
        }
        if self.state == State::Dead {
            return refuse(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        if !self.has_room_for(request, settings) {
            return refuse(ErrorCode::GROUP_MAX_SIZE_REACHED);
        }
        if !self.supports(request) {
            return refuse(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        if member_id.is_empty() {
            self.join_unknown(token, request, joiner, settings, now_ms)
        } else {
            self.join_known(token, request, joiner, settings, now_ms)
        }
    }

    fn has_room_for(&self, request: &JoinGroupRequest, settings: &Settings) -> bool {
        let size = self.members.len() + self.pending_members.len();
        let is_here = self.members.contains_key(&request.member_id)
            || self.pending_members.contains_key(&request.member_id)
            || request.group_instance_id.as_ref().is_some_and(|id| self.static_members.contains_key(id));
        is_here || size < settings.size_max
    }

    /// Whether the group and the joiner have a protocol in common.
    fn supports(&self, request: &JoinGroupRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        let others: Vec<&Member> = self.members.values().filter(|m| m.member_id != request.member_id).collect();
        if self.members.is_empty() {
            return true;
        }
        let same_type = self.protocol_type.as_deref() == Some(request.protocol_type.as_str());
        same_type && request.protocols.iter().any(|p| others.iter().all(|m| m.metadata(&p.name).is_some()))
    }

    fn join_unknown(
        &mut self,
        token: Token,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Vec<Action>, (ErrorCode, String)> {
        let Some(instance) = &request.group_instance_id else {
            let new_id = format!("{}-{}", joiner.client_id, joiner.unique);
            // KIP-394: a client that can come back with its id shall, so that one whose connection broke leaves nothing.
            if joiner.version >= 4 {
                let deadline = now_ms + i64::from(request.session_timeout_ms);
                self.pending_members.insert(new_id.clone(), deadline);
                return Err((ErrorCode::MEMBER_ID_REQUIRED, new_id));
            }
            return Ok(self.add_member(new_id, token, request, joiner, settings, now_ms));
        };
        let new_id = format!("{instance}-{}", joiner.unique);
        match self.static_members.get(instance).cloned() {
            None => Ok(self.add_member(new_id, token, request, joiner, settings, now_ms)),
            Some(old_id) => Ok(self.replace_static_member(&old_id, new_id, token, request, joiner, now_ms)),
        }
    }

    fn join_known(
        &mut self,
        token: Token,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<Vec<Action>, (ErrorCode, String)> {
        let member_id = request.member_id.clone();
        if self.pending_members.remove(&member_id).is_some() {
            return Ok(self.add_member(member_id, token, request, joiner, settings, now_ms));
        }
        self.check_identity(&member_id, request.group_instance_id.as_deref())
            .map_err(|error| (error, member_id.clone()))?;
        let is_leader = self.leader.as_deref() == Some(&member_id);
        let unchanged = self.members[&member_id].has_protocols(request);
        match self.state {
            State::PreparingRebalance => Ok(self.rejoin(&member_id, token, request, now_ms)),
            // The member's answer was lost on the way: it gets it again.
            State::CompletingRebalance if unchanged => Ok(vec![self.answer_current(&member_id, token, now_ms)]),
            State::Stable if unchanged && !is_leader => Ok(vec![self.answer_current(&member_id, token, now_ms)]),
            State::CompletingRebalance | State::Stable => Ok(self.rejoin(&member_id, token, request, now_ms)),
            State::Empty | State::Dead => Err((ErrorCode::UNKNOWN_MEMBER_ID, member_id)),
        }
    }

    /// Whether `member_id` is a member, and the one that its instance id belongs to.
    fn check_identity(&self, member_id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if current != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    fn add_member(
        &mut self,
        member_id: String,
        token: Token,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        settings: &Settings,
        now_ms: i64,
    ) -> Vec<Action> {
        self.joined += 1;
        let member = Member {
            member_id: member_id.clone(),
            group_instance_id: request.group_instance_id.clone(),
            client_id: joiner.client_id.clone(),
            client_host: joiner.client_host.clone(),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: rebalance_timeout_ms(request, joiner.version),
            protocols: protocols(request),
            assignment: Bytes::new(),
            joined: self.joined,
            is_new: true,
            awaiting_join: Some(token),
            awaiting_sync: None,
            session_deadline_ms: now_ms + NEW_MEMBER_JOIN_TIMEOUT_MS,
        };
        if self.members.is_empty() {
            self.protocol_type = Some(request.protocol_type.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), member_id.clone());
        }
        self.members.insert(member_id, member);
        if let Some(join) = &mut self.join {
            join.member_added = true;
        }
        let mut actions = Vec::new();
        self.prepare_rebalance(settings.initial_rebalance_delay_ms, now_ms, &mut actions);
        actions
    }

    /// A static member came back under a new id: it takes over without a rebalance where nothing changed for others.
    fn replace_static_member(
        &mut self,
        old_id: &str,
        new_id: String,
        token: Token,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        now_ms: i64,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let Some(mut member) = self.members.remove(old_id) else { return actions };
        // Whoever still waits under the old id is not the member any more.
        if let Some(waiting) = member.awaiting_join.take() {
            actions.push(refuse_join(waiting, ErrorCode::FENCED_INSTANCE_ID, old_id.to_owned()));
        }
        if let Some(waiting) = member.awaiting_sync.take() {
            actions.push(refuse_sync(waiting, ErrorCode::FENCED_INSTANCE_ID));
        }
        let selected_before = self.protocol_name.clone();
        let old_protocols = std::mem::replace(&mut member.protocols, protocols(request));
        member.member_id = new_id.clone();
        member.client_id = joiner.client_id.clone();
        member.client_host = joiner.client_host.clone();
        member.session_timeout_ms = request.session_timeout_ms;
        member.rebalance_timeout_ms = rebalance_timeout_ms(request, joiner.version);
        member.session_deadline_ms = now_ms + i64::from(request.session_timeout_ms);
        self.members.insert(new_id.clone(), member);
        if let Some(instance) = &request.group_instance_id {
            self.static_members.insert(instance.clone(), new_id.clone());
        }
        let was_leader = self.leader.as_deref() == Some(old_id);
        if was_leader {
            self.leader = Some(new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        match self.state {
            State::Stable => {
                // Its subscription may have changed; if the choice of protocol did not, neither does the group.
                let same_choice = self.select_protocol() == selected_before;
                let same_subscription = {
                    let name = selected_before.as_deref().unwrap_or_default();
                    let old = old_protocols.iter().find(|(protocol, _)| protocol == name).map(|(_, metadata)| metadata);
                    self.members[&new_id].metadata(name) == old
                };
                if same_choice && same_subscription {
                    let mut response = self.join_response(&new_id);
                    if joiner.version >= 9 {
                        // KIP-814: the leader learns that it leads, and that there is nothing to assign.
                        response.skip_assignment = was_leader;
                    } else if was_leader {
                        // Older clients would assign again if told that they lead: they are told the old leader's id.
                        response.leader = old_id.to_owned();
                        response.members = Vec::new();
                    }
                    actions.push(Action::Store { record: self.record(), then: Stored::Nothing });
                    actions.push(Action::AnswerJoin { token, response });
                } else {
                    self.set_awaiting_join(&new_id, token);
                    self.prepare_rebalance(0, now_ms, &mut actions);
                }
            }
            State::CompletingRebalance => {
                self.set_awaiting_join(&new_id, token);
                self.prepare_rebalance(0, now_ms, &mut actions);
            }
            State::PreparingRebalance | State::Empty | State::Dead => {
                self.set_awaiting_join(&new_id, token);
                self.maybe_complete_join(now_ms, &mut actions);
            }
        }
        actions
    }

    fn set_awaiting_join(&mut self, member_id: &str, token: Token) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.awaiting_join = Some(token);
        }
    }

    /// A member joins again, with what it can do now.
    fn rejoin(&mut self, member_id: &str, token: Token, request: &JoinGroupRequest, now_ms: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(member) = self.members.get_mut(member_id) {
            member.protocols = protocols(request);
            member.session_timeout_ms = request.session_timeout_ms;
            if request.rebalance_timeout_ms >= 0 {
                member.rebalance_timeout_ms = request.rebalance_timeout_ms;
            }
            member.session_deadline_ms = member.session_deadline_ms.max(now_ms + i64::from(request.session_timeout_ms));
            if let Some(earlier) = member.awaiting_join.replace(token) {
                // The same member on a new connection: the old one will not be listened to.
                actions.push(refuse_join(earlier, ErrorCode::UNKNOWN_MEMBER_ID, member_id.to_owned()));
            }
        }
        self.prepare_rebalance(0, now_ms, &mut actions);
        actions
    }

    fn answer_current(&mut self, member_id: &str, token: Token, now_ms: i64) -> Action {
        self.touch(member_id, now_ms);
        Action::AnswerJoin { token, response: self.join_response(member_id) }
    }

    /// SyncGroup. Its answer comes, now or later, as `AnswerSync` with `token`.
    pub fn sync(&mut self, token: Token, request: &SyncGroupRequest, now_ms: i64) -> Vec<Action> {
        if let Err(error) = self.check_sync(request) {
            return vec![refuse_sync(token, error)];
        }
        let member_id = request.member_id.as_str();
        self.pending_sync.remove(member_id);
        self.touch(member_id, now_ms);
        match self.state {
            State::Empty | State::Dead => vec![refuse_sync(token, ErrorCode::UNKNOWN_MEMBER_ID)],
            State::PreparingRebalance => vec![refuse_sync(token, ErrorCode::REBALANCE_IN_PROGRESS)],
            State::Stable => {
                let assignment = self.members[member_id].assignment.clone();
                vec![self.answer_sync(token, assignment)]
            }
            State::CompletingRebalance => {
                let mut actions = Vec::new();
                if let Some(member) = self.members.get_mut(member_id)
                    && let Some(earlier) = member.awaiting_sync.replace(token)
                {
                    actions.push(refuse_sync(earlier, ErrorCode::UNKNOWN_MEMBER_ID));
                }
                if self.leader.as_deref() == Some(member_id) {
                    for member in self.members.values_mut() {
                        let given = request.assignments.iter().find(|given| given.member_id == member.member_id);
                        member.assignment = given.map(|given| given.assignment.clone()).unwrap_or_default();
                    }
                    let then = Stored::Assignment { generation_id: self.generation_id };
                    actions.push(Action::Store { record: self.record(), then });
                }
                actions
            }
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        if self.state == State::Dead {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        self.check_identity(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != self.generation_id {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let differs = |given: &Option<String>, own: &Option<String>| given.is_some() && given != own;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        Ok(())
    }

    /// The outcome of a `Store` that assignments wait for.
    pub fn assignment_stored(&mut self, generation_id: i32, outcome: ErrorCode, now_ms: i64) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.state != State::CompletingRebalance || generation_id != self.generation_id {
            // Another rebalance has begun meanwhile; whoever waited was told so.
            return actions;
        }
        if !outcome.is_ok() {
            self.fail_syncs(outcome, &mut actions);
            self.prepare_rebalance(0, now_ms, &mut actions);
            return actions;
        }
        self.transition(State::Stable, now_ms);
        let waiting: Vec<(Token, Bytes)> = self
            .members
            .values_mut()
            .filter_map(|member| member.awaiting_sync.take().map(|token| (token, member.assignment.clone())))
            .collect();
        for (token, assignment) in waiting {
            actions.push(self.answer_sync(token, assignment));
        }
        for member in self.members.values_mut() {
            member.session_deadline_ms = now_ms + i64::from(member.session_timeout_ms);
        }
        actions
    }

    /// Heartbeat.
    pub fn heartbeat(&mut self, request: &HeartbeatRequest, now_ms: i64) -> ErrorCode {
        if self.state == State::Dead {
            return ErrorCode::COORDINATOR_NOT_AVAILABLE;
        }
        if let Err(error) = self.check_identity(&request.member_id, request.group_instance_id.as_deref()) {
            return error;
        }
        if request.generation_id != self.generation_id {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        self.touch(&request.member_id, now_ms);
        match self.state {
            State::PreparingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::Empty | State::Dead => ErrorCode::UNKNOWN_MEMBER_ID,
            State::CompletingRebalance | State::Stable => ErrorCode::NONE,
        }
    }

    /// LeaveGroup, one member of it: a static member may be named by its instance id alone.
    pub fn leave(&mut self, member_id: &str, instance: Option<&str>, now_ms: i64) -> (ErrorCode, Vec<Action>) {
        let mut actions = Vec::new();
        if self.state == State::Dead {
            return (ErrorCode::COORDINATOR_NOT_AVAILABLE, actions);
        }
        let member_id = match instance {
            Some(instance) => match self.static_members.get(instance) {
                None => return (ErrorCode::UNKNOWN_MEMBER_ID, actions),
                Some(current) if !member_id.is_empty() && current != member_id => {
                    return (ErrorCode::FENCED_INSTANCE_ID, actions);
                }
                Some(current) => current.clone(),
            },
            None => member_id.to_owned(),
        };
        if self.pending_members.remove(&member_id).is_some() {
            self.maybe_complete_join(now_ms, &mut actions);
            return (ErrorCode::NONE, actions);
        }
        if !self.members.contains_key(&member_id) {
            return (ErrorCode::UNKNOWN_MEMBER_ID, actions);
        }
        self.remove_member(&member_id, now_ms, &mut actions);
        (ErrorCode::NONE, actions)
    }

    /// Whether an OffsetCommit or TxnOffsetCommit with this identity is accepted now. An accepted one counts as a
    /// heartbeat. A transaction may commit without being a member: its own id has been checked elsewhere.
    pub fn check_commit(
        &mut self,
        generation_id: i32,
        member_id: &str,
        instance: Option<&str>,
        is_transactional: bool,
        now_ms: i64,
    ) -> ErrorCode {
        if self.state == State::Dead {
            return ErrorCode::COORDINATOR_NOT_AVAILABLE;
        }
        let is_anonymous = generation_id < 0 && member_id.is_empty() && instance.is_none();
        if is_anonymous {
            let is_accepted = is_transactional || self.state == State::Empty;
            return if is_accepted { ErrorCode::NONE } else { ErrorCode::UNKNOWN_MEMBER_ID };
        }
        if let Err(error) = self.check_identity(member_id, instance) {
            return error;
        }
        if generation_id != self.generation_id {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        match self.state {
            State::CompletingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::Empty | State::Dead => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance | State::Stable => {
                self.touch(member_id, now_ms);
                ErrorCode::NONE
            }
        }
    }

    // ------------------------------------------------------------------ what the clock says

    /// The next time at which [`Group::tick`] has something to do, ms since 1970.
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

    // ------------------------------------------------------------------ rebalances

    /// Begins a rebalance, unless one is being prepared already.
    fn prepare_rebalance(&mut self, initial_delay_ms: i64, now_ms: i64, actions: &mut Vec<Action>) {
        match self.state {
            State::Dead => return,
            State::PreparingRebalance => {}
            State::Empty | State::CompletingRebalance | State::Stable => {
                if self.state == State::CompletingRebalance {
                    self.fail_syncs(ErrorCode::REBALANCE_IN_PROGRESS, actions);
                }
                let patience = i64::from(self.rebalance_timeout_ms());
                let is_first = self.state == State::Empty;
                self.join = Some(if is_first {
                    let delay = initial_delay_ms.min(patience);
                    let initial = InitialDelay { step_ms: initial_delay_ms, remaining_ms: patience - delay };
                    JoinPhase { deadline_ms: now_ms + delay, initial: Some(initial), member_added: false }
                } else {
                    JoinPhase { deadline_ms: now_ms + patience, initial: None, member_added: false }
                });
                self.transition(State::PreparingRebalance, now_ms);
            }
        }
        self.maybe_complete_join(now_ms, actions);
        if let Some(join) = self.join
            && join.deadline_ms <= now_ms
        {
            self.join_time_is_up(join, now_ms, actions);
        }
    }

    /// Completes the join phase if everybody is there. A group's first rebalance waits for its delay all the same.
    fn maybe_complete_join(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        let is_initial = self.join.is_none_or(|join| join.initial.is_some());
        let all_joined =
            self.pending_members.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state == State::PreparingRebalance && !is_initial && all_joined {
            self.complete_join(now_ms, actions);
        }
    }

    fn complete_join(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        let absent = |member: &&Member| member.awaiting_join.is_none() && member.group_instance_id.is_none();
        let absent: Vec<String> = self.members.values().filter(absent).map(|m| m.member_id.clone()).collect();
        for member_id in absent {
            self.forget_member(&member_id, actions);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Static members that have not come back keep their place, but nobody is here to lead: wait again.
            let deadline_ms = now_ms + i64::from(self.rebalance_timeout_ms()).max(1);
            self.join = Some(JoinPhase { deadline_ms, initial: None, member_added: false });
            return;
        }
        self.join = None;
        self.generation_id = self.generation_id.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.protocol_name = None;
            self.leader = None;
            self.subscribed_topics = None;
            self.transition(State::Empty, now_ms);
            actions.push(Action::Store { record: self.record(), then: Stored::Nothing });
            return;
        }
        self.protocol_name = self.select_protocol();
        self.subscribed_topics = self.read_subscriptions();
        self.transition(State::CompletingRebalance, now_ms);
        self.pending_sync = self.members.keys().cloned().collect();
        self.sync_deadline_ms = Some(now_ms + i64::from(self.rebalance_timeout_ms()));
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in ids {
            let response = self.join_response(&member_id);
            let Some(member) = self.members.get_mut(&member_id) else { continue };
            member.is_new = false;
            member.session_deadline_ms = now_ms + i64::from(member.session_timeout_ms);
            if let Some(token) = member.awaiting_join.take() {
                actions.push(Action::AnswerJoin { token, response });
            }
        }
    }

    /// Makes sure that the leader is one of those who joined; false if nobody did.
    fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &String| self.members.get(id).is_some_and(|member| member.awaiting_join.is_some());
        if self.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let joined = self.members.values().filter(|member| member.awaiting_join.is_some());
        match joined.min_by_key(|member| member.joined) {
            None => false,
            Some(member) => {
                self.leader = Some(member.member_id.clone());
                true
            }
        }
    }

    /// The protocol that most members like best among those that all of them know.
    fn select_protocol(&self) -> Option<String> {
        let is_common = |name: &str| self.members.values().all(|member| member.metadata(name).is_some());
        let mut votes: Vec<(String, usize)> = Vec::new();
        let mut members: Vec<&Member> = self.members.values().collect();
        members.sort_by_key(|member| member.joined);
        for member in members {
            let Some((name, _)) = member.protocols.iter().find(|(name, _)| is_common(name)) else { continue };
            match votes.iter_mut().find(|(voted, _)| voted == name) {
                Some((_, count)) => *count += 1,
                None => votes.push((name.clone(), 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        votes.into_iter().find(|(_, count)| *count == most).map(|(name, _)| name)
    }

    /// The topics in the members' subscriptions. None if one cannot be read: 3.9.1 hangs the group on such a member,
    /// here it is only not known what it reads.
    fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some("consumer") {
            return None;
        }
        let name = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let mut r = Reader::new(member.metadata(name)?.clone());
            let version = r.i16().ok()?.clamp(0, 3);
            topics.extend(ConsumerProtocolSubscription::read(&mut r, version, false).ok()?.topics);
        }
        Some(topics)
    }

    fn remove_member(&mut self, member_id: &str, now_ms: i64, actions: &mut Vec<Action>) {
        self.forget_member(member_id, actions);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(0, now_ms, actions),
            State::PreparingRebalance => self.maybe_complete_join(now_ms, actions),
            State::Empty | State::Dead => {}
        }
    }

    fn forget_member(&mut self, member_id: &str, actions: &mut Vec<Action>) {
        let Some(member) = self.members.remove(member_id) else { return };
        if let Some(token) = member.awaiting_join {
            actions.push(refuse_join(token, ErrorCode::UNKNOWN_MEMBER_ID, member_id.to_owned()));
        }
        if let Some(token) = member.awaiting_sync {
            actions.push(refuse_sync(token, ErrorCode::UNKNOWN_MEMBER_ID));
        }
        self.pending_sync.remove(member_id);
        if let Some(instance) = &member.group_instance_id {
            self.static_members.remove(instance);
        }
        if self.leader.as_deref() == Some(member_id) {
            let oldest = self.members.values().min_by_key(|member| member.joined);
            self.leader = oldest.map(|member| member.member_id.clone());
        }
    }

    fn fail_syncs(&mut self, error: ErrorCode, actions: &mut Vec<Action>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                actions.push(refuse_sync(token, error));
            }
        }
    }

    fn transition(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.state_since_ms = now_ms;
        if state != State::CompletingRebalance {
            self.sync_deadline_ms = None;
            self.pending_sync.clear();
        }
    }

    fn touch(&mut self, member_id: &str, now_ms: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_deadline_ms = now_ms + i64::from(member.session_timeout_ms);
        }
    }

    /// The longest that any member wants to be waited for, ms.
    fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or_default()
    }

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
        let value = GroupMetadata {
            protocol_type: self.protocol_type().to_owned(),
            generation_id: self.generation_id,
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            current_state_timestamp: self.state_since_ms,
            members: members.into_iter().map(|member| member.stored(protocol)).collect(),
        };
        Record::Group { group_id: self.group_id.clone(), value: Some(value) }
    }

    /// Takes over a generation that was read from the log. Members get a full session to show themselves.
    pub fn replay_metadata(&mut self, stored: GroupMetadata, now_ms: i64) {
        let offsets = std::mem::take(&mut self.offsets);
        let pending_offsets = std::mem::take(&mut self.pending_offsets);
        *self = Group::new(std::mem::take(&mut self.group_id), now_ms);
        (self.offsets, self.pending_offsets) = (offsets, pending_offsets);
        self.generation_id = stored.generation_id;
        self.protocol_type = Some(stored.protocol_type).filter(|kind| !kind.is_empty());
        self.protocol_name = stored.protocol_name.clone();
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
                session_timeout_ms: member.session_timeout_ms,
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                protocols: vec![(stored.protocol_name.clone().unwrap_or_default(), member.subscription)],
                assignment: member.assignment,
                joined: self.joined,
                is_new: false,
                awaiting_join: None,
                awaiting_sync: None,
                session_deadline_ms: now_ms + i64::from(member.session_timeout_ms),
            };
            self.members.insert(member.member_id, restored);
        }
        self.state = if self.members.is_empty() { State::Empty } else { State::Stable };
        if stored.current_state_timestamp >= 0 {
            self.state_since_ms = stored.current_state_timestamp;
        }
        self.subscribed_topics = self.read_subscriptions();
    }

    /// Applies an offset that is in the log; None deletes it.
    pub fn replay_offset(&mut self, partition: TopicPartition, value: Option<OffsetAndMetadata>) {
        match value {
            Some(value) => self.offsets.insert(partition, value),
            None => self.offsets.remove(&partition),
        };
    }

    /// Applies an offset that is in the log as part of a transaction: it counts when the transaction commits.
    pub fn replay_pending_offset(&mut self, producer_id: i64, partition: TopicPartition, value: OffsetAndMetadata) {
        self.pending_offsets.entry(producer_id).or_default().insert(partition, value);
    }

    /// Applies the marker that ends a producer's transaction.
    pub fn replay_transaction_end(&mut self, producer_id: i64, committed: bool) {
        let ended = self.pending_offsets.remove(&producer_id).unwrap_or_default();
        if committed {
            self.offsets.extend(ended);
        }
    }

    /// The partitions whose offset a transaction that has not ended would move (KIP-447).
    pub fn unstable_offsets(&self) -> impl Iterator<Item = &TopicPartition> {
        self.pending_offsets.values().flat_map(BTreeMap::keys)
    }

    /// Whether a transaction that has not ended would move this offset.
    pub fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.pending_offsets.values().any(|pending| pending.contains_key(partition))
    }

    /// The partitions whose offsets have outlived `retention_ms` (`offsets.retention.minutes`).
    ///
    /// An empty group's offsets live on since it became empty; a stable consumer group's for topics that it is no
    /// longer subscribed to, and those of a group without members that never had any, since they were committed.
    pub fn expired_offsets(&self, retention_ms: i64, now_ms: i64) -> Vec<TopicPartition> {
        let is_due = |since_ms: i64| now_ms.saturating_sub(since_ms) >= retention_ms;
        let expired = self.offsets.iter().filter(|(partition, offset)| {
            if self.is_unstable(partition) {
                return false;
            }
            if let Some(expire_timestamp) = offset.expire_timestamp {
                return now_ms >= expire_timestamp && !self.is_subscribed_to(&partition.topic);
            }
            match self.state {
                State::Empty if self.protocol_type.is_some() => {
                    is_due(self.state_since_ms.max(offset.commit_timestamp))
                }
                State::Empty => is_due(offset.commit_timestamp),
                State::Stable if self.subscribed_topics.is_some() => {
                    !self.is_subscribed_to(&partition.topic) && is_due(offset.commit_timestamp)
                }
                _ => false,
            }
        });
        expired.map(|(partition, _)| partition.clone()).collect()
    }

    /// Whether nothing is left that a coordinator would have to remember.
    pub fn is_forgettable(&self) -> bool {
        let is_bare = self.offsets.is_empty() && self.pending_offsets.is_empty();
        self.state == State::Empty && is_bare && !self.has_members()
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

    fn stored(&self, protocol: &str) -> StoredMember {
        StoredMember {
            member_id: self.member_id.clone(),
            group_instance_id: self.group_instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            session_timeout_ms: self.session_timeout_ms,
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
