//! Command lines as joptsimple, the option parser of Apache Kafka's tools, reads them.
//!
//! What is peculiar to it, and kept:
//! - one dash is as good as two (`-list`), and `--option=value` works; `--option=` takes the next word instead;
//! - an option that needs a value takes the next word, even one that begins with `--`;
//! - an option with an optional value takes the next word unless that begins with `-`;
//! - `--flag=value` is the flag; a flag or an option may be repeated, and only reading the one value of an option
//!   that was given twice is an error;
//! - words that belong to no option are ignored, and so is everything after `--`;
//! - a value is converted to a number when it is read, not before;
//! - abbreviations were taken up to Apache Kafka 0.10.2 and are refused since.
//!
//! A command declares its options as data and asks for the values afterwards:
//!
//! ```ignore
//! const TABLE: OptionTable = OptionTable {
//!     purpose: "This tool helps to create, delete, describe, or change a topic.",
//!     options: &[
//!         Opt::flag("list", "0.8", "List all topics."),
//!         Opt::value("topic", "String: topic", "0.8", "The topic to work on."),
//!         Opt::value("partitions", "Integer: # of partitions", "0.8", "How many partitions.").default("1"),
//!     ],
//! };
//! let matches = TABLE.parse(args, Abbreviations::Refused)?;
//! let topic: Option<String> = matches.value("topic")?;
//! let partitions: Option<i32> = matches.number("partitions")?;   // Some(1) when it was not given
//! ```
//!
//! Source: jopt-simple 5.0.4 `OptionParser`, `BuiltinHelpFormatter`; `CommandLineUtils` of 3.9.

mod help;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

/// One option of a command: all that parsing, help, man pages and completions need to know.
#[derive(Debug, Clone, Copy)]
pub struct Opt {
    /// Without dashes.
    pub name: &'static str,
    pub takes: Takes,
    /// What a read gives when the option is absent; shown in the help.
    pub default: Option<&'static str>,
    /// First Apache release that had it.
    pub since: &'static str,
    /// Last Apache release that had it; `None` while the newest does.
    pub until: Option<&'static str>,
    pub help: &'static str,
    /// Help lists it as required (`* --topic`).
    pub required: bool,
}

/// What follows an option. The text is Apache's `Type: description`, shown between the brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    Value(&'static str),
    OptionalValue(&'static str),
}

impl Opt {
    /// An option without a value.
    pub const fn flag(name: &'static str, since: &'static str, help: &'static str) -> Opt {
        Opt { name, takes: Takes::Nothing, default: None, since, until: None, help, required: false }
    }

    /// An option with a value; `value` is `Type: description`, e.g. `Integer: size`.
    pub const fn value(name: &'static str, value: &'static str, since: &'static str, help: &'static str) -> Opt {
        Opt { name, takes: Takes::Value(value), default: None, since, until: None, help, required: false }
    }

    /// An option whose value may be left out.
    pub const fn optional(name: &'static str, value: &'static str, since: &'static str, help: &'static str) -> Opt {
        Opt { name, takes: Takes::OptionalValue(value), default: None, since, until: None, help, required: false }
    }

    pub const fn default(self, default: &'static str) -> Opt {
        Opt { default: Some(default), ..self }
    }

    /// Marks an option that Apache has removed, with the last release that had it.
    pub const fn until(self, release: &'static str) -> Opt {
        Opt { until: Some(release), ..self }
    }

    pub const fn required(self) -> Opt {
        Opt { required: true, ..self }
    }

    /// Whether Apache's parser accepted prefixes when this option existed.
    fn is_abbreviable(&self) -> bool {
        ["0.8", "0.9", "0.10"].iter().any(|old| self.since == *old || self.since.starts_with(&format!("{old}.")))
    }
}

/// A command's options.
#[derive(Debug, Clone, Copy)]
pub struct OptionTable {
    /// The line above the help.
    pub purpose: &'static str,
    /// In any order; help sorts them.
    pub options: &'static [Opt],
}

/// Whether unambiguous prefixes of options are taken for the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abbreviations {
    /// Apache Kafka 0.11 and later.
    Refused,
    /// Up to 0.10.2: prefixes of the options of those releases.
    Taken,
}

impl OptionTable {
    /// Reads a command line, `args` being without the program's name.
    ///
    /// # Errors
    /// An unknown option, or one whose value is missing. Values are not looked at.
    pub fn parse(&'static self, args: &[String], abbreviations: Abbreviations) -> Result<Matches, ArgsError> {
        let mut matches = Matches { table: self, given: HashMap::new(), leftovers: Vec::new(), empty: args.is_empty() };
        let mut words = args.iter().map(String::as_str).peekable();
        while let Some(word) = words.next() {
            let body = match word {
                "--" => break,
                "-" => {
                    matches.leftovers.push(word.to_owned());
                    continue;
                }
                _ => match word.strip_prefix("--").or_else(|| word.strip_prefix('-')) {
                    Some(body) => body,
                    None => {
                        matches.leftovers.push(word.to_owned());
                        continue;
                    }
                },
            };
            let (name, inline) = match body.split_once('=') {
                Some((name, value)) => (name, Some(value).filter(|value| !value.is_empty())),
                None => (body, None),
            };
            let Some(option) = self.find(name, abbreviations) else {
                return Err(ArgsError::Unrecognized(unrecognized(word, name)));
            };
            let value = match option.takes {
                Takes::Nothing => None,
                Takes::Value(_) => match inline.or_else(|| words.next()) {
                    Some(value) => Some(value),
                    None => return Err(ArgsError::RequiresArgument(option.name)),
                },
                Takes::OptionalValue(_) => inline.or_else(|| words.next_if(|next| !looks_like_an_option(next))),
            };
            matches.given.entry(option.name).or_default().extend(value.map(str::to_owned));
        }
        matches.leftovers.extend(words.map(str::to_owned));
        Ok(matches)
    }

    /// The first word that looks like an option and is none, without its dashes.
    pub fn unknown<'a>(&self, args: &'a [String]) -> Option<&'a str> {
        let mut words = args.iter().map(String::as_str);
        while let Some(word) = words.next().filter(|word| *word != "--") {
            let Some(body) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|b| !b.is_empty())
            else {
                continue;
            };
            let (name, inline) = body.split_once('=').map_or((body, ""), |(name, value)| (name, value));
            match self.find(name, Abbreviations::Refused) {
                None => return Some(name),
                Some(option) if matches!(option.takes, Takes::Value(_)) && inline.is_empty() => drop(words.next()),
                Some(_) => {}
            }
        }
        None
    }

    fn find(&self, name: &str, abbreviations: Abbreviations) -> Option<&'static Opt> {
        let exact = self.options.iter().find(|option| option.name == name);
        if exact.is_some() || abbreviations == Abbreviations::Refused || name.is_empty() {
            return exact;
        }
        let mut candidates = self.options.iter().filter(|o| o.is_abbreviable() && o.name.starts_with(name));
        match (candidates.next(), candidates.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }
}

/// What a command line said.
#[derive(Debug)]
pub struct Matches {
    table: &'static OptionTable,
    given: HashMap<&'static str, Vec<String>>,
    leftovers: Vec<String>,
    empty: bool,
}

impl Matches {
    /// Whether there was no argument at all.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Gives an option a value as if it had been typed.
    pub fn supply(&mut self, name: &str, value: String) {
        let name = self.option(name).name;
        self.given.insert(name, vec![value]);
    }

    /// The words that belong to no option; nearly all tools ignore them.
    pub fn leftovers(&self) -> &[String] {
        &self.leftovers
    }

    /// Whether the command has such an option.
    pub fn knows(&self, name: &str) -> bool {
        self.table.options.iter().any(|option| option.name == name)
    }

    /// Whether the option was given, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.option(name);
        self.given.contains_key(name)
    }

    /// The option's value, else its default.
    ///
    /// # Errors
    /// `Multiple` when it was given more than once.
    pub fn value(&self, name: &str) -> Result<Option<String>, ArgsError> {
        let option = self.option(name);
        match self.given.get(name).map(Vec::as_slice).unwrap_or_default() {
            [] => Ok(option.default.map(str::to_owned)),
            [one] => Ok(Some(one.clone())),
            _ => Err(ArgsError::Multiple(option.name)),
        }
    }

    /// All values in the order given; empty when there is none (a default is not counted).
    pub fn values(&self, name: &str) -> &[String] {
        self.option(name);
        self.given.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    /// The option's value as a number (`i32` for Java's Integer, `i64` for Long, `f64` for Double), else its default.
    ///
    /// # Errors
    /// `CannotParse` when it is not one, `Multiple` when it was given more than once.
    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, ArgsError> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(ArgsError::CannotParse { value, option: self.option(name).name }),
        }
    }

    /// Fails with `Missing required argument "[x]"` for the first of `names` that was not given.
    pub fn require(&self, names: &[&'static str]) -> Result<(), ArgsError> {
        match names.iter().find(|name| !self.has(name)) {
            Some(name) => Err(ArgsError::Missing(name)),
            None => Ok(()),
        }
    }

    /// Fails with `Option "[used]" can't be used with option "[x]"` when both `used` and one of `others` were given.
    pub fn forbid(&self, used: &'static str, others: &[&'static str]) -> Result<(), ArgsError> {
        match others.iter().find(|other| self.has(used) && self.has(other)) {
            Some(other) => Err(ArgsError::Conflict { used, other }),
            None => Ok(()),
        }
    }

    fn option(&self, name: &str) -> &'static Opt {
        self.table
            .options
            .iter()
            .find(|option| option.name == name)
            .unwrap_or_else(|| panic!("the command asks for an option it never declared: {name}"))
    }
}

/// What is wrong with a command line. The texts are Apache's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgsError {
    Unrecognized(String),
    RequiresArgument(&'static str),
    CannotParse { value: String, option: &'static str },
    Multiple(&'static str),
    Missing(&'static str),
    Conflict { used: &'static str, other: &'static str },
}

impl ArgsError {
    /// The Java class that Apache's tools show in a stack trace; `None` for the two checks that Kafka makes itself.
    pub fn exception(&self) -> Option<&'static str> {
        match self {
            ArgsError::Unrecognized(_) => Some("joptsimple.UnrecognizedOptionException"),
            ArgsError::RequiresArgument(_) => Some("joptsimple.OptionMissingRequiredArgumentException"),
            ArgsError::CannotParse { .. } => Some("joptsimple.OptionArgumentConversionException"),
            ArgsError::Multiple(_) => Some("joptsimple.MultipleArgumentsForOptionException"),
            ArgsError::Missing(_) | ArgsError::Conflict { .. } => None,
        }
    }

    /// Whether Apache's tools print the option table after the message: parse errors and Kafka's own checks, but
    /// not what shows only when a value is read.
    pub fn shows_usage(&self) -> bool {
        !matches!(self, ArgsError::CannotParse { .. } | ArgsError::Multiple(_))
    }
}

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArgsError::Unrecognized(name) => write!(f, "{name} is not a recognized option"),
            ArgsError::RequiresArgument(name) => write!(f, "Option {name} requires an argument"),
            ArgsError::CannotParse { value, option } => write!(f, "Cannot parse argument '{value}' of option {option}"),
            ArgsError::Multiple(name) => {
                write!(f, "Found multiple arguments for option {name}, but you asked for only one")
            }
            ArgsError::Missing(name) => write!(f, "Missing required argument \"[{name}]\""),
            ArgsError::Conflict { used, other } => {
                write!(f, "Option \"[{used}]\" can't be used with option \"[{other}]\"")
            }
        }
    }
}

impl std::error::Error for ArgsError {}

/// Splits the values of a `--property`-like option at their first `=`; without one the value is empty.
pub fn key_values(values: &[String]) -> Vec<(String, String)> {
    values
        .iter()
        .filter(|value| !value.is_empty())
        .map(|value| {
            let (key, value) = value.split_once('=').unwrap_or((value, ""));
            (key.to_owned(), value.to_owned())
        })
        .collect()
}

/// With one dash the parser tries the letters as flags of one letter, of which no tool has any: it is the first
/// letter that is not recognized.
fn unrecognized(word: &str, name: &str) -> String {
    if word.starts_with("--") {
        return name.to_owned();
    }
    word.chars().skip(1).take(1).collect()
}

fn looks_like_an_option(word: &str) -> bool {
    word.starts_with('-') && word != "-"
}

#[cfg(test)]
mod tests;
