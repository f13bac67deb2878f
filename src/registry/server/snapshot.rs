//! The whole registry at one zxid as a file: `snapshot.<zxid in hex>`.
//!
//! Apache ZooKeeper's format, so that either server can start on the other's directory:
//!
//! ```text
//! i32 "ZKSN", i32 version 2, i64 database id -1
//! i32 count, sessions: i64 id, i32 timeout
//! i32 count, ACLs: i64 number, ACL list
//! znodes, parents first: string path ("" is the root), buffer data, i64 number of the ACL,
//!     i64 czxid, mzxid, ctime, mtime, i32 version, creations, aversion, i64 owner, pzxid
//! string "/"
//! i64 Adler-32 of all this, string "/"
//! ```
//!
//! What newer servers append (a digest of the tree) is not written and not read.
//! Source: `FileSnap`, `SerializeUtils`, `DataTree.serialize`, `SnapStream`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::tree::{Node, Tree};
use crate::registry::jute::{Malformed, Reader, Writer};
use crate::registry::proto::Acl;

const MAGIC: &[u8; 4] = b"ZKSN";
const VERSION: i32 = 2;

/// The ACL that everyone has gets no number. Source: `ReferenceCountedACLCache.OPEN_UNSAFE_ACL_ID`.
const OPEN_ACL: i64 = -1;

/// What a snapshot holds.
#[derive(Debug)]
pub struct Snapshot {
    pub tree: Tree,
    /// Session id to timeout in milliseconds.
    pub sessions: BTreeMap<i64, i32>,
}

/// The bytes of a snapshot file.
pub fn encode(tree: &Tree, sessions: &BTreeMap<i64, i32>) -> Vec<u8> {
    let mut w = Writer::new();
    w.bytes(MAGIC).i32(VERSION).i64(-1);
    w.i32(sessions.len() as i32);
    for (id, timeout_ms) in sessions {
        w.i64(*id).i32(*timeout_ms);
    }
    let open = [Acl::open()];
    let mut numbers: HashMap<*const Acl, i64> = HashMap::new();
    let mut acls: Vec<&Arc<[Acl]>> = Vec::new();
    for (_, node) in tree.iter() {
        // Interned: the same ACL is at the same place.
        let number = numbers.entry(node.acl.as_ptr());
        if node.acl[..] != open {
            number.or_insert_with(|| {
                acls.push(&node.acl);
                acls.len() as i64
            });
        }
    }
    w.i32(acls.len() as i32);
    for (index, acl) in acls.iter().enumerate() {
        w.i64(index as i64 + 1);
        Acl::write_list(acl, &mut w);
    }
    for (path, node) in tree.iter() {
        w.string(if path == "/" { "" } else { path }).buffer(node.data.as_deref());
        w.i64(numbers.get(&node.acl.as_ptr()).copied().unwrap_or(OPEN_ACL));
        w.i64(node.czxid).i64(node.mzxid).i64(node.ctime_ms).i64(node.mtime_ms);
        w.i32(node.version).i32(node.creations).i32(node.aversion).i64(node.owner).i64(node.pzxid);
    }
    w.string("/");
    let mut bytes = w.into_bytes();
    let checksum = adler32(&bytes);
    bytes.extend(i64::from(checksum).to_be_bytes());
    bytes.extend([0, 0, 0, 1, b'/']);
    bytes
}

/// Reads a snapshot file back.
///
/// # Errors
/// When it is cut short, damaged, or of another version.
pub fn decode(bytes: &[u8]) -> Result<Snapshot, Malformed> {
    let mut r = Reader::new(bytes);
    if r.bytes(4)? != MAGIC || r.i32()? != VERSION {
        return Err(Malformed("snapshot header"));
    }
    r.i64()?;
    let sessions = (0..r.count(12)?).map(|_| Ok((r.i64()?, r.i32()?))).collect::<Result<_, _>>()?;
    let mut tree = Tree::empty();
    let mut acls = HashMap::from([(OPEN_ACL, tree.intern(&[Acl::open()]))]);
    for _ in 0..r.count(12)? {
        let number = r.i64()?;
        let acl = Acl::read_list(&mut r)?;
        acls.insert(number, tree.intern(&acl));
    }
    loop {
        let path = r.string()?;
        if path == "/" {
            break;
        }
        let data = r.buffer()?.map(Box::from);
        let acl = acls.get(&r.i64()?).ok_or(Malformed("ACL number"))?.clone();
        let node = Node {
            data,
            acl,
            czxid: r.i64()?,
            mzxid: r.i64()?,
            ctime_ms: r.i64()?,
            mtime_ms: r.i64()?,
            version: r.i32()?,
            creations: r.i32()?,
            aversion: r.i32()?,
            owner: r.i64()?,
            pzxid: r.i64()?,
            children: Default::default(),
        };
        tree.insert(if path.is_empty() { "/" } else { path }, node);
    }
    let covered = bytes.len() - r.rest().len();
    if r.i64()? != i64::from(adler32(&bytes[..covered])) || r.string()? != "/" {
        return Err(Malformed("snapshot checksum"));
    }
    if tree.node("/").is_none() {
        return Err(Malformed("snapshot without a root"));
    }
    Ok(Snapshot { tree, sessions })
}

/// Source: RFC 1950 §8.2, `java.util.zip.Adler32`.
pub fn adler32(bytes: &[u8]) -> u32 {
    // The most bytes for which the sums cannot overflow before they are reduced.
    const RUN: usize = 5552;
    let (mut a, mut b) = (1u32, 0u32);
    for run in bytes.chunks(RUN) {
        for byte in run {
            a += u32::from(*byte);
            b += a;
        }
        a %= 65521;
        b %= 65521;
    }
    b << 16 | a
}

#[cfg(test)]
mod tests;
