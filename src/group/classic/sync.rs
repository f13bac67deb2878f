//! What members send once they have joined: SyncGroup, Heartbeat, LeaveGroup, and who may commit offsets.

use super::*;

impl ClassicGroup {
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

    pub(super) fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
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
        // The group is only used to keep offsets.
        if generation_id < 0 && self.state == State::Empty {
            return ErrorCode::NONE;
        }
        let is_anonymous = generation_id < 0 && member_id.is_empty() && instance.is_none();
        if is_anonymous {
            return if is_transactional { ErrorCode::NONE } else { ErrorCode::UNKNOWN_MEMBER_ID };
        }
        if let Err(error) = self.check_identity(member_id, instance) {
            return error;
        }
        if generation_id != self.generation_id {
            return ErrorCode::ILLEGAL_GENERATION;
        }
        match self.state {
            _ if is_transactional => ErrorCode::NONE,
            State::CompletingRebalance => ErrorCode::REBALANCE_IN_PROGRESS,
            State::Empty | State::Dead => ErrorCode::UNKNOWN_MEMBER_ID,
            State::PreparingRebalance | State::Stable => {
                self.touch(member_id, now_ms);
                ErrorCode::NONE
            }
        }
    }
}
