//! The registry as a value: takes what connections say, and answers with what is to be logged, sent and closed.
//!
//! Nothing here waits, and nothing touches a socket, a file or a clock. Every effect of one call must be carried out
//! in order, and no frame may leave before the transactions that precede it are on disk.

use std::collections::BTreeMap;

use super::acl::Identity;
use super::requests::{MultiRead, Write, read_multi, read_multi_read};
use super::sessions::{ConnectionId, Millis, PASSWORD_LENGTH, Sessions, password};
use super::tree::{Applied, Create, Tree};
use super::txn::{Txn, TxnHeader};
use super::watches::{Lasting, On, WatcherType, Watches};
use crate::registry::jute::{Malformed, Reader, Writer};
use crate::registry::proto::{Acl, Code, EventKind, op, perm, xid};

pub struct State {
    pub tree: Tree,
    pub sessions: Sessions,
    pub watches: Watches,
    pub last_zxid: i64,
    pub peers: BTreeMap<ConnectionId, Peer>,
    session_timeout_ms_min: i32,
    session_timeout_ms_max: i32,
}

/// The other end of a connection.
pub struct Peer {
    /// `host:port`.
    pub address: String,
    pub identity: Identity,
    /// `None` before the handshake.
    pub session_id: Option<i64>,
    pub received_count: u64,
    pub sent_count: u64,
}

/// The time, twice.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Milliseconds since 1970, for the znodes.
    pub wall_ms: i64,
    /// Monotonic, for the sessions.
    pub monotonic_ms: Millis,
}

/// What a call wants done.
#[derive(Debug, Default)]
pub struct Effects {
    pub txns: Vec<(TxnHeader, Txn)>,
    /// Whole frames, length included.
    pub frames: Vec<(ConnectionId, Vec<u8>)>,
    /// To be closed once their frames are sent.
    pub close: Vec<ConnectionId>,
}

/// Why a request has no result.
enum Failure {
    /// The client is told.
    Code(Code),
    /// The client is mad: its connection is closed.
    Malformed(Malformed),
}

impl From<Code> for Failure {
    fn from(code: Code) -> Failure {
        Failure::Code(code)
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Failure {
        Failure::Malformed(malformed)
    }
}

impl State {
    /// `sessions`: those that were alive when the server stopped, with timeouts in milliseconds; their time starts
    /// anew.
    pub fn new(
        tree: Tree,
        sessions: &BTreeMap<i64, i32>,
        last_zxid: i64,
        session_timeout_ms: std::ops::RangeInclusive<i32>,
        now: Now,
    ) -> State {
        let mut tracked = Sessions::new(now.wall_ms);
        for (id, timeout_ms) in sessions {
            tracked.open(*id, *timeout_ms, None, now.monotonic_ms);
        }
        State {
            tree,
            sessions: tracked,
            watches: Watches::default(),
            last_zxid,
            peers: BTreeMap::new(),
            session_timeout_ms_min: *session_timeout_ms.start(),
            session_timeout_ms_max: *session_timeout_ms.end(),
        }
    }

    /// `address`: `host:port`, for those who look at the connections; `identity`: whom it speaks for so far.
    pub fn connected(&mut self, connection: ConnectionId, address: String, identity: Identity) {
        let peer = Peer { address, identity, session_id: None, received_count: 0, sent_count: 0 };
        self.peers.insert(connection, peer);
    }

    pub fn disconnected(&mut self, connection: ConnectionId) {
        self.watches.remove_connection(connection);
        if let Some(Peer { session_id: Some(id), .. }) = self.peers.remove(&connection) {
            self.sessions.detach(id, connection);
        }
    }

    /// Has a connection closed, and hears nothing from it any more. What it is still owed is sent.
    fn hang_up(&mut self, connection: ConnectionId, effects: &mut Effects) {
        self.disconnected(connection);
        effects.close.push(connection);
    }

    /// Takes one frame without its length.
    ///
    /// # Errors
    /// When it does not parse; nothing was changed, and the connection is to be closed.
    pub fn handle(&mut self, connection: ConnectionId, frame: &[u8], now: Now) -> Result<Effects, Malformed> {
        let mut effects = Effects::default();
        let Some(peer) = self.peers.get_mut(&connection) else { return Ok(effects) };
        peer.received_count += 1;
        match peer.session_id {
            None => self.handshake(connection, frame, now, &mut effects)?,
            Some(session_id) => self.request(connection, session_id, frame, now, &mut effects)?,
        }
        for (receiver, _) in &effects.frames {
            if let Some(peer) = self.peers.get_mut(receiver) {
                peer.sent_count += 1;
            }
        }
        Ok(effects)
    }

    /// Ends the sessions whose time is over.
    pub fn expire(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        for session_id in self.sessions.expired(now.monotonic_ms) {
            tracing::info!(session = format_args!("0x{session_id:x}"), "registry session expired");
            self.close_session(session_id, 0, now, &mut effects);
        }
        effects
    }

    /// Deletes containers that have lost their last child.
    pub fn delete_forsaken_containers(&mut self, now: Now) -> Effects {
        let mut effects = Effects::default();
        for path in self.tree.forsaken_containers() {
            // It was found a moment ago; should it have changed all the same, it stays.
            let _ = self.commit(0, 0, Txn::Delete { path }, now, &mut effects);
        }
        effects
    }

    /// Session id to timeout, as a snapshot keeps them.
    pub fn session_timeouts(&self) -> BTreeMap<i64, i32> {
        self.sessions.iter().map(|(id, session)| (id, session.timeout_ms)).collect()
    }

    fn handshake(
        &mut self,
        connection: ConnectionId,
        frame: &[u8],
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Malformed> {
        let mut r = Reader::new(frame);
        r.i32()?;
        let last_zxid_seen = r.i64()?;
        let asked_ms = r.i32()?;
        let session_id = r.i64()?;
        let given_password = r.buffer()?.unwrap_or_default();
        // Clients before 3.4 do not send it and do not want it back.
        let knows_read_only = !r.is_empty();
        if last_zxid_seen > self.last_zxid {
            // It has seen a future that we do not know: it must find another server.
            tracing::warn!(
                seen = format_args!("0x{last_zxid_seen:x}"),
                ours = format_args!("0x{:x}", self.last_zxid),
                "registry client refused: it has seen a later zxid"
            );
            self.hang_up(connection, effects);
            return Ok(());
        }
        let timeout_ms = asked_ms.clamp(self.session_timeout_ms_min, self.session_timeout_ms_max);
        let accepted = match session_id {
            0 => Some(self.open_session(connection, timeout_ms, now, effects)),
            id if self.sessions.find(id).is_some() && given_password == password(id) => {
                let former = self.sessions.attach(id, timeout_ms, connection, now.monotonic_ms);
                // Two connections of one session would each get half of the events.
                if let Some(former) = former {
                    self.hang_up(former, effects);
                }
                Some(id)
            }
            _ => None,
        };
        let mut w = Writer::frame();
        match accepted {
            Some(id) => w.i32(0).i32(timeout_ms).i64(id).buffer(Some(&password(id))),
            None => w.i32(0).i32(0).i64(0).buffer(Some(&[0; PASSWORD_LENGTH])),
        };
        if knows_read_only {
            w.bool(false);
        }
        effects.frames.push((connection, w.into_frame()));
        match accepted {
            None => self.hang_up(connection, effects),
            Some(id) => {
                if let Some(peer) = self.peers.get_mut(&connection) {
                    peer.session_id = Some(id);
                }
            }
        }
        Ok(())
    }

    fn open_session(&mut self, connection: ConnectionId, timeout_ms: i32, now: Now, effects: &mut Effects) -> i64 {
        let id = self.sessions.next_id();
        self.sessions.open(id, timeout_ms, Some(connection), now.monotonic_ms);
        // Changes nothing in the tree, so it cannot fail.
        let _ = self.commit(id, 0, Txn::CreateSession { timeout_ms }, now, effects);
        id
    }

    fn close_session(&mut self, session_id: i64, cxid: i32, now: Now, effects: &mut Effects) {
        let paths = self.tree.ephemerals(session_id).map(str::to_owned).collect();
        let connection = self.sessions.close(session_id).and_then(|session| session.connection);
        if let Some(connection) = connection {
            // Before the end of its ephemerals, which is no news to it.
            self.hang_up(connection, effects);
        }
        let _ = self.commit(session_id, cxid, Txn::CloseSession { paths }, now, effects);
    }

    fn request(
        &mut self,
        connection: ConnectionId,
        session_id: i64,
        frame: &[u8],
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Malformed> {
        let mut r = Reader::new(frame);
        let cxid = r.i32()?;
        let opcode = r.i32()?;
        if self.sessions.find(session_id).is_none() {
            effects.frames.push((connection, self.reply(cxid, Code::SESSION_EXPIRED, &[])));
            self.hang_up(connection, effects);
            return Ok(());
        }
        self.sessions.touch(session_id, now.monotonic_ms);
        let mut body = Writer::new();
        let result = match opcode {
            op::PING => Ok(()),
            op::AUTH => self.authenticate(connection, &mut r, effects),
            op::CLOSE_SESSION => {
                self.close_session(session_id, cxid, now, effects);
                Ok(())
            }
            op::MULTI => self.multi(connection, session_id, cxid, &mut r, now, &mut body, effects),
            opcode if Write::is_write(opcode) => {
                self.write(connection, session_id, cxid, opcode, &mut r, now, &mut body, effects)
            }
            op::SET_WATCHES | op::SET_WATCHES2 => self.set_watches(connection, opcode, &mut r, effects),
            opcode => self.read(connection, session_id, opcode, &mut r, &mut body),
        };
        let frame = match result {
            Ok(()) => self.reply(cxid, Code::OK, &body.into_bytes()),
            Err(Failure::Code(code)) => self.reply(cxid, code, &[]),
            Err(Failure::Malformed(malformed)) => return Err(malformed),
        };
        effects.frames.push((connection, frame));
        Ok(())
    }

    fn reply(&self, cxid: i32, code: Code, body: &[u8]) -> Vec<u8> {
        let mut w = Writer::frame();
        w.i32(cxid).i64(self.last_zxid).i32(code.0).bytes(body);
        w.into_frame()
    }

    fn authenticate(
        &mut self,
        connection: ConnectionId,
        r: &mut Reader<'_>,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        r.i32()?;
        let (scheme, auth) = (r.string()?, r.buffer()?.unwrap_or_default());
        let known = self.peers.get_mut(&connection).is_some_and(|peer| peer.identity.authenticate(scheme, auth));
        if !known {
            self.hang_up(connection, effects);
            return Err(Code::AUTH_FAILED.into());
        }
        Ok(())
    }

    fn identity(&self, connection: ConnectionId) -> Result<&Identity, Code> {
        self.peers.get(&connection).map(|peer| &peer.identity).ok_or(Code::SESSION_EXPIRED)
    }

    /// Does one transaction, tells its watchers, and has it logged.
    fn commit(
        &mut self,
        session_id: i64,
        cxid: i32,
        txn: Txn,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Applied, Code> {
        let header = TxnHeader { session_id, cxid, zxid: self.last_zxid + 1, time_ms: now.wall_ms };
        let mut applied = self.tree.apply(&header, &txn)?;
        self.last_zxid = header.zxid;
        for event in std::mem::take(&mut applied.events) {
            self.tell(event.kind, &event.path, effects);
        }
        effects.txns.push((header, txn));
        Ok(applied)
    }

    fn tell(&mut self, kind: EventKind, path: &str, effects: &mut Effects) {
        for connection in self.watches.trigger(kind, path) {
            effects.frames.push((connection, event_frame(kind, path)));
        }
    }

    #[allow(clippy::too_many_arguments)] // A request's whole context.
    fn write(
        &mut self,
        connection: ConnectionId,
        session_id: i64,
        cxid: i32,
        opcode: i32,
        r: &mut Reader<'_>,
        now: Now,
        body: &mut Writer,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let write = Write::read(opcode, r)?;
        let txn = prepare(&self.tree, &write, self.identity(connection)?)?;
        if matches!(txn, Txn::Check { .. }) {
            return Ok(());
        }
        let created = created_path(&txn);
        let applied = self.commit(session_id, cxid, txn, now, effects)?;
        write_result(&write, created.as_deref(), &applied, body);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)] // A request's whole context.
    fn multi(
        &mut self,
        connection: ConnectionId,
        session_id: i64,
        cxid: i32,
        r: &mut Reader<'_>,
        now: Now,
        body: &mut Writer,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let writes = read_multi(r)?;
        let identity = self.identity(connection)?.clone();
        let header = TxnHeader { session_id, cxid, zxid: self.last_zxid + 1, time_ms: now.wall_ms };
        let mut done: Vec<(Applied, Txn)> = Vec::with_capacity(writes.len());
        let mut failure = None;
        for write in &writes {
            // Each looks at the tree as those before it have left it.
            let step = prepare(&self.tree, write, &identity).and_then(|txn| Ok((self.tree.apply(&header, &txn)?, txn)));
            match step {
                Ok(step) => done.push(step),
                Err(code) => {
                    failure = Some(code);
                    break;
                }
            }
        }
        if let Some(code) = failure {
            let failed = done.len();
            done.into_iter().rev().for_each(|(applied, _)| self.tree.undo(applied));
            for index in 0..writes.len() {
                let code = match index.cmp(&failed) {
                    std::cmp::Ordering::Less => Code::OK,
                    std::cmp::Ordering::Equal => code,
                    std::cmp::Ordering::Greater => Code::RUNTIME_INCONSISTENCY,
                };
                body.i32(op::ERROR).bool(false).i32(code.0).i32(code.0);
            }
        } else {
            for (write, (applied, txn)) in writes.iter().zip(&done) {
                body.i32(write.opcode).bool(false).i32(0);
                write_result(write, created_path(txn).as_deref(), applied, body);
            }
            self.last_zxid = header.zxid;
            let mut txns = Vec::with_capacity(done.len());
            for (applied, txn) in done {
                for event in applied.events {
                    self.tell(event.kind, &event.path, effects);
                }
                txns.push(txn);
            }
            effects.txns.push((header, Txn::Multi(txns)));
        }
        body.i32(-1).bool(true).i32(-1);
        Ok(())
    }

    /// Sets the watches of a client that was away, and tells it what it has missed.
    fn set_watches(
        &mut self,
        connection: ConnectionId,
        opcode: i32,
        r: &mut Reader<'_>,
        effects: &mut Effects,
    ) -> Result<(), Failure> {
        let relative_zxid = r.i64()?;
        let (data, exist, child) = (r.strings()?, r.strings()?, r.strings()?);
        let lasting = match opcode {
            op::SET_WATCHES2 => [r.strings()?, r.strings()?],
            _ => Default::default(),
        };
        let mut tell = |kind, path: &str| effects.frames.push((connection, event_frame(kind, path)));
        for path in &data {
            match self.tree.node(path) {
                None => tell(EventKind::NodeDeleted, path),
                Some(node) if node.mzxid > relative_zxid => tell(EventKind::NodeDataChanged, path),
                Some(_) => self.watches.add(On::Data, path, connection),
            }
        }
        for path in &exist {
            match self.tree.node(path) {
                Some(_) => tell(EventKind::NodeCreated, path),
                None => self.watches.add(On::Data, path, connection),
            }
        }
        for path in &child {
            match self.tree.node(path) {
                None => tell(EventKind::NodeDeleted, path),
                Some(node) if node.pzxid > relative_zxid => tell(EventKind::NodeChildrenChanged, path),
                Some(_) => self.watches.add(On::Children, path, connection),
            }
        }
        for (paths, lasting) in lasting.iter().zip([Lasting::Persistent, Lasting::PersistentRecursive]) {
            for path in paths {
                self.watches.add_lasting(lasting, path, connection);
            }
        }
        Ok(())
    }

    fn read(
        &mut self,
        connection: ConnectionId,
        session_id: i64,
        opcode: i32,
        r: &mut Reader<'_>,
        body: &mut Writer,
    ) -> Result<(), Failure> {
        match opcode {
            op::EXISTS => {
                let (path, watch) = (r.string()?, r.bool()?);
                let stat = match self.tree.readable(path, self.identity(connection)?) {
                    Err(Code::NO_AUTH) => return Err(Code::NO_AUTH.into()),
                    result => result.map(|node| node.stat()),
                };
                // One can wait for what is not there yet.
                if watch {
                    self.watches.add(On::Data, path, connection);
                }
                stat?.write(body);
            }
            op::GET_DATA => {
                let (path, watch) = (r.string()?, r.bool()?);
                let node = self.tree.readable(path, self.identity(connection)?)?;
                body.buffer(node.data.as_deref());
                node.stat().write(body);
                if watch {
                    self.watches.add(On::Data, path, connection);
                }
            }
            op::GET_CHILDREN | op::GET_CHILDREN2 => {
                let (path, watch) = (r.string()?, r.bool()?);
                let node = self.tree.readable(path, self.identity(connection)?)?;
                body.strings(node.children.iter());
                if opcode == op::GET_CHILDREN2 {
                    node.stat().write(body);
                }
                if watch {
                    self.watches.add(On::Children, path, connection);
                }
            }
            op::GET_ACL => self.get_acl(connection, r.string()?, body)?,
            op::SYNC => {
                body.string(r.string()?);
            }
            op::ADD_WATCH => {
                let path = r.string()?;
                let lasting = match r.i32()? {
                    0 => Lasting::Persistent,
                    1 => Lasting::PersistentRecursive,
                    _ => return Err(Code::BAD_ARGUMENTS.into()),
                };
                self.watches.add_lasting(lasting, path, connection);
                body.i32(0);
            }
            op::CHECK_WATCHES | op::REMOVE_WATCHES => {
                let path = r.string()?;
                let watcher = WatcherType::from_wire(r.i32()?).ok_or(Code::BAD_ARGUMENTS)?;
                let found = match opcode {
                    op::CHECK_WATCHES => self.watches.contains(watcher, path, connection),
                    _ => self.watches.remove(watcher, path, connection),
                };
                if !found {
                    return Err(Code::NO_WATCHER.into());
                }
            }
            op::GET_EPHEMERALS => {
                let prefix = r.string()?.trim();
                let matches = |path: &&str| prefix.is_empty() || prefix == "/" || path.starts_with(prefix);
                let paths: Vec<_> = self.tree.ephemerals(session_id).filter(matches).collect();
                body.strings(paths.iter());
            }
            op::GET_ALL_CHILDREN_NUMBER => {
                let path = r.string()?;
                self.tree.readable(path, self.identity(connection)?)?;
                body.i32(self.tree.descendants(path) as i32);
            }
            op::WHO_AM_I => {
                let users = self.identity(connection)?.users();
                body.i32(users.len() as i32);
                for (scheme, user) in users {
                    body.string(scheme).string(&user);
                }
            }
            op::MULTI_READ => {
                for read in read_multi_read(r)? {
                    self.read_one_of_many(connection, &read, body)?;
                }
                body.i32(-1).bool(true).i32(-1);
            }
            _ => return Err(Code::UNIMPLEMENTED.into()),
        }
        Ok(())
    }

    fn get_acl(&self, connection: ConnectionId, path: &str, body: &mut Writer) -> Result<(), Failure> {
        let node = self.tree.node(path).ok_or(Code::NO_NODE)?;
        let identity = self.identity(connection)?;
        if !identity.may(perm::READ | perm::ADMIN, &node.acl) {
            return Err(Code::NO_AUTH.into());
        }
        let mut acl = node.acl.to_vec();
        if !identity.may(perm::ADMIN, &node.acl) {
            // The digests are for those who may change them.
            for entry in acl.iter_mut().filter(|entry| entry.scheme == "digest") {
                entry.id = format!("{}:x", entry.id.split(':').next().unwrap_or_default());
            }
        }
        Acl::write_list(&acl, body);
        node.stat().write(body);
        Ok(())
    }

    /// Each has its own success or failure.
    fn read_one_of_many(
        &self,
        connection: ConnectionId,
        read: &MultiRead<'_>,
        body: &mut Writer,
    ) -> Result<(), Failure> {
        match self.tree.readable(read.path(), self.identity(connection)?) {
            Err(code) => {
                body.i32(op::ERROR).bool(false).i32(code.0).i32(code.0);
            }
            Ok(node) => match read {
                MultiRead::Data(_) => {
                    body.i32(op::GET_DATA).bool(false).i32(0).buffer(node.data.as_deref());
                    node.stat().write(body);
                }
                MultiRead::Children(_) => {
                    body.i32(op::GET_CHILDREN).bool(false).i32(0).strings(node.children.iter());
                }
            },
        }
        Ok(())
    }
}

fn prepare(tree: &Tree, write: &Write<'_>, who: &Identity) -> Result<Txn, Code> {
    use super::requests::Change;
    match &write.change {
        Change::Create { path, data, acl, mode } => {
            tree.prepare_create(&Create { path, data: *data, acl, mode: *mode }, who)
        }
        Change::Delete { path, version } => tree.prepare_delete(path, *version, who),
        Change::SetData { path, data, version } => tree.prepare_set(path, *data, *version, who),
        Change::SetAcl { path, acl, version } => tree.prepare_set_acl(path, acl, *version, who),
        Change::Check { path, version } => tree.prepare_check(path, *version, who),
        Change::Refused(code) => Err(*code),
    }
}

fn created_path(txn: &Txn) -> Option<String> {
    match txn {
        Txn::Create { path, .. } => Some(path.clone()),
        _ => None,
    }
}

/// What a write answers with: the path, the path and the statistics, the statistics, or nothing.
fn write_result(write: &Write<'_>, created: Option<&str>, applied: &Applied, body: &mut Writer) {
    if let Some(path) = created {
        body.string(path);
    }
    let wants_stat = !matches!(write.opcode, op::CREATE | op::DELETE | op::CHECK);
    if let Some(stat) = applied.stat.filter(|_| wants_stat) {
        stat.write(body);
    }
}

fn event_frame(kind: EventKind, path: &str) -> Vec<u8> {
    /// `KeeperState.SyncConnected`.
    const CONNECTED: i32 = 3;
    let mut w = Writer::frame();
    w.i32(xid::NOTIFICATION).i64(-1).i32(0).i32(kind.wire()).i32(CONNECTED).string(path);
    w.into_frame()
}

#[cfg(test)]
mod tests;
