use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use super::*;

#[test]
fn the_service_manager_is_told_over_a_path_or_an_abstract_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let at_path = UnixDatagram::bind(&path).unwrap();
    let name = format!("ottla-{}", std::process::id());
    let abstract_one = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    for (socket, told) in [(path.into_os_string(), &at_path), (format!("@{name}").into(), &abstract_one)] {
        notify(&socket, "READY=1").unwrap();
        let mut text = [0; 16];
        let length = told.recv(&mut text).unwrap();
        assert_eq!(&text[..length], b"READY=1");
    }
    assert!(notify("/no/such/socket".as_ref(), "READY=1").is_err());
}
