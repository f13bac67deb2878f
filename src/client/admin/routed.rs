//! Requests whose parts belong to different brokers: partitions to their leaders, groups to their coordinators.

use std::collections::{BTreeMap, HashMap};

use super::{Call, Client, Error, To, join_all};
use crate::wire::messages::find_coordinator::FindCoordinatorRequest;
use crate::wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::wire::{ErrorCode, TopicPartition, Uuid};

/// What became of each partition.
pub(super) type PerPartition<T> = Vec<(TopicPartition, Result<T, Error>)>;
/// What became of each group.
pub(super) type PerGroup<T> = Vec<(String, Result<T, Error>)>;

impl Client {
    /// Asks each partition's leader, again while leaders are moving; a partition that has none until the deadline
    /// ends with a time-out, as in Java's client, which also waits for a topic that does not exist.
    pub(super) async fn ask_leaders<T>(
        &self,
        call: &mut Call,
        partitions: &[TopicPartition],
        ask: impl AsyncFn(i32, Vec<TopicPartition>) -> Result<PerPartition<T>, Error>,
    ) -> PerPartition<T> {
        let mut answered: HashMap<TopicPartition, Result<T, Error>> = HashMap::new();
        let mut pending = partitions.to_vec();
        while !pending.is_empty() {
            let mut cause = Error::api(ErrorCode::LEADER_NOT_AVAILABLE, None);
            match self.ask_leaders_once(call, &pending, &ask).await {
                Ok(results) => {
                    for (partition, result) in results {
                        match result {
                            Err(error) if is_leader_moving(&error) => cause = error,
                            result => drop(answered.insert(partition, result)),
                        }
                    }
                }
                Err(error) => {
                    answered.extend(pending.drain(..).map(|partition| (partition, Err(error.clone()))));
                }
            }
            pending.retain(|partition| !answered.contains_key(partition));
            if pending.is_empty() {
                break;
            }
            if let Err(error) = self.pause(call, cause).await {
                answered.extend(pending.drain(..).map(|partition| (partition, Err(error.clone()))));
            }
        }
        let answer = |partition: &TopicPartition| Some((partition.clone(), answered.remove(partition)?));
        partitions.iter().filter_map(answer).collect()
    }

    async fn ask_leaders_once<T>(
        &self,
        call: &mut Call,
        pending: &[TopicPartition],
        ask: &impl AsyncFn(i32, Vec<TopicPartition>) -> Result<PerPartition<T>, Error>,
    ) -> Result<PerPartition<T>, Error> {
        let leaders = self.leaders(call, pending).await?;
        let mut by_leader: BTreeMap<i32, Vec<TopicPartition>> = BTreeMap::new();
        for partition in pending {
            if let Some(leader) = leaders.get(partition) {
                by_leader.entry(*leader).or_default().push(partition.clone());
            }
        }
        let asking = by_leader.into_iter().map(|(leader, partitions)| ask(leader, partitions));
        let mut results = Vec::new();
        for part in join_all(asking.collect()).await {
            results.extend(part?);
        }
        Ok(results)
    }

    /// The leaders of those of the partitions that have one.
    async fn leaders(
        &self,
        call: &mut Call,
        partitions: &[TopicPartition],
    ) -> Result<HashMap<TopicPartition, i32>, Error> {
        let topics = super::by_topic(partitions).into_iter().map(|(topic, _)| topic).collect::<Vec<_>>();
        let row = |name: &String| MetadataRequestTopic { topic_id: Uuid::ZERO, name: Some(name.clone()) };
        let request = |version, _| MetadataRequest {
            topics: Some(topics.iter().map(row).collect()),
            allow_auto_topic_creation: version < 4,
            ..MetadataRequest::default()
        };
        let response = self.send(call, To::Any, request).await?;
        self.remember(&response.brokers, response.controller_id);
        let mut leaders = HashMap::new();
        for topic in response.topics {
            let name: std::sync::Arc<str> = topic.name.unwrap_or_default().into();
            let led = topic.partitions.iter().filter(|partition| partition.leader_id >= 0);
            leaders.extend(led.map(|p| (TopicPartition::new(name.clone(), p.partition_index), p.leader_id)));
        }
        Ok(leaders)
    }

    /// Asks each group's coordinator, again while coordinators are moving or loading.
    pub(super) async fn ask_coordinators<T>(
        &self,
        call: &mut Call,
        groups: &[String],
        ask: impl AsyncFn(i32, Vec<String>) -> Result<PerGroup<T>, Error>,
    ) -> PerGroup<T> {
        let mut answered: HashMap<String, Result<T, Error>> = HashMap::new();
        let mut pending = groups.to_vec();
        while !pending.is_empty() {
            let mut cause = Error::api(ErrorCode::COORDINATOR_NOT_AVAILABLE, None);
            match self.ask_coordinators_once(call, &pending, &ask).await {
                Ok(results) => {
                    for (group, result) in results {
                        match result {
                            Err(error) if is_coordinator_moving(&error) => cause = error,
                            result => drop(answered.insert(group, result)),
                        }
                    }
                }
                Err(error) => answered.extend(pending.drain(..).map(|group| (group, Err(error.clone())))),
            }
            pending.retain(|group| !answered.contains_key(group));
            if pending.is_empty() {
                break;
            }
            if let Err(error) = self.pause(call, cause).await {
                answered.extend(pending.drain(..).map(|group| (group, Err(error.clone()))));
            }
        }
        groups.iter().filter_map(|group| Some((group.clone(), answered.remove(group)?))).collect()
    }

    async fn ask_coordinators_once<T>(
        &self,
        call: &mut Call,
        pending: &[String],
        ask: &impl AsyncFn(i32, Vec<String>) -> Result<PerGroup<T>, Error>,
    ) -> Result<PerGroup<T>, Error> {
        let mut results = Vec::new();
        let mut by_coordinator: BTreeMap<i32, Vec<String>> = BTreeMap::new();
        for (group, found) in self.coordinators(call, pending).await? {
            match found {
                Ok(coordinator) => by_coordinator.entry(coordinator).or_default().push(group),
                Err(error) => results.push((group, Err(error))),
            }
        }
        let asking = by_coordinator.into_iter().map(|(coordinator, groups)| ask(coordinator, groups));
        for part in join_all(asking.collect()).await {
            results.extend(part?);
        }
        Ok(results)
    }

    /// The broker that coordinates each group.
    async fn coordinators(&self, call: &mut Call, groups: &[String]) -> Result<PerGroup<i32>, Error> {
        let mut found = Vec::new();
        let mut asked = 0;
        while asked < groups.len() {
            // Brokers from 3.0 on take all groups at once, older ones the first.
            let rest = &groups[asked..];
            let request = |version, _| FindCoordinatorRequest {
                key: if version < 4 { rest[0].clone() } else { String::new() },
                key_type: 0,
                coordinator_keys: if version < 4 { Vec::new() } else { rest.to_vec() },
            };
            let response = self.send(call, To::Any, request).await?;
            if response.coordinators.is_empty() {
                let checked = Error::check(response.error_code, filled(response.error_message));
                found.push((rest[0].clone(), checked.map(|()| response.node_id)));
                asked += 1;
                continue;
            }
            let rows = response.coordinators.into_iter();
            found.extend(
                rows.map(|row| {
                    (row.key, Error::check(row.error_code, filled(row.error_message)).map(|()| row.node_id))
                }),
            );
            asked = groups.len();
        }
        Ok(found)
    }
}

/// A text that says something.
fn filled(message: Option<String>) -> Option<String> {
    message.filter(|message| !message.is_empty())
}

fn is_leader_moving(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                | ErrorCode::LEADER_NOT_AVAILABLE
                | ErrorCode::NOT_LEADER_OR_FOLLOWER
                | ErrorCode::REPLICA_NOT_AVAILABLE
                | ErrorCode::OFFSET_NOT_AVAILABLE
                | ErrorCode::FENCED_LEADER_EPOCH
                | ErrorCode::UNKNOWN_LEADER_EPOCH
                | ErrorCode::KAFKA_STORAGE_ERROR
        )
    )
}

fn is_coordinator_moving(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(
            ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS | ErrorCode::NOT_COORDINATOR
        )
    )
}
