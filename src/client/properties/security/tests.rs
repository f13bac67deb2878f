use super::*;
use crate::client::properties::Role;

const STORES: &str = "tests/fixtures/stores";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required";
const BEARER: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required";

fn settings(pairs: &[(&str, &str)]) -> ClientSettings {
    ClientSettings::check(Role::Consumer, pairs.iter().copied()).unwrap()
}

fn read(pairs: &[(&str, &str)]) -> Result<SecuritySettings, ConfigError> {
    let pairs: Vec<(&str, String)> = pairs.iter().map(|(key, value)| (*key, value.replace("STORES", STORES))).collect();
    let pairs: Vec<(&str, &str)> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
    SecuritySettings::new(&settings(&pairs), "")
}

fn error(pairs: &[(&str, &str)]) -> String {
    read(pairs).err().unwrap().0
}

fn tls(pairs: &[(&str, &str)]) -> TlsStores {
    let pairs = [&[("security.protocol", "SSL")], pairs].concat();
    read(&pairs).unwrap().tls.unwrap()
}

#[test]
fn every_kind_of_key_store_makes_a_connection_that_can_show_its_key() {
    let chain = std::fs::read_to_string(format!("{STORES}/chain.pem")).unwrap();
    let key = std::fs::read_to_string(format!("{STORES}/key.pem")).unwrap();
    let encrypted = std::fs::read_to_string(format!("{STORES}/key-encrypted.pem")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let both = dir.path().join("both.pem");
    std::fs::write(&both, format!("{encrypted}{chain}")).unwrap();
    let trust = [("ssl.truststore.location", "STORES/trust.jks")];
    for keys in [
        &[
            ("ssl.keystore.location", "STORES/client.jks"),
            ("ssl.keystore.password", "secret"),
            ("ssl.key.password", "other1"),
        ][..],
        &[
            ("ssl.keystore.location", "STORES/client.p12"),
            ("ssl.keystore.password", "secret"),
            ("ssl.keystore.type", "PKCS12"),
        ],
        &[
            ("ssl.keystore.location", both.to_str().unwrap()),
            ("ssl.key.password", "other1"),
            ("ssl.keystore.type", "PEM"),
        ],
        &[("ssl.keystore.key", &key), ("ssl.keystore.certificate.chain", &chain), ("ssl.keystore.type", "pem")],
    ] {
        let stores = tls(&[&trust, keys].concat());
        assert_eq!(stores.identity.as_ref().unwrap().chain.len(), 2);
        stores.connector().unwrap();
        let mut out = Translation(Vec::new());
        stores.to_librdkafka(&mut out);
        let get = |name: &str| out.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).unwrap();
        assert_eq!(get("ssl.ca.pem"), std::fs::read_to_string(format!("{STORES}/ca.pem")).unwrap());
        assert_eq!(get("ssl.certificate.pem"), chain);
        assert_eq!(get("ssl.key.pem"), key);
        assert_eq!(get("ssl.endpoint.identification.algorithm"), "https");
    }
}

#[test]
fn stores_that_make_no_sense_are_refused_in_javas_words() {
    let ssl = ("security.protocol", "SSL");
    for (pairs, expected) in [
        (
            &[("ssl.truststore.certificates", "x")][..],
            "SSL trust store certs can be specified only for PEM, but trust store type is JKS.",
        ),
        (
            &[("ssl.truststore.password", "x")],
            "SSL trust store is not specified, but trust store password is specified.",
        ),
        (&[("ssl.keystore.password", "x")], "SSL key store is not specified, but key store password is specified."),
        (
            &[("ssl.keystore.location", "STORES/client.jks")],
            "SSL key store is specified, but key store password is not specified.",
        ),
        (&[("ssl.keystore.key", "x")], "SSL private key can be specified only for PEM, but key store type is JKS."),
        (
            &[("ssl.truststore.location", "STORES/trust.p12"), ("ssl.truststore.password", "guess")],
            "Failed to load SSL keystore tests/fixtures/stores/trust.p12 of type JKS: keystore password was incorrect",
        ),
        (
            &[("ssl.truststore.location", "STORES/none.jks")],
            "Failed to load SSL keystore tests/fixtures/stores/none.jks of type JKS: No such file or directory (os error 2)",
        ),
        (
            &[("ssl.keystore.location", "STORES/trust.jks"), ("ssl.keystore.password", "secret")],
            "Failed to load SSL keystore tests/fixtures/stores/trust.jks of type JKS: it holds no private key with a certificate",
        ),
        (
            &[("ssl.enabled.protocols", "TLSv1,TLSv1.1")],
            "ssl.enabled.protocols=TLSv1,TLSv1.1: only TLSv1.2 and TLSv1.3 are spoken",
        ),
    ] {
        assert_eq!(error(&[&[ssl], pairs].concat()), expected);
    }
    // A protocol without TLS does not look at them.
    assert!(read(&[("ssl.keystore.password", "x")]).unwrap().tls.is_none());
}

#[test]
fn versions_and_cipher_suites_are_taken_by_their_names() {
    let of = |protocols, suites| {
        tls(&[
            ("ssl.truststore.location", "STORES/trust.jks"),
            ("ssl.enabled.protocols", protocols),
            ("ssl.cipher.suites", suites),
        ])
    };
    let one = of("TLSv1.2", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    assert_eq!(one.versions, [TlsVersion::V1_2]);
    one.connector().unwrap();
    of("TLSv1.3,TLSv1.2", "TLS_AES_128_GCM_SHA256").connector().unwrap();
    assert!(of("", "TLS_NO_SUCH").connector().unwrap_err().contains("none of these is known"));
    for (name, expected) in [
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some("ECDHE-RSA-AES128-GCM-SHA256")),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Some("ECDHE-ECDSA-CHACHA20-POLY1305")),
        ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384", Some("ECDHE-RSA-AES256-SHA384")),
        ("TLS_RSA_WITH_AES_256_GCM_SHA384", Some("AES256-GCM-SHA384")),
        ("TLS_AES_128_GCM_SHA256", None),
    ] {
        assert_eq!(openssl_cipher(name).as_deref(), expected);
    }
}

#[test]
fn logins_are_read_from_jaas() {
    let login = |mechanism, jaas: String| {
        let pairs =
            [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", mechanism), ("sasl.jaas.config", &jaas)];
        match read(&pairs).map(|settings| settings.login) {
            Ok(Some(Login::Credentials(credentials))) => Ok(credentials),
            Ok(_) => Err("another login".to_owned()),
            Err(error) => Err(error.0),
        }
    };
    let (username, password) = ("al\"ice".to_owned(), "p w".to_owned());
    assert_eq!(
        login("PLAIN", format!(r#"{PLAIN} username="al\"ice" password='p w';"#)).unwrap(),
        Credentials::Plain { username: username.clone(), password: password.clone() }
    );
    let scram = |kind| Credentials::Scram {
        hash: ScramHash::Sha512,
        username: username.clone(),
        password: password.clone(),
        kind,
    };
    let options = r#"username="al\"ice" password="p w""#;
    assert_eq!(login("SCRAM-SHA-512", format!("{SCRAM} {options};")).unwrap(), scram(ScramKind::User));
    let token = login("SCRAM-SHA-512", format!("{SCRAM} {options} tokenauth=true;")).unwrap();
    assert_eq!(token, scram(ScramKind::DelegationToken));
    let missing = login("PLAIN", format!("{PLAIN} username=x;")).unwrap_err();
    assert_eq!(missing, "sasl.jaas.config: org.apache.kafka.common.security.plain.PlainLoginModule has no password");
    assert!(login("GSSAPI", format!("{PLAIN};")).unwrap_err().contains("Kerberos"));
    assert_eq!(login("X-1", format!("{PLAIN};")).unwrap_err(), "Failed to create SaslClient with mechanism X-1");
}

#[test]
fn the_login_may_stand_in_the_file_that_java_was_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("jaas file.conf");
    std::fs::write(&file, format!("KafkaClient {{ {PLAIN} username=a password=b; }};")).unwrap();
    let settings = settings(&[("security.protocol", "SASL_SSL"), ("sasl.mechanism", "PLAIN")]);
    let read = |options: &str| {
        let login = SecuritySettings::new(&settings, options).map(|settings| settings.login);
        login.map(|login| matches!(login, Some(Login::Credentials(Credentials::Plain { .. })))).map_err(|error| error.0)
    };
    let option = format!("-Djava.security.auth.login.config={}", file.display());
    assert_eq!(read(&format!("-Xmx1G '{option}' -Da=b")), Ok(true));
    assert_eq!(read(&format!("-Djava.security.auth.login.config=\"{}\"", file.display())), Ok(true));
    let absent = "Could not find a 'KafkaClient' entry in the JAAS configuration. System property \
                  'java.security.auth.login.config' is not set";
    assert_eq!(read("-Xmx1G").unwrap_err(), absent);
    std::fs::write(&file, "KafkaServer { };").unwrap();
    assert!(read(&format!("'{option}'")).unwrap_err().ends_with(&format!("is {}", file.display())));
}

#[test]
fn tokens_have_three_sources() {
    let source = |pairs: &[(&str, &str)], options: &str| {
        let jaas = format!("{BEARER} {options};");
        let base =
            [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanism", "OAUTHBEARER"), ("sasl.jaas.config", &jaas)];
        let settings = read(&[&base, pairs].concat()).map_err(|error| error.0)?;
        Ok::<TokenSource, String>(settings.into_token_source().unwrap())
    };
    let made_up = source(&[], "unsecuredLoginStringClaim_sub=\"alice\"").unwrap();
    assert!(matches!(made_up, TokenSource::Unsecured { .. }));
    let handler = (
        "sasl.login.callback.handler.class",
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    );
    let url = |url| ("sasl.oauthbearer.token.endpoint.url", url);
    assert!(matches!(
        source(&[handler, url("file:///run/token")], "extension_pool=\"p\"").unwrap(),
        TokenSource::File { path, extensions } if path == "/run/token" && extensions == [("pool".to_owned(), "p".to_owned())]
    ));
    assert!(matches!(
        source(&[handler, url("https://h/t")], "clientId=a clientSecret=b scope=\"s t\"").unwrap(),
        TokenSource::ClientCredentials { client_id, client_secret, scope: Some(scope), .. }
            if client_id == "a" && client_secret == "b" && scope == "s t"
    ));
    let missing = |pairs: &[_], options| source(pairs, options).err().unwrap();
    assert!(missing(&[handler, url("https://h/t")], "clientId=a").ends_with("has no clientSecret"));
    assert!(missing(&[handler], "").contains("token.endpoint.url"));
    assert!(missing(&[], "").ends_with("has no unsecuredLoginStringClaim_sub"));
    assert!(missing(&[("sasl.login.callback.handler.class", "com.example.H")], "").contains("com.example.H"));
}
