//! Transactions: [`TransactionCoordinator`] owns the transactional ids whose partition of `__transaction_state` this
//! broker leads. What a transactional id is and does stands in [`state`], pure; here is what it takes to do it: the
//! log, the clock, and the markers that end a transaction in every partition it wrote to.
//!
//! Memory: a transactional id costs some 250 bytes, and 40 for each partition of its open transaction.
//!
//! Lock order: `Inner` is one lock, never held across an await; appending to the log happens under it, so that the
//! order in the log is the order of decisions.

mod markers;
mod peers;
pub mod producer_ids;
pub mod records;
pub mod state;
mod verification;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

use markers::Markers;
use records::{decode, encode, encode_key};
use state::{Decision, Metadata, Outcome, Producer, State, Transaction};

use crate::replication::MetadataCache;
use crate::wire::batch::{Batch, BatchBuilder};
use crate::wire::{ErrorCode, TopicPartition};

pub use verification::Verifier;

/// The name of the topic in which transactions are kept.
pub const TOPIC: &str = "__transaction_state";

/// The partitions of `__transaction_state` on this broker.
pub trait StateLog: Send + Sync + 'static {
    /// Appends a batch before it returns; the future is done when the batch is committed.
    fn append(&self, partition: i32, batch: Vec<u8>) -> CommittedFuture;

    /// Gives every batch of the partition to `visit`, in order.
    ///
    /// # Errors
    /// `NOT_COORDINATOR` if the partition is not here any more, `KAFKA_STORAGE_ERROR` if it cannot be read.
    fn read(&self, partition: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode>;
}

/// The outcome of an append.
pub type CommittedFuture = Pin<Box<dyn Future<Output = ErrorCode> + Send>>;

/// What a coordinator is told by the broker's keys.
#[derive(Clone, Debug)]
pub struct Config {
    /// `transaction.max.timeout.ms`
    pub transaction_max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`
    pub transactional_id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_timed_out_interval_ms: u64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub remove_expired_interval_ms: u64,
    /// `inter.broker.listener.name`: where markers are sent.
    pub inter_broker_listener_name: String,
    /// Our `broker.id`, which is our client id towards other brokers.
    pub broker_id: i32,
}

/// Coordinates the transactional ids of the `__transaction_state` partitions that this broker leads.
pub struct TransactionCoordinator {
    config: Config,
    log: Arc<dyn StateLog>,
    markers: Markers,
    inner: Mutex<HashMap<i32, Owned>>,
}

/// A partition of `__transaction_state` that this broker leads.
struct Owned {
    /// The leader epoch, which is the coordinator epoch that markers carry.
    coordinator_epoch: i32,
    loaded: bool,
    transactions: BTreeMap<String, Transaction>,
}

/// One line of ListTransactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub transactional_id: String,
    pub producer_id: i64,
    pub state: State,
    /// ms since 1970; -1: no transaction has begun.
    pub start_ms: i64,
}

impl TransactionCoordinator {
    /// A coordinator that owns nothing yet. Its clock runs in [`TransactionCoordinator::run`].
    pub fn new(config: Config, log: Arc<dyn StateLog>, metadata: Arc<MetadataCache>) -> Arc<TransactionCoordinator> {
        let markers = Markers::new(metadata, config.inter_broker_listener_name.clone(), config.broker_id);
        Arc::new(TransactionCoordinator { config, log, markers, inner: Mutex::default() })
    }

    // ------------------------------------------------------------------ partitions come and go

    /// This broker leads these partitions (with their leader epochs) from now on: their transactions are read back, and
    /// those that were about to end are ended. Reads files: to be called where blocking is allowed, inside a runtime.
    pub fn load(self: &Arc<Self>, partitions: &[(i32, i32)]) {
        {
            let mut inner = self.inner.lock();
            for &(partition, coordinator_epoch) in partitions {
                let known = inner.get(&partition).is_some_and(|owned| owned.coordinator_epoch >= coordinator_epoch);
                if !known {
                    let owned = Owned { coordinator_epoch, loaded: false, transactions: BTreeMap::new() };
                    inner.insert(partition, owned);
                }
            }
        }
        for &(partition, coordinator_epoch) in partitions {
            let transactions = match self.read_transactions(partition) {
                Ok(transactions) => transactions,
                Err(error) => {
                    tracing::error!(partition, %error, "transactions of a partition of {TOPIC} cannot be read");
                    self.inner.lock().remove(&partition);
                    continue;
                }
            };
            let ending = {
                let mut inner = self.inner.lock();
                let Some(owned) = inner.get_mut(&partition) else { continue };
                if owned.coordinator_epoch != coordinator_epoch || owned.loaded {
                    continue;
                }
                owned.loaded = true;
                owned.transactions = transactions;
                let ending = owned.transactions.iter().filter(|(_, transaction)| transaction.ending().is_some());
                ending.map(|(id, _)| id.clone()).collect::<Vec<String>>()
            };
            for transactional_id in ending {
                self.spawn_markers(partition, coordinator_epoch, transactional_id);
            }
        }
    }

    /// This broker does not lead these partitions any more.
    pub fn resign(&self, partitions: &[i32]) {
        let mut inner = self.inner.lock();
        for partition in partitions {
            inner.remove(partition);
        }
    }

    fn read_transactions(&self, partition: i32) -> Result<BTreeMap<String, Transaction>, ErrorCode> {
        let mut transactions = BTreeMap::new();
        self.log.read(partition, &mut |bytes| {
            let outcome = Batch::split_first(bytes).and_then(|(batch, _)| {
                batch.for_each_record(RECORD_BYTES_MAX, |record| {
                    match record.key.map(|key| decode(key, record.value)) {
                        Some(Ok(Some((id, Some(metadata))))) => {
                            transactions.insert(id, Transaction::loaded(metadata));
                        }
                        Some(Ok(Some((id, None)))) => {
                            transactions.remove(&id);
                        }
                        Some(Ok(None)) => {}
                        Some(Err(error)) => tracing::warn!(%error, "a record of {TOPIC} cannot be read"),
                        None => tracing::warn!("a record of {TOPIC} has no key"),
                    }
                    Ok::<(), crate::wire::batch::Error>(())
                })
            });
            if let Err(error) = outcome {
                tracing::warn!(%error, "a batch of {TOPIC} cannot be read");
            }
        })?;
        Ok(transactions)
    }

    // ------------------------------------------------------------------ requests

    /// InitProducerId of a transactional producer. `fresh_id` is an id that nobody has: it is used if the transactional
    /// id is new, or its present id has no epochs left.
    pub async fn init_producer_id(
        self: &Arc<Self>,
        partition: i32,
        transactional_id: &str,
        expected: Option<Producer>,
        timeout_ms: i32,
        fresh_id: i64,
    ) -> Result<Producer, ErrorCode> {
        if timeout_ms <= 0 || timeout_ms > self.config.transaction_max_timeout_ms {
            return Err(ErrorCode::INVALID_TRANSACTION_TIMEOUT);
        }
        let now_ms = now_ms();
        {
            let mut inner = self.inner.lock();
            let owned = owned(&mut inner, partition)?;
            let new = || Transaction::new(fresh_id, timeout_ms, now_ms);
            owned.transactions.entry(transactional_id.to_owned()).or_insert_with(new);
        }
        let decide =
            |transaction: &mut Transaction| transaction.init_producer_id(expected, timeout_ms, fresh_id, now_ms);
        // What was stored for this caller: by now another may have asked, and have the next epoch.
        let stored = self.decide(partition, transactional_id, decide).await?;
        let metadata = stored.ok_or(ErrorCode::UNKNOWN_SERVER_ERROR)?;
        Ok(Producer { id: metadata.producer_id, epoch: metadata.producer_epoch })
    }

    /// AddPartitionsToTxn and AddOffsetsToTxn.
    ///
    /// # Errors
    /// `PRODUCER_FENCED`, `INVALID_PRODUCER_ID_MAPPING`, `CONCURRENT_TRANSACTIONS`, …
    pub async fn add_partitions(
        self: &Arc<Self>,
        partition: i32,
        transactional_id: &str,
        producer: Producer,
        partitions: Vec<TopicPartition>,
    ) -> Result<(), ErrorCode> {
        let decide = |transaction: &mut Transaction| transaction.add_partitions(producer, partitions, now_ms());
        self.decide(partition, transactional_id, decide).await.map(drop)
    }

    /// AddPartitionsToTxn with verify_only: which of these are part of the open transaction.
    ///
    /// # Errors
    /// Those of the coordinator as a whole.
    pub fn verify_partitions(
        &self,
        partition: i32,
        transactional_id: &str,
        producer: Producer,
        partitions: &[TopicPartition],
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        check_id(transactional_id)?;
        let mut inner = self.inner.lock();
        let transaction = owned(&mut inner, partition)?.transactions.get(transactional_id);
        let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
        Ok(partitions.iter().map(|of| transaction.verify_partition(producer, of)).collect())
    }

    /// EndTxn: returns when the decision is stored; the markers follow by themselves.
    ///
    /// # Errors
    /// `INVALID_TXN_STATE`, `PRODUCER_FENCED`, `CONCURRENT_TRANSACTIONS`, …
    pub async fn end(
        self: &Arc<Self>,
        partition: i32,
        transactional_id: &str,
        producer: Producer,
        outcome: Outcome,
    ) -> Result<(), ErrorCode> {
        self.decide(partition, transactional_id, |transaction| transaction.end(producer, outcome, now_ms()))
            .await
            .map(drop)
    }

    /// DescribeTransactions, one id.
    ///
    /// # Errors
    /// `TRANSACTIONAL_ID_NOT_FOUND`, or those of the coordinator as a whole.
    pub fn describe(&self, partition: i32, transactional_id: &str) -> Result<Metadata, ErrorCode> {
        check_id(transactional_id)?;
        let mut inner = self.inner.lock();
        let transaction = owned(&mut inner, partition)?.transactions.get(transactional_id);
        let metadata = transaction.map(|transaction| transaction.metadata().clone());
        metadata.filter(|metadata| metadata.state != State::Dead).ok_or(ErrorCode::TRANSACTIONAL_ID_NOT_FOUND)
    }

    /// ListTransactions: every id here, and whether some are still being read.
    pub fn list(&self) -> (Vec<Listed>, ErrorCode) {
        let inner = self.inner.lock();
        let loading = inner.values().any(|owned| !owned.loaded);
        let transactions = inner.values().flat_map(|owned| &owned.transactions);
        let listed = transactions.map(|(transactional_id, transaction)| Listed {
            transactional_id: transactional_id.clone(),
            producer_id: transaction.metadata().producer_id,
            state: transaction.metadata().state,
            start_ms: transaction.metadata().start_ms,
        });
        (listed.collect(), if loading { ErrorCode::COORDINATOR_LOAD_IN_PROGRESS } else { ErrorCode::NONE })
    }

    // ------------------------------------------------------------------ doing what a transaction says

    /// Lets a transactional id decide, stores what it decided, and starts what follows from that. Returns what was
    /// stored; None if nothing had to be.
    async fn decide(
        self: &Arc<Self>,
        partition: i32,
        transactional_id: &str,
        decide: impl FnOnce(&mut Transaction) -> Decision,
    ) -> Result<Option<Metadata>, ErrorCode> {
        check_id(transactional_id)?;
        let (committed, coordinator_epoch, answer) = {
            let mut inner = self.inner.lock();
            let owned = owned(&mut inner, partition)?;
            let epoch = owned.coordinator_epoch;
            let transaction = owned.transactions.get_mut(transactional_id);
            let transaction = transaction.ok_or(ErrorCode::INVALID_PRODUCER_ID_MAPPING)?;
            match decide(transaction) {
                Decision::Done(ErrorCode::NONE) => return Ok(None),
                Decision::Done(error) => return Err(error),
                Decision::Store(next) => (self.append(partition, transactional_id, &next), epoch, Ok(Some(next))),
                Decision::Fence { store, error } => {
                    (self.append(partition, transactional_id, &store), epoch, Err(error))
                }
            }
        };
        // The store goes on and is finished even when the client that asked for it is gone.
        let (this, id) = (self.clone(), transactional_id.to_owned());
        let stored = tokio::spawn(async move { this.finish(partition, coordinator_epoch, id, committed).await });
        match stored.await {
            Ok(outcome) => outcome.and(answer),
            Err(_) => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
        }
    }

    /// Waits for a store, makes it so, and sends the markers if it was the decision to end.
    async fn finish(
        self: &Arc<Self>,
        partition: i32,
        coordinator_epoch: i32,
        transactional_id: String,
        committed: CommittedFuture,
    ) -> Result<(), ErrorCode> {
        let outcome = commit_error(committed.await);
        let is_ending = {
            let mut inner = self.inner.lock();
            let owned = owned(&mut inner, partition)?;
            if owned.coordinator_epoch != coordinator_epoch {
                return Err(ErrorCode::NOT_COORDINATOR);
            }
            let transaction = owned.transactions.get_mut(&transactional_id);
            let transaction = transaction.ok_or(ErrorCode::NOT_COORDINATOR)?;
            match outcome {
                ErrorCode::NONE => transaction.stored(),
                error => {
                    transaction.not_stored();
                    return Err(error);
                }
            }
            transaction.ending().is_some()
        };
        if is_ending {
            self.spawn_markers(partition, coordinator_epoch, transactional_id);
        }
        Ok(())
    }

    fn append(&self, partition: i32, transactional_id: &str, metadata: &Metadata) -> CommittedFuture {
        match encode(transactional_id, metadata) {
            Ok((key, value)) => self.log.append(partition, single(&key, Some(&value))),
            Err(_) => Box::pin(std::future::ready(ErrorCode::INVALID_REQUEST)),
        }
    }

    /// Ends a prepared transaction: a marker to every partition, then Complete. Goes on until it is done, or the
    /// coordinator has moved.
    fn spawn_markers(self: &Arc<Self>, partition: i32, coordinator_epoch: i32, transactional_id: String) {
        let this = self.clone();
        tokio::spawn(async move {
            while let Some((metadata, outcome)) = this.prepared(partition, coordinator_epoch, &transactional_id) {
                if metadata.partitions.is_empty() {
                    if this.complete(partition, coordinator_epoch, &transactional_id).await {
                        return;
                    }
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                let done = this.markers.write(partition, &metadata, outcome, coordinator_epoch).await;
                if done.is_empty() {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
                let mut inner = this.inner.lock();
                // After a reload this id may be ending another transaction, of which these markers say nothing.
                let Some(owned) = led(&mut inner, partition, coordinator_epoch) else { return };
                if let Some(transaction) = owned.transactions.get_mut(&transactional_id) {
                    for of in &done {
                        transaction.marker_done(of);
                    }
                }
            }
        });
    }

    fn prepared(&self, partition: i32, coordinator_epoch: i32, transactional_id: &str) -> Option<(Metadata, Outcome)> {
        let mut inner = self.inner.lock();
        let owned = led(&mut inner, partition, coordinator_epoch)?;
        let transaction = owned.transactions.get(transactional_id)?;
        Some((transaction.metadata().clone(), transaction.ending()?))
    }

    async fn complete(self: &Arc<Self>, partition: i32, coordinator_epoch: i32, transactional_id: &str) -> bool {
        let committed = {
            let mut inner = self.inner.lock();
            let Some(owned) = led(&mut inner, partition, coordinator_epoch) else { return true };
            let Some(next) = owned.transactions.get_mut(transactional_id).and_then(|t| t.complete(now_ms())) else {
                return true;
            };
            self.append(partition, transactional_id, &next)
        };
        let finished =
            Box::pin(self.finish(partition, coordinator_epoch, transactional_id.to_owned(), committed)).await;
        !matches!(finished, Err(error) if error != ErrorCode::NOT_COORDINATOR)
    }

    // ------------------------------------------------------------------ the clock

    /// Runs the clock: aborts transactions whose time is up, and forgets ids that nobody uses. Ends never.
    pub async fn run(self: Arc<Self>) {
        let mut aborts = tokio::time::interval(Duration::from_millis(self.config.abort_timed_out_interval_ms.max(1)));
        let mut expiry = tokio::time::interval(Duration::from_millis(self.config.remove_expired_interval_ms.max(1)));
        loop {
            tokio::select! {
                _ = aborts.tick() => self.abort_timed_out(now_ms()),
                _ = expiry.tick() => self.remove_expired(now_ms()),
            }
        }
    }

    fn abort_timed_out(self: &Arc<Self>, now_ms: i64) {
        let mut due = Vec::new();
        {
            let mut inner = self.inner.lock();
            for (&partition, owned) in inner.iter_mut().filter(|(_, owned)| owned.loaded) {
                for (id, transaction) in &mut owned.transactions {
                    if let Some(next) = transaction.abort_if_timed_out(now_ms) {
                        let committed = self.append(partition, id, &next);
                        due.push((partition, owned.coordinator_epoch, id.clone(), committed));
                    }
                }
            }
        }
        for (partition, coordinator_epoch, id, committed) in due {
            let this = self.clone();
            tokio::spawn(async move {
                tracing::info!(transactional_id = %id, "a transaction took longer than its time-out and is aborted");
                if let Err(error) = this.finish(partition, coordinator_epoch, id.clone(), committed).await {
                    tracing::warn!(transactional_id = %id, %error, "a timed-out transaction could not be aborted yet");
                }
            });
        }
    }

    fn remove_expired(&self, now_ms: i64) {
        let expiration_ms = self.config.transactional_id_expiration_ms;
        let mut inner = self.inner.lock();
        for (&partition, owned) in inner.iter_mut().filter(|(_, owned)| owned.loaded) {
            let expired = owned.transactions.iter().filter(|(_, t)| t.is_expired(expiration_ms, now_ms));
            let expired: HashSet<String> = expired.map(|(id, _)| id.clone()).collect();
            for id in &expired {
                // If the tombstone is not committed the id comes back with the next load, and expires again.
                if let Ok(key) = encode_key(id) {
                    drop(self.log.append(partition, single(&key, None)));
                }
            }
            owned.transactions.retain(|id, _| !expired.contains(id));
        }
    }
}

impl std::fmt::Debug for TransactionCoordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionCoordinator").field("config", &self.config).finish_non_exhaustive()
    }
}

/// How long a failed marker or store rests before it is tried again.
const RETRY: Duration = Duration::from_millis(100);

/// A batch of `__transaction_state` is never larger, decompressed.
const RECORD_BYTES_MAX: usize = 64 << 20;

fn owned(inner: &mut HashMap<i32, Owned>, partition: i32) -> Result<&mut Owned, ErrorCode> {
    match inner.get_mut(&partition) {
        None => Err(ErrorCode::NOT_COORDINATOR),
        Some(owned) if !owned.loaded => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        Some(owned) => Ok(owned),
    }
}

/// The partition, if it is still led in this epoch.
fn led(inner: &mut HashMap<i32, Owned>, partition: i32, coordinator_epoch: i32) -> Option<&mut Owned> {
    owned(inner, partition).ok().filter(|owned| owned.coordinator_epoch == coordinator_epoch)
}

fn check_id(transactional_id: &str) -> Result<(), ErrorCode> {
    if transactional_id.is_empty() { Err(ErrorCode::INVALID_REQUEST) } else { Ok(()) }
}

fn single(key: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    batch.append(now_ms(), Some(key), value, &[]);
    batch.finish()
}

/// What a client is told when the log refused a transaction's record.
fn commit_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_ENOUGH_REPLICAS
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::REQUEST_TIMED_OUT => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::KAFKA_STORAGE_ERROR => ErrorCode::NOT_COORDINATOR,
        ErrorCode::MESSAGE_TOO_LARGE | ErrorCode::RECORD_LIST_TOO_LARGE => ErrorCode::UNKNOWN_SERVER_ERROR,
        error => error,
    }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

#[cfg(test)]
mod tests;
