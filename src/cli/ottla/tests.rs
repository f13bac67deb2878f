use super::*;

#[test]
fn a_link_is_the_command_it_is_named_after() {
    let name = |program: &str| called_as(program).map(|command| command.name);
    assert_eq!(name("kafka-topics"), Some("kafka-topics"));
    assert_eq!(name("bin/kafka-topics.sh"), Some("kafka-topics"));
    assert_eq!(name("./zookeeper-server-start"), Some("zookeeper-server-start"));
    assert_eq!(name("target/release/ottla"), None);
    assert_eq!(name("topics"), None);
}

#[test]
fn a_first_argument_names_a_command_in_three_ways() {
    for word in ["topics", "kafka-topics", "kafka-topics.sh"] {
        assert_eq!(subcommand(word).map(|command| command.name), Some("kafka-topics"));
    }
    assert!(subcommand("nothing").is_none());
}

#[test]
fn links_bear_both_names_and_are_made_anew() {
    let dir = tempfile::tempdir().expect("makes a directory");
    for _ in 0..2 {
        make_links(dir.path()).expect("makes the links");
    }
    let program = std::env::current_exe().expect("has a path");
    for command in COMMANDS {
        for name in [command.name.to_owned(), format!("{}.sh", command.name)] {
            assert_eq!(fs::read_link(dir.path().join(name)).expect("is a link"), program);
        }
    }
}
