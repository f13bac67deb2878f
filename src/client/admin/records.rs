//! Offsets of partitions: listed by time, and records deleted up to one.

use std::collections::HashMap;

use super::routed::PerPartition;
use super::{Admin, Client, Error, To};
use crate::wire::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use crate::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use crate::wire::{Message, TopicPartition};

/// Which offset of a partition is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetSpec {
    Latest,
    Earliest,
    /// Of the record with the greatest timestamp; brokers since 3.0.
    MaxTimestamp,
    /// Of the first record that is still on the leader's own disk; brokers since 3.6.
    EarliestLocal,
    /// Of the last record in tiered storage; brokers since 3.9.
    LatestTiered,
    /// Of the first record that is not older, in milliseconds since 1970.
    Timestamp(i64),
}

impl OffsetSpec {
    fn timestamp(self) -> i64 {
        match self {
            OffsetSpec::Latest => -1,
            OffsetSpec::Earliest => -2,
            OffsetSpec::MaxTimestamp => -3,
            OffsetSpec::EarliestLocal => -4,
            OffsetSpec::LatestTiered => -5,
            OffsetSpec::Timestamp(ms) => ms,
        }
    }

    fn first_version(self) -> i16 {
        match self {
            OffsetSpec::Latest | OffsetSpec::Earliest | OffsetSpec::Timestamp(_) => 0,
            OffsetSpec::MaxTimestamp => 7,
            OffsetSpec::EarliestLocal => 8,
            OffsetSpec::LatestTiered => 9,
        }
    }
}

/// An offset that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedOffset {
    /// -1: there is no such record.
    pub offset: i64,
    /// -1: not known.
    pub timestamp_ms: i64,
    pub leader_epoch: Option<i32>,
}

impl Admin {
    /// One offset of each partition. `read_committed`: those of open transactions are left out.
    pub fn list_offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
        read_committed: bool,
    ) -> PerPartition<ListedOffset> {
        self.run(self.client.list_offsets(wanted, read_committed))
    }

    /// Deletes the records before an offset of each partition, -1 for all, and returns the new log start offsets.
    pub fn delete_records(&self, before: &[(TopicPartition, i64)]) -> PerPartition<i64> {
        self.run(self.client.delete_records(before))
    }
}

impl Client {
    pub(super) async fn list_offsets(
        &self,
        wanted: &[(TopicPartition, OffsetSpec)],
        read_committed: bool,
    ) -> PerPartition<ListedOffset> {
        let mut call = self.call("listOffsets(api=METADATA)");
        let partitions = wanted.iter().map(|(partition, _)| partition.clone()).collect::<Vec<_>>();
        let specs = wanted.iter().cloned().collect::<HashMap<_, _>>();
        let spec = |partition: &TopicPartition| specs.get(partition).copied().unwrap_or(OffsetSpec::Latest);
        let ask = async |leader, partitions: Vec<TopicPartition>| {
            let mut call = self.call("listOffsets(api=LIST_OFFSETS)");
            let first = partitions.iter().map(|partition| spec(partition).first_version()).max().unwrap_or(0);
            let row = |topic: &str, partition_index| ListOffsetsPartition {
                partition_index,
                timestamp: spec(&TopicPartition::new(topic, partition_index)).timestamp(),
                ..ListOffsetsPartition::default()
            };
            let topics = super::by_topic(&partitions).into_iter().map(|(name, indexes)| ListOffsetsTopic {
                partitions: indexes.into_iter().map(|index| row(&name, index)).collect(),
                name,
            });
            let topics = topics.collect::<Vec<_>>();
            let request = |_, _| ListOffsetsRequest {
                replica_id: -1,
                isolation_level: read_committed.into(),
                topics: topics.clone(),
            };
            let versions = first.max(read_committed.into())..=*ListOffsetsRequest::VERSIONS.end();
            let response = self.send_in(&mut call, To::Broker(leader), versions, request).await?;
            Ok(flatten(response.topics.into_iter().map(|topic| (topic.name, topic.partitions)), |row| {
                (row.partition_index, listed(&row))
            }))
        };
        self.ask_leaders(&mut call, &partitions, ask).await
    }

    pub(super) async fn delete_records(&self, before: &[(TopicPartition, i64)]) -> PerPartition<i64> {
        let mut call = self.call("deleteRecords(api=METADATA)");
        let partitions = before.iter().map(|(partition, _)| partition.clone()).collect::<Vec<_>>();
        let offsets = before.iter().cloned().collect::<HashMap<_, _>>();
        let offset = |partition: &TopicPartition| offsets.get(partition).copied().unwrap_or_default();
        let ask = async |leader, partitions: Vec<TopicPartition>| {
            let mut call = self.call("deleteRecords(api=DELETE_RECORDS)");
            let row = |topic: &str, partition_index| DeleteRecordsPartition {
                partition_index,
                offset: offset(&TopicPartition::new(topic, partition_index)),
            };
            let topics = super::by_topic(&partitions).into_iter().map(|(name, indexes)| DeleteRecordsTopic {
                partitions: indexes.into_iter().map(|index| row(&name, index)).collect(),
                name,
            });
            let topics = topics.collect::<Vec<_>>();
            let request = |_, timeout_ms| DeleteRecordsRequest { topics: topics.clone(), timeout_ms };
            let response = self.send(&mut call, To::Broker(leader), request).await?;
            Ok(flatten(response.topics.into_iter().map(|topic| (topic.name, topic.partitions)), |row| {
                (row.partition_index, Error::check(row.error_code, None).map(|()| row.low_watermark))
            }))
        };
        self.ask_leaders(&mut call, &partitions, ask).await
    }
}

fn listed(row: &ListOffsetsPartitionResponse) -> Result<ListedOffset, Error> {
    Error::check(row.error_code, None)?;
    Ok(ListedOffset {
        // Version 0 lists several, the nearest first.
        offset: row.old_style_offsets.first().copied().unwrap_or(row.offset),
        timestamp_ms: row.timestamp,
        leader_epoch: Some(row.leader_epoch).filter(|epoch| *epoch >= 0),
    })
}

/// Rows by topic as rows by partition.
pub(super) fn flatten<R, T>(
    topics: impl Iterator<Item = (String, Vec<R>)>,
    read: impl Fn(R) -> (i32, Result<T, Error>),
) -> PerPartition<T> {
    let mut rows = Vec::new();
    for (name, partitions) in topics {
        let name: std::sync::Arc<str> = name.into();
        rows.extend(
            partitions
                .into_iter()
                .map(&read)
                .map(|(partition, result)| (TopicPartition::new(name.clone(), partition), result)),
        );
    }
    rows
}
