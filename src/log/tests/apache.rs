//! Held against Apache Kafka itself: a directory for its `kafka-dump-log`, and directories that it wrote.

use std::env;
use std::path::PathBuf;

use super::open;
use crate::log::*;
use crate::wire::batch::{Batch, BatchBuilder, Compression, ControlRecordType, Header, end_transaction_marker};

/// Writes a log dir for Apache's tools to read, if `OTTLA_LOG_OUT` names a folder. Producers, transactions, all codecs,
/// many small segments; half of it after a restart.
#[test]
fn a_directory_for_apaches_dump_log() {
    let Some(dir) = env::var_os("OTTLA_LOG_OUT").map(PathBuf::from) else { return };
    write_everything(&dir);
}

fn write_everything(dir: &Path) {
    // Now, or producers would be forgotten at once.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as i64;
    let config = LogConfig { segment_bytes: 4096, index_interval_bytes: 256, ..LogConfig::default() };
    for round in 0..2i64 {
        let manager = open(dir, &config);
        for (partition, codec) in
            [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
                .into_iter()
                .enumerate()
        {
            let log = manager.create_log("codecs", partition as i32, Uuid([1; 16]), config.clone(), now).unwrap();
            for i in 0..20 {
                let mut batch = BatchBuilder::new().compression(codec.into());
                for j in 0..5 {
                    let value = format!("round {round} batch {i} record {j} {}", "x".repeat(50));
                    let header = Header { key: b"h", value: Some(b"1") };
                    batch.append(now + i * 10 + j, Some(b"key"), Some(value.as_bytes()), &[header]);
                }
                log.append_as_leader(&mut batch.finish(), round as i32, AppendOrigin::Client, now).unwrap();
            }
        }
        let log = manager.create_log("transactions", 0, Uuid([2; 16]), config.clone(), now).unwrap();
        for i in 0..10 {
            let producer = 100 + i % 3;
            let sequence = log.producers().into_iter().find(|known| known.producer_id == producer);
            let sequence = sequence.map_or(0, |known| known.last_sequence() + 1);
            let mut batch = BatchBuilder::new().producer(producer, 0, sequence).transactional();
            for _ in 0..3 {
                batch.append(now, None, Some(b"in a transaction"), &[]);
            }
            log.append_as_leader(&mut batch.finish(), 0, AppendOrigin::Client, now).unwrap();
            let kind = if i % 2 == 0 { ControlRecordType::Abort } else { ControlRecordType::Commit };
            let mut marker = end_transaction_marker(kind, producer, 0, 5, now);
            log.append_as_leader(&mut marker, 0, AppendOrigin::Coordinator, now).unwrap();
            log.update_high_watermark(log.log_end_offset());
        }
        let append_time =
            LogConfig { message_timestamp_type: crate::wire::batch::TimestampType::LogAppendTime, ..config.clone() };
        let log = manager.create_log("append-time", 0, Uuid([3; 16]), append_time, now).unwrap();
        let mut batch = BatchBuilder::new();
        batch.append(5, None, Some(b"stamped"), &[]);
        log.append_as_leader(&mut batch.finish(), 0, AppendOrigin::Client, now + 7).unwrap();
        manager.shutdown(now);
    }
}

/// Reads a log dir that Apache wrote, if `OTTLA_LOG_IN` names one, and prints what is in it.
#[test]
fn a_directory_that_apache_wrote() {
    let Some(dir) = env::var_os("OTTLA_LOG_IN").map(PathBuf::from) else { return };
    let meta = MetaProperties::read(&dir).unwrap().unwrap();
    let manager = LogManager::open(LogManagerOptions {
        dirs: vec![dir],
        broker_id: meta.broker_id.unwrap(),
        cluster_id: meta.cluster_id.unwrap(),
        config_of: &|_| LogConfig::default(),
        recovery_threads_per_dir: 2,
        now_ms: 0,
    })
    .unwrap();
    let mut logs = manager.all_logs();
    logs.sort_by_key(|log| log.topic_partition().clone());
    for log in logs.iter().filter(|log| log.log_end_offset() > 0) {
        let mut records = 0;
        let mut next = log.log_start_offset();
        loop {
            let bytes = log.read(next, 1 << 20, UpperBound::LogEnd, true).unwrap().read().unwrap();
            let mut rest = &bytes[..];
            if rest.is_empty() {
                break;
            }
            while !rest.is_empty() {
                let (batch, after) = Batch::split_first(rest).unwrap();
                batch.verify().unwrap();
                let data = batch.record_data(1 << 30).unwrap();
                records += batch.records(&data).collect::<Result<Vec<_>, _>>().unwrap().len();
                (next, rest) = (batch.next_offset(), after);
            }
        }
        println!(
            "{log:?} hw {} lso {} segments {} bytes {} records {records} producers {} epochs {:?} topic id {}",
            log.high_watermark(),
            log.last_stable_offset(),
            log.segment_count(),
            log.size_bytes(),
            log.producers().len(),
            log.leader_epochs().entries(),
            log.topic_id(),
        );
    }
    manager.shutdown(0);
}
