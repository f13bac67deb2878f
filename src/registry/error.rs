//! What can go wrong between us and a registry, for callers who branch on it.

use std::io;

use crate::registry::proto::Code;

/// An answer of the registry that is not the one asked for, or no answer at all.
///
/// Where Apache ZooKeeper has a text for it, `Display` gives that text.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The znode does not exist (-101).
    #[error("KeeperErrorCode = NoNode for {0}")]
    NoNode(String),
    /// The znode exists already (-110).
    #[error("KeeperErrorCode = NodeExists for {0}")]
    NodeExists(String),
    /// The znode's version is not the expected one (-103).
    #[error("KeeperErrorCode = BadVersion for {0}")]
    BadVersion(String),
    /// A znode with children cannot be deleted (-111).
    #[error("KeeperErrorCode = Directory not empty for {0}")]
    NotEmpty(String),
    /// Ephemeral znodes have no children (-108).
    #[error("KeeperErrorCode = NoChildrenForEphemerals for {0}")]
    NoChildrenForEphemerals(String),
    /// The path, the flags or the numbers of a request make no sense (-8).
    #[error("KeeperErrorCode = BadArguments for {0}")]
    BadArguments(String),
    /// The znode's ACL does not allow it (-102).
    #[error("KeeperErrorCode = NoAuth for {0}")]
    NoAuth(String),
    /// The registry refused our credentials (-115).
    #[error("KeeperErrorCode = AuthFailed")]
    AuthFailed,
    /// The session is gone, with its ephemerals and watches: [`rebuild`](crate::registry::Session::rebuild) it.
    #[error("KeeperErrorCode = Session expired")]
    SessionExpired,
    /// No registry could be reached for a whole session timeout; whether the request was applied is not known.
    #[error("KeeperErrorCode = ConnectionLoss for {0}")]
    ConnectionLoss(String),
    /// The first connection did not come about in time.
    #[error("Timed out waiting for connection while in state: CONNECTING")]
    Timeout,
    /// The session was closed by us.
    #[error("the registry session is closed")]
    Closed,
    /// Any other code of the registry.
    #[error("KeeperErrorCode = {code:?} for {path}")]
    Other { code: Code, path: String },
    /// What the registry sent does not parse.
    #[error("malformed answer of the registry: {0}")]
    Malformed(String),
    /// A znode's data is not what Kafka keeps there.
    #[error("malformed znode {path}: {reason}")]
    MalformedZnode { path: String, reason: String },
    /// A connect string or a server's configuration that cannot work.
    #[error("{0}")]
    Config(String),
    /// The embedded registry's disk or socket refused.
    #[error("{step}: {source}")]
    Io { step: String, source: io::Error },
}

impl Error {
    /// The error for a code on the wire, about a path as the caller wrote it.
    pub(crate) fn from_code(code: Code, path: &str) -> Error {
        let path = path.to_owned();
        match code {
            Code::NO_NODE => Error::NoNode(path),
            Code::NODE_EXISTS => Error::NodeExists(path),
            Code::BAD_VERSION => Error::BadVersion(path),
            Code::NOT_EMPTY => Error::NotEmpty(path),
            Code::NO_CHILDREN_FOR_EPHEMERALS => Error::NoChildrenForEphemerals(path),
            Code::BAD_ARGUMENTS => Error::BadArguments(path),
            Code::NO_AUTH => Error::NoAuth(path),
            Code::AUTH_FAILED => Error::AuthFailed,
            Code::SESSION_EXPIRED => Error::SessionExpired,
            code => Error::Other { code, path },
        }
    }

    /// An I/O error with the step that met it, in the present tense (`"open txn log"`).
    pub(crate) fn io(step: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let step = step.into();
        move |source| Error::Io { step, source }
    }
}
