use super::*;

fn altered(
    target: &Resource,
    has: &[(&str, &str)],
    op: i8,
    name: &str,
    value: &str,
) -> Result<Option<String>, Refusal> {
    let mut values: BTreeMap<String, String> = has.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let config = AlterableConfig { name: name.to_owned(), config_operation: op, value: Some(value.to_owned()) };
    apply(target, &config, &mut values)?;
    Ok(values.remove(name))
}

#[test]
fn values_are_set_deleted_and_lists_grow_and_shrink() {
    let topic = Resource::Topic("t".to_owned());
    let check = |has: &[(&str, &str)], op, value, expected: Option<&str>| {
        let changed = altered(&topic, has, op, "cleanup.policy", value).unwrap();
        assert_eq!(changed.as_deref(), expected, "{has:?} {op} {value}");
    };
    check(&[], SET, "compact", Some("compact"));
    check(&[("cleanup.policy", "compact")], DELETE, "", None);
    // Without a value of its own the list begins with the default.
    check(&[], APPEND, "compact", Some("delete,compact"));
    check(&[("cleanup.policy", "compact")], APPEND, "compact,delete", Some("compact,delete"));
    check(&[("cleanup.policy", "compact,delete")], SUBTRACT, "delete", Some("compact"));
    check(&[("cleanup.policy", "compact")], SUBTRACT, "delete", Some("compact"));
}

#[test]
fn what_is_no_list_cannot_grow() {
    let topic = Resource::Topic("t".to_owned());
    let refused = |op, name: &str| altered(&topic, &[], op, name, "1").unwrap_err();
    let text = "Config value append is not allowed for config key: retention.ms";
    assert_eq!(refused(APPEND, "retention.ms"), Refusal::new(ErrorCode::INVALID_CONFIG, text));
    let text = "Config value subtract is not allowed for config key: retention.ms";
    assert_eq!(refused(SUBTRACT, "retention.ms"), Refusal::new(ErrorCode::INVALID_CONFIG, text));
    assert_eq!(refused(9, "retention.ms"), Refusal::new(ErrorCode::INVALID_REQUEST, "Unknown operations type 9"));
    assert_eq!(refused(APPEND, "nope"), Refusal::new(ErrorCode::INVALID_CONFIG, "Unknown config name: nope"));
}
