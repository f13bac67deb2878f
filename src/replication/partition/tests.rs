use super::*;

const ME: i32 = 1;

fn state(leader: i32, leader_epoch: i32, isr: &[i32], replicas: &[i32]) -> LeaderAndIsr {
    LeaderAndIsr { leader, leader_epoch, isr: isr.to_vec(), replicas: replicas.to_vec(), ..Default::default() }
}

fn leader(isr: &[i32], replicas: &[i32], log_end: i64) -> Partition {
    let mut partition = Partition::new(ME, log_end, 0);
    partition.lead_or_follow(state(ME, 0, isr, replicas), log_end, 0).unwrap();
    partition
}

fn fetched(replica: i32, fetch_offset: i64) -> Event {
    Event::FollowerFetched { replica, fetch_offset, log_start_offset: 0, is_alive: true }
}

fn high_watermarks(actions: &[Action]) -> Vec<i64> {
    actions.iter().filter_map(|action| if let Action::HighWatermark(hw) = action { Some(*hw) } else { None }).collect()
}

#[test]
fn alone_in_sync_a_leader_commits_what_it_has() {
    let mut partition = Partition::new(ME, 7, 3);
    let actions = partition.lead_or_follow(state(ME, 0, &[ME], &[ME]), 7, 0).unwrap();
    assert_eq!(actions, [Action::Lead { leader_epoch: 0, start_offset: 7 }, Action::HighWatermark(7)]);
    assert_eq!(partition.handle(Event::Appended { log_end_offset: 9 }, 0), [Action::HighWatermark(9)]);
    assert_eq!(partition.is_replicated(9, 0), Ok(true));
}

#[test]
fn a_leader_commits_what_every_replica_in_sync_has() {
    let mut partition = leader(&[ME, 2, 3], &[ME, 2, 3], 0);
    assert!(partition.handle(Event::Appended { log_end_offset: 10 }, 0).is_empty());
    assert!(partition.handle(fetched(2, 10), 1).is_empty());
    assert_eq!(partition.is_replicated(6, 0), Ok(false));
    assert_eq!(partition.handle(fetched(3, 6), 1), [Action::HighWatermark(6)]);
    assert_eq!(partition.is_replicated(6, 0), Ok(true));
    assert_eq!(partition.handle(fetched(3, 10), 2), [Action::HighWatermark(10)]);
    assert!(partition.handle(fetched(3, 4), 2).is_empty(), "the high watermark never goes back");
}

#[test]
fn only_a_higher_leader_epoch_is_heard() {
    let mut partition = leader(&[ME], &[ME, 2], 0);
    assert_eq!(partition.lead_or_follow(state(2, 0, &[2], &[ME, 2]), 0, 0), Err(ErrorCode::STALE_CONTROLLER_EPOCH));
    assert!(partition.is_leader());
    let actions = partition.lead_or_follow(state(2, 1, &[2], &[ME, 2]), 0, 0).unwrap();
    assert_eq!(actions, [Action::Follow { leader: Some(2), leader_epoch: 1 }]);
    assert_eq!(partition.check_leader(None), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(partition.is_replicated(0, 0), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    let actions = partition.lead_or_follow(state(-1, 2, &[2], &[ME, 2]), 0, 0).unwrap();
    assert_eq!(actions, [Action::Follow { leader: None, leader_epoch: 2 }]);
}

#[test]
fn epochs_of_clients_are_compared_before_leadership() {
    let mut partition = Partition::new(ME, 0, 0);
    assert_eq!(partition.check_leader(None), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(partition.check_replica(None), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    partition.lead_or_follow(state(2, 5, &[2], &[ME, 2]), 0, 0).unwrap();
    assert_eq!(partition.check_leader(Some(4)), Err(ErrorCode::FENCED_LEADER_EPOCH));
    assert_eq!(partition.check_leader(Some(6)), Err(ErrorCode::UNKNOWN_LEADER_EPOCH));
    assert_eq!(partition.check_leader(Some(5)), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(partition.check_replica(Some(5)), Ok(()));
}

#[test]
fn below_min_insync_replicas_nothing_is_committed_and_acks_all_is_refused() {
    let mut partition = leader(&[ME], &[ME, 2, 3], 0);
    let min_2 = Limits { min_insync_replicas: 2, ..Limits::default() };
    partition.set_limits(min_2);
    assert_eq!(partition.check_enough_replicas(), Err(ErrorCode::NOT_ENOUGH_REPLICAS));
    assert!(partition.handle(Event::Appended { log_end_offset: 5 }, 0).is_empty());
    // A topic of one replica is not asked for two.
    let mut alone = leader(&[ME], &[ME], 0);
    alone.set_limits(min_2);
    assert_eq!(alone.check_enough_replicas(), Ok(()));
}

#[test]
fn too_few_in_sync_after_the_append_is_said_once_it_is_committed() {
    let mut partition = leader(&[ME, 2], &[ME, 2], 0);
    partition.handle(Event::Appended { log_end_offset: 5 }, 0);
    partition.handle(fetched(2, 5), 1);
    partition.set_limits(Limits { min_insync_replicas: 2, ..Limits::default() });
    partition.handle(Event::IsrAccepted { leader_epoch: 0, isr: vec![ME], partition_epoch: 1 }, 2);
    assert_eq!(partition.is_replicated(5, 0), Err(ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND));
    assert_eq!(partition.is_replicated(6, 0), Ok(false));
}

#[test]
fn a_lagging_follower_is_proposed_for_removal_once_and_counts_until_the_controller_agrees() {
    let mut partition = leader(&[ME, 2], &[ME, 2], 0);
    partition.handle(fetched(2, 0), 1_000);
    partition.handle(Event::Appended { log_end_offset: 5 }, 1_000);
    assert!(partition.handle(Event::CheckLag, 30_000).is_empty());
    let proposal = Action::ProposeIsr { isr: vec![ME], leader_epoch: 0, partition_epoch: 0 };
    assert_eq!(partition.handle(Event::CheckLag, 31_001), std::slice::from_ref(&proposal));
    assert!(partition.handle(Event::CheckLag, 31_002).is_empty(), "one proposal at a time");
    assert_eq!(partition.high_watermark(), 0);
    partition.handle(Event::IsrRefused { leader_epoch: 0, give_up: false }, 31_003);
    assert_eq!(partition.handle(Event::CheckLag, 31_004), [proposal]);
    let accepted = Event::IsrAccepted { leader_epoch: 0, isr: vec![ME], partition_epoch: 1 };
    assert_eq!(partition.handle(accepted.clone(), 31_005), [Action::HighWatermark(5)]);
    assert!(partition.handle(accepted, 31_006).is_empty(), "an old answer changes nothing");
}

#[test]
fn a_follower_that_has_everything_committed_is_proposed_and_counts_at_once() {
    let mut partition = leader(&[ME], &[ME, 2], 0);
    partition.handle(Event::Appended { log_end_offset: 5 }, 100_000);
    assert!(partition.handle(fetched(2, 3), 100_001).is_empty());
    let actions = partition.handle(fetched(2, 5), 100_002);
    assert_eq!(actions, [Action::ProposeIsr { isr: vec![ME, 2], leader_epoch: 0, partition_epoch: 0 }]);
    assert!(partition.handle(Event::Appended { log_end_offset: 6 }, 100_003).is_empty());
    assert_eq!(high_watermarks(&partition.handle(fetched(2, 6), 100_004)), [6]);
}

#[test]
fn a_new_leader_says_when_its_high_watermark_may_be_too_low() {
    let mut partition = Partition::new(ME, 8, 4);
    partition.lead_or_follow(state(ME, 3, &[ME, 2], &[ME, 2]), 8, 0).unwrap();
    assert!(partition.is_high_watermark_behind_epoch());
    partition.handle(fetched(2, 8), 1);
    assert!(!partition.is_high_watermark_behind_epoch());
}

#[test]
fn a_follower_takes_the_leaders_high_watermark_as_far_as_its_log_goes() {
    let mut partition = Partition::new(ME, 0, 0);
    partition.lead_or_follow(state(2, 0, &[ME, 2], &[ME, 2]), 0, 0).unwrap();
    let event = |log_end_offset, leader_high_watermark| Event::Followed { log_end_offset, leader_high_watermark };
    assert_eq!(partition.handle(event(3, 9), 0), [Action::HighWatermark(3)]);
    assert!(partition.handle(event(5, 2), 0).is_empty());
    partition.truncated(1, 1);
    assert_eq!((partition.log_end_offset(), partition.high_watermark()), (1, 1));
}

#[test]
fn the_low_watermark_is_the_least_log_start_of_those_that_live() {
    let mut partition = leader(&[ME, 2, 3], &[ME, 2, 3], 10);
    partition.handle(Event::FollowerFetched { replica: 2, fetch_offset: 10, log_start_offset: 4, is_alive: true }, 0);
    partition.handle(Event::FollowerFetched { replica: 3, fetch_offset: 10, log_start_offset: 2, is_alive: true }, 0);
    assert_eq!(partition.low_watermark(5, |_| true), 2);
    assert_eq!(partition.low_watermark(5, |id| id != 3), 4);
}

/// Random events; after each: the watermark has not gone back, and no in-sync replica is behind it.
#[test]
fn nothing_is_committed_that_an_in_sync_replica_lacks() {
    use proptest::prelude::*;
    proptest!(|(steps in proptest::collection::vec((0..4u8, 0..20i64), 1..200))| {
        let mut partition = leader(&[ME, 2, 3], &[ME, 2, 3], 0);
        let (mut ends, mut now, mut epoch) = ([0i64; 4], 0, 0);
        let mut proposed: Option<Vec<i32>> = None;
        for (step, amount) in steps {
            now += amount * 1_000;
            let before = partition.high_watermark();
            let actions = match step {
                0 => {
                    ends[1] += amount;
                    partition.handle(Event::Appended { log_end_offset: ends[1] }, now)
                }
                1 | 2 => {
                    let replica = usize::from(step) + 1;
                    ends[replica] = (ends[replica] + amount).min(ends[1]);
                    partition.handle(fetched(replica as i32, ends[replica]), now)
                }
                _ => match proposed.take() {
                    Some(isr) => {
                        epoch += 1;
                        partition.handle(Event::IsrAccepted { leader_epoch: 0, isr, partition_epoch: epoch }, now)
                    }
                    None => partition.handle(Event::CheckLag, now),
                },
            };
            for action in actions {
                if let Action::ProposeIsr { isr, .. } = action {
                    prop_assert!(proposed.replace(isr).is_none());
                }
            }
            prop_assert!(partition.high_watermark() >= before);
            for id in partition.isr() {
                prop_assert!(ends[*id as usize] >= partition.high_watermark());
            }
        }
    });
}

#[test]
fn a_follower_that_died_outside_the_isr_is_waited_for_no_longer() {
    let mut partition = leader(&[ME], &[ME, 2], 0);
    partition.handle(fetched(2, 0), 1_000);
    assert!(partition.handle(Event::Appended { log_end_offset: 5 }, 1_001).is_empty(), "it is about to join");
    let refused = Event::IsrRefused { leader_epoch: 0, give_up: false };
    assert!(partition.handle(refused, 1_002).is_empty(), "it may be proposed again");
    assert_eq!(partition.handle(Event::Died(vec![2]), 1_002), [Action::HighWatermark(5)]);
    // Nor after the controller has said who is in sync now.
    let mut partition = leader(&[ME, 2], &[ME, 2], 0);
    partition.handle(fetched(2, 0), 1_000);
    partition.handle(Event::Appended { log_end_offset: 5 }, 1_001);
    let actions = partition.lead_or_follow(state(ME, 1, &[ME], &[ME, 2]), 5, 1_002).unwrap();
    assert_eq!(high_watermarks(&actions), [5]);
}

#[test]
fn a_follower_that_is_not_alive_cannot_join() {
    let mut partition = leader(&[ME], &[ME, 2], 5);
    let fetched = |is_alive| Event::FollowerFetched { replica: 2, fetch_offset: 5, log_start_offset: 0, is_alive };
    assert!(partition.handle(fetched(false), 0).is_empty());
    let proposal = Action::ProposeIsr { isr: vec![ME, 2], leader_epoch: 0, partition_epoch: 0 };
    assert_eq!(partition.handle(fetched(true), 0), [proposal]);
}

#[test]
fn who_followed_in_between_does_not_acknowledge_what_it_appended_before() {
    let mut partition = leader(&[ME], &[ME, 2], 0);
    partition.handle(Event::Appended { log_end_offset: 5 }, 0);
    partition.lead_or_follow(state(ME, 1, &[ME], &[ME, 2]), 5, 0).unwrap();
    assert_eq!(partition.is_replicated(5, 0), Ok(true), "it has led ever since");
    partition.lead_or_follow(state(2, 2, &[ME, 2], &[ME, 2]), 5, 0).unwrap();
    partition.lead_or_follow(state(ME, 3, &[ME], &[ME, 2]), 5, 0).unwrap();
    assert_eq!(partition.is_replicated(5, 1), Err(ErrorCode::NOT_LEADER_OR_FOLLOWER));
    assert_eq!(partition.is_replicated(5, 3), Ok(true));
}

#[test]
fn an_isr_that_the_controller_has_already_is_accepted() {
    let mut partition = leader(&[ME], &[ME, 2], 0);
    partition.handle(fetched(2, 0), 0);
    partition.handle(Event::IsrAccepted { leader_epoch: 0, isr: vec![ME, 2], partition_epoch: 0 }, 0);
    assert_eq!(partition.isr(), [ME, 2]);
}
