//! The newest offset of every key in a stretch of a log, in bounded memory. Pure.
//!
//! Keys are not kept, only 128 bits of their hash: 24 bytes an entry with the offset, as in Apache Kafka. Two keys with
//! one hash would cost one of them its record, so the hash is keyed with secrets of this process: nobody can prepare
//! such keys.
//!
//! Source: `SkimpyOffsetMap`.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Bytes of memory an entry takes.
pub const ENTRY: usize = 24;

/// Hash, hash, offset + 1; an empty slot is all zeros, which the kernel gives without being asked to write them.
type Slot = [u64; 3];

pub struct OffsetMap {
    slots: Vec<Slot>,
    /// Entries beyond which the map calls itself full.
    max_entries: usize,
    entries: usize,
    latest_offset: i64,
    hashes: [RandomState; 2],
}

/// The map has no room for another key.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl OffsetMap {
    /// A map for at most `keys` keys, within `memory` bytes filled to `load_factor` at most. It takes no more memory
    /// than so many keys need.
    pub fn new(memory: usize, load_factor: f64, keys: u64) -> OffsetMap {
        let load_factor = load_factor.clamp(0.01, 1.0);
        let affordable = (memory / ENTRY).max(2);
        let needed = (keys as f64 / load_factor).ceil() as u64 + 1;
        let slots = needed.min(affordable as u64).max(2) as usize;
        // An empty slot must be left, or the search for a key that is not there would not end.
        let max_entries = ((slots as f64 * load_factor) as usize).clamp(1, slots - 1);
        OffsetMap {
            slots: vec![[0; 3]; slots],
            max_entries,
            entries: 0,
            latest_offset: -1,
            hashes: [RandomState::new(), RandomState::new()],
        }
    }

    /// Keys in the map.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// The map speaks for every record up to here.
    pub fn latest_offset(&self) -> i64 {
        self.latest_offset
    }

    /// Says that everything up to `offset` has been seen.
    pub fn update_latest_offset(&mut self, offset: i64) {
        self.latest_offset = offset;
    }

    /// Notes that `key` was seen at `offset`, later than all before.
    ///
    /// # Errors
    /// `Full`, even if the key is there already: what is left of the log waits for another round.
    pub fn put(&mut self, key: &[u8], offset: i64) -> Result<(), Full> {
        if self.entries >= self.max_entries {
            return Err(Full);
        }
        let (at, found) = self.slot_of(key);
        if !found {
            self.entries += 1;
        }
        self.slots[at][2] = offset as u64 + 1;
        self.latest_offset = offset;
        Ok(())
    }

    /// The newest offset of `key`; None if it was not seen.
    pub fn get(&self, key: &[u8]) -> Option<i64> {
        let hash = self.hash(key);
        let at = self.probe(hash);
        (self.slots[at][2] != 0).then(|| self.slots[at][2] as i64 - 1)
    }

    fn slot_of(&mut self, key: &[u8]) -> (usize, bool) {
        let hash = self.hash(key);
        let at = self.probe(hash);
        let found = self.slots[at][2] != 0;
        (self.slots[at][0], self.slots[at][1]) = (hash[0], hash[1]);
        (at, found)
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        [0, 1].map(|which: usize| {
            let mut hasher = self.hashes[which].build_hasher();
            hasher.write(key);
            hasher.finish()
        })
    }

    /// The slot that has this hash, or the empty one where it would be.
    fn probe(&self, hash: [u64; 2]) -> usize {
        let mut at = (hash[0] % self.slots.len() as u64) as usize;
        loop {
            let slot = &self.slots[at];
            if slot[2] == 0 || (slot[0] == hash[0] && slot[1] == hash[1]) {
                return at;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }
}
