//! Why a broker does not start.

use crate::{config, log, network, registry};

/// Each text is what the fatal line of the start-up log says.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(Box<config::Error>),
    #[error(transparent)]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Network(#[from] network::Error),
    /// A listener's address is taken. Source: `SocketServer`.
    #[error("Socket server failed to bind to {address}: {}.", plain(source))]
    Bind { address: String, source: std::io::Error },
    /// A listener wants what this broker does not speak yet.
    #[error("Listener {listener} uses {protocol}, which this broker does not serve yet: only PLAINTEXT is")]
    UnsupportedProtocol { listener: String, protocol: &'static str },
    /// Another broker of the cluster has our id.
    #[error(
        "Error while creating ephemeral at {path}, node already exists and owner '{owner}' does not match current session '{session}'"
    )]
    IdInUse { path: String, owner: i64, session: i64 },
    /// Another broker of the cluster has our address. Source: `KafkaServer.startup`.
    #[error(
        "requirement failed: Configured end points {endpoints} in advertised listeners are already registered by broker {broker}"
    )]
    EndpointInUse { endpoints: String, broker: i32 },
    /// A step of the start that cannot fail otherwise than by a bug did.
    #[error("{0} did not come to an end")]
    Interrupted(&'static str),
}

/// The system's words without its number, as Java has them.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

impl From<config::Error> for Error {
    fn from(error: config::Error) -> Error {
        Error::Config(Box::new(error))
    }
}
