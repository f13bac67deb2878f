//! What a consumer hands out: a view of one record, valid until the batch it came in is given back.

use std::ffi::CStr;
use std::ptr;
use std::slice;

use rdkafka::bindings as rd;

/// One record, borrowed from librdkafka's (or a test's) memory.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub offset: i64,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
}

/// A record's timestamp in milliseconds since 1970, and who set it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamp {
    /// Magic 0 has none.
    None,
    CreateTime(i64),
    LogAppendTime(i64),
}

/// A record's headers; librdkafka decodes them when they are first asked for.
#[derive(Clone, Copy)]
pub struct Headers<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    Listed(&'a [(&'a [u8], Option<&'a [u8]>)]),
    Message(*const rd::rd_kafka_message_t),
}

impl<'a> Headers<'a> {
    /// Headers that lie in memory already.
    pub const fn listed(headers: &'a [(&'a [u8], Option<&'a [u8]>)]) -> Headers<'a> {
        Headers(Source::Listed(headers))
    }

    /// The headers of a message of librdkafka.
    ///
    /// # Safety
    /// `message` must be valid for `'a` and be used by one thread only.
    pub(super) unsafe fn of_message(message: *const rd::rd_kafka_message_t) -> Headers<'a> {
        Headers(Source::Message(message))
    }

    /// All headers in their order, duplicates included: key and value, `None` being a null value.
    pub fn to_vec(&self) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
        match self.0 {
            Source::Listed(headers) => headers.to_vec(),
            Source::Message(message) => message_headers(message),
        }
    }

    /// The epoch of the leader that appended the record; -1 when it is not known.
    pub(super) fn leader_epoch(&self) -> i32 {
        match self.0 {
            Source::Listed(_) => -1,
            // SAFETY: `of_message` promises a valid message.
            Source::Message(message) => unsafe { rd::rd_kafka_message_leader_epoch(message) },
        }
    }
}

fn message_headers<'a>(message: *const rd::rd_kafka_message_t) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
    let mut all = Vec::new();
    let mut list = ptr::null_mut();
    // SAFETY: `of_message` promises a valid message; the list stays its property.
    let found = unsafe { rd::rd_kafka_message_headers(message, &mut list) };
    if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return all;
    }
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `list` is valid, and an index past its end is answered with an error.
        let found = unsafe { rd::rd_kafka_header_get_all(list, all.len(), &mut name, &mut value, &mut size) };
        if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return all;
        }
        // SAFETY: the name is a C string and the value `size` bytes, both living as long as the message.
        all.push(unsafe { (CStr::from_ptr(name).to_bytes(), bytes(value.cast(), size)) });
    }
}

/// A pointer and a length as librdkafka hands them out: a null pointer is Kafka's null.
///
/// # Safety
/// `start` must be null or point to `size` bytes that live for `'a`.
pub(super) unsafe fn bytes<'a>(start: *const u8, size: usize) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start, size) })
}
