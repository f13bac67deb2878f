use super::*;

#[test]
fn hosts_and_chroot_are_told_apart() {
    let check = |text: &str, servers: &[(&str, u16)], chroot: &str| {
        let servers = servers.iter().map(|(host, port)| (host.to_string(), *port)).collect();
        assert_eq!(text.parse::<ConnectString>().unwrap(), ConnectString { servers, chroot: chroot.into() });
    };
    check("localhost:2181", &[("localhost", 2181)], "");
    check("h1,h2:2182/kafka/a", &[("h1", 2181), ("h2", 2182)], "/kafka/a");
    check("h1:1, h2:2/", &[("h1", 1), ("h2", 2)], "");
    check("[::1]:2181,[::2]", &[("::1", 2181), ("::2", 2181)], "");
    for bad in ["", "/x", "h:x", "h:99999", "h//x", "[::1:2181", ","] {
        assert!(bad.parse::<ConnectString>().is_err(), "{bad}");
    }
}
