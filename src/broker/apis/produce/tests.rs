use super::*;
use crate::wire::Message;
use crate::wire::batch::BatchBuilder;
use crate::wire::messages::ProduceRequest;
use crate::wire::messages::produce::{PartitionProduceData, TopicProduceData};

fn batch(value: &str) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    batch.append(1, None, Some(value.as_bytes()), &[]);
    batch.finish()
}

fn request() -> ProduceRequest {
    let data = |index, value: &str| PartitionProduceData { index, records: Some(batch(value).into()) };
    let topic = |name: &str, partition_data| TopicProduceData { name: name.to_owned(), partition_data };
    ProduceRequest {
        transactional_id: None,
        acks: -1,
        timeout_ms: 1_500,
        topic_data: vec![
            topic("first", vec![data(0, "a"), data(3, &"b".repeat(300))]),
            topic("second", vec![data(1, "c")]),
        ],
    }
}

#[test]
fn looked_through_a_request_is_what_it_is_decoded() {
    for version in 0..=11 {
        let body: Bytes = request().to_bytes(version).unwrap().into();
        let parsed = Request::parse(&body, version).unwrap();
        assert_eq!((parsed.acks, parsed.timeout_ms), (-1, 1_500));
        for (decoded, (name, partitions)) in request().topic_data.iter().zip(&parsed.topics) {
            assert_eq!((&decoded.name, decoded.partition_data.len()), (name, partitions.len()));
            for (decoded, partition) in decoded.partition_data.iter().zip(partitions) {
                assert_eq!(decoded.index, partition.index);
                assert_eq!(decoded.records.as_deref(), Some(&body[partition.records.clone()]), "version {version}");
            }
        }
        for cut in 0..body.len() {
            assert!(Request::parse(&body.slice(..cut), version).is_err(), "version {version} cut at {cut}");
        }
    }
}

#[test]
fn null_records_are_no_request() {
    let mut request = request();
    request.topic_data[0].partition_data[0].records = None;
    for version in [3, 9, 11] {
        assert!(Request::parse(&request.to_bytes(version).unwrap().into(), version).is_err());
    }
}

#[test]
fn the_records_of_a_frame_of_its_own_stay_where_they_are() {
    // As the connection hands it over: a frame read into memory of its own, of which the header was taken.
    let mut frame = BytesMut::from(&[0; 30][..]);
    frame.extend_from_slice(&request().to_bytes(9).unwrap());
    let mut frame = frame.freeze();
    let body = frame.split_off(30);
    drop(frame);
    let before = body.as_ptr();
    let parsed = Request::parse(&body, 9).unwrap();
    let frame = body.try_into_mut().expect("parsing leaves no other owner behind");
    assert_eq!(frame.as_ptr(), before);
    assert_eq!(frame[parsed.topics[0].1[0].records.clone()], batch("a"));
}

#[test]
fn each_version_takes_the_formats_of_its_time() {
    let code = |records: &[u8], version| check_format(records, version).map_err(|refusal| refusal.code);
    let one = batch("a");
    let two = [batch("a"), batch("b")].concat();
    for version in 0..=11 {
        assert_eq!(code(&one, version), Ok(()));
        let only_one = if version >= 3 { Err(ErrorCode::INVALID_RECORD) } else { Ok(()) };
        assert_eq!(code(&two, version), only_one);
        assert_eq!(code(&one[..one.len() - 1], version), only_one);
        assert_eq!(code(&[], version), only_one);
    }
    let mut zstd = one.clone();
    zstd[22] |= 4;
    assert_eq!(code(&zstd, 6), Err(ErrorCode::UNSUPPORTED_COMPRESSION_TYPE));
    assert_eq!(code(&zstd, 7), Ok(()));
    let mut future = one;
    future[16] = 3;
    let refusal = check_format(&future, 9).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::CORRUPT_MESSAGE);
    assert_eq!(refusal.message.as_deref(), Some("Invalid magic found in record: 3"));
}
