//! Which brokers get a new partition's replicas: round robin, spread over racks where racks are known.
//!
//! Pure: where to begin is an argument, since Kafka begins at random. Source: `AdminUtils.assignReplicasToBrokers`.

use std::collections::{BTreeMap, BTreeSet};

/// A broker that can take replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: i32,
    pub rack: Option<String>,
}

/// Where the round robin begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Index of the broker that leads partition 0, taken modulo the number of brokers.
    pub leader: usize,
    /// How far the second replica of partition 0 stands from the first.
    pub shift: usize,
    /// Number of the first partition: 0, or how many the topic has already.
    pub partition: i32,
}

impl Start {
    /// For a new topic; `random` is any number.
    pub fn random(random: u64, brokers: usize) -> Start {
        let brokers = brokers.max(1) as u64;
        Start { leader: (random % brokers) as usize, shift: (random / brokers % brokers) as usize, partition: 0 }
    }

    /// For partitions that join `existing` others: begins at the first broker (of `brokers`, sorted by id) whose id is
    /// not below that of partition 0's preferred leader.
    pub fn after(existing: i32, first_replica: i32, brokers: &[Candidate]) -> Start {
        let leader = brokers.iter().position(|broker| broker.id >= first_replica).unwrap_or(0);
        Start { leader, shift: leader, partition: existing }
    }
}

/// Why there is no assignment, in Apache's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Number of partitions must be larger than 0.")]
    Partitions,
    #[error("Replication factor must be larger than 0.")]
    ReplicationFactor,
    #[error("Replication factor: {wanted} larger than available brokers: {available}.")]
    TooFewBrokers { wanted: i32, available: usize },
    #[error("Not all brokers have rack information for replica rack aware assignment.")]
    RackMissing,
}

/// The replicas of `partitions` new partitions, the preferred leader first, from partition `start.partition` on.
///
/// # Errors
/// See [`Error`].
pub fn assign(
    brokers: &[Candidate],
    partitions: i32,
    replication_factor: i32,
    start: Start,
) -> Result<Vec<Vec<i32>>, Error> {
    if partitions <= 0 {
        return Err(Error::Partitions);
    }
    if replication_factor <= 0 {
        return Err(Error::ReplicationFactor);
    }
    let factor = replication_factor as usize;
    if factor > brokers.len() {
        return Err(Error::TooFewBrokers { wanted: replication_factor, available: brokers.len() });
    }
    let racks = racks_of(brokers)?;
    let order = match &racks {
        Some(racks) => alternate(brokers, racks),
        None => brokers.iter().map(|broker| broker.id).collect(),
    };
    let mut shift = start.shift;
    let first_partition = start.partition.max(0) as usize;
    let assigned = (first_partition..first_partition + partitions as usize).map(|partition| {
        if partition > 0 && partition % order.len() == 0 {
            shift += 1;
        }
        let first = (partition + start.leader) % order.len();
        match &racks {
            None => spread(&order, first, shift, factor),
            Some(racks) => spread_over_racks(&order, racks, first, shift, factor),
        }
    });
    Ok(assigned.collect())
}

/// Rack by broker id; `None` if no broker has one.
fn racks_of(brokers: &[Candidate]) -> Result<Option<BTreeMap<i32, &str>>, Error> {
    let racks: BTreeMap<i32, &str> =
        brokers.iter().filter_map(|broker| Some((broker.id, broker.rack.as_deref()?))).collect();
    match racks.len() {
        0 => Ok(None),
        n if n == brokers.len() => Ok(Some(racks)),
        _ => Err(Error::RackMissing),
    }
}

/// Broker ids so that neighbours stand in different racks: the first of each rack, then the second of each, and so on.
fn alternate(brokers: &[Candidate], racks: &BTreeMap<i32, &str>) -> Vec<i32> {
    let mut by_rack: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (id, rack) in racks {
        by_rack.entry(rack).or_default().push(*id);
    }
    let longest = by_rack.values().map(Vec::len).max().unwrap_or(0);
    let mut order = Vec::with_capacity(brokers.len());
    for nth in 0..longest {
        order.extend(by_rack.values().filter_map(|ids| ids.get(nth)));
    }
    order
}

/// Index of the `nth` further replica.
fn further(first: usize, shift: usize, nth: usize, brokers: usize) -> usize {
    (first + 1 + (shift + nth) % (brokers - 1)) % brokers
}

fn spread(order: &[i32], first: usize, shift: usize, factor: usize) -> Vec<i32> {
    let rest = (0..factor - 1).map(|nth| order[further(first, shift, nth, order.len())]);
    std::iter::once(order[first]).chain(rest).collect()
}

fn spread_over_racks(
    order: &[i32],
    racks: &BTreeMap<i32, &str>,
    first: usize,
    shift: usize,
    factor: usize,
) -> Vec<i32> {
    let rack_count = racks.values().collect::<BTreeSet<_>>().len();
    let mut replicas = vec![order[first]];
    let mut racks_used = BTreeSet::from([racks[&order[first]]]);
    let mut nth = 0;
    while replicas.len() < factor {
        let broker = order[further(first, shift * rack_count, nth, order.len())];
        nth += 1;
        let rack_is_free = !racks_used.contains(racks[&broker]) || racks_used.len() == rack_count;
        if rack_is_free && !replicas.contains(&broker) {
            replicas.push(broker);
            racks_used.insert(racks[&broker]);
        }
    }
    replicas
}

#[cfg(test)]
mod tests;
