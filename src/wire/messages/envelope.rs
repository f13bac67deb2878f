//! Envelope (key 58), version 0, flexible from 0: a request that one broker forwards to another in its client's name (KIP-590).

use super::prelude::*;

api!(Envelope, 58, 0..=0, flexible 0, EnvelopeRequest => EnvelopeResponse);

messages! {
    struct EnvelopeRequest {
        request_data: Bytes [0..],
        request_principal: Option<Bytes> [0..] = Some(Bytes::new()),
        client_host_address: Bytes [0..],
    }

    struct EnvelopeResponse {
        response_data: Option<Bytes> [0..] = None,
        error_code: i16 [0..],
    }
}
