//! Listeners: `NAME://HOST:PORT`, and the security protocol that each name stands for.

use std::collections::BTreeMap;
use std::fmt;

use super::error::Error;

/// How a connection on a listener is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecurityProtocol {
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

impl SecurityProtocol {
    /// The id that Kafka's znodes and requests use.
    pub fn id(self) -> i16 {
        match self {
            SecurityProtocol::Plaintext => 0,
            SecurityProtocol::Ssl => 1,
            SecurityProtocol::SaslPlaintext => 2,
            SecurityProtocol::SaslSsl => 3,
        }
    }

    /// `PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`.
    pub fn name(self) -> &'static str {
        match self {
            SecurityProtocol::Plaintext => "PLAINTEXT",
            SecurityProtocol::Ssl => "SSL",
            SecurityProtocol::SaslPlaintext => "SASL_PLAINTEXT",
            SecurityProtocol::SaslSsl => "SASL_SSL",
        }
    }

    /// The protocol of that name, in any case.
    pub fn from_name(name: &str) -> Option<SecurityProtocol> {
        use SecurityProtocol::*;
        [Plaintext, Ssl, SaslPlaintext, SaslSsl].into_iter().find(|p| p.name().eq_ignore_ascii_case(name))
    }
}

/// An address on which a broker listens, or under which it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// In capitals, as Kafka normalises it.
    pub listener_name: String,
    /// A name or address without brackets; empty: every interface.
    pub host: String,
    /// 0 on a listener: any free port.
    pub port: u16,
    pub security_protocol: SecurityProtocol,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.listener_name, self.address())
    }
}

impl Endpoint {
    /// `host:port`, with brackets around an IPv6 address.
    pub fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Reads a comma-separated list of listeners.
    ///
    /// # Errors
    /// `Unusable` for what does not read as `NAME://HOST:PORT`, a name without protocol, or a name twice.
    pub(super) fn parse_list(
        text: &str,
        protocols: &BTreeMap<String, SecurityProtocol>,
    ) -> Result<Vec<Endpoint>, Error> {
        let refuse =
            |reason: String| Error::unusable(format!("Error creating broker listeners from '{text}': {reason}"));
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let endpoint = Endpoint::parse(item, protocols).map_err(refuse)?;
            if endpoints.iter().any(|other| other.listener_name == endpoint.listener_name) {
                return Err(Error::unusable(format!(
                    "requirement failed: Each listener must have a different name, listeners: {text}"
                )));
            }
            endpoints.push(endpoint);
        }
        Ok(endpoints)
    }

    fn parse(item: &str, protocols: &BTreeMap<String, SecurityProtocol>) -> Result<Endpoint, String> {
        let unreadable = || format!("Unable to parse {item} to a broker endpoint");
        let (name, address) = item.split_once("://").ok_or_else(unreadable)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(unreadable)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-%._:".contains(c);
        let port: u16 = port.parse().map_err(|_| unreadable())?;
        if !host.chars().all(is_host) {
            return Err(unreadable());
        }
        let listener_name = name.to_ascii_uppercase();
        let Some(&security_protocol) = protocols.get(&listener_name) else {
            return Err(format!("No security protocol defined for listener {listener_name}"));
        };
        Ok(Endpoint { listener_name, host: host.to_owned(), port, security_protocol })
    }
}

/// Reads `listener.security.protocol.map`.
pub(super) fn parse_protocol_map(text: &str) -> Result<BTreeMap<String, SecurityProtocol>, Error> {
    let mut protocols = BTreeMap::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        let pair = item.split_once(':');
        let Some((name, Some(protocol))) = pair.map(|(n, p)| (n, SecurityProtocol::from_name(p.trim()))) else {
            return Err(Error::InvalidValue {
                key: "listener.security.protocol.map".into(),
                value: text.into(),
                reason: format!("{item} is not NAME:PROTOCOL").into(),
                allowed: "NAME:PROTOCOL,… with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL".into(),
                location: None,
            });
        };
        protocols.insert(name.trim().to_ascii_uppercase(), protocol);
    }
    Ok(protocols)
}
