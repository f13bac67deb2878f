//! ConsumerGroupDescribe (key 69), versions 0–1: groups of the consumer protocol (KIP-848), with what each member has
//! and shall have. One of the classic protocol is GROUP_ID_NOT_FOUND: clients then ask DescribeGroups.
//!
//! - Refused with UNSUPPORTED_VERSION unless `group.coordinator.rebalance.protocols` has `consumer`.
//! - v1 the kind of member: of the classic protocol (0) or the consumer protocol (1)

use std::sync::Arc;

use super::describe_groups::GROUP_OPERATIONS;
use super::metadata::OPERATIONS_NOT_ASKED;
use crate::broker::Broker;
use crate::group::consumer;
use crate::network::{Reply, RequestContext};
use crate::replication::ClusterMetadata;
use crate::wire::messages::consumer_group_describe::{Assignment, DescribedGroup, Member, TopicPartitions};
use crate::wire::messages::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
use crate::wire::{ErrorCode, Uuid};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ConsumerGroupDescribeRequest) -> Reply {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { OPERATIONS_NOT_ASKED };
    let groups = request.group_ids.iter().map(|id| describe(broker, id, operations)).collect();
    Reply::now(&context, &ConsumerGroupDescribeResponse { groups, ..Default::default() })
}

fn describe(broker: &Broker, group_id: &str, operations: i32) -> DescribedGroup {
    let refuse = |error: ErrorCode, message: Option<String>| DescribedGroup {
        error_code: error.0,
        error_message: message,
        group_id: group_id.to_owned(),
        ..Default::default()
    };
    if !broker.serves_consumer_protocol() {
        return refuse(ErrorCode::UNSUPPORTED_VERSION, None);
    }
    let described = match broker.groups.describe_consumer(broker.group_partition(group_id), group_id) {
        Ok(described) => described,
        Err(refusal) => return refuse(refusal.error, Some(refusal.message)),
    };
    let cluster = broker.metadata.current();
    DescribedGroup {
        group_id: group_id.to_owned(),
        group_state: described.state.to_owned(),
        group_epoch: described.epoch,
        assignment_epoch: described.assignment_epoch,
        assignor_name: described.assignor.name().to_owned(),
        members: described.members.into_iter().map(|(of, target)| member(&cluster, of, target)).collect(),
        authorized_operations: operations,
        ..Default::default()
    }
}

fn member(cluster: &ClusterMetadata, member: consumer::Member, target: Vec<(Uuid, Vec<i32>)>) -> Member {
    let member_type = i8::from(!member.uses_classic_protocol());
    Member {
        member_id: member.member_id,
        instance_id: member.instance_id,
        rack_id: member.rack_id,
        member_epoch: member.epoch,
        client_id: member.client_id,
        client_host: member.client_host,
        subscribed_topic_names: member.subscribed_topic_names.into_iter().collect(),
        subscribed_topic_regex: Some(member.subscribed_topic_regex.unwrap_or_default()),
        assignment: assignment(cluster, member.assigned.by_topic()),
        target_assignment: assignment(cluster, target.into_iter()),
        member_type,
    }
}

/// Topics that are gone are left out.
fn assignment(cluster: &ClusterMetadata, topics: impl Iterator<Item = (Uuid, Vec<i32>)>) -> Assignment {
    let named = topics.filter_map(|(topic_id, partitions)| {
        let topic_name = cluster.topic_name(topic_id)?.to_string();
        Some(TopicPartitions { topic_id, topic_name, partitions })
    });
    Assignment { topic_partitions: named.collect() }
}
