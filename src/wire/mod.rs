//! Bytes with meaning, and no I/O: how values, messages, headers and record batches lie on the wire and on disk.

pub mod batch;
pub mod codec;
pub mod error_code;
pub mod header;
pub mod messages;
mod topic_partition;

pub use codec::{Bytes, Message, Reader, Request, Uuid, Writer};
pub use error_code::ErrorCode;
pub use messages::ApiKey;
pub use topic_partition::TopicPartition;
