use std::collections::BTreeSet;

use super::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const REFRESH: &str = "run: cargo run --bin ottla -- generate .";

#[test]
fn what_is_committed_is_what_the_command_table_makes() {
    let files = files();
    for (path, text) in &files {
        let committed = fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_default();
        assert!(committed == *text, "{path} is out of date; {REFRESH}");
    }
    let made: BTreeSet<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    for dir in ["completions/bash", "completions/zsh", "completions/fish", "man"] {
        for entry in fs::read_dir(Path::new(ROOT).join(dir)).unwrap() {
            let path = format!("{dir}/{}", entry.unwrap().file_name().to_string_lossy());
            assert!(made.contains(path.as_str()), "{path} belongs to no command");
        }
    }
}

#[test]
fn values_are_completed_by_their_kind() {
    let value = |name, takes| value_of(&Opt { takes, ..Opt::flag(name, "1", "") });
    let text = Takes::Value("String: x");
    assert_eq!(value("topic", text), Value::Topic);
    assert_eq!(value("list", Takes::Nothing), Value::Nothing);
    assert_eq!(value("command-config", text), Value::File);
    assert_eq!(value("producer.config", text), Value::File);
    assert_eq!(value("delete-config", text), Value::Other);
    assert_eq!(value("config", text), Value::Other);
    assert_eq!(value("group", text), Value::Other);
}
