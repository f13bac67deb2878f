//! JoinGroup: who may become a member, and what changes when somebody does.

use super::*;

impl ClassicGroup {
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

    pub(super) fn try_join(
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
            self.pending_members.remove(member_id);
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

    /// Whether `group.max.size` lets this one in. While a rebalance is prepared, those who came first have the places.
    fn has_room_for(&self, request: &JoinGroupRequest, settings: &Settings) -> bool {
        let known_id = match &request.group_instance_id {
            Some(instance) if request.member_id.is_empty() => self.static_members.get(instance),
            _ => Some(&request.member_id),
        };
        let known = known_id.and_then(|id| self.members.get(id));
        match self.state {
            State::Empty | State::Dead => true,
            State::PreparingRebalance => {
                let awaiting = self.members.values().filter(|member| member.awaiting_join.is_some()).count();
                known.is_some_and(|member| member.awaiting_join.is_some()) || awaiting < settings.size_max
            }
            State::CompletingRebalance | State::Stable => known.is_some() || self.members.len() < settings.size_max,
        }
    }

    /// Whether the joiner knows a protocol that all members know.
    fn supports(&self, request: &JoinGroupRequest) -> bool {
        if request.protocol_type.is_empty() || request.protocols.is_empty() {
            return false;
        }
        if self.members.is_empty() {
            return true;
        }
        let same_type = self.protocol_type.as_deref() == Some(request.protocol_type.as_str());
        let is_common = |name: &str| self.members.values().all(|member| member.metadata(name).is_some());
        same_type && request.protocols.iter().any(|protocol| is_common(&protocol.name))
    }

    pub(super) fn join_unknown(
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

    pub(super) fn join_known(
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
    pub(super) fn check_identity(&self, member_id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UNKNOWN_MEMBER_ID),
                Some(current) if current != member_id => return Err(ErrorCode::FENCED_INSTANCE_ID),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) { Ok(()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    pub(super) fn add_member(
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
        // Only a group's very first rebalance is put off for those who come late.
        if let Some(join) = &mut self.join
            && self.generation_id == 0
        {
            join.member_added = true;
        }
        let mut actions = Vec::new();
        self.prepare_rebalance(settings.initial_rebalance_delay_ms, now_ms, &mut actions);
        actions
    }

    /// A static member came back under a new id: it takes over without a rebalance where nothing changed for others.
    pub(super) fn replace_static_member(
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
        member.protocols = protocols(request);
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
                // What it is subscribed to may have changed: its leader looks at that (KIP-814). Only another choice of
                // protocol concerns everybody.
                if self.select_protocol() == selected_before {
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

    pub(super) fn set_awaiting_join(&mut self, member_id: &str, token: Token) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.awaiting_join = Some(token);
        }
    }

    /// A member joins again, with what it can do now.
    pub(super) fn rejoin(
        &mut self,
        member_id: &str,
        token: Token,
        request: &JoinGroupRequest,
        now_ms: i64,
    ) -> Vec<Action> {
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

    pub(super) fn answer_current(&mut self, member_id: &str, token: Token, now_ms: i64) -> Action {
        self.touch(member_id, now_ms);
        Action::AnswerJoin { token, response: self.join_response(member_id) }
    }
}
