//! kafka-topics and the admin client against a broker of ours.

use ottla::cli::Io;
use ottla::client::admin::{Admin, ConfigResource, OffsetSpec};
use ottla::config::Properties;
use ottla::wire::{ErrorCode, TopicPartition};

use crate::broker::TestBroker;

/// Runs kafka-topics on a thread of its own, as a process would, and returns whether it exited with 0, and stdout
/// with the topic ids taken out.
async fn topics(broker: &TestBroker, line: &str) -> (bool, String) {
    let line = format!("--bootstrap-server {} {line}", broker.address());
    let run = move || {
        let args = line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let mut io = Io::plain(&mut stdout, &mut stderr);
        let code = ottla::cli::topics::run(&args, &mut io).unwrap();
        (code == std::process::ExitCode::SUCCESS, String::from_utf8(stdout).unwrap())
    };
    let (succeeded, text) = tokio::task::spawn_blocking(run).await.unwrap();
    let ids = regex::Regex::new("TopicId: [A-Za-z0-9_-]{22}").unwrap();
    (succeeded, ids.replace_all(&text, "TopicId: <id>").into_owned())
}

fn ok(text: &str) -> (bool, String) {
    (true, text.to_owned())
}

fn failed(message: &str) -> (bool, String) {
    (false, format!("Error while executing topic command : {message}\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_is_created_described_grown_and_deleted() {
    let broker = TestBroker::start().await;
    let created = topics(&broker, "--create --topic first --partitions 2 --config retention.ms=1000").await;
    assert_eq!(created, ok("Created topic first.\n"));
    let line = |partition: i32| {
        format!("\tTopic: first\tPartition: {partition}\tLeader: 0\tReplicas: 0\tIsr: 0\tElr: N/A\tLastKnownElr: N/A\n")
    };
    let header = |count: i32| {
        format!(
            "Topic: first\tTopicId: <id>\tPartitionCount: {count}\tReplicationFactor: 1\tConfigs: retention.ms=1000\n"
        )
    };
    assert_eq!(topics(&broker, "--describe --topic first").await, ok(&(header(2) + &line(0) + &line(1))));
    assert_eq!(topics(&broker, "--describe --topics-with-overrides").await, ok(&header(2)));
    assert_eq!(topics(&broker, "--describe --under-min-isr-partitions").await, ok(""));
    assert_eq!(topics(&broker, "--create --topic first").await, failed("Topic 'first' already exists."));
    assert_eq!(topics(&broker, "--create --topic first --if-not-exists").await, ok(""));

    assert_eq!(topics(&broker, "--alter --topic first --partitions 3").await, ok(""));
    let grown = topics(&broker, "--describe --at-min-isr-partitions --topic first").await;
    assert_eq!(grown, ok(&(line(0) + &line(1) + &line(2))));
    let fewer = "Topic currently has 3 partitions, which is higher than the requested 1.";
    assert_eq!(topics(&broker, "--alter --topic first --partitions 1").await, failed(fewer));

    assert_eq!(topics(&broker, "--list --topic fir.*").await, ok("first\n"));
    assert_eq!(topics(&broker, "--delete --topic first").await, ok(""));
    assert_eq!(topics(&broker, "--list").await, ok("\n"));
    let missing = failed("Topic 'first' does not exist as expected");
    assert_eq!(topics(&broker, "--describe --topic first").await, missing);
    assert_eq!(topics(&broker, "--delete --topic first").await, missing);
    assert_eq!(topics(&broker, "--delete --topic first --if-exists").await, ok(""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_topic_cannot_be_is_said_in_the_brokers_words() {
    let broker = TestBroker::start().await;
    for (line, expected) in [
        ("--topic t --replication-factor 3", "Replication factor: 3 larger than available brokers: 1."),
        ("--topic t --config no.such.config=1", "Unknown topic config name: no.such.config"),
        (
            "--topic ..x/y",
            "Topic name is invalid: '..x/y' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'",
        ),
        ("--topic t --partitions 0", "The partitions must be greater than 0"),
    ] {
        let (succeeded, text) = topics(&broker, &format!("--create {line}")).await;
        assert!(!succeeded && text.ends_with(&failed(expected).1), "{line}: {text}");
    }
    assert_eq!(topics(&broker, "--list").await, ok("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_admin_client_lists_offsets_and_keeps_a_groups_positions() {
    let broker = TestBroker::start_with(&[("offsets.topic.replication.factor", "1")]).await;
    topics(&broker, "--create --topic t --partitions 2").await;
    let address = broker.address();
    let work = move || {
        let admin = Admin::new(&Properties::new(), Some(&address)).unwrap();
        let tp = |partition| TopicPartition::new("t", partition);
        let offsets = admin.list_offsets(&[(tp(0), OffsetSpec::Latest), (tp(1), OffsetSpec::Earliest)], false);
        assert_eq!(offsets.iter().map(|(_, found)| found.as_ref().unwrap().offset).collect::<Vec<_>>(), [0, 0]);
        let deleted = admin.delete_records(&[(tp(0), -1), (tp(1), 5)]);
        assert_eq!(*deleted[0].1.as_ref().unwrap(), 0);
        assert_eq!(deleted[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::OFFSET_OUT_OF_RANGE));

        let altered = admin.alter_group_offsets("g", &[(tp(0), 7), (tp(1), 8)]).unwrap();
        assert!(altered.iter().all(|(_, result)| result.is_ok()), "{altered:?}");
        let deleted = admin.delete_group_offsets("g", &[tp(1)]).unwrap();
        assert!(deleted.iter().all(|(_, result)| result.is_ok()), "{deleted:?}");
        let left = admin.list_group_offsets("g", None).unwrap();
        let left = left.iter().map(|(partition, found)| (partition.clone(), found.as_ref().unwrap().offset));
        assert_eq!(left.collect::<Vec<_>>(), [(tp(0), 7)]);
        let groups = admin.list_groups(&[], &[]).unwrap();
        assert_eq!(groups.iter().map(|group| group.as_ref().unwrap().group_id.as_str()).collect::<Vec<_>>(), ["g"]);
        let described = admin.describe_groups(&["g".to_owned(), "none".to_owned()]);
        let states = described.iter().map(|(_, group)| group.as_ref().unwrap().state.as_str());
        assert_eq!(states.collect::<Vec<_>>(), ["Empty", "Dead"]);
        let deleted = admin.delete_groups(&["g".to_owned(), "none".to_owned()]);
        assert!(deleted[0].1.is_ok());
        assert_eq!(deleted[1].1.as_ref().unwrap_err().code(), Some(ErrorCode::GROUP_ID_NOT_FOUND));

        let configs = admin.describe_configs(&[ConfigResource::topic("t")], true).unwrap();
        let retention = configs[0].1.as_ref().unwrap().iter().find(|entry| entry.name == "retention.ms").unwrap();
        assert!(retention.is_default() && retention.value.as_deref() == Some("604800000"), "{retention:?}");
        assert_eq!(admin.describe_cluster().unwrap().controller_id, Some(0));
    };
    tokio::task::spawn_blocking(work).await.unwrap();
}
