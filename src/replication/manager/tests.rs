use super::*;
use crate::log::{CleanupPolicy, LogManagerOptions};
use crate::wire::batch::BatchBuilder;
use crate::wire::messages::UpdateMetadataRequest;
use crate::wire::messages::leader_and_isr::LeaderAndIsrTopicState;
use crate::wire::messages::stop_replica::{StopReplicaPartitionState, StopReplicaTopicState};

const ME: i32 = 1;
const ID: Uuid = Uuid([9; 16]);

struct Fixture {
    manager: ReplicaManager,
    changes: Arc<Mutex<Vec<(TopicPartition, LeadershipChange)>>>,
    _proposals: mpsc::UnboundedReceiver<IsrProposal>,
    _dir: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let logs = LogManager::open(LogManagerOptions {
            dirs: vec![dir.path().to_owned()],
            broker_id: ME,
            cluster_id: "cluster".into(),
            config_of: &|_| LogConfig::default(),
            recovery_threads_per_dir: 1,
            now_ms: 0,
        });
        let metadata = Arc::new(MetadataCache::default());
        let (manager, proposals) = ReplicaManager::new(ME, Arc::new(logs.unwrap()), metadata, 30_000);
        let changes = Arc::new(Mutex::new(Vec::new()));
        let seen = changes.clone();
        manager.on_leadership(Box::new(move |changes| seen.lock().extend_from_slice(changes)));
        Fixture { manager, changes, _proposals: proposals, _dir: dir }
    }

    /// What the controller decides about partition 0 of `t`; returns the partition's error code.
    fn decide(&self, leader: i32, leader_epoch: i32, replicas: &[i32]) -> ErrorCode {
        self.decide_in(1, ID, leader, leader_epoch, replicas)
    }

    fn decide_in(
        &self,
        controller_epoch: i32,
        id: Uuid,
        leader: i32,
        leader_epoch: i32,
        replicas: &[i32],
    ) -> ErrorCode {
        let state = LeaderAndIsrPartitionState {
            leader,
            leader_epoch,
            isr: replicas.to_vec(),
            replicas: replicas.to_vec(),
            ..Default::default()
        };
        let topic = LeaderAndIsrTopicState { topic_name: "t".into(), topic_id: id, partition_states: vec![state] };
        let request = LeaderAndIsrRequest { controller_epoch, topic_states: vec![topic], ..Default::default() };
        let response = self.manager.become_leader_or_follower(&request, 7, &|_| LogConfig::default());
        match response.topics.first() {
            Some(topic) => ErrorCode(topic.partition_errors[0].error_code),
            None => ErrorCode(response.error_code),
        }
    }

    fn stop(&self, leader_epoch: i32, delete_partition: bool) -> ErrorCode {
        let state = StopReplicaPartitionState { partition_index: 0, leader_epoch, delete_partition };
        let topic = StopReplicaTopicState { topic_name: "t".into(), partition_states: vec![state] };
        let request = StopReplicaRequest { controller_epoch: 1, topic_states: vec![topic], ..Default::default() };
        ErrorCode(self.manager.stop_replicas(&request).partition_errors[0].error_code)
    }

    fn replica(&self) -> Arc<Replica> {
        self.manager.replica("t", 0).unwrap()
    }

    fn changes(&self) -> Vec<LeadershipChange> {
        self.changes.lock().drain(..).map(|(_, change)| change).collect()
    }
}

fn batch(values: &[&str]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.append(1, None, Some(value.as_bytes()), &[]);
    }
    batch.finish()
}

fn append(replica: &Replica, acks: RequiredAcks) -> Result<Appended, ErrorCode> {
    replica.append(&mut batch(&["a", "b"]), acks, AppendOrigin::Client).map_err(|error| error.code())
}

fn read(fetch_offset: i64) -> ReadParams {
    ReadParams {
        fetch_offset,
        max_bytes: 1 << 20,
        one_batch: true,
        isolation: Isolation::ReadUncommitted,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        only_leader: true,
    }
}

#[test]
fn a_partition_is_created_led_left_and_deleted_as_the_controller_says() {
    let fixture = Fixture::new();
    assert_eq!(fixture.manager.replica("t", 0).map(|_| ()), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(fixture.decide(2, 0, &[2, 3]), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "not ours");
    assert_eq!(fixture.decide(ME, 0, &[ME]), ErrorCode::NONE);
    assert_eq!(fixture.changes(), [LeadershipChange::Elected { leader_epoch: 0 }]);
    let replica = fixture.replica();
    assert_eq!(replica.topic_id(), ID);
    append(&replica, RequiredAcks::All).unwrap();
    assert_eq!(fixture.decide(ME, 0, &[ME]), ErrorCode::STALE_CONTROLLER_EPOCH, "an epoch twice");
    assert_eq!(fixture.decide(2, 1, &[2, ME]), ErrorCode::NONE);
    assert_eq!(fixture.changes(), [LeadershipChange::Resigned]);
    assert_eq!(append(&replica, RequiredAcks::Leader), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(fixture.stop(0, true), ErrorCode::FENCED_LEADER_EPOCH);
    assert_eq!(fixture.stop(EPOCH_DURING_DELETE, true), ErrorCode::NONE);
    assert_eq!(fixture.manager.replica("t", 0).map(|_| ()), Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION));
    assert_eq!(append(&replica, RequiredAcks::Leader), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER), "who still holds it");

    // The same name again is another topic, and empty.
    assert_eq!(fixture.decide_in(1, Uuid([8; 16]), ME, 0, &[ME]), ErrorCode::NONE);
    assert_eq!(fixture.replica().log().log_end_offset(), 0);
}

#[test]
fn another_topic_of_the_same_name_is_refused_and_so_is_an_old_controller() {
    let fixture = Fixture::new();
    assert_eq!(fixture.decide_in(5, ID, ME, 0, &[ME]), ErrorCode::NONE);
    assert_eq!(fixture.decide_in(5, Uuid([8; 16]), ME, 1, &[ME]), ErrorCode::INCONSISTENT_TOPIC_ID);
    assert_eq!(fixture.decide_in(4, ID, ME, 1, &[ME]), ErrorCode::STALE_CONTROLLER_EPOCH);
    // Nor may it lead or stop anything when it is the metadata that a later one has spoken of.
    let later = UpdateMetadataRequest { controller_epoch: 6, ..Default::default() };
    fixture.manager.metadata.update(&later).unwrap();
    assert_eq!(fixture.decide_in(5, ID, ME, 1, &[ME]), ErrorCode::STALE_CONTROLLER_EPOCH);
    assert_eq!(fixture.decide_in(6, ID, ME, 1, &[ME]), ErrorCode::NONE);
}

fn by(replica: i32) -> FollowerFetch {
    FollowerFetch { replica, log_start_offset: 0, is_news: true }
}

#[test]
fn a_follower_that_fetches_raises_the_high_watermark_and_ends_the_wait_for_acks() {
    let fixture = Fixture::new();
    assert_eq!(fixture.decide(ME, 0, &[ME, 2]), ErrorCode::NONE);
    let replica = fixture.replica();
    let appended = append(&replica, RequiredAcks::All).unwrap();
    assert_eq!((appended.base_offset, appended.next_offset), (0, 2));
    assert_eq!(replica.is_replicated(&appended), Ok(false));
    assert!(replica.read(&read(0)).unwrap().records.is_none(), "consumers see nothing that is not committed");
    let follower = ReadParams { isolation: Isolation::LogEnd, ..read(0) };
    assert!(replica.read_for_follower(&follower, &by(2)).unwrap().records.is_some());
    assert_eq!(replica.is_replicated(&appended), Ok(false));
    let caught_up = ReadParams { isolation: Isolation::LogEnd, ..read(2) };
    replica.read_for_follower(&caught_up, &by(2)).unwrap();
    assert_eq!(replica.is_replicated(&appended), Ok(true));
    assert_eq!(replica.read(&read(0)).unwrap().high_watermark, 2);
    let stranger = replica.read_for_follower(&caught_up, &by(7)).map_err(|error| error.code());
    assert_eq!(stranger.map(|_| ()), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
}

#[test]
fn a_reader_from_another_past_is_told_where_the_pasts_part() {
    let fixture = Fixture::new();
    fixture.decide(ME, 0, &[ME]);
    let replica = fixture.replica();
    append(&replica, RequiredAcks::Leader).unwrap();
    fixture.decide(ME, 4, &[ME]);
    append(&replica, RequiredAcks::Leader).unwrap();
    let diverging = |epoch, offset| {
        let params = ReadParams { last_fetched_epoch: Some(epoch), ..read(offset) };
        replica.read(&params).map(|read| (read.diverging_epoch, read.records.is_some())).map_err(|error| error.code())
    };
    assert_eq!(diverging(0, 2), Ok((None, true)));
    assert_eq!(diverging(0, 3), Ok((Some((0, 2)), false)), "our epoch 0 ended earlier");
    assert_eq!(diverging(2, 2), Ok((Some((0, 2)), false)), "we never had epoch 2");
    assert_eq!(diverging(4, 4), Ok((None, false)));
    assert_eq!(diverging(9, 4), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
}

#[test]
fn records_are_deleted_up_to_the_high_watermark_where_deletion_is_allowed() {
    let fixture = Fixture::new();
    fixture.decide(ME, 0, &[ME]);
    let replica = fixture.replica();
    append(&replica, RequiredAcks::Leader).unwrap();
    let delete = |offset| replica.delete_records(offset).map_err(|error| error.code());
    assert_eq!(delete(Some(3)), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
    assert_eq!(delete(Some(-2)), Err(ErrorCode::OFFSET_OUT_OF_RANGE));
    assert_eq!(delete(Some(1)), Ok(1));
    assert_eq!(delete(Some(0)), Ok(1), "never back");
    assert_eq!(delete(None), Ok(2));
    let compacted = LogConfig { cleanup_policy: CleanupPolicy::COMPACT, ..LogConfig::default() };
    fixture.manager.update_topic_config("t", &compacted);
    assert_eq!(delete(None), Err(ErrorCode::POLICY_VIOLATION));
}

#[test]
fn a_coordinator_reads_back_everything_it_has_appended() {
    let fixture = Fixture::new();
    fixture.decide(ME, 0, &[ME]);
    for _ in 0..3 {
        let (replica, next) = fixture.manager.append_internal("t", 0, &mut batch(&["a", "b"])).unwrap();
        assert_eq!(replica.is_replicated(&next), Ok(true));
    }
    let mut offsets = Vec::new();
    let mut visit = |bytes: &[u8]| {
        offsets.push(crate::wire::batch::Batch::split_first(bytes).unwrap().0.base_offset());
    };
    fixture.replica().read_all(&mut visit).unwrap();
    assert_eq!(offsets, [0, 2, 4]);
}

#[tokio::test]
async fn leadership_and_appends_wake_who_is_parked() {
    use crate::replication::delayed::{Awaits, Parked};
    let fixture = Fixture::new();
    fixture.decide(ME, 0, &[ME]);
    let replica = fixture.replica();
    let parked = Parked::at([replica.parking.clone()], Awaits::HighWatermark);
    append(&replica, RequiredAcks::Leader).unwrap();
    parked.moved().await;
    fixture.decide(2, 1, &[2, ME]);
    parked.moved().await;
}
