//! A value's text against its type and range.

use std::sync::LazyLock;

use super::error::Error;
use super::keys::{Kind, Valid};

/// Checks a value and returns it as Kafka writes it: trimmed, numbers and booleans in their plain form.
pub(super) fn check(name: &str, kind: Kind, valid: Valid, raw: &str) -> Result<String, Error> {
    let refuse = |value: &str, reason: String| Error::InvalidValue {
        key: name.to_owned(),
        value: value.to_owned(),
        reason: reason.into(),
        allowed: allowed(kind, valid).into(),
        location: None,
    };
    let text = raw.trim();
    let not_a_number = || refuse(raw, format!("Not a number of type {}", kind.name()));
    match kind {
        Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            word @ ("true" | "false") => Ok(word.to_owned()),
            _ => Err(refuse(raw, "Expected value to be either true or false".into())),
        },
        Kind::Int | Kind::Short | Kind::Long => {
            let number: i64 = text.parse().map_err(|_| not_a_number())?;
            let fits = match kind {
                Kind::Int => i32::try_from(number).is_ok(),
                Kind::Short => i16::try_from(number).is_ok(),
                _ => true,
            };
            if !fits {
                return Err(not_a_number());
            }
            check_range(number, valid).map_err(|reason| refuse(&number.to_string(), reason))?;
            Ok(number.to_string())
        }
        Kind::Double => {
            let number = parse_double(text).ok_or_else(not_a_number)?;
            let shown = show_double(number);
            match valid {
                Valid::Ratio(_) if number < 0.0 => Err(refuse(&shown, "Value must be at least 0".into())),
                Valid::Ratio(max) if number > max => Err(refuse(&shown, format!("Value must be no more than {max}"))),
                _ => Ok(shown),
            }
        }
        Kind::List => {
            let elements = split_list(text);
            for element in &elements {
                check_word(element, valid).map_err(|reason| refuse(element, reason))?;
            }
            check_throttled(name, &elements, valid).map_err(|reason| refuse(text, reason))?;
            Ok(elements.join(","))
        }
        Kind::Str | Kind::Class | Kind::Password => {
            check_word(text, valid).map_err(|reason| refuse(text, reason))?;
            Ok(text.to_owned())
        }
    }
}

/// A comma-separated list without the blanks around its commas; an empty text is an empty list.
pub(super) fn split_list(text: &str) -> Vec<&str> {
    match text.trim() {
        "" => Vec::new(),
        text => text.split(',').map(str::trim).collect(),
    }
}

fn check_range(number: i64, valid: Valid) -> Result<(), String> {
    match valid {
        Valid::AtLeast(min) | Valid::Between(min, _) if number < min => Err(format!("Value must be at least {min}")),
        Valid::Between(_, max) if number > max => Err(format!("Value must be no more than {max}")),
        Valid::MinusOneOr(min, max) if number != -1 && !(min..=max).contains(&number) => match max {
            i64::MAX => Err("Value can be -1 or greater than 0".into()),
            max => Err(format!("Value must be between {min} and {max} or equal to -1")),
        },
        _ => Ok(()),
    }
}

fn check_word(word: &str, valid: Valid) -> Result<(), String> {
    match valid {
        Valid::OneOf(words) if !words.contains(&word) => Err(format!("String must be one of: {}", words.join(", "))),
        Valid::OneOfAnyCase(words) if !words.iter().any(|w| w.eq_ignore_ascii_case(word)) => {
            let words = words.join(", ").to_ascii_uppercase();
            Err(format!("String must be one of (case insensitive): {words}"))
        }
        Valid::NonEmpty if word.is_empty() => Err("String must be non-empty".into()),
        Valid::Version if !is_version(word) => Err(format!("Version {word} is not a valid version")),
        _ => Ok(()),
    }
}

fn check_throttled(name: &str, elements: &[&str], valid: Valid) -> Result<(), String> {
    let is_pair = |element: &&str| {
        let numbers = element.split_once(':').map(|(p, b)| (p.parse::<u32>().is_ok(), b.parse::<u32>().is_ok()));
        numbers == Some((true, true))
    };
    if valid != Valid::ThrottledReplicas || elements == ["*"] || elements.iter().all(is_pair) {
        return Ok(());
    }
    Err(format!(
        "{name} must be the literal '*' or a list of replicas in the following format: \
         [partitionId]:[brokerId],[partitionId]:[brokerId],..."
    ))
}

/// Java reads `1e3`, `.5`, `+1.` and also `1d` and `0x1p3`; the last two are not worth having.
fn parse_double(text: &str) -> Option<f64> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    text.parse().ok().filter(|_| is_number)
}

/// A double as Java prints it: `0.5`, `1.0`, `1.0E10`.
pub fn show_double(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) {
        let text = format!("{number:E}");
        return match text.split_once('E') {
            Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
            _ => text,
        };
    }
    format!("{number:?}")
}

fn is_version(text: &str) -> bool {
    // `2.8-IV1` by its full name; `2.8`, `2.8.0` and `0.10.2.1` by their first parts.
    static VERSIONS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let plain = ["0.8.0", "0.8.1", "0.8.2", "0.9.0"].map(str::to_owned);
        let counted = RELEASES.iter().flat_map(|(release, count)| (0..*count).map(move |n| format!("{release}-IV{n}")));
        plain.into_iter().chain(counted).collect()
    });
    let parts: Vec<&str> = text.split('.').collect();
    let significant = if text.starts_with("0.") { 3 } else { 2 };
    let text = parts[..parts.len().min(significant)].join(".");
    VERSIONS.iter().any(|version| *version == text || version.split("-IV").next() == Some(&text))
}

/// Releases and how many inter-broker protocol versions each had.
const RELEASES: &[(&str, u32)] = &[
    ("0.10.0", 2),
    ("0.10.1", 3),
    ("0.10.2", 1),
    ("0.11.0", 3),
    ("1.0", 1),
    ("1.1", 1),
    ("2.0", 2),
    ("2.1", 3),
    ("2.2", 2),
    ("2.3", 2),
    ("2.4", 2),
    ("2.5", 1),
    ("2.6", 1),
    ("2.7", 3),
    ("2.8", 2),
    ("3.0", 2),
    ("3.1", 1),
    ("3.2", 1),
    ("3.3", 4),
    ("3.4", 1),
    ("3.5", 3),
    ("3.6", 3),
    ("3.7", 5),
    ("3.8", 1),
    ("3.9", 1),
    ("4.0", 2),
];

/// What a key takes, for a person.
fn allowed(kind: Kind, valid: Valid) -> String {
    let (min, max) = match kind {
        Kind::Int => (i64::from(i32::MIN), i64::from(i32::MAX)),
        Kind::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    match (kind, valid) {
        (Kind::Boolean, _) => "true, false".into(),
        (_, Valid::OneOf(words) | Valid::OneOfAnyCase(words)) => words.join(", "),
        (_, Valid::NonEmpty) => "any text but the empty one".into(),
        (_, Valid::Version) => "a release of Kafka, such as 3.9 or 2.8-IV1".into(),
        (_, Valid::ThrottledReplicas) => "* or partition:broker,…".into(),
        (_, Valid::AtLeast(min)) => format!("{min} to {max}"),
        (_, Valid::Between(min, max)) => format!("{min} to {max}"),
        (_, Valid::MinusOneOr(min, i64::MAX)) => format!("-1, or {min} to {max}"),
        (_, Valid::MinusOneOr(min, max)) => format!("-1, or {min} to {max}"),
        (_, Valid::Ratio(max)) => format!("0 to {max}"),
        (Kind::Int | Kind::Short | Kind::Long, Valid::Any) => format!("{min} to {max}"),
        (Kind::Double, Valid::Any) => "a number".into(),
        _ => "any text".into(),
    }
}
