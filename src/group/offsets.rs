//! What a group has committed: an offset per partition, those of open transactions beside them, and when they expire.
//!
//! Every change has the number of the append that it came with, so that what is applied late (the followers of one
//! append were slower than those of the next) does not undo what is newer.

use std::collections::BTreeMap;

use super::records::{OffsetAndMetadata, Record};
use crate::wire::TopicPartition;

/// The number of an append: larger is later in the log.
pub type Sequence = u64;

/// The offsets of one group.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    committed: BTreeMap<TopicPartition, Committed>,
    /// Offsets of transactions that have not ended yet, by producer id.
    pending: BTreeMap<i64, BTreeMap<TopicPartition, Committed>>,
}

#[derive(Clone, Debug)]
struct Committed {
    value: OffsetAndMetadata,
    sequence: Sequence,
}

/// From when on the time of an offset without a time of its own runs (KIP-211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Since it was committed: nobody was ever a member, or no member reads the topic any more.
    SinceCommit,
    /// Since the group became empty, ms since 1970; or it was committed, if that was later.
    SinceEmpty(i64),
    Never,
}

impl Offsets {
    pub fn get(&self, partition: &TopicPartition) -> Option<&OffsetAndMetadata> {
        self.committed.get(partition).map(|committed| &committed.value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &OffsetAndMetadata)> {
        self.committed.iter().map(|(partition, committed)| (partition, &committed.value))
    }

    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.committed.keys()
    }

    /// Whether there is nothing, not even of an open transaction.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.is_empty()
    }

    /// Applies an offset that is in the log; None deletes it.
    pub fn replay(&mut self, sequence: Sequence, partition: TopicPartition, value: Option<OffsetAndMetadata>) {
        if self.committed.get(&partition).is_some_and(|committed| committed.sequence > sequence) {
            return;
        }
        match value {
            Some(value) => self.committed.insert(partition, Committed { value, sequence }),
            None => self.committed.remove(&partition),
        };
    }

    /// Applies an offset that is in the log as part of a transaction: it counts when the transaction commits.
    pub fn replay_pending(
        &mut self,
        sequence: Sequence,
        producer_id: i64,
        partition: TopicPartition,
        value: OffsetAndMetadata,
    ) {
        self.pending.entry(producer_id).or_default().insert(partition, Committed { value, sequence });
    }

    /// Takes back what an append that was refused had made pending.
    pub fn forget_pending(&mut self, sequence: Sequence, producer_id: i64) {
        let Some(pending) = self.pending.get_mut(&producer_id) else { return };
        pending.retain(|_, offset| offset.sequence != sequence);
        if pending.is_empty() {
            self.pending.remove(&producer_id);
        }
    }

    /// Applies the marker that ends a producer's transaction.
    pub fn replay_transaction_end(&mut self, producer_id: i64, committed: bool) {
        let ended = self.pending.remove(&producer_id).unwrap_or_default();
        if committed {
            for (partition, Committed { value, sequence }) in ended {
                self.replay(sequence, partition, Some(value));
            }
        }
    }

    /// The partitions whose offset a transaction that has not ended would move (KIP-447).
    pub fn unstable(&self) -> impl Iterator<Item = &TopicPartition> {
        self.pending.values().flat_map(BTreeMap::keys)
    }

    /// Whether a transaction that has not ended would move this offset.
    pub fn is_unstable(&self, partition: &TopicPartition) -> bool {
        self.pending.values().any(|pending| pending.contains_key(partition))
    }

    /// The partitions whose offsets have outlived `retention_ms` (`offsets.retention.minutes`), or the time that their
    /// commit gave them. Those of topics that a member reads have not.
    ///
    /// In a group that is empty for long, an offset that was committed lately (a reset by hand) stays: Apache's
    /// broker deletes it with the others.
    pub fn expired(
        &self,
        expiry: Expiry,
        is_subscribed_to: impl Fn(&str) -> bool,
        retention_ms: i64,
        now_ms: i64,
    ) -> Vec<TopicPartition> {
        let is_due = |since_ms: i64| now_ms.saturating_sub(since_ms) >= retention_ms;
        let expired = self.iter().filter(|(partition, offset)| {
            let by_age = match (offset.expire_timestamp, expiry) {
                (_, Expiry::Never) => false,
                (Some(expire_timestamp), _) => now_ms >= expire_timestamp,
                (None, Expiry::SinceCommit) => is_due(offset.commit_timestamp),
                (None, Expiry::SinceEmpty(since_ms)) => is_due(since_ms.max(offset.commit_timestamp)),
            };
            by_age && !self.is_unstable(partition) && !is_subscribed_to(&partition.topic)
        });
        expired.map(|(partition, _)| partition.clone()).collect()
    }

    /// The records that delete all of it.
    pub fn tombstones(&self, group_id: &str) -> impl Iterator<Item = Record> {
        self.partitions().map(move |partition| tombstone(group_id, partition))
    }
}

/// The record that deletes an offset.
pub fn tombstone(group_id: &str, partition: &TopicPartition) -> Record {
    Record::Offset { group_id: group_id.to_owned(), partition: partition.clone(), value: None }
}

#[cfg(test)]
mod tests;
