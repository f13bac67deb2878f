//! Which brokers get the replicas of new partitions.
//!
//! First replicas go round the brokers from a random start; the others follow at a distance that grows with every
//! round, so that a broker's partitions have their followers spread over all others. With racks, the brokers are
//! first sorted so that neighbours are in different racks, and a rack gets a second replica only when all have one.
//!
//! Source: `AdminUtils.assignReplicasToBrokers` of 2.8.

use std::collections::{BTreeMap, BTreeSet};

use super::Failure;

/// A live broker; brokers come sorted by id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broker {
    pub id: i32,
    pub rack: Option<String>,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// The place of the first replica of partition 0 among the brokers.
    pub index: usize,
    /// The distance of the second replica, less one.
    pub shift: usize,
}

/// Returns the replicas of `count` partitions, numbered from `first`.
///
/// # Errors
/// No partition, no replica, or more replicas than brokers; racks known of some brokers only.
pub fn assign_replicas(
    brokers: &[Broker],
    count: i32,
    replication_factor: i32,
    first: i32,
    start: Start,
) -> Result<BTreeMap<i32, Vec<i32>>, Failure> {
    let refuse =
        |class: &str, message: String| Err(Failure::new(&format!("org.apache.kafka.common.errors.{class}"), message));
    if count <= 0 {
        return refuse("InvalidPartitionsException", "Number of partitions must be larger than 0.".to_owned());
    }
    if replication_factor <= 0 {
        return refuse("InvalidReplicationFactorException", "Replication factor must be larger than 0.".to_owned());
    }
    let factor = replication_factor as usize;
    if factor > brokers.len() {
        let message = format!("Replication factor: {factor} larger than available brokers: {}.", brokers.len());
        return refuse("InvalidReplicationFactorException", message);
    }
    let with_rack = brokers.iter().filter(|broker| broker.rack.is_some()).count();
    if with_rack != 0 && with_rack != brokers.len() {
        return Err(Failure::new(
            "kafka.admin.AdminOperationException",
            "Not all brokers have rack information for replica rack aware assignment.",
        ));
    }
    let ring = Ring::new(brokers);
    let mut shift = start.shift;
    let rows = (first..).take(count as usize).map(|partition| {
        if partition > 0 && (partition as usize).is_multiple_of(brokers.len()) {
            shift += 1;
        }
        (partition, ring.replicas((partition as usize + start.index) % brokers.len(), shift, factor))
    });
    Ok(rows.collect())
}

/// The brokers in the order in which first replicas go round.
struct Ring<'a> {
    brokers: Vec<&'a Broker>,
    racks: usize,
}

impl<'a> Ring<'a> {
    fn new(brokers: &'a [Broker]) -> Ring<'a> {
        let mut by_rack: BTreeMap<Option<&str>, Vec<&Broker>> = BTreeMap::new();
        for broker in brokers {
            by_rack.entry(broker.rack.as_deref()).or_default().push(broker);
        }
        let largest = by_rack.values().map(Vec::len).max().unwrap_or(0);
        // The first of each rack, the second of each rack, and so on; without racks all are in one.
        let ring = (0..largest).flat_map(|nth| by_rack.values().filter_map(move |rack| rack.get(nth)));
        Ring { brokers: ring.copied().collect(), racks: by_rack.len() }
    }

    fn replicas(&self, first: usize, shift: usize, factor: usize) -> Vec<i32> {
        let leader = self.brokers[first];
        let mut replicas = vec![leader.id];
        let mut racks = BTreeSet::from([leader.rack.as_deref()]);
        // Over racks the distance grows by whole rounds of racks, or it would be the same rack every time.
        let shift = if self.racks > 1 { shift * self.racks } else { shift };
        let mut step = 0;
        while replicas.len() < factor {
            let broker = self.brokers[self.follower(first, shift + step)];
            step += 1;
            let rack_is_due = !racks.contains(&broker.rack.as_deref()) || racks.len() == self.racks;
            if rack_is_due && !replicas.contains(&broker.id) {
                replicas.push(broker.id);
                racks.insert(broker.rack.as_deref());
            }
        }
        replicas
    }

    /// Any place but the first's.
    fn follower(&self, first: usize, distance: usize) -> usize {
        let others = self.brokers.len() - 1;
        (first + 1 + distance % others) % self.brokers.len()
    }
}
