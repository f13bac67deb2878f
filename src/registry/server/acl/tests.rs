use super::*;
use crate::registry::proto::perm;

fn acl(perms: i32, scheme: &str, id: &str) -> Acl {
    Acl { perms, scheme: scheme.into(), id: id.into() }
}

#[test]
fn a_digest_is_apaches() {
    // DigestAuthenticationProvider.generateDigest("super:test"), and FIPS's two-block example.
    let mut me = Identity::new(IpAddr::from([127, 0, 0, 1]));
    assert!(me.authenticate("digest", b"super:test"));
    assert_eq!(me.digests, ["super:D/InIHSb7yEEbrWz8b9l71RjZJU="]);
    let long = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    assert_eq!(sha1(long)[..4], [0x84, 0x98, 0x3e, 0x44]);
    assert_eq!(base64(b"ab"), "YWI=");
}

#[test]
fn an_acl_opens_for_those_it_names() {
    let mut me = Identity::new(IpAddr::from([10, 1, 2, 3]));
    assert!(me.may(perm::READ, &[Acl::open()]));
    assert!(me.may(perm::READ, &[acl(perm::READ, "ip", "10.1.0.0/16")]));
    assert!(me.may(perm::READ, &[acl(perm::READ, "ip", "10.1.2.3")]));
    assert!(!me.may(perm::WRITE, &[acl(perm::READ, "ip", "10.1.0.0/16")]));
    assert!(!me.may(perm::READ, &[acl(perm::ALL, "ip", "10.2.0.0/16")]));
    let digest = [acl(perm::ALL, "digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU=")];
    assert!(!me.may(perm::READ, &digest));
    assert!(me.resolve(&[acl(perm::ALL, "auth", "")]).is_err());
    me.authenticate("digest", b"super:test");
    assert!(me.may(perm::READ, &digest));
    assert_eq!(me.resolve(&[acl(perm::ALL, "auth", "")]).unwrap(), digest);
}

#[test]
fn an_acl_without_a_meaning_is_refused() {
    let me = Identity::new(IpAddr::from([127, 0, 0, 1]));
    for bad in [acl(1, "world", "x"), acl(1, "digest", "x"), acl(1, "ip", "1.2.3.4/33"), acl(1, "sasl", "x")] {
        assert_eq!(me.resolve(std::slice::from_ref(&bad)), Err(Code::INVALID_ACL), "{bad:?}");
    }
    assert_eq!(me.resolve(&[]), Err(Code::INVALID_ACL));
}
