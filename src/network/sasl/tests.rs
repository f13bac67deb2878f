use super::*;

fn scram(hash: ScramHash, username: &str, password: &str) -> Credentials {
    let (username, password) = (username.to_owned(), password.to_owned());
    Credentials::Scram { hash, username, password, kind: ScramKind::User }
}

#[test]
fn scram_sha_256_goes_as_in_rfc_7677() {
    let mut exchange = scram(ScramHash::Sha256, "user", "pencil").begin("rOprNGfwEbeRWgbNEkqO");
    assert_eq!(exchange.first(), b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let server_first = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let expected = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                    p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    assert_eq!(exchange.next(server_first).unwrap().unwrap(), expected.as_bytes());
    assert!(!exchange.is_complete());
    assert_eq!(exchange.next(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap(), None);
    assert!(exchange.is_complete());
}

#[test]
fn a_broker_that_does_not_know_the_password_is_not_trusted() {
    let server_first = b"r=nonce-and-more,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    for final_message in ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "v=", "", "e=other-error"] {
        let mut exchange = scram(ScramHash::Sha512, "user", "pencil").begin("nonce");
        exchange.next(server_first).unwrap();
        assert!(exchange.next(final_message.as_bytes()).is_err(), "{final_message}");
    }
}

#[test]
fn a_hostile_first_answer_is_refused() {
    for message in [
        &b"r=other,s=AAAA,i=4096"[..],
        b"r=nonce,s=AAAA,i=4096",
        b"r=nonce2,s=AAAA,i=0",
        b"r=nonce2,s=AAAA,i=4294967295",
        b"r=nonce2,s=A,i=4096",
        b"r=nonce2,i=4096",
        b"s=AAAA,i=4096",
        b"e=unknown-user",
        b"\xff\xfe",
        b"",
    ] {
        let refused = scram(ScramHash::Sha256, "u", "p").begin("nonce").next(message);
        assert!(refused.is_err(), "{}", String::from_utf8_lossy(message));
    }
}

#[test]
fn names_and_tokens_are_written_as_the_mechanisms_want_them() {
    assert_eq!(scram(ScramHash::Sha256, "a=b,c", "p").begin("x").first(), b"n,,n=a=3Db=2Cc,r=x");
    let token = Credentials::Scram {
        hash: ScramHash::Sha512,
        username: "id".to_owned(),
        password: "hmac".to_owned(),
        kind: ScramKind::DelegationToken,
    };
    assert_eq!(token.begin("x").first(), b"n,,n=id,r=x,tokenauth=true");
    let plain = Credentials::Plain { username: "alice".to_owned(), password: "secret".to_owned() };
    assert_eq!(plain.begin("x").first(), b"\0alice\0secret");
    assert_eq!(format!("{plain:?}"), "PLAIN \"alice\"");
    let bearer = Credentials::OAuthBearer {
        token: "abc".to_owned(),
        extensions: vec![("k".to_owned(), "v".to_owned()), ("l".to_owned(), "w".to_owned())],
    };
    assert_eq!(bearer.begin("x").first(), b"n,,\x01auth=Bearer abc\x01k=v\x01l=w\x01\x01");
}

#[test]
fn a_refused_token_is_acknowledged() {
    let mut exchange = Credentials::OAuthBearer { token: "t".to_owned(), extensions: Vec::new() }.begin("x");
    assert!(exchange.is_complete());
    assert_eq!(exchange.next(b"{\"status\":\"invalid_token\"}").unwrap().unwrap(), b"\x01");
    assert!(exchange.next(b"again").is_err());
}

#[test]
fn base64_there_and_back() {
    for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
        assert_eq!(base64_encode(bytes.as_bytes()), text);
        assert_eq!(base64_decode(text).unwrap(), bytes.as_bytes());
    }
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(base64_decode(&base64_encode(&all)).unwrap(), all);
    for bad in ["A", "AA", "AAA", "A===", "====", "AA=A", "A-_="] {
        assert_eq!(base64_decode(bad), None, "{bad}");
    }
}
