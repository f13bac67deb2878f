//! The way out of the usual troubles, in a line each, for a person; scripts get Apache's text alone.

use std::io::Write;
use std::time::Duration;

use super::Io;
use super::nearest::nearest;
use super::output::Output;
use crate::client::admin::Admin;
use crate::client::diagnosis;
use crate::client::properties::ClientSettings;
use crate::config::Properties;

/// How long a person waits for the first broker to answer; Apache's tools take 60 s.
pub const FIRST_CONTACT: Duration = Duration::from_secs(5);

/// Gives up on a cluster that does not answer sooner than Apache would, where somebody sits and waits.
pub fn be_impatient(admin: &mut Admin, io: &Io) {
    if io.gives_hints() || (io.output == Output::Json && !io.strict_compat) {
        admin.give_up_unless_reached_within(FIRST_CONTACT);
    }
}

/// Tells on stderr why a producer has to wait: for any broker, or for `topic`, which the cluster does not have.
pub fn while_waiting(client: &ClientSettings, topic: Option<&str>) {
    let mut properties = Properties::new();
    client.iter().for_each(|(key, value)| properties.set(key, value));
    for key in ["default.api.timeout.ms", "request.timeout.ms"] {
        properties.set(key, "2000");
    }
    let Ok(admin) = Admin::new(&properties, None) else { return };
    let hints = match topic {
        Some(topic) => unknown_topic(topic, &admin),
        None => unreachable(&admin),
    };
    for hint in hints {
        // A stderr that is gone is not an error.
        let _ = writeln!(std::io::stderr(), "hint: {hint}");
    }
}

/// Why no broker could be reached: looks again, with plain sockets, for two seconds at most.
pub fn unreachable(admin: &Admin) -> Vec<String> {
    let servers = admin.config().bootstrap_servers.iter().map(|server| (server.host.as_str(), server.port));
    let spoken = match admin.config().security.tls {
        Some(_) => diagnosis::Spoken::Tls,
        None => diagnosis::Spoken::Plain,
    };
    diagnosis::diagnose(servers, spoken)
}

/// Which topics somebody may have meant.
pub fn unknown_topic(topic: &str, admin: &Admin) -> Vec<String> {
    let Ok(topics) = admin.list_topics() else { return Vec::new() };
    let near = nearest(topic, topics.iter().map(|listing| listing.name.as_str()));
    match near.is_empty() {
        true => vec![format!("there is no topic {topic}; kafka-topics --list shows those there are")],
        false => vec![format!("there is no topic {topic}; did you mean {}?", near.join(" or "))],
    }
}
