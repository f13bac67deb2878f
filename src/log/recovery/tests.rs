use std::path::PathBuf;

use super::super::tests::{batch, create, open, values};
use super::super::{Log, LogManager, LogManagerOptions, MetaProperties, UpperBound};
use super::*;
use crate::wire::TopicPartition;

const FIXTURE: &str = "tests/fixtures/apache-3.9.1-log-dir";

/// The fixture's partitions were written with these.
fn fixture_config(_topic: &str) -> LogConfig {
    LogConfig { segment_bytes: 1024, index_interval_bytes: 100, ..LogConfig::default() }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_dir(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

fn files_under(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files_under(&path)) } else { found.push(path) }
    }
    found
}

fn open_fixture(dir: &Path) -> LogManager {
    let meta = MetaProperties::read(dir).unwrap().unwrap();
    LogManager::open(LogManagerOptions {
        dirs: vec![dir.to_owned()],
        broker_id: meta.broker_id.unwrap(),
        cluster_id: meta.cluster_id.unwrap(),
        config_of: &fixture_config,
        recovery_threads_per_dir: 2,
        // The day it was written: later its producers would be forgotten.
        now_ms: 1_795_470_800_000,
    })
    .unwrap()
}

fn check_fixture(manager: &LogManager) {
    let log = |topic: &str| manager.log(&TopicPartition::new(topic, 0)).unwrap();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let expected: Vec<_> = (0..40).map(|i| (i, format!("of {codec} number {}", i + 1))).collect();
        let log = log(&format!("codec-{codec}"));
        assert_eq!(values(&log, 0, 300), expected);
        assert_eq!((log.high_watermark(), log.latest_epoch()), (40, Some(0)));
    }
    assert_eq!(log("idem").producers()[0].last_sequence(), 9);
    let txn = log("txn");
    assert_eq!((txn.log_end_offset(), txn.last_stable_offset(), txn.segment_count()), (25, 24, 2));
    let info = txn.read(0, 1 << 20, UpperBound::LastStableOffset, true).unwrap();
    let aborted: Vec<_> = info.aborted_transactions.iter().map(|txn| (txn.first_offset, txn.last_offset)).collect();
    assert_eq!(aborted, [(0, 3), (8, 11)]);
    assert_eq!(txn.producers()[0].current_txn_first_offset, Some(24));
}

#[test]
fn a_directory_that_apache_stopped_cleanly_is_taken_over_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(Path::new(FIXTURE), dir.path());
    let manager = open_fixture(dir.path());
    check_fixture(&manager);
    manager.shutdown(0);
    drop(manager);
    compare_with_fixture(dir.path());
}

#[test]
fn from_apaches_log_files_alone_we_rebuild_every_other_file_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(Path::new(FIXTURE), dir.path());
    for path in files_under(dir.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.ends_with(".log") && !["meta.properties", "partition.metadata", HIGH_WATERMARKS].contains(&name) {
            fs::remove_file(path).unwrap();
        }
    }
    let manager = open_fixture(dir.path());
    check_fixture(&manager);
    manager.shutdown(0);
    drop(manager);
    compare_with_fixture(dir.path());
}

const HIGH_WATERMARKS: &str = super::super::checkpoints::HIGH_WATERMARKS;

/// Every file as Apache wrote it, but for the order of lines in the dir's checkpoints.
fn compare_with_fixture(dir: &Path) {
    let relative = |root: &Path| {
        let mut names: Vec<PathBuf> =
            files_under(root).into_iter().map(|path| path.strip_prefix(root).unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let fixture = Path::new(FIXTURE);
    assert_eq!(relative(dir), relative(fixture));
    for name in relative(fixture) {
        let (ours, theirs) = (fs::read(dir.join(&name)).unwrap(), fs::read(fixture.join(&name)).unwrap());
        if name.to_str().unwrap().ends_with("checkpoint") {
            let sorted = |bytes: &[u8]| {
                let mut lines: Vec<String> =
                    String::from_utf8(bytes.to_vec()).unwrap().lines().map(Into::into).collect();
                lines.sort();
                lines
            };
            assert_eq!(sorted(&ours), sorted(&theirs), "{}", name.display());
        } else {
            assert_eq!(ours, theirs, "{}", name.display());
        }
    }
}

/// A crashed partition: three segments, the last with three batches of two records each.
struct Crashed {
    dir: tempfile::TempDir,
    config: LogConfig,
    /// Where the last batch begins in the last segment, and how long the segment is.
    last_batch: usize,
    segment: PathBuf,
    all: Vec<(i64, String)>,
}

impl Crashed {
    fn new() -> Crashed {
        let dir = tempfile::tempdir().unwrap();
        let size = batch(&["aa", "bb"]).len();
        let config = LogConfig { segment_bytes: 3 * size as u32, index_interval_bytes: 10, ..LogConfig::default() };
        let manager = open(dir.path(), &config);
        let log = create(&manager, &config);
        for _ in 0..9 {
            log.append_as_leader(&mut batch(&["aa", "bb"]), 0, AppendOrigin::Client, 0).unwrap();
        }
        let segment = dir.path().join("t-0/00000000000000000012.log");
        assert_eq!(fs::metadata(&segment).unwrap().len() as usize, 3 * size);
        Crashed { all: values(&log, 0, 1 << 20), last_batch: 2 * size, segment, config, dir }
    }

    fn reopen(&self) -> (LogManager, Arc<Log>) {
        let manager = open(self.dir.path(), &self.config);
        let log = manager.log(&TopicPartition::new("t", 0)).unwrap();
        (manager, log)
    }
}

#[test]
fn every_cut_of_the_last_batch_loses_that_batch_and_nothing_else() {
    let crashed = Crashed::new();
    let whole = fs::read(&crashed.segment).unwrap();
    for cut in crashed.last_batch..whole.len() {
        fs::write(&crashed.segment, &whole[..cut]).unwrap();
        let (_manager, log) = crashed.reopen();
        assert_eq!(log.log_end_offset(), 16, "cut at {cut}");
        assert_eq!(values(&log, 0, 1 << 20), crashed.all[..16], "cut at {cut}");
        assert_eq!(fs::metadata(&crashed.segment).unwrap().len() as usize, crashed.last_batch);
    }
    fs::write(&crashed.segment, &whole).unwrap();
    let (_manager, log) = crashed.reopen();
    assert_eq!(values(&log, 0, 1 << 20), crashed.all);
    log.append_as_leader(&mut batch(&["more"]), 0, AppendOrigin::Client, 0).unwrap();
    assert_eq!(values(&log, 18, 1 << 20), [(18, "more".to_owned())]);
}

#[test]
fn every_flipped_byte_of_the_last_batch_loses_that_batch_and_nothing_else() {
    let crashed = Crashed::new();
    let whole = fs::read(&crashed.segment).unwrap();
    for at in crashed.last_batch..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x80;
        fs::write(&crashed.segment, &flipped).unwrap();
        let (_manager, log) = crashed.reopen();
        let end = match at - crashed.last_batch {
            // Outside the checksum: a somewhat higher base offset looks like a hole that compaction has left …
            byte @ 5..8 => 18 + (0x80 << (8 * (7 - byte))),
            // … and a negative leader epoch like one that nobody knew.
            12..16 => 18,
            _ => 16,
        };
        assert_eq!(log.log_end_offset(), end, "byte {at}");
        assert_eq!(values(&log, 0, 1 << 20)[..16], crashed.all[..16], "byte {at}");
    }
}

#[test]
fn garbage_and_zeros_after_the_last_batch_are_cut_off() {
    let crashed = Crashed::new();
    let whole = fs::read(&crashed.segment).unwrap();
    for tail in [vec![0; 4096], vec![0xff; 28], batch(&["zz"])[..40].to_vec(), batch(&["an older offset"])] {
        fs::write(&crashed.segment, [whole.clone(), tail].concat()).unwrap();
        let (_manager, log) = crashed.reopen();
        assert_eq!(values(&log, 0, 1 << 20), crashed.all);
        assert_eq!(fs::read(&crashed.segment).unwrap(), whole);
    }
}

#[test]
fn damage_in_an_unsynced_segment_ends_the_log_there() {
    let crashed = Crashed::new();
    let middle = crashed.dir.path().join("t-0/00000000000000000006.log");
    let mut bytes = fs::read(&middle).unwrap();
    bytes[crashed.last_batch + 65] ^= 1;
    fs::write(&middle, bytes).unwrap();
    let (manager, log) = crashed.reopen();
    assert_eq!(values(&log, 0, 1 << 20), crashed.all[..10]);
    assert!(!crashed.segment.exists());
    log.append_as_leader(&mut batch(&["next"]), 3, AppendOrigin::Client, 0).unwrap();
    drop((manager, log));
    let (_manager, log) = crashed.reopen();
    assert_eq!(log.log_end_offset(), 11);
    assert_eq!(log.latest_epoch(), Some(3));
}

#[test]
fn what_was_synced_is_not_read_again_and_what_was_not_is() {
    let crashed = Crashed::new();
    {
        let (manager, log) = crashed.reopen();
        log.flush_rolled(0).unwrap();
        assert_eq!(log.recovery_point(), 12);
        manager.checkpoint_recovery_points();
    }
    // Damage below the recovery point: an unclean start does not look there, for it could not mend it.
    let first = crashed.dir.path().join("t-0/00000000000000000000.log");
    let mut bytes = fs::read(&first).unwrap();
    bytes[65] ^= 1;
    fs::write(&first, &bytes).unwrap();
    let (_manager, log) = crashed.reopen();
    assert_eq!(log.log_end_offset(), 18);
    assert_eq!(log.segment_count(), 3);
}

#[test]
fn indexes_of_zeros_missing_or_misshapen_are_built_anew() {
    let crashed = Crashed::new();
    let index = crashed.dir.path().join("t-0/00000000000000000006.index");
    let time = crashed.dir.path().join("t-0/00000000000000000006.timeindex");
    {
        let (manager, log) = crashed.reopen();
        drop(log);
        manager.shutdown(0);
    }
    let (good_index, good_time) = (fs::read(&index).unwrap(), fs::read(&time).unwrap());
    assert!(!good_index.is_empty() && !good_time.is_empty());
    let damages: [fn(&Path); 3] = [
        |path| fs::write(path, [0; 96]).unwrap(),
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, [1; 7]).unwrap(),
    ];
    for damage in damages {
        for path in [&index, &time] {
            damage(path);
            let (manager, log) = crashed.reopen();
            assert_eq!(values(&log, 0, 100), crashed.all);
            drop(log);
            manager.shutdown(0);
            assert_eq!(fs::read(&index).unwrap(), good_index);
            assert_eq!(fs::read(&time).unwrap(), good_time);
        }
    }
}

#[test]
fn leftovers_of_deleting_and_cleaning_are_dealt_with() {
    let crashed = Crashed::new();
    let folder = crashed.dir.path().join("t-0");
    let name = |name: &str| folder.join(name);
    fs::write(name("00000000000000000099.log.deleted"), "x").unwrap();
    fs::write(name("00000000000000000000.log.cleaned"), "x").unwrap();
    fs::write(name("00000000000000000006.log.swap"), "x").unwrap();
    fs::write(name("00000000000000000033.index"), "x").unwrap();
    fs::write(name("leader-epoch-checkpoint.tmp"), "x").unwrap();
    {
        let (_manager, log) = crashed.reopen();
        assert_eq!(values(&log, 0, 1 << 20), crashed.all);
    }
    // The first two segments were cleaned into one, and the crash came before its renaming.
    let merged =
        [fs::read(name("00000000000000000000.log")).unwrap(), fs::read(name("00000000000000000006.log")).unwrap()];
    fs::write(name("00000000000000000000.log.swap"), merged.concat()).unwrap();
    let (_manager, log) = crashed.reopen();
    assert_eq!(values(&log, 0, 1 << 20), crashed.all);
    assert_eq!(log.segment_count(), 2);
    let mut left: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    left.retain(|name| !name.ends_with("index") && !name.ends_with("snapshot"));
    left.sort();
    let expected =
        ["00000000000000000000.log", "00000000000000000012.log", "leader-epoch-checkpoint", "partition.metadata"];
    assert_eq!(left, expected);
}

#[test]
fn a_damaged_epoch_file_is_read_from_the_log_again() {
    let crashed = Crashed::new();
    let epochs = crashed.dir.path().join("t-0").join(LEADER_EPOCHS);
    for content in ["", "0\n3\n0 0\n", "garbage"] {
        fs::write(&epochs, content).unwrap();
        let (_manager, log) = crashed.reopen();
        assert_eq!(log.latest_epoch(), Some(0), "{content:?}");
    }
}

#[test]
fn damaged_and_stray_snapshots_are_passed_over() {
    let crashed = Crashed::new();
    let folder = crashed.dir.path().join("t-0");
    let snapshots = || {
        let mut found: Vec<i64> = fs::read_dir(&folder)
            .unwrap()
            .filter_map(|entry| offset_of(entry.unwrap().file_name().to_str().unwrap(), SNAPSHOT_SUFFIX))
            .collect();
        found.sort();
        found
    };
    assert_eq!(snapshots(), [6, 12]);
    fs::write(folder.join(file_name(12, SNAPSHOT_SUFFIX)), "damaged").unwrap();
    fs::write(folder.join(file_name(8, SNAPSHOT_SUFFIX)), [0, 1, 0x48, 0x67, 0x4b, 0xc7, 0, 0, 0, 0]).unwrap();
    fs::write(folder.join(file_name(99, SNAPSHOT_SUFFIX)), "from the future").unwrap();
    let (manager, log) = crashed.reopen();
    assert_eq!(values(&log, 0, 1 << 20), crashed.all);
    drop(log);
    manager.shutdown(0);
    drop(manager);
    let (_manager, _log) = crashed.reopen();
    assert_eq!(snapshots(), [6, 12, 18]);
}

#[test]
fn a_log_that_lost_more_than_its_start_begins_anew_there() {
    let crashed = Crashed::new();
    fs::write(crashed.dir.path().join("log-start-offset-checkpoint"), "0\n1\nt 0 50\n").unwrap();
    let (_manager, log) = crashed.reopen();
    assert_eq!((log.log_start_offset(), log.log_end_offset()), (50, 50));
    assert_eq!(log.append_as_leader(&mut batch(&["x"]), 0, AppendOrigin::Client, 0).unwrap().first_offset, 50);
}

#[test]
fn a_segment_that_lost_its_end_is_the_last_one() {
    // 6 records a segment, 2 a batch: what is missing is a whole batch, so that nothing looks damaged.
    let crashed = Crashed::new();
    let path = crashed.dir.path().join("t-0/00000000000000000006.log");
    let size = fs::metadata(&path).unwrap().len();
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(size / 3 * 2).unwrap();
    let (_manager, log) = crashed.reopen();
    assert_eq!(log.log_end_offset(), 10);
    assert_eq!(values(&log, 0, 1 << 20), crashed.all[..10]);
}
