//! The data tree: znodes by path, and how a transaction changes them. Pure.
//!
//! A change has two steps. `prepare_*` looks whether a request may be done and decides what is open in it (sequence
//! number, new version); the result is a [`Txn`]. [`Tree::apply`] does it. Reading back the log is `apply` alone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::acl::Identity;
use super::txn::{CONTAINER_OWNER, Kind, Txn, TxnHeader, is_session};
use crate::registry::proto::{Acl, Code, CreateMode, EventKind, Stat, perm};

/// Paths that are part of the registry itself.
const SPECIAL_PATHS: [&str; 4] = ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"];

#[derive(Debug)]
pub struct Tree {
    nodes: HashMap<Box<str>, Node>,
    /// Most znodes share one of a few ACLs.
    acls: HashSet<Arc<[Acl]>>,
    ephemerals: HashMap<i64, BTreeSet<Box<str>>>,
    containers: BTreeSet<Box<str>>,
    data_bytes: usize,
}

#[derive(Debug, Clone)]
pub struct Node {
    /// Null is not empty.
    pub data: Option<Box<[u8]>>,
    pub acl: Arc<[Acl]>,
    pub czxid: i64,
    pub mzxid: i64,
    pub pzxid: i64,
    pub ctime_ms: i64,
    pub mtime_ms: i64,
    pub version: i32,
    pub aversion: i32,
    /// How many children were ever created: the next sequence number. What clients see as `cversion` counts
    /// deletions too.
    pub creations: i32,
    /// See [`Kind::owner`].
    pub owner: i64,
    pub children: BTreeSet<Box<str>>,
}

impl Node {
    pub fn stat(&self) -> Stat {
        let num_children = self.children.len() as i32;
        Stat {
            czxid: self.czxid,
            mzxid: self.mzxid,
            ctime: self.ctime_ms,
            mtime: self.mtime_ms,
            version: self.version,
            cversion: self.creations.wrapping_mul(2).wrapping_sub(num_children),
            aversion: self.aversion,
            ephemeral_owner: self.owner,
            data_length: self.data.as_ref().map_or(0, |data| data.len() as i32),
            num_children,
            pzxid: self.pzxid,
        }
    }
}

/// Something that watches are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub path: String,
}

/// What [`Tree::apply`] did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Of the znode created or changed, right after it.
    pub stat: Option<Stat>,
    /// In the order in which watches hear of them.
    pub events: Vec<Event>,
    undo: Option<Undo>,
}

/// How to take one change back.
#[derive(Debug)]
enum Undo {
    Created { path: Box<str>, parent_creations: i32, parent_pzxid: i64 },
    Deleted { path: Box<str>, node: Box<Node>, parent_pzxid: i64 },
    Set { path: Box<str>, data: Option<Box<[u8]>>, version: i32, mzxid: i64, mtime_ms: i64 },
    AclSet { path: Box<str>, acl: Arc<[Acl]>, aversion: i32 },
}

/// A request for a new znode.
#[derive(Debug, Clone, Copy)]
pub struct Create<'a> {
    pub path: &'a str,
    pub data: Option<&'a [u8]>,
    pub acl: &'a [Acl],
    pub mode: CreateMode,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree::new()
    }
}

impl Tree {
    /// The tree of a new registry.
    pub fn new() -> Tree {
        let mut tree = Tree {
            nodes: HashMap::new(),
            acls: HashSet::new(),
            ephemerals: HashMap::new(),
            containers: BTreeSet::new(),
            data_bytes: 0,
        };
        let open = tree.intern(&[Acl::open()]);
        // Only a server that is asked to reconfigure itself may write it.
        let read_only = tree.intern(&[Acl { perms: perm::READ, ..Acl::open() }]);
        for path in SPECIAL_PATHS {
            let acl = if path == "/zookeeper/config" { &read_only } else { &open };
            tree.insert(path, new_node(None, acl.clone(), 0, 0, 0));
        }
        tree
    }

    /// A tree without any znode, to be filled by [`insert`](Tree::insert) from a snapshot.
    pub fn empty() -> Tree {
        let mut tree = Tree::new();
        tree.nodes.clear();
        tree
    }

    pub fn node(&self, path: &str) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All znodes, parents before children.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        let mut paths: Vec<&str> = self.nodes.keys().map(|path| &**path).collect();
        paths.sort_unstable();
        paths.into_iter().filter_map(|path| Some((path, self.nodes.get(path)?)))
    }

    /// How many znodes there are, as Apache's server counts: the root has two names.
    pub fn node_count(&self) -> usize {
        self.nodes.len() + 1
    }

    /// How many bytes their data and paths take.
    pub fn data_bytes(&self) -> usize {
        self.data_bytes
    }

    pub fn ephemerals(&self, session_id: i64) -> impl Iterator<Item = &str> {
        self.ephemerals.get(&session_id).into_iter().flatten().map(|path| &**path)
    }

    /// Ephemerals by session.
    pub fn all_ephemerals(&self) -> BTreeMap<i64, &BTreeSet<Box<str>>> {
        self.ephemerals.iter().map(|(session_id, paths)| (*session_id, paths)).collect()
    }

    /// How many znodes lie below this one.
    pub fn descendants(&self, path: &str) -> usize {
        if path == "/" {
            return self.nodes.len() - 1;
        }
        let below = |other: &str| other.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'));
        self.nodes.keys().filter(|other| below(other)).count()
    }

    /// Containers that had children and have none any more.
    pub fn forsaken_containers(&self) -> Vec<String> {
        let forsaken =
            |path: &str| self.nodes.get(path).is_some_and(|node| node.children.is_empty() && node.creations > 0);
        self.containers.iter().filter(|path| forsaken(path)).map(|path| path.to_string()).collect()
    }

    /// Whether the znode may be read.
    ///
    /// # Errors
    /// `NO_NODE`, `NO_AUTH`.
    pub fn readable(&self, path: &str, who: &Identity) -> Result<&Node, Code> {
        let node = self.nodes.get(path).ok_or(Code::NO_NODE)?;
        if who.may(perm::READ, &node.acl) { Ok(node) } else { Err(Code::NO_AUTH) }
    }

    pub fn prepare_create(&self, create: &Create<'_>, who: &Identity) -> Result<Txn, Code> {
        let Create { path, data, acl, mode } = *create;
        if !mode.is_sequential() {
            check_path(path)?;
        }
        if path == "/" && !mode.is_sequential() {
            return Err(Code::NODE_EXISTS);
        }
        let (parent_path, _) = split(path).ok_or(Code::BAD_ARGUMENTS)?;
        let acl = who.resolve(acl)?;
        let parent = self.nodes.get(parent_path).ok_or(Code::NO_NODE)?;
        if !who.may(perm::CREATE, &parent.acl) {
            return Err(Code::NO_AUTH);
        }
        let path = match mode.is_sequential() {
            true => format!("{path}{:010}", parent.creations),
            false => path.to_owned(),
        };
        check_path(&path)?;
        if self.nodes.contains_key(path.as_str()) {
            return Err(Code::NODE_EXISTS);
        }
        if is_session(parent.owner) {
            return Err(Code::NO_CHILDREN_FOR_EPHEMERALS);
        }
        let kind = match mode {
            CreateMode::Persistent | CreateMode::PersistentSequential => Kind::Persistent,
            CreateMode::Ephemeral | CreateMode::EphemeralSequential => Kind::Ephemeral,
            CreateMode::Container => Kind::Container,
        };
        let parent_creations = parent.creations.wrapping_add(1);
        Ok(Txn::Create { path, data: data.map(<[u8]>::to_vec), acl, kind, parent_creations })
    }

    pub fn prepare_delete(&self, path: &str, version: i32, who: &Identity) -> Result<Txn, Code> {
        let (parent_path, _) = split(path).ok_or(Code::BAD_ARGUMENTS)?;
        if SPECIAL_PATHS.contains(&path) {
            return Err(Code::BAD_ARGUMENTS);
        }
        let parent = self.nodes.get(parent_path).ok_or(Code::NO_NODE)?;
        if !who.may(perm::DELETE, &parent.acl) {
            return Err(Code::NO_AUTH);
        }
        let node = self.nodes.get(path).ok_or(Code::NO_NODE)?;
        check_version(version, node.version)?;
        if !node.children.is_empty() {
            return Err(Code::NOT_EMPTY);
        }
        Ok(Txn::Delete { path: path.to_owned() })
    }

    pub fn prepare_set(&self, path: &str, data: Option<&[u8]>, version: i32, who: &Identity) -> Result<Txn, Code> {
        check_path(path)?;
        let node = self.nodes.get(path).ok_or(Code::NO_NODE)?;
        if !who.may(perm::WRITE, &node.acl) {
            return Err(Code::NO_AUTH);
        }
        let version = check_version(version, node.version)?;
        Ok(Txn::SetData { path: path.to_owned(), data: data.map(<[u8]>::to_vec), version })
    }

    pub fn prepare_set_acl(&self, path: &str, acl: &[Acl], version: i32, who: &Identity) -> Result<Txn, Code> {
        check_path(path)?;
        let acl = who.resolve(acl)?;
        let node = self.nodes.get(path).ok_or(Code::NO_NODE)?;
        if !who.may(perm::ADMIN, &node.acl) {
            return Err(Code::NO_AUTH);
        }
        let version = check_version(version, node.aversion)?;
        Ok(Txn::SetAcl { path: path.to_owned(), acl, version })
    }

    pub fn prepare_check(&self, path: &str, version: i32, who: &Identity) -> Result<Txn, Code> {
        check_path(path)?;
        let node = self.readable(path, who)?;
        let version = check_version(version, node.version)?;
        Ok(Txn::Check { path: path.to_owned(), version })
    }

    /// Does one change; not for a multi, which its caller takes apart.
    ///
    /// # Errors
    /// As when the change was prepared, had the tree changed since; then nothing is done.
    pub fn apply(&mut self, header: &TxnHeader, txn: &Txn) -> Result<Applied, Code> {
        match txn {
            Txn::Create { path, data, acl, kind, parent_creations } => {
                self.create(header, path, data.as_deref(), acl, *kind, *parent_creations)
            }
            Txn::Delete { path } => self.delete(header.zxid, path),
            Txn::SetData { path, data, version } => {
                let node = self.nodes.get_mut(path.as_str()).ok_or(Code::NO_NODE)?;
                let data = data.as_deref().map(Box::from);
                let (old, new) = (data_length(&node.data), data_length(&data));
                self.data_bytes = self.data_bytes + new - old;
                let undo = Undo::Set {
                    path: path.as_str().into(),
                    data: std::mem::replace(&mut node.data, data),
                    version: std::mem::replace(&mut node.version, *version),
                    mzxid: std::mem::replace(&mut node.mzxid, header.zxid),
                    mtime_ms: std::mem::replace(&mut node.mtime_ms, header.time_ms),
                };
                let events = vec![Event { kind: EventKind::NodeDataChanged, path: path.clone() }];
                Ok(Applied { stat: Some(node.stat()), events, undo: Some(undo) })
            }
            Txn::SetAcl { path, acl, version } => {
                let acl = self.intern(acl);
                let node = self.nodes.get_mut(path.as_str()).ok_or(Code::NO_NODE)?;
                let undo = Undo::AclSet {
                    path: path.as_str().into(),
                    acl: std::mem::replace(&mut node.acl, acl),
                    aversion: std::mem::replace(&mut node.aversion, *version),
                };
                Ok(Applied { stat: Some(node.stat()), events: Vec::new(), undo: Some(undo) })
            }
            Txn::CloseSession { paths } => {
                let mut paths: BTreeSet<Box<str>> = paths.iter().map(|path| path.as_str().into()).collect();
                paths.extend(self.ephemerals.get(&header.session_id).into_iter().flatten().cloned());
                let mut events = Vec::new();
                for path in paths {
                    // A log may name one that another transaction has deleted meanwhile.
                    events.extend(self.delete(header.zxid, &path).map_or(Vec::new(), |applied| applied.events));
                }
                Ok(Applied { events, ..Applied::default() })
            }
            Txn::CreateSession { .. } | Txn::Check { .. } | Txn::Error(_) | Txn::Multi(_) => Ok(Applied::default()),
        }
    }

    /// Takes back the latest change.
    pub fn undo(&mut self, applied: Applied) {
        match applied.undo {
            None => {}
            Some(Undo::Created { path, parent_creations, parent_pzxid }) => {
                self.remove(&path);
                if let Some(parent) = split(&path).and_then(|(parent, _)| self.nodes.get_mut(parent)) {
                    parent.creations = parent_creations;
                    parent.pzxid = parent_pzxid;
                }
            }
            Some(Undo::Deleted { path, node, parent_pzxid }) => {
                self.insert(&path, *node);
                if let Some(parent) = split(&path).and_then(|(parent, _)| self.nodes.get_mut(parent)) {
                    parent.pzxid = parent_pzxid;
                }
            }
            Some(Undo::Set { path, data, version, mzxid, mtime_ms }) => {
                if let Some(node) = self.nodes.get_mut(&path) {
                    self.data_bytes = self.data_bytes + data_length(&data) - data_length(&node.data);
                    (node.data, node.version, node.mzxid, node.mtime_ms) = (data, version, mzxid, mtime_ms);
                }
            }
            Some(Undo::AclSet { path, acl, aversion }) => {
                if let Some(node) = self.nodes.get_mut(&path) {
                    (node.acl, node.aversion) = (acl, aversion);
                }
            }
        }
    }

    /// Gives the parent of a znode that is there already the counts it has after the creation.
    /// Source: `DataTree.setCversionPzxid`.
    pub fn catch_up(&mut self, path: &str, parent_creations: i32, zxid: i64) {
        if let Some(parent) = split(path).and_then(|(parent, _)| self.nodes.get_mut(parent))
            && parent_creations > parent.creations
        {
            (parent.creations, parent.pzxid) = (parent_creations, zxid);
        }
    }

    /// Puts a znode in its place, with its parent's and its owner's lists. The parent comes first.
    pub fn insert(&mut self, path: &str, node: Node) {
        let path: Box<str> = path.into();
        if let Some((parent, name)) = split(&path).filter(|_| &*path != "/")
            && let Some(parent) = self.nodes.get_mut(parent)
        {
            parent.children.insert(name.into());
        }
        match node.owner {
            CONTAINER_OWNER => {
                self.containers.insert(path.clone());
            }
            owner if is_session(owner) => {
                self.ephemerals.entry(owner).or_default().insert(path.clone());
            }
            _ => {}
        }
        self.data_bytes += path.len() + data_length(&node.data);
        self.nodes.insert(path, node);
    }

    /// One copy of an ACL for all that have it.
    pub fn intern(&mut self, acl: &[Acl]) -> Arc<[Acl]> {
        match self.acls.get(acl) {
            Some(acl) => acl.clone(),
            None => {
                let acl: Arc<[Acl]> = acl.into();
                self.acls.insert(acl.clone());
                acl
            }
        }
    }

    /// Forgets ACLs that no znode has any more.
    pub fn purge_acls(&mut self) {
        self.acls.retain(|acl| Arc::strong_count(acl) > 1);
    }

    fn create(
        &mut self,
        header: &TxnHeader,
        path: &str,
        data: Option<&[u8]>,
        acl: &[Acl],
        kind: Kind,
        parent_creations: i32,
    ) -> Result<Applied, Code> {
        let (parent_path, _) = split(path).ok_or(Code::BAD_ARGUMENTS)?;
        if self.nodes.contains_key(path) {
            return Err(Code::NODE_EXISTS);
        }
        let acl = self.intern(acl);
        let parent = self.nodes.get_mut(parent_path).ok_or(Code::NO_NODE)?;
        let undo = Undo::Created { path: path.into(), parent_creations: parent.creations, parent_pzxid: parent.pzxid };
        // A snapshot of Apache's server may be newer than the log that is read after it.
        let parent_creations = if parent_creations == -1 { parent.creations + 1 } else { parent_creations };
        if parent_creations > parent.creations {
            parent.creations = parent_creations;
            parent.pzxid = header.zxid;
        }
        let owner = kind.owner(header.session_id);
        let node = new_node(data.map(Box::from), acl, header.zxid, header.time_ms, owner);
        let stat = Some(node.stat());
        let events = vec![
            Event { kind: EventKind::NodeCreated, path: path.to_owned() },
            Event { kind: EventKind::NodeChildrenChanged, path: parent_path.to_owned() },
        ];
        self.insert(path, node);
        Ok(Applied { stat, events, undo: Some(undo) })
    }

    fn delete(&mut self, zxid: i64, path: &str) -> Result<Applied, Code> {
        let (parent_path, _) = split(path).filter(|_| path != "/").ok_or(Code::BAD_ARGUMENTS)?;
        let node = self.remove(path).ok_or(Code::NO_NODE)?;
        let parent = self.nodes.get_mut(parent_path).ok_or(Code::NO_NODE)?;
        let undo = Undo::Deleted { path: path.into(), node: Box::new(node), parent_pzxid: parent.pzxid };
        parent.pzxid = parent.pzxid.max(zxid);
        let events = vec![
            Event { kind: EventKind::NodeDeleted, path: path.to_owned() },
            Event { kind: EventKind::NodeChildrenChanged, path: parent_path.to_owned() },
        ];
        Ok(Applied { stat: None, events, undo: Some(undo) })
    }

    fn remove(&mut self, path: &str) -> Option<Node> {
        let node = self.nodes.remove(path)?;
        self.data_bytes -= path.len() + data_length(&node.data);
        if let Some((parent, name)) = split(path)
            && let Some(parent) = self.nodes.get_mut(parent)
        {
            parent.children.remove(name);
        }
        if node.owner == CONTAINER_OWNER {
            self.containers.remove(path);
        } else if let Some(paths) = self.ephemerals.get_mut(&node.owner) {
            paths.remove(path);
            if paths.is_empty() {
                self.ephemerals.remove(&node.owner);
            }
        }
        Some(node)
    }
}

fn new_node(data: Option<Box<[u8]>>, acl: Arc<[Acl]>, zxid: i64, time_ms: i64, owner: i64) -> Node {
    Node {
        data,
        acl,
        czxid: zxid,
        mzxid: zxid,
        pzxid: zxid,
        ctime_ms: time_ms,
        mtime_ms: time_ms,
        version: 0,
        aversion: 0,
        creations: 0,
        owner,
        children: BTreeSet::new(),
    }
}

fn data_length(data: &Option<Box<[u8]>>) -> usize {
    data.as_ref().map_or(0, |data| data.len())
}

/// Parent and name: of `/a/b` `/a` and `b`, of `/a` `/` and `a`.
fn split(path: &str) -> Option<(&str, &str)> {
    let (parent, name) = path.rsplit_once('/')?;
    Some((if parent.is_empty() { "/" } else { parent }, name))
}

/// -1 is any version. Returns the next one.
fn check_version(expected: i32, version: i32) -> Result<i32, Code> {
    if expected != -1 && expected != version {
        return Err(Code::BAD_VERSION);
    }
    // -1 would mean "any" to whoever expects it (ZOOKEEPER-4743).
    Ok(match version.wrapping_add(1) {
        -1 => 0,
        next => next,
    })
}

/// Source: `PathUtils.validatePath`.
fn check_path(path: &str) -> Result<(), Code> {
    let Some(names) = path.strip_prefix('/') else { return Err(Code::BAD_ARGUMENTS) };
    let forbidden = |c: char| matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}');
    let bad_name = |name: &str| name.is_empty() || name == "." || name == ".." || name.contains(forbidden);
    if !names.is_empty() && names.split('/').any(bad_name) {
        return Err(Code::BAD_ARGUMENTS);
    }
    Ok(())
}
