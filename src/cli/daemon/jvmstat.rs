//! The file by which `jps` finds a Java process: `/tmp/hsperfdata_USER/PID`.
//!
//! The JDK's tools list these files and read the counter `sun.rt.javaCommand` from each; that is all `jps` needs.
//!
//! ```text
//!  0  u32  magic, big-endian CA FE C0 C0
//!  4  u8   byte order: 1, all that follows is little-endian
//!  5  u8   major version 2      6  u8  minor version 0      7  u8  accessible: 1
//!  8  i32  bytes used          12  i32 overflow
//! 16  i64  last modification, ticks
//! 24  i32  offset of the first entry: 32
//! 28  i32  number of entries
//! 32  entries, each:
//!     +0  i32  length of the entry, a multiple of 8
//!     +4  i32  offset of the name: 20 (ends with a NUL)
//!     +8  i32  length of the vector; 0: a scalar
//!    +12  u8   type: 'B' byte, 'J' long
//!    +13  u8   flags                +14  u8  unit: 1 none, 5 string
//!    +15  u8   variability: 1 constant
//!    +16  i32  offset of the data
//! ```
//!
//! Source: `perfMemory.hpp`, `perfMemory_posix.cpp`, `sun.jvmstat.perfdata.monitor.v2_0.PerfDataBuffer` of OpenJDK.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file of this process. It is locked while it lives: Java machines that start clear away what is not.
#[derive(Debug)]
pub struct JvmstatFile {
    path: PathBuf,
    _locked: File,
}

impl JvmstatFile {
    /// Lists this process as running `java_command`: a main class and its arguments.
    ///
    /// # Errors
    /// Those of the file system; `PermissionDenied` if the directory could be written by somebody else.
    pub fn create(java_command: &str) -> io::Result<JvmstatFile> {
        let dir = Path::new("/tmp").join(format!("hsperfdata_{}", user_name()));
        match DirBuilder::new().mode(0o755).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => check_secure(&dir)?,
        }
        let path = dir.join(std::process::id().to_string());
        // A file of this name is what a dead process with our number left behind.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        file.write_all(&perf_data(java_command))?;
        Ok(JvmstatFile { path, _locked: file })
    }
}

impl Drop for JvmstatFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The directory lies in a place where everybody may write: it must be ours, and no link to elsewhere.
fn check_secure(dir: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(dir)?;
    let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    let is_shared = metadata.mode() & 0o022 != 0;
    if is_ours && !is_shared { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// The name of the effective user, which is part of the directory's name.
fn user_name() -> String {
    let id = rustix::process::geteuid().as_raw().to_string();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2) == Some(&id.as_str())).then(|| fields[0].to_owned())
    });
    name.or_else(|| std::env::var("USER").ok().filter(|name| !name.contains('/'))).unwrap_or(id)
}

/// The whole file: as large as a Java machine makes it.
fn perf_data(java_command: &str) -> Vec<u8> {
    let strings = [
        ("sun.rt.javaCommand", java_command),
        ("java.rt.vmArgs", ""),
        ("java.rt.vmFlags", ""),
        ("java.property.java.vm.name", "Ottla"),
        ("java.property.java.vm.version", env!("CARGO_PKG_VERSION")),
    ];
    let entries: Vec<u8> = strings.iter().flat_map(|(name, value)| string_entry(name, value)).collect();
    let used = PROLOGUE_BYTES + entries.len();
    let mut data = Vec::with_capacity(FILE_BYTES.max(used));
    data.extend([0xca, 0xfe, 0xc0, 0xc0, 1, 2, 0, 1]);
    data.extend(le(used));
    data.extend(le(0));
    data.extend([0; 8]);
    data.extend(le(PROLOGUE_BYTES));
    data.extend(le(strings.len()));
    data.extend(entries);
    data.resize(FILE_BYTES.max(used), 0);
    data
}

fn string_entry(name: &str, value: &str) -> Vec<u8> {
    let data_offset = ENTRY_BYTES + name.len() + 1;
    let vector_length = value.len() + 1;
    let length = (data_offset + vector_length).next_multiple_of(8);
    let mut entry = Vec::with_capacity(length);
    entry.extend(le(length));
    entry.extend(le(ENTRY_BYTES));
    entry.extend(le(vector_length));
    entry.extend([b'B', 0, 5, 1]);
    entry.extend(le(data_offset));
    entry.extend(name.bytes());
    entry.push(0);
    entry.extend(value.bytes());
    entry.resize(length, 0);
    entry
}

fn le(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

const PROLOGUE_BYTES: usize = 32;
const ENTRY_BYTES: usize = 20;
/// What a Java machine maps by default.
const FILE_BYTES: usize = 32768;

#[cfg(test)]
mod tests;
