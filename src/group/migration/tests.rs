use super::*;
use crate::group::classic::{Action, Joiner, Settings};
use crate::group::consumer::tests::{cluster, settings};
use crate::group::consumer_protocol::write_assignment;
use crate::group::partitions::Partitions;
use crate::replication::ClusterMetadata;
use crate::wire::messages::join_group::JoinGroupRequestProtocol;
use crate::wire::messages::sync_group::SyncGroupRequestAssignment;
use crate::wire::messages::{JoinGroupRequest, SyncGroupRequest};
use crate::wire::{Bytes, ErrorCode};

const CLASSIC: Settings = Settings {
    initial_rebalance_delay_ms: 0,
    session_timeout_ms_min: 0,
    session_timeout_ms_max: 60_000,
    size_max: 100,
};

/// A stable classic group of one member that reads all of topic "t".
fn classic_group(cluster: &ClusterMetadata) -> (ClassicGroup, String) {
    let mut group = ClassicGroup::new("g", 0);
    let request = JoinGroupRequest {
        group_id: "g".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 20_000,
        protocol_type: PROTOCOL_TYPE.into(),
        protocols: vec![JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"),
        }],
        ..Default::default()
    };
    let joiner = Joiner { client_id: "c".into(), client_host: "/h".into(), unique: "u".into(), version: 3 };
    group.join(1, &request, &joiner, &CLASSIC, 0);
    let member_id = "c-u".to_owned();
    let topic = cluster.topic_id("t");
    let assigned: Partitions = (0..3).map(|partition| (topic, partition)).collect();
    let assignment = write_assignment(0, &assigned, cluster);
    let sync = SyncGroupRequest {
        generation_id: 1,
        member_id: member_id.clone(),
        assignments: vec![SyncGroupRequestAssignment { member_id: member_id.clone(), assignment }],
        ..Default::default()
    };
    group.sync(2, &sync, 0);
    let actions = group.assignment_stored(1, ErrorCode::NONE, 0);
    assert!(matches!(actions[..], [Action::AnswerSync { token: 2, .. }]));
    (group, member_id)
}

#[test]
fn a_classic_group_goes_up_with_its_members_and_what_they_have_and_comes_down_again() {
    let cluster = cluster(&[("t", 3)]);
    let settings = settings();
    let around = Surroundings { cluster: &cluster, cluster_version: 1, settings: &settings, now_ms: 5 };
    let (classic, member_id) = classic_group(&cluster);
    let (group, records) = upgrade(&classic, &around).unwrap();
    assert!(matches!(&records[0], Record::Group { value: None, .. }));
    let member = group.members().next().unwrap();
    assert_eq!((member.member_id.as_str(), member.epoch, member.assigned.len()), (member_id.as_str(), 1, 3));
    assert!(member.uses_classic_protocol() && group.is_subscribed_to("t"));

    let mut replayed = ConsumerGroup::new("g");
    for record in records {
        if let Record::Consumer { record, .. } = record {
            replayed.replay(record);
        }
    }
    assert_eq!(replayed.members().next(), group.members().next());

    assert!(is_downgraded_without(&group, "a member of the consumer protocol", MigrationPolicy::Bidirectional, 10));
    assert!(!is_downgraded_without(&group, &member_id, MigrationPolicy::Bidirectional, 10), "nobody would stay");
    assert!(!is_downgraded_without(&group, "somebody", MigrationPolicy::Upgrade, 10));
    let (back, records) = downgrade(&group, "somebody", &around);
    assert!(matches!(records.last(), Some(Record::Group { value: Some(_), .. })));
    assert_eq!(back.members_with_protocols(), classic.members_with_protocols());
    assert_eq!((back.generation_id(), back.protocol_name()), (1, "range"));
}

#[test]
fn a_group_that_is_not_of_consumers_stays_what_it_is() {
    let cluster = cluster(&[]);
    let settings = settings();
    let around = Surroundings { cluster: &cluster, cluster_version: 1, settings: &settings, now_ms: 5 };
    assert!(upgrade(&ClassicGroup::new("simple", 0), &around).is_none());
}
