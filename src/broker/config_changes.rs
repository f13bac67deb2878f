//! Dynamic configuration: somebody writes an entity's config and leaves a note in `/config/changes`; every broker sees
//! the note and reads the entity.
//!
//! Source: `ZkNodeChangeNotificationListener`, `ZkConfigManager`, `ConfigHandler`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Broker, wall_ms};
use crate::registry::session::{CreateMode, EventKind, Op, OpResult};
use crate::registry::znodes::{CONFIG_CHANGES, ConfigChange, ConfigEntity, EntityConfig};
use crate::registry::{Error, Session};

/// Notes older than this are cleared away by whoever sees a new one.
const NOTE_EXPIRATION_MS: i64 = 15 * 60 * 1000;
/// How long an alteration waits for this broker's own obedience, which takes a millisecond.
const OBEDIENCE: Duration = Duration::from_millis(500);
/// Pause after a registry error that is not the loss of the session.
const RETRY_BACKOFF: Duration = Duration::from_millis(500);

/// An entity's own values as the registry has them; none if it has none.
///
/// # Errors
/// Any registry error; `MalformedZnode`.
pub(crate) async fn read(session: &Session, entity: &ConfigEntity) -> Result<BTreeMap<String, String>, Error> {
    match session.get(&EntityConfig::path(entity)).await {
        Ok((data, _)) => Ok(EntityConfig::decode(entity, &data)?.config),
        Err(Error::NoNode(_)) => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

/// Writes an entity's own values, all of them, and the note that tells every broker: both or none. Returns when this
/// broker obeys, or does not for half a second; the others will soon.
///
/// # Errors
/// Any registry error.
pub(crate) async fn write(
    broker: &Broker,
    entity: &ConfigEntity,
    config: BTreeMap<String, String>,
) -> Result<(), Error> {
    let written = write_with_note(&broker.session, entity, config).await?;
    let mut obeyed = broker.config_changes.subscribe();
    let obeying = obeyed.wait_for(|number| *number >= written);
    // Kafka does not wait: what one has altered and asks for at once may be the old there.
    let _ = tokio::time::timeout(OBEDIENCE, obeying).await;
    Ok(())
}

/// The number of the note.
async fn write_with_note(
    session: &Session,
    entity: &ConfigEntity,
    config: BTreeMap<String, String>,
) -> Result<i64, Error> {
    let path = EntityConfig::path(entity);
    let data = EntityConfig { config }.encode();
    let note = ConfigChange { entity_path: entity.entity_path() }.encode();
    let note = Op::create(ConfigChange::path_prefix(), Some(&note), CreateMode::PersistentSequential);
    loop {
        let set = [Op::set(&path, data.clone(), -1), note.clone()];
        match session.multi(&set).await.map_err(Error::from) {
            Ok(results) => {
                let created = results.iter().find_map(|result| match result {
                    OpResult::Created(path) => number(path.rsplit('/').next()?),
                    _ => None,
                });
                return Ok(created.unwrap_or(-1));
            }
            Err(Error::NoNode(_)) => {}
            Err(error) => return Err(error),
        }
        match session.create_with_parents(&path, Some(&data), CreateMode::Persistent).await {
            Ok(_) | Err(Error::NodeExists(_)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Follows the notes for as long as the broker runs.
pub(super) async fn follow(broker: Arc<Broker>) {
    loop {
        match follow_session(&broker).await {
            Err(Error::Closed) => return,
            Err(Error::SessionExpired) => {
                // The registration makes the new session.
                let mut registered = broker.registered.subscribe();
                if registered.wait_for(|epoch| *epoch >= 0).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "configuration changes cannot be followed"),
            Ok(never) => match never {},
        }
        tokio::time::sleep(RETRY_BACKOFF).await;
    }
}

/// Everything may have changed while nobody looked: reads it all, then what each note names.
async fn follow_session(broker: &Arc<Broker>) -> Result<std::convert::Infallible, Error> {
    let (names, mut watch) = broker.session.children_and_watch(CONFIG_CHANGES).await?;
    let mut seen = names.iter().filter_map(|name| number(name)).max().unwrap_or(-1);
    read_everything(broker).await?;
    broker.config_changes.send_replace(seen);
    loop {
        let event = watch.await;
        if event.kind == EventKind::SessionLost {
            return Err(Error::SessionExpired);
        }
        let (names, next) = broker.session.children_and_watch(CONFIG_CHANGES).await?;
        watch = next;
        let mut notes: Vec<(i64, String)> = names.into_iter().filter_map(|name| Some((number(&name)?, name))).collect();
        notes.sort();
        for (number, name) in &notes {
            if *number > seen {
                take_note(broker, name).await?;
                seen = *number;
                broker.config_changes.send_replace(seen);
            }
        }
        clear(&broker.session, &notes).await?;
    }
}

/// The number at the end of `config_change_0000000012`.
fn number(name: &str) -> Option<i64> {
    name.strip_prefix("config_change_")?.parse().ok()
}

async fn read_everything(broker: &Arc<Broker>) -> Result<(), Error> {
    broker_changed(broker).await?;
    for topic in broker.session.children("/config/topics").await? {
        let values = read(&broker.session, &ConfigEntity::Topic(topic.clone())).await?;
        if values != broker.topic_configs.overrides(&topic) {
            broker.topic_config_changed(&topic, values);
        }
    }
    Ok(())
}

async fn take_note(broker: &Arc<Broker>, name: &str) -> Result<(), Error> {
    let path = format!("{CONFIG_CHANGES}/{name}");
    let data = match broker.session.get(&path).await {
        Ok((data, _)) => data,
        Err(Error::NoNode(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let entity = ConfigChange::decode(&data).ok().and_then(|note| ConfigEntity::from_entity_path(&note.entity_path));
    match entity {
        Some(ConfigEntity::Topic(topic)) => {
            let values = read(&broker.session, &ConfigEntity::Topic(topic.clone())).await;
            match values {
                Ok(values) => {
                    tracing::info!(topic, ?values, "topic configuration changed");
                    broker.topic_config_changed(&topic, values);
                }
                Err(error @ Error::MalformedZnode { .. }) => tracing::error!(%error, "change left out"),
                Err(error) => return Err(error),
            }
        }
        Some(ConfigEntity::Broker(id)) if id.is_none_or(|id| id == broker.id) => broker_changed(broker).await?,
        // Other brokers, and quotas, which are not served here.
        Some(_) => {}
        None => tracing::error!(note = %String::from_utf8_lossy(&data), "configuration note cannot be understood"),
    }
    Ok(())
}

/// Takes this broker's dynamic values. What does not go together with the rest is refused as a whole, and logged.
async fn broker_changed(broker: &Arc<Broker>) -> Result<(), Error> {
    let (all, own) = (ConfigEntity::Broker(None), ConfigEntity::Broker(Some(broker.id)));
    let read = tokio::try_join!(read(&broker.session, &all), read(&broker.session, &own));
    let (all, own) = match read {
        Ok(read) => read,
        Err(error @ Error::MalformedZnode { .. }) => {
            tracing::error!(%error, "change left out");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let config = broker.config();
    if config.dynamic_values() == (&all, &own) {
        return Ok(());
    }
    match config.with_dynamic(all, own) {
        Ok(config) => {
            tracing::info!("broker configuration changed");
            broker.broker_config_changed(config);
        }
        Err(error) => tracing::error!(%error, "dynamic configuration is ignored"),
    }
    Ok(())
}

async fn clear(session: &Session, notes: &[(i64, String)]) -> Result<(), Error> {
    // They are numbered in the order in which they were written: the first young one ends it.
    for (_, name) in notes {
        let path = format!("{CONFIG_CHANGES}/{name}");
        let Some(stat) = session.exists(&path).await? else { continue };
        if wall_ms() - stat.ctime <= NOTE_EXPIRATION_MS {
            break;
        }
        match session.delete(&path, -1).await {
            Ok(()) | Err(Error::NoNode(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
