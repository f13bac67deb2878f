//! The broker: every room put together. [`Broker::start`] brings them up from the truth at the bottom (log dirs,
//! registry) to the listeners, [`Broker::shutdown`] takes them down in the opposite order, and between the two
//! [`apis`] answers requests.

mod apis;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::network::{Handler, Reply, RequestContext};
use crate::replication::MetadataCache;
use crate::wire::{Bytes, ErrorCode};

/// One broker, as its requests and its own tasks see it.
#[derive(Debug)]
pub struct Broker {
    /// `broker.id`.
    pub(crate) id: i32,
    /// The id in `/cluster/id`.
    pub(crate) cluster_id: String,
    /// Our picture of the cluster, as the controller draws it.
    pub(crate) metadata: Arc<MetadataCache>,
    /// czxid of our `/brokers/ids` node: the controller's requests to an earlier registration are refused.
    epoch: AtomicI64,
}

impl Broker {
    /// The broker epoch: czxid of our registration; -1 before the first.
    pub(crate) fn epoch(&self) -> i64 {
        self.epoch.load(Ordering::Acquire)
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
