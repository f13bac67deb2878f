//! Batches that we make ourselves: coordinators' records, control markers, converted and recompressed batches.

use super::record::{put_varint, put_varlong};
use super::{
    ATTRIBUTES_AT, CONTROL, CRC_AT, CompressionSettings, DELETE_HORIZON, HEADER_LEN, Header, LOG_APPEND_TIME,
    LOG_OVERHEAD, MAGIC, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE, NO_TIMESTAMP, TRANSACTIONAL, TimestampType,
    compress,
};

/// Builds one record batch of magic 2.
///
/// ```text
/// let mut batch = BatchBuilder::new();
/// batch.append(now_ms, Some(key), Some(value), &[]);
/// let bytes = batch.finish();
/// ```
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    records: Vec<u8>,
    scratch: Vec<u8>,
    base_offset: i64,
    leader_epoch: i32,
    attributes: i16,
    base_timestamp: i64,
    max_timestamp: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    count: i32,
    last_offset_delta: i32,
    compression: CompressionSettings,
}

impl Default for BatchBuilder {
    fn default() -> BatchBuilder {
        BatchBuilder {
            records: Vec::new(),
            scratch: Vec::new(),
            base_offset: 0,
            leader_epoch: -1,
            attributes: 0,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            count: 0,
            last_offset_delta: -1,
            compression: CompressionSettings::default(),
        }
    }
}

impl BatchBuilder {
    pub fn new() -> BatchBuilder {
        BatchBuilder::default()
    }

    /// The offset of the first record; a leader stamps its own over it.
    pub fn base_offset(mut self, offset: i64) -> BatchBuilder {
        self.base_offset = offset;
        self
    }

    pub fn leader_epoch(mut self, epoch: i32) -> BatchBuilder {
        self.leader_epoch = epoch;
        self
    }

    pub fn compression(mut self, compression: CompressionSettings) -> BatchBuilder {
        self.compression = compression;
        self
    }

    /// Marks the batch as an idempotent producer's.
    pub fn producer(mut self, id: i64, epoch: i16, base_sequence: i32) -> BatchBuilder {
        (self.producer_id, self.producer_epoch, self.base_sequence) = (id, epoch, base_sequence);
        self
    }

    pub fn transactional(mut self) -> BatchBuilder {
        self.attributes |= TRANSACTIONAL;
        self
    }

    pub fn control(mut self) -> BatchBuilder {
        self.attributes |= CONTROL;
        self
    }

    /// `LogAppendTime` says that `max_timestamp` is the time of every record.
    pub fn timestamp_type(mut self, kind: TimestampType) -> BatchBuilder {
        match kind {
            TimestampType::CreateTime => self.attributes &= !LOG_APPEND_TIME,
            TimestampType::LogAppendTime => self.attributes |= LOG_APPEND_TIME,
        }
        self
    }

    /// Says when the tombstones of this batch may go, milliseconds since 1970; takes the base timestamp's place (KIP-534).
    pub fn delete_horizon(mut self, horizon_ms: i64) -> BatchBuilder {
        self.attributes |= DELETE_HORIZON;
        self.base_timestamp = horizon_ms;
        self
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn record_count(&self) -> i32 {
        self.count
    }

    /// What [`BatchBuilder::finish`] would return at most, in bytes, leaving compression aside.
    pub fn size(&self) -> usize {
        HEADER_LEN + self.records.len()
    }

    /// Appends a record at the next offset. `timestamp_ms`: milliseconds since 1970, or -1.
    pub fn append(&mut self, timestamp_ms: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header<'_>]) {
        self.append_at(self.last_offset_delta + 1, timestamp_ms, key, value, headers.iter().copied());
    }

    /// Appends a record `offset_delta` after the base offset; deltas must grow.
    pub fn append_at<'h>(
        &mut self,
        offset_delta: i32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) {
        assert!(offset_delta > self.last_offset_delta, "records of a batch are appended in order");
        if self.count == 0 && self.attributes & DELETE_HORIZON == 0 {
            self.base_timestamp = timestamp_ms;
        }
        let body = &mut self.scratch;
        body.clear();
        body.push(0);
        put_varlong(body, timestamp_ms.wrapping_sub(self.base_timestamp));
        put_varint(body, offset_delta);
        put_nullable(body, key);
        put_nullable(body, value);
        put_varint(body, headers.clone().count() as i32);
        for header in headers {
            put_nullable(body, Some(header.key));
            put_nullable(body, header.value);
        }
        put_varint(&mut self.records, body.len() as i32);
        self.records.extend_from_slice(body);
        self.max_timestamp = self.max_timestamp.max(timestamp_ms);
        self.count += 1;
        self.last_offset_delta = offset_delta;
    }

    /// Says that the batch covers offsets up to `delta` after its base, though the last record lies before it.
    pub fn last_offset_delta(&mut self, delta: i32) {
        assert!(delta >= self.last_offset_delta, "a batch cannot end before its last record");
        self.last_offset_delta = delta;
    }

    /// Overrides the largest timestamp, as a batch of `LogAppendTime` needs.
    pub fn max_timestamp(&mut self, timestamp_ms: i64) {
        self.max_timestamp = timestamp_ms;
    }

    /// The batch, with its checksum.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size());
        out.extend_from_slice(&self.base_offset.to_be_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&self.leader_epoch.to_be_bytes());
        out.push(MAGIC as u8);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.attributes | i16::from(self.compression.codec.id())).to_be_bytes());
        out.extend_from_slice(&self.last_offset_delta.to_be_bytes());
        out.extend_from_slice(&self.base_timestamp.to_be_bytes());
        out.extend_from_slice(&self.max_timestamp.to_be_bytes());
        out.extend_from_slice(&self.producer_id.to_be_bytes());
        out.extend_from_slice(&self.producer_epoch.to_be_bytes());
        out.extend_from_slice(&self.base_sequence.to_be_bytes());
        out.extend_from_slice(&self.count.to_be_bytes());
        compress(self.compression, &self.records, &mut out);
        let length = (out.len() - LOG_OVERHEAD) as i32;
        out[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = crc32c::crc32c(&out[ATTRIBUTES_AT..]);
        out[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
        out
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put_varint(out, -1),
        Some(bytes) => {
            put_varint(out, bytes.len() as i32);
            out.extend_from_slice(bytes);
        }
    }
}

/// What the only record of a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecordType {
    Abort,
    Commit,
    /// One of KRaft's, or of a later version.
    Other(i16),
}

impl ControlRecordType {
    /// Reads the key of a control record: version, then type.
    pub fn parse(key: &[u8]) -> Option<ControlRecordType> {
        let [_, _, high, low, ..] = key else { return None };
        Some(match i16::from_be_bytes([*high, *low]) {
            0 => ControlRecordType::Abort,
            1 => ControlRecordType::Commit,
            other => ControlRecordType::Other(other),
        })
    }

    /// The key of a control record: version 0, then type.
    pub fn key(self) -> [u8; 4] {
        let id: i16 = match self {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::Other(id) => id,
        };
        let [high, low] = id.to_be_bytes();
        [0, 0, high, low]
    }
}

/// The control batch that ends a producer's transaction in one partition.
///
/// Source: `EndTransactionMarker`; KIP-98.
pub fn end_transaction_marker(
    kind: ControlRecordType,
    producer_id: i64,
    producer_epoch: i16,
    coordinator_epoch: i32,
    timestamp_ms: i64,
) -> Vec<u8> {
    let mut batch = BatchBuilder::new().producer(producer_id, producer_epoch, NO_SEQUENCE).transactional().control();
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    batch.append(timestamp_ms, Some(&kind.key()), Some(&value), &[]);
    batch.finish()
}
