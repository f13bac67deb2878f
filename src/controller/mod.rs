//! The one broker that decides for all: who leads which partition, and what becomes of topics.
//!
//! Every broker stands for election; the winner holds the ephemeral `/controller`. What it decides is [`state`], a value
//! without I/O; here is the shell around it. Registry watches and brokers' requests become its events, one after the
//! other, and its actions become registry writes and requests to brokers ([`channels`]), to ourselves by the same door.
//!
//! Every write to the registry carries a check of `/controller_epoch`, so that a controller that was replaced without
//! noticing changes nothing.
//!
//! Source: `KafkaController`.

pub mod assignment;
mod channels;
pub mod election;
mod reign;
mod requests;
pub mod state;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use crate::config::BrokerConfig;
use crate::registry::session::{CreateMode, Op, OpResult, Stat};
use crate::registry::znodes::{ControllerEpoch, ControllerNode};
use crate::registry::{Error, Session};
use crate::wire::messages::allocate_producer_ids::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
use crate::wire::messages::alter_partition::{AlterPartitionRequest, AlterPartitionResponse};
use crate::wire::messages::controlled_shutdown::{ControlledShutdownRequest, ControlledShutdownResponse};
use crate::wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};
use crate::wire::{Bytes, ErrorCode, TopicPartition};
pub use requests::ControlRequest;
pub use state::{ElectionType, PartitionResults};

/// Pause after a registry error that is not the loss of the session.
const RETRY_BACKOFF: Duration = Duration::from_millis(200);

/// This broker's part in controlling the cluster: candidate, or the controller. Dropping it ends both.
#[derive(Debug)]
pub struct Controller {
    commands: mpsc::UnboundedSender<Command>,
    is_active: Arc<AtomicBool>,
    task: AbortHandle,
}

/// What others on this broker want of the controller.
#[derive(Debug)]
enum Command {
    AlterPartition(AlterPartitionRequest, i16, oneshot::Sender<AlterPartitionResponse>),
    ControlledShutdown(ControlledShutdownRequest, oneshot::Sender<ControlledShutdownResponse>),
    AllocateProducerIds(AllocateProducerIdsRequest, oneshot::Sender<AllocateProducerIdsResponse>),
    AwaitDeletion(Vec<Arc<str>>, oneshot::Sender<()>),
    UncleanElection {
        topic: Arc<str>,
        allowed: bool,
    },
    AlterReassignments(Vec<(TopicPartition, Option<Vec<i32>>)>, oneshot::Sender<PartitionResults<()>>),
    ListReassignments(ListPartitionReassignmentsRequest, oneshot::Sender<ListPartitionReassignmentsResponse>),
    ElectLeaders {
        partitions: Vec<TopicPartition>,
        election: ElectionType,
        reply: oneshot::Sender<PartitionResults<i32>>,
    },
}

impl Controller {
    /// Stands for election, now and whenever there is no controller.
    ///
    /// `registered`: the epoch of this broker's registration, -1 while there is none; only a registered broker is a
    /// candidate. `config`: the broker's, as it is at any time.
    pub fn start(
        broker_id: i32,
        config: watch::Receiver<Arc<BrokerConfig>>,
        session: Session,
        registered: watch::Receiver<i64>,
    ) -> Controller {
        let (commands, receiver) = mpsc::unbounded_channel();
        let is_active = Arc::new(AtomicBool::new(false));
        let candidate =
            Candidate { broker_id, config, session, registered, commands: receiver, is_active: is_active.clone() };
        let task = tokio::spawn(candidate.run()).abort_handle();
        Controller { commands, is_active, task }
    }

    /// Ends candidacy and reign; the ephemeral `/controller` goes with the session.
    pub fn stop(&self) {
        self.task.abort();
    }

    /// Whether this broker is the controller, as far as it knows.
    pub fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }

    /// A leader wants to change ISRs. `version` is the request's.
    pub fn alter_partition(
        &self,
        request: AlterPartitionRequest,
        version: i16,
    ) -> impl Future<Output = AlterPartitionResponse> + Send + use<> {
        let answer = self.ask(|reply| Command::AlterPartition(request, version, reply));
        async move {
            let refused = || AlterPartitionResponse { error_code: ErrorCode::NOT_CONTROLLER.0, ..Default::default() };
            answer.await.unwrap_or_else(|_| refused())
        }
    }

    /// A broker wants to stop and gives up what it leads.
    pub fn controlled_shutdown(
        &self,
        request: ControlledShutdownRequest,
    ) -> impl Future<Output = ControlledShutdownResponse> + Send + use<> {
        let answer = self.ask(|reply| Command::ControlledShutdown(request, reply));
        async move {
            let error_code = ErrorCode::STALE_CONTROLLER_EPOCH.0;
            let refused = || ControlledShutdownResponse { error_code, ..Default::default() };
            answer.await.unwrap_or_else(|_| refused())
        }
    }

    /// A broker wants a block of producer ids.
    pub fn allocate_producer_ids(
        &self,
        request: AllocateProducerIdsRequest,
    ) -> impl Future<Output = AllocateProducerIdsResponse> + Send + use<> {
        let answer = self.ask(|reply| Command::AllocateProducerIds(request, reply));
        async move {
            let error_code = ErrorCode::NOT_CONTROLLER.0;
            let refused = || AllocateProducerIdsResponse { error_code, ..Default::default() };
            answer.await.unwrap_or_else(|_| refused())
        }
    }

    /// Waits until the topics are deleted to the last znode, or are held up by a replica that cannot be deleted now.
    /// For topics whose deletion the controller has begun: those it does not know of are not waited for.
    pub fn await_deletion(&self, topics: Vec<Arc<str>>) -> impl Future<Output = ()> + Send + use<> {
        let answer = self.ask(|reply| Command::AwaitDeletion(topics, reply));
        async move { answer.await.unwrap_or_default() }
    }

    /// Somebody wants partitions moved to other replicas, or, with `None`, moves called off. `None`: not the controller.
    pub fn alter_reassignments(
        &self,
        partitions: Vec<(TopicPartition, Option<Vec<i32>>)>,
    ) -> impl Future<Output = Option<PartitionResults<()>>> + Send + use<> {
        let answer = self.ask(|reply| Command::AlterReassignments(partitions, reply));
        async move { answer.await.ok() }
    }

    /// Which partitions are being moved. `None`: not the controller.
    pub fn list_reassignments(
        &self,
        request: ListPartitionReassignmentsRequest,
    ) -> impl Future<Output = Option<ListPartitionReassignmentsResponse>> + Send + use<> {
        let answer = self.ask(|reply| Command::ListReassignments(request, reply));
        async move { answer.await.ok() }
    }

    /// Somebody wants leaders elected; answered with who was. `None`: not the controller.
    pub fn elect_leaders(
        &self,
        partitions: Vec<TopicPartition>,
        election: ElectionType,
    ) -> impl Future<Output = Option<PartitionResults<i32>>> + Send + use<> {
        let answer = self.ask(|reply| Command::ElectLeaders { partitions, election, reply });
        async move { answer.await.ok() }
    }

    /// A topic's config changed. `allowed`: `unclean.leader.election.enable`, which may bring back what is offline.
    pub fn topic_config_changed(&self, topic: &str, allowed: bool) {
        if self.is_active() {
            let _ = self.commands.send(Command::UncleanElection { topic: topic.into(), allowed });
        }
    }

    /// Sends a command; the answer is an error when this broker is not the controller, or ceases to be.
    fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> oneshot::Receiver<T> {
        let (reply, answer) = oneshot::channel();
        let _ = self.commands.send(command(reply));
        answer
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A broker that stands for election.
struct Candidate {
    broker_id: i32,
    config: watch::Receiver<Arc<BrokerConfig>>,
    session: Session,
    registered: watch::Receiver<i64>,
    commands: mpsc::UnboundedReceiver<Command>,
    is_active: Arc<AtomicBool>,
}

/// An election won.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mandate {
    /// The controller epoch.
    epoch: i32,
    /// Version of `/controller_epoch`, which every write checks.
    epoch_version: i32,
}

impl Candidate {
    async fn run(mut self) {
        loop {
            // An error is a broker that is going down, and this task with it.
            let Ok(registered) = self.registered.wait_for(|epoch| *epoch >= 0).await.map(|epoch| *epoch) else {
                return;
            };
            let ended = match self.stand().await {
                Ok(mandate) => self.reign(mandate).await,
                Err(error) => Err(error),
            };
            self.is_active.store(false, Ordering::Release);
            match ended {
                Ok(()) => tracing::info!("no longer the controller"),
                Err(Error::SessionExpired | Error::Closed) => self.await_new_registration(registered).await,
                Err(error) => {
                    tracing::warn!(%error, "controller election interrupted");
                    tokio::time::sleep(RETRY_BACKOFF).await;
                }
            }
        }
    }

    /// The session is gone and with it the registration: waits until that is not `old` any more, so that the next wait
    /// for a registration does not find the old one. It may be so already: others notice earlier.
    async fn await_new_registration(&mut self, old: i64) {
        let mut registered = self.registered.clone();
        tokio::select! {
            _ = registered.wait_for(|epoch| *epoch != old) => {}
            () = self.refuse_commands() => {}
        }
    }

    /// Returns when this broker is elected; until then others' requests are answered with the sender dropped.
    async fn stand(&mut self) -> Result<Mandate, Error> {
        loop {
            let (found, epoch) = tokio::join!(
                self.session.exists_and_watch(ControllerNode::PATH),
                self.session.get(ControllerEpoch::PATH)
            );
            let (found, gone) = found?;
            if found.is_some() {
                if self.clear_former_life().await? {
                    continue;
                }
                // A reign that an error interrupted: nobody else can be elected while our session lasts.
                if let Some(mandate) = self.is_elected_already().await? {
                    return Ok(self.elected(mandate));
                }
                let session = self.session.clone();
                tokio::select! {
                    _ = gone => {}
                    () = session.lost() => return Err(Error::SessionExpired),
                    () = self.refuse_commands() => return Err(Error::Closed),
                }
                continue;
            }
            if let Some(mandate) = self.try_election(epoch).await? {
                return Ok(self.elected(mandate));
            }
        }
    }

    fn elected(&self, mandate: Mandate) -> Mandate {
        self.is_active.store(true, Ordering::Release);
        tracing::info!(epoch = mandate.epoch, "elected controller");
        mandate
    }

    /// `/controller` may still name us by a session of a former life of this broker, which was killed. As we are
    /// registered under our id, that one is dead: nobody need wait until its session runs out. True if it was so.
    async fn clear_former_life(&self) -> Result<bool, Error> {
        let (data, stat) = match self.session.get(ControllerNode::PATH).await {
            Ok(read) => read,
            Err(Error::NoNode(_)) => return Ok(true),
            Err(error) => return Err(error),
        };
        let names_us = ControllerNode::decode(&data).is_ok_and(|node| node.broker_id == self.broker_id);
        if !names_us || Some(stat.ephemeral_owner) == self.session.session_id() {
            return Ok(false);
        }
        match self.session.delete(ControllerNode::PATH, stat.version).await {
            Ok(()) | Err(Error::NoNode(_) | Error::BadVersion(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// `None`: somebody else was faster. `last`: the epoch of the last controller, as just read.
    async fn try_election(&self, last: Result<(Bytes, Stat), Error>) -> Result<Option<Mandate>, Error> {
        let node = ControllerNode { broker_id: self.broker_id, timestamp_ms: now_ms() };
        let candidacy = Op::create(ControllerNode::PATH, Some(&node.encode()), CreateMode::Ephemeral);
        let (ops, epoch) = match last {
            Ok((data, stat)) => {
                let epoch = ControllerEpoch(ControllerEpoch::decode(&data)?.0 + 1);
                (vec![candidacy, Op::set(ControllerEpoch::PATH, epoch.encode(), stat.version)], epoch)
            }
            // The first controller of this cluster.
            Err(Error::NoNode(_)) => {
                let epoch = ControllerEpoch(1);
                let create = Op::create(ControllerEpoch::PATH, Some(&epoch.encode()), CreateMode::Persistent);
                (vec![candidacy, create], epoch)
            }
            Err(error) => return Err(error),
        };
        match self.session.multi(&ops).await.map_err(Error::from) {
            Ok(results) => {
                let epoch_version = match results.last() {
                    Some(OpResult::Set(stat)) => stat.version,
                    _ => 0,
                };
                Ok(Some(Mandate { epoch: epoch.0, epoch_version }))
            }
            Err(Error::NodeExists(_) | Error::BadVersion(_)) => self.is_elected_already().await,
            Err(error) => Err(error),
        }
    }

    /// An election whose answer was lost with the connection may have been won: then `/controller` is ours.
    async fn is_elected_already(&self) -> Result<Option<Mandate>, Error> {
        let owner = match self.session.exists(ControllerNode::PATH).await? {
            Some(stat) => stat.ephemeral_owner,
            None => return Ok(None),
        };
        if Some(owner) != self.session.session_id() {
            return Ok(None);
        }
        let (data, stat) = self.session.get(ControllerEpoch::PATH).await?;
        Ok(Some(Mandate { epoch: ControllerEpoch::decode(&data)?.0, epoch_version: stat.version }))
    }

    /// Drops what is asked of a controller that we are not. Ends when nobody can ask any more.
    async fn refuse_commands(&mut self) {
        while let Some(command) = self.commands.recv().await {
            drop(command);
        }
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX)
}
