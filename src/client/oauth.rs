//! Tokens for OAUTHBEARER: made up (unsecured, for tests), read from a file, or asked of an authorization server.
//!
//! Source: KIP-255, KIP-768, KIP-1139; `OAuthBearerUnsecuredLoginCallbackHandler`, `OAuthBearerLoginCallbackHandler`,
//! `HttpAccessTokenRetriever` of 3.9.

use std::ffi::{CStr, CString, c_char};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rdkafka::bindings as rd;
use serde_json::{Map, Value, json};

use super::properties::TlsStores;
use crate::network::{base64_decode, base64_encode, http};

/// Where tokens come from.
#[derive(Clone)]
pub enum TokenSource {
    /// A token without a signature, which only test brokers take.
    Unsecured { claims: Map<String, Value>, lifetime_s: i64, extensions: Vec<(String, String)> },
    /// A file that holds a token; something else renews it.
    File { path: String, extensions: Vec<(String, String)> },
    /// The client credentials grant of an authorization server (RFC 6749, 4.4).
    ClientCredentials {
        url: String,
        client_id: String,
        client_secret: String,
        scope: Option<String>,
        extensions: Vec<(String, String)>,
        tls: TlsStores,
    },
}

/// A token, and until when it is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub value: String,
    pub principal: String,
    /// Milliseconds since 1970.
    pub expires_ms: i64,
    pub extensions: Vec<(String, String)>,
}

impl TokenSource {
    /// A source of unsecured tokens, from the options of the login module.
    ///
    /// # Errors
    /// Options that make no token.
    pub fn unsecured(options: &[(String, String)]) -> Result<TokenSource, String> {
        let option = |name: &str| options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut claims = Map::new();
        for (key, value) in options {
            if let Some(name) = key.strip_prefix("unsecuredLoginStringClaim_") {
                claims.insert(name.to_owned(), json!(value));
            } else if let Some(name) = key.strip_prefix("unsecuredLoginNumberClaim_") {
                let number: f64 = value.trim().parse().map_err(|_| format!("{key}={value}: not a number"))?;
                claims.insert(name.to_owned(), json!(number));
            } else if let Some(name) = key.strip_prefix("unsecuredLoginListClaim_") {
                // The first character is what separates the rest.
                let mut chars = value.chars();
                let separator = chars.next().ok_or_else(|| format!("{key} is empty"))?;
                let list: Vec<&str> = chars.as_str().split(separator).filter(|part| !part.is_empty()).collect();
                claims.insert(name.to_owned(), json!(list));
            }
        }
        let principal = option("unsecuredLoginPrincipalClaimName").unwrap_or("sub");
        let subject = claims.get(principal).and_then(Value::as_str).map(str::to_owned);
        let subject = subject.ok_or_else(|| {
            format!("sasl.jaas.config: OAuthBearerLoginModule has no unsecuredLoginStringClaim_{principal}")
        })?;
        claims.entry("sub").or_insert(json!(subject));
        let lifetime = option("unsecuredLoginLifetimeSeconds").unwrap_or("3600");
        let lifetime_s = lifetime.trim().parse().ok().filter(|seconds| *seconds > 0);
        let lifetime_s = lifetime_s.ok_or_else(|| format!("unsecuredLoginLifetimeSeconds={lifetime}: not a number"))?;
        let extensions = options
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("unsecuredLoginExtension_")?.to_owned(), value.clone())));
        Ok(TokenSource::Unsecured { claims, lifetime_s, extensions: extensions.collect() })
    }

    /// A token that is good now. May wait for a server.
    ///
    /// # Errors
    /// Why there is none.
    pub fn obtain(&self) -> Result<Token, String> {
        let now_ms = now_ms();
        match self {
            TokenSource::Unsecured { claims, lifetime_s, extensions } => {
                Ok(unsecured_token(claims, *lifetime_s, extensions, now_ms))
            }
            TokenSource::File { path, extensions } => {
                let text = std::fs::read_to_string(path);
                let text = text.map_err(|error| format!("read the token from {path}: {error}"))?;
                token_of(text.trim(), None, extensions, now_ms)
                    .map_err(|reason| format!("the token in {path}: {reason}"))
            }
            TokenSource::ClientCredentials { url, client_id, client_secret, scope, extensions, tls } => {
                let fail = |reason: String| format!("no token from {url}: {reason}");
                let credentials = base64_encode(format!("{client_id}:{client_secret}").as_bytes());
                let mut form = "grant_type=client_credentials".to_owned();
                if let Some(scope) = scope.as_deref().filter(|scope| !scope.trim().is_empty()) {
                    form.push_str(&format!("&scope={}", form_encoded(scope.trim())));
                }
                let headers = [
                    ("Accept", "application/json".to_owned()),
                    ("Authorization", format!("Basic {credentials}")),
                    ("Cache-Control", "no-cache".to_owned()),
                    ("Content-Type", "application/x-www-form-urlencoded".to_owned()),
                ];
                let connector = || tls.connector();
                let body = http::post(url, &headers, form.as_bytes(), connector).map_err(fail)?;
                let answer: Value = serde_json::from_slice(&body).map_err(|error| fail(error.to_string()))?;
                let token = answer["access_token"].as_str().filter(|token| !token.is_empty());
                let token = token.ok_or_else(|| fail("the answer has no access_token".to_owned()))?;
                token_of(token, answer["expires_in"].as_i64(), extensions, now_ms).map_err(fail)
            }
        }
    }
}

/// Keeps a librdkafka client supplied with tokens, until it is dropped.
pub struct TokenKeeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TokenKeeper {
    /// Gives `client` its first token, and further ones in time from a thread.
    ///
    /// # Errors
    /// The first token cannot be had, or librdkafka does not take it.
    ///
    /// # Safety
    /// `client` must be live until the keeper is dropped.
    pub unsafe fn start(client: *mut rd::rd_kafka_t, source: TokenSource) -> Result<TokenKeeper, String> {
        let client = Client(client);
        let token = source.obtain()?;
        client.set(&token)?;
        let (stop, stopped) = channel::<()>();
        let thread = std::thread::spawn(move || {
            let mut wait = until_renewal(&token);
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                let renewed = source.obtain().and_then(|token| client.set(&token).map(|()| token));
                // While there is none the connection lives on the old one; the broker ends it when that is over.
                wait = renewed.map_or(RETRY, |token| until_renewal(&token));
            }
        });
        Ok(TokenKeeper { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for TokenKeeper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It fails only if the thread panicked, and there is nothing left to do then.
            let _ = thread.join();
        }
    }
}

/// Java's `sasl.login.retry.backoff.max.ms`.
const RETRY: Duration = Duration::from_secs(10);

/// At eight tenths of what is left, as `sasl.login.refresh.window.factor` has it.
fn until_renewal(token: &Token) -> Duration {
    let left = (token.expires_ms - now_ms()).clamp(1000, 24 * 3_600_000);
    Duration::from_millis(left as u64 / 10 * 8)
}

struct Client(*mut rd::rd_kafka_t);

// SAFETY: librdkafka's instances may be used from any thread.
unsafe impl Send for Client {}

impl Client {
    fn set(&self, token: &Token) -> Result<(), String> {
        let c_string = |text: &str| CString::new(text).map_err(|_| "the token has a NUL in it".to_owned());
        let (value, principal) = (c_string(&token.value)?, c_string(&token.principal)?);
        let pairs = token.extensions.iter().flat_map(|(key, value)| [key, value]);
        let pairs: Vec<CString> = pairs.map(|text| c_string(text)).collect::<Result<_, _>>()?;
        let mut pointers: Vec<*const c_char> = pairs.iter().map(|text| text.as_ptr()).collect();
        let mut reason = [0 as c_char; 512];
        // SAFETY: the instance is live ([`TokenKeeper::start`]); every string outlives the call, which copies them;
        // the number of pointers and the buffer's size are passed along.
        let outcome = unsafe {
            rd::rd_kafka_oauthbearer_set_token(
                self.0,
                value.as_ptr(),
                token.expires_ms,
                principal.as_ptr(),
                pointers.as_mut_ptr(),
                pointers.len(),
                reason.as_mut_ptr(),
                reason.len(),
            )
        };
        match outcome as i32 {
            0 => Ok(()),
            // SAFETY: on failure the buffer holds a NUL-terminated text.
            _ => Err(unsafe { CStr::from_ptr(reason.as_ptr()) }.to_string_lossy().into_owned()),
        }
    }
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

fn unsecured_token(
    claims: &Map<String, Value>,
    lifetime_s: i64,
    extensions: &[(String, String)],
    now_ms: i64,
) -> Token {
    let mut claims = claims.clone();
    let seconds = now_ms as f64 / 1000.0;
    claims.entry("iat").or_insert(json!(seconds));
    claims.entry("exp").or_insert(json!(seconds + lifetime_s as f64));
    let expires_ms = claims["exp"].as_f64().map_or(now_ms, |seconds| (seconds * 1000.0) as i64);
    let principal = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
    let value =
        format!("{}.{}.", base64_url(b"{\"alg\":\"none\"}"), base64_url(Value::Object(claims).to_string().as_bytes()));
    Token { value, principal, expires_ms, extensions: extensions.to_vec() }
}

/// A token from elsewhere: what its claims say of it, if it has any that can be read.
fn token_of(
    value: &str,
    expires_in_s: Option<i64>,
    extensions: &[(String, String)],
    now_ms: i64,
) -> Result<Token, String> {
    // It goes into a line of the protocol that a control character would end.
    if value.is_empty() || value.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err("it is empty, or has characters that no token has".to_owned());
    }
    let claims = value.split('.').nth(1).and_then(base64_url_decode);
    let claims: Option<Value> = claims.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let claim = |name: &str| claims.as_ref().and_then(|claims| claims.get(name));
    let expires = claim("exp").and_then(Value::as_f64).map(|seconds| (seconds * 1000.0) as i64);
    let announced = expires_in_s.map(|seconds| now_ms.saturating_add(seconds.saturating_mul(1000)));
    let expires_ms = expires.or(announced).unwrap_or(now_ms + 3_600_000);
    if expires_ms <= now_ms {
        return Err("it is no longer valid".to_owned());
    }
    let principal = claim("sub").and_then(Value::as_str).unwrap_or("unknown").to_owned();
    Ok(Token { value: value.to_owned(), principal, expires_ms, extensions: extensions.to_vec() })
}

fn base64_url(bytes: &[u8]) -> String {
    base64_encode(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

fn base64_url_decode(text: &str) -> Option<Vec<u8>> {
    let mut text = text.trim_end_matches('=').replace('-', "+").replace('_', "/");
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    base64_decode(&text)
}

/// As a browser sends the field of a form.
fn form_encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests;
