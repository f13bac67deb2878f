//! What a log refuses, and what can befall it.

use std::io;
use std::path::PathBuf;

/// One refused record of a batch: its place in the batch, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordError {
    pub batch_index: i32,
    pub message: String,
}

/// Every way in which this room says no. The broker's handlers turn these into Kafka's error codes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "Received request for offset {offset}, but we only have log segments in the range {log_start_offset} to \
         {log_end_offset}"
    )]
    OffsetOutOfRange { offset: i64, log_start_offset: i64, log_end_offset: i64 },
    /// The bytes are damaged: checksum, magic, or a length. Kafka: CORRUPT_MESSAGE.
    #[error("{0}")]
    CorruptBatch(String),
    /// Whole but not acceptable. Kafka: INVALID_RECORD.
    #[error("{message}")]
    InvalidRecord { message: String, record_errors: Vec<RecordError> },
    /// Kafka: INVALID_TIMESTAMP.
    #[error("{message}")]
    InvalidTimestamp { message: String, record_errors: Vec<RecordError> },
    /// Larger than `max.message.bytes`. Kafka: MESSAGE_TOO_LARGE.
    #[error("The record batch size in the append is {size} bytes which exceeds the maximum configured value of {max}")]
    RecordTooLarge { size: usize, max: usize },
    /// Larger than a segment may be. Kafka: RECORD_LIST_TOO_LARGE.
    #[error("Message batch size is {size} bytes in append, which exceeds the maximum configured segment size of {max}")]
    RecordListTooLarge { size: usize, max: usize },
    /// A codec that nobody knows, or bytes that do not decompress where we had to. Kafka: UNKNOWN_SERVER_ERROR.
    #[error("{0}")]
    UnsupportedCompression(String),
    #[error("{0}")]
    OutOfOrderSequence(String),
    #[error("{0}")]
    InvalidProducerEpoch(String),
    /// A plain write inside a producer's open transaction. Kafka: INVALID_TXN_STATE.
    #[error("{0}")]
    InvalidTxnState(String),
    #[error("{0}")]
    TransactionCoordinatorFenced(String),
    /// What a follower fetched begins before its log end.
    #[error("Unexpected offset in append: first offset {first_offset} is less than the next offset {log_end_offset}")]
    UnexpectedAppendOffset { first_offset: i64, last_offset: i64, log_end_offset: i64 },
    /// The disk said no; the log dir is offline from now on. Kafka: KAFKA_STORAGE_ERROR.
    #[error("log directory {}: {source}", dir.display())]
    Storage { dir: PathBuf, source: io::Error },
    /// Nobody has configured such a log dir. Kafka: LOG_DIR_NOT_FOUND.
    #[error("Log dir {} is not found in the config.", .0.display())]
    LogDirNotFound(PathBuf),
    /// Of a partition that is to move. Kafka: INVALID_TOPIC_EXCEPTION.
    #[error("The topic name is too long.")]
    NameTooLong,
    #[error(
        "Failed to acquire lock on file .lock in {}. A Kafka instance in another process or thread is using this \
         directory.",
        dir.display()
    )]
    Locked { dir: PathBuf },
    #[error(
        "Stored node id {stored} doesn't match previous node id {configured} in {}/meta.properties. If you moved your \
         data, make sure your configured node id matches. If you intend to create a new node, you should remove all \
         data in your data directories.",
        dir.display()
    )]
    InconsistentBrokerId { dir: PathBuf, configured: i32, stored: i32 },
    #[error("Invalid cluster.id in: {}/meta.properties. Expected {configured}, but read {stored}", dir.display())]
    InconsistentClusterId { dir: PathBuf, configured: String, stored: String },
    /// A file of ours that says what it cannot say.
    #[error("{}: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    /// The partition's folder carries another topic's id.
    #[error(
        "Tried to assign topic ID {given} to log for topic partition {name}, but log already contained topic ID {stored}"
    )]
    InconsistentTopicId { name: String, given: String, stored: String },
}

/// The process has no more of something just now; the disk is fine.
pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR))
}

impl Error {
    pub(super) fn invalid_record(message: impl Into<String>) -> Error {
        Error::InvalidRecord { message: message.into(), record_errors: Vec::new() }
    }

    pub(super) fn storage(dir: impl Into<PathBuf>, source: io::Error) -> Error {
        Error::Storage { dir: dir.into(), source }
    }
}

impl From<crate::wire::batch::Error> for Error {
    fn from(error: crate::wire::batch::Error) -> Error {
        use crate::wire::batch::Error as Batch;
        match error {
            Batch::UnknownCompression(_) | Batch::Decompress(_) | Batch::TooLarge(_) => {
                Error::UnsupportedCompression(error.to_string())
            }
            Batch::Record(_) => Error::invalid_record(error.to_string()),
            _ => Error::CorruptBatch(error.to_string()),
        }
    }
}
