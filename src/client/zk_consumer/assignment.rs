//! Who reads which partition, as every member of an old consumer group works it out for itself: all of them see the
//! same znodes, so all of them come to the same answer.
//!
//! Source: `PartitionAssignor` (range, roundrobin), `TopicCount` of 1.1.

use std::collections::{BTreeMap, BTreeSet};

/// A partition of a topic.
pub type TopicPartition = (String, i32);

/// The partitions of one member, each with the thread that reads it: what its owner znode says.
pub type Assignment = BTreeMap<TopicPartition, String>;

/// A member: its id and how many threads it has for each topic that it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub topics: BTreeMap<String, i32>,
}

/// `partition.assignment.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Range,
    RoundRobin,
}

/// A thread of a member. Threads are ordered by their text: `c-10` comes before `c-2`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Thread {
    text: String,
    member: String,
}

/// Returns what `member` reads. `partitions`: those of every topic, ascending.
pub fn assign(
    strategy: Strategy,
    member: &str,
    members: &[Member],
    partitions: &BTreeMap<String, Vec<i32>>,
) -> Assignment {
    match strategy {
        Strategy::Range => range(member, members, partitions),
        Strategy::RoundRobin => round_robin(member, members, partitions),
    }
}

fn threads(members: &[Member], topic: &str) -> Vec<Thread> {
    let mut threads: Vec<Thread> = members
        .iter()
        .flat_map(|member| {
            let count = member.topics.get(topic).copied().unwrap_or(0);
            (0..count).map(|number| Thread { text: format!("{}-{number}", member.id), member: member.id.clone() })
        })
        .collect();
    threads.sort();
    threads
}

/// Topic by topic, the threads in order take runs of partitions; the first ones take one more when it does not
/// come out even.
fn range(member: &str, members: &[Member], partitions: &BTreeMap<String, Vec<i32>>) -> Assignment {
    let mut mine = Assignment::new();
    for (topic, partitions) in partitions {
        let threads = threads(members, topic);
        if threads.is_empty() {
            continue;
        }
        let (each, extra) = (partitions.len() / threads.len(), partitions.len() % threads.len());
        for (position, thread) in threads.iter().enumerate().filter(|(_, thread)| thread.member == member) {
            let start = each * position + position.min(extra);
            let count = each + usize::from(position < extra);
            for &partition in &partitions[start..start + count] {
                mine.insert((topic.clone(), partition), thread.text.clone());
            }
        }
    }
    mine
}

/// All partitions, in the order of a hash, are dealt out to all threads in turn; a thread that does not read the
/// topic is passed over.
fn round_robin(member: &str, members: &[Member], partitions: &BTreeMap<String, Vec<i32>>) -> Assignment {
    let by_topic: BTreeMap<&String, Vec<Thread>> =
        partitions.keys().map(|topic| (topic, threads(members, topic))).collect();
    let all: Vec<Thread> = by_topic.values().flatten().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    let mut order: Vec<(&String, i32)> =
        partitions.iter().flat_map(|(topic, ids)| ids.iter().map(move |&id| (topic, id))).collect();
    order.sort_by_key(|(topic, partition)| java_hash(&format!("[{topic},{partition}]")));
    let mut mine = Assignment::new();
    let mut next = 0;
    for (topic, partition) in order {
        let eligible = &by_topic[topic];
        if eligible.is_empty() {
            continue;
        }
        while !eligible.contains(&all[next % all.len()]) {
            next += 1;
        }
        let thread = &all[next % all.len()];
        next += 1;
        if thread.member == member {
            mine.insert((topic.clone(), partition), thread.text.clone());
        }
    }
    mine
}

/// `String.hashCode`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}
