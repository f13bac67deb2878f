//! CreateDelegationToken, RenewDelegationToken, ExpireDelegationToken, DescribeDelegationToken (keys 38–41): only who
//! has proved who they are may have tokens (KIP-48), which nobody does on a PLAINTEXT listener.

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::*;

const ERROR: i16 = ErrorCode::DELEGATION_TOKEN_REQUEST_NOT_ALLOWED.0;
/// Says "no such time".
const NO_TIMESTAMP: i64 = -1;
/// Who is on the other side of a connection without authentication.
const ANONYMOUS: (&str, &str) = ("User", "ANONYMOUS");

pub(super) fn create(_: &Arc<Broker>, context: RequestContext, request: CreateDelegationTokenRequest) -> Reply {
    let (own_type, own_name) = (ANONYMOUS.0.to_owned(), ANONYMOUS.1.to_owned());
    let named = request.owner_principal_name.filter(|name| !name.is_empty() && context.version() >= 3);
    let (principal_type, principal_name) = match named {
        Some(name) => (request.owner_principal_type.unwrap_or_default(), name),
        None => (own_type.clone(), own_name.clone()),
    };
    let response = CreateDelegationTokenResponse {
        error_code: ERROR,
        principal_type,
        principal_name,
        token_requester_principal_type: own_type,
        token_requester_principal_name: own_name,
        issue_timestamp_ms: NO_TIMESTAMP,
        expiry_timestamp_ms: NO_TIMESTAMP,
        max_timestamp_ms: NO_TIMESTAMP,
        ..Default::default()
    };
    Reply::now(&context, &response)
}

pub(super) fn renew(_: &Arc<Broker>, context: RequestContext, _: RenewDelegationTokenRequest) -> Reply {
    let response =
        RenewDelegationTokenResponse { error_code: ERROR, expiry_timestamp_ms: NO_TIMESTAMP, ..Default::default() };
    Reply::now(&context, &response)
}

pub(super) fn expire(_: &Arc<Broker>, context: RequestContext, _: ExpireDelegationTokenRequest) -> Reply {
    let response =
        ExpireDelegationTokenResponse { error_code: ERROR, expiry_timestamp_ms: NO_TIMESTAMP, ..Default::default() };
    Reply::now(&context, &response)
}

pub(super) fn describe(_: &Arc<Broker>, context: RequestContext, _: DescribeDelegationTokenRequest) -> Reply {
    Reply::now(&context, &DescribeDelegationTokenResponse { error_code: ERROR, ..Default::default() })
}
