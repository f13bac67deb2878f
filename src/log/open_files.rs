//! How many of the logs' files are open at once: not as many as there are.
//!
//! A broker may hold tens of thousands of segments, each with three files, and the process has only so many
//! descriptors, of which its connections want some too. So a file is opened when it is first wanted and stays open
//! while it is used; beyond the limit the one that was not wanted for longest is closed (second chance, not exact).
//! Closing loses nothing: what was written is in the page cache, and an fsync through a descriptor opened later covers
//! it.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

/// At most so many are kept, whatever the process may have.
const MAX_OPEN: usize = 8192;
/// At least so many, or nothing would work.
const MIN_OPEN: usize = 64;

/// The descriptors are the process's, so this is too: half of what it may have, from 64 to 8,192.
static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let half = allowed.map_or(MAX_OPEN, |allowed| usize::try_from(allowed / 2).unwrap_or(MAX_OPEN));
    Pool::new(half.clamp(MIN_OPEN, MAX_OPEN))
});

/// A file that is open while it is wanted.
pub(super) struct LazyFile(Arc<Slot>);

#[derive(Default)]
struct Slot {
    file: Mutex<Option<Arc<File>>>,
    /// Wanted again since it was opened, or since the pool last looked.
    used: AtomicBool,
}

struct Pool {
    limit: usize,
    /// In the order of opening; some may be closed by now.
    open: Mutex<VecDeque<Weak<Slot>>>,
}

impl LazyFile {
    /// A file that nobody has wanted yet.
    pub fn new() -> LazyFile {
        LazyFile(Arc::default())
    }

    /// The file, opened for reading and writing at `path` if it is not open.
    pub fn get(&self, path: impl FnOnce() -> PathBuf) -> io::Result<Arc<File>> {
        self.get_from(&POOL, path)
    }

    fn get_from(&self, pool: &Pool, path: impl FnOnce() -> PathBuf) -> io::Result<Arc<File>> {
        let file = {
            let mut file = self.0.file.lock();
            if let Some(file) = &*file {
                self.0.used.store(true, Ordering::Relaxed);
                return Ok(Arc::clone(file));
            }
            let opened = Arc::new(OpenOptions::new().read(true).write(true).open(path())?);
            *file = Some(Arc::clone(&opened));
            opened
        };
        // Never with the slot's lock: the pool takes those of others.
        pool.opened(&self.0);
        Ok(file)
    }

    pub fn is_open(&self) -> bool {
        self.0.file.lock().is_some()
    }

    /// Lets go of the file; the next who wants it opens it again.
    pub fn close(&self) {
        *self.0.file.lock() = None;
    }
}

impl Pool {
    fn new(limit: usize) -> Pool {
        Pool { limit, open: Mutex::default() }
    }

    fn opened(&self, slot: &Arc<Slot>) {
        slot.used.store(false, Ordering::Relaxed);
        let mut open = self.open.lock();
        open.push_back(Arc::downgrade(slot));
        while open.len() > self.limit {
            let Some(oldest) = open.pop_front() else { break };
            let Some(slot) = oldest.upgrade() else { continue };
            if slot.used.swap(false, Ordering::Relaxed) {
                open.push_back(oldest);
            } else {
                *slot.file.lock() = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_files_stay_open_and_those_that_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let pool = Pool::new(4);
        let paths: Vec<PathBuf> = (0..20).map(|i| dir.path().join(i.to_string())).collect();
        let files: Vec<LazyFile> = paths.iter().map(|_| LazyFile::new()).collect();
        paths.iter().for_each(|path| drop(File::create(path).unwrap()));
        let open = || files.iter().filter(|file| file.is_open()).count();
        let favourite = LazyFile::new();
        for (path, file) in paths.iter().zip(&files) {
            favourite.get_from(&pool, || paths[0].clone()).unwrap();
            file.get_from(&pool, || path.clone()).unwrap();
            assert!(open() <= 4);
        }
        assert!(favourite.is_open() && open() == 3, "{}", open());
        // What is gone does not count.
        drop(files);
        let files: Vec<LazyFile> = (0..3).map(|_| LazyFile::new()).collect();
        files.iter().for_each(|file| drop(file.get_from(&pool, || paths[0].clone()).unwrap()));
        assert!(files.iter().all(LazyFile::is_open));
        files[0].close();
        assert!(!files[0].is_open());
        assert!(LazyFile::new().get_from(&pool, || dir.path().join("missing")).is_err());
    }
}
