//! Connections to brokers: which one to take, how long to leave a dead one alone, what to say about it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tokio::time::Instant;

use super::Error;
use super::config::{AdminConfig, address};
use crate::network::{self, Peer};

/// A broker's id; the bootstrap servers have -1, -2, … as in Java.
pub type NodeId = i32;

/// A place to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    pub host: String,
    pub port: i32,
    pub rack: Option<String>,
}

/// The connections of one admin client.
pub struct Connections {
    config: AdminConfig,
    peers: RefCell<HashMap<NodeId, Rc<Peer>>>,
    /// Failures in a row, and until when the node is left alone.
    failed: RefCell<HashMap<NodeId, (u32, Instant)>>,
}

impl Connections {
    pub fn new(config: AdminConfig) -> Connections {
        Connections { config, peers: RefCell::default(), failed: RefCell::default() }
    }

    /// The bootstrap servers.
    pub fn bootstrap(&self) -> Vec<Node> {
        let servers = self.config.bootstrap_servers.iter().zip(1..);
        servers
            .map(|(server, n)| Node { id: -n, host: server.host.clone(), port: server.port.into(), rack: None })
            .collect()
    }

    /// The first of `nodes` that is connected, else one that can be; waits while all of them are left alone, and
    /// `None` when `deadline` comes first.
    ///
    /// # Errors
    /// As [`refusal`]: a broker that does not let us in, or that we do not trust.
    pub async fn any(&self, nodes: &[Node], deadline: Instant) -> Result<Option<(NodeId, Rc<Peer>)>, Error> {
        for node in nodes {
            if let Some(peer) = self.connected(node) {
                return Ok(Some((node.id, peer)));
            }
        }
        loop {
            for node in nodes {
                if self.left_alone_until(node.id) > Instant::now() {
                    continue;
                }
                if let Some(peer) = self.connect(node, deadline).await? {
                    return Ok(Some((node.id, peer)));
                }
            }
            let Some(next) = nodes.iter().map(|node| self.left_alone_until(node.id)).min() else { return Ok(None) };
            if next >= deadline {
                tokio::time::sleep_until(deadline).await;
                return Ok(None);
            }
            tokio::time::sleep_until(next).await;
        }
    }

    /// A connection is of no further use; the next one is made after a pause.
    pub fn drop_peer(&self, id: NodeId) {
        self.peers.borrow_mut().remove(&id);
        self.leave_alone(id);
    }

    fn connected(&self, node: &Node) -> Option<Rc<Peer>> {
        let peers = self.peers.borrow();
        // A broker that was reached as a bootstrap server need not be connected to twice.
        let address = address(&node.host, node.port);
        peers.get(&node.id).or_else(|| peers.values().find(|peer| peer.address() == address)).cloned()
    }

    async fn connect(&self, node: &Node, deadline: Instant) -> Result<Option<Rc<Peer>>, Error> {
        let patience = self.config.connection_setup_timeout.min(deadline.saturating_duration_since(Instant::now()));
        let address = address(&node.host, node.port);
        let AdminConfig { client_id, security, .. } = &self.config;
        match Peer::connect_secured_within(&address, client_id, security, patience).await {
            Ok(peer) => {
                let peer = Rc::new(peer);
                self.peers.borrow_mut().insert(node.id, peer.clone());
                self.failed.borrow_mut().remove(&node.id);
                Ok(Some(peer))
            }
            Err(error) => {
                self.leave_alone(node.id);
                match refusal(&error) {
                    None => {
                        self.warn_unreachable(node, &error);
                        Ok(None)
                    }
                    Some(refusal) => {
                        let shown = self.shown(node);
                        tracing::error!(
                            target: "org.apache.kafka.clients.NetworkClient",
                            "[AdminClient clientId={client_id}] Connection to node {} ({shown}) failed authentication \
                             due to: {refusal}",
                            node.id
                        );
                        Err(refusal)
                    }
                }
            }
        }
    }

    fn left_alone_until(&self, id: NodeId) -> Instant {
        self.failed.borrow().get(&id).map_or_else(Instant::now, |(_, until)| *until)
    }

    fn leave_alone(&self, id: NodeId) {
        let mut failed = self.failed.borrow_mut();
        let (failures, until) = failed.entry(id).or_insert((0, Instant::now()));
        *until = Instant::now() + self.config.reconnect_backoff.pause(*failures, jitter());
        *failures += 1;
    }

    /// The node's address as log lines have it.
    fn shown(&self, node: &Node) -> String {
        let bootstrap = self.config.bootstrap_servers.iter().zip(1..).find(|(_, n)| -n == node.id);
        bootstrap.map_or_else(|| address(&node.host, node.port), |(server, _)| server.display())
    }

    fn warn_unreachable(&self, node: &Node, error: &network::Error) {
        let client_id = &self.config.client_id;
        let shown = self.shown(node);
        let message = match error {
            network::Error::Resolve { .. } => format!("Error connecting to node {shown} (id: {})", node.id),
            _ => {
                format!("Connection to node {} ({shown}) could not be established. Node may not be available.", node.id)
            }
        };
        tracing::warn!(target: "org.apache.kafka.clients.NetworkClient", "[AdminClient clientId={client_id}] {message}");
    }
}

/// What Java's clients do not try again after: TLS and authentication.
pub(in crate::client) fn refusal(error: &network::Error) -> Option<Error> {
    match error {
        network::Error::Tls { reason, .. } => Some(Error::Tls(reason.clone())),
        network::Error::Authentication { code, reason, .. } => Some(Error::api(*code, Some(reason.clone()))),
        _ => None,
    }
}

/// A WARN line of the client's set-up.
pub(super) fn warn_client(message: std::fmt::Arguments) {
    tracing::warn!(target: "org.apache.kafka.clients.ClientUtils", "{message}");
}

/// A number in 0..1 that differs from call to call; it only spreads pauses.
pub(super) fn jitter() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1u64 << 53) as f64
}
