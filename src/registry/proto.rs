//! The vocabulary of ZooKeeper's protocol that client and server share: op codes, error codes, `Stat`, ACLs.
//!
//! A frame is an i32 length and a payload. A request starts with i32 xid, i32 op; a reply with i32 xid, i64 zxid,
//! i32 err, and a body only if err is 0.

use crate::registry::jute::{Malformed, Reader, Writer};

/// Op codes. Source: `ZooDefs.OpCode`.
pub mod op {
    pub const NOTIFICATION: i32 = 0;
    pub const CREATE: i32 = 1;
    pub const DELETE: i32 = 2;
    pub const EXISTS: i32 = 3;
    pub const GET_DATA: i32 = 4;
    pub const SET_DATA: i32 = 5;
    pub const GET_ACL: i32 = 6;
    pub const SET_ACL: i32 = 7;
    pub const GET_CHILDREN: i32 = 8;
    pub const SYNC: i32 = 9;
    pub const PING: i32 = 11;
    pub const GET_CHILDREN2: i32 = 12;
    pub const CHECK: i32 = 13;
    pub const MULTI: i32 = 14;
    pub const CREATE2: i32 = 15;
    pub const CHECK_WATCHES: i32 = 17;
    pub const REMOVE_WATCHES: i32 = 18;
    pub const CREATE_CONTAINER: i32 = 19;
    pub const DELETE_CONTAINER: i32 = 20;
    pub const CREATE_TTL: i32 = 21;
    pub const MULTI_READ: i32 = 22;
    pub const AUTH: i32 = 100;
    pub const SET_WATCHES: i32 = 101;
    pub const GET_EPHEMERALS: i32 = 103;
    pub const GET_ALL_CHILDREN_NUMBER: i32 = 104;
    pub const SET_WATCHES2: i32 = 105;
    pub const ADD_WATCH: i32 = 106;
    pub const WHO_AM_I: i32 = 107;
    pub const CREATE_SESSION: i32 = -10;
    pub const CLOSE_SESSION: i32 = -11;
    /// In a multi's answer, and in a log: an operation that failed.
    pub const ERROR: i32 = -1;
}

/// xids with a meaning of their own.
pub mod xid {
    pub const NOTIFICATION: i32 = -1;
    pub const PING: i32 = -2;
    pub const AUTH: i32 = -4;
    pub const SET_WATCHES: i32 = -8;
}

/// An error code on the wire; 0 is success. Source: `KeeperException.Code`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(pub i32);

impl Code {
    pub const OK: Code = Code(0);
    pub const RUNTIME_INCONSISTENCY: Code = Code(-2);
    pub const CONNECTION_LOSS: Code = Code(-4);
    pub const MARSHALLING_ERROR: Code = Code(-5);
    pub const UNIMPLEMENTED: Code = Code(-6);
    pub const BAD_ARGUMENTS: Code = Code(-8);
    pub const NO_NODE: Code = Code(-101);
    pub const NO_AUTH: Code = Code(-102);
    pub const BAD_VERSION: Code = Code(-103);
    pub const NO_CHILDREN_FOR_EPHEMERALS: Code = Code(-108);
    pub const NODE_EXISTS: Code = Code(-110);
    pub const NOT_EMPTY: Code = Code(-111);
    pub const SESSION_EXPIRED: Code = Code(-112);
    pub const INVALID_ACL: Code = Code(-114);
    pub const AUTH_FAILED: Code = Code(-115);
    pub const SESSION_MOVED: Code = Code(-118);
    pub const NO_WATCHER: Code = Code(-121);
}

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match *self {
            Code::OK => "Ok",
            Code::RUNTIME_INCONSISTENCY => "RuntimeInconsistency",
            Code::CONNECTION_LOSS => "ConnectionLoss",
            Code::MARSHALLING_ERROR => "MarshallingError",
            Code::UNIMPLEMENTED => "Unimplemented",
            Code::BAD_ARGUMENTS => "BadArguments",
            Code::NO_NODE => "NoNode",
            Code::NO_AUTH => "NoAuth",
            Code::BAD_VERSION => "BadVersion",
            Code::NO_CHILDREN_FOR_EPHEMERALS => "NoChildrenForEphemerals",
            Code::NODE_EXISTS => "NodeExists",
            Code::NOT_EMPTY => "Directory not empty",
            Code::SESSION_EXPIRED => "Session expired",
            Code::INVALID_ACL => "InvalidACL",
            Code::AUTH_FAILED => "AuthFailed",
            Code::SESSION_MOVED => "Session moved",
            Code::NO_WATCHER => "No such watcher",
            Code(code) => return write!(f, "{code}"),
        };
        f.write_str(name)
    }
}

/// A znode's statistics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stat {
    /// zxid of its creation; of `/brokers/ids/N`: the broker epoch.
    pub czxid: i64,
    /// zxid of its last `setData`.
    pub mzxid: i64,
    /// Creation, milliseconds since 1970.
    pub ctime: i64,
    /// Last `setData`, milliseconds since 1970.
    pub mtime: i64,
    /// How often the data was set; Kafka's "zk version".
    pub version: i32,
    /// How often children came or went.
    pub cversion: i32,
    /// How often the ACL was set.
    pub aversion: i32,
    /// The session an ephemeral belongs to; 0 for a persistent znode.
    pub ephemeral_owner: i64,
    pub data_length: i32,
    pub num_children: i32,
    /// zxid of the last coming or going of a child.
    pub pzxid: i64,
}

impl Stat {
    /// Bytes on the wire.
    pub const LENGTH: usize = 68;

    pub fn read(r: &mut Reader<'_>) -> Result<Stat, Malformed> {
        Ok(Stat {
            czxid: r.i64()?,
            mzxid: r.i64()?,
            ctime: r.i64()?,
            mtime: r.i64()?,
            version: r.i32()?,
            cversion: r.i32()?,
            aversion: r.i32()?,
            ephemeral_owner: r.i64()?,
            data_length: r.i32()?,
            num_children: r.i32()?,
            pzxid: r.i64()?,
        })
    }

    pub fn write(&self, w: &mut Writer) {
        w.i64(self.czxid).i64(self.mzxid).i64(self.ctime).i64(self.mtime);
        w.i32(self.version).i32(self.cversion).i32(self.aversion);
        w.i64(self.ephemeral_owner).i32(self.data_length).i32(self.num_children).i64(self.pzxid);
    }
}

/// One entry of an ACL: what who may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Acl {
    /// A sum of [`perm`].
    pub perms: i32,
    pub scheme: String,
    pub id: String,
}

/// Permissions in an [`Acl`].
pub mod perm {
    pub const READ: i32 = 1;
    pub const WRITE: i32 = 2;
    pub const CREATE: i32 = 4;
    pub const DELETE: i32 = 8;
    pub const ADMIN: i32 = 16;
    pub const ALL: i32 = 31;
}

impl Acl {
    /// Everyone may do everything: Kafka's ACL without `zookeeper.set.acl`.
    pub fn open() -> Acl {
        Acl { perms: perm::ALL, scheme: "world".to_owned(), id: "anyone".to_owned() }
    }

    pub fn read_list(r: &mut Reader<'_>) -> Result<Vec<Acl>, Malformed> {
        let count = r.count(12)?;
        (0..count)
            .map(|_| Ok(Acl { perms: r.i32()?, scheme: r.string()?.to_owned(), id: r.string()?.to_owned() }))
            .collect()
    }

    pub fn write_list(list: &[Acl], w: &mut Writer) {
        w.i32(list.len() as i32);
        for acl in list {
            w.i32(acl.perms).string(&acl.scheme).string(&acl.id);
        }
    }
}

/// How long a new znode lives, and whether the registry numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateMode {
    Persistent,
    /// Goes with its session.
    Ephemeral,
    /// `%010d` of the parent's child counter is appended to the path.
    PersistentSequential,
    EphemeralSequential,
    /// Goes some time after its last child.
    Container,
}

impl CreateMode {
    /// The flags on the wire. Source: `CreateMode`.
    pub fn flags(self) -> i32 {
        match self {
            CreateMode::Persistent => 0,
            CreateMode::Ephemeral => 1,
            CreateMode::PersistentSequential => 2,
            CreateMode::EphemeralSequential => 3,
            CreateMode::Container => 4,
        }
    }

    /// The mode for flags on the wire; `None` for TTL modes (5, 6) and numbers without a meaning.
    pub fn from_flags(flags: i32) -> Option<CreateMode> {
        Some(match flags {
            0 => CreateMode::Persistent,
            1 => CreateMode::Ephemeral,
            2 => CreateMode::PersistentSequential,
            3 => CreateMode::EphemeralSequential,
            4 => CreateMode::Container,
            _ => return None,
        })
    }

    pub fn is_ephemeral(self) -> bool {
        matches!(self, CreateMode::Ephemeral | CreateMode::EphemeralSequential)
    }

    pub fn is_sequential(self) -> bool {
        matches!(self, CreateMode::PersistentSequential | CreateMode::EphemeralSequential)
    }
}

/// What happened to a watched znode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    NodeCreated,
    NodeDeleted,
    NodeDataChanged,
    NodeChildrenChanged,
    /// The session is gone (or closed by us), and this watch with it. Never on the wire.
    SessionLost,
}

impl EventKind {
    pub fn from_wire(kind: i32) -> Option<EventKind> {
        Some(match kind {
            1 => EventKind::NodeCreated,
            2 => EventKind::NodeDeleted,
            3 => EventKind::NodeDataChanged,
            4 => EventKind::NodeChildrenChanged,
            _ => return None,
        })
    }

    /// The number on the wire; `SessionLost` has -1, ZooKeeper's `None`.
    pub fn wire(self) -> i32 {
        match self {
            EventKind::NodeCreated => 1,
            EventKind::NodeDeleted => 2,
            EventKind::NodeDataChanged => 3,
            EventKind::NodeChildrenChanged => 4,
            EventKind::SessionLost => -1,
        }
    }
}
