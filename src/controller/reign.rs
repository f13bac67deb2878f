//! From election to resignation: reads the registry, then turns watches, commands and answers into events and the
//! state's actions into deeds, one event after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::channels::Channels;
use super::state::{
    Action, Answer, Conflict, ControllerState, ElectionType, Event, LiveBroker, PartitionResults, StateWrite, Token,
    Trigger, Written,
};
use super::{Candidate, Command, Mandate};
use crate::config::{BrokerConfig, TopicConfig};
use crate::registry::session::{CreateMode, EventKind, MultiError, Op, OpResult, Stat, Watch, WatchEvent};
use crate::registry::znodes::{
    BROKER_IDS, BrokerRegistration, ConfigEntity, ControllerEpoch, ControllerNode, DELETE_TOPICS, DeleteTopics,
    EntityConfig, FeatureNode, FeatureStatus, ISR_CHANGE_NOTIFICATION, IsrChangeNotification,
    LOG_DIR_EVENT_NOTIFICATION, LogDirEvent, PartitionState, PreferredReplicaElection, ProducerIdBlock,
    ReassignPartitions, ReplicaAssignment, TOPICS, TopicAssignment, Uuid,
};
use crate::registry::{Error, Session};
use crate::wire::messages::allocate_producer_ids::{AllocateProducerIdsRequest, AllocateProducerIdsResponse};
use crate::wire::messages::alter_partition::AlterPartitionResponse;
use crate::wire::messages::controlled_shutdown::ControlledShutdownResponse;
use crate::wire::{ErrorCode, TopicPartition};

/// Producer ids in a block, as in Kafka.
const PRODUCER_ID_BLOCK: i32 = 1000;
/// Partitions created, or deleted, in one multi: some 300 bytes each, and ZooKeeper refuses requests over 1 MiB
/// (`jute.maxbuffer`).
const PARTITIONS_PER_MULTI: usize = 1000;
/// Requests to the registry that are under way at once.
const IN_FLIGHT: usize = 500;

/// When preferred leaders are looked after for the first time. Source: `KafkaController.onControllerFailover`.
const FIRST_REBALANCE: Duration = Duration::from_secs(5);

/// Why a reign ended.
enum End {
    /// Somebody else is the controller, or `/controller` was deleted.
    Resigned,
    Registry(Error),
}

impl From<Error> for End {
    fn from(error: Error) -> End {
        End::Registry(error)
    }
}

/// Whom to answer.
enum Asker {
    AlterPartition(oneshot::Sender<AlterPartitionResponse>),
    ControlledShutdown(oneshot::Sender<ControlledShutdownResponse>),
    Deletion(oneshot::Sender<()>),
    Reassignments(oneshot::Sender<PartitionResults<()>>),
    Elections(oneshot::Sender<PartitionResults<i32>>),
}

struct Reign<'a> {
    candidate: &'a mut Candidate,
    session: Session,
    mandate: Mandate,
    state: ControllerState,
    channels: Channels,
    answers: mpsc::UnboundedReceiver<Event>,
    watches: JoinSet<WatchEvent>,
    watched_brokers: BTreeSet<i32>,
    askers: HashMap<Token, Asker>,
    next_token: Token,
    /// The brokers' `unclean.leader.election.enable` as last seen.
    unclean_by_default: bool,
}

impl Candidate {
    /// Controls the cluster. `Ok` when it is another's turn.
    pub(super) async fn reign(&mut self, mandate: Mandate) -> Result<(), Error> {
        let config = self.config.borrow().clone();
        let (sender, answers) = mpsc::unbounded_channel();
        let timeout = Duration::from_millis(config.controller_socket_timeout_ms.max(1) as u64);
        let state = ControllerState::new(
            self.broker_id,
            mandate.epoch,
            &config.inter_broker_listener_name,
            config.delete_topic_enable,
        );
        let mut reign = Reign {
            session: self.session.clone(),
            mandate,
            state,
            channels: Channels::new(self.broker_id, timeout, sender),
            answers,
            watches: JoinSet::new(),
            watched_brokers: BTreeSet::new(),
            askers: HashMap::new(),
            next_token: 0,
            unclean_by_default: config.unclean_leader_election_enable,
            candidate: self,
        };
        let ended = match reign.start().await {
            Ok(()) => reign.run().await,
            Err(end) => end,
        };
        match ended {
            End::Resigned => Ok(()),
            End::Registry(error) => Err(error),
        }
    }
}

impl Reign<'_> {
    /// Reads everything, watches first.
    async fn start(&mut self) -> Result<(), End> {
        let session = self.session.clone();
        let (controller, brokers, topics, deletions, log_dir_events, isr_changes) = tokio::try_join!(
            session.exists_and_watch(ControllerNode::PATH),
            session.children_and_watch(BROKER_IDS),
            session.children_and_watch(TOPICS),
            session.children_and_watch(DELETE_TOPICS),
            session.children_and_watch(LOG_DIR_EVENT_NOTIFICATION),
            session.children_and_watch(ISR_CHANGE_NOTIFICATION),
        )?;
        let (reassignments, preferred_election) = tokio::try_join!(
            session.exists_and_watch(ReassignPartitions::PATH),
            session.exists_and_watch(PreferredReplicaElection::PATH),
        )?;
        self.verified(controller)?;
        let brokers = self.read_listed_brokers(brokers).await?;
        let names = self.watched(topics);
        let topics = self.read_topics(names.into_iter().map(Arc::from).collect()).await?;
        let deletions = self.watched(deletions).into_iter().map(Arc::from).collect();
        // What brokers noted is in the states that are read next, and in what they will answer.
        self.take_notes(LOG_DIR_EVENT_NOTIFICATION, log_dir_events).await?;
        self.take_notes(ISR_CHANGE_NOTIFICATION, isr_changes).await?;
        let partitions = topics.iter().flat_map(|(topic, assignment)| {
            assignment.partitions.keys().map(|partition| TopicPartition::new(topic.clone(), *partition))
        });
        let states = self.read_states(partitions.collect()).await?;
        let states = states.into_iter().filter_map(|(name, read)| read.map(|(state, version)| (name, state, version)));
        self.apply(Event::Started { brokers, topics, states: states.collect(), deletions }).await?;
        self.take_reassignments(reassignments).await?;
        self.take_preferred_election(preferred_election).await?;
        self.ensure_feature().await
    }

    async fn run(&mut self) -> End {
        let session = self.session.clone();
        let mut config = self.candidate.config.clone();
        let mut rebalance_at = Instant::now() + FIRST_REBALANCE;
        loop {
            let result = tokio::select! {
                Some(event) = self.watches.join_next() => match event {
                    Ok(event) => self.watch_fired(event).await,
                    // A task that only awaits a watch cannot fail.
                    Err(_) => Ok(()),
                },
                Some(event) = self.answers.recv() => self.apply(event).await,
                command = self.candidate.commands.recv() => match command {
                    Some(command) => self.command(command).await,
                    None => return End::Registry(Error::Closed),
                },
                () = session.lost() => return End::Registry(Error::SessionExpired),
                () = sleep_until(rebalance_at) => {
                    let config = self.candidate.config.borrow().clone();
                    let seconds = config.leader_imbalance_check_interval_seconds;
                    rebalance_at = Instant::now() + Duration::from_secs(seconds.clamp(1, i64::from(i32::MAX)) as u64);
                    self.rebalance(&config).await
                }
                Ok(()) = config.changed() => {
                    let now = config.borrow_and_update().clone();
                    self.config_changed(&now).await
                }
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    async fn rebalance(&mut self, config: &BrokerConfig) -> Result<(), End> {
        if !config.auto_leader_rebalance_enable {
            return Ok(());
        }
        let tolerated_percentage = config.leader_imbalance_per_broker_percentage;
        self.apply(Event::RebalanceDue { tolerated_percentage }).await
    }

    /// Others learn of a topic's config when it changes; what all topics inherit may bring back what is offline.
    async fn config_changed(&mut self, config: &BrokerConfig) -> Result<(), End> {
        let unclean = config.unclean_leader_election_enable;
        match std::mem::replace(&mut self.unclean_by_default, unclean) == unclean {
            true => Ok(()),
            false => self.apply(Event::UncleanElectionDefaultChanged).await,
        }
    }

    async fn command(&mut self, command: Command) -> Result<(), End> {
        self.next_token += 1;
        let token = self.next_token;
        let event = match command {
            Command::AlterPartition(request, version, reply) => {
                self.askers.insert(token, Asker::AlterPartition(reply));
                Event::AlterPartition { request, version, token }
            }
            Command::ControlledShutdown(request, reply) => {
                self.askers.insert(token, Asker::ControlledShutdown(reply));
                Event::ControlledShutdown { request, token }
            }
            Command::AwaitDeletion(topics, reply) => {
                self.askers.insert(token, Asker::Deletion(reply));
                Event::AwaitDeletion { topics, token }
            }
            Command::AlterReassignments(partitions, reply) => {
                self.askers.insert(token, Asker::Reassignments(reply));
                Event::AlterReassignments { partitions, token }
            }
            Command::ListReassignments(request, reply) => {
                let _ = reply.send(self.state.list_reassignments(&request));
                return Ok(());
            }
            Command::ElectLeaders { partitions, election, reply } => {
                self.askers.insert(token, Asker::Elections(reply));
                Event::ElectLeaders { partitions, election, trigger: Trigger::Request(token) }
            }
            Command::UncleanElection { topic, allowed } => Event::UncleanElection { topic, allowed },
            Command::AllocateProducerIds(request, reply) => {
                let _ = reply.send(self.allocate_producer_ids(&request).await?);
                return Ok(());
            }
        };
        self.apply(event).await
    }

    async fn watch_fired(&mut self, event: WatchEvent) -> Result<(), End> {
        if event.kind == EventKind::SessionLost {
            return Err(Error::SessionExpired.into());
        }
        match event.path.as_str() {
            ControllerNode::PATH => self.verify().await,
            BROKER_IDS => {
                let brokers = self.read_brokers().await?;
                self.apply(Event::BrokersChanged(brokers)).await
            }
            TOPICS => {
                let listed = self.session.children_and_watch(TOPICS).await?;
                let names = self.watched(listed);
                let names: BTreeSet<Arc<str>> = names.into_iter().map(Arc::from).collect();
                let new = names.iter().filter(|name| self.state.topic_id(name).is_none()).cloned().collect();
                let new = self.read_topics(new).await?;
                self.apply(Event::TopicsChanged { names, new }).await
            }
            DELETE_TOPICS => {
                let deletions = self.read_deletions().await?;
                self.apply(Event::DeleteTopics(deletions)).await
            }
            LOG_DIR_EVENT_NOTIFICATION => {
                for event in self.read_log_dir_events().await? {
                    self.apply(Event::LogDirFailed { broker: event.broker_id }).await?;
                }
                Ok(())
            }
            ISR_CHANGE_NOTIFICATION => {
                let partitions = self.read_isr_changes().await?;
                self.apply(Event::IsrChangesNoted(partitions)).await
            }
            ReassignPartitions::PATH => {
                let found = self.session.exists_and_watch(ReassignPartitions::PATH).await?;
                self.take_reassignments(found).await
            }
            PreferredReplicaElection::PATH => {
                let found = self.session.exists_and_watch(PreferredReplicaElection::PATH).await?;
                self.take_preferred_election(found).await
            }
            path => match path.rsplit_once('/') {
                Some((BROKER_IDS, id)) => {
                    self.watched_brokers.retain(|watched| watched.to_string() != id);
                    let brokers = self.read_brokers().await?;
                    self.apply(Event::BrokersChanged(brokers)).await
                }
                Some((TOPICS, topic)) => self.topic_fired(topic.into()).await,
                _ => Ok(()),
            },
        }
    }

    async fn topic_fired(&mut self, topic: Arc<str>) -> Result<(), End> {
        let Some(id) = self.state.topic_id(&topic) else { return Ok(()) };
        match self.read_topics(vec![topic.clone()]).await?.pop() {
            Some((topic, assignment)) => self.apply(Event::TopicDataChanged { topic, assignment }).await,
            None => self.apply(Event::TopicErased { topic, id }).await,
        }
    }

    async fn take_reassignments(&mut self, found: (Option<Stat>, Watch)) -> Result<(), End> {
        let rows = self.read_reassignments(found).await?;
        self.apply(Event::ReassignmentsRead(rows)).await
    }

    async fn take_preferred_election(&mut self, found: (Option<Stat>, Watch)) -> Result<(), End> {
        match self.read_preferred_election(found).await? {
            None => Ok(()),
            Some(partitions) => {
                let (election, trigger) = (ElectionType::Preferred, Trigger::Znode);
                self.apply(Event::ElectLeaders { partitions, election, trigger }).await
            }
        }
    }

    /// Resigns unless `/controller` is still ours.
    async fn verify(&mut self) -> Result<(), End> {
        let found = self.session.exists_and_watch(ControllerNode::PATH).await?;
        self.verified(found)
    }

    fn verified(&mut self, (stat, watch): (Option<Stat>, Watch)) -> Result<(), End> {
        self.watches.spawn(watch);
        match stat {
            Some(stat) if Some(stat.ephemeral_owner) == self.session.session_id() => Ok(()),
            _ => Err(End::Resigned),
        }
    }

    /// Hands an event to the state and does what comes of it, and what comes of that.
    async fn apply(&mut self, event: Event) -> Result<(), End> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.state.handle(event) {
                if let Some(event) = self.act(action).await? {
                    events.push_back(event);
                }
            }
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<Option<Event>, End> {
        match action {
            Action::Connect { broker, epoch, address: Some(address) } => self.channels.connect(broker, epoch, address),
            Action::Connect { broker, address: None, .. } => {
                tracing::error!(broker, "broker has no inter-broker listener and cannot be controlled");
            }
            Action::Disconnect { broker } => self.channels.disconnect(broker),
            Action::Send { broker, request } => self.channels.send(broker, request),
            Action::Write(writes) => return self.write(writes).await.map(Some),
            Action::ReadStates(partitions) => {
                return Ok(Some(Event::StatesRead(self.read_states(partitions).await?)));
            }
            Action::ReadTopicConfig(topic) => {
                let allowed = self.read_unclean(&topic).await?;
                return Ok(Some(Event::UncleanElection { topic, allowed }));
            }
            Action::EraseTopic { topic, id, partitions } => {
                self.erase(&topic, &partitions).await?;
                tracing::info!(topic = &*topic, "topic deleted");
                return Ok(Some(Event::TopicErased { topic, id }));
            }
            Action::ForgetDeletions(topics) => {
                for topic in topics {
                    self.delete(DeleteTopics::path(&topic)).await?;
                }
            }
            Action::WriteAssignment { topic, id, partitions } => {
                let result = self.write_assignment(&topic, id, &partitions).await?;
                return Ok(Some(Event::AssignmentWritten { topic, id, result }));
            }
            Action::ForgetReassignments(rows) => self.forget_reassignments(&rows).await?,
            Action::ForgetPreferredElection => self.delete(PreferredReplicaElection::PATH.to_owned()).await?,
            Action::Answer { token, answer } => self.answer(token, answer),
        }
        Ok(None)
    }

    fn answer(&mut self, token: Token, answer: Answer) {
        // Whoever does not wait any more is not answered.
        match (self.askers.remove(&token), answer) {
            (Some(Asker::AlterPartition(reply)), Answer::AlterPartition(response)) => drop(reply.send(response)),
            (Some(Asker::ControlledShutdown(reply)), Answer::ControlledShutdown(response)) => {
                drop(reply.send(response));
            }
            (Some(Asker::Deletion(reply)), Answer::Deletion) => drop(reply.send(())),
            (Some(Asker::Reassignments(reply)), Answer::Reassignments(results)) => drop(reply.send(results)),
            (Some(Asker::Elections(reply)), Answer::Elections(results)) => drop(reply.send(results)),
            _ => {}
        }
    }
}

/// Runs `work` for every item, many at once, and returns the results in order.
async fn pipelined<T, R, F>(items: Vec<T>, work: impl Fn(T) -> F) -> Vec<R>
where
    F: Future<Output = R> + Send + 'static,
    R: Send + 'static,
{
    let mut results = Vec::with_capacity(items.len());
    let mut items = items.into_iter();
    loop {
        let batch: Vec<_> = items.by_ref().take(IN_FLIGHT).map(|item| tokio::spawn(work(item))).collect();
        if batch.is_empty() {
            return results;
        }
        for task in batch {
            match task.await {
                Ok(result) => results.push(result),
                Err(failed) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
                // The runtime is going down, and we with it.
                Err(_) => std::future::pending().await,
            }
        }
    }
}

mod reads;
mod writes;
