//! DescribeDelegationToken (key 41), versions 0–3, flexible from 2.

use super::prelude::*;

api!(DescribeDelegationToken, 41, 0..=3, flexible 2, DescribeDelegationTokenRequest => DescribeDelegationTokenResponse);

messages! {
    struct DescribeDelegationTokenRequest {
        owners: Option<Vec<DescribeDelegationTokenOwner>> [0..] = Some(Vec::new()),
    }

    struct DescribeDelegationTokenOwner {
        principal_type: String [0..],
        principal_name: String [0..],
    }

    struct DescribeDelegationTokenResponse {
        error_code: i16 [0..],
        tokens: Vec<DescribedDelegationToken> [0..],
        throttle_time_ms: i32 [0..],
    }

    struct DescribedDelegationToken {
        principal_type: String [0..],
        principal_name: String [0..],
        token_requester_principal_type: String [3..],
        token_requester_principal_name: String [3..],
        issue_timestamp: i64 [0..],
        expiry_timestamp: i64 [0..],
        max_timestamp: i64 [0..],
        token_id: String [0..],
        hmac: Bytes [0..],
        renewers: Vec<DescribedDelegationTokenRenewer> [0..],
    }

    struct DescribedDelegationTokenRenewer {
        principal_type: String [0..],
        principal_name: String [0..],
    }
}
