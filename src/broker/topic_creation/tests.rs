use super::*;
use crate::replication::MetadataCache;
use crate::wire::messages::UpdateMetadataRequest;
use crate::wire::messages::create_topics::{CreatableReplicaAssignment, CreatableTopicConfig};
use crate::wire::messages::update_metadata::{
    UpdateMetadataBroker, UpdateMetadataPartitionState, UpdateMetadataTopicState,
};

/// A cluster of the single broker 5, with the topic `exists`.
fn cluster() -> Arc<ClusterMetadata> {
    let cache = MetadataCache::default();
    let request = UpdateMetadataRequest {
        live_brokers: vec![UpdateMetadataBroker { id: 5, ..Default::default() }],
        topic_states: vec![UpdateMetadataTopicState {
            topic_name: "exists".to_owned(),
            partition_states: vec![UpdateMetadataPartitionState { leader: 5, ..Default::default() }],
            ..Default::default()
        }],
        ..Default::default()
    };
    cache.update(&request).unwrap();
    cache.current()
}

fn topic(name: &str, num_partitions: i32, replication_factor: i16) -> CreatableTopic {
    CreatableTopic { name: name.to_owned(), num_partitions, replication_factor, ..Default::default() }
}

fn configured(configs: &[(&str, Option<&str>)]) -> CreatableTopic {
    let row = |(name, value): &(&str, Option<&str>)| CreatableTopicConfig {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    };
    CreatableTopic { configs: configs.iter().map(row).collect(), ..topic("t", 1, 1) }
}

fn assigned(rows: &[(i32, &[i32])]) -> CreatableTopic {
    let row = |(partition_index, ids): &(i32, &[i32])| CreatableReplicaAssignment {
        partition_index: *partition_index,
        broker_ids: ids.to_vec(),
    };
    CreatableTopic { assignments: rows.iter().map(row).collect(), ..topic("t", -1, -1) }
}

#[test]
fn what_cannot_be_created_is_refused_in_apaches_words() {
    let check = |asked: CreatableTopic, code: ErrorCode, message: &str| {
        let refused = plan(&asked, &BrokerConfig::default(), &cluster(), 0).unwrap_err();
        assert_eq!(refused, Refusal::new(code, message), "{asked:?}");
    };
    use ErrorCode as E;
    check(topic("exists", 1, 1), E::TOPIC_ALREADY_EXISTS, "Topic 'exists' already exists.");
    check(topic("", 1, 1), E::INVALID_TOPIC_EXCEPTION, "Topic name is invalid: the empty string is not allowed");
    check(topic(".", 1, 1), E::INVALID_TOPIC_EXCEPTION, "Topic name is invalid: '.' is not allowed");
    check(topic("..", 1, 1), E::INVALID_TOPIC_EXCEPTION, "Topic name is invalid: '..' is not allowed");
    let long = "x".repeat(250);
    let text = format!("Topic name is invalid: the length of '{long}' is longer than the max allowed length 249");
    check(topic(&long, 1, 1), E::INVALID_TOPIC_EXCEPTION, &text);
    for name in ["a/b", "a b", "ä", "a\0"] {
        let text = format!(
            "Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' \
             and '-'"
        );
        check(topic(name, 1, 1), E::INVALID_TOPIC_EXCEPTION, &text);
    }
    check(topic("t", 0, 1), E::INVALID_PARTITIONS, "Number of partitions must be larger than 0.");
    check(topic("t", -2, 1), E::INVALID_PARTITIONS, "Number of partitions must be larger than 0.");
    check(topic("t", i32::MAX, 1), E::INVALID_PARTITIONS, "Number of partitions must not be larger than 50000.");
    check(topic("t", 1, 0), E::INVALID_REPLICATION_FACTOR, "Replication factor must be larger than 0.");
    let text = "Replication factor: 3 larger than available brokers: 1.";
    check(topic("t", 1, 3), E::INVALID_REPLICATION_FACTOR, text);
    check(configured(&[("foo.bar", Some("1"))]), E::INVALID_CONFIG, "Unknown topic config name: foo.bar");
    check(
        configured(&[("retention.ms", Some("abc"))]),
        E::INVALID_CONFIG,
        "Invalid value abc for configuration retention.ms: Not a number of type LONG",
    );
    check(
        configured(&[("retention.ms", None)]),
        E::INVALID_CONFIG,
        "Null value not supported for topic configs: retention.ms",
    );
    let both = CreatableTopic { num_partitions: 2, ..assigned(&[(0, &[5])]) };
    check(
        both,
        E::INVALID_REQUEST,
        "Both numPartitions or replicationFactor and replicasAssignments were set. Both cannot be used at the same time.",
    );
    let text = "partitions should be a consecutive 0-based integer sequence";
    check(assigned(&[(0, &[5]), (2, &[5])]), E::INVALID_REPLICA_ASSIGNMENT, text);
    check(assigned(&[(1, &[5])]), E::INVALID_REPLICA_ASSIGNMENT, text);
    check(assigned(&[(-1, &[5]), (0, &[5])]), E::INVALID_REPLICA_ASSIGNMENT, text);
    let text = "All partitions should have the same number of replicas";
    check(assigned(&[(0, &[5]), (1, &[5, 6])]), E::INVALID_REPLICA_ASSIGNMENT, text);
    let text = "Duplicate replica assignment found: HashMap(0 -> ArrayBuffer(5, 5))";
    check(assigned(&[(0, &[5, 5])]), E::INVALID_REPLICA_ASSIGNMENT, text);
    let text = "Creation of internal topic __cluster_metadata is prohibited.";
    check(topic("__cluster_metadata", 1, 1), E::INVALID_REQUEST, text);
}

#[test]
fn what_is_not_said_is_the_brokers_default() {
    let planned = plan(&topic("t", -1, -1), &BrokerConfig::default(), &cluster(), 0).unwrap();
    assert_eq!(planned.replicas, [[5]]);
    // Brokers that are not there are not checked, as in Apache's broker in ZooKeeper mode.
    assert_eq!(plan(&assigned(&[(0, &[9])]), &BrokerConfig::default(), &cluster(), 0).unwrap().replicas, [[9]]);
    assert_eq!(
        plan(&topic(&"x".repeat(249), 2, 1), &BrokerConfig::default(), &cluster(), 0).unwrap().replicas.len(),
        2
    );
}

#[test]
fn the_brokers_own_topics_are_made_to_measure() {
    let config = BrokerConfig::default();
    let offsets = internal_topic(&config, "__consumer_offsets");
    assert_eq!((offsets.num_partitions, offsets.replication_factor), (50, 3));
    let own: Vec<_> = offsets.configs.iter().map(|c| (c.name.as_str(), c.value.as_deref().unwrap())).collect();
    let expected = [("cleanup.policy", "compact"), ("compression.type", "producer"), ("segment.bytes", "104857600")];
    assert_eq!(own, expected);
    let transactions = internal_topic(&config, "__transaction_state");
    assert!(transactions.configs.iter().any(|c| c.name == "min.insync.replicas" && c.value.as_deref() == Some("2")));
    assert_eq!(internal_topic(&config, "t").num_partitions, NOT_SAID);
}

#[test]
fn names_collide_when_only_dots_and_underscores_differ() {
    assert!(collides("a.b", "a_b") && collides("a.b_c", "a_b.c"));
    assert!(!collides("a.b", "a-b") && !collides("a.b", "a.bc"));
}
