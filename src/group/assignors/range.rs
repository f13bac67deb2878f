//! The range assignor: each topic is cut into contiguous ranges, one for each of its readers in the same order. Members
//! that read the same topics so get the same numbers of each, as joins want it.
//!
//! Source: `RangeAssignor` of Apache Kafka 3.9.

use std::collections::BTreeMap;

use super::GroupSpec;
use crate::group::partitions::Partitions;

pub(super) fn assign(group: &GroupSpec) -> BTreeMap<String, Partitions> {
    let mut assignment: BTreeMap<String, Partitions> =
        group.members.keys().map(|id| (id.clone(), Partitions::default())).collect();
    // Static members first and by their instance ids, so that ranges stay where they are when they come back.
    let mut ordered: Vec<(&String, &super::MemberSpec)> = group.members.iter().collect();
    ordered.sort_by_key(|(id, member)| (member.instance_id.is_none(), member.instance_id.clone(), (*id).clone()));
    for (&topic, &partitions) in &group.topics {
        let readers: Vec<&String> =
            ordered.iter().filter(|(_, member)| member.subscribed.contains(&topic)).map(|(id, _)| *id).collect();
        if readers.is_empty() {
            continue;
        }
        let (each, more) = (partitions as usize / readers.len(), partitions as usize % readers.len());
        let mut next = 0;
        for (index, reader) in readers.into_iter().enumerate() {
            let end = next + each + usize::from(index < more);
            if let Some(assigned) = assignment.get_mut(reader) {
                for partition in next..end {
                    assigned.insert(topic, partition as i32);
                }
            }
            next = end;
        }
    }
    assignment
}
