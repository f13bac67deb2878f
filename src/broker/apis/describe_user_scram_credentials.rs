//! DescribeUserScramCredentials (key 50), version 0: which SCRAM mechanisms users have passwords for, and with how many
//! iterations (KIP-554). Any broker reads them from the registry.
//!
//! Source: `ZkAdminManager.describeUserScramCredentials`.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::broker::scram::Mechanism;
use crate::broker::{Broker, client_quotas, config_changes, scram};
use crate::network::{Reply, RequestContext, Response};
use crate::registry::Error;
use crate::registry::znodes::ConfigEntity;
use crate::wire::ErrorCode;
use crate::wire::messages::describe_user_scram_credentials::{CredentialInfo, DescribeUserScramCredentialsResult};
use crate::wire::messages::{DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse};

pub(super) fn handle(
    broker: &Arc<Broker>,
    context: RequestContext,
    request: DescribeUserScramCredentialsRequest,
) -> Reply {
    let broker = broker.clone();
    let names = request.users.unwrap_or_default().into_iter().map(|user| user.name).collect::<Vec<_>>();
    Reply::later(async move {
        let described = if names.is_empty() { all(&broker).await } else { named(&broker, &names).await };
        let response = match described {
            Ok(results) => DescribeUserScramCredentialsResponse { results, ..Default::default() },
            Err(error) => {
                tracing::error!(%error, "SCRAM credentials cannot be read");
                DescribeUserScramCredentialsResponse {
                    error_code: ErrorCode::UNKNOWN_SERVER_ERROR.0,
                    error_message: Some(ErrorCode::UNKNOWN_SERVER_ERROR.message().to_owned()),
                    ..Default::default()
                }
            }
        };
        Response::of(&context, &response)
    })
}

/// Everybody who has a credential, by name.
async fn all(broker: &Broker) -> Result<Vec<DescribeUserScramCredentialsResult>, Error> {
    let mut results = Vec::new();
    for user in client_quotas::users(&broker.session).await? {
        let values = config_changes::read(&broker.session, &ConfigEntity::User(user.clone())).await?;
        results.extend(user.and_then(|user| describe(&user, &values)));
    }
    results.sort_by(|a, b| a.user.cmp(&b.user));
    Ok(results)
}

/// These, each once, in the order in which they were asked for.
async fn named(broker: &Broker, names: &[String]) -> Result<Vec<DescribeUserScramCredentialsResult>, Error> {
    let mut results: Vec<DescribeUserScramCredentialsResult> = Vec::new();
    for user in names {
        if results.iter().any(|result| result.user == *user) {
            continue;
        }
        let refuse = |code: ErrorCode, message: String| DescribeUserScramCredentialsResult {
            user: user.clone(),
            error_code: code.0,
            error_message: Some(message),
            credential_infos: Vec::new(),
        };
        results.push(if user.is_empty() {
            refuse(ErrorCode::RESOURCE_NOT_FOUND, scram::EMPTY_USER.to_owned())
        } else if names.iter().filter(|name| *name == user).count() > 1 {
            let message =
                format!("Cannot describe SCRAM credentials for the same user twice in a single request: {user}");
            refuse(ErrorCode::DUPLICATE_RESOURCE, message)
        } else {
            let values = config_changes::read(&broker.session, &ConfigEntity::User(Some(user.clone()))).await?;
            describe(user, &values).unwrap_or_else(|| {
                let message = format!("Attempt to describe a user credential that does not exist: {user}");
                refuse(ErrorCode::RESOURCE_NOT_FOUND, message)
            })
        });
    }
    Ok(results)
}

/// None: the user has no credential.
fn describe(user: &str, values: &BTreeMap<String, String>) -> Option<DescribeUserScramCredentialsResult> {
    let mut result = DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        error_code: 0,
        error_message: Some(String::new()),
        credential_infos: Vec::new(),
    };
    let mut has_credential = false;
    for mechanism in Mechanism::ALL {
        let Some(value) = values.get(mechanism.name()) else { continue };
        has_credential = true;
        match scram::iterations(value) {
            Some(iterations) => {
                result.credential_infos.push(CredentialInfo { mechanism: mechanism.id(), iterations });
            }
            None => {
                result.error_code = ErrorCode::UNKNOWN_SERVER_ERROR.0;
                result.error_message = Some(ErrorCode::UNKNOWN_SERVER_ERROR.message().to_owned());
            }
        }
    }
    has_credential.then_some(result)
}
