use super::*;

messages! {
    struct Outer {
        name: String [0..],
        count: i32 [1..=2] = -1,
        rows: Option<Vec<Inner>> [0..],
        note: Option<String> [2.., tag 0],
        level: i32 [2..=3, tag 3] = 7,
    }

    struct Inner {
        id: i64 [0..],
    }
}

fn round_trip(message: &Outer, version: i16, flexible: bool) -> Outer {
    let mut w = Writer::new();
    message.write(&mut w, version, flexible);
    let mut r = Reader::new(w.finish().unwrap().into());
    let back = Outer::read(&mut r, version, flexible).unwrap();
    r.finish().unwrap();
    back
}

#[test]
fn a_field_travels_only_in_its_versions() {
    let message =
        Outer { name: "a".into(), count: 5, rows: Some(vec![Inner { id: 9 }]), note: Some("n".into()), level: 8 };
    assert_eq!(round_trip(&message, 0, false), Outer { count: -1, note: None, level: 7, ..message.clone() });
    assert_eq!(round_trip(&message, 1, false), Outer { note: None, level: 7, ..message.clone() });
    assert_eq!(round_trip(&message, 2, true), message);
    assert_eq!(round_trip(&message, 4, true), Outer { count: -1, level: 7, ..message.clone() });
}

#[test]
fn a_length_beyond_the_frame_allocates_nothing() {
    let mut w = Writer::new();
    w.nullable_string(Some("a"), false);
    w.array_len(Some(i32::MAX as usize), false);
    let mut r = Reader::new(w.finish().unwrap().into());
    assert!(matches!(Outer::read(&mut r, 0, false), Err(Error::Truncated { .. })));
}

#[test]
fn a_negative_length_is_refused() {
    let mut r = Reader::new(Bytes::from_static(&[0xff, 0xfe]));
    assert_eq!(r.nullable_string(false), Err(Error::BadLength(-2)));
}

#[test]
fn an_array_that_would_outgrow_its_frame_is_refused() {
    // Four million empty strings take four megabytes on the wire, 96 in memory; strings of no length cost 24 each.
    let mut w = Writer::new();
    let count = 60 << 20;
    w.array_len(Some(count), true);
    w.bytes(&vec![1; count]);
    let mut r = Reader::new(w.finish().unwrap().into());
    assert_eq!(Vec::<String>::read(&mut r, 0, true), Err(Error::OverBudget));
}

#[test]
fn unknown_tagged_fields_are_passed_over() {
    let mut w = Writer::new();
    w.nullable_string(Some("a"), true);
    w.array_len(None, true);
    w.unsigned_varint(2);
    w.tagged_field(0, |w| w.nullable_string(Some("n"), true));
    w.tagged_field(99, |w| w.bytes(b"whatever"));
    let mut r = Reader::new(w.finish().unwrap().into());
    let outer = Outer::read(&mut r, 4, true).unwrap();
    assert_eq!(outer.note.as_deref(), Some("n"));
}

#[test]
fn uuids_print_as_kafka_prints_them() {
    let text = "kCnLg_CjTbGEAIPZ79hjMA";
    let id = Uuid::parse(text).unwrap();
    assert_eq!(id.to_string(), text);
    assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
    assert_eq!(Uuid::parse("short"), None);
}
