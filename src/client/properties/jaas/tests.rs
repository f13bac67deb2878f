use super::*;

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";

fn options(text: &str) -> Vec<(String, String)> {
    parse_property(&format!("{PLAIN} required {text};")).unwrap().options
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn options_are_read_as_java_reads_them() {
    assert_eq!(
        options(r#"username="alice" password="p;w=\"1\"""#),
        pairs(&[("username", "alice"), ("password", "p;w=\"1\"")])
    );
    assert_eq!(options("username=alice password='a b'"), pairs(&[("username", "alice"), ("password", "a b")]));
    assert_eq!(options(r#"a = "tab\tend" b="\101\0""#), pairs(&[("a", "tab\tend"), ("b", "A\0")]));
    assert_eq!(options("\n  a=b // a comment; c=d\n /* e=f; */ g=h"), pairs(&[("a", "b"), ("g", "h")]));
    assert_eq!(options(r#"pass="Grün""#), pairs(&[("pass", "Grün")]));
    let module = parse_property(&format!("{PLAIN} Sufficient a=1 a=2;")).unwrap();
    assert_eq!((module.class.as_str(), module.option("a"), module.option("b")), (PLAIN, Some("2"), None));
}

#[test]
fn what_is_wrong_is_said_in_javas_words() {
    for (text, expected) in [
        ("", "Login module not specified in JAAS config"),
        ("; ", "Login module not specified in JAAS config"),
        ("a.B", "Login module control flag not specified in JAAS config"),
        ("a.B needed;", "Invalid login module control flag 'needed' in JAAS config"),
        ("a.B required user=x", "JAAS config entry not terminated by semi-colon"),
        ("a.B required user;", "Value not specified for key 'user' in JAAS config"),
        ("a.B required user=;", "Value not specified for key 'user' in JAAS config"),
        ("a.B required; c.D required;", "JAAS config property contains 2 login modules, should be 1 module"),
    ] {
        assert_eq!(parse_property(text).unwrap_err(), expected, "{text}");
    }
}

#[test]
fn a_files_sections_are_told_apart() {
    let file = r#"
        // for the brokers
        KafkaServer { a.B required user="broker"; };
        KafkaClient {
            c.D required
            user="client" password="x}";
            e.F optional;
        };
    "#;
    let module = parse_file(file, "KafkaClient").unwrap().unwrap();
    assert_eq!((module.class.as_str(), module.option("password")), ("c.D", Some("x}")));
    assert_eq!(parse_file(file, "Other").unwrap(), None);
    for broken in ["KafkaClient", "KafkaClient { a.B required;", "KafkaClient { a.B required; }", "{ };"] {
        assert!(parse_file(broken, "KafkaClient").is_err(), "{broken}");
    }
}
