//! The requests that this broker serves: [`APIS`] is the table, each row an API with its versions and its handler,
//! each handler a file of its own named after the API.
//!
//! What is not in the table is not advertised, and a client that sends it all the same is disconnected, as Apache's
//! broker does it; so is one whose request does not parse.

mod acls;
mod add_offsets_to_txn;
mod add_partitions_to_txn;
mod allocate_producer_ids;
mod alter_client_quotas;
mod alter_configs;
mod alter_partition;
mod alter_partition_reassignments;
mod alter_replica_log_dirs;
mod alter_user_scram_credentials;
mod api_versions;
mod consumer_group_describe;
mod consumer_group_heartbeat;
mod controlled_shutdown;
mod create_partitions;
mod create_topics;
mod delegation_tokens;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_client_quotas;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod describe_log_dirs;
mod describe_producers;
mod describe_transactions;
mod describe_user_scram_credentials;
mod elect_leaders;
mod end_txn;
mod envelope;
mod fetch;
mod fetch_session;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leader_and_isr;
mod leaders;
mod leave_group;
mod list_groups;
mod list_offsets;
mod list_partition_reassignments;
mod list_transactions;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
mod sasl;
mod stop_replica;
mod sync_group;
mod txn_offset_commit;
mod update_features;
mod update_metadata;
mod write_txn_markers;

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::messages::*;
use crate::wire::{ApiKey, Bytes, ErrorCode, Message, Reader};
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
        /// Every API that is served, by key; the versions are those of Apache Kafka 3.9.1 in ZooKeeper mode, but for the
        /// two of KIP-848, which go up to what 4.1 knows: 3.9.1 advertises them and serves neither.
        static APIS: &[Api] = &[$(
            Api { key: ApiKey::$key, versions: $first..=$last, handle: apis!(@handle $($handler)::+, $request) },
        )*];
    };
    (@handle $($handler:ident)::+, bytes) => { $($handler)::+ };
    (@handle $($handler:ident)::+, $request:ident) => {
        // Bytes after the message are let be, as Apache's brokers do: librdkafka 2.12 has three of them at
        // the end of a Metadata request for all topics.
        |broker, context, body| match $request::decode_from(&mut Reader::new(body), context.version()) {
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
    ControlledShutdown 0..=3 => controlled_shutdown::handle(ControlledShutdownRequest);
    OffsetCommit 0..=9 => offset_commit::handle(OffsetCommitRequest);
    OffsetFetch 0..=9 => offset_fetch::handle(OffsetFetchRequest);
    FindCoordinator 0..=6 => find_coordinator::handle(FindCoordinatorRequest);
    JoinGroup 0..=9 => join_group::handle(JoinGroupRequest);
    Heartbeat 0..=4 => heartbeat::handle(HeartbeatRequest);
    LeaveGroup 0..=5 => leave_group::handle(LeaveGroupRequest);
    SyncGroup 0..=5 => sync_group::handle(SyncGroupRequest);
    DescribeGroups 0..=5 => describe_groups::handle(DescribeGroupsRequest);
    ListGroups 0..=5 => list_groups::handle(ListGroupsRequest);
    SaslHandshake 0..=1 => sasl::handshake(SaslHandshakeRequest);
    ApiVersions 0..=4 => api_versions::handle(ApiVersionsRequest);
    CreateTopics 0..=7 => create_topics::handle(CreateTopicsRequest);
    DeleteTopics 0..=6 => delete_topics::handle(DeleteTopicsRequest);
    DeleteRecords 0..=2 => delete_records::handle(DeleteRecordsRequest);
    InitProducerId 0..=5 => init_producer_id::handle(InitProducerIdRequest);
    OffsetForLeaderEpoch 0..=4 => offset_for_leader_epoch::handle(OffsetForLeaderEpochRequest);
    AddPartitionsToTxn 0..=5 => add_partitions_to_txn::handle(AddPartitionsToTxnRequest);
    AddOffsetsToTxn 0..=4 => add_offsets_to_txn::handle(AddOffsetsToTxnRequest);
    EndTxn 0..=4 => end_txn::handle(EndTxnRequest);
    WriteTxnMarkers 0..=1 => write_txn_markers::handle(WriteTxnMarkersRequest);
    TxnOffsetCommit 0..=4 => txn_offset_commit::handle(TxnOffsetCommitRequest);
    DescribeAcls 0..=3 => acls::describe(DescribeAclsRequest);
    CreateAcls 0..=3 => acls::create(CreateAclsRequest);
    DeleteAcls 0..=3 => acls::delete(DeleteAclsRequest);
    DescribeConfigs 0..=4 => describe_configs::handle(DescribeConfigsRequest);
    AlterConfigs 0..=2 => alter_configs::handle(AlterConfigsRequest);
    AlterReplicaLogDirs 0..=2 => alter_replica_log_dirs::handle(AlterReplicaLogDirsRequest);
    DescribeLogDirs 0..=4 => describe_log_dirs::handle(DescribeLogDirsRequest);
    SaslAuthenticate 0..=2 => sasl::authenticate(SaslAuthenticateRequest);
    CreatePartitions 0..=3 => create_partitions::handle(CreatePartitionsRequest);
    CreateDelegationToken 0..=3 => delegation_tokens::create(CreateDelegationTokenRequest);
    RenewDelegationToken 0..=2 => delegation_tokens::renew(RenewDelegationTokenRequest);
    ExpireDelegationToken 0..=2 => delegation_tokens::expire(ExpireDelegationTokenRequest);
    DescribeDelegationToken 0..=3 => delegation_tokens::describe(DescribeDelegationTokenRequest);
    DeleteGroups 0..=2 => delete_groups::handle(DeleteGroupsRequest);
    ElectLeaders 0..=2 => elect_leaders::handle(ElectLeadersRequest);
    IncrementalAlterConfigs 0..=1 => incremental_alter_configs::handle(IncrementalAlterConfigsRequest);
    AlterPartitionReassignments 0..=0 => alter_partition_reassignments::handle(AlterPartitionReassignmentsRequest);
    ListPartitionReassignments 0..=0 => list_partition_reassignments::handle(ListPartitionReassignmentsRequest);
    OffsetDelete 0..=0 => offset_delete::handle(OffsetDeleteRequest);
    DescribeClientQuotas 0..=1 => describe_client_quotas::handle(DescribeClientQuotasRequest);
    AlterClientQuotas 0..=1 => alter_client_quotas::handle(AlterClientQuotasRequest);
    DescribeUserScramCredentials 0..=0 => describe_user_scram_credentials::handle(DescribeUserScramCredentialsRequest);
    AlterUserScramCredentials 0..=0 => alter_user_scram_credentials::handle(AlterUserScramCredentialsRequest);
    AlterPartition 0..=3 => alter_partition::handle(AlterPartitionRequest);
    UpdateFeatures 0..=1 => update_features::handle(UpdateFeaturesRequest);
    Envelope 0..=0 => envelope::handle(EnvelopeRequest);
    DescribeCluster 0..=1 => describe_cluster::handle(DescribeClusterRequest);
    DescribeProducers 0..=0 => describe_producers::handle(DescribeProducersRequest);
    DescribeTransactions 0..=0 => describe_transactions::handle(DescribeTransactionsRequest);
    ListTransactions 0..=1 => list_transactions::handle(ListTransactionsRequest);
    AllocateProducerIds 0..=0 => allocate_producer_ids::handle(AllocateProducerIdsRequest);
    ConsumerGroupHeartbeat 0..=1 => consumer_group_heartbeat::handle(ConsumerGroupHeartbeatRequest);
    ConsumerGroupDescribe 0..=1 => consumer_group_describe::handle(ConsumerGroupDescribeRequest);
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

/// What a producer that was fenced is told: PRODUCER_FENCED from version `since` on, INVALID_PRODUCER_EPOCH before
/// (KIP-588).
fn fenced_as_of(version: i16, since: i16, error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::PRODUCER_FENCED if version < since => ErrorCode::INVALID_PRODUCER_EPOCH,
        error => error,
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
