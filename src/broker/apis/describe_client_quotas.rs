//! DescribeClientQuotas (key 48), versions 0–1: the quotas of those users, client ids and addresses that a filter
//! matches (KIP-546). Any broker reads them from the registry.

use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::client_quotas::{self, Filter, components};
use crate::broker::topic_creation::Refusal;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_client_quotas::{ComponentData, EntityData, EntryData, ValueData};
use crate::wire::messages::{DescribeClientQuotasRequest, DescribeClientQuotasResponse};

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const ANY: i8 = 2;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DescribeClientQuotasRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let response = match describe(&broker, request).await {
            Ok(entries) => DescribeClientQuotasResponse { entries: Some(entries), ..Default::default() },
            Err(refusal) => DescribeClientQuotasResponse {
                error_code: refusal.code.0,
                error_message: refusal.message,
                entries: None,
                ..Default::default()
            },
        };
        Response::of(&context, &response)
    })
}

async fn describe(broker: &Broker, request: DescribeClientQuotasRequest) -> Result<Vec<EntryData>, Refusal> {
    let mut wanted = Vec::with_capacity(request.components.len());
    for ComponentData { entity_type, match_type, r#match } in request.components {
        let filter = match match_type {
            EXACT => Filter::Named(r#match),
            DEFAULT => Filter::Named(None),
            ANY => Filter::Any,
            // An IllegalArgumentException in Kafka, of which clients are told nothing.
            _ => return Err(Refusal::plain(ErrorCode::UNKNOWN_SERVER_ERROR)),
        };
        wanted.push((entity_type, filter));
    }
    let mut entries = Vec::new();
    for (entity, values) in client_quotas::matching(&broker.session, &wanted, request.strict).await? {
        let named = |(entity_type, name): (&str, &Option<String>)| EntityData {
            entity_type: entity_type.to_owned(),
            entity_name: name.clone(),
        };
        entries.push(EntryData {
            entity: components(&entity).into_iter().map(named).collect(),
            values: values.into_iter().map(|(key, value)| ValueData { key, value }).collect(),
        });
    }
    Ok(entries)
}
