//! What administrators ask: ListGroups, DescribeGroups, ConsumerGroupDescribe, DeleteGroups.

use super::consumer::Member;
use super::records::MemberMetadata;
use super::*;
use crate::group::assignors::Assignor;

/// One line of ListGroups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub group_id: String,
    pub protocol_type: String,
    pub state: &'static str,
    /// `classic` or `consumer`.
    pub group_type: &'static str,
}

/// A group as DescribeGroups shows it.
#[derive(Clone, Debug)]
pub struct Described {
    pub state: &'static str,
    pub protocol_type: String,
    pub protocol_name: String,
    pub members: Vec<MemberMetadata>,
}

/// A group as ConsumerGroupDescribe shows it.
#[derive(Clone, Debug)]
pub struct DescribedConsumer {
    pub state: &'static str,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: Assignor,
    /// Each with what it shall have.
    pub members: Vec<(Member, Vec<(crate::wire::Uuid, Vec<i32>)>)>,
}

impl GroupCoordinator {
    /// ListGroups: every group here, and whether some are still being read.
    pub fn list(&self) -> (Vec<Listed>, ErrorCode) {
        let inner = self.inner.lock();
        let loading = inner.partitions.values().any(|owned| !owned.loaded);
        let listed = inner.partitions.values().flat_map(|owned| &owned.groups).map(|(group_id, slot)| Listed {
            group_id: group_id.clone(),
            protocol_type: slot.group.protocol_type().to_owned(),
            state: slot.group.state_name(),
            group_type: slot.group.type_name(),
        });
        let mut listed: Vec<Listed> = listed.collect();
        listed.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        (listed, if loading { ErrorCode::COORDINATOR_LOAD_IN_PROGRESS } else { ErrorCode::NONE })
    }

    /// DescribeGroups, one group of the classic protocol; one that is not, or not known, is Dead.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID`, `NOT_COORDINATOR`, `COORDINATOR_LOAD_IN_PROGRESS`.
    pub fn describe(&self, partition: i32, group_id: &str) -> Result<Described, ErrorCode> {
        let mut inner = self.inner.lock();
        let owned = inner.owned(partition, group_id)?;
        let Some(Slot { group: Group::Classic(group), .. }) = owned.groups.get(group_id) else {
            let (protocol_type, protocol_name) = Default::default();
            let state = classic::State::Dead.name();
            return Ok(Described { state, protocol_type, protocol_name, members: Vec::new() });
        };
        let settled = group.state() == classic::State::Stable;
        Ok(Described {
            state: group.state().name(),
            protocol_type: group.protocol_type().to_owned(),
            protocol_name: if settled { group.protocol_name().to_owned() } else { String::new() },
            members: group.described_members(),
        })
    }

    /// ConsumerGroupDescribe, one group of the consumer protocol.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID`, `NOT_COORDINATOR`, `COORDINATOR_LOAD_IN_PROGRESS`; `GROUP_ID_NOT_FOUND` if there is none, or
    /// it is of the classic protocol.
    pub fn describe_consumer(&self, partition: i32, group_id: &str) -> Result<DescribedConsumer, Refusal> {
        let mut inner = self.inner.lock();
        let owned = inner.owned(partition, group_id)?;
        let what = match owned.groups.get(group_id).map(|slot| &slot.group) {
            None => format!("Group {group_id} not found."),
            Some(Group::Classic(_)) => format!("Group {group_id} is not a consumer group."),
            Some(Group::Consumer(group)) => {
                let target = |member: &Member| group.target_of(&member.member_id).by_topic().collect();
                return Ok(DescribedConsumer {
                    state: group.state_name(),
                    epoch: group.epoch(),
                    assignment_epoch: group.assignment_epoch(),
                    assignor: group.assignor(&self.config.consumer),
                    members: group.members().map(|member| (member.clone(), target(member))).collect(),
                });
            }
        };
        Err(Refusal::new(ErrorCode::GROUP_ID_NOT_FOUND, what))
    }

    /// DeleteGroups, one group: its offsets and its own records get tombstones.
    pub fn delete(self: &Arc<Self>, partition: i32, group_id: &str) -> impl Future<Output = ErrorCode> + Send + use<> {
        let begun = self.begin_delete(partition, group_id);
        async move {
            match begun {
                Err(error) => error,
                Ok(committed) => commit_error(committed.await),
            }
        }
    }

    fn begin_delete(&self, partition: i32, group_id: &str) -> Result<CommittedFuture, ErrorCode> {
        let mut inner = self.inner.lock();
        let owned = inner.owned_any(partition)?;
        let Some(slot) = owned.groups.get(group_id) else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        if slot.group.has_members() || !matches!(slot.group.state_name(), "Empty") {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        let records = slot.offsets.tombstones(group_id).chain(slot.group.tombstones());
        match poll_now(self.append(partition, records)) {
            Ok(error) if !error.is_ok() => Err(commit_error(error)),
            Ok(_) => {
                inner.remove(partition, group_id);
                Ok(Box::pin(std::future::ready(ErrorCode::NONE)))
            }
            // In the log already: whoever comes now finds a new group.
            Err(committed) => {
                inner.remove(partition, group_id);
                Ok(committed)
            }
        }
    }
}
