use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::*;
use crate::wire::header::request_frame;
use crate::wire::messages::{ApiVersionsRequest, ApiVersionsResponse, HeartbeatRequest, HeartbeatResponse};

/// Answers Heartbeat with its generation as throttle time: at once, or after that many milliseconds when the group
/// is "later", or never when it is "nothing"; sends a file when it is "file"; "wait" is answered once "wake" came.
struct Echo {
    file: Arc<std::fs::File>,
    wake: Arc<tokio::sync::Notify>,
    /// What "set" has set last; "get" answers it.
    kept: Arc<std::sync::atomic::AtomicI32>,
}

impl Handler for Echo {
    fn handle(&self, context: RequestContext, body: Bytes) -> Reply {
        let Ok(request) = HeartbeatRequest::decode(body, context.version()) else { return Reply::Close };
        let response = HeartbeatResponse { throttle_time_ms: request.generation_id, ..Default::default() };
        match request.group_id.as_str() {
            "now" => Reply::now(&context, &response),
            "later" => Reply::later(async move {
                tokio::time::sleep(Duration::from_millis(request.generation_id as u64)).await;
                Response::of(&context, &response)
            }),
            "set" => {
                let kept = self.kept.clone();
                Reply::later(async move {
                    kept.store(request.generation_id, std::sync::atomic::Ordering::SeqCst);
                    Response::of(&context, &response)
                })
            }
            "get" => {
                let kept = self.kept.load(std::sync::atomic::Ordering::SeqCst);
                Reply::now(&context, &HeartbeatResponse { throttle_time_ms: kept, ..response })
            }
            "nothing" => Reply::Nothing,
            "wait" => {
                let wake = self.wake.clone();
                Reply::later(async move {
                    wake.notified().await;
                    Response::of(&context, &response)
                })
            }
            "wake" => {
                self.wake.notify_one();
                Reply::now(&context, &response)
            }
            "file" => {
                let head = Response::writer(&context).finish().unwrap();
                let range = FileRange { file: self.file.clone(), position: 3, len: 6 };
                Reply::Now(Response::from_parts(head, vec![Part::File(range)]).unwrap())
            }
            _ => Reply::Close,
        }
    }
}

use crate::wire::Message;

struct Server {
    address: String,
    stop: watch::Sender<bool>,
}

async fn server(limits: Limits) -> Server {
    let listener = Listener::bind("PLAINTEXT", "127.0.0.1", 0, limits).await.unwrap();
    let address = listener.local_addr().to_string();
    let mut file = tempfile::tempfile().unwrap();
    // The six bytes from the third are a HeartbeatResponse v1: throttle time 7, no error.
    file.write_all(b"abc\0\0\0\x07\0\0def").unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(
        listener.serve(Arc::new(Echo { file: Arc::new(file), wake: Arc::default(), kept: Arc::default() }), stopped),
    );
    Server { address, stop }
}

fn heartbeat(group_id: &str, generation_id: i32) -> HeartbeatRequest {
    HeartbeatRequest { group_id: group_id.into(), generation_id, ..Default::default() }
}

async fn read_throttle_time(stream: &mut TcpStream) -> i32 {
    let size = stream.read_i32().await.unwrap();
    let mut frame = vec![0; size as usize];
    stream.read_exact(&mut frame).await.unwrap();
    i32::from_be_bytes(frame[4..8].try_into().unwrap())
}

#[tokio::test]
async fn what_has_nothing_to_wait_for_has_happened_when_the_next_request_is_handled() {
    let server = server(Limits::default()).await;
    for before in [None, Some("later")] {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        let mut frames = Vec::new();
        for group in before.into_iter().chain(["set", "get"]) {
            frames.extend(request_frame(&heartbeat(group, 9), 1, 1, "test").unwrap());
        }
        stream.write_all(&frames).await.unwrap();
        for _ in 0..2 + before.iter().count() {
            assert_eq!(read_throttle_time(&mut stream).await, 9);
        }
    }
}

#[tokio::test]
async fn answers_leave_in_the_order_of_their_requests() {
    let server = server(Limits::default()).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let mut frames = Vec::new();
    for (group, generation) in [("later", 40), ("later", 1), ("now", 2), ("nothing", 0), ("later", 3), ("now", 4)] {
        frames.extend(request_frame(&heartbeat(group, generation), 1, 1, "test").unwrap());
    }
    stream.write_all(&frames).await.unwrap();
    for expected in [40, 1, 2, 3, 4] {
        assert_eq!(read_throttle_time(&mut stream).await, expected);
    }
}

#[tokio::test]
async fn a_request_is_handled_while_an_earlier_one_waits() {
    let server = server(Limits::default()).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let mut frames = request_frame(&heartbeat("wait", 1), 1, 1, "test").unwrap();
    frames.extend(request_frame(&heartbeat("wake", 2), 1, 2, "test").unwrap());
    stream.write_all(&frames).await.unwrap();
    assert_eq!(read_throttle_time(&mut stream).await, 1);
    assert_eq!(read_throttle_time(&mut stream).await, 2);
}

#[tokio::test]
async fn a_frame_that_arrives_byte_by_byte_is_read() {
    let server = server(Limits::default()).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    for byte in request_frame(&heartbeat("now", 9), 1, 1, "test").unwrap() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(read_throttle_time(&mut stream).await, 9);
}

#[tokio::test]
async fn a_large_frame_is_read_and_the_next_one_after_it() {
    let server = server(Limits::default()).await;
    let mut stream = TcpStream::connect(&server.address).await.unwrap();
    let mut large = heartbeat("now", 5);
    large.group_instance_id = Some("x".repeat(30_000));
    let mut frames = request_frame(&large, 3, 1, "test").unwrap();
    frames.extend(request_frame(&heartbeat("now", 6), 1, 2, "test").unwrap());
    stream.write_all(&frames).await.unwrap();
    assert_eq!(read_throttle_time(&mut stream).await, 5);
    assert_eq!(read_throttle_time(&mut stream).await, 6);
}

#[tokio::test]
async fn file_ranges_are_part_of_the_frame() {
    let server = server(Limits::default()).await;
    let peer = Peer::connect(&server.address, "test").await.unwrap();
    let response = peer.call(&heartbeat("file", 0), 1).await.unwrap();
    assert_eq!(response.throttle_time_ms, 7);
}

#[tokio::test]
async fn hostile_frames_close_their_connection_and_no_other() {
    let limits = Limits { socket_request_max_bytes: 1 << 20, ..Limits::default() };
    let server = server(limits).await;
    let peer = Peer::connect(&server.address, "test").await.unwrap();
    let hostile: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3],
        &[0xff, 0xff, 0xff, 0xff],
        &[0, 0, 0, 0],
        &[0, 0, 0, 2, 0, 12],
        &[0, 0, 0, 12, 0, 12, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
    ];
    for bytes in hostile {
        let mut stream = TcpStream::connect(&server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        // Closing with bytes unread resets the connection: an error here is an end, too.
        let _ = stream.read_to_end(&mut answer).await;
        assert_eq!(answer, b"", "{bytes:?}");
    }
    assert_eq!(peer.call(&heartbeat("now", 1), 1).await.unwrap().throttle_time_ms, 1);
}

#[tokio::test]
async fn idle_connections_are_closed_and_busy_ones_are_not() {
    let limits = Limits { connections_max_idle: Some(Duration::from_millis(500)), ..Limits::default() };
    let server = server(limits).await;
    let mut idle = TcpStream::connect(&server.address).await.unwrap();
    let busy = Peer::connect(&server.address, "test").await.unwrap();
    for _ in 0..8 {
        busy.call(&heartbeat("later", 100), 1).await.unwrap();
    }
    let mut answer = Vec::new();
    idle.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
    busy.call(&heartbeat("now", 1), 1).await.unwrap();
}

#[tokio::test]
async fn an_address_has_no_more_connections_than_its_limit() {
    let server = server(Limits { max_connections_per_ip: 1, ..Limits::default() }).await;
    let first = Peer::connect(&server.address, "test").await.unwrap();
    first.call(&heartbeat("now", 1), 1).await.unwrap();
    let second = Peer::connect(&server.address, "test").await.unwrap();
    assert!(second.call(&heartbeat("now", 1), 1).await.is_err());
    first.call(&heartbeat("now", 1), 1).await.unwrap();
}

#[tokio::test]
async fn stopping_closes_connections_and_frees_the_port() {
    let server = server(Limits::default()).await;
    let peer = Peer::connect(&server.address, "test").await.unwrap();
    peer.call(&heartbeat("now", 1), 1).await.unwrap();
    server.stop.send(true).unwrap();
    assert!(peer.call(&heartbeat("later", 10_000), 1).await.is_err());
}

#[tokio::test]
async fn a_call_given_up_makes_the_connection_unusable() {
    let server = server(Limits::default()).await;
    let peer = Peer::connect(&server.address, "test").await.unwrap();
    let given_up = peer.call_within(&heartbeat("later", 5_000), 1, Duration::from_millis(10)).await;
    assert!(matches!(given_up, Err(Error::TimedOut { .. })));
    assert!(matches!(peer.call(&heartbeat("now", 1), 1).await, Err(Error::Closed { .. })));
}

#[tokio::test]
async fn calls_made_at_the_same_time_do_not_wait_for_one_another() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut ids = Vec::new();
        // Nothing is answered before both requests are here.
        for _ in 0..2 {
            let size = stream.read_i32().await.unwrap();
            let mut request = vec![0; size as usize];
            stream.read_exact(&mut request).await.unwrap();
            ids.push(request[4..8].to_vec());
        }
        for (id, throttle_time_ms) in ids.iter().zip([5i32, 6]) {
            let answer = [&10i32.to_be_bytes(), id.as_slice(), &throttle_time_ms.to_be_bytes(), &[0, 0]].concat();
            stream.write_all(&answer).await.unwrap();
        }
    });
    let peer = Peer::connect(&address, "test").await.unwrap();
    let (first, second) = (heartbeat("now", 0), heartbeat("now", 0));
    let (first, second) = tokio::join!(peer.call(&first, 1), peer.call(&second, 1));
    assert_eq!((first.unwrap().throttle_time_ms, second.unwrap().throttle_time_ms), (5, 6));
    server.await.unwrap();
}

#[tokio::test]
async fn api_versions_are_asked_again_in_a_version_the_broker_knows() {
    struct Old;
    impl Handler for Old {
        fn handle(&self, context: RequestContext, body: Bytes) -> Reply {
            let known = crate::wire::messages::api_versions::ApiVersion {
                api_key: ApiVersionsRequest::KEY,
                min_version: 0,
                max_version: 2,
            };
            let mut response = ApiVersionsResponse { api_keys: vec![known], ..Default::default() };
            if context.version() > 2 {
                response.error_code = crate::wire::ErrorCode::UNSUPPORTED_VERSION.0;
                let mut in_v0 = context.clone();
                in_v0.header.api_version = 0;
                return Reply::now(&in_v0, &response);
            }
            assert!(body.is_empty());
            Reply::now(&context, &response)
        }
    }
    let listener = Listener::bind("PLAINTEXT", "127.0.0.1", 0, Limits::default()).await.unwrap();
    let address = listener.local_addr().to_string();
    let (_stop, stopped) = watch::channel(false);
    tokio::spawn(listener.serve(Arc::new(Old), stopped));
    let peer = Peer::connect(&address, "test").await.unwrap();
    assert_eq!(peer.version_of::<ApiVersionsRequest>().await.unwrap(), 2);
    assert!(matches!(peer.version_of::<HeartbeatRequest>().await, Err(Error::UnsupportedApi { .. })));
}
