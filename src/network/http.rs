//! One HTTP request and its answer: all that asking an authorization server for a token needs.
//!
//! Blocking, without redirects and proxies; an answer that is larger than a token could be is refused.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::Tls;
use super::tls::reason;

/// A token and what stands around it are some kilobytes.
const MAX_ANSWER_BYTES: u64 = 1 << 20;
/// Java waits for ever; nobody who types a command does.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Posts `body` to an `http:` or `https:` URL and returns the body of the answer. `tls` is asked for only when needed.
///
/// # Errors
/// The URL, the connection, or the answer's status when it is not a success; in words.
pub fn post(
    url: &str,
    headers: &[(&str, String)],
    body: &[u8],
    tls: impl FnOnce() -> Result<Tls, String>,
) -> Result<Vec<u8>, String> {
    let target = Target::parse(url).ok_or("it is no http or https URL")?;
    let mut request = format!("POST {} HTTP/1.1\r\nHost: {}\r\n", target.path, target.authority);
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str(&format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len()));
    let mut bytes = request.into_bytes();
    bytes.extend_from_slice(body);
    let answer = match target.is_https {
        false => exchange(target.connect()?, &bytes),
        true => exchange(tls()?.connect_blocking(target.host, target.connect()?)?, &bytes),
    };
    let answer = answer.map_err(|error| reason(&error).unwrap_or_else(|| error.to_string()))?;
    parse_answer(&answer)
}

#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    is_https: bool,
    authority: &'a str,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Target<'a> {
    fn parse(url: &'a str) -> Option<Target<'a>> {
        let (scheme, rest) = url.split_once("://")?;
        let is_https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let in_brackets = authority.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        let (host, port) = match in_brackets {
            Some((host, rest)) => (host, rest.strip_prefix(':')),
            None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => {
                if is_https {
                    443
                } else {
                    80
                }
            }
        };
        // Neither may end the line that it is written into.
        let legal = !host.is_empty() && url.bytes().all(|byte| byte.is_ascii_graphic());
        legal.then_some(Target { is_https, authority, host, port, path })
    }

    fn connect(&self) -> Result<TcpStream, String> {
        let addresses = (self.host, self.port).to_socket_addrs().map_err(|error| error.to_string())?;
        let mut failure = "no address".to_owned();
        for address in addresses {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => {
                    let limited = stream.set_read_timeout(Some(TIMEOUT));
                    limited
                        .and_then(|()| stream.set_write_timeout(Some(TIMEOUT)))
                        .map_err(|error| error.to_string())?;
                    return Ok(stream);
                }
                Err(error) => failure = error.to_string(),
            }
        }
        Err(failure)
    }
}

fn exchange(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    stream.flush()?;
    let mut answer = Vec::new();
    match stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer) {
        // Servers that close without TLS's good-bye are many; the length says whether something is missing.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(answer),
    }
}

fn parse_answer(answer: &[u8]) -> Result<Vec<u8>, String> {
    let malformed = || "the answer is not HTTP".to_owned();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(malformed)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| malformed())?;
    let rest = &answer[end + 4..];
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.")?.split(' ').nth(1)).ok_or_else(malformed)?;
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let body = match (header("transfer-encoding"), header("content-length")) {
        (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => unchunk(rest).ok_or_else(malformed)?,
        (_, Some(length)) => {
            let length: usize = length.parse().map_err(|_| malformed())?;
            rest.get(..length).ok_or("the answer is cut short")?.to_vec()
        }
        _ => rest.to_vec(),
    };
    if !status.starts_with('2') {
        let said: String = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(200).collect();
        return Err(format!("the server answered {status} {said}").trim_end().to_owned());
    }
    Ok(body)
}

/// The body of a chunked answer; trailers are ignored.
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests;
