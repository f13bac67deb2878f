//! What `--describe` prints of topics and partitions, and which of them a filter lets through.

use std::collections::HashSet;
use std::io::{self, Write};

use crate::cli::args::Matches;
use crate::wire::Uuid;

/// The line of a topic.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct TopicLine {
    pub topic: String,
    /// Not shown when it is zero.
    pub topic_id: Uuid,
    pub partition_count: usize,
    pub replication_factor: usize,
    /// `name=value`.
    pub configs: Vec<String>,
    pub marked_for_deletion: bool,
}

/// The line of a partition.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct PartitionLine {
    pub topic: String,
    pub partition: i32,
    pub leader: Option<i32>,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub reassignment: Option<Reassignment>,
    pub elr: Elr,
    pub marked_for_deletion: bool,
    /// `min.insync.replicas`; `None` where it is not known (ZooKeeper).
    pub min_isr: Option<usize>,
}

/// What is under way with a partition.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Reassignment {
    /// The targets and the old ones.
    pub replicas: Vec<i32>,
    pub adding: Vec<i32>,
    pub removing: Vec<i32>,
}

/// The eligible leader replicas (KIP-966) and the last ones known.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) enum Elr {
    /// As before 3.8.
    #[default]
    NotShown,
    /// The broker does not know them.
    Unknown,
    Known {
        elr: Vec<i32>,
        last_known: Vec<i32>,
    },
}

/// Which lines are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::cli) struct Filter {
    pub under_replicated: bool,
    pub unavailable: bool,
    pub under_min_isr: bool,
    pub at_min_isr: bool,
    pub with_overrides: bool,
}

impl Filter {
    pub fn new(matches: &Matches) -> Filter {
        Filter {
            under_replicated: matches.has("under-replicated-partitions"),
            unavailable: matches.has("unavailable-partitions"),
            under_min_isr: matches.has("under-min-isr-partitions"),
            at_min_isr: matches.has("at-min-isr-partitions"),
            with_overrides: matches.has("topics-with-overrides"),
        }
    }

    fn chooses_partitions(&self) -> bool {
        self.under_replicated || self.unavailable || self.under_min_isr || self.at_min_isr
    }

    /// Whether the topic's own line is wanted.
    pub fn shows_topic(&self, has_overrides: bool) -> bool {
        !self.chooses_partitions() && (!self.with_overrides || has_overrides)
    }

    /// Whether any line of a partition can be wanted.
    pub fn shows_partitions(&self) -> bool {
        !self.with_overrides
    }

    /// Whether the partition's line is wanted; of several filters one is enough.
    pub fn shows_partition(&self, line: &PartitionLine, live_brokers: &HashSet<i32>) -> bool {
        let available = line.leader.is_some_and(|leader| live_brokers.contains(&leader));
        !self.chooses_partitions()
            || self.under_replicated && line.isr.len() < line.replication_factor()
            || self.unavailable && !available
            || self.under_min_isr && line.is_under_min_isr()
            || self.at_min_isr && line.min_isr == Some(line.isr.len())
    }
}

impl PartitionLine {
    /// Replicas without those that a reassignment is adding.
    pub fn replication_factor(&self) -> usize {
        replication_factor(&self.replicas, self.reassignment.as_ref())
    }

    fn is_under_min_isr(&self) -> bool {
        self.leader.is_none() || self.min_isr.is_some_and(|min_isr| self.isr.len() < min_isr)
    }

    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "\tTopic: {}\tPartition: {}", self.topic, self.partition)?;
        match self.leader {
            Some(leader) => write!(out, "\tLeader: {leader}")?,
            None => out.write_all(b"\tLeader: none")?,
        }
        write!(out, "\tReplicas: {}\tIsr: {}", ids(&self.replicas), ids(&self.isr))?;
        if let Some(Reassignment { adding, removing, .. }) = &self.reassignment {
            write!(out, "\tAdding Replicas: {}\tRemoving Replicas: {}", ids(adding), ids(removing))?;
        }
        match &self.elr {
            Elr::NotShown => {}
            Elr::Unknown => out.write_all(b"\tElr: N/A\tLastKnownElr: N/A")?,
            Elr::Known { elr, last_known } => write!(out, "\tElr: {}\tLastKnownElr: {}", ids(elr), ids(last_known))?,
        }
        print_mark(out, self.marked_for_deletion)
    }
}

impl TopicLine {
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "Topic: {}", self.topic)?;
        if !self.topic_id.is_zero() {
            write!(out, "\tTopicId: {}", self.topic_id)?;
        }
        write!(
            out,
            "\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}",
            self.partition_count,
            self.replication_factor,
            self.configs.join(",")
        )?;
        print_mark(out, self.marked_for_deletion)
    }
}

/// Replicas without those that a reassignment is adding. One that was over before the replicas were read says nothing.
pub(in crate::cli) fn replication_factor(replicas: &[i32], reassignment: Option<&Reassignment>) -> usize {
    let under_way = |r: &&Reassignment| replicas.iter().any(|id| r.adding.contains(id) || r.removing.contains(id));
    match reassignment.filter(under_way) {
        Some(reassignment) => reassignment.replicas.len().saturating_sub(reassignment.adding.len()),
        None => replicas.len(),
    }
}

fn print_mark(out: &mut dyn Write, marked_for_deletion: bool) -> io::Result<()> {
    out.write_all(if marked_for_deletion { b"\tMarkedForDeletion: true\n" } else { b"\n" })
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}
