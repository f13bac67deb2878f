//! AlterClientQuotas (key 49), versions 0–1: sets and removes quotas of users, client ids and addresses (KIP-546). Any
//! broker writes them to the registry.
//!
//! - Entries succeed and fail one by one · validate_only checks and writes nothing

use std::sync::Arc;

use crate::broker::client_quotas::{self, Alteration};
use crate::broker::topic_creation::Refusal;
use crate::broker::{Broker, config_changes};
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::alter_client_quotas::{EntityDataResponse, EntryDataRequest, EntryDataResponse};
use crate::wire::messages::{AlterClientQuotasRequest, AlterClientQuotasResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: AlterClientQuotasRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let mut entries = Vec::with_capacity(request.entries.len());
        for entry in request.entries {
            let (error_code, error_message) = match alter(&broker, &entry, request.validate_only).await {
                Ok(()) => (0, None),
                Err(refusal) => (refusal.code.0, refusal.message),
            };
            let entity = entry
                .entity
                .into_iter()
                .map(|part| EntityDataResponse { entity_type: part.entity_type, entity_name: part.entity_name });
            // In the order of Java's hash map.
            let mut entity: Vec<EntityDataResponse> = entity.collect();
            entity.sort_by_key(|part| ["client-id", "user", "ip"].iter().position(|kind| *kind == part.entity_type));
            entries.push(EntryDataResponse { error_code, error_message, entity });
        }
        Response::of(&context, &AlterClientQuotasResponse { entries, ..Default::default() })
    })
}

async fn alter(broker: &Broker, entry: &EntryDataRequest, validate_only: bool) -> Result<(), Refusal> {
    let parts = entry.entity.iter().map(|part| (part.entity_type.as_str(), part.entity_name.as_deref()));
    let entity = client_quotas::entity(parts)?;
    client_quotas::check_address(&entity).await?;
    let mut values = config_changes::read(&broker.session, &entity).await?;
    for op in &entry.ops {
        let alteration = if op.remove { Alteration::Remove } else { Alteration::Set(op.value) };
        client_quotas::apply(&entity, &op.key, alteration, &mut values)?;
    }
    if !validate_only {
        config_changes::write(broker, &entity, values).await?;
    }
    Ok(())
}
