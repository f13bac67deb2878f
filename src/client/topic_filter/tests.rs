use super::TopicFilter;

fn check(pattern: &str, topic: &str, expected: bool) {
    let filter = TopicFilter::including(pattern).unwrap();
    assert_eq!(filter.allows(topic), expected, "{pattern} on {topic}");
}

fn refused(pattern: &str, expected: &str) {
    assert_eq!(TopicFilter::including(pattern).unwrap_err().to_string(), expected);
}

#[test]
fn a_pattern_matches_the_whole_name() {
    check("first", "first", true);
    check("first", "first-2", false);
    check("first|second", "second", true);
    check("first|second", "second-2", false);
    check("first.*", "first-2", true);
}

#[test]
fn internal_topics_are_never_chosen_unless_wanted() {
    check(".*", "__consumer_offsets", false);
    check(".*", "__mine", true);
    let filter = TopicFilter::including(".*").unwrap().with_internal_topics();
    assert!(filter.allows("__consumer_offsets"));
}

#[test]
fn an_excluding_filter_chooses_the_others() {
    let filter = TopicFilter::excluding("a.*").unwrap();
    assert!(!filter.allows("abc"));
    assert!(filter.allows("b"));
    assert!(!filter.allows("__transaction_state"));
}

#[test]
fn look_ahead_at_the_start_is_honoured() {
    check("(?!test).*", "test-1", false);
    check("(?!test).*", "first", true);
    check("^(?!.*-internal$)(?=a).*", "abc", true);
    check("^(?!.*-internal$)(?=a).*", "abc-internal", false);
    check("^(?!.*-internal$)(?=a).*", "bcd", false);
}

#[test]
fn malformed_patterns_are_refused_in_javas_words() {
    refused("(", "Unclosed group near index 1\n(");
    refused("*a", "Dangling meta character '*' near index 0\n*a\n^");
    refused("[a", "Unclosed character class near index 1\n[a\n ^");
}
