use super::*;

fn wanted(partition: i32, fetch_offset: i64) -> Wanted {
    Wanted {
        topic: TopicRef::Name("t".into()),
        partition,
        fetch_offset,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        log_start_offset: -1,
        max_bytes: 1 << 20,
    }
}

fn request(session_id: i32, session_epoch: i32, wanted: Vec<Wanted>) -> Request {
    Request { session_id, session_epoch, wanted, forgotten: vec![], uses_ids: false, is_follower: false }
}

fn told(high_watermark: i64, has_records: bool) -> Told {
    Told { error: ErrorCode::NONE, has_records, diverged: false, high_watermark, log_start_offset: 0 }
}

struct Fixture {
    sessions: FetchSessions,
    ids: i32,
    now: Millis,
}

impl Fixture {
    fn new(max_slots: usize) -> Fixture {
        Fixture { sessions: FetchSessions::new(max_slots), ids: 0, now: 0 }
    }

    fn enter(&mut self, request: Request) -> Result<Context, ErrorCode> {
        let ids = &mut self.ids;
        let new_id = || {
            *ids += 1;
            *ids
        };
        self.sessions.enter(request, new_id, self.now)
    }

    fn begin(&mut self, wanted: Vec<Wanted>) -> i32 {
        match self.enter(request(0, 0, wanted)) {
            Ok(Context::New { id, .. }) => id,
            other => panic!("{other:?}"),
        }
    }

    fn go_on(&mut self, id: i32, epoch: i32, wanted: Vec<Wanted>) -> Arc<Mutex<FetchSession>> {
        match self.enter(request(id, epoch, wanted)) {
            Ok(Context::Incremental { session, .. }) => session,
            other => panic!("{other:?}"),
        }
    }
}

fn partitions(session: &FetchSession) -> Vec<(i32, i64)> {
    session.wanted().map(|(_, wanted)| (wanted.partition, wanted.fetch_offset)).collect()
}

#[test]
fn a_session_remembers_and_takes_changes() {
    let mut fixture = Fixture::new(10);
    let id = fixture.begin(vec![wanted(0, 5), wanted(1, 6)]);
    assert!(id > 0);
    let session = fixture.go_on(id, 1, vec![wanted(1, 9), wanted(2, 0)]);
    assert_eq!(partitions(&session.lock()), [(0, 5), (1, 9), (2, 0)]);
    let forgets = Request { forgotten: vec![(TopicRef::Name("t".into()), 0)], ..request(id, 2, vec![]) };
    fixture.enter(forgets).unwrap();
    assert_eq!(partitions(&session.lock()), [(1, 9), (2, 0)]);
}

#[test]
fn only_the_next_request_of_a_known_session_is_taken() {
    let mut fixture = Fixture::new(10);
    let id = fixture.begin(vec![wanted(0, 0)]);
    let error = |result: Result<Context, ErrorCode>| result.map(|_| ()).unwrap_err();
    assert_eq!(error(fixture.enter(request(id + 1, 1, vec![]))), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    assert_eq!(error(fixture.enter(request(id, 2, vec![]))), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
    let by_id = Request { uses_ids: true, ..request(id, 1, vec![]) };
    assert_eq!(error(fixture.enter(by_id)), ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
    fixture.go_on(id, 1, vec![]);
    assert_eq!(error(fixture.enter(request(id, 1, vec![]))), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
}

#[test]
fn a_session_ends_when_it_is_told_so_and_when_it_is_empty() {
    let mut fixture = Fixture::new(10);
    let id = fixture.begin(vec![wanted(0, 0)]);
    assert!(matches!(fixture.enter(request(id, -1, vec![])), Ok(Context::Sessionless(wanted)) if wanted.is_empty()));
    assert_eq!(fixture.sessions.len(), 0);
    let id = fixture.begin(vec![wanted(0, 0)]);
    let again = fixture.enter(request(id, 0, vec![wanted(0, 0)]));
    assert!(matches!(again, Ok(Context::New { id: new, .. }) if new != id));
    assert_eq!(fixture.sessions.len(), 1);
    let id = fixture.ids;
    let forgets = Request { forgotten: vec![(TopicRef::Name("t".into()), 0)], ..request(id, 1, vec![]) };
    assert!(matches!(fixture.enter(forgets), Ok(Context::Sessionless(wanted)) if wanted.is_empty()));
    assert_eq!(fixture.sessions.len(), 0);
}

#[test]
fn an_incremental_answer_names_news_only() {
    let mut fixture = Fixture::new(10);
    let id = fixture.begin(vec![wanted(0, 0)]);
    let session = fixture.go_on(id, 1, vec![]);
    let mut session = session.lock();
    assert!(session.is_news(0, &told(0, false)), "nothing was told yet");
    session.told(0, &told(0, false));
    assert!(!session.is_news(0, &told(0, false)));
    assert!(session.is_news(0, &told(1, false)));
    assert!(session.is_news(0, &told(0, true)));
    assert!(session.is_news(0, &Told { log_start_offset: 1, ..told(0, false) }));
    let error = Told { error: ErrorCode::NOT_LEADER_OR_FOLLOWER, ..told(-1, false) };
    assert!(session.is_news(0, &error));
    session.told(0, &error);
    assert!(session.is_news(0, &told(0, false)), "after an error the partition is named again");
}

#[test]
fn who_had_records_goes_to_the_end_of_the_queue() {
    let mut fixture = Fixture::new(10);
    let id = fixture.begin(vec![wanted(0, 0), wanted(1, 0), wanted(2, 0)]);
    let session = fixture.go_on(id, 1, vec![]);
    session.lock().told(0, &told(1, true));
    assert_eq!(partitions(&session.lock()), [(1, 0), (2, 0), (0, 0)]);
    let session = fixture.go_on(id, 2, vec![wanted(0, 7)]);
    assert_eq!(partitions(&session.lock()), [(1, 0), (2, 0), (0, 7)]);
}

#[test]
fn without_a_free_slot_there_is_no_session_until_one_is_long_unused() {
    let mut fixture = Fixture::new(1);
    let first = fixture.begin(vec![wanted(0, 0)]);
    assert_eq!(fixture.begin(vec![wanted(0, 0)]), NONE);
    fixture.now = EVICTION_MS + 1;
    let second = fixture.begin(vec![wanted(0, 0)]);
    assert!(second > NONE && second != first);
    assert_eq!(fixture.sessions.len(), 1);
    let follower = Request { is_follower: true, ..request(0, 0, vec![wanted(0, 0)]) };
    assert!(matches!(fixture.enter(follower), Ok(Context::New { id, .. }) if id > NONE), "a follower goes first");
    assert_eq!(fixture.begin(vec![wanted(0, 0), wanted(1, 0)]), NONE);
}
