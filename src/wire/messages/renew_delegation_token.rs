//! RenewDelegationToken (key 39), versions 0–2, flexible from 2.

use super::prelude::*;

api!(RenewDelegationToken, 39, 0..=2, flexible 2, RenewDelegationTokenRequest => RenewDelegationTokenResponse);

messages! {
    struct RenewDelegationTokenRequest {
        hmac: Bytes [0..],
        renew_period_ms: i64 [0..],
    }

    struct RenewDelegationTokenResponse {
        error_code: i16 [0..],
        expiry_timestamp_ms: i64 [0..],
        throttle_time_ms: i32 [0..],
    }
}
