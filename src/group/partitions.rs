//! A set of partitions by topic id: what a member has, shall have, or must give up.

use std::collections::{BTreeMap, BTreeSet};

use super::records::consumer::TopicPartitions;
use crate::wire::Uuid;

/// A set of partitions. A topic without partitions is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions(BTreeMap<Uuid, BTreeSet<i32>>);

impl Partitions {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    pub fn insert(&mut self, topic: Uuid, partition: i32) {
        self.0.entry(topic).or_default().insert(partition);
    }

    pub fn contains(&self, topic: Uuid, partition: i32) -> bool {
        self.0.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Every partition, by topic id and number.
    pub fn iter(&self) -> impl Iterator<Item = (Uuid, i32)> {
        self.0.iter().flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
    }

    pub fn by_topic(&self) -> impl Iterator<Item = (Uuid, Vec<i32>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions.iter().copied().collect()))
    }

    pub fn is_subset_of(&self, other: &Partitions) -> bool {
        self.iter().all(|(topic, partition)| other.contains(topic, partition))
    }

    pub fn intersects(&self, other: &Partitions) -> bool {
        self.iter().any(|(topic, partition)| other.contains(topic, partition))
    }

    /// The set as records and messages carry it.
    pub fn to_records(&self) -> Vec<TopicPartitions> {
        self.by_topic().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions }).collect()
    }

    pub fn of_records(records: &[TopicPartitions]) -> Partitions {
        let each = |topic: &TopicPartitions| {
            let topic_id = topic.topic_id;
            topic.partitions.clone().into_iter().map(move |partition| (topic_id, partition))
        };
        records.iter().flat_map(each).collect()
    }
}

impl FromIterator<(Uuid, i32)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (Uuid, i32)>>(pairs: I) -> Partitions {
        let mut partitions = Partitions::default();
        for (topic, partition) in pairs {
            partitions.insert(topic, partition);
        }
        partitions
    }
}
