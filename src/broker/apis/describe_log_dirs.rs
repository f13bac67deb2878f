//! DescribeLogDirs (key 35), versions 0–4.
//!
//! - Every log dir with the partitions that are asked for (null: all) and are there; what nobody has is left out.
//! - A dir that has failed is answered with KAFKA_STORAGE_ERROR.
//! - v3 error_code · v4 total_bytes and usable_bytes (KIP-827)
//!
//! Source: `ReplicaManager.describeLogDirs`; KIP-113.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::broker::Broker;
use crate::log::DirContents;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::ErrorCode;
use crate::wire::messages::describe_log_dirs::{DescribeLogDirsPartition, DescribeLogDirsResult, DescribeLogDirsTopic};
use crate::wire::messages::{DescribeLogDirsRequest, DescribeLogDirsResponse};

/// The partitions that are asked for; None: all.
type Wanted = Option<HashSet<(String, i32)>>;

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: DescribeLogDirsRequest) -> Reply {
    let wanted: Wanted = request.topics.map(|topics| {
        let partitions = topics
            .into_iter()
            .flat_map(|topic| topic.partitions.into_iter().map(move |partition| (topic.topic.clone(), partition)));
        partitions.collect()
    });
    let broker = broker.clone();
    Reply::later(async move {
        let describe = move || broker.logs.contents().iter().map(|contents| describe(contents, &wanted)).collect();
        let results = tokio::task::spawn_blocking(describe).await.unwrap_or_default();
        Response::of(&context, &DescribeLogDirsResponse { results, ..Default::default() })
    })
}

fn describe(contents: &DirContents, wanted: &Wanted) -> DescribeLogDirsResult {
    let log_dir = contents.dir.absolute_path().display().to_string();
    let failed =
        |log_dir| DescribeLogDirsResult { error_code: ErrorCode::KAFKA_STORAGE_ERROR.0, log_dir, ..Default::default() };
    let Some(logs) = &contents.logs else { return failed(log_dir) };
    let Ok((total, usable)) = contents.dir.capacity() else { return failed(log_dir) };
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for log in logs {
        let (topic, partition_index) = (&*log.partition.topic, log.partition.partition);
        if wanted.as_ref().is_some_and(|wanted| !wanted.contains(&(topic.to_owned(), partition_index))) {
            continue;
        }
        topics.entry(topic).or_default().push(DescribeLogDirsPartition {
            partition_index,
            partition_size: log.bytes as i64,
            offset_lag: log.lag,
            is_future_key: log.is_future,
        });
    }
    let topics = topics.into_iter().map(|(name, mut partitions)| {
        partitions.sort_by_key(|partition| (partition.partition_index, partition.is_future_key));
        DescribeLogDirsTopic { name: name.to_owned(), partitions }
    });
    DescribeLogDirsResult {
        log_dir,
        topics: topics.collect(),
        total_bytes: i64::try_from(total).unwrap_or(i64::MAX),
        usable_bytes: i64::try_from(usable).unwrap_or(i64::MAX),
        ..Default::default()
    }
}
