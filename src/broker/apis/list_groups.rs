//! ListGroups (key 16), versions 0–5: the groups that this broker coordinates.
//!
//! - v4 states filter (KIP-518) · v5 types filter (KIP-848); names are compared without case, unknown ones match nothing

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::list_groups::ListedGroup;
use crate::wire::messages::{ListGroupsRequest, ListGroupsResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ListGroupsRequest) -> Reply {
    let (listed, error) = broker.groups.list();
    let wanted =
        |filter: &[String], name: &str| filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(name));
    let groups = listed
        .into_iter()
        .filter(|group| wanted(&request.states_filter, group.state) && wanted(&request.types_filter, group.group_type))
        .map(|group| ListedGroup {
            group_id: group.group_id,
            protocol_type: group.protocol_type,
            group_state: group.state.to_owned(),
            group_type: group.group_type.to_owned(),
        });
    let response = ListGroupsResponse { error_code: error.0, groups: groups.collect(), ..Default::default() };
    Reply::now(&context, &response)
}
