//! `ottla` as a process: the quickstart, and the program under its other names.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

const OTTLA: &str = env!("CARGO_BIN_EXE_ottla");

#[test]
fn the_quickstart_shows_every_command_and_leaves_nothing() {
    let folder = tempfile::tempdir().expect("makes a folder");
    let output = Command::new(OTTLA).arg("quickstart").env("TMPDIR", folder.path()).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    for step in ["server-start", "--create", "console-producer", "console-consumer", "--list", "--describe", "--delete"]
    {
        assert!(said.lines().any(|line| line.starts_with("$ ") && line.contains(step)), "{step} is not shown:\n{said}");
    }
    assert!(said.contains("the same that were sent") && said.ends_with("(stopped)\n"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).expect("lists").count(), 0);
}

#[test]
fn a_link_is_the_command_it_is_named_after() {
    let folder = tempfile::tempdir().expect("makes a folder");
    for (name, version) in [("kafka-topics", "3.9.1\n"), ("kafka-topics.sh", "3.9.1\n")] {
        let link = folder.path().join(name);
        symlink(OTTLA, &link).expect("links");
        let output = Command::new(&link).arg("--version").output().expect("runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), version);
    }
    let output = Command::new(OTTLA).args(["topics", "--version"]).output().expect("runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "3.9.1\n");
}

#[test]
fn an_unknown_command_is_named() {
    let output = Command::new(OTTLA).arg("nonsense").output().expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("nonsense is no command of ottla"));
    let help = Command::new(OTTLA).arg("--help").output().expect("runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    for name in ["topics", "console-producer", "server-start", "zookeeper-server-stop", "quickstart", "link DIR"] {
        assert!(help.contains(name), "{help}");
    }
}
