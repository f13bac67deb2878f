use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::*;
use crate::network::{Handler, Limits, Listener, Reply, RequestContext};
use crate::wire::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::wire::messages::create_topics::{CreatableTopicResult, CreateTopicsRequest, CreateTopicsResponse};
use crate::wire::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
};
use crate::wire::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};
use crate::wire::messages::describe_topic_partitions::{
    CursorResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use crate::wire::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};
use crate::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use crate::wire::messages::metadata::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use crate::wire::{Bytes, Message, Uuid};

/// A broker that knows one topic, `t`, and does as its switches say.
#[derive(Default)]
struct FakeBroker {
    port: Mutex<i32>,
    /// APIs it serves beside ApiVersions and Metadata, with their newest versions.
    serves: Vec<(ApiKey, i16)>,
    metadata_max: i16,
    /// CreateTopics answers that it is not the controller, so often.
    not_controller: AtomicUsize,
    /// Hangs up instead of answering, so often.
    hang_up: AtomicUsize,
    /// ListOffsets answers that another broker leads, and DescribeGroups that the group is being loaded, so often.
    moving: AtomicUsize,
    /// What it was asked: API and version, but for ApiVersions.
    asked: Mutex<Vec<(ApiKey, i16)>>,
}

impl FakeBroker {
    fn take(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }

    fn answer(&self, context: &RequestContext, body: Bytes) -> Reply {
        let (api, version) = (context.api.unwrap(), context.version());
        if api == ApiKey::ApiVersions {
            let row = |(api, max_version): (ApiKey, i16)| ApiVersion {
                api_key: api as i16,
                max_version,
                ..ApiVersion::default()
            };
            let own = [(ApiKey::ApiVersions, 4), (ApiKey::Metadata, self.metadata_max)];
            let api_keys = own.into_iter().chain(self.serves.clone()).map(row).collect();
            return Reply::now(context, &ApiVersionsResponse { api_keys, ..Default::default() });
        }
        self.asked.lock().unwrap().push((api, version));
        if FakeBroker::take(&self.hang_up) {
            return Reply::Close;
        }
        match api {
            ApiKey::Metadata => Reply::now(context, &self.metadata()),
            ApiKey::CreateTopics => {
                let request = CreateTopicsRequest::decode(body, version).unwrap();
                let refused = FakeBroker::take(&self.not_controller);
                let topics = request.topics.into_iter().map(|topic| CreatableTopicResult {
                    error_code: if refused { ErrorCode::NOT_CONTROLLER.0 } else { 0 },
                    error_message: None,
                    name: topic.name,
                    ..Default::default()
                });
                Reply::now(context, &CreateTopicsResponse { topics: topics.collect(), ..Default::default() })
            }
            ApiKey::DescribeTopicPartitions => {
                let request = DescribeTopicPartitionsRequest::decode(body, version).unwrap();
                Reply::now(context, &page(&request))
            }
            ApiKey::DescribeConfigs => {
                let request = DescribeConfigsRequest::decode(body, version).unwrap();
                let row = |name: &str, is_default| DescribeConfigsResourceResult {
                    name: name.to_owned(),
                    is_default,
                    ..Default::default()
                };
                let results = request.resources.into_iter().map(|resource| DescribeConfigsResult {
                    error_message: None,
                    resource_type: resource.resource_type,
                    resource_name: resource.resource_name,
                    configs: vec![row("a", true), row("b", false)],
                    ..Default::default()
                });
                Reply::now(context, &DescribeConfigsResponse { results: results.collect(), ..Default::default() })
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(body, version).unwrap();
                let moving = FakeBroker::take(&self.moving);
                let row = |row: &ListOffsetsPartition| ListOffsetsPartitionResponse {
                    partition_index: row.partition_index,
                    error_code: if moving { ErrorCode::NOT_LEADER_OR_FOLLOWER.0 } else { 0 },
                    offset: 100 - row.timestamp,
                    ..Default::default()
                };
                let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
                    name: topic.name.clone(),
                    partitions: topic.partitions.iter().map(row).collect(),
                });
                Reply::now(context, &ListOffsetsResponse { topics: topics.collect(), ..Default::default() })
            }
            ApiKey::FindCoordinator => {
                let request = FindCoordinatorRequest::decode(body, version).unwrap();
                let row = |key| Coordinator { key, node_id: 7, ..Default::default() };
                let coordinators = request.coordinator_keys.into_iter().map(row).collect();
                Reply::now(context, &FindCoordinatorResponse { coordinators, node_id: 7, ..Default::default() })
            }
            ApiKey::DescribeGroups => {
                let request = DescribeGroupsRequest::decode(body, version).unwrap();
                let moving = FakeBroker::take(&self.moving);
                let groups = request.groups.into_iter().map(|group_id| DescribedGroup {
                    error_code: if moving { ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.0 } else { 0 },
                    group_state: "Stable".to_owned(),
                    members: vec![DescribedGroupMember {
                        member_assignment: Bytes::from_static(
                            b"\0\x01\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x05\xff\xff\xff\xff",
                        ),
                        ..Default::default()
                    }],
                    group_id,
                    ..Default::default()
                });
                Reply::now(context, &DescribeGroupsResponse { groups: groups.collect(), ..Default::default() })
            }
            _ => Reply::Close,
        }
    }

    fn metadata(&self) -> MetadataResponse {
        let host = "127.0.0.1".to_owned();
        let broker = MetadataResponseBroker { node_id: 7, host, port: *self.port.lock().unwrap(), rack: None };
        let partition = |partition_index, leader_id| MetadataResponsePartition {
            partition_index,
            leader_id,
            replica_nodes: vec![7, 8],
            isr_nodes: vec![7],
            ..Default::default()
        };
        let topic = MetadataResponseTopic {
            name: Some("t".to_owned()),
            topic_id: ID,
            // Led by a broker that is not alive, and out of order.
            partitions: vec![partition(1, 8), partition(0, 7)],
            ..Default::default()
        };
        MetadataResponse { brokers: vec![broker], controller_id: 7, topics: vec![topic], ..Default::default() }
    }
}

/// Two partitions of `a`, then one of `b`; two partitions an answer.
fn page(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let partition = |partition_index| DescribeTopicPartitionsResponsePartition {
        partition_index,
        leader_id: 7,
        eligible_leader_replicas: Some(vec![8]),
        ..Default::default()
    };
    let topic = |name: &str, partitions: &[i32]| DescribeTopicPartitionsResponseTopic {
        name: Some(name.to_owned()),
        partitions: partitions.iter().copied().map(partition).collect(),
        ..Default::default()
    };
    let next = |name: &str, partition_index| Some(CursorResponse { topic_name: name.to_owned(), partition_index });
    let (topics, next_cursor) = match request.cursor.as_ref().map(|c| (c.topic_name.as_str(), c.partition_index)) {
        None => (vec![topic("a", &[0, 1])], next("a", 2)),
        Some(("a", 2)) => (vec![topic("a", &[2]), topic("b", &[0])], None),
        other => panic!("asked to go on at {other:?}"),
    };
    DescribeTopicPartitionsResponse { topics, next_cursor, ..Default::default() }
}

const ID: Uuid = Uuid([9; 16]);

struct Door(Arc<FakeBroker>);

impl Handler for Door {
    fn handle(&self, context: RequestContext, body: Bytes) -> Reply {
        self.0.answer(&context, body)
    }
}

/// Runs `work` with a client of the broker, on whose runtime the broker lives too.
fn with_broker(broker: FakeBroker, work: impl AsyncFnOnce(&Client, &FakeBroker)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = Listener::bind("PLAINTEXT", "127.0.0.1", 0, Limits::default()).await.unwrap();
        let broker = Arc::new(broker);
        *broker.port.lock().unwrap() = listener.local_addr().port().into();
        let address = listener.local_addr().to_string();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(listener.serve(Arc::new(Door(broker.clone())), stopped));
        work(&client(&address, &[]), &broker).await;
        stop.send(true).unwrap();
        serving.await.unwrap();
    });
}

fn client(servers: &str, settings: &[(&str, &str)]) -> Client {
    let mut properties = Properties::new();
    let quick = [("retry.backoff.ms", "1"), ("reconnect.backoff.ms", "1")];
    for (key, value) in quick.iter().chain(settings) {
        properties.set(*key, *value);
    }
    let config = AdminConfig::new(&properties, Some(servers)).unwrap();
    Client {
        connections: Connections::new(config.clone()),
        config,
        cluster: RefCell::default(),
        is_reached: Cell::default(),
        first_contact: None,
    }
}

fn topic(name: &str) -> NewTopic {
    NewTopic { name: name.to_owned(), num_partitions: Some(1), replication_factor: Some(1), ..Default::default() }
}

#[test]
fn a_broker_that_is_no_longer_controller_sends_the_client_looking_for_the_new_one() {
    let serves = vec![(ApiKey::CreateTopics, 5)];
    let broker = FakeBroker { serves, metadata_max: 12, not_controller: 2.into(), ..Default::default() };
    with_broker(broker, async |client, broker| {
        let results = client.create_topics(&[topic("n")], false).await.unwrap();
        assert!(results[0].1.is_ok(), "{results:?}");
        let round = [(ApiKey::Metadata, 12), (ApiKey::CreateTopics, 5)];
        assert_eq!(*broker.asked.lock().unwrap(), round.repeat(3));
    });
}

#[test]
fn a_broken_connection_is_made_again() {
    with_broker(FakeBroker { metadata_max: 9, hang_up: 3.into(), ..Default::default() }, async |client, broker| {
        let topics = client.list_topics().await.unwrap();
        assert_eq!(topics, [TopicListing { name: "t".to_owned(), topic_id: Uuid::ZERO, is_internal: false }]);
        assert_eq!(broker.asked.lock().unwrap().len(), 4);
    });
}

#[test]
fn topics_are_described_from_metadata_where_the_broker_knows_no_better() {
    with_broker(FakeBroker { metadata_max: 12, ..Default::default() }, async |client, _| {
        let names = ["t".to_owned(), "missing".to_owned(), String::new()];
        let results = client.describe_topics(&names, 2000).await.unwrap();
        let of = |name: &str| results.iter().find(|(known, _)| known == name).unwrap().1.clone();
        let found = of("t").unwrap();
        assert_eq!(found.topic_id, ID);
        let shown = found.partitions.iter().map(|p| (p.partition, p.leader, p.elr.clone())).collect::<Vec<_>>();
        assert_eq!(shown, [(0, Some(7), None), (1, None, None)]);
        assert_eq!(of("missing").unwrap_err().to_string(), "Topic missing not found.");
        assert_eq!(of("").unwrap_err().to_string(), "The given topic name '' cannot be represented in a request.");
    });
}

#[test]
fn described_partitions_are_put_together_from_pages() {
    let serves = vec![(ApiKey::DescribeTopicPartitions, 0)];
    with_broker(FakeBroker { serves, metadata_max: 12, ..Default::default() }, async |client, _| {
        let results = client.describe_topics(&["b".to_owned(), "a".to_owned()], 2).await.unwrap();
        let shown = results.iter().map(|(name, topic)| {
            let partitions = &topic.as_ref().unwrap().partitions;
            (name.as_str(), partitions.iter().map(|p| p.partition).collect::<Vec<_>>(), partitions[0].elr.clone())
        });
        assert_eq!(shown.collect::<Vec<_>>(), [("b", vec![0], Some(vec![8])), ("a", vec![0, 1, 2], Some(vec![8]))]);
    });
}

#[test]
fn partitions_are_asked_again_while_their_leaders_move() {
    let serves = vec![(ApiKey::ListOffsets, 9)];
    with_broker(
        FakeBroker { serves, metadata_max: 12, moving: 2.into(), ..Default::default() },
        async |client, broker| {
            let wanted = [(TopicPartition::new("t", 0), OffsetSpec::Earliest)];
            let found = client.list_offsets(&wanted, false).await;
            assert_eq!(found[0].1.as_ref().unwrap().offset, 102);
            let round = [(ApiKey::Metadata, 12), (ApiKey::ListOffsets, 9)];
            assert_eq!(*broker.asked.lock().unwrap(), round.repeat(3));
        },
    );
}

#[test]
fn groups_are_asked_again_while_their_coordinator_loads_them() {
    for (find_coordinator, finds) in [(6, 1), (3, 2)] {
        let serves = vec![(ApiKey::FindCoordinator, find_coordinator), (ApiKey::DescribeGroups, 5)];
        let broker = FakeBroker { serves, metadata_max: 12, moving: 1.into(), ..Default::default() };
        with_broker(broker, async |client, broker| {
            let groups = client.describe_groups(&["g".to_owned(), "h".to_owned()]).await;
            for (name, group) in ["g", "h"].into_iter().zip(&groups) {
                let described = group.1.as_ref().unwrap();
                assert_eq!((group.0.as_str(), described.state.as_str(), described.coordinator), (name, "Stable", 7));
                assert_eq!(described.members[0].assignment, [TopicPartition::new("t", 5)]);
            }
            let asked = broker.asked.lock().unwrap();
            let find_asked = asked.iter().filter(|(api, _)| *api == ApiKey::FindCoordinator).count();
            assert_eq!(find_asked, finds * 2, "{asked:?}");
        });
    }
}

#[test]
fn what_old_brokers_cannot_do_is_said_in_javas_words() {
    let serves = vec![(ApiKey::CreateTopics, 1), (ApiKey::DescribeConfigs, 0)];
    with_broker(FakeBroker { serves, metadata_max: 1, ..Default::default() }, async |client, _| {
        let by_default = NewTopic { num_partitions: None, ..topic("d") };
        let error = client.create_topics(&[by_default], false).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "Creating topics with default partitions/replication factor are only supported in CreateTopicRequest \
             version 4+. The following topics need values for partitions and replicas: [d]"
        );
        assert_eq!(error.class(), "org.apache.kafka.common.errors.UnsupportedVersionException");
        let error = client.describe_topic_by_id(ID).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "The node does not support METADATA with version in range [12,12]. The supported range is [0,1]."
        );
        // Version 0 tells defaults from other values without naming the source.
        let configs = client.describe_configs(&[ConfigResource::topic("t")], false).await.unwrap();
        let entries = configs[0].1.as_ref().unwrap();
        assert_eq!(entries.iter().map(ConfigEntry::is_default).collect::<Vec<_>>(), [true, false]);
        let error = client.list_partition_reassignments(None).await.unwrap_err();
        assert_eq!(error.to_string(), "The node does not support LIST_PARTITION_REASSIGNMENTS");
    });
}

#[test]
fn a_cluster_that_cannot_be_reached_ends_the_call_at_its_deadline() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = [("default.api.timeout.ms", "100"), ("request.timeout.ms", "50")];
    // Bound and dropped: nothing listens there now.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = client(&free.to_string(), &settings);
    let error = runtime.block_on(client.create_topics(&[topic("t")], false)).unwrap_err();
    assert_eq!(error.to_string(), "Timed out waiting for a node assignment. Call: createTopics");
    assert_eq!(error.class(), "org.apache.kafka.common.errors.TimeoutException");
}

#[test]
fn a_broker_that_does_not_answer_is_given_up_with_the_number_of_attempts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Accepts, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = [("default.api.timeout.ms", "100"), ("request.timeout.ms", "60")];
    let client = client(&silent.local_addr().unwrap().to_string(), &settings);
    let error = runtime.block_on(client.list_topics()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("Call(callName=listTopics, deadlineMs="), "{text}");
    assert!(text.ends_with(" attempt(s)"), "{text}");
    assert!(error.stack_trace().contains("\nCaused by: org.apache.kafka.common.errors.DisconnectException: "));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let refused = |settings: &[(&str, &str)], servers: &str| {
        let mut properties = Properties::new();
        settings.iter().for_each(|(key, value)| properties.set(*key, *value));
        AdminConfig::new(&properties, Some(servers)).unwrap_err().stack_trace()
    };
    let start = "org.apache.kafka.common.KafkaException: Failed to create new KafkaAdminClient\n\
                 Caused by: org.apache.kafka.common.config.ConfigException: ";
    let config = "org.apache.kafka.common.config.ConfigException: ";
    for (settings, servers, expected) in [
        (&[][..], "nohost", format!("{start}Invalid url in bootstrap.servers: nohost")),
        (&[], "h:x", format!("{start}Invalid url in bootstrap.servers: h:x")),
        (&[], "h:70000", format!("{start}Invalid port in bootstrap.servers: h:70000")),
        (&[], " , ", format!("{start}No bootstrap urls given in bootstrap.servers")),
        (
            &[("request.timeout.ms", "abc")],
            "127.0.0.1:1",
            format!("{config}Invalid value abc for configuration request.timeout.ms: Not a number of type INT"),
        ),
        (
            &[("request.timeout.ms", "50"), ("default.api.timeout.ms", "10")],
            "127.0.0.1:1",
            format!(
                "{start}The specified value of default.api.timeout.ms must be no smaller than the value of \
                 request.timeout.ms."
            ),
        ),
        (
            &[("security.protocol", "SASL_SSL"), ("sasl.jaas.config", "a.B required;")],
            "127.0.0.1:1",
            format!("{start}sasl.mechanism=GSSAPI (Java's default): Kerberos is not supported here"),
        ),
    ] {
        assert_eq!(refused(settings, servers), expected);
    }
}

#[test]
fn bootstrap_servers_are_read_in_all_their_forms() {
    let config = AdminConfig::new(&Properties::new(), Some("127.0.0.1:1, [::1]:2,SSL://127.0.0.1:3,")).unwrap();
    let shown = config.bootstrap_servers.iter().map(|server| (server.address(), server.display()));
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            ("127.0.0.1:1".to_owned(), "/127.0.0.1:1".to_owned()),
            ("[::1]:2".to_owned(), "/[::1]:2".to_owned()),
            ("127.0.0.1:3".to_owned(), "/127.0.0.1:3".to_owned()),
        ]
    );
}

#[test]
fn pauses_double_up_to_their_maximum() {
    let backoff = Backoff { first: Duration::from_millis(100), max: Duration::from_millis(1000) };
    let pauses = (0..6).map(|failures| backoff.pause(failures, 0.5).as_millis()).collect::<Vec<_>>();
    assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
    assert_eq!(backoff.pause(99, 0.0).as_millis(), 800);
    assert_eq!(backoff.pause(99, 1.0).as_millis(), 1200);
}

#[test]
fn the_newest_version_of_both_ends_is_taken() {
    assert_eq!(negotiate(3, &(0..=12), Some((0, 13))), Ok(12));
    assert_eq!(negotiate(3, &(0..=12), Some((4, 9))), Ok(9));
    assert_eq!(negotiate(75, &(0..=0), None), Err("The node does not support DESCRIBE_TOPIC_PARTITIONS".to_owned()));
    assert_eq!(
        negotiate(19, &(4..=7), Some((0, 3))),
        Err("The node does not support CREATE_TOPICS with version in range [4,7]. The supported range is [0,3]."
            .to_owned())
    );
}
