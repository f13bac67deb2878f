use super::*;

fn entry(value: u64) -> [u8; 8] {
    value.to_be_bytes()
}

fn value(entry: Option<[u8; 8]>) -> Option<u64> {
    entry.map(u64::from_be_bytes)
}

#[test]
fn entries_are_found_in_memory_and_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut index = IndexFile::<8>::create(dir.path(), 0, "index").unwrap();
    // More than a block on disk, the rest still pending.
    for i in 0..1500u64 {
        index.push(dir.path(), entry(i * 10)).unwrap();
    }
    assert!(index.on_disk > BLOCK && !index.pending.is_empty());
    for reopened in [false, true] {
        if reopened {
            index.close(dir.path()).unwrap();
            index = IndexFile::open(dir.path(), 0, "index").unwrap().unwrap();
        }
        assert_eq!(index.len(), 1500);
        assert_eq!(value(index.last(dir.path()).unwrap()), Some(14990));
        for target in [0, 1, 9, 10, 11, 4095, 5120, 5119, 12799, 12800, 12801, 14990, 99999] {
            let found = index.find(dir.path(), |e| u64::from_be_bytes(*e) <= target).unwrap();
            assert_eq!(value(found), Some((target / 10 * 10).min(14990)), "{target}");
        }
        assert_eq!(index.find(dir.path(), |_| false).unwrap(), None);
    }
}

#[test]
fn truncation_keeps_a_prefix_wherever_it_ends() {
    for keep in [0u64, 1, 500, 1279, 1280, 1281, 1499, 1500] {
        let dir = tempfile::tempdir().unwrap();
        let mut index = IndexFile::<8>::create(dir.path(), 0, "index").unwrap();
        for i in 0..1500 {
            index.push(dir.path(), entry(i)).unwrap();
        }
        index.truncate(dir.path(), |e| u64::from_be_bytes(*e) < keep).unwrap();
        assert_eq!(index.len(), keep as usize);
        index.push(dir.path(), entry(7777)).unwrap();
        index.close(dir.path()).unwrap();
        let mut index = IndexFile::<8>::open(dir.path(), 0, "index").unwrap().unwrap();
        assert_eq!(index.len(), keep as usize + 1);
        assert_eq!(value(index.last(dir.path()).unwrap()), Some(7777));
    }
}

#[test]
fn a_file_of_another_size_is_no_index() {
    let dir = tempfile::tempdir().unwrap();
    assert!(IndexFile::<8>::open(dir.path(), 5, "index").unwrap().is_none());
    std::fs::write(dir.path().join("00000000000000000005.index"), [0; 12]).unwrap();
    assert!(IndexFile::<8>::open(dir.path(), 5, "index").unwrap().is_none());
    assert!(IndexFile::<12>::open(dir.path(), 5, "index").unwrap().is_some());
}
