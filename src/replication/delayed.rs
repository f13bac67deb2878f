//! Requests that wait for a partition to move: fetches for data, produces with acks=all for followers, record
//! deletions for replicas.
//!
//! A request parks at each of its partitions; whatever moves a partition wakes those parked there, and each looks
//! again for itself whether its wait is over. While nothing moves, nothing runs. To miss no move, a request parks
//! first and looks afterwards.
//!
//! Source: `DelayedOperationPurgatory`, `DelayedFetch`, `DelayedProduce`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use slab::Slab;
use tokio::sync::Notify;

/// What about a partition has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The log has grown; what is new is not committed yet.
    LogEnd,
    /// The high watermark or the log start has moved.
    HighWatermark,
    /// Leadership, epoch, or the replica itself has changed: everybody has to look.
    Leadership,
}

/// What a parked request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// Records beyond the high watermark: a follower's fetch.
    LogEnd,
    /// The high watermark: a consumer's fetch, a produce with acks=all.
    HighWatermark,
}

impl Awaits {
    fn is_met_by(self, moved: Moved) -> bool {
        match moved {
            Moved::Leadership => true,
            Moved::LogEnd => self == Awaits::LogEnd,
            // What an appended record is worth to a follower was told when the log grew.
            Moved::HighWatermark => true,
        }
    }
}

/// Who is parked at one partition.
#[derive(Debug, Default)]
pub struct Parking {
    parked: Mutex<Slab<(Awaits, Arc<Notify>)>>,
    /// So that an append to a partition where nobody waits need not lock. It is raised before the parked request
    /// looks at the partition, and read after the partition has moved; both happen around the partition's own lock.
    count: AtomicUsize,
}

impl Parking {
    /// Wakes whom this concerns.
    pub fn wake(&self, moved: Moved) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for (_, (awaits, request)) in self.parked.lock().iter() {
            if awaits.is_met_by(moved) {
                request.notify_one();
            }
        }
    }

    /// How many requests are parked.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn enter(&self, awaits: Awaits, request: Arc<Notify>) -> usize {
        let mut parked = self.parked.lock();
        let key = parked.insert((awaits, request));
        self.count.store(parked.len(), Ordering::Release);
        key
    }

    fn leave(&self, key: usize) {
        let mut parked = self.parked.lock();
        parked.try_remove(key);
        if parked.is_empty() {
            // A partition where nobody waits keeps no memory for it.
            *parked = Slab::new();
        }
        self.count.store(parked.len(), Ordering::Release);
    }
}

/// A request that is parked at some partitions, until it is dropped.
#[derive(Debug)]
pub struct Parked {
    request: Arc<Notify>,
    places: Vec<(Arc<Parking>, usize)>,
}

impl Parked {
    /// Parks at each of `partitions`. Look at them after this, not before.
    pub fn at(partitions: impl IntoIterator<Item = Arc<Parking>>, awaits: Awaits) -> Parked {
        let request = Arc::new(Notify::new());
        let enter = |parking: Arc<Parking>| {
            let key = parking.enter(awaits, request.clone());
            (parking, key)
        };
        let places = partitions.into_iter().map(enter).collect();
        Parked { request, places }
    }

    /// Waits until one of the partitions has moved since the last time.
    pub async fn moved(&self) {
        self.request.notified().await;
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        for (parking, key) in self.places.drain(..) {
            parking.leave(key);
        }
    }
}

#[cfg(test)]
mod tests;
