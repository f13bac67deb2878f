//! The embedded registry: a ZooKeeper-protocol server inside the process, a single node by design.
//!
//! ```text
//! connection ── frame ──▶ state ── effects ──▶ txn_log ── durable ──▶ outbox ──▶ connection
//! ```
//!
//! [`state`] is a value under one lock and decides everything; the shell here carries out what it says. A frame
//! leaves only when the log is on disk up to the moment at which the frame was made, so nobody ever sees what a crash
//! could take back. Requests of all connections that come while the disk is busy share the next sync.
//!
//! On disk it is Apache ZooKeeper's format: a directory can change hands in both directions.

mod acl;
mod config;
mod connection;
mod four_letter_words;
mod requests;
mod sessions;
mod snapshot;
mod state;
mod tree;
mod txn;
mod txn_log;
mod watches;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use crate::registry::Error;
pub use config::{FourLetterWords, ServerConfig};
use connection::Outbox;
use sessions::ConnectionId;
use state::{Effects, Now, State};
use txn_log::TxnLog;

/// A running registry. Dropping it stops it too, without waiting.
pub struct Server {
    local_addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    ticking: JoinHandle<()>,
}

/// What all tasks of a server share.
struct Shared {
    config: ServerConfig,
    locked: Mutex<Locked>,
    log: TxnLog,
    started: Instant,
    latency: Latency,
    /// What closed connections have received and sent.
    past: Mutex<Packets>,
    next_connection: AtomicU64,
    stopping: watch::Sender<bool>,
}

/// The order of everything is the order in which this lock is taken.
struct Locked {
    state: State,
    outboxes: HashMap<ConnectionId, Arc<Outbox>>,
}

/// Frames counted, for the four-letter words.
#[derive(Default, Clone, Copy)]
struct Packets {
    received_count: u64,
    sent_count: u64,
}

/// From the arrival of a request to the sending of its answer, in microseconds.
#[derive(Default)]
struct Latency {
    count: AtomicU64,
    sum_us: AtomicU64,
    /// 0 is none yet.
    min_us: AtomicU64,
    max_us: AtomicU64,
}

impl Latency {
    fn record(&self, latency: Duration) {
        let us = (latency.as_micros() as u64).max(1);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
        self.max_us.fetch_max(us, Ordering::Relaxed);
        let earlier = self.min_us.load(Ordering::Relaxed);
        if earlier == 0 || us < earlier {
            self.min_us.store(us, Ordering::Relaxed);
        }
    }

    fn reset(&self) {
        for part in [&self.count, &self.sum_us, &self.min_us, &self.max_us] {
            part.store(0, Ordering::Relaxed);
        }
    }

    /// Minimum and maximum in whole milliseconds, the average with its fraction, as `srvr` prints them.
    fn min_avg_max_ms(&self) -> (u64, f64, u64) {
        let part = |part: &AtomicU64| part.load(Ordering::Relaxed);
        let average = part(&self.sum_us) as f64 / part(&self.count).max(1) as f64 / 1000.0;
        (part(&self.min_us) / 1000, average, part(&self.max_us) / 1000)
    }
}

/// How often containers without children are looked for. Source: `znode.container.checkIntervalMs`.
const CONTAINER_CHECK: Duration = Duration::from_secs(60);

/// Opens the directory, listens, and serves until [`Server::shutdown`].
///
/// # Errors
/// `Config` when another server has the directory or it is damaged; `Io` when it or the address cannot be had.
pub async fn start(config: ServerConfig) -> Result<Server, Error> {
    let started = Instant::now();
    let (log, recovered) = {
        let data_log_dir = config.data_log_dir.clone().unwrap_or_else(|| config.data_dir.clone());
        let data_dir = config.data_dir.clone();
        let open = tokio::task::spawn_blocking(move || TxnLog::open(&data_dir, &data_log_dir));
        open.await.map_err(|err| Error::Io { step: "open registry".to_owned(), source: err.into() })??
    };
    let listener = listen(&config.listener).await?;
    let local_addr = listener.local_addr().map_err(Error::io("ask for the registry's address"))?;
    let now = Now { wall_ms: wall_ms(), monotonic_ms: 0 };
    let timeouts = config.session_timeout_ms();
    let state = State::new(recovered.tree, &recovered.sessions, recovered.last_zxid, timeouts, now);
    let shared = Arc::new(Shared {
        config,
        locked: Mutex::new(Locked { state, outboxes: HashMap::new() }),
        log,
        started,
        latency: Latency::default(),
        past: Mutex::default(),
        next_connection: AtomicU64::new(1),
        stopping: watch::Sender::new(false),
    });
    info!(%local_addr, "registry serves");
    Ok(Server {
        local_addr,
        accepting: tokio::spawn(accept(shared.clone(), listener)),
        ticking: tokio::spawn(tick(shared.clone())),
        shared,
    })
}

impl Server {
    /// Where it listens, with the port that was found for 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Returns when the log cannot be written any more; then no change is acknowledged, and the server is of no use.
    pub async fn failed(&self) {
        let mut durable = self.shared.log.durable();
        while durable.changed().await.is_ok() {}
    }

    /// Closes listener and connections, and returns when all that was accepted is on disk. Sessions stay: their
    /// clients may find them again at the next start.
    pub async fn shutdown(self) {
        self.stop();
        let mut shared = self.shared.clone();
        drop(self);
        // The connections' tasks let go of it one by one; the last reference closes the log.
        loop {
            match Arc::try_unwrap(shared) {
                Ok(last) => {
                    let _ = tokio::task::spawn_blocking(move || drop(last)).await;
                    return;
                }
                Err(still_shared) => shared = still_shared,
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn stop(&self) {
        self.shared.stopping.send_replace(true);
        self.accepting.abort();
        self.ticking.abort();
        for outbox in self.shared.locked.lock().outboxes.values() {
            outbox.close();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn now(&self) -> Now {
        Now { wall_ms: wall_ms(), monotonic_ms: self.started.elapsed().as_millis() as u64 }
    }

    /// A connection is gone; what it counted stays in the sum.
    fn forget(&self, locked: &mut Locked, connection: ConnectionId) {
        if let Some(peer) = locked.state.peers.get(&connection) {
            let mut past = self.past.lock();
            past.received_count += peer.received_count;
            past.sent_count += peer.sent_count;
        }
        locked.state.disconnected(connection);
        locked.outboxes.remove(&connection);
    }

    /// Does what the state says: logs, queues frames behind the log, closes.
    fn carry_out(&self, locked: &mut Locked, effects: Effects) {
        let Effects { txns, frames, close } = effects;
        for (header, txn) in &txns {
            self.log.append(header, txn);
        }
        // What a read has seen may be on its way to the disk too, so its answer waits for that.
        let lsn = self.log.appended();
        for (connection, frame) in frames {
            if let Some(outbox) = locked.outboxes.get(&connection) {
                outbox.push(lsn, frame);
            }
        }
        for connection in close {
            if let Some(outbox) = locked.outboxes.get(&connection) {
                outbox.close();
            }
        }
        if !txns.is_empty() && self.log.wants_snapshot() {
            locked.state.tree.purge_acls();
            let sessions = locked.state.session_timeouts();
            self.log.snapshot(locked.state.last_zxid, snapshot::encode(&locked.state.tree, &sessions));
        }
    }
}

/// Accepts connections until the server stops.
async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let mut durable = shared.log.durable();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // The log has failed: a client is better off with another server, or with none.
            _ = log_failed(&mut durable) => return,
        };
        match accepted {
            Ok((stream, address)) => connection::spawn(&shared, stream, address),
            Err(err) => {
                // Out of file descriptors, most likely: others may be given back.
                warn!(%err, "registry cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn log_failed(durable: &mut watch::Receiver<txn_log::Lsn>) {
    while durable.changed().await.is_ok() {}
}

/// Expires sessions when their time has come, and looks after containers.
async fn tick(shared: Arc<Shared>) {
    let tick = Duration::from_millis(shared.config.tick_time_ms.max(1) as u64);
    let mut containers_due = Instant::now() + CONTAINER_CHECK;
    loop {
        let now_ms = shared.now().monotonic_ms;
        let next_ms = shared.locked.lock().state.sessions.next_expiry().unwrap_or(u64::MAX);
        // A session that begins meanwhile lasts two ticks at least.
        let pause = Duration::from_millis(next_ms.saturating_sub(now_ms)).min(tick);
        let due = Instant::now() + pause;
        tokio::time::sleep_until(due.into()).await;
        let now = shared.now();
        let mut locked = shared.locked.lock();
        if due.elapsed() > tick {
            // We were stopped or starved, not the clients: what they sent meanwhile is still to be read.
            locked.state.sessions.restart_clocks(now.monotonic_ms);
        }
        let effects = locked.state.expire(now);
        shared.carry_out(&mut locked, effects);
        if Instant::now() >= containers_due {
            let effects = locked.state.delete_forsaken_containers(now);
            shared.carry_out(&mut locked, effects);
            containers_due = Instant::now() + CONTAINER_CHECK;
        }
    }
}

/// Binds `host:port`; an empty host is every address, IPv6 and IPv4.
async fn listen(listener: &str) -> Result<TcpListener, Error> {
    let step = || format!("listen on {listener}");
    let everywhere = |port: &str| format!("[::]:{port}");
    let Some(port) = listener.strip_prefix(':') else {
        return TcpListener::bind(listener).await.map_err(Error::io(step()));
    };
    match TcpListener::bind(everywhere(port)).await {
        // A machine without IPv6.
        Err(err) if matches!(err.kind(), std::io::ErrorKind::Unsupported | std::io::ErrorKind::AddrNotAvailable) => {
            TcpListener::bind(format!("0.0.0.0:{port}")).await.map_err(Error::io(step()))
        }
        result => result.map_err(Error::io(step())),
    }
}

fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
