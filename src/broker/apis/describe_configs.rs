//! DescribeConfigs (key 32), versions 0–4: every key of a topic or of this broker, with where its value comes from.
//!
//! - A broker answers for itself, and for the broker named "": the dynamic values of all brokers.
//! - v1 sources and synonyms (KIP-226) · v3 types and documentation (KIP-569)

use std::sync::Arc;

use crate::broker::config_changes::read;
use crate::broker::topic_creation::{Refusal, check_name};
use crate::broker::{Broker, config_resource};
use crate::config::{ConfigEntry, describe_broker, describe_cluster_default, describe_topic};
use crate::network::{Reply, RequestContext, Response};
use crate::registry::znodes::ConfigEntity;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_configs::{
    DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use crate::wire::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use config_resource::Kind;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DescribeConfigsRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let strange = request.resources.iter().find(|resource| Kind::from_id(resource.resource_type).is_none());
        if let Some(strange) = strange {
            let name = &strange.resource_name;
            let message = format!("Unexpected resource type UNKNOWN for resource {name}");
            return Response::of(&context, &refuse_all(&request, &Refusal::new(ErrorCode::INVALID_REQUEST, message)));
        }
        let mut results = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            results.push(match describe(&broker, resource).await {
                Ok(entries) => success(&request, resource, entries),
                Err(refusal) => failure(resource, &refusal),
            });
        }
        Response::of(&context, &DescribeConfigsResponse { results, ..Default::default() })
    })
}

fn refuse_all(request: &DescribeConfigsRequest, refusal: &Refusal) -> DescribeConfigsResponse {
    let results = request.resources.iter().map(|resource| failure(resource, refusal)).collect();
    DescribeConfigsResponse { results, ..Default::default() }
}

async fn describe(broker: &Broker, resource: &DescribeConfigsResource) -> Result<Vec<ConfigEntry>, Refusal> {
    let name = resource.resource_name.as_str();
    let refuse = |message: String| Err(Refusal::new(ErrorCode::INVALID_REQUEST, message));
    match Kind::from_id(resource.resource_type) {
        Some(Kind::Topic) => {
            check_name(name)?;
            if !broker.metadata.current().topics.contains_key(name) {
                return Err(Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, ""));
            }
            // From the registry: what was altered a moment ago is there already.
            let own = read(&broker.session, &ConfigEntity::Topic(name.to_owned())).await?;
            let own = own.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            Ok(describe_topic(&broker.config(), own))
        }
        Some(Kind::Broker) if name.is_empty() => Ok(describe_cluster_default(&broker.config())),
        Some(Kind::Broker) => match config_resource::broker_id("Broker", name)? {
            id if id == broker.id => Ok(describe_broker(&broker.config())),
            _ => refuse(format!("Unexpected broker id, expected {} or empty string, but received {name}", broker.id)),
        },
        Some(Kind::BrokerLogger) if name.is_empty() => refuse("Broker id must not be empty".to_owned()),
        Some(Kind::BrokerLogger) => match config_resource::broker_id("Broker", name)? {
            // There is no log4j here, so there are no loggers of it.
            id if id == broker.id => Ok(Vec::new()),
            _ => refuse(format!("Unexpected broker id, expected {} but received {name}", broker.id)),
        },
        Some(Kind::ClientMetrics) if name.is_empty() => {
            refuse("Client metrics subscription name must not be empty".to_owned())
        }
        // They are KRaft's alone.
        Some(Kind::ClientMetrics) => Ok(Vec::new()),
        None => refuse("Unsupported resource type: UNKNOWN".to_owned()),
    }
}

fn failure(resource: &DescribeConfigsResource, refusal: &Refusal) -> DescribeConfigsResult {
    DescribeConfigsResult {
        error_code: refusal.code.0,
        error_message: refusal.message.clone(),
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs: Vec::new(),
    }
}

fn success(
    request: &DescribeConfigsRequest,
    resource: &DescribeConfigsResource,
    entries: Vec<ConfigEntry>,
) -> DescribeConfigsResult {
    let asked = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    let is_asked = |entry: &ConfigEntry| asked.is_none_or(|keys| keys.contains(&entry.name));
    let configs = entries.into_iter().filter(is_asked).map(|entry| result(request, entry)).collect();
    DescribeConfigsResult {
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
        configs,
        ..Default::default()
    }
}

fn result(request: &DescribeConfigsRequest, entry: ConfigEntry) -> DescribeConfigsResourceResult {
    let synonyms = entry.synonyms.into_iter().map(|synonym| DescribeConfigsSynonym {
        name: synonym.name,
        value: synonym.value,
        source: synonym.source as i8,
    });
    DescribeConfigsResourceResult {
        name: entry.name,
        value: entry.value,
        read_only: entry.read_only,
        is_default: false,
        config_source: entry.source as i8,
        is_sensitive: entry.is_sensitive,
        synonyms: if request.include_synonyms { synonyms.collect() } else { Vec::new() },
        config_type: entry.kind.map_or(0, |kind| kind.id()),
        documentation: request.include_documentation.then(|| entry.doc.to_owned()),
    }
}
