//! Moving partitions to other replicas: add, wait until the new ones are in sync, switch, remove.
//!
//! The assignment is written first, as the union of old and new. Replicas hear of it in a new leader epoch. When all
//! of the target is in the ISR, one more write has a leader of the target and an ISR within it; then the others delete
//! their logs and the assignment is written as the target alone. A controller that finds a union goes on from there.
//!
//! Source: `KafkaController.onPartitionReassignment`, `processApiPartitionReassignment`, KIP-455.

use std::collections::{BTreeMap, BTreeSet};

use super::elections::{fill, take_complete};
use super::*;
use crate::wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse, OngoingPartitionReassignment,
    OngoingTopicReassignment,
};

impl ControllerState {
    pub(super) fn alter_reassignments(
        &mut self,
        partitions: Vec<(TopicPartition, Option<Vec<i32>>)>,
        token: Token,
        out: &mut Out,
    ) {
        if partitions.iter().any(|(name, _)| self.is_moving(name)) {
            self.deferred.push(Event::AlterReassignments { partitions, token });
            return;
        }
        let mut results = Vec::with_capacity(partitions.len());
        let mut accepted = Vec::new();
        for (name, target) in partitions {
            let result = match self.judge_reassignment(&name, target.as_deref()) {
                Err(refusal) => Some(Err(refusal)),
                Ok(assignment) => {
                    accepted.push((name.clone(), assignment));
                    None
                }
            };
            results.push((name, result));
        }
        // The latest wish counts, however it was made.
        let noted = accepted.iter().filter(|(name, _)| self.noted_reassignments.contains_key(name));
        let noted: Vec<_> = noted.map(|(name, _)| (name.clone(), None)).collect();
        self.forget_noted(noted, out);
        self.pending_reassignments.insert(token, results);
        self.assign(accepted, Some(token), out);
    }

    /// Takes up what operators have written by hand, or by old tools.
    pub(super) fn reassignments_read(&mut self, rows: Vec<(TopicPartition, Vec<i32>)>, out: &mut Out) {
        if rows.iter().any(|(name, _)| self.is_moving(name)) {
            // Whatever was deferred before is out of date.
            self.deferred.retain(|event| !matches!(event, Event::ReassignmentsRead(_)));
            self.deferred.push(Event::ReassignmentsRead(rows));
            return;
        }
        let rows: BTreeMap<TopicPartition, Vec<i32>> = rows.into_iter().collect();
        self.noted_reassignments.retain(|name, target| rows.get(name) == Some(target));
        let (mut accepted, mut refused) = (Vec::new(), Vec::new());
        for (name, target) in rows {
            if self.noted_reassignments.contains_key(&name) {
                continue;
            }
            let judged = match check_target(&target) {
                Ok(()) => self.judge_move(&name, Some(&target)),
                Err(refusal) => Err(refusal),
            };
            match judged {
                Ok(assignment) => {
                    self.noted_reassignments.insert(name.clone(), target);
                    accepted.push((name, assignment));
                }
                Err(_) => refused.push((name, None)),
            }
        }
        self.forget_noted(refused, out);
        self.assign(accepted, None, out);
    }

    /// What is moving now; `None` for all partitions.
    pub fn list_reassignments(
        &self,
        request: &ListPartitionReassignmentsRequest,
    ) -> ListPartitionReassignmentsResponse {
        let asked: Vec<TopicPartition> = match &request.topics {
            None => self.all_partitions(),
            Some(topics) => {
                let names = topics.iter().flat_map(|topic| {
                    topic.partition_indexes.iter().map(|number| TopicPartition::new(topic.name.as_str(), *number))
                });
                BTreeSet::from_iter(names).into_iter().collect()
            }
        };
        let mut topics: Vec<OngoingTopicReassignment> = Vec::new();
        for name in asked {
            let Some(partition) = self.partition(&name) else { continue };
            let assignment = &partition.assignment;
            if !assignment.is_being_reassigned() {
                continue;
            }
            let row = OngoingPartitionReassignment {
                partition_index: name.partition,
                replicas: assignment.replicas.clone(),
                adding_replicas: assignment.adding_replicas.clone(),
                removing_replicas: assignment.removing_replicas.clone(),
            };
            match topics.last_mut().filter(|topic| *topic.name == *name.topic) {
                Some(topic) => topic.partitions.push(row),
                None => {
                    topics.push(OngoingTopicReassignment { name: name.topic.to_string(), partitions: vec![row] });
                }
            }
        }
        ListPartitionReassignmentsResponse { topics, error_message: None, ..Default::default() }
    }

    /// Whether something is under way that will change the assignment, or what may be decided about it.
    fn is_moving(&self, name: &TopicPartition) -> bool {
        let topic = self.topics.get(&name.topic);
        topic.is_some_and(|topic| topic.assigning.is_some() || !topic.settled.is_empty()) || self.is_busy(name)
    }

    fn judge_reassignment(&self, name: &TopicPartition, target: Option<&[i32]>) -> Result<ReplicaAssignment, Refusal> {
        if let Some(target) = target {
            check_target(target)?;
            let none = ReplicaAssignment::default();
            let now = self.partition(name).map_or(&none, |partition| &partition.assignment);
            let adding = now.reassigned_to(target).adding_replicas;
            let is_alive = |id: &i32| self.brokers.get(id).is_some_and(|live| !live.shutting_down);
            if !adding.iter().all(is_alive) {
                let live: Vec<i32> = self.brokers.keys().copied().filter(|id| is_alive(id)).collect();
                let message = format!(
                    "Replica assignment has brokers that are not alive. Replica list: {}, live broker list: {}",
                    scala("ArrayBuffer", &adding),
                    scala("Set", &live)
                );
                return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
            }
        }
        self.judge_move(name, target)
    }

    fn judge_move(&self, name: &TopicPartition, target: Option<&[i32]>) -> Result<ReplicaAssignment, Refusal> {
        let does_not_exist = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "The partition does not exist.");
        let now = self.partition(name).map(|partition| &partition.assignment);
        if target.is_none() && now.is_none_or(|now| !now.is_being_reassigned()) {
            return Err(Refusal::plain(ErrorCode::NO_REASSIGNMENT_IN_PROGRESS));
        }
        let now = now.filter(|_| !self.is_queued_for_deletion(&name.topic)).ok_or_else(does_not_exist)?;
        let next = match target {
            Some(target) => now.reassigned_to(target),
            None => now.reassigned_to(&now.origin()),
        };
        let isr = self.partition(name).and_then(|partition| partition.known.as_ref()).map(|known| &known.state.isr);
        if isr.is_some_and(|isr| isr.iter().all(|id| !next.replicas.contains(id))) {
            // Apache's controller deletes the only replicas that have the data; its KRaft one refuses.
            let message =
                format!("Unable to reassign partition {name} because it would require an unclean leader election.");
            return Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
        }
        Ok(next)
    }

    fn assign(
        &mut self,
        assignments: Vec<(TopicPartition, ReplicaAssignment)>,
        asked_by: Option<Token>,
        out: &mut Out,
    ) {
        let mut by_topic: BTreeMap<Arc<str>, BTreeMap<i32, ReplicaAssignment>> = BTreeMap::new();
        for (name, assignment) in assignments {
            by_topic.entry(name.topic).or_default().insert(name.partition, assignment);
        }
        for (topic, partitions) in by_topic {
            self.write_assignment(&topic, Assigning { partitions, asked_by }, out);
        }
    }

    fn write_assignment(&mut self, name: &Arc<str>, assigning: Assigning, out: &mut Out) {
        let Some(topic) = self.topics.get_mut(name) else { return };
        let partitions = assigning.partitions.clone();
        topic.assigning = Some(assigning);
        out.last.push(Action::WriteAssignment { topic: name.clone(), id: topic.id, partitions });
    }

    pub(super) fn assignment_written(
        &mut self,
        name: &Arc<str>,
        id: Uuid,
        result: Result<(), Conflict>,
        out: &mut Out,
    ) {
        let Some(topic) = self.topics.get_mut(name).filter(|topic| topic.id == id) else { return };
        let Some(Assigning { partitions, asked_by }) = topic.assigning.take() else { return };
        let names: Vec<TopicPartition> =
            partitions.keys().map(|number| TopicPartition::new(name.clone(), *number)).collect();
        for (number, assignment) in partitions.into_iter().filter(|_| result.is_ok()) {
            let Some(partition) = topic.partitions.get_mut(&number) else { continue };
            let before = std::mem::replace(&mut partition.assignment, assignment);
            if asked_by.is_some() || before != partition.assignment {
                partition.is_stale = true;
                partition.leaving.extend(before.replicas);
                partition.leaving.retain(|id| !partition.assignment.replicas.contains(id));
            }
        }
        if let Some(results) = asked_by.and_then(|token| self.pending_reassignments.get_mut(&token)) {
            let gone = Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "The partition does not exist.");
            let outcome = result.map_err(|Conflict| gone);
            names.iter().for_each(|name| fill(results, name, outcome.clone()));
        }
        // Where nobody joins and nobody goes there is nothing to wait for.
        let is_done = |name: &&TopicPartition| {
            let target = self.noted_reassignments.get(*name);
            self.partition(name)
                .is_some_and(|p| !p.assignment.is_being_reassigned() && Some(&p.assignment.replicas) == target)
        };
        let done = names.iter().filter(is_done).map(|name| (name.clone(), None)).collect();
        self.forget_noted(done, out);
        self.drive(names, out);
        self.drive_deletions(out);
    }

    /// Whether all replicas of the target live and are in sync.
    pub(super) fn is_reassignment_complete(&self, name: &TopicPartition) -> bool {
        let Some(partition) = self.partition(name) else { return false };
        let Some(known) = partition.known.as_ref().filter(|_| partition.assignment.is_being_reassigned()) else {
            return false;
        };
        let is_there = |id: &i32| known.state.isr.contains(id) && self.standing(*id, name) == Standing::Alive;
        partition.assignment.target().iter().all(is_there)
    }

    /// The state is within the target; now the assignment becomes it too.
    pub(super) fn complete_reassignment(&mut self, name: &TopicPartition, out: &mut Out) {
        let Some(topic) = self.topics.get_mut(&name.topic) else { return };
        let Some(partition) = topic.partitions.get_mut(&name.partition) else { return };
        let target = partition.assignment.target();
        partition.leaving.extend(std::mem::take(&mut partition.assignment.removing_replicas));
        partition.assignment = ReplicaAssignment::settled(target.clone());
        topic.settled.insert(name.partition, partition.assignment.clone());
        self.settling.insert(name.topic.clone());
        if self.noted_reassignments.get(name) == Some(&target) {
            self.forget_noted(vec![(name.clone(), Some(target))], out);
        }
    }

    /// Writes the assignments of completed reassignments, one write of a topic at a time.
    pub(super) fn write_settled_assignments(&mut self, out: &mut Out) {
        for name in std::mem::take(&mut self.settling) {
            let Some(topic) = self.topics.get_mut(&name) else { continue };
            if topic.assigning.is_some() {
                self.settling.insert(name);
                continue;
            }
            let partitions = std::mem::take(&mut topic.settled);
            self.write_assignment(&name, Assigning { partitions, asked_by: None }, out);
        }
    }

    fn forget_noted(&mut self, rows: Vec<(TopicPartition, Option<Vec<i32>>)>, out: &mut Out) {
        if !rows.is_empty() {
            rows.iter().for_each(|(name, _)| drop(self.noted_reassignments.remove(name)));
            out.last.push(Action::ForgetReassignments(rows));
        }
    }

    pub(super) fn answer_reassignments(&mut self, out: &mut Out) {
        for (token, results) in take_complete(&mut self.pending_reassignments) {
            out.actions.push(Action::Answer { token, answer: Answer::Reassignments(results) });
        }
    }
}

/// Refuses replica lists that make no sense whatever the cluster is like.
fn check_target(target: &[i32]) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    if target.is_empty() {
        return refuse("Empty replica list specified in partition reassignment.".to_owned());
    }
    if BTreeSet::from_iter(target).len() != target.len() {
        let list = scala("ArrayBuffer", target);
        return refuse(format!("Duplicate replica ids in partition reassignment replica list: {list}"));
    }
    if target.iter().any(|id| *id < 0) {
        return refuse(format!("Invalid broker id in replica list: {}", scala("ArrayBuffer", target)));
    }
    Ok(())
}

/// A collection as Apache's controller, being written in Scala, prints it.
fn scala(kind: &str, ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(i32::to_string).collect();
    format!("{kind}({})", ids.join(", "))
}
