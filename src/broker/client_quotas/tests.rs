use super::*;

fn of(parts: &[(&'static str, Option<&'static str>)]) -> Result<ConfigEntity, String> {
    entity(parts.iter().copied()).map_err(|refusal| refusal.message.unwrap_or_default())
}

#[test]
fn an_entity_is_made_of_its_components() {
    assert_eq!(of(&[("user", None)]), Ok(ConfigEntity::User(None)));
    let both = ConfigEntity::UserClient { user: Some("u".into()), client: None };
    assert_eq!(of(&[("client-id", None), ("user", Some("u"))]), Ok(both.clone()));
    assert_eq!(components(&both), [("user", &Some("u".into())), ("client-id", &None)]);
    assert_eq!(of(&[("ip", Some("127.0.0.1"))]), Ok(ConfigEntity::Ip(Some("127.0.0.1".into()))));
    assert_eq!(of(&[]), Err("Invalid empty client quota entity".into()));
    assert_eq!(of(&[("foo", None)]), Err("Unhandled client quota entity type: foo".into()));
    assert_eq!(of(&[("user", Some(""))]), Err("Empty user not supported".into()));
    let mixed = "Invalid quota entity combination, IP entity should not be used with user/client ID entity.";
    assert_eq!(of(&[("user", None), ("ip", None)]), Err(mixed.into()));
}

#[test]
fn values_are_kept_as_java_prints_them() {
    let check = |entity: &ConfigEntity, key: &str, value: f64, expected: Result<&str, &str>| {
        let mut values = BTreeMap::new();
        let outcome = apply(entity, key, Alteration::Set(value), &mut values);
        let outcome = outcome.map(|()| values[key].clone()).map_err(|refusal| refusal.message.unwrap_or_default());
        assert_eq!(outcome, expected.map(str::to_owned).map_err(str::to_owned));
    };
    let (user, ip) = (ConfigEntity::User(None), ConfigEntity::Ip(None));
    check(&user, "producer_byte_rate", 1024.0, Ok("1024"));
    check(&user, "producer_byte_rate", 1_023.999_999_5, Ok("1024"));
    check(&user, "producer_byte_rate", 0.5, Err("Configuration producer_byte_rate must be a LONG value"));
    check(&user, "request_percentage", 50.0, Ok("50.0"));
    check(&user, "connection_creation_rate", 1.0, Err("Invalid configuration key connection_creation_rate"));
    check(&ip, "connection_creation_rate", 1e12, Err("Configuration connection_creation_rate must be a INT value"));
}

#[test]
fn a_filter_matches_by_component() {
    let named = |kind: &str, name: Option<&str>| (kind.to_owned(), Filter::Named(name.map(str::to_owned)));
    let any = |kind: &str| (kind.to_owned(), Filter::Any);
    let user = ConfigEntity::User(Some("u".into()));
    let both = ConfigEntity::UserClient { user: Some("u".into()), client: None };
    let ip = ConfigEntity::Ip(None);
    let check = |filter: &[(String, Filter)], strict: bool, expected: [bool; 3]| {
        assert_eq!([&user, &both, &ip].map(|entity| matches(entity, filter, strict)), expected, "{filter:?} {strict}");
    };
    check(&[], false, [true, true, true]);
    check(&[], true, [false, false, false]);
    check(&[any("user")], false, [true, true, false]);
    check(&[any("user")], true, [true, false, false]);
    check(&[named("user", Some("u")), named("client-id", None)], true, [false, true, false]);
    check(&[named("user", None)], false, [false, false, false]);
    check(&[named("ip", None)], true, [false, false, true]);
    assert!(super::check(&[any("ip"), any("user")]).is_err());
    assert!(super::check(&[any("user"), any("user")]).is_err());
    assert_eq!(super::check(&[any("group")]).unwrap_err().code, ErrorCode::UNSUPPORTED_VERSION);
}
