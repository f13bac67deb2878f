use super::*;
use crate::replication::MetadataCache;
use crate::wire::messages::UpdateMetadataRequest;
use crate::wire::messages::update_metadata::{
    UpdateMetadataBroker, UpdateMetadataEndpoint, UpdateMetadataPartitionState, UpdateMetadataTopicState,
};

/// Brokers 1 and 2 live, 3 is dead; 2 has no listener named PLAINTEXT.
fn cluster(leader: i32) -> Arc<ClusterMetadata> {
    let broker = |id, listener: &str| UpdateMetadataBroker {
        id,
        endpoints: vec![UpdateMetadataEndpoint { host: "h".into(), listener: listener.into(), ..Default::default() }],
        ..Default::default()
    };
    let state = UpdateMetadataPartitionState {
        leader,
        leader_epoch: 4,
        replicas: vec![1, 2, 3],
        isr: vec![1, 3],
        ..Default::default()
    };
    let topic =
        UpdateMetadataTopicState { topic_name: "t".into(), partition_states: vec![state], ..Default::default() };
    let request = UpdateMetadataRequest {
        live_brokers: vec![broker(1, "PLAINTEXT"), broker(2, "INTERNAL")],
        topic_states: vec![topic],
        ..Default::default()
    };
    let cache = MetadataCache::default();
    cache.update(&request).unwrap();
    cache.current()
}

fn partition(leader: i32, version: i16) -> MetadataResponsePartition {
    let cluster = cluster(leader);
    let view = View { cluster: &cluster, listener: "PLAINTEXT", version };
    view.topic("t", &cluster.topics["t"]).partitions.remove(0)
}

#[test]
fn dead_replicas_are_named_and_only_the_oldest_clients_do_not_see_them() {
    let now = partition(1, 12);
    assert_eq!((ErrorCode(now.error_code), now.leader_id, now.leader_epoch), (ErrorCode::NONE, 1, 4));
    assert_eq!((now.replica_nodes, now.isr_nodes, now.offline_replicas), (vec![1, 2, 3], vec![1, 3], vec![3]));
    let oldest = partition(1, 0);
    assert_eq!(ErrorCode(oldest.error_code), ErrorCode::REPLICA_NOT_AVAILABLE);
    assert_eq!((oldest.leader_id, oldest.replica_nodes, oldest.isr_nodes), (1, vec![1, 2], vec![1]));
}

#[test]
fn without_a_leader_that_can_be_reached_there_is_none() {
    for (leader, version, code) in [
        (NO_LEADER, 12, ErrorCode::LEADER_NOT_AVAILABLE),
        (3, 12, ErrorCode::LEADER_NOT_AVAILABLE),
        (2, 12, ErrorCode::LISTENER_NOT_FOUND),
        (2, 5, ErrorCode::LEADER_NOT_AVAILABLE),
    ] {
        let partition = partition(leader, version);
        assert_eq!((ErrorCode(partition.error_code), partition.leader_id), (code, NO_LEADER), "{leader} in {version}");
        assert_eq!(partition.replica_nodes, [1, 2, 3]);
    }
}

#[test]
fn topics_are_answered_once_and_by_what_they_were_asked_by() {
    let cluster = cluster(1);
    let view = View { cluster: &cluster, listener: "PLAINTEXT", version: 12 };
    let name = |name: &str| MetadataRequestTopic { name: Some(name.into()), ..Default::default() };
    let by_id = MetadataRequestTopic { name: None, topic_id: Uuid([5; 16]) };
    let by_id_of_4_1 = MetadataRequestTopic { name: Some(String::new()), topic_id: Uuid([6; 16]) };
    let topics = view.topics(&[name("t"), name("t"), name("nope"), name("not a name"), by_id, by_id_of_4_1]);
    let codes: Vec<ErrorCode> = topics.iter().map(|topic| ErrorCode(topic.error_code)).collect();
    assert_eq!(
        codes,
        [
            ErrorCode::NONE,
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            ErrorCode::INVALID_TOPIC_EXCEPTION,
            ErrorCode::UNKNOWN_TOPIC_ID,
            ErrorCode::UNKNOWN_TOPIC_ID
        ]
    );
    assert_eq!(topics[3].topic_id, Uuid([5; 16]));
    // Only the brokers that can be reached by this listener are shown.
    assert_eq!(view.brokers().iter().map(|broker| broker.node_id).collect::<Vec<_>>(), [1]);
}
