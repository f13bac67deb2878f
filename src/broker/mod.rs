//! The broker: every room put together. [`Broker::start`] brings them up from the truth at the bottom (log dirs,
//! registry) to the listeners, [`Broker::shutdown`] takes them down in the opposite order, and between the two
//! [`apis`] answers requests.

mod apis;

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::BrokerConfig;
use crate::network::{Handler, Reply, RequestContext};
use crate::registry::Session;
use crate::replication::MetadataCache;
use crate::wire::{Bytes, ErrorCode};

/// One broker, as its requests and its own tasks see it.
pub struct Broker {
    /// `broker.id`.
    pub(crate) id: i32,
    /// The id in `/cluster/id`.
    pub(crate) cluster_id: String,
    /// As it is now: dynamic updates put a new one here.
    pub(crate) config: watch::Sender<Arc<BrokerConfig>>,
    pub(crate) session: Session,
    /// Our picture of the cluster, as the controller draws it.
    pub(crate) metadata: Arc<MetadataCache>,
    /// The broker epoch: czxid of our `/brokers/ids` node, -1 while there is none. The controller's requests to an
    /// earlier registration are refused.
    pub(crate) registered: watch::Sender<i64>,
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

    /// Refuses what the controller sent to an earlier registration of ours; -1 is not checked (old controllers).
    ///
    /// # Errors
    /// `STALE_BROKER_EPOCH`.
    pub(crate) fn check_broker_epoch(&self, epoch: i64) -> Result<(), ErrorCode> {
        if epoch != -1 && epoch < self.epoch() { Err(ErrorCode::STALE_BROKER_EPOCH) } else { Ok(()) }
    }
}

/// What a listener calls: the shared broker.
struct Requests(Arc<Broker>);

impl Handler for Requests {
    fn handle(&self, context: RequestContext, body: Bytes) -> Reply {
        apis::handle(&self.0, context, body)
    }
}
