//! `kafka-console-producer` as a process, against a broker of ours.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::broker::*;

/// A file of lines is piped in; returns the size of the largest batch that arrived, in bytes.
async fn largest_batch(broker: &TestBroker, topic: &str, lines: usize) -> usize {
    let mut file = tempfile::tempfile().unwrap();
    let text: String = (0..lines).map(|line| format!("{line:0100}\n")).collect();
    file.write_all(text.as_bytes()).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kafka-console-producer"));
    command.args(["--bootstrap-server", &broker.address(), "--topic", topic]).stdin(Stdio::from(file));
    let done = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert_eq!((done.status.code(), stderr.as_ref()), (Some(0), ""));

    let peer = broker.connect().await;
    let (mut next, mut largest) = (0, 0);
    while next < lines as i64 {
        let records = fetch(&peer, topic, next).await.records.unwrap();
        let mut rest: &[u8] = &records;
        while let Ok((batch, after)) = ottla::wire::batch::Batch::split_first(rest) {
            largest = largest.max(rest.len() - after.len());
            for record in batch.records(&batch.record_data(1 << 20).unwrap()) {
                let record = record.unwrap();
                // In order, and none twice.
                assert_eq!((record.offset, record.value.unwrap()), (next, format!("{next:0100}").as_bytes()));
                next += 1;
            }
            rest = after;
        }
    }
    largest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_as_large_as_the_topic_takes() {
    let broker = TestBroker::start().await;
    broker.create_topic("plain", 1, &[]).await;
    broker.create_topic("narrow", 1, &[("max.message.bytes", "3000")]).await;
    let largest = largest_batch(&broker, "plain", 20_000).await;
    assert!(largest > 256 << 10, "{largest} bytes at most, of 2 MB of input");
    let largest = largest_batch(&broker, "narrow", 2_000).await;
    assert!((2_000..=3_000).contains(&largest), "{largest} bytes");
}
