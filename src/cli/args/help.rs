//! The two columns in which joptsimple prints a command's options.
//!
//! 80 characters: an option column of at most 39, two blanks, the description. Both wrap at word ends, with
//! continuation lines indented by two; every line is padded with blanks to the full width of its column.

use std::io::{self, Write};

use super::{Opt, OptionTable, Takes};

const WIDTH: usize = 80;
const GAP: usize = 2;
const INDENT: usize = 2;

impl OptionTable {
    /// Prints the table of options, without the line that says what the command is for.
    pub fn write_options(&self, out: &mut dyn Write) -> io::Result<()> {
        let any_required = self.options.iter().any(|option| option.required);
        let heading = if any_required { "Option (* = required)" } else { "Option" };
        let mut rows = vec![
            (heading.to_owned(), "Description".to_owned()),
            ("-".repeat(heading.len()), "-".repeat("Description".len())),
        ];
        let mut options: Vec<&Opt> = self.options.iter().collect();
        options.sort_by_key(|option| option.name);
        rows.extend(options.into_iter().map(|option| (left(option), right(option))));

        let widest = |column: fn(&(String, String)) -> &String| rows.iter().map(|row| column(row).len()).max();
        let left_width = widest(|row| &row.0).unwrap_or(0).min((WIDTH - GAP) / 2);
        let right_width = widest(|row| &row.1).unwrap_or(0).min(WIDTH - GAP - left_width);
        for (option, description) in &rows {
            let option = wrap(option, left_width);
            let description = wrap(description, right_width);
            for line in 0..option.len().max(description.len()) {
                let piece = |column: &[String]| column.get(line).cloned().unwrap_or_default();
                let (l, r) = (piece(&option), piece(&description));
                writeln!(out, "{l:left_width$}{:GAP$}{r:right_width$}", "")?;
            }
        }
        Ok(())
    }
}

fn left(option: &Opt) -> String {
    let star = if option.required { "* " } else { "" };
    let name = option.name;
    match option.takes {
        Takes::Nothing => format!("{star}--{name}"),
        Takes::Value(value) => format!("{star}--{name} <{value}>"),
        Takes::OptionalValue(value) => format!("{star}--{name} [{value}]"),
    }
}

fn right(option: &Opt) -> String {
    match option.default {
        Some(default) => format!("{} (default: {default})", option.help),
        None => option.help.to_owned(),
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    text.trim().lines().flat_map(|line| wrap_line(line, width)).collect()
}

fn wrap_line(line: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for word in words(line) {
        if piece.len() + word.len() > width {
            pieces.push(piece.trim_end().to_owned());
            piece = " ".repeat(INDENT);
        }
        piece.push_str(word);
    }
    pieces.push(piece.trim_end().to_owned());
    pieces
}

/// Cuts where a line may break: after blanks, and after the characters at which Java's line breaker also breaks.
fn words(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let may_break = |i: usize| match bytes[i] {
            b' ' => bytes.get(i + 1) != Some(&b' '),
            b'-' => i > 0 && bytes[i - 1] != b'-' && bytes.get(i + 1).is_some_and(u8::is_ascii_alphabetic),
            b'.' | b',' | b':' => bytes.get(i + 1).is_some_and(u8::is_ascii_alphabetic),
            _ => false,
        };
        let end = (0..bytes.len()).find(|&i| may_break(i)).map_or(rest.len(), |i| i + 1);
        let (word, tail) = rest.split_at(end);
        rest = tail;
        Some(word)
    })
}
