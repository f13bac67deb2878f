//! Why a cluster cannot be reached: looks at each address with plain sockets, and says what is there.
//!
//! It runs after a client has given up, so it may take a moment ([`PATIENCE`] a step) and asks for itself: does the name
//! resolve, does anything listen, does it speak Kafka, TLS or ZooKeeper; and when it is a broker, can the addresses be
//! reached by which it calls itself (`advertised.listeners`), for those are what clients connect to next.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::wire::header::{decode_response, request_frame};
use crate::wire::messages::metadata::{MetadataRequest, MetadataResponse};
use crate::wire::{ApiKey, Bytes};

/// What a client was set up to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    Plain,
    Tls,
}

/// What was found at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The name means nothing.
    Unresolved,
    /// Nobody listens.
    Refused,
    /// No answer to the attempt to connect.
    Silent,
    /// Other trouble with connecting.
    Unreachable(String),
    ZooKeeper,
    Tls,
    /// A broker in plain text, with the addresses by which brokers call themselves.
    Broker {
        advertised: Vec<(String, i32)>,
    },
    /// Something listens and says nothing that we understand.
    Stranger,
}

/// How long one step is waited for.
const PATIENCE: Duration = Duration::from_millis(700);
/// An answer that is longer is not looked at to its end.
const ANSWER_BYTES: usize = 1 << 20;

/// Looks at each of the addresses, and says in a line each what a person should know.
pub fn diagnose<'a>(servers: impl Iterator<Item = (&'a str, u16)>, spoken: Spoken) -> Vec<String> {
    servers.take(3).flat_map(|(host, port)| explain(host, port, &look_at(host, port), spoken, look_at)).collect()
}

/// What `found` means to somebody who typed `host:port`; `look` finds out about advertised addresses.
fn explain(host: &str, port: u16, found: &Found, spoken: Spoken, look: impl Fn(&str, u16) -> Found) -> Vec<String> {
    let address = super::admin::address(host, port.into());
    let line = match found {
        Found::Unresolved => format!("the name {host} cannot be resolved; is it spelled right?"),
        Found::Refused => format!("nothing listens on {address}; is the broker running, and is this its port?"),
        Found::Silent => format!("{address} does not answer; a firewall, or a host that is down?"),
        Found::Unreachable(why) => format!("{address} cannot be reached: {why}"),
        Found::ZooKeeper => format!(
            "{address} is a ZooKeeper, not a broker: give a broker's address (its port is 9092 as a rule), or \
             --zookeeper {address} to a command that has it"
        ),
        Found::Tls if spoken == Spoken::Plain => format!(
            "{address} speaks TLS and was spoken to in plain text: set security.protocol=SSL or SASL_SSL in the file \
             of --command-config"
        ),
        Found::Tls => return Vec::new(),
        Found::Broker { .. } if spoken == Spoken::Tls => format!(
            "{address} speaks plain text and was spoken to in TLS: take its TLS port, or leave security.protocol=SSL out"
        ),
        Found::Broker { advertised } => {
            let is_other = |(other, p): &&(String, i32)| *other != host || *p != i32::from(port);
            return advertised
                .iter()
                .filter(is_other)
                .filter_map(|(other, p)| unreached(&address, other, *p, &look))
                .collect();
        }
        Found::Stranger => {
            format!(
                "{address} answers, but not as a Kafka broker: TLS with client certificates, SASL, or another service?"
            )
        }
    };
    vec![line]
}

/// A broker that was reached names an address that cannot be.
fn unreached(typed: &str, host: &str, port: i32, look: impl Fn(&str, u16) -> Found) -> Option<String> {
    let found = look(host, u16::try_from(port).ok()?);
    let why = match found {
        Found::Unresolved => "that name cannot be resolved here".to_owned(),
        Found::Refused => "nothing listens there".to_owned(),
        Found::Silent => "it does not answer from here".to_owned(),
        Found::Unreachable(why) => why,
        _ => return None,
    };
    let other = super::admin::address(host, port);
    Some(format!(
        "the broker at {typed} calls itself {other}, and {why}: its advertised.listeners must name an address that \
         clients reach"
    ))
}

/// Connects and finds out what is there.
pub fn look_at(host: &str, port: u16) -> Found {
    let Some(address) = (host, port).to_socket_addrs().ok().and_then(|mut all| all.next()) else {
        return Found::Unresolved;
    };
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(stream) => {
            if let Some(found) = ask_for_brokers(stream) {
                return found;
            }
        }
        Err(error) => {
            return match error.kind() {
                io::ErrorKind::ConnectionRefused => Found::Refused,
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Found::Silent,
                _ => Found::Unreachable(error.to_string()),
            };
        }
    }
    // A ZooKeeper says so when asked in four letters, even if it has been told not to answer.
    if converse(address, b"srvr").is_ok_and(|answer| answer.starts_with(b"Zookeeper") || answer.starts_with(b"srvr is"))
    {
        return Found::ZooKeeper;
    }
    // A TLS server answers a hello with a handshake (22) or an alert (21).
    match converse(address, CLIENT_HELLO) {
        Ok(answer) if matches!(answer.as_slice(), [21 | 22, 3, ..]) => Found::Tls,
        _ => Found::Stranger,
    }
}

/// Asks in the oldest version, which every broker but the newest knows, and then in one that those know.
fn ask_for_brokers(mut stream: TcpStream) -> Option<Found> {
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    let request = MetadataRequest { topics: Some(Vec::new()), ..MetadataRequest::default() };
    let version = 1;
    let frame = request_frame(&request, version, 1, "ottla").ok()?;
    stream.write_all(&frame).ok()?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).ok()?;
    let size = usize::try_from(i32::from_be_bytes(prefix)).ok().filter(|size| (4..=ANSWER_BYTES).contains(size))?;
    let mut answer = vec![0; size];
    stream.read_exact(&mut answer).ok()?;
    let decoded = decode_response::<MetadataResponse>(Bytes::from(answer), ApiKey::Metadata, version);
    let (_, response) = decoded.ok().filter(|(correlation_id, _)| *correlation_id == 1)?;
    Some(Found::Broker { advertised: response.brokers.into_iter().map(|broker| (broker.host, broker.port)).collect() })
}

/// Says something and returns the beginning of the answer.
fn converse(address: SocketAddr, words: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(words)?;
    let mut answer = vec![0; 64];
    let length = stream.read(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// A hello of TLS 1.2 that offers one cipher suite and no extension: enough for a server to show that it is one.
const CLIENT_HELLO: &[u8] = &[
    22, 3, 1, 0, 45, // handshake record
    1, 0, 0, 41, 3, 3, // client hello, TLS 1.2
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // random
    0, // no session
    0, 2, 0x00, 0x2f, // TLS_RSA_WITH_AES_128_CBC_SHA
    1, 0, // no compression
];

#[cfg(test)]
mod tests;
