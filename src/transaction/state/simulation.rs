//! One transactional id under everything that can happen to it: two producers that take it from one another, stores that
//! fail or fail though they succeeded, a coordinator that crashes at any point and reads its log again, markers that
//! are lost, repeated and late. A clock of its own, and a seed: the same every time.
//!
//! What must hold: a transaction's records in all partitions have the same fate, the one the producer was told of, by a
//! marker behind each; and a reader of committed data never sees a record that is aborted, nor past an open transaction.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::wire::codec::random::Source;

const PARTITIONS: usize = 3;
const TIMEOUT_MS: i32 = 1000;

/// The producer's view of one transaction: who wrote it, and its number.
type Label = (usize, u32);

#[derive(Clone, Copy, Debug)]
enum Entry {
    Data { producer_id: i64, label: Label },
    Marker { producer_id: i64, outcome: Outcome },
}

/// A partition that keeps the rules of a log: `producer_state` in miniature.
#[derive(Default)]
struct Partition {
    entries: Vec<Entry>,
    epochs: BTreeMap<i64, (i16, i32)>,
    open: BTreeMap<i64, usize>,
    markers: BTreeMap<i64, u32>,
}

impl Partition {
    fn needs_verification(&self, producer: Producer) -> bool {
        let epoch = self.epochs.get(&producer.id).map(|(epoch, _)| *epoch);
        !(self.open.contains_key(&producer.id) && epoch == Some(producer.epoch))
    }

    /// `verified_at`: how many markers there were when the coordinator was asked.
    fn append(&mut self, producer: Producer, label: Label, verified_at: Option<u32>) -> bool {
        let (epoch, coordinator) = self.epochs.get(&producer.id).copied().unwrap_or((-1, -1));
        let is_open = self.open.contains_key(&producer.id);
        let may_begin = verified_at == Some(self.markers.get(&producer.id).copied().unwrap_or_default());
        if producer.epoch < epoch || !is_open && !may_begin {
            return false;
        }
        self.epochs.insert(producer.id, (producer.epoch, coordinator));
        self.open.entry(producer.id).or_insert(self.entries.len());
        self.entries.push(Entry::Data { producer_id: producer.id, label });
        true
    }

    fn mark(&mut self, producer: Producer, outcome: Outcome, coordinator_epoch: i32) {
        let (epoch, coordinator) = self.epochs.get(&producer.id).copied().unwrap_or((-1, -1));
        if producer.epoch < epoch || coordinator_epoch < coordinator {
            return;
        }
        self.epochs.insert(producer.id, (producer.epoch, coordinator_epoch));
        self.open.remove(&producer.id);
        *self.markers.entry(producer.id).or_default() += 1;
        self.entries.push(Entry::Marker { producer_id: producer.id, outcome });
    }

    fn last_stable_offset(&self) -> usize {
        self.open.values().copied().min().unwrap_or(self.entries.len())
    }

    /// The fate of the record at `offset`, as the log tells it so far.
    fn fate(&self, offset: usize) -> Option<Outcome> {
        let Entry::Data { producer_id: of, .. } = self.entries[offset] else { return None };
        self.entries[offset..].iter().find_map(|entry| match entry {
            Entry::Marker { producer_id, outcome } if *producer_id == of => Some(*outcome),
            _ => None,
        })
    }
}

/// A process that uses the id.
#[derive(Default)]
struct Client {
    producer: Option<Producer>,
    /// What it may say next to keep its id (KIP-360).
    expected: Option<Producer>,
    transaction: u32,
    /// What it asks to add; it writes there only when that was answered.
    adding: usize,
    added: BTreeSet<usize>,
    is_ending: Option<Outcome>,
}

/// A store on its way, and who waits for it.
struct Pending {
    metadata: Metadata,
    client: Option<usize>,
    is_fence: bool,
}

struct Marker {
    to: usize,
    producer: Producer,
    outcome: Outcome,
    coordinator_epoch: i32,
}

struct World {
    random: Source,
    now_ms: i64,
    log: Vec<Metadata>,
    transaction: Transaction,
    coordinator_epoch: i32,
    pending: Option<Pending>,
    partitions: [Partition; PARTITIONS],
    markers: Vec<Marker>,
    /// Partitions whose marker is written, said to the coordinator of that epoch.
    written: Vec<(usize, i32)>,
    clients: [Client; 2],
    fresh_id: i64,
    /// A client's transaction and how it was told to have ended.
    told: BTreeMap<Label, Outcome>,
    /// Records that a reader of committed data has seen.
    seen: BTreeSet<(usize, usize)>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut transaction = Transaction::new(1, TIMEOUT_MS, 0);
        if seed.is_multiple_of(3) {
            // Not far from the last epoch.
            let near_the_end = Metadata { producer_epoch: EPOCH_EXHAUSTED - 3, ..transaction.metadata().clone() };
            transaction = Transaction::loaded(near_the_end);
        }
        World {
            random: Source::new(seed, false),
            now_ms: 0,
            log: vec![transaction.metadata().clone()],
            transaction,
            coordinator_epoch: 0,
            pending: None,
            partitions: Default::default(),
            markers: Vec::new(),
            written: Vec::new(),
            clients: Default::default(),
            fresh_id: 2,
            told: BTreeMap::new(),
            seen: BTreeSet::new(),
        }
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    fn step(&mut self) {
        self.now_ms += 10;
        // The second comes seldom: each time it does, the first is fenced.
        let client = usize::from(self.chance(16));
        match self.random.below(16) {
            0 if self.clients[client].producer.is_none() || self.chance(10) => self.init(client),
            1 | 2 => self.add(client),
            3..=6 => self.write(client),
            7 => self.end(client),
            8..=10 => self.settle_store(),
            11 => self.work_on_markers(),
            12..=14 => self.deliver_marker(),
            15 if self.chance(8) => self.crash(),
            15 if self.chance(20) => self.now_ms += i64::from(TIMEOUT_MS),
            _ => self.tick(),
        }
        self.read();
    }

    fn decided(&mut self, client: usize, decision: Decision) -> Option<ErrorCode> {
        match decision {
            Decision::Done(error) => Some(error),
            Decision::Store(metadata) => {
                self.pending = Some(Pending { metadata, client: Some(client), is_fence: false });
                None
            }
            Decision::Fence { store, .. } => {
                self.pending = Some(Pending { metadata: store, client: None, is_fence: true });
                Some(ErrorCode::CONCURRENT_TRANSACTIONS)
            }
        }
    }

    fn init(&mut self, client: usize) {
        if self.pending.is_some() {
            return;
        }
        let expected = if self.chance(2) { self.clients[client].expected } else { None };
        self.fresh_id += 1;
        let (fresh_id, now_ms) = (self.fresh_id, self.now_ms);
        let decision = self.transaction.init_producer_id(expected, TIMEOUT_MS, fresh_id, now_ms);
        let this = &mut self.clients[client];
        // Whatever it was doing, it does not know how that ended.
        *this = Client { expected: this.expected, transaction: this.transaction + 1, ..Client::default() };
        let _refused = self.decided(client, decision);
    }

    fn add(&mut self, client: usize) {
        let Some(producer) = self.clients[client].producer else { return };
        if self.pending.is_some() || self.clients[client].is_ending.is_some() {
            return;
        }
        let partition = self.random.below(PARTITIONS as u64) as usize;
        let name = TopicPartition::new("t", partition as i32);
        let decision = self.transaction.add_partitions(producer, [name], self.now_ms);
        self.clients[client].adding = partition;
        match self.decided(client, decision) {
            Some(ErrorCode::NONE) => _ = self.clients[client].added.insert(partition),
            None | Some(ErrorCode::CONCURRENT_TRANSACTIONS) => {}
            Some(_) => self.clients[client].producer = None,
        }
    }

    fn write(&mut self, client: usize) {
        let this = &self.clients[client];
        let (Some(producer), None) = (this.producer, this.is_ending) else { return };
        let count = this.added.len() as u64;
        let Some(&to) = this.added.iter().nth(self.random.below(count.max(1)) as usize) else { return };
        let label = (client, self.clients[client].transaction);
        let mut verified_at = None;
        if self.partitions[to].needs_verification(producer) {
            verified_at = Some(self.partitions[to].markers.get(&producer.id).copied().unwrap_or_default());
            let name = TopicPartition::new("t", to as i32);
            if !self.transaction.verify_partition(producer, &name).is_ok() {
                return;
            }
            // The answer takes its time.
            for _ in 0..self.random.below(6) {
                match self.random.below(3) {
                    0 => self.settle_store(),
                    1 => self.work_on_markers(),
                    _ => self.deliver_marker(),
                }
            }
        }
        self.partitions[to].append(producer, label, verified_at);
    }

    fn end(&mut self, client: usize) {
        let Some(producer) = self.clients[client].producer else { return };
        if self.pending.is_some() || self.clients[client].added.is_empty() {
            return;
        }
        let fresh = if self.chance(2) { Outcome::Commit } else { Outcome::Abort };
        let outcome = *self.clients[client].is_ending.get_or_insert(fresh);
        let decision = self.transaction.end(producer, outcome, self.now_ms);
        match self.decided(client, decision) {
            None | Some(ErrorCode::CONCURRENT_TRANSACTIONS) => {}
            Some(ErrorCode::NONE) => self.ended(client, outcome),
            Some(_) => self.clients[client].producer = None,
        }
    }

    /// The client is told that its transaction has ended, and begins the next.
    fn ended(&mut self, client: usize, outcome: Outcome) {
        let this = &mut self.clients[client];
        self.told.insert((client, this.transaction), outcome);
        this.transaction += 1;
        this.added.clear();
        this.is_ending = None;
    }

    /// The store succeeds, fails, or fails as far as the coordinator can see.
    fn settle_store(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        match self.random.below(8) {
            0 => return self.transaction.not_stored(),
            1 => {
                self.log.push(pending.metadata);
                return self.transaction.not_stored();
            }
            _ => {}
        }
        self.log.push(pending.metadata.clone());
        self.transaction.stored();
        let (Some(client), false) = (pending.client, pending.is_fence) else { return };
        // Every fourth answer is lost.
        if self.chance(4) {
            return;
        }
        let given = Producer { id: pending.metadata.producer_id, epoch: pending.metadata.producer_epoch };
        match pending.metadata.state {
            State::Empty => {
                let this = &mut self.clients[client];
                (this.producer, this.expected) = (Some(given), Some(given));
            }
            State::Ongoing => {
                let adding = self.clients[client].adding;
                self.clients[client].added.insert(adding);
            }
            State::PrepareCommit => self.ended(client, Outcome::Commit),
            State::PrepareAbort => self.ended(client, Outcome::Abort),
            _ => {}
        }
    }

    /// What `spawn_markers` does: markers to those that have none, then Complete.
    fn work_on_markers(&mut self) {
        if !self.written.is_empty() {
            let at = self.random.below(self.written.len() as u64) as usize;
            let (partition, coordinator_epoch) = self.written.swap_remove(at);
            if coordinator_epoch == self.coordinator_epoch {
                self.transaction.marker_done(&TopicPartition::new("t", partition as i32));
            }
        }
        let Some(outcome) = self.transaction.ending().filter(|_| self.pending.is_none()) else { return };
        let metadata = self.transaction.metadata().clone();
        if metadata.partitions.is_empty() {
            // Answers of this epoch to markers sent twice come before the loop that sent them ends.
            self.written.retain(|(_, epoch)| *epoch != self.coordinator_epoch);
            self.markers.retain(|marker| marker.coordinator_epoch != self.coordinator_epoch);
            if let Some(metadata) = self.transaction.complete(self.now_ms) {
                self.pending = Some(Pending { metadata, client: None, is_fence: false });
            }
            return;
        }
        let producer = Producer { id: metadata.producer_id, epoch: metadata.producer_epoch };
        for of in &metadata.partitions {
            let (to, coordinator_epoch) = (of.partition as usize, self.coordinator_epoch);
            self.markers.push(Marker { to, producer, outcome, coordinator_epoch });
        }
    }

    fn deliver_marker(&mut self) {
        if self.markers.is_empty() {
            return;
        }
        let at = self.random.below(self.markers.len() as u64) as usize;
        let marker = self.markers.swap_remove(at);
        // A request that is lost, or an answer that is.
        if self.chance(5) {
            return;
        }
        self.partitions[marker.to].mark(marker.producer, marker.outcome, marker.coordinator_epoch);
        if !self.chance(5) {
            self.written.push((marker.to, marker.coordinator_epoch));
        }
    }

    /// Another broker reads the log; a store on its way may have got there.
    fn crash(&mut self) {
        if let Some(pending) = self.pending.take()
            && self.chance(2)
        {
            self.log.push(pending.metadata);
        }
        self.coordinator_epoch += 1;
        self.transaction = Transaction::loaded(self.log.last().unwrap().clone());
    }

    fn tick(&mut self) {
        if let Some(metadata) = self.transaction.abort_if_timed_out(self.now_ms) {
            self.pending = Some(Pending { metadata, client: None, is_fence: true });
        }
    }

    /// Reads committed data of every partition.
    fn read(&mut self) {
        for (index, partition) in self.partitions.iter().enumerate() {
            for offset in 0..partition.last_stable_offset() {
                let is_data = matches!(partition.entries[offset], Entry::Data { .. });
                if is_data {
                    let fate = partition.fate(offset).expect("no open transaction below the last stable offset");
                    if fate == Outcome::Commit {
                        self.seen.insert((index, offset));
                    }
                }
            }
        }
    }

    /// Lets everything come to its end, and looks at what came of it.
    fn finish(mut self, seed: u64) -> (usize, usize) {
        self.now_ms += i64::from(TIMEOUT_MS);
        for _ in 0..2000 {
            match self.random.below(4) {
                0 if self.pending.is_none() => self.tick(),
                0 | 1 => self.settle_store(),
                2 => self.work_on_markers(),
                _ => self.deliver_marker(),
            }
            self.read();
        }
        let state = self.transaction.metadata().state;
        let is_at_rest = matches!(state, State::Empty | State::CompleteCommit | State::CompleteAbort);
        assert!(is_at_rest, "seed {seed}: the transaction does not come to rest: {state:?}");
        let mut fates: BTreeMap<Label, BTreeSet<bool>> = BTreeMap::new();
        for (index, partition) in self.partitions.iter().enumerate() {
            assert!(partition.open.is_empty(), "seed {seed}: partition {index} has an open transaction");
            for (offset, entry) in partition.entries.iter().enumerate() {
                if let Entry::Data { label, .. } = entry {
                    let committed = partition.fate(offset) == Some(Outcome::Commit);
                    fates.entry(*label).or_default().insert(committed);
                    let seen = self.seen.contains(&(index, offset));
                    assert_eq!(committed, seen, "seed {seed}: {entry:?} at {offset} of {index}");
                }
            }
        }
        for (label, fate) in &fates {
            assert_eq!(fate.len(), 1, "seed {seed}: transaction {label:?} was torn apart");
            if let Some(told) = self.told.get(label) {
                let committed = *told == Outcome::Commit;
                assert!(fate.contains(&committed), "seed {seed}: {label:?} was told {told:?}");
            }
        }
        (fates.len(), fates.values().filter(|fate| fate.contains(&true)).count())
    }
}

#[test]
fn a_transaction_is_all_or_nothing_whatever_happens() {
    let (mut transactions, mut committed) = (0, 0);
    for seed in 1..=120 {
        let mut world = World::new(seed);
        for _ in 0..1000 {
            world.step();
        }
        let (all, of_them) = world.finish(seed);
        transactions += all;
        committed += of_them;
    }
    // The simulation is worth something only if much happens in it.
    assert!(transactions > 250 && committed > 60, "{transactions} transactions, {committed} of them committed");
}
