//! A transaction: one change of the registry as it stands in the log, with everything decided.
//!
//! The bytes are Apache ZooKeeper's (`TxnHeader` and the records of `zookeeper.jute`), so its tools read our log
//! and we read its.

use crate::registry::jute::{Malformed, Reader, Writer};
use crate::registry::proto::{Acl, Code, op};

/// When, by whom and in which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TxnHeader {
    pub session_id: i64,
    /// The xid of the client's request.
    pub cxid: i32,
    pub zxid: i64,
    /// Wall clock, milliseconds since 1970.
    pub time_ms: i64,
}

/// One change, decided: sequence numbers and new versions are filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Txn {
    CreateSession {
        timeout_ms: i32,
    },
    /// Takes the session's ephemerals along. `paths` are those; ours and 3.6+ write them, older logs do not.
    CloseSession {
        paths: Vec<String>,
    },
    Create {
        path: String,
        data: Option<Vec<u8>>,
        acl: Vec<Acl>,
        kind: Kind,
        /// The parent's count of creations after this one; -1 (only in very old logs): one more.
        parent_creations: i32,
    },
    Delete {
        path: String,
    },
    SetData {
        path: String,
        data: Option<Vec<u8>>,
        version: i32,
    },
    SetAcl {
        path: String,
        acl: Vec<Acl>,
        version: i32,
    },
    /// Changes nothing.
    Check {
        path: String,
        version: i32,
    },
    /// A request that failed; Apache's server gives it a zxid, ours does not.
    Error(Code),
    Multi(Vec<Txn>),
}

/// What decides about a znode's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Persistent,
    Ephemeral,
    Container,
    /// Milliseconds; only in logs of a server that had them switched on.
    Ttl(i64),
}

impl Kind {
    /// As `ephemeralOwner` says it. Source: `EphemeralType`.
    pub fn owner(self, session_id: i64) -> i64 {
        match self {
            Kind::Persistent => 0,
            Kind::Ephemeral => session_id,
            Kind::Container => CONTAINER_OWNER,
            Kind::Ttl(ms) => TTL_OWNER | ms,
        }
    }
}

/// `ephemeralOwner` of a container. Source: `EphemeralType.CONTAINER_EPHEMERAL_OWNER`.
pub const CONTAINER_OWNER: i64 = i64::MIN;

/// `ephemeralOwner` of a TTL znode, without its TTL. Source: `EphemeralType.EXTENDED_MASK`.
const TTL_OWNER: i64 = 0xff00_0000_0000_0000_u64 as i64;

/// Whether `ephemeralOwner` is a session.
pub fn is_session(owner: i64) -> bool {
    owner != 0 && owner != CONTAINER_OWNER && (owner as u64) < TTL_OWNER as u64
}

impl Txn {
    pub fn write(&self, header: &TxnHeader, w: &mut Writer) {
        w.i64(header.session_id).i32(header.cxid).i64(header.zxid).i64(header.time_ms).i32(self.opcode());
        self.write_body(w);
    }

    pub fn read(r: &mut Reader<'_>) -> Result<(TxnHeader, Txn), Malformed> {
        let header = TxnHeader { session_id: r.i64()?, cxid: r.i32()?, zxid: r.i64()?, time_ms: r.i64()? };
        let opcode = r.i32()?;
        // What may follow is a digest of the tree, which we neither write nor check.
        Ok((header, Txn::read_body(opcode, r)?))
    }

    fn opcode(&self) -> i32 {
        match self {
            Txn::CreateSession { .. } => op::CREATE_SESSION,
            Txn::CloseSession { .. } => op::CLOSE_SESSION,
            Txn::Create { kind: Kind::Container, .. } => op::CREATE_CONTAINER,
            Txn::Create { kind: Kind::Ttl(_), .. } => op::CREATE_TTL,
            Txn::Create { .. } => op::CREATE,
            Txn::Delete { .. } => op::DELETE,
            Txn::SetData { .. } => op::SET_DATA,
            Txn::SetAcl { .. } => op::SET_ACL,
            Txn::Check { .. } => op::CHECK,
            Txn::Error(_) => op::ERROR,
            Txn::Multi(_) => op::MULTI,
        }
    }

    fn write_body(&self, w: &mut Writer) {
        match self {
            Txn::CreateSession { timeout_ms } => {
                w.i32(*timeout_ms);
            }
            Txn::CloseSession { paths } => {
                w.strings(paths.iter());
            }
            Txn::Create { path, data, acl, kind, parent_creations } => {
                w.string(path).buffer(data.as_deref());
                Acl::write_list(acl, w);
                match kind {
                    Kind::Persistent => w.bool(false).i32(*parent_creations),
                    Kind::Ephemeral => w.bool(true).i32(*parent_creations),
                    Kind::Container => w.i32(*parent_creations),
                    Kind::Ttl(ms) => w.i32(*parent_creations).i64(*ms),
                };
            }
            Txn::Delete { path } => {
                w.string(path);
            }
            Txn::SetData { path, data, version } => {
                w.string(path).buffer(data.as_deref()).i32(*version);
            }
            Txn::SetAcl { path, acl, version } => {
                w.string(path);
                Acl::write_list(acl, w);
                w.i32(*version);
            }
            Txn::Check { path, version } => {
                w.string(path).i32(*version);
            }
            Txn::Error(code) => {
                w.i32(code.0);
            }
            Txn::Multi(txns) => {
                w.i32(txns.len() as i32);
                for txn in txns {
                    let mut body = Writer::new();
                    txn.write_body(&mut body);
                    w.i32(txn.opcode()).buffer(Some(&body.into_bytes()));
                }
            }
        }
    }

    fn read_body(opcode: i32, r: &mut Reader<'_>) -> Result<Txn, Malformed> {
        Ok(match opcode {
            op::CREATE_SESSION => Txn::CreateSession { timeout_ms: r.i32()? },
            // Before 3.6 there was no body.
            op::CLOSE_SESSION if r.is_empty() => Txn::CloseSession { paths: Vec::new() },
            op::CLOSE_SESSION => Txn::CloseSession { paths: r.strings()? },
            op::CREATE | op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                let path = r.string()?.to_owned();
                let data = r.buffer()?.map(<[u8]>::to_vec);
                let acl = Acl::read_list(r)?;
                let mut kind = match opcode {
                    op::CREATE_CONTAINER => Kind::Container,
                    op::CREATE_TTL => Kind::Ttl(0),
                    _ if r.bool()? => Kind::Ephemeral,
                    _ => Kind::Persistent,
                };
                // ZooKeeper 3.3 did not write the count.
                let parent_creations = if r.is_empty() { -1 } else { r.i32()? };
                if let Kind::Ttl(ms) = &mut kind {
                    *ms = r.i64()?;
                }
                Txn::Create { path, data, acl, kind, parent_creations }
            }
            op::DELETE | op::DELETE_CONTAINER => Txn::Delete { path: r.string()?.to_owned() },
            op::SET_DATA => {
                Txn::SetData { path: r.string()?.to_owned(), data: r.buffer()?.map(<[u8]>::to_vec), version: r.i32()? }
            }
            op::SET_ACL => Txn::SetAcl { path: r.string()?.to_owned(), acl: Acl::read_list(r)?, version: r.i32()? },
            op::CHECK => Txn::Check { path: r.string()?.to_owned(), version: r.i32()? },
            op::ERROR => Txn::Error(Code(r.i32()?)),
            op::MULTI => {
                let count = r.count(8)?;
                let txns = (0..count).map(|_| {
                    let opcode = r.i32()?;
                    let mut body = Reader::new(r.buffer()?.unwrap_or_default());
                    match opcode {
                        op::MULTI => Err(Malformed("multi in a multi")),
                        opcode => Txn::read_body(opcode, &mut body),
                    }
                });
                Txn::Multi(txns.collect::<Result<_, _>>()?)
            }
            _ => return Err(Malformed("transaction type")),
        })
    }
}
