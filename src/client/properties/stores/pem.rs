//! PEM: certificates and PKCS#8 keys between `-----BEGIN …-----` and `-----END …-----`.
//!
//! What stands between the blocks is passed over, and line breaks inside them may be missing: a properties file
//! holds a PEM as one logical line.
//!
//! Source: `DefaultSslEngineFactory.PemStore`, `PemParser` of 3.9.

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;

use crate::network::{base64_decode, base64_encode};

/// Rounds of hashing that an encrypted key may ask for: some seconds of CPU. OpenSSL and Java ask for 2048 to 10000.
const MAX_ITERATIONS: u32 = 5_000_000;

/// All certificates of a PEM text, as DER.
///
/// # Errors
/// Java's text when there is none, or one that cannot be read.
pub fn parse_certificates(text: &str) -> Result<Vec<Vec<u8>>, String> {
    let blocks = blocks(text).filter(|(label, _)| label.ends_with("CERTIFICATE"));
    let certificates: Vec<Vec<u8>> = blocks.map(|(_, body)| decode(body)).collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err("No matching CERTIFICATE entries in PEM file".to_owned());
    }
    Ok(certificates)
}

/// The private key of a PEM text, as PKCS#8 without encryption.
///
/// # Errors
/// No key, more than one, one in another format, or one that the password does not open.
pub fn parse_key(text: &str, password: Option<&str>) -> Result<Vec<u8>, String> {
    let keys: Vec<_> = blocks(text).filter(|(label, _)| label.ends_with("PRIVATE KEY")).collect();
    let (label, body) = match keys.as_slice() {
        [one] => *one,
        [] => return Err("No matching PRIVATE KEY entries in PEM file".to_owned()),
        many => return Err(format!("Expected one private key, but found {}", many.len())),
    };
    let der = decode(body)?;
    match label {
        "PRIVATE KEY" => Ok(der),
        "ENCRYPTED PRIVATE KEY" => decrypt(&der, password.ok_or("the private key is encrypted: set ssl.key.password")?),
        other => Err(format!("the key is a {other}: convert it with openssl pkcs8 -topk8")),
    }
}

/// `der` as a PEM block.
pub fn write(label: &str, der: &[u8]) -> String {
    let text = base64_encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn decrypt(der: &[u8], password: &str) -> Result<Vec<u8>, String> {
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|error| format!("encrypted key: {error}"))?;
    let is_affordable = match &encrypted.encryption_algorithm {
        EncryptionScheme::Pbes2(scheme) => {
            matches!(&scheme.kdf, Kdf::Pbkdf2(kdf) if kdf.iteration_count <= MAX_ITERATIONS)
        }
        _ => false,
    };
    if !is_affordable {
        return Err(
            "the key is encrypted in a way that is not supported: convert it with openssl pkcs8 -topk8".to_owned()
        );
    }
    let key = encrypted.decrypt(password).map_err(|_| "the private key's password (ssl.key.password) is wrong")?;
    Ok(key.as_bytes().to_vec())
}

/// Labels and bodies of the blocks.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        rest = after;
        Some((label.trim(), body))
    })
}

fn decode(body: &str) -> Result<Vec<u8>, String> {
    let dense: String = body.chars().filter(|c| !c.is_whitespace()).collect();
    base64_decode(&dense).ok_or_else(|| "a PEM block is not base64".to_owned())
}
