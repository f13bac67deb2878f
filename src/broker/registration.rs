//! This broker's registration: the ephemeral `/brokers/ids/N`, there as long as our session. Its czxid is the broker
//! epoch. When a session expires another is made, and the broker registers anew.
//!
//! Source: `KafkaZkClient.registerBroker`, `KafkaServer.createBrokerInfo`.

use std::sync::Arc;
use std::time::Duration;

use super::{Broker, Error, wall_ms};
use crate::config::Endpoint;
use crate::registry::session::{CreateMode, Op, OpResult};
use crate::registry::znodes::{BROKER_IDS, BrokerEndpoint, BrokerRegistration, ControllerNode};
use crate::registry::{self, Session};

/// Pause before a registration that failed is tried again.
const RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// A file in each log dir: the epoch under which its broker registered last. Kafka's brokers let it be.
const BROKER_EPOCH: &str = ".broker_epoch";

/// Registers the broker, and keeps it registered until it is shut down. Its epoch is known when this returns.
///
/// # Errors
/// `IdInUse` if another broker has our id and does not go within a session timeout; `EndpointInUse` if another has our
/// address; `Registry`.
pub(super) async fn start(broker: &Arc<Broker>) -> Result<(), Error> {
    check_endpoints(broker).await?;
    register(broker).await?;
    let keeper = tokio::spawn(keep_registered(broker.clone()));
    broker.running.lock().tasks.push(keeper);
    Ok(())
}

/// What others are to know of us.
fn registration(broker: &Broker) -> BrokerRegistration {
    let config = broker.config();
    let endpoint = |endpoint: &Endpoint| BrokerEndpoint {
        listener: endpoint.listener_name.clone(),
        host: endpoint.host.clone(),
        port: i32::from(endpoint.port),
        security_protocol: endpoint.security_protocol.name().to_owned(),
    };
    BrokerRegistration {
        endpoints: config.advertised_listeners.iter().map(endpoint).collect(),
        rack: config.broker_rack.clone(),
        jmx_port: -1,
        timestamp_ms: wall_ms(),
        features: Default::default(),
    }
}

/// Refuses to share an address with another broker.
async fn check_endpoints(broker: &Broker) -> Result<(), Error> {
    let config = broker.config();
    for name in broker.session.children(BROKER_IDS).await? {
        let Some(id) = name.parse::<i32>().ok().filter(|id| *id != broker.id) else { continue };
        let other = match broker.session.get(&BrokerRegistration::path(id)).await {
            Ok((data, _)) => BrokerRegistration::decode(id, &data)?,
            Err(registry::Error::NoNode(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        let taken = |ours: &&Endpoint| {
            let is_ours = |e: &BrokerEndpoint| e.host == ours.host && e.port == i32::from(ours.port);
            other.endpoints.iter().any(is_ours)
        };
        let shared: Vec<String> = config.advertised_listeners.iter().filter(taken).map(Endpoint::address).collect();
        if !shared.is_empty() {
            return Err(Error::EndpointInUse { endpoints: shared.join(","), broker: id });
        }
    }
    Ok(())
}

async fn register(broker: &Broker) -> Result<(), Error> {
    let path = BrokerRegistration::path(broker.id);
    let session = &broker.session;
    loop {
        let node = registration(broker);
        let ops = [Op::create(&path, None, CreateMode::Ephemeral), Op::set(&path, node.encode(), -1)];
        let czxid = match session.multi(&ops).await.map_err(registry::Error::from) {
            Ok(results) => match results.last() {
                Some(OpResult::Set(stat)) => stat.czxid,
                _ => return Err(registry::Error::Malformed("multi result".to_owned()).into()),
            },
            Err(registry::Error::NodeExists(_)) => match take_over(broker, &path, &node).await? {
                Some(czxid) => czxid,
                None => continue,
            },
            Err(error) => return Err(error.into()),
        };
        note(broker, czxid).await;
        broker.registered.send_replace(czxid);
        tracing::info!(epoch = czxid, "registered broker {} at path {path}", broker.id);
        return Ok(());
    }
}

/// Our id is registered already. By ourselves, if the answer was lost with the connection: then its czxid. By a former
/// life of ours that was killed: then it makes room, at once if it had our addresses, which we have bound now and it
/// cannot have, or our log dirs, which we have locked; else when its session has run out.
async fn take_over(broker: &Broker, path: &str, ours: &BrokerRegistration) -> Result<Option<i64>, Error> {
    let (session, id) = (&broker.session, broker.id);
    let (data, stat) = match session.get(path).await {
        Ok(read) => read,
        Err(registry::Error::NoNode(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let own_session = session.session_id();
    if Some(stat.ephemeral_owner) == own_session {
        return Ok(Some(stat.czxid));
    }
    let has_our_addresses =
        BrokerRegistration::decode(id, &data).is_ok_and(|theirs| theirs.endpoints == ours.endpoints);
    if has_our_addresses || is_noted(broker, stat.czxid).await {
        // What else that life held: were it the controller, nobody would decide anything until its session ends.
        if let Some(controller) = session.exists(ControllerNode::PATH).await?
            && controller.ephemeral_owner == stat.ephemeral_owner
        {
            remove(session, ControllerNode::PATH, controller.version).await?;
        }
        remove(session, path, stat.version).await?;
        return Ok(None);
    }
    tracing::info!("broker id {id} is registered by another session, waiting for that to end");
    let (found, gone) = session.exists_and_watch(path).await?;
    // The registry looks for dead sessions now and then only.
    let timeout = Duration::from_millis(broker.config().zookeeper_session_timeout_ms.max(1) as u64) * 3 / 2;
    if found.is_some() && tokio::time::timeout(timeout, gone).await.is_err() {
        let (owner, session) = (stat.ephemeral_owner, own_session.unwrap_or_default());
        return Err(Error::IdInUse { path: path.to_owned(), owner, session });
    }
    Ok(None)
}

/// Leaves word in the log dirs which registration is theirs: whoever has them locked later knows that it is dead.
async fn note(broker: &Broker, czxid: i64) {
    for dir in &broker.config().log_dirs {
        // Without it a start after a kill takes as long as the session: no more is lost.
        if let Err(error) = tokio::fs::write(dir.join(BROKER_EPOCH), format!("{czxid}\n")).await {
            tracing::debug!(dir = %dir.display(), %error, "broker epoch not noted");
        }
    }
}

async fn is_noted(broker: &Broker, czxid: i64) -> bool {
    for dir in &broker.config().log_dirs {
        let noted = tokio::fs::read_to_string(dir.join(BROKER_EPOCH)).await;
        if noted.is_ok_and(|noted| noted.trim().parse() == Ok(czxid)) {
            return true;
        }
    }
    false
}

/// Deletes a znode, if it is still the one that was looked at.
async fn remove(session: &Session, path: &str, version: i32) -> Result<(), Error> {
    match session.delete(path, version).await {
        Ok(()) | Err(registry::Error::NoNode(_) | registry::Error::BadVersion(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// After every expiry: a new session, a new registration, a new epoch.
async fn keep_registered(broker: Arc<Broker>) {
    loop {
        broker.session.lost().await;
        broker.registered.send_replace(-1);
        tracing::warn!("registry session lost, registering anew");
        while let Err(error) = anew(&broker).await {
            if matches!(error, Error::Registry(registry::Error::Closed)) {
                return;
            }
            tracing::error!(%error, "cannot register, trying again");
            tokio::time::sleep(RETRY_BACKOFF).await;
        }
    }
}

async fn anew(broker: &Broker) -> Result<(), Error> {
    broker.session.rebuild().await?;
    register(broker).await
}
