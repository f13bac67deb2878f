//! Connections that do not behave: each loses itself, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ottla::network::Peer;
use ottla::wire::ApiKey;
use ottla::wire::header::{RequestHeader, decode_response, request_frame};
use ottla::wire::messages::*;
use ottla::wire::{ErrorCode, Message, Writer};

use crate::broker::*;

/// Sends bytes and returns what comes back until the broker closes the connection; None if it does not.
fn exchange(address: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    // The broker may close before it has read everything.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Some(answer),
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Some(answer),
        Err(_) => None,
    }
}

async fn refuses(address: &str, bytes: Vec<u8>, what: &str) {
    let address = address.to_owned();
    let answer = tokio::task::spawn_blocking(move || exchange(&address, &bytes)).await.unwrap();
    assert_eq!(answer.as_deref(), Some(&[][..]), "{what}: closed without an answer");
}

async fn still_serves(peer: &Peer) {
    produce(peer, "t", &["still here"]).await;
}

/// A whole frame around a body.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let header = RequestHeader { api_key: key, api_version: version, correlation_id: 1, client_id: Some("x".into()) };
    let mut w = Writer::after(vec![0; 4]);
    header.encode(&mut w);
    w.bytes(body);
    let mut frame = w.finish().unwrap();
    let size = frame.len() as i32 - 4;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    frame
}

/// A small generator: the same bytes in every run.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_none_close_their_connection() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let (address, peer) = (broker.address(), broker.connect().await);
    refuses(&address, i32::MAX.to_be_bytes().to_vec(), "a length of 2 GB").await;
    refuses(&address, (-1i32).to_be_bytes().to_vec(), "a negative length").await;
    refuses(&address, vec![0; 4], "no length").await;
    refuses(&address, b"GET / HTTP/1.1\r\n\r\n".to_vec(), "another protocol").await;
    refuses(&address, frame(999, 0, &[]), "an unknown API").await;
    refuses(&address, frame(ApiKey::DescribeQuorum as i16, 0, &[0; 8]), "an API of KRaft").await;
    refuses(&address, frame(ApiKey::Metadata as i16, 99, &[0; 8]), "an unknown version").await;
    refuses(&address, frame(ApiKey::Produce as i16, 9, &[0xff; 40]), "a body that does not parse").await;
    refuses(&address, frame(ApiKey::Fetch as i16, 12, &[0x7f; 60]), "a body that does not parse").await;
    still_serves(&peer).await;
}

/// What librdkafka 2.12 sends for all topics: a null array of one byte in a place made for four.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_after_a_request_are_let_be() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let mut stream = TcpStream::connect(broker.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(&frame(ApiKey::Metadata as i16, 12, &[0, 0, 0, 0, 1, 0, 0])).unwrap();
    let mut size = [0; 4];
    stream.read_exact(&mut size).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    stream.read_exact(&mut answer).unwrap();
    let (_, metadata) = decode_response::<metadata::MetadataResponse>(answer.into(), ApiKey::Metadata, 12).unwrap();
    let names: Vec<_> = metadata.topics.iter().map(|topic| topic.name.as_deref()).collect();
    assert_eq!(names, [Some("t")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bodies_of_every_api_leave_the_broker_standing() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let (address, peer) = (broker.address(), broker.connect().await);
    let served = peer.api_versions().await.unwrap().clone();
    let mut seed = 0x5eed;
    for (key, (min, max)) in served {
        // What these ask of the broker itself is not up to strangers' bytes here: the controller's own requests.
        if [4, 5, 6, 7].contains(&key) {
            continue;
        }
        for version in min..=max {
            for len in [0, 1, 7, 30, 200] {
                let body: Vec<u8> = (0..len).map(|_| (random(&mut seed) >> 32) as u8 & 0x9f).collect();
                let mut stream = TcpStream::connect(&address).unwrap();
                stream.write_all(&frame(key, version, &body)).unwrap();
            }
        }
    }
    still_serves(&peer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_request_is_no_request() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let (address, peer) = (broker.address(), broker.connect().await);
    let whole = request_frame(&produce_request("t", 0, 1, batch(&["cut"])), 9, 1, "x").unwrap();
    for cut in (5..whole.len()).step_by(7) {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(&whole[..cut]).unwrap();
    }
    // Cut inside, but in a frame that is whole: the lengths in it are lies.
    for cut in (20..whole.len()).step_by(7) {
        let mut lie = whole[..cut].to_vec();
        lie[..4].copy_from_slice(&(cut as i32 - 4).to_be_bytes());
        refuses(&address, lie, "a frame that ends too soon").await;
    }
    assert_eq!(values(&fetch(&peer, "t", 0).await.records), []);
    still_serves(&peer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_slows_nobody_else() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let peer = broker.connect().await;
    let long = "x".repeat(500_000);
    for _ in 0..4 {
        produce(&peer, "t", &[&long]).await;
    }
    let mut slow = TcpStream::connect(broker.address()).unwrap();
    let request = FetchRequest { max_bytes: 50 << 20, ..fetch_request("t", 0) };
    let frame = request_frame(&request, 12, 1, "slow").unwrap();
    slow.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    for _ in 0..200 {
        if slow.write_all(&frame).is_err() {
            break;
        }
    }
    let others = tokio::time::timeout(Duration::from_secs(5), async {
        for _ in 0..20 {
            still_serves(&broker.connect().await).await;
        }
    });
    others.await.expect("others are served while one does not read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_idle_connections_cost_nobody_anything() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let idle: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(broker.address()).unwrap()).collect();
    still_serves(&broker.connect().await).await;
    drop(idle);
}

#[tokio::test]
async fn without_an_answer_to_give_a_failed_produce_closes_the_connection() {
    let broker = TestBroker::start().await;
    broker.create_topic("t", 1, &[]).await;
    let address = broker.address();
    let mut damaged = batch(&["a"]);
    damaged[20] ^= 1;
    let bytes = request_frame(&produce_request("t", 0, 0, damaged), 9, 1, "x").unwrap();
    refuses(&address, bytes, "acks=0 that failed").await;
    let peer = broker.connect().await;
    let mut good = request_frame(&produce_request("t", 0, 0, batch(&["a"])), 9, 1, "x").unwrap();
    // The next answer on the connection is the next request's.
    good.extend(request_frame(&ApiVersionsRequest::default(), 0, 2, "x").unwrap());
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&good).unwrap();
        let mut head = [0; 8];
        stream.read_exact(&mut head).unwrap();
        head
    });
    assert_eq!(answer.await.unwrap()[4..], 2i32.to_be_bytes());
    assert_eq!(values(&fetch(&peer, "t", 0).await.records).len(), 1);
}

#[tokio::test]
async fn versions_of_the_future_are_told_what_is_known() {
    let broker = TestBroker::start().await;
    let address = broker.address();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(&frame(ApiKey::ApiVersions as i16, 5, &[])).unwrap();
        let mut size = [0; 4];
        stream.read_exact(&mut size).unwrap();
        let mut body = vec![0; i32::from_be_bytes(size) as usize];
        stream.read_exact(&mut body).unwrap();
        body
    });
    let body = answer.await.unwrap();
    assert_eq!(body[4..], [0x00, 0x23, 0, 0, 0, 1, 0x00, 0x12, 0, 0, 0, 4]);
    let response = ApiVersionsResponse::decode(body[4..].to_vec().into(), 0).unwrap();
    assert_eq!(ErrorCode(response.error_code), ErrorCode::UNSUPPORTED_VERSION);
}
