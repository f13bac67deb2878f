//! The client side of a Kafka connection: used among brokers, by the controller, and by the admin client.
//!
//! Calls made at the same time are pipelined: each request goes out at once, and answers come in the order of the
//! requests, so a caller waits for the answers to those before it.

mod stream;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::Error;
use super::sasl::Credentials;
use super::tls::{self, Tls};
use crate::wire::header::{decode_response, request_frame};
use crate::wire::messages::{ApiVersionsRequest, ApiVersionsResponse, SaslAuthenticateRequest, SaslHandshakeRequest};
use crate::wire::{ApiKey, Bytes, ErrorCode, Message, Request, codec};
use stream::{ReadHalf, WriteHalf};

/// A connection to one broker. A call that was given up makes it unusable.
#[derive(Debug)]
pub struct Peer {
    address: String,
    client_id: String,
    requests: Mutex<Requests>,
    /// Whoever sent a request queues here before the next one is sent: the lock is fair.
    answers: Mutex<ReadHalf>,
    /// False once a call ended before its answer was read whole: what comes next belongs to nobody.
    usable: AtomicBool,
    /// What the broker said it serves, once asked.
    served: std::sync::OnceLock<HashMap<i16, (i16, i16)>>,
}

/// How a connection is secured, and how its client shows who it is: `security.protocol`.
#[derive(Debug, Clone, Default)]
pub struct Security {
    pub tls: Option<Tls>,
    pub sasl: Option<Credentials>,
}

#[derive(Debug)]
struct Requests {
    stream: WriteHalf,
    correlation_id: i32,
}

/// From the first byte of a request to the last of its answer; dropped in between it leaves the peer unusable.
struct Underway<'a>(&'a Peer);

impl Underway<'_> {
    /// The answer was read whole and is a good one.
    fn done(self) {
        std::mem::forget(self);
    }
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        self.0.usable.store(false, Ordering::Release);
    }
}

/// No answer is larger: what claims to be is not a Kafka broker ("HTTP" read as a size is 1.2 GB).
const MAX_RESPONSE_BYTES: usize = 1 << 30;
/// An answer gets its memory as it arrives, from this size on.
const RESPONSE_BYTES_AT_ONCE: usize = 1 << 20;

impl Peer {
    /// Connects to `host:port` (an IPv6 address in brackets), in plain text.
    ///
    /// # Errors
    /// `Resolve` or `Connect`, naming the address.
    pub async fn connect(address: &str, client_id: &str) -> Result<Peer, Error> {
        let stream = Peer::connect_tcp(address).await?;
        Ok(Peer::over(stream::plain(stream), address, client_id))
    }

    /// Connects as [`Peer::connect`], but as `security` says: shakes hands, and authenticates.
    ///
    /// # Errors
    /// As [`Peer::connect`]; `Tls` and `Authentication`, which trying again does not cure.
    pub async fn connect_secured(address: &str, client_id: &str, security: &Security) -> Result<Peer, Error> {
        let stream = Peer::connect_tcp(address).await?;
        let halves = match &security.tls {
            None => stream::plain(stream),
            Some(tls) => {
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let shaken = tls.connect(host.trim_start_matches('[').trim_end_matches(']'), stream).await;
                stream::encrypted(shaken.map_err(|error| io_error(address, error))?)
            }
        };
        let peer = Peer::over(halves, address, client_id);
        if let Some(credentials) = &security.sasl {
            peer.authenticate(credentials).await?;
        }
        Ok(peer)
    }

    fn over((answers, requests): (ReadHalf, WriteHalf), address: &str, client_id: &str) -> Peer {
        Peer {
            address: address.to_owned(),
            client_id: client_id.to_owned(),
            requests: Mutex::new(Requests { stream: requests, correlation_id: 0 }),
            answers: Mutex::new(answers),
            usable: AtomicBool::new(true),
            served: std::sync::OnceLock::new(),
        }
    }

    async fn connect_tcp(address: &str) -> Result<TcpStream, Error> {
        let resolved = tokio::net::lookup_host(address).await;
        let candidates = resolved.map_err(|source| Error::Resolve { address: address.to_owned(), source })?;
        let mut failure = std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
        for candidate in candidates {
            match TcpStream::connect(candidate).await {
                Ok(stream) => {
                    // Ignored: a connection without it works too.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failure = error,
            }
        }
        Err(Error::Connect { address: address.to_owned(), source: failure })
    }

    /// Connects, or gives up after `timeout`.
    ///
    /// # Errors
    /// As [`Peer::connect`], and `TimedOut`.
    pub async fn connect_within(address: &str, client_id: &str, timeout: Duration) -> Result<Peer, Error> {
        let connecting = tokio::time::timeout(timeout, Peer::connect(address, client_id)).await;
        connecting.unwrap_or_else(|_| Err(timed_out(address, timeout)))
    }

    /// As [`Peer::connect_secured`], or gives up after `timeout`.
    ///
    /// # Errors
    /// As [`Peer::connect_secured`], and `TimedOut`.
    pub async fn connect_secured_within(
        address: &str,
        client_id: &str,
        security: &Security,
        timeout: Duration,
    ) -> Result<Peer, Error> {
        let connecting = tokio::time::timeout(timeout, Peer::connect_secured(address, client_id, security)).await;
        connecting.unwrap_or_else(|_| Err(timed_out(address, timeout)))
    }

    /// The address it was connected by.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Sends `request` in `version` and waits for its answer.
    ///
    /// # Errors
    /// `Encode` leaves the connection as it was; after any other error it is of no further use.
    pub async fn call<R: Request>(&self, request: &R, version: i16) -> Result<R::Response, Error> {
        let encode = |correlation_id| request_frame(request, version, correlation_id, &self.client_id);
        let (correlation_id, answer, underway) = self.exchange(encode).await?;
        let api = ApiKey::from_i16(R::KEY)
            .ok_or_else(|| Error::UnsupportedApi { address: self.address.clone(), api: "this API" })?;
        let (answered, response) =
            decode_response::<R::Response>(answer, api, version).map_err(|source| self.decode(source))?;
        if answered != correlation_id {
            return Err(self.closed());
        }
        underway.done();
        Ok(response)
    }

    /// As [`Peer::call`], given up after `timeout`; the connection is then of no further use.
    ///
    /// # Errors
    /// As [`Peer::call`], and `TimedOut`.
    pub async fn call_within<R: Request>(
        &self,
        request: &R,
        version: i16,
        timeout: Duration,
    ) -> Result<R::Response, Error> {
        let calling = tokio::time::timeout(timeout, self.call(request, version)).await;
        calling.unwrap_or_else(|_| Err(timed_out(&self.address, timeout)))
    }

    /// The versions of each API that the broker serves, by key. Asked once; brokers before 0.10 close the connection.
    ///
    /// # Errors
    /// As [`Peer::call`].
    pub async fn api_versions(&self) -> Result<&HashMap<i16, (i16, i16)>, Error> {
        if let Some(served) = self.served.get() {
            return Ok(served);
        }
        let newest = *ApiVersionsRequest::VERSIONS.end();
        let mut response = self.ask_api_versions(newest).await?;
        if ErrorCode(response.error_code) == ErrorCode::UNSUPPORTED_VERSION {
            // The answer to a version that the broker does not know is in version 0 and names the ones it knows.
            let known = response.api_keys.iter().find(|api| api.api_key == ApiKey::ApiVersions as i16);
            let version = known.map_or(0, |api| api.max_version.clamp(0, newest));
            response = self.ask_api_versions(version).await?;
        }
        let served = response.api_keys.iter().map(|api| (api.api_key, (api.min_version, api.max_version))).collect();
        Ok(self.served.get_or_init(|| served))
    }

    /// The newest version of `R` that both ends know.
    ///
    /// # Errors
    /// `UnsupportedApi` if there is none; otherwise as [`Peer::call`].
    pub async fn version_of<R: Request>(&self) -> Result<i16, Error> {
        let served = self.api_versions().await?.get(&R::KEY).copied();
        let api = ApiKey::from_i16(R::KEY).map_or("this API", ApiKey::name);
        let unsupported = || Error::UnsupportedApi { address: self.address.clone(), api };
        let (min, max) = served.ok_or_else(unsupported)?;
        let version = max.min(*R::VERSIONS.end());
        if version >= min.max(*R::VERSIONS.start()) { Ok(version) } else { Err(unsupported()) }
    }

    /// Shows the broker who we are. Nothing but ApiVersions may be asked before.
    ///
    /// Source: `SaslClientAuthenticator`; KIP-43, KIP-152.
    async fn authenticate(&self, credentials: &Credentials) -> Result<(), Error> {
        let mechanism = credentials.mechanism();
        let version = self.version_of::<SaslAuthenticateRequest>().await?;
        let handshake = self.call(&SaslHandshakeRequest { mechanism: mechanism.to_owned() }, 1).await?;
        if !ErrorCode(handshake.error_code).is_ok() {
            let code = ErrorCode(handshake.error_code);
            let reason = match code {
                ErrorCode::UNSUPPORTED_SASL_MECHANISM => format!(
                    "Client SASL mechanism '{mechanism}' not enabled in the server, enabled mechanisms are [{}]",
                    handshake.mechanisms.join(", ")
                ),
                code => code.message().to_owned(),
            };
            return Err(self.refused(code, reason));
        }
        let mut exchange = credentials.begin(&nonce(&self.address)?);
        let mut message = exchange.first().to_vec();
        loop {
            let answer = self.call(&SaslAuthenticateRequest { auth_bytes: message.into() }, version).await?;
            let code = ErrorCode(answer.error_code);
            if !code.is_ok() {
                let reason = answer.error_message.filter(|reason| !reason.is_empty());
                return Err(self.refused(code, reason.unwrap_or_else(|| code.message().to_owned())));
            }
            let next = exchange.next(&answer.auth_bytes);
            match next.map_err(|reason| self.refused(ErrorCode::SASL_AUTHENTICATION_FAILED, reason))? {
                Some(next) => message = next,
                None if exchange.is_complete() => return Ok(()),
                None => return Err(self.closed()),
            }
        }
    }

    fn refused(&self, code: ErrorCode, reason: String) -> Error {
        Error::Authentication { address: self.address.clone(), code, reason }
    }

    async fn ask_api_versions(&self, version: i16) -> Result<ApiVersionsResponse, Error> {
        let request = ApiVersionsRequest {
            client_software_name: "ottla".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let encode = |correlation_id| request_frame(&request, version, correlation_id, &self.client_id);
        let (_, answer, underway) = self.exchange(encode).await?;
        // Only the error code of an answer says whether it is in the version asked for or in version 0.
        let refused = answer.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes());
        let shown = if refused { 0 } else { version };
        let (_, response) =
            decode_response(answer, ApiKey::ApiVersions, shown).map_err(|source| self.decode(source))?;
        underway.done();
        Ok(response)
    }

    /// Sends the frame that `encode` makes for the next correlation id and reads the answer's. The connection becomes
    /// unusable unless the caller, who has found the answer to be good, says that it is done.
    async fn exchange(
        &self,
        encode: impl FnOnce(i32) -> codec::Result<Vec<u8>>,
    ) -> Result<(i32, Bytes, Underway<'_>), Error> {
        let mut requests = self.requests.lock().await;
        if !self.usable.load(Ordering::Acquire) {
            return Err(self.closed());
        }
        requests.correlation_id = requests.correlation_id.wrapping_add(1);
        let correlation_id = requests.correlation_id;
        let frame = encode(correlation_id)?;
        let underway = Underway(self);
        requests.stream.write_all(&frame).await.map_err(|error| self.io(error))?;
        requests.stream.flush().await.map_err(|error| self.io(error))?;
        let mut turn = pin!(self.answers.lock());
        // One poll takes the place in the queue, or the lock itself.
        let at_once = std::future::poll_fn(|cx| match turn.as_mut().poll(cx) {
            Poll::Ready(answers) => Poll::Ready(Some(answers)),
            Poll::Pending => Poll::Ready(None),
        });
        let at_once = at_once.await;
        drop(requests);
        let mut answers = match at_once {
            Some(answers) => answers,
            None => turn.await,
        };
        if !self.usable.load(Ordering::Acquire) {
            return Err(self.closed());
        }
        let answer = self.read_frame(&mut answers).await?;
        Ok((correlation_id, answer, underway))
    }

    async fn read_frame(&self, stream: &mut ReadHalf) -> Result<Bytes, Error> {
        let mut prefix = [0; 4];
        stream.read_exact(&mut prefix).await.map_err(|error| self.io(error))?;
        let size = i32::from_be_bytes(prefix);
        let Some(size) = usize::try_from(size).ok().filter(|&size| size <= MAX_RESPONSE_BYTES) else {
            return Err(self.decode(codec::Error::BadLength(size.into())));
        };
        let mut frame = Vec::with_capacity(size.min(RESPONSE_BYTES_AT_ONCE));
        let read = stream.take(size as u64).read_to_end(&mut frame).await.map_err(|error| self.io(error))?;
        if read < size {
            return Err(self.closed());
        }
        Ok(frame.into())
    }

    fn closed(&self) -> Error {
        Error::Closed { address: self.address.clone() }
    }

    fn io(&self, source: std::io::Error) -> Error {
        io_error(&self.address, source)
    }

    fn decode(&self, source: codec::Error) -> Error {
        Error::Decode { address: self.address.clone(), source }
    }
}

fn timed_out(address: &str, timeout: Duration) -> Error {
    Error::TimedOut { address: address.to_owned(), timeout_ms: timeout.as_millis() as u64 }
}

fn io_error(address: &str, source: std::io::Error) -> Error {
    let address = address.to_owned();
    match (tls::reason(&source), source.kind()) {
        (Some(reason), _) => Error::Tls { address, reason },
        (None, std::io::ErrorKind::UnexpectedEof) => Error::Closed { address },
        (None, _) => Error::Io { address, source },
    }
}

/// A number that nobody can guess, for one SASL exchange.
fn nonce(address: &str) -> Result<String, Error> {
    let mut bytes = [0; 24];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
        .map_err(|_| Error::Io { address: address.to_owned(), source: std::io::Error::other("no random numbers") })?;
    Ok(super::sasl::base64_encode(&bytes))
}
