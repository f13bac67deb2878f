//! This broker's registration: the ephemeral `/brokers/ids/N`, there as long as our session.

use std::sync::Arc;

use super::{Broker, Error, wall_ms};
use crate::registry::session::{CreateMode, Op, OpResult};
use crate::registry::znodes::{BrokerEndpoint, BrokerRegistration};

/// Registers the broker; its epoch is known when this returns.
pub(super) async fn start(broker: &Arc<Broker>) -> Result<(), Error> {
    let config = broker.config();
    let endpoint = |endpoint: &crate::config::Endpoint| BrokerEndpoint {
        listener: endpoint.listener_name.clone(),
        host: endpoint.host.clone(),
        port: i32::from(endpoint.port),
        security_protocol: endpoint.security_protocol.name().to_owned(),
    };
    let registration = BrokerRegistration {
        endpoints: config.advertised_listeners.iter().map(endpoint).collect(),
        rack: config.broker_rack.clone(),
        jmx_port: -1,
        timestamp_ms: wall_ms(),
        features: Default::default(),
    };
    let path = BrokerRegistration::path(broker.id);
    let ops = [Op::create(&path, None, CreateMode::Ephemeral), Op::set(&path, registration.encode(), -1)];
    let results = broker.session.multi(&ops).await.map_err(crate::registry::Error::from)?;
    if let Some(OpResult::Set(stat)) = results.last() {
        broker.registered.send_replace(stat.czxid);
    }
    Ok(())
}
