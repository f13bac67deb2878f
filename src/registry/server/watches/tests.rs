use super::*;

fn heard(watches: &mut Watches, kind: EventKind, path: &str) -> Vec<ConnectionId> {
    watches.trigger(kind, path).into_iter().collect()
}

#[test]
fn a_watch_fires_once_and_only_for_its_kind() {
    let mut watches = Watches::default();
    watches.add(On::Data, "/a", 1);
    watches.add(On::Children, "/a", 2);
    assert_eq!(heard(&mut watches, EventKind::NodeChildrenChanged, "/a"), [2]);
    assert_eq!(heard(&mut watches, EventKind::NodeChildrenChanged, "/a"), [] as [u64; 0]);
    assert_eq!(heard(&mut watches, EventKind::NodeDataChanged, "/a"), [1]);
    assert_eq!(watches.len(), 0);
    assert!(watches.data.is_empty() && watches.child.is_empty() && watches.by_connection.is_empty());
}

#[test]
fn deletion_is_heard_once_by_who_watches_both() {
    let mut watches = Watches::default();
    watches.add(On::Data, "/a", 1);
    watches.add(On::Children, "/a", 1);
    assert_eq!(heard(&mut watches, EventKind::NodeDeleted, "/a"), [1]);
    assert_eq!(watches.len(), 0);
}

#[test]
fn lasting_watches_stay() {
    let mut watches = Watches::default();
    watches.add_lasting(Lasting::Persistent, "/a", 1);
    watches.add_lasting(Lasting::PersistentRecursive, "/a", 2);
    watches.add_lasting(Lasting::PersistentRecursive, "/", 3);
    for _ in 0..2 {
        assert_eq!(heard(&mut watches, EventKind::NodeDataChanged, "/a"), [1, 2, 3]);
        assert_eq!(heard(&mut watches, EventKind::NodeChildrenChanged, "/a"), [1]);
        assert_eq!(heard(&mut watches, EventKind::NodeCreated, "/a/b"), [2, 3]);
        assert_eq!(heard(&mut watches, EventKind::NodeCreated, "/ab"), [3]);
    }
    assert!(watches.remove(WatcherType::PersistentRecursive, "/a", 2));
    assert!(!watches.remove(WatcherType::PersistentRecursive, "/a", 2));
    assert!(watches.remove(WatcherType::Any, "/a", 1));
    assert_eq!(heard(&mut watches, EventKind::NodeDataChanged, "/a"), [3]);
}

#[test]
fn a_one_shot_watch_beside_a_persistent_one_leaves_it() {
    let mut watches = Watches::default();
    watches.add_lasting(Lasting::Persistent, "/a", 1);
    watches.add(On::Data, "/a", 1);
    heard(&mut watches, EventKind::NodeDataChanged, "/a");
    assert!(watches.contains(WatcherType::Persistent, "/a", 1));
    assert!(watches.remove(WatcherType::Persistent, "/a", 1));
    assert_eq!(watches.len(), 0);
}

#[test]
fn a_connection_takes_its_watches_along() {
    let mut watches = Watches::default();
    watches.add(On::Data, "/a", 1);
    watches.add_lasting(Lasting::PersistentRecursive, "/a", 1);
    watches.add(On::Data, "/a", 2);
    watches.remove_connection(1);
    assert_eq!(heard(&mut watches, EventKind::NodeDataChanged, "/a"), [2]);
    assert!(watches.recursive.is_empty());
}
