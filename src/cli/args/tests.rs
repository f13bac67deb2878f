use super::*;

const TABLE: OptionTable = OptionTable {
    purpose: "Tries the parser.",
    options: &[
        Opt::value("topic", "String: topic", "0.8", "REQUIRED: The topic id to produce messages to."),
        Opt::value("topics-with", "String", "2.0", "Newer than abbreviations."),
        Opt::value("batch-size", "Integer: size", "0.8", "Bytes of a batch.").default("16384"),
        Opt::optional("compression-codec", "String: compression-codec", "0.8.2", "Compress."),
        Opt::flag("list", "0.8", "List."),
        Opt::flag("line", "0.8", "Line."),
        Opt::value("property", "String: prop", "0.8", "k=v"),
    ],
};

fn parse(line: &str) -> Result<Matches, ArgsError> {
    parse_with(line, Abbreviations::Refused)
}

fn parse_with(line: &str, abbreviations: Abbreviations) -> Result<Matches, ArgsError> {
    let args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    TABLE.parse(&args, abbreviations)
}

fn error(line: &str) -> String {
    parse(line).unwrap_err().to_string()
}

#[test]
fn one_dash_two_dashes_and_equals_are_alike() {
    for line in ["--topic t", "-topic t", "--topic=t", "-topic=t", "--topic= t"] {
        assert_eq!(parse(line).unwrap().value("topic").unwrap().as_deref(), Some("t"), "{line}");
    }
    assert!(parse("--list=false").unwrap().has("list"));
}

#[test]
fn a_required_value_may_look_like_an_option_and_an_optional_one_may_not() {
    let matches = parse("--topic --list").unwrap();
    assert_eq!(matches.value("topic").unwrap().as_deref(), Some("--list"));
    assert!(!matches.has("list"));

    let matches = parse("--compression-codec --list").unwrap();
    assert!(matches.has("compression-codec") && matches.has("list"));
    assert_eq!(matches.value("compression-codec").unwrap(), None);
    assert_eq!(parse("--compression-codec").unwrap().values("compression-codec"), [] as [&str; 0]);
    assert_eq!(parse("--compression-codec zstd").unwrap().values("compression-codec"), ["zstd"]);
    assert_eq!(parse("--compression-codec=lz4 zstd").unwrap().values("compression-codec"), ["lz4"]);
}

#[test]
fn leftovers_are_ignored_and_nothing_is_read_after_two_dashes() {
    let matches = parse("stray --list - more -- --topic t --bogus").unwrap();
    assert!(matches.has("list") && !matches.has("topic"));
}

#[test]
fn the_texts_are_those_of_joptsimple() {
    assert_eq!(error("--frobnicate x"), "frobnicate is not a recognized option");
    assert_eq!(error("--frobnicate=x"), "frobnicate is not a recognized option");
    assert_eq!(error("-frobnicate"), "f is not a recognized option");
    assert_eq!(error("--top t"), "top is not a recognized option");
    assert_eq!(error("--topic"), "Option topic requires an argument");
    let twice = parse("--topic a --topic b").unwrap();
    assert_eq!(
        twice.value("topic").unwrap_err().to_string(),
        "Found multiple arguments for option topic, but you asked for only one"
    );
    assert_eq!(twice.values("topic"), ["a", "b"]);
    let big = parse("--batch-size big").unwrap();
    let cannot = big.number::<i32>("batch-size").unwrap_err();
    assert_eq!(cannot.to_string(), "Cannot parse argument 'big' of option batch-size");
    assert!(!cannot.shows_usage());
    assert_eq!(parse("--batch-size +7").unwrap().number::<i32>("batch-size"), Ok(Some(7)));
    assert_eq!(parse("").unwrap().number::<i32>("batch-size"), Ok(Some(16384)));
    let missing = parse("--list").unwrap().require(&["list", "topic"]).unwrap_err();
    assert_eq!(missing.to_string(), "Missing required argument \"[topic]\"");
    let conflict = parse("--list --topic x").unwrap().forbid("list", &["line", "topic"]).unwrap_err();
    assert_eq!(conflict.to_string(), "Option \"[list]\" can't be used with option \"[topic]\"");
    assert_eq!(parse("--topic x").unwrap().forbid("list", &["topic"]), Ok(()));
}

#[test]
fn abbreviations_of_the_old_days_must_be_unambiguous() {
    let taken = |line| parse_with(line, Abbreviations::Taken);
    assert_eq!(taken("--top t").unwrap().value("topic").unwrap().as_deref(), Some("t"));
    assert!(taken("-lis").unwrap().has("list"));
    assert_eq!(taken("--li").unwrap_err().to_string(), "li is not a recognized option");
}

#[test]
fn properties_split_at_the_first_equals_sign() {
    let values = ["a=b=c".to_owned(), "flag".to_owned(), "e=".to_owned()];
    let expected = [("a", "b=c"), ("flag", ""), ("e", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(key_values(&values), expected);
}

#[test]
fn help_has_two_padded_columns_of_80_characters() {
    let mut out = Vec::new();
    TABLE.write_options(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = [
        "Option                                   Description                            ",
        "------                                   -----------                            ",
        "--batch-size <Integer: size>             Bytes of a batch. (default: 16384)     ",
        "--compression-codec [String:             Compress.                              ",
        "  compression-codec]                                                            ",
        "--line                                   Line.                                  ",
        "--list                                   List.                                  ",
        "--property <String: prop>                k=v                                    ",
        "--topic <String: topic>                  REQUIRED: The topic id to produce      ",
        "                                           messages to.                         ",
        "--topics-with <String>                   Newer than abbreviations.              ",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
}
