//! Both ends of a Kafka connection: [`Listener`] and its connections (the server side), [`Peer`] (the client side).
//!
//! Requests of one connection are handled in the order in which they came, and answered in that order, but do not
//! wait for one another: what a handler has to do in order it does before it returns, what waits is a future in its
//! [`Reply`]. A slow or hostile connection costs what it sent, and no other connection anything.

mod connection;
pub mod http;
mod listener;
mod peer;
mod reply;
mod sasl;
mod tls;

pub use listener::{Limits, Listener};
pub use peer::{Peer, Security};
pub use reply::{FileRange, Part, Reply, RequestContext, Response};
pub use sasl::{Credentials, ScramHash, ScramKind, base64_decode, base64_encode};
pub use tls::{Identity, Tls, TlsSettings, TlsVersion};

use crate::wire::{Bytes, ErrorCode, codec};

/// What serves the requests of a listener's connections.
pub trait Handler: Send + Sync + 'static {
    /// Takes one request. It is called in the order of a connection's requests and does, before it returns, what has
    /// to happen in that order; it does not block but for files in the page cache. `body` is what follows the request
    /// header; it is the only owner of its bytes when the frame was large, so that they can be stamped in place.
    fn handle(&self, context: RequestContext, body: Bytes) -> Reply;
}

/// Why a connection could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot resolve {address}: {source}")]
    Resolve { address: String, source: std::io::Error },
    #[error("cannot connect to {address}: {source}")]
    Connect { address: String, source: std::io::Error },
    #[error("cannot listen on {address}: {source}")]
    Bind { address: String, source: std::io::Error },
    #[error("connection to {address} failed: {source}")]
    Io { address: String, source: std::io::Error },
    #[error("connection closed by {address}")]
    Closed { address: String },
    #[error("TLS with {address} failed: {reason}")]
    Tls { address: String, reason: String },
    #[error("{address} refused to authenticate us: {reason}")]
    Authentication { address: String, code: ErrorCode, reason: String },
    #[error("no answer from {address} within {timeout_ms} ms")]
    TimedOut { address: String, timeout_ms: u64 },
    #[error("answer from {address} cannot be read: {source}")]
    Decode { address: String, source: codec::Error },
    #[error("request cannot be written: {0}")]
    Encode(#[from] codec::Error),
    #[error("{address} does not serve {api} in a version that is known here")]
    UnsupportedApi { address: String, api: &'static str },
}

#[cfg(test)]
mod tests;
