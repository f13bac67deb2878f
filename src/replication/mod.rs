//! Logs made into partitions: who leads them, what is committed, who waits for it, and what the cluster looks like.
//!
//! [`ReplicaManager`] holds this broker's partitions: it carries out what the controller decides, appends as leader,
//! reads what may be read. [`partition`] decides, [`delayed`] wakes who waits, [`fetcher`] follows the leaders
//! elsewhere, [`MetadataCache`] is the cluster as the controller draws it.

pub mod delayed;
pub mod fetcher;
mod manager;
mod metadata;
pub mod partition;

pub use manager::{IsrProposal, LeadershipChange, LeadershipListener, Replica, ReplicaManager, ReplicaName};
pub use metadata::{
    BrokerEndpoint, ClusterMetadata, INTERNAL_TOPICS, LiveBroker, MetadataCache, NO_LEADER, PartitionMetadata,
    TopicMetadata, is_internal,
};

pub use crate::log::{AppendOrigin, VerificationGuard};
use crate::log::{Error as LogError, FileRange};
use crate::wire::ErrorCode;

/// Why a partition did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Replication says no: wrong leader, wrong epoch, too few replicas.
    #[error("{}", .0.message())]
    Refused(ErrorCode),
    /// The log says no.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Error {
        Error::Refused(code)
    }
}

impl Error {
    /// The code that says it in Kafka's protocol, which is also how coordinators speak.
    pub fn code(&self) -> ErrorCode {
        match self {
            Error::Refused(code) => *code,
            Error::Log(error) => match error {
                LogError::OffsetOutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
                LogError::CorruptBatch(_) => ErrorCode::CORRUPT_MESSAGE,
                LogError::InvalidRecord { .. } => ErrorCode::INVALID_RECORD,
                LogError::InvalidTimestamp { .. } => ErrorCode::INVALID_TIMESTAMP,
                LogError::RecordTooLarge { .. } => ErrorCode::MESSAGE_TOO_LARGE,
                LogError::RecordListTooLarge { .. } => ErrorCode::RECORD_LIST_TOO_LARGE,
                LogError::OutOfOrderSequence(_) => ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER,
                LogError::InvalidProducerEpoch(_) => ErrorCode::INVALID_PRODUCER_EPOCH,
                LogError::InvalidTxnState(_) => ErrorCode::INVALID_TXN_STATE,
                LogError::TransactionCoordinatorFenced(_) => ErrorCode::TRANSACTION_COORDINATOR_FENCED,
                LogError::InconsistentTopicId { .. } => ErrorCode::INCONSISTENT_TOPIC_ID,
                LogError::Storage { .. } => ErrorCode::KAFKA_STORAGE_ERROR,
                LogError::LogDirNotFound(_) => ErrorCode::LOG_DIR_NOT_FOUND,
                LogError::NameTooLong => ErrorCode::INVALID_TOPIC_EXCEPTION,
                _ => ErrorCode::UNKNOWN_SERVER_ERROR,
            },
        }
    }
}

/// Whose acknowledgement a producer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequiredAcks {
    /// Nobody's.
    None,
    /// The leader's.
    Leader,
    /// Every in-sync replica's.
    All,
}

impl RequiredAcks {
    /// As in Produce: 0, 1 and -1.
    pub fn from_i16(acks: i16) -> Option<RequiredAcks> {
        match acks {
            0 => Some(RequiredAcks::None),
            1 => Some(RequiredAcks::Leader),
            -1 => Some(RequiredAcks::All),
            _ => None,
        }
    }
}

/// Where an append landed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: i64,
    /// The offset after the last record.
    pub next_offset: i64,
    /// In which it was appended.
    pub leader_epoch: i32,
    /// Milliseconds since 1970 for topics of `LogAppendTime`, else -1.
    pub log_append_time_ms: i64,
    pub log_start_offset: i64,
}

/// What a follower was sent by its leader.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// In which the partition followed when it asked.
    pub leader_epoch: i32,
    /// From where on it asked.
    pub fetch_offset: i64,
    /// Whole record batches, but for the last.
    pub records: &'a [u8],
    /// The leader's.
    pub high_watermark: i64,
    /// The leader's.
    pub log_start_offset: i64,
}

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// A follower: everything.
    LogEnd,
    /// What is committed to enough replicas.
    ReadUncommitted,
    /// That, and whose transaction has ended.
    ReadCommitted,
}

/// What to read of a partition.
#[derive(Clone, Copy, Debug)]
pub struct ReadParams {
    pub fetch_offset: i64,
    pub max_bytes: usize,
    /// Whether the first batch is returned even if it is larger than `max_bytes`.
    pub one_batch: bool,
    pub isolation: Isolation,
    /// The leader epoch that the client believes in.
    pub current_leader_epoch: Option<i32>,
    /// The leader epoch of the last record that the client has.
    pub last_fetched_epoch: Option<i32>,
    /// Whether a follower must not answer.
    pub only_leader: bool,
}

/// What a follower says when it fetches.
#[derive(Clone, Copy, Debug)]
pub struct FollowerFetch {
    pub replica: i32,
    /// Where its log begins.
    pub log_start_offset: i64,
    /// False when its request is only looked at again.
    pub is_news: bool,
}

/// What was read, as a range of a file.
#[derive(Clone, Debug)]
pub struct ReadResult {
    pub fetch_offset: i64,
    pub high_watermark: i64,
    pub last_stable_offset: i64,
    pub log_start_offset: i64,
    /// None: nothing new.
    pub records: Option<FileRange>,
    /// More lies in a later segment: waiting for these records to grow would be in vain.
    pub in_older_segment: bool,
    /// Epoch and end offset from which the client's log differs; then there are no records.
    pub diverging_epoch: Option<(i32, i64)>,
    /// Who should be asked instead; then there are no records.
    pub preferred_read_replica: Option<i32>,
    /// Producer id and first offset of aborted transactions in the range; None unless reading committed.
    pub aborted_transactions: Option<Vec<(i64, i64)>>,
}

impl Default for ReadResult {
    /// What is said of a partition that could not be read.
    fn default() -> ReadResult {
        ReadResult {
            fetch_offset: -1,
            high_watermark: -1,
            last_stable_offset: -1,
            log_start_offset: -1,
            records: None,
            in_older_segment: false,
            diverging_epoch: None,
            preferred_read_replica: None,
            aborted_transactions: None,
        }
    }
}
