//! Room `client`: see ARCHITECTURE.md.

pub mod admin;
pub mod consumer;
pub mod diagnosis;
pub mod oauth;
pub mod preflight;
pub mod producer;
pub mod properties;
pub mod topic_filter;
pub mod zk_consumer;
