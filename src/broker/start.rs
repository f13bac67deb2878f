//! How a broker comes up, and what it does by the clock.
//!
//! Registry first, since it says which cluster this is and what its topics are configured like; then the log dirs,
//! checked against the cluster's id; then sockets; then the registration, upon which the controller tells everything
//! else. What does not depend on one another goes on at the same time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::topic_configs::{TopicConfigs, cleaner_config};
use super::{Broker, Error, FetchSessions, Requests, Running, groups, internal_topic, transactions, wall_ms};
use crate::config::{BrokerConfig, Endpoint, SecurityProtocol};
use crate::controller::Controller;
use crate::log::{LogCleaner, LogManager, LogManagerOptions};
use crate::network::{self, Limits, Listener};
use crate::registry::session::{CreateMode, Op};
use crate::registry::znodes::{ClusterId, ConfigEntity, DELETE_TOPICS, EntityConfig, PERSISTENT_PATHS, TOPICS};
use crate::registry::{self, Session, server};
use crate::replication::fetcher::FetcherContext;
use crate::replication::{MetadataCache, ReplicaManager};
use crate::transaction::Verifier;
use crate::transaction::producer_ids::ProducerIds;
use crate::wire::Uuid;

/// How long a start waits for the controller. When another broker is the controller, and has died, its session has to
/// end first: 18 s by default.
const METADATA_TIMEOUT: Duration = Duration::from_secs(30);
/// How often flushes that are due (unless `log.flush.scheduler.interval.ms` is shorter), and files that are deleted,
/// are looked for.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

impl Broker {
    /// Brings a broker up and returns when it serves: it is registered, and the controller has told it of the cluster.
    ///
    /// # Errors
    /// Whatever prevented it; nothing is left running.
    pub async fn start(config: BrokerConfig) -> Result<Arc<Broker>, Error> {
        let started = Instant::now();
        check_protocols(&config.listeners)?;
        let registry = match &config.zookeeper_connect {
            Some(_) => None,
            None => {
                let settings = server::ServerConfig::new(&config.registry_listener, &config.registry_data_dir);
                Some(server::start(settings).await?)
            }
        };
        let session = connect(&config, registry.as_ref().map(server::Server::local_addr)).await?;
        let (cluster_id, listeners) = tokio::try_join!(prepare_registry(&session), bind(&config))?;
        let own = async {
            let broker_id = broker_id(&config, &session).await?;
            Ok::<_, Error>((broker_id, with_dynamic(config.clone(), broker_id, &session).await?))
        };
        let topic_configs = async { TopicConfigs::load(&session).await.map_err(Error::from) };
        let ((broker_id, config), topic_configs) = tokio::try_join!(own, topic_configs)?;
        let config = Arc::new(with_ports(config, broker_id, &listeners));
        let (logs, topic_configs) = open_logs(config.clone(), broker_id, cluster_id.clone(), topic_configs).await?;

        let metadata = Arc::new(MetadataCache::default());
        let (replicas, proposals) =
            ReplicaManager::new(broker_id, logs.clone(), metadata.clone(), config.replica_lag_time_max_ms);
        let replicas = Arc::new(replicas);
        let groups = groups::coordinator(&config, &replicas, metadata.clone());
        let transactions = transactions::coordinator(broker_id, &config, &replicas, metadata.clone());
        let listener = config.inter_broker_listener_name.clone();
        let verifier = Verifier::new(transactions.clone(), metadata.clone(), listener, broker_id);
        replicas.on_leadership(internal_topic::follow_leadership(groups.clone(), transactions.clone()));
        let registered = watch::Sender::new(-1);
        let slots = config.max_incremental_fetch_session_cache_slots.max(0) as usize;
        let cleaner = cleaner_config(&config);
        let config = watch::Sender::new(config);
        replicas.start_fetching(FetcherContext {
            broker_id,
            config: config.subscribe(),
            registered: registered.subscribe(),
            metadata: metadata.clone(),
        });
        let controller = Controller::start(broker_id, config.subscribe(), session.clone(), registered.subscribe());
        let producer_ids = ProducerIds::new(broker_id, metadata.clone(), config.subscribe(), registered.subscribe());
        let addresses = listeners.iter().map(|listener| (listener.name().to_owned(), listener.local_addr())).collect();
        let stop = watch::Sender::new(false);
        let broker = Arc::new(Broker {
            id: broker_id,
            cluster_id,
            config,
            topic_configs,
            config_changes: watch::Sender::new(-1),
            session,
            cleaner: Arc::new(LogCleaner::start(logs.clone(), cleaner)),
            logs,
            metadata,
            replicas,
            groups,
            transactions,
            verifier,
            registered,
            controller,
            producer_ids,
            fetch_sessions: Mutex::new(FetchSessions::new(slots)),
            moves: Notify::new(),
            failed: watch::Sender::new(None),
            started,
            running: Mutex::new(Running {
                addresses,
                stop: stop.clone(),
                listeners: Vec::new(),
                tasks: Vec::new(),
                registry,
            }),
        });
        for listener in listeners {
            let serving = listener.serve(Arc::new(Requests(broker.clone())), stop.subscribe());
            broker.running.lock().listeners.push(tokio::spawn(serving));
        }
        broker.keep_house(proposals);
        match broker.join_cluster().await {
            Ok(()) => {
                tracing::debug!(elapsed_ms = started.elapsed().as_millis() as u64, "the broker serves");
                Ok(broker)
            }
            Err(error) => {
                broker.shutdown().await;
                Err(error)
            }
        }
    }

    /// Registers, and waits until the controller has told of the cluster.
    async fn join_cluster(self: &Arc<Broker>) -> Result<(), Error> {
        let (topics, ()) = tokio::try_join!(self.registered_topics(), super::registration::start(self))?;
        let knows_all = self.metadata.wait_for(|cluster| {
            cluster.is_alive(self.id) && topics.iter().all(|topic| cluster.topics.contains_key(topic.as_str()))
        });
        if tokio::time::timeout(METADATA_TIMEOUT, knows_all).await.is_err() {
            // A controller that is busy, or one that cannot reach us: clients will find out, and ask again.
            tracing::warn!("the controller has not told of all topics yet");
        }
        Ok(())
    }

    /// The topics that the controller is going to tell of.
    async fn registered_topics(&self) -> Result<Vec<String>, Error> {
        let (mut topics, deleted) =
            tokio::try_join!(self.session.children(TOPICS), self.session.children(DELETE_TOPICS))?;
        topics.retain(|topic| !deleted.contains(topic));
        Ok(topics)
    }

    /// Starts what is done by the clock.
    fn keep_house(
        self: &Arc<Broker>,
        proposals: tokio::sync::mpsc::UnboundedReceiver<crate::replication::IsrProposal>,
    ) {
        let config = self.config();
        let logs = |job: fn(&LogManager)| {
            let logs = self.logs.clone();
            move || job(&logs)
        };
        let flushes = ms(config.log_flush_scheduler_interval_ms).min(HOUSEKEEPING);
        let mut tasks = vec![
            tokio::spawn(self.groups.clone().run()),
            tokio::spawn(self.transactions.clone().run()),
            tokio::spawn(super::isr::send_proposals(self.clone(), proposals)),
            tokio::spawn(super::config_changes::follow(self.clone())),
            tokio::spawn(super::log_dirs::follow_failures(self.clone())),
            tokio::spawn(super::log_dirs::follow_moves(self.clone())),
            every(HOUSEKEEPING, HOUSEKEEPING, logs(|logs| logs.delete_expired_files(wall_ms()))),
            every(flushes, flushes, logs(|logs| logs.flush_logs(wall_ms()))),
        ];
        let high_watermarks_ms = config.replica_high_watermark_checkpoint_interval_ms;
        let recovery_points_ms = i64::from(config.log_flush_offset_checkpoint_interval_ms);
        let log_starts_ms = i64::from(config.log_flush_start_offset_checkpoint_interval_ms);
        let producers_ms = i64::from(config.producer_id_expiration_check_interval_ms);
        let retention_ms = config.log_retention_check_interval_ms;
        let timed = [
            Timed {
                first_ms: high_watermarks_ms,
                period_ms: high_watermarks_ms,
                job: LogManager::checkpoint_high_watermarks,
            },
            Timed {
                first_ms: recovery_points_ms,
                period_ms: recovery_points_ms,
                job: LogManager::checkpoint_recovery_points,
            },
            Timed { first_ms: log_starts_ms, period_ms: log_starts_ms, job: LogManager::checkpoint_log_start_offsets },
            Timed {
                first_ms: config.log_initial_task_delay_ms,
                period_ms: retention_ms,
                job: |logs| logs.run_retention(wall_ms()),
            },
            Timed { first_ms: producers_ms, period_ms: producers_ms, job: |logs| logs.expire_producers(wall_ms()) },
        ];
        for Timed { first_ms, period_ms, job } in timed {
            tasks.push(every(ms(first_ms), ms(period_ms), logs(job)));
        }
        let replicas = self.replicas.clone();
        let lag_period = ms(config.replica_lag_time_max_ms / 2);
        tasks.push(every(lag_period, lag_period, move || replicas.check_lag()));
        self.running.lock().tasks.extend(tasks);
    }
}

/// What is done to the logs again and again.
struct Timed {
    first_ms: i64,
    period_ms: i64,
    job: fn(&LogManager),
}

fn ms(ms: i64) -> Duration {
    Duration::from_millis(ms.max(1) as u64)
}

/// Runs `job` on a thread that may block, first after `first`, then every `period` after it has ended.
fn every(first: Duration, period: Duration, job: impl Fn() + Send + Sync + 'static) -> tokio::task::JoinHandle<()> {
    let job = Arc::new(job);
    tokio::spawn(async move {
        tokio::time::sleep(first).await;
        loop {
            let job = job.clone();
            if tokio::task::spawn_blocking(move || job()).await.is_err() {
                // What panicked once is tried again next time.
                tracing::error!("a periodic task has failed");
            }
            tokio::time::sleep(period).await;
        }
    })
}

fn check_protocols(listeners: &[Endpoint]) -> Result<(), Error> {
    match listeners.iter().find(|listener| listener.security_protocol != SecurityProtocol::Plaintext) {
        Some(listener) => Err(Error::UnsupportedProtocol {
            listener: listener.listener_name.clone(),
            protocol: listener.security_protocol.name(),
        }),
        None => Ok(()),
    }
}

async fn connect(config: &BrokerConfig, embedded: Option<SocketAddr>) -> Result<Session, Error> {
    let connect_string = match (&config.zookeeper_connect, embedded) {
        (Some(connect), _) => connect.clone(),
        (None, Some(address)) => reachable(address).to_string(),
        (None, None) => String::new(),
    };
    let session_timeout = ms(config.zookeeper_session_timeout_ms.into());
    let session =
        Session::connect(&connect_string, session_timeout, ms(config.zookeeper_connection_timeout_ms.into())).await?;
    session.ensure_chroot().await?;
    Ok(session)
}

/// The address by which this process reaches a listener of its own: of "every interface" the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// Makes what every cluster has in its registry, as far as it is missing, and returns the cluster's id.
async fn prepare_registry(session: &Session) -> Result<String, Error> {
    let made = ClusterId { id: random_uuid().to_string() };
    // A fresh registry gets all of it at once: one sync of its log instead of one a path.
    let parent = ClusterId::PATH.rsplit_once('/').map_or("/", |(parent, _)| parent);
    let all = PERSISTENT_PATHS.iter().copied().chain([parent]);
    let mut all: Vec<Op> = all.map(|path| Op::create(path, None, CreateMode::Persistent)).collect();
    all.push(Op::create(ClusterId::PATH, Some(&made.encode()), CreateMode::Persistent));
    if session.multi(&all).await.is_ok() {
        return Ok(made.id);
    }
    for path in PERSISTENT_PATHS {
        match session.create_with_parents(path, None, CreateMode::Persistent).await {
            Ok(_) | Err(registry::Error::NodeExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    cluster_id(session, made).await
}

/// The id in `/cluster/id`: `made`, if this is the first broker that looks.
async fn cluster_id(session: &Session, made: ClusterId) -> Result<String, Error> {
    loop {
        match session.get(ClusterId::PATH).await {
            Ok((data, _)) => return Ok(ClusterId::decode(&data)?.id),
            Err(registry::Error::NoNode(_)) => {}
            Err(error) => return Err(error.into()),
        }
        match session.create_with_parents(ClusterId::PATH, Some(&made.encode()), CreateMode::Persistent).await {
            Ok(_) => return Ok(made.id),
            Err(registry::Error::NodeExists(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A random id (UUID version 4).
fn random_uuid() -> Uuid {
    use std::hash::{BuildHasher, Hasher};
    // Each RandomState has keys of its own from the system's randomness.
    let half = || std::hash::RandomState::new().build_hasher().finish().to_be_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half());
    bytes[8..].copy_from_slice(&half());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Uuid(bytes)
}

/// `broker.id`; for -1 the one in the log dirs, or else a new one from the registry.
///
/// Source: `KafkaServer.getOrGenerateBrokerId`.
async fn broker_id(config: &BrokerConfig, session: &Session) -> Result<i32, Error> {
    if config.broker_id >= 0 {
        return Ok(config.broker_id);
    }
    for dir in &config.log_dirs {
        if let Some(stored) = crate::log::MetaProperties::read(dir)?.and_then(|meta| meta.broker_id) {
            return Ok(stored);
        }
    }
    // Every write makes the node's version one that nobody else has seen.
    let stat = session.set("/brokers/seqid", &[], -1).await?;
    Ok(config.reserved_broker_max_id + stat.version)
}

/// The configuration with the dynamic values that the registry has for this broker and for all.
async fn with_dynamic(config: BrokerConfig, broker_id: i32, session: &Session) -> Result<BrokerConfig, Error> {
    let read = async |id: Option<i32>| {
        let entity = ConfigEntity::Broker(id);
        match session.get(&EntityConfig::path(&entity)).await {
            Ok((data, _)) => Ok(EntityConfig::decode(&entity, &data)?.config),
            Err(registry::Error::NoNode(_)) => Ok(Default::default()),
            Err(error) => Err(error),
        }
    };
    let (all, own) = tokio::try_join!(read(None), read(Some(broker_id)))?;
    if all.is_empty() && own.is_empty() {
        return Ok(config);
    }
    match config.with_dynamic(all, own) {
        Ok(dynamic) => Ok(dynamic),
        Err(error) => {
            // As Apache's broker: what somebody wrote into the registry does not keep a broker from starting.
            tracing::error!(%error, "dynamic configuration is ignored");
            Ok(config)
        }
    }
}

async fn bind(config: &BrokerConfig) -> Result<Vec<Listener>, Error> {
    let limits = limits(config);
    let mut listeners = Vec::with_capacity(config.listeners.len());
    for endpoint in &config.listeners {
        let bound = Listener::bind(&endpoint.listener_name, &endpoint.host, endpoint.port, limits.clone()).await;
        listeners.push(bound.map_err(|error| match error {
            network::Error::Bind { address, source } => Error::Bind { address, source },
            other => other.into(),
        })?);
    }
    Ok(listeners)
}

fn limits(config: &BrokerConfig) -> Limits {
    let size = |bytes: i32| usize::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    Limits {
        socket_request_max_bytes: config.socket_request_max_bytes.max(0) as usize,
        max_connections: config.max_connections.max(0) as usize,
        max_connections_per_ip: config.max_connections_per_ip.max(0) as usize,
        connections_max_idle: u64::try_from(config.connections_max_idle_ms).ok().map(Duration::from_millis),
        socket_listen_backlog_size: config.socket_listen_backlog_size.max(1) as u32,
        socket_send_buffer_bytes: size(config.socket_send_buffer_bytes),
        socket_receive_buffer_bytes: size(config.socket_receive_buffer_bytes),
    }
}

/// The configuration with what is only known now: our id, and the ports that were found for 0.
fn with_ports(mut config: BrokerConfig, broker_id: i32, listeners: &[Listener]) -> BrokerConfig {
    config.broker_id = broker_id;
    let port = |name: &str| listeners.iter().find(|bound| bound.name() == name).map(|bound| bound.local_addr().port());
    for endpoint in config.listeners.iter_mut().chain(&mut config.advertised_listeners) {
        if endpoint.port == 0 {
            endpoint.port = port(&endpoint.listener_name).unwrap_or(0);
        }
    }
    config
}

async fn open_logs(
    config: Arc<BrokerConfig>,
    broker_id: i32,
    cluster_id: String,
    topic_configs: TopicConfigs,
) -> Result<(Arc<LogManager>, TopicConfigs), Error> {
    let opening = tokio::task::spawn_blocking(move || {
        let options = LogManagerOptions {
            dirs: config.log_dirs.clone(),
            broker_id,
            cluster_id,
            config_of: &|topic| topic_configs.log_config(&config, topic),
            recovery_threads_per_dir: config.num_recovery_threads_per_data_dir.max(1) as usize,
            now_ms: wall_ms(),
        };
        LogManager::open(options).map(|logs| (Arc::new(logs), topic_configs))
    });
    Ok(opening.await.map_err(|_| Error::Interrupted("opening the log dirs"))??)
}
