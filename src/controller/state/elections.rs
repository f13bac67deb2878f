//! Elections that somebody asks for: of the preferred leader, or of anybody at all.
//!
//! Source: `KafkaController.processReplicaLeaderElection`, `checkAndTriggerAutoLeaderRebalance`.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::controller::election::{NO_LEADER, offline_leader, preferred_leader};

/// Whom to elect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    /// The first of the replicas, if it is in sync.
    Preferred,
    /// For a partition without a leader: any replica that lives, even if it was not in sync.
    Unclean,
}

/// Who wants an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A request; answered by [`Answer::Elections`].
    Request(Token),
    /// `/admin/preferred_replica_election`, which is deleted when it is done.
    Znode,
    /// `auto.leader.rebalance.enable`.
    Rebalance,
}

impl ControllerState {
    pub(super) fn elect_leaders(
        &mut self,
        partitions: Vec<TopicPartition>,
        election: ElectionType,
        trigger: Trigger,
        out: &mut Out,
    ) {
        if partitions.iter().any(|name| self.is_busy(name)) {
            self.deferred.push(Event::ElectLeaders { partitions, election, trigger });
            return;
        }
        let mut results = Vec::with_capacity(partitions.len());
        for name in BTreeSet::from_iter(partitions) {
            let result = match self.elect(&name, election) {
                Err(refusal) => Some(Err(refusal)),
                Ok(state) => {
                    let asked_by = match trigger {
                        Trigger::Request(token) => AskedBy::Elector(token),
                        Trigger::Znode | Trigger::Rebalance => AskedBy::Nobody,
                    };
                    self.write(&name, state, asked_by, out);
                    None
                }
            };
            results.push((name, result));
        }
        match trigger {
            Trigger::Request(token) => drop(self.pending_elections.insert(token, results)),
            Trigger::Znode => out.last.push(Action::ForgetPreferredElection),
            Trigger::Rebalance => {}
        }
    }

    /// The state that the election gives.
    fn elect(&self, name: &TopicPartition, election: ElectionType) -> Result<PartitionState, Refusal> {
        let does_not_exist = Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "The partition does not exist.");
        let partition = self.partition(name).ok_or(does_not_exist)?;
        if self.is_queued_for_deletion(&name.topic) {
            return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, "The topic is being deleted"));
        }
        let Known { state, .. } = partition.known.as_ref().ok_or_else(|| cannot_elect(name, election))?;
        let replicas = &partition.assignment.replicas;
        let is_needed = match election {
            ElectionType::Preferred => Some(&state.leader) != replicas.first(),
            ElectionType::Unclean => state.leader == NO_LEADER || !self.brokers.contains_key(&state.leader),
        };
        if !is_needed {
            return Err(Refusal::plain(ErrorCode::ELECTION_NOT_NEEDED));
        }
        let alive = |id: i32| self.standing(id, name) == Standing::Alive;
        let elected = match election {
            ElectionType::Preferred => preferred_leader(replicas, &state.isr, alive),
            ElectionType::Unclean => offline_leader(replicas, &state.isr, alive, true),
        };
        let leader = elected.ok_or_else(|| cannot_elect(name, election))?;
        let is_clean = state.isr.contains(&leader);
        let isr = match is_clean {
            true => state.isr.iter().copied().filter(|id| alive(*id)).collect(),
            false => vec![leader],
        };
        let leader_recovering = state.leader_recovering || !is_clean;
        Ok(PartitionState { leader, isr, leader_recovering, ..next_epoch(state, self.epoch) })
    }

    /// Elects preferred leaders for brokers that lead too little of what they should.
    pub(super) fn rebalance(&mut self, tolerated_percentage: i32, out: &mut Out) {
        let mut by_preferred: BTreeMap<i32, (usize, Vec<TopicPartition>)> = BTreeMap::new();
        for name in self.all_partitions() {
            let Some(partition) = self.partition(&name) else { continue };
            if partition.assignment.is_being_reassigned() {
                // Kafka waits until all are done.
                return;
            }
            let Some(preferred) = partition.assignment.replicas.first() else { continue };
            if self.is_queued_for_deletion(&name.topic) {
                continue;
            }
            let (count, elsewhere) = by_preferred.entry(*preferred).or_default();
            *count += 1;
            if partition.known.as_ref().is_some_and(|known| known.state.leader != *preferred) {
                elsewhere.push(name);
            }
        }
        for (count, elsewhere) in by_preferred.into_values() {
            let is_imbalanced = elsewhere.len() as f64 / count as f64 > f64::from(tolerated_percentage) / 100.0;
            let can_lead =
                |name: &TopicPartition| !self.is_busy(name) && self.elect(name, ElectionType::Preferred).is_ok();
            let moved: Vec<TopicPartition> =
                elsewhere.into_iter().filter(|name| is_imbalanced && can_lead(name)).collect();
            self.elect_leaders(moved, ElectionType::Preferred, Trigger::Rebalance, out);
        }
    }

    pub(super) fn fill_election(&mut self, token: Token, name: &TopicPartition) {
        let leader = self.partition(name).and_then(|partition| Some(partition.known.as_ref()?.state.leader));
        if let (Some(leader), Some(results)) = (leader, self.pending_elections.get_mut(&token)) {
            fill(results, name, Ok(leader));
        }
    }

    pub(super) fn fail_election(&mut self, token: Token, name: &TopicPartition) {
        if let Some(results) = self.pending_elections.get_mut(&token) {
            fill(results, name, Err(cannot_elect(name, ElectionType::Preferred)));
        }
    }

    /// The topic is gone: nobody need wait for what was asked of it.
    pub(super) fn forget_asked_of(&mut self, topic: &str) {
        let gone = || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "The partition does not exist.");
        for results in self.pending_elections.values_mut() {
            let open = results.iter_mut().filter(|(name, result)| result.is_none() && *name.topic == *topic);
            open.for_each(|(_, result)| *result = Some(Err(gone())));
        }
        for results in self.pending_reassignments.values_mut() {
            let open = results.iter_mut().filter(|(name, result)| result.is_none() && *name.topic == *topic);
            open.for_each(|(_, result)| *result = Some(Err(gone())));
        }
    }

    pub(super) fn answer_elections(&mut self, out: &mut Out) {
        for (token, results) in take_complete(&mut self.pending_elections) {
            out.actions.push(Action::Answer { token, answer: Answer::Elections(results) });
        }
    }
}

pub(super) fn fill<T>(results: &mut Pending<T>, name: &TopicPartition, result: Result<T, Refusal>) {
    if let Some((_, place)) = results.iter_mut().find(|(asked, _)| asked == name) {
        *place = Some(result);
    }
}

/// Takes out the requests of which every partition has its result.
pub(super) fn take_complete<T>(pending: &mut BTreeMap<Token, Pending<T>>) -> Vec<(Token, PartitionResults<T>)> {
    let is_complete = |results: &Pending<T>| results.iter().all(|(_, result)| result.is_some());
    let ready: Vec<Token> =
        pending.iter().filter(|(_, results)| is_complete(results)).map(|(token, _)| *token).collect();
    let complete = ready.into_iter().filter_map(|token| {
        let results = pending.remove(&token)?.into_iter();
        Some((token, results.filter_map(|(name, result)| Some((name, result?))).collect()))
    });
    complete.collect()
}

fn cannot_elect(name: &TopicPartition, election: ElectionType) -> Refusal {
    let (error, strategy) = match election {
        ElectionType::Preferred => {
            (ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE, "PreferredReplicaPartitionLeaderElectionStrategy")
        }
        ElectionType::Unclean => {
            (ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE, "OfflinePartitionLeaderElectionStrategy(true)")
        }
    };
    Refusal::new(error, format!("Failed to elect leader for partition {name} under strategy {strategy}"))
}
