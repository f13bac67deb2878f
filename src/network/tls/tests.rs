use super::*;

#[test]
fn a_name_with_a_star_stands_for_one_label() {
    for (name, host, expected) in [
        ("kafka.example.com", "KAFKA.example.com", true),
        ("*.example.com", "a.example.com", true),
        ("*.example.com", "a.b.example.com", false),
        ("*.example.com", "example.com", false),
        ("*.com", "example.com", false),
        ("example.com", "a.example.com", false),
    ] {
        assert_eq!(matches_host(name, host), expected, "{name} {host}");
    }
}

#[test]
fn failures_are_told_in_words() {
    let of = |error: rustls::Error| reason(&io::Error::new(io::ErrorKind::InvalidData, error)).unwrap();
    assert!(of(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)).contains("trust store"));
    assert!(of(rustls::Error::AlertReceived(AlertDescription::CertificateRequired)).contains("client certificate"));
    assert!(of(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType)).contains("plain-text port"));
    assert_eq!(reason(&io::Error::other("x")), None);
    assert_eq!(reason(&io::ErrorKind::ConnectionReset.into()), None);
}

/// The fixtures' client certificate is for `fixture.example`, signed by `fixture-ca`.
fn verify(trusted: &[&str], host: &str, verify_host: bool) -> Result<(), String> {
    use rustls::pki_types::pem::PemObject;
    let certificates = |name: &str| -> Vec<CertificateDer<'static>> {
        let file = format!("tests/fixtures/stores/{name}");
        CertificateDer::pem_file_iter(file).unwrap().collect::<Result<_, _>>().unwrap()
    };
    let chain = certificates("chain.pem");
    let trusted = trusted.iter().map(|name| certificates(name)[0].to_vec()).collect();
    let settings = TlsSettings { trusted, verify_host, ..TlsSettings::default() };
    let verifier = Verifier::new(&settings, Arc::new(rustls::crypto::ring::default_provider()));
    let name = ServerName::try_from(host).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_900_000_000));
    let verified = verifier.verify_server_cert(&chain[0], &chain[1..], &name, &[], now);
    verified.map(drop).map_err(|error| reason(&io::Error::new(io::ErrorKind::InvalidData, error)).unwrap())
}

#[test]
fn a_certificate_is_judged_by_its_chain_and_by_its_host() {
    assert_eq!(verify(&["ca.pem"], "fixture.example", true), Ok(()));
    assert_eq!(verify(&["ca.pem"], "FIXTURE.example", true), Ok(()));
    let refused = verify(&["ca.pem"], "localhost", true).unwrap_err();
    assert!(refused.starts_with("the broker's certificate is for fixture.example, not for localhost"), "{refused}");
    assert!(verify(&["ca.pem"], "127.0.0.1", true).unwrap_err().contains("not for 127.0.0.1"));
    assert_eq!(verify(&["ca.pem"], "localhost", false), Ok(()));
    assert!(verify(&[], "fixture.example", true).unwrap_err().contains("signed by nobody"));
    assert!(verify(&[], "fixture.example", false).unwrap_err().contains("signed by nobody"));
}

#[test]
fn a_certificate_that_is_trusted_itself_needs_no_chain() {
    assert_eq!(verify(&["chain.pem"], "fixture.example", true), Ok(()));
    assert!(verify(&["chain.pem"], "other.example", true).is_err());
}
