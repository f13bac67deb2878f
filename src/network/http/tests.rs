use super::*;

#[test]
fn urls_are_taken_apart() {
    let target = |url| Target::parse(url).map(|t| (t.is_https, t.authority, t.host, t.port, t.path));
    assert_eq!(target("http://h/a?b=c"), Some((false, "h", "h", 80, "/a?b=c")));
    assert_eq!(target("HTTPS://h:8443"), Some((true, "h:8443", "h", 8443, "/")));
    assert_eq!(target("https://[::1]:1/x"), Some((true, "[::1]:1", "::1", 1, "/x")));
    assert_eq!(target("https://[::1]/x"), Some((true, "[::1]", "::1", 443, "/x")));
    for bad in
        ["", "h/a", "ftp://h/", "http:///a", "http://h:x/", "http://h/a b", "http://h\r\nX: y/", "http://h:99999/"]
    {
        assert_eq!(target(bad), None, "{bad:?}");
    }
}

#[test]
fn answers_are_taken_apart() {
    let body = |answer: &str| parse_answer(answer.as_bytes()).map(|body| String::from_utf8(body).unwrap());
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc").unwrap(), "ab");
    assert_eq!(body("HTTP/1.0 200 OK\r\n\r\nabc").unwrap(), "abc");
    assert_eq!(
        body("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n").unwrap(),
        "abc"
    );
    assert_eq!(body("HTTP/1.1 503 Busy\r\n\r\nlater\r\n").unwrap_err(), "the server answered 503 later");
    assert_eq!(body("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").unwrap_err(), "the answer is cut short");
    for bad in [
        "",
        "HTTP/1.1 200 OK",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab\r\n",
    ] {
        assert!(body(bad).is_err(), "{bad:?}");
    }
}
