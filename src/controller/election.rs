//! Who leads: pure choices over one partition's replicas.
//!
//! Source: `PartitionLeaderElectionAlgorithms`, `Election`, `ReplicaStateMachine.doRemoveReplicasFromIsr`.

use crate::registry::znodes::PartitionState;

/// Stands for the leader of a partition that has none.
pub const NO_LEADER: i32 = -1;

/// The leader for a partition without one: the first replica that lives and is in sync. If there is none and
/// `unclean` allows it, the first that lives: what only the in-sync replicas had is then lost.
pub fn offline_leader(replicas: &[i32], isr: &[i32], alive: impl Fn(i32) -> bool, unclean: bool) -> Option<i32> {
    let in_sync = replicas.iter().find(|id| alive(**id) && isr.contains(id));
    in_sync.or_else(|| replicas.iter().find(|id| unclean && alive(**id))).copied()
}

/// The preferred leader, which is the first replica, if it lives and is in sync.
pub fn preferred_leader(replicas: &[i32], isr: &[i32], alive: impl Fn(i32) -> bool) -> Option<i32> {
    replicas.first().copied().filter(|id| alive(*id) && isr.contains(id))
}

/// How a broker stands to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Alive,
    /// Lives, but wants to give up what it leads (controlled shutdown).
    Leaving,
    /// Its session is gone, or the log dir of this replica is.
    Dead,
}

/// Whether a replica outside the ISR may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unclean {
    Allowed,
    Refused,
    /// `unclean.leader.election.enable` of the topic was not read yet.
    Unknown,
}

/// What is to become of a partition's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    Stays,
    Becomes(PartitionState),
    /// It depends on whether an unclean election is allowed.
    AskUnclean,
}

/// The first state of a partition: the first live replica leads, all live ones are in sync. `None` if none lives.
pub fn first_state(replicas: &[i32], alive: impl Fn(i32) -> bool, controller_epoch: i32) -> Option<PartitionState> {
    let isr: Vec<i32> = replicas.iter().copied().filter(|id| alive(*id)).collect();
    let leader = *isr.first()?;
    Some(PartitionState { leader, leader_epoch: 0, isr, controller_epoch, leader_recovering: false })
}

/// The state that follows from who lives now, and from who is a replica. Every change of leader, and every change of the
/// ISR made here, is a new leader epoch.
pub fn next_state(
    replicas: &[i32],
    state: &PartitionState,
    standing: impl Fn(i32) -> Standing,
    unclean: Unclean,
    controller_epoch: i32,
) -> Next {
    // Who is no replica any more, after a reassignment, is as good as dead.
    let standing = |id: i32| if replicas.contains(&id) { standing(id) } else { Standing::Dead };
    let alive = |id: i32| standing(id) == Standing::Alive;
    let becomes = |leader: i32, isr: Vec<i32>, leader_recovering: bool| {
        if leader == state.leader && isr == state.isr {
            return Next::Stays;
        }
        Next::Becomes(PartitionState { leader, isr, leader_recovering, ..next_epoch(state, controller_epoch) })
    };
    let live_isr: Vec<i32> = state.isr.iter().copied().filter(|id| alive(*id)).collect();
    let keeps_leader = match standing(state.leader) {
        Standing::Alive => true,
        // Nobody else could lead: better one that leaves than none.
        Standing::Leaving => live_isr.is_empty(),
        Standing::Dead => false,
    };
    if keeps_leader {
        let isr = state.isr.iter().copied().filter(|id| *id == state.leader || alive(*id)).collect();
        return becomes(state.leader, isr, state.leader_recovering);
    }
    if let Some(leader) = offline_leader(replicas, &state.isr, alive, false) {
        return becomes(leader, live_isr, state.leader_recovering);
    }
    match (offline_leader(replicas, &state.isr, alive, true), unclean) {
        (Some(_), Unclean::Unknown) => Next::AskUnclean,
        (Some(leader), Unclean::Allowed) => becomes(leader, vec![leader], true),
        _ => becomes(NO_LEADER, last_isr(replicas, &state.isr), state.leader_recovering),
    }
}

/// The last members stay in the ISR: whichever returns first has everything that was acknowledged.
fn last_isr(replicas: &[i32], isr: &[i32]) -> Vec<i32> {
    let members: Vec<i32> = isr.iter().copied().filter(|id| replicas.contains(id)).collect();
    if members.is_empty() { isr.to_vec() } else { members }
}

/// The same state in a new leader epoch.
pub fn next_epoch(state: &PartitionState, controller_epoch: i32) -> PartitionState {
    PartitionState { leader_epoch: state.leader_epoch + 1, controller_epoch, ..state.clone() }
}

#[cfg(test)]
mod tests;
