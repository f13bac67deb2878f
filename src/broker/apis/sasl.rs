//! SaslHandshake, SaslAuthenticate (keys 17 and 36) on a connection that has no use for them: a listener without SASL
//! has let everybody in as `User:ANONYMOUS` already.

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::*;

pub(super) fn handshake(_: &Arc<Broker>, context: RequestContext, _: SaslHandshakeRequest) -> Reply {
    let response = SaslHandshakeResponse { error_code: ErrorCode::ILLEGAL_SASL_STATE.0, ..Default::default() };
    Reply::now(&context, &response)
}

pub(super) fn authenticate(_: &Arc<Broker>, context: RequestContext, _: SaslAuthenticateRequest) -> Reply {
    let response = SaslAuthenticateResponse {
        error_code: ErrorCode::ILLEGAL_SASL_STATE.0,
        error_message: Some("SaslAuthenticate request received after successful authentication".to_owned()),
        ..Default::default()
    };
    Reply::now(&context, &response)
}
