//! From election to resignation: reads the registry, then turns watches, commands and answers into events and the
//! state's actions into deeds, one event after the other.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::channels::Channels;
use super::state::{Action, Answer, Conflict, ControllerState, Event, LiveBroker, StateWrite, Token, Written};
use super::{Candidate, Command, Mandate};
use crate::config::TopicConfig;
use crate::registry::session::{CreateMode, EventKind, MultiError, Op, OpResult, Stat, Watch, WatchEvent};
use crate::registry::znodes::{
    BROKER_IDS, BrokerRegistration, ConfigEntity, ControllerEpoch, ControllerNode, DELETE_TOPICS, DeleteTopics,
    EntityConfig, FeatureNode, FeatureStatus, LOG_DIR_EVENT_NOTIFICATION, LogDirEvent, PartitionState, ProducerIdBlock,
    TOPICS, TopicAssignment, Uuid,
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
        let (controller, brokers, topics, deletions, log_dir_events) = tokio::try_join!(
            session.exists_and_watch(ControllerNode::PATH),
            session.children_and_watch(BROKER_IDS),
            session.children_and_watch(TOPICS),
            session.children_and_watch(DELETE_TOPICS),
            session.children_and_watch(LOG_DIR_EVENT_NOTIFICATION),
        )?;
        self.verified(controller)?;
        let brokers = self.read_listed_brokers(brokers).await?;
        let names = self.watched(topics);
        let topics = self.read_topics(names.into_iter().map(Arc::from).collect()).await?;
        let deletions = self.watched(deletions).into_iter().map(Arc::from).collect();
        self.take_log_dir_events(log_dir_events).await?;
        let partitions = topics.iter().flat_map(|(topic, assignment)| {
            assignment.partitions.keys().map(|partition| TopicPartition::new(topic.clone(), *partition))
        });
        let states = self.read_states(partitions.collect()).await?;
        let states = states.into_iter().filter_map(|(name, read)| read.map(|(state, version)| (name, state, version)));
        self.apply(Event::Started { brokers, topics, states: states.collect(), deletions }).await?;
        self.ensure_feature().await
    }

    async fn run(&mut self) -> End {
        let session = self.session.clone();
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
            };
            if let Err(end) = result {
                return end;
            }
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

    async fn read_brokers(&mut self) -> Result<Vec<LiveBroker>, End> {
        let listed = self.session.children_and_watch(BROKER_IDS).await?;
        self.read_listed_brokers(listed).await
    }

    /// What was listed of a znode whose watch is awaited from now on.
    fn watched(&mut self, (names, watch): (Vec<String>, Watch)) -> Vec<String> {
        self.watches.spawn(watch);
        names
    }

    async fn read_listed_brokers(&mut self, listed: (Vec<String>, Watch)) -> Result<Vec<LiveBroker>, End> {
        let names = self.watched(listed);
        let ids: BTreeSet<i32> = names.iter().filter_map(|name| name.parse().ok()).collect();
        self.watched_brokers.retain(|id| ids.contains(id));
        let mut brokers = Vec::with_capacity(ids.len());
        for id in ids {
            let path = BrokerRegistration::path(id);
            let read = match self.watched_brokers.contains(&id) {
                true => self.session.get(&path).await,
                false => self.session.get_and_watch(&path).await.map(|(data, stat, watch)| {
                    self.watches.spawn(watch);
                    self.watched_brokers.insert(id);
                    (data, stat)
                }),
            };
            match read {
                Ok((data, stat)) => match BrokerRegistration::decode(id, &data) {
                    Ok(registration) => brokers.push(LiveBroker::new(id, stat.czxid, registration)),
                    Err(error) => tracing::error!(%error, "broker left out"),
                },
                // Gone again; its parent's watch has fired or will.
                Err(Error::NoNode(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(brokers)
    }

    /// Topics that are gone by now are left out, and so are those whose znode cannot be understood.
    async fn read_topics(&mut self, names: Vec<Arc<str>>) -> Result<Vec<(Arc<str>, TopicAssignment)>, End> {
        let session = self.session.clone();
        let reads = pipelined(names, |topic| {
            let session = session.clone();
            async move {
                let read = session.get_and_watch(&TopicAssignment::path(&topic)).await;
                (topic, read)
            }
        });
        let mut topics = Vec::new();
        for (topic, read) in reads.await {
            let (data, stat) = match read {
                Ok((data, stat, watch)) => {
                    self.watches.spawn(watch);
                    (data, stat)
                }
                Err(Error::NoNode(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            match TopicAssignment::decode(&topic, &data) {
                Ok(assignment) => {
                    let assignment = self.with_topic_id(&topic, assignment, stat.version).await?;
                    topics.push((topic, assignment));
                }
                Err(error) => tracing::error!(%error, "topic left out"),
            }
        }
        Ok(topics)
    }

    /// Gives an id to a topic of Kafka < 2.8, or of its `kafka-topics --zookeeper`.
    async fn with_topic_id(
        &self,
        topic: &str,
        mut assignment: TopicAssignment,
        version: i32,
    ) -> Result<TopicAssignment, End> {
        if assignment.topic_id.is_some() {
            return Ok(assignment);
        }
        match Uuid::random() {
            Ok(id) => assignment.topic_id = Some(id),
            Err(error) => {
                tracing::error!(%error, topic, "no id for topic");
                return Ok(assignment);
            }
        }
        let write = Op::set(TopicAssignment::path(topic), assignment.encode(), version);
        match self.multi(vec![write]).await? {
            // Its watch, which we hold already, fires in both cases, and the topic is read again.
            Ok(_) | Err(Error::BadVersion(_) | Error::NoNode(_)) => Ok(assignment),
            Err(error) => Err(error.into()),
        }
    }

    async fn read_deletions(&mut self) -> Result<Vec<Arc<str>>, End> {
        let listed = self.session.children_and_watch(DELETE_TOPICS).await?;
        Ok(self.watched(listed).into_iter().map(Arc::from).collect())
    }

    /// Takes the notes that brokers left when they lost a log dir.
    async fn read_log_dir_events(&mut self) -> Result<Vec<LogDirEvent>, End> {
        let listed = self.session.children_and_watch(LOG_DIR_EVENT_NOTIFICATION).await?;
        self.take_log_dir_events(listed).await
    }

    async fn take_log_dir_events(&mut self, listed: (Vec<String>, Watch)) -> Result<Vec<LogDirEvent>, End> {
        let names = self.watched(listed);
        let mut events = Vec::new();
        for name in names {
            let path = format!("{LOG_DIR_EVENT_NOTIFICATION}/{name}");
            match self.session.get(&path).await {
                Ok((data, _)) => match LogDirEvent::decode(&data) {
                    Ok(event) => events.push(event),
                    Err(error) => tracing::error!(%error, "log dir event left out"),
                },
                Err(Error::NoNode(_)) => continue,
                Err(error) => return Err(error.into()),
            }
            match self.multi(vec![Op::delete(path, -1)]).await? {
                Ok(_) | Err(Error::NoNode(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(events)
    }

    async fn read_states(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> Result<Vec<(TopicPartition, Option<(PartitionState, i32)>)>, End> {
        let session = self.session.clone();
        let reads = pipelined(partitions, |name| {
            let session = session.clone();
            async move {
                let read = session.get(&PartitionState::path(&name.topic, name.partition)).await;
                (name, read)
            }
        });
        let mut states = Vec::new();
        for (name, read) in reads.await {
            match read {
                Ok((data, stat)) => match PartitionState::decode(&name.topic, name.partition, &data) {
                    Ok(state) => states.push((name, Some((state, stat.version)))),
                    Err(error) => tracing::error!(%error, "partition state left out"),
                },
                Err(Error::NoNode(_)) => states.push((name, None)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(states)
    }

    /// The finalized features, which brokers of 2.7 and later look for.
    async fn ensure_feature(&self) -> Result<(), End> {
        if self.session.exists(FeatureNode::PATH).await?.is_some() {
            return Ok(());
        }
        let node = FeatureNode { status: FeatureStatus::Enabled, features: BTreeMap::new() };
        match self.session.create(FeatureNode::PATH, Some(&node.encode()), CreateMode::Persistent).await {
            Ok(_) | Err(Error::NodeExists(_)) => Ok(()),
            Err(error) => Err(error.into()),
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
                    match self.multi(vec![Op::delete(DeleteTopics::path(&topic), -1)]).await? {
                        Ok(_) | Err(Error::NoNode(_)) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
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
            _ => {}
        }
    }

    /// A multi behind a check that we are still the controller. The outer error ends the reign.
    async fn multi(&self, ops: Vec<Op>) -> Result<Result<Vec<OpResult>, Error>, End> {
        fenced(multi_as(&self.session, self.mandate, ops).await)
    }

    /// New states are created topic by topic, each topic's in one multi: one sync of the disk for a topic of fifty
    /// partitions, where Kafka has a hundred and one. Changed states are one multi each, all under way together, since
    /// one that is not as expected must not hold up the others.
    async fn write(&self, writes: Vec<StateWrite>) -> Result<Event, End> {
        let (new, changed): (Vec<_>, Vec<_>) = writes.into_iter().partition(|write| write.expected.is_none());
        let mut results = Vec::with_capacity(new.len() + changed.len());
        let mut by_topic: BTreeMap<Arc<str>, Vec<StateWrite>> = BTreeMap::new();
        for write in new {
            by_topic.entry(write.partition.topic.clone()).or_default().push(write);
        }
        let (session, mandate) = (self.session.clone(), self.mandate);
        let created = pipelined(by_topic.into_iter().collect(), |(topic, writes)| {
            let session = session.clone();
            async move { create_states(&session, mandate, &topic, writes).await }
        });
        for created in created.await {
            results.extend(created?);
        }
        let set = pipelined(changed, |write| {
            let session = session.clone();
            async move {
                let TopicPartition { topic, partition } = &write.partition;
                let path = PartitionState::path(topic, *partition);
                let set = Op::set(path, write.state.encode(), write.expected.unwrap_or(0));
                (write, fenced(multi_as(&session, mandate, vec![set]).await))
            }
        });
        for (write, result) in set.await {
            let result = match result? {
                Ok(results) => match results.last() {
                    Some(OpResult::Set(stat)) => Ok(stat.version),
                    _ => Err(Conflict),
                },
                Err(Error::BadVersion(_) | Error::NoNode(_)) => Err(Conflict),
                Err(error) => return Err(error.into()),
            };
            results.push(written(&write, result));
        }
        Ok(Event::Written(results))
    }

    async fn read_unclean(&self, topic: &str) -> Result<bool, End> {
        let entity = ConfigEntity::Topic(topic.to_owned());
        let own = match self.session.get(&EntityConfig::path(&entity)).await {
            Ok((data, _)) => EntityConfig::decode(&entity, &data).unwrap_or_default(),
            Err(Error::NoNode(_)) => EntityConfig::default(),
            Err(error) => return Err(error.into()),
        };
        let config = self.candidate.config.borrow().clone();
        let own = own.config.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        Ok(TopicConfig::effective_lenient(&config, own).0.unclean_leader_election_enable)
    }

    /// Removes the topic's znodes, config and the wish to delete it: all at once if they are as expected.
    async fn erase(&self, topic: &str, partitions: &[i32]) -> Result<(), End> {
        let topic_path = TopicAssignment::path(topic);
        let config_path = EntityConfig::path(&ConfigEntity::Topic(topic.to_owned()));
        let wish_path = DeleteTopics::path(topic);
        let mut chunks = partitions.chunks(PARTITIONS_PER_MULTI).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let mut ops: Vec<Op> = chunk
                .iter()
                .flat_map(|partition| {
                    [PartitionState::path(topic, *partition), PartitionState::parent_path(topic, *partition)]
                })
                .map(|path| Op::delete(path, -1))
                .collect();
            let is_last = chunks.peek().is_none();
            if is_last {
                let rest = [
                    TopicAssignment::partitions_path(topic),
                    topic_path.clone(),
                    config_path.clone(),
                    wish_path.clone(),
                ];
                ops.extend(rest.map(|path| Op::delete(path, -1)));
            }
            match self.multi(ops).await? {
                Ok(_) if is_last => return Ok(()),
                Ok(_) => {}
                Err(Error::NoNode(_) | Error::NotEmpty(_)) => break,
                Err(error) => return Err(error.into()),
            }
        }
        // Partly there, or with more below than Kafka puts there.
        for path in [&topic_path, &config_path, &wish_path] {
            self.session.delete_recursive(path).await?;
        }
        Ok(())
    }

    async fn allocate_producer_ids(
        &self,
        request: &AllocateProducerIdsRequest,
    ) -> Result<AllocateProducerIdsResponse, End> {
        let failed = |error: ErrorCode| AllocateProducerIdsResponse { error_code: error.0, ..Default::default() };
        match self.state.broker_epoch(request.broker_id) {
            None => return Ok(failed(ErrorCode::BROKER_ID_NOT_REGISTERED)),
            Some(epoch) if epoch != request.broker_epoch => return Ok(failed(ErrorCode::STALE_BROKER_EPOCH)),
            Some(_) => {}
        }
        loop {
            let (data, stat) = self.session.get(ProducerIdBlock::PATH).await?;
            let block_start = match ProducerIdBlock::decode(&data) {
                Ok(last) => last.map_or(0, |last| last.block_end.saturating_add(1)),
                Err(error) => {
                    tracing::error!(%error, "no producer ids");
                    return Ok(failed(ErrorCode::UNKNOWN_SERVER_ERROR));
                }
            };
            let Some(block_end) = block_start.checked_add(i64::from(PRODUCER_ID_BLOCK) - 1) else {
                tracing::error!("producer ids are used up");
                return Ok(failed(ErrorCode::UNKNOWN_SERVER_ERROR));
            };
            let block = ProducerIdBlock { broker_id: request.broker_id, block_start, block_end };
            match self.session.set(ProducerIdBlock::PATH, &block.encode(), stat.version).await {
                Ok(_) => {
                    return Ok(AllocateProducerIdsResponse {
                        producer_id_start: block_start,
                        producer_id_len: PRODUCER_ID_BLOCK,
                        ..Default::default()
                    });
                }
                // Another controller, or our own first attempt over a connection that broke: a block is lost, no more.
                Err(Error::BadVersion(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// All operations if we are still the controller.
async fn multi_as(session: &Session, mandate: Mandate, ops: Vec<Op>) -> Result<Vec<OpResult>, MultiError> {
    let mut fenced = Vec::with_capacity(ops.len() + 1);
    fenced.push(Op::check(ControllerEpoch::PATH, mandate.epoch_version));
    fenced.extend(ops);
    session.multi(&fenced).await
}

/// Tells a failed check of our mandate from any other failure.
fn fenced(result: Result<Vec<OpResult>, MultiError>) -> Result<Result<Vec<OpResult>, Error>, End> {
    match result {
        Err(MultiError { index: Some(0), .. }) => Err(End::Resigned),
        result => Ok(result.map_err(Error::from)),
    }
}

fn written(write: &StateWrite, result: Result<i32, Conflict>) -> Written {
    Written { partition: write.partition.clone(), number: write.number, result }
}

/// The znodes of a topic's new partitions.
async fn create_states(
    session: &Session,
    mandate: Mandate,
    topic: &str,
    writes: Vec<StateWrite>,
) -> Result<Vec<Written>, End> {
    let mut results = Vec::with_capacity(writes.len());
    for chunk in writes.chunks(PARTITIONS_PER_MULTI) {
        // Partition 0 is there from the first: with it comes the parent of all.
        let parent = chunk.iter().any(|write| write.partition.partition == 0);
        let parent = parent.then(|| Op::create(TopicAssignment::partitions_path(topic), None, CreateMode::Persistent));
        let ops = parent.into_iter().chain(chunk.iter().flat_map(create_state)).collect();
        match fenced(multi_as(session, mandate, ops).await)? {
            Ok(_) => results.extend(chunk.iter().map(|write| written(write, Ok(0)))),
            // An earlier controller got half way.
            Err(Error::NodeExists(_) | Error::NoNode(_)) => {
                for write in chunk {
                    results.push(written(write, create_one(session, mandate, write).await?));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(results)
}

fn create_state(write: &StateWrite) -> [Op; 2] {
    let TopicPartition { topic, partition } = &write.partition;
    [
        Op::create(PartitionState::parent_path(topic, *partition), None, CreateMode::Persistent),
        Op::create(PartitionState::path(topic, *partition), Some(&write.state.encode()), CreateMode::Persistent),
    ]
}

/// As Kafka does it: parents one after the other, those that exist are fine.
async fn create_one(session: &Session, mandate: Mandate, write: &StateWrite) -> Result<Result<i32, Conflict>, End> {
    let topic = &write.partition.topic;
    let partitions = Op::create(TopicAssignment::partitions_path(topic), None, CreateMode::Persistent);
    let [parent, state] = create_state(write);
    for op in [partitions, parent] {
        match fenced(multi_as(session, mandate, vec![op]).await)? {
            Ok(_) | Err(Error::NodeExists(_)) => {}
            // The topic is gone.
            Err(Error::NoNode(_)) => return Ok(Err(Conflict)),
            Err(error) => return Err(error.into()),
        }
    }
    match fenced(multi_as(session, mandate, vec![state]).await)? {
        Ok(_) => Ok(Ok(0)),
        Err(Error::NodeExists(_) | Error::NoNode(_)) => Ok(Err(Conflict)),
        Err(error) => Err(error.into()),
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
