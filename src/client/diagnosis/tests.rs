use std::net::TcpListener;

use super::*;

/// What a person is told of `found` behind `kafka:9092`, where only `kafka` and `inner` can be reached.
fn told(found: Found, spoken: Spoken) -> String {
    let look = |host: &str, _| match host {
        "kafka" | "inner" => Found::Broker { advertised: Vec::new() },
        "nowhere" => Found::Unresolved,
        _ => Found::Refused,
    };
    explain("kafka", 9092, &found, spoken, look).join("\n")
}

#[test]
fn each_trouble_is_named_with_its_address() {
    let plain = |found| told(found, Spoken::Plain);
    assert_eq!(plain(Found::Unresolved), "the name kafka cannot be resolved; is it spelled right?");
    assert!(plain(Found::Refused).starts_with("nothing listens on kafka:9092;"));
    assert!(plain(Found::ZooKeeper).starts_with("kafka:9092 is a ZooKeeper, not a broker"));
    assert!(plain(Found::Tls).contains("set security.protocol=SSL"));
    let broker = |host: &str, port| Found::Broker { advertised: vec![(host.to_owned(), port)] };
    assert!(told(broker("kafka", 9092), Spoken::Tls).contains("was spoken to in TLS"));
    assert_eq!(plain(broker("kafka", 9092)), "");
    assert_eq!(plain(broker("inner", 9092)), "");
    assert_eq!(
        plain(broker("nowhere", 9093)),
        "the broker at kafka:9092 calls itself nowhere:9093, and that name cannot be resolved here: its \
         advertised.listeners must name an address that clients reach"
    );
    assert!(plain(broker("localhost", 1)).contains("localhost:1, and nothing listens there"));
}

/// A server that answers what begins with `question` and closes on everything else.
fn server(question: &'static [u8], answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut heard = [0; 256];
            if stream.read(&mut heard).is_ok_and(|length| heard[..length].starts_with(question)) {
                let _ = stream.write_all(answer);
            }
        }
    });
    port
}

#[test]
fn servers_are_told_apart_by_what_they_answer() {
    assert_eq!(look_at("127.0.0.1", server(b"srvr", b"Zookeeper version: 3.8.4")), Found::ZooKeeper);
    let not_allowed = b"srvr is not executed because it is not in the whitelist.\n";
    assert_eq!(look_at("127.0.0.1", server(b"srvr", not_allowed)), Found::ZooKeeper);
    assert_eq!(look_at("127.0.0.1", server(&[22, 3], &[21, 3, 3, 0, 2, 2, 40])), Found::Tls);
    assert_eq!(look_at("127.0.0.1", server(b"GET", b"HTTP/1.1 400\r\n")), Found::Stranger);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(look_at("127.0.0.1", closed), Found::Refused);
    assert_eq!(look_at("no-such-name.invalid", 1), Found::Unresolved);
}
