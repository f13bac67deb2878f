use super::*;

fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
    let mut epochs = LeaderEpochs::default();
    for (epoch, offset) in entries {
        assert!(epochs.assign(*epoch, *offset));
    }
    epochs
}

fn entries(epochs: &LeaderEpochs) -> Vec<(i32, i64)> {
    epochs.entries().iter().map(|entry| (entry.epoch, entry.start_offset)).collect()
}

#[test]
fn an_epoch_is_noted_once_and_contradictions_go() {
    let mut known = epochs(&[(0, 0), (2, 10), (5, 20)]);
    assert!(!known.assign(5, 25));
    assert!(!known.assign(-1, 25));
    assert!(known.assign(6, 20), "the reign of 5 wrote nothing");
    assert_eq!(entries(&known), [(0, 0), (2, 10), (6, 20)]);
    assert!(known.assign(6, 15), "it began earlier than we thought");
    assert_eq!(entries(&known), [(0, 0), (2, 10), (6, 15)]);
    assert!(known.assign(1, 5));
    assert_eq!(entries(&known), [(0, 0), (1, 5)]);
}

#[test]
fn an_epoch_ends_where_the_next_one_begins() {
    let check = |entries: &[(i32, i64)], asked, expected| {
        assert_eq!(epochs(entries).end_offset_for(asked, 100), expected, "{entries:?} {asked}");
    };
    let known = [(2, 10), (4, 20), (5, 30)];
    check(&known, -1, None);
    check(&known, 1, Some((1, 10)));
    check(&known, 2, Some((2, 20)));
    check(&known, 3, Some((2, 20)));
    check(&known, 4, Some((4, 30)));
    check(&known, 5, Some((5, 100)));
    check(&known, 6, None);
    check(&[], 0, None);
}

#[test]
fn an_offset_has_the_epoch_it_was_written_under() {
    let known = epochs(&[(2, 10), (4, 20)]);
    assert_eq!(
        [9, 10, 19, 20, 99].map(|offset| known.epoch_for_offset(offset)),
        [None, Some(2), Some(2), Some(4), Some(4)]
    );
}

#[test]
fn truncation_at_either_end_keeps_what_is_still_true() {
    let mut known = epochs(&[(0, 0), (2, 10), (5, 20)]);
    assert!(!known.truncate_from_end(21));
    assert!(known.truncate_from_end(20));
    assert_eq!(entries(&known), [(0, 0), (2, 10)]);
    assert!(known.truncate_from_start(5));
    assert_eq!(entries(&known), [(0, 5), (2, 10)]);
    assert!(!known.truncate_from_start(5));
    assert!(!known.truncate_from_start(4));
    assert!(known.truncate_from_start(12));
    assert_eq!(entries(&known), [(2, 12)]);
}

#[test]
fn the_file_comes_back_and_nonsense_is_refused() {
    let known = epochs(&[(0, 0), (2, 10)]);
    assert_eq!(known.encode(), "0\n2\n0 0\n2 10\n");
    assert_eq!(LeaderEpochs::decode(&known.encode()), Ok(known));
    for text in ["", "0\n1\n0\n", "0\n1\nx 0\n", "0\n2\n0 0\n", "7\n0\n"] {
        assert!(LeaderEpochs::decode(text).is_err(), "{text:?}");
    }
}
