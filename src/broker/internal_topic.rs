//! The brokers' own topics, as their coordinators lean on them: a coordinator's records go through replication like
//! everyone else's, and a coordinator is told when this broker begins or ceases to lead one of its partitions.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::group::{self, GroupCoordinator, OffsetsLog};
use crate::replication::delayed::{Awaits, Parked};
use crate::replication::{Appended, LeadershipChange, LeadershipListener, Replica, ReplicaManager};
use crate::transaction::{self, StateLog, TransactionCoordinator};
use crate::wire::ErrorCode;

/// The partitions of one internal topic on this broker.
pub(super) struct InternalTopic {
    name: &'static str,
    /// The manager's listener knows the coordinator, so the coordinator only knows the manager weakly.
    replicas: Weak<ReplicaManager>,
    /// How long an append waits for enough replicas; None: it does not.
    timeout: Option<Duration>,
}

impl InternalTopic {
    pub fn new(name: &'static str, replicas: &Arc<ReplicaManager>, timeout: Duration) -> InternalTopic {
        InternalTopic { name, replicas: Arc::downgrade(replicas), timeout: Some(timeout) }
    }

    /// The same, but an append is done as soon as the leader has it (`offsets.commit.required.acks` 0 or 1).
    pub fn without_waiting(self) -> InternalTopic {
        InternalTopic { timeout: None, ..self }
    }

    fn append(&self, partition: i32, mut batch: Vec<u8>) -> Pin<Box<dyn Future<Output = ErrorCode> + Send>> {
        let Some(replicas) = self.replicas.upgrade() else {
            return Box::pin(std::future::ready(ErrorCode::NOT_COORDINATOR));
        };
        let timeout = self.timeout;
        let appended = replicas.append_internal(self.name, partition, &mut batch);
        Box::pin(async move {
            match appended {
                Ok((replica, appended)) => match timeout {
                    Some(timeout) => committed(&replica, &appended, timeout).await,
                    None => ErrorCode::NONE,
                },
                Err(code) => code,
            }
        })
    }

    fn read(&self, partition: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode> {
        let replicas = self.replicas.upgrade().ok_or(ErrorCode::NOT_COORDINATOR)?;
        let replica = replicas.replica(self.name, partition)?;
        replica.check_leader(None)?;
        replica.read_all(visit).map_err(|error| error.code())
    }
}

impl OffsetsLog for InternalTopic {
    fn append(&self, partition: i32, batch: Vec<u8>) -> group::CommittedFuture {
        InternalTopic::append(self, partition, batch)
    }

    fn read(&self, partition: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode> {
        InternalTopic::read(self, partition, visit)
    }
}

impl StateLog for InternalTopic {
    fn append(&self, partition: i32, batch: Vec<u8>) -> transaction::CommittedFuture {
        InternalTopic::append(self, partition, batch)
    }

    fn read(&self, partition: i32, visit: &mut dyn FnMut(&[u8])) -> Result<(), ErrorCode> {
        InternalTopic::read(self, partition, visit)
    }
}

/// Waits until enough replicas have what was appended.
pub(super) async fn committed(replica: &Replica, appended: &Appended, timeout: Duration) -> ErrorCode {
    let look = || match replica.is_replicated(appended) {
        Ok(true) => Some(ErrorCode::NONE),
        Ok(false) => None,
        Err(code) => Some(code),
    };
    if let Some(code) = look() {
        return code;
    }
    let parked = Parked::at([replica.parking.clone()], Awaits::HighWatermark);
    let waiting = async {
        loop {
            if let Some(code) = look() {
                return code;
            }
            parked.moved().await;
        }
    };
    tokio::time::timeout(timeout, waiting).await.unwrap_or(ErrorCode::REQUEST_TIMED_OUT)
}

/// Loads and unloads what the coordinators keep as this broker's part in their topics changes.
pub(super) fn follow_leadership(
    groups: Arc<GroupCoordinator>,
    transactions: Arc<TransactionCoordinator>,
) -> LeadershipListener {
    Box::new(move |changes| {
        let of = |topic: &str| {
            let (mut elected, mut resigned) = (Vec::new(), Vec::new());
            for (name, change) in changes.iter().filter(|(name, _)| &*name.topic == topic) {
                match change {
                    LeadershipChange::Elected { leader_epoch } => elected.push((name.partition, *leader_epoch)),
                    LeadershipChange::Resigned => resigned.push(name.partition),
                }
            }
            (elected, resigned)
        };
        let (elected, resigned) = of(group::TOPIC);
        groups.resign(&resigned);
        // A large partition takes its time, and the controller waits for its answer.
        if !elected.is_empty() {
            let groups = groups.clone();
            tokio::task::spawn_blocking(move || groups.load(&elected));
        }
        let (elected, resigned) = of(transaction::TOPIC);
        transactions.resign(&resigned);
        if !elected.is_empty() {
            let transactions = transactions.clone();
            tokio::task::spawn_blocking(move || transactions.load(&elected));
        }
    })
}
