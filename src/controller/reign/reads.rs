//! What the controller reads from the registry, watches first.

use bytes::Bytes;

use super::*;

impl Reign<'_> {
    pub(super) async fn read_brokers(&mut self) -> Result<Vec<LiveBroker>, End> {
        let listed = self.session.children_and_watch(BROKER_IDS).await?;
        self.read_listed_brokers(listed).await
    }

    /// What was listed of a znode whose watch is awaited from now on.
    pub(super) fn watched(&mut self, (names, watch): (Vec<String>, Watch)) -> Vec<String> {
        self.watches.spawn(watch);
        names
    }

    pub(super) async fn read_listed_brokers(&mut self, listed: (Vec<String>, Watch)) -> Result<Vec<LiveBroker>, End> {
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
    pub(super) async fn read_topics(&mut self, names: Vec<Arc<str>>) -> Result<Vec<(Arc<str>, TopicAssignment)>, End> {
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
    pub(super) async fn with_topic_id(
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

    pub(super) async fn read_deletions(&mut self) -> Result<Vec<Arc<str>>, End> {
        let listed = self.session.children_and_watch(DELETE_TOPICS).await?;
        Ok(self.watched(listed).into_iter().map(Arc::from).collect())
    }

    /// Takes the notes that brokers left when they lost a log dir.
    pub(super) async fn read_log_dir_events(&mut self) -> Result<Vec<LogDirEvent>, End> {
        let listed = self.session.children_and_watch(LOG_DIR_EVENT_NOTIFICATION).await?;
        let notes = self.take_notes(LOG_DIR_EVENT_NOTIFICATION, listed).await?;
        Ok(notes.iter().filter_map(|data| understood(LogDirEvent::decode(data))).collect())
    }

    /// Takes the notes that leaders of Kafka < 2.7 left when they changed ISRs.
    pub(super) async fn read_isr_changes(&mut self) -> Result<Vec<TopicPartition>, End> {
        let listed = self.session.children_and_watch(ISR_CHANGE_NOTIFICATION).await?;
        let notes = self.take_notes(ISR_CHANGE_NOTIFICATION, listed).await?;
        let changes = notes.iter().filter_map(|data| understood(IsrChangeNotification::decode(data)));
        Ok(changes.flat_map(|change| change.partitions).map(named).collect())
    }

    /// What a parent's sequential children say, which are deleted.
    pub(super) async fn take_notes(&mut self, parent: &str, listed: (Vec<String>, Watch)) -> Result<Vec<Bytes>, End> {
        let mut names = self.watched(listed);
        names.sort();
        let mut notes = Vec::new();
        for name in names {
            let path = format!("{parent}/{name}");
            match self.session.get(&path).await {
                Ok((data, _)) => notes.push(data),
                Err(Error::NoNode(_)) => continue,
                Err(error) => return Err(error.into()),
            }
            self.delete(path).await?;
        }
        Ok(notes)
    }

    /// The legacy way to ask for reassignments; the watch tells when somebody writes there.
    pub(super) async fn read_reassignments(
        &mut self,
        found: (Option<Stat>, Watch),
    ) -> Result<Vec<(TopicPartition, Vec<i32>)>, End> {
        let data = self.read_found(ReassignPartitions::PATH, found).await?;
        let found = data.and_then(|data| understood(ReassignPartitions::decode(&data)));
        let rows = found.into_iter().flat_map(|found| found.partitions);
        Ok(rows.map(|row| (TopicPartition::new(row.topic, row.partition), row.replicas)).collect())
    }

    /// The legacy way to ask for preferred leaders; `None` if nobody does.
    pub(super) async fn read_preferred_election(
        &mut self,
        found: (Option<Stat>, Watch),
    ) -> Result<Option<Vec<TopicPartition>>, End> {
        let data = self.read_found(PreferredReplicaElection::PATH, found).await?;
        // What cannot be understood goes away like what was done.
        Ok(data.map(|data| {
            let found = understood(PreferredReplicaElection::decode(&data));
            found.into_iter().flat_map(|found| found.partitions).map(named).collect()
        }))
    }

    async fn read_found(&mut self, path: &str, (stat, watch): (Option<Stat>, Watch)) -> Result<Option<Bytes>, End> {
        self.watches.spawn(watch);
        if stat.is_none() {
            return Ok(None);
        }
        match self.session.get(path).await {
            Ok((data, _)) => Ok(Some(data)),
            Err(Error::NoNode(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn read_states(
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

    pub(super) async fn read_unclean(&self, topic: &str) -> Result<bool, End> {
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
}

fn named(partition: crate::registry::znodes::TopicPartition) -> TopicPartition {
    TopicPartition::new(partition.topic, partition.partition)
}

/// What was written by somebody's hand may be anything.
fn understood<T>(decoded: Result<T, Error>) -> Option<T> {
    decoded.inspect_err(|error| tracing::error!(%error, "left out")).ok()
}
