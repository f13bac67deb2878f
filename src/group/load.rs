//! Partitions of `__consumer_offsets` come and go with their leadership: groups are read back, or let go.

use std::collections::hash_map::Entry;

use super::*;
use crate::wire::batch::{Batch, ControlRecordType};

impl GroupCoordinator {
    /// This broker leads these partitions of `__consumer_offsets` from now on, in these leader epochs: their groups are
    /// read back. Reads files: to be called where blocking is allowed.
    pub fn load(&self, partitions: &[(i32, i32)]) {
        let mut to_read = Vec::new();
        {
            let mut inner = self.inner.lock();
            for &(partition, leader_epoch) in partitions {
                match inner.partitions.entry(partition) {
                    Entry::Vacant(entry) => {
                        entry.insert(Owned { leader_epoch, loaded: false, groups: HashMap::new() });
                        to_read.push((partition, leader_epoch));
                    }
                    // It led before and nobody else has meanwhile: what is here is what is in the log.
                    Entry::Occupied(mut entry) if entry.get().loaded => {
                        let owned = entry.get_mut();
                        owned.leader_epoch = owned.leader_epoch.max(leader_epoch);
                    }
                    Entry::Occupied(mut entry) if entry.get().leader_epoch < leader_epoch => {
                        entry.get_mut().leader_epoch = leader_epoch;
                        to_read.push((partition, leader_epoch));
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        for (partition, leader_epoch) in to_read {
            let groups = match self.read_groups(partition) {
                Ok(groups) => groups,
                Err(error) => {
                    tracing::error!(partition, %error, "groups of a partition of {TOPIC} cannot be read");
                    self.inner.lock().partitions.remove(&partition);
                    continue;
                }
            };
            let mut inner = self.inner.lock();
            let Some(owned) = inner.partitions.get_mut(&partition) else { continue };
            if owned.leader_epoch == leader_epoch && !owned.loaded {
                owned.loaded = true;
                owned.groups = groups;
                let ids: Vec<String> = owned.groups.keys().cloned().collect();
                for id in ids {
                    inner.set_deadline(partition, &id);
                }
            }
        }
        self.deadlines_changed.notify_one();
    }

    /// This broker does not lead these partitions any more: whoever waits is sent to find the new coordinator.
    pub fn resign(&self, partitions: &[i32]) {
        let mut inner = self.inner.lock();
        for partition in partitions {
            let Some(owned) = inner.partitions.remove(partition) else { continue };
            for (_, slot) in owned.groups {
                let Group::Classic(mut group) = slot.group else { continue };
                for action in group.shut(ErrorCode::NOT_COORDINATOR, now_ms()) {
                    inner.answer(action);
                }
            }
            inner.deadlines.retain(|(_, of, _)| of != partition);
        }
    }

    fn read_groups(&self, partition: i32) -> Result<HashMap<String, Slot>, ErrorCode> {
        let mut groups: HashMap<String, Slot> = HashMap::new();
        // In the order of the log; appends that come later have higher numbers yet.
        let mut sequence = 0;
        let now_ms = now_ms();
        self.log.read(partition, &mut |bytes| {
            let batch = match Batch::split_first(bytes) {
                Ok((batch, _)) => batch,
                Err(error) => {
                    tracing::warn!(%error, "a batch of {TOPIC} cannot be read");
                    return;
                }
            };
            sequence += 1;
            if let Some((kind, _)) = batch.control_record() {
                for slot in groups.values_mut() {
                    let is_commit = kind == ControlRecordType::Commit;
                    slot.offsets.replay_transaction_end(batch.producer_id(), is_commit);
                }
            }
            for record in decode_batch(&batch) {
                let producer_id = batch.is_transactional().then(|| batch.producer_id());
                replay(&mut groups, record, sequence, producer_id, now_ms);
            }
        })?;
        groups.retain(|_, slot| {
            let remembers = match &slot.group {
                Group::Classic(group) => group.generation_id() > 0,
                Group::Consumer(group) => group.epoch() > 0 || group.has_members(),
            };
            remembers || !slot.is_forgettable()
        });
        for slot in groups.values_mut() {
            if let Group::Consumer(group) = &mut slot.group {
                group.begin_sessions(&self.config.consumer, now_ms);
            }
        }
        let mut inner = self.inner.lock();
        inner.sequence = inner.sequence.max(sequence);
        Ok(groups)
    }
}

/// Applies one record of the log. `producer_id`: of the transaction that it is part of.
fn replay(
    groups: &mut HashMap<String, Slot>,
    record: Record,
    sequence: Sequence,
    producer_id: Option<i64>,
    now_ms: i64,
) {
    let classic = |group_id: &str| Group::Classic(ClassicGroup::new(group_id, now_ms));
    match record {
        Record::Offset { group_id, partition, value } => {
            let slot = groups.entry(group_id).or_insert_with_key(|group_id| Slot::new(classic(group_id)));
            match (producer_id, value) {
                (Some(producer_id), Some(value)) => {
                    slot.offsets.replay_pending(sequence, producer_id, partition, value);
                }
                (_, value) => slot.offsets.replay(sequence, partition, value),
            }
        }
        Record::Group { group_id, value: Some(value) } => {
            let slot = groups.entry(group_id).or_insert_with_key(|group_id| Slot::new(classic(group_id)));
            let mut group = ClassicGroup::new(value_id(&slot.group), now_ms);
            group.replay_metadata(value, now_ms);
            slot.group = Group::Classic(group);
        }
        // A tombstone of one protocol says nothing of a group that is of the other by now.
        Record::Group { group_id, value: None } => {
            if let Some(slot) = groups.get_mut(&group_id)
                && matches!(slot.group, Group::Classic(_))
            {
                slot.group = classic(&group_id);
            }
        }
        Record::Consumer { group_id, record } => {
            let slot = groups.entry(group_id).or_insert_with_key(|group_id| Slot::new(classic(group_id)));
            let is_tombstone = record.is_tombstone();
            if let Group::Classic(group) = &slot.group {
                if is_tombstone {
                    return;
                }
                slot.group = Group::Consumer(ConsumerGroup::new(group.group_id.clone()));
            }
            if let Group::Consumer(group) = &mut slot.group {
                let ends = matches!(record, records::ConsumerRecord::Epoch(None));
                group.replay(record);
                if ends && !group.has_members() {
                    slot.group = classic(&group.group_id.clone());
                }
            }
        }
        Record::Unknown { .. } => {}
    }
}

fn value_id(group: &Group) -> String {
    match group {
        Group::Classic(group) => group.group_id.clone(),
        Group::Consumer(group) => group.group_id.clone(),
    }
}

/// What a batch of the log says; what cannot be read is told and passed over.
fn decode_batch(batch: &Batch<'_>) -> Vec<Record> {
    let mut records = Vec::new();
    if batch.is_control() {
        return records;
    }
    let outcome = batch.for_each_record(RECORD_BYTES_MAX, |record| {
        match record.key.map(|key| Record::decode(key, record.value)) {
            Some(Ok(record)) => records.push(record),
            Some(Err(error)) => tracing::warn!(%error, "a record of {TOPIC} cannot be read"),
            None => tracing::warn!("a record of {TOPIC} has no key"),
        }
        Ok::<(), crate::wire::batch::Error>(())
    });
    if let Err(error) = outcome {
        tracing::warn!(%error, "a batch of {TOPIC} cannot be read");
    }
    records
}

/// A batch of `__consumer_offsets` is never larger, decompressed (`message.max.bytes` is 1 MiB; a group's record can
/// be compressed by `offsets.topic.compression.codec`).
const RECORD_BYTES_MAX: usize = 64 << 20;
