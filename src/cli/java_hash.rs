//! The order in which Java's hash maps give their keys back, which is the order of many lines of Apache's tools.
//!
//! A `HashMap` has a table of 2^n buckets, doubled as soon as it holds more than 3/4 of its size; a key lies in
//! bucket `(h ^ (h >>> 16)) & (size - 1)`, behind those that came before. It is read bucket by bucket. What is not
//! modelled: a bucket of eight and more keys in a table of 64 and more becomes a tree, whose root is read first.
//!
//! Source: `java.util.HashMap` of JDK 17; `hashCode` of `String` and of Kafka's `TopicPartition`.

/// How large the table is at first.
#[derive(Debug, Clone, Copy)]
pub enum Table {
    /// `new HashMap<>()`, and what `Collectors` make.
    Default,
    /// `new HashMap<>(n)`.
    Capacity(usize),
    /// `new HashMap<>(map)`, a copy of a map of so many keys.
    CopyOf(usize),
}

/// `String.hashCode`.
pub fn string(text: &str) -> i32 {
    text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

/// `TopicPartition.hashCode`.
pub fn topic_partition(topic: &str, partition: i32) -> i32 {
    let prime = 31i32;
    prime.wrapping_mul(prime.wrapping_add(partition)).wrapping_add(string(topic))
}

/// Puts different keys, in the order in which they are inserted, into the order in which the map is read.
pub fn order<T>(keys: Vec<T>, table: Table, hash: impl Fn(&T) -> i32) -> Vec<T> {
    let size = table_size(keys.len(), table);
    let mut keys = keys;
    keys.sort_by_key(|key| bucket(hash(key), size));
    keys
}

fn bucket(hash: i32, size: usize) -> usize {
    let hash = hash as u32;
    (hash ^ (hash >> 16)) as usize & (size - 1)
}

/// The size that the table has once all keys are in it.
fn table_size(keys: usize, table: Table) -> usize {
    let mut size = match table {
        Table::Default => 16,
        Table::Capacity(capacity) => capacity.next_power_of_two(),
        // Java computes `keys / 0.75 + 1` in floating point and drops the fraction.
        Table::CopyOf(of) => (of * 4 / 3 + 1).next_power_of_two(),
    };
    while keys > size * 3 / 4 {
        size *= 2;
    }
    size
}

#[cfg(test)]
mod tests;
