use super::*;
use crate::wire::messages::update_metadata::*;

fn state(partition_index: i32, leader: i32) -> UpdateMetadataPartitionState {
    UpdateMetadataPartitionState {
        partition_index,
        leader,
        leader_epoch: 3,
        isr: vec![leader],
        replicas: vec![leader],
        ..Default::default()
    }
}

fn broker(id: i32) -> UpdateMetadataBroker {
    let endpoint = UpdateMetadataEndpoint {
        port: 9000 + id,
        host: "h".into(),
        listener: "PLAINTEXT".into(),
        security_protocol: 0,
    };
    UpdateMetadataBroker { id, endpoints: vec![endpoint], rack: None, ..Default::default() }
}

fn request(
    epoch: i32,
    brokers: &[i32],
    topics: Vec<(&str, Uuid, Vec<UpdateMetadataPartitionState>)>,
) -> UpdateMetadataRequest {
    UpdateMetadataRequest {
        controller_id: 1,
        controller_epoch: epoch,
        live_brokers: brokers.iter().map(|&id| broker(id)).collect(),
        topic_states: topics
            .into_iter()
            .map(|(name, topic_id, partition_states)| UpdateMetadataTopicState {
                topic_name: name.into(),
                topic_id,
                partition_states,
            })
            .collect(),
        ..Default::default()
    }
}

#[test]
fn the_broker_list_is_whole_and_topic_states_are_changes() {
    let cache = MetadataCache::default();
    assert_eq!(cache.current().controller_id, None);
    let id = Uuid([7; 16]);
    cache.update(&request(1, &[1, 2], vec![("t", id, vec![state(0, 1), state(1, 2)])])).unwrap();
    cache.update(&request(1, &[1], vec![("t", id, vec![state(1, NO_LEADER)])])).unwrap();
    let now = cache.current();
    assert_eq!(now.controller_id, Some(1));
    assert!(now.is_alive(1) && !now.is_alive(2));
    assert_eq!(now.partition("t", 0).unwrap().leader, 1);
    assert_eq!(now.partition("t", 1).unwrap().leader, NO_LEADER);
    assert_eq!(now.topic_name(id).map(|name| &**name), Some("t"));
    assert_eq!(now.leader_endpoint("t", 0, "PLAINTEXT").unwrap().1.port, 9001);
    assert!(now.leader_endpoint("t", 0, "SSL").is_none());
    assert!(now.leader_endpoint("t", 1, "PLAINTEXT").is_none());
}

#[test]
fn a_partition_being_deleted_is_forgotten_and_the_last_one_takes_the_topic_along() {
    let cache = MetadataCache::default();
    let id = Uuid([7; 16]);
    cache.update(&request(1, &[1], vec![("t", id, vec![state(0, 1), state(1, 1)])])).unwrap();
    let deleted = cache.update(&request(1, &[1], vec![("t", id, vec![state(0, -2), state(5, -2)])])).unwrap();
    assert_eq!(deleted.partitions, [TopicPartition::new("t", 0)]);
    assert!(cache.current().topics.contains_key("t"));
    cache.update(&request(1, &[1], vec![("t", id, vec![state(1, -2)])])).unwrap();
    assert!(cache.current().topics.is_empty());
    assert_eq!(cache.current().topic_name(id), None);
}

#[test]
fn a_topic_made_anew_has_only_its_new_id() {
    let cache = MetadataCache::default();
    let (old, new) = (Uuid([1; 16]), Uuid([2; 16]));
    cache.update(&request(1, &[1], vec![("t", old, vec![state(0, 1)])])).unwrap();
    cache.update(&request(1, &[1], vec![("t", new, vec![state(0, 1)])])).unwrap();
    assert_eq!(cache.current().topic_name(old), None);
    assert_eq!(cache.current().topic_id("t"), new);
    assert_eq!(cache.current().topic_name(Uuid::ZERO), None);
}

#[test]
fn an_old_controller_is_not_believed() {
    let cache = MetadataCache::default();
    cache.update(&request(5, &[1], vec![])).unwrap();
    assert_eq!(cache.update(&request(4, &[2], vec![])), Err(ErrorCode::STALE_CONTROLLER_EPOCH));
    assert!(cache.current().is_alive(1));
}

#[tokio::test]
async fn waiting_ends_with_the_update_that_fulfils_the_condition() {
    let cache = Arc::new(MetadataCache::default());
    let waiting = tokio::spawn({
        let cache = cache.clone();
        async move { cache.wait_for(|cluster| cluster.contains("t", 0)).await }
    });
    tokio::task::yield_now().await;
    cache.update(&request(1, &[1], vec![])).unwrap();
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    cache.update(&request(1, &[1], vec![("t", Uuid::ZERO, vec![state(0, 1)])])).unwrap();
    waiting.await.unwrap();
}
