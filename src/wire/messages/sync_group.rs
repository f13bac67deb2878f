//! SyncGroup (key 14), versions 0–5, flexible from 4.

use super::prelude::*;

api!(SyncGroup, 14, 0..=5, flexible 4, SyncGroupRequest => SyncGroupResponse);

messages! {
    struct SyncGroupRequest {
        group_id: String [0..],
        generation_id: i32 [0..],
        member_id: String [0..],
        group_instance_id: Option<String> [3..],
        protocol_type: Option<String> [5..],
        protocol_name: Option<String> [5..],
        assignments: Vec<SyncGroupRequestAssignment> [0..],
    }

    struct SyncGroupRequestAssignment {
        member_id: String [0..],
        assignment: Bytes [0..],
    }

    struct SyncGroupResponse {
        throttle_time_ms: i32 [1..],
        error_code: i16 [0..],
        protocol_type: Option<String> [5..],
        protocol_name: Option<String> [5..],
        assignment: Bytes [0..],
    }
}
