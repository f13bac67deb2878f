//! JKS, the Java KeyStore format.
//!
//! ```text
//! FE ED FE ED   version:4 (1, 2)   count:4
//! entry:  tag:4   alias:utf   created:8
//!         tag 1   key: len:4 EncryptedPrivateKeyInfo   chain: count:4, certificates
//!         tag 2   certificate
//! certificate:    type:utf (version 2 only)   len:4 DER
//! utf:            len:2 bytes
//! end:            SHA-1 of (password in UTF-16BE, "Mighty Aphrodite", all of the above)
//! ```
//! An encrypted key is `salt:20 body check:20`: the body is XORed with SHA-1(password, salt), SHA-1(password, that), …;
//! the check is SHA-1(password, key).
//!
//! Lengths are held against the bytes that remain before anything is taken.
//!
//! Source: JDK 17 `sun.security.provider.JavaKeyStore`, `KeyProtector`.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY as SHA1};

use super::Store;
use crate::network::Identity;

const DIGEST_BYTES: usize = 20;
/// 1.3.6.1.4.1.42.2.17.1.1, Sun's key protector.
const KEY_PROTECTOR: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x2a, 0x02, 0x11, 0x01, 0x01];

/// # Errors
/// As [`Store::open`].
pub fn open(bytes: &[u8], password: Option<&str>, key_password: Option<&str>) -> Result<Store, String> {
    let cut = || "Invalid keystore format".to_owned();
    let split = bytes.len().checked_sub(DIGEST_BYTES).ok_or_else(cut)?;
    let (content, digest) = bytes.split_at(split);
    if let Some(password) = password {
        let mut context = Context::new(&SHA1);
        context.update(&utf16(password));
        context.update(b"Mighty Aphrodite");
        context.update(content);
        if context.finish().as_ref() != digest {
            return Err("Keystore was tampered with, or password was incorrect".to_owned());
        }
    }
    let mut reader = Reader { rest: content };
    let mut store = Store::default();
    let (_magic, version, count) = (reader.number()?, reader.number()?, reader.number()?);
    if !matches!(version, 1 | 2) {
        return Err(cut());
    }
    let key_password = key_password.or(password);
    for _ in 0..count {
        let tag = reader.number()?;
        reader.text()?;
        reader.take(8)?;
        match tag {
            1 => {
                let encrypted = reader.block()?;
                let mut chain = Vec::new();
                for _ in 0..reader.number()? {
                    chain.push(reader.certificate(version)?);
                }
                // A trust store may hold keys; without a password only their certificates count.
                let key = match key_password {
                    Some(password) => recover(encrypted, password)?,
                    None => Vec::new(),
                };
                store.identities.push(Identity { key, chain });
            }
            2 => store.trusted.push(reader.certificate(version)?),
            _ => return Err("Unrecognized keystore entry".to_owned()),
        }
    }
    Ok(store)
}

/// Decrypts a key.
fn recover(encrypted: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let wrong = || "Cannot recover key".to_owned();
    let protected = protected(encrypted).ok_or_else(wrong)?;
    if protected.len() < 2 * DIGEST_BYTES {
        return Err(wrong());
    }
    let (salt, rest) = protected.split_at(DIGEST_BYTES);
    let (body, check) = rest.split_at(rest.len() - DIGEST_BYTES);
    let password = utf16(password);
    let hash = |text: &[u8]| {
        let mut context = Context::new(&SHA1);
        context.update(&password);
        context.update(text);
        context.finish()
    };
    let mut key = Vec::with_capacity(body.len());
    let mut stream = hash(salt);
    for chunk in body.chunks(DIGEST_BYTES) {
        key.extend(chunk.iter().zip(stream.as_ref()).map(|(a, b)| a ^ b));
        stream = hash(stream.as_ref());
    }
    if hash(&key).as_ref() == check { Ok(key) } else { Err(wrong()) }
}

/// The octets of an `EncryptedPrivateKeyInfo` that Sun's key protector made.
fn protected(der: &[u8]) -> Option<&[u8]> {
    let (sequence, _) = element(der, 0x30)?;
    let (algorithm, rest) = element(sequence, 0x30)?;
    let (oid, _) = element(algorithm, 0x06)?;
    let (octets, _) = element(rest, 0x04)?;
    (oid == KEY_PROTECTOR).then_some(octets)
}

/// The contents of the DER element at the front, whose tag must be `tag`, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

/// As Java hashes a password: each UTF-16 unit, high byte first.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or("Invalid keystore format")?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, String> {
        Ok(self.take(4)?.iter().fold(0, |number, &byte| number << 8 | u32::from(byte)))
    }

    /// Bytes with their length in front.
    fn block(&mut self) -> Result<&'a [u8], String> {
        let length = self.number()?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Result<&'a [u8], String> {
        let length = self.take(2)?.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
        self.take(length)
    }

    fn certificate(&mut self, version: u32) -> Result<Vec<u8>, String> {
        if version == 2 && self.text()? != b"X.509" {
            return Err("a certificate in the store is not X.509".to_owned());
        }
        Ok(self.block()?.to_vec())
    }
}
