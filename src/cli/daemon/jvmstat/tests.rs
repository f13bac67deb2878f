use super::*;

#[test]
fn entries_lie_where_the_prologue_says() {
    let data = perf_data("kafka.Kafka server.properties");
    let number = |at: usize| u32::from_le_bytes([data[at], data[at + 1], data[at + 2], data[at + 3]]) as usize;
    assert_eq!(data.len(), FILE_BYTES);
    let (mut at, count) = (number(24), number(28));
    let mut found = Vec::new();
    for _ in 0..count {
        let name = &data[at + number(at + 4)..];
        let value = &data[at + number(at + 16)..][..number(at + 8)];
        let end = name.iter().position(|&byte| byte == 0).expect("a name ends");
        found.push((String::from_utf8_lossy(&name[..end]).into_owned(), String::from_utf8_lossy(value).into_owned()));
        at += number(at);
    }
    assert_eq!(at, number(8), "the entries fill what is used");
    assert_eq!(found[0], ("sun.rt.javaCommand".into(), "kafka.Kafka server.properties\0".into()));
}

#[test]
fn the_file_goes_with_its_process() {
    let file = JvmstatFile::create("kafka.Kafka server.properties").expect("creates the file");
    let path = file.path.clone();
    assert!(path.exists());
    drop(file);
    assert!(!path.exists());
}
