//! Every message in every version, held against the two schemas that real clients speak (kafka-protocol 0.15.1:
//! Apache 3.9's, and 0.18: 4.1's), in both directions; and bytes that are no message at all.

use super::*;
use crate::wire::Bytes;
use crate::wire::codec::random::Source;

/// Reads a body by the other implementation and writes it again; None where it does not have the version.
type Other = fn(i16, i16, bool, Bytes) -> Option<Result<Vec<u8>, String>>;

macro_rules! other {
    ($name:ident, $krate:ident) => {
        fn $name(key: i16, version: i16, is_request: bool, body: Bytes) -> Option<Result<Vec<u8>, String>> {
            use $krate::messages::{ApiKey, RequestKind, ResponseKind};
            let api = ApiKey::try_from(key).ok()?;
            let valid = api.valid_versions();
            if !(valid.min..=valid.max).contains(&version) {
                return None;
            }
            let mut bytes = body;
            let mut written = bytes::BytesMut::new();
            let outcome = if is_request {
                RequestKind::decode(api, &mut bytes, version).and_then(|kind| kind.encode(&mut written, version))
            } else {
                ResponseKind::decode(api, &mut bytes, version).and_then(|kind| kind.encode(&mut written, version))
            };
            Some(match outcome {
                Ok(()) if bytes.is_empty() => Ok(written.to_vec()),
                Ok(()) => Err(format!("{} bytes left over", bytes.len())),
                Err(error) => Err(format!("{error:#}")),
            })
        }
    };
}
other!(schema_3_9, kafka_protocol_39);
other!(schema_4_1, kafka_protocol_41);

fn compare(other: Other) -> usize {
    let mut compared = 0;
    for &api in ApiKey::ALL {
        for version in api.versions() {
            for seed in 0..24 {
                let nulls = seed >= 12;
                let mut source = Source::new(seed << 16 | (api as u64) << 8 | version as u64, nulls);
                let (request, response) = random_bodies(api, version, &mut source);
                for (is_request, body) in [(true, request), (false, response)] {
                    let body = Bytes::from(body);
                    let what = format!("{api:?} v{version} request={is_request} seed {seed}");
                    let ours = read_and_write(api, version, is_request, body.clone());
                    assert_eq!(ours.as_deref(), Ok(&body[..]), "{what}: we do not read what we wrote");
                    match other(api as i16, version, is_request, body.clone()) {
                        None => continue,
                        Some(Ok(written)) => assert_eq!(written, &body[..], "{what}"),
                        // Where a version has no null the other side says so; ours never sends one there.
                        Some(Err(_)) if nulls => continue,
                        Some(Err(error)) => panic!("{what}: {error}"),
                    }
                    compared += 1;
                }
            }
        }
    }
    compared
}

#[test]
fn messages_are_those_of_apache_3_9() {
    assert!(compare(schema_3_9) > 10_000);
}

#[test]
fn messages_are_those_of_apache_4_1() {
    assert!(compare(schema_4_1) > 8_000);
}

#[test]
fn bytes_that_are_no_message_are_an_error_and_nothing_else() {
    for &api in ApiKey::ALL {
        for version in api.versions() {
            let mut source = Source::new((api as u64) << 8 | version as u64 | 1 << 40, true);
            let (request, response) = random_bodies(api, version, &mut source);
            for (is_request, body) in [(true, request), (false, response)] {
                for _ in 0..40 {
                    let mut broken = body.clone();
                    match source.below(3) {
                        0 => broken.truncate(source.below(broken.len() as u64 + 1) as usize),
                        1 => broken.extend((0..source.below(9)).map(|_| source.next() as u8)),
                        _ => {}
                    }
                    for _ in 0..source.below(4) {
                        if !broken.is_empty() {
                            let at = source.below(broken.len() as u64) as usize;
                            broken[at] = [0, 0x7f, 0x80, 0xff, source.next() as u8][source.below(5) as usize];
                        }
                    }
                    // Reading must end, in whatever way; what it accepts it can write.
                    let _ = read_and_write(api, version, is_request, broken.into());
                }
            }
        }
    }
}
