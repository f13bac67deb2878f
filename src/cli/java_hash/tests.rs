use super::*;

fn check(keys: &[&str], table: Table, expected: &[&str]) {
    assert_eq!(order(keys.to_vec(), table, |key| string(key)), expected);
}

#[test]
fn hashes_are_javas() {
    // Printed by jshell.
    assert_eq!(string(""), 0);
    assert_eq!(string("a"), 97);
    assert_eq!(
        string("min.insync.replicas"),
        "min.insync.replicas".bytes().fold(0i32, |h, b| { h.wrapping_mul(31).wrapping_add(b.into()) })
    );
    assert_eq!(string("polygenelubricants"), i32::MIN);
    assert_eq!(string("\u{1f600}"), 0xd83d * 31 + 0xde00);
    assert_eq!(topic_partition("a", 0), 31 * 31 + 97);
    assert_eq!(topic_partition("a", 2), 31 * 33 + 97);
}

#[test]
fn keys_come_by_bucket_and_within_one_as_they_went_in() {
    // 97, 98 … lie in buckets 1, 2 …; "q" (113) shares the bucket of "a" (97) in a table of 16.
    check(&["c", "b", "a"], Table::Default, &["a", "b", "c"]);
    check(&["q", "b", "a"], Table::Default, &["q", "a", "b"]);
    check(&["a", "b", "q"], Table::Default, &["a", "q", "b"]);
    // "p" is 112, bucket 0.
    check(&["a", "p"], Table::Default, &["p", "a"]);
}

#[test]
fn the_table_is_as_large_as_java_makes_it() {
    for (keys, table, size) in [
        (0, Table::Default, 16),
        (12, Table::Default, 16),
        (13, Table::Default, 32),
        (37, Table::Default, 64),
        (1, Table::Capacity(1), 2),
        (2, Table::Capacity(2), 4),
        (3, Table::Capacity(3), 4),
        (4, Table::Capacity(4), 8),
        (6, Table::Capacity(6), 8),
        (3, Table::CopyOf(3), 8),
        (2, Table::CopyOf(2), 4),
        (1, Table::CopyOf(1), 2),
        (12, Table::CopyOf(12), 32),
        (0, Table::Capacity(0), 1),
    ] {
        assert_eq!(table_size(keys, table), size, "{keys} {table:?}");
    }
    // In a table of 4, "d" (100) is in bucket 0.
    check(&["a", "b", "d"], Table::Capacity(3), &["d", "a", "b"]);
    check(&["a", "b", "d"], Table::Default, &["a", "b", "d"]);
}
