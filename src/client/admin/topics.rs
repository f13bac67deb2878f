//! Topics: list, describe, create, add partitions, delete.

use std::collections::{BTreeMap, HashSet};

use super::{Admin, Call, Client, ConfigEntry, ConfigResource, Error, PartitionReassignment, To};
use crate::wire::messages::create_partitions::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use crate::wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use crate::wire::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use crate::wire::messages::describe_topic_partitions::{
    CursorRequest, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponsePartition, TopicRequest,
};
use crate::wire::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::{ErrorCode, Message, TopicPartition, Uuid};

/// A topic's name and id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicListing {
    pub name: String,
    /// Zero from brokers before 2.8.
    pub topic_id: Uuid,
    pub is_internal: bool,
}

/// A topic with its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicDescription {
    pub name: String,
    pub topic_id: Uuid,
    pub is_internal: bool,
    /// By partition.
    pub partitions: Vec<PartitionInfo>,
}

/// Where one partition is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionInfo {
    pub partition: i32,
    /// `None`: there is none, or it is not among the live brokers.
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    /// Eligible leader replicas (KIP-966); `None` if the broker cannot say.
    pub elr: Option<Vec<i32>>,
    pub last_known_elr: Option<Vec<i32>>,
}

/// Topics with their configurations, and what is under way with their partitions.
#[derive(Debug, Clone)]
pub struct TopicDetails {
    /// In the order asked for.
    pub topics: Vec<(TopicDescription, Vec<ConfigEntry>)>,
    pub reassignments: Vec<PartitionReassignment>,
    pub live_brokers: HashSet<i32>,
}

/// A topic to be created.
#[derive(Debug, Clone, Default)]
pub struct NewTopic {
    pub name: String,
    /// `None`: the broker's default.
    pub num_partitions: Option<i32>,
    pub replication_factor: Option<i16>,
    /// Replicas by partition; then neither of the two numbers is given.
    pub assignments: BTreeMap<i32, Vec<i32>>,
    pub configs: Vec<(String, String)>,
}

/// How many partitions a topic is to have.
#[derive(Debug, Clone)]
pub struct NewPartitions {
    /// With the ones it has.
    pub total_count: i32,
    /// Replicas of each new partition; `None`: the broker places them.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// What became of each topic, in the order asked for.
type PerTopic<T> = Vec<(String, Result<T, Error>)>;

impl Admin {
    /// Every topic, in the broker's order.
    ///
    /// # Errors
    /// `Timeout`.
    pub fn list_topics(&self) -> Result<Vec<TopicListing>, Error> {
        self.run(self.client.list_topics())
    }

    /// Every topic, as one broker knows it, in that broker's order.
    ///
    /// # Errors
    /// Of the whole: `Timeout`. Each topic has its own result.
    pub fn all_topics(&self) -> Result<Vec<(TopicListing, Result<TopicDescription, Error>)>, Error> {
        self.run(self.client.all_topics())
    }

    /// All there is to say about topics that are `known`, asked for in one go. `partition_limit`: partitions in one
    /// answer, where the broker pages them; `None`: what is known of the partitions will do.
    ///
    /// # Errors
    /// The first refusal of any topic; `Timeout`.
    pub fn topic_details(
        &self,
        known: PerTopic<TopicDescription>,
        partition_limit: Option<i32>,
    ) -> Result<TopicDetails, Error> {
        self.run(self.client.topic_details(known, partition_limit))
    }

    /// The topics of these names. `partition_limit`: partitions in one answer, where the broker pages them.
    ///
    /// # Errors
    /// Of the whole: `Timeout`. Each topic has its own result.
    pub fn describe_topics(&self, names: &[String], partition_limit: i32) -> Result<PerTopic<TopicDescription>, Error> {
        self.run(self.client.describe_topics(names, partition_limit))
    }

    /// The topic of this id.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_ID; `Timeout`; UNSUPPORTED_VERSION from brokers before 2.8.
    pub fn describe_topic_by_id(&self, id: Uuid) -> Result<TopicDescription, Error> {
        self.run(self.client.describe_topic_by_id(id))
    }

    /// The topics of these names as far as one broker has heard of them, which may be a moment behind the controller.
    ///
    /// # Errors
    /// `Timeout`.
    pub fn known_topics(&self, names: &[String]) -> Result<Vec<TopicDescription>, Error> {
        let known = self.run(self.client.describe_by_metadata(names))?;
        Ok(known.into_iter().filter_map(|(_, description)| description.ok()).collect())
    }

    /// Creates topics, or only says whether it could.
    ///
    /// # Errors
    /// Of the whole: `Timeout`, UNSUPPORTED_VERSION for defaults that brokers before 2.4 do not have. Each topic has
    /// its own result.
    pub fn create_topics(&self, topics: &[NewTopic], validate_only: bool) -> Result<PerTopic<()>, Error> {
        self.run(self.client.create_topics(topics, validate_only))
    }

    /// Adds partitions to topics.
    ///
    /// # Errors
    /// Of the whole: `Timeout`. Each topic has its own result.
    pub fn create_partitions(
        &self,
        topics: &[(String, NewPartitions)],
        validate_only: bool,
    ) -> Result<PerTopic<()>, Error> {
        self.run(self.client.create_partitions(topics, validate_only))
    }

    /// Deletes topics.
    ///
    /// # Errors
    /// Of the whole: `Timeout`. Each topic has its own result.
    pub fn delete_topics(&self, names: &[String]) -> Result<PerTopic<()>, Error> {
        self.run(self.client.delete_topics(names))
    }
}

impl Client {
    pub(super) async fn list_topics(&self) -> Result<Vec<TopicListing>, Error> {
        Ok(self.all_topics().await?.into_iter().map(|(listing, _)| listing).collect())
    }

    pub(super) async fn all_topics(&self) -> Result<Vec<(TopicListing, Result<TopicDescription, Error>)>, Error> {
        let mut call = self.call("listTopics");
        let response = self.metadata(&mut call, Wanted::All).await?;
        let live = nodes(&response);
        let row = |topic: MetadataResponseTopic| {
            let name = topic.name.clone().unwrap_or_default();
            let listing = TopicListing { name, topic_id: topic.topic_id, is_internal: topic.is_internal };
            (listing, described(topic, &live))
        };
        Ok(response.topics.into_iter().map(row).collect())
    }

    pub(super) async fn topic_details(
        &self,
        known: PerTopic<TopicDescription>,
        partition_limit: Option<i32>,
    ) -> Result<TopicDetails, Error> {
        let names = known.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let resources = names.iter().map(ConfigResource::topic).collect::<Vec<_>>();
        let partitions = known.iter().filter_map(|(name, topic)| Some((name, topic.as_ref().ok()?)));
        let partitions = partitions.flat_map(|(name, topic)| {
            topic.partitions.iter().map(|partition| TopicPartition::new(name.as_str(), partition.partition))
        });
        let partitions = partitions.collect::<Vec<_>>();
        let paged = async {
            match partition_limit {
                Some(limit) => {
                    let mut call = self.call("describeTopicPartitions");
                    self.describe_paged(&mut call, &names, limit).await
                }
                None => Err(Error::api(ErrorCode::UNSUPPORTED_VERSION, None)),
            }
        };
        let reassignments = async {
            match partitions.is_empty() {
                true => Ok(Vec::new()),
                false => self.list_partition_reassignments(Some(&partitions)).await,
            }
        };
        let (paged, configs, reassignments) =
            tokio::join!(paged, self.describe_configs(&resources, false), reassignments);
        let described = match paged {
            Err(error) if error.code() == Some(ErrorCode::UNSUPPORTED_VERSION) => known,
            paged => paged?,
        };
        let described = described.into_iter().map(|(_, topic)| topic).collect::<Result<Vec<_>, _>>()?;
        let configs = configs?.into_iter().map(|(_, entries)| entries).collect::<Result<Vec<_>, _>>()?;
        let reassignments = match reassignments {
            // Brokers before 2.4, and those that do not let us see them.
            Err(error) => match error.code() {
                Some(ErrorCode::UNSUPPORTED_VERSION | ErrorCode::CLUSTER_AUTHORIZATION_FAILED) => Vec::new(),
                _ => return Err(error),
            },
            Ok(under_way) => under_way,
        };
        let call = self.call("describeCluster");
        let live_brokers = self.cluster(&call).await?.brokers.iter().map(|node| node.id).collect();
        Ok(TopicDetails { topics: described.into_iter().zip(configs).collect(), reassignments, live_brokers })
    }

    pub(super) async fn describe_topics(
        &self,
        names: &[String],
        limit: i32,
    ) -> Result<PerTopic<TopicDescription>, Error> {
        let (sendable, mut results) = representable(names);
        if sendable.is_empty() {
            return Ok(results);
        }
        let mut call = self.call("describeTopicPartitions");
        let found = match self.describe_paged(&mut call, &sendable, limit).await {
            Err(error) if error.code() == Some(ErrorCode::UNSUPPORTED_VERSION) => {
                self.describe_by_metadata(&sendable).await?
            }
            found => found?,
        };
        results.extend(found);
        Ok(results)
    }

    /// Brokers of KRaft clusters page their answers, and know the eligible leader replicas.
    async fn describe_paged(
        &self,
        call: &mut Call,
        names: &[String],
        limit: i32,
    ) -> Result<PerTopic<TopicDescription>, Error> {
        let mut wanted = names.to_vec();
        wanted.sort();
        // The answers name no brokers: which of them live is known from the cluster.
        let live = self.cluster(call).await?.brokers.iter().map(|node| node.id).collect::<HashSet<_>>();
        let mut cursor: Option<(String, i32)> = None;
        let mut found: BTreeMap<String, Result<TopicDescription, Error>> = BTreeMap::new();
        while !wanted.is_empty() {
            let request = |_, _| DescribeTopicPartitionsRequest {
                topics: wanted.iter().map(|name| TopicRequest { name: name.clone() }).collect(),
                response_partition_limit: limit,
                cursor: cursor
                    .clone()
                    .map(|(topic_name, partition_index)| CursorRequest { topic_name, partition_index }),
            };
            let response = self.send(call, To::Any, request).await?;
            let next = response.next_cursor.map(|next| (next.topic_name, next.partition_index));
            if next.is_some() && next == cursor {
                let message = "The broker does not get ahead with the partitions it lists.".to_owned();
                return Err(Error::Api { code: ErrorCode::UNKNOWN_SERVER_ERROR, message });
            }
            for topic in response.topics {
                let name = topic.name.unwrap_or_default();
                let partitions = topic.partitions.iter().map(|partition| paged_partition(partition, &live));
                match (Error::check(topic.error_code, None), found.get_mut(&name)) {
                    (Err(error), _) => drop(found.insert(name, Err(error))),
                    // The rest of a topic that did not fit into the last answer.
                    (Ok(()), Some(Ok(known))) => known.partitions.extend(partitions),
                    (Ok(()), _) => {
                        let description = TopicDescription {
                            name: name.clone(),
                            topic_id: topic.topic_id,
                            is_internal: topic.is_internal,
                            partitions: partitions.collect(),
                        };
                        found.insert(name, Ok(description));
                    }
                }
            }
            cursor = next;
            match &cursor {
                Some((topic, _)) => wanted.retain(|name| name >= topic),
                None => wanted.clear(),
            }
        }
        Ok(in_order(names, found))
    }

    pub(super) async fn describe_by_metadata(&self, names: &[String]) -> Result<PerTopic<TopicDescription>, Error> {
        let mut call = self.call("describeTopics");
        let response = self.metadata(&mut call, Wanted::Names(names)).await?;
        let live = nodes(&response);
        let described = response.topics.into_iter().map(|topic| {
            let name = topic.name.clone().unwrap_or_default();
            (name, described(topic, &live))
        });
        Ok(in_order(names, described.collect()))
    }

    pub(super) async fn describe_topic_by_id(&self, id: Uuid) -> Result<TopicDescription, Error> {
        let mut call = self.call("describeTopicsWithIds");
        let response = self.metadata(&mut call, Wanted::Id(id)).await?;
        let live = nodes(&response);
        let unknown = || Error::Api { code: ErrorCode::UNKNOWN_TOPIC_ID, message: format!("TopicId {id} not found.") };
        let topic = response.topics.into_iter().find(|topic| topic.topic_id == id).ok_or_else(unknown)?;
        if ErrorCode(topic.error_code) == ErrorCode::UNKNOWN_TOPIC_ID {
            return Err(unknown());
        }
        described(topic, &live)
    }

    async fn metadata(&self, call: &mut Call, wanted: Wanted<'_>) -> Result<MetadataResponse, Error> {
        // Ids can be asked for from version 12 on: before, brokers answered them wrongly.
        let first = if matches!(wanted, Wanted::Id(_)) { 12 } else { *MetadataRequest::VERSIONS.start() };
        let request = |version, _| MetadataRequest {
            topics: wanted.topics(version),
            allow_auto_topic_creation: version < 4,
            ..MetadataRequest::default()
        };
        let response = self.send_in(call, To::Any, first..=*MetadataRequest::VERSIONS.end(), request).await?;
        self.remember(&response.brokers, response.controller_id);
        Ok(response)
    }

    pub(super) async fn create_topics(&self, topics: &[NewTopic], validate_only: bool) -> Result<PerTopic<()>, Error> {
        let names = topics.iter().map(|topic| topic.name.clone()).collect::<Vec<_>>();
        let (sendable, mut results) = representable(&names);
        if sendable.is_empty() {
            return Ok(results);
        }
        let with_defaults = topics
            .iter()
            .filter(|t| t.assignments.is_empty() && (t.num_partitions.is_none() || t.replication_factor.is_none()))
            .map(|topic| topic.name.as_str())
            .collect::<Vec<_>>();
        let mut call = self.call("createTopics");
        let first = match (with_defaults.is_empty(), validate_only) {
            (false, _) => 4,
            (true, true) => 1,
            (true, false) => 0,
        };
        let request = |_, timeout_ms| CreateTopicsRequest {
            topics: topics.iter().filter(|topic| sendable.contains(&topic.name)).map(creatable).collect(),
            timeout_ms,
            validate_only,
        };
        loop {
            let response =
                self.send_in(&mut call, To::Controller, first..=*CreateTopicsRequest::VERSIONS.end(), request);
            let response = response.await.map_err(|error| match error.code() {
                // The broker has the API, but only in versions that carry no defaults.
                Some(ErrorCode::UNSUPPORTED_VERSION) if first == 4 && error.to_string().contains("range") => {
                    Error::Api {
                        code: ErrorCode::UNSUPPORTED_VERSION,
                        message: format!(
                            "Creating topics with default partitions/replication factor are only supported in \
                         CreateTopicRequest version 4+. The following topics need values for partitions and replicas: \
                         [{}]",
                            with_defaults.join(", ")
                        ),
                    }
                }
                _ => error,
            })?;
            let answered = response.topics.into_iter().map(|topic| {
                // Version 0 has no text, which reads as an empty one.
                let message = topic.error_message.filter(|message| !message.is_empty());
                (topic.name, Error::check(topic.error_code, message))
            });
            let answered = answered.collect();
            if let Some(error) = not_controller(&answered) {
                self.look_for_controller(&mut call, error).await?;
                continue;
            }
            results.extend(in_order(&sendable, answered));
            return Ok(results);
        }
    }

    pub(super) async fn create_partitions(
        &self,
        topics: &[(String, NewPartitions)],
        validate_only: bool,
    ) -> Result<PerTopic<()>, Error> {
        let names = topics.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let mut call = self.call("createPartitions");
        let replicas = |broker_ids: &Vec<i32>| CreatePartitionsAssignment { broker_ids: broker_ids.clone() };
        let request = |_, timeout_ms| CreatePartitionsRequest {
            topics: topics
                .iter()
                .map(|(name, new)| CreatePartitionsTopic {
                    name: name.clone(),
                    count: new.total_count,
                    assignments: new.assignments.as_ref().map(|rows| rows.iter().map(replicas).collect()),
                })
                .collect(),
            timeout_ms,
            validate_only,
        };
        loop {
            let response = self.send(&mut call, To::Controller, request).await?;
            let answered = response.results.into_iter();
            let answered = answered.map(|topic| (topic.name, Error::check(topic.error_code, topic.error_message)));
            let answered = answered.collect();
            if let Some(error) = not_controller(&answered) {
                self.look_for_controller(&mut call, error).await?;
                continue;
            }
            return Ok(in_order(&names, answered));
        }
    }

    pub(super) async fn delete_topics(&self, names: &[String]) -> Result<PerTopic<()>, Error> {
        let (sendable, mut results) = representable(names);
        if sendable.is_empty() {
            return Ok(results);
        }
        let mut call = self.call("deleteTopics");
        let request = |version, timeout_ms| {
            let state = |name: &String| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO };
            let (topics, topic_names) = match version {
                6.. => (sendable.iter().map(state).collect(), Vec::new()),
                _ => (Vec::new(), sendable.clone()),
            };
            DeleteTopicsRequest { topics, topic_names, timeout_ms }
        };
        loop {
            let response = self.send(&mut call, To::Controller, request).await?;
            let answered = response
                .responses
                .into_iter()
                .map(|topic| (topic.name.unwrap_or_default(), Error::check(topic.error_code, topic.error_message)));
            let answered = answered.collect();
            if let Some(error) = not_controller(&answered) {
                self.look_for_controller(&mut call, error).await?;
                continue;
            }
            results.extend(in_order(&sendable, answered));
            return Ok(results);
        }
    }
}

/// Which topics a metadata request is about.
enum Wanted<'a> {
    All,
    Names(&'a [String]),
    Id(Uuid),
}

impl Wanted<'_> {
    fn topics(&self, version: i16) -> Option<Vec<MetadataRequestTopic>> {
        let topic = |name: &String| MetadataRequestTopic { topic_id: Uuid::ZERO, name: Some(name.clone()) };
        match self {
            Wanted::All if version == 0 => Some(Vec::new()),
            Wanted::All => None,
            // Before version 4 a broker creates the topics that it is asked for; all of them are asked for instead.
            Wanted::Names(_) if version < 4 => Wanted::All.topics(version),
            Wanted::Names(names) => Some(names.iter().map(topic).collect()),
            Wanted::Id(id) => Some(vec![MetadataRequestTopic { topic_id: *id, name: None }]),
        }
    }
}

/// Parts the names that a request can carry from those it cannot.
fn representable<T>(names: &[String]) -> (Vec<String>, PerTopic<T>) {
    let mut sendable = Vec::new();
    let mut seen = HashSet::new();
    let mut refused = Vec::new();
    for name in names {
        if name.is_empty() {
            let message = format!("The given topic name '{name}' cannot be represented in a request.");
            refused.push((name.clone(), Err(Error::Api { code: ErrorCode::INVALID_TOPIC_EXCEPTION, message })));
        } else if seen.insert(name) {
            sendable.push(name.clone());
        }
    }
    (sendable, refused)
}

/// The answers in the order of the question.
fn in_order<T>(names: &[String], answered: BTreeMap<String, Result<T, Error>>) -> PerTopic<T> {
    let mut answered = answered;
    let unanswered = |name: &String| {
        let message = format!("Topic {name} not found.");
        Err(Error::Api { code: ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message })
    };
    names.iter().map(|name| (name.clone(), answered.remove(name).unwrap_or_else(|| unanswered(name)))).collect()
}

fn not_controller(answered: &BTreeMap<String, Result<(), Error>>) -> Option<Error> {
    let refusals = answered.values().filter_map(|result| result.as_ref().err());
    refusals.into_iter().find(|error| error.code() == Some(ErrorCode::NOT_CONTROLLER)).cloned()
}

fn creatable(topic: &NewTopic) -> CreatableTopic {
    let assignment = |(&partition_index, broker_ids): (&i32, &Vec<i32>)| CreatableReplicaAssignment {
        partition_index,
        broker_ids: broker_ids.clone(),
    };
    let config =
        |(name, value): &(String, String)| CreatableTopicConfig { name: name.clone(), value: Some(value.clone()) };
    CreatableTopic {
        name: topic.name.clone(),
        num_partitions: topic.num_partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        assignments: topic.assignments.iter().map(assignment).collect(),
        configs: topic.configs.iter().map(config).collect(),
    }
}

fn nodes(response: &MetadataResponse) -> HashSet<i32> {
    response.brokers.iter().map(|broker| broker.node_id).collect()
}

fn described(topic: MetadataResponseTopic, live: &HashSet<i32>) -> Result<TopicDescription, Error> {
    Error::check(topic.error_code, None)?;
    let partition = |partition: MetadataResponsePartition| PartitionInfo {
        partition: partition.partition_index,
        leader: Some(partition.leader_id).filter(|id| live.contains(id)),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes,
        isr: partition.isr_nodes,
        elr: None,
        last_known_elr: None,
    };
    let mut partitions = topic.partitions.into_iter().map(partition).collect::<Vec<_>>();
    partitions.sort_by_key(|partition| partition.partition);
    let name = topic.name.unwrap_or_default();
    Ok(TopicDescription { name, topic_id: topic.topic_id, is_internal: topic.is_internal, partitions })
}

fn paged_partition(partition: &DescribeTopicPartitionsResponsePartition, live: &HashSet<i32>) -> PartitionInfo {
    PartitionInfo {
        partition: partition.partition_index,
        leader: Some(partition.leader_id).filter(|id| live.contains(id)),
        leader_epoch: partition.leader_epoch,
        replicas: partition.replica_nodes.clone(),
        isr: partition.isr_nodes.clone(),
        elr: Some(partition.eligible_leader_replicas.clone().unwrap_or_default()),
        last_known_elr: Some(partition.last_known_elr.clone().unwrap_or_default()),
    }
}
