//! Which partition a record without a key goes to; with one, librdkafka's partitioner decides (murmur2, as Java's).
//!
//! Java fills one partition with `batch.size` bytes and then goes on to another that has a leader. librdkafka's way
//! is to ask its partitioner for every record, which took a third of the CPU of a million short ones.
//!
//! Source: `BuiltInPartitioner` of 3.9 (KIP-794), `RoundRobinPartitioner`.

use std::hash::{BuildHasher, Hasher, RandomState};

/// `RD_KAFKA_PARTITION_UA`: librdkafka's partitioner chooses.
pub const UNASSIGNED: i32 = -1;

/// What Java counts for a record beside its key and value, roughly.
const RECORD_OVERHEAD: usize = 10;

/// Chooses partitions; until it knows of any, librdkafka does.
pub struct Placement {
    /// With a leader, as far as we know.
    available: Vec<i32>,
    /// Index into `available`.
    current: usize,
    bytes_left: usize,
    batch_bytes: usize,
    keys: Keys,
    random: u64,
}

/// What keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// Equal keys to equal partitions.
    Decide,
    /// `partitioner.ignore.keys`.
    Ignored,
    /// `RoundRobinPartitioner`: every record to the next partition.
    InTurn,
}

impl Placement {
    pub fn new(keys: Keys, batch_bytes: usize) -> Placement {
        let random = RandomState::new().build_hasher().finish() | 1;
        Placement { available: Vec::new(), current: 0, bytes_left: 0, batch_bytes, keys, random }
    }

    /// Takes note of the partitions that have a leader. The one being filled is kept if it still has.
    pub fn set_available(&mut self, available: Vec<i32>) {
        if available == self.available {
            return;
        }
        let filling = self.available.get(self.current);
        let kept = filling.and_then(|partition| available.iter().position(|other| other == partition));
        match kept {
            Some(at) => self.current = at,
            None => (self.current, self.bytes_left) = (0, 0),
        }
        self.available = available;
    }

    /// Returns the partition for a record with or without key, of so many bytes.
    pub fn place(&mut self, has_key: bool, size: usize) -> i32 {
        let count = self.available.len();
        let is_partitioners = has_key && self.keys == Keys::Decide;
        if count == 0 || is_partitioners {
            return UNASSIGNED;
        }
        if self.keys == Keys::InTurn {
            self.current = (self.current + 1) % count;
        } else if self.bytes_left == 0 {
            self.current = self.next_random() as usize % count;
            self.bytes_left = self.batch_bytes;
        }
        self.bytes_left = self.bytes_left.saturating_sub(size + RECORD_OVERHEAD);
        self.available[self.current]
    }

    /// xorshift64; the state is never 0.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random >> 16
    }
}
