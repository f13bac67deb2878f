//! Topics and their partitions: what there is, what each should be, and what was written.
//!
//! Source: `PartitionStateMachine`, `ReplicaStateMachine`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;

impl ControllerState {
    pub(super) fn topics_changed(
        &mut self,
        names: BTreeSet<Arc<str>>,
        new: Vec<(Arc<str>, TopicAssignment)>,
        out: &mut Out,
    ) {
        let removed: Vec<Arc<str>> = self.topics.keys().filter(|topic| !names.contains(*topic)).cloned().collect();
        removed.iter().for_each(|topic| self.remove_topic(topic));
        for (topic, assignment) in new {
            self.topic_changed(topic, assignment, out);
        }
    }

    pub(super) fn topic_changed(&mut self, topic: Arc<str>, assignment: TopicAssignment, out: &mut Out) {
        let id = assignment.topic_id.map_or(Uuid::ZERO, |id| Uuid(id.0));
        match self.topics.get_mut(&topic) {
            // What joins a topic that is being deleted goes with it.
            Some(known) if known.id == id && known.deletion.is_some() => return,
            Some(known) if known.id == id => {
                for (number, assignment) in assignment.partitions {
                    known.partitions.entry(number).or_insert_with(|| Partition { assignment, ..Default::default() });
                }
            }
            // Another topic of the same name: somebody deleted the old one behind our back.
            Some(_) => {
                self.remove_topic(&topic);
                self.add_topic(topic.clone(), assignment);
            }
            None => self.add_topic(topic.clone(), assignment),
        }
        let new = self.partitions_of(&topic).into_iter();
        self.drive(new.filter(|tp| self.partition(tp).is_some_and(|p| p.known.is_none())).collect(), out);
    }

    pub(super) fn add_topic(&mut self, name: Arc<str>, assignment: TopicAssignment) {
        let id = assignment.topic_id.map_or(Uuid::ZERO, |id| Uuid(id.0));
        let partitions = assignment.partitions.into_iter();
        let partitions =
            partitions.map(|(n, assignment)| (n, Partition { assignment, ..Default::default() })).collect();
        if !id.is_zero() {
            self.names.insert(id, name.clone());
        }
        let topic = Topic {
            id,
            partitions,
            deletion: None,
            unclean: Unclean::Unknown,
            asking_unclean: false,
            assigning: None,
            settled: BTreeMap::new(),
        };
        self.topics.insert(name, topic);
    }

    pub(super) fn remove_topic(&mut self, name: &str) {
        if let Some(topic) = self.topics.remove(name) {
            self.names.remove(&topic.id);
            self.deleting.remove(name);
            for broker in self.brokers.values_mut() {
                broker.offline.retain(|partition| *partition.topic != *name);
            }
            for alter in self.alters.values_mut() {
                let (lost, rest) =
                    std::mem::take(&mut alter.waiting).into_iter().partition(|(tp, _)| *tp.topic == *name);
                alter.waiting = rest;
                for (_, place) in BTreeMap::<TopicPartition, (usize, usize)>::into_iter(lost) {
                    alter.fail(place, ErrorCode::UNKNOWN_TOPIC_ID);
                }
            }
            self.deletions_held_up.remove(name);
            self.forget_asked_of(name);
        }
    }

    pub(super) fn written(&mut self, results: Vec<Written>, out: &mut Out) {
        let mut done = Vec::with_capacity(results.len());
        for Written { partition: name, number, result } in results {
            let Some(partition) = self.partition_mut(&name) else { continue };
            // Of a topic that is gone, and whose name is taken again.
            if partition.in_flight.as_ref().is_none_or(|write| write.number != number) {
                continue;
            }
            let Some(write) = partition.in_flight.take() else { continue };
            match result {
                Ok(partition_epoch) => {
                    let before = partition.known.replace(Known { state: write.state, partition_epoch });
                    if write.completes {
                        self.complete_reassignment(&name, out);
                    }
                    match write.asked_by {
                        AskedBy::Leader(token) => {
                            self.fill_alter(token, &name);
                            self.tell_metadata(&name, out);
                        }
                        AskedBy::Nobody => self.announce(&name, before.map(|known| known.state.leader), true, out),
                        AskedBy::Elector(token) => {
                            self.announce(&name, before.map(|known| known.state.leader), true, out);
                            self.fill_election(token, &name);
                        }
                    }
                    done.push(name);
                }
                Err(Conflict) => {
                    partition.is_stale |= write.refreshes;
                    out.reads.push(name.clone());
                    self.conflicted(&name, write.asked_by);
                }
            }
        }
        self.drive(done, out);
        self.drive_deletions(out);
    }

    /// The write that somebody waits for did not go through.
    fn conflicted(&mut self, name: &TopicPartition, asked_by: AskedBy) {
        match asked_by {
            AskedBy::Nobody => {}
            AskedBy::Leader(token) => {
                if let Some(alter) = self.alters.get_mut(&token)
                    && let Some(place) = alter.waiting.remove(name)
                {
                    alter.fail(place, ErrorCode::INVALID_UPDATE_VERSION);
                }
            }
            AskedBy::Elector(token) => self.fail_election(token, name),
        }
    }

    pub(super) fn states_read(&mut self, states: Vec<(TopicPartition, Option<(PartitionState, i32)>)>, out: &mut Out) {
        let mut found = Vec::new();
        for (name, read) in states {
            let Some(partition) = self.partition_mut(&name) else { continue };
            let Some((state, partition_epoch)) = read else { continue };
            if partition.in_flight.is_some() {
                continue;
            }
            let epoch = state.leader_epoch;
            let before = partition.known.replace(Known { state, partition_epoch });
            match before.is_some_and(|before| before.state.leader_epoch == epoch) {
                // Its leader has changed the ISR, and knows.
                true => self.tell_metadata(&name, out),
                false => self.announce(&name, None, false, out),
            }
            found.push(name);
        }
        self.drive(found, out);
        self.drive_deletions(out);
    }

    /// Whether a write of its state or of its assignment is under way.
    pub(super) fn is_busy(&self, name: &TopicPartition) -> bool {
        self.partition(name).is_some_and(|partition| partition.in_flight.is_some()) || self.is_being_assigned(name)
    }

    fn is_being_assigned(&self, name: &TopicPartition) -> bool {
        let assigning = self.topics.get(&name.topic).and_then(|topic| topic.assigning.as_ref());
        assigning.is_some_and(|assigning| assigning.partitions.contains_key(&name.partition))
    }

    /// Looks at partitions again: those that should be in another state are written.
    pub(super) fn drive(&mut self, partitions: Vec<TopicPartition>, out: &mut Out) {
        for name in partitions {
            let Some(topic) = self.topics.get(&name.topic) else { continue };
            let Some(partition) = topic.partitions.get(&name.partition) else { continue };
            if topic.deletion.is_some() || self.is_busy(&name) || out.reads.contains(&name) {
                continue;
            }
            let completes = self.is_reassignment_complete(&name);
            let replicas = match completes {
                true => partition.assignment.target(),
                false => partition.assignment.replicas.clone(),
            };
            let standing = |id| self.standing(id, &name);
            let next = match &partition.known {
                None => first_state(&replicas, |id| standing(id) == Standing::Alive, self.epoch)
                    .map_or(Next::Stays, Next::Becomes),
                Some(known) => match next_state(&replicas, &known.state, standing, topic.unclean, self.epoch) {
                    Next::Stays if completes || partition.is_stale => {
                        Next::Becomes(next_epoch(&known.state, self.epoch))
                    }
                    next => next,
                },
            };
            match next {
                Next::Stays => {}
                Next::Becomes(state) => {
                    self.write(&name, state, AskedBy::Nobody, out);
                    if let Some(write) = self.partition_mut(&name).and_then(|partition| partition.in_flight.as_mut()) {
                        write.completes = completes;
                    }
                }
                Next::AskUnclean => {
                    let Some(topic) = self.topics.get_mut(&name.topic) else { continue };
                    if !std::mem::replace(&mut topic.asking_unclean, true) {
                        out.actions.push(Action::ReadTopicConfig(name.topic.clone()));
                    }
                }
            }
        }
    }

    pub(super) fn write(&mut self, name: &TopicPartition, state: PartitionState, asked_by: AskedBy, out: &mut Out) {
        self.writes += 1;
        let number = self.writes;
        let Some(partition) = self.partition_mut(name) else { return };
        let expected = partition.known.as_ref().map(|known| known.partition_epoch);
        // What a leader asks for is no new epoch, and is told to nobody.
        let refreshes = !matches!(asked_by, AskedBy::Leader(_)) && std::mem::take(&mut partition.is_stale);
        partition.in_flight = Some(InFlight { number, state: state.clone(), asked_by, refreshes, completes: false });
        out.writes.push(StateWrite { partition: name.clone(), number, state, expected });
    }

    /// Tells a partition's replicas, and everybody's metadata, what its state is. `was_led_by`: before. Replicas no
    /// more are told to go, if nobody counts on them.
    pub(super) fn announce(&mut self, name: &TopicPartition, was_led_by: Option<i32>, changed: bool, out: &mut Out) {
        let Some(partition) = self.partition_mut(name) else { return };
        let Some(isr) = partition.known.as_ref().map(|known| known.state.isr.clone()) else { return };
        let (stay, gone) = std::mem::take(&mut partition.leaving).into_iter().partition(|id| isr.contains(id));
        partition.leaving = stay;
        let gone: BTreeSet<i32> = gone;
        let Some(partition) = self.partition(name) else { return };
        let Some(known) = &partition.known else { return };
        let is_new = changed && was_led_by.is_none();
        for id in &partition.assignment.replicas {
            let Some(broker) = self.brokers.get(id) else { continue };
            let joins = partition.assignment.adding_replicas.contains(id) && !isr.contains(id);
            // A follower that leaves stops fetching; a leader that leaves must hear that it leads no more.
            match broker.shutting_down && *id != known.state.leader && Some(*id) != was_led_by {
                true => out.batch.stop(*id, name, false),
                false => out.batch.lead_or_follow(*id, name, is_new || joins),
            }
        }
        gone.iter().for_each(|id| out.batch.stop(*id, name, true));
        self.tell_metadata(name, out);
    }

    pub(super) fn tell_metadata(&self, name: &TopicPartition, out: &mut Out) {
        for id in self.brokers.keys() {
            out.batch.metadata(*id, [name]);
        }
    }
}
