//! Compaction against a map: random records of few keys, tombstones, transactions, restarts, truncations and rounds,
//! from a seed. `OTTLA_LOG_SEED=n` runs that one alone, `OTTLA_LOG_SEEDS=n` more of them.

use std::env;

use super::*;
use crate::log::tests::model::Random;

struct Model {
    random: Random,
    fixture: Option<Fixture>,
    config: LogConfig,
    /// Everything that was ever appended, by offset; None for markers.
    written: BTreeMap<i64, Option<Seen>>,
    aborted: BTreeSet<i64>,
    /// The open transaction of each producer.
    open: BTreeMap<i64, Vec<i64>>,
    sequences: BTreeMap<i64, i32>,
    now_ms: i64,
}

impl Model {
    fn new(seed: u64) -> Model {
        let mut random = Random(seed);
        let config = LogConfig {
            segment_bytes: 300 + random.below(1500) as u32,
            index_interval_bytes: random.below(400) as u32,
            delete_retention_ms: random.below(300) as i64,
            min_compaction_lag_ms: random.below(2) as i64 * 50,
            min_cleanable_dirty_ratio: random.below(3) as f64 * 0.2,
            ..compacted()
        };
        Model {
            fixture: Some(Fixture::new(&config)),
            random,
            config,
            written: BTreeMap::new(),
            aborted: BTreeSet::new(),
            open: BTreeMap::new(),
            sequences: BTreeMap::new(),
            now_ms: 1000,
        }
    }

    fn fixture(&self) -> &Fixture {
        self.fixture.as_ref().unwrap()
    }

    fn step(&mut self) {
        self.now_ms += 7;
        match self.random.below(100) {
            0..70 => self.append(),
            70..78 => self.end_transaction(),
            78..90 => {
                self.fixture().commit();
                let memory = (8 + self.random.below(60) as usize) * ENTRY;
                let config = CleanerConfig { dedupe_buffer_size: memory as u64, ..CleanerConfig::default() };
                self.fixture().cleaner.shared.state.lock().config = config;
                self.fixture().clean(self.now_ms);
                assert!(self.fixture().cleaner.shared.state.lock().uncleanable.is_empty());
            }
            90..95 => self.fixture().roll(),
            _ => {
                self.fixture().log.flush(self.now_ms).unwrap();
                let fixture = self.fixture.take().unwrap().reopen(&self.config);
                self.fixture = Some(fixture);
            }
        }
    }

    fn append(&mut self) {
        let codecs = [Compression::None, Compression::None, Compression::Lz4, Compression::Zstd];
        let codec = codecs[self.random.below(4) as usize];
        let mut batch = BatchBuilder::new().compression(codec.into());
        let producer = self.random.below(5) as i64;
        let count = 1 + self.random.below(4);
        // Producers 1 and 2 are idempotent, 3 and 4 transactional.
        if producer > 0 {
            let sequence = self.sequences.entry(producer).or_default();
            batch = batch.producer(producer, 0, *sequence);
            *sequence += count as i32;
        }
        if producer > 2 {
            batch = batch.transactional();
        }
        let base = self.fixture().log.log_end_offset();
        for offset in base..base + count as i64 {
            let key = format!("key{}", self.random.below(12));
            let value = (self.random.below(5) > 0).then(|| format!("{offset}-{}", "x".repeat(20)));
            let timestamp = self.now_ms + self.random.below(20) as i64;
            batch.append(timestamp, Some(key.as_bytes()), value.as_deref().map(str::as_bytes), &[]);
            self.written.insert(offset, Some(Seen { key: Some(key), value, timestamp }));
            if producer > 2 {
                self.open.entry(producer).or_default().push(offset);
            }
        }
        self.fixture().append(batch.finish());
    }

    fn end_transaction(&mut self) {
        let Some((producer, offsets)) = self.open.pop_first() else { return };
        let kind = match self.random.below(2) {
            0 => ControlRecordType::Commit,
            _ => {
                self.aborted.extend(offsets);
                ControlRecordType::Abort
            }
        };
        let at = self.fixture().append(end_transaction_marker(kind, producer, 0, 0, self.now_ms));
        self.written.insert(at, None);
    }

    /// What a reader of committed data finds, and what every key's newest value is.
    fn check(&self) {
        let fixture = self.fixture();
        fixture.commit();
        let log = &fixture.log;
        let stable = log.last_stable_offset();
        let dirty = log.state.lock().first_dirty_offset.unwrap_or(0);
        let found = fixture.records();
        for (offset, seen) in &found {
            match &self.written[offset] {
                Some(written) => assert_eq!(seen, written, "offset {offset}"),
                None => assert!(self.aborted.contains(offset) || seen.value.is_some(), "a marker at {offset}"),
            }
        }
        // What nobody has cleaned yet is all there; but a round that ends within a segment looks for aborted records and
        // for markers in all of it.
        for (offset, written) in self.written.range(dirty..) {
            let may_go = written.is_none() || self.aborted.contains(offset);
            assert!(may_go || found.contains_key(offset), "offset {offset} is gone, dirty from {dirty}");
        }
        let mut newest: BTreeMap<&str, (i64, &Seen)> = BTreeMap::new();
        let committed = |offset: &i64| *offset < stable && !self.aborted.contains(offset);
        for (offset, seen) in self.written.iter().filter(|(offset, _)| committed(offset)) {
            if let Some(seen) = seen {
                newest.insert(seen.key.as_deref().unwrap(), (*offset, seen));
            }
        }
        for (key, (offset, seen)) in newest {
            // A tombstone may have gone.
            assert!(found.contains_key(&offset) || seen.value.is_none(), "the newest of {key} at {offset} is gone");
            let older =
                found.range(..offset).filter(|(offset, seen)| committed(offset) && seen.key.as_deref() == Some(key));
            if !found.contains_key(&offset) {
                assert_eq!(older.count(), 0, "{key} has come back to life");
            }
        }
        // Whatever was aborted is hidden from readers of committed data, by the index or because it has gone.
        let read = log.read(log.log_start_offset(), usize::MAX, UpperBound::LastStableOffset, true).unwrap();
        assert!(!read.aborted_transactions.iter().any(|txn| txn.first_offset >= stable));
        for producer in log.producers() {
            let last = self.sequences.get(&producer.producer_id).map_or(-1, |next| next - 1);
            assert_eq!(producer.last_sequence(), last, "producer {}", producer.producer_id);
        }
    }
}

#[test]
fn a_compacted_log_is_a_map_whatever_happens() {
    let number = |name| env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seeds = match number("OTTLA_LOG_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OTTLA_LOG_SEEDS").unwrap_or(6),
    };
    for seed in seeds {
        println!("OTTLA_LOG_SEED={seed}");
        let mut model = Model::new(seed);
        for step in 0..200 {
            model.step();
            if step % 10 == 0 {
                model.check();
            }
        }
        model.check();
    }
}
