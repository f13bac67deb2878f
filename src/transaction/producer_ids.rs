//! Producer ids: a broker takes blocks of a thousand from the controller and gives them out one by one.
//!
//! Source: `RPCProducerIdManager`; KIP-730.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, watch};

use crate::config::BrokerConfig;
use crate::network::{self, Peer};
use crate::replication::MetadataCache;
use crate::wire::ErrorCode;
use crate::wire::messages::allocate_producer_ids::AllocateProducerIdsRequest;

/// The version at inter.broker.protocol.version 3.9.
const VERSION: i16 = 0;
/// Pause before the controller is asked again.
const BACKOFF: Duration = Duration::from_millis(50);
/// How long a producer is kept waiting while there is no controller; it asks again by itself after this.
const PATIENCE: Duration = Duration::from_secs(5);

/// Gives every producer an id that no other has, in the whole cluster and for ever.
#[derive(Debug)]
pub struct ProducerIds {
    broker_id: i32,
    metadata: Arc<MetadataCache>,
    config: watch::Receiver<Arc<BrokerConfig>>,
    registered: watch::Receiver<i64>,
    /// What is left of the block.
    block: Mutex<Range<i64>>,
}

/// Why the controller gave no block.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no controller is known")]
    NoController,
    #[error(transparent)]
    Network(#[from] network::Error),
    #[error("the controller answered {}", .0.name())]
    Refused(ErrorCode),
}

impl ProducerIds {
    /// `registered`: this broker's epoch, which the controller wants to see.
    pub fn new(
        broker_id: i32,
        metadata: Arc<MetadataCache>,
        config: watch::Receiver<Arc<BrokerConfig>>,
        registered: watch::Receiver<i64>,
    ) -> ProducerIds {
        ProducerIds { broker_id, metadata, config, registered, block: Mutex::new(0..0) }
    }

    /// The next id.
    ///
    /// # Errors
    /// `COORDINATOR_LOAD_IN_PROGRESS`, upon which producers ask again, if the controller gives no block for 5 s.
    pub async fn next(&self) -> Result<i64, ErrorCode> {
        let mut block = self.block.lock().await;
        if let Some(id) = block.next() {
            return Ok(id);
        }
        let began = Instant::now();
        loop {
            match self.ask().await {
                Ok(fresh) => *block = fresh,
                Err(error) if began.elapsed() < PATIENCE => {
                    tracing::debug!(%error, "no producer ids yet");
                    tokio::time::sleep(BACKOFF).await;
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "no producer ids");
                    return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS);
                }
            }
            if let Some(id) = block.next() {
                return Ok(id);
            }
        }
    }

    async fn ask(&self) -> Result<Range<i64>, Error> {
        let config = self.config.borrow().clone();
        let cluster = self.metadata.current();
        let controller = cluster.brokers.get(&cluster.live_controller());
        let endpoint = controller.and_then(|broker| broker.endpoint(&config.inter_broker_listener_name));
        let endpoint = endpoint.ok_or(Error::NoController)?;
        let address = endpoint.address();
        let timeout = Duration::from_millis(config.controller_socket_timeout_ms.max(1) as u64);
        let peer = Peer::connect_within(&address, &self.broker_id.to_string(), timeout).await?;
        let broker_epoch = *self.registered.borrow();
        let request = AllocateProducerIdsRequest { broker_id: self.broker_id, broker_epoch };
        let response = peer.call_within(&request, VERSION, timeout).await?;
        match ErrorCode(response.error_code) {
            ErrorCode::NONE => {
                let first = response.producer_id_start;
                Ok(first..first.saturating_add(response.producer_id_len.max(0).into()))
            }
            error => Err(Error::Refused(error)),
        }
    }
}
