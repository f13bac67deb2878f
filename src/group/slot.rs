//! A group in its place: of whichever protocol it is now, with its offsets.

use super::classic::ClassicGroup;
use super::consumer::ConsumerGroup;
use super::offsets::{Expiry, Offsets};
use super::records::Record;

pub(super) struct Slot {
    pub group: Group,
    pub offsets: Offsets,
    /// As it stands in the coordinator's deadlines.
    pub deadline_ms: Option<i64>,
}

/// A group of either protocol. One that only ever committed offsets is a classic group without members.
pub(super) enum Group {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

impl Slot {
    pub fn new(group: Group) -> Slot {
        Slot { group, offsets: Offsets::default(), deadline_ms: None }
    }

    /// Whether nothing is left that a coordinator would have to remember.
    pub fn is_forgettable(&self) -> bool {
        self.offsets.is_empty() && !self.group.has_members()
    }
}

impl Group {
    pub fn has_members(&self) -> bool {
        match self {
            Group::Classic(group) => group.has_members(),
            Group::Consumer(group) => group.has_members(),
        }
    }

    pub fn next_deadline_ms(&self) -> Option<i64> {
        match self {
            Group::Classic(group) => group.next_deadline_ms(),
            Group::Consumer(group) => group.next_deadline_ms(),
        }
    }

    pub fn state_name(&self) -> &'static str {
        match self {
            Group::Classic(group) => group.state().name(),
            Group::Consumer(group) => group.state_name(),
        }
    }

    /// As ListGroups 5 names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Group::Classic(_) => "classic",
            Group::Consumer(_) => "consumer",
        }
    }

    pub fn protocol_type(&self) -> &str {
        match self {
            Group::Classic(group) => group.protocol_type(),
            Group::Consumer(_) => "consumer",
        }
    }

    /// Whether a member reads `topic`, so that its offsets must not be deleted.
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        match self {
            Group::Classic(group) => group.is_subscribed_to(topic),
            Group::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    pub fn expiry(&self) -> Expiry {
        match self {
            Group::Classic(group) => group.expiry(),
            Group::Consumer(_) => Expiry::SinceCommit,
        }
    }

    /// The records that delete the group, without its offsets.
    pub fn tombstones(&self) -> Vec<Record> {
        match self {
            // A group that never had a generation has nothing in the log.
            Group::Classic(group) if group.generation_id() == 0 => Vec::new(),
            Group::Classic(group) => vec![Record::Group { group_id: group.group_id.clone(), value: None }],
            Group::Consumer(group) => group.tombstones(),
        }
    }
}
