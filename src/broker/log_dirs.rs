//! What the broker does about its log dirs: tells the controller of one that failed, ends when none is left, and has
//! partitions move from one to another.
//!
//! Source: `ReplicaManager.handleLogDirFailure`, `ReplicaAlterLogDirsManager`.

use std::sync::Arc;
use std::time::Duration;

use super::{Broker, wall_ms};
use crate::registry;
use crate::registry::session::CreateMode;
use crate::registry::znodes::LogDirEvent;

/// Pause before the controller is told again.
const RETRY_BACKOFF: Duration = Duration::from_millis(500);
/// Pause between two looks at moves that have nothing to copy just now.
const MOVES_IDLE: Duration = Duration::from_millis(100);

/// Follows failures for as long as the broker runs.
pub(super) async fn follow_failures(broker: Arc<Broker>) {
    let mut failures = broker.logs.failures();
    // Those of the start count: the controller must not wait for partitions that are not there.
    let mut seen = 0;
    loop {
        if *failures.borrow_and_update() == seen && failures.changed().await.is_err() {
            return;
        }
        seen = *failures.borrow();
        if broker.logs.have_all_failed() {
            let dirs: Vec<String> = broker.logs.dirs().iter().map(|dir| dir.path().display().to_string()).collect();
            broker
                .failed
                .send_replace(Some(format!("Shutdown broker because all log dirs in {} have failed", dirs.join(", "))));
            return;
        }
        let replicas = broker.replicas.clone();
        // It waits for requests of the controller that are being carried out.
        let lost = tokio::task::spawn_blocking(move || replicas.log_dirs_failed()).await.unwrap_or_default();
        tracing::warn!("{lost} partitions are offline because their log directory failed");
        tell_controller(&broker).await;
    }
}

async fn tell_controller(broker: &Broker) {
    let event = LogDirEvent { broker_id: broker.id }.encode();
    loop {
        // Before our registration nobody would ask us what we have lost.
        let mut registered = broker.registered.subscribe();
        if registered.wait_for(|epoch| *epoch >= 0).await.is_err() {
            return;
        }
        let prefix = LogDirEvent::path_prefix();
        match broker.session.create(&prefix, Some(&event), CreateMode::PersistentSequential).await {
            Ok(_) | Err(registry::Error::Closed) => return,
            Err(error) => tracing::warn!(%error, "the controller cannot be told of the failed log directory"),
        }
        tokio::time::sleep(RETRY_BACKOFF).await;
    }
}

/// Moves what is to move for as long as the broker runs: what the last life has begun, and what is asked for.
pub(super) async fn follow_moves(broker: Arc<Broker>) {
    loop {
        if !broker.logs.has_moves() {
            broker.moves.notified().await;
        }
        let logs = broker.logs.clone();
        let copied = tokio::task::spawn_blocking(move || logs.advance_moves(wall_ms())).await.unwrap_or_default();
        if copied == 0 {
            tokio::time::sleep(MOVES_IDLE).await;
        }
    }
}
