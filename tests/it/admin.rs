//! The admin requests against a broker, and what they leave in the registry.

use std::time::{Duration, Instant};

use ottla::network::Peer;
use ottla::registry::Session;
use ottla::registry::session::CreateMode;
use ottla::wire::messages::alter_configs;
use ottla::wire::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsTopic, CreatePartitionsTopicResult,
};
use ottla::wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatableTopicResult,
};
use ottla::wire::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use ottla::wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult,
};
use ottla::wire::messages::incremental_alter_configs::{AlterConfigsResource, AlterableConfig};
use ottla::wire::messages::*;
use ottla::wire::{ErrorCode, Uuid};

use crate::broker::{TestBroker, topic_metadata};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..Default::default() }
}

async fn create(peer: &Peer, topics: Vec<CreatableTopic>, timeout_ms: i32) -> Vec<CreatableTopicResult> {
    let request = CreateTopicsRequest { topics, timeout_ms, validate_only: false };
    peer.call(&request, 7).await.unwrap().topics
}

async fn create_one(peer: &Peer, topic: CreatableTopic) -> CreatableTopicResult {
    create(peer, vec![topic], 10_000).await.remove(0)
}

async fn delete(peer: &Peer, names: &[&str]) -> Vec<DeletableTopicResult> {
    let topics = names.iter().map(|name| DeleteTopicState { name: Some((*name).to_owned()), topic_id: Uuid::ZERO });
    let request = DeleteTopicsRequest { topics: topics.collect(), timeout_ms: 10_000, ..Default::default() };
    peer.call(&request, 6).await.unwrap().responses
}

async fn grow(peer: &Peer, name: &str, count: i32, assignments: Option<Vec<Vec<i32>>>) -> CreatePartitionsTopicResult {
    let rows = |rows: Vec<Vec<i32>>| {
        rows.into_iter().map(|broker_ids| CreatePartitionsAssignment { broker_ids }).collect::<Vec<_>>()
    };
    let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: assignments.map(rows) };
    let request = CreatePartitionsRequest { topics: vec![topic], timeout_ms: 10_000, validate_only: false };
    peer.call(&request, 3).await.unwrap().results.remove(0)
}

async fn describe(peer: &Peer, kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned(),
        configuration_keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
    };
    let request =
        DescribeConfigsRequest { resources: vec![resource], include_synonyms: true, include_documentation: true };
    peer.call(&request, 4).await.unwrap().results.remove(0)
}

async fn described(peer: &Peer, kind: i8, name: &str, key: &str) -> DescribeConfigsResourceResult {
    let mut result = describe(peer, kind, name, Some(&[key])).await;
    assert_eq!((result.error_code, result.error_message.as_deref()), (0, Some("")));
    assert_eq!(result.configs.len(), 1, "{key}");
    result.configs.remove(0)
}

/// Code and text of the first answer.
async fn alter(peer: &Peer, kind: i8, name: &str, changes: &[(i8, &str, Option<&str>)]) -> (ErrorCode, Option<String>) {
    let row = |(op, key, value): &(i8, &str, Option<&str>)| AlterableConfig {
        name: (*key).to_owned(),
        config_operation: *op,
        value: value.map(str::to_owned),
    };
    let configs = changes.iter().map(row).collect();
    let resource = AlterConfigsResource { resource_type: kind, resource_name: name.to_owned(), configs };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let response = peer.call(&request, 1).await.unwrap().responses.remove(0);
    (ErrorCode(response.error_code), response.error_message)
}

async fn text(session: &Session, path: &str) -> String {
    let (data, _) = session.get(path).await.unwrap();
    String::from_utf8(data.to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_created_led_and_written_down_as_kafka_does() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    let config = CreatableTopicConfig { name: "retention.ms".to_owned(), value: Some("3600000".to_owned()) };
    let result = create_one(&peer, CreatableTopic { configs: vec![config], ..topic("first", 2, -1) }).await;
    assert_eq!((result.error_code, &result.error_message), (0, &None));
    assert_eq!((result.num_partitions, result.replication_factor), (2, 1));
    let configs = result.configs.unwrap();
    assert_eq!(configs.len(), 36);
    let retention = configs.iter().find(|config| config.name == "retention.ms").unwrap();
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("3600000"), 1));
    assert_eq!(configs.iter().filter(|config| config.config_source == 5).count(), 35);

    let seen = topic_metadata(&peer, "first").await;
    assert_eq!((seen.topic_id, seen.partitions.len()), (result.topic_id, 2));
    assert!(seen.partitions.iter().all(|partition| partition.leader_id == 0 && partition.error_code == 0));

    let session = broker.session().await;
    assert_eq!(text(&session, "/config/topics/first").await, r#"{"version":1,"config":{"retention.ms":"3600000"}}"#);
    let id = result.topic_id;
    let expected = format!(
        r#"{{"partitions":{{"0":[0],"1":[0]}},"topic_id":"{id}","adding_replicas":{{}},"removing_replicas":{{}},"version":3}}"#
    );
    assert_eq!(text(&session, "/brokers/topics/first").await, expected);
    assert_eq!(
        text(&session, "/brokers/topics/first/partitions/1/state").await,
        r#"{"controller_epoch":1,"leader":0,"version":1,"leader_epoch":0,"isr":[0]}"#
    );
    assert_eq!(text(&session, "/controller_epoch").await, "1");
    assert_eq!(text(&session, "/feature").await, r#"{"features":{},"version":2,"status":1}"#);
    assert!(text(&session, "/controller").await.starts_with(r#"{"version":2,"brokerid":0,"timestamp":""#));
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_created_is_refused_with_apaches_codes_and_texts() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    assert_eq!(create_one(&peer, topic("a.b", 1, 1)).await.error_code, 0);
    let check = async |asked: CreatableTopic, code: ErrorCode, message: Option<&str>| {
        let result = create_one(&peer, asked).await;
        assert_eq!((ErrorCode(result.error_code), result.error_message.as_deref()), (code, message));
        assert_eq!((result.num_partitions, result.replication_factor, result.configs), (-1, -1, Some(Vec::new())));
    };
    check(topic("a.b", 1, 1), ErrorCode::TOPIC_ALREADY_EXISTS, Some("Topic 'a.b' already exists.")).await;
    let text = "Topic 'a_b' collides with existing topics: a.b";
    check(topic("a_b", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, Some(text)).await;
    let text = "Topic name is invalid: '.' is not allowed";
    check(topic(".", 1, 1), ErrorCode::INVALID_TOPIC_EXCEPTION, Some(text)).await;
    let text = "Replication factor: 3 larger than available brokers: 1.";
    check(topic("t", 1, 3), ErrorCode::INVALID_REPLICATION_FACTOR, Some(text)).await;
    let text = "Number of partitions must be larger than 0.";
    check(topic("t", 0, 1), ErrorCode::INVALID_PARTITIONS, Some(text)).await;
    let twice = create(&peer, vec![topic("t", 1, 1), topic("t", 1, 1)], 10_000).await;
    for result in twice {
        assert_eq!(result.error_code, ErrorCode::INVALID_REQUEST.0);
        assert_eq!(result.error_message.as_deref(), Some("Found multiple entries for this topic."));
    }
    // No time at all: created, but nobody waited for it.
    let result = create(&peer, vec![topic("hasty", 1, 1)], 0).await.remove(0);
    assert_eq!((result.error_code, result.error_message), (ErrorCode::REQUEST_TIMED_OUT.0, None));
    assert!(!result.topic_id.is_zero());
    // A replica that does not exist never leads.
    let row = CreatableReplicaAssignment { partition_index: 0, broker_ids: vec![9] };
    let elsewhere = CreatableTopic { assignments: vec![row], ..topic("elsewhere", -1, -1) };
    let result = create(&peer, vec![elsewhere], 100).await.remove(0);
    assert_eq!(result.error_code, ErrorCode::REQUEST_TIMED_OUT.0);
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_only_to_be_checked_is_not_created() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    let request = CreateTopicsRequest { topics: vec![topic("t", 3, 1)], timeout_ms: 1000, validate_only: true };
    let result = peer.call(&request, 7).await.unwrap().topics.remove(0);
    assert_eq!((result.error_code, result.num_partitions, result.topic_id), (0, 3, Uuid::ZERO));
    assert_eq!(broker.session().await.exists("/brokers/topics/t").await.unwrap(), None);
    // The oldest version speaks too.
    let request = CreateTopicsRequest { topics: vec![topic("t", 1, 1)], timeout_ms: 10_000, validate_only: false };
    assert_eq!(peer.call(&request, 0).await.unwrap().topics[0].error_code, 0);
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_leaves_nothing_and_its_name_is_free_at_once() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    let session = broker.session().await;
    for round in 0..5 {
        let created = create_one(&peer, topic("t", 3, 1)).await;
        assert_eq!((created.error_code, created.error_message), (0, None), "round {round}");
        assert!(broker.dir.path().join("logs/t-2").exists());
        let results = delete(&peer, &["t", "nope", "t"]).await;
        let codes: Vec<(Option<&str>, i16)> = results.iter().map(|r| (r.name.as_deref(), r.error_code)).collect();
        assert_eq!(codes, [(Some("t"), 0), (Some("nope"), 3), (Some("t"), 0)]);
        for path in ["/brokers/topics/t", "/config/topics/t", "/admin/delete_topics/t"] {
            assert_eq!(session.exists(path).await.unwrap(), None, "{path}");
        }
        assert_eq!(topic_metadata(&peer, "t").await.error_code, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0);
        assert!(!broker.dir.path().join("logs/t-2").exists());
    }
    let id = create_one(&peer, topic("by-id", 1, 1)).await.topic_id;
    let by_id = |name: Option<&str>, topic_id| DeleteTopicState { name: name.map(str::to_owned), topic_id };
    let ask = async |topics: Vec<DeleteTopicState>| {
        let request = DeleteTopicsRequest { topics, timeout_ms: 10_000, ..Default::default() };
        peer.call(&request, 6).await.unwrap().responses.remove(0)
    };
    assert_eq!(ask(vec![by_id(None, Uuid([9; 16]))]).await.error_code, ErrorCode::UNKNOWN_TOPIC_ID.0);
    assert_eq!(ask(vec![by_id(Some("by-id"), id)]).await.error_code, ErrorCode::INVALID_REQUEST.0);
    let deleted = ask(vec![by_id(None, id)]).await;
    assert_eq!((deleted.error_code, deleted.name.as_deref()), (0, Some("by-id")));
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletion_can_be_forbidden() {
    let broker = TestBroker::start_with(&[("delete.topic.enable", "false")]).await;
    let peer = broker.connect().await;
    create_one(&peer, topic("t", 1, 1)).await;
    assert_eq!(delete(&peer, &["t"]).await[0].error_code, ErrorCode::TOPIC_DELETION_DISABLED.0);
    // A wish that somebody leaves in the registry is taken away.
    let session = broker.session().await;
    session.create("/admin/delete_topics/t", None, CreateMode::Persistent).await.unwrap();
    let began = Instant::now();
    while session.exists("/admin/delete_topics/t").await.unwrap().is_some() {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(topic_metadata(&peer, "t").await.error_code, 0);
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_join_a_topic_and_never_leave_it() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    create_one(&peer, topic("t", 1, 1)).await;
    let result = grow(&peer, "t", 3, None).await;
    assert_eq!((result.error_code, result.error_message), (0, None));
    assert_eq!(topic_metadata(&peer, "t").await.partitions.len(), 3);
    assert!(broker.dir.path().join("logs/t-2").exists());
    let check = async |name: &str, count, rows: Option<Vec<Vec<i32>>>, code: ErrorCode, message: &str| {
        let result = grow(&peer, name, count, rows).await;
        assert_eq!((ErrorCode(result.error_code), result.error_message.as_deref()), (code, Some(message)));
    };
    use ErrorCode as E;
    check("t", 3, None, E::INVALID_PARTITIONS, "Topic already has 3 partitions.").await;
    let text = "Topic currently has 3 partitions, which is higher than the requested 2.";
    check("t", 2, None, E::INVALID_PARTITIONS, text).await;
    check("nope", 2, None, E::UNKNOWN_TOPIC_OR_PARTITION, "The topic 'nope' does not exist.").await;
    check("a/b", 2, None, E::UNKNOWN_TOPIC_OR_PARTITION, "The topic 'a/b' does not exist.").await;
    let text = "Increasing the number of partitions by 2 but 1 assignments provided.";
    check("t", 5, Some(vec![vec![0]]), E::INVALID_REPLICA_ASSIGNMENT, text).await;
    let text = "Unknown broker(s) in replica assignment: 8.";
    check("t", 4, Some(vec![vec![8]]), E::INVALID_REPLICA_ASSIGNMENT, text).await;
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topics_configuration_is_described_altered_and_obeyed() {
    let broker = TestBroker::start_with(&[("log.retention.hours", "24")]).await;
    let peer = broker.connect().await;
    create_one(&peer, topic("t", 1, 1)).await;
    assert_eq!(describe(&peer, TOPIC, "t", None).await.configs.len(), 36);
    let retention = described(&peer, TOPIC, "t", "retention.ms").await;
    assert_eq!((retention.value.as_deref(), retention.config_type), (Some("86400000"), 5));

    let set = [(SET, "retention.ms", Some("1000")), (APPEND, "cleanup.policy", Some("compact"))];
    assert_eq!(alter(&peer, TOPIC, "t", &set).await, (ErrorCode::NONE, None));
    let retention = described(&peer, TOPIC, "t", "retention.ms").await;
    assert_eq!((retention.value.as_deref(), retention.config_source), (Some("1000"), 1));
    assert_eq!(retention.synonyms[0].name, "retention.ms");
    assert_eq!(described(&peer, TOPIC, "t", "cleanup.policy").await.value.as_deref(), Some("delete,compact"));
    let session = broker.session().await;
    let note = text(&session, "/config/changes/config_change_0000000000").await;
    assert_eq!(note, r#"{"version":2,"entity_path":"topics/t"}"#);
    let back = [(DELETE, "retention.ms", None), (DELETE, "cleanup.policy", None)];
    assert_eq!(alter(&peer, TOPIC, "t", &back).await, (ErrorCode::NONE, None));
    assert_eq!(text(&session, "/config/topics/t").await, r#"{"version":1,"config":{}}"#);

    // Whoever altered it may rely on it at once.
    let batch = || crate::broker::batch(&["x".repeat(500).as_str()]);
    let produce = async || {
        let request = crate::broker::produce_request("t", 0, 1, batch());
        ErrorCode(peer.call(&request, 9).await.unwrap().responses[0].partition_responses[0].error_code)
    };
    assert_eq!(produce().await, ErrorCode::NONE);
    alter(&peer, TOPIC, "t", &[(SET, "max.message.bytes", Some("100"))]).await;
    assert_eq!(produce().await, ErrorCode::MESSAGE_TOO_LARGE);

    // The old way replaces everything.
    let configs = vec![alter_configs::AlterableConfig { name: "retention.ms".into(), value: Some("7".into()) }];
    let resource = alter_configs::AlterConfigsResource { resource_type: TOPIC, resource_name: "t".to_owned(), configs };
    let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
    assert_eq!(peer.call(&request, 2).await.unwrap().responses[0].error_code, 0);
    assert_eq!(text(&session, "/config/topics/t").await, r#"{"version":1,"config":{"retention.ms":"7"}}"#);
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_altered_or_described_is_refused_with_apaches_codes_and_texts() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    create_one(&peer, topic("t", 1, 1)).await;
    use ErrorCode as E;
    let check = async |kind, name: &str, changes: &[(i8, &str, Option<&str>)], code: E, message: &str| {
        assert_eq!(alter(&peer, kind, name, changes).await, (code, Some(message.to_owned())));
    };
    let bad = [(SET, "retention.ms", Some("x"))];
    let text = "Invalid config value for resource ConfigResource(type=TOPIC, name='t'): Invalid value x for \
                configuration retention.ms: Not a number of type LONG";
    check(TOPIC, "t", &bad, E::INVALID_CONFIG, text).await;
    check(TOPIC, "t", &[(SET, "nope", Some("1"))], E::INVALID_CONFIG, "Unknown topic config name: nope").await;
    let text = "Config value append is not allowed for config key: retention.ms";
    check(TOPIC, "t", &[(APPEND, "retention.ms", Some("1"))], E::INVALID_CONFIG, text).await;
    let twice = [(SET, "retention.ms", Some("1")), (SET, "retention.ms", Some("2"))];
    check(TOPIC, "t", &twice, E::INVALID_REQUEST, "Error due to duplicate config keys").await;
    let null = [(SET, "retention.ms", None)];
    check(TOPIC, "t", &null, E::INVALID_REQUEST, "Null value not supported for : retention.ms").await;
    check(TOPIC, "nope", &bad, E::UNKNOWN_TOPIC_OR_PARTITION, "The topic 'nope' does not exist.").await;
    check(TOPIC, "", &bad, E::INVALID_REQUEST, "Default topic resources are not allowed.").await;
    let id = [(SET, "broker.id", Some("7"))];
    check(BROKER, "0", &id, E::INVALID_REQUEST, "Cannot update these configs dynamically: Set(broker.id)").await;
    check(BROKER, "77", &bad, E::INVALID_REQUEST, "Unexpected broker id, expected 0, but received 77").await;
    check(BROKER, "x", &bad, E::INVALID_REQUEST, "Node id must be an integer, but it is: x").await;
    let logger = [(SET, "no.such.logger", Some("INFO"))];
    check(LOGGER, "0", &logger, E::INVALID_CONFIG, "Logger no.such.logger does not exist!").await;
    check(99, "0", &bad, E::INVALID_REQUEST, "Unknown resource type 99").await;

    let check = async |kind, name: &str, code: E, message: &str| {
        let result = describe(&peer, kind, name, None).await;
        assert_eq!((ErrorCode(result.error_code), result.error_message.as_deref()), (code, Some(message)));
        assert!(result.configs.is_empty());
    };
    check(TOPIC, "nope", E::UNKNOWN_TOPIC_OR_PARTITION, "").await;
    let text = "Topic name is invalid: the empty string is not allowed";
    check(TOPIC, "", E::INVALID_TOPIC_EXCEPTION, text).await;
    let text = "Unexpected broker id, expected 0 or empty string, but received 9";
    check(BROKER, "9", E::INVALID_REQUEST, text).await;
    check(BROKER, "abc", E::INVALID_REQUEST, "Broker id must be an integer, but it is: abc").await;
    check(99, "x", E::INVALID_REQUEST, "Unexpected resource type UNKNOWN for resource x").await;
    // None, and keys that nobody knows.
    assert!(describe(&peer, BROKER, "", None).await.configs.is_empty());
    assert!(describe(&peer, TOPIC, "t", Some(&["nope"])).await.configs.is_empty());
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_brokers_dynamic_values_are_taken_kept_over_a_restart_and_given_up() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    create_one(&peer, topic("t", 1, 1)).await;
    let fixed = described(&peer, BROKER, "0", "broker.id").await;
    assert_eq!((fixed.value.as_deref(), fixed.read_only, fixed.config_source), (Some("0"), true, 4));
    assert_eq!(alter(&peer, BROKER, "", &[(SET, "log.retention.ms", Some("5000"))]).await, (ErrorCode::NONE, None));
    assert_eq!(alter(&peer, BROKER, "0", &[(SET, "log.cleaner.threads", Some("2"))]).await, (ErrorCode::NONE, None));
    let check = async |peer: &Peer, key: &str, value: &str, source: i8| {
        let found = described(peer, BROKER, "0", key).await;
        assert_eq!((found.value.as_deref(), found.config_source), (Some(value), source));
    };
    check(&peer, "log.cleaner.threads", "2", 2).await;
    check(&peer, "log.retention.ms", "5000", 3).await;
    // A topic inherits it.
    let inherited = described(&peer, TOPIC, "t", "retention.ms").await;
    assert_eq!((inherited.value.as_deref(), inherited.config_source), (Some("5000"), 3));
    let session = broker.session().await;
    let found = text(&session, "/config/brokers/<default>").await;
    assert_eq!(found, r#"{"version":1,"config":{"log.retention.ms":"5000"}}"#);
    session.close().await;

    let broker = broker.restart().await;
    let peer = broker.connect().await;
    check(&peer, "log.cleaner.threads", "2", 2).await;
    assert_eq!(topic_metadata(&peer, "t").await.error_code, 0);
    assert_eq!(alter(&peer, BROKER, "0", &[(DELETE, "log.cleaner.threads", None)]).await, (ErrorCode::NONE, None));
    check(&peer, "log.cleaner.threads", "1", 5).await;
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_deletes_controller_gets_a_new_election_and_nothing_is_lost() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    create_one(&peer, topic("t", 2, 1)).await;
    let session = broker.session().await;
    session.delete("/controller", -1).await.unwrap();
    let began = Instant::now();
    while text(&session, "/controller_epoch").await != "2" || session.exists("/controller").await.unwrap().is_none() {
        assert!(began.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // It may not know yet that it is the controller again.
    loop {
        let result = create_one(&peer, topic("u", 1, 1)).await;
        if ErrorCode(result.error_code) != ErrorCode::NOT_CONTROLLER {
            assert_eq!((result.error_code, result.error_message), (0, None));
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    assert_eq!(topic_metadata(&peer, "t").await.partitions.len(), 2);
    assert_eq!(delete(&peer, &["t"]).await[0].error_code, 0);
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producer_ids_come_in_blocks_that_are_never_given_twice() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    let session = broker.session().await;
    let epoch = session.exists("/brokers/ids/0").await.unwrap().unwrap().czxid;
    let ask = async |broker_id, broker_epoch| {
        peer.call(&AllocateProducerIdsRequest { broker_id, broker_epoch }, 0).await.unwrap()
    };
    let first = ask(0, epoch).await;
    assert_eq!((first.error_code, first.producer_id_start, first.producer_id_len), (0, 0, 1000));
    assert_eq!(ask(0, epoch).await.producer_id_start, 1000);
    assert_eq!(ask(0, epoch - 1).await.error_code, ErrorCode::STALE_BROKER_EPOCH.0);
    assert_eq!(ask(9, 1).await.error_code, ErrorCode::BROKER_ID_NOT_REGISTERED.0);
    let block = text(&session, "/latest_producer_id_block").await;
    assert_eq!(block, r#"{"version":1,"broker":0,"block_start":"1000","block_end":"1999"}"#);
    // A broker that is alone may go whenever it wants.
    let request = ControlledShutdownRequest { broker_id: 0, broker_epoch: epoch };
    let response = peer.call(&request, 3).await.unwrap();
    assert_eq!((response.error_code, response.remaining_partitions), (0, Vec::new()));
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_topic_is_one_write_of_its_states() {
    let broker = TestBroker::start().await;
    let peer = broker.connect().await;
    let session = broker.session().await;
    create_one(&peer, topic("small", 1, 1)).await;
    let result = create_one(&peer, topic("large", 60, 1)).await;
    assert_eq!((result.error_code, result.num_partitions), (0, 60));
    let zxid = async |path: &str| session.exists(path).await.unwrap().unwrap().czxid;
    // Two changes of the registry make a topic: its znode with its config, all its states.
    let topic_zxid = zxid("/brokers/topics/large").await;
    assert_eq!(zxid("/config/topics/large").await, topic_zxid);
    let mut zxids = Vec::new();
    for partition in [0, 30, 59] {
        zxids.push(zxid(&format!("/brokers/topics/large/partitions/{partition}/state")).await - topic_zxid);
    }
    assert_eq!(zxids, [1, 1, 1]);
    assert_eq!(delete(&peer, &["large"]).await[0].error_code, 0);
    assert_eq!(session.exists("/brokers/topics/large").await.unwrap(), None);
    broker.broker.shutdown().await;
}
