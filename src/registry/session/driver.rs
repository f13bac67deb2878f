//! The task behind a session: connection, pings, order, repeats, watches.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, warn};

use super::{Config, State, WatchEvent};
use crate::registry::jute::{Malformed, Reader, Writer};
use crate::registry::proto::{Code, EventKind, op, xid};

/// A request on its way, kept until it is answered so that it can be sent again on the next connection.
pub struct Request {
    pub opcode: i32,
    /// What follows the request header.
    pub body: Vec<u8>,
    pub reply: oneshot::Sender<Result<Answer, Lost>>,
    pub watch: Option<Watcher>,
    /// It was sent on a connection that was lost before the answer came.
    pub repeated: bool,
}

/// What the registry answered.
#[derive(Debug)]
pub struct Answer {
    pub code: Code,
    pub body: Bytes,
    /// The request was sent more than once, so it may be its own first attempt that it met.
    pub repeated: bool,
}

/// No server was to be found for a session timeout.
#[derive(Debug)]
pub struct Lost;

/// Someone who waits for a change of a znode.
pub struct Watcher {
    pub kind: WatchKind,
    /// The path with the chroot.
    pub absolute: String,
    /// The path without.
    pub path: String,
    pub sender: oneshot::Sender<WatchEvent>,
}

/// The three lists in which the registry keeps watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// Of a znode that is there: getData and exists.
    Data,
    /// Of a znode that is not there yet.
    Exist,
    Child,
}

/// An answer longer than this is a mistake. A list of 100,000 topics with names of 249 letters takes 25 MB.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// setWatches is sent in pieces of about this size, since a server takes frames of 1 MiB. Source: `ClientCnxn`.
const SET_WATCHES_BYTES_MAX: usize = 128 << 10;

/// No further request is taken while so much waits to be written.
const OUTBOUND_BYTES_MAX: usize = 256 << 10;

/// Pauses between rounds of connection attempts; the first is short for a server that is just starting.
const BACKOFF_MIN: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(1000);

pub struct Driver {
    config: Config,
    queue: mpsc::UnboundedReceiver<Request>,
    states: watch::Sender<State>,
    session_id: i64,
    password: Vec<u8>,
    /// As negotiated.
    session_timeout: Duration,
    last_zxid: i64,
    last_xid: i32,
    /// Sent and not answered, in order.
    in_flight: VecDeque<(i32, Request)>,
    watches: HashMap<(WatchKind, String), Vec<Watcher>>,
    next_server: usize,
}

/// Why the work on one connection ended.
enum End {
    /// The connection is of no use any more; another may be.
    Connection(String),
    Expired,
    Closed,
}

impl From<io::Error> for End {
    fn from(err: io::Error) -> End {
        End::Connection(err.to_string())
    }
}

impl From<Malformed> for End {
    fn from(err: Malformed) -> End {
        End::Connection(err.to_string())
    }
}

impl Driver {
    pub(super) fn new(config: Config, queue: mpsc::UnboundedReceiver<Request>, states: watch::Sender<State>) -> Driver {
        Driver {
            session_timeout: config.session_timeout,
            // Clients of one cluster start at different servers.
            next_server: std::process::id() as usize % config.servers.servers.len(),
            config,
            queue,
            states,
            session_id: 0,
            password: vec![0; 16],
            last_zxid: 0,
            last_xid: 0,
            in_flight: VecDeque::new(),
            watches: HashMap::new(),
        }
    }

    /// Runs until the session has expired or is closed.
    pub async fn run(mut self) {
        let last = loop {
            let mut connection = match self.connect().await {
                Ok(connection) => connection,
                Err(last) => break last,
            };
            let Err(end) = self.serve(&mut connection).await;
            match end {
                End::Connection(why) => {
                    debug!(session = format_args!("0x{:x}", self.session_id), why, "registry connection lost");
                    self.states.send_replace(State::Connecting);
                }
                End::Expired => break State::Expired,
                End::Closed => break State::Closed,
            }
        };
        if last == State::Expired {
            warn!(session = format_args!("0x{:x}", self.session_id), "registry session expired");
        }
        self.states.send_replace(last);
        // Dropping `self` ends every request and every watch; both read the last state.
    }

    /// Tries server after server until one accepts the session.
    async fn connect(&mut self) -> Result<Connection, State> {
        let lost_at = Instant::now();
        let mut backoff = BACKOFF_MIN;
        loop {
            for _ in 0..self.config.servers.servers.len() {
                let index = self.next_server % self.config.servers.servers.len();
                match self.connect_to(index).await {
                    Ok(connection) => return Ok(connection),
                    Err(End::Expired) => return Err(State::Expired),
                    Err(End::Closed) => return Err(State::Closed),
                    Err(End::Connection(why)) => {
                        let (host, port) = &self.config.servers.servers[index];
                        debug!(%host, port, why, "registry not reached");
                        self.next_server = index + 1;
                    }
                }
            }
            if self.queue.is_closed() && self.queue.is_empty() {
                // Nobody is left to care for; the registry will expire the session.
                return Err(State::Closed);
            }
            if lost_at.elapsed() >= self.session_timeout {
                self.fail_waiting();
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Ends every request that waits; a new one gets its own chance.
    fn fail_waiting(&mut self) {
        for (_, request) in self.in_flight.drain(..) {
            let _ = request.reply.send(Err(Lost));
        }
        while let Ok(request) = self.queue.try_recv() {
            let _ = request.reply.send(Err(Lost));
        }
    }

    async fn connect_to(&mut self, index: usize) -> Result<Connection, End> {
        let (host, port) = self.config.servers.servers[index].clone();
        let patience = (self.session_timeout / self.config.servers.servers.len() as u32)
            .min(self.config.connection_timeout)
            .max(Duration::from_millis(100));
        let unreachable = || End::Connection("timed out".to_owned());
        let stream =
            timeout(patience, TcpStream::connect((host.as_str(), port))).await.map_err(|_| unreachable())??;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let inbound = Inbound { socket: read, buffer: BytesMut::new() };
        let outbound = Outbound { socket: write, buffer: BytesMut::new() };
        let mut connection = Connection { inbound, outbound };
        timeout(patience, self.establish(&mut connection)).await.map_err(|_| unreachable())??;
        Ok(connection)
    }

    /// The handshake; then what the last connection owed: watches and unanswered requests.
    async fn establish(&mut self, connection: &mut Connection) -> Result<(), End> {
        let mut w = Writer::frame();
        let timeout_ms = self.config.session_timeout.as_millis().min(i32::MAX as u128) as i32;
        w.i32(0).i64(self.last_zxid).i32(timeout_ms).i64(self.session_id).buffer(Some(&self.password)).bool(false);
        connection.outbound.buffer.extend_from_slice(&w.into_frame());
        connection.outbound.flush().await?;
        let frame = connection.inbound.next_frame().await?;
        let mut r = Reader::new(&frame);
        r.i32()?;
        let timeout_ms = r.i32()?;
        let session_id = r.i64()?;
        if session_id == 0 || timeout_ms <= 0 {
            return Err(if self.session_id == 0 { End::Connection("refused".to_owned()) } else { End::Expired });
        }
        self.password = r.buffer()?.unwrap_or_default().to_vec();
        self.session_id = session_id;
        self.session_timeout = Duration::from_millis(timeout_ms as u64);
        debug!(session = format_args!("0x{session_id:x}"), timeout_ms, "registry session established");
        self.set_watches(&mut connection.outbound);
        self.repeat_unanswered(&mut connection.outbound);
        self.states.send_replace(State::Connected { session_id });
        Ok(())
    }

    fn set_watches(&mut self, outbound: &mut Outbound) {
        self.watches.retain(|_, watchers| {
            watchers.retain(|watcher| !watcher.sender.is_closed());
            !watchers.is_empty()
        });
        let mut lists: [Vec<&str>; 3] = Default::default();
        let mut bytes = 0;
        let mut flush = |lists: &mut [Vec<&str>; 3]| {
            let mut w = Writer::frame();
            w.i32(xid::SET_WATCHES).i32(op::SET_WATCHES).i64(self.last_zxid);
            for list in lists {
                w.strings(list.drain(..));
            }
            outbound.buffer.extend_from_slice(&w.into_frame());
        };
        for (kind, path) in self.watches.keys() {
            lists[*kind as usize].push(path);
            bytes += path.len() + 4;
            if bytes >= SET_WATCHES_BYTES_MAX {
                flush(&mut lists);
                bytes = 0;
            }
        }
        if bytes > 0 {
            flush(&mut lists);
        }
    }

    fn repeat_unanswered(&mut self, outbound: &mut Outbound) {
        for (_, mut request) in std::mem::take(&mut self.in_flight) {
            if !request.reply.is_closed() {
                request.repeated = true;
                self.send(request, outbound);
            }
        }
    }

    fn send(&mut self, request: Request, outbound: &mut Outbound) {
        // Positive numbers only: the others have meanings.
        self.last_xid = if self.last_xid == i32::MAX { 1 } else { self.last_xid + 1 };
        outbound.send(self.last_xid, request.opcode, &request.body);
        self.in_flight.push_back((self.last_xid, request));
    }

    async fn serve(&mut self, connection: &mut Connection) -> Result<Infallible, End> {
        // As Apache's client: a ping after a third of the session timeout without sending, and the server is given
        // up when nothing came for two thirds, so that another can be found in time.
        let ping_after = self.session_timeout / 3;
        let give_up_after = self.session_timeout * 2 / 3;
        let mut last_sent = Instant::now();
        let mut last_heard = Instant::now();
        loop {
            let Connection { inbound, outbound } = connection;
            let may_send = outbound.buffer.len() < OUTBOUND_BYTES_MAX;
            tokio::select! {
                biased;
                frame = inbound.next_frame() => {
                    last_heard = Instant::now();
                    self.receive(frame?)?;
                }
                // Beside the reading, or two full socket buffers would wait for one another.
                written = outbound.write_some(), if !outbound.buffer.is_empty() => {
                    written?;
                    last_sent = Instant::now();
                }
                request = self.queue.recv(), if may_send => match request {
                    Some(request) => self.send(request, outbound),
                    None => {
                        // The last handle is gone. The answer interests nobody, but the request should get through.
                        outbound.send(0, op::CLOSE_SESSION, &[]);
                        let _ = timeout(give_up_after, outbound.flush()).await;
                        return Err(End::Closed);
                    }
                },
                () = sleep_until((last_sent + ping_after).min(last_heard + give_up_after)) => {
                    if last_heard.elapsed() >= give_up_after {
                        return Err(End::Connection(format!("nothing heard for {give_up_after:?}")));
                    }
                    outbound.send(xid::PING, op::PING, &[]);
                    last_sent = Instant::now();
                }
            }
        }
    }

    /// Takes one frame: an event, or the answer to the oldest request.
    fn receive(&mut self, frame: Bytes) -> Result<(), End> {
        let mut r = Reader::new(&frame);
        let (answered_xid, zxid, code) = (r.i32()?, r.i64()?, Code(r.i32()?));
        match answered_xid {
            xid::NOTIFICATION => return self.fire(&mut r),
            xid::PING | xid::SET_WATCHES | xid::AUTH => return Ok(()),
            _ => {}
        }
        self.last_zxid = self.last_zxid.max(zxid);
        let out_of_order = || End::Connection("an answer without its request".to_owned());
        let (xid, request) = self.in_flight.pop_front().ok_or_else(out_of_order)?;
        if xid != answered_xid {
            self.in_flight.push_front((xid, request));
            return Err(out_of_order());
        }
        if code == Code::SESSION_EXPIRED {
            return Err(End::Expired);
        }
        let Request { opcode, reply, watch, repeated, .. } = request;
        if let Some(watcher) = watch {
            self.watch(watcher, opcode, code);
        }
        let closed = opcode == op::CLOSE_SESSION;
        if closed {
            self.states.send_replace(State::Closed);
        }
        let body = frame.slice_ref(r.rest());
        // Whoever asked may have lost interest.
        let _ = reply.send(Ok(Answer { code, body, repeated }));
        if closed { Err(End::Closed) } else { Ok(()) }
    }

    /// Files a watch where the registry has filed it.
    fn watch(&mut self, watcher: Watcher, opcode: i32, code: Code) {
        let kind = match (opcode, code) {
            (_, Code::OK) => watcher.kind,
            (op::EXISTS, Code::NO_NODE) => WatchKind::Exist,
            _ => return,
        };
        let watchers = self.watches.entry((kind, watcher.absolute.clone())).or_default();
        watchers.retain(|watcher| !watcher.sender.is_closed());
        watchers.push(watcher);
    }

    fn fire(&mut self, r: &mut Reader<'_>) -> Result<(), End> {
        let kind = EventKind::from_wire(r.i32()?);
        r.i32()?;
        let path = r.string()?;
        // A kind without a number here tells of the connection; we know about that ourselves.
        let Some(kind) = kind else { return Ok(()) };
        let lists: &[WatchKind] = match kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => &[WatchKind::Data, WatchKind::Exist],
            EventKind::NodeDeleted => &[WatchKind::Data, WatchKind::Exist, WatchKind::Child],
            EventKind::NodeChildrenChanged => &[WatchKind::Child],
            EventKind::SessionLost => &[],
        };
        for list in lists {
            for watcher in self.watches.remove(&(*list, path.to_owned())).unwrap_or_default() {
                let _ = watcher.sender.send(WatchEvent { kind, path: watcher.path });
            }
        }
        Ok(())
    }
}

/// A connection, its two directions apart so that they do not wait for one another.
struct Connection {
    inbound: Inbound,
    outbound: Outbound,
}

struct Inbound {
    socket: OwnedReadHalf,
    buffer: BytesMut,
}

impl Inbound {
    /// The next frame. May be cancelled: what was read stays in the buffer.
    async fn next_frame(&mut self) -> Result<Bytes, End> {
        loop {
            if let Some(length) = self.buffer.first_chunk::<4>() {
                let length = u32::from_be_bytes(*length) as usize;
                if length > FRAME_BYTES_MAX {
                    return Err(Malformed("frame length").into());
                }
                if self.buffer.len() >= 4 + length {
                    self.buffer.advance(4);
                    return Ok(self.buffer.split_to(length).freeze());
                }
            }
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err(End::Connection("closed by the registry".to_owned()));
            }
        }
    }
}

struct Outbound {
    socket: OwnedWriteHalf,
    buffer: BytesMut,
}

impl Outbound {
    fn send(&mut self, xid: i32, opcode: i32, body: &[u8]) {
        let mut w = Writer::frame();
        w.i32(xid).i32(opcode).bytes(body);
        self.buffer.extend_from_slice(&w.into_frame());
    }

    /// Writes what the socket takes now. May be cancelled.
    async fn write_some(&mut self) -> io::Result<()> {
        self.socket.write_buf(&mut self.buffer).await?;
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.socket.write_all_buf(&mut self.buffer).await
    }
}
