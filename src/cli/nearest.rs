//! What somebody may have meant who typed something else.

/// Those of `names` that are near `typed`, the nearest first, three at most.
pub fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // A third of the letters wrong is still a slip; a word that begins as typed is likely meant, however long.
    let limit = typed.chars().count().div_ceil(3).max(1);
    let lower = typed.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .into_iter()
        .filter_map(|name| {
            let other = name.to_lowercase();
            let is_beginning = lower.len() >= 3 && other.starts_with(&lower);
            let distance = if is_beginning { 1 } else { distance(&lower, &other) };
            (distance <= limit).then_some((distance, name))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, name)| name).collect()
}

/// How many letters must be put in, taken out, replaced, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let flags = ["bootstrap-server", "topic", "topic-id", "list", "describe", "partitions"];
        let meant = |typed| nearest(typed, flags);
        assert_eq!(meant("bootstrap-sever"), ["bootstrap-server"]);
        assert_eq!(meant("bootstrap"), ["bootstrap-server"]);
        assert_eq!(meant("tpoic"), ["topic"]);
        assert_eq!(meant("topics"), ["topic"]);
        assert_eq!(meant("Partition"), ["partitions"]);
        assert_eq!(meant("frobnicate"), Vec::<&str>::new());
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}
