//! FindCoordinator (key 10), versions 0–6: which broker coordinates a group (key type 0) or transactional id (1).
//!
//! - It is the leader of the partition of the internal topic that keeps it. The first call of all creates the topic;
//!   until it has leaders the answer is COORDINATOR_NOT_AVAILABLE, which every client takes for "ask again".
//! - v1 key types · v4 several keys (KIP-699) · v6 share groups (KIP-932), which are not served

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::replication::ClusterMetadata;
use crate::wire::ErrorCode;
use crate::wire::messages::find_coordinator::Coordinator;
use crate::wire::messages::{FindCoordinatorRequest, FindCoordinatorResponse};
use crate::{group, transaction};

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: FindCoordinatorRequest) -> Reply {
    let version = context.version();
    let single = [request.key];
    let keys: &[String] = if version >= 4 { &request.coordinator_keys } else { &single };
    let cluster = broker.metadata.current();
    let mut coordinators: Vec<Coordinator> =
        keys.iter().map(|key| find(broker, &cluster, &context, request.key_type, key)).collect();
    let response = if version >= 4 {
        FindCoordinatorResponse { coordinators, ..Default::default() }
    } else {
        let Some(only) = coordinators.pop() else { return Reply::Close };
        // Apache says so in words, too, from version 1 to 3.
        let error_message = if only.error_code == 0 { Some("NONE".to_owned()) } else { only.error_message };
        FindCoordinatorResponse {
            error_code: only.error_code,
            error_message,
            node_id: only.node_id,
            host: only.host,
            port: only.port,
            ..Default::default()
        }
    };
    Reply::now(&context, &response)
}

fn find(broker: &Arc<Broker>, cluster: &ClusterMetadata, context: &RequestContext, kind: i8, key: &str) -> Coordinator {
    let refuse = |error: ErrorCode| Coordinator {
        key: key.to_owned(),
        node_id: -1,
        host: String::new(),
        port: -1,
        error_code: error.0,
        // Apache says it in words up to version 3, and of a kind that does not exist.
        error_message: match context.version() {
            4.. if (GROUP..=SHARE).contains(&kind) => Some(String::new()),
            _ => Some(error.message().to_owned()),
        },
    };
    let (topic, partition) = match kind {
        GROUP => (group::TOPIC, broker.group_partition(key)),
        TRANSACTION => (transaction::TOPIC, broker.transaction_partition(key)),
        _ => return refuse(ErrorCode::INVALID_REQUEST),
    };
    if !cluster.topics.contains_key(topic) {
        tokio::spawn(broker.auto_create_topic(topic));
        return refuse(ErrorCode::COORDINATOR_NOT_AVAILABLE);
    }
    match cluster.leader_endpoint(topic, partition, &context.listener_name) {
        None => refuse(ErrorCode::COORDINATOR_NOT_AVAILABLE),
        Some((leader, endpoint)) => Coordinator {
            key: key.to_owned(),
            node_id: leader.id,
            host: endpoint.host.clone(),
            port: endpoint.port,
            error_code: 0,
            error_message: Some(String::new()),
        },
    }
}
