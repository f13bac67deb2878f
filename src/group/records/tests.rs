use super::*;

fn round_trip(record: Record) {
    let (key, value) = record.encode().unwrap().unwrap();
    assert_eq!(Record::decode(&key, value.as_deref()).unwrap(), record);
}

#[test]
fn offsets_are_written_as_apache_writes_them() {
    let value = OffsetAndMetadata {
        offset: 7,
        leader_epoch: 2,
        metadata: "m".into(),
        commit_timestamp: 1000,
        expire_timestamp: None,
    };
    let record = Record::Offset { group_id: "g".into(), partition: TopicPartition::new("t", 1), value: Some(value) };
    let (key, value) = record.encode().unwrap().unwrap();
    assert_eq!(key, b"\0\x01\0\x01g\0\x01t\0\0\0\x01");
    assert_eq!(value.unwrap(), b"\0\x03\0\0\0\0\0\0\0\x07\0\0\0\x02\0\x01m\0\0\0\0\0\0\x03\xe8");
    round_trip(record);
}

#[test]
fn an_expiry_time_takes_value_version_1() {
    let value = OffsetAndMetadata {
        offset: 7,
        leader_epoch: -1,
        metadata: String::new(),
        commit_timestamp: 1000,
        expire_timestamp: Some(2000),
    };
    round_trip(Record::Offset { group_id: "g".into(), partition: TopicPartition::new("t", 1), value: Some(value) });
}

#[test]
fn groups_and_tombstones_go_and_come_back() {
    let member = StoredMember {
        member_id: "c-1".into(),
        group_instance_id: Some("i".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout_ms: 60_000,
        session_timeout_ms: 10_000,
        subscription: Bytes::from_static(b"s"),
        assignment: Bytes::from_static(b""),
    };
    let value = GroupMetadata {
        protocol_type: "consumer".into(),
        generation_id: 4,
        protocol_name: Some("range".into()),
        leader: Some("c-1".into()),
        current_state_timestamp: 12,
        members: vec![member],
    };
    round_trip(Record::Group { group_id: "g".into(), value: Some(value) });
    round_trip(Record::Group { group_id: "g".into(), value: None });
    round_trip(Record::Offset { group_id: "g".into(), partition: TopicPartition::new("t", 0), value: None });
}

#[test]
fn what_is_no_group_record_is_an_error_and_no_panic() {
    for key in [&b""[..], b"\0", b"\0\x01\0\x09g", b"\0\x02\xff\xfe"] {
        assert!(Record::decode(key, Some(b"\0\x03")).is_err(), "{key:?}");
    }
    assert_eq!(Record::decode(b"\0\x63", None).unwrap(), Record::Unknown { key_version: 99 });
}
