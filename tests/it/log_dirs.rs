//! Brokers with several log dirs: where partitions are, how they move, and what a dir that fails takes with it.

use std::fs;
use std::time::{Duration, Instant};

use ottla::network::Peer;
use ottla::wire::ErrorCode;
use ottla::wire::messages::alter_replica_log_dirs::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use ottla::wire::messages::describe_log_dirs::DescribableLogDirTopic;
use ottla::wire::messages::*;

use crate::broker::{TestBroker, fetch, produce, values};
use crate::controller::{Cluster, create, until};

/// What DescribeLogDirs says: dir, error, and of each partition topic, index, lag and whether it is a future one.
async fn describe(peer: &Peer, topics: Option<Vec<DescribableLogDirTopic>>) -> Vec<(String, i16, Vec<String>)> {
    let response = peer.call(&DescribeLogDirsRequest { topics }, 4).await.unwrap();
    assert_eq!(response.error_code, 0);
    let dir = |result: describe_log_dirs::DescribeLogDirsResult| {
        assert_eq!(result.total_bytes > 0 && result.usable_bytes >= 0, result.error_code == 0);
        let partitions = result.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic.partitions.into_iter().map(move |partition| {
                let future = if partition.is_future_key { " future" } else { "" };
                format!("{name}-{} {} bytes{future}", partition.partition_index, partition.partition_size)
            })
        });
        (result.log_dir, result.error_code, partitions.collect())
    };
    response.results.into_iter().map(dir).collect()
}

async fn alter(peer: &Peer, dir: &str, topic: &str, partition: i32) -> ErrorCode {
    let topics = vec![AlterReplicaLogDirTopic { name: topic.to_owned(), partitions: vec![partition] }];
    let request = AlterReplicaLogDirsRequest { dirs: vec![AlterReplicaLogDir { path: dir.to_owned(), topics }] };
    let response = peer.call(&request, 2).await.unwrap();
    ErrorCode(response.results[0].partitions[0].error_code)
}

#[tokio::test]
async fn a_partition_moves_between_dirs_and_stays_what_it_is() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = dirs.each_ref().map(|dir| dir.path().display().to_string());
    let broker = TestBroker::start_with(&[("log.dirs", &format!("{a},{b}"))]).await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    produce(&peer, "t", &["one", "two"]).await;
    let before = describe(&peer, None).await;
    let size = before[0].2[0].strip_prefix("t-0 ").unwrap().to_owned();
    assert_eq!(before[1], (b.clone(), 0, vec![]));
    let unknown = DescribableLogDirTopic { topic: "unknown".to_owned(), partitions: vec![0] };
    assert!(describe(&peer, Some(vec![unknown])).await.iter().all(|(_, error, found)| *error == 0 && found.is_empty()));

    assert_eq!(alter(&peer, "/nowhere", "t", 0).await, ErrorCode::LOG_DIR_NOT_FOUND);
    assert_eq!(alter(&peer, &b, "t", 7).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(alter(&peer, &b, "t", 0).await, ErrorCode::NONE);
    let began = Instant::now();
    let expected = vec![(a.clone(), 0, vec![]), (b.clone(), 0, vec![format!("t-0 {size}")])];
    loop {
        let found = describe(&peer, None).await;
        if found == expected {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(produce(&peer, "t", &["three"]).await, 2);
    assert_eq!(values(&fetch(&peer, "t", 0).await.records).len(), 3);
    broker.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dir_that_fails_takes_its_partitions_offline_and_the_controller_moves_their_leaders() {
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let [a, b] = dirs.each_ref().map(|dir| dir.path().display().to_string());
    let cluster = Cluster::start().await;
    let zero = cluster.broker("0", &[]).await;
    let one = cluster.broker("1", &[("log.dirs", &format!("{a},{b}"))]).await;
    create(&[&zero, &one], "t", &[&[1, 0], &[1, 0]]).await;
    let (peer, other) = (one.connect().await, zero.connect().await);
    for partition in [0, 1] {
        until(&other, "t", partition, |found| found.leader_id == 1 && found.isr_nodes.len() == 2).await;
    }
    // One partition in each dir. That of t-0 loses its folder, and so fails with the next thing that needs a file.
    let in_a = fs::exists(dirs[0].path().join("t-0")).unwrap();
    let lost = if in_a { &dirs[0] } else { &dirs[1] };
    fs::remove_dir_all(lost.path().join("t-0")).unwrap();
    fs::write(lost.path().join("t-0"), "no folder").unwrap();
    let answer = crate::broker::produce_in(&peer, 8, "t", crate::broker::batch(&["x"])).await;
    assert_eq!(ErrorCode(answer.error_code), ErrorCode::KAFKA_STORAGE_ERROR);
    until(&other, "t", 0, |found| found.leader_id == 0 && found.isr_nodes == [0] && found.offline_replicas == [1])
        .await;
    until(&other, "t", 1, |found| found.leader_id == 1).await;
    assert_eq!(produce(&other, "t", &["there"]).await, 0);
    let described = describe(&peer, None).await;
    let errors: Vec<i16> = described.iter().map(|(_, error, _)| *error).collect();
    let failed = ErrorCode::KAFKA_STORAGE_ERROR.0;
    assert_eq!(errors, if in_a { [failed, 0] } else { [0, failed] });
    // A new partition goes where the disk works.
    create(&[&zero, &one], "later", &[&[1]]).await;
    until(&peer, "later", 0, |found| found.leader_id == 1).await;
    zero.broker.shutdown().await;
    one.broker.shutdown().await;
}

#[tokio::test]
async fn a_broker_whose_dirs_have_all_failed_says_so() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    fs::remove_dir_all(broker.dir.path().join("logs/t-0")).unwrap();
    let answer = crate::broker::produce_in(&peer, 8, "t", crate::broker::batch(&["x"])).await;
    assert_eq!(ErrorCode(answer.error_code), ErrorCode::KAFKA_STORAGE_ERROR);
    let reason = tokio::time::timeout(Duration::from_secs(10), broker.broker.failure()).await.unwrap();
    assert_eq!(
        reason,
        format!("Shutdown broker because all log dirs in {} have failed", broker.dir.path().join("logs").display())
    );
}
