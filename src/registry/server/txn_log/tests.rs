use super::*;
use crate::registry::proto::Acl;
use crate::registry::server::txn::Kind;

fn header(zxid: i64) -> TxnHeader {
    TxnHeader { session_id: 1, cxid: 0, zxid, time_ms: 0 }
}

/// Creates `/n{zxid}`.
fn create(zxid: i64) -> Txn {
    Txn::Create {
        path: format!("/n{zxid}"),
        data: Some(vec![b'x'; 20]),
        acl: vec![Acl::open()],
        kind: Kind::Persistent,
        parent_creations: -1,
    }
}

fn open(dir: &Path) -> (TxnLog, Recovered) {
    TxnLog::open(dir, dir).unwrap()
}

/// Appends and waits until all is durable, that is, until the log is closed.
fn write(dir: &Path, zxids: std::ops::RangeInclusive<i64>) {
    let (log, recovered) = open(dir);
    assert_eq!(recovered.last_zxid + 1, *zxids.start());
    for zxid in zxids {
        log.append(&header(zxid), &create(zxid));
    }
}

fn listing(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir.join("version-2")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn znodes(recovered: &Recovered) -> Vec<i64> {
    let mut zxids: Vec<i64> =
        recovered.tree.iter().filter_map(|(path, _)| path.strip_prefix("/n")?.parse().ok()).collect();
    zxids.sort_unstable();
    zxids
}

#[test]
fn what_was_written_is_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=3);
    write(dir.path(), 4..=4);
    let (_log, recovered) = open(dir.path());
    assert_eq!((recovered.last_zxid, znodes(&recovered)), (4, vec![1, 2, 3, 4]));
    assert_eq!(listing(dir.path()), ["log.1", "log.4", "snapshot.0"]);
}

#[test]
fn a_record_is_durable_when_the_log_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    let lsn = log.append(&header(1), &create(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async { log.durable().wait_for(|durable| *durable >= lsn).await.map(|_| ()) }).unwrap();
    let bytes = fs::read(dir.path().join("version-2/log.1")).unwrap();
    assert!(matches!(next_record(&bytes[HEADER.len()..]), Ok(Some((h, _, _))) if h.zxid == 1));
}

#[test]
fn a_log_cut_at_any_byte_holds_every_record_before_the_cut() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=4);
    let path = dir.path().join("version-2/log.1");
    let whole = fs::read(&path).unwrap();
    let mut ends = vec![HEADER.len()];
    while let Ok(Some((_, _, length))) = next_record(&whole[ends[ends.len() - 1]..]) {
        ends.push(ends[ends.len() - 1] + length);
    }
    assert_eq!((ends.len(), ends[4]), (5, whole.len()));
    let directories = Directories { snapshots: dir.path().join("version-2"), logs: dir.path().join("version-2") };
    for cut in 0..=whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (recovered, _, _) = recover(&directories).unwrap();
        let complete = ends[1..].iter().filter(|end| **end <= cut).count() as i64;
        assert_eq!(recovered.last_zxid, complete, "cut at {cut}");
        assert_eq!(znodes(&recovered), (1..=complete).collect::<Vec<_>>(), "cut at {cut}");
        let kept = fs::metadata(&path).unwrap().len() as usize;
        assert_eq!(kept, if cut < HEADER.len() { 0 } else { ends[complete as usize] }, "cut at {cut}");
    }
    // And goes on from there.
    fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    write(dir.path(), 4..=6);
    assert_eq!(znodes(&open(dir.path()).1), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_damaged_record_before_the_end_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=3);
    write(dir.path(), 4..=5);
    let path = dir.path().join("version-2/log.1");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 10;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let Err(err) = TxnLog::open(dir.path(), dir.path()) else { panic!("a registry with a hole") };
    assert!(err.to_string().contains("zxid 0x3 is missing before 0x4"), "{err}");
}

#[test]
fn a_flipped_byte_in_the_last_log_cuts_it_there() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=3);
    let path = dir.path().join("version-2/log.1");
    let whole = fs::read(&path).unwrap();
    let directories = Directories { snapshots: dir.path().join("version-2"), logs: dir.path().join("version-2") };
    for at in HEADER.len()..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let (recovered, _, _) = recover(&directories).unwrap();
        assert!(recovered.last_zxid < 3, "flipped at {at}");
        assert_eq!(znodes(&recovered), (1..=recovered.last_zxid).collect::<Vec<_>>(), "flipped at {at}");
    }
}

#[test]
fn apaches_padding_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=2);
    let path = dir.path().join("version-2/log.1");
    let mut bytes = fs::read(&path).unwrap();
    bytes.resize(bytes.len() + 4096, 0);
    fs::write(&path, &bytes).unwrap();
    write(dir.path(), 3..=3);
    assert_eq!(znodes(&open(dir.path()).1), [1, 2, 3]);
}

#[test]
fn snapshots_replace_the_logs_before_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut zxid = 0;
    for _ in 0..4 {
        let (log, mut recovered) = open(dir.path());
        for _ in 0..3 {
            zxid += 1;
            log.append(&header(zxid), &create(zxid));
            recovered.tree.apply(&header(zxid), &create(zxid)).unwrap();
        }
        log.snapshot(zxid, snapshot::encode(&recovered.tree, &recovered.sessions));
        // Behind the snapshot, in a file of its own.
        zxid += 1;
        log.append(&header(zxid), &create(zxid));
    }
    drop(open(dir.path()));
    // The last two, and of the logs what came after the older of them.
    let names = listing(dir.path());
    let snapshots: Vec<_> = names.iter().filter(|name| name.starts_with("snapshot")).collect();
    assert_eq!(snapshots, ["snapshot.b", "snapshot.f"]);
    assert!(!names.contains(&"log.1".to_owned()), "{names:?}");
    assert_eq!(znodes(&open(dir.path()).1), (1..=16).collect::<Vec<_>>());
    // The newest is damaged: the one before it and the logs serve.
    let newest = dir.path().join("version-2/snapshot.f");
    fs::write(&newest, b"ZKSN").unwrap();
    assert_eq!(znodes(&open(dir.path()).1), (1..=16).collect::<Vec<_>>());
    fs::remove_file(newest).unwrap();
    fs::write(dir.path().join("version-2/snapshot.b"), b"").unwrap();
    assert!(TxnLog::open(dir.path(), dir.path()).is_err(), "no snapshot is whole");
}

#[test]
fn logs_without_a_snapshot_are_not_taken_for_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 1..=2);
    write(dir.path(), 3..=3);
    fs::remove_file(dir.path().join("version-2/snapshot.0")).unwrap();
    assert_eq!(znodes(&open(dir.path()).1), [1, 2, 3], "from the very first transaction on it is a whole");
    fs::remove_file(dir.path().join("version-2/log.1")).unwrap();
    let Err(err) = TxnLog::open(dir.path(), dir.path()) else { panic!("a registry without a beginning") };
    assert!(err.to_string().starts_with("No snapshot found, but there are log entries"), "{err}");
}

#[test]
fn a_disk_that_refuses_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (log, _) = open(dir.path());
    fs::remove_dir_all(dir.path().join("version-2")).unwrap();
    let lsn = log.append(&header(1), &create(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let told = runtime.block_on(async { log.durable().wait_for(|durable| *durable >= lsn).await.map(|_| ()) });
    assert!(told.is_err());
}
