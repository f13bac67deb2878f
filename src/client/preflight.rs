//! A first connection, made before librdkafka makes its own: does the broker let us in, and do we trust it?
//!
//! librdkafka tries again for ever where Java's clients give up, and says of a refused certificate that the connection
//! broke. Ours knows why. It is made only where TLS or SASL are asked for, and costs a handshake.

use std::time::Duration;

use super::admin::{Error, refusal};
use super::properties::{ClientSettings, ConfigError};
use crate::network::Peer;

/// A broker that does not answer in this time is left to librdkafka's patience.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why the first broker that can be reached will not have us, or why we will not have it; `None` when all is well, or
/// none can be reached now.
///
/// # Errors
/// Settings that cannot work.
pub fn refused(settings: &ClientSettings) -> Result<Option<Error>, ConfigError> {
    let protocol = settings.get("security.protocol").unwrap_or("PLAINTEXT");
    if protocol.eq_ignore_ascii_case("PLAINTEXT") {
        return Ok(None);
    }
    let security = settings.security()?.for_peers()?;
    let servers = settings.get("bootstrap.servers").unwrap_or_default().split(',').map(str::trim);
    let servers = servers.map(|server| server.split_once("://").map_or(server, |(_, address)| address));
    let client_id = settings.get("client.id").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ConfigError(format!("start a runtime: {error}")))?;
    let trying = async {
        for server in servers.filter(|server| !server.is_empty()) {
            match Peer::connect_secured_within(server, client_id, &security, PATIENCE).await {
                Ok(peer) => return peer.api_versions().await.err().and_then(|error| refusal(&error)),
                Err(error) => {
                    if let Some(refusal) = refusal(&error) {
                        return Some(refusal);
                    }
                }
            }
        }
        None
    };
    Ok(runtime.block_on(async { tokio::time::timeout(PATIENCE, trying).await }).unwrap_or(None))
}
