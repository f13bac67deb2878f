//! Subscriptions by regular expression, matched by the coordinator (ConsumerGroupHeartbeat 1). The expression has to
//! match a topic's whole name; its language is RE2's, as it is with Apache, and the brokers' own topics are matched too.

use std::collections::BTreeSet;

use super::heartbeat::Refusal;
use crate::replication::ClusterMetadata;
use crate::wire::ErrorCode;

/// An expression from outside must not take up more than this, compiled, bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// # Errors
/// `INVALID_REGULAR_EXPRESSION`
pub(super) fn check(regex: &str) -> Result<(), Refusal> {
    compile(regex).map(drop).map_err(|error| {
        let message = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression: {error}.");
        Refusal::new(ErrorCode::INVALID_REGULAR_EXPRESSION, message)
    })
}

/// The topics that it matches; none if it is none.
pub(super) fn matching(regex: &str, cluster: &ClusterMetadata) -> BTreeSet<String> {
    let Ok(regex) = compile(regex) else { return BTreeSet::new() };
    let names = cluster.topics.keys().filter(|name| regex.is_match(name));
    names.map(|name| name.to_string()).collect()
}

fn compile(regex: &str) -> Result<::regex::Regex, ::regex::Error> {
    ::regex::RegexBuilder::new(&format!("^(?:{regex})$")).size_limit(COMPILED_BYTES_MAX).build()
}
