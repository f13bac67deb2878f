//! What Produce and Fetch tell a client that asked the wrong broker: who leads, and where (KIP-951).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::Broker;
use crate::replication::ClusterMetadata;
use crate::wire::ErrorCode;

/// Collects the leaders that one answer names.
pub(super) struct LeaderHints<'a> {
    broker: &'a Broker,
    listener: &'a str,
    /// Looked at only when the first wrong partition is met.
    cluster: Option<Arc<ClusterMetadata>>,
    endpoints: BTreeMap<i32, (String, i32, Option<String>)>,
}

impl<'a> LeaderHints<'a> {
    pub fn new(broker: &'a Broker, listener: &'a str) -> LeaderHints<'a> {
        LeaderHints { broker, listener, cluster: None, endpoints: BTreeMap::new() }
    }

    /// Leader and leader epoch of a partition, if `error_code` says that the client does not know them.
    pub fn leader(&mut self, topic: &str, partition: i32, error_code: i16) -> Option<(i32, i32)> {
        if !matches!(ErrorCode(error_code), ErrorCode::NOT_LEADER_OR_FOLLOWER | ErrorCode::FENCED_LEADER_EPOCH) {
            return None;
        }
        let cluster = self.cluster.get_or_insert_with(|| self.broker.metadata.current());
        let state = cluster.partition(topic, partition)?;
        if let Some((leader, endpoint)) = cluster.leader_endpoint(topic, partition, self.listener) {
            let address = (endpoint.host.clone(), endpoint.port, leader.rack.clone());
            self.endpoints.insert(leader.id, address);
        }
        Some((state.leader, state.leader_epoch))
    }

    /// Id, host, port and rack of the leaders named.
    pub fn into_endpoints(self) -> impl Iterator<Item = (i32, String, i32, Option<String>)> {
        self.endpoints.into_iter().map(|(id, (host, port, rack))| (id, host, port, rack))
    }
}
