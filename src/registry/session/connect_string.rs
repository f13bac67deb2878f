//! `host:port,host:port/chroot`.

use std::str::FromStr;

use crate::registry::Error;

/// A parsed connect string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectString {
    /// `(host, port)`, at least one.
    pub servers: Vec<(String, u16)>,
    /// `/path`, or empty for none.
    pub chroot: String,
}

impl FromStr for ConnectString {
    type Err = Error;

    fn from_str(text: &str) -> Result<ConnectString, Error> {
        let invalid = |why: &str| Error::Config(format!("Invalid connect string {text}: {why}"));
        let (hosts, chroot) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, ""),
        };
        let chroot = chroot.trim_end_matches('/');
        if chroot.contains("//") {
            return Err(invalid("empty node name in the chroot"));
        }
        let hosts = hosts.split(',').map(str::trim).filter(|host| !host.is_empty());
        let servers = hosts
            .map(|host| parse_server(host).ok_or_else(|| invalid("a port is a number up to 65535")))
            .collect::<Result<Vec<_>, _>>()?;
        match servers.is_empty() {
            true => Err(invalid("no host")),
            false => Ok(ConnectString { servers, chroot: chroot.to_owned() }),
        }
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; the port is 2181 unless given.
fn parse_server(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(v6) => {
            let (host, rest) = v6.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Some(2181), |port| port.parse().ok())?;
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests;
