use super::*;

#[test]
fn base64_is_padded() {
    let check = |bytes: &str, text: &str| assert_eq!(base64(bytes.as_bytes()), text);
    check("", "");
    check("f", "Zg==");
    check("fo", "Zm8=");
    check("foo", "Zm9v");
    check("foobar", "Zm9vYmFy");
}

/// Computed with Python's hmac and hashlib.
#[test]
fn a_credential_is_what_rfc_5802_says() {
    let stored = stored(Mechanism::Sha256, b"salt", b"salted", 4096);
    assert_eq!(
        stored,
        "salt=c2FsdA==,stored_key=pDJPdNW4lb6SBic4/4xXGF9rznEdITXt4LsBe5GOK4o=,server_key=/uCXMt5tVlIDe5JxsoFXiy4ecf7WZelzVsMSW2SZz1o=,iterations=4096"
    );
    assert_eq!(iterations(&stored), Some(4096));
    assert_eq!(iterations("salt=,iterations=1"), None);
}
