//! Offsets: OffsetCommit, TxnOffsetCommit, OffsetFetch, OffsetDelete; and what makes them go by itself: expiry, and
//! partitions that are deleted.

use std::collections::HashSet;

use super::offsets::tombstone;
use super::records::OffsetAndMetadata;
use super::*;
use crate::wire::TopicPartition;

/// An offset to commit, as the request has it.
#[derive(Clone, Debug)]
pub struct Commit {
    pub partition: TopicPartition,
    pub value: OffsetAndMetadata,
}

/// Who commits.
#[derive(Clone, Copy, Debug)]
pub struct Committer<'a> {
    pub generation_id_or_member_epoch: i32,
    pub member_id: &'a str,
    pub group_instance_id: Option<&'a str>,
    /// The version of OffsetCommit.
    pub version: i16,
    /// Producer id and epoch of TxnOffsetCommit: the offsets count when the transaction commits.
    pub transaction: Option<(i64, i16)>,
}

/// An outcome for each partition that was asked about.
type Outcomes = Vec<(TopicPartition, ErrorCode)>;

impl GroupCoordinator {
    /// OffsetCommit: the offsets that the request may commit. The future is done when they are in the log and can be
    /// fetched, or never will be.
    pub fn commit(
        self: &Arc<Self>,
        partition: i32,
        group_id: &str,
        committer: Committer<'_>,
        commits: Vec<Commit>,
    ) -> impl Future<Output = ErrorCode> + Send + use<> {
        let begun = self.begin_commit(partition, group_id, committer, &commits);
        let (group_id, transaction) = (group_id.to_owned(), committer.transaction);
        let finished = begun.map(|begun| {
            begun.map(|(sequence, committed)| {
                self.when_committed(committed, move |this, outcome| {
                    match transaction {
                        None if outcome.is_ok() => {
                            let applied = commits.into_iter().map(|commit| (commit.partition, Some(commit.value)));
                            this.apply(partition, &group_id, sequence, applied);
                        }
                        Some((producer_id, _)) if !outcome.is_ok() => {
                            this.forget_pending(partition, &group_id, sequence, producer_id);
                        }
                        _ => {}
                    }
                    commit_error(outcome)
                })
            })
        });
        async move {
            match finished {
                Err(error) => error,
                Ok(None) => ErrorCode::NONE,
                Ok(Some(outcome)) => outcome.await,
            }
        }
    }

    fn begin_commit(
        &self,
        partition: i32,
        group_id: &str,
        committer: Committer<'_>,
        commits: &[Commit],
    ) -> Result<Option<(Sequence, CommittedFuture)>, ErrorCode> {
        let Committer { generation_id_or_member_epoch: epoch, member_id, group_instance_id, version, transaction } =
            committer;
        let mut inner = self.inner.lock();
        let sequence = inner.next_sequence();
        // A group without a name can commit and fetch, though nobody can join it.
        let owned = inner.owned_any(partition)?;
        let is_known = owned.groups.contains_key(group_id);
        if !is_known && epoch >= 0 {
            return Err(match transaction {
                Some(_) => ErrorCode::UNKNOWN_MEMBER_ID,
                None => ErrorCode::ILLEGAL_GENERATION,
            });
        }
        if !is_known {
            let group = Group::Classic(ClassicGroup::new(group_id, now_ms()));
            owned.groups.insert(group_id.to_owned(), Slot::new(group));
        }
        let Some(slot) = owned.groups.get_mut(group_id) else { return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE) };
        match &mut slot.group {
            Group::Classic(group) => {
                let is_transactional = transaction.is_some();
                match group.check_commit(epoch, member_id, group_instance_id, is_transactional, now_ms()) {
                    ErrorCode::NONE => {}
                    error => return Err(error),
                }
            }
            Group::Consumer(group) => {
                let version = transaction.is_none().then_some(version);
                group.check_commit(member_id, epoch, group_instance_id, version)?;
            }
        }
        if commits.is_empty() {
            return Ok(None);
        }
        let mut batch = self.batch();
        if let Some((producer_id, producer_epoch)) = transaction {
            batch = batch.producer(producer_id, producer_epoch, -1).transactional();
        }
        for Commit { partition, value } in commits {
            let (partition, value) = (partition.clone(), Some(value.clone()));
            append_record(&mut batch, &Record::Offset { group_id: group_id.to_owned(), partition, value })?;
        }
        if let Some((producer_id, _)) = transaction {
            // Pending from here on: the marker may come before followers have taken the batch.
            for Commit { partition, value } in commits {
                slot.offsets.replay_pending(sequence, producer_id, partition.clone(), value.clone());
            }
        }
        Ok(Some((sequence, self.log.append(partition, batch.finish()))))
    }

    /// Does what follows an append when it is committed, whether or not the client is still there to be told.
    fn when_committed<R, F>(
        self: &Arc<Self>,
        committed: CommittedFuture,
        then: F,
    ) -> impl Future<Output = R> + Send + use<R, F>
    where
        R: Send + 'static,
        F: FnOnce(&GroupCoordinator, ErrorCode) -> R + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        match poll_now(committed) {
            Ok(outcome) => drop(sender.send(then(self, outcome))),
            Err(committed) => {
                let this = self.clone();
                drop(tokio::spawn(async move {
                    let outcome = committed.await;
                    let _ = sender.send(then(&this, outcome));
                }));
            }
        }
        async move {
            match receiver.await {
                Ok(result) => result,
                // The runtime ends, and so does the connection that waits here.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// A marker has been written to this partition of `__consumer_offsets`: the producer's transaction has ended.
    pub fn transaction_ended(&self, partition: i32, producer_id: i64, committed: bool) {
        let mut inner = self.inner.lock();
        let Some(owned) = inner.partitions.get_mut(&partition) else { return };
        for slot in owned.groups.values_mut() {
            slot.offsets.replay_transaction_end(producer_id, committed);
        }
    }

    /// `offset.metadata.max.bytes`
    pub fn offset_metadata_max_bytes(&self) -> usize {
        self.config.offset_metadata_max_bytes
    }

    fn apply(
        &self,
        partition: i32,
        group_id: &str,
        sequence: Sequence,
        offsets: impl IntoIterator<Item = (TopicPartition, Option<OffsetAndMetadata>)>,
    ) {
        let mut inner = self.inner.lock();
        let Some(slot) = inner.slot(partition, group_id) else { return };
        for (partition, value) in offsets {
            slot.offsets.replay(sequence, partition, value);
        }
    }

    fn forget_pending(&self, partition: i32, group_id: &str, sequence: Sequence, producer_id: i64) {
        if let Some(slot) = self.inner.lock().slot(partition, group_id) {
            slot.offsets.forget_pending(sequence, producer_id);
        }
    }

    /// Which of these offsets an open transaction would move (OffsetFetch with require_stable, KIP-447).
    pub fn unstable_offsets(&self, partition: i32, group_id: &str) -> HashSet<TopicPartition> {
        let mut inner = self.inner.lock();
        let slot = inner.slot(partition, group_id);
        slot.map(|slot| slot.offsets.unstable().cloned().collect()).unwrap_or_default()
    }

    /// OffsetFetch: the committed offsets of these partitions, None where there is none; of all if None is asked.
    /// `member`: who asks, with its member epoch (version 9).
    ///
    /// # Errors
    /// `NOT_COORDINATOR`, `COORDINATOR_LOAD_IN_PROGRESS`; in groups of the consumer protocol `UNKNOWN_MEMBER_ID`,
    /// `STALE_MEMBER_EPOCH`.
    pub fn offsets(
        &self,
        partition: i32,
        group_id: &str,
        member: (Option<&str>, i32),
        asked: Option<&[TopicPartition]>,
    ) -> Result<Vec<(TopicPartition, Option<OffsetAndMetadata>)>, ErrorCode> {
        let mut inner = self.inner.lock();
        let slot = inner.owned_any(partition)?.groups.get(group_id);
        if let Some(Slot { group: Group::Consumer(group), .. }) = slot {
            group.check_fetch(member.0, member.1)?;
        }
        let offsets = slot.map(|slot| &slot.offsets);
        Ok(match asked {
            Some(asked) => {
                let found = |of: &TopicPartition| offsets.and_then(|offsets| offsets.get(of)).cloned();
                asked.iter().map(|of| (of.clone(), found(of))).collect()
            }
            None => {
                let all = offsets.into_iter().flat_map(|offsets| offsets.iter());
                all.map(|(of, value)| (of.clone(), Some(value.clone()))).collect()
            }
        })
    }

    /// OffsetDelete: an outcome per partition; those that a member still reads stay.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP` (not a consumer group), `NOT_COORDINATOR`, …: of the whole request.
    pub fn delete_offsets(
        self: &Arc<Self>,
        partition: i32,
        group_id: &str,
        asked: Vec<TopicPartition>,
    ) -> impl Future<Output = Result<Outcomes, ErrorCode>> + Send + use<> {
        let group_id = group_id.to_owned();
        let begun = self.begin_delete_offsets(partition, &group_id, &asked);
        let finished = begun.map(|(outcomes, sequence, committed)| {
            self.when_committed(committed, move |this, outcome| {
                let outcome = commit_error(outcome);
                if !outcome.is_ok() {
                    let all = outcomes.into_iter();
                    return all.map(|(of, error)| (of, if error.is_ok() { outcome } else { error })).collect();
                }
                let deleted = outcomes.iter().filter(|(_, error)| error.is_ok()).map(|(of, _)| (of.clone(), None));
                this.apply(partition, &group_id, sequence, deleted);
                outcomes
            })
        });
        async move { Ok(finished?.await) }
    }

    fn begin_delete_offsets(
        &self,
        partition: i32,
        group_id: &str,
        asked: &[TopicPartition],
    ) -> Result<(Outcomes, Sequence, CommittedFuture), ErrorCode> {
        let mut inner = self.inner.lock();
        let sequence = inner.next_sequence();
        let owned = inner.owned(partition, group_id)?;
        let Some(slot) = owned.groups.get(group_id) else { return Err(ErrorCode::GROUP_ID_NOT_FOUND) };
        let group = &slot.group;
        if group.has_members() && group.protocol_type() != consumer_protocol::PROTOCOL_TYPE {
            return Err(ErrorCode::NON_EMPTY_GROUP);
        }
        let outcome = |of: &TopicPartition| {
            let subscribed = group.has_members() && group.is_subscribed_to(&of.topic);
            if subscribed { ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC } else { ErrorCode::NONE }
        };
        let outcomes: Outcomes = asked.iter().map(|of| (of.clone(), outcome(of))).collect();
        let there = outcomes.iter().filter(|(of, error)| error.is_ok() && slot.offsets.get(of).is_some());
        let committed = self.append(partition, there.map(|(of, _)| tombstone(group_id, of)));
        Ok((outcomes, sequence, committed))
    }

    /// Forgets the offsets of partitions that were deleted.
    pub fn partitions_deleted(&self, deleted: &[TopicPartition]) {
        let deleted: HashSet<&TopicPartition> = deleted.iter().collect();
        self.sweep(|slot| slot.offsets.partitions().filter(|of| deleted.contains(of)).cloned().collect());
    }

    pub(super) fn expire_offsets(&self) {
        let (retention_ms, now_ms) = (self.config.offsets_retention_ms, now_ms());
        self.sweep(|slot| {
            let is_subscribed_to = |topic: &str| slot.group.has_members() && slot.group.is_subscribed_to(topic);
            slot.offsets.expired(slot.group.expiry(), is_subscribed_to, retention_ms, now_ms)
        });
    }

    /// Writes tombstones for the offsets that `choose` names, and for groups of which then nothing is left.
    fn sweep(&self, choose: impl Fn(&Slot) -> Vec<TopicPartition>) {
        let mut inner = self.inner.lock();
        let sequence = inner.next_sequence();
        let mut gone = Vec::new();
        for (partition, owned) in inner.partitions.iter_mut().filter(|(_, owned)| owned.loaded) {
            let mut records = Vec::new();
            for (group_id, slot) in &mut owned.groups {
                for of in choose(slot) {
                    slot.offsets.replay(sequence, of.clone(), None);
                    records.push(tombstone(group_id, &of));
                }
                if slot.is_forgettable() && slot.deadline_ms.is_none() {
                    records.extend(slot.group.tombstones());
                    gone.push((*partition, group_id.clone()));
                }
            }
            // If it is not committed the offsets come back with the next load, and expire again.
            if let Ok(error) = poll_now(self.append(*partition, records))
                && !error.is_ok()
            {
                tracing::error!(partition, %error, "expired offsets cannot be written");
            }
        }
        for (partition, group_id) in gone {
            inner.remove(partition, &group_id);
        }
    }
}
