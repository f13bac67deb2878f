mod apache;
pub(super) mod model;

use std::path::Path;

use super::*;
use crate::wire::batch::{
    Batch, BatchBuilder, Compression, ControlRecordType, Header, TimestampType, end_transaction_marker,
};

/// One partition's log manager in a folder; every test has its own.
pub(super) fn open(dir: &Path, config: &LogConfig) -> LogManager {
    let config = config.clone();
    LogManager::open(LogManagerOptions {
        dirs: vec![dir.to_owned()],
        broker_id: 0,
        cluster_id: "aaaaaaaaaaaaaaaaaaaaaa".into(),
        config_of: &move |_| config.clone(),
        recovery_threads_per_dir: 1,
        now_ms: 0,
    })
    .unwrap()
}

pub(super) fn create(manager: &LogManager, config: &LogConfig) -> Arc<Log> {
    manager.create_log("t", 0, Uuid([7; 16]), config.clone(), 0).unwrap()
}

pub(super) fn batch(values: &[&str]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for value in values {
        batch.append(1000, Some(b"k"), Some(value.as_bytes()), &[]);
    }
    batch.finish()
}

/// All values between two offsets, by way of reads.
pub(super) fn values(log: &Log, from: i64, max_bytes: usize) -> Vec<(i64, String)> {
    let mut found = Vec::new();
    let mut next = from;
    loop {
        let info = log.read(next, max_bytes, UpperBound::LogEnd, true).unwrap();
        let bytes = info.read().unwrap();
        if bytes.is_empty() {
            return found;
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (batch, after) = crate::wire::batch::Batch::split_first(rest).unwrap();
            rest = after;
            batch
                .for_each_record(1 << 20, |record| -> Result<(), Error> {
                    if record.offset >= from {
                        found.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
                    }
                    Ok(())
                })
                .unwrap();
            next = batch.next_offset();
        }
    }
}

/// What `count` records need to get through an append, told from the outside.
fn append(log: &Log, values: &[&str], now_ms: i64) -> AppendInfo {
    log.append_as_leader(&mut batch(values), 0, AppendOrigin::Client, now_ms).unwrap()
}

fn fresh(config: &LogConfig) -> (tempfile::TempDir, LogManager, Arc<Log>) {
    let dir = tempfile::tempdir().unwrap();
    let manager = open(dir.path(), config);
    let log = create(&manager, config);
    (dir, manager, log)
}

fn files(log: &Log) -> Vec<String> {
    let path = log.state.lock().path.clone();
    let mut names: Vec<String> =
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_appended_is_read_back_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig { segment_bytes: 300, ..LogConfig::default() };
    let manager = open(dir.path(), &config);
    let log = create(&manager, &config);
    for i in 0..20 {
        let first = format!("{i}a");
        let mut bytes = batch(&[&first, "b"]);
        let info = log.append_as_leader(&mut bytes, 3, AppendOrigin::Client, 5).unwrap();
        assert_eq!((info.first_offset, info.last_offset), (2 * i, 2 * i + 1));
    }
    let all = values(&log, 0, 1);
    assert_eq!(all.len(), 40);
    assert_eq!(values(&log, 0, 1 << 20), all);
    assert_eq!(values(&log, 31, 200), all[31..]);
    assert!(log.segment_count() > 5);
    drop(log);
    manager.shutdown(10);
    drop(manager);
    // The first time after an orderly stop; the second time without one.
    for _ in 0..2 {
        let manager = open(dir.path(), &config);
        let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
        assert_eq!(values(&log, 0, 100), all);
        assert_eq!(log.recovery_point(), 40);
        assert_eq!(log.latest_epoch(), Some(3));
        assert_eq!(log.topic_id(), Uuid([7; 16]));
    }
}

#[test]
fn reads_stay_within_bounds_and_return_whole_batches() {
    let (_dir, _manager, log) = fresh(&LogConfig::default());
    let size = batch(&["aa"]).len();
    for _ in 0..10 {
        append(&log, &["aa"], 0);
    }
    let len = |from, max, bound, min_one| log.read(from, max, bound, min_one).map(|info| info.len() / size);
    assert_eq!(len(0, 1 << 20, UpperBound::HighWatermark, true).unwrap(), 0, "nothing is committed yet");
    assert_eq!(log.update_high_watermark(4), 4);
    assert_eq!(len(0, 1 << 20, UpperBound::HighWatermark, true).unwrap(), 4);
    assert_eq!(len(4, 1 << 20, UpperBound::HighWatermark, true).unwrap(), 0);
    assert_eq!(len(7, 1 << 20, UpperBound::HighWatermark, true).unwrap(), 0, "between high watermark and end");
    assert_eq!(len(0, 1 << 20, UpperBound::LogEnd, true).unwrap(), 10);
    assert_eq!(len(3, 2 * size + 1, UpperBound::LogEnd, true).unwrap(), 2);
    assert_eq!(len(3, 3 * size - 1, UpperBound::LogEnd, false).unwrap(), 2);
    assert_eq!(len(3, 1, UpperBound::LogEnd, true).unwrap(), 1);
    assert_eq!(len(3, 1, UpperBound::LogEnd, false).unwrap(), 0);
    assert_eq!(len(10, 1, UpperBound::LogEnd, true).unwrap(), 0);
    for outside in [-1, 11] {
        let error = log.read(outside, 1, UpperBound::LogEnd, true).unwrap_err();
        assert!(matches!(error, Error::OffsetOutOfRange { log_start_offset: 0, log_end_offset: 10, .. }), "{error}");
    }
    assert_eq!(log.update_high_watermark(99), 10);
    assert_eq!(log.update_high_watermark(-5), 0);
}

#[test]
fn a_read_in_the_middle_of_a_batch_returns_the_whole_batch() {
    let (_dir, _manager, log) = fresh(&LogConfig::default());
    append(&log, &["a", "b", "c"], 0);
    append(&log, &["d", "e", "f"], 0);
    let info = log.read(4, 1 << 20, UpperBound::LogEnd, true).unwrap();
    assert_eq!(info.records.as_ref().unwrap().position, batch(&["a", "b", "c"]).len() as u64);
    assert_eq!(values(&log, 4, 1 << 20), [(4, "e".to_owned()), (5, "f".to_owned())]);
}

#[test]
fn bad_batches_are_refused_with_apaches_reasons_and_leave_the_log_as_it_was() {
    let config = LogConfig { max_message_bytes: 200, ..LogConfig::default() };
    let (_dir, _manager, log) = fresh(&config);
    let check = |mut bytes: Vec<u8>, origin, expected: &str| {
        let error = log.append_as_leader(&mut bytes, 0, origin, 0).unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains(expected), "{text}");
        assert_eq!(log.log_end_offset(), 0);
    };
    let damaged = |at: usize, to: u8, seal: bool| {
        let mut bytes = batch(&["a", "b"]);
        bytes[at] = to;
        if seal {
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        bytes
    };
    let client = AppendOrigin::Client;
    check(vec![], client, "no batches");
    check(damaged(70, 9, false), client, "CorruptBatch(\"Record is corrupt");
    check(damaged(16, 3, false), client, "CorruptBatch(\"Invalid magic found in record: 3\")");
    check(batch(&["a"])[..60].to_vec(), client, "CorruptBatch");
    check([batch(&["a"]), batch(&["b"])].concat(), client, "more than one batch");
    check(damaged(7, 1, false), client, "should be 0, but it is 1");
    check(damaged(60, 3, true), client, "Inconsistent batch offset range");
    check(damaged(60, 0, true), client, "Invalid reported count for record batch: 0");
    check(damaged(23, 0x80, true), client, "invalid offset range");
    check(damaged(22, 0x20, true), client, "not allowed to write control records");
    check(damaged(22, 5, true), client, "UnsupportedCompression");
    check(batch(&[&"x".repeat(300)]), client, "RecordTooLarge");
    let mut no_sequence = BatchBuilder::new().producer(1, 0, -1);
    no_sequence.append(0, None, None, &[]);
    check(no_sequence.finish(), client, "Invalid sequence number -1");
    assert!(!log.log_dir().is_offline());
    append(&log, &["fine"], 0);
}

#[test]
fn compacted_topics_want_keys_and_bounded_topics_timestamps() {
    let config = LogConfig { cleanup_policy: CleanupPolicy::COMPACT, ..LogConfig::default() };
    let (_dir, _manager, log) = fresh(&config);
    for codec in [Compression::None, Compression::Zstd] {
        let mut bytes = BatchBuilder::new().compression(codec.into());
        bytes.append(0, Some(b"k"), None, &[]);
        bytes.append(0, None, Some(b"v"), &[]);
        let error = log.append_as_leader(&mut bytes.finish(), 0, AppendOrigin::Client, 0).unwrap_err();
        let Error::InvalidRecord { message, record_errors } = error else { panic!("{error:?}") };
        assert!(message.starts_with("One or more records have been rejected due to 1 record errors in total"));
        assert_eq!(record_errors.len(), 1);
        assert_eq!(record_errors[0].batch_index, 1);
        assert_eq!(
            record_errors[0].message,
            "Compacted topic cannot accept message without key in topic partition t-0"
        );
    }
    let config =
        LogConfig { message_timestamp_before_max_ms: 100, message_timestamp_after_max_ms: 50, ..LogConfig::default() };
    let (_dir, _manager, log) = fresh(&config);
    for (now, ok) in [(950, true), (949, false), (1100, true), (1101, false)] {
        let result = log.append_as_leader(&mut batch(&["x"]), 0, AppendOrigin::Client, now);
        assert_eq!(result.is_ok(), ok, "{now}: {result:?}");
        if let Err(error) = result {
            let Error::InvalidTimestamp { record_errors, .. } = error else { panic!("{error:?}") };
            assert!(record_errors[0].message.starts_with("Timestamp 1000 of message with offset 0 is out of range."));
        }
    }
}

#[test]
fn the_records_of_a_batch_are_looked_at_where_they_are_at_hand() {
    use crate::wire::batch::{stamp_create_time, stamp_max_timestamp};
    let compacted = LogConfig { cleanup_policy: CleanupPolicy::COMPACT, ..LogConfig::default() };
    let refused = |config: &LogConfig, mut bytes: Vec<u8>| {
        let (_dir, _manager, log) = fresh(config);
        let appended = log.append_as_leader(&mut bytes, 0, AppendOrigin::Client, 0);
        assert_eq!(log.log_end_offset() == 0, appended.is_err());
        appended.is_err()
    };
    let spoiled = |codec: Compression| {
        let mut bytes = BatchBuilder::new().compression(codec.into());
        bytes.append(1000, Some(b"k"), Some(b"v"), &[]);
        let mut bytes = bytes.finish();
        bytes[61..].fill(0x7f);
        // With a checksum that fits.
        stamp_create_time(&mut bytes);
        bytes
    };
    assert!(refused(&LogConfig::default(), spoiled(Compression::None)));
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        assert!(!refused(&LogConfig::default(), spoiled(codec)), "{codec:?} is not opened");
        assert!(refused(&compacted, spoiled(codec)), "{codec:?} must be: it may have no keys");
    }
    let (_dir, _manager, log) = fresh(&LogConfig::default());
    let mut bytes = batch(&["a"]);
    stamp_max_timestamp(&mut bytes, 5);
    log.append_as_leader(&mut bytes, 0, AppendOrigin::Client, 0).unwrap();
    assert_eq!(log.offset_for_timestamp(1000).unwrap().unwrap().offset, 0, "the header is put right");
}

#[test]
fn log_append_time_is_stamped_and_reported() {
    let config = LogConfig { message_timestamp_type: TimestampType::LogAppendTime, ..LogConfig::default() };
    let (_dir, _manager, log) = fresh(&config);
    assert_eq!(append(&log, &["x"], 7777).log_append_time_ms, 7777);
    let found = log.offset_for_timestamp(7777).unwrap().unwrap();
    assert_eq!((found.timestamp, found.offset), (7777, 0));
    let bytes = log.read(0, 1000, UpperBound::LogEnd, true).unwrap().read().unwrap();
    Batch::split_first(&bytes).unwrap().0.verify().unwrap();
}

#[test]
fn a_topic_with_a_codec_of_its_own_stores_in_it() {
    let config = LogConfig { compression_type: Some(Compression::Lz4.into()), ..LogConfig::default() };
    let (_dir, _manager, log) = fresh(&config);
    append(&log, &["a", "b"], 0);
    let mut zstd = BatchBuilder::new().compression(Compression::Zstd.into()).producer(5, 0, 0);
    zstd.append(1, None, Some(b"c"), &[Header { key: b"h", value: None }]);
    log.append_as_leader(&mut zstd.finish(), 0, AppendOrigin::Client, 0).unwrap();
    assert_eq!(values(&log, 0, 1 << 20), [(0, "a".to_owned()), (1, "b".to_owned()), (2, "c".to_owned())]);
    let bytes = log.read(0, 1 << 20, UpperBound::LogEnd, true).unwrap().read().unwrap();
    let (first, rest) = Batch::split_first(&bytes).unwrap();
    let (second, _) = Batch::split_first(rest).unwrap();
    for batch in [first, second] {
        batch.verify().unwrap();
        assert_eq!(batch.compression(), Ok(Compression::Lz4));
    }
    assert_eq!(second.producer_id(), 5);
}

#[test]
fn a_batch_sent_again_is_answered_with_its_first_offsets() {
    let (_dir, _manager, log) = fresh(&LogConfig::default());
    let send = |sequence| {
        let mut bytes = BatchBuilder::new().producer(5, 0, sequence);
        bytes.append(42, None, Some(b"x"), &[]);
        bytes.append(42, None, Some(b"y"), &[]);
        log.append_as_leader(&mut bytes.finish(), 0, AppendOrigin::Client, 0)
    };
    send(0).unwrap();
    send(2).unwrap();
    let again = send(0).unwrap();
    assert!(again.duplicate);
    assert_eq!((again.first_offset, again.last_offset, again.log_append_time_ms), (0, 1, 42));
    assert_eq!(log.log_end_offset(), 4);
    assert!(matches!(send(5), Err(Error::OutOfOrderSequence(_))));
    assert_eq!(log.log_end_offset(), 4);
}

#[test]
fn segments_roll_by_size_and_time() {
    let size = batch(&["x"]).len() as u32;
    let (_dir, _manager, log) = fresh(&LogConfig { segment_bytes: 3 * size, ..LogConfig::default() });
    for _ in 0..7 {
        append(&log, &["x"], 0);
    }
    assert_eq!(log.segment_count(), 3);
    let logs: Vec<String> = files(&log).into_iter().filter(|name| name.ends_with(".log")).collect();
    assert_eq!(logs, ["00000000000000000000.log", "00000000000000000003.log", "00000000000000000006.log"]);

    let (_dir, _manager, log) = fresh(&LogConfig { segment_ms: 100, ..LogConfig::default() });
    let at = |timestamp| {
        let mut bytes = BatchBuilder::new();
        bytes.append(timestamp, None, None, &[]);
        log.append_as_leader(&mut bytes.finish(), 0, AppendOrigin::Client, 0).unwrap();
        log.segment_count()
    };
    assert_eq!([1000, 1100, 1101, 1150, 1202].map(at), [1, 1, 2, 2, 3]);

    // With jitter some time in the last half, and not all in step.
    let rolled_after = |partition| {
        let config = LogConfig { segment_ms: 1000, segment_jitter_ms: 500, ..LogConfig::default() };
        let dir = tempfile::tempdir().unwrap();
        let manager = open(dir.path(), &config);
        let log = manager.create_log("t", partition, Uuid([7; 16]), config, 0).unwrap();
        let at = |timestamp| {
            let mut bytes = BatchBuilder::new();
            bytes.append(timestamp, None, None, &[]);
            log.append_as_leader(&mut bytes.finish(), 0, AppendOrigin::Client, 0).unwrap();
            log.segment_count()
        };
        (0..).step_by(10).find(|timestamp| at(*timestamp) == 2).unwrap()
    };
    let after: BTreeSet<i64> = (0..5).map(rolled_after).collect();
    assert!(after.len() > 1 && after.iter().all(|ms| (500..=1010).contains(ms)), "{after:?}");

    let error = {
        let (_dir, _manager, log) = fresh(&LogConfig { segment_bytes: 60, ..LogConfig::default() });
        log.append_as_leader(&mut batch(&["x"]), 0, AppendOrigin::Client, 0).unwrap_err()
    };
    assert!(matches!(error, Error::RecordListTooLarge { .. }));
}

#[test]
fn offsets_are_found_by_time_across_segments() {
    let config = LogConfig { segment_bytes: 400, index_interval_bytes: 100, ..LogConfig::default() };
    let (dir, manager, log) = fresh(&config);
    // Out of order: 10, 30, 20 | 40, 60, 50 | …
    for i in 0..10i64 {
        let mut bytes =
            BatchBuilder::new().compression(if i % 2 == 0 { Compression::Gzip } else { Compression::None }.into());
        for timestamp in [10, 30, 20] {
            bytes.append(timestamp + i * 30, None, None, &[]);
        }
        log.append_as_leader(&mut bytes.finish(), 4, AppendOrigin::Client, 0).unwrap();
    }
    assert!(log.segment_count() > 2);
    let check = |log: &Log| {
        let found =
            |timestamp| log.offset_for_timestamp(timestamp).unwrap().map(|found| (found.timestamp, found.offset));
        assert_eq!(found(0), Some((10, 0)));
        assert_eq!(found(11), Some((30, 1)));
        assert_eq!(found(31), Some((40, 3)));
        assert_eq!(found(145), Some((150, 13)));
        assert_eq!(found(300), Some((300, 28)));
        assert_eq!(found(301), None);
        let max = log.offset_of_max_timestamp().unwrap().unwrap();
        assert_eq!(max, FoundOffset { timestamp: 300, offset: 28, leader_epoch: Some(4) });
    };
    check(&log);
    log.update_high_watermark(30);
    log.increment_log_start_offset(2, 0).unwrap();
    assert_eq!(log.offset_for_timestamp(0).unwrap().unwrap().offset, 2);
    drop(log);
    manager.shutdown(0);
    drop(manager);
    let manager = open(dir.path(), &config);
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!(log.log_start_offset(), 2);
    assert_eq!(log.offset_for_timestamp(145).unwrap().unwrap().offset, 13);
}

#[test]
fn an_empty_log_has_no_times() {
    let (_dir, _manager, log) = fresh(&LogConfig::default());
    assert_eq!(log.offset_for_timestamp(0).unwrap(), None);
    assert_eq!(log.offset_of_max_timestamp().unwrap(), None);
    assert_eq!(log.legacy_offsets_before(-1, 10).unwrap(), [0]);
}

#[test]
fn old_clients_get_segment_starts_newest_first() {
    let size = batch(&["x"]).len() as u32;
    let (_dir, _manager, log) = fresh(&LogConfig { segment_bytes: 2 * size, ..LogConfig::default() });
    for _ in 0..5 {
        append(&log, &["x"], 0);
    }
    assert_eq!(log.legacy_offsets_before(-1, 10).unwrap(), [5, 4, 2, 0]);
    assert_eq!(log.legacy_offsets_before(-1, 2).unwrap(), [5, 4]);
    assert_eq!(log.legacy_offsets_before(-2, 10).unwrap(), [0]);
    assert_eq!(log.legacy_offsets_before(1, 10).unwrap(), Vec::<i64>::new());
}

#[test]
fn readers_of_committed_data_stop_at_open_transactions_and_hear_of_aborted_ones() {
    let (_dir, _manager, log) = fresh(&LogConfig { segment_bytes: 250, ..LogConfig::default() });
    let data = |producer, sequence| {
        let mut bytes = BatchBuilder::new().producer(producer, 0, sequence).transactional();
        bytes.append(0, None, Some(b"x"), &[]);
        log.append_as_leader(&mut bytes.finish(), 0, AppendOrigin::Client, 0).unwrap().first_offset
    };
    let end = |producer, kind| {
        let mut marker = end_transaction_marker(kind, producer, 0, 0, 0);
        log.append_as_leader(&mut marker, 0, AppendOrigin::Coordinator, 0).unwrap().first_offset
    };
    let committed = |from| {
        let info = log.read(from, 1 << 20, UpperBound::LastStableOffset, true).unwrap();
        let aborted: Vec<_> = info.aborted_transactions.iter().map(|t| (t.producer_id, t.first_offset)).collect();
        (info.last_stable_offset, !info.is_empty(), aborted)
    };
    assert_eq!((data(1, 0), data(2, 0), data(1, 1)), (0, 1, 2));
    log.update_high_watermark(3);
    assert_eq!(committed(0), (0, false, vec![]));
    assert_eq!(end(1, ControlRecordType::Abort), 3);
    log.update_high_watermark(3);
    assert_eq!(log.last_stable_offset(), 0, "the marker is not committed");
    log.update_high_watermark(4);
    assert_eq!(committed(0), (1, true, vec![(1, 0)]));
    assert_eq!(end(2, ControlRecordType::Commit), 4);
    log.update_high_watermark(5);
    assert!(log.segment_count() > 1);
    assert_eq!(committed(0), (5, true, vec![(1, 0)]));
    assert_eq!(committed(3), (5, true, vec![(1, 0)]), "also from the marker on");
    assert_eq!(committed(4), (5, true, vec![]));
}

#[test]
fn delete_records_moves_the_start_and_lets_segments_go() {
    let size = batch(&["x"]).len() as u32;
    let config = LogConfig { segment_bytes: 2 * size, ..LogConfig::default() };
    let (dir, manager, log) = fresh(&config);
    for _ in 0..7 {
        append(&log, &["x"], 0);
    }
    assert!(matches!(log.increment_log_start_offset(1, 0), Err(Error::OffsetOutOfRange { .. })));
    log.update_high_watermark(6);
    assert!(log.increment_log_start_offset(5, 1000).unwrap());
    assert!(!log.increment_log_start_offset(3, 1000).unwrap());
    assert_eq!((log.log_start_offset(), log.segment_count()), (5, 2));
    assert!(matches!(log.read(4, 100, UpperBound::LogEnd, true), Err(Error::OffsetOutOfRange { .. })));
    assert_eq!(log.leader_epochs().entries(), [EpochEntry { epoch: 0, start_offset: 5 }]);
    let deleted = || files(&log).iter().filter(|name| name.ends_with(".deleted")).count();
    assert_eq!(deleted(), 6);
    log.delete_expired_files(60_999).unwrap();
    assert_eq!(deleted(), 6);
    log.delete_expired_files(61_000).unwrap();
    assert_eq!(deleted(), 0);
    drop(log);
    manager.checkpoint_log_start_offsets();
    drop(manager);
    let manager = open(dir.path(), &config);
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (5, 7), "after a crash too");
}

#[test]
fn retention_deletes_the_oldest_but_nothing_uncommitted() {
    let size = batch(&["x"]).len();
    let config = LogConfig {
        segment_bytes: 2 * size as u32,
        retention_bytes: 3 * size as i64,
        retention_ms: -1,
        ..LogConfig::default()
    };
    let (_dir, _manager, log) = fresh(&config);
    for _ in 0..7 {
        append(&log, &["x"], 0);
    }
    assert_eq!(log.delete_old_segments(0).unwrap(), 0, "nothing is committed");
    log.update_high_watermark(7);
    assert_eq!(log.delete_old_segments(0).unwrap(), 2);
    assert_eq!((log.log_start_offset(), log.size_bytes()), (4, 3 * size as u64));
    // By time: the records are of 1000 ms.
    log.update_config(LogConfig { retention_ms: 500, ..config.clone() });
    assert_eq!(log.delete_old_segments(1500).unwrap(), 0);
    assert_eq!(log.delete_old_segments(1501).unwrap(), 2);
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.size_bytes()), (7, 7, 0));
    assert_eq!(append(&log, &["y"], 0).first_offset, 7);
    log.update_config(LogConfig { retention_ms: 0, cleanup_policy: CleanupPolicy::COMPACT, ..config });
    assert_eq!(log.delete_old_segments(i64::MAX).unwrap(), 0, "compacted topics forget otherwise");
}

#[test]
fn truncation_takes_everything_down_with_it() {
    let size = batch(&["x"]).len() as u32;
    let config = LogConfig { segment_bytes: 3 * size, index_interval_bytes: 1, ..LogConfig::default() };
    let (dir, manager, log) = fresh(&config);
    for i in 0..10 {
        let mut bytes = BatchBuilder::new().producer(5, 0, i);
        bytes.append(100 + i as i64, None, Some(i.to_string().as_bytes()), &[]);
        log.append_as_leader(&mut bytes.finish(), i / 4, AppendOrigin::Client, 0).unwrap();
    }
    log.update_high_watermark(9);
    log.flush(0).unwrap();
    assert!(!log.truncate_to(10, 0).unwrap());
    assert!(log.truncate_to(4, 0).unwrap());
    assert_eq!((log.log_end_offset(), log.high_watermark(), log.recovery_point()), (4, 4, 4));
    assert_eq!(log.latest_epoch(), Some(0));
    assert_eq!(log.producers()[0].last_sequence(), 3);
    assert_eq!(log.offset_for_timestamp(104).unwrap(), None);
    let mut bytes = BatchBuilder::new().producer(5, 0, 4);
    bytes.append(200, None, Some(b"anew"), &[]);
    log.append_as_leader(&mut bytes.finish(), 7, AppendOrigin::Client, 0).unwrap();
    let expected: Vec<(i64, String)> =
        ["0", "1", "2", "3", "anew"].iter().enumerate().map(|(at, value)| (at as i64, value.to_string())).collect();
    assert_eq!(values(&log, 0, 1 << 20), expected);
    drop(log);
    drop(manager);
    let manager = open(dir.path(), &config);
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!(values(&log, 0, 1), expected);
    assert_eq!(log.latest_epoch(), Some(7));
    log.truncate_fully_and_start_at(100, 0).unwrap();
    assert_eq!((log.log_start_offset(), log.log_end_offset(), log.high_watermark()), (100, 100, 100));
    assert_eq!((log.latest_epoch(), log.producers().len()), (None, 0));
    assert_eq!(append(&log, &["x"], 0).first_offset, 100);
}

#[test]
fn a_follower_takes_bytes_and_offsets_as_they_are() {
    let (_dir, _manager, leader) = fresh(&LogConfig::default());
    for i in 0..6 {
        leader.append_as_leader(&mut batch(&["x", "y"]), i / 3, AppendOrigin::Client, 0).unwrap();
    }
    let all = leader.read(0, 1 << 20, UpperBound::LogEnd, true).unwrap().read().unwrap();
    let config = LogConfig { segment_bytes: all.len() as u32 / 3, ..LogConfig::default() };
    let (_dir, _manager, follower) = fresh(&config);
    // Cut off in the middle of the fifth batch, as a fetch may be.
    let cut = all.len() / 6 * 4 + 10;
    let info = follower.append_as_follower(&all[..cut], 0).unwrap().unwrap();
    assert_eq!((info.first_offset, info.last_offset), (0, 7));
    assert_eq!(follower.append_as_follower(&all[cut - 10..cut], 0).unwrap(), None);
    follower.append_as_follower(&all[cut - 10..], 0).unwrap().unwrap();
    assert_eq!(values(&follower, 0, 1 << 20), values(&leader, 0, 1 << 20));
    assert_eq!(follower.leader_epochs(), leader.leader_epochs());
    assert!(follower.segment_count() >= 3);
    let error = follower.append_as_follower(&all, 0).unwrap_err();
    assert!(matches!(error, Error::UnexpectedAppendOffset { first_offset: 0, log_end_offset: 12, .. }), "{error}");
    let mut damaged = all.clone();
    damaged[70] ^= 1;
    follower.truncate_fully_and_start_at(0, 0).unwrap();
    assert!(matches!(follower.append_as_follower(&damaged, 0), Err(Error::CorruptBatch(_))));
    assert_eq!(follower.log_end_offset(), 0);
    // A leader that has compacted its log, or starts later, leaves holes.
    follower.append_as_follower(&all[cut - 10..], 0).unwrap().unwrap();
    assert_eq!((follower.log_end_offset(), values(&follower, 0, 1 << 20).len()), (12, 4));
}

#[test]
fn readers_and_a_writer_do_not_get_in_each_others_way() {
    let config = LogConfig { segment_bytes: 4000, index_interval_bytes: 200, ..LogConfig::default() };
    let (_dir, _manager, log) = fresh(&config);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let log = &log;
                scope.spawn(move || {
                    let mut next = 0;
                    while next < 2000 {
                        let info = log.read(next, 100 + reader * 700, UpperBound::HighWatermark, true).unwrap();
                        let bytes = info.read().unwrap();
                        let mut rest = &bytes[..];
                        while !rest.is_empty() {
                            let (batch, after) = Batch::split_first(rest).unwrap();
                            batch.verify().unwrap();
                            assert_eq!(batch.base_offset(), next);
                            (next, rest) = (batch.next_offset(), after);
                        }
                    }
                })
            })
            .collect();
        for _ in 0..1000 {
            append(&log, &["some", "value"], 0);
            log.update_high_watermark(log.log_end_offset());
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn rotten_bytes_trouble_their_readers_only() {
    let (dir, _manager, log) = fresh(&LogConfig::default());
    for _ in 0..3 {
        append(&log, &["x"], 0);
    }
    let path = dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    let size = bytes.len() / 3;
    bytes[size + 8] = 0xff;
    fs::write(&path, &bytes).unwrap();
    log.state.lock().tail.reset();
    assert!(matches!(log.read(2, 1000, UpperBound::LogEnd, true), Err(Error::CorruptBatch(_))));
    assert!(!log.log_dir().is_offline());
    append(&log, &["x"], 0);
}
