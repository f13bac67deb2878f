//! What the log costs, beside what the kernel alone takes for the same bytes. `cargo bench --bench log [NAME…]`;
//! `OTTLA_BENCH_MB=n` sets how much is written (default 256). Every line: MB/s of wall time, and seconds of CPU a GB.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ottla::log::{
    AppendOrigin, CleanerConfig, CleanupPolicy, Log, LogCleaner, LogConfig, LogManager, LogManagerOptions, UpperBound,
    checkpoints,
};
use ottla::wire::batch::{Batch, BatchBuilder, MAX_DECOMPRESSED};
use ottla::wire::{TopicPartition, Uuid};

const RECORD: usize = 1000;
/// 16 records a batch: what a producer sends with stock settings and records of 1 kB.
const RECORDS: usize = 16;
/// What one fetch asks for.
const FETCH: usize = 1 << 20;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let mb = std::env::var("OTTLA_BENCH_MB").ok().and_then(|text| text.parse().ok()).unwrap_or(256usize);
    let all: [(&str, fn(usize)); 6] = [
        ("append", append),
        ("read", read),
        ("time", read_by_time),
        ("check", check),
        ("recovery", recovery),
        ("compaction", compaction),
    ];
    println!("{:44}{:>10}{:>12}", "", "MB/s", "CPU s/GB");
    for (name, bench) in all {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            bench(mb * 1_000_000);
        }
    }
}

/// Times `work` over so many bytes.
fn measure(name: &str, bytes: usize, work: impl FnOnce()) {
    let (started, cpu) = (Instant::now(), cpu_seconds());
    work();
    let (wall, cpu) = (started.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("{name:44}{:>10.0}{:>12.3}", bytes as f64 / 1e6 / wall, cpu / (bytes as f64 / 1e9));
}

/// Of all threads, in user and kernel mode.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a timespec where one is.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn open(dir: &Path, config: &LogConfig) -> (Arc<LogManager>, Arc<Log>) {
    let of_all = config.clone();
    let manager = LogManager::open(LogManagerOptions {
        dirs: vec![dir.to_owned()],
        broker_id: 0,
        cluster_id: "aaaaaaaaaaaaaaaaaaaaaa".into(),
        config_of: &move |_| of_all.clone(),
        recovery_threads_per_dir: 1,
        now_ms: 0,
    })
    .expect("opens");
    let log = manager.create_log("bench", 0, Uuid([1; 16]), config.clone(), 0).expect("creates");
    (Arc::new(manager), log)
}

/// A batch of records with keys out of `keys`, the first at `first`.
fn batch(first: usize, keys: usize) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for at in first..first + RECORDS {
        let key = format!("key-{:012}", at.wrapping_mul(7919) % keys);
        batch.append(at as i64, Some(key.as_bytes()), Some(&[b'x'; RECORD]), &[]);
    }
    batch.finish()
}

fn fill(log: &Log, bytes: usize, keys: usize) -> usize {
    let mut written = 0;
    for number in 0.. {
        if written >= bytes {
            break;
        }
        let mut bytes = batch(number * RECORDS, keys);
        written += bytes.len();
        log.append_as_leader(&mut bytes, 0, AppendOrigin::Client, 0).expect("appends");
    }
    log.update_high_watermark(i64::MAX);
    written
}

fn append(bytes: usize) {
    let dir = tempfile::tempdir().expect("makes a folder");
    let (_manager, log) = open(dir.path(), &LogConfig::default());
    let mut one = batch(0, usize::MAX);
    let count = bytes / one.len();
    measure("append", count * one.len(), || {
        for _ in 0..count {
            // The base offset was stamped by the last append.
            one[..8].fill(0);
            log.append_as_leader(&mut one, 0, AppendOrigin::Client, 0).expect("appends");
        }
    });
    let mut file = File::create(dir.path().join("bare")).expect("creates");
    measure("  write(2) of the same bytes", count * one.len(), || {
        for _ in 0..count {
            file.write_all(&one).expect("writes");
        }
    });
}

fn read(bytes: usize) {
    let dir = tempfile::tempdir().expect("makes a folder");
    let (_manager, log) = open(dir.path(), &LogConfig::default());
    let bytes = fill(&log, bytes, usize::MAX);
    let sink = OpenOptions::new().write(true).open("/dev/null").expect("is there");
    let send = |file: &File, mut position: u64, mut left: usize| {
        while left > 0 {
            let sent = rustix::fs::sendfile(&sink, file, Some(&mut position), left).expect("sends");
            assert!(sent > 0, "a segment is as long as the log says");
            left -= sent;
        }
    };
    // All batches are of one size, so the next offset is known without a look at the bytes.
    let batch_len = bytes / (log.log_end_offset() as usize / RECORDS);
    measure("read by offset, sent with sendfile(2)", bytes, || {
        let mut offset = 0;
        while let Some(records) = log.read(offset, FETCH, UpperBound::HighWatermark, true).expect("reads").records {
            send(&records.file, records.position, records.len);
            offset += (records.len / batch_len * RECORDS) as i64;
        }
    });
    let path = dir.path().join("bench-0/00000000000000000000.log");
    let file = File::open(path).expect("opens");
    measure("  sendfile(2) of the same file", bytes, || {
        for position in (0..bytes).step_by(FETCH) {
            send(&file, position as u64, FETCH.min(bytes - position));
        }
    });
}

fn read_by_time(bytes: usize) {
    let dir = tempfile::tempdir().expect("makes a folder");
    let (_manager, log) = open(dir.path(), &LogConfig { segment_bytes: 64 << 20, ..LogConfig::default() });
    fill(&log, bytes, usize::MAX);
    let end = log.log_end_offset();
    let (count, started, cpu) = (20_000i64, Instant::now(), cpu_seconds());
    for number in 0..count {
        // Every record's timestamp is its offset.
        let wanted = number.wrapping_mul(2_654_435_761) % end;
        assert_eq!(log.offset_for_timestamp(wanted).expect("reads").expect("is there").offset, wanted);
    }
    let each = |seconds: f64| seconds / count as f64 * 1e6;
    println!(
        "{:44}{:>10.1} µs{:>9.1} µs CPU",
        "read by time, each",
        each(started.elapsed().as_secs_f64()),
        each(cpu_seconds() - cpu)
    );
}

fn check(bytes: usize) {
    let one = batch(0, usize::MAX);
    let count = bytes / one.len();
    measure("batch check: header, CRC-32C, every record", count * one.len(), || {
        for _ in 0..count {
            let (batch, _) = Batch::split_first(std::hint::black_box(&one)).expect("is a batch");
            batch.verify().expect("is sound");
            let walked: Result<(), ottla::wire::batch::Error> = batch.for_each_record(MAX_DECOMPRESSED, |record| {
                std::hint::black_box(record.timestamp);
                Ok(())
            });
            walked.expect("has records");
        }
    });
    measure("  CRC-32C of the same bytes", count * one.len(), || {
        for _ in 0..count {
            std::hint::black_box(crc32c::crc32c(std::hint::black_box(&one)));
        }
    });
}

fn recovery(bytes: usize) {
    let dir = tempfile::tempdir().expect("makes a folder");
    let config = LogConfig::default();
    let (manager, log) = open(dir.path(), &config);
    let bytes = fill(&log, bytes, usize::MAX);
    drop((manager, log));
    measure("recovery of an unclean log", bytes, || {
        let (_manager, log) = open(dir.path(), &config);
        assert_eq!(log.size_bytes() as usize, bytes);
    });
    let path = dir.path().join("bench-0/00000000000000000000.log");
    measure("  read(2) of the same file", bytes, || {
        let mut file = File::open(path).expect("opens");
        let mut buffer = vec![0; 1 << 20];
        while file.read(&mut buffer).expect("reads") > 0 {}
    });
}

fn compaction(bytes: usize) {
    let dir = tempfile::tempdir().expect("makes a folder");
    let policy = CleanupPolicy::COMPACT;
    let config = LogConfig { cleanup_policy: policy, segment_bytes: 16 << 20, ..LogConfig::default() };
    let (manager, log) = open(dir.path(), &config);
    // Every key comes four times.
    let bytes = fill(&log, bytes, bytes / RECORD / 4);
    let cleaned = || {
        let offsets = checkpoints::read_offsets(dir.path(), checkpoints::CLEANER_OFFSETS).unwrap_or_default();
        offsets.contains_key(&TopicPartition::new("bench", 0))
    };
    measure("compaction, three quarters superseded", bytes, || {
        let cleaner =
            LogCleaner::start(manager.clone(), CleanerConfig { backoff_ms: 60_000, ..CleanerConfig::default() });
        while !cleaned() {
            std::thread::sleep(Duration::from_millis(5));
        }
        cleaner.stop();
    });
    let copies: Vec<_> = fs::read_dir(dir.path().join("bench-0"))
        .expect("lists")
        .map(|entry| entry.expect("lists").path())
        .filter(|path| path.to_string_lossy().ends_with(".log.deleted"))
        .collect();
    let size: u64 = copies.iter().map(|path| fs::metadata(path).expect("is there").len()).sum();
    measure("  two reads(2) of the same files", size as usize, || {
        let mut buffer = vec![0; 1 << 20];
        for path in copies.iter().chain(&copies) {
            let mut file = File::open(path).expect("opens");
            while file.read(&mut buffer).expect("reads") > 0 {}
        }
    });
}
