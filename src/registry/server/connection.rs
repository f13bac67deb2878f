//! One client's connection: frames in, frames out, each at its own pace.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::acl::Identity;
use super::sessions::ConnectionId;
use super::state::Peer;
use super::txn_log::Lsn;
use super::{Shared, TcpStream, four_letter_words};

/// A connection that has not introduced itself by then is closed. Source: `zookeeper.nio.sessionlessCnxnTimeout`.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// No further request of a connection is read while so many bytes wait to be sent to it.
const OUTBOX_BYTES_BUSY: usize = 1 << 20;

/// A connection with so many bytes waiting does not read; it is closed. Only events get it beyond the limit above,
/// and single answers: the largest sensible one, 100,000 names, takes some 25 MB.
const OUTBOX_BYTES_MAX: usize = 64 << 20;

/// How long a closed connection may take to read what it was owed.
const LINGER: Duration = Duration::from_secs(2);

/// What waits to be sent on one connection: whole frames.
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    wake_writer: Notify,
    wake_reader: Notify,
    closed: watch::Sender<bool>,
}

/// Frames, one behind the other.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// How far the log must be on disk before they may leave.
    lsn: Lsn,
    /// When the first of them was queued.
    since: Option<Instant>,
}

impl Outbox {
    fn new() -> Outbox {
        Outbox {
            queue: Mutex::default(),
            wake_writer: Notify::new(),
            wake_reader: Notify::new(),
            closed: watch::Sender::new(false),
        }
    }

    /// Queues a frame that may leave when the log is on disk up to `lsn`.
    pub(super) fn push(&self, lsn: Lsn, frame: Vec<u8>) {
        let mut queue = self.queue.lock();
        if queue.bytes.len() + frame.len() > OUTBOX_BYTES_MAX {
            queue.bytes = Vec::new();
            drop(queue);
            warn!("registry client closed: it does not read what it is sent");
            return self.close();
        }
        match queue.bytes.is_empty() {
            true => queue.bytes = frame,
            false => queue.bytes.extend_from_slice(&frame),
        }
        queue.lsn = queue.lsn.max(lsn);
        queue.since.get_or_insert_with(Instant::now);
        self.wake_writer.notify_one();
    }

    /// Sends what is queued, and then hangs up.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
        self.wake_writer.notify_one();
    }

    fn take(&self) -> Queue {
        std::mem::take(&mut *self.queue.lock())
    }

    pub(super) fn queued_bytes(&self) -> usize {
        self.queue.lock().bytes.len()
    }
}

/// Why a connection is no longer read.
enum End {
    /// It was closed by either side.
    Closed,
    Malformed(&'static str),
}

/// Serves a new connection in tasks of its own.
pub(super) fn spawn(shared: &Arc<Shared>, stream: TcpStream, address: SocketAddr) {
    let id = shared.next_connection.fetch_add(1, Ordering::Relaxed);
    let outbox = Arc::new(Outbox::new());
    {
        let mut locked = shared.locked.lock();
        let identity = Identity::new(address.ip());
        let is_from_there = |peer: &&Peer| peer.identity.address() == identity.address();
        let from_there = || locked.state.peers.values().filter(is_from_there).count();
        let max = shared.config.max_client_connections;
        if max > 0 && from_there() >= max {
            warn!(%address, max, "registry client refused: too many connections from its address");
            return;
        }
        locked.state.connected(id, address.to_string(), identity);
        locked.outboxes.insert(id, outbox.clone());
    }
    // Answers are small and awaited.
    let _ = stream.set_nodelay(true);
    let (read, write) = stream.into_split();
    let writer = tokio::spawn(send(shared.clone(), outbox.clone(), write));
    let shared = shared.clone();
    tokio::spawn(async move {
        if let End::Malformed(what) = receive(&shared, id, &outbox, read).await {
            warn!(%address, what, "registry client closed: it sent something malformed");
        }
        {
            let mut locked = shared.locked.lock();
            shared.forget(&mut locked, id);
        }
        outbox.close();
        drop(shared);
        let _ = writer.await;
        debug!(%address, "registry client gone");
    });
}

/// Reads frames until the connection ends.
async fn receive(shared: &Shared, id: ConnectionId, outbox: &Outbox, mut socket: OwnedReadHalf) -> End {
    let mut closed = outbox.closed.subscribe();
    let mut buffer = BytesMut::new();
    let mut introduced = false;
    loop {
        while outbox.queued_bytes() > OUTBOX_BYTES_BUSY {
            tokio::select! {
                () = outbox.wake_reader.notified() => {}
                _ = closed.wait_for(|closed| *closed) => return End::Closed,
            }
        }
        let patience = if introduced { Duration::MAX } else { HANDSHAKE_TIMEOUT };
        let frame = tokio::select! {
            frame = timeout(patience, next_frame(&mut socket, &mut buffer, shared.config.frame_bytes_max)) => frame,
            _ = closed.wait_for(|closed| *closed) => return End::Closed,
        };
        match frame {
            Err(_) => return End::Closed,
            Ok(Err(end)) => return end,
            Ok(Ok(Incoming::Word(word))) if !introduced => {
                let answer = four_letter_words::answer(shared, &word);
                outbox.push(0, answer.into_bytes());
                return End::Closed;
            }
            Ok(Ok(Incoming::Word(_))) => return End::Malformed("frame length"),
            Ok(Ok(Incoming::Frame(frame))) => {
                introduced = true;
                let now = shared.now();
                let mut locked = shared.locked.lock();
                match locked.state.handle(id, &frame, now) {
                    Ok(effects) => shared.carry_out(&mut locked, effects),
                    Err(malformed) => return End::Malformed(malformed.0),
                }
            }
        }
    }
}

enum Incoming {
    Frame(BytesMut),
    /// Four letters where a length should be.
    Word(String),
}

/// Reads one frame. May be cancelled: what was read stays in the buffer, which grows only by what has arrived.
async fn next_frame(socket: &mut OwnedReadHalf, buffer: &mut BytesMut, bytes_max: usize) -> Result<Incoming, End> {
    loop {
        if let Some(prefix) = buffer.first_chunk::<4>() {
            if four_letter_words::is_word(prefix) {
                return Ok(Incoming::Word(prefix.iter().map(|byte| char::from(*byte)).collect()));
            }
            let length = u32::from_be_bytes(*prefix) as usize;
            if length > bytes_max {
                return Err(End::Malformed("frame length"));
            }
            if buffer.len() >= 4 + length {
                buffer.advance(4);
                let frame = buffer.split_to(length);
                if buffer.is_empty() {
                    // An idle connection holds no buffer.
                    *buffer = BytesMut::new();
                }
                return Ok(Incoming::Frame(frame));
            }
        }
        match socket.read_buf(buffer).await {
            Ok(0) | Err(_) => return Err(End::Closed),
            Ok(_) => {}
        }
    }
}

/// Sends what the outbox holds, behind the log.
async fn send(shared: Arc<Shared>, outbox: Arc<Outbox>, mut socket: OwnedWriteHalf) {
    let mut durable = shared.log.durable();
    let mut closed = outbox.closed.subscribe();
    loop {
        // Looked at before the queue: what was queued before the closing is still sent.
        let closing = *closed.borrow();
        let queue = outbox.take();
        if queue.bytes.is_empty() {
            if closing {
                return;
            }
            outbox.wake_writer.notified().await;
            continue;
        }
        if durable.wait_for(|durable| *durable >= queue.lsn).await.is_err() {
            // The disk has refused: what these frames tell may not have happened.
            return outbox.close();
        }
        let sent = tokio::select! {
            sent = socket.write_all(&queue.bytes) => sent.is_ok(),
            () = lingered(&mut closed) => false,
        };
        if !sent {
            return outbox.close();
        }
        if let Some(since) = queue.since {
            shared.latency.record(since.elapsed());
        }
        outbox.wake_reader.notify_one();
    }
}

async fn lingered(closed: &mut watch::Receiver<bool>) {
    let _ = closed.wait_for(|closed| *closed).await;
    tokio::time::sleep(LINGER).await;
}
