use super::*;

#[test]
fn zookeepers_are_told_by_their_command_line() {
    let told = |line: &str| is_zookeeper(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    assert!(told("java -Xmx1G org.apache.zookeeper.server.quorum.QuorumPeerMain zookeeper.properties"));
    assert!(told("/usr/bin/java -cp x org.apache.zookeeper.server.quorum.QuorumPeerMain z"));
    assert!(!told("less QuorumPeerMain java"));
    assert!(!told("java kafka.Kafka server.properties"));
}
