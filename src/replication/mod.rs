//! Logs made into partitions: who leads them, what is committed, who waits for it, and what the cluster looks like.

pub mod delayed;
mod metadata;
pub mod partition;

pub use metadata::{
    BrokerEndpoint, ClusterMetadata, INTERNAL_TOPICS, LiveBroker, MetadataCache, NO_LEADER, PartitionMetadata,
    TopicMetadata, is_internal,
};
