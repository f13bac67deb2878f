//! Who may do what: identities of a connection and their match against a znode's ACL.
//!
//! Schemes: `world`, `ip`, `digest` and, when an ACL is set, `auth` (whoever I am now). Source: `PrepRequestProcessor
//! .fixupACL`, `ZooKeeperServer.checkACL`, `DigestAuthenticationProvider`, `IPAuthenticationProvider`.

use std::net::IpAddr;

use crate::registry::proto::{Acl, Code};

/// Whom a connection speaks for.
#[derive(Debug, Clone)]
pub struct Identity {
    address: IpAddr,
    /// `user:base64(sha1(user:password))`.
    digests: Vec<String>,
}

impl Identity {
    pub fn new(address: IpAddr) -> Identity {
        Identity { address: address.to_canonical(), digests: Vec::new() }
    }

    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Takes credentials; `false` if the scheme is not known or they make no sense.
    pub fn authenticate(&mut self, scheme: &str, auth: &[u8]) -> bool {
        match scheme {
            "ip" => true,
            "digest" => {
                let Some(user) = auth.split(|b| *b == b':').next().and_then(|user| std::str::from_utf8(user).ok())
                else {
                    return false;
                };
                let digest = format!("{user}:{}", base64(&sha1(auth)));
                if !self.digests.contains(&digest) {
                    self.digests.push(digest);
                }
                true
            }
            _ => false,
        }
    }

    /// Scheme and user, for `whoAmI`.
    pub fn users(&self) -> Vec<(&'static str, String)> {
        let user = |digest: &String| ("digest", digest.split(':').next().unwrap_or_default().to_owned());
        [("ip", self.address.to_string())].into_iter().chain(self.digests.iter().map(user)).collect()
    }

    /// Whether the ACL gives this identity one of `perms`.
    pub fn may(&self, perms: i32, acl: &[Acl]) -> bool {
        acl.iter().filter(|entry| entry.perms & perms != 0).any(|entry| match entry.scheme.as_str() {
            "world" => entry.id == "anyone",
            "ip" => in_network(self.address, &entry.id),
            "digest" => self.digests.contains(&entry.id),
            _ => false,
        })
    }

    /// Makes an ACL from a request one that can be stored.
    ///
    /// # Errors
    /// `INVALID_ACL` if it is empty, names nobody, or names a scheme that is not known.
    pub fn resolve(&self, acl: &[Acl]) -> Result<Vec<Acl>, Code> {
        let mut resolved = Vec::with_capacity(acl.len());
        for entry in acl {
            match entry.scheme.as_str() {
                "world" if entry.id == "anyone" => resolved.push(entry.clone()),
                "auth" if !self.digests.is_empty() => {
                    let own = |id: &String| Acl { perms: entry.perms, scheme: "digest".to_owned(), id: id.clone() };
                    resolved.extend(self.digests.iter().map(own));
                }
                "digest" if entry.id.split(':').count() == 2 => resolved.push(entry.clone()),
                "ip" if network(&entry.id).is_some() => resolved.push(entry.clone()),
                _ => return Err(Code::INVALID_ACL),
            }
        }
        let mut seen = std::collections::HashSet::new();
        resolved.retain(|entry| seen.insert(entry.clone()));
        if resolved.is_empty() { Err(Code::INVALID_ACL) } else { Ok(resolved) }
    }
}

/// `address/bits` as 128 bits and how many of them count.
fn network(text: &str) -> Option<(u128, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let offset = if address.is_ipv4() { 96 } else { 0 };
    let bits = bits.map_or(128, |bits| bits + offset);
    (bits <= 128).then(|| (wide(address), bits))
}

fn in_network(address: IpAddr, text: &str) -> bool {
    network(text).is_some_and(|(network, bits)| {
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        wide(address) & mask == network & mask
    })
}

fn wide(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Only for the `digest` scheme, whose ids are made with it; no security rests on it here that does not in ZooKeeper.
/// Source: FIPS 180-4.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state: [u32; 5] = [0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((padded.len() + 8).next_multiple_of(64) - 8, 0);
    padded.extend((message.len() as u64 * 8).to_be_bytes());
    for block in padded.as_chunks::<64>().0 {
        let mut w = [0u32; 80];
        for (word, bytes) in w.iter_mut().zip(block.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*bytes);
        }
        for i in 16..80 {
            w[i] = (w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16]).rotate_left(1);
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (i, word) in w.iter().enumerate() {
            let (f, k) = match i / 20 {
                0 => (b & c | !b & d, 0x5a827999),
                1 => (b ^ c ^ d, 0x6ed9eba1),
                2 => (b & c | b & d | c & d, 0x8f1bbcdc),
                _ => (b ^ c ^ d, 0xca62c1d6u32),
            };
            let next = a.rotate_left(5).wrapping_add(f).wrapping_add(e).wrapping_add(k).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (bytes, word) in digest.as_chunks_mut::<4>().0.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
    digest
}

/// The standard alphabet, padded.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            text.push(match i <= chunk.len() {
                true => char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize]),
                false => '=',
            });
        }
    }
    text
}

#[cfg(test)]
mod tests;
