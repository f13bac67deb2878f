//! AlterConfigs (key 33), versions 0–2: replaces all own values of a topic or broker. Any broker writes them.
//!
//! - What is not named is back to its default; IncrementalAlterConfigs is the kinder way (KIP-339).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::config_resource::{self, Resource};
use crate::broker::topic_creation::Refusal;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::ErrorCode;
use crate::wire::messages::alter_configs::{AlterConfigsResource, AlterConfigsResourceResponse};
use crate::wire::messages::{AlterConfigsRequest, AlterConfigsResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: AlterConfigsRequest) -> Reply {
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
        Response::of(&context, &AlterConfigsResponse { responses, ..Default::default() })
    })
}

async fn alter(broker: &Broker, resource: &AlterConfigsResource, validate_only: bool) -> Result<(), Refusal> {
    let names: BTreeSet<&str> = resource.configs.iter().map(|config| config.name.as_str()).collect();
    if names.len() != resource.configs.len() {
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Error due to duplicate config keys"));
    }
    let nulls: Vec<&str> =
        resource.configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str()).collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(", "));
        return Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    }
    let target = Resource::parse(broker, resource.resource_type, &resource.resource_name)?;
    let values = resource.configs.iter().filter_map(|config| Some((config.name.clone(), config.value.clone()?)));
    let values: BTreeMap<String, String> = values.collect();
    target.store(broker, values, validate_only).await
}
