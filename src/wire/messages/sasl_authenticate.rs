//! SaslAuthenticate (key 36), versions 0–2, flexible from 2.

use super::prelude::*;

api!(SaslAuthenticate, 36, 0..=2, flexible 2, SaslAuthenticateRequest => SaslAuthenticateResponse);

messages! {
    struct SaslAuthenticateRequest {
        auth_bytes: Bytes [0..],
    }

    struct SaslAuthenticateResponse {
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
        auth_bytes: Bytes [0..],
        session_lifetime_ms: i64 [1..],
    }
}
