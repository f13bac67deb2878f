//! A question instead of a complaint, where `--topic` is missing and somebody is there to be asked.

use std::time::Duration;

use super::Io;
use super::args::Matches;
use super::terminal::colours_are_welcome;
use crate::client::admin::Admin;
use crate::config::Properties;

/// Lets a person choose the topic, if none of `flags` was given, the brokers are known and can be reached soon. What
/// else is wrong with the command line is found afterwards.
pub fn supply_topic(matches: &mut Matches, flags: &[&'static str], io: &Io) {
    let given = flags.iter().any(|flag| matches.has(flag));
    if given || io.strict_compat || !io.terminal.can_ask() {
        return;
    }
    let (Some(flag), Some(topics)) = (flags.first(), topics(matches)) else { return };
    if let Some(topic) = ask(&topics) {
        matches.supply(flag, topic);
    }
}

/// How long a person waits for a question.
const PATIENCE: Duration = Duration::from_secs(3);

fn topics(matches: &Matches) -> Option<Vec<String>> {
    let servers = ["bootstrap-server", "broker-list"].iter().find_map(|flag| match matches.knows(flag) {
        true => matches.value(flag).ok().flatten(),
        false => None,
    })?;
    let file = ["command-config", "producer.config", "consumer.config"].iter().find_map(|flag| {
        let value = if matches.knows(flag) { matches.value(flag).ok().flatten() } else { None };
        value.and_then(|file| Properties::read(file).ok())
    });
    let mut properties = file.unwrap_or_default();
    for key in ["default.api.timeout.ms", "request.timeout.ms"] {
        properties.set(key, PATIENCE.as_millis().to_string());
    }
    let admin = Admin::new(&properties, Some(&servers)).ok()?;
    let listed = admin.list_topics().ok()?.into_iter().filter(|topic| !topic.is_internal);
    let mut names: Vec<String> = listed.map(|topic| topic.name).collect();
    names.sort();
    Some(names).filter(|names| !names.is_empty())
}

/// On stderr: stdout may be a file.
fn ask(topics: &[String]) -> Option<String> {
    use dialoguer::theme::{ColorfulTheme, SimpleTheme, Theme};
    let theme: &dyn Theme = if colours_are_welcome() { &ColorfulTheme::default() } else { &SimpleTheme };
    let select = dialoguer::Select::with_theme(theme).with_prompt("Which topic?").items(topics).default(0);
    let chosen = select.max_length(15).interact_opt().ok().flatten()?;
    topics.get(chosen).cloned()
}
