//! The client's half of SASL: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 and OAUTHBEARER, as values without a socket.
//!
//! [`Credentials`] begin an [`Exchange`]: its first message, then an answer to each of the broker's challenges, until
//! the broker says that it is content and the exchange agrees ([`Exchange::is_complete`]).
//!
//! Source: RFC 4616, RFC 5802, RFC 7628; KIP-84, KIP-255, KIP-48 (delegation tokens); `ScramSaslClient`,
//! `OAuthBearerSaslClient`.

use std::fmt;
use std::num::NonZeroU32;

use ring::{digest, hmac, pbkdf2};

/// What proves to a broker who its client is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Plain { username: String, password: String },
    Scram { hash: ScramHash, username: String, password: String, kind: ScramKind },
    OAuthBearer { token: String, extensions: Vec<(String, String)> },
}

/// The hash of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramHash {
    Sha256,
    Sha512,
}

/// What a SCRAM user name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScramKind {
    User,
    /// The id of a delegation token, whose HMAC is the password.
    DelegationToken,
}

impl fmt::Debug for Credentials {
    /// Without the secret: what is printed may end in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Credentials::Plain { username, .. } | Credentials::Scram { username, .. } => {
                write!(f, "{} {username:?}", self.mechanism())
            }
            Credentials::OAuthBearer { .. } => f.write_str(self.mechanism()),
        }
    }
}

impl Credentials {
    /// The mechanism's name, as `sasl.mechanism` has it.
    pub fn mechanism(&self) -> &'static str {
        match self {
            Credentials::Plain { .. } => "PLAIN",
            Credentials::Scram { hash: ScramHash::Sha256, .. } => "SCRAM-SHA-256",
            Credentials::Scram { hash: ScramHash::Sha512, .. } => "SCRAM-SHA-512",
            Credentials::OAuthBearer { .. } => "OAUTHBEARER",
        }
    }

    /// Begins an exchange. `nonce` is printable, has no comma, and differs every time.
    pub fn begin(&self, nonce: &str) -> Exchange {
        match self {
            Credentials::Plain { username, password } => {
                Exchange { first: format!("\0{username}\0{password}").into_bytes(), state: State::AwaitNothing }
            }
            Credentials::Scram { hash, username, password, kind } => {
                let token = if *kind == ScramKind::DelegationToken { ",tokenauth=true" } else { "" };
                let bare = format!("n={},r={nonce}{token}", username.replace('=', "=3D").replace(',', "=2C"));
                let first = format!("n,,{bare}").into_bytes();
                let scram = Scram { hash: *hash, password: password.clone(), nonce: nonce.to_owned(), bare };
                Exchange { first, state: State::AwaitSalt(scram) }
            }
            Credentials::OAuthBearer { token, extensions } => {
                let extensions: String = extensions.iter().map(|(key, value)| format!("{key}={value}\x01")).collect();
                let first = format!("n,,\x01auth=Bearer {token}\x01{extensions}\x01").into_bytes();
                Exchange { first, state: State::AwaitNothing }
            }
        }
    }
}

/// One authentication in progress.
pub struct Exchange {
    first: Vec<u8>,
    state: State,
}

enum State {
    /// The broker has nothing to add; what it sends is its reason for refusing.
    AwaitNothing,
    AwaitSalt(Scram),
    AwaitSignature(Vec<u8>),
    Complete,
}

struct Scram {
    hash: ScramHash,
    password: String,
    nonce: String,
    /// The client's first message without its header.
    bare: String,
}

impl Exchange {
    /// What is sent first.
    pub fn first(&self) -> &[u8] {
        &self.first
    }

    /// Whether nothing more is expected of the broker than that it lets us in.
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::AwaitNothing | State::Complete)
    }

    /// Takes the broker's challenge and returns what is sent next; `None` when it was the last one.
    ///
    /// # Errors
    /// What is wrong with the challenge: the broker does not know the password, or talks of something else.
    pub fn next(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match std::mem::replace(&mut self.state, State::Complete) {
            State::AwaitNothing if challenge.is_empty() => Ok(None),
            // A broker that refuses a token says why and wants this before it hangs up (RFC 7628, 3.2.3).
            State::AwaitNothing => Ok(Some(b"\x01".to_vec())),
            State::AwaitSalt(scram) => {
                let (answer, signature) = scram.answer(challenge)?;
                self.state = State::AwaitSignature(signature);
                Ok(Some(answer))
            }
            State::AwaitSignature(expected) => {
                let text = utf8(challenge)?;
                if let Some(reason) = attribute(text, "e") {
                    return Err(format!("the broker says: {reason}"));
                }
                let signature = attribute(text, "v").and_then(base64_decode);
                match signature.is_some_and(|signature| signature == expected) {
                    true => Ok(None),
                    false => Err("Invalid server signature in server final message".to_owned()),
                }
            }
            State::Complete => Err("the broker goes on after the end of the exchange".to_owned()),
        }
    }
}

/// Rounds of hashing that a broker may ask for. Kafka's own are 4096 to 16384; each million is a second of CPU.
const MAX_ITERATIONS: u32 = 1_000_000;

impl Scram {
    /// The client's final message, and the signature with which the broker has to answer.
    fn answer(&self, server_first: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
        let text = utf8(server_first)?;
        if let Some(reason) = attribute(text, "e") {
            return Err(format!("the broker says: {reason}"));
        }
        let malformed = || format!("Invalid SASL/SCRAM message: {text:?}");
        let nonce = attribute(text, "r").ok_or_else(malformed)?;
        let salt = attribute(text, "s").and_then(base64_decode).ok_or_else(malformed)?;
        let iterations: NonZeroU32 = attribute(text, "i").and_then(|i| i.parse().ok()).ok_or_else(malformed)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("Invalid server nonce: does not start with client nonce".to_owned());
        }
        if iterations.get() > MAX_ITERATIONS {
            return Err(format!("the broker wants {iterations} iterations of the hash"));
        }
        let (mac, hash, kdf) = match self.hash {
            ScramHash::Sha256 => (hmac::HMAC_SHA256, &digest::SHA256, pbkdf2::PBKDF2_HMAC_SHA256),
            ScramHash::Sha512 => (hmac::HMAC_SHA512, &digest::SHA512, pbkdf2::PBKDF2_HMAC_SHA512),
        };
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(mac, key), text);
        let mut salted = vec![0; hash.output_len()];
        pbkdf2::derive(kdf, iterations, &salt, self.password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash, client_key.as_ref());
        // "biws" is the header "n,," in base64: no channel binding.
        let without_proof = format!("c=biws,r={nonce}");
        let auth_message = format!("{},{text},{without_proof}", self.bare);
        let client_signature = sign(stored_key.as_ref(), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(client_signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        let server_signature = sign(server_key.as_ref(), auth_message.as_bytes());
        let answer = format!("{without_proof},p={}", base64_encode(&proof));
        Ok((answer.into_bytes(), server_signature.as_ref().to_vec()))
    }
}

/// The value of `name=` among the attributes of a SCRAM message.
fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn utf8(message: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(message).map_err(|_| "Invalid SASL message: not UTF-8".to_owned())
}

/// Base64 with the standard alphabet and padding.
pub fn base64_encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0u32, |group, &byte| group << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            match place <= chunk.len() {
                true => text.push(char::from(ALPHABET[(group >> (18 - 6 * place)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

/// The bytes that [`base64_encode`] would write as `text`; `None` for anything else.
pub fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let body = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - body.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0u32, 0);
    for byte in body.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        group = (group << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
