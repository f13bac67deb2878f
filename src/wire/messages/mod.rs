//! Every message of the Kafka protocol that this package speaks, each declared once with its versions.
//!
//! The declarations follow the schema of Apache Kafka 3.9; `[a..=b]` are the versions that carry a field,
//! `tag n` makes it a tagged field (KIP-482).

/// What a declaration needs in scope.
mod prelude {
    pub(super) use crate::wire::codec::{Bytes, Message, Request, Uuid};
    pub(super) use crate::wire::codec::{api, messages};
}

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod allocate_producer_ids;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_user_scram_credentials;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod consumer_protocol_assignment;
pub mod consumer_protocol_subscription;
pub mod controlled_shutdown;
pub mod create_acls;
pub mod create_delegation_token;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_delegation_token;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
pub mod envelope;
pub mod expire_delegation_token;
pub mod fetch;
pub mod find_coordinator;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leader_and_isr;
pub mod leave_group;
pub mod list_client_metrics_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod renew_delegation_token;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod stop_replica;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod update_features;
pub mod update_metadata;
pub mod write_txn_markers;

pub use add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};
pub use add_partitions_to_txn::{AddPartitionsToTxnRequest, AddPartitionsToTxnResponse};
pub use allocate_producer_ids::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
pub use alter_client_quotas::{AlterClientQuotasRequest, AlterClientQuotasResponse};
pub use alter_configs::{AlterConfigsRequest, AlterConfigsResponse};
pub use alter_partition::{AlterPartitionRequest, AlterPartitionResponse};
pub use alter_partition_reassignments::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
pub use alter_replica_log_dirs::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
pub use alter_user_scram_credentials::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};
pub use api_versions::{ApiVersionsRequest, ApiVersionsResponse};
pub use consumer_group_describe::{ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse};
pub use consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
pub use consumer_protocol_assignment::ConsumerProtocolAssignment;
pub use consumer_protocol_subscription::ConsumerProtocolSubscription;
pub use controlled_shutdown::{ControlledShutdownRequest, ControlledShutdownResponse};
pub use create_acls::{CreateAclsRequest, CreateAclsResponse};
pub use create_delegation_token::{CreateDelegationTokenRequest, CreateDelegationTokenResponse};
pub use create_partitions::{CreatePartitionsRequest, CreatePartitionsResponse};
pub use create_topics::{CreateTopicsRequest, CreateTopicsResponse};
pub use delete_acls::{DeleteAclsRequest, DeleteAclsResponse};
pub use delete_groups::{DeleteGroupsRequest, DeleteGroupsResponse};
pub use delete_records::{DeleteRecordsRequest, DeleteRecordsResponse};
pub use delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
pub use describe_acls::{DescribeAclsRequest, DescribeAclsResponse};
pub use describe_client_quotas::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};
pub use describe_cluster::{DescribeClusterRequest, DescribeClusterResponse};
pub use describe_configs::{DescribeConfigsRequest, DescribeConfigsResponse};
pub use describe_delegation_token::{DescribeDelegationTokenRequest, DescribeDelegationTokenResponse};
pub use describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse};
pub use describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse};
pub use describe_producers::{DescribeProducersRequest, DescribeProducersResponse};
pub use describe_quorum::{DescribeQuorumRequest, DescribeQuorumResponse};
pub use describe_topic_partitions::{DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse};
pub use describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse};
pub use describe_user_scram_credentials::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};
pub use elect_leaders::{ElectLeadersRequest, ElectLeadersResponse};
pub use end_txn::{EndTxnRequest, EndTxnResponse};
pub use envelope::{EnvelopeRequest, EnvelopeResponse};
pub use expire_delegation_token::{ExpireDelegationTokenRequest, ExpireDelegationTokenResponse};
pub use fetch::{FetchRequest, FetchResponse};
pub use find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse};
pub use get_telemetry_subscriptions::{GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse};
pub use heartbeat::{HeartbeatRequest, HeartbeatResponse};
pub use incremental_alter_configs::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
pub use init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
pub use join_group::{JoinGroupRequest, JoinGroupResponse};
pub use leader_and_isr::{LeaderAndIsrRequest, LeaderAndIsrResponse};
pub use leave_group::{LeaveGroupRequest, LeaveGroupResponse};
pub use list_client_metrics_resources::{ListClientMetricsResourcesRequest, ListClientMetricsResourcesResponse};
pub use list_groups::{ListGroupsRequest, ListGroupsResponse};
pub use list_offsets::{ListOffsetsRequest, ListOffsetsResponse};
pub use list_partition_reassignments::{ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse};
pub use list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
pub use metadata::{MetadataRequest, MetadataResponse};
pub use offset_commit::{OffsetCommitRequest, OffsetCommitResponse};
pub use offset_delete::{OffsetDeleteRequest, OffsetDeleteResponse};
pub use offset_fetch::{OffsetFetchRequest, OffsetFetchResponse};
pub use offset_for_leader_epoch::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
pub use produce::{ProduceRequest, ProduceResponse};
pub use renew_delegation_token::{RenewDelegationTokenRequest, RenewDelegationTokenResponse};
pub use sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};
pub use sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};
pub use stop_replica::{StopReplicaRequest, StopReplicaResponse};
pub use sync_group::{SyncGroupRequest, SyncGroupResponse};
pub use txn_offset_commit::{TxnOffsetCommitRequest, TxnOffsetCommitResponse};
pub use unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse};
pub use update_features::{UpdateFeaturesRequest, UpdateFeaturesResponse};
pub use update_metadata::{UpdateMetadataRequest, UpdateMetadataResponse};
pub use write_txn_markers::{WriteTxnMarkersRequest, WriteTxnMarkersResponse};

macro_rules! api_keys {
    ($($name:ident = $key:literal, $first:literal..=$last:literal, flexible $flexible:expr, $request:ident, $response:ident;)*) => {
        /// An API of the protocol, by the name and key of its schema.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(i16)]
        pub enum ApiKey {
            $( $name = $key, )*
        }

        impl ApiKey {
            /// Every API that is declared here, by key.
            pub const ALL: &[ApiKey] = &[$( ApiKey::$name, )*];

            pub fn from_i16(key: i16) -> Option<ApiKey> {
                match key { $( $key => Some(ApiKey::$name), )* _ => None }
            }

            pub fn name(self) -> &'static str {
                match self { $( ApiKey::$name => stringify!($name), )* }
            }

            /// The versions that are declared here.
            pub fn versions(self) -> std::ops::RangeInclusive<i16> {
                match self { $( ApiKey::$name => $first..=$last, )* }
            }

            /// Whether this version uses compact encodings and tagged fields (KIP-482).
            pub fn is_flexible(self, version: i16) -> bool {
                match self { $( ApiKey::$name => version >= $flexible, )* }
            }
        }

        /// A random request and response of this version, as bytes.
        #[cfg(test)]
        pub(crate) fn random_bodies(
            api: ApiKey,
            version: i16,
            source: &mut crate::wire::codec::random::Source,
        ) -> (Vec<u8>, Vec<u8>) {
            use crate::wire::codec::{Message, random::Random};
            match api { $( ApiKey::$name => (
                $request::random(source).to_bytes(version).unwrap(),
                $response::random(source).to_bytes(version).unwrap(),
            ), )* }
        }

        /// What we make of the bytes of a request (or response) when we read them and write them again.
        #[cfg(test)]
        fn read_and_write(
            api: ApiKey,
            version: i16,
            is_request: bool,
            body: crate::wire::Bytes,
        ) -> crate::wire::codec::Result<Vec<u8>> {
            use crate::wire::codec::Message;
            match api { $( ApiKey::$name => {
                if is_request { $request::decode(body, version)?.to_bytes(version) } else { $response::decode(body, version)?.to_bytes(version) }
            } )* }
        }
    };
}

api_keys! {
    Produce = 0, 0..=11, flexible 9, ProduceRequest, ProduceResponse;
    Fetch = 1, 0..=17, flexible 12, FetchRequest, FetchResponse;
    ListOffsets = 2, 0..=9, flexible 6, ListOffsetsRequest, ListOffsetsResponse;
    Metadata = 3, 0..=12, flexible 9, MetadataRequest, MetadataResponse;
    LeaderAndIsr = 4, 0..=7, flexible 4, LeaderAndIsrRequest, LeaderAndIsrResponse;
    StopReplica = 5, 0..=4, flexible 2, StopReplicaRequest, StopReplicaResponse;
    UpdateMetadata = 6, 0..=8, flexible 6, UpdateMetadataRequest, UpdateMetadataResponse;
    ControlledShutdown = 7, 0..=3, flexible 3, ControlledShutdownRequest, ControlledShutdownResponse;
    OffsetCommit = 8, 0..=9, flexible 8, OffsetCommitRequest, OffsetCommitResponse;
    OffsetFetch = 9, 0..=9, flexible 6, OffsetFetchRequest, OffsetFetchResponse;
    FindCoordinator = 10, 0..=6, flexible 3, FindCoordinatorRequest, FindCoordinatorResponse;
    JoinGroup = 11, 0..=9, flexible 6, JoinGroupRequest, JoinGroupResponse;
    Heartbeat = 12, 0..=4, flexible 4, HeartbeatRequest, HeartbeatResponse;
    LeaveGroup = 13, 0..=5, flexible 4, LeaveGroupRequest, LeaveGroupResponse;
    SyncGroup = 14, 0..=5, flexible 4, SyncGroupRequest, SyncGroupResponse;
    DescribeGroups = 15, 0..=5, flexible 5, DescribeGroupsRequest, DescribeGroupsResponse;
    ListGroups = 16, 0..=5, flexible 3, ListGroupsRequest, ListGroupsResponse;
    SaslHandshake = 17, 0..=1, flexible i16::MAX, SaslHandshakeRequest, SaslHandshakeResponse;
    ApiVersions = 18, 0..=4, flexible 3, ApiVersionsRequest, ApiVersionsResponse;
    CreateTopics = 19, 0..=7, flexible 5, CreateTopicsRequest, CreateTopicsResponse;
    DeleteTopics = 20, 0..=6, flexible 4, DeleteTopicsRequest, DeleteTopicsResponse;
    DeleteRecords = 21, 0..=2, flexible 2, DeleteRecordsRequest, DeleteRecordsResponse;
    InitProducerId = 22, 0..=5, flexible 2, InitProducerIdRequest, InitProducerIdResponse;
    OffsetForLeaderEpoch = 23, 0..=4, flexible 4, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse;
    AddPartitionsToTxn = 24, 0..=5, flexible 3, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse;
    AddOffsetsToTxn = 25, 0..=4, flexible 3, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse;
    EndTxn = 26, 0..=4, flexible 3, EndTxnRequest, EndTxnResponse;
    WriteTxnMarkers = 27, 0..=1, flexible 1, WriteTxnMarkersRequest, WriteTxnMarkersResponse;
    TxnOffsetCommit = 28, 0..=4, flexible 3, TxnOffsetCommitRequest, TxnOffsetCommitResponse;
    DescribeAcls = 29, 0..=3, flexible 2, DescribeAclsRequest, DescribeAclsResponse;
    CreateAcls = 30, 0..=3, flexible 2, CreateAclsRequest, CreateAclsResponse;
    DeleteAcls = 31, 0..=3, flexible 2, DeleteAclsRequest, DeleteAclsResponse;
    DescribeConfigs = 32, 0..=4, flexible 4, DescribeConfigsRequest, DescribeConfigsResponse;
    AlterConfigs = 33, 0..=2, flexible 2, AlterConfigsRequest, AlterConfigsResponse;
    AlterReplicaLogDirs = 34, 0..=2, flexible 2, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse;
    DescribeLogDirs = 35, 0..=4, flexible 2, DescribeLogDirsRequest, DescribeLogDirsResponse;
    SaslAuthenticate = 36, 0..=2, flexible 2, SaslAuthenticateRequest, SaslAuthenticateResponse;
    CreatePartitions = 37, 0..=3, flexible 2, CreatePartitionsRequest, CreatePartitionsResponse;
    CreateDelegationToken = 38, 0..=3, flexible 2, CreateDelegationTokenRequest, CreateDelegationTokenResponse;
    RenewDelegationToken = 39, 0..=2, flexible 2, RenewDelegationTokenRequest, RenewDelegationTokenResponse;
    ExpireDelegationToken = 40, 0..=2, flexible 2, ExpireDelegationTokenRequest, ExpireDelegationTokenResponse;
    DescribeDelegationToken = 41, 0..=3, flexible 2, DescribeDelegationTokenRequest, DescribeDelegationTokenResponse;
    DeleteGroups = 42, 0..=2, flexible 2, DeleteGroupsRequest, DeleteGroupsResponse;
    ElectLeaders = 43, 0..=2, flexible 2, ElectLeadersRequest, ElectLeadersResponse;
    IncrementalAlterConfigs = 44, 0..=1, flexible 1, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse;
    AlterPartitionReassignments = 45, 0..=0, flexible 0, AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse;
    ListPartitionReassignments = 46, 0..=0, flexible 0, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse;
    OffsetDelete = 47, 0..=0, flexible i16::MAX, OffsetDeleteRequest, OffsetDeleteResponse;
    DescribeClientQuotas = 48, 0..=1, flexible 1, DescribeClientQuotasRequest, DescribeClientQuotasResponse;
    AlterClientQuotas = 49, 0..=1, flexible 1, AlterClientQuotasRequest, AlterClientQuotasResponse;
    DescribeUserScramCredentials = 50, 0..=0, flexible 0, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse;
    AlterUserScramCredentials = 51, 0..=0, flexible 0, AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse;
    DescribeQuorum = 55, 0..=2, flexible 0, DescribeQuorumRequest, DescribeQuorumResponse;
    AlterPartition = 56, 0..=3, flexible 0, AlterPartitionRequest, AlterPartitionResponse;
    UpdateFeatures = 57, 0..=1, flexible 0, UpdateFeaturesRequest, UpdateFeaturesResponse;
    Envelope = 58, 0..=0, flexible 0, EnvelopeRequest, EnvelopeResponse;
    DescribeCluster = 60, 0..=1, flexible 0, DescribeClusterRequest, DescribeClusterResponse;
    DescribeProducers = 61, 0..=0, flexible 0, DescribeProducersRequest, DescribeProducersResponse;
    UnregisterBroker = 64, 0..=0, flexible 0, UnregisterBrokerRequest, UnregisterBrokerResponse;
    DescribeTransactions = 65, 0..=0, flexible 0, DescribeTransactionsRequest, DescribeTransactionsResponse;
    ListTransactions = 66, 0..=1, flexible 0, ListTransactionsRequest, ListTransactionsResponse;
    AllocateProducerIds = 67, 0..=0, flexible 0, AllocateProducerIdsRequest, AllocateProducerIdsResponse;
    ConsumerGroupHeartbeat = 68, 0..=1, flexible 0, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse;
    ConsumerGroupDescribe = 69, 0..=1, flexible 0, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse;
    GetTelemetrySubscriptions = 71, 0..=0, flexible 0, GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse;
    ListClientMetricsResources = 74, 0..=0, flexible 0, ListClientMetricsResourcesRequest, ListClientMetricsResourcesResponse;
    DescribeTopicPartitions = 75, 0..=0, flexible 0, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse;
}

#[cfg(test)]
mod tests;
