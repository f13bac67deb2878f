use super::*;
use crate::registry::server::txn::{Kind, Txn, TxnHeader};

#[test]
fn adler32_is_zlibs() {
    assert_eq!(adler32(b"Wikipedia"), 0x11e6_0398);
}

#[test]
fn a_snapshot_reads_back_and_notices_every_flipped_byte() {
    let mut tree = Tree::new();
    let header = TxnHeader { session_id: 77, cxid: 1, zxid: 9, time_ms: 5 };
    let acl = vec![Acl { perms: 1, scheme: "digest".into(), id: "u:x".into() }];
    for (path, data, kind) in [
        ("/a", None, Kind::Persistent),
        ("/a/b", Some(b"x".to_vec()), Kind::Ephemeral),
        ("/a-c", Some(Vec::new()), Kind::Container),
    ] {
        let acl = acl.clone();
        tree.apply(&header, &Txn::Create { path: path.into(), data, acl, kind, parent_creations: -1 }).unwrap();
    }
    let bytes = encode(&tree, &BTreeMap::from([(77, 6000)]));
    let back = decode(&bytes).unwrap();
    assert_eq!(back.sessions, BTreeMap::from([(77, 6000)]));
    assert_eq!(encode(&back.tree, &back.sessions), bytes);
    assert_eq!(back.tree.ephemerals(77).collect::<Vec<_>>(), ["/a/b"]);
    assert_eq!(back.tree.node("/a").unwrap().data, None);
    assert_eq!(back.tree.node("/a-c").unwrap().data.as_deref(), Some(&b""[..]));
    for cut in 0..bytes.len() {
        assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    for at in 16..bytes.len() - 13 {
        let mut bad = bytes.clone();
        bad[at] ^= 0x40;
        assert!(decode(&bad).is_err(), "flipped at {at}");
    }
}
