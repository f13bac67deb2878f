//! What the environment supplies where a flag is missing.

use super::Io;
use super::args::Matches;

/// Where the brokers are, in the form of `--bootstrap-server`.
pub const BOOTSTRAP_SERVERS: &str = "KAFKA_BOOTSTRAP_SERVERS";

/// Takes `KAFKA_BOOTSTRAP_SERVERS` for the first of `flags` where none of them was given: there Apache would only have
/// complained. Not under `KAFKA_STRICT_COMPAT=1`.
pub fn supply_bootstrap(matches: &mut Matches, flags: &[&'static str], io: &Io) {
    if io.strict_compat || flags.iter().any(|flag| matches.has(flag)) {
        return;
    }
    if let (Some(servers), Some(flag)) = (bootstrap_servers(), flags.first()) {
        matches.supply(flag, servers);
    }
}

/// The variable's value, if it says anything.
pub fn bootstrap_servers() -> Option<String> {
    std::env::var(BOOTSTRAP_SERVERS).ok().filter(|servers| !servers.trim().is_empty())
}
