//! ISR changes, as leaders ask for them.
//!
//! Source: `KafkaController.processAlterPartition`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;

impl PendingAlter {
    pub(super) fn fail(&mut self, (topic, partition): (usize, usize), error: ErrorCode) {
        self.response.topics[topic].partitions[partition].error_code = error.0;
    }
}

fn accepted(partition_index: i32, known: &Known) -> PartitionDataResponse {
    PartitionDataResponse {
        partition_index,
        error_code: 0,
        leader_id: known.state.leader,
        leader_epoch: known.state.leader_epoch,
        isr: known.state.isr.clone(),
        leader_recovery_state: i8::from(known.state.leader_recovering),
        partition_epoch: known.partition_epoch,
    }
}

impl ControllerState {
    pub(super) fn alter_partition(
        &mut self,
        request: AlterPartitionRequest,
        version: i16,
        token: Token,
        out: &mut Out,
    ) {
        if self.broker_epoch(request.broker_id) != Some(request.broker_epoch) {
            let response = AlterPartitionResponse { error_code: ErrorCode::STALE_BROKER_EPOCH.0, ..Default::default() };
            out.actions.push(Action::Answer { token, answer: Answer::AlterPartition(response) });
            return;
        }
        let named = |topic: &crate::wire::messages::alter_partition::TopicDataRequest| match version {
            0..=1 => Some(Arc::from(topic.topic_name.as_str())),
            _ => self.names.get(&topic.topic_id).cloned(),
        };
        let is_busy = request.topics.iter().any(|topic| {
            let numbers = topic.partitions.iter().map(|partition| partition.partition_index);
            let Some(name) = named(topic) else { return false };
            numbers.into_iter().any(|number| self.is_busy(&TopicPartition::new(name.clone(), number)))
        });
        if is_busy {
            self.deferred.push(Event::AlterPartition { request, version, token });
            return;
        }
        let mut pending = PendingAlter { response: AlterPartitionResponse::default(), waiting: BTreeMap::new() };
        let mut changes = Vec::new();
        for (at, topic) in request.topics.iter().enumerate() {
            let name = named(topic);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for (place, asked) in topic.partitions.iter().enumerate() {
                let partition_index = asked.partition_index;
                let failed = |error: ErrorCode| PartitionDataResponse {
                    partition_index,
                    error_code: error.0,
                    ..Default::default()
                };
                let Some(name) = &name else {
                    partitions.push(failed(ErrorCode::UNKNOWN_TOPIC_ID));
                    continue;
                };
                let partition = TopicPartition::new(name.clone(), partition_index);
                let isr = match version {
                    0..=2 => asked.new_isr.clone(),
                    _ => asked.new_isr_with_epochs.iter().map(|broker| broker.broker_id).collect(),
                };
                partitions.push(match self.judge(&partition, request.broker_id, asked, isr, version) {
                    Err(error) => failed(error),
                    Ok(Judged::Already(known)) => accepted(partition_index, known),
                    Ok(Judged::Write(state)) => {
                        pending.waiting.insert(partition.clone(), (at, place));
                        changes.push((partition, state));
                        failed(ErrorCode::UNKNOWN_SERVER_ERROR)
                    }
                });
            }
            let (topic_name, topic_id) = (topic.topic_name.clone(), topic.topic_id);
            pending.response.topics.push(TopicDataResponse { topic_name, topic_id, partitions });
        }
        for (partition, state) in changes {
            self.write(&partition, state, AskedBy::Leader(token), out);
        }
        self.alters.insert(token, pending);
    }

    /// Whether a leader may make `isr` of its partition's ISR, and what state that gives.
    fn judge(
        &self,
        name: &TopicPartition,
        broker: i32,
        asked: &crate::wire::messages::alter_partition::PartitionDataRequest,
        isr: Vec<i32>,
        version: i16,
    ) -> Result<Judged<'_>, ErrorCode> {
        let is_deleted = self.topics.get(&name.topic).is_none_or(|topic| topic.deletion.is_some());
        let replicas = self.partition(name).map_or(&[][..], |partition| &partition.assignment.replicas);
        let known = self.partition(name).and_then(|partition| partition.known.as_ref());
        let known = known.filter(|_| !is_deleted).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        let is_recovering = asked.leader_recovery_state == 1;
        // Whoever knows more than we do has heard it from a later controller.
        if asked.partition_epoch > known.partition_epoch || asked.leader_epoch > known.state.leader_epoch {
            return Err(ErrorCode::NOT_CONTROLLER);
        }
        if asked.leader_epoch < known.state.leader_epoch {
            return Err(ErrorCode::FENCED_LEADER_EPOCH);
        }
        let is_done = isr == known.state.isr && is_recovering == known.state.leader_recovering;
        if is_done && broker == known.state.leader {
            return Ok(Judged::Already(known));
        }
        if asked.partition_epoch < known.partition_epoch {
            return Err(ErrorCode::INVALID_UPDATE_VERSION);
        }
        let begins_recovery = is_recovering && !known.state.leader_recovering;
        if broker != known.state.leader || !isr.contains(&broker) || begins_recovery || (is_recovering && isr.len() > 1)
        {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        // One that is out of the assignment may have been in it when the leader last heard.
        if isr.iter().any(|id| self.brokers.contains_key(id) && !replicas.contains(id)) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        if isr.iter().any(|id| self.brokers.get(id).is_none_or(|live| live.shutting_down)) {
            return Err(if version > 1 { ErrorCode::INELIGIBLE_REPLICA } else { ErrorCode::OPERATION_NOT_ATTEMPTED });
        }
        let leader_recovering = is_recovering;
        Ok(Judged::Write(PartitionState {
            leader: broker,
            leader_epoch: asked.leader_epoch,
            isr,
            controller_epoch: self.epoch,
            leader_recovering,
        }))
    }

    /// Puts a state that was written into the response that waits for it.
    pub(super) fn fill_alter(&mut self, token: Token, name: &TopicPartition) {
        let known = self.partition(name).and_then(|partition| partition.known.clone());
        let (Some(known), Some(alter)) = (known, self.alters.get_mut(&token)) else { return };
        if let Some((topic, partition)) = alter.waiting.remove(name) {
            alter.response.topics[topic].partitions[partition] = accepted(name.partition, &known);
        }
    }

    pub(super) fn answer_alters(&mut self, out: &mut Out) {
        let ready: Vec<Token> =
            self.alters.iter().filter(|(_, alter)| alter.waiting.is_empty()).map(|(token, _)| *token).collect();
        for token in ready {
            if let Some(alter) = self.alters.remove(&token) {
                out.actions.push(Action::Answer { token, answer: Answer::AlterPartition(alter.response) });
            }
        }
    }
}

/// What becomes of a leader's wish.
enum Judged<'a> {
    /// It is so already.
    Already(&'a Known),
    Write(PartitionState),
}
