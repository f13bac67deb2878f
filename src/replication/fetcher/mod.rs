//! Followers fetch: for each leading broker `num.replica.fetchers` connections, each with a task that asks, appends
//! and asks again. [`state`] decides what is asked and what an answer means; here are the sockets and the clock.
//!
//! Source: `ReplicaFetcherManager`, `ReplicaFetcherThread`.

mod session;
pub mod state;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use self::state::{Done, Fetcher, Following, Limits, Next, Position, Todo};
use super::manager::Replica;
use super::metadata::MetadataCache;
use super::partition::Millis;
use super::{Error, Fetched};
use crate::config::BrokerConfig;
use crate::network::{self, Peer};
use crate::wire::messages::list_offsets::{ListOffsetsPartition, ListOffsetsTopic};
use crate::wire::messages::{FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest};
use crate::wire::{ErrorCode, TopicPartition};

/// In ListOffsets: where the leader's log ends, and where it begins.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// How long a fetch that waits at the leader may still go on when there is something new to ask for.
const GRACE: Duration = Duration::from_millis(10);

/// What all fetchers of a broker share.
#[derive(Debug)]
pub struct FetcherContext {
    pub broker_id: i32,
    pub config: watch::Receiver<Arc<BrokerConfig>>,
    /// Our broker epoch.
    pub registered: watch::Receiver<i64>,
    pub metadata: Arc<MetadataCache>,
}

/// Leader's id, and the number of the fetcher among those for this leader.
type FetcherId = (i32, u64);

/// The fetchers of a broker.
#[derive(Debug)]
pub struct Fetchers {
    context: Arc<FetcherContext>,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    fetchers: HashMap<FetcherId, (Arc<Shared>, JoinHandle<()>)>,
    of: HashMap<TopicPartition, FetcherId>,
    stopped: bool,
}

/// A fetcher, as its task and those who give it partitions see it.
#[derive(Debug)]
struct Shared {
    followed: Mutex<Followed>,
    /// There is something new to ask for.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Followed {
    fetcher: Fetcher,
    replicas: HashMap<TopicPartition, Arc<Replica>>,
    /// How often partitions were given to this fetcher.
    given: u64,
}

impl Fetchers {
    pub fn new(context: FetcherContext) -> Fetchers {
        Fetchers { context: Arc::new(context), running: Mutex::default() }
    }

    /// Lets the partition follow `leader` from now on. Must be called inside a runtime.
    pub fn follow(&self, replica: &Arc<Replica>, leader: i32, leader_epoch: i32) {
        let count = self.context.config.borrow().num_replica_fetchers.max(1) as u64;
        let mut hasher = DefaultHasher::new();
        replica.name.hash(&mut hasher);
        let id = (leader, hasher.finish() % count);
        let mut running = self.running.lock();
        if running.stopped {
            return;
        }
        if running.of.get(&replica.name).is_some_and(|before| *before != id) {
            running.unfollow(&replica.name);
        }
        running.of.insert(replica.name.clone(), id);
        let start = || {
            let shared = Arc::new(Shared { followed: Mutex::default(), changed: Notify::new() });
            let task = Task { context: self.context.clone(), shared: shared.clone(), id, peer: None };
            (shared, tokio::spawn(task.run()))
        };
        let (shared, _) = running.fetchers.entry(id).or_insert_with(start);
        let mut followed = shared.followed.lock();
        followed.fetcher.follow(Following { partition: replica.name.clone(), leader_epoch }, replica.topic_id());
        followed.replicas.insert(replica.name.clone(), replica.clone());
        followed.given += 1;
        drop(followed);
        shared.changed.notify_one();
    }

    /// Follows nobody with this partition any more. An answer that is being taken in may still be appended.
    pub fn unfollow(&self, partition: &TopicPartition) {
        self.running.lock().unfollow(partition);
    }

    /// Ends all fetching, for good.
    pub fn stop(&self) {
        let mut running = self.running.lock();
        running.stopped = true;
        running.of.clear();
        for (_, (_, task)) in running.fetchers.drain() {
            task.abort();
        }
    }
}

impl Running {
    fn unfollow(&mut self, partition: &TopicPartition) {
        let Some(id) = self.of.remove(partition) else { return };
        let Some((shared, task)) = self.fetchers.get(&id) else { return };
        let mut followed = shared.followed.lock();
        followed.fetcher.unfollow(partition);
        followed.replicas.remove(partition);
        if followed.fetcher.is_empty() {
            task.abort();
            drop(followed);
            self.fetchers.remove(&id);
        }
    }
}

/// What one fetcher does.
struct Task {
    context: Arc<FetcherContext>,
    shared: Arc<Shared>,
    id: FetcherId,
    peer: Option<Peer>,
}

impl Task {
    async fn run(mut self) {
        let began = Instant::now();
        loop {
            let now = began.elapsed().as_millis() as Millis;
            let limits = self.limits();
            let (next, given) = {
                let followed = &mut *self.shared.followed.lock();
                let replicas = &followed.replicas;
                let position = |partition: &TopicPartition| replicas.get(partition).map(|replica| position(replica));
                (followed.fetcher.next(&limits, position, now), followed.given)
            };
            let todo = match next {
                Next::Wait(until) => {
                    self.wait(until.map(|until| (until - now).max(1))).await;
                    continue;
                }
                Next::Fetch(request, version) => self.fetch(&request, version, given, &limits, began).await,
                Next::EndOfEpochs(request) => self.end_of_epochs(&request, &limits, began).await,
            };
            match todo {
                Ok(todo) => self.carry_out(todo, &limits, began).await,
                Err(error) => {
                    tracing::debug!(leader = self.id.0, %error, "the leader cannot be fetched from");
                    self.peer = None;
                    let now = began.elapsed().as_millis() as Millis;
                    self.shared.followed.lock().fetcher.unanswered(&limits, now);
                }
            }
        }
    }

    fn limits(&self) -> Limits {
        let config = self.context.config.borrow();
        Limits {
            replica_id: self.context.broker_id,
            replica_epoch: *self.context.registered.borrow(),
            fetch_version: config.inter_broker_protocol().fetch_version(),
            max_wait_ms: config.replica_fetch_wait_max_ms,
            min_bytes: config.replica_fetch_min_bytes,
            response_max_bytes: config.replica_fetch_response_max_bytes,
            partition_max_bytes: config.replica_fetch_max_bytes,
            backoff_ms: Millis::from(config.replica_fetch_backoff_ms),
        }
    }

    async fn wait(&self, ms: Option<Millis>) {
        let changed = self.shared.changed.notified();
        match ms {
            None => changed.await,
            Some(ms) => {
                let _ = tokio::time::timeout(Duration::from_millis(ms as u64), changed).await;
            }
        }
    }

    /// The connection to the leader, made if there is none.
    async fn peer(&mut self) -> Result<&Peer, network::Error> {
        if self.peer.is_none() {
            let (leader, number) = self.id;
            let config = self.context.config.borrow().clone();
            let cluster = self.context.metadata.current();
            let endpoint = cluster.brokers.get(&leader);
            let endpoint = endpoint.and_then(|broker| broker.endpoint(&config.inter_broker_listener_name));
            let unknown = || network::Error::Resolve {
                address: format!("broker {leader}"),
                source: std::io::Error::new(std::io::ErrorKind::NotFound, "the controller has not told of it"),
            };
            let endpoint = endpoint.ok_or_else(unknown)?;
            let address = endpoint.address();
            let client_id = format!("broker-{}-fetcher-{number}", self.context.broker_id);
            self.peer = Some(Peer::connect_within(&address, &client_id, socket_timeout(&config)).await?);
        }
        Ok(self.peer.as_ref().expect("was just made"))
    }

    async fn fetch(
        &mut self,
        request: &FetchRequest,
        version: i16,
        given: u64,
        limits: &Limits,
        began: Instant,
    ) -> Result<Vec<Todo>, network::Error> {
        let timeout = socket_timeout(&self.context.config.borrow());
        let shared = self.shared.clone();
        let has_more = async {
            while shared.followed.lock().given == given {
                shared.changed.notified().await;
            }
        };
        let response = {
            let calling = self.peer().await?.call_within(request, version, timeout);
            tokio::pin!(calling);
            tokio::select! {
                response = &mut calling => Some(response?),
                // A new partition should not have to wait until others have news. An answer that is on its way comes.
                () = has_more => match tokio::time::timeout(GRACE, &mut calling).await {
                    Ok(response) => Some(response?),
                    Err(_) => None,
                },
            }
        };
        let mut followed = shared.followed.lock();
        let Some(response) = response else {
            self.peer = None;
            followed.fetcher.interrupted();
            return Ok(Vec::new());
        };
        Ok(followed.fetcher.fetched(response, limits, began.elapsed().as_millis() as Millis))
    }

    async fn end_of_epochs(
        &mut self,
        request: &OffsetForLeaderEpochRequest,
        limits: &Limits,
        began: Instant,
    ) -> Result<Vec<Todo>, network::Error> {
        let (timeout, version) = {
            let config = self.context.config.borrow();
            (socket_timeout(&config), config.inter_broker_protocol().offset_for_leader_epoch_version())
        };
        let response = self.peer().await?.call_within(request, version, timeout).await?;
        let now = began.elapsed().as_millis() as Millis;
        Ok(self.shared.followed.lock().fetcher.epochs_ended(response, request, limits, now))
    }

    async fn carry_out(&mut self, todo: Vec<Todo>, limits: &Limits, began: Instant) {
        for todo in todo {
            let (of, done) = self.carry_out_one(todo).await;
            let now = began.elapsed().as_millis() as Millis;
            self.shared.followed.lock().fetcher.done(&of, done, limits, now);
        }
    }

    async fn carry_out_one(&mut self, todo: Todo) -> (Following, Done) {
        match todo {
            Todo::Append { of, fetch_offset, records, high_watermark, log_start_offset } => {
                let Some(replica) = self.replica(&of) else { return (of, Done::GaveUp) };
                let fetched = Fetched {
                    leader_epoch: of.leader_epoch,
                    fetch_offset,
                    records: &records,
                    high_watermark,
                    log_start_offset,
                };
                let appended = replica.append_fetched(&fetched);
                let done = report(&of, "append what was fetched", appended);
                (of, done)
            }
            Todo::Truncate { of, epoch, end_offset } => {
                let Some(replica) = self.replica(&of) else { return (of, Done::GaveUp) };
                let leader_epoch = of.leader_epoch;
                let cut = move || replica.truncate_to_epoch(leader_epoch, epoch, end_offset);
                let cut = blocking(cut).await;
                if let Ok(complete) = cut {
                    self.shared.followed.lock().fetcher.truncated(&of, complete);
                }
                let done = report(&of, "cut the log", cut.map(drop));
                (of, done)
            }
            Todo::FindRange { of } => {
                let done = self.find_range(&of).await;
                (of, done)
            }
        }
    }

    fn replica(&self, of: &Following) -> Option<Arc<Replica>> {
        self.shared.followed.lock().replicas.get(&of.partition).cloned()
    }

    /// What we asked for is not in the leader's log: take over where that begins and ends.
    ///
    /// Source: `AbstractFetcherThread.fetchOffsetAndTruncate`.
    async fn find_range(&mut self, of: &Following) -> Done {
        let Some(replica) = self.replica(of) else { return Done::GaveUp };
        let (end, start) = match self.leader_range(of).await {
            Ok(Ok(range)) => range,
            Ok(Err(ErrorCode::FENCED_LEADER_EPOCH)) => return Done::GaveUp,
            Ok(Err(_)) => return Done::Failed,
            Err(error) => {
                tracing::debug!(leader = self.id.0, %error, "the leader cannot be asked for its offsets");
                self.peer = None;
                self.shared.followed.lock().fetcher.interrupted();
                return Done::Failed;
            }
        };
        let leader_epoch = of.leader_epoch;
        report(of, "follow the leader's offsets", blocking(move || replica.fit_to(leader_epoch, start, end)).await)
    }

    /// Where the leader's log ends and where it begins.
    async fn leader_range(&mut self, of: &Following) -> Result<Result<(i64, i64), ErrorCode>, network::Error> {
        let mut offsets = [0; 2];
        for (timestamp, offset) in [LATEST, EARLIEST].into_iter().zip(&mut offsets) {
            match self.leader_offset(of, timestamp).await? {
                Ok(found) => *offset = found,
                Err(code) => return Ok(Err(code)),
            }
        }
        Ok(Ok((offsets[0], offsets[1])))
    }

    async fn leader_offset(
        &mut self,
        of: &Following,
        timestamp: i64,
    ) -> Result<Result<i64, ErrorCode>, network::Error> {
        let (timeout, version) = {
            let config = self.context.config.borrow();
            (socket_timeout(&config), config.inter_broker_protocol().list_offsets_version())
        };
        let asked = ListOffsetsPartition {
            partition_index: of.partition.partition,
            current_leader_epoch: of.leader_epoch,
            timestamp,
            ..ListOffsetsPartition::default()
        };
        let topic = ListOffsetsTopic { name: of.partition.topic.to_string(), partitions: vec![asked] };
        let replica_id = self.context.broker_id;
        let request = ListOffsetsRequest { replica_id, topics: vec![topic], ..ListOffsetsRequest::default() };
        let response = self.peer().await?.call_within(&request, version, timeout).await?;
        let answer = response.topics.iter().flat_map(|topic| &topic.partitions).next();
        Ok(match answer {
            Some(answer) if answer.error_code == ErrorCode::NONE.0 => {
                Ok(answer.old_style_offsets.first().copied().unwrap_or(answer.offset))
            }
            Some(answer) => Err(ErrorCode(answer.error_code)),
            None => Err(ErrorCode::UNKNOWN_SERVER_ERROR),
        })
    }
}

fn position(replica: &Replica) -> Position {
    let log = replica.log();
    Position {
        log_start_offset: log.log_start_offset(),
        log_end_offset: log.log_end_offset(),
        latest_epoch: log.latest_epoch(),
    }
}

fn socket_timeout(config: &BrokerConfig) -> Duration {
    Duration::from_millis(config.replica_socket_timeout_ms.max(1) as u64)
}

/// Runs what works on many files where that holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Error::Refused(ErrorCode::UNKNOWN_SERVER_ERROR)))
}

/// Says what an error means for the partition, and tells the log of it.
fn report(of: &Following, what: &str, result: Result<(), Error>) -> Done {
    use crate::log::Error as LogError;
    match result {
        Ok(()) => Done::Went,
        // The partition leads, or follows another leader, since it was asked for: that one's fetcher has it.
        Err(Error::Refused(code)) => {
            tracing::debug!(partition = %of.partition, %code, "could not {what}");
            Done::Failed
        }
        Err(Error::Log(error @ (LogError::CorruptBatch(_) | LogError::InvalidRecord { .. }))) => {
            tracing::error!(partition = %of.partition, %error, "could not {what}, trying again");
            Done::Failed
        }
        Err(Error::Log(error)) => {
            tracing::error!(partition = %of.partition, %error, "could not {what}; it is followed no longer");
            Done::GaveUp
        }
    }
}
