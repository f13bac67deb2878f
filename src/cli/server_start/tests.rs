use super::*;

fn read(properties: &str, options: &str) -> Result<Start, Refusal> {
    let dir = tempfile::tempdir().expect("makes a directory");
    let file = dir.path().join("s.properties");
    fs::write(&file, properties).expect("writes");
    let mut args = vec![file.display().to_string()];
    args.extend(options.split_whitespace().map(str::to_owned));
    Start::read(&args)
}

#[track_caller]
fn refused(properties: &str, options: &str, expected: &str) {
    match read(properties, options) {
        Ok(_) => panic!("was accepted"),
        Err(Refusal::Usage(text) | Refusal::Exception(text)) => {
            assert!(text.starts_with(expected), "{text:?} does not begin with {expected:?}");
        }
    }
}

#[test]
fn overrides_win_and_may_be_repeated() {
    let start =
        read("broker.id=1\n", "--override broker.id=2 --override=num.partitions=3 -override message.max.bytes=4");
    let config = start.unwrap_or_else(|_| panic!("is accepted")).config;
    assert_eq!((config.broker_id, config.num_partitions, config.message_max_bytes), (2, 3, 4));
}

#[test]
fn what_is_wrong_is_told_as_apache_tells_it() {
    refused("", "stray", "Found non argument parameters: stray");
    refused(
        "",
        "--override",
        "joptsimple.OptionMissingRequiredArgumentException: Option override requires an argument",
    );
    refused("", "--bogus x", "joptsimple.UnrecognizedOptionException: bogus is not a recognized option");
    refused("", "-daemon", "joptsimple.UnrecognizedOptionException: d is not a recognized option");
    refused(
        "",
        "--override log.retention.hours=abc",
        "org.apache.kafka.common.config.ConfigException: \
         Invalid value abc for configuration log.retention.hours: Not a number of type INT",
    );
    refused(
        "listeners=FOO://:1\n",
        "",
        "java.lang.IllegalArgumentException: Error creating broker listeners from 'FOO://:1': \
         No security protocol defined for listener FOO",
    );
    let nosuch = Start::read(&["nosuch.properties".to_owned()]);
    assert!(
        matches!(nosuch, Err(Refusal::Exception(text)) if text == "java.nio.file.NoSuchFileException: nosuch.properties")
    );
}

#[test]
fn the_stock_file_is_accepted_without_a_warning() {
    let stock = include_str!("../../../config/server.properties");
    let config = read(stock, "").unwrap_or_else(|_| panic!("is accepted")).config;
    assert_eq!(config.warnings(), &[] as &[String]);
    assert_eq!((config.broker_id, config.registry_listener.as_str()), (0, "127.0.0.1:2181"));
    assert_eq!(config.zookeeper_connect, None);
}

#[test]
fn a_ready_file_appears_whole() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let file = dir.path().join("ready");
    write_whole(&file, "127.0.0.1:9092\n").expect("writes");
    assert_eq!(fs::read_to_string(&file).expect("reads"), "127.0.0.1:9092\n");
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
}
