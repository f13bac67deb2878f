//! OffsetDelete (key 47), version 0: single offsets of a group (KIP-496). Those of topics that a member reads stay.

use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::offset_delete::{OffsetDeleteResponsePartition, OffsetDeleteResponseTopic};
use crate::wire::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use crate::wire::{ErrorCode, TopicPartition};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: OffsetDeleteRequest) -> Reply {
    let cluster = broker.metadata.current();
    let (mut known, mut outcomes) = (Vec::new(), Vec::new());
    for topic in &request.topics {
        let name: Arc<str> = topic.name.as_str().into();
        for asked in &topic.partitions {
            let partition = TopicPartition::new(name.clone(), asked.partition_index);
            match cluster.contains(&topic.name, asked.partition_index) {
                true => known.push(partition),
                false => outcomes.push((partition, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)),
            }
        }
    }
    let coordinator = broker.group_partition(&request.group_id);
    let deleting = broker.groups.delete_offsets(coordinator, &request.group_id, known);
    Reply::later(async move {
        let response = match deleting.await {
            Ok(deleted) => {
                outcomes.extend(deleted);
                OffsetDeleteResponse { topics: by_topic(outcomes), ..Default::default() }
            }
            Err(error) => OffsetDeleteResponse { error_code: error.0, ..Default::default() },
        };
        Response::of(&context, &response)
    })
}

fn by_topic(mut outcomes: Vec<(TopicPartition, ErrorCode)>) -> Vec<OffsetDeleteResponseTopic> {
    outcomes.sort();
    let mut topics: Vec<OffsetDeleteResponseTopic> = Vec::new();
    for (partition, error) in outcomes {
        if topics.last().is_none_or(|topic| topic.name != *partition.topic) {
            topics.push(OffsetDeleteResponseTopic { name: partition.topic.to_string(), partitions: Vec::new() });
        }
        if let Some(topic) = topics.last_mut() {
            topic
                .partitions
                .push(OffsetDeleteResponsePartition { partition_index: partition.partition, error_code: error.0 });
        }
    }
    topics
}
