//! Java's key and trust stores: JKS, PKCS#12 and PEM, opened with their password.
//!
//! Which of the first two a file is, its first bytes say: `keytool` writes PKCS#12 into files called `.jks`, and Java
//! opens either under either name.
//!
//! Source: `DefaultSslEngineFactory` of 3.9 (`FileBasedStore`, `PemStore`); JDK 17 `KeyStoreDelegator`.

mod jks;
mod pem;

use crate::network::Identity;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12Archive, Pkcs12ImportPolicy};

pub use pem::{parse_certificates, parse_key, write as write_pem};

/// What a store holds. Keys are decrypted.
#[derive(Default)]
pub struct Store {
    /// Certificates that were put in to be trusted.
    pub trusted: Vec<Vec<u8>>,
    pub identities: Vec<Identity>,
}

impl Store {
    /// Opens a store file. Without a password its certificates can be read and its integrity is not checked, where
    /// the format allows that. Keys may have a password of their own (in JKS).
    ///
    /// # Errors
    /// Why it cannot be opened; wrong passwords in Java's words.
    pub fn open(bytes: &[u8], password: Option<&str>, key_password: Option<&str>) -> Result<Store, String> {
        match bytes {
            [0xfe, 0xed, 0xfe, 0xed, ..] => jks::open(bytes, password, key_password),
            [0xce, 0xce, 0xce, 0xce, ..] => Err("JCEKS stores are not read; convert it to PKCS12".to_owned()),
            [0x30, ..] => open_pkcs12(bytes, password),
            _ if bytes.starts_with(b"-----BEGIN") => Err("it is a PEM file; set its type to PEM".to_owned()),
            _ => Err("Invalid keystore format".to_owned()),
        }
    }

    /// What Java trusts in a trust store: the trusted certificates, and those that its keys have.
    pub fn into_trusted(self) -> Vec<Vec<u8>> {
        let own = self.identities.into_iter().filter_map(|identity| identity.chain.into_iter().next());
        self.trusted.into_iter().chain(own).collect()
    }
}

/// Iteration counts and lengths are bounded by the crate.
fn open_pkcs12(bytes: &[u8], password: Option<&str>) -> Result<Store, String> {
    let refused = |error: p12_keystore::error::Error| match error {
        p12_keystore::error::Error::MacError(_) => "keystore password was incorrect".to_owned(),
        p12_keystore::error::Error::Pkcs5Error(_) | p12_keystore::error::Error::UnpadError => {
            "keystore password was incorrect".to_owned()
        }
        error => format!("Invalid keystore format: {error}"),
    };
    let password = password.unwrap_or_default();
    let archive = Pkcs12Archive::from_pkcs12(bytes, password).map_err(refused)?;
    let trusted = archive.certs.iter().filter(|bag| bag.trusted && bag.local_key_id.is_none());
    let trusted = trusted.map(|bag| bag.cert.as_der().to_vec()).collect();
    let mut identities = Vec::new();
    if !archive.keys.is_empty() {
        let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Strict).map_err(refused)?;
        for (_, entry) in store.entries() {
            if let KeyStoreEntry::PrivateKeyChain(chain) = entry {
                let certificates = chain.certs().iter().map(|certificate| certificate.as_der().to_vec());
                identities.push(Identity { key: chain.key().as_der().to_vec(), chain: certificates.collect() });
            }
        }
    }
    Ok(Store { trusted, identities })
}

#[cfg(test)]
mod tests;
