use super::*;

fn metadata(state: State, partitions: &[(&str, i32)]) -> Metadata {
    Metadata {
        producer_id: 7,
        producer_epoch: 2,
        timeout_ms: 60_000,
        state,
        partitions: partitions.iter().map(|&(topic, partition)| TopicPartition::new(topic, partition)).collect(),
        last_update_ms: 100,
        start_ms: 50,
    }
}

#[test]
fn a_transaction_is_written_as_apache_writes_it() {
    let (key, value) = encode("x", &metadata(State::Ongoing, &[("t", 0), ("t", 2), ("u", 1)])).unwrap();
    assert_eq!(key, b"\0\0\0\x01x");
    let mut expected = b"\0\0\0\0\0\0\0\0\0\x07\0\x02\0\0\xea\x60\x01\0\0\0\x02".to_vec();
    expected.extend(b"\0\x01t\0\0\0\x02\0\0\0\0\0\0\0\x02\0\x01u\0\0\0\x01\0\0\0\x01");
    expected.extend(100i64.to_be_bytes());
    expected.extend(50i64.to_be_bytes());
    assert_eq!(value, expected);
}

#[test]
fn what_is_written_is_read() {
    for metadata in
        [metadata(State::Empty, &[]), metadata(State::CompleteAbort, &[]), metadata(State::Ongoing, &[("t", 1)])]
    {
        let (key, value) = encode("id", &metadata).unwrap();
        assert_eq!(decode(&key, Some(&value)).unwrap(), Some(("id".to_owned(), Some(metadata))));
        assert_eq!(decode(&key, None).unwrap(), Some(("id".to_owned(), None)));
    }
}

#[test]
fn every_cut_of_a_record_is_an_error_and_no_panic() {
    let (key, value) = encode("id", &metadata(State::Ongoing, &[("t", 1)])).unwrap();
    for len in 0..value.len() {
        assert!(decode(&key, Some(&value[..len])).is_err(), "{len}");
    }
    assert_eq!(decode(b"\0\x09", None).unwrap(), None);
}
