use super::*;

fn check(role: Role, settings: &[(&str, &str)]) -> Result<ClientSettings, ConfigError> {
    ClientSettings::check(role, settings.iter().copied())
}

fn error(settings: &[(&str, &str)]) -> String {
    check(Role::Producer, settings).and_then(|s| s.to_librdkafka()).unwrap_err().to_string()
}

fn translated(role: Role, settings: &[(&str, &str)]) -> BTreeMap<String, String> {
    check(role, settings).unwrap().to_librdkafka().unwrap().into_iter().collect()
}

#[test]
fn bad_values_are_refused_in_javas_words() {
    assert_eq!(
        error(&[("linger.ms", "abc")]),
        "Invalid value abc for configuration linger.ms: Not a number of type LONG"
    );
    assert_eq!(
        error(&[("retries", "3000000000")]),
        "Invalid value 3000000000 for configuration retries: Not a number of type INT"
    );
    assert_eq!(
        error(&[("batch.size", "-5")]),
        "Invalid value -5 for configuration batch.size: Value must be at least 0"
    );
    assert_eq!(error(&[("acks", "2")]), "Invalid value 2 for configuration acks: String must be one of: all, -1, 0, 1");
    assert_eq!(
        error(&[("compression.type", "brotli")]),
        "Invalid value brotli for configuration compression.type: String must be one of: none, gzip, snappy, lz4, zstd"
    );
    assert_eq!(
        error(&[("enable.idempotence", "yes")]),
        "Invalid value yes for configuration enable.idempotence: Expected value to be either true or false"
    );
    assert_eq!(
        error(&[("partitioner.class", "com.example.P")]),
        "Invalid value com.example.P for configuration partitioner.class: Class com.example.P could not be found."
    );
    assert_eq!(
        error(&[("delivery.timeout.ms", "1000"), ("linger.ms", "1000"), ("request.timeout.ms", "1500")]),
        "delivery.timeout.ms should be equal to or larger than linger.ms + request.timeout.ms"
    );
}

#[test]
fn the_first_bad_key_in_javas_order_is_named() {
    assert!(error(&[("linger.ms", "x"), ("acks", "7")]).contains("configuration acks"));
}

#[test]
fn unknown_keys_and_keys_of_other_roles_are_ignored() {
    let settings = check(Role::Producer, &[("no.such.thing", "1"), ("group.id", "g"), ("acks", "1")]).unwrap();
    assert_eq!(settings.unknown(), ["group.id", "no.such.thing"]);
    let out: BTreeMap<_, _> = settings.to_librdkafka().unwrap().into_iter().collect();
    assert!(!out.contains_key("group.id") && !out.contains_key("no.such.thing"));
}

#[test]
fn numbers_are_trimmed_and_brought_into_range() {
    let out = translated(
        Role::Producer,
        &[("linger.ms", " 2000000 "), ("send.buffer.bytes", "-1"), ("max.request.size", "10")],
    );
    assert_eq!(out["linger.ms"], "900000");
    assert_eq!(out["socket.send.buffer.bytes"], "0");
    assert_eq!(out["message.max.bytes"], "1000");
}

#[test]
fn idempotence_is_on_unless_something_else_forbids_it() {
    assert_eq!(translated(Role::Producer, &[])["enable.idempotence"], "true");
    assert_eq!(translated(Role::Producer, &[("acks", "all")])["enable.idempotence"], "true");
    assert_eq!(translated(Role::Producer, &[("acks", "1")])["enable.idempotence"], "false");
    assert_eq!(translated(Role::Producer, &[("retries", "0")])["enable.idempotence"], "false");
    assert!(error(&[("acks", "1"), ("enable.idempotence", "true")]).starts_with("Must set acks to all"));
}

#[test]
fn the_delivery_timeout_follows_a_long_linger() {
    let out = translated(Role::Producer, &[("linger.ms", "200000"), ("request.timeout.ms", "1500")]);
    assert_eq!(out["delivery.timeout.ms"], "201500");
    assert_eq!(translated(Role::Producer, &[])["delivery.timeout.ms"], "120000");
}

#[test]
fn a_bootstrap_list_may_have_blanks_and_holes() {
    let out = translated(Role::Admin, &[("bootstrap.servers", "a:1, b:2,,")]);
    assert_eq!(out["bootstrap.servers"], "a:1,b:2");
}

#[test]
fn consumers_read_what_java_consumers_read() {
    let out = translated(
        Role::Consumer,
        &[
            ("auto.offset.reset", "none"),
            (
                "partition.assignment.strategy",
                "org.apache.kafka.clients.consumer.CooperativeStickyAssignor, org.apache.kafka.clients.consumer.RangeAssignor",
            ),
        ],
    );
    assert_eq!(out["isolation.level"], "read_uncommitted");
    assert_eq!(out["auto.offset.reset"], "error");
    assert_eq!(out["partition.assignment.strategy"], "range");
}

#[test]
fn sasl_and_pem_stores_are_translated() {
    let out = translated(
        Role::Producer,
        &[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-256"),
            (
                "sasl.jaas.config",
                r#"org.apache.kafka.common.security.scram.ScramLoginModule required username="al\"ice" password='p w';"#,
            ),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.certificates", "-----BEGIN CERTIFICATE----- AAAA BBBB -----END CERTIFICATE-----"),
            ("ssl.endpoint.identification.algorithm", ""),
        ],
    );
    assert_eq!(out["sasl.username"], "al\"ice");
    assert_eq!(out["sasl.password"], "p w");
    assert_eq!(out["ssl.ca.pem"], "-----BEGIN CERTIFICATE-----\nAAAABBBB\n-----END CERTIFICATE-----\n");
    assert_eq!(out["ssl.endpoint.identification.algorithm"], "none");
    let jks = error(&[("security.protocol", "SSL"), ("ssl.truststore.location", "trust.jks")]);
    assert!(jks.starts_with("Failed to load SSL keystore trust.jks of type JKS: "), "{jks}");
}

#[test]
fn what_cannot_be_honoured_is_named() {
    let settings = check(Role::Producer, &[("interceptor.classes", "com.example.I"), ("ssl.protocol", "TLS")]).unwrap();
    assert_eq!(settings.warnings(), ["The configuration 'interceptor.classes' has no effect here."]);
}

#[test]
fn librdkafka_knows_every_name_we_translate_to() {
    use rdkafka::ClientConfig;
    for role in [Role::Producer, Role::Consumer, Role::Admin] {
        for (name, value) in translated(role, &[("max.block.ms", "5"), ("metadata.max.age.ms", "7")]) {
            ClientConfig::new().set(&name, &value).create_native_config().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for key in keys_of(role) {
            let (name, value) = match key.to {
                To::Clamped(name, _, most) => (name, most.to_string()),
                To::Same if matches!(key.kind, keys::Kind::Boolean) => (key.name, "true".to_owned()),
                _ => continue,
            };
            ClientConfig::new().set(name, &value).create_native_config().unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
}
