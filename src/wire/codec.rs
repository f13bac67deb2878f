//! How values lie on the wire: a checked [`Reader`] over a frame, a [`Writer`], and the `messages!` macro that makes
//! both directions of a message from one declaration.
//!
//! Every length is checked against the bytes that remain before anything is allocated, and what a frame may make us
//! allocate is bounded by a budget in proportion to its size: twelve bytes cannot ask for two billion elements.
//! Byte fields are slices of the frame, not copies.
//!
//! Source: the Kafka protocol guide; KIP-482 (flexible versions, compact encodings, tagged fields).

use std::fmt;
use std::ops::RangeInclusive;

use bytes::Buf;
pub use bytes::Bytes;

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{needed} bytes needed, {remaining} remain")]
    Truncated { needed: usize, remaining: usize },
    #[error("length {0} is not possible here")]
    BadLength(i64),
    #[error("a varint does not end")]
    BadVarint,
    #[error("text is not UTF-8")]
    BadUtf8,
    #[error("a null where none may be")]
    UnexpectedNull,
    #[error("tagged field {tag} does not fill its {size} bytes")]
    BadTaggedField { tag: u32, size: usize },
    #[error("message asks for more memory than its size allows")]
    OverBudget,
    #[error("version {version} of API key {key} is not known")]
    UnsupportedVersion { key: i16, version: i16 },
    #[error("{remaining} bytes left over behind the message")]
    TrailingBytes { remaining: usize },
    #[error("a string of {0} bytes does not fit a two-byte length")]
    TooLong(usize),
}

pub type Result<T> = std::result::Result<T, Error>;

/// What one frame may make us allocate at least, in bytes: small frames decode freely.
const BUDGET_FLOOR: usize = 1 << 20;
/// Bytes of memory per byte of frame. The densest honest message (an array of short compact strings) stays below.
const BUDGET_PER_BYTE: usize = 32;
/// No single message that is decoded whole may need more (Produce, the only large one, is parsed in place).
const BUDGET_CEILING: usize = 256 << 20;

/// Reads values from the front of a frame.
#[derive(Debug)]
pub struct Reader {
    buf: Bytes,
    budget: usize,
}

impl Reader {
    pub fn new(buf: Bytes) -> Reader {
        let budget = buf.len().saturating_mul(BUDGET_PER_BYTE).clamp(BUDGET_FLOOR, BUDGET_CEILING);
        Reader { buf, budget }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.buf.len()
    }

    /// All bytes not read yet, as a slice of the frame.
    pub fn take_rest(&mut self) -> Bytes {
        std::mem::take(&mut self.buf)
    }

    /// The next `len` bytes, as a slice of the frame.
    pub fn take(&mut self, len: usize) -> Result<Bytes> {
        self.need(len)?;
        Ok(self.buf.split_to(len))
    }

    pub fn skip(&mut self, len: usize) -> Result<()> {
        self.need(len)?;
        self.buf.advance(len);
        Ok(())
    }

    /// # Errors
    /// `TrailingBytes` unless everything was read.
    pub fn finish(self) -> Result<()> {
        if self.buf.is_empty() { Ok(()) } else { Err(Error::TrailingBytes { remaining: self.buf.len() }) }
    }

    fn need(&self, needed: usize) -> Result<()> {
        let remaining = self.buf.len();
        if needed <= remaining { Ok(()) } else { Err(Error::Truncated { needed, remaining }) }
    }

    fn spend(&mut self, bytes: usize) -> Result<()> {
        self.budget = self.budget.checked_sub(bytes).ok_or(Error::OverBudget)?;
        Ok(())
    }

    pub fn i8(&mut self) -> Result<i8> {
        self.need(1)?;
        Ok(self.buf.get_i8())
    }

    pub fn i16(&mut self) -> Result<i16> {
        self.need(2)?;
        Ok(self.buf.get_i16())
    }

    pub fn i32(&mut self) -> Result<i32> {
        self.need(4)?;
        Ok(self.buf.get_i32())
    }

    pub fn i64(&mut self) -> Result<i64> {
        self.need(8)?;
        Ok(self.buf.get_i64())
    }

    pub fn unsigned_varint(&mut self) -> Result<u32> {
        let mut value = 0u32;
        for shift in (0..32).step_by(7) {
            let byte = self.i8()? as u8;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Error::BadVarint)
    }

    /// The length of a string: compact (n + 1, 0 = null) or i16 (-1 = null).
    pub fn string_len(&mut self, flexible: bool) -> Result<Option<usize>> {
        if flexible { self.compact_len() } else { fixed_len(i64::from(self.i16()?)) }
    }

    /// The length of bytes or the count of an array: compact (n + 1, 0 = null) or i32 (-1 = null).
    pub fn array_len(&mut self, flexible: bool) -> Result<Option<usize>> {
        let len = if flexible { self.compact_len()? } else { fixed_len(i64::from(self.i32()?))? };
        match len {
            // Every element takes at least one byte.
            Some(count) if count > self.buf.len() => Err(Error::Truncated { needed: count, remaining: self.buf.len() }),
            len => Ok(len),
        }
    }

    fn compact_len(&mut self) -> Result<Option<usize>> {
        Ok((self.unsigned_varint()? as usize).checked_sub(1))
    }

    /// Text of a nullable string field.
    pub fn nullable_string(&mut self, flexible: bool) -> Result<Option<String>> {
        let Some(len) = self.string_len(flexible)? else { return Ok(None) };
        let bytes = self.take(len)?;
        self.spend(len)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::BadUtf8)?;
        Ok(Some(text.to_owned()))
    }

    /// Passes over a section of tagged fields none of which is known here.
    pub fn skip_tagged_fields(&mut self) -> Result<()> {
        for _ in 0..self.unsigned_varint()? {
            self.unsigned_varint()?;
            let size = self.unsigned_varint()? as usize;
            self.skip(size)?;
        }
        Ok(())
    }
}

fn fixed_len(len: i64) -> Result<Option<usize>> {
    match len {
        -1 => Ok(None),
        0.. => Ok(Some(len as usize)),
        _ => Err(Error::BadLength(len)),
    }
}

/// Writes values to the end of a buffer.
#[derive(Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
    too_long: Option<usize>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Goes on behind what `buf` already holds.
    pub fn after(buf: Vec<u8>) -> Writer {
        Writer { buf, too_long: None }
    }

    /// What was written.
    ///
    /// # Errors
    /// `TooLong` if a string did not fit the two-byte length of a version that is not flexible.
    pub fn finish(self) -> Result<Vec<u8>> {
        match self.too_long {
            None => Ok(self.buf),
            Some(len) => Err(Error::TooLong(len)),
        }
    }

    pub fn len(&self) -> usize {
        self.buf.len()
    }

    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    pub fn i8(&mut self, value: i8) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn i16(&mut self, value: i16) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn i32(&mut self, value: i32) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_be_bytes());
    }

    pub fn unsigned_varint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.buf.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.buf.push(value as u8);
    }

    pub fn string_len(&mut self, len: Option<usize>, flexible: bool) {
        match (len, flexible) {
            (_, true) => self.unsigned_varint(len.map_or(0, |len| len as u32 + 1)),
            (None, false) => self.i16(-1),
            (Some(len), false) => {
                if len > i16::MAX as usize {
                    self.too_long = Some(len);
                }
                self.i16(len as i16);
            }
        }
    }

    pub fn array_len(&mut self, len: Option<usize>, flexible: bool) {
        match (len, flexible) {
            (_, true) => self.unsigned_varint(len.map_or(0, |len| len as u32 + 1)),
            (len, false) => self.i32(len.map_or(-1, |len| len as i32)),
        }
    }

    pub fn nullable_string(&mut self, text: Option<&str>, flexible: bool) {
        self.string_len(text.map(str::len), flexible);
        self.bytes(text.unwrap_or_default().as_bytes());
    }
}

/// A UUID of KIP-516: topic ids and directory ids. Printed as Kafka prints it, base64url without padding.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    /// The id that stands for "none".
    pub const ZERO: Uuid = Uuid([0; 16]);

    pub fn is_zero(&self) -> bool {
        *self == Uuid::ZERO
    }

    /// Reads the 22 characters of base64url; None if they are not 16 bytes.
    pub fn parse(text: &str) -> Option<Uuid> {
        let text = text.strip_suffix("==").unwrap_or(text);
        if text.len() != 22 {
            return None;
        }
        let mut value: u128 = 0;
        for (index, byte) in text.bytes().enumerate() {
            let digit = BASE64_URL.iter().position(|&c| c == byte)? as u128;
            // The last character carries two bits; Java ignores the other four.
            value = if index < 21 { value << 6 | digit } else { value << 2 | digit >> 4 };
        }
        Some(Uuid(value.to_be_bytes()))
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for index in 0..21 {
            let digit = (value >> (122 - 6 * index)) & 63;
            write!(f, "{}", BASE64_URL[digit as usize] as char)?;
        }
        write!(f, "{}", BASE64_URL[((value & 3) << 4) as usize] as char)
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value that can be a field of a message.
pub trait Field: Sized {
    fn read(r: &mut Reader, version: i16, flexible: bool) -> Result<Self>;
    fn write(&self, w: &mut Writer, version: i16, flexible: bool);
}

macro_rules! number_fields {
    ($($ty:ty: $size:literal),*) => { $(
        impl Field for $ty {
            fn read(r: &mut Reader, _: i16, _: bool) -> Result<$ty> {
                r.need($size)?;
                let mut bytes = [0; $size];
                r.buf.copy_to_slice(&mut bytes);
                Ok(<$ty>::from_be_bytes(bytes))
            }
            fn write(&self, w: &mut Writer, _: i16, _: bool) {
                w.bytes(&self.to_be_bytes());
            }
        }
    )* };
}
number_fields!(i8: 1, i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, f64: 8);

impl Field for bool {
    fn read(r: &mut Reader, _: i16, _: bool) -> Result<bool> {
        Ok(r.i8()? != 0)
    }
    fn write(&self, w: &mut Writer, _: i16, _: bool) {
        w.i8(i8::from(*self));
    }
}

impl Field for Uuid {
    fn read(r: &mut Reader, _: i16, _: bool) -> Result<Uuid> {
        r.need(16)?;
        let mut bytes = [0; 16];
        r.buf.copy_to_slice(&mut bytes);
        Ok(Uuid(bytes))
    }
    fn write(&self, w: &mut Writer, _: i16, _: bool) {
        w.bytes(&self.0);
    }
}

impl Field for String {
    fn read(r: &mut Reader, _: i16, flexible: bool) -> Result<String> {
        r.nullable_string(flexible)?.ok_or(Error::UnexpectedNull)
    }
    fn write(&self, w: &mut Writer, _: i16, flexible: bool) {
        w.nullable_string(Some(self), flexible);
    }
}

impl Field for Option<String> {
    fn read(r: &mut Reader, _: i16, flexible: bool) -> Result<Option<String>> {
        r.nullable_string(flexible)
    }
    fn write(&self, w: &mut Writer, _: i16, flexible: bool) {
        w.nullable_string(self.as_deref(), flexible);
    }
}

impl Field for Bytes {
    fn read(r: &mut Reader, version: i16, flexible: bool) -> Result<Bytes> {
        Option::<Bytes>::read(r, version, flexible)?.ok_or(Error::UnexpectedNull)
    }
    fn write(&self, w: &mut Writer, _: i16, flexible: bool) {
        w.array_len(Some(self.len()), flexible);
        w.bytes(self);
    }
}

impl Field for Option<Bytes> {
    fn read(r: &mut Reader, _: i16, flexible: bool) -> Result<Option<Bytes>> {
        match r.array_len(flexible)? {
            Some(len) => r.take(len).map(Some),
            None => Ok(None),
        }
    }
    fn write(&self, w: &mut Writer, version: i16, flexible: bool) {
        match self {
            Some(bytes) => bytes.write(w, version, flexible),
            None => w.array_len(None, flexible),
        }
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(r: &mut Reader, version: i16, flexible: bool) -> Result<Vec<T>> {
        Option::<Vec<T>>::read(r, version, flexible)?.ok_or(Error::UnexpectedNull)
    }
    fn write(&self, w: &mut Writer, version: i16, flexible: bool) {
        w.array_len(Some(self.len()), flexible);
        for element in self {
            element.write(w, version, flexible);
        }
    }
}

impl<T: Field> Field for Option<Vec<T>> {
    fn read(r: &mut Reader, version: i16, flexible: bool) -> Result<Option<Vec<T>>> {
        let Some(count) = r.array_len(flexible)? else { return Ok(None) };
        r.spend(count.saturating_mul(size_of::<T>()))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(r, version, flexible)?);
        }
        Ok(Some(elements))
    }
    fn write(&self, w: &mut Writer, version: i16, flexible: bool) {
        match self {
            Some(elements) => elements.write(w, version, flexible),
            None => w.array_len(None, flexible),
        }
    }
}

/// The body of a request or response of one API.
pub trait Message: Field + Default + Clone + fmt::Debug + PartialEq {
    /// The API key, as in the request header.
    const KEY: i16;
    /// The versions that this package knows.
    const VERSIONS: RangeInclusive<i16>;
    /// The first flexible version (KIP-482).
    const FLEXIBLE_SINCE: i16;

    fn is_flexible(version: i16) -> bool {
        version >= Self::FLEXIBLE_SINCE
    }

    /// Reads the body, all of it.
    ///
    /// # Errors
    /// Any `Error` when the bytes are not a message of this version; nothing is allocated beyond the budget.
    fn decode(body: Bytes, version: i16) -> Result<Self> {
        let mut r = Reader::new(body);
        let message = Self::decode_from(&mut r, version)?;
        r.finish()?;
        Ok(message)
    }

    fn decode_from(r: &mut Reader, version: i16) -> Result<Self> {
        if !Self::VERSIONS.contains(&version) {
            return Err(Error::UnsupportedVersion { key: Self::KEY, version });
        }
        Self::read(r, version, Self::is_flexible(version))
    }

    /// Writes the body. Fields that `version` does not carry are left out.
    fn encode(&self, w: &mut Writer, version: i16) {
        self.write(w, version, Self::is_flexible(version));
    }

    /// The body alone.
    ///
    /// # Errors
    /// `TooLong` as in [`Writer::finish`].
    fn to_bytes(&self, version: i16) -> Result<Vec<u8>> {
        let mut w = Writer::new();
        self.encode(&mut w, version);
        w.finish()
    }
}

/// The request body of one API, with its answer.
pub trait Request: Message {
    type Response: Message;
}

/// Binds a request and its response to their API key, versions and first flexible version.
macro_rules! api {
    ($name:ident, $key:literal, $first:literal..=$last:literal, flexible $flexible:expr, $request:ident => $response:ident) => {
        impl Message for $request {
            const KEY: i16 = $key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $first..=$last;
            const FLEXIBLE_SINCE: i16 = $flexible;
        }
        impl Message for $response {
            const KEY: i16 = $key;
            const VERSIONS: std::ops::RangeInclusive<i16> = $first..=$last;
            const FLEXIBLE_SINCE: i16 = $flexible;
        }
        impl Request for $request {
            type Response = $response;
        }
    };
}
pub(crate) use api;

/// Declares messages. A field reads `name: Type [versions] = default` or `name: Type [versions, tag n] = default`;
/// without `= default` it is the type's own. Tagged fields stand last, in the order of their tags.
macro_rules! messages {
    ($(
        struct $name:ident {
            $( $field:ident : $ty:ty [ $($spec:tt)* ] $(= $default:expr)? ),* $(,)?
        }
    )*) => { $(
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( pub $field: $ty, )*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $( $field: $crate::wire::codec::field!(@default $ty $(, $default)?), )* }
            }
        }

        impl $crate::wire::codec::Field for $name {
            #[allow(unused_variables, unused_mut, clippy::needless_update)]
            fn read(r: &mut $crate::wire::codec::Reader, version: i16, flexible: bool) -> $crate::wire::codec::Result<Self> {
                let mut this = Self::default();
                $( $crate::wire::codec::field!(@read this, $field, r, version, flexible, $($spec)*); )*
                if flexible {
                    for _ in 0..r.unsigned_varint()? {
                        let tag = r.unsigned_varint()?;
                        let size = r.unsigned_varint()? as usize;
                        let Some(left) = r.remaining().checked_sub(size) else {
                            return Err($crate::wire::codec::Error::Truncated { needed: size, remaining: r.remaining() });
                        };
                        $( $crate::wire::codec::field!(@read_tagged this, $field, r, version, tag, $($spec)*); )*
                        match r.remaining() {
                            now if now == left => {}
                            now if now == left + size => r.skip(size)?,
                            _ => return Err($crate::wire::codec::Error::BadTaggedField { tag, size }),
                        }
                    }
                }
                Ok(this)
            }

            #[allow(unused_variables, unused_mut, unused_assignments)]
            fn write(&self, w: &mut $crate::wire::codec::Writer, version: i16, flexible: bool) {
                $( $crate::wire::codec::field!(@write self, $field, w, version, flexible, $($spec)*); )*
                if flexible {
                    let default = Self::default();
                    let mut count = 0u32;
                    $( $crate::wire::codec::field!(@count self, $field, default, count, version, $($spec)*); )*
                    w.unsigned_varint(count);
                    $( $crate::wire::codec::field!(@write_tagged self, $field, default, w, version, $($spec)*); )*
                }
            }
        }

        #[cfg(test)]
        impl $crate::wire::codec::random::Random for $name {
            #[allow(unused_variables)]
            fn random(source: &mut $crate::wire::codec::random::Source) -> Self {
                $name { $( $field: $crate::wire::codec::random::Random::random(source), )* }
            }
        }

        // A nullable struct has a byte before it: -1 for null, else 1.
        impl $crate::wire::codec::Field for Option<$name> {
            fn read(r: &mut $crate::wire::codec::Reader, version: i16, flexible: bool) -> $crate::wire::codec::Result<Self> {
                if r.i8()? < 0 { Ok(None) } else { <$name as $crate::wire::codec::Field>::read(r, version, flexible).map(Some) }
            }
            fn write(&self, w: &mut $crate::wire::codec::Writer, version: i16, flexible: bool) {
                match self {
                    None => w.i8(-1),
                    Some(value) => {
                        w.i8(1);
                        value.write(w, version, flexible);
                    }
                }
            }
        }
    )* };
}
pub(crate) use messages;

/// One field of `messages!`: plain fields have `[versions]`, tagged ones `[versions, tag n]`.
macro_rules! field {
    (@default $ty:ty) => { <$ty>::default() };
    (@default $ty:ty, $default:expr) => { $default };

    (@in $version:ident, $first:literal ..) => { ($first..).contains(&$version) };
    (@in $version:ident, $first:literal ..= $last:literal) => { ($first..=$last).contains(&$version) };

    (@read $this:ident, $field:ident, $r:ident, $version:ident, $flexible:ident, $first:literal .., tag $tag:literal) => {};
    (@read $this:ident, $field:ident, $r:ident, $version:ident, $flexible:ident, $first:literal ..= $last:literal, tag $tag:literal) => {};
    (@read $this:ident, $field:ident, $r:ident, $version:ident, $flexible:ident, $($range:tt)*) => {
        if $crate::wire::codec::field!(@in $version, $($range)*) {
            $this.$field = $crate::wire::codec::Field::read($r, $version, $flexible)?;
        }
    };

    (@write $this:ident, $field:ident, $w:ident, $version:ident, $flexible:ident, $first:literal .., tag $tag:literal) => {};
    (@write $this:ident, $field:ident, $w:ident, $version:ident, $flexible:ident, $first:literal ..= $last:literal, tag $tag:literal) => {};
    (@write $this:ident, $field:ident, $w:ident, $version:ident, $flexible:ident, $($range:tt)*) => {
        if $crate::wire::codec::field!(@in $version, $($range)*) {
            $crate::wire::codec::Field::write(&$this.$field, $w, $version, $flexible);
        }
    };

    (@read_tagged $this:ident, $field:ident, $r:ident, $version:ident, $now:ident, $first:literal .., tag $tag:literal) => {
        if $now == $tag && ($first..).contains(&$version) {
            $this.$field = $crate::wire::codec::Field::read($r, $version, true)?;
        }
    };
    (@read_tagged $this:ident, $field:ident, $r:ident, $version:ident, $now:ident, $first:literal ..= $last:literal, tag $tag:literal) => {
        if $now == $tag && ($first..=$last).contains(&$version) {
            $this.$field = $crate::wire::codec::Field::read($r, $version, true)?;
        }
    };
    (@read_tagged $this:ident, $field:ident, $r:ident, $version:ident, $now:ident, $($range:tt)*) => {};

    (@count $this:ident, $field:ident, $default:ident, $count:ident, $version:ident, $first:literal .., tag $tag:literal) => {
        if ($first..).contains(&$version) && $this.$field != $default.$field { $count += 1; }
    };
    (@count $this:ident, $field:ident, $default:ident, $count:ident, $version:ident, $first:literal ..= $last:literal, tag $tag:literal) => {
        if ($first..=$last).contains(&$version) && $this.$field != $default.$field { $count += 1; }
    };
    (@count $this:ident, $field:ident, $default:ident, $count:ident, $version:ident, $($range:tt)*) => {};

    (@write_tagged $this:ident, $field:ident, $default:ident, $w:ident, $version:ident, $first:literal .., tag $tag:literal) => {
        if ($first..).contains(&$version) && $this.$field != $default.$field {
            $w.tagged_field($tag, |w| $crate::wire::codec::Field::write(&$this.$field, w, $version, true));
        }
    };
    (@write_tagged $this:ident, $field:ident, $default:ident, $w:ident, $version:ident, $first:literal ..= $last:literal, tag $tag:literal) => {
        if ($first..=$last).contains(&$version) && $this.$field != $default.$field {
            $w.tagged_field($tag, |w| $crate::wire::codec::Field::write(&$this.$field, w, $version, true));
        }
    };
    (@write_tagged $this:ident, $field:ident, $default:ident, $w:ident, $version:ident, $($range:tt)*) => {};
}
pub(crate) use field;

impl Writer {
    /// One tagged field: tag, size, then what `content` writes.
    pub fn tagged_field(&mut self, tag: u32, content: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::new();
        content(&mut inner);
        self.too_long = self.too_long.or(inner.too_long);
        self.unsigned_varint(tag);
        self.unsigned_varint(inner.buf.len() as u32);
        self.bytes(&inner.buf);
    }
}

#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;
