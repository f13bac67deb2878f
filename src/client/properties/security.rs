//! `security.protocol`, `ssl.*` and `sasl.*`: what a connection trusts, what it shows and how it logs in, for
//! librdkafka and for our own connections alike.
//!
//! Stores are opened here and handed on as certificates and keys, so that both clients take the same formats.
//!
//! Source: `SslConfigs`, `SaslConfigs`, `DefaultSslEngineFactory`, `JaasContext`, `CommonClientConfigs` of 3.9.

use super::jaas::{self, LoginModule};
use super::stores::{Store, parse_certificates, parse_key, write_pem};
use super::{ClientSettings, ConfigError, Translation};
use crate::client::oauth::TokenSource;
use crate::network::{Credentials, Identity, ScramHash, ScramKind, Security, Tls, TlsSettings, TlsVersion};

/// How connections are secured.
#[derive(Clone, Default)]
pub struct SecuritySettings {
    pub tls: Option<TlsStores>,
    pub login: Option<Login>,
}

/// What TLS trusts and shows.
#[derive(Clone)]
pub struct TlsStores {
    /// DER; `None`: whatever this machine trusts.
    trusted: Option<Vec<Vec<u8>>>,
    identity: Option<Identity>,
    verify_host: bool,
    versions: Vec<TlsVersion>,
    /// IANA names; empty: all that are known.
    cipher_suites: Vec<String>,
}

/// How a client logs in.
#[derive(Clone)]
pub enum Login {
    Credentials(Credentials),
    Token(TokenSource),
}

impl SecuritySettings {
    /// Reads the keys, opens the stores. `java_options` are `KAFKA_OPTS`, which may name a JAAS file.
    ///
    /// # Errors
    /// What Java's client would refuse at its start, and why: stores that cannot be opened, a login that is not said.
    pub fn new(settings: &ClientSettings, java_options: &str) -> Result<SecuritySettings, ConfigError> {
        let protocol = settings.get("security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
        // Java does not look at the stores and the login of a protocol that has none.
        let tls = protocol.ends_with("SSL").then(|| TlsStores::new(settings)).transpose().map_err(ConfigError)?;
        let login = protocol.starts_with("SASL").then(|| login(settings, java_options)).transpose();
        Ok(SecuritySettings { tls, login: login.map_err(ConfigError)? })
    }

    /// For our own connections. Obtains a token where one is needed.
    ///
    /// # Errors
    /// A key that TLS cannot use; no token.
    pub fn for_peers(&self) -> Result<Security, ConfigError> {
        let tls = self.tls.as_ref().map(TlsStores::connector).transpose().map_err(ConfigError)?;
        let sasl = match &self.login {
            None => None,
            Some(Login::Credentials(credentials)) => Some(credentials.clone()),
            Some(Login::Token(source)) => {
                let token = source.obtain().map_err(ConfigError)?;
                Some(Credentials::OAuthBearer { token: token.value, extensions: token.extensions })
            }
        };
        Ok(Security { tls, sasl })
    }

    /// The source of tokens that librdkafka has to be given.
    pub fn into_token_source(self) -> Option<TokenSource> {
        match self.login {
            Some(Login::Token(source)) => Some(source),
            _ => None,
        }
    }

    /// # Errors
    /// A login that librdkafka cannot do.
    pub(super) fn to_librdkafka(&self, out: &mut Translation) -> Result<(), ConfigError> {
        if let Some(tls) = &self.tls {
            tls.to_librdkafka(out);
        }
        match &self.login {
            None => {}
            Some(Login::Token(_)) => out.set("sasl.mechanism", "OAUTHBEARER"),
            Some(Login::Credentials(credentials)) => {
                out.set("sasl.mechanism", credentials.mechanism());
                match credentials {
                    Credentials::Scram { kind: ScramKind::DelegationToken, .. } => {
                        let text = "sasl.jaas.config: tokenauth=true (delegation tokens) is not supported here; \
                                    log in with a user name and a password";
                        return Err(ConfigError(text.to_owned()));
                    }
                    Credentials::Plain { username, password } | Credentials::Scram { username, password, .. } => {
                        out.set("sasl.username", username);
                        out.set("sasl.password", password);
                    }
                    Credentials::OAuthBearer { .. } => {}
                }
            }
        }
        Ok(())
    }
}

impl TlsStores {
    /// # Errors
    /// Java's text, or ours where Java's does not say why.
    pub fn new(settings: &ClientSettings) -> Result<TlsStores, String> {
        let algorithm = settings.get("ssl.endpoint.identification.algorithm").unwrap_or("https");
        Ok(TlsStores {
            trusted: trusted(settings)?,
            identity: identity(settings)?,
            verify_host: !algorithm.trim().is_empty(),
            versions: versions(settings)?,
            cipher_suites: list(settings, "ssl.cipher.suites"),
        })
    }

    /// # Errors
    /// A key or a list of cipher suites that cannot be used.
    pub fn connector(&self) -> Result<Tls, String> {
        Tls::new(TlsSettings {
            trusted: match &self.trusted {
                Some(trusted) => trusted.clone(),
                None => certificates_of_this_machine()?,
            },
            identity: self.identity.clone(),
            verify_host: self.verify_host,
            versions: self.versions.clone(),
            cipher_suites: self.cipher_suites.clone(),
        })
    }

    fn to_librdkafka(&self, out: &mut Translation) {
        out.set("ssl.endpoint.identification.algorithm", if self.verify_host { "https" } else { "none" });
        let pem =
            |certificates: &[Vec<u8>]| certificates.iter().map(|der| write_pem("CERTIFICATE", der)).collect::<String>();
        if let Some(trusted) = &self.trusted {
            out.set("ssl.ca.pem", pem(trusted));
        }
        if let Some(identity) = &self.identity {
            out.set("ssl.key.pem", write_pem("PRIVATE KEY", &identity.key));
            out.set("ssl.certificate.pem", pem(&identity.chain));
        }
        let suites: Vec<String> = self.cipher_suites.iter().filter_map(|name| openssl_cipher(name)).collect();
        if !suites.is_empty() {
            out.set("ssl.cipher.suites", suites.join(":"));
        }
    }
}

fn trusted(settings: &ClientSettings) -> Result<Option<Vec<Vec<u8>>>, String> {
    let kind = settings.get("ssl.truststore.type").unwrap_or("JKS");
    let is_pem = kind.eq_ignore_ascii_case("PEM");
    let password = settings.get("ssl.truststore.password");
    if let Some(certificates) = settings.get("ssl.truststore.certificates") {
        if !is_pem {
            return Err(format!(
                "SSL trust store certs can be specified only for PEM, but trust store type is {kind}."
            ));
        }
        if settings.get("ssl.truststore.location").is_some() {
            return Err("Both SSL trust store location and separate trust certificates are specified.".to_owned());
        }
        let parsed = parse_certificates(certificates);
        return parsed.map(Some).map_err(|reason| format!("ssl.truststore.certificates: {reason}"));
    }
    let Some(location) = settings.get("ssl.truststore.location") else {
        return match password {
            Some(_) => Err("SSL trust store is not specified, but trust store password is specified.".to_owned()),
            None => Ok(None),
        };
    };
    let fail = |reason: String| format!("Failed to load SSL keystore {location} of type {kind}: {reason}");
    let bytes = read(location).map_err(fail)?;
    let certificates = match is_pem {
        true => parse_certificates(&String::from_utf8_lossy(&bytes)),
        false => Store::open(&bytes, password, None).map(Store::into_trusted),
    };
    let certificates = certificates.map_err(fail)?;
    if certificates.is_empty() {
        return Err(fail("it holds no trusted certificate (keytool -importcert puts one in)".to_owned()));
    }
    Ok(Some(certificates))
}

fn identity(settings: &ClientSettings) -> Result<Option<Identity>, String> {
    let kind = settings.get("ssl.keystore.type").unwrap_or("JKS");
    let is_pem = kind.eq_ignore_ascii_case("PEM");
    let password = settings.get("ssl.keystore.password");
    let key_password = settings.get("ssl.key.password");
    if let Some(key) = settings.get("ssl.keystore.key") {
        if !is_pem {
            return Err(format!("SSL private key can be specified only for PEM, but key store type is {kind}."));
        }
        let chain = settings
            .get("ssl.keystore.certificate.chain")
            .ok_or("SSL private key is specified, but certificate chain is not specified.")?;
        let key = parse_key(key, key_password).map_err(|reason| format!("ssl.keystore.key: {reason}"))?;
        let chain = parse_certificates(chain);
        let chain = chain.map_err(|reason| format!("ssl.keystore.certificate.chain: {reason}"))?;
        return Ok(Some(Identity { key, chain }));
    }
    if settings.get("ssl.keystore.certificate.chain").is_some() {
        return Err("SSL certificate chain is specified, but private key is not specified".to_owned());
    }
    let Some(location) = settings.get("ssl.keystore.location") else {
        return match password {
            Some(_) => Err("SSL key store is not specified, but key store password is specified.".to_owned()),
            None => Ok(None),
        };
    };
    let fail = |reason: String| format!("Failed to load SSL keystore {location} of type {kind}: {reason}");
    let bytes = read(location).map_err(fail)?;
    if is_pem {
        let text = String::from_utf8_lossy(&bytes);
        let key = parse_key(&text, key_password).map_err(fail)?;
        return Ok(Some(Identity { key, chain: parse_certificates(&text).map_err(fail)? }));
    }
    let password = password.ok_or("SSL key store is specified, but key store password is not specified.")?;
    let store = Store::open(&bytes, Some(password), key_password).map_err(fail)?;
    // Java takes the first that suits the broker's wish; a client's store has one.
    match store.identities.into_iter().find(|identity| !identity.chain.is_empty()) {
        Some(identity) => Ok(Some(identity)),
        None => Err(fail("it holds no private key with a certificate".to_owned())),
    }
}

fn read(location: &str) -> Result<Vec<u8>, String> {
    std::fs::read(location).map_err(|error| error.to_string())
}

fn list(settings: &ClientSettings, key: &str) -> Vec<String> {
    let values = settings.get(key).unwrap_or_default().split(',');
    values.map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned).collect()
}

fn versions(settings: &ClientSettings) -> Result<Vec<TlsVersion>, String> {
    let wanted = list(settings, "ssl.enabled.protocols");
    let known = wanted.iter().filter_map(|name| match name.as_str() {
        "TLSv1.2" => Some(TlsVersion::V1_2),
        "TLSv1.3" => Some(TlsVersion::V1_3),
        _ => None,
    });
    let known: Vec<TlsVersion> = known.collect();
    if known.is_empty() && !wanted.is_empty() {
        return Err(format!("ssl.enabled.protocols={}: only TLSv1.2 and TLSv1.3 are spoken", wanted.join(",")));
    }
    Ok(known)
}

/// OpenSSL's name of a cipher suite of TLS 1.2: `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256` is
/// `ECDHE-RSA-AES128-GCM-SHA256`. Those of TLS 1.3 have no `WITH`, and are always on.
fn openssl_cipher(name: &str) -> Option<String> {
    let (exchange, cipher) = name.strip_prefix("TLS_")?.split_once("_WITH_")?;
    let cipher = cipher
        .replace("AES_", "AES")
        .replace("_CBC_SHA", "_SHA")
        .replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305");
    let name = if exchange == "RSA" { cipher } else { format!("{exchange}_{cipher}") };
    Some(name.replace('_', "-"))
}

/// Where the certificates that a machine trusts are found, by distribution.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

fn certificates_of_this_machine() -> Result<Vec<Vec<u8>>, String> {
    let named = std::env::var("SSL_CERT_FILE").ok();
    let found = named.as_deref().into_iter().chain(BUNDLES).find_map(|file| std::fs::read(file).ok());
    let bundle = found.ok_or("this machine has no list of trusted certificates: set ssl.truststore.location")?;
    parse_certificates(&String::from_utf8_lossy(&bundle))
}

fn login(settings: &ClientSettings, java_options: &str) -> Result<Login, String> {
    let mechanism = settings.get("sasl.mechanism").unwrap_or("GSSAPI");
    if mechanism.is_empty() {
        return Err("When the security.protocol configuration enables SASL, mechanism must be non-null and \
                    non-empty string."
            .to_owned());
    }
    let module = login_module(settings, java_options)?;
    let required = |name: &str| {
        let missing = || format!("sasl.jaas.config: {} has no {name}", module.class);
        module.option(name).map(str::to_owned).ok_or_else(missing)
    };
    let scram = |hash| {
        let is_token = module.option("tokenauth").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let kind = if is_token { ScramKind::DelegationToken } else { ScramKind::User };
        Ok(Credentials::Scram { hash, username: required("username")?, password: required("password")?, kind })
    };
    match mechanism {
        "PLAIN" => Ok(Login::Credentials(Credentials::Plain {
            username: required("username")?,
            password: required("password")?,
        })),
        "SCRAM-SHA-256" => scram(ScramHash::Sha256).map(Login::Credentials),
        "SCRAM-SHA-512" => scram(ScramHash::Sha512).map(Login::Credentials),
        "OAUTHBEARER" => token_source(settings, &module).map(Login::Token),
        "GSSAPI" => Err("sasl.mechanism=GSSAPI (Java's default): Kerberos is not supported here".to_owned()),
        other => Err(format!("Failed to create SaslClient with mechanism {other}")),
    }
}

/// The module that `sasl.jaas.config` names, else the one in the file that Java was told of.
fn login_module(settings: &ClientSettings, java_options: &str) -> Result<LoginModule, String> {
    if let Some(jaas) = settings.get("sasl.jaas.config") {
        return jaas::parse_property(jaas).map_err(|reason| format!("sasl.jaas.config: {reason}"));
    }
    const PROPERTY: &str = "java.security.auth.login.config";
    let absent = |state: &str| {
        format!(
            "Could not find a 'KafkaClient' entry in the JAAS configuration. System property '{PROPERTY}' is {state}"
        )
    };
    let file = system_property(java_options, PROPERTY).ok_or_else(|| absent("not set"))?;
    let text = std::fs::read(&file).map_err(|error| format!("{PROPERTY}={file}: {error}"))?;
    let module = jaas::parse_file(&String::from_utf8_lossy(&text), "KafkaClient");
    module.map_err(|reason| format!("{PROPERTY}={file}: {reason}"))?.ok_or_else(|| absent(&file))
}

/// The value of `-Dname=value` among options for a Java machine; the last one counts. Words may be quoted.
fn system_property(options: &str, name: &str) -> Option<String> {
    let mut words = Vec::new();
    let (mut word, mut quote) = (String::new(), None);
    for c in options.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words.push(word);
    let value = |word: &String| word.strip_prefix("-D")?.strip_prefix(name)?.strip_prefix('=').map(str::to_owned);
    words.iter().rev().find_map(value)
}

fn token_source(settings: &ClientSettings, module: &LoginModule) -> Result<TokenSource, String> {
    let handler = settings.get("sasl.login.callback.handler.class").unwrap_or_default();
    match handler.rsplit('.').next().unwrap_or_default() {
        "" | "OAuthBearerUnsecuredLoginCallbackHandler" => TokenSource::unsecured(&module.options),
        "OAuthBearerLoginCallbackHandler" => {
            let url = settings
                .get("sasl.oauthbearer.token.endpoint.url")
                .ok_or("The OAuth configuration option sasl.oauthbearer.token.endpoint.url value must be non-null")?;
            let value = |option: &str, key: &str| module.option(option).or(settings.get(key)).map(str::to_owned);
            let extensions = module
                .options
                .iter()
                .filter_map(|(key, value)| Some((key.strip_prefix("extension_")?.to_owned(), value.clone())));
            let extensions = extensions.collect();
            if let Some(path) = url.strip_prefix("file:") {
                let path = path.strip_prefix("//").unwrap_or(path).to_owned();
                return Ok(TokenSource::File { path, extensions });
            }
            let missing = |option: &str| format!("sasl.jaas.config: OAuthBearerLoginModule has no {option}");
            // The authorization server's TLS is set up in the login module, under the names of the client's.
            let ssl = module.options.iter().filter(|(key, _)| key.starts_with("ssl."));
            let ssl = ssl.map(|(key, value)| (key.as_str(), value.as_str()));
            let tls = ClientSettings::check(settings.role, ssl).map_err(|error| error.0)?;
            Ok(TokenSource::ClientCredentials {
                url: url.to_owned(),
                client_id: value("clientId", "sasl.oauthbearer.client.credentials.client.id")
                    .ok_or_else(|| missing("clientId"))?,
                client_secret: value("clientSecret", "sasl.oauthbearer.client.credentials.client.secret")
                    .ok_or_else(|| missing("clientSecret"))?,
                scope: value("scope", "sasl.oauthbearer.scope"),
                extensions,
                tls: TlsStores::new(&tls)?,
            })
        }
        _ => Err(format!("sasl.login.callback.handler.class: {handler} is a Java class, which cannot be run here")),
    }
}

#[cfg(test)]
mod tests;
