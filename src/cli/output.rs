//! `--output plain|table|json`, the same on every command that prints facts.
//!
//! - **plain** is Apache's text, byte for byte, and what everything but a terminal gets;
//! - **table** is for people: aligned columns, as wide as the terminal, and what a terminal gets;
//! - **json** is for programs: one document on stdout, whatever happens. It begins with the version of its shape, the
//!   command and the action; what was found follows; a command that fails has `error` in it, and exits as ever. Prose
//!   (warnings, "Created topic x.") goes to stderr. Keys never change their order or meaning within a version; new ones
//!   may come at the end of an object.
//!
//! ```json
//! {"version":1,"command":"kafka-topics","action":"list","topics":[{"topic":"first", …}]}
//! {"version":1,"command":"kafka-topics","error":{"class":"…TimeoutException","message":"…","hints":["…"]}}
//! ```

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::args::Opt;
use super::terminal::Terminal;

/// The flag. A command that prints facts has it in its table.
pub const OPTION: Opt = Opt::value(
    "output",
    "String: plain|table|json",
    "ours",
    "How facts are printed: plain as Apache does, table, or json. A table at a terminal, plain elsewhere.",
);

/// The version of the documents' outer shape.
const VERSION: u32 = 1;

/// How facts are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Plain,
    Table,
    Json,
}

impl Output {
    /// What a command line asks for; read before anything else is, since errors have their shape too.
    ///
    /// # Errors
    /// The value, if it is none of the three.
    pub fn asked_for(args: &[String]) -> Result<Option<Output>, String> {
        let mut words = args.iter();
        while let Some(word) = words.next() {
            let body = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).unwrap_or_default();
            let value = match body.split_once('=') {
                Some(("output", value)) => Some(value),
                _ if body == "output" => words.next().map(String::as_str),
                _ => continue,
            };
            return match value {
                Some("plain") => Ok(Some(Output::Plain)),
                Some("table") => Ok(Some(Output::Table)),
                Some("json") => Ok(Some(Output::Json)),
                Some(other) => Err(other.to_owned()),
                // The parser will say that the value is missing.
                None => Ok(None),
            };
        }
        Ok(None)
    }
}

/// What a command has to tell in json, in the order in which it was found.
#[derive(Debug, Default)]
pub struct Document {
    facts: Map<String, Value>,
    error: Option<Value>,
}

impl Document {
    /// Adds a fact.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// The command has failed; the first failure is kept. `class` is Java's, where there is one.
    pub fn fail(&mut self, class: Option<&str>, message: &str, hints: &[String]) {
        self.error.get_or_insert_with(|| json!({ "class": class, "message": message, "hints": hints }));
    }

    /// Writes it as one line.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(self, command: &str, out: &mut dyn Write) -> io::Result<()> {
        let mut document = Map::new();
        document.insert("version".to_owned(), VERSION.into());
        document.insert("command".to_owned(), command.into());
        document.extend(self.facts);
        if let Some(error) = self.error {
            document.insert("error".to_owned(), error);
        }
        writeln!(out, "{}", Value::Object(document))
    }
}

/// One cell of a table; a bad one is red where there are colours.
#[derive(Debug, Clone)]
pub struct Field {
    pub text: String,
    pub is_bad: bool,
}

impl<T: ToString> From<T> for Field {
    fn from(value: T) -> Field {
        Field { text: value.to_string(), is_bad: false }
    }
}

/// Writes rows under a header, in columns two blanks apart; what is wider than the terminal is wrapped in its column.
///
/// # Errors
/// Those of writing.
pub fn write_table(
    out: &mut dyn Write,
    terminal: &Terminal,
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<Field>>,
) -> io::Result<()> {
    let rows: Vec<Vec<Field>> = rows.into_iter().collect();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|field| field.text.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths = fit((0..header.len()).map(widest).collect(), terminal.width.into());
    let header: Vec<Field> = header.iter().map(Field::from).collect();
    write_row(out, &header, &widths, |_| if terminal.colours { BOLD } else { "" })?;
    for row in &rows {
        write_row(out, row, &widths, |field| if field.is_bad && terminal.colours { RED } else { "" })?;
    }
    Ok(())
}

const BOLD: &str = "\u{1b}[1m";
const RED: &str = "\u{1b}[31m";
const RESET: &str = "\u{1b}[0m";
const GAP: usize = 2;
/// No column is made narrower, however narrow the terminal.
const LEAST_WIDTH: usize = 8;

/// Takes from the widest column until all of them fit.
fn fit(mut widths: Vec<usize>, terminal: usize) -> Vec<usize> {
    let room = terminal.saturating_sub(GAP * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > LEAST_WIDTH => *widest -= 1,
            _ => break,
        }
    }
    widths
}

fn write_row(
    out: &mut dyn Write,
    row: &[Field],
    widths: &[usize],
    style: impl Fn(&Field) -> &'static str,
) -> io::Result<()> {
    let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(field, width)| wrap(&field.text, *width)).collect();
    for line in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
        let mut pending = 0;
        for ((cell, field), width) in cells.iter().zip(row).zip(widths) {
            let text = cell.get(line).map_or("", String::as_str);
            if !text.is_empty() {
                // Blanks come before what follows them, so that none are left at the end of a line.
                let (style, reset) = (style(field), if style(field).is_empty() { "" } else { RESET });
                write!(out, "{:pending$}{style}{text}{reset}", "")?;
                pending = 0;
            }
            pending += width - text.chars().count() + GAP;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Cuts a text into pieces of at most `width` characters, after a blank or comma where there is one.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut rest: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    while rest.len() > width {
        // A blank that just does not fit is as good as one that does.
        let blank = rest[..=width].iter().rposition(|c| *c == ' ').map(|at| at + 1);
        let at = blank.or(rest[..width].iter().rposition(|c| *c == ',').map(|at| at + 1)).unwrap_or(width);
        pieces.push(rest.drain(..at).collect::<String>().trim_end().to_owned());
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

#[cfg(test)]
mod tests;
