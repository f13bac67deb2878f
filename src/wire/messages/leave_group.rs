//! LeaveGroup (key 13), versions 0–5, flexible from 4.

use super::prelude::*;

api!(LeaveGroup, 13, 0..=5, flexible 4, LeaveGroupRequest => LeaveGroupResponse);

messages! {
    struct LeaveGroupRequest {
        group_id: String [0..],
        member_id: String [0..=2],
        members: Vec<MemberIdentity> [3..],
    }

    struct MemberIdentity {
        member_id: String [3..],
        group_instance_id: Option<String> [3..],
        reason: Option<String> [5..],
    }

    struct LeaveGroupResponse {
        throttle_time_ms: i32 [1..],
        error_code: i16 [0..],
        members: Vec<MemberResponse> [3..],
    }

    struct MemberResponse {
        member_id: String [3..],
        group_instance_id: Option<String> [3..] = Some(String::new()),
        error_code: i16 [3..],
    }
}
