use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::client::properties::{ClientSettings, Role};

fn options(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn claims(token: &str) -> Value {
    let mut parts = token.split('.');
    assert_eq!(base64_url_decode(parts.next().unwrap()).unwrap(), b"{\"alg\":\"none\"}");
    serde_json::from_slice(&base64_url_decode(parts.next().unwrap()).unwrap()).unwrap()
}

/// A token that says of itself what `claims` say.
fn token(claims: Value) -> String {
    format!("e30.{}.c2ln", base64_url(claims.to_string().as_bytes()))
}

#[test]
fn an_unsecured_token_claims_what_it_is_told_to() {
    let source = TokenSource::unsecured(&options(&[
        ("unsecuredLoginStringClaim_sub", "al?ice>"),
        ("unsecuredLoginNumberClaim_level", "3"),
        ("unsecuredLoginListClaim_scope", ",a,b"),
        ("unsecuredLoginExtension_pool", "p"),
        ("unsecuredLoginLifetimeSeconds", "60"),
    ]));
    let TokenSource::Unsecured { claims: given, lifetime_s, extensions } = source.unwrap() else { panic!() };
    let token = unsecured_token(&given, lifetime_s, &extensions, 1_700_000_000_500);
    assert!(token.value.ends_with('.') && !token.value.contains(['+', '/', '=']), "{}", token.value);
    let expected = json!({
        "sub": "al?ice>", "level": 3.0, "scope": ["a", "b"], "iat": 1_700_000_000.5, "exp": 1_700_000_060.5
    });
    assert_eq!(claims(&token.value), expected);
    assert_eq!((token.principal.as_str(), token.expires_ms), ("al?ice>", 1_700_000_060_500));
    assert_eq!(token.extensions, options(&[("pool", "p")]));
    for bad in [
        &[][..],
        &[("unsecuredLoginStringClaim_sub", "a"), ("unsecuredLoginNumberClaim_n", "x")],
        &[("unsecuredLoginStringClaim_sub", "a"), ("unsecuredLoginListClaim_l", "")],
        &[("unsecuredLoginStringClaim_sub", "a"), ("unsecuredLoginLifetimeSeconds", "0")],
    ] {
        assert!(TokenSource::unsecured(&options(bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn a_token_of_others_is_good_as_long_as_it_says() {
    let of = |value: &str, expires_in| token_of(value, expires_in, &[], 1_000_000);
    let named = of(&token(json!({"sub": "s", "exp": 2000})), Some(5)).unwrap();
    assert_eq!((named.principal.as_str(), named.expires_ms), ("s", 2_000_000));
    assert_eq!(of("opaque", Some(5)).unwrap().expires_ms, 1_005_000);
    assert_eq!(of("opaque", None).unwrap().expires_ms, 4_600_000);
    assert_eq!(of(&token(json!({"exp": 999})), None).unwrap_err(), "it is no longer valid");
    for hostile in ["", "a b", "a\x01auth=b", "a\r\nb", "tök"] {
        assert!(of(hostile, None).is_err(), "{hostile:?}");
    }
}

#[test]
fn a_token_is_read_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    std::fs::write(&path, "opaque\n").unwrap();
    let source = TokenSource::File { path: path.to_str().unwrap().to_owned(), extensions: Vec::new() };
    assert_eq!(source.obtain().unwrap().value, "opaque");
    std::fs::write(&path, "").unwrap();
    assert!(source.obtain().unwrap_err().contains("it is empty"));
}

#[test]
fn an_authorization_server_is_asked_with_the_clients_credentials() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/oauth/token", server.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let answers = [
            ("200 OK", "{\"access_token\":\"abc\",\"expires_in\":300}"),
            ("401 Unauthorized", "{\"error\":\"invalid_client\"}"),
            ("200 OK", "{}"),
        ];
        answers.map(|(status, body)| {
            let (mut stream, _) = server.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"&scope=a+b%26c") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
            String::from_utf8(request).unwrap()
        })
    });
    let settings = ClientSettings::check(Role::Admin, []).unwrap();
    let source = TokenSource::ClientCredentials {
        url: url.clone(),
        client_id: "id".to_owned(),
        client_secret: "secret".to_owned(),
        scope: Some("a b&c".to_owned()),
        extensions: Vec::new(),
        tls: TlsStores::new(&settings).unwrap(),
    };
    let token = source.obtain().unwrap();
    assert_eq!(token.value, "abc");
    assert!((token.expires_ms - now_ms() - 300_000).abs() < 60_000);
    let refused = source.obtain().unwrap_err();
    assert_eq!(refused, format!("no token from {url}: the server answered 401 {{\"error\":\"invalid_client\"}}"));
    assert!(source.obtain().unwrap_err().ends_with("the answer has no access_token"));
    let requests = serving.join().unwrap();
    assert!(requests[0].starts_with("POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1:"), "{}", requests[0]);
    assert!(requests[0].contains("\r\nAuthorization: Basic aWQ6c2VjcmV0\r\n"), "{}", requests[0]);
    assert!(requests[0].ends_with("\r\n\r\ngrant_type=client_credentials&scope=a+b%26c"), "{}", requests[0]);
}
