//! Topics chosen by a Java regular expression: `--include`, `--whitelist`, `--blacklist`.

use regex::Regex;

/// Topics that Kafka keeps for itself; patterns never choose them (`exclude.internal.topics`).
pub const INTERNAL_TOPICS: [&str; 3] = ["__consumer_offsets", "__transaction_state", "__share_group_state"];

/// A pattern over whole topic names.
#[derive(Debug, Clone)]
pub struct TopicFilter {
    /// `(?=…)` and `(?!…)` at the very start, which crate regex does not know: what must, or must not, match there.
    leading: Vec<(bool, Regex)>,
    whole: Regex,
    choose_matching: bool,
    choose_internal: bool,
}

/// A pattern that is none, in the words of Java's `PatternSyntaxException`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// `Unclosed group`.
    pub description: String,
    pub pattern: String,
    /// Where the parser stood, in characters; `None` when it is not known.
    pub index: Option<usize>,
}

impl TopicFilter {
    /// Chooses the topics whose whole name matches.
    ///
    /// # Errors
    /// What Java would say of a malformed pattern. Look-around other than at the start, and back references, are
    /// refused too.
    pub fn including(pattern: &str) -> Result<TopicFilter, PatternError> {
        TopicFilter::new(pattern, true)
    }

    /// Chooses the topics whose name does not match.
    ///
    /// # Errors
    /// As [`TopicFilter::including`].
    pub fn excluding(pattern: &str) -> Result<TopicFilter, PatternError> {
        TopicFilter::new(pattern, false)
    }

    fn new(pattern: &str, choose_matching: bool) -> Result<TopicFilter, PatternError> {
        let (groups, rest) = leading_lookahead(pattern);
        let mut leading = Vec::new();
        for (wanted, group) in groups {
            leading.push((wanted, Regex::new(&format!("^(?:{group})")).map_err(|error| java_error(pattern, &error))?));
        }
        // First alone, so that an unbalanced pattern is not hidden by the group around it.
        Regex::new(rest).map_err(|error| java_error(pattern, &error))?;
        let whole = Regex::new(&format!("^(?:{rest})$")).map_err(|error| java_error(pattern, &error))?;
        Ok(TopicFilter { leading, whole, choose_matching, choose_internal: false })
    }

    /// With `exclude.internal.topics=false`: Kafka's own topics may be chosen too.
    pub fn with_internal_topics(self) -> TopicFilter {
        TopicFilter { choose_internal: true, ..self }
    }

    /// Whether the topic is chosen.
    pub fn allows(&self, topic: &str) -> bool {
        let matches =
            self.leading.iter().all(|(wanted, group)| group.is_match(topic) == *wanted) && self.whole.is_match(topic);
        matches == self.choose_matching && (self.choose_internal || !INTERNAL_TOPICS.contains(&topic))
    }
}

/// Takes `^?(?!…)…` apart: the groups (true for `(?=`) and what follows them.
fn leading_lookahead(pattern: &str) -> (Vec<(bool, &str)>, &str) {
    let mut rest = pattern.strip_prefix('^').unwrap_or(pattern);
    let mut groups = Vec::new();
    loop {
        let wanted = rest.starts_with("(?=");
        if !wanted && !rest.starts_with("(?!") {
            return if groups.is_empty() { (groups, pattern) } else { (groups, rest) };
        }
        let Some(end) = closing_parenthesis(rest) else { return (Vec::new(), pattern) };
        groups.push((wanted, &rest[3..end]));
        rest = &rest[end + 1..];
    }
}

/// The index of the parenthesis that closes the one at the start.
fn closing_parenthesis(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut in_class = false;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'(' if !in_class => depth += 1,
            b')' if !in_class => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// Says in Java's words what crate regex found.
fn java_error(pattern: &str, error: &regex::Error) -> PatternError {
    let text = error.to_string();
    let length = pattern.chars().count();
    let (description, index) = if text.contains("unclosed group") {
        ("Unclosed group", Some(length))
    } else if text.contains("unopened group") {
        ("Unmatched closing ')'", unmatched_closing(pattern).map(|index| index.saturating_sub(1)))
    } else if text.contains("unclosed character class") {
        ("Unclosed character class", Some(length.saturating_sub(1)))
    } else if text.contains("repetition operator missing expression") {
        return dangling(pattern);
    } else if text.contains("unclosed counted repetition") {
        ("Unclosed counted closure", Some(length))
    } else if text.contains("incomplete escape sequence") {
        ("Unexpected internal error", Some(length))
    } else if text.contains("look-around") || text.contains("backreferences") {
        ("Look-around and back references are not supported", None)
    } else {
        // The last line of crate regex's text is `error: what is wrong`.
        let last = text.lines().last().unwrap_or_default();
        return PatternError {
            description: last.strip_prefix("error: ").unwrap_or(last).to_owned(),
            pattern: pattern.to_owned(),
            index: None,
        };
    };
    PatternError { description: description.to_owned(), pattern: pattern.to_owned(), index }
}

fn unmatched_closing(pattern: &str) -> Option<usize> {
    let mut depth = 0;
    let mut escaped = false;
    for (index, c) in pattern.chars().enumerate() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' if depth == 0 => return Some(index),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// A `*`, `+` or `?` with nothing before it.
fn dangling(pattern: &str) -> PatternError {
    let mut before = None;
    let found = pattern.chars().enumerate().find(|&(_, c)| {
        let nothing = matches!(before, None | Some('(' | '|' | '^'));
        before = Some(c);
        matches!(c, '*' | '+' | '?') && nothing
    });
    let (index, meta) = found.unwrap_or((0, '*'));
    PatternError {
        description: format!("Dangling meta character '{meta}'"),
        pattern: pattern.to_owned(),
        index: Some(index),
    }
}

impl std::fmt::Display for PatternError {
    /// As `PatternSyntaxException.getMessage()`: description, pattern, and a caret under the place.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.description)?;
        if let Some(index) = self.index {
            write!(f, " near index {index}")?;
        }
        write!(f, "\n{}", self.pattern)?;
        match self.index {
            Some(index) if index < self.pattern.chars().count() => write!(f, "\n{}^", " ".repeat(index)),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for PatternError {}

#[cfg(test)]
mod tests;
