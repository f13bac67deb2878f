//! Asks the controller for the ISRs that this broker's leaders want.
//!
//! Source: `DefaultAlterPartitionManager`; KIP-497.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Broker, Error};
use crate::network::Peer;
use crate::replication::IsrProposal;
use crate::replication::partition::Event;
use crate::wire::messages::alter_partition::{BrokerState, PartitionDataRequest, TopicDataRequest, TopicDataResponse};
use crate::wire::messages::{AlterPartitionRequest, AlterPartitionResponse};
use crate::wire::{ErrorCode, TopicPartition};

/// The version at inter.broker.protocol.version 3.9.
const VERSION: i16 = 3;
/// Pause before a question that was not answered is put again.
const BACKOFF: Duration = Duration::from_millis(50);

/// Sends what leaders propose, one request at a time, and tells them the answers.
///
/// A proposal that was not answered may have been accepted all the same: until it is known, the leader reckons with
/// both ISRs, and the question is put again.
pub(super) async fn send_proposals(broker: Arc<Broker>, mut proposals: mpsc::UnboundedReceiver<IsrProposal>) {
    let mut peer = None;
    let mut open: BTreeMap<TopicPartition, IsrProposal> = BTreeMap::new();
    loop {
        if open.is_empty() {
            let Some(proposal) = proposals.recv().await else { return };
            open.insert(proposal.replica.partition.clone(), proposal);
        }
        while let Ok(next) = proposals.try_recv() {
            open.insert(next.replica.partition.clone(), next);
        }
        // In a new epoch the leader proposes anew.
        open.retain(|name, proposal| broker.replicas.leads_in(name, proposal.leader_epoch));
        if open.is_empty() {
            continue;
        }
        match ask(&broker, &mut peer, &open).await {
            Ok(answer) if answer.error_code == ErrorCode::NONE.0 => {
                open.retain(|_, proposal| !tell(&broker, proposal, &answer));
            }
            Ok(answer) => {
                tracing::debug!(error = %ErrorCode(answer.error_code), "the controller does not answer for ISRs");
                peer = None;
            }
            Err(error) => {
                tracing::debug!(%error, "the controller could not be asked for ISRs");
                peer = None;
            }
        }
        if !open.is_empty() {
            tokio::time::sleep(BACKOFF).await;
        }
    }
}

async fn ask(
    broker: &Broker,
    peer: &mut Option<(i32, Peer)>,
    open: &BTreeMap<TopicPartition, IsrProposal>,
) -> Result<AlterPartitionResponse, Error> {
    let config = broker.config();
    let cluster = broker.metadata.current();
    let controller_id = cluster.live_controller();
    let timeout = Duration::from_millis(config.controller_socket_timeout_ms.max(1) as u64);
    let asking = async {
        let peer = match peer {
            Some((id, peer)) if *id == controller_id => peer,
            peer => {
                let controller = cluster.brokers.get(&controller_id);
                let endpoint = controller.and_then(|broker| broker.endpoint(&config.inter_broker_listener_name));
                let endpoint = endpoint.ok_or(Error::Interrupted("finding the controller"))?;
                let connected = Peer::connect_within(&endpoint.address(), &broker.id.to_string(), timeout).await?;
                &peer.insert((controller_id, connected)).1
            }
        };
        // Apache's brokers settle the version with the controller, whatever the inter-broker protocol.
        let version = peer.version_of::<AlterPartitionRequest>().await?.min(VERSION);
        Ok(peer.call_within(&request(broker, open), version, timeout).await?)
    };
    // A controller that has died, or is stopped, does not answer: its successor makes itself known.
    let moved = broker.metadata.wait_for(|cluster| cluster.live_controller() != controller_id);
    tokio::select! {
        answer = asking => answer,
        () = moved => Err(Error::Interrupted("asking the controller, which is another one now")),
    }
}

fn request(broker: &Broker, open: &BTreeMap<TopicPartition, IsrProposal>) -> AlterPartitionRequest {
    let mut topics: Vec<TopicDataRequest> = Vec::new();
    for proposal in open.values() {
        let state = |&broker_id: &i32| BrokerState { broker_id, ..Default::default() };
        let partition = PartitionDataRequest {
            partition_index: proposal.replica.partition.partition,
            leader_epoch: proposal.leader_epoch,
            // Each version sends the one that it knows.
            new_isr: proposal.isr.clone(),
            new_isr_with_epochs: proposal.isr.iter().map(state).collect(),
            partition_epoch: proposal.partition_epoch,
            ..Default::default()
        };
        let topic_id = proposal.replica.topic_id;
        match topics.iter_mut().find(|topic| topic.topic_id == topic_id) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(TopicDataRequest {
                topic_name: proposal.replica.partition.topic.to_string(),
                topic_id,
                partitions: vec![partition],
            }),
        }
    }
    AlterPartitionRequest { broker_id: broker.id, broker_epoch: broker.epoch(), topics }
}

/// Tells a leader the answer to its proposal; false: it is not decided, and the question has to be put again.
fn tell(broker: &Broker, proposal: &IsrProposal, answer: &AlterPartitionResponse) -> bool {
    let name = &proposal.replica.partition;
    let is_topic = |topic: &&TopicDataResponse| match topic.topic_id.is_zero() {
        true => *topic.topic_name == *name.topic,
        false => topic.topic_id == proposal.replica.topic_id,
    };
    let mut partitions = answer.topics.iter().filter(is_topic).flat_map(|topic| &topic.partitions);
    let Some(partition) = partitions.find(|partition| partition.partition_index == name.partition) else {
        return false;
    };
    let leader_epoch = proposal.leader_epoch;
    let event = match ErrorCode(partition.error_code) {
        ErrorCode::NONE => Event::IsrAccepted {
            leader_epoch: partition.leader_epoch,
            isr: partition.isr.clone(),
            partition_epoch: partition.partition_epoch,
        },
        ErrorCode::INELIGIBLE_REPLICA | ErrorCode::OPERATION_NOT_ATTEMPTED => {
            Event::IsrRefused { leader_epoch, give_up: false }
        }
        // What the controller knows better comes with its next LeaderAndIsr.
        ErrorCode::FENCED_LEADER_EPOCH
        | ErrorCode::INVALID_REQUEST
        | ErrorCode::INVALID_UPDATE_VERSION
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::UNKNOWN_TOPIC_ID
        | ErrorCode::NEW_LEADER_ELECTED => Event::IsrRefused { leader_epoch, give_up: true },
        _ => return false,
    };
    broker.replicas.isr_answered(name, event);
    true
}
