//! The server side of one connection: frames in, answers out in the same order.
//!
//! One task reads, handles and writes. Answers that have to wait stand in a queue, at most [`MAX_PENDING`]; while it
//! is full, or while the client does not take its answers, no further request is read, which is all the back-pressure
//! that is needed: what is held for a connection is bounded by that and by `socket.request.max.bytes`.
//! A connection that waits for requests keeps no buffer.

use std::collections::VecDeque;
use std::future::{Future, poll_fn, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{FileRange, Handler, Limits, Part, Reply, RequestContext, Response};
use crate::wire::header::RequestHeader;
use crate::wire::{ApiKey, Bytes, Reader};

/// Requests of one connection that may wait for their answers at once. Apache's broker allows one; librdkafka keeps
/// up to a million in flight, Java's producer five.
const MAX_PENDING: usize = 64;
/// What is read at once when the length of the frame is not known yet.
const READ_BYTES: usize = 16 << 10;
/// A frame that claims to be large gets its memory as it arrives, from this size on by doubling.
const FRAME_BYTES_AT_ONCE: usize = 1 << 20;
/// Small answers are gathered up to this size while more requests are at hand.
const GATHER_BYTES: usize = 64 << 10;

/// Where a connection comes from.
pub(super) struct Origin {
    pub listener_name: Arc<str>,
    pub address: IpAddr,
    pub connection_id: u64,
}

/// Serves the connection until either side ends it.
pub(super) async fn serve(stream: TcpStream, origin: Origin, handler: &dyn Handler, limits: &Limits) {
    let mut connection = Connection {
        stream,
        origin,
        input: BytesMut::new(),
        output: Vec::new(),
        pending: VecDeque::new(),
        active: Instant::now(),
    };
    match connection.run(handler, limits).await {
        Ok(reason) => tracing::debug!(address = %connection.origin.address, reason, "connection closed"),
        Err(error) => tracing::debug!(address = %connection.origin.address, %error, "connection lost"),
    }
}

type LaterResponse = Pin<Box<dyn Future<Output = Option<Response>> + Send>>;

/// An answer that is due but not sent yet.
enum Pending {
    Ready(Response),
    /// The first in the queue, polled by the connection itself: the common long poll costs no task.
    Inline(LaterResponse),
    /// Behind others: it goes on by itself.
    Task(Task),
}

/// A spawned answer; it ends with its connection.
struct Task(tokio::task::JoinHandle<Option<Response>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Connection {
    stream: TcpStream,
    origin: Origin,
    /// Bytes read but not yet taken as frames.
    input: BytesMut,
    /// Small answers not yet written.
    output: Vec<u8>,
    pending: VecDeque<Pending>,
    /// When the last request came or the last answer went.
    active: Instant,
}

enum Turn {
    Readable(io::Result<()>),
    Answer(Option<Response>),
    Idle,
}

impl Connection {
    async fn run(&mut self, handler: &dyn Handler, limits: &Limits) -> io::Result<&'static str> {
        let mut idle: Option<Pin<Box<Sleep>>> = None;
        loop {
            // Everything at hand is handled before anything is waited for.
            while self.pending.len() < MAX_PENDING {
                match self.next_frame(limits)? {
                    Frame::Whole(frame) => {
                        if !self.handle(frame, handler).await? {
                            self.flush().await?;
                            return Ok("by the handler");
                        }
                    }
                    Frame::Large { size } => {
                        let frame = match limits.connections_max_idle {
                            None => self.read_large(size).await?,
                            Some(limit) => match tokio::time::timeout(limit, self.read_large(size)).await {
                                Ok(frame) => frame?,
                                Err(_) => return Ok("a frame did not arrive"),
                            },
                        };
                        let Some(frame) = frame else { return Ok("inside a frame") };
                        if !self.handle(frame, handler).await? {
                            self.flush().await?;
                            return Ok("by the handler");
                        }
                    }
                    Frame::Partial => break,
                    Frame::Refused(reason) => return Ok(reason),
                }
            }
            self.flush().await?;
            match self.turn(&mut idle, limits.connections_max_idle).await {
                Turn::Readable(ready) => {
                    ready?;
                    if self.read().await? == Some(0) {
                        return Ok("by the client");
                    }
                }
                Turn::Answer(None) => return Ok("by a waiting request"),
                Turn::Answer(Some(response)) => {
                    self.pending.pop_front();
                    self.write(response).await?;
                    self.send_ready().await?;
                }
                Turn::Idle => return Ok("idle"),
            }
        }
    }

    /// Waits for whichever comes first: bytes, the first pending answer, or the end of patience.
    async fn turn(&mut self, idle: &mut Option<Pin<Box<Sleep>>>, idle_limit: Option<Duration>) -> Turn {
        if self.input.is_empty() {
            // An idle connection keeps no buffer.
            self.input = BytesMut::new();
        }
        loop {
            let may_read = self.pending.len() < MAX_PENDING;
            let turn = poll_fn(|cx| {
                if let Some(front) = self.pending.front_mut()
                    && let Poll::Ready(response) = front.poll(cx)
                {
                    return Poll::Ready(Turn::Answer(response));
                }
                if may_read && let Poll::Ready(ready) = self.stream.poll_read_ready(cx) {
                    return Poll::Ready(Turn::Readable(ready));
                }
                let Some(limit) = idle_limit else { return Poll::Pending };
                let timer = idle.get_or_insert_with(|| Box::pin(sleep_until(self.active + limit)));
                timer.as_mut().poll(cx).map(|()| Turn::Idle)
            })
            .await;
            // The timer is not moved with every request; when it fires it is set to where it would have been.
            if let (Turn::Idle, Some(limit), Some(timer)) = (&turn, idle_limit, idle.as_mut()) {
                let deadline = self.active + limit;
                if deadline > Instant::now() || !self.pending.is_empty() {
                    timer.as_mut().reset(deadline.max(Instant::now() + Duration::from_secs(1)));
                    continue;
                }
            }
            return turn;
        }
    }

    /// Takes the next frame out of the input, if it is there.
    fn next_frame(&mut self, limits: &Limits) -> io::Result<Frame> {
        let Some(prefix) = self.input.first_chunk::<4>() else { return Ok(Frame::Partial) };
        let size = i32::from_be_bytes(*prefix);
        if size <= 0 {
            return Ok(Frame::Refused("a frame of no size"));
        }
        let size = size as usize;
        if size > limits.socket_request_max_bytes {
            tracing::warn!(
                address = %self.origin.address, size, max = limits.socket_request_max_bytes,
                "a frame is larger than socket.request.max.bytes"
            );
            return Ok(Frame::Refused("a frame too large"));
        }
        let whole = 4 + size;
        if self.input.len() == whole {
            // The only frame at hand becomes the only owner of its memory.
            let mut frame = std::mem::take(&mut self.input);
            let _ = frame.split_to(4);
            return Ok(Frame::Whole(frame.freeze()));
        }
        if self.input.len() > whole {
            let mut frame = self.input.split_to(whole);
            let _ = frame.split_to(4);
            return Ok(Frame::Whole(frame.freeze()));
        }
        if whole > READ_BYTES {
            let _ = self.input.split_to(4);
            return Ok(Frame::Large { size });
        }
        Ok(Frame::Partial)
    }

    /// Reads the rest of a frame of which `input` holds the beginning, into memory of its own.
    async fn read_large(&mut self, size: usize) -> io::Result<Option<Bytes>> {
        // Answers that are due do not wait for a frame that may take long to arrive.
        self.flush().await?;
        let mut frame = BytesMut::with_capacity(size.min(FRAME_BYTES_AT_ONCE));
        frame.extend_from_slice(&std::mem::take(&mut self.input));
        while frame.len() < size {
            if frame.len() == frame.capacity() {
                frame.reserve((frame.len()).min(size - frame.len()));
            }
            self.wait_readable_answering().await?;
            let room = (size - frame.len()).min(frame.capacity() - frame.len());
            match self.stream.try_read_buf(&mut (&mut frame).limit(room)) {
                Ok(0) => return Ok(None),
                Ok(_) => self.active = Instant::now(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(frame.freeze()))
    }

    /// Waits for bytes; answers that become ready meanwhile are sent.
    async fn wait_readable_answering(&mut self) -> io::Result<()> {
        loop {
            let mut idle = None;
            match self.turn(&mut idle, None).await {
                Turn::Readable(ready) => return ready,
                Turn::Answer(Some(response)) => {
                    self.pending.pop_front();
                    self.write(response).await?;
                    self.send_ready().await?;
                    self.flush().await?;
                }
                Turn::Answer(None) | Turn::Idle => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
    }

    /// Reads what is there; None if there was nothing after all.
    async fn read(&mut self) -> io::Result<Option<usize>> {
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(count) => {
                self.active = Instant::now();
                Ok(Some(count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands one request to the handler; false: the connection is to be closed.
    async fn handle(&mut self, frame: Bytes, handler: &dyn Handler) -> io::Result<bool> {
        let mut r = Reader::new(frame);
        let header = match RequestHeader::decode(&mut r) {
            Ok(header) => header,
            Err(error) => {
                tracing::debug!(address = %self.origin.address, %error, "a request header cannot be read");
                return Ok(false);
            }
        };
        let context = RequestContext {
            api: ApiKey::from_i16(header.api_key),
            header,
            listener_name: self.origin.listener_name.clone(),
            client_address: self.origin.address,
            connection_id: self.origin.connection_id,
        };
        let mut reply = handler.handle(context, r.take_rest());
        while let Reply::First(future) = reply {
            reply = self.wait_answering(future).await?;
        }
        match reply {
            Reply::Now(response) if self.pending.is_empty() => self.write(response).await?,
            Reply::Now(response) => self.pending.push_back(Pending::Ready(response)),
            Reply::Later(mut future) => {
                // Begun before the next request is looked at: what has nothing to wait for takes effect in order too,
                // so that an offset just committed is the one that the next request fetches.
                match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
                    Poll::Ready(Some(response)) if self.pending.is_empty() => self.write(response).await?,
                    Poll::Ready(Some(response)) => self.pending.push_back(Pending::Ready(response)),
                    Poll::Ready(None) if self.pending.is_empty() => return Ok(false),
                    Poll::Ready(None) => self.pending.push_back(Pending::Inline(Box::pin(ready(None)))),
                    Poll::Pending if self.pending.is_empty() => self.pending.push_back(Pending::Inline(future)),
                    Poll::Pending => self.pending.push_back(Pending::Task(Task(tokio::spawn(future)))),
                }
            }
            Reply::Nothing | Reply::First(_) => {}
            Reply::Close => return Ok(false),
        }
        Ok(true)
    }

    /// Waits for what has to be known before anything else is done; answers that become ready meanwhile are sent.
    async fn wait_answering(&mut self, mut future: Pin<Box<dyn Future<Output = Reply> + Send>>) -> io::Result<Reply> {
        loop {
            self.flush().await?;
            let answer = poll_fn(|cx| {
                if let Poll::Ready(reply) = future.as_mut().poll(cx) {
                    return Poll::Ready(Ok(reply));
                }
                match self.pending.front_mut().map(|front| front.poll(cx)) {
                    Some(Poll::Ready(response)) => Poll::Ready(Err(response)),
                    _ => Poll::Pending,
                }
            });
            match answer.await {
                Ok(reply) => return Ok(reply),
                Err(None) => return Err(io::ErrorKind::ConnectionAborted.into()),
                Err(Some(response)) => {
                    self.pending.pop_front();
                    self.write(response).await?;
                    self.send_ready().await?;
                }
            }
        }
    }

    /// Sends the answers at the front of the queue that did not have to wait any longer than for their turn.
    async fn send_ready(&mut self) -> io::Result<()> {
        while let Some(Pending::Ready(_)) = self.pending.front() {
            if let Some(Pending::Ready(response)) = self.pending.pop_front() {
                self.write(response).await?;
            }
        }
        Ok(())
    }

    /// Gathers a small answer, or writes a large one behind those gathered.
    async fn write(&mut self, response: Response) -> io::Result<()> {
        self.active = Instant::now();
        let last = response.parts.len().saturating_sub(1);
        for (index, part) in response.parts.into_iter().enumerate() {
            match part {
                Part::Bytes(bytes) if bytes.len() < GATHER_BYTES => {
                    self.output.extend_from_slice(&bytes);
                    if self.output.len() >= GATHER_BYTES {
                        self.flush_more(index < last).await?;
                    }
                }
                Part::Bytes(bytes) => {
                    self.flush_more(true).await?;
                    write_all(&self.stream, &bytes, index < last).await?;
                }
                Part::File(range) => {
                    self.flush_more(true).await?;
                    send_file(&self.stream, &range).await?;
                }
            }
        }
        self.active = Instant::now();
        Ok(())
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.flush_more(false).await
    }

    async fn flush_more(&mut self, more: bool) -> io::Result<()> {
        if !self.output.is_empty() {
            let output = std::mem::take(&mut self.output);
            write_all(&self.stream, &output, more).await?;
        }
        Ok(())
    }
}

enum Frame {
    Whole(Bytes),
    /// Longer than what is read at once; its size prefix is consumed.
    Large {
        size: usize,
    },
    Partial,
    Refused(&'static str),
}

impl Pending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Response>> {
        match self {
            Pending::Ready(response) => Poll::Ready(Some(response.clone())),
            Pending::Inline(future) => future.as_mut().poll(cx),
            // A task that panicked answers nothing: the connection closes.
            Pending::Task(task) => Pin::new(&mut task.0).poll(cx).map(|done| done.ok().flatten()),
        }
    }
}

/// Writes all of `bytes`; with `more` the kernel may wait for what follows before it sends a short packet.
async fn write_all(stream: &TcpStream, mut bytes: &[u8], more: bool) -> io::Result<()> {
    let mut flags = rustix::net::SendFlags::NOSIGNAL;
    flags.set(rustix::net::SendFlags::MORE, more);
    while !bytes.is_empty() {
        let sent = stream
            .async_io(Interest::WRITABLE, || rustix::net::send(stream, bytes, flags).map_err(io::Error::from))
            .await?;
        bytes = &bytes[sent..];
    }
    Ok(())
}

/// Lets the kernel copy a stretch of a file to the connection.
async fn send_file(stream: &TcpStream, range: &FileRange) -> io::Result<()> {
    let (mut position, mut left) = (range.position, range.len);
    while left > 0 {
        let sent = stream
            .async_io(Interest::WRITABLE, || {
                let mut from = position;
                rustix::fs::sendfile(stream, &*range.file, Some(&mut from), left).map_err(io::Error::from)
            })
            .await?;
        if sent == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a segment is shorter than what was promised"));
        }
        position += sent as u64;
        left -= sent;
    }
    Ok(())
}
