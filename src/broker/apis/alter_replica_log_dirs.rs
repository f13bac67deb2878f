//! AlterReplicaLogDirs (key 34), versions 0–2.
//!
//! Has partitions move to another log dir of this broker. The answer says that they are on their way; DescribeLogDirs
//! says how far. A partition that is not here yet is answered with REPLICA_NOT_AVAILABLE, and made there when it comes.
//!
//! Source: `ReplicaManager.alterReplicaLogDirs`; KIP-113.

use std::path::Path;
use std::sync::Arc;

use crate::broker::{Broker, wall_ms};
use crate::network::{Reply, RequestContext, Response};
use crate::replication::Error;
use crate::wire::messages::alter_replica_log_dirs::{AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult};
use crate::wire::messages::{AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse};
use crate::wire::{ErrorCode, TopicPartition};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: AlterReplicaLogDirsRequest) -> Reply {
    let broker = broker.clone();
    Reply::later(async move {
        let altered = tokio::task::spawn_blocking(move || alter(&broker, &request)).await.unwrap_or_default();
        Response::of(&context, &altered)
    })
}

fn alter(broker: &Broker, request: &AlterReplicaLogDirsRequest) -> AlterReplicaLogDirsResponse {
    let mut results: Vec<AlterReplicaLogDirTopicResult> = Vec::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let partitions = topic.partitions.iter().map(|&partition_index| {
                let code = move_one(broker, &TopicPartition::new(topic.name.as_str(), partition_index), &dir.path);
                AlterReplicaLogDirPartitionResult { partition_index, error_code: code.0 }
            });
            match results.iter_mut().find(|result| result.topic_name == topic.name) {
                Some(result) => result.partitions.extend(partitions),
                None => results.push(AlterReplicaLogDirTopicResult {
                    topic_name: topic.name.clone(),
                    partitions: partitions.collect(),
                }),
            }
        }
    }
    broker.moves.notify_one();
    AlterReplicaLogDirsResponse { results, ..Default::default() }
}

fn move_one(broker: &Broker, partition: &TopicPartition, dir: &str) -> ErrorCode {
    match broker.logs.move_log(partition, Path::new(dir), wall_ms()) {
        Ok(true) => ErrorCode::NONE,
        Ok(false) => match broker.replicas.replica(&partition.topic, partition.partition) {
            Err(code @ (ErrorCode::KAFKA_STORAGE_ERROR | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)) => code,
            _ => ErrorCode::REPLICA_NOT_AVAILABLE,
        },
        Err(error) => {
            tracing::warn!(%partition, dir, %error, "does not move");
            Error::Log(error).code()
        }
    }
}
