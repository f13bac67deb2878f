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
    let member = MemberMetadata {
        member_id: "c-1".into(),
        group_instance_id: Some("i".into()),
        client_id: "c".into(),
        client_host: "/127.0.0.1".into(),
        rebalance_timeout: 60_000,
        session_timeout: 10_000,
        subscription: Bytes::from_static(b"s"),
        assignment: Bytes::from_static(b""),
    };
    let value = GroupMetadataValue {
        protocol_type: "consumer".into(),
        generation: 4,
        protocol: Some("range".into()),
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

#[test]
fn values_of_every_version_that_apache_wrote_are_read() {
    let offset = |value: &[u8]| match Record::decode(b"\0\x01\0\x01g\0\x01t\0\0\0\x01", Some(value)).unwrap() {
        Record::Offset { value: Some(value), .. } => value,
        other => panic!("{other:?}"),
    };
    let body = b"\0\0\0\0\0\0\0\x07\0\x01m\0\0\0\0\0\0\x03\xe8";
    for version in [0u8, 2] {
        let read = offset(&[&[0, version], &body[..]].concat());
        assert_eq!((read.offset, read.leader_epoch, read.metadata.as_str(), read.commit_timestamp), (7, -1, "m", 1000));
    }
    let read = offset(&[b"\0\x01", &body[..], b"\0\0\0\0\0\0\x07\xd0"].concat());
    assert_eq!(read.expire_timestamp, Some(2000));
    // Version 4 is flexible: a compact string, tagged fields at the end, here one that is not known.
    let read = offset(b"\0\x04\0\0\0\0\0\0\0\x07\0\0\0\x02\x02m\0\0\0\0\0\0\x03\xe8\x01\x00\x02\x01\x02");
    assert_eq!((read.offset, read.leader_epoch, read.metadata.as_str(), read.commit_timestamp), (7, 2, "m", 1000));

    let group = |value: &[u8]| match Record::decode(b"\0\x02\0\x01g", Some(value)).unwrap() {
        Record::Group { value: Some(value), .. } => value,
        other => panic!("{other:?}"),
    };
    let head = b"\0\x01c\0\0\0\x05\0\x01p\0\x01l";
    let member = b"\0\0\0\x01\0\x01m\0\x01i\0\x01h";
    let tail = b"\0\0\0\x06\0\0\0\0\0\0\0\0";
    let read = group(&[b"\0\0", &head[..], member, tail].concat());
    assert_eq!((read.generation, read.current_state_timestamp), (5, -1));
    assert_eq!((read.members[0].session_timeout, read.members[0].rebalance_timeout), (6, -1));
    let read = group(&[b"\0\x01", &head[..], member, b"\0\0\0\x09", tail].concat());
    assert_eq!(read.members[0].rebalance_timeout, 9);
    let read = group(&[b"\0\x02", &head[..], b"\0\0\0\0\0\0\0\x0a", member, b"\0\0\0\x09", tail].concat());
    assert_eq!(read.current_state_timestamp, 10);
    let flexible =
        b"\0\x04\x02c\0\0\0\x05\x02p\x02l\0\0\0\0\0\0\0\x0a\x02\x02m\0\x02i\x02h\0\0\0\x09\0\0\0\x06\x01\x01\0\0";
    let read = group(flexible);
    assert_eq!((read.members[0].client_host.as_str(), read.members[0].session_timeout), ("h", 6));
}

#[test]
fn groups_of_the_consumer_protocol_go_and_come_back() {
    use super::consumer::*;
    let of = |record| round_trip(Record::Consumer { group_id: "g".into(), record });
    of(ConsumerRecord::Epoch(Some(ConsumerGroupMetadataValue { epoch: 3, metadata_hash: 0 })));
    of(ConsumerRecord::Epoch(Some(ConsumerGroupMetadataValue { epoch: 3, metadata_hash: 7 })));
    of(ConsumerRecord::TargetEpoch(None));
    let classic = ClassicMemberMetadata {
        session_timeout_ms: 10,
        supported_protocols: vec![ClassicProtocol { name: "range".into(), metadata: Bytes::from_static(b"m") }],
    };
    let value = ConsumerGroupMemberMetadataValue {
        client_id: "c".into(),
        classic_member_metadata: Some(classic),
        ..Default::default()
    };
    of(ConsumerRecord::Member { member_id: "m".into(), value: Some(value) });
    of(ConsumerRecord::Target { member_id: "m".into(), value: Some(Default::default()) });
    of(ConsumerRecord::Current { member_id: "m".into(), value: None });
    of(ConsumerRecord::Regex { regex: "t.*".into(), value: Some(Default::default()) });
    of(ConsumerRecord::PartitionMetadata(Some(Default::default())));
}
