//! The target assignment: which topics the members read as of now, and who shall have what of them.
//!
//! Source: `TargetAssignmentBuilder`, `ModernGroup.computeSubscriptionMetadata` of Apache Kafka 3.9.

use super::*;
use crate::group::assignors::{GroupSpec, MemberSpec};
use crate::group::records::consumer::{
    ConsumerGroupRegularExpressionValue, ConsumerGroupTargetAssignmentMemberValue, TopicMetadata,
};

impl ConsumerGroup {
    /// Looks up what members read in the cluster as it is, and stores it if it is not what it was. Tells whether it
    /// was not.
    pub(super) fn refresh_topics(&mut self, around: &Surroundings<'_>) -> bool {
        self.refresh_regexes(around);
        self.seen_cluster_version = Some(around.cluster_version);
        let mut names: BTreeSet<&str> = BTreeSet::new();
        for member in self.members.values() {
            names.extend(member.subscribed_topic_names.iter().map(String::as_str));
        }
        names.extend(self.regexes.values().flatten().map(String::as_str));
        let found = names.into_iter().filter_map(|name| {
            let topic = around.cluster.topics.get(name)?;
            Some((name.to_owned(), Topic { id: topic.id, partitions: topic.partitions.len() as i32 }))
        });
        let topics: BTreeMap<String, Topic> = found.collect();
        if topics == self.topics {
            return false;
        }
        let stored = topics.iter().map(|(name, topic)| TopicMetadata {
            topic_id: topic.id,
            topic_name: name.clone(),
            num_partitions: topic.partitions,
            // Racks: no assignor looks at them.
            partition_metadata: Vec::new(),
        });
        let value = ConsumerGroupPartitionMetadataValue { topics: stored.collect() };
        self.make(ConsumerRecord::PartitionMetadata(Some(value)));
        true
    }

    /// Regular expressions that nobody has any more go; the others are matched again when the cluster has changed.
    fn refresh_regexes(&mut self, around: &Surroundings<'_>) {
        let wanted: BTreeSet<String> =
            self.members.values().filter_map(|member| member.subscribed_topic_regex.clone()).collect();
        let gone: Vec<String> = self.regexes.keys().filter(|regex| !wanted.contains(*regex)).cloned().collect();
        for regex in gone {
            self.make(ConsumerRecord::Regex { regex, value: None });
        }
        let has_changed = self.seen_cluster_version != Some(around.cluster_version);
        for regex in wanted {
            if !has_changed && self.regexes.contains_key(&regex) {
                continue;
            }
            let topics = super::regex::matching(&regex, around.cluster);
            if self.regexes.get(&regex) != Some(&topics) {
                let value = ConsumerGroupRegularExpressionValue {
                    topics: topics.into_iter().collect(),
                    version: around.cluster_version as i64,
                    timestamp: around.now_ms,
                };
                self.make(ConsumerRecord::Regex { regex, value: Some(value) });
            }
        }
    }

    /// Makes the target assignment anew, for the group's epoch.
    pub(super) fn assign(&mut self, settings: &ConsumerSettings) {
        let spec = self.spec();
        let assignment = self.assignor(settings).assign(&spec);
        for (member_id, target) in assignment {
            let before = self.target.get(&member_id);
            if before.map_or(!target.is_empty(), |before| **before != target) {
                self.make(record(&member_id, &target));
            }
        }
        self.set_assignment_epoch(self.epoch);
    }

    fn spec(&self) -> GroupSpec {
        let members = self.members.values().map(|member| {
            let reads = self.topics.iter().filter(|(name, _)| self.reads(member, name));
            let spec = MemberSpec {
                instance_id: member.instance_id.clone(),
                subscribed: reads.map(|(_, topic)| topic.id).collect(),
                assigned: self.target_of(&member.member_id),
            };
            (member.member_id.clone(), spec)
        });
        let topics = self.topics.values().map(|topic| (topic.id, topic.partitions)).collect();
        GroupSpec { members: members.collect(), topics }
    }
}

/// The record of what a member shall have.
pub(super) fn record(member_id: &str, target: &Partitions) -> ConsumerRecord {
    let topic_partitions = target.to_records();
    ConsumerRecord::Target {
        member_id: member_id.to_owned(),
        value: Some(ConsumerGroupTargetAssignmentMemberValue { topic_partitions }),
    }
}
