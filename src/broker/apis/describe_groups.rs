//! DescribeGroups (key 15), versions 0–5: state and members of groups. An unknown group is Dead, without an error.
//!
//! - v3 authorized operations (KIP-430) · v4 static members (KIP-345)

use std::sync::Arc;

use super::metadata::OPERATIONS_NOT_ASKED;
use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use crate::wire::messages::{DescribeGroupsRequest, DescribeGroupsResponse};

/// All operations on a group, as bits: nobody is refused any while there is no authorizer.
pub(super) const GROUP_OPERATIONS: i32 = 328;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DescribeGroupsRequest) -> Reply {
    let operations = if request.include_authorized_operations { GROUP_OPERATIONS } else { OPERATIONS_NOT_ASKED };
    let groups = request.groups.iter().map(|id| describe(broker, id, operations)).collect();
    Reply::now(&context, &DescribeGroupsResponse { groups, ..Default::default() })
}

fn describe(broker: &Broker, group_id: &str, operations: i32) -> DescribedGroup {
    let group_id = group_id.to_owned();
    let described = match broker.groups.describe(broker.group_partition(&group_id), &group_id) {
        Ok(described) => described,
        Err(error) => return DescribedGroup { error_code: error.0, group_id, ..Default::default() },
    };
    let members = described.members.into_iter().map(|member| DescribedGroupMember {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        client_id: member.client_id,
        client_host: member.client_host,
        member_metadata: member.subscription,
        member_assignment: member.assignment,
    });
    DescribedGroup {
        error_code: 0,
        group_id,
        group_state: described.state.to_owned(),
        protocol_type: described.protocol_type,
        protocol_data: described.protocol_name,
        members: members.collect(),
        authorized_operations: operations,
    }
}
