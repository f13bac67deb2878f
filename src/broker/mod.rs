//! The broker: every room put together. [`Broker::start`] brings them up from the truth at the bottom (registry, log
//! dirs) to the listeners, [`Broker::shutdown`] takes them down in the opposite order, and between the two
//! [`apis`] answers requests.

mod apis;
mod client_quotas;
mod config_changes;
mod config_resource;
mod error;
mod groups;
mod internal_topic;
mod isr;
mod log_dirs;
mod registration;
mod registry_offsets;
mod scram;
mod start;
mod topic_configs;
mod topic_creation;
mod transactions;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::config::BrokerConfig;
use crate::controller::Controller;
use crate::group::GroupCoordinator;
use crate::log::{LogCleaner, LogManager};
use crate::network::{Handler, Peer, Reply, RequestContext};
use crate::registry::{Session, server};
use crate::replication::{MetadataCache, ReplicaManager};
use crate::transaction::producer_ids::ProducerIds;
use crate::transaction::{TransactionCoordinator, Verifier};
use crate::wire::messages::ControlledShutdownRequest;
use crate::wire::{Bytes, ErrorCode};
use apis::FetchSessions;
pub use error::Error;
use topic_configs::TopicConfigs;

/// The version of ControlledShutdown at inter.broker.protocol.version 3.9.
const CONTROLLED_SHUTDOWN_VERSION: i16 = 3;

/// One broker, as its requests and its own tasks see it.
pub struct Broker {
    /// `broker.id`.
    pub(crate) id: i32,
    /// The id in `/cluster/id`.
    pub(crate) cluster_id: String,
    /// As it is now: dynamic updates put a new one here.
    pub(crate) config: watch::Sender<Arc<BrokerConfig>>,
    /// What topics have of their own.
    pub(crate) topic_configs: TopicConfigs,
    /// Number of the last note in `/config/changes` that this broker obeys.
    pub(crate) config_changes: watch::Sender<i64>,
    pub(crate) session: Session,
    pub(crate) logs: Arc<LogManager>,
    /// Our picture of the cluster, as the controller draws it.
    pub(crate) cleaner: Arc<LogCleaner>,
    pub(crate) metadata: Arc<MetadataCache>,
    pub(crate) replicas: Arc<ReplicaManager>,
    pub(crate) groups: Arc<GroupCoordinator>,
    pub(crate) transactions: Arc<TransactionCoordinator>,
    pub(crate) verifier: Verifier,
    /// The broker epoch: czxid of our `/brokers/ids` node, -1 while there is none. The controller's requests to an
    /// earlier registration are refused.
    pub(crate) registered: watch::Sender<i64>,
    pub(crate) controller: Controller,
    pub(crate) producer_ids: ProducerIds,
    fetch_sessions: Mutex<FetchSessions>,
    /// Wakes who moves partitions from one log dir to another.
    moves: Notify,
    /// Why the broker cannot go on.
    failed: watch::Sender<Option<String>>,
    started: Instant,
    running: Mutex<Running>,
}

/// What only starting and stopping touch.
struct Running {
    addresses: Vec<(String, SocketAddr)>,
    /// Tells the listeners to close.
    stop: watch::Sender<bool>,
    listeners: Vec<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
    /// The registry inside this process, without `zookeeper.connect`.
    registry: Option<server::Server>,
}

impl Broker {
    /// The configuration as it is now.
    pub(crate) fn config(&self) -> Arc<BrokerConfig> {
        self.config.borrow().clone()
    }

    /// The broker epoch: czxid of our registration; -1 while there is none.
    pub(crate) fn epoch(&self) -> i64 {
        *self.registered.borrow()
    }

    /// `broker.id`, or the one that the registry gave.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The addresses that the listeners are bound to, by name, in the order of the configuration.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.running.lock().addresses.clone()
    }

    /// Waits until the broker cannot go on, all log dirs having failed, and says why; until then it never ends.
    pub async fn failure(&self) -> String {
        let mut failed = self.failed.subscribe();
        match failed.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            _ => std::future::pending().await,
        }
    }

    /// Where the embedded registry listens; None with `zookeeper.connect`.
    pub fn registry_address(&self) -> Option<SocketAddr> {
        self.running.lock().registry.as_ref().map(server::Server::local_addr)
    }

    /// Refuses what the controller sent to an earlier registration of ours; -1 is not checked (old controllers).
    ///
    /// # Errors
    /// `STALE_BROKER_EPOCH`.
    pub(crate) fn check_broker_epoch(&self, epoch: i64) -> Result<(), ErrorCode> {
        if epoch != -1 && epoch < self.epoch() { Err(ErrorCode::STALE_BROKER_EPOCH) } else { Ok(()) }
    }

    /// Milliseconds since the broker was started.
    pub(crate) fn clock_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// Stops in order: leadership goes elsewhere, requests end, logs are synced and marked clean, the registration
    /// vanishes. What was acknowledged is on disk when this returns. A second call does nothing.
    pub async fn shutdown(&self) {
        if *self.running.lock().stop.borrow() {
            return;
        }
        if self.config().controlled_shutdown_enable {
            self.give_up_leadership().await;
        }
        let (listeners, tasks, registry) = {
            let mut running = self.running.lock();
            running.stop.send_replace(true);
            let taken = (std::mem::take(&mut running.listeners), std::mem::take(&mut running.tasks));
            (taken.0, taken.1, running.registry.take())
        };
        for listener in listeners {
            // A listener that panicked has stopped too.
            let _ = listener.await;
        }
        tasks.iter().for_each(JoinHandle::abort);
        self.replicas.stop_fetching();
        self.controller.stop();
        let (logs, cleaner) = (self.logs.clone(), self.cleaner.clone());
        let synced = tokio::task::spawn_blocking(move || {
            cleaner.stop();
            logs.shutdown(wall_ms());
        });
        if synced.await.is_err() {
            tracing::error!("logs could not be closed in order");
        }
        self.session.close().await;
        if let Some(registry) = registry {
            registry.shutdown().await;
        }
    }

    /// Asks the controller to have others lead what this broker leads.
    ///
    /// Source: `KafkaServer.controlledShutdown`.
    async fn give_up_leadership(&self) {
        let config = self.config();
        for attempt in 0..=config.controlled_shutdown_max_retries {
            let cluster = self.metadata.current();
            let others = cluster.brokers.keys().any(|id| *id != self.id);
            if !others {
                // Nobody is there to take over.
                return;
            }
            if attempt > 0 {
                tokio::time::sleep(Duration::from_millis(config.controlled_shutdown_retry_backoff_ms.max(0) as u64))
                    .await;
            }
            match self.ask_for_shutdown(&config).await {
                Ok(true) => return,
                Ok(false) => tracing::info!("controlled shutdown: partitions remain to be moved"),
                Err(error) => tracing::warn!(%error, "controlled shutdown"),
            }
        }
        tracing::warn!("going on without a controlled shutdown: it did not succeed");
    }

    /// True: nothing is left here that another broker could lead.
    async fn ask_for_shutdown(&self, config: &BrokerConfig) -> Result<bool, Error> {
        let cluster = self.metadata.current();
        let controller = cluster.brokers.get(&cluster.live_controller());
        let endpoint = controller.and_then(|broker| broker.endpoint(&config.inter_broker_listener_name));
        let Some(endpoint) = endpoint else { return Ok(false) };
        let address = endpoint.address();
        let timeout = Duration::from_millis(config.controller_socket_timeout_ms.max(1) as u64);
        let peer = Peer::connect_within(&address, &self.id.to_string(), timeout).await?;
        let request = ControlledShutdownRequest { broker_id: self.id, broker_epoch: self.epoch() };
        let answer = peer.call_within(&request, CONTROLLED_SHUTDOWN_VERSION, timeout).await?;
        Ok(answer.error_code == ErrorCode::NONE.0 && answer.remaining_partitions.is_empty())
    }
}

impl std::fmt::Debug for Broker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broker").field("id", &self.id).field("cluster_id", &self.cluster_id).finish_non_exhaustive()
    }
}

/// What a listener calls: the shared broker.
struct Requests(Arc<Broker>);

impl Handler for Requests {
    fn handle(&self, context: RequestContext, body: Bytes) -> Reply {
        apis::handle(&self.0, context, body)
    }
}

/// Milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
