//! What a handler is told about a request, and what it gives back.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use crate::wire::header::{RequestHeader, encode_response_header, response_frame};
use crate::wire::{ApiKey, Bytes, Message, Writer, codec};

/// Where a request came from, and its header.
#[derive(Clone, Debug)]
pub struct RequestContext {
    pub header: RequestHeader,
    /// None for a key that is not in the protocol.
    pub api: Option<ApiKey>,
    /// The name of the listener, as in `listeners=NAME://…`.
    pub listener_name: Arc<str>,
    pub client_address: IpAddr,
    /// Counts the connections of this process; never used twice.
    pub connection_id: u64,
}

impl RequestContext {
    pub fn version(&self) -> i16 {
        self.header.api_version
    }

    pub fn client_id(&self) -> &str {
        self.header.client_id.as_deref().unwrap_or_default()
    }
}

/// What becomes of a request.
pub enum Reply {
    /// Answered.
    Now(Response),
    /// Answered when the future is done; None closes the connection. Dropped when the connection goes.
    Later(Pin<Box<dyn Future<Output = Option<Response>> + Send>>),
    /// What becomes of it is known when the future is done, and no further request of the connection is looked at
    /// before: what has to happen in order can begin only then.
    First(Pin<Box<dyn Future<Output = Reply> + Send>>),
    /// No answer is due (Produce with acks=0).
    Nothing,
    /// The connection is closed without an answer: a request that does not parse, or that is not served.
    Close,
}

impl Reply {
    /// A future as [`Reply::Later`].
    pub fn later(future: impl Future<Output = Option<Response>> + Send + 'static) -> Reply {
        Reply::Later(Box::pin(future))
    }

    /// A future as [`Reply::First`].
    pub fn first(future: impl Future<Output = Reply> + Send + 'static) -> Reply {
        Reply::First(Box::pin(future))
    }

    /// `message` as the whole answer.
    pub fn now<M: Message>(context: &RequestContext, message: &M) -> Reply {
        match Response::of(context, message) {
            Some(response) => Reply::Now(response),
            None => Reply::Close,
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reply::Now(_) => "Now",
            Reply::Later(_) => "Later",
            Reply::First(_) => "First",
            Reply::Nothing => "Nothing",
            Reply::Close => "Close",
        })
    }
}

/// A response frame, size first, in the parts in which it is sent.
#[derive(Clone, Debug)]
pub struct Response {
    pub(super) parts: Vec<Part>,
}

/// A stretch of a response.
#[derive(Clone, Debug)]
pub enum Part {
    Bytes(Bytes),
    /// Sent from the file by the kernel.
    File(FileRange),
}

/// `len` bytes of a file from `position`. The file must have them: what is short closes the connection.
#[derive(Clone, Debug)]
pub struct FileRange {
    pub file: Arc<File>,
    pub position: u64,
    pub len: usize,
}

impl Response {
    /// The frame of `message`; None if a string of it does not fit the version (a bug, which is logged).
    pub fn of<M: Message>(context: &RequestContext, message: &M) -> Option<Response> {
        match response_frame(message, context.header.api_version, context.header.correlation_id) {
            Ok(frame) => Some(Response { parts: vec![Part::Bytes(frame.into())] }),
            Err(error) => {
                tracing::error!(key = M::KEY, version = context.header.api_version, %error, "response cannot be written");
                None
            }
        }
    }

    /// A writer that stands behind room for the size and the response header.
    pub fn writer(context: &RequestContext) -> Writer {
        let mut w = Writer::after(vec![0; 4]);
        let header = &context.header;
        encode_response_header(&mut w, header.api_key, header.api_version, header.correlation_id);
        w
    }

    /// A frame whose body was put together by hand: `head` comes from [`Response::writer`] and begins the frame,
    /// `tail` follows it. The size is filled in.
    ///
    /// # Errors
    /// `BadLength` if the frame is larger than a frame can be.
    pub fn from_parts(mut head: Vec<u8>, tail: Vec<Part>) -> Result<Response, codec::Error> {
        let total = head.len() - 4 + tail.iter().map(Part::len).sum::<usize>();
        let size = i32::try_from(total).map_err(|_| codec::Error::BadLength(total as i64))?;
        head[..4].copy_from_slice(&size.to_be_bytes());
        let mut parts = Vec::with_capacity(1 + tail.len());
        parts.push(Part::Bytes(head.into()));
        parts.extend(tail);
        Ok(Response { parts })
    }

    /// The whole frame in memory, file ranges read: for tests, and for connections that cannot use `sendfile`.
    ///
    /// # Errors
    /// An I/O error of a file range.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        use std::os::unix::fs::FileExt;
        let mut frame = Vec::with_capacity(self.parts.iter().map(Part::len).sum());
        for part in &self.parts {
            match part {
                Part::Bytes(bytes) => frame.extend_from_slice(bytes),
                Part::File(range) => {
                    let start = frame.len();
                    frame.resize(start + range.len, 0);
                    range.file.read_exact_at(&mut frame[start..], range.position)?;
                }
            }
        }
        Ok(frame)
    }
}

impl Part {
    pub fn len(&self) -> usize {
        match self {
            Part::Bytes(bytes) => bytes.len(),
            Part::File(range) => range.len,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
