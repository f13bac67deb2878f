//! Message sets of magic 0 and 1, which came before record batches.
//!
//! ```text
//!  0 offset i64      12 crc u32 (CRC-32 of 16..)   17 attributes i8: bits 0–2 codec, 3 LogAppendTime
//!  8 size i32        16 magic i8                   18 [magic 1: timestamp i64]
//!                                                  then key length i32, key, value length i32, value
//! ```
//! A compressed message is a wrapper: its value is a message set, and its offset is that of the last message inside.
//! In magic 1 the offsets inside count from 0; in magic 0 they are absolute.

use super::{Batch, BatchBuilder, Compression, Error, MAGIC, NO_TIMESTAMP, TimestampType, decompress};

/// Bytes of a message of magic 0 up to its key's length.
const V0_OVERHEAD: usize = 18;

/// The fields of a message that lie before its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageHeader {
    pub offset: i64,
    /// Whole size in bytes, offset and size included.
    pub size: usize,
    pub crc: u32,
    pub magic: i8,
    pub attributes: i8,
    /// -1 in magic 0.
    pub timestamp: i64,
}

impl MessageHeader {
    /// Reads the header at the start of `bytes`, which need not hold the whole message.
    ///
    /// # Errors
    /// `Truncated`, `TooSmall`, or `Magic` for anything but 0 and 1.
    pub fn parse(bytes: &[u8]) -> Result<MessageHeader, Error> {
        let size = super::size_of(bytes)?;
        let Some(head) = bytes.first_chunk::<V0_OVERHEAD>() else {
            return Err(Error::Truncated { needed: V0_OVERHEAD, available: bytes.len() });
        };
        let magic = head[16] as i8;
        let timestamp = match magic {
            0 => NO_TIMESTAMP,
            1 if size < V0_OVERHEAD + 16 => return Err(Error::TooSmall((size - 12) as i32)),
            1 => match bytes[V0_OVERHEAD..].first_chunk() {
                Some(timestamp) => i64::from_be_bytes(*timestamp),
                None => return Err(Error::Truncated { needed: V0_OVERHEAD + 8, available: bytes.len() }),
            },
            other => return Err(Error::Magic(other)),
        };
        Ok(MessageHeader {
            offset: i64::from_be_bytes(head[..8].try_into().expect("eight bytes")),
            size,
            crc: u32::from_be_bytes(head[12..16].try_into().expect("four bytes")),
            magic,
            attributes: head[17] as i8,
            timestamp,
        })
    }
}

/// Checks the checksum of the whole message at the start of `bytes`.
///
/// # Errors
/// `Crc`, and those of [`MessageHeader::parse`]; `Truncated` if it is not whole.
pub fn verify_crc(bytes: &[u8]) -> Result<(), Error> {
    let header = MessageHeader::parse(bytes)?;
    let message = bytes.get(16..header.size).ok_or(Error::Truncated { needed: header.size, available: bytes.len() })?;
    let mut crc = flate2::Crc::new();
    crc.update(message);
    if crc.sum() != header.crc {
        return Err(Error::Crc { stored: header.crc, computed: crc.sum() });
    }
    Ok(())
}

/// One message as its producer meant it: taken out of its wrapper, with its absolute offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub offset: i64,
    /// Milliseconds since 1970; -1 in magic 0.
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// The checksum it came with, and whether that is right.
    pub crc: u32,
    pub is_valid: bool,
}

const CODEC_MASK: i8 = 0x07;
/// The attribute that says that the broker gave the timestamp.
pub const LOG_APPEND_TIME: i8 = 0x08;

/// All messages of a message set, out of their wrappers, checksums checked. What is cut off at the end is left out, as
/// message sets may be. `limit`: what may come out of a wrapper, in bytes.
///
/// # Errors
/// `Crc`, `Magic`, `TooSmall`, `Record`, or a codec's.
pub fn messages(set: &[u8], limit: usize) -> Result<Vec<Message>, Error> {
    let mut out = Vec::new();
    walk(set, limit, Walk::default(), &mut |message| out.push(message))?;
    Ok(out)
}

/// Like [`messages`], for who wants to see those with a wrong checksum too.
///
/// # Errors
/// As [`messages`], but for `Crc`.
pub fn messages_unchecked(set: &[u8], limit: usize) -> Result<Vec<Message>, Error> {
    let mut out = Vec::new();
    walk(set, limit, Walk { any_crc: true, ..Walk::default() }, &mut |message| out.push(message))?;
    Ok(out)
}

#[derive(Clone, Copy, Default)]
struct Walk {
    /// In a wrapper, where there may be no other.
    inside: bool,
    /// Wrong checksums are let through.
    any_crc: bool,
}

/// Hands every message of a set to `push`.
fn walk(set: &[u8], limit: usize, how: Walk, push: &mut dyn FnMut(Message)) -> Result<(), Error> {
    let mut rest = set;
    while let Some(header) = whole(rest)? {
        let crc = verify_crc(rest);
        let is_valid = crc.is_ok();
        if !how.any_crc {
            crc?;
        }
        let (message, after) = rest.split_at(header.size);
        rest = after;
        let mut body = &message[V0_OVERHEAD + if header.magic == 0 { 0 } else { 8 }..];
        let key = nullable(&mut body)?;
        let value = nullable(&mut body)?;
        match Compression::from_id((header.attributes & CODEC_MASK) as u8)? {
            Compression::None => push(Message {
                offset: header.offset,
                timestamp: header.timestamp,
                key: key.map(<[u8]>::to_vec),
                value: value.map(<[u8]>::to_vec),
                crc: header.crc,
                is_valid,
            }),
            _ if how.inside => return Err(Error::Record("a wrapper inside a wrapper")),
            codec => {
                let value = value.ok_or(Error::Record("a wrapper without a value"))?;
                let set = match codec {
                    Compression::Lz4 if header.magic == 0 => decompress(codec, &mend_lz4_header(value)?, limit)?,
                    _ => decompress(codec, value, limit)?,
                };
                let mut inner = Vec::new();
                walk(&set, limit, Walk { inside: true, ..how }, &mut |message| inner.push(message))?;
                let last = inner.last().ok_or(Error::Record("an empty wrapper"))?.offset;
                for mut message in inner {
                    if header.magic > 0 {
                        message.offset = message.offset.wrapping_add(header.offset.wrapping_sub(last));
                        if header.attributes & LOG_APPEND_TIME != 0 {
                            message.timestamp = header.timestamp;
                        }
                    }
                    push(message);
                }
            }
        }
    }
    Ok(())
}

/// The header of the first message, if all of it is there.
fn whole(set: &[u8]) -> Result<Option<MessageHeader>, Error> {
    match MessageHeader::parse(set) {
        Ok(header) if header.size <= set.len() => Ok(Some(header)),
        Ok(_) | Err(Error::Truncated { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn nullable<'d>(body: &mut &'d [u8]) -> Result<Option<&'d [u8]>, Error> {
    let (length, rest) = body.split_first_chunk::<4>().ok_or(Error::Record("length beyond the end"))?;
    match i32::from_be_bytes(*length) {
        -1 => {
            *body = rest;
            Ok(None)
        }
        length => {
            let length = usize::try_from(length).map_err(|_| Error::Record("negative length"))?;
            let (taken, rest) = rest.split_at_checked(length).ok_or(Error::Record("length beyond the end"))?;
            *body = rest;
            Ok(Some(taken))
        }
    }
}

/// Clients of magic 0 hashed the frame's magic number into its header checksum, which the format forbids (KAFKA-3160).
/// Writes the right checksum, so that any lz4 reader takes the frame.
fn mend_lz4_header(frame: &[u8]) -> Result<Vec<u8>, Error> {
    let cut = || Error::Decompress("lz4 frame is cut off".into());
    let flags = *frame.get(4).ok_or_else(cut)?;
    let content_size = if flags & 0x08 != 0 { 8 } else { 0 };
    let descriptor = 4..6 + content_size;
    let checksum_at = descriptor.end;
    let hash = xxh32_short(frame.get(descriptor).ok_or_else(cut)?);
    let mut frame = frame.to_vec();
    *frame.get_mut(checksum_at).ok_or_else(cut)? = (hash >> 8) as u8;
    Ok(frame)
}

/// XXH32 with seed 0 of fewer than 16 bytes, all that an lz4 frame descriptor has.
fn xxh32_short(data: &[u8]) -> u32 {
    const P1: u32 = 0x9e37_79b1;
    const P2: u32 = 0x85eb_ca77;
    const P3: u32 = 0xc2b2_ae3d;
    const P4: u32 = 0x27d4_eb2f;
    const P5: u32 = 0x1656_67b1;
    debug_assert!(data.len() < 16, "longer input takes another path");
    let mut hash = P5.wrapping_add(data.len() as u32);
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let word = u32::from_le_bytes(*word);
        hash = hash.wrapping_add(word.wrapping_mul(P3)).rotate_left(17).wrapping_mul(P4);
    }
    for &byte in rest {
        hash = hash.wrapping_add(u32::from(byte).wrapping_mul(P5)).rotate_left(11).wrapping_mul(P1);
    }
    hash = (hash ^ (hash >> 15)).wrapping_mul(P2);
    hash = (hash ^ (hash >> 13)).wrapping_mul(P3);
    hash ^ (hash >> 16)
}

/// The record batch that a message set of a produce request (v0 to v2) becomes; in the codec that it came in.
///
/// # Errors
/// Those of [`messages`]; `Truncated` if the last message is cut off; `Record` if there is none.
pub fn up_convert(set: &[u8], limit: usize) -> Result<Vec<u8>, Error> {
    let mut at = 0;
    let mut codec = Compression::None;
    while let Some(header) = whole(&set[at..])? {
        let attributes = Compression::from_id((header.attributes & CODEC_MASK) as u8)?;
        if attributes != Compression::None {
            codec = attributes;
        }
        at += header.size;
    }
    if at < set.len() {
        return Err(Error::Truncated { needed: super::LOG_OVERHEAD, available: set.len() - at });
    }
    let mut batch = BatchBuilder::new().compression(codec.into());
    walk(set, limit, Walk::default(), &mut |message| {
        batch.append(message.timestamp, message.key.as_deref(), message.value.as_deref(), &[]);
    })?;
    if batch.is_empty() {
        return Err(Error::Record("no messages"));
    }
    Ok(batch.finish())
}

/// The message set of `magic` 0 or 1 that a fetch (v0 to v3) gets for stored batches: the records from `start_offset` on,
/// one message each, not compressed; without control records and without headers, for which the old format has no room.
///
/// # Errors
/// Those of the batches' and of the codecs'.
pub fn down_convert(stored: &[u8], magic: i8, start_offset: i64, limit: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(stored.len());
    let mut rest = stored;
    while !rest.is_empty() {
        let size = super::size_of(rest)?;
        let Some(bytes) = rest.get(..size) else {
            return Err(Error::Truncated { needed: size, available: rest.len() });
        };
        rest = &rest[size..];
        if (bytes[16] as i8) < MAGIC {
            walk(bytes, limit, Walk::default(), &mut |message| {
                if message.offset >= start_offset {
                    put_message(
                        &mut out,
                        magic,
                        message.offset,
                        message.timestamp,
                        0,
                        message.key.as_deref(),
                        message.value.as_deref(),
                    );
                }
            })?;
            continue;
        }
        let (batch, _) = Batch::split_first(bytes)?;
        if batch.is_control() {
            continue;
        }
        let attributes = if batch.timestamp_type() == TimestampType::LogAppendTime { LOG_APPEND_TIME } else { 0 };
        let data = batch.record_data(limit)?;
        for record in batch.records(&data) {
            let record = record?;
            if record.offset >= start_offset {
                put_message(&mut out, magic, record.offset, record.timestamp, attributes, record.key, record.value);
            }
        }
    }
    Ok(out)
}

/// The offset after whole batches of which [`down_convert`] would leave nothing: markers, and what compaction has
/// emptied. None if there is something for the client, or if that cannot be said.
pub fn offset_after_nothing(stored: &[u8], start_offset: i64, limit: usize) -> Option<i64> {
    let mut rest = stored;
    let mut next_offset = None;
    while !rest.is_empty() {
        let (batch, after) = Batch::split_first(rest).ok()?;
        let is_whole = i64::from(batch.record_count()) == i64::from(batch.last_offset_delta()) + 1;
        let is_nothing = batch.is_control()
            || (!is_whole && down_convert(batch.bytes(), 1, start_offset, limit).is_ok_and(|left| left.is_empty()));
        if !is_nothing {
            return None;
        }
        next_offset = Some(batch.next_offset());
        rest = after;
    }
    next_offset
}

/// Appends one message, not compressed, with its checksum.
pub fn put_message(
    out: &mut Vec<u8>,
    magic: i8,
    offset: i64,
    timestamp: i64,
    attributes: i8,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) {
    let at = out.len();
    out.extend_from_slice(&offset.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out.push(magic as u8);
    if magic == 0 {
        out.push(0);
    } else {
        out.push(attributes as u8);
        out.extend_from_slice(&timestamp.to_be_bytes());
    }
    for field in [key, value] {
        out.extend_from_slice(&field.map_or(-1, |bytes| bytes.len() as i32).to_be_bytes());
        out.extend_from_slice(field.unwrap_or_default());
    }
    let size = (out.len() - at - super::LOG_OVERHEAD) as i32;
    out[at + 8..at + 12].copy_from_slice(&size.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&out[at + 16..]);
    let crc = crc.sum();
    out[at + 12..at + 16].copy_from_slice(&crc.to_be_bytes());
}
