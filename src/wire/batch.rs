//! The record batch (magic 2, KIP-98): a checked view over its bytes, and stamps in place.
//!
//! ```text
//!  0 base_offset i64            23 last_offset_delta i32     53 base_sequence i32
//!  8 batch_length i32 (after)   27 base_timestamp i64        57 record_count i32
//! 12 partition_leader_epoch i32 35 max_timestamp i64         61 records (compressed: one block)
//! 16 magic i8 = 2               43 producer_id i64
//! 17 crc u32 (CRC-32C of 21..)  51 producer_epoch i16
//! 21 attributes i16: bits 0–2 codec, 3 LogAppendTime, 4 transactional, 5 control, 6 delete horizon
//! ```
//!
//! Base offset and leader epoch lie outside the checksum, so a leader stamps both and touches nothing else. The
//! records themselves are decoded only by those who must see them: [`Batch::record_data`], then [`Batch::records`].
//!
//! Source: `DefaultRecordBatch`, `DefaultRecord` of Apache Kafka.

mod builder;
mod compression;
pub mod legacy;
mod record;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub use builder::{BatchBuilder, ControlRecordType, end_transaction_marker};
pub use compression::{Compression, CompressionSettings, compress, decompress};
pub use record::{Header, Headers, Record, Records};

/// Bytes of a batch before its records.
pub const HEADER_LEN: usize = 61;
/// Bytes before what `batch_length` counts: base offset and the length itself.
pub const LOG_OVERHEAD: usize = 12;
/// The magic byte of the only format that is appended today.
pub const MAGIC: i8 = 2;
/// Says "no producer id": the batch is not from an idempotent producer.
pub const NO_PRODUCER_ID: i64 = -1;
/// Says "no producer epoch".
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// Says "no sequence": not from an idempotent producer, or a control batch.
pub const NO_SEQUENCE: i32 = -1;
/// Says "no timestamp": records that came with magic 0.
pub const NO_TIMESTAMP: i64 = -1;
/// What one batch may grow to when it is decompressed, if the caller knows no better bound. Apache Kafka has none;
/// a batch of the largest request (100 MiB) would have to shrink by more than half to meet it.
pub const MAX_DECOMPRESSED: usize = 256 << 20;

const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

const CODEC_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;
const DELETE_HORIZON: i16 = 0x40;

/// What is wrong with the bytes of a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("Batch of {needed} bytes is cut off: only {available} are there")]
    Truncated { needed: usize, available: usize },
    #[error("Record batch has length {0}, which is smaller than the header")]
    TooSmall(i32),
    #[error("Invalid magic found in record: {0}")]
    Magic(i8),
    #[error("Record is corrupt (stored crc = {stored}, computed crc = {computed})")]
    Crc { stored: u32, computed: u32 },
    #[error("Unknown compression type id: {0}")]
    UnknownCompression(u8),
    #[error("The record batch does not decompress: {0}")]
    Decompress(String),
    #[error("The record batch decompresses to more than {0} bytes")]
    TooLarge(usize),
    #[error("Invalid record: {0}")]
    Record(&'static str),
}

/// Which clock a batch's timestamps come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    #[default]
    CreateTime,
    LogAppendTime,
}

/// One whole record batch of magic 2; exactly its bytes, nothing before or after.
///
/// The header may hold any values: what a receiver must check is named by the methods `verify_*`.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    bytes: &'a [u8],
}

/// The size in bytes of the batch (any magic) that starts at `bytes`, from its header alone.
///
/// # Errors
/// `Truncated` if fewer than [`LOG_OVERHEAD`] bytes are there, `TooSmall` if the length cannot be one.
pub fn size_of(bytes: &[u8]) -> Result<usize, Error> {
    let Some(length) = bytes.get(8..LOG_OVERHEAD) else {
        return Err(Error::Truncated { needed: LOG_OVERHEAD, available: bytes.len() });
    };
    let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
    // The smallest message of magic 0: crc, magic, attributes, two null lengths.
    if length < 14 {
        return Err(Error::TooSmall(length));
    }
    Ok(length as usize + LOG_OVERHEAD)
}

impl<'a> Batch<'a> {
    /// Takes the batch at the start of `bytes`, and returns what follows it.
    ///
    /// # Errors
    /// `Truncated` if the batch is not whole, `TooSmall`, or `Magic` for anything but 2.
    pub fn split_first(bytes: &'a [u8]) -> Result<(Batch<'a>, &'a [u8]), Error> {
        let size = size_of(bytes)?;
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic as i8 != MAGIC
        {
            return Err(Error::Magic(magic as i8));
        }
        if size < HEADER_LEN {
            return Err(Error::TooSmall((size - LOG_OVERHEAD) as i32));
        }
        if bytes.len() < size {
            return Err(Error::Truncated { needed: size, available: bytes.len() });
        }
        let (batch, rest) = bytes.split_at(size);
        Ok((Batch { bytes: batch }, rest))
    }

    /// A view of the header alone, for who read only [`HEADER_LEN`] bytes; it has no records and no checksum.
    pub fn header(bytes: &'a [u8; HEADER_LEN]) -> Result<Batch<'a>, Error> {
        let size = size_of(bytes)?;
        if bytes[MAGIC_AT] as i8 != MAGIC {
            return Err(Error::Magic(bytes[MAGIC_AT] as i8));
        }
        if size < HEADER_LEN {
            return Err(Error::TooSmall((size - LOG_OVERHEAD) as i32));
        }
        Ok(Batch { bytes })
    }

    fn i16_at(&self, at: usize) -> i16 {
        i16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn i32_at(&self, at: usize) -> i32 {
        i32::from_be_bytes(self.bytes[at..at + 4].try_into().expect("four bytes"))
    }

    fn i64_at(&self, at: usize) -> i64 {
        i64::from_be_bytes(self.bytes[at..at + 8].try_into().expect("eight bytes"))
    }

    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whole size in bytes, as the header says.
    pub fn size(&self) -> usize {
        self.i32_at(8) as usize + LOG_OVERHEAD
    }

    pub fn base_offset(&self) -> i64 {
        self.i64_at(0)
    }

    pub fn partition_leader_epoch(&self) -> i32 {
        self.i32_at(12)
    }

    pub fn crc(&self) -> u32 {
        self.i32_at(CRC_AT) as u32
    }

    pub fn attributes(&self) -> i16 {
        self.i16_at(ATTRIBUTES_AT)
    }

    pub fn last_offset_delta(&self) -> i32 {
        self.i32_at(23)
    }

    /// The offset of the last record; it stays when compaction has removed that record.
    pub fn last_offset(&self) -> i64 {
        self.base_offset().wrapping_add(i64::from(self.last_offset_delta()))
    }

    /// The offset after the last record.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Milliseconds since 1970; with a delete horizon this field is the horizon instead.
    pub fn base_timestamp(&self) -> i64 {
        self.i64_at(27)
    }

    /// Milliseconds since 1970; -1 if there is none.
    pub fn max_timestamp(&self) -> i64 {
        self.i64_at(MAX_TIMESTAMP_AT)
    }

    pub fn producer_id(&self) -> i64 {
        self.i64_at(43)
    }

    pub fn has_producer_id(&self) -> bool {
        self.producer_id() > NO_PRODUCER_ID
    }

    pub fn producer_epoch(&self) -> i16 {
        self.i16_at(51)
    }

    pub fn base_sequence(&self) -> i32 {
        self.i32_at(53)
    }

    /// The sequence number of the last record; sequences wrap from `i32::MAX` to 0.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            NO_SEQUENCE => NO_SEQUENCE,
            base => sequence_after(base, self.last_offset_delta()),
        }
    }

    pub fn record_count(&self) -> i32 {
        self.i32_at(57)
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// `UnknownCompression` for the ids 5 to 7.
    pub fn compression(&self) -> Result<Compression, Error> {
        Compression::from_id((self.attributes() & CODEC_MASK) as u8)
    }

    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes() & LOG_APPEND_TIME != 0 { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes() & TRANSACTIONAL != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes() & CONTROL != 0
    }

    /// When tombstones of this batch may go, if the cleaner has set it (KIP-534).
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        (self.attributes() & DELETE_HORIZON != 0).then(|| self.base_timestamp())
    }

    /// The records as they lie in the batch, compressed or not.
    pub fn records_bytes(&self) -> &'a [u8] {
        &self.bytes[HEADER_LEN..]
    }

    /// # Errors
    /// `Crc` if the checksum is another's.
    pub fn verify_crc(&self) -> Result<(), Error> {
        let computed = crc32c::crc32c(&self.bytes[ATTRIBUTES_AT..]);
        if computed != self.crc() {
            return Err(Error::Crc { stored: self.crc(), computed });
        }
        Ok(())
    }

    /// Checks what a follower or a recovery may believe without looking at the records: checksum, counts, offsets.
    ///
    /// # Errors
    /// `Crc`, or `Record` naming the field.
    pub fn verify(&self) -> Result<(), Error> {
        self.verify_crc()?;
        if self.record_count() < 0 || self.last_offset_delta() < 0 {
            return Err(Error::Record("negative record count or last offset delta"));
        }
        if self.base_offset() < 0 || self.base_offset().checked_add(i64::from(self.last_offset_delta()) + 1).is_none() {
            return Err(Error::Record("base offset out of range"));
        }
        Ok(())
    }

    /// The records' bytes as [`Batch::records`] wants them: as they are, or decompressed.
    ///
    /// # Errors
    /// `TooLarge` beyond `limit` bytes, `Decompress`, `UnknownCompression`.
    pub fn record_data(&self, limit: usize) -> Result<Cow<'a, [u8]>, Error> {
        match self.compression()? {
            Compression::None => Ok(Cow::Borrowed(self.records_bytes())),
            codec => Ok(Cow::Owned(decompress(codec, self.records_bytes(), limit)?)),
        }
    }

    /// Walks the records that [`Batch::record_data`] returned. Ends after `record_count` records, or with one error.
    pub fn records<'d>(&self, data: &'d [u8]) -> Records<'d> {
        Records::new(self, data)
    }

    /// Calls `visit` for every record, decompressing if need be; what it returns in `Err` ends the walk.
    ///
    /// # Errors
    /// Those of [`Batch::record_data`] and of malformed records.
    pub fn for_each_record<E: From<Error>>(
        &self,
        limit: usize,
        mut visit: impl FnMut(Record<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let data = self.record_data(limit)?;
        for record in self.records(&data) {
            visit(record?)?;
        }
        Ok(())
    }

    /// What a control batch says: its type, and for the end of a transaction the coordinator's epoch.
    /// None if this is no control batch, or one with nothing readable in it.
    pub fn control_record(&self) -> Option<(ControlRecordType, i32)> {
        if !self.is_control() {
            return None;
        }
        let data = self.record_data(MAX_DECOMPRESSED).ok()?;
        let record = self.records(&data).next()?.ok()?;
        let kind = ControlRecordType::parse(record.key?)?;
        let coordinator_epoch = match record.value {
            Some([_, _, a, b, c, d, ..]) => i32::from_be_bytes([*a, *b, *c, *d]),
            _ => -1,
        };
        Some((kind, coordinator_epoch))
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("base_offset", &self.base_offset())
            .field("last_offset", &self.last_offset())
            .field("leader_epoch", &self.partition_leader_epoch())
            .field("attributes", &self.attributes())
            .field("records", &self.record_count())
            .field("size", &self.size())
            .finish()
    }
}

/// The sequence number `delta` after `base`; sequences wrap from `i32::MAX` to 0.
pub fn sequence_after(base: i32, delta: i32) -> i32 {
    if base > i32::MAX - delta { delta - (i32::MAX - base) - 1 } else { base + delta }
}

/// Writes base offset and leader epoch into the batch that starts at `bytes`; the checksum does not cover them.
///
/// `bytes` must hold a batch that [`Batch::split_first`] has accepted.
pub fn stamp(bytes: &mut [u8], base_offset: i64, leader_epoch: i32) {
    bytes[..8].copy_from_slice(&base_offset.to_be_bytes());
    bytes[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Makes the batch (exactly its bytes) one of `LogAppendTime`: attribute, max timestamp, and a new checksum.
pub fn stamp_log_append_time(batch: &mut [u8], timestamp_ms: i64) {
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&timestamp_ms.to_be_bytes());
    stamp_attributes(batch, |attributes| attributes | LOG_APPEND_TIME);
}

/// Corrects the largest timestamp of the batch (exactly its bytes); with a new checksum.
pub fn stamp_max_timestamp(batch: &mut [u8], timestamp_ms: i64) {
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&timestamp_ms.to_be_bytes());
    stamp_attributes(batch, |attributes| attributes);
}

/// Makes the batch (exactly its bytes) one of `CreateTime`, if its producer said otherwise; with a new checksum.
pub fn stamp_create_time(batch: &mut [u8]) {
    stamp_attributes(batch, |attributes| attributes & !LOG_APPEND_TIME);
}

fn stamp_attributes(batch: &mut [u8], change: impl Fn(i16) -> i16) {
    let attributes = change(i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]));
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}
