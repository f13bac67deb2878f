//! What the admin client takes from a Java client's properties.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use super::Error;
use crate::client::properties::{ClientSettings, Role};
use crate::config::Properties;
use crate::network::Security;

/// The settings of an [`Admin`](super::Admin); the defaults are Java's.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    pub bootstrap_servers: Vec<BootstrapServer>,
    pub client_id: String,
    /// How long one answer is awaited.
    pub request_timeout: Duration,
    /// How long one call may take with all its retries.
    pub default_api_timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    pub retry_backoff: Backoff,
    pub reconnect_backoff: Backoff,
    pub connection_setup_timeout: Duration,
    pub security: Security,
    /// Set when `default.api.timeout.ms` had to be lengthened to this `request.timeout.ms`.
    pub api_timeout_lengthened: bool,
}

/// One address of `bootstrap.servers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapServer {
    pub host: String,
    pub port: u16,
    /// The first address of the host, for log lines.
    pub resolved: Option<SocketAddr>,
}

/// Pauses that double from `first` to `max`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// The pause after so many failures in a row; `jitter` in 0..1 spreads it by a fifth to both sides.
    ///
    /// Source: `ExponentialBackoff`.
    pub fn pause(&self, failures: u32, jitter: f64) -> Duration {
        let doubled = self.first.as_secs_f64() * 2f64.powi(failures.min(30) as i32);
        Duration::from_secs_f64(doubled.min(self.max.as_secs_f64()) * (0.8 + 0.4 * jitter))
    }
}

impl AdminConfig {
    /// Reads the keys of `properties`; `bootstrap_servers` wins over the key of that name.
    ///
    /// # Errors
    /// `Config` for a value that a key does not take, `Client` for addresses that cannot be used.
    pub fn new(properties: &Properties, bootstrap_servers: Option<&str>) -> Result<AdminConfig, Error> {
        let settings = ClientSettings::check(Role::Admin, properties.iter()).map_err(|error| Error::Config(error.0))?;
        for warning in settings.warnings() {
            tracing::warn!(target: "org.apache.kafka.clients.admin.AdminClientConfig", "{warning}");
        }
        let ms = |key, default| Duration::from_millis(settings.number(key, default) as u64);
        let request_timeout = ms("request.timeout.ms", 30_000);
        let mut default_api_timeout = ms("default.api.timeout.ms", 60_000);
        let retries = settings.number("retries", i64::from(i32::MAX)) as u32;
        let retry_backoff = Backoff { first: ms("retry.backoff.ms", 100), max: ms("retry.backoff.max.ms", 1000) };
        let reconnect_backoff =
            Backoff { first: ms("reconnect.backoff.ms", 50), max: ms("reconnect.backoff.max.ms", 1000) };
        let connection_setup_timeout = ms("socket.connection.setup.timeout.ms", 10_000);
        let api_timeout_lengthened = default_api_timeout < request_timeout;
        if api_timeout_lengthened && settings.get("default.api.timeout.ms").is_some() {
            let text = "The specified value of default.api.timeout.ms must be no smaller than the value of \
                        request.timeout.ms.";
            return Err(Error::start(Error::Config(text.to_owned())));
        }
        default_api_timeout = default_api_timeout.max(request_timeout);
        let servers = bootstrap_servers.or(settings.get("bootstrap.servers")).unwrap_or_default();
        let bootstrap_servers = parse_bootstrap(servers).map_err(Error::start)?;
        let security = settings.security().and_then(|security| security.for_peers());
        let security = security.map_err(|error| Error::start(Error::Config(error.0)))?;
        let client_id = settings.get("client.id").map(str::trim).unwrap_or_default();
        Ok(AdminConfig {
            bootstrap_servers,
            // Java numbers the admin clients of a process.
            client_id: if client_id.is_empty() { "adminclient-1".to_owned() } else { client_id.to_owned() },
            request_timeout,
            default_api_timeout,
            retries,
            retry_backoff,
            reconnect_backoff,
            connection_setup_timeout,
            security,
            api_timeout_lengthened,
        })
    }
}

/// Reads `host:port,host:port`; hosts may be IPv6 addresses in brackets, and a listener name may stand before.
///
/// Source: `ClientUtils.parseAndValidateAddresses`.
fn parse_bootstrap(text: &str) -> Result<Vec<BootstrapServer>, Error> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect::<Vec<_>>();
    if entries.is_empty() {
        return Err(Error::Config("No bootstrap urls given in bootstrap.servers".to_owned()));
    }
    let mut servers = Vec::new();
    for entry in entries {
        let (host, port) =
            split_address(entry).ok_or_else(|| Error::Config(format!("Invalid url in bootstrap.servers: {entry}")))?;
        let port = port.parse().map_err(|_| Error::Config(format!("Invalid port in bootstrap.servers: {entry}")))?;
        match (host, port).to_socket_addrs().ok().and_then(|mut addresses| addresses.next()) {
            Some(address) => servers.push(BootstrapServer { host: host.to_owned(), port, resolved: Some(address) }),
            None => super::connections::warn_client(format_args!(
                "Couldn't resolve server {entry} from bootstrap.servers as DNS resolution failed for {host}"
            )),
        }
    }
    if servers.is_empty() {
        return Err(Error::Config("No resolvable bootstrap urls given in bootstrap.servers".to_owned()));
    }
    Ok(servers)
}

/// Cuts `NAME://host:port`, `host:port` or `[v6]:port` into host and port.
fn split_address(text: &str) -> Option<(&str, &str)> {
    let rest = match text.split_once("://") {
        Some((name, rest)) if name.starts_with(|c: char| c.is_ascii_alphabetic()) => rest,
        Some(_) => return None,
        None => text,
    };
    let (host, port) = rest.rsplit_once(':')?;
    let host = host.strip_prefix('[').unwrap_or(host);
    let host = host.strip_suffix(']').unwrap_or(host);
    let legal = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-%._:".contains(&b));
    let numeric = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (legal && numeric && !host.is_empty()).then_some((host, port))
}

impl BootstrapServer {
    /// `host:port`, as [`Peer`](crate::network::Peer) takes it.
    pub fn address(&self) -> String {
        address(&self.host, i32::from(self.port))
    }

    /// As Java prints a socket address: `localhost/127.0.0.1:9092`, `/127.0.0.1:9092`.
    pub fn display(&self) -> String {
        match self.resolved {
            Some(resolved) if self.host == resolved.ip().to_string() => format!("/{resolved}"),
            Some(resolved) => format!("{}/{resolved}", self.host),
            None => format!("{}/<unresolved>:{}", self.host, self.port),
        }
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
