use std::collections::BTreeMap;

use super::*;

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_broker_registration_reads_as_apache_writes_it() {
    let apache = r#"{"features":{},"listener_security_protocol_map":{"PLAINTEXT":"PLAINTEXT"},"endpoints":["PLAINTEXT://127.0.0.1:21215"],"rack":"r1","jmx_port":-1,"port":21215,"host":"127.0.0.1","version":5,"timestamp":"1795394168582"}"#;
    let registration = BrokerRegistration::decode(1, apache.as_bytes()).unwrap();
    assert_eq!(registration.endpoints[0].port, 21215);
    assert_eq!(registration.rack.as_deref(), Some("r1"));
    assert_eq!(text(registration.encode()), apache);
}

#[test]
fn a_broker_without_plaintext_has_null_host() {
    let endpoint =
        BrokerEndpoint { listener: "IN".into(), host: "::1".into(), port: 9093, security_protocol: "SSL".into() };
    let registration = BrokerRegistration {
        endpoints: vec![endpoint],
        rack: None,
        jmx_port: -1,
        timestamp_ms: 7,
        features: BTreeMap::from([("f".into(), FeatureRange { min_version: 1, max_version: 3 })]),
    };
    let encoded = text(registration.encode());
    assert_eq!(
        encoded,
        r#"{"features":{"f":{"min_version":1,"max_version":3}},"listener_security_protocol_map":{"IN":"SSL"},"endpoints":["IN://[::1]:9093"],"jmx_port":-1,"port":-1,"host":null,"version":5,"timestamp":"7"}"#
    );
    assert_eq!(BrokerRegistration::decode(1, encoded.as_bytes()).unwrap(), registration);
}

#[test]
fn old_broker_registrations_are_read() {
    let v1 = br#"{"version":1,"host":"localhost","port":9092,"jmx_port":9999,"timestamp":"2233345666"}"#;
    let v1 = BrokerRegistration::decode(0, v1).unwrap();
    assert_eq!((v1.endpoints[0].host.as_str(), v1.endpoints[0].port, v1.jmx_port), ("localhost", 9092, 9999));
    let v3 = br#"{"version":3,"host":"h","port":9092,"jmx_port":-1,"timestamp":1,"endpoints":["PLAINTEXT://h:9092","SSL://h:9093"],"rack":"d"}"#;
    let v3 = BrokerRegistration::decode(0, v3).unwrap();
    assert_eq!(v3.endpoints[1].security_protocol, "SSL");
    for bad in ["", "{}", "[]", r#"{"version":5,"endpoints":["x"]}"#, r#"{"version":1,"host":"h"}"#] {
        assert!(BrokerRegistration::decode(0, bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_topic_reads_as_apache_writes_it() {
    let apache = r#"{"partitions":{"0":[3,1],"1":[1,2]},"topic_id":"kCnLg_CjTbGEAIPZ79hjMA","adding_replicas":{"1":[2]},"removing_replicas":{},"version":3}"#;
    let topic = TopicAssignment::decode("t", apache.as_bytes()).unwrap();
    assert_eq!(topic.partitions[&1].adding_replicas, [2]);
    assert_eq!(topic.topic_id.unwrap().to_string(), "kCnLg_CjTbGEAIPZ79hjMA");
    assert_eq!(text(topic.encode()), apache);
    let v1 = TopicAssignment::decode("t", br#"{"version":1,"partitions":{"10":[1]},"new":true}"#).unwrap();
    assert_eq!((v1.topic_id, v1.partitions[&10].replicas.as_slice()), (None, &[1][..]));
    for bad in ["", "null", r#"{"partitions":{"x":[1]}}"#, r#"{"topic_id":"short","partitions":{}}"#] {
        assert!(TopicAssignment::decode("t", bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn a_partition_state_reads_as_apache_writes_it() {
    let apache = r#"{"controller_epoch":1,"leader":3,"version":1,"leader_epoch":0,"isr":[3,1]}"#;
    let mut state = PartitionState::decode("t", 0, apache.as_bytes()).unwrap();
    assert_eq!(text(state.encode()), apache);
    assert_eq!(PartitionState::path("t", 0), "/brokers/topics/t/partitions/0/state");
    state.leader_recovering = true;
    assert_eq!(PartitionState::decode("t", 0, &state.encode()).unwrap(), state);
}

#[test]
fn small_znodes_read_as_apache_writes_them() {
    let controller = r#"{"version":2,"brokerid":1,"timestamp":"1795394170640","kraftControllerEpoch":-1}"#;
    assert_eq!(text(ControllerNode::decode(controller.as_bytes()).unwrap().encode()), controller);
    let feature = r#"{"features":{},"version":2,"status":1}"#;
    assert_eq!(text(FeatureNode::decode(feature.as_bytes()).unwrap().encode()), feature);
    let cluster = r#"{"version":"1","id":"b9GtDpC0S6mvu4Sf8JHEMQ"}"#;
    assert_eq!(text(ClusterId::decode(cluster.as_bytes()).unwrap().encode()), cluster);
    let block = r#"{"version":1,"broker":2,"block_start":"0","block_end":"999"}"#;
    assert_eq!(text(ProducerIdBlock::decode(block.as_bytes()).unwrap().unwrap().encode()), block);
    assert_eq!(ProducerIdBlock::decode(b"").unwrap(), None);
    assert_eq!(ControllerEpoch::decode(b"17").unwrap(), ControllerEpoch(17));
    assert!(ControllerEpoch::decode(b"x").is_err());
    let reassign = r#"{"version":1,"partitions":[{"topic":"t2","partition":0,"replicas":[1,2,3]}]}"#;
    assert_eq!(text(ReassignPartitions::decode(reassign.as_bytes()).unwrap().encode()), reassign);
    let election = r#"{"version":1,"partitions":[{"topic":"t2","partition":0}]}"#;
    assert_eq!(text(PreferredReplicaElection::decode(election.as_bytes()).unwrap().encode()), election);
    assert_eq!(text(IsrChangeNotification::decode(election.as_bytes()).unwrap().encode()), election);
    let event = r#"{"version":1,"broker":0,"event":1}"#;
    assert_eq!(text(LogDirEvent::decode(event.as_bytes()).unwrap().encode()), event);
    let consumer = r#"{"version":1,"subscription":{"t2":1},"pattern":"white_list","timestamp":"5"}"#;
    assert_eq!(text(ConsumerRegistration::decode("g", "c", consumer.as_bytes()).unwrap().encode()), consumer);
    assert_eq!(ConsumerOffset::decode("g", "t", 0, b"42").unwrap(), ConsumerOffset(42));
}

#[test]
fn configs_and_their_changes_read_as_apache_writes_them() {
    let config = r#"{"version":1,"config":{"retention.ms":"3600000"}}"#;
    let entity = ConfigEntity::Topic("t2".into());
    assert_eq!(EntityConfig::path(&entity), "/config/topics/t2");
    assert_eq!(text(EntityConfig::decode(&entity, config.as_bytes()).unwrap().encode()), config);
    assert_eq!(EntityConfig::decode(&entity, b"").unwrap(), EntityConfig::default());
    let change = r#"{"version":2,"entity_path":"topics/t2"}"#;
    assert_eq!(text(ConfigChange::decode(change.as_bytes()).unwrap().encode()), change);
    let v1 = ConfigChange::decode(br#"{"version":1,"entity_type":"topics","entity_name":"t"}"#).unwrap();
    assert_eq!(v1.entity_path, "topics/t");
}

#[test]
fn an_entity_path_names_its_entity_and_back() {
    for (path, entity) in [
        ("topics/t", ConfigEntity::Topic("t".into())),
        ("brokers/1", ConfigEntity::Broker(Some(1))),
        ("brokers/<default>", ConfigEntity::Broker(None)),
        ("clients/<default>", ConfigEntity::Client(None)),
        ("users/u%20x", ConfigEntity::User(Some("u x".into()))),
        ("users/%C3%A9%2A/clients/c", ConfigEntity::UserClient { user: Some("é*".into()), client: Some("c".into()) }),
        ("ips/127.0.0.9", ConfigEntity::Ip(Some("127.0.0.9".into()))),
    ] {
        assert_eq!(entity.entity_path(), path);
        assert_eq!(ConfigEntity::from_entity_path(path), Some(entity));
    }
    for bad in ["", "topics", "topics/", "brokers/x", "users/a/b/c", "users/%zz", "users/%C3"] {
        assert_eq!(ConfigEntity::from_entity_path(bad), None, "{bad}");
    }
}

#[test]
fn a_uuid_is_22_letters_and_back() {
    for text in ["kCnLg_CjTbGEAIPZ79hjMA", "AAAAAAAAAAAAAAAAAAAAAA", "_____________________w"] {
        assert_eq!(text.parse::<Uuid>().unwrap().to_string(), text);
    }
    let random = Uuid::random().unwrap();
    assert_eq!(random.to_string().parse::<Uuid>().unwrap(), random);
    for bad in ["", "kCnLg_CjTbGEAIPZ79hjM", "kCnLg_CjTbGEAIPZ79hj+A"] {
        assert!(bad.parse::<Uuid>().is_err(), "{bad}");
    }
}
