//! IncrementalAlterConfigs (key 44), versions 0–1: sets, deletes, appends and subtracts single values of a topic or
//! broker (KIP-339). Any broker writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::config_resource::{self, Resource};
use crate::broker::topic_creation::Refusal;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::ErrorCode;
use crate::wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig,
};
use crate::wire::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: IncrementalAlterConfigsRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let mut responses = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let is_same = |other: &&AlterConfigsResource| {
                (other.resource_type, &other.resource_name) == (resource.resource_type, &resource.resource_name)
            };
            let result = match request.resources.iter().filter(is_same).count() {
                1 => alter(&broker, resource, request.validate_only).await,
                _ => Err(config_resource::named_twice()),
            };
            let (error_code, error_message) = match result {
                Ok(()) => (0, None),
                Err(refusal) => (refusal.code.0, refusal.message),
            };
            responses.push(AlterConfigsResourceResponse {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
            });
        }
        Response::of(&context, &IncrementalAlterConfigsResponse { responses, ..Default::default() })
    })
}

async fn alter(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let names: BTreeSet<&str> = resource.configs.iter().map(|config| config.name.as_str()).collect();
    if names.len() != resource.configs.len() {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys"));
    }
    let is_null = |config: &&AlterableConfig| config.config_operation != DELETE && config.value.is_none();
    let nulls: Vec<&str> = resource.configs.iter().filter(is_null).map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(", "));
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    if Resource::is_logger(broker, resource.resource_type, &resource.resource_name)? {
        // There is no log4j here, so there are no loggers of it.
        return match resource.configs.first() {
            Some(config) => {
                let message = format!("Logger {} does not exist!", config.name);
                Err(Refusal::new(ErrorCode::INVALID_CONFIG, message))
            }
            None => Ok(()),
        };
    }
    let target = Resource::parse(broker, resource.resource_type, &resource.resource_name)?;
    let mut values = target.values(broker).await?;
    for config in &resource.configs {
        apply(&target, config, &mut values)?;
    }
    target.store(broker, values, validate_only).await
}

/// Source: `ConfigAdminManager.prepareIncrementalConfigs`.
fn apply(target: &Resource, config: &AlterableConfig, values: &mut BTreeMap<String, String>) -> Result<(), Refusal> {
    let name = config.name.as_str();
    let value = config.value.as_deref().unwrap_or_default();
    let verb = match config.config_operation {
        SET => {
            values.insert(name.to_owned(), value.to_owned());
            return Ok(());
        }
        DELETE => {
            values.remove(name);
            return Ok(());
        }
        APPEND => "append",
        SUBTRACT => "subtract",
        other => {
            return Err(Refusal::new(ErrorCode::INVALID_REQUEST, format!("Unknown operations type {other}")));
        }
    };
    let Some((is_list, default)) = target.key(name) else {
        return Err(Refusal::new(ErrorCode::INVALID_CONFIG, format!("Unknown config name: {name}")));
    };
    if !is_list {
        let message = format!("Config value {verb} is not allowed for config key: {name}");
        return Err(Refusal::new(ErrorCode::INVALID_CONFIG, message));
    }
    let old = values.get(name).map_or(default, String::as_str);
    let mut elements: Vec<&str> = old.split(',').filter(|element| !element.is_empty()).collect();
    for element in value.split(',') {
        match config.config_operation {
            APPEND if !elements.contains(&element) => elements.push(element),
            SUBTRACT => elements.retain(|old| *old != element),
            _ => {}
        }
    }
    let joined = elements.join(",");
    values.insert(name.to_owned(), joined);
    Ok(())
}

#[cfg(test)]
mod tests;
