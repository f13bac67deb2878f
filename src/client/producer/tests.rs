//! Against librdkafka's own mock cluster, which lives in this process.

use std::sync::mpsc;

use super::*;
use crate::client::properties::{ClientSettings, Role};

const NO_LIMIT: Duration = Duration::from_secs(20);

fn settings(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let java = ClientSettings::check(Role::Producer, [("client.id", "test")]).unwrap();
    let own = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    java.to_librdkafka().unwrap().into_iter().chain(more.iter().map(own)).collect()
}

fn producer(more: &[(&str, &str)]) -> (Producer, mpsc::Receiver<Notice>) {
    let (sender, receiver) = mpsc::channel();
    let notify = move |notice| drop(sender.send(notice));
    (Producer::new(&settings(more), None, "first", Keys::Decide, notify).unwrap(), receiver)
}

fn losses(receiver: &mpsc::Receiver<Notice>) -> Vec<Undelivered> {
    let undelivered = |notice| match notice {
        Notice::Undelivered(record) => Some(record),
        Notice::Trouble(_) => None,
    };
    receiver.try_iter().filter_map(undelivered).collect()
}

#[test]
fn records_of_every_kind_are_delivered_through_a_queue_that_is_too_small() {
    let small_queue = [("test.mock.num.brokers", "1"), ("queue.buffering.max.messages", "10")];
    let (mut producer, receiver) = producer(&small_queue);
    producer.wait_for_topic(NO_LIMIT, |_, _| true).unwrap();
    let header = |value| Header { name: b"h", value };
    let mut records: Vec<Record> = (0..100).map(|id| Record { id, value: Some(b"v"), ..Record::default() }).collect();
    records.push(Record { id: 100, key: Some(b""), value: None, headers: vec![header(None), header(Some(b""))] });
    records.push(Record { id: 101, key: Some(b"k"), value: Some(b""), ..Record::default() });
    assert!(producer.send(&records, NO_LIMIT).is_empty());
    producer.placement = Placement::new(Keys::InTurn, 100);
    producer.placement.set_available(vec![0, 1]);
    assert!(producer.send(&records, NO_LIMIT).is_empty());
    assert!(producer.flush(NO_LIMIT));
    assert!(losses(&receiver).is_empty());
}

#[test]
fn a_record_that_cannot_be_taken_comes_back() {
    let (mut producer, receiver) = producer(&[("test.mock.num.brokers", "1"), ("message.max.bytes", "1000")]);
    producer.wait_for_topic(NO_LIMIT, |_, _| true).unwrap();
    let large = vec![b'x'; 2000];
    let record = |id, value| Record { id, key: Some(b"key"), value: Some(value), ..Record::default() };
    let refused = producer.send(&[record(1, b"a"), record(2, &large), record(3, b"c")], NO_LIMIT);
    assert_eq!(
        refused.iter().map(|r| (r.id, r.key_length, r.value_length)).collect::<Vec<_>>(),
        [(2, Some(3), Some(2000))]
    );
    assert_eq!(refused[0].error.broker_code(), Some(ErrorCode::MESSAGE_TOO_LARGE));
    assert!(producer.flush(NO_LIMIT));
    assert!(losses(&receiver).is_empty());
}

#[test]
fn what_nobody_takes_in_time_is_reported() {
    let nobody = [("bootstrap.servers", "127.0.0.1:1"), ("delivery.timeout.ms", "300")];
    let (mut producer, receiver) = producer(&nobody);
    let mut looks = 0;
    let error = producer
        .wait_for_topic(NO_LIMIT, |_, _| {
            looks += 1;
            looks < 2
        })
        .unwrap_err();
    assert!(error.is(code::TIMED_OUT), "{error}");
    assert!(producer.send(&[Record { id: 7, value: Some(b"v"), ..Record::default() }], NO_LIMIT).is_empty());
    assert!(producer.flush(NO_LIMIT));
    let losses = losses(&receiver);
    assert_eq!(losses.iter().map(|r| (r.id, r.error.code)).collect::<Vec<_>>(), [(7, code::MSG_TIMED_OUT)]);
}

#[test]
fn a_bad_setting_is_refused() {
    let error =
        Producer::new(&[("no.such.key".to_owned(), "1".to_owned())], None, "t", Keys::Decide, |_| {}).err().unwrap();
    assert!(error.reason.contains("no.such.key"), "{error}");
    assert!(Producer::new(&settings(&[]), None, "a\0b", Keys::Decide, |_| {}).is_err());
}

#[test]
fn a_partition_is_filled_before_the_next_is_chosen() {
    let mut placement = Placement::new(Keys::Decide, 100);
    assert_eq!(placement.place(false, 1), UNASSIGNED, "nothing is known yet");
    placement.set_available(vec![3, 5, 8]);
    let mut placed = |count: usize| (0..count).map(|_| placement.place(false, 15)).collect::<Vec<_>>();
    for _ in 0..50 {
        let batch = placed(4);
        assert!(batch.iter().all(|partition| *partition == batch[0]), "{batch:?}");
    }
    let many: std::collections::BTreeSet<i32> = placed(400).into_iter().collect();
    assert_eq!(many.into_iter().collect::<Vec<_>>(), [3, 5, 8]);
    assert_eq!(placement.place(true, 1), UNASSIGNED, "keys are the partitioner's");
}

#[test]
fn a_partition_without_leader_is_left() {
    let mut placement = Placement::new(Keys::Ignored, 1_000_000);
    placement.set_available(vec![0, 1, 2]);
    let filling = placement.place(true, 1);
    placement.set_available(vec![filling, 7]);
    assert_eq!(placement.place(true, 1), filling);
    placement.set_available(vec![7]);
    assert_eq!(placement.place(true, 1), 7);
    placement.set_available(vec![]);
    assert_eq!(placement.place(true, 1), UNASSIGNED);
}

#[test]
fn in_turn_means_every_record() {
    let mut placement = Placement::new(Keys::InTurn, 100);
    placement.set_available(vec![0, 1, 2]);
    assert_eq!([1, 2, 3, 4].map(|size| placement.place(true, size)), [1, 2, 0, 1]);
}
