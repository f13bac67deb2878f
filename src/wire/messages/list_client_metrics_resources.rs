//! ListClientMetricsResources (key 74), versions 0–0, flexible from 0.

use super::prelude::*;

api!(ListClientMetricsResources, 74, 0..=0, flexible 0, ListClientMetricsResourcesRequest => ListClientMetricsResourcesResponse);

messages! {
    struct ListClientMetricsResourcesRequest {
    }

    struct ListClientMetricsResourcesResponse {
        throttle_time_ms: i32 [0..],
        error_code: i16 [0..],
        client_metrics_resources: Vec<ClientMetricsResource> [0..],
    }

    struct ClientMetricsResource {
        name: String [0..],
    }
}
