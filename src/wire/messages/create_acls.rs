//! CreateAcls (key 30), versions 0–3, flexible from 2.

use super::prelude::*;

api!(CreateAcls, 30, 0..=3, flexible 2, CreateAclsRequest => CreateAclsResponse);

messages! {
    struct CreateAclsRequest {
        creations: Vec<AclCreation> [0..],
    }

    struct AclCreation {
        resource_type: i8 [0..],
        resource_name: String [0..],
        resource_pattern_type: i8 [1..] = 3,
        principal: String [0..],
        host: String [0..],
        operation: i8 [0..],
        permission_type: i8 [0..],
    }

    struct CreateAclsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<AclCreationResult> [0..],
    }

    struct AclCreationResult {
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
    }
}
