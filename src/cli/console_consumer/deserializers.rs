//! The deserializers of Apache's client library, as `key.deserializer`, `value.deserializer` and
//! `headers.deserializer` name them: bytes in, the text of the Java object's `toString()` out.
//!
//! Source: `org.apache.kafka.common.serialization`.

use std::collections::HashMap;
use std::io::Write;

const PACKAGE: &str = "org.apache.kafka.common.serialization.";

/// One of Apache's own deserializers, configured.
#[derive(Debug, Clone, PartialEq)]
pub enum Deserializer {
    String(Charset),
    Integer,
    Long,
    Short,
    Double,
    Float,
    Boolean,
    Bytes,
    ByteArray,
    Uuid(Charset),
    Void,
    List(Box<Deserializer>),
}

/// The character sets that Java is sure to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    Utf8,
    Latin1,
    Ascii,
    Utf16,
    Utf16Be,
    Utf16Le,
}

/// Bytes that are not what the deserializer reads; the text is Apache's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("org.apache.kafka.common.errors.SerializationException: {0}")]
pub struct SerializationError(pub String);

fn wrong(text: impl Into<String>) -> SerializationError {
    SerializationError(text.into())
}

impl Deserializer {
    /// Returns the deserializer of Java class `class`. `config`: what was given under its prefix
    /// (`value.deserializer.`), the prefix taken off. `is_key`: whether it reads keys.
    ///
    /// # Errors
    /// The exception that Java would log: an unknown class, an unknown encoding, a list without an inner serde.
    pub fn named(class: &str, config: &HashMap<&str, &str>, is_key: bool) -> Result<Deserializer, String> {
        let known = class.strip_prefix(PACKAGE).and_then(|short| short.strip_suffix("Deserializer"));
        Ok(match known {
            Some("String") => Deserializer::String(configured_charset(config, is_key)?),
            Some("UUID") => Deserializer::Uuid(configured_charset(config, is_key)?),
            Some("Integer") => Deserializer::Integer,
            Some("Long") => Deserializer::Long,
            Some("Short") => Deserializer::Short,
            Some("Double") => Deserializer::Double,
            Some("Float") => Deserializer::Float,
            Some("Boolean") => Deserializer::Boolean,
            Some("Bytes") => Deserializer::Bytes,
            Some("ByteArray") => Deserializer::ByteArray,
            Some("Void") => Deserializer::Void,
            Some("List") => Deserializer::List(Box::new(configured_inner(config, is_key)?)),
            _ => return Err(format!("java.lang.ClassNotFoundException: {class}")),
        })
    }

    /// Appends the text of `data` to `out`.
    ///
    /// # Errors
    /// `data` has the wrong size or shape; `out` is as it was.
    pub fn deserialize(&self, data: &[u8], out: &mut Vec<u8>) -> Result<(), SerializationError> {
        match self {
            Deserializer::String(Charset::Utf8) if std::str::from_utf8(data).is_ok() => out.extend_from_slice(data),
            Deserializer::String(charset) => out.extend_from_slice(charset.decode(data).as_bytes()),
            Deserializer::Integer => print(out, i32::from_be_bytes(sized(data, "IntegerDeserializer")?)),
            Deserializer::Long => print(out, i64::from_be_bytes(sized(data, "LongDeserializer")?)),
            Deserializer::Short => print(out, i16::from_be_bytes(sized(data, "ShortDeserializer")?)),
            // Double and Float name themselves "Deserializer" only.
            Deserializer::Double => print(out, java_double(f64::from_be_bytes(sized(data, "Deserializer")?))),
            Deserializer::Float => print(out, java_float(f32::from_be_bytes(sized(data, "Deserializer")?))),
            Deserializer::Boolean => match sized(data, "BooleanDeserializer")? {
                [0] => print(out, "false"),
                [1] => print(out, "true"),
                [byte] => {
                    return Err(wrong(format!("Unexpected byte received by BooleanDeserializer: {}", byte as i8)));
                }
            },
            Deserializer::Bytes => escape_bytes(data, out),
            Deserializer::ByteArray => print(out, format_args!("[B@{:x}", identity_hash(data))),
            Deserializer::Uuid(charset) => {
                let (most, least) =
                    parse_uuid(&charset.decode(data)).ok_or_else(|| wrong("Error parsing data into UUID"))?;
                print(out, uuid_text(most, least));
            }
            Deserializer::Void => return Err(wrong("Data should be null for a VoidDeserializer.")),
            Deserializer::List(inner) => list(data, inner, out)?,
        }
        Ok(())
    }

    /// The size of every entry, for the inner deserializers of lists that store it once.
    fn fixed_size(&self) -> Option<usize> {
        match self {
            Deserializer::Short => Some(2),
            Deserializer::Integer | Deserializer::Float => Some(4),
            Deserializer::Long | Deserializer::Double => Some(8),
            Deserializer::Uuid(_) => Some(36),
            _ => None,
        }
    }
}

fn print(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{value}");
}

fn sized<const N: usize>(data: &[u8], name: &str) -> Result<[u8; N], SerializationError> {
    data.try_into().map_err(|_| wrong(format!("Size of data received by {name} is not {N}")))
}

fn configured_charset(config: &HashMap<&str, &str>, is_key: bool) -> Result<Charset, String> {
    let own = if is_key { "key.deserializer.encoding" } else { "value.deserializer.encoding" };
    let Some(name) = config.get(own).or_else(|| config.get("deserializer.encoding")) else { return Ok(Charset::Utf8) };
    Charset::named(name)
        .ok_or_else(|| format!("org.apache.kafka.common.errors.SerializationException: Unsupported encoding {name}"))
}

fn configured_inner(config: &HashMap<&str, &str>, is_key: bool) -> Result<Deserializer, String> {
    let side = if is_key { "key" } else { "value" };
    if !config.contains_key(format!("default.list.{side}.serde.type").as_str()) {
        return Err("org.apache.kafka.common.config.ConfigException: Not able to determine the list class because \
                    it was neither passed via the constructor nor set in the config."
            .to_owned());
    }
    let Some(serde) = config.get(format!("default.list.{side}.serde.inner").as_str()) else {
        return Err("org.apache.kafka.common.config.ConfigException: Not able to determine the inner serde class \
                    because it was neither passed via the constructor nor set in the config."
            .to_owned());
    };
    let inner = serde
        .strip_prefix("org.apache.kafka.common.serialization.Serdes$")
        .and_then(|name| name.strip_suffix("Serde"))
        .map(|name| format!("{PACKAGE}{name}Deserializer"))
        .ok_or_else(|| format!("java.lang.ClassNotFoundException: {serde}"))?;
    Deserializer::named(&inner, config, is_key)
}

impl Charset {
    fn named(name: &str) -> Option<Charset> {
        Some(match name.to_ascii_uppercase().replace('_', "-").as_str() {
            "UTF-8" | "UTF8" => Charset::Utf8,
            "ISO-8859-1" | "ISO8859-1" | "LATIN1" => Charset::Latin1,
            "US-ASCII" | "ASCII" => Charset::Ascii,
            "UTF-16" | "UTF16" => Charset::Utf16,
            "UTF-16BE" => Charset::Utf16Be,
            "UTF-16LE" => Charset::Utf16Le,
            _ => return None,
        })
    }

    /// Decodes as Java does: what is malformed becomes U+FFFD.
    fn decode(self, data: &[u8]) -> String {
        match self {
            Charset::Utf8 => String::from_utf8_lossy(data).into_owned(),
            Charset::Latin1 => data.iter().map(|&byte| char::from(byte)).collect(),
            Charset::Ascii => data
                .iter()
                .map(|&byte| if byte < 128 { char::from(byte) } else { char::REPLACEMENT_CHARACTER })
                .collect(),
            Charset::Utf16 => match data {
                [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
                [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
                _ => utf16(data, u16::from_be_bytes),
            },
            Charset::Utf16Be => utf16(data, u16::from_be_bytes),
            Charset::Utf16Le => utf16(data, u16::from_le_bytes),
        }
    }
}

fn utf16(data: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let pairs = data.chunks_exact(2);
    let odd_byte = !pairs.remainder().is_empty();
    let mut text: String = char::decode_utf16(pairs.map(|pair| unit([pair[0], pair[1]])))
        .map(|decoded| decoded.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    if odd_byte {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text
}

/// `Bytes.toString()`: printable ASCII as it is, but for the backslash; the rest as `\xHH`.
fn escape_bytes(data: &[u8], out: &mut Vec<u8>) {
    for &byte in data {
        match byte {
            b'\\' => out.extend_from_slice(b"\\x5C"),
            b' '..=b'~' => out.push(byte),
            _ => print(out, format_args!("\\x{byte:02X}")),
        }
    }
}

/// Java prints an array's identity, not its content: any number will do, the same content may even differ.
fn identity_hash(data: &[u8]) -> u32 {
    (data.as_ptr() as usize as u32).wrapping_mul(0x9E37_79B1) >> 1
}

/// `UUID.fromString`: five hexadecimal parts, which may be shorter than usual; most and least significant half.
fn parse_uuid(text: &str) -> Option<(u64, u64)> {
    if text.len() > 36 {
        return None;
    }
    let mut parts = text.split('-').map(|part| {
        let plain = !part.is_empty() && !part.starts_with('+');
        plain.then(|| i64::from_str_radix(part, 16).ok()).flatten().map(|number| number as u64)
    });
    let mut next = || parts.next().flatten();
    let (a, b, c, d, e) = (next()?, next()?, next()?, next()?, next()?);
    if parts.next().is_some() {
        return None;
    }
    let most = (a & 0xFFFF_FFFF) << 32 | (b & 0xFFFF) << 16 | (c & 0xFFFF);
    let least = (d & 0xFFFF) << 48 | (e & 0xFFFF_FFFF_FFFF);
    Some((most, least))
}

/// Returns the 8-4-4-4-12 text of a UUID.
pub fn uuid_text(most: u64, least: u64) -> String {
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        most >> 32,
        most >> 16 & 0xFFFF,
        most & 0xFFFF,
        least >> 48,
        least & 0xFFFF_FFFF_FFFF
    )
}

/// `Double.toString`: the shortest digits that read back as `value`, in Java's notation.
pub fn java_double(value: f64) -> String {
    java_notation(&format!("{value:e}"), value.is_finite(), value.abs())
}

/// `Float.toString`.
pub fn java_float(value: f32) -> String {
    java_notation(&format!("{value:e}"), value.is_finite(), f64::from(value.abs()))
}

/// `scientific` is Rust's `{:e}`: `-1.25e-7`, which has the same digits as Java's text.
fn java_notation(scientific: &str, finite: bool, magnitude: f64) -> String {
    if !finite {
        return match scientific {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            _ => "NaN".to_owned(),
        };
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if magnitude != 0.0 && !(1e-3..1e7).contains(&magnitude) {
        let point = if mantissa.contains('.') { "" } else { ".0" };
        return format!("{mantissa}{point}E{exponent}");
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("{sign}0.{zeros}{digits}");
    }
    let whole = exponent as usize + 1;
    if digits.len() <= whole {
        return format!("{sign}{digits}{}.0", "0".repeat(whole - digits.len()));
    }
    format!("{sign}{}.{}", &digits[..whole], &digits[whole..])
}

/// `ListDeserializer`: i8 strategy (0: entries of one size, preceded by the indexes of nulls; 1: each with its
/// size), i32 count, entries. Prints as `AbstractCollection.toString` does: `[a, b]`.
fn list(data: &[u8], inner: &Deserializer, out: &mut Vec<u8>) -> Result<(), SerializationError> {
    const NULL_ENTRY: i32 = -1;
    let end = || wrong("End of the stream was reached prematurely");
    let mut rest = data;
    let (&strategy, after) = rest.split_first().ok_or_else(end)?;
    rest = after;
    let mut nulls = Vec::new();
    if strategy == 0 {
        for _ in 0..next_i32(&mut rest).ok_or_else(end)? {
            nulls.push(next_i32(&mut rest).ok_or_else(end)?);
        }
    } else if strategy != 1 {
        return Err(wrong("Invalid serialization strategy flag value"));
    }
    let count = next_i32(&mut rest).ok_or_else(end)?;
    let mut text = vec![b'['];
    for index in 0..count {
        if index > 0 {
            text.extend_from_slice(b", ");
        }
        let size = match strategy {
            0 => inner.fixed_size().ok_or_else(end)? as i32,
            _ => next_i32(&mut rest).ok_or_else(end)?,
        };
        if size == NULL_ENTRY || nulls.contains(&index) {
            text.extend_from_slice(b"null");
            continue;
        }
        let size = usize::try_from(size).map_err(|_| end())?;
        let (entry, after) = rest.split_at_checked(size).ok_or_else(end)?;
        rest = after;
        inner.deserialize(entry, &mut text)?;
    }
    text.push(b']');
    out.extend_from_slice(&text);
    Ok(())
}

fn next_i32(rest: &mut &[u8]) -> Option<i32> {
    let (head, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(i32::from_be_bytes(*head))
}
