//! A cluster of one, over its sockets: what producers and consumers see, and what a restart leaves.

use std::time::{Duration, Instant};

use ottla::wire::batch::BatchBuilder;
use ottla::wire::messages::*;
use ottla::wire::messages::{delete_records, fetch, metadata, offset_for_leader_epoch};
use ottla::wire::{ErrorCode, Uuid};

use crate::broker::*;

#[tokio::test]
async fn what_is_produced_is_fetched_and_survives_a_restart() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    assert_eq!(produce(&peer, "t", &["a", "b"]).await, 0);
    assert_eq!(produce(&peer, "t", &["c"]).await, 2);
    let expected = vec![(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())];
    let fetched = fetch(&peer, "t", 0).await;
    assert_eq!((values(&fetched.records), fetched.high_watermark), (expected.clone(), 3));
    assert_eq!(values(&fetch(&peer, "t", 1).await.records), expected, "whole batches, from the one with the offset");

    let broker = broker.restart().await;
    let peer = broker.connect().await;
    for _ in 0..500 {
        let partition = topic_metadata(&peer, "t").await.partitions;
        if partition.first().is_some_and(|partition| partition.error_code == 0) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let fetched = fetch(&peer, "t", 0).await;
    assert_eq!((values(&fetched.records), fetched.high_watermark), (expected, 3));
    assert_eq!(produce(&peer, "t", &["d"]).await, 3);
    broker.broker.shutdown().await;
}

#[tokio::test]
async fn a_long_poll_ends_with_the_record_it_waits_for_and_does_not_hold_others_up() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let (consumer, producer) = (broker.connect().await, broker.connect().await);
    let waiting = tokio::spawn(async move {
        let request = FetchRequest { max_wait_ms: 20_000, ..fetch_request("t", 0) };
        let mut response = consumer.call(&request, 12).await.unwrap();
        values(&response.responses.remove(0).partitions.remove(0).records)
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    produce(&producer, "t", &["a"]).await;
    let got = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    assert_eq!(got, [(0, "a".to_owned())]);
}

#[tokio::test]
async fn a_long_poll_waits_for_min_bytes_and_at_most_for_max_wait() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    produce(&peer, "t", &["a"]).await;
    let started = Instant::now();
    let request = FetchRequest { max_wait_ms: 150, min_bytes: 1 << 19, ..fetch_request("t", 0) };
    let mut response = peer.call(&request, 12).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(150));
    assert_eq!(values(&response.responses.remove(0).partitions.remove(0).records), [(0, "a".to_owned())]);
}

#[tokio::test]
async fn every_version_of_produce_and_fetch_carries_records() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    for version in 3..=11 {
        let answer = produce_in(&peer, version, "t", batch(&["a"])).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(version) - 3));
    }
    for version in 4..=17 {
        let mut request = fetch_request("t", 2);
        if version >= 13 {
            request.topics[0].topic.clear();
            request.topics[0].topic_id = id;
        }
        let mut response = peer.call(&request, version).await.unwrap();
        let topic = response.responses.remove(0);
        assert_eq!(if version >= 13 { topic.topic_id } else { id }, id);
        let partition = &topic.partitions[0];
        assert_eq!((partition.error_code, partition.high_watermark), (0, 9), "version {version}");
        assert_eq!(values(&partition.records).first().map(|(offset, _)| *offset), Some(2), "version {version}");
    }
}

/// A message of magic 0 or 1.
fn message(magic: i8, key: &str, value: &str) -> Vec<u8> {
    let mut body = vec![magic as u8, 0];
    if magic == 1 {
        body.extend_from_slice(&5_000i64.to_be_bytes());
    }
    for text in [key, value] {
        body.extend_from_slice(&(text.len() as i32).to_be_bytes());
        body.extend_from_slice(text.as_bytes());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let mut message = vec![0; 8];
    message.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    message.extend_from_slice(&crc.sum().to_be_bytes());
    message.extend_from_slice(&body);
    message
}

#[tokio::test]
async fn old_clients_write_and_read_old_messages_that_are_stored_as_batches() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    for (version, magic) in [(0, 0), (1, 0), (2, 1)] {
        let answer = produce_in(&peer, version, "t", message(magic, "k", "v")).await;
        assert_eq!((answer.error_code, answer.base_offset), (0, i64::from(version)));
    }
    let new = fetch(&peer, "t", 0).await;
    assert_eq!(values(&new.records).len(), 3);
    for (version, magic) in [(0, 0u8), (1, 0), (2, 1), (3, 1)] {
        let mut response = peer.call(&fetch_request("t", 1), version).await.unwrap();
        let records = response.responses.remove(0).partitions.remove(0).records.unwrap();
        assert_eq!(records[..8], 1i64.to_be_bytes(), "version {version} begins with offset 1");
        assert_eq!(records[16], magic, "version {version}");
    }
}

#[tokio::test]
async fn a_fetch_outside_the_log_or_in_another_epoch_says_so_at_once() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    produce(&peer, "t", &["a"]).await;
    let fetched = fetch(&peer, "t", 2).await;
    assert_eq!(ErrorCode(fetched.error_code), ErrorCode::OFFSET_OUT_OF_RANGE);
    assert_eq!((fetched.high_watermark, fetched.last_stable_offset, fetched.log_start_offset), (-1, -1, -1));
    assert_eq!(fetch(&peer, "t", 1).await.error_code, 0, "the log end is no error");
    let code = async |change: &dyn Fn(&mut fetch::FetchPartition)| {
        let mut request = FetchRequest { max_wait_ms: 20_000, ..fetch_request("t", 1) };
        change(&mut request.topics[0].partitions[0]);
        let mut response = peer.call(&request, 12).await.unwrap();
        ErrorCode(response.responses.remove(0).partitions.remove(0).error_code)
    };
    assert_eq!(code(&|p| p.current_leader_epoch = 7).await, ErrorCode::UNKNOWN_LEADER_EPOCH);
    assert_eq!(code(&|p| p.partition = 9).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code(&|p| p.last_fetched_epoch = 5).await, ErrorCode::OFFSET_OUT_OF_RANGE, "an epoch of nobody");
}

#[tokio::test]
async fn read_limits_are_kept_but_one_batch_always_comes() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    let long = "x".repeat(1_000);
    for _ in 0..3 {
        produce(&peer, "t", &[&long]).await;
    }
    let fetched = async |change: &dyn Fn(&mut FetchRequest), version| {
        let mut request = fetch_request("t", 0);
        change(&mut request);
        let mut response = peer.call(&request, version).await.unwrap();
        response.responses.remove(0).partitions.remove(0).records.map_or(0, |records| records.len())
    };
    let one = fetched(&|r| r.topics[0].partitions[0].partition_max_bytes = 10, 12).await;
    assert!(one > 1_000 && one < 2_000);
    assert_eq!(fetched(&|r| r.max_bytes = 10, 12).await, one);
    assert_eq!(fetched(&|r| r.topics[0].partitions[0].partition_max_bytes = 10, 2).await, 0);
    assert_eq!(fetched(&|r| r.max_bytes = 2 * one as i32, 12).await, 2 * one);
}

#[tokio::test]
async fn a_fetch_session_answers_news_only() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let peer = broker.connect().await;
    let mut request = FetchRequest { session_epoch: 0, ..fetch_request("t", 0) };
    let second = fetch::FetchPartition { partition: 1, ..request.topics[0].partitions[0].clone() };
    request.topics[0].partitions.push(second);
    let full = peer.call(&request, 12).await.unwrap();
    assert!(full.session_id > 0);
    assert_eq!(full.responses[0].partitions.len(), 2);
    let next = |epoch| FetchRequest {
        session_id: full.session_id,
        session_epoch: epoch,
        max_wait_ms: 0,
        min_bytes: 1,
        ..Default::default()
    };
    let quiet = peer.call(&next(1), 12).await.unwrap();
    assert_eq!((quiet.session_id, quiet.responses.len()), (full.session_id, 0));
    produce(&peer, "t", &["a"]).await;
    let news = peer.call(&next(2), 12).await.unwrap();
    assert_eq!(news.responses.len(), 1);
    assert_eq!(values(&news.responses[0].partitions[0].records), [(0, "a".to_owned())]);
    let again = peer.call(&next(2), 12).await.unwrap();
    assert_eq!(ErrorCode(again.error_code), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let unknown = peer.call(&FetchRequest { session_id: 1, ..next(1) }, 12).await.unwrap();
    assert_eq!(ErrorCode(unknown.error_code), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
}

fn idempotent(producer_id: i64, epoch: i16, sequence: i32, values: &[&str]) -> Vec<u8> {
    let mut batch = BatchBuilder::new().producer(producer_id, epoch, sequence);
    for value in values {
        batch.append(1_000, None, Some(value.as_bytes()), &[]);
    }
    batch.finish()
}

#[tokio::test]
async fn an_idempotent_producer_is_held_to_its_sequence() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    let send = async |epoch, sequence, values: &[&str]| {
        let answer = produce_in(&peer, 9, "t", idempotent(77, epoch, sequence, values)).await;
        (ErrorCode(answer.error_code), answer.base_offset)
    };
    assert_eq!(send(0, 0, &["a", "b"]).await, (ErrorCode::NONE, 0));
    assert_eq!(send(0, 2, &["c"]).await, (ErrorCode::NONE, 2));
    assert_eq!(send(0, 0, &["a", "b"]).await, (ErrorCode::NONE, 0), "sent twice, written once");
    assert_eq!(send(0, 5, &["x"]).await.0, ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER);
    assert_eq!(send(1, 0, &["d"]).await, (ErrorCode::NONE, 3));
    assert_eq!(send(0, 3, &["x"]).await.0, ErrorCode::INVALID_PRODUCER_EPOCH);
    assert_eq!(values(&fetch(&peer, "t", 0).await.records).len(), 4);
}

#[tokio::test]
async fn produce_refuses_what_kafka_refuses() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[("max.message.bytes", "500")]).await;
    broker.create_topic("compacted", 1, &[("cleanup.policy", "compact")]).await;
    let peer = broker.connect().await;
    let code = async |topic: &str, records: Vec<u8>| ErrorCode(produce_in(&peer, 9, topic, records).await.error_code);
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut records = batch(&["a"]);
        change(&mut records);
        records
    };
    assert_eq!(code("nope", batch(&["a"])).await, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    assert_eq!(code("t", changed(&|b| b[20] ^= 1)).await, ErrorCode::CORRUPT_MESSAGE);
    assert_eq!(code("t", changed(&|b| b[16] = 3)).await, ErrorCode::CORRUPT_MESSAGE);
    assert_eq!(code("t", Vec::new()).await, ErrorCode::INVALID_RECORD);
    assert_eq!(code("t", changed(&|b| b.truncate(b.len() - 1))).await, ErrorCode::INVALID_RECORD);
    assert_eq!(code("t", changed(&|b| b.extend(batch(&["b"])))).await, ErrorCode::INVALID_RECORD);
    assert_eq!(code("t", message(1, "k", "v")).await, ErrorCode::INVALID_RECORD);
    assert_eq!(code("t", changed(&|b| b[7] = 1)).await, ErrorCode::INVALID_RECORD, "a base offset of its own");
    assert_eq!(code("t", batch(&[&"x".repeat(600)])).await, ErrorCode::MESSAGE_TOO_LARGE);
    assert_eq!(code("t", batch(&["a"])).await, ErrorCode::NONE);
    let refused = produce_in(&peer, 9, "compacted", batch(&["a"])).await;
    assert_eq!(ErrorCode(refused.error_code), ErrorCode::INVALID_RECORD);
    assert_eq!(
        refused.record_errors[0].batch_index_error_message.as_deref(),
        Some("Compacted topic cannot accept message without key in topic partition compacted-0")
    );
    let acks = peer.call(&produce_request("t", 0, 2, batch(&["a"])), 9).await.unwrap();
    let code = acks.responses[0].partition_responses[0].error_code;
    assert_eq!(ErrorCode(code), ErrorCode::INVALID_REQUIRED_ACKS);
}

#[tokio::test]
async fn the_same_partition_twice_is_written_once() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    let mut request = produce_request("t", 0, 1, batch(&["a"]));
    let twin = request.topic_data[0].partition_data[0].clone();
    request.topic_data[0].partition_data.push(twin);
    let response = peer.call(&request, 9).await.unwrap();
    assert_eq!(response.responses[0].partition_responses.len(), 1);
    assert_eq!(values(&fetch(&peer, "t", 0).await.records).len(), 1);
}

#[tokio::test]
async fn offsets_are_listed_by_time_and_records_deleted_up_to_an_offset() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    assert_eq!(list_offset(&peer, "t", -1).await.offset, 0);
    assert_eq!(list_offset(&peer, "t", -3).await.offset, -1);
    produce(&peer, "t", &["a", "b", "c"]).await;
    let listed = async |timestamp| {
        let listed = list_offset(&peer, "t", timestamp).await;
        (listed.error_code, listed.timestamp, listed.offset)
    };
    assert_eq!(listed(-1).await, (0, -1, 3));
    assert_eq!(listed(-2).await, (0, -1, 0));
    assert_eq!(listed(-3).await, (0, 1_002, 2));
    assert_eq!(listed(1_001).await, (0, 1_001, 1));
    assert_eq!(listed(5_000).await, (0, -1, -1));
    assert_eq!(listed(-4).await.0, ErrorCode::UNSUPPORTED_VERSION.0);

    let delete = async |offset| {
        let partition = delete_records::DeleteRecordsPartition { partition_index: 0, offset };
        let topic = delete_records::DeleteRecordsTopic { name: "t".to_owned(), partitions: vec![partition] };
        let request = DeleteRecordsRequest { topics: vec![topic], timeout_ms: 1_000 };
        let mut response = peer.call(&request, 2).await.unwrap();
        let result = response.topics.remove(0).partitions.remove(0);
        (ErrorCode(result.error_code), result.low_watermark)
    };
    assert_eq!(delete(4).await, (ErrorCode::OFFSET_OUT_OF_RANGE, -1));
    assert_eq!(delete(2).await, (ErrorCode::NONE, 2));
    assert_eq!(listed(-2).await, (0, -1, 2));
    assert_eq!(fetch(&peer, "t", 1).await.error_code, ErrorCode::OFFSET_OUT_OF_RANGE.0);
    assert_eq!(delete(-1).await, (ErrorCode::NONE, 3));
}

#[tokio::test]
async fn leader_epochs_end_where_the_log_ends() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    produce(&peer, "t", &["a", "b"]).await;
    let end = async |leader_epoch, current_leader_epoch| {
        let partition =
            offset_for_leader_epoch::OffsetForLeaderPartition { partition: 0, current_leader_epoch, leader_epoch };
        let topic =
            offset_for_leader_epoch::OffsetForLeaderTopic { topic: "t".to_owned(), partitions: vec![partition] };
        let request = OffsetForLeaderEpochRequest { topics: vec![topic], ..Default::default() };
        let mut response = peer.call(&request, 4).await.unwrap();
        let end = response.topics.remove(0).partitions.remove(0);
        (ErrorCode(end.error_code), end.leader_epoch, end.end_offset)
    };
    assert_eq!(end(0, -1).await, (ErrorCode::NONE, 0, 2));
    assert_eq!(end(3, -1).await, (ErrorCode::NONE, -1, -1));
    assert_eq!(end(0, 9).await.0, ErrorCode::UNKNOWN_LEADER_EPOCH);
}

#[tokio::test]
async fn metadata_names_brokers_controller_and_topics_in_every_version() {
    let broker = TestBroker::start().await;
    let id = broker.create_topic("t", 2, &[]).await;
    let peer = broker.connect().await;
    let port = broker.broker.addresses()[0].1.port();
    for version in 0..=12 {
        let name = metadata::MetadataRequestTopic { name: Some("t".to_owned()), ..Default::default() };
        let request = MetadataRequest { topics: Some(vec![name]), ..Default::default() };
        let response = peer.call(&request, version).await.unwrap();
        assert_eq!((response.brokers[0].node_id, response.brokers[0].port), (0, i32::from(port)));
        assert_eq!(response.controller_id, if version >= 1 { 0 } else { -1 });
        let topic = &response.topics[0];
        assert_eq!((topic.error_code, topic.partitions.len()), (0, 2), "version {version}");
        assert_eq!(topic.topic_id, if version >= 10 { id } else { Uuid::ZERO });
        assert_eq!((topic.partitions[0].leader_id, &topic.partitions[0].isr_nodes[..]), (0, &[0][..]));
    }
    let by_id = metadata::MetadataRequestTopic { name: None, topic_id: id };
    let request = MetadataRequest { topics: Some(vec![by_id]), ..Default::default() };
    assert_eq!(peer.call(&request, 12).await.unwrap().topics[0].name.as_deref(), Some("t"));
    assert_eq!(peer.call(&request, 10).await.unwrap().topics[0].error_code, ErrorCode::INVALID_REQUEST.0);
    let all = MetadataRequest { topics: None, ..Default::default() };
    assert_eq!(peer.call(&all, 12).await.unwrap().topics.len(), 1);
    let none = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    assert_eq!(peer.call(&none, 12).await.unwrap().topics.len(), 0);
}
