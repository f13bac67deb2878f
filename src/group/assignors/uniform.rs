//! The uniform assignor: members differ by one partition at most (where their subscriptions allow it), and keep what
//! they had as far as that goes.
//!
//! Members keep what they may read, up to their share; what is free then goes to whoever has least. Where subscriptions
//! differ, partitions move from the fullest to the emptiest reader as long as that evens something out: each move
//! makes the sum of squares smaller, so it ends.
//!
//! Source: `UniformAssignor` of Apache Kafka 3.9, for what it promises.

use std::collections::{BTreeMap, BTreeSet};

use super::GroupSpec;
use crate::group::partitions::Partitions;
use crate::wire::Uuid;

pub(super) fn assign(group: &GroupSpec) -> BTreeMap<String, Partitions> {
    let mut loads = Loads::new(group);
    loads.keep_what_is_owned();
    loads.hand_out();
    if !loads.is_homogeneous() {
        loads.even_out();
    }
    let names = group.members.keys().cloned();
    names.zip(loads.owned).map(|(name, owned)| (name, owned.into_iter().collect())).collect()
}

/// Who has what so far; members by number, in the order of their names.
struct Loads<'a> {
    group: &'a GroupSpec,
    owned: Vec<BTreeSet<(Uuid, i32)>>,
    /// The members that read a topic.
    readers: BTreeMap<Uuid, Vec<usize>>,
    free: BTreeSet<(Uuid, i32)>,
}

impl<'a> Loads<'a> {
    fn new(group: &'a GroupSpec) -> Loads<'a> {
        let mut readers: BTreeMap<Uuid, Vec<usize>> = BTreeMap::new();
        for (number, member) in group.members.values().enumerate() {
            for topic in member.subscribed.iter().filter(|topic| group.topics.contains_key(topic)) {
                readers.entry(*topic).or_default().push(number);
            }
        }
        let of_topic = |topic: &Uuid| {
            let count = group.topics.get(topic).copied().unwrap_or_default();
            let topic = *topic;
            (0..count).map(move |partition| (topic, partition))
        };
        let free = readers.keys().flat_map(of_topic).collect();
        Loads { group, owned: vec![BTreeSet::new(); group.members.len()], readers, free }
    }

    fn is_homogeneous(&self) -> bool {
        self.readers.values().all(|readers| readers.len() == self.group.members.len())
    }

    /// Everybody keeps what it may, up to an even share; as many as the division leaves over keep one more.
    fn keep_what_is_owned(&mut self) {
        let members = self.group.members.len().max(1);
        let homogeneous = self.is_homogeneous();
        let (share, mut more) = (self.free.len() / members, self.free.len() % members);
        for (number, member) in self.group.members.values().enumerate() {
            let valid = |(topic, partition): &(Uuid, i32)| {
                member.subscribed.contains(topic) && self.free.contains(&(*topic, *partition))
            };
            let mut kept: Vec<(Uuid, i32)> = member.assigned.iter().filter(valid).collect();
            if homogeneous {
                let wants_more = kept.len() > share && more > 0;
                more -= usize::from(wants_more);
                kept.truncate(share + usize::from(wants_more));
            }
            for partition in kept {
                self.free.remove(&partition);
                self.owned[number].insert(partition);
            }
        }
    }

    /// What is free goes to the reader that has least; topics with few readers first, for they have least choice.
    fn hand_out(&mut self) {
        let mut free: Vec<(Uuid, i32)> = std::mem::take(&mut self.free).into_iter().collect();
        free.sort_by_key(|(topic, partition)| (self.readers[topic].len(), *topic, *partition));
        if self.is_homogeneous() {
            // One queue of members by load does for all: there may be thousands of both.
            let mut queue: BTreeSet<(usize, usize)> =
                self.owned.iter().enumerate().map(|(number, owned)| (owned.len(), number)).collect();
            for partition in free {
                let Some((load, number)) = queue.pop_first() else { return };
                self.owned[number].insert(partition);
                queue.insert((load + 1, number));
            }
            return;
        }
        for partition in free {
            let least = self.readers[&partition.0].iter().copied().min_by_key(|&number| self.owned[number].len());
            if let Some(number) = least {
                self.owned[number].insert(partition);
            }
        }
    }

    /// Moves partitions as long as a move makes two members more equal.
    fn even_out(&mut self) {
        let mut changed = true;
        while changed {
            changed = false;
            let topics: Vec<Uuid> = self.readers.keys().copied().collect();
            for topic in topics {
                changed |= self.even_out_topic(topic);
            }
        }
    }

    fn even_out_topic(&mut self, topic: Uuid) -> bool {
        let mut changed = false;
        loop {
            let readers = &self.readers[&topic];
            let of_topic = |number: usize| {
                let mut range = self.owned[number].range((topic, i32::MIN)..=(topic, i32::MAX));
                range.next_back().copied()
            };
            let givers = readers.iter().copied().filter(|&number| of_topic(number).is_some());
            let Some(giver) = givers.max_by_key(|&number| self.owned[number].len()) else { return changed };
            let Some(taker) = readers.iter().copied().min_by_key(|&number| self.owned[number].len()) else {
                return changed;
            };
            if self.owned[giver].len() <= self.owned[taker].len() + 1 {
                return changed;
            }
            let Some(partition) = of_topic(giver) else { return changed };
            self.owned[giver].remove(&partition);
            self.owned[taker].insert(partition);
            changed = true;
        }
    }
}
