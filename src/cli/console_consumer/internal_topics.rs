//! Records of `__consumer_offsets` and `__transaction_state`, as Apache's formatters print them.
//!
//! A record's key and value each begin with their version (i16) and go on with the fields that this version has.
//! Every version that any release wrote is read, the flexible ones of 4.x included.
//!
//! Source: the schemas `OffsetCommitKey/Value`, `GroupMetadataKey/Value`, `TransactionLogKey/Value`;
//! `ApiMessageFormatter` of 3.9 (JSON), `GroupMetadataManager` and `TransactionLog` of 3.8 (text).

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Map, Value, json};

use super::formatter::{InternalRecord, Style};
use crate::client::consumer::Record;
use crate::wire::codec::{Bytes, Reader};

/// A field of a record, from the first version that has it to the last.
struct Field {
    name: &'static str,
    kind: Kind,
    first: i16,
    last: i16,
}

enum Kind {
    Int8,
    Int16,
    Int32,
    Int64,
    /// Null or not.
    String,
    Bytes,
    Ints,
    Structs(&'static [Field]),
}

const fn field(name: &'static str, kind: Kind, first: i16) -> Field {
    Field { name, kind, first, last: i16::MAX }
}

/// What lies in the value of one kind of record.
struct Schema {
    versions: std::ops::RangeInclusive<i16>,
    first_flexible: i16,
    fields: &'static [Field],
}

const OFFSET_KEY: Schema = Schema {
    versions: 0..=1,
    first_flexible: i16::MAX,
    fields: &[field("group", Kind::String, 0), field("topic", Kind::String, 0), field("partition", Kind::Int32, 0)],
};

const OFFSET_VALUE: Schema = Schema {
    versions: 0..=4,
    first_flexible: 4,
    fields: &[
        field("offset", Kind::Int64, 0),
        field("leaderEpoch", Kind::Int32, 3),
        field("metadata", Kind::String, 0),
        field("commitTimestamp", Kind::Int64, 0),
        Field { name: "expireTimestamp", kind: Kind::Int64, first: 1, last: 1 },
    ],
};

const GROUP_KEY: Schema =
    Schema { versions: 2..=2, first_flexible: i16::MAX, fields: &[field("group", Kind::String, 2)] };

const GROUP_VALUE: Schema = Schema {
    versions: 0..=4,
    first_flexible: 4,
    fields: &[
        field("protocolType", Kind::String, 0),
        field("generation", Kind::Int32, 0),
        field("protocol", Kind::String, 0),
        field("leader", Kind::String, 0),
        field("currentStateTimestamp", Kind::Int64, 2),
        field("members", Kind::Structs(MEMBER), 0),
    ],
};

const MEMBER: &[Field] = &[
    field("memberId", Kind::String, 0),
    field("groupInstanceId", Kind::String, 3),
    field("clientId", Kind::String, 0),
    field("clientHost", Kind::String, 0),
    field("rebalanceTimeout", Kind::Int32, 1),
    field("sessionTimeout", Kind::Int32, 0),
    field("subscription", Kind::Bytes, 0),
    field("assignment", Kind::Bytes, 0),
];

const TRANSACTION_KEY: Schema =
    Schema { versions: 0..=0, first_flexible: i16::MAX, fields: &[field("transactionalId", Kind::String, 0)] };

const TRANSACTION_VALUE: Schema = Schema {
    versions: 0..=1,
    first_flexible: 1,
    fields: &[
        field("producerId", Kind::Int64, 0),
        field("producerEpoch", Kind::Int16, 0),
        field("transactionTimeoutMs", Kind::Int32, 0),
        field("transactionStatus", Kind::Int8, 0),
        field("transactionPartitions", Kind::Structs(TRANSACTION_PARTITIONS), 0),
        field("transactionLastUpdateTimestampMs", Kind::Int64, 0),
        field("transactionStartTimestampMs", Kind::Int64, 0),
    ],
};

const TRANSACTION_PARTITIONS: &[Field] = &[field("topic", Kind::String, 0), field("partitionIds", Kind::Ints, 0)];

/// Appends what is printed of a record; records of another kind print nothing.
///
/// # Errors
/// The record is not what its topic holds.
pub fn write_to(kind: InternalRecord, style: &Style, record: &Record<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    match style {
        Style::Json { label } => {
            if let Some(value) = record.value {
                label.set(if is_of_kafka_4(kind, version_of(value)?) { "type" } else { "version" });
            }
            if let Some(json) = as_json(kind, record.key, record.value, label.get())? {
                out.extend_from_slice(json.to_string().as_bytes());
            }
        }
        Style::Text => {
            if let Some(text) = as_text(kind, record.key, record.value)? {
                // Writing to a Vec cannot fail.
                let _ = writeln!(out, "{text}");
            }
        }
    }
    Ok(())
}

/// Kafka 4.0 is the first whose brokers write flexible values.
fn is_of_kafka_4(kind: InternalRecord, version: i16) -> bool {
    version
        >= match kind {
            InternalRecord::Offset => OFFSET_VALUE.first_flexible,
            InternalRecord::GroupMetadata => GROUP_VALUE.first_flexible,
            InternalRecord::TransactionLog => TRANSACTION_VALUE.first_flexible,
        }
}

/// A key of the wanted kind, of another kind, or of none that is known.
enum Key {
    Wanted(&'static Schema),
    Other,
    Unknown,
}

fn key_of(kind: InternalRecord, version: i16) -> Key {
    match kind {
        InternalRecord::Offset if OFFSET_KEY.versions.contains(&version) => Key::Wanted(&OFFSET_KEY),
        InternalRecord::GroupMetadata if GROUP_KEY.versions.contains(&version) => Key::Wanted(&GROUP_KEY),
        InternalRecord::TransactionLog if TRANSACTION_KEY.versions.contains(&version) => Key::Wanted(&TRANSACTION_KEY),
        InternalRecord::Offset if GROUP_KEY.versions.contains(&version) => Key::Other,
        InternalRecord::GroupMetadata if OFFSET_KEY.versions.contains(&version) => Key::Other,
        _ => Key::Unknown,
    }
}

fn value_schema(kind: InternalRecord) -> &'static Schema {
    match kind {
        InternalRecord::Offset => &OFFSET_VALUE,
        InternalRecord::GroupMetadata => &GROUP_VALUE,
        InternalRecord::TransactionLog => &TRANSACTION_VALUE,
    }
}

fn as_json(
    kind: InternalRecord,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    label: &str,
) -> Result<Option<Value>, String> {
    let key_json = match key {
        None => Value::Null,
        Some(key) => {
            let version = version_of(key)?;
            let data = match key_of(kind, version) {
                Key::Wanted(schema) => read(schema, key)?,
                Key::Other => return Ok(None),
                Key::Unknown => json!("unknown"),
            };
            json!({ label: version, "data": data })
        }
    };
    let value_json = match value {
        None => Value::Null,
        Some(value) => {
            let version = version_of(value)?;
            let schema = value_schema(kind);
            let known = schema.versions.contains(&version);
            let data = if known { read(schema, value)? } else { json!("unknown") };
            json!({ "version": version, "data": data })
        }
    };
    Ok(Some(json!({ "key": key_json, "value": value_json })))
}

fn as_text(kind: InternalRecord, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<String>, String> {
    let Some(key) = key else { return Ok(None) };
    let version = version_of(key)?;
    let key = match key_of(kind, version) {
        Key::Wanted(schema) => read(schema, key)?,
        Key::Unknown if kind == InternalRecord::TransactionLog => {
            return Ok(Some(format!("unknown::version={version}")));
        }
        _ => return Ok(None),
    };
    let value = match value {
        None => None,
        Some(value) => {
            let version = version_of(value)?;
            let schema = value_schema(kind);
            if !schema.versions.contains(&version) {
                let what = match kind {
                    InternalRecord::Offset => "offset",
                    InternalRecord::GroupMetadata => "group metadata",
                    InternalRecord::TransactionLog => "transaction log",
                };
                return Err(format!("java.lang.IllegalStateException: Unknown {what} message version: {version}"));
            }
            Some(read(schema, value)?)
        }
    };
    Ok(Some(match kind {
        InternalRecord::Offset => {
            let text = value.map_or("NULL".to_owned(), |value| offset_text(&value));
            format!("[{},{},{}]::{text}", plain(&key["group"]), plain(&key["topic"]), plain(&key["partition"]))
        }
        InternalRecord::GroupMetadata => {
            let group = plain(&key["group"]);
            let text = value.map_or("NULL".to_owned(), |value| group_text(&group, &value));
            format!("{group}::{text}")
        }
        InternalRecord::TransactionLog => {
            let id = plain(&key["transactionalId"]);
            let text = value.map_or("NULL".to_owned(), |value| transaction_text(&id, &value));
            format!("{id}::{text}")
        }
    }))
}

fn offset_text(value: &Value) -> String {
    let epoch = match value["leaderEpoch"].as_i64() {
        Some(epoch) if epoch >= 0 => format!("Optional[{epoch}]"),
        _ => "Optional.empty".to_owned(),
    };
    let expiry = match value["expireTimestamp"].as_i64() {
        Some(time) if time >= 0 => format!("Some({time})"),
        _ => "None".to_owned(),
    };
    format!(
        "OffsetAndMetadata(offset={}, leaderEpoch={epoch}, metadata={}, commitTimestamp={}, expireTimestamp={expiry})",
        plain(&value["offset"]),
        plain(&value["metadata"]),
        plain(&value["commitTimestamp"])
    )
}

fn group_text(group: &str, value: &Value) -> String {
    let protocol_type = match value["protocolType"].as_str() {
        None | Some("") => "None".to_owned(),
        Some(name) => format!("Some({name})"),
    };
    let members = value["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    let state = if members.is_empty() { "Empty" } else { "Stable" };
    let mut text = String::new();
    for member in members {
        let instance = member["groupInstanceId"].as_str().map_or("None".to_owned(), |id| format!("Some({id})"));
        let session = plain(&member["sessionTimeout"]);
        let rebalance =
            if member["rebalanceTimeout"].is_null() { session.clone() } else { plain(&member["rebalanceTimeout"]) };
        let comma = if text.is_empty() { "" } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{comma}{id} -> MemberMetadata(memberId={id}, groupInstanceId={instance}, clientId={}, clientHost={}, \
             sessionTimeoutMs={session}, rebalanceTimeoutMs={rebalance}, supportedProtocols=List({}))",
            plain(&member["clientId"]),
            plain(&member["clientHost"]),
            plain(&value["protocol"]),
            id = plain(&member["memberId"]),
        );
    }
    format!(
        "GroupMetadata(groupId={group}, generation={}, protocolType={protocol_type}, currentState={state}, \
         members=HashMap({text}))",
        plain(&value["generation"])
    )
}

fn transaction_text(id: &str, value: &Value) -> String {
    const STATES: [&str; 8] = [
        "Empty",
        "Ongoing",
        "PrepareCommit",
        "PrepareAbort",
        "CompleteCommit",
        "CompleteAbort",
        "Dead",
        "PrepareEpochFence",
    ];
    let status = value["transactionStatus"].as_u64().and_then(|status| usize::try_from(status).ok());
    let state = status.and_then(|status| STATES.get(status)).copied().unwrap_or("unknown");
    let mut partitions = Vec::new();
    for topic in value["transactionPartitions"].as_array().map(Vec::as_slice).unwrap_or_default() {
        for partition in topic["partitionIds"].as_array().map(Vec::as_slice).unwrap_or_default() {
            partitions.push(format!("{}-{partition}", plain(&topic["topic"])));
        }
    }
    format!(
        "TransactionMetadata(transactionalId={id}, producerId={}, producerEpoch={}, txnTimeoutMs={}, state={state}, \
         pendingState=None, topicPartitions=HashSet({}), txnStartTimestamp={}, txnLastUpdateTimestamp={})",
        plain(&value["producerId"]),
        plain(&value["producerEpoch"]),
        plain(&value["transactionTimeoutMs"]),
        partitions.join(", "),
        plain(&value["transactionStartTimestampMs"]),
        plain(&value["transactionLastUpdateTimestampMs"])
    )
}

/// A value as it is, without JSON's quotes.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn version_of(data: &[u8]) -> Result<i16, String> {
    let head = data.first_chunk::<2>().ok_or("java.nio.BufferUnderflowException")?;
    Ok(i16::from_be_bytes(*head))
}

fn read(schema: &Schema, data: &[u8]) -> Result<Value, String> {
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    let read = |reader: &mut Reader| {
        let version = reader.i16()?;
        read_fields(reader, schema.fields, version, version >= schema.first_flexible)
    };
    read(&mut reader).map_err(|error| format!("java.lang.RuntimeException: {error}"))
}

type Decoded<T> = crate::wire::codec::Result<T>;

fn read_fields(reader: &mut Reader, fields: &[Field], version: i16, flexible: bool) -> Decoded<Value> {
    let mut object = Map::new();
    for field in fields.iter().filter(|field| (field.first..=field.last).contains(&version)) {
        object.insert(field.name.to_owned(), read_field(reader, &field.kind, version, flexible)?);
    }
    if flexible {
        for _ in 0..reader.unsigned_varint()? {
            reader.unsigned_varint()?;
            let size = reader.unsigned_varint()?;
            reader.skip(size as usize)?;
        }
    }
    Ok(Value::Object(object))
}

fn read_field(reader: &mut Reader, kind: &Kind, version: i16, flexible: bool) -> Decoded<Value> {
    Ok(match kind {
        Kind::Int8 => json!(reader.i8()?),
        Kind::Int16 => json!(reader.i16()?),
        Kind::Int32 => json!(reader.i32()?),
        Kind::Int64 => json!(reader.i64()?),
        Kind::String => match reader.string_len(flexible)? {
            Some(len) => json!(String::from_utf8_lossy(&reader.take(len)?)),
            None => Value::Null,
        },
        Kind::Bytes => match reader.array_len(flexible)? {
            Some(len) => json!(base64(&reader.take(len)?)),
            None => Value::Null,
        },
        Kind::Ints => match reader.array_len(flexible)? {
            Some(count) => (0..count).map(|_| Ok(json!(reader.i32()?))).collect::<Decoded<Vec<Value>>>()?.into(),
            None => Value::Null,
        },
        Kind::Structs(fields) => match reader.array_len(flexible)? {
            Some(count) => (0..count)
                .map(|_| read_fields(reader, fields, version, flexible))
                .collect::<Decoded<Vec<Value>>>()?
                .into(),
            None => Value::Null,
        },
    })
}

/// As Jackson prints binary values.
fn base64(data: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(data.len().div_ceil(3) * 4);
    for chunk in data.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for sextet in 0..4 {
            match sextet <= chunk.len() {
                true => text.push(char::from(ALPHABET[(bits >> (18 - 6 * sextet) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}
