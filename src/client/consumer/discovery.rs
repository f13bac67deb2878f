//! Which topics and partitions there are to consume: asked in a thread of its own, because the call blocks, and
//! told to the consumer through a channel and its queue's wake-up.
//!
//! Asking before anything is assigned is also what makes the start quick: librdkafka takes half a second to fetch
//! from a partition of which it has no metadata yet (measured).

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use super::native::{Client, NO_ERROR, Queue, TopicMetadata};
use crate::client::topic_filter::TopicFilter;

/// What the user wants to read.
#[derive(Debug, Clone)]
pub(super) enum Wanted {
    Topic(String),
    Matching(TopicFilter),
}

/// An answer of the cluster, or that there was none: why is in librdkafka's log.
#[derive(Debug)]
pub(super) enum Discovered {
    /// The wanted topics; `complete` is false while one of them is missing or has no leader yet.
    Topics {
        topics: Vec<TopicMetadata>,
        complete: bool,
    },
    Failed,
}

/// How long one question may take: Java's `request.timeout.ms`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Java's `retry.backoff.ms` and `retry.backoff.max.ms`.
const RETRY_BACKOFF: Duration = Duration::from_millis(100);
const RETRY_BACKOFF_MAX: Duration = Duration::from_secs(1);

/// Starts asking: until the topics are there, then every `refresh` (`metadata.max.age.ms`) for new ones.
pub(super) fn start(client: Arc<Client>, queue: Arc<Queue>, wanted: Wanted, refresh: Duration) -> Receiver<Discovered> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || run(&client, &queue, &wanted, refresh, &sender));
    receiver
}

fn run(client: &Client, queue: &Queue, wanted: &Wanted, refresh: Duration, sender: &Sender<Discovered>) {
    let mut backoff = RETRY_BACKOFF;
    loop {
        let discovered = ask(client, wanted);
        let complete = matches!(discovered, Discovered::Topics { complete: true, .. });
        if sender.send(discovered).is_err() {
            return;
        }
        queue.wake();
        if complete {
            backoff = RETRY_BACKOFF;
            thread::sleep(refresh);
        } else {
            thread::sleep(backoff);
            backoff = (backoff * 2).min(RETRY_BACKOFF_MAX);
        }
    }
}

fn ask(client: &Client, wanted: &Wanted) -> Discovered {
    let answer = match wanted {
        Wanted::Topic(name) => match client.topic(name) {
            Some(topic) => client.metadata(Some(&topic), ANSWER_TIMEOUT),
            None => return Discovered::Failed,
        },
        Wanted::Matching(_) => client.metadata(None, ANSWER_TIMEOUT),
    };
    match answer {
        Err(_) => Discovered::Failed,
        Ok(mut topics) => {
            if let Wanted::Matching(filter) = wanted {
                // A topic on its way out is listed with an error; it is not wanted any more.
                topics.retain(|topic| topic.error == NO_ERROR && filter.allows(&topic.name));
            }
            let complete = topics.iter().all(|topic| topic.error == NO_ERROR && topic.complete);
            Discovered::Topics { topics, complete }
        }
    }
}
