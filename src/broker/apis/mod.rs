//! The requests that this broker serves: [`APIS`] is the table, each row an API with its versions and its handler,
//! each handler a file of its own named after the API.
//!
//! What is not in the table is not advertised, and a client that sends it all the same is disconnected, as Apache's
//! broker does it; so is one whose request does not parse.

mod api_versions;
mod delete_records;
mod describe_cluster;
mod fetch;
mod fetch_session;
mod leader_and_isr;
mod leaders;
mod list_offsets;
mod metadata;
mod offset_for_leader_epoch;
mod produce;
mod stop_replica;
mod update_metadata;

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::*;
use crate::wire::{ApiKey, Bytes, Message};
pub(super) use fetch_session::FetchSessions;

/// One row of the table.
struct Api {
    key: ApiKey,
    versions: RangeInclusive<i16>,
    /// Does what must happen in the order of the connection's requests before it returns.
    handle: fn(&Arc<Broker>, RequestContext, Bytes) -> Reply,
}

/// `Name versions => handler(RequestType)`: the handler gets the decoded request.
/// `Name versions => handler(bytes)`: it parses the body itself.
macro_rules! apis {
    ($($key:ident $first:literal..=$last:literal => $($handler:ident)::+($request:ident);)*) => {
        /// Every API that is served, by key; the versions are those of Apache Kafka 3.9.1 in ZooKeeper mode.
        static APIS: &[Api] = &[$(
            Api { key: ApiKey::$key, versions: $first..=$last, handle: apis!(@handle $($handler)::+, $request) },
        )*];
    };
    (@handle $($handler:ident)::+, bytes) => { $($handler)::+ };
    (@handle $($handler:ident)::+, $request:ident) => {
        |broker, context, body| match $request::decode(body, context.version()) {
            Ok(request) => $($handler)::+(broker, context, request),
            Err(error) => {
                tracing::debug!(address = %context.client_address, key = $request::KEY, %error, "malformed request");
                Reply::Close
            }
        }
    };
}

apis! {
    Produce 0..=11 => produce::handle(bytes);
    Fetch 0..=17 => fetch::handle(bytes);
    ListOffsets 0..=9 => list_offsets::handle(ListOffsetsRequest);
    Metadata 0..=12 => metadata::handle(MetadataRequest);
    LeaderAndIsr 0..=7 => leader_and_isr::handle(LeaderAndIsrRequest);
    StopReplica 0..=4 => stop_replica::handle(StopReplicaRequest);
    UpdateMetadata 0..=8 => update_metadata::handle(UpdateMetadataRequest);
    ApiVersions 0..=4 => api_versions::handle(ApiVersionsRequest);
    DeleteRecords 0..=2 => delete_records::handle(DeleteRecordsRequest);
    OffsetForLeaderEpoch 0..=4 => offset_for_leader_epoch::handle(OffsetForLeaderEpochRequest);
    DescribeCluster 0..=1 => describe_cluster::handle(DescribeClusterRequest);
}

/// Finds the row of a request and lets its handler answer.
pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, body: Bytes) -> Reply {
    let Some(api) = APIS.iter().find(|api| Some(api.key) == context.api) else { return Reply::Close };
    if api.versions.contains(&context.version()) {
        return (api.handle)(broker, context, body);
    }
    match api.key {
        // Whoever asks this does not know our versions yet.
        ApiKey::ApiVersions => api_versions::unsupported_version(&context),
        _ => Reply::Close,
    }
}

#[cfg(test)]
mod tests;
