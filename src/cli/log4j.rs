//! Log lines on stderr in the layout of Apache's tools: `[2025-11-23 00:12:01,123] WARN message (logger)`.

use std::fmt;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes one WARN line. A stderr that is gone is not an error.
pub fn warn(message: impl fmt::Display, logger: &str) {
    line("WARN", message, logger);
}

/// Writes one ERROR line. A stderr that is gone is not an error.
pub fn error(message: impl fmt::Display, logger: &str) {
    line("ERROR", message, logger);
}

fn line(level: &str, message: impl fmt::Display, logger: &str) {
    let text = format!("[{}] {level} {message} ({logger})\n", timestamp(SystemTime::now()));
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// Local time, as log4j's ISO8601 has it: `2025-11-23 00:12:01,123`.
pub fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() as libc::time_t;
    // SAFETY: both pointers are to live values of the right type; localtime_r writes the second and keeps neither.
    let tm = unsafe {
        let mut tm: libc::tm = std::mem::zeroed();
        libc::localtime_r(&seconds, &mut tm);
        tm
    };
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{:03}",
        tm.tm_year + 1900,
        tm.tm_mon + 1,
        tm.tm_mday,
        tm.tm_hour,
        tm.tm_min,
        tm.tm_sec,
        since.subsec_millis()
    )
}
