//! UpdateFeatures (key 57), versions 0–1: there are no features that could be finalized in ZooKeeper mode, so every
//! update is refused (KIP-584).
//!
//! Source: `KafkaController.processFeatureUpdates`.

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::update_features::{FeatureUpdateKey, UpdatableFeatureResult};
use crate::wire::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};

/// What an update may do; 2 is a downgrade that loses nothing.
const UPGRADE: i8 = 1;
const UNSAFE_DOWNGRADE: i8 = 3;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: UpdateFeaturesRequest) -> Reply {
    if broker.metadata.current().live_controller() != broker.id {
        let code = ErrorCode::NOT_CONTROLLER;
        let response = UpdateFeaturesResponse {
            error_code: code.0,
            error_message: Some(code.message().to_owned()),
            ..Default::default()
        };
        return Reply::now(&context, &response);
    }
    let refused = |update: &FeatureUpdateKey| UpdatableFeatureResult {
        feature: update.feature.clone(),
        error_code: ErrorCode::INVALID_REQUEST.0,
        error_message: Some(refusal(update, context.version())),
    };
    let results = request.feature_updates.iter().map(refused).collect();
    Reply::now(&context, &UpdateFeaturesResponse { results, error_message: None, ..Default::default() })
}

/// Source: `KafkaController.validateFeatureUpdate`.
fn refusal(update: &FeatureUpdateKey, version: i16) -> String {
    let is_upgrade = match version {
        0 => !update.allow_downgrade,
        _ => update.upgrade_type == UPGRADE,
    };
    let level = update.max_version_level;
    if update.feature.is_empty() {
        return "Feature name can not be empty.".to_owned();
    }
    if version >= 1 && !(UPGRADE..=UNSAFE_DOWNGRADE).contains(&update.upgrade_type) {
        return "Received unknown upgrade type.".to_owned();
    }
    if level < 1 && !is_upgrade {
        return "Can not delete non-existing finalized feature.".to_owned();
    }
    if level < 1 {
        return format!(
            "Can not provide versionLevel: {level} less than 1 without setting the SAFE downgradeType in the request."
        );
    }
    "Could not apply finalized feature update because the provided feature is not supported.".to_owned()
}
