//! ConsumerGroupHeartbeat: the one request of the consumer protocol. It joins, leaves, says what the member reads and
//! has, and is answered with what the member shall have.

use super::*;
use crate::wire::messages::consumer_group_heartbeat::{Assignment, TopicPartitionsRequest, TopicPartitionsResponse};
use crate::wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

/// Why a request is refused, in Apache's words where the client gets to see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub error: ErrorCode,
    pub message: String,
}

impl Refusal {
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Refusal {
        Refusal { error, message: message.into() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Refusal {
        Refusal { error, message: error.message().to_owned() }
    }
}

/// What the member says it has; None if it says nothing.
pub(super) type Owned = Option<Partitions>;

impl ConsumerGroup {
    /// Whether the request can be one at all.
    ///
    /// # Errors
    /// `INVALID_REQUEST`, `UNSUPPORTED_ASSIGNOR`.
    pub fn check_request(
        request: &ConsumerGroupHeartbeatRequest,
        version: i16,
        settings: &ConsumerSettings,
    ) -> Result<(), Refusal> {
        let refuse = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
        let is_blank = |text: &str| text.trim().is_empty();
        // From version 1 on the member names itself.
        if version >= 1 && is_blank(&request.member_id) {
            return refuse("MemberId can't be empty.");
        }
        if is_blank(&request.group_id) {
            return refuse("GroupId can't be empty.");
        }
        if request.instance_id.as_deref().is_some_and(is_blank) {
            return refuse("InstanceId can't be empty.");
        }
        if request.rack_id.as_deref().is_some_and(is_blank) {
            return refuse("RackId can't be empty.");
        }
        match request.member_epoch {
            1.. | LEAVE_EPOCH if is_blank(&request.member_id) => return refuse("MemberId can't be empty."),
            1.. | LEAVE_EPOCH => {}
            JOIN_EPOCH => {
                if request.rebalance_timeout_ms == -1 {
                    return refuse("RebalanceTimeoutMs must be provided in first request.");
                }
                if request.topic_partitions.as_ref().is_none_or(|owned| !owned.is_empty()) {
                    return refuse("TopicPartitions must be empty when (re-)joining.");
                }
                let names = request.subscribed_topic_names.as_ref();
                if version == 0 && names.is_none_or(Vec::is_empty) {
                    return refuse("SubscribedTopicNames must be set in first request.");
                }
                if names.is_none() && request.subscribed_topic_regex.is_none() {
                    let message =
                        "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.";
                    return refuse(message);
                }
            }
            LEAVE_STATIC_EPOCH if is_blank(&request.member_id) => return refuse("MemberId can't be empty."),
            LEAVE_STATIC_EPOCH if request.instance_id.is_none() => return refuse("InstanceId can't be null."),
            LEAVE_STATIC_EPOCH => {}
            _ => return refuse("MemberEpoch is invalid."),
        }
        if let Some(wanted) = &request.server_assignor
            && !settings.assignors.iter().any(|assignor| assignor.name() == wanted)
        {
            let supported: Vec<&str> = settings.assignors.iter().map(|assignor| assignor.name()).collect();
            let message =
                format!("ServerAssignor {wanted} is not supported. Supported assignors: {}.", supported.join(", "));
            return Err(Refusal::new(ErrorCode::UNSUPPORTED_ASSIGNOR, message));
        }
        Ok(())
    }

    /// A heartbeat of a member that stays or joins. `joiner.unique` is its id if it has none (version 0).
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_MEMBER_EPOCH`, `UNRELEASED_INSTANCE_ID`, `FENCED_INSTANCE_ID`,
    /// `GROUP_MAX_SIZE_REACHED`, `INVALID_REGULAR_EXPRESSION`; records made meanwhile are to be rolled back.
    pub fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
        joiner: &Joiner,
        around: &Surroundings<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        let joins = request.member_epoch == JOIN_EPOCH;
        let member_id = if request.member_id.is_empty() { &joiner.unique } else { &request.member_id };
        let owned: Owned = request.topic_partitions.as_ref().map(|owned| partitions(owned));
        self.check_room(member_id, request.instance_id.as_deref(), around.settings.size_max)?;
        let before = match &request.instance_id {
            Some(instance) => self.static_member(member_id, instance, request.member_epoch, &owned, joins)?,
            None => self.dynamic_member(member_id, request.member_epoch, &owned, joins)?,
        };

        let mut member = before.clone();
        member.instance_id = request.instance_id.clone().or(member.instance_id);
        member.rack_id = request.rack_id.clone().or(member.rack_id);
        if request.rebalance_timeout_ms != -1 {
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        }
        member.server_assignor = request.server_assignor.clone().or(member.server_assignor);
        if let Some(names) = &request.subscribed_topic_names {
            member.subscribed_topic_names = names.iter().cloned().collect();
        }
        if let Some(regex) = &request.subscribed_topic_regex {
            member.subscribed_topic_regex = Some(regex.clone()).filter(|regex| !regex.is_empty());
        }
        member.client_id = joiner.client_id.clone();
        member.client_host = joiner.client_host.clone();
        member.classic = None;
        let has_before = before.assigned.clone();
        let member = self.update(before, member, &owned, around)?;

        let is_full = joins
            || (request.rebalance_timeout_ms != -1
                && (request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some())
                && owned.is_some());
        let shows = is_full || has_before != member.assigned;
        self.begin_session(&member, around.settings, around.now_ms);
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(member.member_id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: around.settings.heartbeat_interval_ms,
            assignment: shows.then(|| shown(&member.assigned)),
            ..Default::default()
        })
    }

    /// What every request of a member leads to: its description is stored if it is new, the group's epoch moves if the
    /// member reads something else or the topics have changed, the target follows the group, and the member the target.
    pub(super) fn update(
        &mut self,
        before: Member,
        member: Member,
        owned: &Owned,
        around: &Surroundings<'_>,
    ) -> Result<Member, Refusal> {
        let is_new = !self.members.contains_key(&member.member_id);
        let reads_other = before.subscribed_topic_names != member.subscribed_topic_names
            || before.subscribed_topic_regex != member.subscribed_topic_regex;
        if let Some(regex) = member.subscribed_topic_regex.as_ref().filter(|_| reads_other) {
            regex::check(regex)?;
        }
        let member_id = member.member_id.clone();
        if is_new || before != member {
            self.make(member.description());
        }
        let moved = is_new || reads_other;
        if moved || self.seen_cluster_version != Some(around.cluster_version) {
            let topics_changed = self.refresh_topics(around);
            if moved || topics_changed {
                self.bump_epoch();
            }
        }
        if self.epoch > self.assignment_epoch {
            self.assign(around.settings);
        }
        let member = self.members.get(&member_id).map(|member| (**member).clone()).unwrap_or(member);
        let led = self.reconcile(&member, owned)?;
        if led != member {
            self.make(led.assignment());
            let patience = i64::from(led.rebalance_timeout_ms.max(0));
            self.timers.entry(member_id).or_default().revocation = match led.state {
                MemberState::UnrevokedPartitions if !led.uses_classic_protocol() => Some(around.now_ms + patience),
                _ => None,
            };
        }
        Ok(led)
    }

    pub(super) fn check_room(&self, member_id: &str, instance: Option<&str>, size_max: usize) -> Result<(), Refusal> {
        let is_here = self.members.contains_key(member_id)
            || instance.is_some_and(|instance| self.static_members.contains_key(instance));
        if is_here || self.members.len() < size_max {
            return Ok(());
        }
        let message = format!("The consumer group has reached its maximum capacity of {} members.", self.members.len());
        Err(Refusal::new(ErrorCode::GROUP_MAX_SIZE_REACHED, message))
    }

    fn dynamic_member(&self, member_id: &str, epoch: i32, owned: &Owned, joins: bool) -> Result<Member, Refusal> {
        match self.members.get(member_id) {
            Some(member) => {
                check_epoch(member, epoch, owned)?;
                Ok((**member).clone())
            }
            None if joins => Ok(Member::new(member_id)),
            None => Err(self.not_a_member(member_id)),
        }
    }

    /// A static member that comes, or comes back: under a new id it takes the place of the one that has left.
    fn static_member(
        &mut self,
        member_id: &str,
        instance: &str,
        epoch: i32,
        owned: &Owned,
        joins: bool,
    ) -> Result<Member, Refusal> {
        let Some(existing) = self.static_holder(instance) else {
            return match joins {
                true => Ok(self.members.get(member_id).map_or_else(|| Member::new(member_id), |m| (**m).clone())),
                false => Err(unknown_instance(instance)),
            };
        };
        if !joins {
            check_instance(&existing, member_id, instance)?;
            check_epoch(&existing, epoch, owned)?;
            return Ok(existing);
        }
        if existing.member_id == member_id && existing.epoch != LEAVE_STATIC_EPOCH {
            // The answer to its join was lost.
            check_epoch(&existing, epoch, owned)?;
            return Ok(existing);
        }
        if !existing.uses_classic_protocol() && existing.epoch != LEAVE_STATIC_EPOCH {
            let message = format!(
                "Static member {member_id} with instance id {instance} cannot join the group because the instance id is \
                 owned by {} member.",
                existing.member_id
            );
            return Err(Refusal::new(ErrorCode::UNRELEASED_INSTANCE_ID, message));
        }
        Ok(self.replace_static_member(&existing, member_id))
    }

    pub(super) fn static_holder(&self, instance: &str) -> Option<Member> {
        let member_id = self.static_members.get(instance)?;
        self.members.get(member_id).map(|member| (**member).clone())
    }

    /// A new id takes over what the old one had and shall have, from epoch 0 on.
    pub(super) fn replace_static_member(&mut self, existing: &Member, member_id: &str) -> Member {
        let target = self.target_of(&existing.member_id);
        self.make_removal(&existing.member_id);
        let mut member = Member { member_id: member_id.to_owned(), ..existing.clone() };
        (member.epoch, member.previous_epoch) = (0, 0);
        self.make(member.description());
        self.make(target::record(member_id, &target));
        self.make(member.assignment());
        member
    }

    pub(super) fn make_removal(&mut self, member_id: &str) {
        self.make(ConsumerRecord::Current { member_id: member_id.to_owned(), value: None });
        self.make(ConsumerRecord::Target { member_id: member_id.to_owned(), value: None });
        self.make(ConsumerRecord::Member { member_id: member_id.to_owned(), value: None });
    }

    /// A member goes: because it says so, or because its time is up.
    pub fn remove(&mut self, member_id: &str, around: &Surroundings<'_>) {
        self.make_removal(member_id);
        self.refresh_topics(around);
        self.bump_epoch();
    }

    /// The member that a request to leave is about.
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID`, `FENCED_INSTANCE_ID`.
    pub fn leaving(&self, member_id: &str, instance: Option<&str>) -> Result<String, Refusal> {
        let Some(instance) = instance else {
            return match self.members.contains_key(member_id) {
                true => Ok(member_id.to_owned()),
                false => Err(self.not_a_member(member_id)),
            };
        };
        let existing = self.static_holder(instance).ok_or_else(|| unknown_instance(instance))?;
        check_instance(&existing, member_id, instance)?;
        Ok(existing.member_id)
    }

    /// A static member goes to come back within its session: it keeps what it has.
    pub fn leave_for_a_while(&mut self, member_id: &str) {
        let Some(member) = self.members.get(member_id) else { return };
        let mut member = (**member).clone();
        member.epoch = LEAVE_STATIC_EPOCH;
        member.pending_revocation = Partitions::default();
        self.make(member.assignment());
    }

    pub(super) fn not_a_member(&self, member_id: &str) -> Refusal {
        let message = format!("Member {member_id} is not a member of group {}.", self.group_id);
        Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, message)
    }
}

fn unknown_instance(instance: &str) -> Refusal {
    Refusal::new(ErrorCode::UNKNOWN_MEMBER_ID, format!("Instance id {instance} is unknown."))
}

pub(super) fn check_instance(existing: &Member, member_id: &str, instance: &str) -> Result<(), Refusal> {
    if existing.member_id == member_id {
        return Ok(());
    }
    let message =
        format!("Static member {member_id} with instance id {instance} was fenced by member {}.", existing.member_id);
    Err(Refusal::new(ErrorCode::FENCED_INSTANCE_ID, message))
}

/// A member may come with its epoch; with the one before if the answer may have been lost: then it has no more than what
/// it was given.
fn check_epoch(member: &Member, epoch: i32, owned: &Owned) -> Result<(), Refusal> {
    if epoch == member.epoch {
        return Ok(());
    }
    let answer_was_lost = epoch < member.epoch
        && epoch == member.previous_epoch
        && owned.as_ref().is_some_and(|owned| owned.is_subset_of(&member.assigned));
    if answer_was_lost {
        return Ok(());
    }
    let than = if epoch > member.epoch { "greater" } else { "smaller" };
    let message = format!(
        "The consumer group member has a {than} member epoch ({epoch}) than the one known by the group coordinator ({}). \
         The member must abandon all its partitions and rejoin.",
        member.epoch
    );
    Err(Refusal::new(ErrorCode::FENCED_MEMBER_EPOCH, message))
}

fn partitions(owned: &[TopicPartitionsRequest]) -> Partitions {
    owned.iter().flat_map(|topic| topic.partitions.iter().map(|partition| (topic.topic_id, *partition))).collect()
}

fn shown(assigned: &Partitions) -> Assignment {
    let of_topic = |(topic_id, partitions)| TopicPartitionsResponse { topic_id, partitions };
    Assignment { topic_partitions: assigned.by_topic().map(of_topic).collect() }
}
