//! SIGINT and SIGTERM for a command that has something to finish: the first wakes whoever waits for input, the
//! second ends the process as if nobody had caught it.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// The write end of the pipe, for the handler; -1 until `Signals::catch`.
static WAKE: AtomicI32 = AtomicI32::new(-1);
static CAUGHT: AtomicI32 = AtomicI32::new(0);

/// Both signals caught, from `catch` on.
pub struct Signals {
    woken: io::PipeReader,
}

impl Signals {
    /// Catches both signals, once each.
    pub fn catch() -> io::Result<Signals> {
        let (woken, wake) = io::pipe()?;
        WAKE.store(wake.as_raw_fd(), Ordering::Release);
        std::mem::forget(wake); // the handler's, as long as the process lives
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // SAFETY: the action is initialised in full; the handler only stores a number and writes one byte, both
            // of which a signal handler may do.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = on_signal as extern "C" fn(libc::c_int) as usize;
                action.sa_flags = libc::SA_RESETHAND;
                libc::sigemptyset(&mut action.sa_mask);
                if libc::sigaction(signal, &action, std::ptr::null_mut()) != 0 {
                    return Err(io::Error::last_os_error());
                }
            }
        }
        Ok(Signals { woken })
    }

    /// The signal that came, if one did.
    pub fn caught(&self) -> Option<i32> {
        Some(CAUGHT.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }

    /// A key said what a signal would have.
    pub fn note(&self, signal: i32) {
        CAUGHT.store(signal, Ordering::Release);
    }

    /// The exit code of a process that such a signal ended: 130 or 143.
    pub fn exit_code(signal: i32) -> u8 {
        u8::try_from(128 + signal).unwrap_or(1)
    }

    fn wait_for_input(&self, input: BorrowedFd) -> io::Result<()> {
        let entry = |fd: BorrowedFd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let mut entries = [entry(self.woken.as_fd()), entry(input)];
        loop {
            // SAFETY: the pointer is to two entries.
            let ready = unsafe { libc::poll(entries.as_mut_ptr(), 2, -1) };
            match ready {
                _ if self.caught().is_some() => return Err(io::ErrorKind::Interrupted.into()),
                -1 if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted => {
                    return Err(io::Error::last_os_error());
                }
                -1 => continue,
                _ => return Ok(()),
            }
        }
    }
}

/// Standard input, unbuffered. A read fails with `Interrupted` once a signal has been caught.
pub struct Stdin<'a> {
    signals: &'a Signals,
    input: io::Stdin,
}

impl<'a> Stdin<'a> {
    pub fn new(signals: &'a Signals) -> Stdin<'a> {
        Stdin { signals, input: io::stdin() }
    }
}

impl Read for Stdin<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.signals.wait_for_input(self.input.as_fd())?;
        Ok(rustix::io::read(&self.input, buffer)?)
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    CAUGHT.store(signal, Ordering::Release);
    // SAFETY: write(2) may be called in a handler; the pointer is to one byte.
    unsafe { libc::write(WAKE.load(Ordering::Acquire), c"!".as_ptr().cast(), 1) };
}
