use std::collections::BTreeMap;

use super::classic::Joiner;
use super::records::OffsetAndMetadata;
use super::*;
use crate::wire::messages::join_group::JoinGroupRequestProtocol;
use crate::wire::messages::{JoinGroupRequest, SyncGroupRequest};
use crate::wire::{Bytes, TopicPartition};

/// A log in memory; the batches of each partition.
#[derive(Default)]
struct Memory {
    batches: Mutex<BTreeMap<i32, Vec<Vec<u8>>>>,
    refuse: Mutex<Option<ErrorCode>>,
}

impl OffsetsLog for Memory {
    fn append(&self, partition: i32, batch: Vec<u8>) -> CommittedFuture {
        if let Some(error) = *self.refuse.lock() {
            return Box::pin(std::future::ready(error));
        }
        self.batches.lock().entry(partition).or_default().push(batch);
        Box::pin(std::future::ready(ErrorCode::NONE))
    }

    fn read(&self, partition: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode> {
        for batch in self.batches.lock().get(&partition).into_iter().flatten() {
            visit(batch);
        }
        Ok(())
    }
}

fn config() -> Config {
    Config {
        classic: Settings {
            initial_rebalance_delay_ms: 0,
            session_timeout_ms_min: 10,
            session_timeout_ms_max: 60_000,
            size_max: 100,
        },
        consumer: consumer::tests::settings(),
        migration: MigrationPolicy::Bidirectional,
        offset_metadata_max_bytes: 4096,
        offsets_retention_ms: 1000,
        offsets_retention_check_interval_ms: 600_000,
        compression: CompressionSettings::default(),
    }
}

fn coordinator(log: &Arc<Memory>) -> Arc<GroupCoordinator> {
    let coordinator = GroupCoordinator::new(config(), log.clone(), Arc::default());
    coordinator.load(&[(7, 0)]);
    coordinator
}

fn commit(partition: i32, offset: i64) -> Commit {
    let value = OffsetAndMetadata {
        offset,
        leader_epoch: -1,
        metadata: String::new(),
        commit_timestamp: now_ms(),
        expire_timestamp: None,
    };
    Commit { partition: TopicPartition::new("t", partition), value }
}

const ANYBODY: Committer<'_> = Committer {
    generation_id_or_member_epoch: -1,
    member_id: "",
    group_instance_id: None,
    version: 9,
    transaction: None,
};

fn offset_of(coordinator: &GroupCoordinator, partition: i32) -> Option<i64> {
    let asked = [TopicPartition::new("t", partition)];
    let found = coordinator.offsets(7, "g", (None, -1), Some(&asked)).unwrap();
    found[0].1.as_ref().map(|value| value.offset)
}

#[test]
fn groups_fall_on_the_partitions_that_java_puts_them_on() {
    // "polygenelubricants" hashes to Int.MIN_VALUE, which has no absolute value.
    for (group, partition) in [("", 0), ("a", 47), ("my-group", 12), ("polygenelubricants", 0)] {
        assert_eq!(partition_for(group, 50), partition, "{group}");
    }
}

#[tokio::test]
async fn committed_offsets_survive_a_restart() {
    let log = Arc::new(Memory::default());
    let first = coordinator(&log);
    assert_eq!(first.commit(7, "g", ANYBODY, vec![commit(0, 5), commit(1, 6)]).await, ErrorCode::NONE);
    assert_eq!(first.commit(7, "g", ANYBODY, vec![commit(0, 8)]).await, ErrorCode::NONE);
    let second = coordinator(&log);
    assert_eq!((offset_of(&second, 0), offset_of(&second, 1), offset_of(&second, 2)), (Some(8), Some(6), None));
    assert_eq!(second.list().0, first.list().0);
}

#[tokio::test]
async fn an_offset_that_was_not_stored_cannot_be_fetched() {
    let log = Arc::new(Memory::default());
    let coordinator = coordinator(&log);
    *log.refuse.lock() = Some(ErrorCode::NOT_ENOUGH_REPLICAS);
    let outcome = coordinator.commit(7, "g", ANYBODY, vec![commit(0, 5)]).await;
    assert_eq!(outcome, ErrorCode::COORDINATOR_NOT_AVAILABLE);
    assert_eq!(offset_of(&coordinator, 0), None);
}

#[tokio::test]
async fn what_is_not_led_here_is_not_coordinated_here() {
    let log = Arc::new(Memory::default());
    let coordinator = coordinator(&log);
    assert_eq!(coordinator.commit(8, "h", ANYBODY, vec![commit(0, 1)]).await, ErrorCode::NOT_COORDINATOR);
    let joining = coordinator.join(7, &join("g", ""), &joiner(2));
    assert_eq!(joining.await.unwrap().generation_id, 1);
    let second = Joiner { unique: "second".into(), ..joiner(2) };
    let waiting = coordinator.join(7, &join("g", ""), &second);
    coordinator.resign(&[7]);
    assert_eq!(ErrorCode(waiting.await.unwrap().error_code), ErrorCode::NOT_COORDINATOR);
    assert_eq!(coordinator.describe(7, "g").unwrap_err(), ErrorCode::NOT_COORDINATOR);
}

#[tokio::test]
async fn deleting_a_group_deletes_its_offsets_for_good() {
    let log = Arc::new(Memory::default());
    let first = coordinator(&log);
    first.commit(7, "g", ANYBODY, vec![commit(0, 5)]).await;
    assert_eq!(first.delete(7, "nobody").await, ErrorCode::GROUP_ID_NOT_FOUND);
    assert_eq!(first.delete(7, "g").await, ErrorCode::NONE);
    for coordinator in [first, coordinator(&log)] {
        assert_eq!(coordinator.list().0, []);
        assert_eq!(offset_of(&coordinator, 0), None);
    }
}

#[tokio::test]
async fn offsets_are_deleted_one_by_one_and_expire() {
    let log = Arc::new(Memory::default());
    let coordinator = coordinator(&log);
    let old = |partition| {
        let mut commit = commit(partition, 5);
        commit.value.commit_timestamp = 1;
        commit
    };
    coordinator.commit(7, "g", ANYBODY, vec![old(0), old(1), commit(2, 7)]).await;
    let outcomes = coordinator.delete_offsets(7, "g", vec![TopicPartition::new("t", 0)]).await.unwrap();
    assert_eq!(outcomes, [(TopicPartition::new("t", 0), ErrorCode::NONE)]);
    coordinator.expire_offsets();
    assert_eq!(
        (offset_of(&coordinator, 0), offset_of(&coordinator, 1), offset_of(&coordinator, 2)),
        (None, None, Some(7))
    );
    coordinator.partitions_deleted(&[TopicPartition::new("t", 2)]);
    assert_eq!(coordinator.list().0, []);
}

#[tokio::test]
async fn the_clock_ends_sessions() {
    let log = Arc::new(Memory::default());
    let coordinator = coordinator(&log);
    let clock = tokio::spawn(coordinator.clone().run());
    let answer = coordinator.join(7, &join("g", ""), &joiner(2)).await.unwrap();
    let sync =
        SyncGroupRequest { group_id: "g".into(), generation_id: 1, member_id: answer.member_id, ..Default::default() };
    assert_eq!(coordinator.sync(7, &sync).await.unwrap().error_code, 0);
    while coordinator.describe(7, "g").unwrap().state != "Empty" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clock.abort();
}

fn join(group_id: &str, member_id: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group_id.into(),
        session_timeout_ms: 100,
        rebalance_timeout_ms: 100,
        member_id: member_id.into(),
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: Bytes::new() }],
        ..Default::default()
    }
}

fn joiner(version: i16) -> Joiner {
    Joiner { client_id: "c".into(), client_host: "/127.0.0.1".into(), unique: "u".into(), version }
}
