//! What `--describe` prints of topics and partitions, and which of them a filter lets through.

use std::collections::HashSet;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use crate::cli::Io;
use crate::cli::args::Matches;
use crate::cli::output::{Field, Output, write_table};
use crate::wire::Uuid;

/// What one topic has to show: its own line, those of its partitions, or what a filter leaves of them.
#[derive(Debug, Clone, Default)]
pub(in crate::cli) struct Section {
    pub topic: Option<TopicLine>,
    pub partitions: Vec<PartitionLine>,
}

/// Prints a description in the shape that is asked for.
pub(in crate::cli) fn print_sections(sections: &[Section], io: &mut Io) -> io::Result<()> {
    match io.output {
        Output::Plain => {
            for section in sections {
                section.topic.iter().try_for_each(|line| line.print(io.stdout))?;
                section.partitions.iter().try_for_each(|line| line.print(io.stdout))?;
            }
        }
        Output::Table => print_tables(sections, io)?,
        Output::Json => {
            io.document.set("action", "describe");
            io.document.set("topics", sections.iter().map(Section::to_json).collect::<Vec<_>>());
        }
    }
    Ok(())
}

/// One table of topics, one of partitions, with only those columns that say something.
fn print_tables(sections: &[Section], io: &mut Io) -> io::Result<()> {
    let topics: Vec<&TopicLine> = sections.iter().filter_map(|section| section.topic.as_ref()).collect();
    let partitions: Vec<&PartitionLine> = sections.iter().flat_map(|section| &section.partitions).collect();
    if !topics.is_empty() {
        // A narrow terminal is better filled with configs.
        let has_id = io.terminal.width >= 100 && topics.iter().any(|topic| !topic.topic_id.is_zero());
        let mut header = vec!["TOPIC", "PARTITIONS", "REPLICAS"];
        header.extend(has_id.then_some("ID"));
        header.push("CONFIGS");
        let row = |topic: &&TopicLine| -> Vec<Field> {
            let (partitions, replicas) = (topic.partition_count.into(), topic.replication_factor.into());
            let mut row = vec![(&topic.topic).into(), partitions, replicas];
            row.extend(has_id.then(|| topic.topic_id.into()));
            row.push(topic.configs.join(" ").into());
            row
        };
        write_table(io.stdout, &io.terminal, &header, topics.iter().map(row))?;
    }
    if partitions.is_empty() {
        return Ok(());
    }
    if !topics.is_empty() {
        writeln!(io.stdout)?;
    }
    let is_moving = partitions.iter().any(|partition| partition.reassignment.is_some());
    let has_elr = partitions.iter().any(|p| matches!(&p.elr, Elr::Known { elr, .. } if !elr.is_empty()));
    let mut header = vec!["TOPIC", "PARTITION", "LEADER", "REPLICAS", "ISR"];
    header.extend(if is_moving { &["ADDING", "REMOVING"][..] } else { &[] });
    header.extend(has_elr.then_some("ELR"));
    let row = |partition: &&PartitionLine| -> Vec<Field> {
        let leader = partition.leader.map_or("none".to_owned(), |leader| leader.to_string());
        let is_short = partition.isr.len() < partition.replication_factor();
        let mut row = vec![
            (&partition.topic).into(),
            partition.partition.into(),
            Field { text: leader, is_bad: partition.leader.is_none() },
            ids(&partition.replicas).into(),
            Field { text: ids(&partition.isr), is_bad: is_short },
        ];
        if is_moving {
            let moving = partition.reassignment.as_ref();
            row.push(moving.map_or(String::new(), |moving| ids(&moving.adding)).into());
            row.push(moving.map_or(String::new(), |moving| ids(&moving.removing)).into());
        }
        if let (true, Elr::Known { elr, .. }) = (has_elr, &partition.elr) {
            row.push(ids(elr).into());
        }
        row
    };
    write_table(io.stdout, &io.terminal, &header, partitions.iter().map(row))
}

impl Section {
    fn to_json(&self) -> Value {
        let mut object = Map::new();
        let name = self.topic.as_ref().map(|line| &line.topic);
        let name = name.or(self.partitions.first().map(|line| &line.topic)).cloned().unwrap_or_default();
        object.insert("topic".to_owned(), name.into());
        if let Some(line) = &self.topic {
            let id = if line.topic_id.is_zero() { Value::Null } else { line.topic_id.to_string().into() };
            object.insert("topic_id".to_owned(), id);
            object.insert("partition_count".to_owned(), line.partition_count.into());
            object.insert("replication_factor".to_owned(), line.replication_factor.into());
            let configs = line.configs.iter().map(|config| {
                let (name, value) = config.split_once('=').unwrap_or((config, ""));
                (name.to_owned(), Value::from(value))
            });
            object.insert("configs".to_owned(), Value::Object(configs.collect()));
            object.insert("marked_for_deletion".to_owned(), line.marked_for_deletion.into());
        }
        object.insert("partitions".to_owned(), self.partitions.iter().map(PartitionLine::to_json).collect());
        Value::Object(object)
    }
}

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

    fn to_json(&self) -> Value {
        let (adding, removing) = match &self.reassignment {
            Some(moving) => (moving.adding.as_slice(), moving.removing.as_slice()),
            None => (&[][..], &[][..]),
        };
        let (elr, last_known) = match &self.elr {
            Elr::Known { elr, last_known } => (Some(elr), Some(last_known)),
            Elr::NotShown | Elr::Unknown => (None, None),
        };
        json!({
            "partition": self.partition,
            "leader": self.leader,
            "replicas": self.replicas,
            "isr": self.isr,
            "adding_replicas": adding,
            "removing_replicas": removing,
            "elr": elr,
            "last_known_elr": last_known,
        })
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
