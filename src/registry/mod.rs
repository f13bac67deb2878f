//! ZooKeeper: the client [`Session`], what Kafka keeps there ([`znodes`]), and the embedded [`server`].
//!
//! A broker knows exactly one registry interface, a [`Session`]; whether Apache ZooKeeper or our own [`server`]
//! answers it is a matter of the connect string. Both ends share one codec, [`jute`], and one vocabulary, [`proto`].

pub mod error;
pub mod jute;
pub mod proto;
pub mod server;
pub mod session;
pub mod znodes;

pub use error::Error;
pub use session::{Session, Watch, WatchEvent};
