//! Every admin request, against any cluster, as Java's admin client makes them: [`Admin`].
//!
//! It is synchronous to its caller: a small runtime of its own lives inside. A call goes to any broker, to the
//! controller, or to the broker that a resource belongs to ([`To`]); in the newest version that both ends know; again
//! after a pause when the connection broke or the answer says that another broker should have been asked; and ends at
//! `default.api.timeout.ms` with the text that Java's client has for it.
//!
//! Each family of requests is a file beside this one, and speaks in values of its own, not in messages of the wire.
//!
//! Source: `KafkaAdminClient` of 3.9.

mod cluster;
mod config;
mod configs;
mod connections;
mod error;
mod groups;
mod records;
mod replicas;
mod routed;
mod topics;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

pub use cluster::{ClusterDescription, PartitionReassignment};
pub use config::{AdminConfig, Backoff, BootstrapServer, address};
pub use configs::{AlterConfigOp, ConfigEntry, ConfigOp, ConfigResource, ConfigSource, ConfigSynonym, ResourceType};
pub use connections::Node;
pub(super) use connections::refusal;
pub use error::Error;
pub use groups::{CommittedOffset, GroupDescription, GroupListing, GroupMember};
pub use records::{ListedOffset, OffsetSpec};
pub use replicas::{ElectionType, Replica, ReplicaLogDirs};
pub use topics::{NewPartitions, NewTopic, PartitionInfo, TopicDescription, TopicDetails, TopicListing};

use crate::config::Properties;
use crate::network::{self, Peer};
use crate::wire::messages::metadata::MetadataRequest;
use crate::wire::{ApiKey, ErrorCode, Request, TopicPartition};
use connections::{Connections, NodeId, jitter};

/// An admin client of one cluster.
pub struct Admin {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

/// Which broker a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum To {
    Any,
    Controller,
    Broker(i32),
}

/// The asynchronous inside of an [`Admin`]. All of it runs on one thread.
struct Client {
    config: AdminConfig,
    connections: Connections,
    /// What the last metadata answer said; `None` before the first.
    cluster: RefCell<Option<Rc<Cluster>>>,
    /// A broker has answered.
    is_reached: Cell<bool>,
    /// How long the first answer is awaited, if less than a call's time.
    first_contact: Option<Duration>,
}

/// The brokers of the cluster, and which of them is the controller.
#[derive(Debug)]
struct Cluster {
    brokers: Vec<Node>,
    /// -1: none at the moment.
    controller_id: i32,
}

/// One call of the caller, over all its attempts.
#[derive(Debug)]
struct Call {
    /// Java's name of it, for the texts of time-outs.
    name: &'static str,
    started: Instant,
    deadline: Instant,
    tries: u32,
}

impl Admin {
    /// Sets up a client; connects to nothing yet. `bootstrap_servers` wins over the key in `properties`.
    ///
    /// # Errors
    /// `Config` and `Client`, for settings that cannot work.
    pub fn new(properties: &Properties, bootstrap_servers: Option<&str>) -> Result<Admin, Error> {
        let config = AdminConfig::new(properties, bootstrap_servers)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::start(Error::Config(format!("start a runtime: {error}"))))?;
        if config.api_timeout_lengthened {
            tracing::warn!(
                target: "org.apache.kafka.clients.admin.KafkaAdminClient",
                "[AdminClient clientId={}] Overriding the default value for default.api.timeout.ms (60000) with the \
                 explicitly configured request timeout {}",
                config.client_id,
                config.request_timeout.as_millis()
            );
        }
        let connections = Connections::new(config.clone());
        let (is_reached, first_contact) = (Cell::new(false), None);
        let client = Client { config, connections, cluster: RefCell::default(), is_reached, first_contact };
        Ok(Admin { runtime, client })
    }

    /// Has calls end sooner than `default.api.timeout.ms` while no broker has answered anything yet.
    pub fn give_up_unless_reached_within(&mut self, first_contact: Duration) {
        self.client.first_contact = Some(first_contact);
    }

    /// Whether any broker has answered.
    pub fn is_reached(&self) -> bool {
        self.client.is_reached.get()
    }

    /// The settings in force.
    pub fn config(&self) -> &AdminConfig {
        &self.client.config
    }

    fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}

impl Client {
    fn call(&self, name: &'static str) -> Call {
        let started = Instant::now();
        Call { name, started, deadline: started + self.config.default_api_timeout, tries: 0 }
    }

    /// Sends what `request` makes for the version, and for the milliseconds that a broker may take, and tries again
    /// while connections break.
    ///
    /// # Errors
    /// `Timeout` at the call's deadline; `Api` with UNSUPPORTED_VERSION, which a caller may take another way on.
    async fn send<R: Request>(
        &self,
        call: &mut Call,
        to: To,
        request: impl Fn(i16, i32) -> R,
    ) -> Result<R::Response, Error> {
        self.send_in(call, to, R::VERSIONS, request).await
    }

    /// As [`Client::send`], in one of `versions` only.
    async fn send_in<R: Request>(
        &self,
        call: &mut Call,
        to: To,
        versions: RangeInclusive<i16>,
        request: impl Fn(i16, i32) -> R,
    ) -> Result<R::Response, Error> {
        loop {
            let (node, peer) = self.peer(call, to).await?;
            let failure = match self.exchange(&peer, call, &versions, &request).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(refusal)) => return Err(refusal),
                Err(failure) => failure,
            };
            self.connections.drop_peer(node);
            // In TLS 1.3 a broker refuses a certificate only after the client's hands are shaken.
            if let Some(refusal) = connections::refusal(&failure) {
                return Err(refusal);
            }
            if to != To::Any {
                // The broker may have gone for good, and another one taken over.
                self.cluster.replace(None);
            }
            let cause = Error::Disconnected(format!(
                "Cancelled {} request due to node {node} being disconnected ({failure})",
                call.name
            ));
            self.pause(call, cause).await?;
        }
    }

    /// One attempt: outer errors are the connection's, inner ones final.
    async fn exchange<R: Request>(
        &self,
        peer: &Peer,
        call: &Call,
        versions: &RangeInclusive<i16>,
        request: &impl Fn(i16, i32) -> R,
    ) -> Result<Result<R::Response, Error>, network::Error> {
        let patience = self.patience(call);
        let asked = tokio::time::timeout(patience, peer.api_versions()).await;
        let served = asked.map_err(|_| network::Error::TimedOut {
            address: peer.address().to_owned(),
            timeout_ms: patience.as_millis() as u64,
        })??;
        self.is_reached.set(true);
        let version = match negotiate(R::KEY, versions, served.get(&R::KEY).copied()) {
            Ok(version) => version,
            Err(message) => return Ok(Err(Error::Api { code: ErrorCode::UNSUPPORTED_VERSION, message })),
        };
        let patience = self.patience(call);
        let message = request(version, i32::try_from(patience.as_millis()).unwrap_or(i32::MAX));
        match peer.call_within(&message, version, patience).await {
            Ok(response) => Ok(Ok(response)),
            Err(network::Error::Encode(error)) => {
                Ok(Err(Error::Api { code: ErrorCode::INVALID_REQUEST, message: error.to_string() }))
            }
            Err(error) => Err(error),
        }
    }

    /// How long one answer is awaited now.
    fn patience(&self, call: &Call) -> Duration {
        self.config.request_timeout.min(self.deadline(call).saturating_duration_since(Instant::now()))
    }

    fn deadline(&self, call: &Call) -> Instant {
        match self.first_contact {
            Some(first_contact) if !self.is_reached.get() => call.deadline.min(call.started + first_contact),
            _ => call.deadline,
        }
    }

    /// A connection to the broker that the request is for.
    async fn peer(&self, call: &mut Call, to: To) -> Result<(NodeId, Rc<Peer>), Error> {
        loop {
            let wanted = match to {
                To::Any => self.known_nodes(),
                To::Controller => {
                    let cluster = self.cluster(call).await?;
                    cluster.brokers.iter().filter(|node| node.id == cluster.controller_id).cloned().collect()
                }
                To::Broker(id) => {
                    let cluster = self.cluster(call).await?;
                    cluster.brokers.iter().filter(|node| node.id == id).cloned().collect()
                }
            };
            if wanted.is_empty() {
                // No controller at the moment, or a broker that is gone.
                self.cluster.replace(None);
                self.pause(call, unassigned(call.name)).await?;
                continue;
            }
            return self.connections.any(&wanted, self.deadline(call)).await?.ok_or_else(|| unassigned(call.name));
        }
    }

    fn known_nodes(&self) -> Vec<Node> {
        let known = self.cluster.borrow().as_ref().map(|cluster| cluster.brokers.clone());
        // The bootstrap servers come first: one of them is connected already.
        self.connections.bootstrap().into_iter().chain(known.unwrap_or_default()).collect()
    }

    /// The cluster as last seen, asked for if it was not yet.
    async fn cluster(&self, call: &Call) -> Result<Rc<Cluster>, Error> {
        if let Some(cluster) = self.cluster.borrow().clone() {
            return Ok(cluster);
        }
        let mut fetch = Call { name: call.name, started: call.started, deadline: call.deadline, tries: 0 };
        let no_topics = |version, _| MetadataRequest {
            // In version 0 an empty list means all topics, which does no harm but to the size of the answer.
            topics: Some(Vec::new()),
            allow_auto_topic_creation: version < 4,
            ..MetadataRequest::default()
        };
        let sending: Pin<Box<dyn Future<Output = _>>> = Box::pin(self.send(&mut fetch, To::Any, no_topics));
        let response = sending.await.map_err(|error| match error {
            Error::Timeout { .. } => unassigned(call.name),
            other => other,
        })?;
        Ok(self.remember(&response.brokers, response.controller_id))
    }

    /// Keeps what a metadata answer said of the brokers.
    fn remember(
        &self,
        brokers: &[crate::wire::messages::metadata::MetadataResponseBroker],
        controller_id: i32,
    ) -> Rc<Cluster> {
        let brokers = brokers.iter().map(|broker| Node {
            id: broker.node_id,
            host: broker.host.clone(),
            port: broker.port,
            rack: broker.rack.clone(),
        });
        let cluster = Rc::new(Cluster { brokers: brokers.collect(), controller_id });
        self.cluster.replace(Some(cluster.clone()));
        cluster
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `Timeout` when there must be none: the deadline is here, or `retries` are used up.
    async fn pause(&self, call: &mut Call, cause: Error) -> Result<(), Error> {
        let pause = self.config.retry_backoff.pause(call.tries, jitter());
        call.tries += 1;
        let now = Instant::now();
        let deadline = self.deadline(call);
        if now + pause >= deadline || call.tries > self.config.retries {
            if call.tries <= self.config.retries {
                tokio::time::sleep_until(deadline).await;
            }
            return Err(timed_out(call, pause, cause));
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }

    /// After NOT_CONTROLLER: waits, and looks for the controller again.
    async fn look_for_controller(&self, call: &mut Call, cause: Error) -> Result<(), Error> {
        self.cluster.replace(None);
        self.pause(call, cause).await
    }
}

fn unassigned(call: &str) -> Error {
    Error::Timeout { message: format!("Timed out waiting for a node assignment. Call: {call}"), cause: None }
}

fn timed_out(call: &Call, pause: Duration, cause: Error) -> Error {
    // What timed out before it was sent says so itself.
    if let Error::Timeout { .. } = cause {
        return cause;
    }
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let left = call.deadline.saturating_duration_since(Instant::now()).as_millis();
    Error::Timeout {
        message: format!(
            "Call(callName={}, deadlineMs={}, tries={}, nextAllowedTryMs={}) timed out at {now_ms} after {} attempt(s)",
            call.name,
            now_ms + left,
            call.tries,
            now_ms + pause.as_millis(),
            call.tries
        ),
        cause: Some(Box::new(cause)),
    }
}

/// The newest version in `ours` that the broker serves, or Java's text for there being none.
fn negotiate(key: i16, ours: &RangeInclusive<i16>, served: Option<(i16, i16)>) -> Result<i16, String> {
    let name = ApiKey::from_i16(key).map_or_else(|| key.to_string(), |api| screaming(api.name()));
    let Some((min, max)) = served else { return Err(format!("The node does not support {name}")) };
    let version = max.min(*ours.end());
    if version >= min.max(*ours.start()) {
        return Ok(version);
    }
    Err(format!(
        "The node does not support {name} with version in range [{},{}]. The supported range is [{min},{max}].",
        ours.start(),
        ours.end()
    ))
}

/// `DescribeTopicPartitions` as `DESCRIBE_TOPIC_PARTITIONS`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for (at, c) in name.chars().enumerate() {
        if at > 0 && c.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

/// Partitions gathered by topic, both in the order in which they first appear.
fn by_topic(partitions: &[TopicPartition]) -> Vec<(String, Vec<i32>)> {
    let mut topics: Vec<(String, Vec<i32>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for row in partitions {
        let place = *places.entry(&row.topic).or_insert(topics.len());
        if place == topics.len() {
            topics.push((row.topic.to_string(), Vec::new()));
        }
        topics[place].1.push(row.partition);
    }
    topics
}

/// Runs all of them at once and returns their results in the same order.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut ready = true;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *output = Some(value),
                    Poll::Pending => ready = false,
                }
            }
        }
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests;
