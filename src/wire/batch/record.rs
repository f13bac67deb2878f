//! One record of a batch, borrowed from its bytes.
//!
//! ```text
//! varint length | i8 attributes | varlong timestamp delta | varint offset delta
//! varint key length (-1: null) | key | varint value length (-1: null) | value
//! varint header count | { varint key length | key | varint value length (-1: null) | value }
//! ```
//! Varints are zig-zag, least significant group first.

use super::{Batch, Error, TimestampType};

/// One record. Offsets and timestamps are absolute.
#[derive(Clone, Debug)]
pub struct Record<'d> {
    pub offset: i64,
    pub offset_delta: i32,
    /// Milliseconds since 1970; for `LogAppendTime` the batch's.
    pub timestamp: i64,
    pub key: Option<&'d [u8]>,
    pub value: Option<&'d [u8]>,
    pub headers: Headers<'d>,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'d> {
    /// Should be UTF-8, but nobody checks it on the way.
    pub key: &'d [u8],
    pub value: Option<&'d [u8]>,
}

/// The headers of a record, in order; already checked when the record was read.
#[derive(Clone, Debug)]
pub struct Headers<'d> {
    left: i32,
    data: &'d [u8],
}

impl<'d> Iterator for Headers<'d> {
    type Item = Header<'d>;

    fn next(&mut self) -> Option<Header<'d>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        read_header(&mut self.data).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

/// The records of a batch; see [`Batch::records`].
pub struct Records<'d> {
    data: &'d [u8],
    left: i32,
    base_offset: i64,
    last_offset_delta: i32,
    base_timestamp: i64,
    log_append_time: Option<i64>,
}

impl<'d> Records<'d> {
    pub(super) fn new(batch: &Batch<'_>, data: &'d [u8]) -> Records<'d> {
        Records {
            data,
            left: batch.record_count(),
            base_offset: batch.base_offset(),
            last_offset_delta: batch.last_offset_delta(),
            base_timestamp: batch.base_timestamp(),
            log_append_time: (batch.timestamp_type() == TimestampType::LogAppendTime).then(|| batch.max_timestamp()),
        }
    }

    fn read(&mut self) -> Result<Record<'d>, Error> {
        let length = varint(&mut self.data)?;
        let mut body = take(&mut self.data, length)?;
        let body = &mut body;
        take(body, 1)?; // attributes: unused so far
        let timestamp = self.base_timestamp.wrapping_add(varlong(body)?);
        let offset_delta = varint(body)?;
        if offset_delta < 0 || offset_delta > self.last_offset_delta {
            return Err(Error::Record("offset delta outside its batch"));
        }
        let key = nullable(body)?;
        let value = nullable(body)?;
        let left = varint(body)?;
        if left < 0 {
            return Err(Error::Record("negative header count"));
        }
        let headers = Headers { left, data: body };
        for _ in 0..left {
            read_header(body)?;
        }
        if !body.is_empty() {
            return Err(Error::Record("bytes after the last header"));
        }
        Ok(Record {
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            offset_delta,
            timestamp: self.log_append_time.unwrap_or(timestamp),
            key,
            value,
            headers,
        })
    }
}

impl<'d> Iterator for Records<'d> {
    type Item = Result<Record<'d>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left <= 0 {
            if self.left == 0 && !self.data.is_empty() {
                self.left = -1;
                return Some(Err(Error::Record("bytes after the last record")));
            }
            return None;
        }
        self.left -= 1;
        let record = self.read();
        if record.is_err() {
            self.left = -1;
        }
        Some(record)
    }
}

fn read_header<'d>(data: &mut &'d [u8]) -> Result<Header<'d>, Error> {
    let key = nullable(data)?.ok_or(Error::Record("header key is null"))?;
    Ok(Header { key, value: nullable(data)? })
}

fn nullable<'d>(data: &mut &'d [u8]) -> Result<Option<&'d [u8]>, Error> {
    match varint(data)? {
        -1 => Ok(None),
        length => take(data, length).map(Some),
    }
}

fn take<'d>(data: &mut &'d [u8], length: i32) -> Result<&'d [u8], Error> {
    let length = usize::try_from(length).map_err(|_| Error::Record("negative length"))?;
    if length > data.len() {
        return Err(Error::Record("length beyond the end"));
    }
    let (taken, rest) = data.split_at(length);
    *data = rest;
    Ok(taken)
}

fn varint(data: &mut &[u8]) -> Result<i32, Error> {
    let value = unsigned(data, 5)?;
    let value = u32::try_from(value).map_err(|_| Error::Record("varint too long"))?;
    Ok((value >> 1) as i32 ^ -((value & 1) as i32))
}

fn varlong(data: &mut &[u8]) -> Result<i64, Error> {
    let value = unsigned(data, 10)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

fn unsigned(data: &mut &[u8], max: usize) -> Result<u64, Error> {
    let mut value = 0u64;
    for (index, &byte) in data.iter().take(max).enumerate() {
        // The tenth byte of a varlong has one bit to give.
        if index == 9 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *data = &data[index + 1..];
            return Ok(value);
        }
    }
    Err(Error::Record("varint too long"))
}

/// Appends a zig-zag varint.
pub(super) fn put_varint(out: &mut Vec<u8>, value: i32) {
    put_unsigned(out, u64::from(((value << 1) ^ (value >> 31)) as u32));
}

/// Appends a zig-zag varlong.
pub(super) fn put_varlong(out: &mut Vec<u8>, value: i64) {
    put_unsigned(out, ((value << 1) ^ (value >> 63)) as u64);
}

fn put_unsigned(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
