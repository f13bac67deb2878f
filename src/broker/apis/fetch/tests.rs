use super::*;
use crate::wire::Message;
use crate::wire::messages::FetchRequest;
use crate::wire::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic, ReplicaState};

const ID: Uuid = Uuid([3; 16]);

fn request(version: i16) -> FetchRequest {
    let partition = |partition, fetch_offset| FetchPartition {
        partition,
        fetch_offset,
        current_leader_epoch: if version >= 9 { 4 } else { -1 },
        last_fetched_epoch: if version >= 12 { 2 } else { -1 },
        log_start_offset: if version >= 5 { 1 } else { -1 },
        partition_max_bytes: 99,
        ..Default::default()
    };
    let named = version < 13;
    let name = || if named { "t".to_owned() } else { String::new() };
    let id = if named { Uuid::ZERO } else { ID };
    FetchRequest {
        replica_id: if version <= 14 { 6 } else { -1 },
        max_wait_ms: 500,
        min_bytes: 7,
        max_bytes: if version >= 3 { 1_000 } else { i32::MAX },
        isolation_level: i8::from(version >= 4),
        session_id: if version >= 7 { 11 } else { 0 },
        session_epoch: if version >= 7 { 12 } else { -1 },
        topics: vec![FetchTopic { topic: name(), topic_id: id, partitions: vec![partition(0, 5), partition(2, 6)] }],
        forgotten_topics_data: match version >= 7 {
            true => vec![ForgottenTopic { topic: name(), topic_id: id, partitions: vec![8] }],
            false => Vec::new(),
        },
        rack_id: if version >= 11 { "rack".to_owned() } else { String::new() },
        cluster_id: (version >= 12).then(|| "cluster".to_owned()),
        replica_state: match version >= 15 {
            true => ReplicaState { replica_id: 6, replica_epoch: 13 },
            false => ReplicaState::default(),
        },
    }
}

#[test]
fn looked_through_a_request_is_what_it_is_decoded() {
    for version in 0..=17 {
        let asked = request(version);
        let body: Bytes = asked.to_bytes(version).unwrap().into();
        let parsed = Request::parse(&body, version).unwrap();
        assert_eq!((parsed.replica_id, parsed.max_wait_ms, parsed.min_bytes), (6, 500, 7), "version {version}");
        assert_eq!((parsed.max_bytes, parsed.read_committed), (asked.max_bytes, version >= 4));
        let session = parsed.session;
        assert_eq!((session.session_id, session.session_epoch), (asked.session_id, asked.session_epoch));
        assert!(session.is_follower && session.uses_ids == (version >= 13));
        let topic = if version >= 13 { TopicRef::Id(ID) } else { TopicRef::Name("t".into()) };
        let partitions = &asked.topics[0].partitions;
        assert_eq!(session.wanted.len(), partitions.len());
        for (wanted, asked) in session.wanted.iter().zip(partitions) {
            let epoch = |epoch: i32| (epoch >= 0).then_some(epoch);
            let expected = Wanted {
                topic: topic.clone(),
                partition: asked.partition,
                fetch_offset: asked.fetch_offset,
                current_leader_epoch: epoch(asked.current_leader_epoch),
                last_fetched_epoch: epoch(asked.last_fetched_epoch),
                log_start_offset: asked.log_start_offset,
                max_bytes: 99,
            };
            assert_eq!(*wanted, expected, "version {version}");
        }
        assert_eq!(session.forgotten.len(), usize::from(version >= 7));
        for cut in 0..body.len() {
            assert!(Request::parse(&body.slice(..cut), version).is_err(), "version {version} cut at {cut}");
        }
    }
}

#[test]
fn without_a_replica_state_a_consumer_asks() {
    for version in 15..=17 {
        let asked = FetchRequest { replica_state: ReplicaState::default(), ..request(version) };
        let parsed = Request::parse(&asked.to_bytes(version).unwrap().into(), version).unwrap();
        assert_eq!(parsed.replica_id, CONSUMER);
    }
}

#[test]
fn tagged_fields_of_a_partition_are_written_as_they_are_declared() {
    use crate::wire::messages::FetchResponse;
    use crate::wire::messages::fetch::{EpochEndOffset, FetchableTopicResponse, LeaderIdAndEpoch, PartitionData};
    let declared = |diverging_epoch, current_leader| {
        let partition = PartitionData { diverging_epoch, current_leader, ..Default::default() };
        let topic = FetchableTopicResponse { partitions: vec![partition], ..Default::default() };
        FetchResponse { responses: vec![topic], ..Default::default() }.to_bytes(16).unwrap()
    };
    for (diverging, leader) in [(None, None), (Some((2, 9)), None), (None, Some((1, 5))), (Some((2, 9)), Some((1, 5)))]
    {
        let mut w = Writer::new();
        write_partition_tags(&mut w, diverging, leader);
        let written = w.finish().unwrap();
        let message = declared(
            diverging.map_or_else(EpochEndOffset::default, |(epoch, end_offset)| EpochEndOffset { epoch, end_offset }),
            leader.map_or_else(LeaderIdAndEpoch::default, |(leader_id, leader_epoch)| LeaderIdAndEpoch {
                leader_id,
                leader_epoch,
            }),
        );
        // Behind the partition's tags stand those of the topic and of the answer, both empty.
        assert_eq!(message[message.len() - 2 - written.len()..message.len() - 2], written[..]);
    }
}
