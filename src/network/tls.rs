//! TLS on the client's side: what is trusted, what is shown, and what a failed handshake means in plain words.
//!
//! Certificates are judged as Java's clients judge them, which is more lenient than rustls in three points that
//! stores made with `keytool` depend on: a certificate that is in the trust store itself is good as it is; a
//! certificate without alternative names is for the host that its common name says; and the check of the host's name
//! can be switched off while the chain is still checked.
//!
//! Source: `DefaultSslEngineFactory`; JDK 17 `PKIXValidator`, `HostnameChecker`.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls::{ClientConnection, StreamOwned, SupportedCipherSuite, SupportedProtocolVersion, version};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a client trusts and shows. Certificates and keys are DER.
#[derive(Clone, Default)]
pub struct TlsSettings {
    pub trusted: Vec<Vec<u8>>,
    pub identity: Option<Identity>,
    /// Whether the broker's certificate has to be for the host that was connected to.
    pub verify_host: bool,
    /// The versions that may be spoken; empty: all that are known.
    pub versions: Vec<TlsVersion>,
    /// The cipher suites that may be used, by their IANA names; empty: all that are known.
    pub cipher_suites: Vec<String>,
}

/// A private key and the certificates that vouch for it, the key's own first.
#[derive(Clone)]
pub struct Identity {
    /// PKCS#8.
    pub key: Vec<u8>,
    pub chain: Vec<Vec<u8>>,
}

/// A version of the protocol that is still safe to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// Makes TLS connections.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// # Errors
    /// A key or certificate that cannot be used, in words.
    pub fn new(settings: TlsSettings) -> Result<Tls, String> {
        let mut provider = rustls::crypto::ring::default_provider();
        if !settings.cipher_suites.is_empty() {
            provider.cipher_suites.retain(|suite| settings.cipher_suites.contains(&iana_name(suite)));
            if provider.cipher_suites.is_empty() {
                return Err(format!("ssl.cipher.suites={}: none of these is known", settings.cipher_suites.join(",")));
            }
        }
        let provider = Arc::new(provider);
        let verifier = Verifier::new(&settings, provider.clone());
        let known: [(TlsVersion, &'static SupportedProtocolVersion); 2] =
            [(TlsVersion::V1_2, &version::TLS12), (TlsVersion::V1_3, &version::TLS13)];
        let allowed = |version| settings.versions.is_empty() || settings.versions.contains(version);
        let versions: Vec<_> = known.iter().filter(|(version, _)| allowed(version)).map(|(_, known)| *known).collect();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let config = match settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let key = with_public_key(&identity).unwrap_or(identity.key);
                let chain = identity.chain.into_iter().map(CertificateDer::from).collect();
                let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("the key store's key cannot be used: {error}"))?
            }
        };
        Ok(Tls { config: Arc::new(config) })
    }

    /// Shakes hands with the broker behind `stream`, which was reached as `host`.
    ///
    /// # Errors
    /// Those of the connection; what [`reason`] understands is among them.
    pub(super) async fn connect(&self, host: &str, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let name = server_name(host).map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        TlsConnector::from(self.config.clone()).connect(name, stream).await
    }

    /// As [`Tls::connect`] for a caller that may block; hands are shaken with the first byte that is written.
    ///
    /// # Errors
    /// A host whose name is none.
    pub(super) fn connect_blocking(
        &self,
        host: &str,
        stream: std::net::TcpStream,
    ) -> Result<impl io::Read + io::Write + use<>, String> {
        let connection = ClientConnection::new(self.config.clone(), server_name(host)?);
        Ok(StreamOwned::new(connection.map_err(|error| error.to_string())?, stream))
    }
}

/// An elliptic curve's key as ring wants it, with the public key inside; `None` where it needs no change. Java
/// leaves that out when it writes a key (`ECPrivateKey` of RFC 5915, where it is optional), but its certificate has it.
fn with_public_key(identity: &Identity) -> Option<Vec<u8>> {
    use x509_parser::prelude::{FromDer, X509Certificate};
    const EC_PUBLIC_KEY: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    let info = pkcs8::PrivateKeyInfoRef::try_from(identity.key.as_slice()).ok()?;
    let algorithm = pkcs8::der::Encode::to_der(&info.algorithm).ok()?;
    if !algorithm.get(2..)?.starts_with(EC_PUBLIC_KEY) {
        return None;
    }
    // SEQUENCE { INTEGER 1, OCTET STRING }: all lengths are below 128 on every curve that there is a suite for.
    let [0x30, _, 0x02, 0x01, 0x01, 0x04, length, rest @ ..] = info.private_key.as_bytes() else { return None };
    let (scalar, rest) = rest.split_at_checked(usize::from(*length))?;
    // The curve may be named before the public key.
    let rest = match rest {
        [0xa0, length, rest @ ..] => rest.get(usize::from(*length)..)?,
        rest => rest,
    };
    if rest.first() == Some(&0xa1) {
        return None;
    }
    let (_, certificate) = X509Certificate::from_der(identity.chain.first()?).ok()?;
    let public_key = [&[0], certificate.public_key().subject_public_key.data.as_ref()].concat();
    let key = [der(0x02, &[1])?, der(0x04, scalar)?, der(0xa1, &der(0x03, &public_key)?)?].concat();
    der(0x30, &[der(0x02, &[0])?, algorithm, der(0x04, &der(0x30, &key)?)?].concat())
}

/// A DER element of less than 64 KiB.
fn der(tag: u8, content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(content.len()).ok()?;
    let [high, low] = length.to_be_bytes();
    let head = match length {
        0..=0x7f => vec![tag, low],
        0x80..=0xff => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    Some([head.as_slice(), content].concat())
}

fn server_name(host: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no host name"))
}

/// The suite's registered name: rustls writes those of TLS 1.3 in its own way.
fn iana_name(suite: &SupportedCipherSuite) -> String {
    format!("{:?}", suite.suite()).replace("TLS13_", "TLS_")
}

/// In words, why a TLS connection failed; `None` when TLS is not to blame.
pub(super) fn reason(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(match error {
        rustls::Error::InvalidCertificate(error) => match error {
            CertificateError::UnknownIssuer => {
                "the broker's certificate is signed by nobody in the trust store (ssl.truststore.location)".to_owned()
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the broker's certificate is out of date: {error}")
            }
            CertificateError::NotValidForNameContext { .. } | CertificateError::NotValidForName => error.to_string(),
            CertificateError::Other(other) => other.to_string(),
            error => format!("the broker's certificate is not acceptable: {error}"),
        },
        rustls::Error::InvalidMessage(_) => "the broker's answer is not TLS: this may be a plain-text port".to_owned(),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate => {
                "the broker wants a client certificate (ssl.keystore.location) that it can trust".to_owned()
            }
            AlertDescription::CertificateUnknown | AlertDescription::UnknownCA => {
                "the broker does not accept our certificate".to_owned()
            }
            AlertDescription::ProtocolVersion => "the broker speaks none of our TLS versions".to_owned(),
            alert => format!("the broker ended the handshake: {alert:?}"),
        },
        error => error.to_string(),
    })
}

/// Java's judgement of a broker's certificate.
#[derive(Debug)]
struct Verifier {
    trusted: Vec<CertificateDer<'static>>,
    roots: RootCertStore,
    verify_host: bool,
    provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn new(settings: &TlsSettings, provider: Arc<CryptoProvider>) -> Verifier {
        let trusted: Vec<_> = settings.trusted.iter().map(|der| CertificateDer::from(der.clone())).collect();
        let mut roots = RootCertStore::empty();
        // One that cannot be an anchor (not X.509, say) signs nothing, and can still be a broker's own.
        roots.add_parsable_certificates(trusted.iter().cloned());
        Verifier { trusted, roots, verify_host: settings.verify_host, provider }
    }

    fn check_host(&self, certificate: &CertificateDer, host: &ServerName) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let Err(refusal) = verify_server_name(&parsed, host) else { return Ok(()) };
        let names = Names::of(certificate);
        if let (false, ServerName::DnsName(host)) = (names.has_alternatives, host)
            && names.common_name.as_deref().is_some_and(|name| matches_host(name, host.as_ref()))
        {
            return Ok(());
        }
        if !matches!(
            refusal,
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
            )
        ) {
            return Err(refusal);
        }
        let shown = names.shown();
        let text = format!(
            "the broker's certificate is for {shown}, not for {} (connect by that name, or set \
             ssl.endpoint.identification.algorithm= to skip this check)",
            host.to_str()
        );
        let other: Arc<dyn std::error::Error + Send + Sync> =
            Arc::from(Box::<dyn std::error::Error + Send + Sync>::from(text));
        Err(rustls::Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(other))))
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_trusted_itself = self.trusted.iter().any(|trusted| trusted == end_entity);
        if !is_trusted_itself {
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                &self.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?;
        }
        if self.verify_host {
            self.check_host(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whose a certificate says it is.
#[derive(Default)]
struct Names {
    common_name: Option<String>,
    /// Whether there are DNS names besides; the common name then does not count.
    has_alternatives: bool,
    alternatives: Vec<String>,
}

impl Names {
    fn of(certificate: &CertificateDer) -> Names {
        use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Names::default() };
        let common_name = certificate.subject().iter_common_name().last();
        let mut names = Names {
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            ..Names::default()
        };
        if let Ok(Some(alternatives)) = certificate.subject_alternative_name() {
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(name) => {
                        names.has_alternatives = true;
                        names.alternatives.push((*name).to_owned());
                    }
                    GeneralName::IPAddress(bytes) => {
                        let v4 = <[u8; 4]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
                        let v6 = <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
                        names.alternatives.extend(v4.or(v6));
                    }
                    _ => {}
                }
            }
        }
        names
    }

    fn shown(&self) -> String {
        match (self.alternatives.is_empty(), &self.common_name) {
            (false, _) => self.alternatives.join(", "),
            (true, Some(name)) => name.clone(),
            (true, None) => "nobody".to_owned(),
        }
    }
}

/// Whether a certificate's `name` is `host`'s; its first label may be `*`.
fn matches_host(name: &str, host: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(domain) => {
            domain.contains('.') && host.split_once('.').is_some_and(|(_, rest)| rest.eq_ignore_ascii_case(domain))
        }
        None => name.eq_ignore_ascii_case(host),
    }
}

#[cfg(test)]
mod tests;
