//! Brokers that come, go, want to go, or lose a disk.
//!
//! Source: `KafkaController.processBrokerChange`, `doControlledShutdown`, `processLeaderAndIsrResponseReceived`.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

impl ControllerState {
    pub(super) fn brokers_changed(&mut self, brokers: Vec<LiveBroker>, out: &mut Out) {
        let now: BTreeMap<i32, LiveBroker> = brokers.into_iter().map(|broker| (broker.id, broker)).collect();
        let is_same = |old: &LiveBroker| now.get(&old.id).is_some_and(|new| new.epoch == old.epoch);
        // A broker that registered anew since we looked has died in between: it may have lost what was not synced.
        let gone: BTreeSet<i32> = self.brokers.values().filter(|old| !is_same(old)).map(|old| old.id).collect();
        let came: BTreeSet<i32> =
            now.keys().copied().filter(|id| gone.contains(id) || !self.brokers.contains_key(id)).collect();
        let mut moved = false;
        for old in self.brokers.values_mut() {
            if let Some(new) = now.get(&old.id).filter(|new| new.registration != old.registration) {
                old.registration = new.registration.clone();
                moved = true;
            }
        }
        if gone.is_empty() && came.is_empty() && !moved {
            return;
        }
        for topic in self.topics.values_mut() {
            topic.unclean = Unclean::Unknown;
        }
        for id in &gone {
            self.brokers.remove(id);
            out.actions.push(Action::Disconnect { broker: *id });
            for topic in self.topics.values_mut() {
                if let Some(deletion) = &mut topic.deletion {
                    deletion.asked.retain(|(_, broker)| broker != id);
                    deletion.refused.retain(|(_, broker)| broker != id);
                }
            }
        }
        let lost = self.partitions_on(&gone);
        self.drive(lost.clone(), out);
        for id in self.brokers.keys() {
            out.batch.metadata(*id, &lost);
        }
        if !came.is_empty() {
            self.brokers_came(now.into_values().filter(|broker| came.contains(&broker.id)).collect(), out);
        }
        self.drive_deletions(out);
    }

    pub(super) fn brokers_came(&mut self, brokers: Vec<LiveBroker>, out: &mut Out) {
        let came: BTreeSet<i32> = brokers.iter().map(|broker| broker.id).collect();
        for broker in brokers {
            out.actions.push(self.connect(&broker));
            self.brokers.insert(broker.id, broker);
        }
        let hosted = self.partitions_on(&came);
        let led: Vec<TopicPartition> =
            self.all_partitions().into_iter().filter(|tp| self.topics[&tp.topic].deletion.is_none()).collect();
        for id in self.brokers.keys() {
            match came.contains(id) {
                true => out.batch.metadata(*id, &led),
                false => out.batch.metadata(*id, &hosted),
            }
        }
        self.flush(out);
        for partition in &hosted {
            // One that is being written is told to all when it is.
            if self.partition(partition).is_some_and(|p| p.in_flight.is_none() && p.known.is_some()) {
                let replicas = self.replicas_on(partition, &came);
                replicas.into_iter().for_each(|broker| out.batch.lead_or_follow(broker, partition, false));
            }
        }
        self.drive(self.all_partitions(), out);
    }

    pub(super) fn connect(&self, broker: &LiveBroker) -> Action {
        let endpoint = broker.endpoint(&self.inter_broker_listener);
        let address = endpoint.map(|endpoint| match endpoint.host.contains(':') {
            true => format!("[{}]:{}", endpoint.host, endpoint.port),
            false => format!("{}:{}", endpoint.host, endpoint.port),
        });
        Action::Connect { broker: broker.id, epoch: broker.epoch, address }
    }

    /// How a broker stands to a replica of its.
    pub(in crate::controller) fn standing(&self, id: i32, partition: &TopicPartition) -> Standing {
        match self.brokers.get(&id) {
            Some(broker) if broker.offline.contains(partition) => Standing::Dead,
            Some(broker) if broker.shutting_down => Standing::Leaving,
            Some(_) => Standing::Alive,
            None => Standing::Dead,
        }
    }

    pub(super) fn controlled_shutdown(&mut self, request: &ControlledShutdownRequest, token: Token, out: &mut Out) {
        let id = request.broker_id;
        let refusal = match self.brokers.get_mut(&id) {
            None => Some(ErrorCode::BROKER_NOT_AVAILABLE),
            Some(live) if request.broker_epoch != -1 && request.broker_epoch < live.epoch => {
                Some(ErrorCode::STALE_BROKER_EPOCH)
            }
            Some(live) => {
                live.shutting_down = true;
                None
            }
        };
        if let Some(error) = refusal {
            let response = ControlledShutdownResponse { error_code: error.0, remaining_partitions: Vec::new() };
            out.actions.push(Action::Answer { token, answer: Answer::ControlledShutdown(response) });
            return;
        }
        let hosted = self.partitions_on(&[id].into());
        self.drive(hosted.clone(), out);
        for name in &hosted {
            let Some(partition) = self.partition(name) else { continue };
            let leads = partition.known.as_ref().is_none_or(|known| known.state.leader == id);
            if !leads && partition.in_flight.is_none() {
                out.batch.stop(id, name, false);
            }
        }
        self.shutdowns.push((token, id));
    }

    /// Answers the controlled shutdowns that have nothing under way any more.
    pub(super) fn answer_shutdowns(&mut self, out: &mut Out) {
        for (token, id) in std::mem::take(&mut self.shutdowns) {
            let hosted = self.partitions_on(&[id].into());
            let partitions = || hosted.iter().filter_map(|name| Some((name, self.partition(name)?)));
            if partitions().any(|(name, partition)| partition.in_flight.is_some() || out.reads.contains(name)) {
                self.shutdowns.push((token, id));
                continue;
            }
            // What has no other replica goes down with the broker, and comes back with it.
            let remaining = partitions().filter(|(_, partition)| {
                let is_leader = partition.known.as_ref().is_some_and(|known| known.state.leader == id);
                is_leader && partition.assignment.replicas.len() > 1
            });
            let remaining_partitions = remaining
                .map(|(name, _)| RemainingPartition {
                    topic_name: name.topic.to_string(),
                    partition_index: name.partition,
                })
                .collect();
            let response = ControlledShutdownResponse { error_code: 0, remaining_partitions };
            out.actions.push(Action::Answer { token, answer: Answer::ControlledShutdown(response) });
        }
    }

    pub(super) fn leader_and_isr_answered(
        &mut self,
        broker: i32,
        broker_epoch: i64,
        response: &LeaderAndIsrResponse,
        out: &mut Out,
    ) {
        let Some(live) = self.brokers.get_mut(&broker).filter(|live| live.epoch == broker_epoch) else { return };
        if ErrorCode(response.error_code) != ErrorCode::NONE {
            return;
        }
        let mut changed = Vec::new();
        for topic in &response.topics {
            let Some(name) = self.names.get(&topic.topic_id) else { continue };
            for partition in &topic.partition_errors {
                let replica = TopicPartition::new(name.clone(), partition.partition_index);
                let is_news = match ErrorCode(partition.error_code) {
                    ErrorCode::NONE => live.offline.remove(&replica),
                    ErrorCode::KAFKA_STORAGE_ERROR => live.offline.insert(replica.clone()),
                    _ => false,
                };
                if is_news {
                    changed.push(replica);
                }
            }
        }
        changed.iter().for_each(|name| self.tell_metadata(name, out));
        self.drive(changed, out);
    }
}
