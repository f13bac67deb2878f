//! DeleteGroups (key 42), versions 0–2, flexible from 2.

use super::prelude::*;

api!(DeleteGroups, 42, 0..=2, flexible 2, DeleteGroupsRequest => DeleteGroupsResponse);

messages! {
    struct DeleteGroupsRequest {
        groups_names: Vec<String> [0..],
    }

    struct DeleteGroupsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<DeletableGroupResult> [0..],
    }

    struct DeletableGroupResult {
        group_id: String [0..],
        error_code: i16 [0..],
    }
}
