use std::fs;
use std::path::Path;

use super::*;
use crate::wire::batch::BatchBuilder;

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
        let bytes = info.records.read().unwrap();
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
    let manager = open(dir.path(), &config);
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!(values(&log, 0, 100), all);
    assert_eq!(log.recovery_point(), 40);
    assert_eq!(log.latest_epoch(), Some(3));
    drop((log, manager));
    let manager = open(dir.path(), &config);
    let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
    assert_eq!(values(&log, 0, 100), all);
    assert_eq!(log.topic_id(), Uuid([7; 16]));
    let _ = fs::read_dir(dir.path()).unwrap();
}
