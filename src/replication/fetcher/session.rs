//! The fetching end of a fetch session (KIP-227): names to the leader only what has changed since the last request,
//! and counts the requests. A value.
//!
//! Source: `FetchSessionHandler`.

use std::collections::BTreeMap;

use crate::wire::messages::fetch::{FetchPartition, FetchTopic, ForgottenTopic};
use crate::wire::messages::{FetchRequest, FetchResponse};
use crate::wire::{ErrorCode, TopicPartition, Uuid};

/// No session, as an id; the first request of one, as an epoch.
const NONE: i32 = 0;

/// What is asked of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub topic_id: Uuid,
    pub leader_epoch: i32,
    pub fetch_offset: i64,
    /// -1: the log is empty, or knows no epochs.
    pub last_fetched_epoch: i32,
    pub log_start_offset: i64,
    pub max_bytes: i32,
}

/// The session with one leader.
#[derive(Debug, Default)]
pub(super) struct Session {
    id: i32,
    epoch: i32,
    uses_ids: bool,
    asked: BTreeMap<TopicPartition, Asked>,
}

impl Session {
    /// The partitions part of a request that asks for `wanted`.
    pub fn ask(&mut self, wanted: BTreeMap<TopicPartition, Asked>, uses_ids: bool) -> FetchRequest {
        if self.uses_ids != uses_ids {
            // A session speaks of topics by name or by id, not by both.
            self.begin_again();
        }
        self.uses_ids = uses_ids;
        let mut request = FetchRequest { session_id: self.id, session_epoch: self.epoch, ..FetchRequest::default() };
        let is_new =
            |partition: &TopicPartition, asked: &Asked| self.epoch == NONE || self.asked.get(partition) != Some(asked);
        for (partition, asked) in wanted.iter().filter(|(partition, asked)| is_new(partition, asked)) {
            ask_for(&mut request.topics, partition, asked);
        }
        if self.epoch != NONE {
            for (partition, asked) in &self.asked {
                // A topic made anew under its old name has another id: the session must forget the old one.
                let is_kept = wanted.get(partition).is_some_and(|now| now.topic_id == asked.topic_id);
                if !is_kept {
                    forget(&mut request.forgotten_topics_data, partition, asked.topic_id);
                }
            }
        }
        self.asked = wanted;
        request
    }

    /// What was last asked of a partition.
    pub fn asked(&self, partition: &TopicPartition) -> Option<&Asked> {
        self.asked.get(partition)
    }

    /// Takes the head of an answer. False: it has no partitions, the request has to be made again.
    pub fn answered(&mut self, response: &FetchResponse) -> bool {
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => {}
            ErrorCode::FETCH_SESSION_ID_NOT_FOUND => {
                (self.id, self.epoch) = (NONE, NONE);
                return false;
            }
            _ => {
                self.begin_again();
                return false;
            }
        }
        if response.session_id == NONE {
            (self.id, self.epoch) = (NONE, NONE);
        } else {
            self.id = response.session_id;
            self.epoch = self.epoch.checked_add(1).unwrap_or(1);
        }
        true
    }

    /// The next request ends this session and begins a new one: what the leader made of the last is not known.
    pub fn begin_again(&mut self) {
        self.epoch = NONE;
    }
}

fn ask_for(topics: &mut Vec<FetchTopic>, partition: &TopicPartition, asked: &Asked) {
    let fetch = FetchPartition {
        partition: partition.partition,
        current_leader_epoch: asked.leader_epoch,
        fetch_offset: asked.fetch_offset,
        last_fetched_epoch: asked.last_fetched_epoch,
        log_start_offset: asked.log_start_offset,
        partition_max_bytes: asked.max_bytes,
        ..FetchPartition::default()
    };
    match topics.last_mut() {
        Some(last) if *last.topic == *partition.topic => last.partitions.push(fetch),
        _ => topics.push(FetchTopic {
            topic: partition.topic.to_string(),
            topic_id: asked.topic_id,
            partitions: vec![fetch],
        }),
    }
}

fn forget(topics: &mut Vec<ForgottenTopic>, partition: &TopicPartition, topic_id: Uuid) {
    match topics.last_mut() {
        Some(last) if *last.topic == *partition.topic && last.topic_id == topic_id => {
            last.partitions.push(partition.partition);
        }
        _ => topics.push(ForgottenTopic {
            topic: partition.topic.to_string(),
            topic_id,
            partitions: vec![partition.partition],
        }),
    }
}
