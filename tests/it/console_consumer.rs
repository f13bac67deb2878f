//! `kafka-console-consumer` as a process, against a broker and a registry of ours.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use ottla::network::Peer;
use ottla::registry::Session;

use crate::broker::*;

/// What a step may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-console-consumer"));
    command.args(args).stdin(Stdio::null());
    command
}

async fn output(args: &[&str]) -> Output {
    let mut command = command(args);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A consumer in the background whose lines are read as they come.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(args: &[&str]) -> Running {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || stdout.lines().map_while(Result::ok).for_each(|line| sender.send(line).unwrap_or(())));
        Running { child, lines }
    }

    /// The next `count` lines, sorted.
    fn lines(&self, count: usize) -> Vec<String> {
        let mut lines: Vec<String> = (0..count).map(|_| self.lines.recv_timeout(PATIENCE).unwrap()).collect();
        lines.sort();
        lines
    }

    /// Ends it by SIGTERM; returns the exit code.
    fn stop(mut self) -> Option<i32> {
        // SAFETY: the child is ours and was not waited for, so that its id is still its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn produce_to(peer: &Peer, topic: &str, partition: i32, values: &[&str]) {
    let answer = peer.call(&produce_request(topic, partition, -1, batch(values)), 9).await.unwrap();
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_group_none_is_joined_and_none_left_behind() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let (peer, address) = (broker.connect().await, broker.address());
    produce_to(&peer, "t", 0, &["a", "b"]).await;
    produce_to(&peer, "t", 1, &["c"]).await;
    let args = ["--bootstrap-server", &address, "--topic", "t", "--from-beginning", "--max-messages", "3"];
    let read = output(&args).await;
    let mut lines: Vec<&str> = text(&read.stdout).lines().collect();
    lines.sort_unstable();
    assert_eq!((lines, read.status.code()), (vec!["a", "b", "c"], Some(0)), "{}", text(&read.stderr));
    assert_eq!(text(&read.stderr), "Processed a total of 3 messages\n");
    let session = broker.session().await;
    let topics = session.children("/brokers/topics").await.unwrap();
    assert_eq!(topics, ["t"], "not even a coordinator was looked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_on_after_the_last_record_that_was_printed() {
    let broker = TestBroker::start_with(&[
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "2"),
        ("group.initial.rebalance.delay.ms", "0"),
    ])
    .await;
    broker.create_topic("t", 1, &[]).await;
    let (peer, address) = (broker.connect().await, broker.address());
    produce(&peer, "t", &["a", "b", "c"]).await;
    let args = ["--bootstrap-server", &address, "--topic", "t", "--group", "g", "--from-beginning", "--max-messages"];
    let first = output(&[&args[..], &["2"]].concat()).await;
    let second = output(&[&args[..], &["1"]].concat()).await;
    assert_eq!((text(&first.stdout), text(&second.stdout)), ("a\nb\n", "c\n"), "{}", text(&first.stderr));
}

/// Who owns the partitions of `t` in group `g`.
async fn owners(session: &Session) -> Vec<String> {
    let mut owners = Vec::new();
    for partition in 0..2 {
        if let Ok((data, _)) = session.get(&format!("/consumers/g/owners/t/{partition}")).await {
            owners.push(String::from_utf8_lossy(&data).into_owned());
        }
    }
    owners
}

/// Waits until both partitions have an owner, and `distinct` different ones.
async fn until_owned(session: &Session, distinct: usize) {
    let settled = async {
        loop {
            let mut owners = owners(session).await;
            let both = owners.len() == 2;
            owners.sort();
            owners.dedup();
            if both && owners.len() == distinct {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settled).await.expect("the partitions find their owners");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_of_old_share_partitions_and_hand_them_over() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 2, &[]).await;
    let (peer, session) = (broker.connect().await, broker.session().await);
    let registry = broker.broker.registry_address().unwrap().to_string();
    let args = ["--zookeeper", &registry, "--topic", "t", "--group", "g"];

    let one = Running::start(&[&args[..], &["--from-beginning"]].concat());
    until_owned(&session, 1).await;
    produce_to(&peer, "t", 0, &["a0"]).await;
    produce_to(&peer, "t", 1, &["a1"]).await;
    assert_eq!(one.lines(2), ["a0", "a1"]);

    let two = Running::start(&args);
    until_owned(&session, 2).await;
    produce_to(&peer, "t", 0, &["b0"]).await;
    produce_to(&peer, "t", 1, &["b1"]).await;
    let mut both = [one.lines(1), two.lines(1)].concat();
    both.sort();
    assert_eq!(both, ["b0", "b1"], "one each, and nothing twice");

    assert_eq!(one.stop(), Some(143));
    until_owned(&session, 1).await;
    produce_to(&peer, "t", 0, &["c0"]).await;
    produce_to(&peer, "t", 1, &["c1"]).await;
    assert_eq!(two.lines(2), ["c0", "c1"]);
    assert_eq!(two.stop(), Some(143));

    for partition in 0..2 {
        let (offset, _) = session.get(&format!("/consumers/g/offsets/t/{partition}")).await.unwrap();
        assert_eq!(text(&offset), "3");
    }
    assert!(session.children("/consumers/g/ids").await.unwrap().is_empty());
    assert!(owners(&session).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_made_up_group_of_old_leaves_nothing_behind() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let (peer, session) = (broker.connect().await, broker.session().await);
    produce(&peer, "t", &["a", "b"]).await;
    let registry = broker.broker.registry_address().unwrap().to_string();
    let read = output(&["--zookeeper", &registry, "--topic", "t", "--from-beginning", "--max-messages", "2"]).await;
    assert_eq!((text(&read.stdout), read.status.code()), ("a\nb\n", Some(0)), "{}", text(&read.stderr));
    assert!(session.children("/consumers").await.unwrap().is_empty());
}
