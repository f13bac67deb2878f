//! Client quotas as the registry keeps them: numbers of users, client ids and addresses (KIP-13, KIP-55, KIP-612).
//!
//! Source: `ZkAdminManager.describeClientQuotas`, `alterClientQuotas`; `DynamicConfig`.

use std::collections::BTreeMap;

use super::topic_creation::Refusal;
use super::{config_changes, scram};
use crate::config::show_double;
use crate::registry::znodes::{ConfigEntity, sanitize};
use crate::registry::{Error, Session};
use crate::wire::ErrorCode;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// Of users and client ids: whether each is a whole number.
const CLIENT_KEYS: [(&str, Number); 4] = [
    ("producer_byte_rate", Number::Long),
    ("consumer_byte_rate", Number::Long),
    ("request_percentage", Number::Double),
    ("controller_mutation_rate", Number::Double),
];
const IP_KEYS: [(&str, Number); 1] = [("connection_creation_rate", Number::Int)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Number {
    Int,
    Long,
    Double,
}

/// Which names of a component are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Filter {
    /// This one; None: the default of all that have none of their own.
    Named(Option<String>),
    Any,
}

/// What is done to one quota.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alteration {
    Set(f64),
    Remove,
}

/// What an entity is made of, as requests say it.
pub(super) fn components(entity: &ConfigEntity) -> Vec<(&'static str, &Option<String>)> {
    match entity {
        ConfigEntity::User(user) => vec![(USER, user)],
        ConfigEntity::Client(client) => vec![(CLIENT_ID, client)],
        ConfigEntity::UserClient { user, client } => vec![(USER, user), (CLIENT_ID, client)],
        ConfigEntity::Ip(ip) => vec![(IP, ip)],
        ConfigEntity::Topic(_) | ConfigEntity::Broker(_) => Vec::new(),
    }
}

/// The entity that is made of these components.
///
/// # Errors
/// `INVALID_REQUEST` if there is none.
pub(super) fn entity<'a>(parts: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Result<ConfigEntity, Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    let (mut user, mut client, mut ip) = (None, None, None);
    for (kind, name) in parts {
        let part = Some(name.map(str::to_owned));
        match kind {
            USER => user = part,
            CLIENT_ID => client = part,
            IP => ip = part,
            other => return invalid(format!("Unhandled client quota entity type: {other}")),
        }
        if name == Some("") {
            return invalid(format!("Empty {kind} not supported"));
        }
    }
    match (user, client, ip) {
        (Some(user), Some(client), None) => Ok(ConfigEntity::UserClient { user, client }),
        (Some(user), None, None) => Ok(ConfigEntity::User(user)),
        (None, Some(client), None) => Ok(ConfigEntity::Client(client)),
        (None, None, Some(ip)) => Ok(ConfigEntity::Ip(ip)),
        (None, None, None) => invalid("Invalid empty client quota entity".to_owned()),
        (_, _, Some(_)) => invalid(
            "Invalid quota entity combination, IP entity should not be used with user/client ID entity.".to_owned(),
        ),
    }
}

/// Refuses an address that is none, and a host without one.
///
/// # Errors
/// `INVALID_REQUEST`.
pub(super) async fn check_address(entity: &ConfigEntity) -> Result<(), Refusal> {
    let ConfigEntity::Ip(Some(ip)) = entity else { return Ok(()) };
    match tokio::net::lookup_host((ip.as_str(), 0)).await {
        Ok(_) => Ok(()),
        Err(_) => {
            let message = format!("{} is not a valid IP or resolvable host.", sanitize(ip));
            Err(Refusal::new(ErrorCode::INVALID_REQUEST, message))
        }
    }
}

/// Sets or removes one value of an entity.
///
/// # Errors
/// `INVALID_REQUEST` for a key that it does not have, or a fraction where none may be.
pub(super) fn apply(
    entity: &ConfigEntity,
    key: &str,
    alteration: Alteration,
    values: &mut BTreeMap<String, String>,
) -> Result<(), Refusal> {
    let invalid = |message: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    let Alteration::Set(value) = alteration else {
        values.remove(key);
        return Ok(());
    };
    if matches!(entity, ConfigEntity::User(_) | ConfigEntity::UserClient { .. }) && is_scram(key) {
        // A key of users that is no number: an IllegalStateException in Kafka, of which clients are told nothing.
        return Err(Refusal::plain(ErrorCode::UNKNOWN_SERVER_ERROR));
    }
    let Some((_, number)) = keys(entity).iter().find(|(known, _)| *known == key) else {
        return invalid(format!("Invalid configuration key {key}"));
    };
    // As far from a whole number as a client's arithmetic may have brought it.
    const EPSILON: f64 = 1e-6;
    let text = match number {
        Number::Double => show_double(value),
        Number::Long | Number::Int => {
            let (name, whole) = match number {
                Number::Int => ("INT", i64::from((value + EPSILON) as i32)),
                _ => ("LONG", (value + EPSILON) as i64),
            };
            if (whole as f64 - value).abs() > EPSILON {
                return invalid(format!("Configuration {key} must be a {name} value"));
            }
            whole.to_string()
        }
    };
    values.insert(key.to_owned(), text);
    Ok(())
}

fn is_scram(key: &str) -> bool {
    scram::Mechanism::ALL.iter().any(|mechanism| mechanism.name() == key)
}

fn keys(entity: &ConfigEntity) -> &'static [(&'static str, Number)] {
    match entity {
        ConfigEntity::Ip(_) => &IP_KEYS,
        _ => &CLIENT_KEYS,
    }
}

/// Every entity with a quota that the filter matches, and its quotas. `strict`: entities with components that the
/// filter does not name are left out.
///
/// # Errors
/// `INVALID_REQUEST`, `UNSUPPORTED_VERSION` for a filter that makes no sense; what the registry said.
pub(super) async fn matching(
    session: &Session,
    filter: &[(String, Filter)],
    strict: bool,
) -> Result<Vec<(ConfigEntity, Vec<(String, f64)>)>, Refusal> {
    check(filter)?;
    let mut found = Vec::new();
    for entity in all(session).await? {
        if !matches(&entity, filter, strict) {
            continue;
        }
        let values = config_changes::read(session, &entity).await?;
        let mut quotas = Vec::new();
        for (key, value) in values {
            if keys(&entity).iter().any(|(known, _)| *known == key) {
                let number = value.parse().map_err(|_| Refusal::plain(ErrorCode::UNKNOWN_SERVER_ERROR))?;
                quotas.push((key, number));
            }
        }
        if !quotas.is_empty() {
            found.push((entity, quotas));
        }
    }
    Ok(found)
}

fn check(filter: &[(String, Filter)]) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    for (index, (kind, _)) in filter.iter().enumerate() {
        let is_again = filter[..index].iter().any(|(before, _)| before == kind);
        match kind.as_str() {
            USER if is_again => return invalid("Duplicate user filter component entity type"),
            CLIENT_ID if is_again => return invalid("Duplicate client filter component entity type"),
            IP if is_again => return invalid("Duplicate ip filter component entity type"),
            USER | CLIENT_ID | IP => {}
            "" => return invalid("Unexpected empty filter component entity type"),
            other => {
                let message = format!("Custom entity type '{other}' not supported");
                return Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, message));
            }
        }
    }
    let names = |wanted: &str| filter.iter().any(|(kind, _)| kind == wanted);
    if names(IP) && (names(USER) || names(CLIENT_ID)) {
        return invalid(
            "Invalid entity filter component combination, IP filter component should not be used with user or clientId \
             filter component.",
        );
    }
    Ok(())
}

fn matches(entity: &ConfigEntity, filter: &[(String, Filter)], strict: bool) -> bool {
    let components = components(entity);
    let is_wanted = |(kind, wanted): &(String, Filter)| {
        let component = components.iter().find(|(own, _)| own == kind);
        component.is_some_and(|(_, name)| match wanted {
            Filter::Any => true,
            Filter::Named(wanted) => wanted == *name,
        })
    };
    let is_named = |(kind, _): &(&str, &Option<String>)| filter.iter().any(|(named, _)| named == kind);
    filter.iter().all(is_wanted) && (!strict || components.iter().all(is_named))
}

/// Every entity that may have quotas, as far as the registry knows it.
async fn all(session: &Session) -> Result<Vec<ConfigEntity>, Error> {
    let mut entities = Vec::new();
    for user in users(session).await? {
        let path = format!("/config/{}/clients", ConfigEntity::User(user.clone()).entity_path());
        for client in names(session, &path, "clients").await? {
            entities.push(ConfigEntity::UserClient { user: user.clone(), client });
        }
        entities.push(ConfigEntity::User(user));
    }
    entities.extend(names(session, "/config/clients", "clients").await?.into_iter().map(ConfigEntity::Client));
    entities.extend(names(session, "/config/ips", "clients").await?.into_iter().map(ConfigEntity::Ip));
    entities.sort();
    Ok(entities)
}

/// Every user that the registry has values of; None: the default user.
///
/// # Errors
/// Any registry error.
pub(super) async fn users(session: &Session) -> Result<Vec<Option<String>>, Error> {
    names(session, "/config/users", "users").await
}

/// The children of a path, which are names of entities.
async fn names(session: &Session, path: &str, kind: &str) -> Result<Vec<Option<String>>, Error> {
    let children = match session.children(path).await {
        Ok(children) => children,
        Err(Error::NoNode(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let name = |child: String| match ConfigEntity::from_entity_path(&format!("{kind}/{child}"))? {
        ConfigEntity::User(name) | ConfigEntity::Client(name) => Some(name),
        _ => None,
    };
    Ok(children.into_iter().filter_map(name).collect())
}

#[cfg(test)]
mod tests;
