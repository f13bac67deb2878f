use super::*;

#[test]
fn apaches_stock_file_is_taken() {
    let stock = [
        ("dataDir", "/tmp/zookeeper"),
        ("clientPort", "2181"),
        ("maxClientCnxns", "0"),
        ("admin.enableServer", "false"),
    ];
    let config = ServerConfig::from_properties(stock).unwrap();
    assert_eq!((config.listener.as_str(), config.max_client_connections), (":2181", 0));
    assert_eq!(config.session_timeout_ms(), 6000..=60000);
    assert!(config.four_letter_words.allow("srvr") && !config.four_letter_words.allow("ruok"));
}

#[test]
fn an_ensemble_is_refused_and_so_is_nonsense() {
    let refused = |extra: (&str, &str)| {
        let lines = [("dataDir", "/tmp/x"), ("clientPort", "2181"), extra];
        ServerConfig::from_properties(lines).unwrap_err().to_string()
    };
    assert!(refused(("server.1", "h:2888:3888")).contains("single node by design"));
    assert!(refused(("tickTime", "0")).contains("tickTime=0"));
    assert!(refused(("clientPort", "x")).contains("clientPort=x"));
    assert!(refused(("minSessionTimeout", "90000")).contains("minSessionTimeout"));
    assert!(ServerConfig::from_properties([("clientPort", "1")]).is_err());
}
