//! OffsetForLeaderEpoch (key 23), versions 0–4: where a leader epoch ends, for whoever must find where logs part.
//!
//! - An epoch that is not known is answered with the largest known one below it; a newer one with -1, -1.
//! - v1 answers the epoch · v2 the asker's own epoch is checked (KIP-320) · v3 replica id · v4 flexible

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext};
use crate::wire::ErrorCode;
use crate::wire::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderPartition, OffsetForLeaderTopicResult,
};
use crate::wire::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: OffsetForLeaderEpochRequest) -> Reply {
    let mut response = OffsetForLeaderEpochResponse::default();
    for topic in request.topics {
        let answer = |asked: &OffsetForLeaderPartition| match end_offset(broker, &topic.topic, asked) {
            Ok(known) => {
                let (leader_epoch, end_offset) = known.unwrap_or((-1, -1));
                EpochEndOffset { error_code: 0, partition: asked.partition, leader_epoch, end_offset }
            }
            Err(code) => EpochEndOffset { error_code: code.0, partition: asked.partition, ..Default::default() },
        };
        let partitions = topic.partitions.iter().map(answer).collect();
        response.topics.push(OffsetForLeaderTopicResult { topic: topic.topic, partitions });
    }
    Reply::now(&context, &response)
}

fn end_offset(broker: &Broker, topic: &str, asked: &OffsetForLeaderPartition) -> Result<Option<(i32, i64)>, ErrorCode> {
    let replica = broker.replicas.replica(topic, asked.partition)?;
    replica.check_leader((asked.current_leader_epoch >= 0).then_some(asked.current_leader_epoch))?;
    Ok(replica.end_offset_for_epoch(asked.leader_epoch))
}
