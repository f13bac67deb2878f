//! Deleting topics: everybody forgets them, every replica deletes its log, then the znodes go. A replica whose broker
//! is dead holds it up until the broker is back.

use std::sync::Arc;

use super::{Action, Answer, ControllerState, Deletion, Out};
use crate::wire::messages::stop_replica::{StopReplicaRequest, StopReplicaResponse};
use crate::wire::{ErrorCode, TopicPartition};

impl ControllerState {
    pub(super) fn delete_topics(&mut self, topics: Vec<Arc<str>>, out: &mut Out) {
        let enabled = self.deletion_enabled;
        let (wanted, pointless): (Vec<_>, Vec<_>) =
            topics.into_iter().partition(|topic| enabled && self.topics.contains_key(topic));
        if !pointless.is_empty() {
            out.actions.push(Action::ForgetDeletions(pointless));
        }
        self.deletions_held_up.extend(wanted.into_iter().filter(|name| !self.deleting.contains(name)));
        self.drive_deletions(out);
    }

    /// Whether the topic is being deleted, or is to be.
    pub(super) fn is_queued_for_deletion(&self, topic: &str) -> bool {
        self.deletions_held_up.contains(topic) || self.topics.get(topic).is_some_and(|topic| topic.deletion.is_some())
    }

    /// Begins the deletions that no reassignment holds up.
    fn begin_deletions(&mut self, out: &mut Out) {
        let is_moving = |topic: &super::Topic| {
            topic.assigning.is_some()
                || !topic.settled.is_empty()
                || topic.partitions.values().any(|partition| partition.assignment.is_being_reassigned())
        };
        for name in self.deletions_held_up.clone() {
            let partitions = self.partitions_of(&name);
            let Some(topic) = self.topics.get_mut(&name).filter(|topic| !is_moving(topic)) else { continue };
            topic.deletion = Some(Deletion::default());
            self.deletions_held_up.remove(&name);
            self.deleting.insert(name);
            for broker in self.brokers.keys() {
                out.batch.metadata(*broker, &partitions);
            }
        }
    }

    /// Asks every replica that can be asked; erases the topics all of whose replicas are gone.
    pub(super) fn drive_deletions(&mut self, out: &mut Out) {
        self.begin_deletions(out);
        let brokers = &self.brokers;
        for name in &self.deleting {
            let Some(topic) = self.topics.get_mut(name) else { continue };
            let Some(deletion) = topic.deletion.as_mut().filter(|deletion| !deletion.erasing) else { continue };
            let mut all_gone = true;
            for (number, partition) in &topic.partitions {
                // Its state would come back to life behind the deletion.
                all_gone &= partition.in_flight.is_none();
                for broker in &partition.assignment.replicas {
                    let replica = (*number, *broker);
                    if deletion.gone.contains(&replica) {
                        continue;
                    }
                    all_gone = false;
                    let can_be_asked = brokers.contains_key(broker) && !deletion.refused.contains(&replica);
                    if can_be_asked && deletion.asked.insert(replica) {
                        out.batch.stop(*broker, &TopicPartition::new(name.clone(), *number), true);
                    }
                }
            }
            if all_gone {
                deletion.erasing = true;
                let partitions = topic.partitions.keys().copied().collect();
                out.actions.push(Action::EraseTopic { topic: name.clone(), id: topic.id, partitions });
            }
        }
    }

    pub(super) fn stop_replica_answered(
        &mut self,
        broker: i32,
        broker_epoch: i64,
        request: &StopReplicaRequest,
        response: &StopReplicaResponse,
        out: &mut Out,
    ) {
        if self.broker_epoch(broker) != Some(broker_epoch) {
            return;
        }
        for state in &request.topic_states {
            let Some(topic) = self.topics.get_mut(state.topic_name.as_str()) else { continue };
            let Some(deletion) = &mut topic.deletion else { continue };
            for partition in state.partition_states.iter().filter(|partition| partition.delete_partition) {
                let replica = (partition.partition_index, broker);
                if !deletion.asked.remove(&replica) {
                    continue;
                }
                let answered = response.partition_errors.iter().find(|answer| {
                    answer.topic_name == state.topic_name && answer.partition_index == partition.partition_index
                });
                let error = match ErrorCode(response.error_code) {
                    ErrorCode::NONE => answered.map_or(ErrorCode::NONE, |answer| ErrorCode(answer.error_code)),
                    error => error,
                };
                match error {
                    ErrorCode::NONE => deletion.gone.insert(replica),
                    _ => deletion.refused.insert(replica),
                };
            }
        }
        self.drive_deletions(out);
    }

    /// Answers those who wait for topics none of which is making progress any more.
    pub(super) fn answer_deletions(&mut self, out: &mut Out) {
        let topics = &self.topics;
        let is_under_way = |name: &Arc<str>| {
            let deletion = topics.get(name).and_then(|topic| topic.deletion.as_ref());
            deletion.is_some_and(|deletion| deletion.erasing || !deletion.asked.is_empty())
        };
        self.awaiting_deletion.retain(|(token, names)| {
            let waits = names.iter().any(is_under_way);
            if !waits {
                out.actions.push(Action::Answer { token: *token, answer: Answer::Deletion });
            }
            waits
        });
    }
}
