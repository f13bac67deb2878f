//! Requests of members: JoinGroup, SyncGroup, Heartbeat and LeaveGroup of the classic protocol, ConsumerGroupHeartbeat
//! of the consumer protocol; and the moves of a group from one to the other.

use super::*;
use crate::group::classic::Joiner;
use crate::group::consumer::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
use crate::wire::messages::leave_group::{MemberIdentity, MemberResponse};
use crate::wire::messages::{
    ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, HeartbeatRequest, JoinGroupRequest,
    LeaveGroupRequest, LeaveGroupResponse, SyncGroupRequest,
};

impl GroupCoordinator {
    /// JoinGroup: the answer comes when the rebalance has come to it.
    pub fn join(
        self: &Arc<Self>,
        partition: i32,
        request: &JoinGroupRequest,
        joiner: &Joiner,
    ) -> oneshot::Receiver<JoinGroupResponse> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        match self.prepare_join(&mut inner, partition, request) {
            Err(error) => drop(sender.send(join_refusal(request, error))),
            Ok(Speaks::Consumer) => self.join_consumer(&mut inner, partition, request, joiner, sender),
            Ok(Speaks::Classic) => {
                let token = inner.wait(Waiting::Join(sender));
                self.with_classic(&mut inner, partition, &request.group_id, |group, now_ms| {
                    group.join(token, request, joiner, &self.config.classic, now_ms)
                });
                // Who was refused leaves nothing behind.
                if inner.slot(partition, &request.group_id).is_some_and(|slot| is_untouched(slot)) {
                    inner.remove(partition, &request.group_id);
                }
            }
        }
        receiver
    }

    /// Finds the group, or makes a new one, and tells which protocol it is of.
    fn prepare_join(&self, inner: &mut Inner, partition: i32, request: &JoinGroupRequest) -> Result<Speaks, ErrorCode> {
        let group_id = &request.group_id;
        let owned = inner.owned(partition, group_id)?;
        let fresh = || Group::Classic(ClassicGroup::new(group_id.clone(), now_ms()));
        match owned.groups.get_mut(group_id) {
            None if !request.member_id.is_empty() => Err(ErrorCode::UNKNOWN_MEMBER_ID),
            None => {
                owned.groups.insert(group_id.clone(), Slot::new(fresh()));
                Ok(Speaks::Classic)
            }
            Some(Slot { group: Group::Classic(_), .. }) => Ok(Speaks::Classic),
            Some(Slot { group: Group::Consumer(group), .. }) if group.has_members() => Ok(Speaks::Consumer),
            // Without members it is of nobody's protocol: of whoever comes first.
            Some(slot) => {
                match poll_now(self.append(partition, slot.group.tombstones())) {
                    Ok(ErrorCode::NONE) | Err(_) => slot.group = fresh(),
                    Ok(error) => return Err(group_error(error)),
                }
                Ok(Speaks::Classic)
            }
        }
    }

    fn join_consumer(
        &self,
        inner: &mut Inner,
        partition: i32,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        sender: oneshot::Sender<JoinGroupResponse>,
    ) {
        let settings = &self.config.classic;
        let session_range = settings.session_timeout_ms_min..=settings.session_timeout_ms_max;
        if !session_range.contains(&request.session_timeout_ms) {
            let _ = sender.send(join_refusal(request, ErrorCode::INVALID_SESSION_TIMEOUT));
            return;
        }
        let joined = self.with_consumer(inner, partition, &request.group_id, Vec::new(), |group, around| {
            group.classic_join(request, joiner, around)
        });
        match joined {
            Err(refusal) => drop(sender.send(join_refusal(request, refusal.error))),
            Ok((response, None)) => drop(sender.send(response)),
            Ok((response, Some(committed))) => {
                let request = request.clone();
                tokio::spawn(async move {
                    let _ = sender.send(match group_error(committed.await) {
                        ErrorCode::NONE => response,
                        error => join_refusal(&request, error),
                    });
                });
            }
        }
    }

    /// SyncGroup: the answer comes when the leader has assigned.
    pub fn sync(self: &Arc<Self>, partition: i32, request: &SyncGroupRequest) -> oneshot::Receiver<SyncGroupResponse> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        let refusal = |error: ErrorCode| SyncGroupResponse { error_code: error.0, ..Default::default() };
        let known = inner.owned(partition, &request.group_id).and_then(|owned| {
            owned.groups.get_mut(&request.group_id).map(|slot| &mut slot.group).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)
        });
        match known {
            Err(error) => drop(sender.send(refusal(error))),
            Ok(Group::Consumer(group)) => {
                let synced = self.in_surroundings(|around| group.classic_sync(request, around));
                inner.set_deadline(partition, &request.group_id);
                let _ = sender.send(synced.unwrap_or_else(refusal));
            }
            Ok(Group::Classic(_)) => {
                let token = inner.wait(Waiting::Sync(sender));
                self.with_classic(&mut inner, partition, &request.group_id, |group, now_ms| {
                    group.sync(token, request, now_ms)
                });
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
        match owned.groups.get_mut(&request.group_id).map(|slot| &mut slot.group) {
            None => ErrorCode::UNKNOWN_MEMBER_ID,
            // The deadline only moved back: the clock finds out when the old one comes.
            Some(Group::Classic(group)) => group.heartbeat(request, now_ms()),
            Some(Group::Consumer(group)) => {
                let heard = self.in_surroundings(|around| group.classic_heartbeat(request, around));
                inner.set_deadline(partition, &request.group_id);
                self.deadlines_changed.notify_one();
                heard.err().unwrap_or(ErrorCode::NONE)
            }
        }
    }

    /// LeaveGroup: before version 3 one member, from then on several with an outcome each.
    pub fn leave(self: &Arc<Self>, partition: i32, request: &LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
        let mut inner = self.inner.lock();
        let mut response = LeaveGroupResponse::default();
        if let Err(error) = inner.owned(partition, &request.group_id) {
            response.error_code = error.0;
            return response;
        }
        let single;
        let leaving: &[MemberIdentity] = if version < 3 {
            single = [MemberIdentity { member_id: request.member_id.clone(), ..Default::default() }];
            &single
        } else {
            &request.members
        };
        for member in leaving {
            let outcome = self.leave_one(&mut inner, partition, &request.group_id, member);
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

    fn leave_one(
        self: &Arc<Self>,
        inner: &mut Inner,
        partition: i32,
        group_id: &str,
        member: &MemberIdentity,
    ) -> ErrorCode {
        let instance = member.group_instance_id.as_deref();
        match inner.slot(partition, group_id).map(|slot| &mut slot.group) {
            None => ErrorCode::UNKNOWN_MEMBER_ID,
            Some(Group::Classic(_)) => {
                let mut outcome = ErrorCode::UNKNOWN_MEMBER_ID;
                self.with_classic(inner, partition, group_id, |group, now_ms| {
                    let (left, actions) = group.leave(&member.member_id, instance, now_ms);
                    outcome = left;
                    actions
                });
                outcome
            }
            Some(Group::Consumer(group)) => match group.classic_leaving(&member.member_id, instance) {
                Err(error) => error,
                Ok(member_id) => match self.remove_member(inner, partition, group_id, &member_id) {
                    Err(refusal) => refusal.error,
                    Ok(_) => ErrorCode::NONE,
                },
            },
        }
    }

    /// ConsumerGroupHeartbeat: answered when what it changed is committed.
    pub fn consumer_heartbeat(
        self: &Arc<Self>,
        partition: i32,
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
        joiner: &Joiner,
    ) -> impl Future<Output = ConsumerGroupHeartbeatResponse> + Send + use<> {
        let begun = self.begin_heartbeat(partition, request, version, joiner);
        async move {
            let refused = |refusal: Refusal| ConsumerGroupHeartbeatResponse {
                error_code: refusal.error.0,
                error_message: Some(refusal.message),
                ..Default::default()
            };
            match begun {
                Err(refusal) => refused(refusal),
                Ok((response, None)) => response,
                Ok((response, Some(committed))) => match group_error(committed.await) {
                    ErrorCode::NONE => response,
                    error => refused(error.into()),
                },
            }
        }
    }

    fn begin_heartbeat(
        self: &Arc<Self>,
        partition: i32,
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
        joiner: &Joiner,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Option<CommittedFuture>), Refusal> {
        ConsumerGroup::check_request(request, version, &self.config.consumer)?;
        let group_id = &request.group_id;
        let mut inner = self.inner.lock();
        inner.owned(partition, group_id)?;
        if matches!(request.member_epoch, LEAVE_EPOCH | LEAVE_STATIC_EPOCH) {
            return self.leave_consumer(&mut inner, partition, request);
        }
        let (old, before) = self.prepare_consumer(&mut inner, partition, request)?;
        let beaten = self.with_consumer(&mut inner, partition, group_id, before, |group, around| {
            group.heartbeat(request, joiner, around)
        });
        match (&beaten, old) {
            (_, Was::Consumer) => {}
            (Ok(_), Was::Nothing) => {}
            (Err(_), Was::Nothing) => inner.remove(partition, group_id),
            // Its members join again, and find a group of the other protocol.
            (Ok(_), Was::Classic(mut old)) => {
                for action in old.shut(ErrorCode::REBALANCE_IN_PROGRESS, now_ms()) {
                    inner.answer(action);
                }
            }
            (Err(_), Was::Classic(old)) => {
                if let Some(slot) = inner.slot(partition, group_id) {
                    slot.group = Group::Classic(*old);
                }
                inner.set_deadline(partition, group_id);
            }
        }
        beaten
    }

    /// Sees to it that the group is of the consumer protocol: tells what it was, and the records that make it so.
    fn prepare_consumer(
        &self,
        inner: &mut Inner,
        partition: i32,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(Was, Vec<Record>), Refusal> {
        let group_id = &request.group_id;
        let joins = request.member_epoch == JOIN_EPOCH;
        let not_found = |what: String| Err(Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, what));
        let owned = inner.owned(partition, group_id)?;
        let fresh = || Group::Consumer(ConsumerGroup::new(group_id.clone()));
        match owned.groups.get_mut(group_id) {
            None if !joins => not_found(format!("Group {group_id} not found.")),
            None => {
                owned.groups.insert(group_id.clone(), Slot::new(fresh()));
                Ok((Was::Nothing, Vec::new()))
            }
            Some(Slot { group: Group::Consumer(_), .. }) => Ok((Was::Consumer, Vec::new())),
            Some(slot) => {
                let tombstones = slot.group.tombstones();
                let Group::Classic(classic) = &slot.group else { return Ok((Was::Consumer, Vec::new())) };
                if joins && !classic.has_members() {
                    let Group::Classic(old) = std::mem::replace(&mut slot.group, fresh()) else {
                        return Ok((Was::Consumer, Vec::new()));
                    };
                    return Ok((Was::Classic(Box::new(old)), tombstones));
                }
                let may = joins
                    && self.config.migration.upgrades()
                    && classic.member_count() <= self.config.consumer.size_max;
                let upgraded = match may {
                    true => self.in_surroundings(|around| migration::upgrade(classic, around)),
                    false => None,
                };
                let Some((group, records)) = upgraded else {
                    return not_found(format!("Group {group_id} is not a consumer group."));
                };
                let Group::Classic(old) = std::mem::replace(&mut slot.group, Group::Consumer(group)) else {
                    return Ok((Was::Consumer, records));
                };
                Ok((Was::Classic(Box::new(old)), records))
            }
        }
    }

    fn leave_consumer(
        self: &Arc<Self>,
        inner: &mut Inner,
        partition: i32,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<(ConsumerGroupHeartbeatResponse, Option<CommittedFuture>), Refusal> {
        let group_id = &request.group_id;
        let group = inner
            .consumer(partition, group_id)
            .ok_or_else(|| Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, format!("Group {group_id} not found.")))?;
        let member_id = group.leaving(&request.member_id, request.instance_id.as_deref())?;
        let response = ConsumerGroupHeartbeatResponse {
            member_id: Some(member_id.clone()),
            member_epoch: request.member_epoch,
            ..Default::default()
        };
        let stays = request.member_epoch == LEAVE_STATIC_EPOCH && request.instance_id.is_some();
        let ((), committed) = match stays {
            true => self.with_consumer(inner, partition, group_id, Vec::new(), |group, _| {
                group.leave_for_a_while(&member_id);
                Ok(())
            })?,
            false => ((), self.remove_member(inner, partition, group_id, &member_id)?),
        };
        Ok((response, committed))
    }

    /// A member of a group of the consumer protocol goes. If it was the last one that spoke that protocol the group
    /// may go back to the classic one.
    fn remove_member(
        self: &Arc<Self>,
        inner: &mut Inner,
        partition: i32,
        group_id: &str,
        member_id: &str,
    ) -> Result<Option<CommittedFuture>, Refusal> {
        let policy = self.config.migration;
        let downgraded = inner.consumer(partition, group_id).and_then(|group| {
            let may = migration::is_downgraded_without(group, member_id, policy, self.config.classic.size_max);
            may.then(|| self.in_surroundings(|around| migration::downgrade(group, member_id, around)))
        });
        let Some((classic, records)) = downgraded else {
            let removed = self.with_consumer(inner, partition, group_id, Vec::new(), |group, around| {
                group.remove(member_id, around);
                Ok(())
            })?;
            return Ok(removed.1);
        };
        let committed = match poll_now(self.append(partition, records)) {
            Ok(ErrorCode::NONE) => None,
            Ok(error) => return Err(group_error(error).into()),
            Err(committed) => Some(committed),
        };
        if let Some(slot) = inner.slot(partition, group_id) {
            slot.group = Group::Classic(classic);
        }
        self.with_classic(inner, partition, group_id, ClassicGroup::begin_rebalance);
        Ok(committed)
    }

    /// The time of a member is up.
    pub(super) fn end_session(self: &Arc<Self>, inner: &mut Inner, partition: i32, group_id: &str, member_id: &str) {
        // Its predecessor in the list may have brought the group back to the classic protocol.
        if inner.consumer(partition, group_id).is_none() {
            return;
        }
        match self.remove_member(inner, partition, group_id, member_id) {
            Ok(_) => tracing::info!(group_id, member_id, "a member's time was up"),
            Err(refusal) => {
                tracing::warn!(group_id, member_id, error = %refusal.error, "a member that is gone cannot be removed");
                if let Some(group) = inner.consumer(partition, group_id) {
                    group.postpone(member_id, now_ms() + RETRY_MS);
                }
            }
        }
    }
}

/// When the log refuses what the clock wants to write, it is tried again after this, ms.
const RETRY_MS: i64 = 1000;

enum Speaks {
    Classic,
    Consumer,
}

/// What a group was before it was made one of the consumer protocol.
enum Was {
    Nothing,
    Classic(Box<ClassicGroup>),
    Consumer,
}

fn is_untouched(slot: &Slot) -> bool {
    let never_lived = matches!(&slot.group, Group::Classic(group) if group.generation_id() == 0);
    never_lived && slot.is_forgettable()
}

fn join_refusal(request: &JoinGroupRequest, error: ErrorCode) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    JoinGroupResponse { error_code: error.0, member_id, protocol_name: None, ..Default::default() }
}
