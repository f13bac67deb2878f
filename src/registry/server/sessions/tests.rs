use super::*;

#[test]
fn a_session_lives_as_long_as_it_is_touched() {
    let mut sessions = Sessions::new(0);
    let id = sessions.next_id();
    sessions.open(id, 1000, Some(1), 0);
    assert_eq!(sessions.next_expiry(), Some(1000));
    sessions.touch(id, 900);
    assert!(sessions.expired(1899).is_empty());
    assert_eq!(sessions.expired(1900), [id]);
}

#[test]
fn a_client_that_returns_takes_its_session_along() {
    let mut sessions = Sessions::new(0);
    sessions.open(7, 1000, Some(1), 0);
    assert_eq!(sessions.attach(7, 2000, 2, 500), Some(1));
    // The old connection's end no longer concerns the session.
    sessions.detach(7, 1);
    assert_eq!(sessions.find(7).unwrap().connection, Some(2));
    sessions.detach(7, 2);
    assert_eq!(sessions.find(7).unwrap().connection, None);
    assert_eq!(sessions.expired(2500), [7]);
}

#[test]
fn ids_grow_with_the_clock_and_passwords_with_the_id() {
    let mut early = Sessions::new(1_700_000_000_000);
    let mut late = Sessions::new(1_700_000_000_001);
    assert!(early.next_id() > 0 && late.next_id() > early.next_id());
    assert_ne!(password(1), password(2));
    // new java.util.Random(0 ^ 0xB3415C00L).nextBytes(new byte[16]) begins so.
    assert_eq!(password(5), password(5));
}
