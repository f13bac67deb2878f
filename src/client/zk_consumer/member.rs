//! The member's side that talks to ZooKeeper: registration, owners, offsets, and the watches that tell when to work
//! them out again.
//!
//! Unlike Apache's, a member gives up only the partitions that are no longer its own and keeps the others; to the
//! znodes, and to Apache's members, it is the same.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use super::assignment::{Assignment, Member, TopicPartition, assign};
use super::{Config, Control, Event, Positions, StartError, filter};
use crate::client::consumer::Bell;
use crate::registry::session::CreateMode;
use crate::registry::znodes::{
    BROKER_IDS, BrokerRegistration, ConsumerOffset, ConsumerOwner, ConsumerRegistration, TOPICS, TopicAssignment, Uuid,
};
use crate::registry::{Error, Session, Watch};

/// Runs until told to leave. `events`: to the consumer. `positions`: what it says may be committed.
pub(super) fn run(
    config: Config,
    events: &Sender<Event>,
    mut control: UnboundedReceiver<Control>,
    positions: Arc<Mutex<Positions>>,
) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = events.send(Event::Refused(StartError::Other(error.to_string())));
            return;
        }
    };
    runtime.block_on(async {
        let session = match prepare(&config, events).await {
            Ok(session) => session,
            Err(refusal) => {
                let _ = events.send(Event::Refused(refusal));
                return;
            }
        };
        if let Some(Control::Join(bell)) = control.recv().await {
            let id = member_id(&config.group);
            let member = GroupMember {
                config,
                session,
                id,
                bell,
                events,
                positions,
                owned: Assignment::new(),
                committed: BTreeMap::new(),
            };
            member.run(control).await;
        }
    });
}

/// Connects, and checks what Apache's tool checks before it joins.
async fn prepare(config: &Config, events: &Sender<Event>) -> Result<Session, StartError> {
    // Apache's tool takes a ZooKeeper that does not answer for one without brokers.
    let session = Session::connect(&config.connect, config.session_timeout, config.connection_timeout)
        .await
        .map_err(|_| StartError::NoBrokers)?;
    if !exists(&session, BROKER_IDS).await {
        return Err(StartError::NoBrokers);
    }
    let group_path = format!("/consumers/{}", config.group);
    if config.delete_offsets {
        match session.delete_recursive(&group_path).await {
            Ok(()) | Err(Error::NoNode(_)) => {}
            Err(error) => return Err(StartError::Other(error.to_string())),
        }
    } else if config.from_beginning && exists(&session, &format!("{group_path}/offsets")).await {
        return Err(StartError::OffsetsFound(config.group.clone()));
    }
    let brokers = brokers(&session).await.map_err(|error| StartError::Other(error.to_string()))?;
    if brokers.is_empty() {
        return Err(StartError::NoBrokers);
    }
    let _ = events.send(Event::Ready(brokers));
    Ok(session)
}

async fn exists(session: &Session, path: &str) -> bool {
    matches!(session.exists(path).await, Ok(Some(_)))
}

/// The address of every broker's listener without encryption, the only kind this consumer ever spoke to.
async fn brokers(session: &Session) -> Result<Vec<String>, Error> {
    let mut addresses = Vec::new();
    for child in session.children(BROKER_IDS).await? {
        let Ok(id) = child.parse::<i32>() else { continue };
        let data = match session.get(&BrokerRegistration::path(id)).await {
            Ok((data, _)) => data,
            Err(Error::NoNode(_)) => continue,
            Err(error) => return Err(error),
        };
        let broker = BrokerRegistration::decode(id, &data)?;
        let plain = broker.endpoints.iter().find(|endpoint| endpoint.security_protocol == "PLAINTEXT");
        addresses.extend(plain.map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)));
    }
    Ok(addresses)
}

/// `GROUP_HOST-MILLIS-8 hex digits`.
fn member_id(group: &str) -> String {
    let random = Uuid::random().unwrap_or(Uuid::ZERO).0;
    let tail: String = random[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{group}_{}-{}-{tail}", host_name(), now_ms())
}

fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the buffer is as long as it says.
    let outcome = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) };
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    match outcome {
        0 => String::from_utf8_lossy(&name[..end]).into_owned(),
        _ => "localhost".to_owned(),
    }
}

fn now_ms() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

struct GroupMember<'a> {
    config: Config,
    session: Session,
    id: String,
    bell: Bell,
    events: &'a Sender<Event>,
    positions: Arc<Mutex<Positions>>,
    /// What is claimed, each with the thread that its znode names.
    owned: Assignment,
    /// What the offset znodes say, as far as we wrote or read them.
    committed: Positions,
}

/// What a look at the group came to.
struct Look {
    /// Any of these firing means to look again.
    watches: Vec<Watch>,
    /// A partition of ours is still another's, or something changed while we looked: look again after a while.
    unsettled: bool,
}

/// The consumer has gone: nothing is left to be done but to leave.
struct Gone;

impl GroupMember<'_> {
    async fn run(mut self, mut control: UnboundedReceiver<Control>) {
        let mut register = true;
        let mut next_commit = self.config.commit_interval.map(|interval| Instant::now() + interval);
        'look: loop {
            let look = match self.register_and_look(&mut register).await {
                Ok(look) => look,
                Err(Gone) => break,
            };
            let mut watches = look.watches;
            let again = look.unsettled.then(|| Instant::now() + self.config.rebalance_backoff);
            loop {
                tokio::select! {
                    () = any(&mut watches) => continue 'look,
                    () = until(again) => continue 'look,
                    () = self.session.lost() => {
                        register = true;
                        if self.recover().await.is_err() {
                            break 'look;
                        }
                        continue 'look;
                    }
                    () = until(next_commit) => {
                        self.commit_all().await;
                        next_commit = self.config.commit_interval.map(|interval| Instant::now() + interval);
                    }
                    _ = control.recv() => break 'look,
                }
            }
        }
        self.leave().await;
    }

    async fn register_and_look(&mut self, register: &mut bool) -> Result<Look, Gone> {
        if *register {
            match self.register().await {
                Ok(()) => *register = false,
                Err(error) => {
                    self.tell(Event::Trouble(format!("Registration in ZooKeeper failed: {error}")))?;
                    return Ok(Look { watches: Vec::new(), unsettled: true });
                }
            }
        }
        match self.look().await? {
            Ok(look) => Ok(look),
            // A znode went away between being listed and being read: the state is changing, and settles.
            Err(_) => Ok(Look { watches: Vec::new(), unsettled: true }),
        }
    }

    async fn register(&self) -> Result<(), Error> {
        let registration = ConsumerRegistration {
            subscription: BTreeMap::from([(self.config.pattern.text(), 1)]),
            pattern: self.config.pattern.kind().to_owned(),
            timestamp_ms: now_ms(),
        };
        let path = ConsumerRegistration::path(&self.config.group, &self.id);
        match self.session.create_with_parents(&path, Some(&registration.encode()), CreateMode::Ephemeral).await {
            Ok(_) | Err(Error::NodeExists(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Works out what is ours, gives up what is not, and claims the rest.
    async fn look(&mut self) -> Result<Result<Look, Error>, Gone> {
        let mut watches = Vec::new();
        let target = match self.target(&mut watches).await {
            Ok(target) => target,
            Err(error) => return Ok(Err(error)),
        };
        let lost: Vec<TopicPartition> = self
            .owned
            .iter()
            .filter(|(partition, _)| !target.contains_key(*partition))
            .map(|(p, _)| p.clone())
            .collect();
        if !lost.is_empty() {
            self.release(lost).await?;
        }
        let mut unsettled = false;
        let mut claimed = Vec::new();
        for (partition, thread) in &target {
            if self.owned.contains_key(partition) {
                continue;
            }
            match self.claim(partition, thread).await {
                Ok(true) => {
                    let committed = self.committed_offset(partition).await;
                    self.owned.insert(partition.clone(), thread.clone());
                    claimed.push((partition.clone(), committed));
                }
                Ok(false) => {
                    unsettled = true;
                    let path = ConsumerOwner::path(&self.config.group, &partition.0, partition.1);
                    if let Ok((_, watch)) = self.session.exists_and_watch(&path).await {
                        watches.push(watch);
                    }
                }
                Err(_) => unsettled = true,
            }
        }
        // Even when it is nothing: then it is known that there is nothing to read.
        self.tell(Event::Assign(claimed))?;
        Ok(Ok(Look { watches, unsettled }))
    }

    /// What should be ours, from members and topics as they are now; every change of them fires a watch.
    async fn target(&self, watches: &mut Vec<Watch>) -> Result<Assignment, Error> {
        let (ids, watch) =
            self.session.children_and_watch(&ConsumerRegistration::parent_path(&self.config.group)).await?;
        watches.push(watch);
        let (topics, watch) = self.session.children_and_watch(TOPICS).await?;
        watches.push(watch);
        let mut members = Vec::new();
        for id in ids {
            let (data, _) = self.session.get(&ConsumerRegistration::path(&self.config.group, &id)).await?;
            let registration = ConsumerRegistration::decode(&self.config.group, &id, &data)?;
            members.push(Member { topics: self.topics_of(&registration, &topics), id });
        }
        let mut partitions = BTreeMap::new();
        for topic in topics.into_iter().filter(|topic| self.config.filter.allows(topic)) {
            let (data, _, watch) = match self.session.get_and_watch(&TopicAssignment::path(&topic)).await {
                Ok(found) => found,
                Err(Error::NoNode(_)) => continue,
                Err(error) => return Err(error),
            };
            watches.push(watch);
            let ids: Vec<i32> = TopicAssignment::decode(&topic, &data)?.partitions.into_keys().collect();
            partitions.insert(topic, ids);
        }
        Ok(assign(self.config.strategy, &self.id, &members, &partitions))
    }

    /// The topics that a member reads, each with the number of its threads.
    fn topics_of(&self, registration: &ConsumerRegistration, topics: &[String]) -> BTreeMap<String, i32> {
        if !matches!(registration.pattern.as_str(), "white_list" | "black_list") {
            return registration.subscription.clone();
        }
        let Some((pattern, threads)) = registration.subscription.iter().next() else { return BTreeMap::new() };
        match filter(&registration.pattern, pattern, self.config.exclude_internal_topics) {
            Some(filter) => {
                topics.iter().filter(|topic| filter.allows(topic)).map(|topic| (topic.clone(), *threads)).collect()
            }
            None => BTreeMap::new(),
        }
    }

    /// Takes a partition: false when another member has it still.
    async fn claim(&self, (topic, partition): &TopicPartition, thread: &str) -> Result<bool, Error> {
        let owner = ConsumerOwner { thread_id: thread.to_owned() };
        let path = ConsumerOwner::path(&self.config.group, topic, *partition);
        match self.session.create_with_parents(&path, Some(&owner.encode()), CreateMode::Ephemeral).await {
            Ok(_) => Ok(true),
            Err(Error::NodeExists(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Where the group is in a partition; `None` when it never read it, or what is written there is no number.
    async fn committed_offset(&mut self, partition: &TopicPartition) -> Option<i64> {
        let (topic, number) = partition;
        let (data, _) = self.session.get(&ConsumerOffset::path(&self.config.group, topic, *number)).await.ok()?;
        let offset = ConsumerOffset::decode(&self.config.group, topic, *number, &data).ok()?.0;
        self.committed.insert(partition.clone(), offset);
        Some(offset).filter(|offset| *offset >= 0)
    }

    /// Stops reading partitions, commits how far they were read, and only then lets others have them.
    async fn release(&mut self, partitions: Vec<TopicPartition>) -> Result<(), Gone> {
        let (answer, answered) = oneshot::channel();
        self.tell(Event::Release(partitions.clone(), answer))?;
        let positions = answered.await.map_err(|_| Gone)?;
        if self.config.commit_interval.is_some() {
            self.commit(positions).await;
        }
        for partition in partitions {
            // An owner znode that is gone already is as good.
            let path = ConsumerOwner::path(&self.config.group, &partition.0, partition.1);
            let _ = self.session.delete(&path, -1).await;
            self.owned.remove(&partition);
            self.committed.remove(&partition);
        }
        Ok(())
    }

    async fn commit_all(&mut self) {
        let positions = self.positions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.commit(positions).await;
    }

    async fn commit(&mut self, positions: Positions) {
        for (partition, offset) in positions {
            if self.committed.get(&partition) == Some(&offset) {
                continue;
            }
            let path = ConsumerOffset::path(&self.config.group, &partition.0, partition.1);
            let data = ConsumerOffset(offset).encode();
            let written = match self.session.set(&path, &data, -1).await {
                Err(Error::NoNode(_)) => {
                    self.session.create_with_parents(&path, Some(&data), CreateMode::Persistent).await.map(|_| ())
                }
                written => written.map(|_| ()),
            };
            match written {
                Ok(()) => {
                    self.committed.insert(partition, offset);
                }
                Err(error) => {
                    let (topic, number) = &partition;
                    let text = format!("Offset commit of partition {topic}-{number} at {offset} failed: {error}");
                    let _ = self.tell(Event::Trouble(text));
                }
            }
        }
    }

    /// After the session expired: our znodes are gone and others may read what was ours, so that nothing of it may be
    /// committed any more. Returns with a new session.
    async fn recover(&mut self) -> Result<(), Gone> {
        let partitions: Vec<TopicPartition> = std::mem::take(&mut self.owned).into_keys().collect();
        self.committed.clear();
        if !partitions.is_empty() {
            let (answer, answered) = oneshot::channel();
            self.tell(Event::Release(partitions, answer))?;
            answered.await.map_err(|_| Gone)?;
        }
        while let Err(error) = self.session.rebuild().await {
            self.tell(Event::Trouble(format!("ZooKeeper session expired, and there is no new one: {error}")))?;
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// Commits, and takes our znodes away; of a group that was made up, everything.
    async fn leave(mut self) {
        if self.config.commit_interval.is_some() {
            self.commit_all().await;
        }
        for (topic, partition) in self.owned.keys() {
            let _ = self.session.delete(&ConsumerOwner::path(&self.config.group, topic, *partition), -1).await;
        }
        let _ = self.session.delete(&ConsumerRegistration::path(&self.config.group, &self.id), -1).await;
        if self.config.temporary {
            let _ = self.session.delete_recursive(&format!("/consumers/{}", self.config.group)).await;
        }
        self.session.close().await;
    }

    fn tell(&self, event: Event) -> Result<(), Gone> {
        self.events.send(event).map_err(|_| Gone)?;
        self.bell.ring();
        Ok(())
    }
}

/// Returns when one of the watches has fired; with none, never.
async fn any(watches: &mut [Watch]) {
    poll_fn(|context| {
        let fired = watches.iter_mut().any(|watch| Pin::new(watch).poll(context).is_ready());
        if fired { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// Returns at a time; without one, never.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
