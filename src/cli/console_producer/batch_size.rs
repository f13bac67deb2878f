//! How large batches may be, found out where the input is long enough for that to matter.
//!
//! A million short lines in batches of 512 KiB take a thirtieth of the requests of Apache's 16 KiB, which is what the
//! wall time of a full pipe hangs on. But librdkafka does not split a batch that the topic refuses
//! (`max.message.bytes`), as Java's producer does: so the topic is asked first, over a connection of its own. That
//! costs two round trips, which a file or pipe of some size does not notice and a single line would.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use crate::client::admin::{Admin, ConfigResource};
use crate::client::properties::ClientSettings;
use crate::config::Properties;
use crate::wire::ErrorCode;

/// Larger ones gain nothing: measured 256 KiB, 512 KiB and 1 MB on Apache Kafka 3.9.1, all alike.
const MOST: i64 = 512 << 10;
/// Less input than this fits into a batch of the default size.
const WORTH_ASKING: i64 = 16 << 10;
/// A topic that is about to be created by being written to has the broker's defaults, 1 MiB unless somebody lowered it.
const OF_A_NEW_TOPIC: i64 = 128 << 10;
/// For the answer; a broker that takes longer has other troubles, and is waited for elsewhere.
const PATIENCE: Duration = Duration::from_secs(1);

/// The `batch.size` to take in place of the default; `None`: the default will do, or nobody could say.
pub fn fitting(client: &ClientSettings, topic: &str) -> Option<i64> {
    if input_bytes(io::stdin()).is_some_and(|bytes| bytes <= WORTH_ASKING) {
        return None;
    }
    Some(ask(client, topic)?.min(MOST))
}

/// How much there is to read; `None`: nobody knows yet.
pub fn input_bytes(input: impl AsFd) -> Option<i64> {
    let fd = input.as_fd();
    let stat = rustix::fs::fstat(fd).ok()?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::RegularFile => {
            let offset = rustix::fs::tell(fd).map_or(0, |offset| offset as i64);
            Some(stat.st_size - offset)
        }
        // A person types; what else is a device is seldom long.
        rustix::fs::FileType::CharacterDevice => Some(0),
        _ if is_ended(fd.as_raw_fd()) => rustix::io::ioctl_fionread(fd).ok().map(|bytes| bytes as i64),
        _ => None,
    }
}

/// Whether a pipe's other end is closed: then all there will be is there.
fn is_ended(fd: i32) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one entry.
    unsafe { libc::poll(&mut entry, 1, 0) == 1 && entry.revents & libc::POLLHUP != 0 }
}

/// The topic's `max.message.bytes`.
fn ask(client: &ClientSettings, topic: &str) -> Option<i64> {
    let mut properties = Properties::new();
    client.iter().for_each(|(key, value)| properties.set(key, value));
    let patience = PATIENCE.as_millis().to_string();
    for key in ["default.api.timeout.ms", "request.timeout.ms", "socket.connection.setup.timeout.ms"] {
        properties.set(key, patience.as_str());
    }
    let admin = Admin::new(&properties, None).ok()?;
    let (_, entries) = admin.describe_configs(&[ConfigResource::topic(topic)], false).ok()?.pop()?;
    match entries {
        Ok(entries) => entries.into_iter().find(|entry| entry.name == "max.message.bytes")?.value?.parse().ok(),
        Err(error) if error.code() == Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Some(OF_A_NEW_TOPIC),
        Err(_) => None,
    }
}
