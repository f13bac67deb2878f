//! Kafka's ids: sixteen bytes, written as 22 letters of base64 (URL alphabet, no padding).

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A topic's or a cluster's id. Source: `org.apache.kafka.common.Uuid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// No id.
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// A random UUID of version 4 whose text does not begin with `-`, which a command line would take for a flag.
    ///
    /// # Errors
    /// When the system's random numbers cannot be read.
    pub fn random() -> io::Result<Uuid> {
        let mut urandom = std::fs::File::open("/dev/urandom")?;
        loop {
            let mut bytes = [0; 16];
            urandom.read_exact(&mut bytes)?;
            bytes[6] = bytes[6] & 0x0f | 0x40;
            bytes[8] = bytes[8] & 0x3f | 0x80;
            // 62 is `-`, the first letter when the upper six bits say so.
            if bytes[0] >> 2 != 62 {
                return Ok(Uuid(bytes));
            }
        }
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = u128::from_be_bytes(self.0);
        // 21 letters of six bits, then the two bits that are left, as the upper bits of the last letter.
        let letters = (0..21).map(|i| bits >> (122 - 6 * i)).chain([bits << 4]);
        letters.map(|six| char::from(ALPHABET[(six & 63) as usize])).try_for_each(|letter| write!(f, "{letter}"))
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 22 letters of base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a base64 UUID")]
pub struct NotAUuid;

impl FromStr for Uuid {
    type Err = NotAUuid;

    fn from_str(text: &str) -> Result<Uuid, NotAUuid> {
        let text = text.strip_suffix("==").unwrap_or(text).as_bytes();
        if text.len() != 22 {
            return Err(NotAUuid);
        }
        let mut bits = 0u128;
        for (i, letter) in text.iter().enumerate() {
            let six = ALPHABET.iter().position(|l| l == letter).ok_or(NotAUuid)? as u128;
            bits = if i < 21 { bits << 6 | six } else { bits << 2 | six >> 4 };
        }
        Ok(Uuid(bits.to_be_bytes()))
    }
}
