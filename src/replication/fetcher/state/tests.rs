use std::cell::RefCell;

use super::*;
use crate::wire::messages::fetch::{EpochEndOffset, FetchableTopicResponse};
use crate::wire::messages::offset_for_leader_epoch;

const ID: Uuid = Uuid([9; 16]);
const SESSION: i32 = 77;

/// A fetcher, and the logs it follows with.
struct Fixture {
    fetcher: Fetcher,
    limits: Limits,
    logs: RefCell<HashMap<TopicPartition, Position>>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::speaking(17)
    }

    fn speaking(fetch_version: i16) -> Fixture {
        let limits = Limits {
            replica_id: 2,
            replica_epoch: 40,
            fetch_version,
            max_wait_ms: 500,
            min_bytes: 1,
            response_max_bytes: 10 << 20,
            partition_max_bytes: 1 << 20,
            backoff_ms: 1_000,
        };
        Fixture { fetcher: Fetcher::default(), limits, logs: RefCell::default() }
    }

    fn follow(&mut self, partition: i32, leader_epoch: i32, end: i64) {
        self.log_is(partition, 0, end, (end > 0).then_some(0));
        self.fetcher.follow(of(partition, leader_epoch), ID);
    }

    fn log_is(&self, partition: i32, log_start_offset: i64, log_end_offset: i64, latest_epoch: Option<i32>) {
        let position = Position { log_start_offset, log_end_offset, latest_epoch };
        self.logs.borrow_mut().insert(t(partition), position);
    }

    fn next(&mut self, now: Millis) -> Next {
        let logs = self.logs.borrow();
        self.fetcher.next(&self.limits, |partition| logs.get(partition).copied(), now)
    }

    fn fetch(&mut self, now: Millis) -> FetchRequest {
        match self.next(now) {
            Next::Fetch(request, _) => request,
            other => panic!("{other:?}"),
        }
    }

    fn fetched(&mut self, partitions: Vec<PartitionData>, now: Millis) -> Vec<Todo> {
        let topic = FetchableTopicResponse { topic_id: ID, partitions, ..Default::default() };
        let response = FetchResponse { session_id: SESSION, responses: vec![topic], ..Default::default() };
        self.fetcher.fetched(response, &self.limits, now)
    }
}

fn t(partition: i32) -> TopicPartition {
    TopicPartition::new("t", partition)
}

fn of(partition: i32, leader_epoch: i32) -> Following {
    Following { partition: t(partition), leader_epoch }
}

fn data(partition_index: i32) -> PartitionData {
    PartitionData { partition_index, high_watermark: 5, log_start_offset: 0, ..Default::default() }
}

fn failed(partition_index: i32, code: ErrorCode) -> PartitionData {
    PartitionData { partition_index, error_code: code.0, ..Default::default() }
}

/// The partitions of a request with the offsets asked for.
fn asked(request: &FetchRequest) -> Vec<(i32, i64)> {
    let partitions = request.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| (partition.partition, partition.fetch_offset)).collect()
}

fn forgotten(request: &FetchRequest) -> Vec<i32> {
    request.forgotten_topics_data.iter().flat_map(|topic| topic.partitions.clone()).collect()
}

#[test]
fn a_session_is_begun_with_everything_and_goes_on_with_what_has_changed() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    fixture.follow(1, 3, 0);
    let request = fixture.fetch(0);
    assert_eq!((request.session_id, request.session_epoch), (0, 0));
    assert_eq!((request.replica_state.replica_id, request.replica_state.replica_epoch), (2, 40));
    assert_eq!(asked(&request), [(0, 5), (1, 0)]);
    let first = &request.topics[0].partitions[0];
    assert_eq!((first.current_leader_epoch, first.last_fetched_epoch), (3, 0));
    assert_eq!(request.topics[0].partitions[1].last_fetched_epoch, -1, "an empty log has no epoch");

    let todo = fixture.fetched(vec![data(0), data(1)], 0);
    assert_eq!(todo.len(), 2);
    fixture.log_is(1, 0, 8, Some(3));
    let request = fixture.fetch(0);
    assert_eq!((request.session_id, request.session_epoch), (SESSION, 1));
    assert_eq!(asked(&request), [(1, 8)]);
    fixture.fetched(Vec::new(), 0);
    let request = fixture.fetch(0);
    assert_eq!((request.session_epoch, asked(&request)), (2, Vec::new()));
    fixture.fetched(Vec::new(), 0);
    fixture.fetcher.unfollow(&t(0));
    assert_eq!(forgotten(&fixture.fetch(0)), [0]);
}

#[test]
fn after_silence_or_a_lost_session_everything_is_said_again() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    fixture.fetch(0);
    fixture.fetched(vec![data(0)], 0);
    fixture.fetch(0);
    fixture.fetcher.unanswered(&fixture.limits, 0);
    assert_eq!(fixture.next(0), Next::Wait(Some(25)));
    let request = fixture.fetch(25);
    // The old session is named, so that the leader may forget it.
    assert_eq!((request.session_id, request.session_epoch, asked(&request)), (SESSION, 0, vec![(0, 5)]));
    let lost = FetchResponse { error_code: ErrorCode::FETCH_SESSION_ID_NOT_FOUND.0, ..Default::default() };
    assert_eq!(fixture.fetcher.fetched(lost, &fixture.limits, 25), []);
    let request = fixture.fetch(25);
    assert_eq!((request.session_id, request.session_epoch, asked(&request)), (0, 0, vec![(0, 5)]));
}

#[test]
fn a_leader_that_stays_silent_is_asked_ever_more_rarely() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    let mut pauses = Vec::new();
    let mut now = 0;
    for _ in 0..8 {
        fixture.fetcher.unanswered(&fixture.limits, now);
        let Next::Wait(Some(until)) = fixture.next(now) else { panic!("it must pause") };
        pauses.push(until - now);
        now = until;
    }
    assert_eq!(pauses, [25, 50, 100, 200, 400, 800, 1_000, 1_000]);
    fixture.fetch(now);
    fixture.fetched(vec![data(0)], now);
    fixture.fetcher.unanswered(&fixture.limits, now);
    assert_eq!(fixture.next(now), Next::Wait(Some(now + 25)), "an answer ends the row of failures");
}

#[test]
fn what_comes_back_is_appended_where_it_was_asked_for() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    fixture.fetch(0);
    let answer = PartitionData { records: Some(Bytes::from(vec![1, 2])), ..data(0) };
    let expected = Todo::Append {
        of: of(0, 3),
        fetch_offset: 5,
        records: Bytes::from(vec![1, 2]),
        high_watermark: 5,
        log_start_offset: 0,
    };
    assert_eq!(fixture.fetched(vec![answer], 0), [expected]);
}

#[test]
fn an_answer_to_what_was_asked_in_an_earlier_epoch_is_nothing() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    fixture.fetch(0);
    fixture.follow(0, 4, 5);
    assert_eq!(fixture.fetched(vec![data(0)], 0), []);
    fixture.fetcher.done(&of(0, 3), Done::GaveUp, &fixture.limits, 0);
    let request = fixture.fetch(0);
    assert_eq!(request.topics[0].partitions[0].current_leader_epoch, 4);
    fixture.fetcher.unfollow(&t(0));
    assert_eq!(fixture.fetched(vec![data(0)], 0), []);
    assert!(fixture.fetcher.is_empty());
}

#[test]
fn where_logs_part_ours_is_cut() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    fixture.fetch(0);
    let diverging_epoch = EpochEndOffset { epoch: 0, end_offset: 2 };
    let todo = fixture.fetched(vec![PartitionData { diverging_epoch, ..data(0) }], 0);
    assert_eq!(todo, [Todo::Truncate { of: of(0, 3), epoch: 0, end_offset: 2 }]);
    fixture.log_is(0, 0, 2, Some(0));
    assert_eq!(asked(&fixture.fetch(0)), [(0, 2)]);
    let todo = fixture.fetched(vec![failed(0, ErrorCode::OFFSET_OUT_OF_RANGE)], 0);
    assert_eq!(todo, [Todo::FindRange { of: of(0, 3) }]);
}

#[test]
fn a_partition_that_the_leader_refuses_pauses_while_others_go_on() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    fixture.follow(1, 3, 5);
    for (pause, code) in [
        (25, ErrorCode::UNKNOWN_LEADER_EPOCH),
        (50, ErrorCode::NOT_LEADER_OR_FOLLOWER),
        (100, ErrorCode::UNKNOWN_TOPIC_ID),
        (200, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
    ] {
        let now = 10 * pause;
        fixture.fetch(now);
        assert_eq!(fixture.fetched(vec![failed(0, code)], now), []);
        let request = fixture.fetch(now);
        assert_eq!(forgotten(&request), [0], "{code}");
        assert_eq!(request.max_wait_ms, pause as i32, "the other one does not make it wait longer");
        fixture.fetched(Vec::new(), now);
    }
}

#[test]
fn a_fenced_partition_waits_for_the_controller() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    fixture.fetch(0);
    assert_eq!(fixture.fetched(vec![failed(0, ErrorCode::FENCED_LEADER_EPOCH)], 0), []);
    assert_eq!(fixture.next(0), Next::Wait(None));
    fixture.follow(0, 4, 5);
    assert_eq!(asked(&fixture.fetch(0)), [(0, 5)]);
}

#[test]
fn a_topic_without_an_id_makes_requests_speak_of_names() {
    let mut fixture = Fixture::new();
    fixture.follow(0, 3, 5);
    assert!(matches!(fixture.next(0), Next::Fetch(_, 17)));
    fixture.fetched(vec![data(0)], 0);
    let old = Following { partition: TopicPartition::new("old", 0), leader_epoch: 1 };
    let empty = Position { log_start_offset: 0, log_end_offset: 0, latest_epoch: None };
    fixture.logs.borrow_mut().insert(old.partition.clone(), empty);
    fixture.fetcher.follow(old, Uuid::ZERO);
    let Next::Fetch(request, version) = fixture.next(0) else { panic!("it must fetch") };
    assert_eq!((version, request.session_epoch, request.topics.len()), (12, 0, 2));
}

#[test]
fn before_2_7_the_end_of_the_last_epoch_is_asked_for_first() {
    let mut fixture = Fixture::speaking(11);
    fixture.follow(0, 3, 5);
    let Next::EndOfEpochs(request) = fixture.next(0) else { panic!("it must compare") };
    let question = &request.topics[0].partitions[0];
    assert_eq!((question.current_leader_epoch, question.leader_epoch), (3, 0));
    let end = |leader_epoch, end_offset| {
        let end = offset_for_leader_epoch::EpochEndOffset { leader_epoch, end_offset, ..Default::default() };
        let topic = offset_for_leader_epoch::OffsetForLeaderTopicResult { topic: "t".into(), partitions: vec![end] };
        OffsetForLeaderEpochResponse { topics: vec![topic], ..Default::default() }
    };
    let todo = fixture.fetcher.epochs_ended(end(0, 4), &request, &fixture.limits, 0);
    assert_eq!(todo, [Todo::Truncate { of: of(0, 3), epoch: 0, end_offset: 4 }]);
    fixture.fetcher.truncated(&of(0, 3), false);
    assert!(matches!(fixture.next(0), Next::EndOfEpochs(_)), "an earlier epoch may differ too");
    fixture.fetcher.truncated(&of(0, 3), true);
    fixture.log_is(0, 0, 4, Some(0));
    assert_eq!(asked(&fixture.fetch(0)), [(0, 4)]);
    // What has nothing has nothing to compare.
    fixture.follow(1, 3, 0);
    assert_eq!(asked(&fixture.fetch(0)), [(0, 4), (1, 0)]);
}
