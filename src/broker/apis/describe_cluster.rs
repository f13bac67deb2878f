//! DescribeCluster (key 60), versions 0–1: brokers, controller and cluster id (KIP-700).
//!
//! - v1 says which kind of endpoint the client wants to see; there are no controller endpoints in ZooKeeper mode.

use std::sync::Arc;

use super::metadata::{CLUSTER_OPERATIONS, OPERATIONS_NOT_ASKED};
use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_cluster::DescribeClusterBroker;
use crate::wire::messages::{DescribeClusterRequest, DescribeClusterResponse};

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DescribeClusterRequest) -> Reply {
    let refusal = match request.endpoint_type {
        BROKERS => None,
        CONTROLLERS => Some((
            ErrorCode::MISMATCHED_ENDPOINT_TYPE,
            "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
                .to_owned(),
        )),
        other => Some((ErrorCode::UNSUPPORTED_ENDPOINT_TYPE, format!("Unsupported endpoint type {other}"))),
    };
    if let Some((code, message)) = refusal {
        let response =
            DescribeClusterResponse { error_code: code.0, error_message: Some(message), ..Default::default() };
        return Reply::now(&context, &response);
    }
    let cluster = broker.metadata.current();
    let brokers = cluster.brokers.values().filter_map(|live| {
        let endpoint = live.endpoint(&context.listener_name)?;
        let (host, port) = (endpoint.host.clone(), endpoint.port);
        Some(DescribeClusterBroker { broker_id: live.id, host, port, rack: live.rack.clone() })
    });
    let response = DescribeClusterResponse {
        cluster_id: broker.cluster_id.clone(),
        controller_id: cluster.live_controller(),
        brokers: brokers.collect(),
        cluster_authorized_operations: match request.include_cluster_authorized_operations {
            true => CLUSTER_OPERATIONS,
            false => OPERATIONS_NOT_ASKED,
        },
        ..Default::default()
    };
    Reply::now(&context, &response)
}
