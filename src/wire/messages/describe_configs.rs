//! DescribeConfigs (key 32), versions 0–4, flexible from 4.

use super::prelude::*;

api!(DescribeConfigs, 32, 0..=4, flexible 4, DescribeConfigsRequest => DescribeConfigsResponse);

messages! {
    struct DescribeConfigsRequest {
        resources: Vec<DescribeConfigsResource> [0..],
        include_synonyms: bool [1..],
        include_documentation: bool [3..],
    }

    struct DescribeConfigsResource {
        resource_type: i8 [0..],
        resource_name: String [0..],
        configuration_keys: Option<Vec<String>> [0..] = Some(Vec::new()),
    }

    struct DescribeConfigsResponse {
        throttle_time_ms: i32 [0..],
        results: Vec<DescribeConfigsResult> [0..],
    }

    struct DescribeConfigsResult {
        error_code: i16 [0..],
        error_message: Option<String> [0..] = Some(String::new()),
        resource_type: i8 [0..],
        resource_name: String [0..],
        configs: Vec<DescribeConfigsResourceResult> [0..],
    }

    struct DescribeConfigsResourceResult {
        name: String [0..],
        value: Option<String> [0..] = Some(String::new()),
        read_only: bool [0..],
        is_default: bool [0..=0],
        config_source: i8 [1..] = -1,
        is_sensitive: bool [0..],
        synonyms: Vec<DescribeConfigsSynonym> [1..],
        config_type: i8 [3..],
        documentation: Option<String> [3..] = Some(String::new()),
    }

    struct DescribeConfigsSynonym {
        name: String [1..],
        value: Option<String> [1..] = Some(String::new()),
        source: i8 [1..],
    }
}
