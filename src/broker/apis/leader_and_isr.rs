//! LeaderAndIsr (key 4), versions 0–7: the controller tells which partitions this broker leads or follows.
//!
//! - A partition of which this broker has nothing yet gets its folder here, with the topic's config from the registry.
//! - v2 topics are grouped, broker epoch (KIP-380) · v5 topic ids (KIP-516) · v7 says whether KRaft speaks

use std::collections::HashSet;
use std::sync::Arc;

use crate::broker::Broker;
use crate::network::{Reply, RequestContext, Response};
use crate::wire::messages::{LeaderAndIsrRequest, LeaderAndIsrResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: LeaderAndIsrRequest) -> Reply {
    if let Err(code) = broker.check_broker_epoch(request.broker_epoch) {
        return Reply::now(&context, &LeaderAndIsrResponse { error_code: code.0, ..Default::default() });
    }
    // A controller sends its next request when this one is answered, so nothing overtakes it.
    let broker = broker.clone();
    Reply::later(async move {
        load_new_topics_configs(&broker, &request).await;
        let version = context.version();
        let carried_out = tokio::task::spawn_blocking(move || {
            let broker_config = broker.config();
            let config = |topic: &str| broker.topic_configs.log_config(&broker_config, topic);
            broker.replicas.become_leader_or_follower(&request, version, &config)
        });
        // A panic in there closes the connection; the controller tries again.
        Response::of(&context, &carried_out.await.ok()?)
    })
}

/// Reads what topics that were not here before have of their own.
async fn load_new_topics_configs(broker: &Arc<Broker>, request: &LeaderAndIsrRequest) {
    let grouped = request.topic_states.iter().map(|topic| topic.topic_name.as_str());
    let ungrouped = request.ungrouped_partition_states.iter().map(|state| state.topic_name.as_str());
    let topics: HashSet<&str> = grouped.chain(ungrouped).filter(|topic| !broker.replicas.hosts_topic(topic)).collect();
    for topic in topics {
        broker.load_topic_config(topic).await;
    }
}
