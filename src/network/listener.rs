//! The accepting side of a listener: one socket, its limits, and a task per connection.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};
use tokio::sync::{Semaphore, watch};

use super::connection::{self, Origin};
use super::{Error, Handler};

/// What a listener lets its connections do. Names and meanings are those of the broker's keys.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `socket.request.max.bytes`: a larger frame closes its connection.
    pub socket_request_max_bytes: usize,
    /// `max.connections`: further ones wait in the backlog.
    pub max_connections: usize,
    /// `max.connections.per.ip`: further ones are closed at once.
    pub max_connections_per_ip: usize,
    /// `connections.max.idle.ms`; None: for ever.
    pub connections_max_idle: Option<Duration>,
    /// `socket.listen.backlog.size`.
    pub socket_listen_backlog_size: u32,
    /// `socket.send.buffer.bytes`, `socket.receive.buffer.bytes`; None leaves them to the kernel.
    pub socket_send_buffer_bytes: Option<usize>,
    pub socket_receive_buffer_bytes: Option<usize>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            socket_request_max_bytes: 100 << 20,
            max_connections: i32::MAX as usize,
            max_connections_per_ip: i32::MAX as usize,
            connections_max_idle: Some(Duration::from_secs(600)),
            socket_listen_backlog_size: 50,
            socket_send_buffer_bytes: None,
            socket_receive_buffer_bytes: None,
        }
    }
}

/// A bound socket that serves Kafka connections once [`Listener::serve`] is called.
#[derive(Debug)]
pub struct Listener {
    name: Arc<str>,
    socket: TcpListener,
    limits: Limits,
    address: SocketAddr,
}

/// Counts the connections of the process.
static CONNECTIONS: AtomicU64 = AtomicU64::new(0);

/// How long accepting rests when the process has no file descriptor left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

impl Listener {
    /// Binds `host:port`; an empty host is every interface, port 0 any free one.
    ///
    /// # Errors
    /// `Resolve` or `Bind`, naming the address.
    pub async fn bind(name: &str, host: &str, port: u16, limits: Limits) -> Result<Listener, Error> {
        let shown = format!("{host}:{port}");
        let candidates: Vec<SocketAddr> = if host.is_empty() {
            vec![(std::net::Ipv6Addr::UNSPECIFIED, port).into(), (std::net::Ipv4Addr::UNSPECIFIED, port).into()]
        } else {
            let resolved = lookup_host((host, port)).await;
            resolved.map_err(|source| Error::Resolve { address: shown.clone(), source })?.collect()
        };
        let mut failure = std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
        for candidate in candidates {
            match listen(candidate, &limits) {
                Ok(socket) => {
                    let address = socket.local_addr().map_err(|source| Error::Bind { address: shown, source })?;
                    return Ok(Listener { name: name.into(), socket, limits, address });
                }
                Err(error) => failure = error,
            }
        }
        Err(Error::Bind { address: shown, source: failure })
    }

    /// The name of the listener, as in `listeners=NAME://…`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens: with the port that was found for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves until `stop` becomes true; then every connection is closed and the socket is gone.
    pub async fn serve(self, handler: Arc<dyn Handler>, mut stop: watch::Receiver<bool>) {
        let room = Arc::new(Semaphore::new(self.limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let per_ip = Arc::new(Mutex::new(HashMap::<IpAddr, usize>::new()));
        loop {
            let accepted = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                accepted = self.accept(&room) => accepted,
            };
            let (stream, address, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, listener = &*self.name, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                    continue;
                }
            };
            let Some(counted) = Counted::enter(&per_ip, address.ip(), self.limits.max_connections_per_ip) else {
                tracing::info!(address = %address.ip(), "rejected: too many connections from this address");
                continue;
            };
            if let Err(error) = self.prepare(&stream) {
                tracing::debug!(%error, "a connection went before it was served");
                continue;
            }
            let origin = Origin {
                listener_name: self.name.clone(),
                address: address.ip(),
                connection_id: CONNECTIONS.fetch_add(1, Ordering::Relaxed),
            };
            let (handler, limits, mut stop) = (handler.clone(), self.limits.clone(), stop.clone());
            tokio::spawn(async move {
                tokio::select! {
                    _ = connection::serve(stream, origin, &*handler, &limits) => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                }
                drop((permit, counted));
            });
        }
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> std::io::Result<(TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>)> {
        // The semaphore is never closed.
        let permit = room.clone().acquire_owned().await.ok();
        let (stream, address) = self.socket.accept().await?;
        Ok((stream, address, permit))
    }

    fn prepare(&self, stream: &TcpStream) -> std::io::Result<()> {
        // Answers are written whole, so waiting for more to send would only delay them.
        stream.set_nodelay(true)?;
        rustix::net::sockopt::set_socket_keepalive(stream, true)?;
        Ok(())
    }
}

fn listen(address: SocketAddr, limits: &Limits) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    // Accepted sockets inherit both sizes; set later, the receive size would come too late for the window.
    if let Some(bytes) = limits.socket_send_buffer_bytes {
        socket.set_send_buffer_size(bytes as u32)?;
    }
    if let Some(bytes) = limits.socket_receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes as u32)?;
    }
    socket.bind(address)?;
    socket.listen(limits.socket_listen_backlog_size)
}

/// One of an address's connections, as long as it lives.
struct Counted {
    per_ip: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Counted {
    fn enter(per_ip: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr, max: usize) -> Option<Counted> {
        let mut counts = per_ip.lock();
        let count = counts.entry(address).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        Some(Counted { per_ip: per_ip.clone(), address })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.per_ip.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}
