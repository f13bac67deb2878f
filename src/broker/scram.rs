//! SCRAM credentials as the registry keeps them: enough to check that a client knows the password, not enough to be one
//! that does (RFC 5802).
//!
//! ```text
//! salt=<base64>,stored_key=<base64>,server_key=<base64>,iterations=<number>
//! ```
//! Source: `ScramFormatter`, `ScramCredentialUtils`.

use ring::{digest, hmac};

/// Bounds on the iterations of a credential that is stored. Source: `ScramMechanism.minIterations`; `ZkAdminManager`.
pub(super) const ITERATIONS_MIN: i32 = 4096;
pub(super) const ITERATIONS_MAX: i32 = 16384;
/// What is said of a user without a name.
pub(super) const EMPTY_USER: &str = "Username must not be empty";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Sha256,
    Sha512,
}

impl Mechanism {
    pub const ALL: [Mechanism; 2] = [Mechanism::Sha256, Mechanism::Sha512];

    pub fn from_id(id: i8) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.id() == id)
    }

    /// As the protocol has it.
    pub fn id(self) -> i8 {
        match self {
            Mechanism::Sha256 => 1,
            Mechanism::Sha512 => 2,
        }
    }

    /// As SASL has it, and the key of a credential in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Sha256 => "SCRAM-SHA-256",
            Mechanism::Sha512 => "SCRAM-SHA-512",
        }
    }
}

/// What the registry keeps of a salted password.
pub(super) fn stored(mechanism: Mechanism, salt: &[u8], salted_password: &[u8], iterations: i32) -> String {
    let (mac, hash) = match mechanism {
        Mechanism::Sha256 => (hmac::HMAC_SHA256, &digest::SHA256),
        Mechanism::Sha512 => (hmac::HMAC_SHA512, &digest::SHA512),
    };
    let key = hmac::Key::new(mac, salted_password);
    let client_key = hmac::sign(&key, b"Client Key");
    let stored_key = digest::digest(hash, client_key.as_ref());
    let server_key = hmac::sign(&key, b"Server Key");
    format!(
        "salt={},stored_key={},server_key={},iterations={iterations}",
        base64(salt),
        base64(stored_key.as_ref()),
        base64(server_key.as_ref()),
    )
}

/// The iterations of a stored credential; None if it is none.
pub(super) fn iterations(stored: &str) -> Option<i32> {
    let value = |key: &str| stored.split(',').find_map(|part| part.strip_prefix(key)?.strip_prefix('='));
    let _has_all = (value("salt")?, value("stored_key")?, value("server_key")?);
    value("iterations")?.parse().ok()
}

/// The usual alphabet, padded (RFC 4648 §4).
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { letter.into() } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests;
