use super::*;

fn offset(offset: i64, commit_timestamp: i64) -> OffsetAndMetadata {
    OffsetAndMetadata { offset, leader_epoch: -1, metadata: String::new(), commit_timestamp, expire_timestamp: None }
}

fn partition(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition::new(topic, partition)
}

#[test]
fn offsets_expire_only_when_nobody_needs_them() {
    let mut offsets = Offsets::default();
    offsets.replay(1, partition("t", 0), Some(offset(1, 1000)));
    offsets.replay(2, partition("u", 0), Some(offset(1, 5000)));
    let check = |expiry, subscribed: &[&str], now_ms, expected: &[&str]| {
        let expired = offsets.expired(expiry, |topic| subscribed.contains(&topic), 1000, now_ms);
        let topics: Vec<&str> = expired.iter().map(|partition| &*partition.topic).collect();
        assert_eq!(topics, expected, "{expiry:?} {subscribed:?} {now_ms}");
    };
    check(Expiry::SinceCommit, &[], 1999, &[]);
    check(Expiry::SinceCommit, &[], 2000, &["t"]);
    check(Expiry::SinceCommit, &["t"], 6000, &["u"]);
    check(Expiry::SinceEmpty(3000), &[], 3999, &[]);
    check(Expiry::SinceEmpty(3000), &[], 4000, &["t"]);
    check(Expiry::Never, &[], 1_000_000, &[]);
}

#[test]
fn a_commit_with_a_time_of_its_own_goes_by_that() {
    let mut offsets = Offsets::default();
    offsets.replay(1, partition("t", 0), Some(OffsetAndMetadata { expire_timestamp: Some(9000), ..offset(1, 0) }));
    assert!(offsets.expired(Expiry::SinceCommit, |_| false, 10, 8999).is_empty());
    assert_eq!(offsets.expired(Expiry::SinceCommit, |_| false, 10, 9000).len(), 1);
}

#[test]
fn offsets_of_a_transaction_count_when_it_commits() {
    let mut offsets = Offsets::default();
    let of = partition("t", 0);
    offsets.replay_pending(1, 7, of.clone(), offset(3, 0));
    assert!(offsets.is_unstable(&of) && offsets.get(&of).is_none() && !offsets.is_empty());
    offsets.replay_transaction_end(7, false);
    assert!(!offsets.is_unstable(&of) && offsets.is_empty());
    offsets.replay_pending(2, 7, of.clone(), offset(4, 0));
    offsets.replay_transaction_end(8, true);
    assert!(offsets.get(&of).is_none());
    offsets.replay_transaction_end(7, true);
    assert_eq!(offsets.get(&of).unwrap().offset, 4);
}

#[test]
fn what_is_applied_late_does_not_undo_what_is_newer() {
    let mut offsets = Offsets::default();
    let of = partition("t", 0);
    offsets.replay(2, of.clone(), Some(offset(20, 0)));
    offsets.replay(1, of.clone(), Some(offset(10, 0)));
    assert_eq!(offsets.get(&of).unwrap().offset, 20);
    offsets.replay_pending(3, 7, of.clone(), offset(30, 0));
    offsets.replay(4, of.clone(), Some(offset(40, 0)));
    offsets.replay_transaction_end(7, true);
    assert_eq!(offsets.get(&of).unwrap().offset, 40, "the transaction's append was before it");
}

#[test]
fn an_append_that_was_refused_leaves_nothing_pending() {
    let mut offsets = Offsets::default();
    offsets.replay_pending(1, 7, partition("t", 0), offset(1, 0));
    offsets.replay_pending(2, 7, partition("t", 1), offset(1, 0));
    offsets.forget_pending(2, 7);
    assert!(offsets.is_unstable(&partition("t", 0)) && !offsets.is_unstable(&partition("t", 1)));
    offsets.forget_pending(1, 7);
    assert!(offsets.is_empty());
}
