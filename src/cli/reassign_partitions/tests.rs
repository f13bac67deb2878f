use super::*;
use plan::{format, parse_brokers, parse_topics};
use throttles::{moves, throttled_replicas};

fn run_with(args: &[&str]) -> (String, String) {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut io = Io::plain(&mut out, &mut err);
    if let Err(error) = run(&args, &mut io) {
        error.report(&TABLE, &[], &mut io);
    }
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn message<T: fmt::Debug>(result: Result<T, Failure>) -> String {
    match result.unwrap_err() {
        Failure::Error { message, .. } | Failure::Expected(message) => message,
        Failure::Output(error) => panic!("{error}"),
    }
}

fn partition(name: &str) -> TopicPartition {
    let (topic, id) = name.rsplit_once('-').unwrap();
    TopicPartition::new(topic, id.parse().unwrap())
}

#[test]
fn a_command_line_is_refused_in_apaches_words() {
    let first_line = |args: &[&str]| run_with(args).1.lines().next().unwrap_or_default().to_owned();
    let with = |more: &[&'static str]| first_line(&[&["--bootstrap-server", "h:1"], more].concat());
    assert_eq!(first_line(&[]), "This tool helps to move topic partitions between replicas.");
    let one = "Command must include exactly one action: --generate, --execute, --verify, --cancel, --list";
    assert_eq!(with(&["--broker-list", "1"]), one);
    assert_eq!(with(&["--list", "--cancel"]), one);
    assert_eq!(first_line(&["--list"]), "Please specify --bootstrap-server");
    assert_eq!(first_line(&["--zookeeper", "h:1", "--list"]), "Missing required argument \"[bootstrap-server]\"");
    let zookeeper = "Option \"[zookeeper]\" can't be used with action \"[list]\"";
    assert_eq!(with(&["--zookeeper", "h:1", "--list"]), zookeeper);
    assert_eq!(with(&["--generate"]), "Missing required argument \"[topics-to-move-json-file]\"");
    assert_eq!(with(&["--execute"]), "Missing required argument \"[reassignment-json-file]\"");
    assert_eq!(with(&["--list", "--additional"]), "Option \"[additional]\" can't be used with action \"[list]\"");
    let verify = ["--verify", "--reassignment-json-file", "f", "--throttle", "1"];
    assert_eq!(with(&verify), "Option \"[throttle]\" can't be used with action \"[verify]\"");
    let bogus = "Exception in thread \"main\" joptsimple.UnrecognizedOptionException: bogus is not a recognized option";
    assert_eq!(first_line(&["--bogus"]), bogus);
}

#[test]
fn what_fails_while_running_is_told_on_stdout() {
    let file = ["--bootstrap-server", "127.0.0.1:1", "--verify", "--reassignment-json-file", "nowhere.json"];
    let expected = "Error: Unable to read file nowhere.json\njava.io.IOException: Unable to read file nowhere.json\n\
                    Caused by: java.nio.file.NoSuchFileException: nowhere.json\n\n";
    assert_eq!(run_with(&file), (expected.to_owned(), String::new()));
}

#[test]
fn a_plan_is_read_from_its_file() {
    let text = r#"{"version":1,"partitions":[
        {"topic":"t","partition":1,"replicas":[2,1],"log_dirs":["any","/d"]},
        {"topic":"t","partition":0,"replicas":[1]}]}"#;
    let plan = Plan::parse_to_execute(text).unwrap();
    assert_eq!(plan.partitions, [(partition("t-1"), vec![2, 1]), (partition("t-0"), vec![1])]);
    let replica = Replica { broker: 1, partition: partition("t-1") };
    assert_eq!(plan.log_dirs, BTreeMap::from([(replica, "/d".to_owned())]));
    let row = |more: &str| format!(r#"{{"partitions":[{{"topic":"t","partition":0,{more}}}]}}"#);
    for (text, expected) in [
        ("{}".to_owned(), "Partition reassignment list cannot be empty"),
        (row(r#""replicas":[]"#), "Partition replica list cannot be empty"),
        (
            row(r#""replicas":[1]},{"topic":"t","partition":0,"replicas":[2]"#),
            "Partition reassignment contains duplicate topic partitions: t-0",
        ),
        (
            row(r#""replicas":[1,1]"#),
            "Partition replica lists may not contain duplicate entries: t-0 contains multiple entries for 1",
        ),
        (
            row(r#""replicas":[1,2],"log_dirs":["any"]"#),
            "Size of replicas list [1, 2] is different from size of log dirs list [any] for partition t-0",
        ),
        (r#"{"version":2,"partitions":[]}"#.to_owned(), "Not supported version field value 2"),
        (row(r#""replicas":"x""#), "The input string is not a valid JSON: replicas is missing or not of its type"),
        (
            "{\"version\":1,\n".to_owned(),
            "Unexpected end-of-input within/between Object entries\n at [Source: REDACTED \
             (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled); line: 2, column: 1]",
        ),
    ] {
        assert_eq!(message(Plan::parse_to_execute(&text)), expected);
    }
}

#[test]
fn topics_and_brokers_of_a_generated_plan_come_once() {
    assert_eq!(parse_topics(r#"{"topics":[{"topic":"a"},{"topic":"b"}],"version":1}"#).unwrap(), ["a", "b"]);
    assert_eq!(
        message(parse_topics(r#"{"topics":[{"topic":"a"},{"topic":"a"}]}"#)),
        "List of topics to reassign contains duplicate entries: [a]"
    );
    assert_eq!(parse_brokers("2,0").unwrap(), [2, 0]);
    assert_eq!(message(parse_brokers("1,0,1")), "Broker list contains duplicate entries: [1]");
    assert_eq!(message(parse_brokers("1,x")), "For input string: \"x\"");
}

#[test]
fn an_assignment_is_printed_in_the_form_of_the_file() {
    let assignment = Assignment::from([(partition("t-10"), vec![0, 1]), (partition("t-9"), vec![2])]);
    let text = format(&assignment);
    assert_eq!(
        text,
        r#"{"version":1,"partitions":[{"topic":"t","partition":9,"replicas":[2],"log_dirs":["any"]},{"topic":"t","partition":10,"replicas":[0,1],"log_dirs":["any","any"]}]}"#
    );
    assert_eq!(Plan::parse_to_execute(&text).unwrap().partitions, assignment.into_iter().collect::<Vec<_>>());
}

#[test]
fn throttles_are_for_what_moves_and_for_what_moves_already() {
    let plan = Plan::parse(r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1,2]}]}"#).unwrap();
    let under_way = [PartitionReassignment {
        partition: partition("t-0"),
        replicas: vec![1, 2, 0],
        adding_replicas: vec![1, 2],
        removing_replicas: vec![0],
    }];
    let current = Assignment::from([(partition("t-0"), vec![0])]);
    let sides = |moves| {
        throttled_replicas(&moves).into_iter().map(|(topic, sides)| (topic.to_owned(), sides)).collect::<Vec<_>>()
    };
    let expected = [("t".to_owned(), ["0:0".to_owned(), "0:1,0:2".to_owned()])];
    assert_eq!(sides(moves(&[], &plan, &current)), expected);
    // While it is under way its replicas are the targets and the old one.
    let current = Assignment::from([(partition("t-0"), vec![1, 2, 0])]);
    assert_eq!(sides(moves(&under_way, &plan, &current)), expected);
    let other = Plan::parse(r#"{"partitions":[{"topic":"u","partition":3,"replicas":[4]}]}"#).unwrap();
    let current = Assignment::from([(partition("u-3"), vec![4, 5])]);
    let both = sides(moves(&under_way, &other, &current));
    assert_eq!(both[0], expected[0]);
    assert_eq!(both[1], ("u".to_owned(), ["3:4,3:5".to_owned(), String::new()]));
}

#[test]
fn a_move_between_log_dirs_is_told_by_where_the_replica_is() {
    let dirs = |current: Option<&str>, future: Option<&str>| ReplicaLogDirs {
        current: current.map(str::to_owned),
        future: future.map(str::to_owned),
    };
    for (found, active, expected) in [
        (None, false, "Partition t-0 cannot be found in any live log directory on broker 1."),
        (
            Some(dirs(None, None)),
            false,
            "Partition t-0 is not found in any live log dir on broker 1. There is likely an offline log directory on the broker.",
        ),
        (Some(dirs(Some("/a"), None)), false, "Partition t-0 on broker 1 is not being moved from log dir /a to /b."),
        (Some(dirs(Some("/b"), None)), false, "Reassignment of replica t-0-1 completed successfully."),
        (Some(dirs(Some("/a"), Some("/b"))), true, "Reassignment of replica t-0-1 is still in progress."),
        (
            Some(dirs(Some("/a"), Some("/c"))),
            true,
            "Partition t-0 on broker 1 is being moved to log dir /c instead of /b.",
        ),
    ] {
        let replica = Replica { broker: 1, partition: partition("t-0") };
        let found = LogDirMove { replica, target: "/b".to_owned(), found };
        assert_eq!((found.is_active(), found.told().as_str()), (active, expected));
    }
}
