//! SIGINT, SIGTERM and SIGHUP end the consumer in order: it prints its count, commits, leaves, and exits with the
//! code that a JVM would have.

use std::io;
use std::mem;
use std::process::ExitCode;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread;

/// The signals, held back from every thread but the one that waits for them.
pub struct Signals {
    set: libc::sigset_t,
}

/// The first signal that came; 0 before that.
#[derive(Clone, Default)]
pub struct Received(Arc<AtomicI32>);

impl Received {
    /// The signal's number.
    pub fn signal(&self) -> Option<i32> {
        Some(self.0.load(Ordering::SeqCst)).filter(|signal| *signal != 0)
    }

    /// The exit code of a process that a signal ended: 128 and the signal's number.
    pub fn exit_code(&self) -> Option<ExitCode> {
        self.signal().map(|signal| ExitCode::from(128u8.wrapping_add(signal as u8)))
    }
}

impl Signals {
    /// Holds the signals back, but for those that whoever started us wants to be ignored (`nohup`, a job in the
    /// background of a script): a JVM leaves these alone too. To be called before any thread is started, for threads
    /// inherit it.
    ///
    /// # Errors
    /// The system refused.
    pub fn hold_back() -> io::Result<Signals> {
        // SAFETY: the set is initialised by sigemptyset before anything reads it; `action` is plain data.
        unsafe {
            let mut set = mem::zeroed();
            libc::sigemptyset(&mut set);
            for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
                let mut action: libc::sigaction = mem::zeroed();
                let known = libc::sigaction(signal, ptr::null(), &mut action) == 0;
                if !(known && action.sa_sigaction == libc::SIG_IGN) {
                    libc::sigaddset(&mut set, signal);
                }
            }
            match libc::pthread_sigmask(libc::SIG_BLOCK, &set, ptr::null_mut()) {
                0 => Ok(Signals { set }),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    }

    /// Calls `stop` when the first signal comes. A second one ends the process at once: the reader of our output may
    /// have stopped reading, and then nothing else would.
    pub fn on_first(self, stop: impl FnOnce() + Send + 'static) -> Received {
        let received = Received::default();
        let shared = received.clone();
        thread::spawn(move || {
            let first = self.wait();
            shared.0.store(first, Ordering::SeqCst);
            stop();
            let second = self.wait();
            // SAFETY: ends the process without running anything.
            unsafe { libc::_exit(128 + second) }
        });
        received
    }

    fn wait(&self) -> i32 {
        loop {
            let mut signal = 0;
            // SAFETY: both pointers are valid, and the set was initialised.
            if unsafe { libc::sigwait(&self.set, &mut signal) } == 0 {
                return signal;
            }
        }
    }
}
