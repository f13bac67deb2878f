//! Who wants to know what about which znode. Pure.
//!
//! One-shot watches on data (which serve `exists` too, of a znode that is not there yet) and on children;
//! persistent ones on both; recursive ones on a znode and all below it, which hear nothing of children.
//! Source: `WatchManager`, `DataTree`.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::sessions::ConnectionId;
use crate::registry::proto::EventKind;

#[derive(Debug, Default)]
pub struct Watches {
    data: Table,
    child: Table,
    recursive: Table,
    by_connection: HashMap<ConnectionId, BTreeSet<String>>,
}

type Table = HashMap<String, BTreeMap<ConnectionId, Modes>>;

/// A connection may hold the same path in both ways.
#[derive(Debug, Default, Clone, Copy)]
struct Modes {
    once: bool,
    persistent: bool,
}

/// What a watch is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    Data,
    Children,
}

/// How long a watch lasts, and how far it reaches. Source: `AddWatchMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    Persistent,
    PersistentRecursive,
}

/// Which watches to remove or look for. Source: `Watcher.WatcherType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatcherType {
    Children,
    Data,
    Any,
    Persistent,
    PersistentRecursive,
}

impl WatcherType {
    pub fn from_wire(number: i32) -> Option<WatcherType> {
        Some(match number {
            1 => WatcherType::Children,
            2 => WatcherType::Data,
            3 => WatcherType::Any,
            4 => WatcherType::Persistent,
            5 => WatcherType::PersistentRecursive,
            _ => return None,
        })
    }
}

impl Watches {
    /// Arms a one-shot watch.
    pub fn add(&mut self, on: On, path: &str, connection: ConnectionId) {
        let table = match on {
            On::Data => &mut self.data,
            On::Children => &mut self.child,
        };
        table.entry(path.to_owned()).or_default().entry(connection).or_default().once = true;
        self.remember(path, connection);
    }

    /// Arms a watch that stays.
    pub fn add_lasting(&mut self, lasting: Lasting, path: &str, connection: ConnectionId) {
        let tables: &mut [&mut Table] = match lasting {
            Lasting::Persistent => &mut [&mut self.data, &mut self.child],
            Lasting::PersistentRecursive => &mut [&mut self.recursive],
        };
        for table in tables {
            table.entry(path.to_owned()).or_default().entry(connection).or_default().persistent = true;
        }
        self.remember(path, connection);
    }

    fn remember(&mut self, path: &str, connection: ConnectionId) {
        let paths = self.by_connection.entry(connection).or_default();
        if !paths.contains(path) {
            paths.insert(path.to_owned());
        }
    }

    /// Something happened: who is to hear of it. One-shot watches are spent.
    pub fn trigger(&mut self, kind: EventKind, path: &str) -> BTreeSet<ConnectionId> {
        let mut listeners = BTreeSet::new();
        let (data, child) = match kind {
            EventKind::NodeCreated | EventKind::NodeDataChanged => (true, false),
            // A connection that watches both hears of it once.
            EventKind::NodeDeleted => (true, true),
            EventKind::NodeChildrenChanged => (false, true),
            EventKind::SessionLost => (false, false),
        };
        let mut spent = BTreeSet::new();
        for (table, concerned) in [(&mut self.data, data), (&mut self.child, child)] {
            if concerned {
                take(table, path, &mut listeners, &mut spent);
            }
        }
        if data && !self.recursive.is_empty() {
            for ancestor in self_and_ancestors(path) {
                listeners.extend(self.recursive.get(ancestor).into_iter().flat_map(BTreeMap::keys));
            }
        }
        for connection in spent {
            self.forget_unless_held(path, connection);
        }
        listeners
    }

    /// Whether the connection has such a watch.
    pub fn contains(&self, watcher: WatcherType, path: &str, connection: ConnectionId) -> bool {
        let held =
            |table: &Table| table.get(path).and_then(|watchers| watchers.get(&connection)).copied().unwrap_or_default();
        match watcher {
            WatcherType::Children => held(&self.child).any(),
            WatcherType::Data => held(&self.data).any(),
            WatcherType::Any => held(&self.child).any() || held(&self.data).any() || held(&self.recursive).any(),
            WatcherType::Persistent => held(&self.data).persistent,
            WatcherType::PersistentRecursive => held(&self.recursive).any(),
        }
    }

    /// Removes such watches; `false` if there were none.
    pub fn remove(&mut self, watcher: WatcherType, path: &str, connection: ConnectionId) -> bool {
        let found = self.contains(watcher, path, connection);
        let tables: &mut [&mut Table] = match watcher {
            WatcherType::Children => &mut [&mut self.child],
            WatcherType::Data => &mut [&mut self.data],
            WatcherType::Any => &mut [&mut self.child, &mut self.data, &mut self.recursive],
            WatcherType::PersistentRecursive => &mut [&mut self.recursive],
            WatcherType::Persistent => {
                for table in [&mut self.data, &mut self.child] {
                    if let Some(modes) = table.get_mut(path).and_then(|watchers| watchers.get_mut(&connection)) {
                        modes.persistent = false;
                    }
                }
                drop_empty(&mut self.data, path, connection);
                drop_empty(&mut self.child, path, connection);
                &mut []
            }
        };
        for table in tables {
            drop_one(table, path, connection);
        }
        self.forget_unless_held(path, connection);
        found
    }

    /// The connection is gone.
    pub fn remove_connection(&mut self, connection: ConnectionId) {
        for path in self.by_connection.remove(&connection).unwrap_or_default() {
            for table in [&mut self.data, &mut self.child, &mut self.recursive] {
                drop_one(table, &path, connection);
            }
        }
    }

    /// Paths and who watches them, in order of path.
    pub fn by_path(&self) -> BTreeMap<&str, BTreeSet<ConnectionId>> {
        let mut paths: BTreeMap<&str, BTreeSet<ConnectionId>> = BTreeMap::new();
        for (connection, watched) in &self.by_connection {
            for path in watched {
                paths.entry(path).or_default().insert(*connection);
            }
        }
        paths
    }

    /// Connections and what they watch, in order of connection.
    pub fn by_connection(&self) -> BTreeMap<ConnectionId, &BTreeSet<String>> {
        self.by_connection.iter().map(|(connection, paths)| (*connection, paths)).collect()
    }

    /// How many paths are watched by whom, counted once for each pair.
    pub fn len(&self) -> usize {
        self.by_connection.values().map(BTreeSet::len).sum()
    }

    fn forget_unless_held(&mut self, path: &str, connection: ConnectionId) {
        if self.contains(WatcherType::Any, path, connection) {
            return;
        }
        if let Some(paths) = self.by_connection.get_mut(&connection) {
            paths.remove(path);
            if paths.is_empty() {
                self.by_connection.remove(&connection);
            }
        }
    }
}

impl Modes {
    fn any(self) -> bool {
        self.once || self.persistent
    }
}

/// Collects the listeners on a path and disarms the one-shot ones.
fn take(table: &mut Table, path: &str, listeners: &mut BTreeSet<ConnectionId>, spent: &mut BTreeSet<ConnectionId>) {
    let Some(watchers) = table.get_mut(path) else { return };
    listeners.extend(watchers.keys());
    spent.extend(watchers.iter().filter(|(_, modes)| modes.once).map(|(connection, _)| *connection));
    watchers.retain(|_, modes| {
        modes.once = false;
        modes.persistent
    });
    if watchers.is_empty() {
        table.remove(path);
    }
}

fn drop_one(table: &mut Table, path: &str, connection: ConnectionId) {
    if let Some(watchers) = table.get_mut(path) {
        watchers.remove(&connection);
        if watchers.is_empty() {
            table.remove(path);
        }
    }
}

fn drop_empty(table: &mut Table, path: &str, connection: ConnectionId) {
    let empty = table.get(path).and_then(|watchers| watchers.get(&connection)).is_some_and(|modes| !modes.any());
    if empty {
        drop_one(table, path, connection);
    }
}

/// `/a/b`, `/a`, `/`.
fn self_and_ancestors(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match path.rfind('/') {
        _ if *path == "/" => None,
        Some(0) => Some("/"),
        Some(slash) => Some(&path[..slash]),
        None => None,
    })
}

#[cfg(test)]
mod tests;
