//! UpdateFeatures (key 57), versions 0–1, flexible from 0.

use super::prelude::*;

api!(UpdateFeatures, 57, 0..=1, flexible 0, UpdateFeaturesRequest => UpdateFeaturesResponse);

messages! {
    struct UpdateFeaturesRequest {
        timeout_ms: i32 [0..] = 60000,
        feature_updates: Vec<FeatureUpdateKey> [0..],
        validate_only: bool [1..],
    }

    struct FeatureUpdateKey {
        feature: String [0..],
        max_version_level: i16 [0..],
        allow_downgrade: bool [0..=0],
        upgrade_type: i8 [1..] = 1,
    }

    struct UpdateFeaturesResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
        results: Vec<UpdatableFeatureResult> [0..],
    }

    struct UpdatableFeatureResult {
        feature: String [0..],
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
    }
}
