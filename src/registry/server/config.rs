//! What the embedded registry can be told.

use std::path::PathBuf;

use crate::registry::Error;

/// How to start a [`Server`](super::Server).
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `host:port` to listen on; port 0 takes a free one, an empty host (`:2181`) all addresses.
    pub listener: String,
    /// Snapshots, and logs unless `data_log_dir` says otherwise.
    pub data_dir: PathBuf,
    pub data_log_dir: Option<PathBuf>,
    /// The unit of the session timeouts: they are clamped to 2 … 20 ticks unless the next two say otherwise.
    pub tick_time_ms: i32,
    pub min_session_timeout_ms: Option<i32>,
    pub max_session_timeout_ms: Option<i32>,
    /// Connections from one address; 0: no limit.
    pub max_client_connections: usize,
    /// The longest frame that a client may send (`jute.maxbuffer`).
    pub frame_bytes_max: usize,
    pub four_letter_words: FourLetterWords,
}

/// Which of ZooKeeper's four-letter words are answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FourLetterWords {
    All,
    Only(Vec<String>),
}

impl FourLetterWords {
    pub fn allow(&self, word: &str) -> bool {
        match self {
            FourLetterWords::All => true,
            FourLetterWords::Only(words) => words.iter().any(|allowed| allowed == word),
        }
    }
}

/// ZooKeeper's own default: one byte less than 1 MiB.
const JUTE_MAXBUFFER: usize = 0xfffff;

/// Values that say nothing about one node alone; taken so that a stock file works, and not used.
const IGNORED_PREFIXES: &[&str] = &["admin.", "autopurge.", "metricsProvider.", "audit.", "sslQuorum", "ssl."];

impl ServerConfig {
    /// The registry inside a broker: every four-letter word, no limit on connections.
    pub fn new(listener: impl Into<String>, data_dir: impl Into<PathBuf>) -> ServerConfig {
        ServerConfig {
            listener: listener.into(),
            data_dir: data_dir.into(),
            data_log_dir: None,
            tick_time_ms: 3000,
            min_session_timeout_ms: None,
            max_session_timeout_ms: None,
            max_client_connections: 0,
            frame_bytes_max: JUTE_MAXBUFFER,
            four_letter_words: FourLetterWords::All,
        }
    }

    /// What a `zookeeper.properties` says, as pairs of key and value.
    ///
    /// # Errors
    /// `Config` for a missing `dataDir` or `clientPort`, a number that is none, and for an ensemble (`server.N`).
    ///
    /// Source: `QuorumPeerConfig.parseProperties`.
    pub fn from_properties<'a>(
        properties: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::new("", "");
        config.max_client_connections = 60;
        config.four_letter_words = FourLetterWords::Only(vec!["srvr".to_owned()]);
        let (mut port, mut host, mut data_dir) = (None, None, None);
        for (key, value) in properties {
            let value = value.trim();
            match key {
                "dataDir" => data_dir = Some(PathBuf::from(value)),
                "dataLogDir" => config.data_log_dir = Some(PathBuf::from(value)),
                "clientPort" => port = Some(number::<u16>(key, value)?),
                "clientPortAddress" => host = Some(value.to_owned()),
                "tickTime" => config.tick_time_ms = positive(key, value)?,
                // -1 stands for the default.
                "minSessionTimeout" if value != "-1" => config.min_session_timeout_ms = Some(positive(key, value)?),
                "maxSessionTimeout" if value != "-1" => config.max_session_timeout_ms = Some(positive(key, value)?),
                "maxClientCnxns" => config.max_client_connections = number(key, value)?,
                "jute.maxbuffer" => config.frame_bytes_max = number(key, value)?,
                "4lw.commands.whitelist" => config.four_letter_words = words(value),
                key if key.starts_with("server.") || key == "dynamicConfigFile" => {
                    return Err(Error::Config(format!(
                        "{key}={value}: this server is a single node by design; for an ensemble run Apache ZooKeeper \
                         and name it in zookeeper.connect"
                    )));
                }
                key if IGNORED_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => {}
                _ => tracing::debug!(key, value, "not used"),
            }
        }
        config.data_dir = data_dir
            .filter(|dir| !dir.as_os_str().is_empty())
            .ok_or_else(|| Error::Config("dataDir is not set".to_owned()))?;
        let port = port.ok_or_else(|| Error::Config("clientPort is not set".to_owned()))?;
        config.listener = match host {
            Some(host) if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
            Some(host) => format!("{host}:{port}"),
            None => format!(":{port}"),
        };
        if config.session_timeout_ms().is_empty() {
            return Err(Error::Config("minSessionTimeout must not be larger than maxSessionTimeout".to_owned()));
        }
        Ok(config)
    }

    /// What is granted to clients.
    pub fn session_timeout_ms(&self) -> std::ops::RangeInclusive<i32> {
        let min = self.min_session_timeout_ms.unwrap_or(self.tick_time_ms.saturating_mul(2));
        let max = self.max_session_timeout_ms.unwrap_or(self.tick_time_ms.saturating_mul(20));
        min..=max
    }
}

fn number<T: std::str::FromStr>(key: &str, value: &str) -> Result<T, Error>
where
    T::Err: std::fmt::Display,
{
    value.parse().map_err(|err| Error::Config(format!("{key}={value}: {err}")))
}

fn positive(key: &str, value: &str) -> Result<i32, Error> {
    match number(key, value)? {
        number if number > 0 => Ok(number),
        _ => Err(Error::Config(format!("{key}={value}: must be greater than 0"))),
    }
}

fn words(list: &str) -> FourLetterWords {
    let words: Vec<String> = list.split(',').map(|word| word.trim().to_owned()).collect();
    match words.iter().any(|word| word == "*") {
        true => FourLetterWords::All,
        false => FourLetterWords::Only(words),
    }
}

#[cfg(test)]
mod tests;
