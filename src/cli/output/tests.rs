use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn the_flag_is_found_wherever_it_stands() {
    assert_eq!(Output::asked_for(&words("--list --output json --topic t")), Ok(Some(Output::Json)));
    assert_eq!(Output::asked_for(&words("-output=table")), Ok(Some(Output::Table)));
    assert_eq!(Output::asked_for(&words("--list")), Ok(None));
    assert_eq!(Output::asked_for(&words("--output")), Ok(None));
    assert_eq!(Output::asked_for(&words("--output yaml")), Err("yaml".to_owned()));
}

#[test]
fn a_document_is_one_line_whose_keys_keep_their_order() {
    let mut document = Document::default();
    document.set("zebra", 1);
    document.set("apple", "x");
    document.fail(Some("a.b.C"), "first", &["try".to_owned()]);
    document.fail(None, "second", &[]);
    let mut out = Vec::new();
    document.write("kafka-x", &mut out).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "{\"version\":1,\"command\":\"kafka-x\",\"zebra\":1,\"apple\":\"x\",\
         \"error\":{\"class\":\"a.b.C\",\"message\":\"first\",\"hints\":[\"try\"]}}\n"
    );
}

fn table(terminal: Terminal) -> String {
    let rows = [
        vec![Field::from("first"), Field::from(3)],
        vec!["second".into(), Field { text: "none".into(), is_bad: true }],
    ];
    let mut out = Vec::new();
    write_table(&mut out, &terminal, &["TOPIC", "LEADER"], rows).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn columns_are_aligned_and_colours_come_only_where_they_are_welcome() {
    assert_eq!(table(Terminal::NONE), "TOPIC   LEADER\nfirst   3\nsecond  none\n");
    let coloured = table(Terminal { colours: true, ..Terminal::NONE });
    assert!(coloured.contains("\u{1b}[1m"), "a bold header: {coloured:?}");
    assert!(coloured.contains("\u{1b}[31mnone\u{1b}[0m"), "a red leader: {coloured:?}");
}

#[test]
fn what_is_too_wide_is_wrapped_in_its_column() {
    let rows = [vec![Field::from("t"), Field::from("cleanup.policy=compact retention.ms=1000"), Field::from(7)]];
    let mut out = Vec::new();
    let narrow = Terminal { width: 40, ..Terminal::NONE };
    write_table(&mut out, &narrow, &["TOPIC", "CONFIGS", "N"], rows).unwrap();
    let expected = "TOPIC  CONFIGS                         N\n\
                    t      cleanup.policy=compact          7\n       retention.ms=1000\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}
