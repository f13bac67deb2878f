//! Request and response headers, and the frames around them.
//!
//! ```text
//! frame            i32 size, then header and body
//! request header   i16 api_key, i16 api_version, i32 correlation_id          v0 (ControlledShutdown v0 alone)
//!                  … nullable string client_id (two-byte length, always)     v1
//!                  … tagged fields                                            v2 (flexible versions)
//! response header  i32 correlation_id                                         v0
//!                  … tagged fields                                            v1 (flexible, but never ApiVersions)
//! ```

use super::codec::{Bytes, Error, Message, Reader, Request, Result, Writer};
use super::messages::ApiKey;

/// What stands before a request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header and leaves `r` at the body. The layout follows from key and version; for a key or version
    /// that is not known nothing behind the correlation id is touched, and `client_id` is None.
    ///
    /// # Errors
    /// Any codec error; the connection it came from cannot go on.
    pub fn decode(r: &mut Reader) -> Result<RequestHeader> {
        let (api_key, api_version, correlation_id) = (r.i16()?, r.i16()?, r.i32()?);
        let mut header = RequestHeader { api_key, api_version, correlation_id, client_id: None };
        let Some(api) = ApiKey::from_i16(api_key) else { return Ok(header) };
        if api == ApiKey::ControlledShutdown && api_version == 0 {
            return Ok(header);
        }
        header.client_id = r.nullable_string(false)?;
        if api.is_flexible(api_version) {
            r.skip_tagged_fields()?;
        }
        Ok(header)
    }

    pub fn encode(&self, w: &mut Writer) {
        w.i16(self.api_key);
        w.i16(self.api_version);
        w.i32(self.correlation_id);
        let api = ApiKey::from_i16(self.api_key);
        if api == Some(ApiKey::ControlledShutdown) && self.api_version == 0 {
            return;
        }
        w.nullable_string(self.client_id.as_deref(), false);
        if api.is_some_and(|api| api.is_flexible(self.api_version)) {
            w.unsigned_varint(0);
        }
    }
}

/// Whether the response header of this API and version has tagged fields. ApiVersions never does: its reader may
/// not know yet what the version means (KIP-511).
pub fn response_header_is_flexible(api: ApiKey, version: i16) -> bool {
    api != ApiKey::ApiVersions && api.is_flexible(version)
}

/// Reads a response header and returns the correlation id; `r` is left at the body.
///
/// # Errors
/// Any codec error.
pub fn decode_response_header(r: &mut Reader, api: ApiKey, version: i16) -> Result<i32> {
    let correlation_id = r.i32()?;
    if response_header_is_flexible(api, version) {
        r.skip_tagged_fields()?;
    }
    Ok(correlation_id)
}

/// A whole request frame, size first.
///
/// # Errors
/// `TooLong` if a string does not fit; `UnsupportedVersion` for a version that `R` does not have.
pub fn request_frame<R: Request>(request: &R, version: i16, correlation_id: i32, client_id: &str) -> Result<Vec<u8>> {
    if !R::VERSIONS.contains(&version) {
        return Err(Error::UnsupportedVersion { key: R::KEY, version });
    }
    let header =
        RequestHeader { api_key: R::KEY, api_version: version, correlation_id, client_id: Some(client_id.to_owned()) };
    let mut w = Writer::after(vec![0; 4]);
    header.encode(&mut w);
    request.encode(&mut w, version);
    sized(w)
}

/// A whole response frame, size first.
///
/// # Errors
/// `TooLong` if a string does not fit.
pub fn response_frame<M: Message>(response: &M, version: i16, correlation_id: i32) -> Result<Vec<u8>> {
    let mut w = Writer::after(vec![0; 4]);
    encode_response_header(&mut w, M::KEY, version, correlation_id);
    response.encode(&mut w, version);
    sized(w)
}

/// The header alone, for responses whose body is put together by hand.
pub fn encode_response_header(w: &mut Writer, api_key: i16, version: i16, correlation_id: i32) {
    w.i32(correlation_id);
    if ApiKey::from_i16(api_key).is_some_and(|api| response_header_is_flexible(api, version)) {
        w.unsigned_varint(0);
    }
}

fn sized(w: Writer) -> Result<Vec<u8>> {
    let mut frame = w.finish()?;
    let size = (frame.len() - 4) as i32;
    frame[..4].copy_from_slice(&size.to_be_bytes());
    Ok(frame)
}

/// Reads the body of a response frame (without its size) and returns the correlation id with it.
///
/// # Errors
/// Any codec error.
pub fn decode_response<M: Message>(frame: Bytes, api: ApiKey, version: i16) -> Result<(i32, M)> {
    let mut r = Reader::new(frame);
    let correlation_id = decode_response_header(&mut r, api, version)?;
    let body = M::decode_from(&mut r, version)?;
    r.finish()?;
    Ok((correlation_id, body))
}
