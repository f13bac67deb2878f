//! DescribeAcls, CreateAcls, DeleteAcls (keys 29–31), versions 0–3, of a broker without an authorizer: everybody may do
//! everything, and there is nothing to look at or to change.
//!
//! Source: `AclApis`.

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::create_acls::AclCreationResult;
use crate::wire::messages::delete_acls::DeleteAclsFilterResult;
use crate::wire::messages::*;

/// The number of every enum's "a kind from the future".
const UNKNOWN: i8 = 0;
const NO_AUTHORIZER: &str = "No Authorizer is configured.";

pub(super) fn describe(_: &Arc<Broker>, context: RequestContext, request: DescribeAclsRequest) -> Reply {
    let is_nonsense =
        [request.resource_type_filter, request.pattern_type_filter, request.operation, request.permission_type]
            .contains(&UNKNOWN);
    if is_nonsense {
        // Apache's broker takes it for a request that does not parse.
        return Reply::Close;
    }
    let response = DescribeAclsResponse {
        error_code: ErrorCode::SECURITY_DISABLED.0,
        error_message: Some("No Authorizer is configured on the broker".to_owned()),
        ..Default::default()
    };
    Reply::now(&context, &response)
}

pub(super) fn create(_: &Arc<Broker>, context: RequestContext, request: CreateAclsRequest) -> Reply {
    let refused = |_| AclCreationResult {
        error_code: ErrorCode::SECURITY_DISABLED.0,
        error_message: Some(NO_AUTHORIZER.to_owned()),
    };
    let results = request.creations.iter().map(refused).collect();
    Reply::now(&context, &CreateAclsResponse { results, ..Default::default() })
}

pub(super) fn delete(_: &Arc<Broker>, context: RequestContext, request: DeleteAclsRequest) -> Reply {
    let refused = |_| DeleteAclsFilterResult {
        error_code: ErrorCode::SECURITY_DISABLED.0,
        error_message: Some(NO_AUTHORIZER.to_owned()),
        matching_acls: Vec::new(),
    };
    let filter_results = request.filters.iter().map(refused).collect();
    Reply::now(&context, &DeleteAclsResponse { filter_results, ..Default::default() })
}
