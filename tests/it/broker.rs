//! A broker in this process, on free ports and in a directory that goes when it goes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ottla::broker::Broker;
use ottla::config::{BrokerConfig, Properties};
use ottla::network::Peer;
use ottla::registry::Session;
use ottla::registry::session::CreateMode;
use ottla::registry::znodes::{self, ConfigEntity, EntityConfig, ReplicaAssignment, TopicAssignment};
use ottla::wire::batch::BatchBuilder;
use ottla::wire::messages::*;
use ottla::wire::messages::{fetch, list_offsets, metadata, produce};
use ottla::wire::{Bytes, ErrorCode, Uuid};

pub struct TestBroker {
    pub broker: Arc<Broker>,
    pub dir: Arc<tempfile::TempDir>,
    overrides: Vec<(String, String)>,
}

impl TestBroker {
    pub async fn start() -> TestBroker {
        TestBroker::start_with(&[]).await
    }

    /// With these keys on top.
    pub async fn start_with(overrides: &[(&str, &str)]) -> TestBroker {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let overrides = overrides.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        TestBroker::open(dir, overrides).await
    }

    /// On a directory that is there.
    pub async fn open(dir: Arc<tempfile::TempDir>, overrides: Vec<(String, String)>) -> TestBroker {
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut settings = vec![
            ("broker.id".to_owned(), "0".to_owned()),
            ("listeners".to_owned(), "PLAINTEXT://127.0.0.1:0".to_owned()),
            ("registry.listener".to_owned(), "127.0.0.1:0".to_owned()),
            ("registry.data.dir".to_owned(), path("registry")),
            ("log.dirs".to_owned(), path("logs")),
        ];
        settings.extend(overrides.clone());
        let config = BrokerConfig::from_properties(Properties::new(), &settings).unwrap();
        let broker = tokio::time::timeout(Duration::from_secs(20), Broker::start(config)).await;
        TestBroker { broker: broker.expect("the broker is ready in time").unwrap(), dir, overrides }
    }

    /// Stops it in order and keeps what it leaves behind.
    pub async fn stop(self) -> (Arc<tempfile::TempDir>, Vec<(String, String)>) {
        self.broker.shutdown().await;
        (self.dir, self.overrides)
    }

    /// Stops it in order and starts another on the same directory.
    pub async fn restart(self) -> TestBroker {
        self.broker.shutdown().await;
        let TestBroker { broker, dir, overrides } = self;
        drop(broker);
        TestBroker::open(dir, overrides).await
    }

    pub fn address(&self) -> String {
        self.broker.addresses()[0].1.to_string()
    }

    pub async fn connect(&self) -> Peer {
        Peer::connect(&self.address(), "test").await.unwrap()
    }

    pub async fn session(&self) -> Session {
        let address = self.broker.registry_address().unwrap().to_string();
        Session::connect(&address, Duration::from_secs(10), Duration::from_secs(10)).await.unwrap()
    }

    /// Creates a topic as any tool may: by its znodes. Returns when the broker leads all partitions.
    pub async fn create_topic(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) -> Uuid {
        let session = self.session().await;
        let values: BTreeMap<String, String> = config.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let entity = ConfigEntity::Topic(topic.to_owned());
        let persistent = CreateMode::Persistent;
        let data = EntityConfig { config: values }.encode();
        session.create(&EntityConfig::path(&entity), Some(&data), persistent).await.unwrap();
        let mut id = [7; 16];
        id[..topic.len().min(16)].copy_from_slice(&topic.as_bytes()[..topic.len().min(16)]);
        let replicas = || ReplicaAssignment { replicas: vec![self.broker.id()], ..Default::default() };
        let assignment = TopicAssignment {
            topic_id: Some(znodes::Uuid(id)),
            partitions: (0..partitions).map(|index| (index, replicas())).collect(),
        };
        session.create(&TopicAssignment::path(topic), Some(&assignment.encode()), persistent).await.unwrap();
        let peer = self.connect().await;
        for _ in 0..500 {
            let found = topic_metadata(&peer, topic).await;
            let led = found.partitions.iter().filter(|partition| partition.error_code == 0).count();
            if led == partitions as usize {
                return Uuid(id);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{topic} has no leaders");
    }
}

pub async fn topic_metadata(peer: &Peer, topic: &str) -> metadata::MetadataResponseTopic {
    let asked = metadata::MetadataRequestTopic { name: Some(topic.to_owned()), ..Default::default() };
    let request = MetadataRequest { topics: Some(vec![asked]), allow_auto_topic_creation: false, ..Default::default() };
    let mut response = peer.call(&request, 12).await.unwrap();
    response.topics.remove(0)
}

/// A batch of these values, without keys.
pub fn batch(values: &[&str]) -> Vec<u8> {
    let mut batch = BatchBuilder::new();
    for (index, value) in values.iter().enumerate() {
        batch.append(1_000 + index as i64, None, Some(value.as_bytes()), &[]);
    }
    batch.finish()
}

pub fn produce_request(topic: &str, partition: i32, acks: i16, records: Vec<u8>) -> ProduceRequest {
    let data = produce::PartitionProduceData { index: partition, records: Some(records.into()) };
    let topic = produce::TopicProduceData { name: topic.to_owned(), partition_data: vec![data] };
    ProduceRequest { transactional_id: None, acks, timeout_ms: 5_000, topic_data: vec![topic] }
}

/// Produces with acks=all in this version and returns what the partition's answer is.
pub async fn produce_in(peer: &Peer, version: i16, topic: &str, records: Vec<u8>) -> produce::PartitionProduceResponse {
    let mut response = peer.call(&produce_request(topic, 0, -1, records), version).await.unwrap();
    response.responses.remove(0).partition_responses.remove(0)
}

/// Produces values in one batch and returns the offset of the first.
pub async fn produce(peer: &Peer, topic: &str, values: &[&str]) -> i64 {
    let answer = produce_in(peer, 9, topic, batch(values)).await;
    assert_eq!(ErrorCode(answer.error_code), ErrorCode::NONE);
    answer.base_offset
}

pub fn fetch_request(topic: &str, offset: i64) -> FetchRequest {
    let partition = fetch::FetchPartition { fetch_offset: offset, partition_max_bytes: 1 << 20, ..Default::default() };
    let topic = fetch::FetchTopic { topic: topic.to_owned(), partitions: vec![partition], ..Default::default() };
    FetchRequest { max_wait_ms: 0, min_bytes: 1, topics: vec![topic], ..Default::default() }
}

/// Fetches one partition by name in version 12 and returns its answer.
pub async fn fetch(peer: &Peer, topic: &str, offset: i64) -> fetch::PartitionData {
    let mut response = peer.call(&fetch_request(topic, offset), 12).await.unwrap();
    response.responses.remove(0).partitions.remove(0)
}

/// The values in record batches, with their offsets.
pub fn values(records: &Option<Bytes>) -> Vec<(i64, String)> {
    let mut rest: &[u8] = records.as_deref().unwrap_or_default();
    let mut values = Vec::new();
    while !rest.is_empty() {
        let (batch, after) = ottla::wire::batch::Batch::split_first(rest).unwrap();
        let data = batch.record_data(1 << 20).unwrap();
        for record in batch.records(&data) {
            let record = record.unwrap();
            values.push((record.offset, String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
        }
        rest = after;
    }
    values
}

pub async fn list_offset(peer: &Peer, topic: &str, timestamp: i64) -> list_offsets::ListOffsetsPartitionResponse {
    let partition = list_offsets::ListOffsetsPartition { timestamp, ..Default::default() };
    let topic = list_offsets::ListOffsetsTopic { name: topic.to_owned(), partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let mut response = peer.call(&request, 7).await.unwrap();
    response.topics.remove(0).partitions.remove(0)
}
