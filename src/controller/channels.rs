//! A connection to each live broker, ourselves included: one request at a time, tried again until it is answered or the
//! broker is gone, since a member that misses one decision is wrong for ever.
//!
//! Source: `ControllerChannelManager`, `RequestSendThread`.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::requests::ControlRequest;
use super::state::Event;
use crate::network::{self, Peer};
use crate::wire::ErrorCode;

/// Versions at inter.broker.protocol.version 3.9; there is no ApiVersions handshake.
const LEADER_AND_ISR_VERSION: i16 = 7;
const UPDATE_METADATA_VERSION: i16 = 8;
const STOP_REPLICA_VERSION: i16 = 4;

/// Pause before a failed request is sent again, as in Apache's controller.
const BACKOFF: Duration = Duration::from_millis(100);

/// Of so many failures in a row one is worth a warning: one in ten seconds.
const WARN_EVERY: u64 = 100;

/// All connections of one controller epoch; dropping it ends them.
#[derive(Debug)]
pub(super) struct Channels {
    client_id: String,
    timeout: Duration,
    answers: mpsc::UnboundedSender<Event>,
    by_broker: HashMap<i32, Channel>,
}

#[derive(Debug)]
struct Channel {
    queue: mpsc::UnboundedSender<ControlRequest>,
    task: AbortHandle,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Channels {
    /// `timeout`: for one request (`controller.socket.timeout.ms`). What brokers answer goes to `answers`.
    pub fn new(controller_id: i32, timeout: Duration, answers: mpsc::UnboundedSender<Event>) -> Channels {
        Channels { client_id: controller_id.to_string(), timeout, answers, by_broker: HashMap::new() }
    }

    pub fn connect(&mut self, broker: i32, epoch: i64, address: String) {
        let (queue, requests) = mpsc::unbounded_channel();
        let sender = Sender {
            broker,
            epoch,
            address,
            client_id: self.client_id.clone(),
            timeout: self.timeout,
            answers: self.answers.clone(),
            peer: None,
        };
        let task = tokio::spawn(sender.run(requests)).abort_handle();
        self.by_broker.insert(broker, Channel { queue, task });
    }

    pub fn disconnect(&mut self, broker: i32) {
        self.by_broker.remove(&broker);
    }

    pub fn send(&self, broker: i32, request: ControlRequest) {
        // A broker without a channel has no listener that we could reach; that was said when it came.
        if let Some(channel) = self.by_broker.get(&broker) {
            let _ = channel.queue.send(request);
        }
    }
}

struct Sender {
    broker: i32,
    epoch: i64,
    address: String,
    client_id: String,
    timeout: Duration,
    answers: mpsc::UnboundedSender<Event>,
    peer: Option<Peer>,
}

impl Sender {
    async fn run(mut self, mut requests: mpsc::UnboundedReceiver<ControlRequest>) {
        while let Some(request) = requests.recv().await {
            let mut failures = 0u64;
            let answer = loop {
                match self.ask(&request).await {
                    Ok(answer) => break answer,
                    Err(error) => {
                        // A broker that is dead but not yet missed would fill the log.
                        match failures % WARN_EVERY {
                            0 => {
                                tracing::warn!(broker = self.broker, %error, "controller's request failed, trying again")
                            }
                            _ => tracing::debug!(broker = self.broker, %error, "controller's request failed again"),
                        }
                        failures += 1;
                        self.peer = None;
                        tokio::time::sleep(BACKOFF).await;
                    }
                }
            };
            if let Some(event) = answer {
                let _ = self.answers.send(event);
            }
        }
    }

    async fn ask(&mut self, request: &ControlRequest) -> Result<Option<Event>, network::Error> {
        let peer = match &self.peer {
            Some(peer) => peer,
            None => {
                let peer = Peer::connect_within(&self.address, &self.client_id, self.timeout).await?;
                self.peer.insert(peer)
            }
        };
        let (broker, broker_epoch) = (self.broker, self.epoch);
        Ok(match request {
            ControlRequest::LeaderAndIsr(request) => {
                let response = peer.call_within(request, LEADER_AND_ISR_VERSION, self.timeout).await?;
                self.note("LeaderAndIsr", response.error_code);
                Some(Event::LeaderAndIsrAnswered { broker, broker_epoch, response })
            }
            ControlRequest::UpdateMetadata(request) => {
                let response = peer.call_within(request, UPDATE_METADATA_VERSION, self.timeout).await?;
                self.note("UpdateMetadata", response.error_code);
                None
            }
            ControlRequest::StopReplica(request) => {
                let response = peer.call_within(request, STOP_REPLICA_VERSION, self.timeout).await?;
                self.note("StopReplica", response.error_code);
                Some(Event::StopReplicaAnswered { broker, broker_epoch, request: request.clone(), response })
            }
        })
    }

    /// A refusal as a whole means that we, or the broker's registration, are of yesterday: the registry will tell.
    fn note(&self, api: &str, error: i16) {
        if ErrorCode(error) != ErrorCode::NONE {
            tracing::warn!(broker = self.broker, api, error = ErrorCode(error).name(), "broker refused the controller");
        }
    }
}
