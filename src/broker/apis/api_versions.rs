//! ApiVersions (key 18), versions 0–4: what this broker serves.
//!
//! - A version that we do not know is answered in version 0, with the versions of ApiVersions that we do (KIP-511).
//! - v3 says who the client is · v4 lists features whose lowest version is 0; there are none in ZooKeeper mode.

use std::sync::Arc;

use super::APIS;
use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::api_versions::ApiVersion;
use crate::wire::messages::{ApiVersionsRequest, ApiVersionsResponse};
use crate::wire::{ApiKey, ErrorCode};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: ApiVersionsRequest) -> Reply {
    let named = is_software_name(&request.client_software_name) && is_software_name(&request.client_software_version);
    if context.version() >= 3 && !named {
        let refusal = ApiVersionsResponse { error_code: ErrorCode::INVALID_REQUEST.0, ..Default::default() };
        return Reply::now(&context, &refusal);
    }
    let api_keys = APIS
        .iter()
        .map(|api| ApiVersion {
            api_key: api.key as i16,
            min_version: *api.versions.start(),
            max_version: match api.key {
                // As Apache 3.9.1 has it, which refuses every call.
                ApiKey::ConsumerGroupHeartbeat | ApiKey::ConsumerGroupDescribe
                    if !broker.serves_consumer_protocol() =>
                {
                    0
                }
                _ => *api.versions.end(),
            },
        })
        .collect();
    // The epoch is the version of the registry's /feature node, which nothing here ever changes.
    Reply::now(&context, &ApiVersionsResponse { api_keys, finalized_features_epoch: 0, ..Default::default() })
}

/// The answer to a version from the future.
pub(super) fn unsupported_version(context: &RequestContext) -> Reply {
    let mut context = context.clone();
    context.header.api_version = 0;
    let versions = ApiKey::ApiVersions.versions();
    let own = ApiVersion {
        api_key: ApiKey::ApiVersions as i16,
        min_version: *versions.start(),
        max_version: *versions.end(),
    };
    let response =
        ApiVersionsResponse { error_code: ErrorCode::UNSUPPORTED_VERSION.0, api_keys: vec![own], ..Default::default() };
    Reply::now(&context, &response)
}

/// Letters, digits, dots and dashes, the last two not at either end.
fn is_software_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else { return false };
    first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && text.bytes().all(inner)
}
