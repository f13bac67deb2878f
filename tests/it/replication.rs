//! Several brokers that follow one another: what one acknowledges the others have, through deaths and returns.

use std::time::{Duration, Instant};

use ottla::network::Peer;
use ottla::wire::messages::*;

use crate::broker::{TestBroker, fetch_request, produce, values};
use crate::controller::{Cluster, create, until};

/// The values that a broker's own log has up to its high watermark, as a reader of any replica sees them.
async fn log_of(broker: &TestBroker, topic: &str) -> Vec<String> {
    let request = FetchRequest { replica_id: -2, ..fetch_request(topic, 0) };
    let mut response = broker.connect().await.call(&request, 11).await.unwrap();
    let partition = response.responses.remove(0).partitions.remove(0);
    values(&partition.records).into_iter().map(|(_, value)| value).collect()
}

async fn until_log(broker: &TestBroker, topic: &str, wanted: &[&str]) {
    let began = Instant::now();
    loop {
        let found = log_of(broker, topic).await;
        if found == wanted {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "broker {}: {found:?}", broker.broker.id());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_in_sync(peer: &Peer, topic: &str, count: usize) {
    until(peer, topic, 0, |partition| partition.isr_nodes.len() == count && partition.leader_id >= 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_leader_acknowledges_its_followers_have() {
    let cluster = Cluster::start().await;
    let (zero, one, two) = tokio::join!(cluster.broker("0", &[]), cluster.broker("1", &[]), cluster.broker("2", &[]));
    create(&[&zero, &one, &two], "t", &[&[0, 1, 2]]).await;
    let peer = zero.connect().await;
    until_in_sync(&peer, "t", 3).await;
    assert_eq!(produce(&peer, "t", &["a", "b"]).await, 0);
    assert_eq!(produce(&peer, "t", &["c"]).await, 2);
    for broker in [&zero, &one, &two] {
        until_log(broker, "t", &["a", "b", "c"]).await;
    }
    for broker in [two, one, zero] {
        broker.broker.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_catches_up_and_joins_again() {
    let cluster = Cluster::start().await;
    let (zero, one) = tokio::join!(cluster.broker("0", &[]), cluster.broker("1", &[]));
    create(&[&zero, &one], "t", &[&[0, 1]]).await;
    let peer = zero.connect().await;
    until_in_sync(&peer, "t", 2).await;
    produce(&peer, "t", &["a"]).await;
    one.broker.shutdown().await;
    until_in_sync(&peer, "t", 1).await;
    produce(&peer, "t", &["b"]).await;
    let one = one.restart().await;
    until_in_sync(&peer, "t", 2).await;
    until_log(&one, "t", &["a", "b"]).await;
    // The one that was away leads now: nothing is missing.
    zero.broker.shutdown().await;
    let peer = one.connect().await;
    until(&peer, "t", 0, |partition| partition.leader_id == 1).await;
    assert_eq!(produce(&peer, "t", &["c"]).await, 2);
    assert_eq!(log_of(&one, "t").await, ["a", "b", "c"]);
    one.broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_is_sent_to_the_replica_in_its_rack() {
    let cluster = Cluster::start().await;
    let selector = ("replica.selector.class", "org.apache.kafka.common.replica.RackAwareReplicaSelector");
    let (a, b) = ([selector, ("broker.rack", "a")], [selector, ("broker.rack", "b")]);
    let (zero, one) = tokio::join!(cluster.broker("0", &a), cluster.broker("1", &b));
    create(&[&zero, &one], "t", &[&[0, 1]]).await;
    let peer = zero.connect().await;
    until_in_sync(&peer, "t", 2).await;
    produce(&peer, "t", &["x"]).await;
    until_log(&one, "t", &["x"]).await;
    let ask = async |peer: &Peer, rack: &str| {
        let request = FetchRequest { rack_id: rack.to_owned(), ..fetch_request("t", 0) };
        let partition = peer.call(&request, 11).await.unwrap().responses.remove(0).partitions.remove(0);
        (partition.preferred_read_replica, values(&partition.records).len())
    };
    let began = Instant::now();
    // The follower's next fetch tells the leader that it has the record.
    while ask(&peer, "b").await != (1, 0) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ask(&peer, "a").await, (-1, 1));
    assert_eq!(ask(&peer, "c").await, (-1, 1), "nobody is there");
    assert_eq!(ask(&one.connect().await, "b").await, (-1, 1), "a follower serves what is committed");
    for broker in [one, zero] {
        broker.broker.shutdown().await;
    }
}
