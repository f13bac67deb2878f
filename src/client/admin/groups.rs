//! Consumer groups: who they are, what they have committed, and how they end.

use std::collections::HashMap;

use super::records::flatten;
use super::routed::{PerGroup, PerPartition};
use super::{Admin, Client, Error, To, join_all};
use crate::wire::codec::Field;
use crate::wire::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use crate::wire::messages::delete_groups::DeleteGroupsRequest;
use crate::wire::messages::describe_groups::{DescribeGroupsRequest, DescribedGroup, DescribedGroupMember};
use crate::wire::messages::list_groups::ListGroupsRequest;
use crate::wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use crate::wire::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use crate::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use crate::wire::{Bytes, ErrorCode, Message, Reader, TopicPartition};

/// A group as one broker lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    pub group_id: String,
    /// `consumer`, `connect`, …; empty for a group that only commits.
    pub protocol_type: String,
    /// `Stable`, `Empty`, …; empty from brokers before 2.6.
    pub state: String,
    /// `Classic` or `Consumer`; empty from brokers before 3.8.
    pub group_type: String,
}

/// A group as its coordinator describes it.
#[derive(Debug, Clone)]
pub struct GroupDescription {
    pub group_id: String,
    pub state: String,
    pub protocol_type: String,
    /// The assignor's name.
    pub protocol: String,
    pub coordinator: i32,
    pub members: Vec<GroupMember>,
}

/// One member of a group.
#[derive(Debug, Clone)]
pub struct GroupMember {
    pub member_id: String,
    pub group_instance_id: Option<String>,
    pub client_id: String,
    /// With a slash before the address.
    pub client_host: String,
    /// In the assignor's order; empty if the assignment is not a consumer's.
    pub assignment: Vec<TopicPartition>,
}

/// A position that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: i64,
    pub leader_epoch: Option<i32>,
    pub metadata: String,
}

impl Admin {
    /// The groups of every broker. `states` and `types`: empty for all.
    ///
    /// # Errors
    /// Of the whole: `Client` if no broker could be asked. Each broker that failed is an error among the results.
    pub fn list_groups(&self, states: &[String], types: &[String]) -> Result<Vec<Result<GroupListing, Error>>, Error> {
        self.run(self.client.list_groups(states, types))
    }

    /// The groups of these ids. A group that does not exist is described as `Dead`.
    pub fn describe_groups(&self, groups: &[String]) -> PerGroup<GroupDescription> {
        self.run(self.client.describe_groups(groups))
    }

    /// Deletes groups without members.
    pub fn delete_groups(&self, groups: &[String]) -> PerGroup<()> {
        self.run(self.client.delete_groups(groups))
    }

    /// What a group has committed: of these partitions, or all. Partitions without a position are left out.
    ///
    /// # Errors
    /// The group's; each partition has its own result.
    pub fn list_group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerPartition<CommittedOffset>, Error> {
        self.run(self.client.list_group_offsets(group, partitions))
    }

    /// Commits positions in the name of a group without members.
    ///
    /// # Errors
    /// `Timeout`; each partition has its own result.
    pub fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<PerPartition<()>, Error> {
        self.run(self.client.alter_group_offsets(group, offsets))
    }

    /// Forgets positions of a group whose members do not read these topics.
    ///
    /// # Errors
    /// The group's; each partition has its own result.
    pub fn delete_group_offsets(&self, group: &str, partitions: &[TopicPartition]) -> Result<PerPartition<()>, Error> {
        self.run(self.client.delete_group_offsets(group, partitions))
    }
}

impl Client {
    pub(super) async fn list_groups(
        &self,
        states: &[String],
        types: &[String],
    ) -> Result<Vec<Result<GroupListing, Error>>, Error> {
        let call = self.call("findAllBrokers");
        let cluster = self.cluster(&call).await.map_err(|cause| Error::Client {
            message: "Failed to find brokers to send ListGroups".to_owned(),
            cause: Box::new(cause),
        })?;
        let asking = cluster.brokers.iter().map(|node| self.list_groups_at(node.id, states, types));
        let mut listings: Vec<Result<GroupListing, Error>> = Vec::new();
        for part in join_all(asking.collect()).await {
            match part {
                Ok(groups) => listings.extend(groups.into_iter().map(Ok)),
                Err(error) => listings.push(Err(error)),
            }
        }
        Ok(listings)
    }

    async fn list_groups_at(
        &self,
        broker: i32,
        states: &[String],
        types: &[String],
    ) -> Result<Vec<GroupListing>, Error> {
        let mut call = self.call("listConsumerGroups");
        let first = match (states.is_empty(), types.is_empty()) {
            (_, false) => 5,
            (false, true) => 4,
            (true, true) => 0,
        };
        let request = |_, _| ListGroupsRequest { states_filter: states.to_vec(), types_filter: types.to_vec() };
        loop {
            let versions = first..=*ListGroupsRequest::VERSIONS.end();
            let response = self.send_in(&mut call, To::Broker(broker), versions, request).await?;
            match Error::check(response.error_code, None) {
                Err(error) if is_loading(&error) => self.pause(&mut call, error).await?,
                checked => {
                    checked?;
                    let listing = |group: crate::wire::messages::list_groups::ListedGroup| GroupListing {
                        group_id: group.group_id,
                        protocol_type: group.protocol_type,
                        state: group.group_state,
                        group_type: group.group_type,
                    };
                    return Ok(response.groups.into_iter().map(listing).collect());
                }
            }
        }
    }

    pub(super) async fn describe_groups(&self, groups: &[String]) -> PerGroup<GroupDescription> {
        let mut call = self.call("describeConsumerGroups");
        let ask = async |coordinator, groups: Vec<String>| {
            let mut call = self.call("describeConsumerGroups");
            let request = |_, _| DescribeGroupsRequest { groups: groups.clone(), include_authorized_operations: false };
            let response = self.send(&mut call, To::Broker(coordinator), request).await?;
            Ok(response
                .groups
                .into_iter()
                .map(|group| (group.group_id.clone(), described(group, coordinator)))
                .collect())
        };
        self.ask_coordinators(&mut call, groups, ask).await
    }

    pub(super) async fn delete_groups(&self, groups: &[String]) -> PerGroup<()> {
        let mut call = self.call("deleteConsumerGroups");
        let ask = async |coordinator, groups: Vec<String>| {
            let mut call = self.call("deleteConsumerGroups");
            let request = |_, _| DeleteGroupsRequest { groups_names: groups.clone() };
            let response = self.send(&mut call, To::Broker(coordinator), request).await?;
            let rows = response.results.into_iter();
            Ok(rows.map(|row| (row.group_id, Error::check(row.error_code, None))).collect())
        };
        self.ask_coordinators(&mut call, groups, ask).await
    }

    pub(super) async fn list_group_offsets(
        &self,
        group: &str,
        partitions: Option<&[TopicPartition]>,
    ) -> Result<PerPartition<CommittedOffset>, Error> {
        let ask = async |coordinator| {
            let mut call = self.call("listConsumerGroupOffsets");
            // Version 2 is the first that can ask for all partitions.
            let first = if partitions.is_none() { 2 } else { 1 };
            let request = |version, _| offset_fetch(group, partitions, version);
            let versions = first..=*OffsetFetchRequest::VERSIONS.end();
            let response = self.send_in(&mut call, To::Broker(coordinator), versions, request).await?;
            Error::check(response.error_code, None)?;
            let mut found = flatten(response.topics.into_iter().map(|topic| (topic.name, topic.partitions)), |row| {
                (
                    row.partition_index,
                    committed(row.error_code, row.committed_offset, row.committed_leader_epoch, row.metadata),
                )
            });
            for answered in response.groups {
                Error::check(answered.error_code, None)?;
                found.extend(flatten(answered.topics.into_iter().map(|topic| (topic.name, topic.partitions)), |row| {
                    (
                        row.partition_index,
                        committed(row.error_code, row.committed_offset, row.committed_leader_epoch, row.metadata),
                    )
                }));
            }
            found.retain(|(_, result)| result.as_ref().map_or(true, |committed| committed.offset >= 0));
            Ok(found)
        };
        self.ask_coordinator("listConsumerGroupOffsets", group, ask).await
    }

    pub(super) async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, i64)],
    ) -> Result<PerPartition<()>, Error> {
        let partitions = offsets.iter().map(|(partition, _)| partition.clone()).collect::<Vec<_>>();
        let known = offsets.iter().cloned().collect::<HashMap<_, _>>();
        let row = |topic: &str, partition_index: i32| OffsetCommitRequestPartition {
            partition_index,
            committed_offset: known.get(&TopicPartition::new(topic, partition_index)).copied().unwrap_or_default(),
            ..OffsetCommitRequestPartition::default()
        };
        let topics = super::by_topic(&partitions).into_iter().map(|(name, indexes)| OffsetCommitRequestTopic {
            partitions: indexes.into_iter().map(|index| row(&name, index)).collect(),
            name,
        });
        let topics = topics.collect::<Vec<_>>();
        let ask = async |coordinator| {
            let mut call = self.call("alterConsumerGroupOffsets");
            let request = |_, _| OffsetCommitRequest {
                group_id: group.to_owned(),
                topics: topics.clone(),
                ..OffsetCommitRequest::default()
            };
            // Before version 1 offsets went to ZooKeeper.
            let versions = 2..=*OffsetCommitRequest::VERSIONS.end();
            let response = self.send_in(&mut call, To::Broker(coordinator), versions, request).await?;
            let topics = response.topics.into_iter().map(|topic| (topic.name, topic.partitions));
            first_moving(flatten(topics, |row| (row.partition_index, Error::check(row.error_code, None))))
        };
        self.ask_coordinator("alterConsumerGroupOffsets", group, ask).await
    }

    pub(super) async fn delete_group_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<PerPartition<()>, Error> {
        let row = |partition_index| OffsetDeleteRequestPartition { partition_index };
        let topics = super::by_topic(partitions).into_iter().map(|(name, indexes)| OffsetDeleteRequestTopic {
            name,
            partitions: indexes.into_iter().map(row).collect(),
        });
        let topics = topics.collect::<Vec<_>>();
        let ask = async |coordinator| {
            let mut call = self.call("offsetDelete");
            let request = |_, _| OffsetDeleteRequest { group_id: group.to_owned(), topics: topics.clone() };
            let response = self.send(&mut call, To::Broker(coordinator), request).await?;
            Error::check(response.error_code, None)?;
            let topics = response.topics.into_iter().map(|topic| (topic.name, topic.partitions));
            first_moving(flatten(topics, |row| (row.partition_index, Error::check(row.error_code, None))))
        };
        self.ask_coordinator("offsetDelete", group, ask).await
    }

    /// Asks the coordinator of one group.
    async fn ask_coordinator<T>(
        &self,
        name: &'static str,
        group: &str,
        ask: impl AsyncFn(i32) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut call = self.call(name);
        let groups = [group.to_owned()];
        let one = async |coordinator, groups: Vec<String>| {
            let answer = match ask(coordinator).await {
                Err(error) if error.code().is_none() => return Err(error),
                answer => answer,
            };
            Ok(groups.into_iter().zip([answer]).collect())
        };
        let answered = self.ask_coordinators(&mut call, &groups, one).await;
        match answered.into_iter().next() {
            Some((_, result)) => result,
            None => Err(Error::api(ErrorCode::COORDINATOR_NOT_AVAILABLE, None)),
        }
    }
}

/// The coordinator's refusal of everything, which a moving coordinator says of each partition.
fn first_moving(rows: PerPartition<()>) -> Result<PerPartition<()>, Error> {
    let refusal = rows.iter().filter_map(|(_, result)| result.as_ref().err()).find(|error| is_loading(error));
    match refusal {
        Some(error) => Err(error.clone()),
        None => Ok(rows),
    }
}

fn is_loading(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR
        )
    )
}

fn offset_fetch(group: &str, partitions: Option<&[TopicPartition]>, version: i16) -> OffsetFetchRequest {
    let topics = partitions.map(super::by_topic);
    if version < 8 {
        let row = |(name, partition_indexes)| OffsetFetchRequestTopic { name, partition_indexes };
        let topics = topics.map(|topics| topics.into_iter().map(row).collect());
        return OffsetFetchRequest { group_id: group.to_owned(), topics, ..OffsetFetchRequest::default() };
    }
    let row = |(name, partition_indexes)| OffsetFetchRequestTopics { name, partition_indexes };
    let wanted = OffsetFetchRequestGroup {
        group_id: group.to_owned(),
        topics: topics.map(|topics| topics.into_iter().map(row).collect()),
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest { groups: vec![wanted], ..OffsetFetchRequest::default() }
}

fn committed(
    error_code: i16,
    offset: i64,
    leader_epoch: i32,
    metadata: Option<String>,
) -> Result<CommittedOffset, Error> {
    Error::check(error_code, None)?;
    let leader_epoch = Some(leader_epoch).filter(|epoch| *epoch >= 0);
    Ok(CommittedOffset { offset, leader_epoch, metadata: metadata.unwrap_or_default() })
}

fn described(group: DescribedGroup, coordinator: i32) -> Result<GroupDescription, Error> {
    Error::check(group.error_code, None)?;
    Ok(GroupDescription {
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
        coordinator,
        members: group.members.into_iter().map(member).collect(),
    })
}

fn member(member: DescribedGroupMember) -> GroupMember {
    GroupMember {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        assignment: assignment(member.member_assignment).unwrap_or_default(),
    }
}

/// Reads an assignment as consumers write it: a version of two bytes, then the partitions by topic.
fn assignment(bytes: Bytes) -> Option<Vec<TopicPartition>> {
    let mut r = Reader::new(bytes);
    let version = r.i16().ok()?.clamp(0, 3);
    let rows = ConsumerProtocolAssignment::read(&mut r, version, false).ok()?.assigned_partitions;
    let partitions = rows.into_iter().flat_map(|row| {
        let topic: std::sync::Arc<str> = row.topic.into();
        row.partitions.into_iter().map(move |partition| TopicPartition::new(topic.clone(), partition))
    });
    Some(partitions.collect())
}
