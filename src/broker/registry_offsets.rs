//! Offsets of the days before 0.9: OffsetCommit and OffsetFetch of version 0 keep them in the registry, where the
//! ancient consumer keeps its own: `/consumers/GROUP/offsets/TOPIC/PARTITION`, decimal text.

use crate::group::Commit;
use crate::group::records::OffsetAndMetadata;
use crate::registry::session::CreateMode;
use crate::registry::znodes::ConsumerOffset;
use crate::registry::{Error, Session};
use crate::wire::{ErrorCode, TopicPartition};

/// Writes every offset; the first failure ends it.
pub(super) async fn commit(session: &Session, group_id: &str, commits: &[Commit]) -> ErrorCode {
    for Commit { partition, value } in commits {
        let path = ConsumerOffset::path(group_id, &partition.topic, partition.partition);
        let data = ConsumerOffset(value.offset).encode();
        let written = match session.set(&path, &data, -1).await {
            Err(Error::NoNode(_)) => {
                session.create_with_parents(&path, Some(&data), CreateMode::Persistent).await.map(drop)
            }
            outcome => outcome.map(drop),
        };
        if let Err(error) = written {
            tracing::warn!(%path, %error, "an offset cannot be written to the registry");
            return ErrorCode::UNKNOWN_SERVER_ERROR;
        }
    }
    ErrorCode::NONE
}

/// Reads each offset that was asked for; what is not there is an unknown partition, as Apache answers it.
pub(super) async fn fetch(
    session: &Session,
    group_id: &str,
    asked: Vec<TopicPartition>,
) -> Vec<(TopicPartition, Result<Option<OffsetAndMetadata>, ErrorCode>)> {
    let mut found = Vec::with_capacity(asked.len());
    for partition in asked {
        let offset = read(session, group_id, &partition).await.map(Some);
        found.push((partition, offset));
    }
    found
}

async fn read(session: &Session, group_id: &str, of: &TopicPartition) -> Result<OffsetAndMetadata, ErrorCode> {
    let path = ConsumerOffset::path(group_id, &of.topic, of.partition);
    let (data, _) = session.get(&path).await.map_err(|error| match error {
        Error::NoNode(_) => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
        error => {
            tracing::warn!(%path, %error, "an offset cannot be read from the registry");
            ErrorCode::UNKNOWN_SERVER_ERROR
        }
    })?;
    let ConsumerOffset(offset) = ConsumerOffset::decode(group_id, &of.topic, of.partition, &data)
        .map_err(|_| ErrorCode::UNKNOWN_SERVER_ERROR)?;
    Ok(OffsetAndMetadata {
        offset,
        leader_epoch: -1,
        metadata: String::new(),
        commit_timestamp: -1,
        expire_timestamp: None,
    })
}
