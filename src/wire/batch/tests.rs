use proptest::prelude::*;

use super::*;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn sample(codec: Compression) -> Vec<u8> {
    let mut batch = BatchBuilder::new().compression(codec.into()).producer(9, 2, 40);
    let headers = [Header { key: b"a", value: Some(b"1") }, Header { key: b"a", value: None }];
    batch.append(1_000, Some(b"key"), Some(b"value"), &headers);
    batch.append(900, None, Some(&[b'x'; 300]), &[]);
    batch.append(1_100, Some(b""), None, &[]);
    batch.finish()
}

type Plain = (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>, usize);

fn records_of(bytes: &[u8]) -> Result<Vec<Plain>, Error> {
    let (batch, _) = Batch::split_first(bytes)?;
    let data = batch.record_data(1 << 20)?;
    batch
        .records(&data)
        .map(|record| {
            let record = record?;
            let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
            Ok((record.offset, record.timestamp, owned(record.key), owned(record.value), record.headers.count()))
        })
        .collect()
}

#[test]
fn records_come_back_as_they_went_in_with_every_codec() {
    for codec in CODECS {
        let bytes = sample(codec);
        let (batch, rest) = Batch::split_first(&bytes).unwrap();
        assert!(rest.is_empty());
        batch.verify().unwrap();
        assert_eq!(batch.compression(), Ok(codec));
        assert_eq!((batch.producer_id(), batch.producer_epoch()), (9, 2));
        assert_eq!((batch.base_sequence(), batch.last_sequence()), (40, 42));
        assert_eq!((batch.base_timestamp(), batch.max_timestamp()), (1_000, 1_100));
        assert_eq!(
            records_of(&bytes).unwrap(),
            [
                (0, 1_000, Some(b"key".to_vec()), Some(b"value".to_vec()), 2),
                (1, 900, None, Some(vec![b'x'; 300]), 0),
                (2, 1_100, Some(vec![]), None, 0),
            ]
        );
    }
}

#[test]
fn stamping_offsets_leaves_the_checksum_alone_and_stamping_times_renews_it() {
    let mut bytes = sample(Compression::None);
    stamp(&mut bytes, 77, 5);
    let (batch, _) = Batch::split_first(&bytes).unwrap();
    batch.verify().unwrap();
    assert_eq!((batch.base_offset(), batch.next_offset(), batch.partition_leader_epoch()), (77, 80, 5));
    let crc = batch.crc();
    stamp_log_append_time(&mut bytes, 5_000);
    let (batch, _) = Batch::split_first(&bytes).unwrap();
    batch.verify().unwrap();
    assert_ne!(batch.crc(), crc);
    assert_eq!(batch.timestamp_type(), TimestampType::LogAppendTime);
    assert!(records_of(&bytes).unwrap().iter().all(|record| record.1 == 5_000));
    stamp_create_time(&mut bytes);
    let (batch, _) = Batch::split_first(&bytes).unwrap();
    batch.verify().unwrap();
    assert_eq!(batch.timestamp_type(), TimestampType::CreateTime);
}

#[test]
fn every_cut_and_every_flipped_byte_is_noticed() {
    let bytes = sample(Compression::None);
    for cut in 0..bytes.len() {
        assert!(matches!(Batch::split_first(&bytes[..cut]), Err(Error::Truncated { .. })), "cut at {cut}");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x55;
        let noticed = match Batch::split_first(&flipped) {
            Err(_) => true,
            Ok((batch, rest)) => !rest.is_empty() || batch.verify().is_err(),
        };
        // Base offset and leader epoch are outside the checksum: any value is as good as another.
        assert_eq!(noticed, !(0..8).contains(&at) && !(12..16).contains(&at), "byte {at}");
    }
}

#[test]
fn what_decompresses_to_more_than_the_bound_is_refused() {
    for codec in &CODECS[1..] {
        let mut batch = BatchBuilder::new().compression((*codec).into());
        batch.append(0, None, Some(&vec![0; 5 << 20]), &[]);
        let bytes = batch.finish();
        let (batch, _) = Batch::split_first(&bytes).unwrap();
        assert_eq!(batch.record_data(1 << 20).unwrap_err(), Error::TooLarge(1 << 20), "{codec:?}");
        assert_eq!(batch.record_data(6 << 20).unwrap().len(), bytes_of_one(5 << 20));
    }
}

fn bytes_of_one(value: usize) -> usize {
    let mut batch = BatchBuilder::new();
    batch.append(0, None, Some(&vec![0; value]), &[]);
    batch.finish().len() - HEADER_LEN
}

#[test]
fn a_snappy_block_that_claims_to_be_huge_allocates_nothing() {
    // A varint of 2^31 - 1 and no data.
    assert_eq!(decompress(Compression::Snappy, &[0xff, 0xff, 0xff, 0xff, 0x07], MAX_DECOMPRESSED * 16), {
        Err(Error::TooLarge(MAX_DECOMPRESSED * 16))
    });
}

#[test]
fn raw_snappy_without_xerials_frame_is_read_too() {
    let raw = snap::raw::Encoder::new().compress_vec(b"hello hello hello").unwrap();
    assert_eq!(decompress(Compression::Snappy, &raw, 100).unwrap(), b"hello hello hello");
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(sequence_after(i32::MAX, 0), i32::MAX);
    assert_eq!(sequence_after(i32::MAX, 1), 0);
    assert_eq!(sequence_after(i32::MAX - 1, 4), 2);
    assert_eq!(sequence_after(5, 4), 9);
}

#[test]
fn a_commit_marker_has_apaches_bytes() {
    let bytes = end_transaction_marker(ControlRecordType::Commit, 3, 1, 7, 42);
    assert_eq!(bytes.len(), 78);
    let (batch, _) = Batch::split_first(&bytes).unwrap();
    assert_eq!(batch.attributes(), 0x30);
    assert_eq!(batch.base_sequence(), NO_SEQUENCE);
    assert_eq!(batch.control_record(), Some((ControlRecordType::Commit, 7)));
    let data = batch.record_data(100).unwrap();
    let record = batch.records(&data).next().unwrap().unwrap();
    assert_eq!(record.key, Some(&[0, 0, 0, 1][..]));
    assert_eq!(record.value, Some(&[0, 0, 0, 0, 0, 7][..]));
}

#[test]
fn a_batch_as_storage_docs_draw_it() {
    let mut batch = BatchBuilder::new().leader_epoch(0);
    batch.append(1_700_000_000_000, Some(b"key"), Some(b"value"), &[]);
    let bytes = batch.finish();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(bytes.len(), 76);
    assert_eq!(&hex[..34], "0000000000000000000000400000000002");
    assert_eq!(&hex[42..70], "0000000000000000018bcfe56800");
    assert_eq!(&hex[122..], "1c000000066b65790a76616c756500");
}

/// One message of an old set.
fn message(
    magic: u8,
    attributes: u8,
    offset: i64,
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut body = vec![magic, attributes];
    if magic > 0 {
        body.extend_from_slice(&timestamp.to_be_bytes());
    }
    for field in [key, value] {
        body.extend_from_slice(&field.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
        body.extend_from_slice(field.unwrap_or_default());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&body);
    let mut out = offset.to_be_bytes().to_vec();
    out.extend_from_slice(&(body.len() as i32 + 4).to_be_bytes());
    out.extend_from_slice(&crc.sum().to_be_bytes());
    out.extend_from_slice(&body);
    out
}

#[test]
fn old_message_sets_become_batches_and_batches_become_old_message_sets() {
    for magic in [0u8, 1] {
        let mut set = message(magic, 0, 0, 50, Some(b"k"), Some(b"one"));
        set.extend(message(magic, 0, 1, 40, None, None));
        let bytes = legacy::up_convert(&set, 1000).unwrap();
        let timestamp = |timestamp| if magic == 0 { -1 } else { timestamp };
        assert_eq!(
            records_of(&bytes).unwrap(),
            [(0, timestamp(50), Some(b"k".to_vec()), Some(b"one".to_vec()), 0), (1, timestamp(40), None, None, 0)]
        );
        let mut stored = bytes;
        stamp(&mut stored, 100, 0);
        let down = legacy::down_convert(&stored, magic as i8, 101, 1000).unwrap();
        assert_eq!(down, message(magic, 0, 101, 40, None, None));
        // Once old, always readable as old: stored sets of magic 1 go to clients of magic 0.
        let again = legacy::down_convert(&set, 0, 0, 1000).unwrap();
        assert_eq!(legacy::messages(&again, 1000).unwrap().len(), 2);
    }
}

#[test]
fn wrappers_of_every_codec_are_opened() {
    for codec in &CODECS[1..4] {
        for magic in [0u8, 1] {
            // Offsets inside: absolute in magic 0, from zero in magic 1.
            let base = if magic == 0 { 10 } else { 0 };
            let mut inner = message(magic, 0, base, 1, None, Some(b"a"));
            inner.extend(message(magic, 0, base + 1, 2, None, Some(b"b")));
            let mut value = Vec::new();
            compress((*codec).into(), &inner, &mut value);
            if *codec == Compression::Lz4 && magic == 0 {
                value[6] ^= 0xff;
            }
            let set = message(magic, codec.id(), 11, 2, None, Some(&value));
            let messages = legacy::messages(&set, 1000).unwrap();
            let found: Vec<_> = messages.iter().map(|message| (message.offset, message.value.as_deref())).collect();
            assert_eq!(found, [(10, Some(&b"a"[..])), (11, Some(&b"b"[..]))], "{codec:?} {magic}");
            let batch = legacy::up_convert(&set, 1000).unwrap();
            assert_eq!(Batch::split_first(&batch).unwrap().0.compression(), Ok(*codec));
        }
    }
}

#[test]
fn a_wrapper_that_appended_at_the_brokers_time_gives_it_to_all_inside() {
    let mut value = Vec::new();
    compress(Compression::Gzip.into(), &message(1, 0, 0, 5, None, None), &mut value);
    let set = message(1, 1 | 8, 3, 99, None, Some(&value));
    assert_eq!(legacy::messages(&set, 1000).unwrap()[0].timestamp, 99);
}

#[test]
fn damaged_old_messages_are_refused_and_cut_ones_left_out() {
    let set = message(1, 0, 0, 5, Some(b"key"), Some(b"value"));
    for at in 12..set.len() {
        let mut flipped = set.clone();
        flipped[at] ^= 0x55;
        assert!(legacy::messages(&flipped, 1000).is_err(), "byte {at}");
    }
    for cut in 0..set.len() {
        assert_eq!(legacy::messages(&set[..cut], 1000), Ok(vec![]), "cut at {cut}");
        assert!(legacy::up_convert(&set[..cut], 1000).is_err());
    }
}

#[test]
fn what_leaves_nothing_for_old_clients_is_passed_over() {
    let mut bytes = end_transaction_marker(ControlRecordType::Commit, 1, 0, 0, 5);
    stamp(&mut bytes, 7, 0);
    assert_eq!(legacy::offset_after_nothing(&bytes, 7, 1000), Some(8));
    // Compaction has left the first of three records.
    let mut compacted = BatchBuilder::new().base_offset(8);
    compacted.append(5, Some(b"k"), Some(b"v"), &[]);
    compacted.last_offset_delta(2);
    bytes.extend(compacted.finish());
    assert_eq!(legacy::offset_after_nothing(&bytes, 9, 1000), Some(11));
    assert_eq!(legacy::offset_after_nothing(&bytes, 8, 1000), None);
    let mut data = sample(Compression::None);
    stamp(&mut data, 11, 0);
    bytes.extend(data);
    assert_eq!(legacy::offset_after_nothing(&bytes, 9, 1000), None);
    assert_eq!(legacy::offset_after_nothing(&bytes[..30], 9, 1000), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_for_records_give_records_or_an_error(
        data in proptest::collection::vec(any::<u8>(), 0..200),
        count in any::<i32>(),
        codec in 0u8..8,
    ) {
        let mut bytes = sample(Compression::None);
        bytes.truncate(HEADER_LEN);
        bytes.extend_from_slice(&data);
        let length = (bytes.len() - LOG_OVERHEAD) as i32;
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[57..61].copy_from_slice(&count.to_be_bytes());
        bytes[22] = codec;
        let _ = records_of(&bytes);
        let _ = legacy::messages(&data, 1000);
        let _ = legacy::up_convert(&data, 1000);
        let _ = legacy::down_convert(&bytes, 1, 0, 1000);
    }

    #[test]
    fn records_with_a_byte_changed_never_break_the_reader(at in 0usize..60, to in any::<u8>()) {
        let mut bytes = sample(Compression::None);
        bytes[HEADER_LEN + at] = to;
        let _ = records_of(&bytes);
    }
}
