//! Lines as Java's `BufferedReader` over an `InputStreamReader` sees them.
//!
//! A line ends at `\n`, `\r\n` or a lone `\r`; the last one need not end. Bytes that are not UTF-8 become U+FFFD,
//! one for each malformed piece, as long as Java makes the pieces: a surrogate in three bytes is one of them.

use std::borrow::Cow;
use std::io::{self, Read};

/// A pipe's reads bring less; a file's reads of this size cost nothing beside the rest.
const READ_SIZE: usize = 1 << 20;

/// Input cut into lines, of which many are handed out at a time.
pub struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Up to here no line ends: what a long line has already been searched for is not searched again.
    searched: usize,
    /// The last line ended with `\r`: a `\n` that comes next belongs to it.
    skip_newline: bool,
    at_end: bool,
}

impl<R: Read> Lines<R> {
    pub fn new(input: R) -> Lines<R> {
        Lines { input, buffer: vec![0; READ_SIZE], start: 0, end: 0, searched: 0, skip_newline: false, at_end: false }
    }

    /// Reads once. Returns false when the input has ended and every line has been taken.
    ///
    /// # Errors
    /// Those of the input.
    pub fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(self.start < self.end);
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.searched = self.searched.saturating_sub(self.start);
        (self.start, self.end) = (0, self.end - self.start);
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let count = self.input.read(&mut self.buffer[self.end..])?;
        self.end += count;
        self.at_end = count == 0;
        Ok(!self.at_end || self.start < self.end)
    }

    /// Takes up to `most` lines of what was read; none when a line's end has not been read yet.
    pub fn take(&mut self, most: usize) -> Vec<&[u8]> {
        let Lines { buffer, start, end, searched, skip_newline, at_end, .. } = self;
        let mut lines = Vec::new();
        while lines.len() < most && *start < *end {
            if *skip_newline {
                *skip_newline = false;
                if buffer[*start] == b'\n' {
                    *start += 1;
                    continue;
                }
            }
            let rest = &buffer[*start..*end];
            let from = searched.saturating_sub(*start);
            match memchr::memchr2(b'\n', b'\r', &rest[from..]) {
                Some(at) => {
                    let length = from + at;
                    lines.push(&rest[..length]);
                    *skip_newline = rest[length] == b'\r';
                    *start += length + 1;
                }
                None if *at_end => {
                    lines.push(rest);
                    *start = *end;
                }
                None => {
                    *searched = *end;
                    break;
                }
            }
        }
        lines
    }
}

/// The bytes that Java's UTF-8 decoder and encoder leave of a line.
pub fn through_java_utf8(line: &[u8]) -> Cow<'_, [u8]> {
    if std::str::from_utf8(line).is_ok() {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len() + 16);
    let mut rest = line;
    while !rest.is_empty() {
        let valid = match std::str::from_utf8(rest) {
            Ok(_) => rest.len(),
            Err(error) => error.valid_up_to(),
        };
        out.extend_from_slice(&rest[..valid]);
        rest = &rest[valid..];
        if !rest.is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
            rest = &rest[malformed_length(rest)..];
        }
    }
    Cow::Owned(out)
}

/// How many bytes one U+FFFD stands for. Source: `sun.nio.cs.UTF_8.Decoder.malformedN`.
fn malformed_length(bytes: &[u8]) -> usize {
    let is_continuation = |at: usize| bytes.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let second = bytes.get(1).copied().unwrap_or_default();
    match bytes[0] {
        0xe0 if second & 0xe0 == 0x80 => 1,
        0xe0..=0xef if !is_continuation(1) => 1,
        // Three well-formed bytes that are malformed all the same can only be a surrogate.
        0xe0..=0xef => 2 + usize::from(is_continuation(2)),
        0xf0 if second < 0x90 => 1,
        0xf4 if second & 0xf0 != 0x80 => 1,
        0xf0..=0xf4 if !is_continuation(1) => 1,
        0xf0..=0xf4 => 2 + usize::from(is_continuation(2)),
        _ => 1,
    }
}
