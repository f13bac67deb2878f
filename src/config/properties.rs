//! `.properties` files in Java's syntax, with the line on which each key stood.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::error::{Error, Location};

/// The entries of a `.properties` file, in order. A key that is written twice has its last value.
///
/// Values keep trailing blanks, as the format has it; whoever gives a key its type trims them.
#[derive(Debug, Clone, Default)]
pub struct Properties {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
    file: Option<PathBuf>,
}

#[derive(Debug, Clone)]
struct Entry {
    key: String,
    value: String,
    location: Option<Location>,
}

impl Properties {
    /// No entries, from no file.
    pub fn new() -> Properties {
        Properties::default()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// `Read` if the file cannot be read, `Syntax` for a malformed `\u` escape.
    pub fn read(file: impl AsRef<Path>) -> Result<Properties, Error> {
        let file = file.as_ref();
        let bytes = std::fs::read(file).map_err(|source| Error::Read { file: file.to_owned(), source })?;
        Properties::parse(&bytes, Some(file))
    }

    /// Reads a file's contents. Bytes are ISO-8859-1, unless they are valid UTF-8 with something in it that
    /// ASCII does not have: people write that, and Java would garble it.
    ///
    /// # Errors
    /// `Syntax` for a malformed `\u` escape.
    pub fn parse(bytes: &[u8], file: Option<&Path>) -> Result<Properties, Error> {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
        };
        let mut properties = Properties { file: file.map(Path::to_owned), ..Properties::default() };
        for (line, logical) in logical_lines(&text) {
            let syntax = |reason: &str| Error::Syntax {
                file: file.unwrap_or(Path::new("")).to_owned(),
                line,
                reason: reason.to_owned(),
            };
            let (key, value) = split(&logical);
            let key = unescape(key).map_err(syntax)?;
            let value = unescape(value).map_err(syntax)?;
            let location = file.map(|file| Location::File { file: file.to_owned(), line });
            properties.insert(key, value, location);
        }
        Ok(properties)
    }

    /// The value of `key`, with its trailing blanks.
    pub fn get(&self, key: &str) -> Option<&str> {
        Some(self.entries[*self.index.get(key)?].value.as_str())
    }

    /// Whether `key` is there.
    pub fn contains(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    /// Sets a value that comes from no file.
    pub fn set(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.insert(key.into(), value.into(), None);
    }

    /// Sets a value that comes from the command line.
    pub fn set_override(&mut self, key: impl Into<String>, value: impl Into<String>) {
        self.insert(key.into(), value.into(), Some(Location::Override));
    }

    /// Takes a key out and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.index.remove(key)?;
        let entry = self.entries.remove(at);
        for position in self.index.values_mut().filter(|position| **position > at) {
            *position -= 1;
        }
        Some(entry.value)
    }

    /// Keys and values, in the order in which the keys first stood.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str()))
    }

    /// Where the value of `key` was written, if that is known.
    pub fn location(&self, key: &str) -> Option<Location> {
        self.entries[*self.index.get(key)?].location.clone()
    }

    /// The file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, key: String, value: String, location: Option<Location>) {
        match self.index.get(&key) {
            Some(&at) => self.entries[at] = Entry { key, value, location },
            None => {
                self.index.insert(key.clone(), self.entries.len());
                self.entries.push(Entry { key, value, location });
            }
        }
    }
}

/// Joins continued lines, drops comments and empty lines. The number is that of the first natural line.
fn logical_lines(text: &str) -> Vec<(u32, String)> {
    let mut lines = Vec::new();
    let mut pending: Option<(u32, String)> = None;
    for (at, natural) in natural_lines(text).into_iter().enumerate() {
        let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
        let stripped = natural.trim_start_matches([' ', '\t', '\u{c}']);
        let is_comment = stripped.starts_with(['#', '!']);
        if pending.is_none() && (stripped.is_empty() || is_comment) {
            continue;
        }
        let (first, mut logical) = pending.take().unwrap_or((number, String::new()));
        let backslashes = stripped.len() - stripped.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            logical.push_str(&stripped[..stripped.len() - 1]);
            pending = Some((first, logical));
        } else {
            logical.push_str(stripped);
            lines.push((first, logical));
        }
    }
    lines.extend(pending);
    lines
}

/// Lines ended by LF, CR or CRLF.
fn natural_lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    for part in text.split('\n') {
        lines.extend(part.strip_suffix('\r').unwrap_or(part).split('\r'));
    }
    lines
}

/// Cuts a logical line at the first unescaped `=`, `:` or blank, and drops the separator.
fn split(line: &str) -> (&str, &str) {
    let blank = [' ', '\t', '\u{c}'];
    let mut escaped = false;
    let end = line
        .char_indices()
        .find(|&(_, c)| {
            let separates = !escaped && (c == '=' || c == ':' || blank.contains(&c));
            escaped = c == '\\' && !escaped;
            separates
        })
        .map_or(line.len(), |(at, _)| at);
    let rest = line[end..].trim_start_matches(blank);
    let rest = rest.strip_prefix(['=', ':']).map_or(rest, |rest| rest.trim_start_matches(blank));
    (&line[..end], rest)
}

fn unescape(text: &str) -> Result<String, &'static str> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    // Java's characters are UTF-16 units: two escapes may make one character.
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let c = match c {
            '\\' => match chars.next() {
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    let is_hex = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                    let unit = u16::from_str_radix(&digits, 16).ok().filter(|_| is_hex);
                    units.push(unit.ok_or("Malformed \\uxxxx encoding.")?);
                    continue;
                }
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => continue,
            },
            c => c,
        };
        units.extend(c.encode_utf16(&mut [0; 2]).iter());
    }
    Ok(String::from_utf16_lossy(&units))
}
