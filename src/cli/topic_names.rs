//! `ottla complete-topics WORD…`: the topic names for a shell that completes the command line WORD….
//!
//! A shell that waits is worse than one that does not know: the answer comes within [`DEADLINE`], from the broker or a
//! file that is younger than [`FRESH`], or not at all. A cluster that did not answer is left alone for a while too.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use super::environment::bootstrap_servers;
use crate::client::admin::Admin;
use crate::config::Properties;

/// From the start of the work to its end; the process itself takes some milliseconds more.
const DEADLINE: Duration = Duration::from_millis(140);
/// How long names are good enough.
const FRESH: Duration = Duration::from_secs(5);

/// Prints the names, a line each, and ends the process.
pub fn main(words: &[String]) -> ! {
    let words = words.to_vec();
    let (sender, receiver) = mpsc::channel();
    // Name resolution cannot be given a deadline, so all of it runs aside.
    std::thread::spawn(move || sender.send(names(&words)));
    if let Ok(names) = receiver.recv_timeout(DEADLINE) {
        let text: String = names.iter().map(|name| format!("{name}\n")).collect();
        let _ = io::stdout().write_all(text.as_bytes());
    }
    std::process::exit(0)
}

fn names(words: &[String]) -> Vec<String> {
    let servers = value_of(words, &["bootstrap-server", "broker-list"]).or_else(bootstrap_servers);
    let Some(servers) = servers else { return Vec::new() };
    let file = value_of(words, &["command-config", "producer.config", "consumer.config"]);
    let cache = cache_file(&servers, file.as_deref());
    if let Some(names) = cache.as_deref().and_then(cached) {
        return names;
    }
    // Whoever comes while we ask, or after we asked in vain, finds this.
    cache.iter().for_each(|cache| remember(cache, &[]));
    let names = ask(&servers, file.as_deref()).unwrap_or_default();
    cache.iter().for_each(|cache| remember(cache, &names));
    names
}

/// The last value of one of the flags, after a blank or `=`.
fn value_of(words: &[String], flags: &[&str]) -> Option<String> {
    let is_flag = |word: &str| flags.contains(&word.trim_start_matches('-')) && word.starts_with('-');
    let pairs = words.windows(2).filter(|pair| is_flag(&pair[0])).map(|pair| pair[1].clone());
    let joined = words.iter().filter_map(|word| word.split_once('=')).filter(|(flag, _)| is_flag(flag));
    pairs.chain(joined.map(|(_, value)| value.to_owned())).last().filter(|value| !value.is_empty())
}

fn ask(servers: &str, file: Option<&str>) -> Option<Vec<String>> {
    let mut properties = file.and_then(|file| Properties::read(file).ok()).unwrap_or_default();
    for key in ["default.api.timeout.ms", "request.timeout.ms", "socket.connection.setup.timeout.ms"] {
        properties.set(key, DEADLINE.as_millis().to_string());
    }
    let admin = Admin::new(&properties, Some(servers)).ok()?;
    let mut names: Vec<String> = admin.list_topics().ok()?.into_iter().map(|topic| topic.name).collect();
    names.sort();
    Some(names)
}

fn cache_file(servers: &str, file: Option<&str>) -> Option<PathBuf> {
    let dir = match std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(&std::env::var_os("HOME")?).join(".cache"),
    };
    let mut hasher = DefaultHasher::new();
    (servers, file).hash(&mut hasher);
    Some(dir.join("ottla").join(format!("topics-{:016x}", hasher.finish())))
}

fn cached(file: &Path) -> Option<Vec<String>> {
    let age = fs::metadata(file).ok()?.modified().ok()?.elapsed().ok()?;
    (age < FRESH).then(|| fs::read_to_string(file).map(|text| text.lines().map(str::to_owned).collect()).ok())?
}

/// A cache that cannot be written is none.
fn remember(file: &Path, names: &[String]) {
    let Some(dir) = file.parent() else { return };
    let unfinished = file.with_extension(std::process::id().to_string());
    let written = fs::create_dir_all(dir).and_then(|()| fs::write(&unfinished, names.join("\n")));
    let _ = written.and_then(|()| fs::rename(&unfinished, file));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_are_found_in_either_form_of_the_flag() {
        let found = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            value_of(&words, &["bootstrap-server", "broker-list"])
        };
        assert_eq!(found("kafka-topics --bootstrap-server h:1 --topic"), Some("h:1".to_owned()));
        assert_eq!(found("kafka-topics --bootstrap-server=h:1 --topic"), Some("h:1".to_owned()));
        assert_eq!(found("p -broker-list a:1 --broker-list b:2"), Some("b:2".to_owned()));
        assert_eq!(found("kafka-topics --topic bootstrap-server x"), None);
    }
}
