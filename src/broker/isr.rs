//! Asks the controller for the ISRs that this broker's leaders want.
//!
//! Source: `DefaultAlterPartitionManager`; KIP-497.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Broker, Error};
use crate::network::Peer;
use crate::replication::IsrProposal;
use crate::replication::partition::Event;
use crate::wire::ErrorCode;
use crate::wire::messages::alter_partition::{BrokerState, PartitionDataRequest, TopicDataRequest};
use crate::wire::messages::{AlterPartitionRequest, AlterPartitionResponse};

/// The version at inter.broker.protocol.version 3.9.
const VERSION: i16 = 3;
/// Pause before an unanswered proposal may be made again.
const BACKOFF: Duration = Duration::from_millis(50);

/// Sends what leaders propose, one request at a time, and tells them the answers.
pub(super) async fn send_proposals(broker: Arc<Broker>, mut proposals: mpsc::UnboundedReceiver<IsrProposal>) {
    let mut peer = None;
    while let Some(first) = proposals.recv().await {
        let mut batch = vec![first];
        while let Ok(next) = proposals.try_recv() {
            batch.push(next);
        }
        match ask(&broker, &mut peer, &batch).await {
            Ok(answer) => batch.iter().for_each(|proposal| tell(&broker, proposal, &answer)),
            Err(error) => {
                tracing::debug!(%error, "the controller could not be asked for ISRs");
                peer = None;
                tokio::time::sleep(BACKOFF).await;
                batch.iter().for_each(|proposal| refuse(&broker, proposal, false));
            }
        }
    }
}

async fn ask(
    broker: &Broker,
    peer: &mut Option<(i32, Peer)>,
    batch: &[IsrProposal],
) -> Result<AlterPartitionResponse, Error> {
    let config = broker.config();
    let cluster = broker.metadata.current();
    let controller_id = cluster.live_controller();
    let timeout = Duration::from_millis(config.controller_socket_timeout_ms.max(1) as u64);
    let peer = match peer {
        Some((id, peer)) if *id == controller_id => peer,
        peer => {
            let controller = cluster.brokers.get(&controller_id);
            let endpoint = controller.and_then(|broker| broker.endpoint(&config.inter_broker_listener_name));
            let endpoint = endpoint.ok_or(Error::Interrupted("finding the controller"))?;
            let address = endpoint.address();
            let connected = Peer::connect_within(&address, &broker.id.to_string(), timeout).await?;
            &peer.insert((controller_id, connected)).1
        }
    };
    Ok(peer.call_within(&request(broker, batch), VERSION, timeout).await?)
}

fn request(broker: &Broker, batch: &[IsrProposal]) -> AlterPartitionRequest {
    let mut topics: Vec<TopicDataRequest> = Vec::new();
    for proposal in batch {
        let state = |&broker_id: &i32| BrokerState { broker_id, ..Default::default() };
        let partition = PartitionDataRequest {
            partition_index: proposal.replica.partition.partition,
            leader_epoch: proposal.leader_epoch,
            new_isr_with_epochs: proposal.isr.iter().map(state).collect(),
            partition_epoch: proposal.partition_epoch,
            ..Default::default()
        };
        let topic_id = proposal.replica.topic_id;
        match topics.iter_mut().find(|topic| topic.topic_id == topic_id) {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(TopicDataRequest { topic_id, partitions: vec![partition], ..Default::default() }),
        }
    }
    AlterPartitionRequest { broker_id: broker.id, broker_epoch: broker.epoch(), topics }
}

fn tell(broker: &Broker, proposal: &IsrProposal, answer: &AlterPartitionResponse) {
    let name = &proposal.replica.partition;
    let topics = answer.topics.iter().filter(|topic| topic.topic_id == proposal.replica.topic_id);
    let found = topics.flat_map(|topic| &topic.partitions).find(|p| p.partition_index == name.partition);
    match found {
        Some(partition) if partition.error_code == ErrorCode::NONE.0 => {
            let event = Event::IsrAccepted {
                leader_epoch: partition.leader_epoch,
                isr: partition.isr.clone(),
                partition_epoch: partition.partition_epoch,
            };
            broker.replicas.isr_answered(name, event);
        }
        // What the controller knows better comes with its next LeaderAndIsr.
        Some(partition) => {
            let code = ErrorCode(partition.error_code);
            let give_up = matches!(
                code,
                ErrorCode::FENCED_LEADER_EPOCH
                    | ErrorCode::INVALID_REQUEST
                    | ErrorCode::INVALID_UPDATE_VERSION
                    | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
                    | ErrorCode::UNKNOWN_TOPIC_ID
                    | ErrorCode::NEW_LEADER_ELECTED
            );
            refuse(broker, proposal, give_up);
        }
        None => refuse(broker, proposal, false),
    }
}

fn refuse(broker: &Broker, proposal: &IsrProposal, give_up: bool) {
    let event = Event::IsrRefused { leader_epoch: proposal.leader_epoch, give_up };
    broker.replicas.isr_answered(&proposal.replica.partition, event);
}
