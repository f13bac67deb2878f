//! What Kafka keeps in the registry: one type per path, with `path`, `encode` and `decode`.
//!
//! Field names and their order are Apache's (3.9); decoding takes any order, ignores fields it does not know, and
//! accepts the older versions that Kafka still reads. Source: `kafka.zk.ZkData`.

mod brokers;
mod configs;
mod consumers;
mod json;
mod topics;
mod uuid;

#[cfg(test)]
mod tests;

pub use brokers::{
    BrokerEndpoint, BrokerRegistration, ClusterId, ControllerEpoch, ControllerNode, FeatureNode, FeatureRange,
    FeatureStatus, LogDirEvent, ProducerIdBlock,
};
pub use configs::{ConfigChange, ConfigEntity, EntityConfig, sanitize};
pub use consumers::{ConsumerOffset, ConsumerOwner, ConsumerRegistration};
pub use topics::{
    DeleteTopics, IsrChangeNotification, PartitionReassignment, PartitionState, PreferredReplicaElection,
    ReassignPartitions, ReplicaAssignment, TopicAssignment, TopicPartition,
};
pub use uuid::Uuid;

/// The znodes a broker makes at its start, parents before children; null data, `NodeExists` is fine.
/// Source: `ZkData.PersistentZkPaths`.
pub const PERSISTENT_PATHS: &[&str] = &[
    "/consumers",
    "/brokers",
    BROKER_IDS,
    TOPICS,
    "/config",
    CONFIG_CHANGES,
    "/admin",
    DELETE_TOPICS,
    "/brokers/seqid",
    ISR_CHANGE_NOTIFICATION,
    "/latest_producer_id_block",
    LOG_DIR_EVENT_NOTIFICATION,
    "/config/topics",
    "/config/clients",
    "/config/users",
    "/config/brokers",
    "/config/ips",
];

/// Parent of the broker registrations; its children are broker ids.
pub const BROKER_IDS: &str = "/brokers/ids";
/// Parent of the topics.
pub const TOPICS: &str = "/brokers/topics";
/// Parent of the [`ConfigChange`] notifications.
pub const CONFIG_CHANGES: &str = "/config/changes";
/// Parent of the topics to be deleted.
pub const DELETE_TOPICS: &str = "/admin/delete_topics";
/// Parent of the [`IsrChangeNotification`]s.
pub const ISR_CHANGE_NOTIFICATION: &str = "/isr_change_notification";
/// Parent of the [`LogDirEvent`]s.
pub const LOG_DIR_EVENT_NOTIFICATION: &str = "/log_dir_event_notification";
