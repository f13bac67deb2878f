use super::TopicPartition;

#[test]
fn it_is_shown_as_its_folder_and_sorts_by_topic_then_number() {
    let mut all = [TopicPartition::new("b", 0), TopicPartition::new("a-b", 10), TopicPartition::new("a-b", 2)];
    all.sort();
    assert_eq!(all.map(|tp| tp.to_string()), ["a-b-2", "a-b-10", "b-0"]);
}
