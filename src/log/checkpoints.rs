//! Checkpoint files: a version, a count, then one line an entry; and the manner in which all of a log dir's small
//! files are replaced: written beside, synced, renamed.
//!
//! ```text
//! 0
//! 2
//! first 0 115
//! first 1 98
//! ```
//!
//! Source: `CheckpointFile`, `OffsetCheckpointFile`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use crate::wire::TopicPartition;

/// Below these offsets everything has been synced.
pub const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// Where the high watermarks stood.
pub const HIGH_WATERMARKS: &str = "replication-offset-checkpoint";
/// Log start offsets that lie above their first segment's base.
pub const LOG_START_OFFSETS: &str = "log-start-offset-checkpoint";

/// Where the cleaner stopped in compacted logs.
pub const CLEANER_OFFSETS: &str = "cleaner-offset-checkpoint";

/// The text of a checkpoint with these lines.
pub(super) fn encode(lines: impl Iterator<Item = String>) -> String {
    let lines: Vec<String> = lines.collect();
    let mut text = format!("0\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// The lines of a checkpoint.
pub(super) fn decode(text: &str) -> Result<Vec<&str>, String> {
    let mut lines = text.lines();
    match lines.next() {
        Some("0") => {}
        Some(version) => return Err(format!("unrecognized version of the checkpoint file: {version}")),
        None => return Err("checkpoint file is empty".into()),
    }
    let count = lines.next().unwrap_or_default();
    let count: usize = count.trim().parse().map_err(|_| format!("malformed count in checkpoint file: {count}"))?;
    let lines: Vec<&str> = lines.collect();
    if lines.len() != count {
        return Err(format!("expected {count} entries in checkpoint file, but found only {}", lines.len()));
    }
    Ok(lines)
}

/// Reads an offset checkpoint of a log dir; a missing file has no entries.
///
/// # Errors
/// The file cannot be read, or `InvalidData` if it is not a checkpoint.
pub fn read_offsets(dir: &Path, name: &str) -> io::Result<BTreeMap<TopicPartition, i64>> {
    let text = match fs::read_to_string(dir.join(name)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, format!("{name}: {reason}"));
    let mut offsets = BTreeMap::new();
    for line in decode(&text).map_err(invalid)? {
        let mut fields = line.split(' ');
        let entry = (|| {
            let topic = fields.next()?;
            Some((TopicPartition::new(topic, fields.next()?.parse().ok()?), fields.next()?.parse().ok()?))
        })();
        let (partition, offset) = entry.ok_or_else(|| invalid(format!("malformed line in checkpoint file: {line}")))?;
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

/// Replaces an offset checkpoint of a log dir.
///
/// # Errors
/// The disk's; the old file stands then.
pub fn write_offsets(dir: &Path, name: &str, offsets: &BTreeMap<TopicPartition, i64>) -> io::Result<()> {
    let lines = offsets.iter().map(|(tp, offset)| format!("{} {} {offset}", tp.topic, tp.partition));
    replace(dir, name, encode(lines).as_bytes(), true)
}

/// Replaces the file `name` in `dir`: written to `name.tmp`, synced if asked, renamed.
pub(super) fn replace(dir: &Path, name: &str, content: &[u8], sync: bool) -> io::Result<()> {
    let temporary = dir.join(format!("{name}.tmp"));
    let mut file = File::create(&temporary)?;
    file.write_all(content)?;
    if sync {
        file.sync_all()?;
    }
    fs::rename(&temporary, dir.join(name))?;
    if sync { sync_dir(dir) } else { Ok(()) }
}

/// Makes names in `dir` durable: what was created, renamed or removed.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
