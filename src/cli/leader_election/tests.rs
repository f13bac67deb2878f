use super::*;

fn run_with(args: &[&str]) -> (String, String) {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut io = Io::plain(&mut out, &mut err);
    if let Err(error) = run(&args, &mut io) {
        error.report(&TABLE, &[], &mut io);
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn a_command_line_is_refused_in_apaches_words() {
    let base = ["--bootstrap-server", "h:1", "--election-type", "preferred"];
    let first_line = |args: &[&str]| run_with(args).1.lines().next().unwrap_or_default().to_owned();
    let with = |more: &[&'static str]| first_line(&[&base, more].concat());
    assert!(first_line(&[]).starts_with("This tool attempts to elect a new leader"));
    assert_eq!(first_line(&["--topic", "t"]), "Missing required option(s): bootstrap-server, election-type");
    let one = "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file";
    assert_eq!(with(&[]), one);
    assert_eq!(with(&["--topic", "t", "--all-topic-partitions"]), one);
    assert_eq!(with(&["--topic", "t"]), "Missing required option(s): partition");
    let only = "Option partition is only allowed if topic is used";
    assert_eq!(with(&["--all-topic-partitions", "--partition", "1"]), only);
    let bad = ["--bootstrap-server", "h:1", "--election-type", "best", "--all-topic-partitions"];
    assert_eq!(first_line(&bad), "Cannot parse argument 'best' of option election-type");
    assert_eq!(with(&["--path-to-json-file", "no/such/file"]), "no/such/file");
    assert_eq!(first_line(&["--bogus"]), "bogus is not a recognized option");
}

#[test]
fn the_file_lists_partitions() {
    let error = |text: &str| parse(text).unwrap_err().to_string().lines().next().unwrap().to_owned();
    let parsed = parse(r#"{"partitions":[{"topic":"t","partition":1},{"topic":"t","partition":0}]}"#).unwrap();
    assert_eq!(parsed, [TopicPartition::new("t", 1), TopicPartition::new("t", 0)]);
    assert_eq!(error("{}"), "Replica election data is missing \"partitions\" field");
    assert_eq!(error(r#"{"partitions":[]}"#), "Replica election data is empty");
    let twice = r#"{"partitions":[{"topic":"t","partition":0},{"topic":"t","partition":0}]}"#;
    assert_eq!(error(twice), "Replica election data contains duplicate partitions: [t-0]");
    for broken in ["", "[", r#"{"partitions":1}"#, r#"{"partitions":[{"topic":"t"}]}"#] {
        assert!(error(broken).starts_with("Replica election data"), "{broken}");
    }
}

#[test]
fn results_are_told_by_kind_and_in_javas_order() {
    let refused = |code: ErrorCode| Err(admin::Error::api(code, None));
    let results = vec![
        (TopicPartition::new("le", 0), refused(ErrorCode::ELECTION_NOT_NEEDED)),
        (TopicPartition::new("le", 1), refused(ErrorCode::ELECTION_NOT_NEEDED)),
        (TopicPartition::new("le", 2), Ok(())),
        (TopicPartition::new("le", 7), refused(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
    ];
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut io = Io::plain(&mut out, &mut err);
    let ended = tell(ElectionType::Unclean, results, &mut io).unwrap_err().to_string();
    let class = "org.apache.kafka.common.errors.UnknownTopicOrPartitionException";
    let text = ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.message();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            "Successfully completed leader election (UNCLEAN) for partitions le-2\n\
             Valid replica already elected for partitions le-1, le-0\n\
             Error completing leader election (UNCLEAN) for partition: le-7: {class}: {text}\n"
        )
    );
    assert!(ended.starts_with("1 replica(s) could not be elected\norg.apache.kafka.server.common."), "{ended}");
}
