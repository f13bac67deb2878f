use super::*;

#[test]
fn offsets_come_back_and_look_like_apaches() {
    let dir = tempfile::tempdir().unwrap();
    assert!(read_offsets(dir.path(), RECOVERY_POINTS).unwrap().is_empty());
    let offsets = BTreeMap::from([(TopicPartition::new("a-b", 1), 98), (TopicPartition::new("first", 0), 115)]);
    write_offsets(dir.path(), RECOVERY_POINTS, &offsets).unwrap();
    let text = fs::read_to_string(dir.path().join(RECOVERY_POINTS)).unwrap();
    assert_eq!(text, "0\n2\na-b 1 98\nfirst 0 115\n");
    assert_eq!(read_offsets(dir.path(), RECOVERY_POINTS).unwrap(), offsets);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_checkpoint_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "1\n0\n", "0\nx\n", "0\n2\na 0 1\n", "0\n1\na 0\n", "0\n1\na x 1\n", "0\n0\na 0 1\n"] {
        fs::write(dir.path().join(HIGH_WATERMARKS), text).unwrap();
        let error = read_offsets(dir.path(), HIGH_WATERMARKS).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{text:?}");
    }
}
