//! What the controller writes to the registry, each time behind a check that it still is the controller.

use super::*;

impl Reign<'_> {
    /// A multi behind a check that we are still the controller. The outer error ends the reign.
    pub(super) async fn multi(&self, ops: Vec<Op>) -> Result<Result<Vec<OpResult>, Error>, End> {
        fenced(multi_as(&self.session, self.mandate, ops).await)
    }

    /// Deletes a znode; that it is gone already is as good.
    pub(super) async fn delete(&self, path: String) -> Result<(), End> {
        match self.multi(vec![Op::delete(path, -1)]).await? {
            Ok(_) | Err(Error::NoNode(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces these partitions' assignments; what else the znode says, such as partitions that somebody has just
    /// added, stays.
    pub(super) async fn write_assignment(
        &self,
        topic: &str,
        id: crate::wire::Uuid,
        partitions: &BTreeMap<i32, ReplicaAssignment>,
    ) -> Result<Result<(), Conflict>, End> {
        let path = TopicAssignment::path(topic);
        loop {
            let (data, stat) = match self.session.get(&path).await {
                Ok(read) => read,
                Err(Error::NoNode(_)) => return Ok(Err(Conflict)),
                Err(error) => return Err(error.into()),
            };
            let Ok(mut assignment) = TopicAssignment::decode(topic, &data) else { return Ok(Err(Conflict)) };
            if assignment.topic_id.is_none_or(|found| found.0 != id.0) {
                return Ok(Err(Conflict));
            }
            assignment.partitions.extend(partitions.clone());
            match self.multi(vec![Op::set(&path, assignment.encode(), stat.version)]).await? {
                Ok(_) => return Ok(Ok(())),
                Err(Error::BadVersion(_) | Error::NoNode(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes rows out of the legacy znode, and the znode away when none is left.
    pub(super) async fn forget_reassignments(&self, rows: &[(TopicPartition, Option<Vec<i32>>)]) -> Result<(), End> {
        let path = ReassignPartitions::PATH;
        loop {
            let (data, stat) = match self.session.get(path).await {
                Ok(read) => read,
                Err(Error::NoNode(_)) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let mut noted = match ReassignPartitions::decode(&data) {
                Ok(noted) => noted,
                Err(error) => {
                    tracing::error!(%error, "left alone");
                    return Ok(());
                }
            };
            noted.partitions.retain(|row| {
                let is_named = |name: &TopicPartition| *name.topic == *row.topic && name.partition == row.partition;
                !rows.iter().any(|(name, with)| is_named(name) && with.as_ref().is_none_or(|ids| *ids == row.replicas))
            });
            let op = match noted.partitions.is_empty() {
                true => Op::delete(path, stat.version),
                false => Op::set(path, noted.encode(), stat.version),
            };
            match self.multi(vec![op]).await? {
                Ok(_) | Err(Error::NoNode(_)) => return Ok(()),
                Err(Error::BadVersion(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// New states are created topic by topic, each topic's in one multi: one sync of the disk for a topic of fifty
    /// partitions, where Kafka has a hundred and one. Changed states are one multi each, all under way together, since
    /// one that is not as expected must not hold up the others.
    pub(super) async fn write(&self, writes: Vec<StateWrite>) -> Result<Event, End> {
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

    /// Removes the topic's znodes, config and the wish to delete it: all at once if they are as expected.
    pub(super) async fn erase(&self, topic: &str, partitions: &[i32]) -> Result<(), End> {
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
            self.delete_recursive(path).await?;
        }
        Ok(())
    }

    /// Deletes a znode and all below it, children first.
    async fn delete_recursive(&self, path: &str) -> Result<(), End> {
        let mut found = vec![path.to_owned()];
        let mut next = 0;
        while let Some(parent) = found.get(next).cloned() {
            match self.session.children(&parent).await {
                Ok(names) => found.extend(names.iter().map(|name| format!("{parent}/{name}"))),
                Err(Error::NoNode(_)) => {}
                Err(error) => return Err(error.into()),
            }
            next += 1;
        }
        for path in found.into_iter().rev() {
            self.delete(path).await?;
        }
        Ok(())
    }

    /// The finalized features, which brokers of 2.7 and later look for.
    pub(super) async fn ensure_feature(&self) -> Result<(), End> {
        if self.session.exists(FeatureNode::PATH).await?.is_some() {
            return Ok(());
        }
        let node = FeatureNode { status: FeatureStatus::Enabled, features: BTreeMap::new() };
        match self.session.create(FeatureNode::PATH, Some(&node.encode()), CreateMode::Persistent).await {
            Ok(_) | Err(Error::NodeExists(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn allocate_producer_ids(
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
