//! AlterUserScramCredentials (key 51), version 0: stores and removes users' SCRAM credentials (KIP-554). The client has
//! salted the password; what the registry keeps does not let anybody log in (RFC 5802). Any broker writes it.
//!
//! - A user's alterations succeed or fail together; users do so one by one.
//!
//! Source: `ZkAdminManager.alterUserScramCredentials`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::scram::{self, Mechanism};
use crate::broker::topic_creation::Refusal;
use crate::broker::{Broker, config_changes};
use crate::network::{Reply, RequestContext, Response};
use crate::registry::znodes::ConfigEntity;
use crate::wire::ErrorCode;
use crate::wire::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsResult, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use crate::wire::messages::{AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse};

/// What is to be done for one user.
#[derive(Default)]
struct Alterations<'a> {
    deletions: Vec<&'a ScramCredentialDeletion>,
    upsertions: Vec<&'a ScramCredentialUpsertion>,
}

pub(super) fn handle(
    broker: &Arc<Broker>,
    context: RequestContext,
    request: AlterUserScramCredentialsRequest,
) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let mut by_user: BTreeMap<&str, Alterations<'_>> = BTreeMap::new();
        for deletion in &request.deletions {
            by_user.entry(&deletion.name).or_default().deletions.push(deletion);
        }
        for upsertion in &request.upsertions {
            by_user.entry(&upsertion.name).or_default().upsertions.push(upsertion);
        }
        let mut results = Vec::with_capacity(by_user.len());
        for (user, alterations) in by_user {
            let (error_code, error_message) = match alter(&broker, user, &alterations).await {
                Ok(()) => (0, Some(String::new())),
                Err(refusal) => (refusal.code.0, refusal.message),
            };
            results.push(AlterUserScramCredentialsResult { user: user.to_owned(), error_code, error_message });
        }
        Response::of(&context, &AlterUserScramCredentialsResponse { results, ..Default::default() })
    })
}

async fn alter(broker: &Broker, user: &str, alterations: &Alterations<'_>) -> Result<(), Refusal> {
    check(user, alterations)?;
    let entity = ConfigEntity::User(Some(user.to_owned()));
    let mut values = config_changes::read(&broker.session, &entity).await?;
    for deletion in &alterations.deletions {
        let removed = mechanism(deletion.mechanism)?;
        if values.remove(removed.name()).is_none() {
            let message = "Attempt to delete a user credential that does not exist";
            return Err(Refusal::new(ErrorCode::RESOURCE_NOT_FOUND, message));
        }
    }
    for upsertion in &alterations.upsertions {
        let mechanism = mechanism(upsertion.mechanism)?;
        let stored = scram::stored(mechanism, &upsertion.salt, &upsertion.salted_password, upsertion.iterations);
        values.insert(mechanism.name().to_owned(), stored);
    }
    config_changes::write(broker, &entity, values).await?;
    Ok(())
}

fn mechanism(id: i8) -> Result<Mechanism, Refusal> {
    let unknown = || Refusal::new(ErrorCode::UNSUPPORTED_SASL_MECHANISM, "Unknown SCRAM mechanism");
    Mechanism::from_id(id).ok_or_else(unknown)
}

fn check(user: &str, alterations: &Alterations<'_>) -> Result<(), Refusal> {
    let unacceptable = |message: &str| Err(Refusal::new(ErrorCode::UNACCEPTABLE_CREDENTIAL, message));
    if user.is_empty() {
        return unacceptable(scram::EMPTY_USER);
    }
    for upsertion in &alterations.upsertions {
        mechanism(upsertion.mechanism)?;
        if upsertion.iterations > scram::ITERATIONS_MAX {
            return unacceptable("Too many iterations");
        }
        if upsertion.iterations < scram::ITERATIONS_MIN {
            return unacceptable("Too few iterations");
        }
    }
    let deleted = alterations.deletions.iter().map(|deletion| deletion.mechanism);
    let mut mechanisms: Vec<i8> = deleted.chain(alterations.upsertions.iter().map(|u| u.mechanism)).collect();
    for &id in &mechanisms {
        mechanism(id)?;
    }
    mechanisms.sort_unstable();
    if mechanisms.windows(2).any(|pair| pair[0] == pair[1]) {
        let message = "A user credential cannot be altered twice in the same request";
        return Err(Refusal::new(ErrorCode::DUPLICATE_RESOURCE, message));
    }
    Ok(())
}
