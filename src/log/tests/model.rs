//! A log against a `Vec`: random appends, rolls, flushes, truncations, retention, orderly and disorderly restarts, and reads of
//! every kind, from a seed. A crash cuts or garbles what was not synced. A failing seed is printed;
//! `OTTLA_LOG_SEED=n` runs that one alone, `OTTLA_LOG_SEEDS=n` more of them.

use std::env;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;

use super::{create, open, values};
use crate::log::*;
use crate::wire::batch::{Batch, BatchBuilder, Compression};

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// One record as the model knows it.
#[derive(Clone)]
struct Modelled {
    value: String,
    timestamp: i64,
    /// The first offset of its batch: a crash loses whole batches.
    batch: i64,
    epoch: i32,
}

struct Model {
    random: Random,
    dir: tempfile::TempDir,
    config: LogConfig,
    manager: LogManager,
    log: Arc<Log>,
    records: Vec<Modelled>,
    start: i64,
    high_watermark: i64,
    /// As of the last flush: a crash keeps at least so much.
    synced: i64,
    epoch: i32,
    sequence: i32,
    now_ms: i64,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            segment_bytes: 500 + random.below(2000) as u32,
            index_interval_bytes: random.below(500) as u32,
            ..LogConfig::default()
        };
        let manager = open(dir.path(), &config);
        let log = create(&manager, &config);
        Model {
            random,
            dir,
            config,
            manager,
            log,
            records: Vec::new(),
            start: 0,
            high_watermark: 0,
            synced: 0,
            epoch: 0,
            sequence: 0,
            now_ms: 0,
        }
    }

    fn end(&self) -> i64 {
        self.records.len() as i64
    }

    fn step(&mut self) {
        self.now_ms += 10;
        match self.random.below(100) {
            0..50 => self.append(),
            50..75 => self.read(),
            75..80 => self.search(),
            80..84 => {
                let up = self.random.below((self.end() - self.high_watermark + 1) as u64) as i64;
                self.high_watermark += up;
                assert_eq!(self.log.update_high_watermark(self.high_watermark), self.high_watermark);
            }
            84..87 => {
                self.log.flush(self.now_ms).unwrap();
                self.synced = self.end();
            }
            87..89 => {
                self.log.flush_rolled(self.now_ms).unwrap();
                self.synced = self.log.recovery_point();
            }
            89..91 => {
                let to = self.start + self.random.below((self.high_watermark - self.start + 1) as u64) as i64;
                self.log.increment_log_start_offset(to, self.now_ms).unwrap();
                self.start = to;
                self.synced = self.synced.max(to);
            }
            91..92 => self.truncate(),
            92..93 => self.retain(),
            93..95 => self.manager.checkpoint_recovery_points(),
            95..97 => self.restart(true),
            _ => self.restart(false),
        }
        assert_eq!(self.log.log_start_offset(), self.start);
        assert_eq!(self.log.log_end_offset(), self.end());
        assert_eq!(self.log.recovery_point().max(self.start), self.synced.max(self.start));
    }

    fn append(&mut self) {
        if self.random.below(20) == 0 {
            self.epoch += 1;
        }
        let codecs = [Compression::None, Compression::None, Compression::Lz4, Compression::Snappy];
        let codec = codecs[self.random.below(4) as usize];
        let mut batch = BatchBuilder::new().compression(codec.into()).producer(7, 0, self.sequence);
        let base = self.end();
        let count = 1 + self.random.below(4);
        for _ in 0..count {
            let value = format!("{}-{}", self.end(), "x".repeat(self.random.below(60) as usize));
            let timestamp = self.now_ms + self.random.below(30) as i64;
            batch.append(timestamp, None, Some(value.as_bytes()), &[]);
            self.records.push(Modelled { value, timestamp, batch: base, epoch: self.epoch });
        }
        self.sequence += count as i32;
        let mut bytes = batch.finish();
        let sent = bytes.clone();
        let info = self.log.append_as_leader(&mut bytes, self.epoch, AppendOrigin::Client, self.now_ms).unwrap();
        assert_eq!((info.first_offset, info.last_offset), (base, self.end() - 1));
        if self.random.below(5) == 0 {
            let again = self.log.append_as_leader(&mut sent.clone(), self.epoch, AppendOrigin::Client, 0).unwrap();
            assert!(again.duplicate);
            assert_eq!(again.first_offset, base);
        }
    }

    fn read(&mut self) {
        let from = self.start + self.random.below((self.end() - self.start + 1) as u64) as i64;
        let max = 1 + self.random.below(3000) as usize;
        let expected: Vec<(i64, String)> =
            (from..self.end()).map(|offset| (offset, self.records[offset as usize].value.clone())).collect();
        assert_eq!(values(&self.log, from, max), expected);
        let info = self.log.read(from, max, UpperBound::HighWatermark, true).unwrap();
        // A batch is visible once all of it is committed.
        let batch = self.records.get(from as usize).map(|record| record.batch);
        let end = (from..self.end()).find(|offset| Some(self.records[*offset as usize].batch) != batch);
        let visible = from < self.end() && end.unwrap_or(self.end()) <= self.high_watermark;
        assert_eq!(!info.is_empty(), visible, "{from} {}", self.high_watermark);
    }

    fn search(&mut self) {
        let timestamp = self.random.below(self.now_ms as u64 + 40) as i64;
        let expected = (self.start..self.end()).find(|offset| self.records[*offset as usize].timestamp >= timestamp);
        let found = self.log.offset_for_timestamp(timestamp).unwrap().map(|found| found.offset);
        assert_eq!(found, expected, "timestamp {timestamp}");
        for epoch in 0..=self.epoch {
            let end = (self.start..self.end()).find(|offset| self.records[*offset as usize].epoch > epoch);
            if let Some(end) = end {
                assert_eq!(self.log.end_offset_for(epoch).map(|(_, offset)| offset), Some(end), "epoch {epoch}");
            }
        }
    }

    /// To the start of a batch, as followers do.
    fn truncate(&mut self) {
        if self.end() == self.start {
            return;
        }
        let at = self.start + self.random.below((self.end() - self.start) as u64) as i64;
        let to = self.records[at as usize].batch.max(self.start);
        if self.records[to as usize].batch != to {
            return;
        }
        self.log.truncate_to(to, self.now_ms).unwrap();
        self.cut_records(to);
        self.synced = self.synced.min(to);
    }

    fn cut_records(&mut self, to: i64) {
        self.sequence -= (self.end() - to) as i32;
        self.records.truncate(to as usize);
        self.high_watermark = self.high_watermark.min(to);
        // Sequences go on where the log does; if all of the producer's records are gone, any number will do.
        self.epoch += 1;
    }

    fn restart(&mut self, clean: bool) {
        self.manager.checkpoint_high_watermarks();
        self.manager.checkpoint_log_start_offsets();
        if clean {
            self.manager.shutdown(self.now_ms);
            self.synced = self.end();
        }
        // A lock does not outlive its holder; a log without its manager is what a killed process leaves.
        let replacement = tempfile::tempdir().unwrap();
        self.manager = open(replacement.path(), &self.config);
        self.log = create(&self.manager, &self.config);
        if !clean && self.random.below(2) == 0 {
            self.lose_what_was_not_synced();
        }
        self.manager = open(self.dir.path(), &self.config);
        self.log = self.manager.log(&TopicPartition::new("t", 0)).unwrap();
        let end = self.log.log_end_offset();
        if clean {
            assert_eq!(end, self.end());
        } else {
            assert!(end >= self.synced.min(self.end()), "synced {} but the log ends at {end}", self.synced);
            // All of a log that begins in the middle of a batch may be lost: it goes on there.
            let whole = end == self.end() || self.records[end as usize].batch == end || end == self.start;
            assert!(whole, "half a batch survived");
            self.cut_records(end);
            self.synced = self.log.recovery_point();
        }
        self.high_watermark = self.log.high_watermark();
        assert!(self.high_watermark <= end);
    }

    /// The machine went down, not only the process: of every segment what was not synced is cut, garbled or zeros, or
    /// the segment is gone; so are the small files beside it.
    fn lose_what_was_not_synced(&mut self) {
        let folder = self.dir.path().join("t-0");
        let mut bases: Vec<i64> = fs::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| segment::offset_of(entry.unwrap().file_name().to_str().unwrap(), "log"))
            .collect();
        bases.sort();
        for (at, base) in bases.iter().enumerate() {
            let end = bases.get(at + 1).copied().unwrap_or(self.end());
            if end <= self.synced && at + 1 < bases.len() {
                continue;
            }
            let name = |suffix| folder.join(segment::file_name(*base, suffix));
            if *base > self.synced && at > 0 && self.random.below(4) == 0 {
                fs::remove_file(name("log")).unwrap();
                continue;
            }
            let bytes = fs::read(name("log")).unwrap();
            let mut keep = 0;
            while let Ok((batch, _)) = Batch::split_first(&bytes[keep..]) {
                if batch.next_offset() > self.synced {
                    break;
                }
                keep += batch.size();
            }
            self.damage(&name("log"), keep as u64);
            // Of an index nothing is sure as long as its segment is not.
            for suffix in ["index", "timeindex"] {
                if self.random.below(2) == 0 {
                    self.damage(&name(suffix), 0);
                }
            }
            let snapshot = name("snapshot");
            if *base > self.synced && snapshot.exists() && self.random.below(2) == 0 {
                self.damage(&snapshot, 0);
            }
        }
    }

    /// From somewhere after `keep` on.
    fn damage(&mut self, path: &Path, keep: u64) {
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let len = file.metadata().unwrap().len();
        if len < keep {
            return;
        }
        let at = keep + self.random.below(len - keep + 1);
        match self.random.below(4) {
            0 => file.set_len(at).unwrap(),
            1 => {
                file.set_len(at).unwrap();
                file.set_len(len + self.random.below(100)).unwrap();
            }
            2 => {
                let garbage: Vec<u8> = (0..len - at).map(|_| self.random.next() as u8).collect();
                file.write_all_at(&garbage, at).unwrap();
            }
            _ => {}
        }
    }

    /// Everything that is committed and old enough or too much goes, segment by segment.
    fn retain(&mut self) {
        let config = LogConfig {
            retention_ms: if self.random.below(2) == 0 { self.random.below(400) as i64 } else { -1 },
            retention_bytes: if self.random.below(2) == 0 { self.random.below(6000) as i64 } else { -1 },
            ..self.config.clone()
        };
        self.log.update_config(config.clone());
        let size = self.log.size_bytes() as i64;
        let deleted = self.log.delete_old_segments(self.now_ms).unwrap();
        self.log.update_config(self.config.clone());
        let start = self.log.log_start_offset();
        assert!(start >= self.start && start <= self.high_watermark);
        let too_old = |record: &Modelled| self.now_ms - record.timestamp > config.retention_ms;
        if deleted > 0 && config.retention_bytes < 0 {
            assert!(self.records[self.start as usize..start as usize].iter().all(too_old), "{config:?}");
        }
        if deleted > 0 && config.retention_ms < 0 {
            assert!(size > config.retention_bytes && self.log.size_bytes() as i64 >= config.retention_bytes);
        }
        if config.retention_ms < 0 && config.retention_bytes < 0 {
            assert_eq!(deleted, 0);
        }
        self.start = start;
        self.synced = self.synced.max(start);
    }
}

#[test]
fn a_log_is_a_vec_whatever_happens() {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("OTTLA_LOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OTTLA_LOG_SEEDS").unwrap_or(4),
    };
    for seed in seeds {
        println!("OTTLA_LOG_SEED={seed}");
        let mut model = Model::new(seed);
        for _ in 0..150 {
            model.step();
        }
    }
}
