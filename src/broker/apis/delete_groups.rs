//! DeleteGroups (key 42), versions 0–2: groups without members, with their offsets.

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::delete_groups::DeletableGroupResult;
use crate::wire::messages::{DeleteGroupsRequest, DeleteGroupsResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DeleteGroupsRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let mut results = Vec::with_capacity(request.groups_names.len());
        for group_id in request.groups_names {
            let outcome = broker.groups.delete(broker.group_partition(&group_id), &group_id).await;
            results.push(DeletableGroupResult { group_id, error_code: outcome.0 });
        }
        Response::of(&context, &DeleteGroupsResponse { results, ..Default::default() })
    })
}
