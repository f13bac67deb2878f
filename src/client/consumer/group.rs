//! A group member's positions: where to begin in partitions it is given, and how far it got.
//!
//! Java's consumer commits a position for every partition it was given, read from or not; librdkafka only for those
//! it read from. So the starting positions are found here, and stored: a consumer that started at the end of a quiet
//! topic will resume there.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::bindings as rd;

use super::native::{Client, Code, NO_ERROR, PartitionList, element_topic, millis};
use super::{Context, Error, Record, Reset};

/// How long a question to the cluster may take before the stop flag is looked at again.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The next offset to read of every partition of which a record was consumed.
#[derive(Default)]
pub struct Progress {
    partitions: Vec<PartitionProgress>,
    /// Where the last record was found: records come in runs of one partition.
    last: usize,
}

struct PartitionProgress {
    topic: String,
    partition: i32,
    next_offset: i64,
    leader_epoch: i32,
    stored: bool,
}

impl Progress {
    pub fn mark(&mut self, record: &Record<'_>) {
        let partition = self.find(record.topic, record.partition);
        partition.next_offset = record.offset + 1;
        partition.leader_epoch = record.headers.leader_epoch();
        partition.stored = false;
    }

    /// The position before `record`, which will not be consumed, is known without its epoch.
    pub fn forget_epoch(&mut self, record: &Record<'_>) {
        let partition = self.find(record.topic, record.partition);
        if partition.next_offset == i64::MIN {
            partition.next_offset = record.offset;
        }
        if partition.next_offset <= record.offset {
            partition.leader_epoch = -1;
            partition.stored = false;
        }
    }

    /// Calls `each` with topic, partition, next offset and leader epoch of what was marked since the last time.
    pub fn take_marked(&mut self, mut each: impl FnMut(&str, i32, i64, i32)) {
        for partition in self.partitions.iter_mut().filter(|partition| !partition.stored) {
            each(&partition.topic, partition.partition, partition.next_offset, partition.leader_epoch);
            partition.stored = true;
        }
    }

    pub(super) fn store(&mut self, client: &Client) {
        let list = PartitionList::new();
        self.take_marked(|topic, partition, offset, epoch| list.add_offset(topic, partition, offset, epoch));
        if list.elements().is_empty() {
            return;
        }
        // SAFETY: both are valid. A partition that was taken away meanwhile is refused, as it should be.
        unsafe { rd::rd_kafka_offsets_store(client.as_ptr(), list.as_ptr()) };
    }

    fn find(&mut self, topic: &str, partition: i32) -> &mut PartitionProgress {
        let is = |known: &PartitionProgress| known.partition == partition && known.topic == topic;
        if !self.partitions.get(self.last).is_some_and(is) {
            self.last = self.partitions.iter().position(is).unwrap_or_else(|| {
                self.partitions.push(PartitionProgress {
                    topic: topic.to_owned(),
                    partition,
                    next_offset: i64::MIN,
                    leader_epoch: -1,
                    stored: true,
                });
                self.partitions.len() - 1
            });
        }
        &mut self.partitions[self.last]
    }
}

/// Takes partitions on or gives them up, as the group decided. Called while the consumer polls or closes.
pub(super) fn rebalance(
    instance: *mut rd::rd_kafka_t,
    assigned: bool,
    partitions: *mut rd::rd_kafka_topic_partition_list_t,
    context: &Context,
) {
    let Some(client) = Client::of_callback(instance) else { return };
    // SAFETY: the instance is valid while it calls us; the answer is a constant string or null.
    let protocol = unsafe { rd::rd_kafka_rebalance_protocol(instance) };
    // SAFETY: as above.
    let cooperative = !protocol.is_null() && unsafe { std::ffi::CStr::from_ptr(protocol) } == c"COOPERATIVE";
    if !assigned {
        // SAFETY: the instance and the list are valid; a null list gives everything up.
        unsafe {
            if cooperative {
                destroy(rd::rd_kafka_incremental_unassign(instance, partitions));
            } else {
                rd::rd_kafka_assign(instance, std::ptr::null());
            }
        }
        return;
    }
    let begun = match PartitionList::copy_of(partitions) {
        Some(list) => begin(&client, list, context),
        None => PartitionList::new(),
    };
    // SAFETY: the instance and the lists are valid and copied by librdkafka.
    unsafe {
        if cooperative {
            destroy(rd::rd_kafka_incremental_assign(instance, begun.as_ptr()));
        } else {
            rd::rd_kafka_assign(instance, begun.as_ptr());
        }
    }
    store_positions(&client, &begun);
}

/// # Safety
/// `error` must be null or one that librdkafka handed out.
unsafe fn destroy(error: *mut rd::rd_kafka_error_t) {
    if !error.is_null() {
        // SAFETY: the caller's promise.
        unsafe { rd::rd_kafka_error_destroy(error) };
    }
}

/// Finds where to begin: the committed offset, else what `auto.offset.reset` says.
fn begin(client: &Client, mut list: PartitionList, context: &Context) -> PartitionList {
    let asked = insist(context, || {
        // SAFETY: both are valid; the answers are written into the list.
        unsafe { rd::rd_kafka_committed(client.as_ptr(), list.as_ptr(), millis(QUESTION_TIMEOUT)) as Code }
    });
    if !asked {
        return list;
    }
    let without: Vec<String> = list
        .elements()
        .iter()
        .filter(|element| element.offset < 0)
        .map(|element| format!("{}-{}", element_topic(element), element.partition))
        .collect();
    if without.is_empty() {
        return list;
    }
    let time = match context.reset {
        Reset::Earliest => i64::from(rd::RD_KAFKA_OFFSET_BEGINNING),
        Reset::Latest => i64::from(rd::RD_KAFKA_OFFSET_END),
        Reset::SinceMs(age_ms) => now_ms() - age_ms,
        Reset::Fail => {
            context.fail(Error::NoOffset(without.join(", ")));
            return list;
        }
    };
    let resets = PartitionList::new();
    for element in list.elements().iter().filter(|element| element.offset < 0) {
        resets.add_offset(&element_topic(element), element.partition, time, -1);
    }
    let found = insist(context, || offsets_at(client, &resets));
    let fallback = if time >= 0 { i64::from(rd::RD_KAFKA_OFFSET_END) } else { time };
    for element in list.elements_mut().iter_mut().filter(|element| element.offset < 0) {
        let answer = resets
            .elements()
            .iter()
            .find(|reset| reset.partition == element.partition && element_topic(reset) == element_topic(element));
        element.offset = match answer {
            Some(answer) if found && answer.offset >= 0 => answer.offset,
            _ => fallback,
        };
    }
    list
}

/// Asks for the offsets that belong to the times given as offsets (-1: the end, -2: the beginning).
fn offsets_at(client: &Client, list: &PartitionList) -> Code {
    // SAFETY: both are valid; answers overwrite times only when the call succeeds for a partition.
    unsafe { rd::rd_kafka_offsets_for_times(client.as_ptr(), list.as_ptr(), millis(QUESTION_TIMEOUT)) as Code }
}

/// The first offset whose record is at most `age_ms` old, or a logical offset for the end.
pub(super) fn offset_since(client: &Client, topic: &str, partition: i32, age_ms: i64) -> i64 {
    offset_at(client, topic, partition, now_ms() - age_ms).unwrap_or(i64::from(rd::RD_KAFKA_OFFSET_END))
}

/// The first offset at or after a time (-1: the end, -2: the beginning).
pub(super) fn offset_at(client: &Client, topic: &str, partition: i32, time: i64) -> Option<i64> {
    let list = PartitionList::new();
    list.add_offset(topic, partition, time, -1);
    let found = offsets_at(client, &list) == NO_ERROR;
    list.elements().first().map(|element| element.offset).filter(|offset| found && *offset >= 0)
}

/// Repeats a question until it is answered or the consumer is being stopped.
fn insist(context: &Context, mut question: impl FnMut() -> Code) -> bool {
    while question() != NO_ERROR {
        if context.stopping.load(std::sync::atomic::Ordering::SeqCst) {
            return false;
        }
        thread::sleep(Duration::from_millis(100));
    }
    true
}

/// Stores the starting positions, so that they are committed even when nothing is read.
fn store_positions(client: &Client, list: &PartitionList) {
    let positions = PartitionList::new();
    for element in list.elements().iter().filter(|element| element.offset >= 0) {
        positions.add_offset(&element_topic(element), element.partition, element.offset, -1);
    }
    // SAFETY: both are valid.
    unsafe { rd::rd_kafka_offsets_store(client.as_ptr(), positions.as_ptr()) };
}

fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}
