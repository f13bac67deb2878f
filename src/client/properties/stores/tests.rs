use super::*;

const FIXTURES: &str = "tests/fixtures/stores";

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{FIXTURES}/{name}")).unwrap()
}

fn text(name: &str) -> String {
    String::from_utf8(file(name)).unwrap()
}

fn error<T>(result: Result<T, String>) -> String {
    result.err().unwrap()
}

#[test]
fn trust_stores_hold_the_same_certificate_in_every_format() {
    let pem = parse_certificates(&text("ca.pem")).unwrap();
    assert_eq!(pem.len(), 1);
    for (name, password) in [("trust.jks", Some("secret")), ("trust.jks", None), ("trust.p12", Some("secret"))] {
        assert_eq!(Store::open(&file(name), password, None).unwrap().into_trusted(), pem, "{name}");
    }
}

#[test]
fn key_stores_hold_the_same_key_and_chain_in_every_format() {
    let key = parse_key(&text("key.pem"), None).unwrap();
    let chain = parse_certificates(&text("chain.pem")).unwrap();
    for (name, key_password) in [("client.jks", Some("other1")), ("client.p12", None), ("client-legacy.p12", None)] {
        let store = Store::open(&file(name), Some("secret"), key_password).unwrap();
        assert_eq!(store.identities.len(), 1, "{name}");
        assert_eq!(store.identities[0].chain, chain, "{name}");
        assert_eq!(store.identities[0].key, key, "{name}");
    }
    assert_eq!(parse_key(&text("key-encrypted.pem"), Some("other1")).unwrap(), key);
}

#[test]
fn wrong_passwords_are_told_as_java_tells_them() {
    let open = |name, password, key_password| error(Store::open(&file(name), Some(password), key_password));
    assert_eq!(open("trust.jks", "guess", None), "Keystore was tampered with, or password was incorrect");
    assert_eq!(open("client.jks", "secret", None), "Cannot recover key");
    assert_eq!(open("trust.p12", "guess", None), "keystore password was incorrect");
    assert_eq!(open("client.p12", "", None), "keystore password was incorrect");
    let key = text("key-encrypted.pem");
    assert_eq!(error(parse_key(&key, Some("guess"))), "the private key's password (ssl.key.password) is wrong");
    assert_eq!(error(parse_key(&key, None)), "the private key is encrypted: set ssl.key.password");
}

#[test]
fn what_is_no_store_says_so() {
    assert_eq!(error(Store::open(b"", None, None)), "Invalid keystore format");
    assert_eq!(error(Store::open(b"hello", None, None)), "Invalid keystore format");
    assert!(error(Store::open(b"\xce\xce\xce\xce", None, None)).starts_with("JCEKS"));
    assert!(error(Store::open(&file("ca.pem"), None, None)).contains("PEM"));
    assert_eq!(error(parse_certificates("")), "No matching CERTIFICATE entries in PEM file");
    assert_eq!(error(parse_key(&text("ca.pem"), None)), "No matching PRIVATE KEY entries in PEM file");
    assert_eq!(error(parse_key(&text("key.pem").repeat(2), None)), "Expected one private key, but found 2");
    assert!(
        error(parse_key("-----BEGIN RSA PRIVATE KEY-----AAAA-----END RSA PRIVATE KEY-----", None)).contains("topk8")
    );
}

#[test]
fn a_pem_may_have_lost_its_line_breaks() {
    for blank in [" ", ""] {
        let squeezed = text("ca.pem").replace('\n', blank);
        assert_eq!(parse_certificates(&squeezed).unwrap(), parse_certificates(&text("ca.pem")).unwrap());
    }
    let der = &parse_certificates(&text("ca.pem")).unwrap()[0];
    assert_eq!(write_pem("CERTIFICATE", der), text("ca.pem"));
}

#[test]
fn every_cut_and_every_changed_byte_of_a_store_is_survived() {
    // Without a password nothing but the parser stands between the bytes and us. (PKCS#12 is the crate's to parse;
    // its hashing makes each attempt dear, so only some are made.)
    for (name, step) in [("client.jks", 1), ("trust.jks", 1), ("client.p12", 331), ("trust.p12", 331)] {
        let whole = file(name);
        for at in (0..whole.len()).step_by(step) {
            let _ = Store::open(&whole[..at], None, None);
            for flip in [0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                let _ = Store::open(&changed, None, None);
                assert!(step > 1 || Store::open(&changed, Some("secret"), Some("other1")).is_err(), "{name} {at}");
            }
        }
    }
}

#[test]
fn a_jks_store_that_promises_more_than_it_has_is_refused_before_anything_is_taken() {
    let entries = |rest: &[u8]| [b"\xfe\xed\xfe\xed\0\0\0\x02".as_slice(), rest, &[0; 20]].concat();
    for hostile in [
        &b"\xff\xff\xff\xff"[..],
        b"\0\0\0\x01\0\0\0\x02\xff\xff",
        b"\0\0\0\x01\0\0\0\x02\0\x01a\0\0\0\0\0\0\0\0\0\x05X.509\xff\xff\xff\xff",
        b"\0\0\0\x01\0\0\0\x01\0\x01a\0\0\0\0\0\0\0\0\x7f\xff\xff\xff",
        b"\0\0\0\x01\0\0\0\x01\0\x01a\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff",
    ] {
        assert_eq!(error(Store::open(&entries(hostile), None, None)), "Invalid keystore format");
    }
    let unknown = b"\0\0\0\x01\0\0\0\x03\0\x01a\0\0\0\0\0\0\0\0";
    assert_eq!(error(Store::open(&entries(unknown), None, None)), "Unrecognized keystore entry");
}
