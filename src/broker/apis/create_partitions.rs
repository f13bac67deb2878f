//! CreatePartitions (key 37), versions 0–3: a topic's new partitions join its znode; answered when they have leaders.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::topic_creation::{
    Refusal, candidates, check_partition_count, has_duplicates, has_leaders, joined, timeout_of, wait_for_metadata,
};
use crate::controller::assignment::{Candidate, Start, assign};
use crate::network::{Reply, RequestContext, Response};
use crate::registry;
use crate::registry::znodes::{DeleteTopics, ReplicaAssignment, TopicAssignment};
use crate::wire::ErrorCode;
use crate::wire::messages::create_partitions::{CreatePartitionsTopic, CreatePartitionsTopicResult};
use crate::wire::messages::{CreatePartitionsRequest, CreatePartitionsResponse};

pub(super) fn handle(broker: &Arc<Broker>, context: RequestContext, request: CreatePartitionsRequest) -> Reply {
    if !broker.controller.is_active() {
        let refused = request.topics.iter().map(|topic| CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code: ErrorCode::NOT_CONTROLLER.0,
            ..Default::default()
        });
        return Reply::now(&context, &CreatePartitionsResponse { results: refused.collect(), ..Default::default() });
    }
    let broker = broker.clone();
    Reply::later(async move {
        let response = CreatePartitionsResponse { results: create(&broker, &request).await, ..Default::default() };
        Response::of(&context, &response)
    })
}

async fn create(broker: &Broker, request: &CreatePartitionsRequest) -> Vec<CreatePartitionsTopicResult> {
    let mut results: Vec<CreatePartitionsTopicResult> = Vec::new();
    let mut grown = Vec::new();
    for topic in &request.topics {
        // A topic that is named twice is answered once.
        if results.iter().any(|result| result.name == topic.name) {
            continue;
        }
        let result = match request.topics.iter().filter(|other| other.name == topic.name).count() {
            1 => grow(broker, topic, request.validate_only).await,
            _ => Err(Refusal::new(ErrorCode::INVALID_REQUEST, "Duplicate topic in request.")),
        };
        let (error_code, error_message) = match result {
            Ok(partitions) => {
                grown.push((results.len(), partitions));
                (0, None)
            }
            Err(refusal) => (refusal.code.0, refusal.message),
        };
        results.push(CreatePartitionsTopicResult { name: topic.name.clone(), error_code, error_message });
    }
    if request.validate_only || grown.is_empty() {
        return results;
    }
    if request.timeout_ms > 0 {
        let all_led = wait_for_metadata(broker, timeout_of(request.timeout_ms), |cluster| {
            grown.iter().all(|(at, partitions)| has_leaders(cluster, &results[*at].name, *partitions))
        });
        all_led.await;
    }
    let cluster = broker.metadata.current();
    for (at, partitions) in grown {
        if request.timeout_ms <= 0 || !has_leaders(&cluster, &results[at].name, partitions) {
            results[at].error_code = ErrorCode::REQUEST_TIMED_OUT.0;
        }
    }
    results
}

/// How many partitions the topic has then.
async fn grow(broker: &Broker, topic: &CreatePartitionsTopic, validate_only: bool) -> Result<usize, Refusal> {
    let unknown =
        || Refusal::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, format!("The topic '{}' does not exist.", topic.name));
    if crate::broker::topic_creation::check_name(&topic.name).is_err() {
        return Err(unknown());
    }
    if broker.session.exists(&DeleteTopics::path(&topic.name)).await?.is_some() {
        return Err(Refusal::new(ErrorCode::INVALID_TOPIC_EXCEPTION, "The topic is queued for deletion."));
    }
    let path = TopicAssignment::path(&topic.name);
    loop {
        let (data, stat) = match broker.session.get(&path).await {
            Ok(read) => read,
            Err(registry::Error::NoNode(_)) => return Err(unknown()),
            Err(error) => return Err(error.into()),
        };
        let mut assignment = TopicAssignment::decode(&topic.name, &data)?;
        let brokers = candidates(&broker.metadata.current());
        let new = plan(topic, &assignment.partitions, &brokers)?;
        assignment.partitions.extend(new);
        if validate_only {
            return Ok(assignment.partitions.len());
        }
        match broker.session.set(&path, &assignment.encode(), stat.version).await {
            Ok(_) => return Ok(assignment.partitions.len()),
            // Somebody else changed the topic meanwhile: what is asked may be right or wrong now.
            Err(registry::Error::BadVersion(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The replicas of the new partitions.
///
/// Source: `ZkAdminManager.createPartitions`, `AdminZkClient.createNewPartitionsAssignment`.
fn plan(
    topic: &CreatePartitionsTopic,
    existing: &BTreeMap<i32, ReplicaAssignment>,
    brokers: &[Candidate],
) -> Result<Vec<(i32, ReplicaAssignment)>, Refusal> {
    let refuse = |code: ErrorCode, message: String| Err(Refusal::new(code, message));
    let is_moving = |partition: &ReplicaAssignment| {
        !partition.adding_replicas.is_empty() || !partition.removing_replicas.is_empty()
    };
    if existing.values().any(is_moving) {
        let message = format!("A partition reassignment is in progress for the topic '{}'.", topic.name);
        return refuse(ErrorCode::REASSIGNMENT_IN_PROGRESS, message);
    }
    let (old, wanted) = (existing.len() as i32, topic.count);
    if wanted < old {
        let message = format!("Topic currently has {old} partitions, which is higher than the requested {wanted}.");
        return refuse(ErrorCode::INVALID_PARTITIONS, message);
    }
    if wanted == old {
        return refuse(ErrorCode::INVALID_PARTITIONS, format!("Topic already has {old} partitions."));
    }
    check_partition_count(wanted)?;
    let increment = wanted - old;
    let Some(first) = existing.get(&0).map(|partition| &partition.replicas) else {
        // AdminOperationException is none of the protocol's errors.
        return Err(Refusal::plain(ErrorCode::UNKNOWN_SERVER_ERROR));
    };
    let replicas = match &topic.assignments {
        Some(rows) => {
            let rows: Vec<Vec<i32>> = rows.iter().map(|row| row.broker_ids.clone()).collect();
            check_assignment(&rows, old, increment, first.len(), brokers)?;
            rows
        }
        None => {
            let leader = first.first().copied().unwrap_or(0);
            assign(brokers, increment, first.len() as i32, Start::after(old, leader, brokers))?
        }
    };
    let new = replicas.into_iter().map(|replicas| ReplicaAssignment { replicas, ..Default::default() });
    Ok((old..).zip(new).collect())
}

fn check_assignment(
    rows: &[Vec<i32>],
    old: i32,
    increment: i32,
    factor: usize,
    brokers: &[Candidate],
) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(ErrorCode::INVALID_REPLICA_ASSIGNMENT, message));
    let is_unknown = |id: &i32| brokers.iter().all(|broker| broker.id != *id);
    let unknown: BTreeSet<i32> = rows.iter().flatten().copied().filter(is_unknown).collect();
    if !unknown.is_empty() {
        let unknown: Vec<i32> = unknown.into_iter().collect();
        return refuse(format!("Unknown broker(s) in replica assignment: {}.", joined(&unknown)));
    }
    if rows.len() as i32 != increment {
        let provided = rows.len();
        return refuse(format!(
            "Increasing the number of partitions by {increment} but {provided} assignments provided."
        ));
    }
    for (partition, replicas) in (old..).zip(rows) {
        if replicas.is_empty() {
            return refuse(format!("Cannot have replication factor of 0 for partition id {partition}."));
        }
        if has_duplicates(replicas) {
            let replicas = joined(replicas);
            return refuse(format!(
                "Duplicate brokers not allowed in replica assignment: {replicas} for partition id {partition}."
            ));
        }
    }
    let odd: Vec<(i32, i32)> =
        (old..).zip(rows).filter(|(_, ids)| ids.len() != factor).map(|(p, ids)| (p, ids.len() as i32)).collect();
    if odd.is_empty() {
        return Ok(());
    }
    let (partitions, factors): (Vec<i32>, Vec<i32>) = odd.into_iter().unzip();
    refuse(format!(
        "Inconsistent replication factor between partitions, partition 0 has {factor} while partitions [{}] have \
         replication factors [{}], respectively.",
        joined(&partitions),
        joined(&factors)
    ))
}

#[cfg(test)]
mod tests;
