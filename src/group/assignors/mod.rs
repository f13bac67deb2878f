//! The server-side assignors of KIP-848: who shall have which partitions. Pure, and the same for the same input.
//!
//! Source: `PartitionAssignor`, `GroupSpec` of Apache Kafka 3.9.

mod range;
mod uniform;

use std::collections::{BTreeMap, BTreeSet};

use super::partitions::Partitions;
use crate::wire::Uuid;

/// A member as an assignor sees it.
#[derive(Clone, Debug, Default)]
pub struct MemberSpec {
    pub instance_id: Option<String>,
    /// Topics it reads, that exist.
    pub subscribed: BTreeSet<Uuid>,
    /// What it was to have before: an assignor that moves little keeps it.
    pub assigned: Partitions,
}

/// What there is to assign, and to whom.
#[derive(Clone, Debug, Default)]
pub struct GroupSpec {
    pub members: BTreeMap<String, MemberSpec>,
    /// Number of partitions of every topic that a member reads.
    pub topics: BTreeMap<Uuid, i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignor {
    /// As even as can be, and as few moves as can be.
    Uniform,
    /// Each topic in contiguous ranges, so that equal numbers of different topics meet in one member.
    Range,
}

impl Assignor {
    pub const ALL: [Assignor; 2] = [Assignor::Uniform, Assignor::Range];

    pub fn name(self) -> &'static str {
        match self {
            Assignor::Uniform => "uniform",
            Assignor::Range => "range",
        }
    }

    /// By its name, or by the name of Apache's class, as `group.consumer.assignors` has it.
    pub fn named(name: &str) -> Option<Assignor> {
        let class = |assignor: Assignor| match assignor {
            Assignor::Uniform => "org.apache.kafka.coordinator.group.assignor.UniformAssignor",
            Assignor::Range => "org.apache.kafka.coordinator.group.assignor.RangeAssignor",
        };
        Assignor::ALL.into_iter().find(|assignor| assignor.name() == name || class(*assignor) == name)
    }

    /// What every member shall have; each member is in the result.
    pub fn assign(self, group: &GroupSpec) -> BTreeMap<String, Partitions> {
        match self {
            Assignor::Uniform => uniform::assign(group),
            Assignor::Range => range::assign(group),
        }
    }
}

#[cfg(test)]
mod tests;
