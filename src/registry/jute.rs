//! ZooKeeper's serialisation: big-endian integers, length-prefixed strings and buffers, counted vectors.
//!
//! The same on the wire and in the files. A length of -1 is null, which differs from empty.

/// Bytes that do not mean what they should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

/// Reads from a borrowed frame; every length is checked against what remains.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// The bytes not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(Malformed("length"))?;
        self.rest = rest;
        Ok(bytes)
    }

    pub fn bool(&mut self) -> Result<bool, Malformed> {
        Ok(self.array::<1>()? != [0])
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A buffer; `None` is null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match self.i32()? {
            -1 => Ok(None),
            length => self.bytes(usize::try_from(length).map_err(|_| Malformed("length"))?).map(Some),
        }
    }

    /// A string; null reads as empty, which no path is.
    pub fn string(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.buffer()?.unwrap_or_default()).map_err(|_| Malformed("string"))
    }

    /// A vector's count; null reads as 0. `item_bytes_min`: the least that one item takes.
    pub fn count(&mut self, item_bytes_min: usize) -> Result<usize, Malformed> {
        let count = match self.i32()? {
            -1 => 0,
            count => usize::try_from(count).map_err(|_| Malformed("vector count"))?,
        };
        if count.saturating_mul(item_bytes_min) > self.rest.len() {
            return Err(Malformed("vector count"));
        }
        Ok(count)
    }

    /// A vector of strings.
    pub fn strings(&mut self) -> Result<Vec<String>, Malformed> {
        let count = self.count(4)?;
        (0..count).map(|_| self.string().map(str::to_owned)).collect()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Malformed("length"))?;
        self.rest = rest;
        Ok(*bytes)
    }
}

/// Writes to a growing buffer.
#[derive(Debug, Default)]
pub struct Writer {
    buf: Vec<u8>,
}

impl Writer {
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Starts a frame: four bytes for the length, filled in by [`into_frame`](Writer::into_frame).
    pub fn frame() -> Writer {
        Writer { buf: vec![0; 4] }
    }

    /// The finished frame. Only for what [`frame`](Writer::frame) started.
    pub fn into_frame(mut self) -> Vec<u8> {
        let length = (self.buf.len() - 4) as u32;
        self.buf[..4].copy_from_slice(&length.to_be_bytes());
        self.buf
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.buf
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        self.buf.extend_from_slice(bytes);
        self
    }

    pub fn bool(&mut self, value: bool) -> &mut Writer {
        self.bytes(&[u8::from(value)])
    }

    pub fn i32(&mut self, value: i32) -> &mut Writer {
        self.bytes(&value.to_be_bytes())
    }

    pub fn i64(&mut self, value: i64) -> &mut Writer {
        self.bytes(&value.to_be_bytes())
    }

    pub fn buffer(&mut self, value: Option<&[u8]>) -> &mut Writer {
        match value {
            None => self.i32(-1),
            Some(bytes) => self.i32(bytes.len() as i32).bytes(bytes),
        }
    }

    pub fn string(&mut self, value: &str) -> &mut Writer {
        self.buffer(Some(value.as_bytes()))
    }

    pub fn strings<S: AsRef<str>>(&mut self, values: impl ExactSizeIterator<Item = S>) -> &mut Writer {
        self.i32(values.len() as i32);
        for value in values {
            self.string(value.as_ref());
        }
        self
    }
}
