//! Holds the source against what ARCHITECTURE.md says of it: who may import whom, what stays pure, and that nothing
//! of one machine has crept in.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

#[test]
fn rooms_import_what_the_table_of_arrows_allows() {
    let arrows = arrows();
    let mut broken = Vec::new();
    for file in sources() {
        for import in file.imports() {
            let allowed = arrows.get(&file.room).is_some_and(|rooms| rooms.contains(&import));
            if import != file.room && arrows.contains_key(&import) && !allowed {
                broken.push(format!("{}: {} may not import {import}", file.name, file.room));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_room_has_its_row_in_the_table_of_arrows() {
    let rooms: BTreeSet<String> = sources().into_iter().map(|file| file.room).filter(|room| room != "lib").collect();
    assert_eq!(rooms, arrows().into_keys().collect());
}

#[test]
fn in_cli_only_a_few_know_broker_registry_log_and_group() {
    let may = |room: &str, name: &str| {
        let file = name.strip_prefix("src/cli/").unwrap_or(name);
        let is = |commands: &[&str]| commands.iter().any(|command| file.starts_with(command));
        match room {
            "broker" => is(&["server_start", "quickstart"]),
            "registry" => is(&["zookeeper_", "topics_zk", "topics/zk", "reassign_partitions/zk"]),
            "log" | "group" => is(&["console_consumer/internal_topics", "console_consumer/formatter"]),
            _ => true,
        }
    };
    let files = sources().into_iter().filter(|file| file.room == "cli");
    let broken: Vec<String> = files
        .flat_map(|file| file.imports().into_iter().map(move |import| (import, file.name.clone())))
        .filter(|(import, name)| !may(import, name))
        .map(|(import, name)| format!("{name} imports {import}"))
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn what_is_pure_has_no_clock_file_socket_or_task() {
    let impure = Regex::new(
        r"\btokio\b|std::fs\b|\b(Tcp|Udp)(Stream|Listener|Socket)\b|\bToSocketAddrs\b|std::thread\b|\bInstant::now\b|\bSystemTime::now\b|\bsleep\(|\brustix\b|\blibc\b",
    )
    .expect("is a regex");
    let is_pure = |file: &Source| {
        let stem = file.name.trim_end_matches("/mod.rs").trim_end_matches(".rs").trim_end_matches("/tests");
        let controller = ["election", "assignment", "requests"].map(|name| format!("src/controller/{name}"));
        let group = ["classic", "consumer", "assignors", "offsets", "partitions", "records", "migration", "slot"]
            .map(|name| format!("src/group/{name}"));
        file.room == "wire"
            || group.iter().any(|pure| stem.starts_with(pure.as_str()))
            || stem.ends_with("/state")
            || stem.contains("/state/")
            || stem == "src/replication/partition"
            || controller.iter().any(|pure| stem == pure)
    };
    let broken: Vec<String> = sources()
        .iter()
        .filter(|file| is_pure(file) && !file.is_test())
        .flat_map(|file| {
            let found = impure.find_iter(&file.code).map(|hit| hit.as_str().to_owned());
            found.map(|hit| format!("{} uses {hit}", file.name)).collect::<Vec<_>>()
        })
        .collect();
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|file| !file.is_test() && file.room != "bin" && !file.text.starts_with("//!"))
        .map(|file| file.name)
        .collect();
    assert!(silent.is_empty(), "no module doc: {}", silent.join(", "));
}

#[test]
fn no_file_names_a_place_on_one_machine() {
    // Written in two parts, so that this file may be looked at too.
    let places = Regex::new(&["/(work|root|home", ")/[a-z]"].concat()).expect("is a regex");
    let mut found = Vec::new();
    for path in files(root()) {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if let Some(hit) = places.find(&text) {
            found.push(format!("{}: {}", path.display(), hit.as_str()));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_checks_see_what_they_look_for() {
    let source = |name: &str, text: &str| Source::of(name, text);
    let imports = |name: &str, text: &str| source(name, text).imports().into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(imports("src/log/segment.rs", "use crate::wire::batch;"), "wire");
    assert_eq!(imports("src/log/segment.rs", "use crate::{\n    config::Error, wire};"), "config wire");
    assert_eq!(imports("src/log/segment.rs", "let x = super::super::broker::Broker;"), "broker");
    assert_eq!(imports("src/log/mod.rs", "use super::broker::Broker;"), "broker");
    assert_eq!(imports("src/log/segment.rs", "// crate::broker\nuse super::index;"), "");
    assert_eq!(imports("src/bin/kafka-topics.rs", "fn main() { ottla::cli::topics::main() }"), "cli");
    assert_eq!(source("src/broker/apis/produce.rs", "").room, "broker");
    assert_eq!(source("src/log.rs", "").room, "log");
    assert!(arrows()["cli"].contains("client") && arrows()["wire"].is_empty());
}

/// The rows under "## Arrows" in ARCHITECTURE.md: room → the rooms it may import.
fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("reads ARCHITECTURE.md");
    let section = text.split("## Arrows").nth(1).expect("has a section on arrows");
    let rows = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2)
        .map(|row| {
            let mut cells = row.trim_matches('|').split('|').map(str::trim);
            let room = cells.next().unwrap_or_default().to_owned();
            let rooms = cells.next().unwrap_or_default().split(',').map(|room| room.trim().to_owned());
            (room, rooms.filter(|room| !room.is_empty()).collect())
        })
        .collect()
}

/// One file of `src`.
struct Source {
    /// Relative to the package.
    name: String,
    room: String,
    text: String,
    /// The text without comments.
    code: String,
}

impl Source {
    fn of(name: &str, text: &str) -> Source {
        let path = name.strip_prefix("src/").unwrap_or(name);
        let room = path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned();
        let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        Source { name: name.to_owned(), room, text: text.to_owned(), code: code.join("\n") }
    }

    fn is_test(&self) -> bool {
        let stem = self.name.trim_end_matches(".rs");
        stem.ends_with("tests") || stem.contains("/tests/")
    }

    /// The rooms that the code names, by `crate::`, by a chain of `super::` to the root, or as `ottla::`.
    fn imports(&self) -> BTreeSet<String> {
        let mut rooms = BTreeSet::new();
        let up = ["super::"].repeat(self.depth()).concat();
        for start in ["crate::", "ottla::", &up] {
            for (at, _) in self.code.match_indices(start) {
                let is_longer = self.code[..at].ends_with("super::") || self.code[..at].ends_with('_');
                if !is_longer {
                    rooms.extend(first_segments(&self.code[at + start.len()..]));
                }
            }
        }
        rooms.remove("super");
        rooms
    }

    /// How many modules lie between the file and the root of the crate.
    fn depth(&self) -> usize {
        let path = self.name.strip_prefix("src/").unwrap_or(&self.name).trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').count()
    }
}

/// The names after `crate::`: one, or those of a group in braces.
fn first_segments(rest: &str) -> Vec<String> {
    let name =
        |text: &str| -> String { text.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect() };
    let Some(group) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ => {}
        }
        if let Some(last) = items.last_mut().filter(|_| c != ',' || depth > 0) {
            last.push(c);
        }
    }
    items.iter().map(|item| name(item)).collect()
}

fn sources() -> Vec<Source> {
    let files = files(root()).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    files
        .filter_map(|path| {
            let name = path.strip_prefix(root()).ok()?.to_str()?.to_owned();
            let text = fs::read_to_string(&path).ok()?;
            name.starts_with("src/").then(|| Source::of(&name, &text))
        })
        .collect()
}

/// All files below a folder, but for what is built, hidden or linked.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("reads a folder").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let is_built = path == root().join("target") || path == root().join("bin") || path == root().join("logs");
        let is_hidden = name == ".git";
        match entry.file_type() {
            _ if is_built || is_hidden => {}
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
