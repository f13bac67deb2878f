//! The same requests to Apache's broker and to ours, and the same answers. `OTTLA_TEST_APACHE=host:port` names an Apache
//! Kafka 3.9.1 in ZooKeeper mode with id 0 and no earlier data; without it nothing is asked.

use std::fmt::Debug;

use ottla::network::Peer;
use ottla::wire::batch::BatchBuilder;
use ottla::wire::messages::*;
use ottla::wire::messages::{
    add_partitions_to_txn as add_partitions, alter_client_quotas as alter_quotas,
    alter_user_scram_credentials as alter_scram, create_acls, create_delegation_token, delete_acls,
    describe_client_quotas as quotas, describe_producers, describe_user_scram_credentials as scram, list_offsets,
    offset_for_leader_epoch as epochs, update_features, write_txn_markers,
};
use ottla::wire::{Bytes, Request};

use crate::broker::*;

/// Both brokers, and what they did not agree on.
struct Pair {
    apache: String,
    ours: String,
    differences: Vec<String>,
    asked: usize,
}

impl Pair {
    /// Asks both in each of these versions.
    async fn ask<R: Request + Debug>(&mut self, what: &str, request: &R, versions: std::ops::RangeInclusive<i16>)
    where
        R::Response: Debug,
    {
        for version in versions {
            let (theirs, ours) = (one(&self.apache, request, version).await, one(&self.ours, request, version).await);
            self.asked += 1;
            if theirs != ours {
                self.differences
                    .push(format!("{what} v{version}\n  {request:?}\n  Apache: {theirs}\n  ours:   {ours}"));
            }
        }
    }

    async fn every<R: Request + Debug>(&mut self, what: &str, request: &R)
    where
        R::Response: Debug,
    {
        self.ask(what, request, R::VERSIONS.clone()).await;
    }
}

/// What a broker answers, on a connection of its own.
async fn one<R: Request>(address: &str, request: &R, version: i16) -> String
where
    R::Response: Debug,
{
    let peer = Peer::connect(address, "differential").await.unwrap();
    match peer.call(request, version).await {
        Ok(response) => format!("{response:?}").replace(address.rsplit(':').next().unwrap(), "PORT"),
        Err(error) => error.to_string().replace(address, "ADDRESS"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_apache() {
    let Ok(apache) = std::env::var("OTTLA_TEST_APACHE") else { return };
    let broker = TestBroker::start_with(&[
        ("offsets.topic.replication.factor", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
    ])
    .await;
    let mut pair = Pair { apache, ours: broker.address(), differences: Vec::new(), asked: 0 };
    versions(&mut pair).await;
    security(&mut pair).await;
    client_quotas(&mut pair).await;
    scram_credentials(&mut pair).await;
    features(&mut pair).await;
    transactions(&mut pair).await;
    produces(&mut pair).await;
    offsets(&mut pair).await;
    assert!(pair.asked > 100);
    assert!(
        pair.differences.is_empty(),
        "{} of {}:\n{}",
        pair.differences.len(),
        pair.asked,
        pair.differences.join("\n")
    );
}

async fn versions(pair: &mut Pair) {
    let request = ApiVersionsRequest { client_software_name: "x".into(), client_software_version: "1".into() };
    pair.every("ApiVersions", &request).await;
    pair.every("ApiVersions without a name", &ApiVersionsRequest::default()).await;
}

async fn security(pair: &mut Pair) {
    pair.every("SaslHandshake", &SaslHandshakeRequest { mechanism: "PLAIN".into() }).await;
    pair.every("SaslAuthenticate", &SaslAuthenticateRequest { auth_bytes: Bytes::from_static(b"x") }).await;
    let any = |resource_type_filter| DescribeAclsRequest {
        resource_type_filter,
        resource_name_filter: None,
        pattern_type_filter: 3,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    pair.every("DescribeAcls", &any(1)).await;
    pair.every("DescribeAcls", &any(0)).await;
    let creation = create_acls::AclCreation {
        resource_type: 2,
        resource_name: "t".into(),
        resource_pattern_type: 3,
        principal: "User:x".into(),
        host: "*".into(),
        operation: 3,
        permission_type: 3,
    };
    pair.every("CreateAcls", &CreateAclsRequest { creations: vec![creation.clone(), creation] }).await;
    pair.every("CreateAcls of none", &CreateAclsRequest::default()).await;
    let filter = delete_acls::DeleteAclsFilter {
        resource_type_filter: 2,
        resource_name_filter: Some("t".into()),
        pattern_type_filter: 3,
        principal_filter: None,
        host_filter: None,
        operation: 1,
        permission_type: 1,
    };
    pair.every("DeleteAcls", &DeleteAclsRequest { filters: vec![filter] }).await;
    let renewers =
        vec![create_delegation_token::CreatableRenewers { principal_type: "User".into(), principal_name: "r".into() }];
    let mine = CreateDelegationTokenRequest { renewers, max_lifetime_ms: 1000, ..Default::default() };
    pair.every("CreateDelegationToken", &mine).await;
    let owner_principal_name = Some("o".to_owned());
    let owner_principal_type = Some("User".to_owned());
    let theirs = CreateDelegationTokenRequest { owner_principal_type, owner_principal_name, ..mine };
    pair.ask("CreateDelegationToken of another", &theirs, 3..=3).await;
    let hmac = Bytes::from_static(b"x");
    pair.every("RenewDelegationToken", &RenewDelegationTokenRequest { hmac: hmac.clone(), renew_period_ms: 1 }).await;
    pair.every("ExpireDelegationToken", &ExpireDelegationTokenRequest { hmac, expiry_time_period_ms: 1 }).await;
    pair.every("DescribeDelegationToken", &DescribeDelegationTokenRequest { owners: None }).await;
    let envelope = EnvelopeRequest { request_principal: None, ..Default::default() };
    pair.every("Envelope", &envelope).await;
    pair.every("DescribeQuorum", &DescribeQuorumRequest::default()).await;
    pair.every("UnregisterBroker", &UnregisterBrokerRequest::default()).await;
    pair.every("GetTelemetrySubscriptions", &GetTelemetrySubscriptionsRequest::default()).await;
    pair.every("ListClientMetricsResources", &ListClientMetricsResourcesRequest::default()).await;
    pair.every("DescribeTopicPartitions", &DescribeTopicPartitionsRequest::default()).await;
}

fn entity(parts: &[(&str, Option<&str>)]) -> Vec<alter_quotas::EntityDataRequest> {
    let part = |&(kind, name): &(&str, Option<&str>)| alter_quotas::EntityDataRequest {
        entity_type: kind.into(),
        entity_name: name.map(str::to_owned),
    };
    parts.iter().map(part).collect()
}

fn set(key: &str, value: f64) -> alter_quotas::OpData {
    alter_quotas::OpData { key: key.into(), value, remove: false }
}

async fn client_quotas(pair: &mut Pair) {
    let user = ("user", Some("u x"));
    let alterations = [
        (entity(&[user]), vec![set("request_percentage", 1e8)]),
        (entity(&[user, ("client-id", None)]), vec![set("consumer_byte_rate", 5.0)]),
        (entity(&[("client-id", Some("c"))]), vec![set("controller_mutation_rate", 0.25)]),
        (entity(&[("ip", Some("127.0.0.9"))]), vec![set("connection_creation_rate", 9000.0)]),
        (entity(&[("ip", None)]), vec![set("connection_creation_rate", -1.0)]),
        (entity(&[("ip", None)]), vec![set("producer_byte_rate", 1.0)]),
        (entity(&[user]), vec![set("producer_byte_rate", 1.5)]),
        (entity(&[user]), vec![set("nope", 1.0)]),
        (entity(&[user]), vec![set("SCRAM-SHA-256", 1.0)]),
        (entity(&[("foo", None)]), vec![set("producer_byte_rate", 1.0)]),
        (entity(&[("user", Some(""))]), vec![set("producer_byte_rate", 1.0)]),
        (entity(&[]), vec![set("producer_byte_rate", 1.0)]),
        (entity(&[user, ("ip", None)]), vec![set("producer_byte_rate", 1.0)]),
        (entity(&[("ip", Some("no such host"))]), vec![set("connection_creation_rate", 1.0)]),
    ];
    for (entity, ops) in alterations {
        for validate_only in [true, false] {
            let entries = vec![alter_quotas::EntryDataRequest { entity: entity.clone(), ops: ops.clone() }];
            pair.every("AlterClientQuotas", &AlterClientQuotasRequest { entries, validate_only }).await;
        }
    }
    let component = |kind: &str, match_type: i8, name: Option<&str>| quotas::ComponentData {
        entity_type: kind.into(),
        match_type,
        r#match: name.map(str::to_owned),
    };
    let filters = [
        vec![component("user", 0, Some("u x"))],
        vec![component("user", 2, None)],
        vec![component("user", 1, None)],
        vec![component("user", 2, None), component("client-id", 1, None)],
        vec![component("client-id", 2, None)],
        vec![component("client-id", 0, Some("c"))],
        vec![component("ip", 2, None)],
        vec![component("ip", 0, Some("127.0.0.9"))],
        vec![component("ip", 2, None), component("user", 2, None)],
        vec![component("user", 2, None), component("user", 1, None)],
        vec![component("", 2, None)],
        vec![component("group", 2, None)],
        vec![component("user", 7, None)],
    ];
    for components in filters {
        for strict in [true, false] {
            let request = DescribeClientQuotasRequest { components: components.clone(), strict };
            pair.every("DescribeClientQuotas", &request).await;
        }
    }
    let remove = |key: &str| alter_quotas::OpData { key: key.into(), value: 0.0, remove: true };
    for (entity, key) in [
        (entity(&[user]), "request_percentage"),
        (entity(&[user, ("client-id", None)]), "consumer_byte_rate"),
        (entity(&[("client-id", Some("c"))]), "controller_mutation_rate"),
        (entity(&[("ip", Some("127.0.0.9"))]), "connection_creation_rate"),
    ] {
        let entries = vec![alter_quotas::EntryDataRequest { entity, ops: vec![remove(key)] }];
        pair.ask("AlterClientQuotas", &AlterClientQuotasRequest { entries, validate_only: false }, 1..=1).await;
    }
}

async fn scram_credentials(pair: &mut Pair) {
    let upsertion = |name: &str, mechanism: i8, iterations: i32| alter_scram::ScramCredentialUpsertion {
        name: name.into(),
        mechanism,
        iterations,
        salt: Bytes::from_static(b"salt"),
        salted_password: Bytes::from_static(b"salted"),
    };
    let deletion = |name: &str, mechanism: i8| alter_scram::ScramCredentialDeletion { name: name.into(), mechanism };
    let requests = [
        (vec![], vec![upsertion("alice", 1, 4096)]),
        (vec![], vec![upsertion("alice", 2, 8192)]),
        (vec![], vec![upsertion("bob", 1, 4095)]),
        (vec![], vec![upsertion("bob", 1, 16385)]),
        (vec![], vec![upsertion("bob", 0, 4096)]),
        (vec![], vec![upsertion("bob", 9, 4096)]),
        (vec![], vec![upsertion("", 1, 4096)]),
        (vec![], vec![upsertion("bob", 1, 4096), upsertion("bob", 1, 4096)]),
        (vec![deletion("alice", 1)], vec![upsertion("alice", 1, 4096)]),
        (vec![deletion("carol", 1)], vec![]),
        (vec![deletion("carol", 0)], vec![]),
        (vec![deletion("", 1)], vec![]),
        (vec![deletion("alice", 2)], vec![]),
    ];
    for (deletions, upsertions) in requests {
        pair.every("AlterUserScramCredentials", &AlterUserScramCredentialsRequest { deletions, upsertions }).await;
    }
    for names in [None, Some(vec![]), Some(vec!["alice"]), Some(vec!["alice", "alice"]), Some(vec!["nobody", ""])] {
        let users = names.map(|names| names.into_iter().map(|name| scram::UserName { name: name.into() }).collect());
        pair.every("DescribeUserScramCredentials", &DescribeUserScramCredentialsRequest { users }).await;
    }
    let deletions = vec![deletion("alice", 1)];
    pair.every("AlterUserScramCredentials", &AlterUserScramCredentialsRequest { deletions, upsertions: vec![] }).await;
}

async fn features(pair: &mut Pair) {
    for feature in ["metadata.version", "transaction.version", ""] {
        for max_version_level in [-1, 0, 1, 2] {
            for (allow_downgrade, upgrade_type) in [(false, 1), (true, 2), (true, 3), (true, 0), (true, 9)] {
                let update = |allow_downgrade, upgrade_type| UpdateFeaturesRequest {
                    timeout_ms: 1000,
                    feature_updates: vec![update_features::FeatureUpdateKey {
                        feature: feature.into(),
                        max_version_level,
                        allow_downgrade,
                        upgrade_type,
                    }],
                    validate_only: false,
                };
                pair.ask("UpdateFeatures", &update(allow_downgrade, 1), 0..=0).await;
                pair.ask("UpdateFeatures", &update(false, upgrade_type), 1..=1).await;
            }
        }
    }
    pair.every("UpdateFeatures of none", &UpdateFeaturesRequest::default()).await;
}

/// Waits until both coordinators are there: the first request of all makes their topic.
async fn coordinators(pair: &Pair, key_type: i8, key: &str) {
    for address in [&pair.apache, &pair.ours] {
        let peer = Peer::connect(address, "differential").await.unwrap();
        for _ in 0..200 {
            let request = FindCoordinatorRequest { key: key.into(), key_type, ..Default::default() };
            if peer.call(&request, 3).await.unwrap().error_code == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

async fn transactions(pair: &mut Pair) {
    let topics = vec![create_topics::CreatableTopic {
        name: "differential".into(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    }];
    let create = CreateTopicsRequest { topics, timeout_ms: 10_000, validate_only: false };
    for address in [pair.apache.clone(), pair.ours.clone()] {
        one(&address, &create, 4).await;
    }
    coordinators(pair, 1, "x").await;
    coordinators(pair, 0, "g").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let init = |id: Option<&str>, timeout: i32, producer_id: i64, producer_epoch: i16| InitProducerIdRequest {
        transactional_id: id.map(str::to_owned),
        transaction_timeout_ms: timeout,
        producer_id,
        producer_epoch,
    };
    let refused = [
        init(Some(""), 1000, -1, -1),
        init(Some("x"), 0, -1, -1),
        init(Some("x"), -1, -1, -1),
        init(Some("x"), 900_001, -1, -1),
        init(Some("x"), 1000, 5, -1),
        init(Some("x"), 1000, -1, 5),
        init(None, 0, 5, -1),
    ];
    for request in refused {
        pair.ask("InitProducerId", &request, 3..=5).await;
    }
    for id in ["", "nobody"] {
        let partitions = |name: &str, partitions: &[i32]| add_partitions::AddPartitionsToTxnTopic {
            name: name.into(),
            partitions: partitions.to_vec(),
        };
        for topics in [
            vec![partitions("differential", &[0])],
            vec![partitions("differential", &[7])],
            vec![partitions("nope", &[0]), partitions("differential", &[0])],
            vec![partitions("__consumer_offsets", &[0])],
            vec![],
        ] {
            let single = AddPartitionsToTxnRequest {
                v3_and_below_transactional_id: id.into(),
                v3_and_below_producer_id: 7,
                v3_and_below_topics: topics.clone(),
                ..Default::default()
            };
            pair.ask("AddPartitionsToTxn", &single, 0..=3).await;
            for verify_only in [false, true] {
                let transactions = vec![add_partitions::AddPartitionsToTxnTransaction {
                    transactional_id: id.into(),
                    producer_id: 7,
                    producer_epoch: 0,
                    verify_only,
                    topics: topics.clone(),
                }];
                pair.ask(
                    "AddPartitionsToTxn",
                    &AddPartitionsToTxnRequest { transactions, ..Default::default() },
                    4..=5,
                )
                .await;
            }
        }
        let offsets = AddOffsetsToTxnRequest {
            transactional_id: id.into(),
            producer_id: 7,
            producer_epoch: 0,
            group_id: "g".into(),
        };
        pair.every("AddOffsetsToTxn", &offsets).await;
        for committed in [true, false] {
            let end = EndTxnRequest { transactional_id: id.into(), producer_id: 7, producer_epoch: 0, committed };
            pair.every("EndTxn", &end).await;
        }
        pair.every("DescribeTransactions", &DescribeTransactionsRequest { transactional_ids: vec![id.into()] }).await;
    }
    for topics in [vec![("differential", vec![0])], vec![("differential", vec![9])], vec![("nope", vec![0])]] {
        let topic = |(name, partition_indexes): (&str, Vec<i32>)| write_txn_markers::WritableTxnMarkerTopic {
            name: name.into(),
            partition_indexes,
        };
        let marker = write_txn_markers::WritableTxnMarker {
            producer_id: 990,
            producer_epoch: 3,
            transaction_result: true,
            topics: topics.into_iter().map(topic).collect(),
            coordinator_epoch: 5,
        };
        pair.every("WriteTxnMarkers", &WriteTxnMarkersRequest { markers: vec![marker.clone()] }).await;
        let older = write_txn_markers::WritableTxnMarker { coordinator_epoch: 4, ..marker.clone() };
        pair.every("WriteTxnMarkers of an old coordinator", &WriteTxnMarkersRequest { markers: vec![older] }).await;
        let fenced = write_txn_markers::WritableTxnMarker { producer_epoch: 2, ..marker };
        pair.every("WriteTxnMarkers of an old epoch", &WriteTxnMarkersRequest { markers: vec![fenced] }).await;
    }
    let filters = ListTransactionsRequest {
        state_filters: vec!["Ongoing".into(), "Nonsense".into(), "ongoing".into()],
        producer_id_filters: vec![3],
        duration_filter: -1,
    };
    pair.every("ListTransactions", &filters).await;
}

/// A batch as an idempotent or transactional producer makes it.
fn of_producer(producer_id: i64, epoch: i16, sequence: i32, transactional: bool) -> Bytes {
    let mut batch = BatchBuilder::new().producer(producer_id, epoch, sequence);
    if transactional {
        batch = batch.transactional();
    }
    batch.append(1_700_000_000_000, Some(b"k"), Some(b"v"), &[]);
    batch.finish().into()
}

async fn produces(pair: &mut Pair) {
    let topics = vec![create_topics::CreatableTopic {
        name: "produced".into(),
        num_partitions: 2,
        replication_factor: 1,
        ..Default::default()
    }];
    let create = CreateTopicsRequest { topics, timeout_ms: 10_000, validate_only: false };
    for address in [pair.apache.clone(), pair.ours.clone()] {
        one(&address, &create, 4).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    let to = |topic: &str, partition: i32, acks: i16, id: Option<&str>, records: Bytes| ProduceRequest {
        transactional_id: id.map(str::to_owned),
        ..produce_request(topic, partition, acks, records.to_vec())
    };
    let plain = Bytes::from(batch(&["a", "b"]));
    let mut corrupt = plain.to_vec();
    corrupt[30] ^= 1;
    let twice = [&plain[..], &plain[..]].concat();
    for (what, request) in [
        ("Produce", to("produced", 0, -1, None, plain.clone())),
        ("Produce of acks=1", to("produced", 0, 1, None, plain.clone())),
        ("Produce of acks=5", to("produced", 0, 5, None, plain.clone())),
        ("Produce to no partition", to("produced", 7, -1, None, plain.clone())),
        ("Produce to no topic", to("nope", 0, -1, None, plain.clone())),
        ("Produce to an internal topic", to("__consumer_offsets", 0, -1, None, plain.clone())),
        ("Produce of a bad checksum", to("produced", 0, -1, None, corrupt.into())),
        ("Produce of two batches", to("produced", 0, -1, None, twice.into())),
        ("Produce of nothing", to("produced", 0, -1, None, Bytes::new())),
        ("Produce of half a batch", to("produced", 0, -1, None, plain.slice(..40))),
        ("Produce of a transaction without id", to("produced", 0, -1, None, of_producer(500, 0, 0, true))),
        ("Produce of a transaction of nobody", to("produced", 0, -1, Some("nobody"), of_producer(500, 0, 0, true))),
        ("Produce of an id without transaction", to("produced", 0, -1, Some("nobody"), plain.clone())),
        ("Produce of sequence 0", to("produced", 1, -1, None, of_producer(500, 0, 0, false))),
        ("Produce of sequence 1", to("produced", 1, -1, None, of_producer(500, 0, 1, false))),
        ("Produce of sequence 5", to("produced", 1, -1, None, of_producer(500, 0, 5, false))),
        ("Produce of sequence 1 again", to("produced", 1, -1, None, of_producer(500, 0, 1, false))),
        ("Produce of epoch 1", to("produced", 1, -1, None, of_producer(500, 1, 3, false))),
    ] {
        pair.ask(what, &request, 3..=11).await;
    }
    for partition_indexes in [vec![1], vec![9]] {
        let topics = vec![describe_producers::TopicRequest { name: "produced".into(), partition_indexes }];
        pair.every("DescribeProducers", &DescribeProducersRequest { topics }).await;
    }
}

async fn offsets(pair: &mut Pair) {
    for (topic, partition) in [("produced", 0), ("differential", 1), ("produced", 9), ("nope", 0)] {
        for timestamp in [-1, -2, -3, -4, -5, -6, 0, 1001, i64::MAX] {
            for (isolation_level, current_leader_epoch) in [(0, -1), (1, -1), (0, 0), (0, 5)] {
                let partitions = vec![list_offsets::ListOffsetsPartition {
                    partition_index: partition,
                    current_leader_epoch,
                    timestamp,
                    max_num_offsets: 2,
                }];
                let topics = vec![list_offsets::ListOffsetsTopic { name: topic.into(), partitions }];
                let request = ListOffsetsRequest { replica_id: -1, isolation_level, topics };
                pair.every("ListOffsets", &request).await;
            }
        }
        for (current_leader_epoch, leader_epoch) in [(-1, 0), (-1, 7), (0, 0), (5, 0), (-1, -1)] {
            let partitions = vec![epochs::OffsetForLeaderPartition { partition, current_leader_epoch, leader_epoch }];
            let topics = vec![epochs::OffsetForLeaderTopic { topic: topic.into(), partitions }];
            pair.every("OffsetForLeaderEpoch", &OffsetForLeaderEpochRequest { replica_id: -1, topics }).await;
        }
    }
    for key_type in [0, 1] {
        let request =
            FindCoordinatorRequest { key: "g".into(), key_type, coordinator_keys: vec!["g".into(), "x".into()] };
        pair.every("FindCoordinator", &request).await;
    }
    for key_type in [2, 3, -1] {
        let request = FindCoordinatorRequest { key: "g".into(), key_type, coordinator_keys: vec!["g".into()] };
        pair.ask("FindCoordinator", &request, 1..=6).await;
    }
}
