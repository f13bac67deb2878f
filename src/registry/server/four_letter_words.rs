//! ZooKeeper's four-letter words: `echo ruok | nc localhost 2181`.
//!
//! Source: `org.apache.zookeeper.server.command`. Texts and keys are those that monitoring parses.

use std::fmt::{self, Write};

use super::{Locked, Packets, Shared};
use crate::registry::server::state::Peer;

/// Every word we know. Others are not words but lengths, and far too long ones.
const WORDS: &[&str] = &[
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr", "stat",
    "stmk", "wchc", "wchp", "wchs",
];

/// The version whose protocol and answers we follow; ours comes after the dash.
const VERSION: &str = concat!("3.8.4-ottla-", env!("CARGO_PKG_VERSION"));

pub(super) fn is_word(prefix: &[u8; 4]) -> bool {
    WORDS.iter().any(|word| word.as_bytes() == prefix)
}

/// What the word is answered with before the connection closes.
pub(super) fn answer(shared: &Shared, word: &str) -> String {
    if !shared.config.four_letter_words.allow(word) {
        return format!("{word} is not executed because it is not in the whitelist.\n");
    }
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_answer(shared, word, &mut out);
    out
}

fn write_answer(shared: &Shared, word: &str, out: &mut String) -> fmt::Result {
    let mut locked = shared.locked.lock();
    match word {
        "ruok" => out.write_str("imok"),
        "isro" => out.write_str("rw"),
        "srvr" => server(shared, &locked, None, out),
        "stat" => server(shared, &locked, Some("Clients:"), out),
        "mntr" => monitor(shared, &locked, out),
        "conf" => configuration(shared, out),
        "cons" => connections(&locked, Detail::All, out),
        "dump" => dump(&locked, out),
        "envi" => environment(out),
        "wchs" => {
            let watches = &locked.state.watches;
            let (connections, paths) = (watches.by_connection().len(), watches.by_path().len());
            writeln!(out, "{connections} connections watching {paths} paths\nTotal watches:{}", watches.len())
        }
        "wchc" => watches_by_session(&locked, out),
        "wchp" => watches_by_path(&locked, out),
        "dirs" => directories(shared, out),
        "crst" => {
            for peer in locked.state.peers.values_mut() {
                (peer.received_count, peer.sent_count) = (0, 0);
            }
            out.write_str("Connection stats reset.\n")
        }
        "srst" => {
            shared.latency.reset();
            *shared.past.lock() = Packets::default();
            for peer in locked.state.peers.values_mut() {
                (peer.received_count, peer.sent_count) = (0, 0);
            }
            out.write_str("Server stats reset.\n")
        }
        // We keep no digests of the tree and no trace mask.
        "hash" => Ok(()),
        "gtmk" | "stmk" => out.write_str("0"),
        _ => Ok(()),
    }
}

fn packets(shared: &Shared, locked: &Locked) -> Packets {
    let mut packets = *shared.past.lock();
    for peer in locked.state.peers.values() {
        packets.received_count += peer.received_count;
        packets.sent_count += peer.sent_count;
    }
    packets
}

fn server(shared: &Shared, locked: &Locked, clients: Option<&str>, out: &mut String) -> fmt::Result {
    writeln!(out, "Zookeeper version: {VERSION}")?;
    if let Some(title) = clients {
        writeln!(out, "{title}")?;
        connections(locked, Detail::Counts, out)?;
    }
    let (min, average, max) = shared.latency.min_avg_max_ms();
    let packets = packets(shared, locked);
    writeln!(out, "Latency min/avg/max: {min}/{average:.4}/{max}")?;
    writeln!(out, "Received: {}\nSent: {}", packets.received_count, packets.sent_count)?;
    writeln!(out, "Connections: {}\nOutstanding: 0", locked.state.peers.len())?;
    writeln!(out, "Zxid: 0x{:x}\nMode: standalone", locked.state.last_zxid)?;
    writeln!(out, "Node count: {}", locked.state.tree.node_count())
}

fn monitor(shared: &Shared, locked: &Locked, out: &mut String) -> fmt::Result {
    let state = &locked.state;
    let (min, average, max) = shared.latency.min_avg_max_ms();
    let packets = packets(shared, locked);
    let ephemerals: usize = state.tree.all_ephemerals().values().map(|paths| paths.len()).sum();
    writeln!(out, "zk_version\t{VERSION}")?;
    writeln!(out, "zk_server_state\tstandalone")?;
    writeln!(out, "zk_ephemerals_count\t{ephemerals}")?;
    writeln!(out, "zk_min_latency\t{min}\nzk_avg_latency\t{average:.4}\nzk_max_latency\t{max}")?;
    writeln!(out, "zk_num_alive_connections\t{}", state.peers.len())?;
    writeln!(out, "zk_watch_count\t{}", state.watches.len())?;
    writeln!(out, "zk_outstanding_requests\t0")?;
    writeln!(out, "zk_znode_count\t{}", state.tree.node_count())?;
    writeln!(out, "zk_global_sessions\t{}", state.sessions.len())?;
    writeln!(out, "zk_approximate_data_size\t{}", state.tree.data_bytes())?;
    writeln!(out, "zk_packets_received\t{}", packets.received_count)?;
    writeln!(out, "zk_packets_sent\t{}", packets.sent_count)?;
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is this listing.
        writeln!(out, "zk_open_file_descriptor_count\t{}", open.count().saturating_sub(1))?;
    }
    writeln!(out, "zk_uptime\t{}", shared.started.elapsed().as_millis())
}

fn configuration(shared: &Shared, out: &mut String) -> fmt::Result {
    let config = &shared.config;
    let timeouts = config.session_timeout_ms();
    let port = config.listener.rsplit(':').next().unwrap_or_default();
    let log_dir = config.data_log_dir.as_ref().unwrap_or(&config.data_dir);
    writeln!(out, "clientPort={port}")?;
    writeln!(out, "dataDir={}", config.data_dir.join("version-2").display())?;
    writeln!(out, "dataLogDir={}", log_dir.join("version-2").display())?;
    writeln!(out, "tickTime={}", config.tick_time_ms)?;
    writeln!(out, "maxClientCnxns={}", config.max_client_connections)?;
    writeln!(out, "minSessionTimeout={}\nmaxSessionTimeout={}", timeouts.start(), timeouts.end())?;
    writeln!(out, "serverId=0")
}

#[derive(Clone, Copy)]
enum Detail {
    Counts,
    All,
}

fn connections(locked: &Locked, detail: Detail, out: &mut String) -> fmt::Result {
    for peer in locked.state.peers.values() {
        let Peer { address, received_count, sent_count, session_id, .. } = peer;
        write!(out, " /{address}[1](queued=0,recved={received_count},sent={sent_count}")?;
        if let (Detail::All, Some(id)) = (detail, session_id) {
            let timeout_ms = locked.state.sessions.find(*id).map_or(0, |session| session.timeout_ms);
            write!(out, ",sid=0x{id:x},to={timeout_ms}")?;
        }
        writeln!(out, ")")?;
    }
    writeln!(out)
}

fn dump(locked: &Locked, out: &mut String) -> fmt::Result {
    let state = &locked.state;
    writeln!(out, "SessionTracker dump:\nSessions ({}):", state.sessions.len())?;
    for (id, session) in state.sessions.iter() {
        writeln!(out, "\t0x{id:x}\t{}ms", session.timeout_ms)?;
    }
    let ephemerals = state.tree.all_ephemerals();
    writeln!(out, "ephemeral nodes dump:\nSessions with Ephemerals ({}):", ephemerals.len())?;
    for (id, paths) in ephemerals {
        writeln!(out, "0x{id:x}:")?;
        for path in paths {
            writeln!(out, "\t{path}")?;
        }
    }
    writeln!(out, "Connections dump:\nConnections ({}):", state.peers.len())?;
    connections(locked, Detail::Counts, out)
}

fn watches_by_session(locked: &Locked, out: &mut String) -> fmt::Result {
    for (connection, paths) in locked.state.watches.by_connection() {
        writeln!(out, "0x{:x}", session_of(locked, connection))?;
        for path in paths {
            writeln!(out, "\t{path}")?;
        }
    }
    writeln!(out)
}

fn watches_by_path(locked: &Locked, out: &mut String) -> fmt::Result {
    for (path, connections) in locked.state.watches.by_path() {
        writeln!(out, "{path}")?;
        for connection in connections {
            writeln!(out, "\t0x{:x}", session_of(locked, connection))?;
        }
    }
    writeln!(out)
}

fn session_of(locked: &Locked, connection: u64) -> i64 {
    locked.state.peers.get(&connection).and_then(|peer| peer.session_id).unwrap_or(0)
}

fn environment(out: &mut String) -> fmt::Result {
    writeln!(out, "Environment:\nzookeeper.version={VERSION}")?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    writeln!(out, "host.name={}", host.trim())?;
    writeln!(out, "os.name={}\nos.arch={}", std::env::consts::OS, std::env::consts::ARCH)?;
    match std::env::current_dir() {
        Ok(dir) => writeln!(out, "user.dir={}", dir.display()),
        Err(_) => Ok(()),
    }
}

fn directories(shared: &Shared, out: &mut String) -> fmt::Result {
    let size = |dir: &std::path::Path, prefix: &str| -> u64 {
        let entries = std::fs::read_dir(dir.join("version-2")).into_iter().flatten().flatten();
        let wanted = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        wanted.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    };
    let config = &shared.config;
    let log_dir = config.data_log_dir.as_ref().unwrap_or(&config.data_dir);
    writeln!(out, "datadir_size: {}", size(&config.data_dir, "snapshot."))?;
    writeln!(out, "logdir_size: {}", size(log_dir, "log."))
}
