use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::choice::{LogFacts, SegmentFacts, SegmentSizes, group_segments};
use super::offset_map::{ENTRY, Full, OffsetMap};
use super::round::swap_steps;
use super::*;
use crate::log::tests::{create, open};
use crate::log::{AppendOrigin, CleanupPolicy, LogConfig, UpperBound};
use crate::wire::batch::{
    Batch, BatchBuilder, Compression, ControlRecordType, MAX_DECOMPRESSED, TimestampType, end_transaction_marker,
};

mod model;

/// A record as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    key: Option<String>,
    /// None: a tombstone.
    value: Option<String>,
    timestamp: i64,
}

struct Fixture {
    dir: tempfile::TempDir,
    logs: Arc<LogManager>,
    cleaner: LogCleaner,
    log: Arc<Log>,
}

fn compacted() -> LogConfig {
    LogConfig {
        cleanup_policy: CleanupPolicy::COMPACT,
        min_cleanable_dirty_ratio: 0.0,
        segment_bytes: 300,
        index_interval_bytes: 100,
        delete_retention_ms: 1000,
        ..LogConfig::default()
    }
}

impl Fixture {
    fn new(config: &LogConfig) -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        Fixture::open(dir, config)
    }

    fn open(dir: tempfile::TempDir, config: &LogConfig) -> Fixture {
        let logs = Arc::new(open(dir.path(), config));
        let log = create(&logs, config);
        let cleaner = LogCleaner::without_threads(logs.clone(), CleanerConfig::default());
        Fixture { dir, logs, cleaner, log }
    }

    /// As after a `kill -9`, checkpoints written.
    fn reopen(self, config: &LogConfig) -> Fixture {
        self.logs.checkpoint_recovery_points();
        let Fixture { dir, logs, cleaner, log } = self;
        drop((cleaner, log));
        // The lock goes with the manager.
        drop(logs);
        let fixture = Fixture::open(dir, config);
        fixture.commit();
        fixture
    }

    fn put(&self, key: &str, value: Option<&str>, timestamp: i64) -> i64 {
        let mut batch = BatchBuilder::new();
        batch.append(timestamp, Some(key.as_bytes()), value.map(str::as_bytes), &[]);
        self.append(batch.finish())
    }

    fn append(&self, mut bytes: Vec<u8>) -> i64 {
        self.log.append_as_leader(&mut bytes, 0, AppendOrigin::Coordinator, 0).unwrap().first_offset
    }

    fn commit(&self) {
        self.log.update_high_watermark(i64::MAX);
    }

    /// Begins a new segment, so that everything before may be cleaned.
    fn roll(&self) {
        self.commit();
        let config = self.log.config();
        self.log.state.lock().roll(&config, 0).unwrap();
    }

    fn clean(&self, now_ms: i64) -> Option<CleanerStats> {
        self.cleaner.shared.clean_dirtiest(0, now_ms).and_then(|(_, stats)| stats)
    }

    fn records(&self) -> BTreeMap<i64, Seen> {
        batches(&self.log).iter().flat_map(|batch| records_of(batch)).collect()
    }

    fn offsets(&self) -> Vec<i64> {
        self.records().into_keys().collect()
    }
}

fn batches(log: &Log) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut next = log.log_start_offset();
    loop {
        let info = log.read(next, 700, UpperBound::LogEnd, true).unwrap();
        let Some(records) = info.records else { return found };
        let bytes = records.read().unwrap();
        if bytes.is_empty() {
            return found;
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (batch, after) = Batch::split_first(rest).unwrap();
            batch.verify().unwrap();
            assert!(batch.next_offset() > next, "batches go forward");
            next = batch.next_offset();
            found.push(batch.bytes().to_vec());
            rest = after;
        }
    }
}

fn records_of(bytes: &[u8]) -> Vec<(i64, Seen)> {
    let (batch, _) = Batch::split_first(bytes).unwrap();
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let data = batch.record_data(MAX_DECOMPRESSED).unwrap();
    let seen = |record: batch::Record<'_>| {
        let seen = Seen { key: text(record.key), value: text(record.value), timestamp: record.timestamp };
        (record.offset, seen)
    };
    batch.records(&data).map(|record| seen(record.unwrap())).collect()
}

#[test]
fn a_map_knows_the_newest_offset_of_each_key_and_when_it_is_full() {
    let mut map = OffsetMap::new(100 * ENTRY, 0.5, 1000);
    for round in 0..2 {
        for key in 0..49u32 {
            map.put(&key.to_be_bytes(), i64::from(round * 100 + key)).unwrap();
        }
    }
    assert_eq!((map.len(), map.latest_offset()), (49, 148));
    assert_eq!(map.get(&7u32.to_be_bytes()), Some(107));
    assert_eq!(map.get(b"nobody"), None);
    assert_eq!(map.put(b"x", 200), Ok(()));
    assert_eq!(map.put(b"y", 201), Err(Full));
    assert_eq!(map.put(b"x", 202), Err(Full), "a full map takes nothing at all: the round ends there");
    assert_eq!(map.latest_offset(), 200);
}

#[test]
fn the_newest_of_each_key_stays_at_its_offset_and_the_active_segment_is_left_alone() {
    let fixture = Fixture::new(&compacted());
    for round in 0..20 {
        for key in ["a", "b", "c"] {
            fixture.put(key, Some(&format!("{key}{round}")), 1000 + round);
        }
    }
    fixture.roll();
    fixture.put("a", Some("active"), 2000);
    fixture.commit();
    let before = fixture.records();
    let stats = fixture.clean(5000).unwrap();
    assert_eq!(stats.end_offset, 60);
    assert!(stats.bytes_written < stats.bytes_read / 5, "{stats:?}");
    let after = fixture.records();
    assert_eq!(after.keys().copied().collect::<Vec<_>>(), [57, 58, 59, 60]);
    assert!(after.iter().all(|(offset, seen)| before[offset] == *seen));
    assert_eq!(fixture.log.offset_for_timestamp(1019).unwrap().unwrap().offset, 57);
    assert_eq!(fixture.clean(5000), None, "nothing is dirty any more");
    let checkpoint = fs::read_to_string(fixture.dir.path().join("cleaner-offset-checkpoint")).unwrap();
    assert_eq!(checkpoint, "0\n1\nt 0 60\n");
    let fixture = fixture.reopen(&compacted());
    assert_eq!(fixture.records(), after);
    assert_eq!(fixture.clean(5000), None, "the checkpoint is obeyed after a restart");
    fixture.roll();
    fixture.clean(5000).unwrap();
    assert_eq!(fixture.log.segment_count(), 2, "neighbours that had shrunk have become one");
    assert_eq!(fixture.offsets(), [58, 59, 60]);
}

#[test]
fn a_log_waits_until_it_is_dirty_enough_or_a_record_has_waited_too_long() {
    let config = LogConfig { min_cleanable_dirty_ratio: 0.5, max_compaction_lag_ms: 10_000, ..compacted() };
    let fixture = Fixture::new(&config);
    for key in 0..20 {
        fixture.put(&format!("key{key}"), Some("v"), 1000);
    }
    fixture.roll();
    assert!(fixture.clean(1000).is_some(), "all of it is dirty");
    for _ in 0..5 {
        fixture.put("key0", Some("w"), 1000);
    }
    fixture.roll();
    assert_eq!(fixture.clean(11_000), None);
    assert!(fixture.clean(11_001).is_some());
    assert_eq!(fixture.records().len(), 20);
}

#[test]
fn what_is_too_new_or_not_committed_is_not_cleaned() {
    let config = LogConfig { min_compaction_lag_ms: 500, ..compacted() };
    let fixture = Fixture::new(&config);
    fixture.put("a", Some("1"), 1000);
    fixture.put("a", Some("2"), 1000);
    fixture.roll();
    fixture.put("a", Some("3"), 1400);
    fixture.roll();
    assert_eq!(fixture.clean(1499), None);
    assert_eq!(fixture.clean(1500).unwrap().end_offset, 2);
    assert_eq!(fixture.offsets(), [1, 2]);
    assert_eq!(fixture.clean(1900).unwrap().end_offset, 3);
    // The round's last batch stays, so that its offset is known; 1 has given way to 2.
    assert_eq!(fixture.offsets(), [2]);

    let fixture = Fixture::new(&compacted());
    for value in 0..10 {
        fixture.put("a", Some(&value.to_string()), 1000);
    }
    let config = fixture.log.config();
    fixture.log.state.lock().roll(&config, 0).unwrap();
    fixture.log.update_high_watermark(3);
    let cleaned = fixture.clean(1500);
    assert!(cleaned.is_none_or(|stats| stats.end_offset <= 3), "{cleaned:?}");
}

#[test]
fn a_tombstone_gets_a_horizon_and_goes_when_it_has_passed() {
    let fixture = Fixture::new(&compacted());
    fixture.put("a", Some("1"), 1000);
    fixture.put("a", None, 1001);
    fixture.put("b", Some("x"), 1002);
    fixture.roll();
    fixture.clean(10_000).unwrap();
    assert_eq!(fixture.offsets(), [1, 2]);
    let tombstone = batches(&fixture.log).remove(0);
    let (batch, _) = Batch::split_first(&tombstone).unwrap();
    assert_eq!(batch.delete_horizon_ms(), Some(11_000));
    assert_eq!(records_of(&tombstone)[0].1.timestamp, 1001, "its own time stays");
    for (now_ms, left) in [(10_999, vec![1, 2, 3]), (11_000, vec![2, 4])] {
        fixture.put("c", Some("y"), 1003);
        fixture.roll();
        fixture.clean(now_ms).unwrap();
        assert_eq!(fixture.offsets(), left, "at {now_ms}");
    }
}

#[test]
fn records_of_aborted_transactions_go_and_markers_stay_as_long_as_they_are_needed() {
    let fixture = Fixture::new(&LogConfig { segment_bytes: 10_000, ..compacted() });
    let transactional = |producer: i64, sequence: i32, key: &str| {
        let mut batch = BatchBuilder::new().producer(producer, 0, sequence).transactional();
        batch.append(1000, Some(key.as_bytes()), Some(b"t"), &[]);
        fixture.append(batch.finish())
    };
    let end = |kind, producer| fixture.append(end_transaction_marker(kind, producer, 0, 0, 1000));
    transactional(1, 0, "k"); // 0
    transactional(2, 0, "kept"); // 1
    end(ControlRecordType::Abort, 1); // 2
    end(ControlRecordType::Commit, 2); // 3
    fixture.put("k", Some("plain"), 1000); // 4
    transactional(1, 1, "later"); // 5
    end(ControlRecordType::Commit, 1); // 6
    transactional(2, 1, "later"); // 7
    end(ControlRecordType::Commit, 2); // 8
    fixture.roll();
    fixture.clean(10_000).unwrap();
    // 0 was aborted, 5 is older than 7 but its producer's last: an empty batch. Markers of what is left stay.
    assert_eq!(fixture.offsets(), [1, 2, 3, 4, 6, 7, 8]);
    let all = batches(&fixture.log);
    let empty: Vec<i64> = all
        .iter()
        .map(|bytes| Batch::split_first(bytes).unwrap().0)
        .filter(|batch| batch.record_count() == 0)
        .map(|batch| batch.base_offset())
        .collect();
    assert_eq!(empty, [5]);
    let committed = fixture.log.read(0, 10_000, UpperBound::LastStableOffset, true).unwrap();
    assert!(committed.aborted_transactions.iter().all(|txn| txn.producer_id == 1 && txn.last_offset == 2));
    // The marker of the aborted transaction has nothing left to mark: it gets a horizon, and goes once it has passed.
    for (now_ms, there) in [(10_001, true), (11_500, false)] {
        fixture.put("more", Some("m"), 1000);
        fixture.roll();
        fixture.clean(now_ms).unwrap();
        assert_eq!(fixture.offsets().contains(&2), there, "at {now_ms}");
    }
    let producers = fixture.log.producers();
    let fixture = fixture.reopen(&compacted());
    for producer in producers {
        let again =
            fixture.log.producers().into_iter().find(|entry| entry.producer_id == producer.producer_id).unwrap();
        assert_eq!((again.last_sequence(), again.epoch), (producer.last_sequence(), producer.epoch));
    }
}

#[test]
fn a_map_that_is_too_small_takes_several_rounds() {
    let fixture = Fixture::new(&compacted());
    for round in 0..3 {
        for key in 0..100 {
            fixture.put(&format!("key{key}"), Some(&round.to_string()), 1000);
        }
    }
    fixture.roll();
    let config = CleanerConfig { dedupe_buffer_size: (50 * ENTRY) as u64, ..CleanerConfig::default() };
    fixture.cleaner.shared.state.lock().config = config;
    let mut rounds = 0;
    while let Some(stats) = fixture.clean(2000) {
        rounds += 1;
        assert!(stats.end_offset >= rounds * 40, "{stats:?}");
        assert!(rounds < 20);
    }
    assert!(rounds >= 6, "{rounds} rounds");
    assert_eq!(fixture.offsets(), (200..300).collect::<Vec<_>>());
}

#[test]
fn batches_keep_their_codec_and_times() {
    for codec in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        for kind in [TimestampType::CreateTime, TimestampType::LogAppendTime] {
            let config = LogConfig { message_timestamp_type: kind, segment_bytes: 10_000, ..compacted() };
            let fixture = Fixture::new(&config);
            let mut batch = BatchBuilder::new().compression(codec.into());
            for (at, key) in ["a", "b", "a", "c"].iter().enumerate() {
                batch.append(1000 + at as i64, Some(key.as_bytes()), Some(b"value"), &[]);
            }
            fixture.append(batch.finish());
            fixture.put("c", Some("newer"), 1100);
            fixture.roll();
            let before = fixture.records();
            fixture.clean(5000).unwrap();
            let after = fixture.records();
            assert_eq!(after.keys().copied().collect::<Vec<_>>(), [1, 2, 4]);
            assert!(after.iter().all(|(offset, seen)| before[offset] == *seen), "{codec:?} {kind:?}");
            let first = batches(&fixture.log).remove(0);
            let (batch, _) = Batch::split_first(&first).unwrap();
            assert_eq!((batch.compression(), batch.timestamp_type()), (Ok(codec), kind));
            assert_eq!((batch.base_offset(), batch.last_offset(), batch.record_count()), (0, 3, 2));
        }
    }
}

#[test]
fn a_round_is_given_up_when_the_log_changes_under_it() {
    for change in ["truncated", "deleted", "shortened", "stopped"] {
        let fixture = Fixture::new(&compacted());
        for round in 0..30 {
            fixture.put("a", Some(&round.to_string()), 1000);
        }
        fixture.roll();
        let facts = fixture.log.state.lock().cleaning_facts(&fixture.log.config()).unwrap();
        let plan = LogToClean::of(&facts, &fixture.log.config(), 2000);
        let changed = std::cell::Cell::new(0);
        let round = Round {
            log: &fixture.log,
            config: fixture.log.config(),
            memory: 1 << 20,
            load_factor: 0.9,
            now_ms: 2000,
            pause: &|_| {
                changed.set(changed.get() + 1);
                // In the middle of the copying.
                if changed.get() != 45 {
                    return Ok(());
                }
                match change {
                    "truncated" => drop(fixture.log.truncate_to(12, 0).unwrap()),
                    "deleted" => fixture.logs.delete_log(fixture.log.topic_partition(), 0).unwrap(),
                    "shortened" => drop(fixture.log.increment_log_start_offset(12, 0).unwrap()),
                    _ => return Err(Interrupted::Aborted),
                }
                Ok(())
            },
        };
        let result = round.clean(&plan);
        assert!(matches!(result, Err(Interrupted::Aborted)), "{change}: {result:?}");
        let path = fixture.log.state.lock().path.clone();
        let names: Vec<String> =
            fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        assert!(change == "deleted" || !names.iter().any(|name| name.ends_with(".cleaned")), "{change}: {names:?}");
        assert!(!fixture.log.log_dir().is_offline());
        if change != "deleted" {
            assert!(!fixture.offsets().is_empty());
        }
    }
}

#[test]
fn rotten_bytes_stop_the_cleaning_of_that_log_only() {
    let fixture = Fixture::new(&compacted());
    for round in 0..30 {
        fixture.put("a", Some(&round.to_string()), 1000);
    }
    fixture.roll();
    let path = fixture.dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = fs::read(&path).unwrap();
    bytes[100] ^= 1;
    // In place: the log has the file open.
    std::os::unix::fs::FileExt::write_all_at(&fs::OpenOptions::new().write(true).open(&path).unwrap(), &bytes, 0)
        .unwrap();
    assert_eq!(fixture.clean(2000), None);
    assert!(fixture.cleaner.shared.state.lock().uncleanable.contains(fixture.log.topic_partition()));
    assert!(!fixture.log.log_dir().is_offline());
    assert_eq!(fixture.clean(2000), None);
}

/// Every beginning of a swap, and then a crash: the next start has the old records, or the new ones, never a mixture.
#[test]
fn a_swap_may_be_cut_short_anywhere() {
    let config = LogConfig { segment_bytes: 10_000, ..compacted() };
    let prepare = || {
        let fixture = Fixture::new(&config);
        for round in 0..30 {
            fixture.put(["a", "b"][round % 2], Some(&round.to_string()), 1000);
            if round % 10 == 9 {
                fixture.roll();
            }
        }
        fixture.put("a", Some("active"), 1000);
        fixture.commit();
        fixture.log.flush(0).unwrap();
        fixture
    };
    let old = prepare().records();
    let new = {
        let fixture = prepare();
        fixture.clean(2000).unwrap();
        fixture.records()
    };
    assert!(new.len() < old.len());
    // What the round would rename, found by stopping it before the swap.
    let mut stop_after = 0;
    let mut outcomes = BTreeSet::new();
    loop {
        let fixture = prepare();
        let path = fixture.log.state.lock().path.clone();
        let bases: Vec<i64> = fixture.log.state.lock().segments.iter().map(|segment| segment.base_offset).collect();
        let inactive = &bases[..bases.len() - 1];
        // The cleaned files of another log with the same content.
        let donor = prepare();
        donor.clean(2000).unwrap();
        let donor_path = donor.log.state.lock().path.clone();
        for suffix in ["log", "index", "timeindex"] {
            let name = format!("{:020}.{suffix}", 0);
            fs::copy(donor_path.join(&name), path.join(format!("{name}.cleaned"))).unwrap();
        }
        let steps = swap_steps(&path, inactive).unwrap();
        let done = stop_after > steps.len();
        for step in steps.iter().take(stop_after) {
            fs::rename(&step.from, &step.to).unwrap();
        }
        let fixture = fixture.reopen(&config);
        let found = fixture.records();
        assert!(found == old || found == new, "after {stop_after} renames: {:?}", found.keys());
        outcomes.insert(found == new);
        let left: Vec<String> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| [".cleaned", ".swap", ".deleted"].iter().any(|suffix| name.ends_with(suffix)))
            .collect();
        assert!(left.is_empty(), "{left:?}");
        stop_after += 1;
        if done {
            break;
        }
    }
    assert_eq!(outcomes.len(), 2);
}

#[test]
fn threads_clean_by_themselves_and_end_when_told() {
    let fixture = Fixture::new(&compacted());
    for round in 0..30 {
        fixture.put("a", Some(&round.to_string()), 1000);
    }
    fixture.roll();
    let config = CleanerConfig { threads: 2, backoff_ms: 5, ..CleanerConfig::default() };
    let cleaner = LogCleaner::start(fixture.logs.clone(), config);
    let cleaned = || fixture.log.state.lock().first_dirty_offset == Some(30);
    while !cleaned() {
        thread::yield_now();
    }
    cleaner.reconfigure(CleanerConfig { threads: 1, backoff_ms: 60_000, ..config });
    cleaner.stop();
    assert!(cleaner.threads.lock().is_empty());
    assert_eq!(fixture.offsets(), [29]);
}

#[test]
fn compact_and_delete_together() {
    let policy = CleanupPolicy { compact: true, delete: true };
    let config = LogConfig { cleanup_policy: policy, retention_ms: 10_000, ..compacted() };
    let fixture = Fixture::new(&config);
    fixture.put("a", Some("1"), 1000);
    fixture.put("a", Some("2"), 1000);
    fixture.roll();
    fixture.put("b", Some("1"), 9000);
    fixture.roll();
    fixture.clean(9500).unwrap();
    assert_eq!(fixture.offsets(), [1, 2]);
    // Both have become one segment, which is as old as its newest record.
    assert_eq!(fixture.log.delete_old_segments(18_999).unwrap(), 0);
    assert_eq!(fixture.log.delete_old_segments(19_001).unwrap(), 1);
    assert_eq!(fixture.log.log_start_offset(), 3);
    fixture.put("a", Some("3"), 20_000);
    fixture.roll();
    // The checkpoint lies before the start by now: as good as none.
    fixture.log.state.lock().first_dirty_offset = Some(1);
    assert!(fixture.clean(20_000).is_some());
}

fn facts(sizes: &[(i64, u64)], end: i64, checkpoint: Option<i64>) -> LogFacts {
    LogFacts {
        segments: sizes
            .iter()
            .map(|(base_offset, size)| SegmentFacts {
                base_offset: *base_offset,
                size: *size,
                largest_timestamp: *base_offset,
                first_timestamp: *base_offset,
            })
            .collect(),
        log_start_offset: sizes[0].0,
        log_end_offset: end,
        last_stable_offset: end,
        checkpoint,
    }
}

#[test]
fn only_whole_committed_old_enough_segments_are_chosen() {
    let log = facts(&[(0, 100), (10, 100), (20, 100), (30, 50)], 40, Some(10));
    let plan = LogToClean::of(&log, &compacted(), 1000);
    assert_eq!((plan.first_dirty_offset, plan.first_uncleanable_offset), (10, 30));
    assert_eq!((plan.cleanable_bytes, plan.total_bytes), (200, 300));
    // The last stable offset lies within a segment: all of that waits.
    let plan = LogToClean::of(&LogFacts { last_stable_offset: 25, ..log.clone() }, &compacted(), 1000);
    assert_eq!((plan.first_uncleanable_offset, plan.cleanable_bytes), (20, 100));
    // Checkpoints beyond both ends are forgotten.
    for checkpoint in [None, Some(-5), Some(41)] {
        let plan = LogToClean::of(&LogFacts { checkpoint, ..log.clone() }, &compacted(), 1000);
        assert_eq!((plan.first_dirty_offset, plan.cleanable_bytes), (0, 300));
    }
    // A map that was full ends within a segment, which is then dirty as a whole.
    let plan = LogToClean::of(&LogFacts { checkpoint: Some(15), ..log.clone() }, &compacted(), 1000);
    assert_eq!((plan.first_dirty_offset, plan.cleanable_bytes, plan.total_bytes), (15, 200, 400));
    // Nothing but the active segment.
    let plan = LogToClean::of(&facts(&[(0, 50)], 5, None), &compacted(), 1000);
    assert!(!plan.is_due(&compacted()));
}

#[test]
fn neighbours_are_put_together_up_to_a_segment() {
    let config = LogConfig { segment_bytes: 100, segment_index_bytes: 100, ..compacted() };
    let sizes = |logs: &[(i64, u64, u64)]| -> Vec<SegmentSizes> {
        let sizes = |(base_offset, log, index): &(i64, u64, u64)| SegmentSizes {
            base_offset: *base_offset,
            log: *log,
            offset_index: *index,
            time_index: 0,
        };
        logs.iter().map(sizes).collect()
    };
    let group = |logs: &[(i64, u64, u64)], end| group_segments(&sizes(logs), &config, end);
    assert_eq!(group(&[(0, 50, 8), (10, 50, 8), (20, 1, 8)], 30), [2, 1]);
    assert_eq!(group(&[(0, 10, 60), (10, 10, 60)], 30), [1, 1]);
    let far = i64::from(i32::MAX);
    assert_eq!(group(&[(0, 10, 8), (10, 10, 8)], far + 2), [1, 1], "offsets must fit into the index");
    assert_eq!(group(&[(0, 10, 8), (10, 0, 0)], far + 2), [2], "an empty one has none");
}

#[test]
fn the_throttle_holds_the_rate_on_the_average() {
    let mut throttle = Throttle::new(1000.0, 0);
    let mut now_ms = 0;
    for _ in 0..200 {
        now_ms += 5;
        now_ms += throttle.observe(100.0, now_ms);
    }
    let rate = 20_000.0 / (now_ms as f64 / 1000.0);
    assert!((900.0..1100.0).contains(&rate), "{rate} a second");
    throttle.set_rate(f64::MAX);
    assert_eq!(throttle.observe(1e12, now_ms + 10_000), 0);
}
