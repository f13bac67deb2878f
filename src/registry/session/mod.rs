//! The client: a session with any ZooKeeper ≥ 3.5, our embedded one included.
//!
//! A [`Session`] is a handle; clones share one session. A task behind it keeps the connection: it pings, moves to
//! the next server when one is lost, sends again what was not answered, and sets the watches again. What it cannot
//! mend is expiry: the ephemerals are gone, and only the caller knows what they meant. Every request then ends in
//! [`Error::SessionExpired`], every watch in [`EventKind::SessionLost`], until someone calls [`Session::rebuild`].
//!
//! Order: requests are sent in the order in which their futures are first polled, and pipelined.
//!
//! Repeats: a request whose answer was lost with the connection is sent again, so it may have been applied already.
//! `create` of an ephemeral then recognises its own; other callers may see `NodeExists`, `NoNode` or `BadVersion`
//! from their own first attempt and must read back where that matters, as Kafka's `KafkaZkClient` does.

mod connect_string;
mod driver;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use crate::registry::Error;
use crate::registry::jute::{Malformed, Reader, Writer};
use crate::registry::proto::{Acl, Code, op};
pub use crate::registry::proto::{CreateMode, EventKind, Stat};
use connect_string::ConnectString;
use driver::{Answer, Driver, Request, WatchKind};

/// A session with a registry. Clones share it.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

struct Shared {
    config: Config,
    /// The session of now; [`Session::rebuild`] puts another in its place.
    current: Mutex<Current>,
    /// Lets one caller rebuild at a time.
    rebuilding: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Config {
    servers: ConnectString,
    session_timeout: Duration,
    connection_timeout: Duration,
}

#[derive(Clone)]
struct Current {
    requests: mpsc::UnboundedSender<Request>,
    state: watch::Receiver<State>,
}

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No server answers right now; the session may still be alive.
    Connecting,
    Connected {
        session_id: i64,
    },
    /// The registry has dropped it: [`rebuild`](Session::rebuild).
    Expired,
    /// [`close`](Session::close) was called.
    Closed,
}

/// One change of a [`multi`](Session::multi).
#[derive(Debug, Clone)]
pub enum Op {
    Create {
        path: String,
        data: Option<Vec<u8>>,
        mode: CreateMode,
    },
    Set {
        path: String,
        data: Vec<u8>,
        version: i32,
    },
    Delete {
        path: String,
        version: i32,
    },
    /// Fails the whole unless the znode has this version.
    Check {
        path: String,
        version: i32,
    },
}

impl Op {
    pub fn create(path: impl Into<String>, data: Option<&[u8]>, mode: CreateMode) -> Op {
        Op::Create { path: path.into(), data: data.map(<[u8]>::to_vec), mode }
    }

    pub fn set(path: impl Into<String>, data: impl Into<Vec<u8>>, version: i32) -> Op {
        Op::Set { path: path.into(), data: data.into(), version }
    }

    pub fn delete(path: impl Into<String>, version: i32) -> Op {
        Op::Delete { path: path.into(), version }
    }

    pub fn check(path: impl Into<String>, version: i32) -> Op {
        Op::Check { path: path.into(), version }
    }

    fn path(&self) -> &str {
        match self {
            Op::Create { path, .. } | Op::Set { path, .. } | Op::Delete { path, .. } | Op::Check { path, .. } => path,
        }
    }
}

/// What one [`Op`] of a successful [`multi`](Session::multi) did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResult {
    /// The path, with its number if sequential.
    Created(String),
    Set(Stat),
    Deleted,
    Checked,
}

/// Why a [`multi`](Session::multi) was not applied; none of it was.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct MultiError {
    /// Which operation failed; `None`: the request as a whole.
    pub index: Option<usize>,
    #[source]
    pub error: Error,
}

impl From<MultiError> for Error {
    fn from(failed: MultiError) -> Error {
        failed.error
    }
}

/// A watch that fires once: a future of what happened.
///
/// Dropping it is free: the event, when it comes, is ignored.
#[derive(Debug)]
pub struct Watch {
    path: String,
    event: oneshot::Receiver<WatchEvent>,
}

/// What a [`Watch`] saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    pub kind: EventKind,
    /// The path that was watched, as the caller wrote it.
    pub path: String,
}

impl Future for Watch {
    type Output = WatchEvent;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<WatchEvent> {
        Pin::new(&mut self.event).poll(cx).map(|event| {
            event.unwrap_or_else(|_| WatchEvent { kind: EventKind::SessionLost, path: std::mem::take(&mut self.path) })
        })
    }
}

impl Session {
    /// Starts a session and returns when it is established.
    ///
    /// `connect_string`: `host:port,host:port/chroot`. `session_timeout`: what we ask for; the registry clamps it.
    /// The chroot need not exist yet, see [`ensure_chroot`](Session::ensure_chroot).
    ///
    /// # Errors
    /// `Config` for a connect string without a meaning; `Timeout` when no server answered within
    /// `connection_timeout`.
    pub async fn connect(
        connect_string: &str,
        session_timeout: Duration,
        connection_timeout: Duration,
    ) -> Result<Session, Error> {
        let config = Config { servers: connect_string.parse()?, session_timeout, connection_timeout };
        let current = start(&config).await?;
        let shared = Shared { config, current: Mutex::new(current), rebuilding: Default::default() };
        Ok(Session { shared: Arc::new(shared) })
    }

    /// Where the session stands now.
    pub fn state(&self) -> State {
        *self.shared.current.lock().state.borrow()
    }

    /// The session's id, as znodes name it in `ephemeral_owner`; `None` while there is no connection.
    pub fn session_id(&self) -> Option<i64> {
        match self.state() {
            State::Connected { session_id } => Some(session_id),
            State::Connecting | State::Expired | State::Closed => None,
        }
    }

    /// Every change of [`State`] of the present session (not of the one that [`rebuild`](Session::rebuild) makes).
    pub fn states(&self) -> watch::Receiver<State> {
        self.shared.current.lock().state.clone()
    }

    /// Returns when the present session has expired or was closed; at once if so already.
    pub async fn lost(&self) {
        let mut state = self.states();
        // An error is a driver that is gone, which is as lost as can be.
        let _ = state.wait_for(|state| matches!(state, State::Expired | State::Closed)).await;
    }

    /// Starts a new session in this handle and all its clones; ephemerals and watches are the caller's to make again.
    ///
    /// Does nothing if the session is alive (another caller was faster).
    ///
    /// # Errors
    /// As [`connect`](Session::connect); the old state then remains and one may try again. `Closed` after `close`.
    pub async fn rebuild(&self) -> Result<(), Error> {
        let _one_at_a_time = self.shared.rebuilding.lock().await;
        match self.state() {
            State::Connecting | State::Connected { .. } => return Ok(()),
            State::Closed => return Err(Error::Closed),
            State::Expired => {}
        }
        let current = start(&self.shared.config).await?;
        *self.shared.current.lock() = current;
        Ok(())
    }

    /// Ends the session at the registry, which removes its ephemerals at once.
    ///
    /// Dropping the last handle does the same, without waiting for it.
    pub async fn close(&self) {
        let _ = self.call(op::CLOSE_SESSION, "", Vec::new(), None).await;
    }

    /// Creates a znode and returns its path (with its number if `mode` is sequential). `None` is null data.
    ///
    /// # Errors
    /// `NodeExists`; `NoNode` if the parent is missing; `NoChildrenForEphemerals`.
    pub async fn create(&self, path: &str, data: Option<&[u8]>, mode: CreateMode) -> Result<String, Error> {
        let mut w = Writer::new();
        write_create(&mut w, &self.absolute(path)?, data, mode);
        let opcode = if mode == CreateMode::Container { op::CREATE_CONTAINER } else { op::CREATE };
        let answer = match self.call(opcode, path, w.into_bytes(), None).await {
            // The first attempt may have succeeded before the connection was lost; then the znode is ours.
            Err(Failure { code: Some(Code::NODE_EXISTS), repeated: true, .. }) if mode == CreateMode::Ephemeral => {
                let owner = self.exists(path).await?.map(|stat| stat.ephemeral_owner);
                return match owner.is_some() && owner == self.session_id() {
                    true => Ok(path.to_owned()),
                    false => Err(Error::NodeExists(path.to_owned())),
                };
            }
            answer => answer?,
        };
        let created = parsed(Reader::new(&answer.body).string())?;
        Ok(self.relative(created))
    }

    /// Creates a znode, and its parents (persistent, null) where they are missing.
    ///
    /// # Errors
    /// As [`create`](Session::create).
    pub async fn create_with_parents(
        &self,
        path: &str,
        data: Option<&[u8]>,
        mode: CreateMode,
    ) -> Result<String, Error> {
        match self.create(path, data, mode).await {
            Err(Error::NoNode(_)) if path.rfind('/').is_some_and(|slash| slash > 0) => {}
            result => return result,
        }
        self.create_parents(path).await?;
        self.create(path, data, mode).await
    }

    /// Creates the chroot of the connect string, if it has one and it is missing.
    ///
    /// # Errors
    /// `NoAuth` and the like.
    pub async fn ensure_chroot(&self) -> Result<(), Error> {
        let chroot = &self.shared.config.servers.chroot;
        if chroot.is_empty() || self.exists("/").await?.is_some() {
            return Ok(());
        }
        for end in element_ends(chroot) {
            let mut w = Writer::new();
            write_create(&mut w, &chroot[..end], None, CreateMode::Persistent);
            match self.call(op::CREATE, &chroot[..end], w.into_bytes(), None).await {
                Ok(_) | Err(Failure { code: Some(Code::NODE_EXISTS), .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Ok(())
    }

    /// Returns a znode's data (null as empty) and statistics.
    ///
    /// # Errors
    /// `NoNode`.
    pub async fn get(&self, path: &str) -> Result<(Bytes, Stat), Error> {
        let answer = self.read(op::GET_DATA, path, None).await?;
        read_data(&answer)
    }

    /// [`get`](Session::get), and a watch on data and deletion.
    pub async fn get_and_watch(&self, path: &str) -> Result<(Bytes, Stat, Watch), Error> {
        let (sender, watch) = self.watch(path);
        let answer = self.read(op::GET_DATA, path, Some(sender)).await?;
        let (data, stat) = read_data(&answer)?;
        Ok((data, stat, watch))
    }

    /// Returns a znode's statistics, `None` if it does not exist.
    pub async fn exists(&self, path: &str) -> Result<Option<Stat>, Error> {
        found(self.read(op::EXISTS, path, None).await)
    }

    /// [`exists`](Session::exists), and a watch on creation, data and deletion.
    pub async fn exists_and_watch(&self, path: &str) -> Result<(Option<Stat>, Watch), Error> {
        let (sender, watch) = self.watch(path);
        let stat = found(self.read(op::EXISTS, path, Some(sender)).await)?;
        Ok((stat, watch))
    }

    /// Returns the names of a znode's children, in no order.
    ///
    /// # Errors
    /// `NoNode`.
    pub async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        let answer = self.read(op::GET_CHILDREN2, path, None).await?;
        parsed(Reader::new(&answer.body).strings())
    }

    /// [`children`](Session::children), and a watch on their coming and going and on the znode's deletion.
    pub async fn children_and_watch(&self, path: &str) -> Result<(Vec<String>, Watch), Error> {
        let (sender, watch) = self.watch(path);
        let answer = self.read(op::GET_CHILDREN2, path, Some(sender)).await?;
        Ok((parsed(Reader::new(&answer.body).strings())?, watch))
    }

    /// Replaces a znode's data. `version`: the expected one, -1 for any. Returns the new statistics.
    ///
    /// # Errors
    /// `NoNode`, `BadVersion`.
    pub async fn set(&self, path: &str, data: &[u8], version: i32) -> Result<Stat, Error> {
        let mut w = Writer::new();
        w.string(&self.absolute(path)?).buffer(Some(data)).i32(version);
        let answer = self.call(op::SET_DATA, path, w.into_bytes(), None).await?;
        parsed(Stat::read(&mut Reader::new(&answer.body)))
    }

    /// Deletes a znode without children. `version`: the expected one, -1 for any.
    ///
    /// # Errors
    /// `NoNode`, `BadVersion`, `NotEmpty`.
    pub async fn delete(&self, path: &str, version: i32) -> Result<(), Error> {
        let mut w = Writer::new();
        w.string(&self.absolute(path)?).i32(version);
        self.call(op::DELETE, path, w.into_bytes(), None).await?;
        Ok(())
    }

    /// Deletes a znode and all below it; nothing is fine too. Not atomic.
    pub async fn delete_recursive(&self, path: &str) -> Result<(), Error> {
        let mut found = vec![path.to_owned()];
        let mut next = 0;
        while let Some(parent) = found.get(next).cloned() {
            match self.children(&parent).await {
                Ok(names) => found.extend(names.iter().map(|name| format!("{}/{name}", parent.trim_end_matches('/')))),
                Err(Error::NoNode(_)) => {}
                Err(err) => return Err(err),
            }
            next += 1;
        }
        for path in found.iter().rev() {
            match self.delete(path, -1).await {
                Ok(()) | Err(Error::NoNode(_)) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Applies all operations or none.
    ///
    /// # Errors
    /// The first failure and which operation it was.
    pub async fn multi(&self, ops: &[Op]) -> Result<Vec<OpResult>, MultiError> {
        let whole = |error| MultiError { index: None, error };
        let mut w = Writer::new();
        for op in ops {
            let path = self.absolute(op.path()).map_err(whole)?;
            match op {
                Op::Create { data, mode, .. } => {
                    let opcode = if *mode == CreateMode::Container { op::CREATE_CONTAINER } else { op::CREATE };
                    write_multi_header(&mut w, opcode, false);
                    write_create(&mut w, &path, data.as_deref(), *mode);
                }
                Op::Set { data, version, .. } => {
                    write_multi_header(&mut w, op::SET_DATA, false);
                    w.string(&path).buffer(Some(data)).i32(*version);
                }
                Op::Delete { version, .. } => {
                    write_multi_header(&mut w, op::DELETE, false);
                    w.string(&path).i32(*version);
                }
                Op::Check { version, .. } => {
                    write_multi_header(&mut w, op::CHECK, false);
                    w.string(&path).i32(*version);
                }
            }
        }
        write_multi_header(&mut w, -1, true);
        let about = ops.first().map_or("", Op::path);
        let answer = self.call(op::MULTI, about, w.into_bytes(), None).await.map_err(|f| whole(f.into()))?;
        self.read_multi(ops, &answer)
    }

    fn read_multi(&self, ops: &[Op], answer: &Answer) -> Result<Vec<OpResult>, MultiError> {
        let malformed = |err: Malformed| MultiError { index: None, error: Error::Malformed(err.to_string()) };
        let mut r = Reader::new(&answer.body);
        let mut results = Vec::with_capacity(ops.len());
        for (index, op) in ops.iter().enumerate() {
            let kind = r.i32().map_err(malformed)?;
            r.bool().and_then(|_| r.i32()).map_err(malformed)?;
            results.push(match kind {
                op::CREATE => OpResult::Created(self.relative(r.string().map_err(malformed)?)),
                op::CREATE2 | op::CREATE_CONTAINER => {
                    let path = self.relative(r.string().map_err(malformed)?);
                    Stat::read(&mut r).map_err(malformed)?;
                    OpResult::Created(path)
                }
                op::SET_DATA => OpResult::Set(Stat::read(&mut r).map_err(malformed)?),
                op::DELETE => OpResult::Deleted,
                op::CHECK => OpResult::Checked,
                op::ERROR => match Code(r.i32().map_err(malformed)?) {
                    // This one would have been fine; the one that failed comes later.
                    Code::OK => continue,
                    code => {
                        return Err(MultiError { index: Some(index), error: Error::from_code(code, op.path()) });
                    }
                },
                _ => return Err(malformed(Malformed("multi result"))),
            });
        }
        if results.len() == ops.len() { Ok(results) } else { Err(malformed(Malformed("multi result"))) }
    }

    async fn create_parents(&self, path: &str) -> Result<(), Error> {
        let slash = path.rfind('/').unwrap_or(0);
        for end in element_ends(&path[..slash]) {
            match self.create(&path[..end], None, CreateMode::Persistent).await {
                Ok(_) | Err(Error::NodeExists(_)) => {}
                Err(err) => return Err(err),
            }
        }
        Ok(())
    }

    /// Sends a request whose body is a path and whether to watch it.
    async fn read(
        &self,
        opcode: i32,
        path: &str,
        watch: Option<oneshot::Sender<WatchEvent>>,
    ) -> Result<Answer, Failure> {
        let absolute = self.absolute(path)?;
        let mut w = Writer::new();
        w.string(&absolute).bool(watch.is_some());
        let kind = if opcode == op::GET_CHILDREN2 { WatchKind::Child } else { WatchKind::Data };
        let watch = watch.map(|sender| driver::Watcher { kind, absolute, path: path.to_owned(), sender });
        self.call(opcode, path, w.into_bytes(), watch).await
    }

    async fn call(
        &self,
        opcode: i32,
        path: &str,
        body: Vec<u8>,
        watch: Option<driver::Watcher>,
    ) -> Result<Answer, Failure> {
        let (reply, answer) = oneshot::channel();
        let Current { requests, state } = self.shared.current.lock().clone();
        let request = Request { opcode, body, reply, watch, repeated: false };
        // A driver that is gone says why in its last state.
        let lost = || match *state.borrow() {
            State::Closed => Error::Closed,
            State::Expired | State::Connecting | State::Connected { .. } => Error::SessionExpired,
        };
        requests.send(request).map_err(|_| lost())?;
        drop(requests);
        let answer = answer.await.map_err(|_| lost())?;
        let answer = answer.map_err(|_| Error::ConnectionLoss(path.to_owned()))?;
        match answer.code {
            Code::OK => Ok(answer),
            code => Err(Failure { code: Some(code), repeated: answer.repeated, error: Error::from_code(code, path) }),
        }
    }

    fn watch(&self, path: &str) -> (oneshot::Sender<WatchEvent>, Watch) {
        let (sender, event) = oneshot::channel();
        (sender, Watch { path: path.to_owned(), event })
    }

    /// The path as the registry knows it.
    fn absolute(&self, path: &str) -> Result<String, Error> {
        if !path.starts_with('/') || (path.len() > 1 && path.ends_with('/')) {
            return Err(Error::BadArguments(path.to_owned()));
        }
        let chroot = &self.shared.config.servers.chroot;
        Ok(match (chroot.is_empty(), path) {
            (true, path) => path.to_owned(),
            (false, "/") => chroot.clone(),
            (false, path) => format!("{chroot}{path}"),
        })
    }

    /// The path as our caller knows it.
    fn relative(&self, path: &str) -> String {
        match path.strip_prefix(self.shared.config.servers.chroot.as_str()) {
            Some("") => "/".to_owned(),
            Some(path) => path.to_owned(),
            None => path.to_owned(),
        }
    }
}

/// A request that failed, with what [`Session::create`] must know about it.
struct Failure {
    code: Option<Code>,
    repeated: bool,
    error: Error,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { code: None, repeated: false, error }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        failure.error
    }
}

async fn start(config: &Config) -> Result<Current, Error> {
    let (requests, queue) = mpsc::unbounded_channel();
    let (states, mut state) = watch::channel(State::Connecting);
    let driver = tokio::spawn(Driver::new(config.clone(), queue, states).run());
    let connected = state.wait_for(|state| matches!(state, State::Connected { .. }));
    match tokio::time::timeout(config.connection_timeout, connected).await {
        Ok(Ok(_)) => {}
        _ => {
            driver.abort();
            return Err(Error::Timeout);
        }
    }
    Ok(Current { requests, state })
}

fn write_create(w: &mut Writer, path: &str, data: Option<&[u8]>, mode: CreateMode) {
    w.string(path).buffer(data);
    Acl::write_list(&[Acl::open()], w);
    w.i32(mode.flags());
}

fn write_multi_header(w: &mut Writer, opcode: i32, done: bool) {
    w.i32(opcode).bool(done).i32(-1);
}

fn read_data(answer: &Answer) -> Result<(Bytes, Stat), Error> {
    let mut r = Reader::new(&answer.body);
    let data = parsed(r.buffer())?.unwrap_or_default();
    let stat = parsed(Stat::read(&mut r))?;
    Ok((answer.body.slice_ref(data), stat))
}

fn found(answer: Result<Answer, Failure>) -> Result<Option<Stat>, Error> {
    match answer {
        Ok(answer) => parsed(Stat::read(&mut Reader::new(&answer.body))).map(Some),
        Err(Failure { code: Some(Code::NO_NODE), .. }) => Ok(None),
        Err(failure) => Err(failure.into()),
    }
}

fn parsed<T>(result: Result<T, Malformed>) -> Result<T, Error> {
    result.map_err(|err| Error::Malformed(err.to_string()))
}

/// Where each element of a path ends: of `/a/b` 2 and 4.
fn element_ends(path: &str) -> impl Iterator<Item = usize> + '_ {
    path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]).filter(|end| *end > 0)
}

#[cfg(test)]
mod tests;
