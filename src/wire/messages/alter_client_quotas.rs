//! AlterClientQuotas (key 49), versions 0–1, flexible from 1.

use super::prelude::*;

api!(AlterClientQuotas, 49, 0..=1, flexible 1, AlterClientQuotasRequest => AlterClientQuotasResponse);

messages! {
    struct AlterClientQuotasRequest {
        entries: Vec<EntryDataRequest> [0..],
        validate_only: bool [0..],
    }

    struct EntryDataRequest {
        entity: Vec<EntityDataRequest> [0..],
        ops: Vec<OpData> [0..],
    }

    struct EntityDataRequest {
        entity_type: String [0..],
        entity_name: Option<String> [0..] = Some(String::new()),
    }

    struct OpData {
        key: String [0..],
        value: f64 [0..],
        remove: bool [0..],
    }

    struct AlterClientQuotasResponse {
        throttle_time_ms: i32 [0..],
        entries: Vec<EntryDataResponse> [0..],
    }

    struct EntryDataResponse {
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
        entity: Vec<EntityDataResponse> [0..],
    }

    struct EntityDataResponse {
        entity_type: String [0..],
        entity_name: Option<String> [0..] = Some(String::new()),
    }
}
