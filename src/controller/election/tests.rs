use super::*;

const EPOCH: i32 = 9;

fn state(leader: i32, isr: &[i32]) -> PartitionState {
    PartitionState { leader, leader_epoch: 4, isr: isr.to_vec(), controller_epoch: 3, leader_recovering: false }
}

/// `dead` and `leaving` brokers; the rest lives. Expected: leader, ISR, recovering.
fn check(
    leader: i32,
    isr: &[i32],
    dead: &[i32],
    leaving: &[i32],
    unclean: Unclean,
    expected: Option<(i32, &[i32], bool)>,
) {
    let standing = |id: i32| match id {
        NO_LEADER => Standing::Dead,
        id if dead.contains(&id) => Standing::Dead,
        id if leaving.contains(&id) => Standing::Leaving,
        _ => Standing::Alive,
    };
    let expected = expected.map_or(Next::Stays, |(leader, isr, leader_recovering)| {
        Next::Becomes(PartitionState {
            leader,
            leader_epoch: 5,
            isr: isr.to_vec(),
            controller_epoch: EPOCH,
            leader_recovering,
        })
    });
    assert_eq!(next_state(&[1, 2, 3], &state(leader, isr), standing, unclean, EPOCH), expected);
}

#[test]
fn a_partition_whose_isr_lives_stays_as_it_is() {
    check(2, &[2, 1], &[], &[], Unclean::Unknown, None);
    check(2, &[2, 1], &[3], &[], Unclean::Unknown, None);
}

#[test]
fn a_dead_leader_is_followed_by_the_first_replica_in_sync() {
    check(1, &[3, 2, 1], &[1], &[], Unclean::Unknown, Some((2, &[3, 2], false)));
    check(1, &[1, 3], &[1], &[], Unclean::Unknown, Some((3, &[3], false)));
}

#[test]
fn a_dead_follower_leaves_the_isr() {
    check(1, &[1, 2, 3], &[2], &[], Unclean::Unknown, Some((1, &[1, 3], false)));
}

#[test]
fn without_an_unclean_election_the_partition_waits_for_its_last_members() {
    check(1, &[1], &[1], &[], Unclean::Refused, Some((NO_LEADER, &[1], false)));
    check(NO_LEADER, &[1], &[1], &[], Unclean::Refused, None);
    check(1, &[1, 2], &[1, 2, 3], &[], Unclean::Unknown, Some((NO_LEADER, &[1, 2], false)));
    check(NO_LEADER, &[1, 2], &[1, 3], &[], Unclean::Refused, Some((2, &[2], false)));
}

#[test]
fn an_unclean_election_takes_the_first_that_lives_and_says_so() {
    check(1, &[1], &[1], &[], Unclean::Allowed, Some((2, &[2], true)));
    let standing = |id: i32| if id == 2 { Standing::Alive } else { Standing::Dead };
    assert_eq!(next_state(&[1, 2, 3], &state(1, &[1]), standing, Unclean::Unknown, EPOCH), Next::AskUnclean);
}

#[test]
fn a_leaving_broker_hands_over_and_leaves_the_isr_unless_nobody_else_is_in_sync() {
    check(1, &[1, 2], &[], &[1], Unclean::Unknown, Some((2, &[2], false)));
    check(2, &[1, 2], &[], &[1], Unclean::Unknown, Some((2, &[2], false)));
    check(1, &[1], &[], &[1], Unclean::Unknown, None);
    check(1, &[1, 2], &[2], &[1], Unclean::Unknown, Some((1, &[1], false)));
}

#[test]
fn the_first_state_needs_one_live_replica() {
    let first = first_state(&[3, 1, 2], |id| id != 3, EPOCH).unwrap();
    assert_eq!((first.leader, first.isr, first.leader_epoch), (1, vec![1, 2], 0));
    assert_eq!(first_state(&[3], |_| false, EPOCH), None);
}

#[test]
fn the_preferred_leader_is_the_first_replica_if_in_sync() {
    assert_eq!(preferred_leader(&[1, 2], &[2, 1], |_| true), Some(1));
    assert_eq!(preferred_leader(&[1, 2], &[2], |_| true), None);
    assert_eq!(preferred_leader(&[1, 2], &[1, 2], |id| id != 1), None);
}
