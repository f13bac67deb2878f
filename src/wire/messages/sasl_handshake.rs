//! SaslHandshake (key 17), versions 0–1.

use super::prelude::*;

api!(SaslHandshake, 17, 0..=1, flexible i16::MAX, SaslHandshakeRequest => SaslHandshakeResponse);

messages! {
    struct SaslHandshakeRequest {
        mechanism: String [0..],
    }

    struct SaslHandshakeResponse {
        error_code: i16 [0..],
        mechanisms: Vec<String> [0..],
    }
}
