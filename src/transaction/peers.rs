//! Connections to other brokers, one each, kept until they fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::network::{Error, Peer};
use crate::wire::Request;

/// Connections by `host:port`.
#[derive(Debug)]
pub(super) struct Peers {
    client_id: String,
    open: Mutex<HashMap<String, Arc<Peer>>>,
}

impl Peers {
    pub fn new(broker_id: i32) -> Peers {
        Peers { client_id: broker_id.to_string(), open: Mutex::default() }
    }

    /// Asks the broker at `address`; connecting and answering may take `timeout` each.
    ///
    /// # Errors
    /// Whatever prevented it; the connection is given up.
    pub async fn call<R: Request>(
        &self,
        address: &str,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, Error> {
        let peer = self.peer(address, timeout).await?;
        let answer = peer.call_within(request, version, timeout).await;
        if answer.is_err() {
            let mut open = self.open.lock().await;
            // Another may have connected anew already.
            if open.get(address).is_some_and(|known| Arc::ptr_eq(known, &peer)) {
                open.remove(address);
            }
        }
        answer
    }

    async fn peer(&self, address: &str, timeout: Duration) -> Result<Arc<Peer>, Error> {
        if let Some(peer) = self.open.lock().await.get(address) {
            return Ok(peer.clone());
        }
        let peer = Arc::new(Peer::connect_within(address, &self.client_id, timeout).await?);
        Ok(self.open.lock().await.entry(address.to_owned()).or_insert(peer).clone())
    }
}
