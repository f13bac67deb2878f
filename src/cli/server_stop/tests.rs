use super::*;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn brokers_are_told_by_their_command_line() {
    assert!(is_broker(&words("java -Dkafka.logs.dir=x kafka.Kafka server.properties")));
    assert!(is_broker(&words("/usr/lib/jvm/bin/java -Xmx1G -cp a:b kafka.Kafka server.properties")));
    assert!(!is_broker(&words("vim kafka.Kafka java")));
    assert!(!is_broker(&words("java org.apache.zookeeper.server.quorum.QuorumPeerMain zookeeper.properties")));
}

#[test]
fn signals_have_names_and_numbers() {
    assert_eq!(signal_of("TERM"), Some(Signal::TERM));
    assert_eq!(signal_of("SIGKILL"), Some(Signal::KILL));
    assert_eq!(signal_of("int"), Some(Signal::INT));
    assert_eq!(signal_of("9"), Some(Signal::KILL));
    assert_eq!(signal_of("BOGUS"), None);
}

#[test]
fn flags_look_at_what_the_broker_really_has() {
    let dir = tempfile::tempdir().expect("makes a directory");
    let file = dir.path().join("s.properties");
    fs::write(&file, "broker.id=7\nprocess.roles=broker\n").expect("writes");
    let line = format!("java kafka.Kafka {} --override broker.id=8", file.display());
    let process = Process { pid: rustix::process::getpid(), words: words(&line) };
    let wanted = |args: &str| Wanted::read(&words(args)).matches(&process);
    assert_eq!(wanted("--node-id=8"), Ok(true));
    assert_eq!(wanted("--node-id=7"), Ok(false));
    assert_eq!(wanted("--process-role=broker"), Ok(true));
    assert_eq!(wanted("--process-role=controller"), Ok(false));
    assert_eq!(wanted("ignored --node-id 7"), Ok(true));
    let gone = Process { pid: rustix::process::getpid(), words: words("java kafka.Kafka nosuch.properties") };
    assert!(Wanted::read(&words("--node-id=8")).matches(&gone).is_err());
}
