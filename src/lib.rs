//! Ottla: the Apache Kafka command line as native programs, with a Kafka broker in the box.
//!
//! The rooms, from the ground up. `config` knows every key. `wire` gives bytes their meaning. `network` moves
//! frames, `log` keeps Kafka's files, `registry` keeps znodes. `replication` makes logs into partitions with
//! leaders; `controller` decides who leads; `group` and `transaction` coordinate clients. `broker` composes them.
//! `client` talks to any cluster, and `cli` holds the commands. ARCHITECTURE.md draws the arrows between them.

pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod controller;
pub mod group;
pub mod log;
pub mod network;
pub mod registry;
pub mod replication;
pub mod transaction;
pub mod wire;
