//! From one generation to the next: the wait for all members, the choice of leader and protocol.

use super::*;
use crate::group::consumer_protocol::{PROTOCOL_TYPE, read_subscription};

impl ClassicGroup {
    /// Begins a rebalance, unless one is being prepared already.
    pub(super) fn prepare_rebalance(&mut self, initial_delay_ms: i64, now_ms: i64, actions: &mut Vec<Action>) {
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
    pub(super) fn maybe_complete_join(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
        let is_initial = self.join.is_none_or(|join| join.initial.is_some());
        let all_joined =
            self.pending_members.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some());
        if self.state == State::PreparingRebalance && !is_initial && all_joined {
            self.complete_join(now_ms, actions);
        }
    }

    pub(super) fn complete_join(&mut self, now_ms: i64, actions: &mut Vec<Action>) {
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
    pub(super) fn elect_joined_leader(&mut self) -> bool {
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
    pub(super) fn select_protocol(&self) -> Option<String> {
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
    pub(super) fn read_subscriptions(&self) -> Option<BTreeSet<String>> {
        if self.protocol_type.as_deref() != Some(PROTOCOL_TYPE) {
            return None;
        }
        let name = self.protocol_name.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(read_subscription(member.metadata(name)?)?.1.topics);
        }
        Some(topics)
    }

    pub(super) fn remove_member(&mut self, member_id: &str, now_ms: i64, actions: &mut Vec<Action>) {
        self.forget_member(member_id, actions);
        match self.state {
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(0, now_ms, actions),
            State::PreparingRebalance => self.maybe_complete_join(now_ms, actions),
            State::Empty | State::Dead => {}
        }
    }

    pub(super) fn forget_member(&mut self, member_id: &str, actions: &mut Vec<Action>) {
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

    pub(super) fn fail_syncs(&mut self, error: ErrorCode, actions: &mut Vec<Action>) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
            if let Some(token) = member.awaiting_sync.take() {
                actions.push(refuse_sync(token, error));
            }
        }
    }

    pub(super) fn transition(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.state_since_ms = now_ms;
        if state != State::CompletingRebalance {
            self.sync_deadline_ms = None;
            self.pending_sync.clear();
        }
    }

    pub(super) fn touch(&mut self, member_id: &str, now_ms: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.session_deadline_ms = now_ms + i64::from(member.session_timeout_ms);
        }
    }

    /// The longest that any member wants to be waited for, ms.
    pub(super) fn rebalance_timeout_ms(&self) -> i32 {
        self.members.values().map(|member| member.rebalance_timeout_ms).max().unwrap_or_default()
    }
}
