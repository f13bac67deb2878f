//! Members that still speak the classic protocol, in a group of the consumer protocol (KIP-848's online migration).
//! Their JoinGroup is a heartbeat that says what they have, the member epoch is their generation, SyncGroup fetches
//! what they may have now, and a Heartbeat tells them to join again when there is something to give up or to take.
//!
//! Source: `GroupMetadataManager.classicGroupJoinToConsumerGroup`, …`SyncToConsumerGroup`, … of Apache Kafka 3.9.

use super::heartbeat::check_instance;
use super::*;
use crate::group::consumer_protocol::{PROTOCOL_TYPE, read_subscription, write_assignment};
use crate::group::records::consumer::{ClassicMemberMetadata, ClassicProtocol};
use crate::wire::messages::{
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, SyncGroupRequest, SyncGroupResponse,
};

impl ConsumerGroup {
    /// JoinGroup. A member that has to come again with an id is told so by `MEMBER_ID_REQUIRED`, in the response.
    ///
    /// # Errors
    /// Those of a heartbeat, and `INCONSISTENT_GROUP_PROTOCOL`, with the member's id.
    pub fn classic_join(
        &mut self,
        request: &JoinGroupRequest,
        joiner: &Joiner,
        around: &Surroundings<'_>,
    ) -> Result<JoinGroupResponse, Refusal> {
        let is_unknown = request.member_id.is_empty();
        let member_id = if is_unknown { joiner.unique.clone() } else { request.member_id.clone() };
        let instance = request.group_instance_id.as_deref();
        self.check_room(&member_id, instance, around.settings.size_max)?;
        let protocol = request.protocols.first().ok_or(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;
        if request.protocol_type != PROTOCOL_TYPE || !self.supports(&member_id, request) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL.into());
        }
        if is_unknown && instance.is_none() && joiner.version >= 4 {
            let error_code = ErrorCode::MEMBER_ID_REQUIRED.0;
            return Ok(JoinGroupResponse { error_code, member_id, protocol_name: None, ..Default::default() });
        }
        let (_, subscription) = read_subscription(&protocol.metadata).ok_or(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;
        let before = self.classic_member(&member_id, instance, is_unknown)?;
        let owned: Partitions = subscription
            .owned_partitions
            .iter()
            .filter_map(|topic| Some((around.cluster.topics.get(topic.topic.as_str())?.id, &topic.partitions)))
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, *partition)))
            .collect();

        let mut member = before.clone();
        member.instance_id = request.group_instance_id.clone().or(member.instance_id);
        member.rack_id = subscription.rack_id.clone().or(member.rack_id);
        member.rebalance_timeout_ms = match request.rebalance_timeout_ms {
            ..0 => request.session_timeout_ms,
            given => given,
        };
        member.server_assignor = None;
        member.subscribed_topic_names = subscription.topics.into_iter().collect();
        member.subscribed_topic_regex = None;
        member.client_id = joiner.client_id.clone();
        member.client_host = joiner.client_host.clone();
        let supported = request.protocols.iter();
        let supported = supported.map(|of| ClassicProtocol { name: of.name.clone(), metadata: of.metadata.clone() });
        member.classic = Some(ClassicMemberMetadata {
            session_timeout_ms: request.session_timeout_ms,
            supported_protocols: supported.collect(),
        });
        let member = self.update(before, member, &Some(owned), around)?;
        self.begin_session(&member, around.settings, around.now_ms);
        let timers = self.timers.entry(member.member_id.clone()).or_default();
        timers.join = None;
        timers.sync = Some(around.now_ms + i64::from(member.rebalance_timeout_ms));
        Ok(JoinGroupResponse {
            generation_id: member.epoch,
            protocol_type: Some(PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(protocol.name.clone()),
            member_id: member.member_id,
            ..Default::default()
        })
    }

    fn classic_member(&mut self, member_id: &str, instance: Option<&str>, is_unknown: bool) -> Result<Member, Refusal> {
        let Some(instance) = instance else {
            let known = self.members.get(member_id).map(|member| (**member).clone());
            return Ok(known.unwrap_or_else(|| Member::new(member_id)));
        };
        match self.static_holder(instance) {
            None if is_unknown => Ok(Member::new(member_id)),
            None => Err(self.not_a_member(member_id)),
            Some(existing) if is_unknown => Ok(self.replace_static_member(&existing, member_id)),
            Some(existing) => check_instance(&existing, member_id, instance).map(|()| existing),
        }
    }

    /// Whether all members of the classic protocol know one of the request's protocols.
    fn supports(&self, member_id: &str, request: &JoinGroupRequest) -> bool {
        let others: Vec<&ClassicMemberMetadata> =
            self.members().filter(|member| member.member_id != member_id).filter_map(|m| m.classic.as_ref()).collect();
        let knows = |member: &ClassicMemberMetadata, name: &str| {
            member.supported_protocols.iter().any(|protocol| protocol.name == name)
        };
        request.protocols.iter().any(|protocol| others.iter().all(|member| knows(member, &protocol.name)))
    }

    /// SyncGroup: what the member may have now.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`, `INCONSISTENT_GROUP_PROTOCOL`, and
    /// `REBALANCE_IN_PROGRESS` if the group has moved on meanwhile.
    pub fn classic_sync(
        &mut self,
        request: &SyncGroupRequest,
        around: &Surroundings<'_>,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let member = self.classic_identity(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != member.epoch {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        let protocols = member.classic.as_ref().map(|classic| classic.supported_protocols.as_slice());
        let protocol = protocols.and_then(<[_]>::first).ok_or(ErrorCode::INCONSISTENT_GROUP_PROTOCOL)?;
        let other_type = request.protocol_type.as_ref().is_some_and(|kind| kind != PROTOCOL_TYPE);
        if other_type || request.protocol_name.as_ref().is_some_and(|name| *name != protocol.name) {
            return Err(ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        }
        // A member that has to give up partitions has joined already: it has to get to know.
        if self.epoch > member.epoch && member.state != MemberState::UnrevokedPartitions {
            self.await_join(&member, around.now_ms);
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        let version = read_subscription(&protocol.metadata).map_or(0, |(version, _)| version);
        let assignment = write_assignment(version, &member.assigned, around.cluster);
        self.timers.entry(member.member_id.clone()).or_default().sync = None;
        self.begin_session(&member, around.settings, around.now_ms);
        Ok(SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..Default::default()
        })
    }

    /// Heartbeat.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`, `ILLEGAL_GENERATION`, and `REBALANCE_IN_PROGRESS` if the member has
    /// to join again.
    pub fn classic_heartbeat(
        &mut self,
        request: &HeartbeatRequest,
        around: &Surroundings<'_>,
    ) -> Result<(), ErrorCode> {
        let member = self.classic_identity(&request.member_id, request.group_instance_id.as_deref())?;
        if request.generation_id != member.epoch {
            return Err(ErrorCode::ILLEGAL_GENERATION);
        }
        self.begin_session(&member, around.settings, around.now_ms);
        let may_take_more = member.state == MemberState::UnreleasedPartitions && !self.waits_for_others(&member);
        if member.epoch < self.epoch || member.state == MemberState::UnrevokedPartitions || may_take_more {
            self.await_join(&member, around.now_ms);
            return Err(ErrorCode::REBALANCE_IN_PROGRESS);
        }
        Ok(())
    }

    /// The member that a LeaveGroup is about; a static one may be named by its instance id alone.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`.
    pub fn classic_leaving(&self, member_id: &str, instance: Option<&str>) -> Result<String, ErrorCode> {
        let by_instance = instance.and_then(|instance| self.static_members.get(instance));
        let member_id = match by_instance {
            Some(current) if member_id.is_empty() => current,
            _ => member_id,
        };
        self.classic_identity(member_id, instance).map(|member| member.member_id)
    }

    fn classic_identity(&self, member_id: &str, instance: Option<&str>) -> Result<Member, ErrorCode> {
        if let Some(instance) = instance {
            let existing = self.static_holder(instance).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
            check_instance(&existing, member_id, instance).map_err(|refusal| refusal.error)?;
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UNKNOWN_MEMBER_ID)?;
        if member.uses_classic_protocol() { Ok((**member).clone()) } else { Err(ErrorCode::UNKNOWN_MEMBER_ID) }
    }

    fn await_join(&mut self, member: &Member, now_ms: i64) {
        let timers = self.timers.entry(member.member_id.clone()).or_default();
        timers.join.get_or_insert(now_ms + i64::from(member.rebalance_timeout_ms.max(0)));
    }
}
