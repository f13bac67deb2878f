//! Elections that somebody asks for.

use super::*;

impl World {
    fn election(&mut self, token: Token, election: ElectionType, partitions: &[TopicPartition]) -> Vec<String> {
        let (partitions, trigger) = (partitions.to_vec(), Trigger::Request(token));
        self.does(Event::ElectLeaders { partitions, election, trigger });
        match &self.answers[&token] {
            Answer::Elections(results) => results
                .iter()
                .map(|(name, result)| match result {
                    Ok(leader) => format!("{name}: {leader}"),
                    Err(refusal) => format!("{name}: {} {}", refusal.error.name(), refusal.message),
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }
}

/// Partition 0 is led by 2, though 1 is preferred, and is back in sync.
fn with_moved_leader() -> World {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2], &[2, 1]]);
    world.brokers_are(&[(2, 102)]);
    world.brokers_are(&[(1, 201), (2, 102)]);
    assert_eq!(world.isr_change(100, 2, 9, 0, &[2, 1]), ErrorCode::NONE);
    world.sent();
    world
}

#[test]
fn the_preferred_leader_leads_again() {
    let mut world = with_moved_leader();
    let answered = world.election(1, ElectionType::Preferred, &[tp("t", 0), tp("t", 1), tp("nope", 0)]);
    assert_eq!(
        answered,
        [
            "nope-0: UNKNOWN_TOPIC_OR_PARTITION The partition does not exist.",
            "t-0: 1",
            "t-1: ELECTION_NOT_NEEDED Leader election not needed for topic partition.",
        ]
    );
    assert_eq!(world.state("t", 0), (1, 2, vec![2, 1]));
    let told = world.told();
    assert!(told.contains(&"1: lead t-0 led by 1@2".to_owned()), "{told:?}");
}

#[test]
fn a_preferred_leader_that_is_not_in_sync_is_not_elected() {
    let mut world = with_moved_leader();
    world.isr_change(101, 2, 9, 0, &[2]);
    let answered = world.election(1, ElectionType::Preferred, &[tp("t", 0)]);
    assert_eq!(
        answered,
        ["t-0: PREFERRED_LEADER_NOT_AVAILABLE Failed to elect leader for partition t-0 under strategy \
             PreferredReplicaPartitionLeaderElectionStrategy"]
    );
}

#[test]
fn an_unclean_election_brings_back_what_nobody_else_can() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2], &[1]]);
    world.isr_change(100, 1, 9, 0, &[1]);
    let answered = world.election(1, ElectionType::Unclean, &[tp("t", 0)]);
    assert_eq!(answered, ["t-0: ELECTION_NOT_NEEDED Leader election not needed for topic partition."]);
    world.brokers_are(&[(2, 102)]);
    let answered = world.election(2, ElectionType::Unclean, &[tp("t", 0), tp("t", 1)]);
    assert_eq!(
        answered,
        [
            "t-0: 2",
            "t-1: ELIGIBLE_LEADERS_NOT_AVAILABLE Failed to elect leader for partition t-1 under strategy \
             OfflinePartitionLeaderElectionStrategy(true)"
        ]
    );
    assert!(world.states[&tp("t", 0)].0.leader_recovering);
}

#[test]
fn a_note_in_the_registry_elects_and_goes() {
    let mut world = with_moved_leader();
    world.preferred = Some(vec![tp("t", 0), tp("nope", 3)]);
    world.elect(8);
    assert_eq!((world.state("t", 0).0, world.preferred.clone()), (1, None));
}

#[test]
fn leaders_go_back_by_themselves_when_too_many_are_elsewhere() {
    let mut world = with_moved_leader();
    world.does(Event::RebalanceDue { tolerated_percentage: 100 });
    assert_eq!(world.state("t", 0).0, 2);
    world.does(Event::RebalanceDue { tolerated_percentage: 10 });
    assert_eq!(world.state("t", 0).0, 1);
    let writes = world.writes;
    world.does(Event::RebalanceDue { tolerated_percentage: 10 });
    assert_eq!(world.writes, writes);
}

#[test]
fn a_default_that_allows_unclean_elections_brings_back_what_is_offline() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2]]);
    world.isr_change(100, 1, 9, 0, &[1]);
    world.brokers_are(&[(2, 102)]);
    assert_eq!(world.state("t", 0).0, -1);
    world.unclean = true;
    world.does(Event::UncleanElectionDefaultChanged);
    assert_eq!(world.state("t", 0).0, 2);
}

#[test]
fn an_isr_that_an_old_leader_wrote_itself_is_read_and_told() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2]]);
    world.sent();
    let entry = world.states.get_mut(&tp("t", 0)).unwrap();
    *entry = (PartitionState { isr: vec![1], ..entry.0.clone() }, 1);
    world.does(Event::IsrChangesNoted(vec![tp("t", 0), tp("nope", 0)]));
    assert_eq!(world.told(), ["1: know 1+2 t-0@1", "2: know 1+2 t-0@1"]);
    assert_eq!(world.isr_change(1, 1, 9, 0, &[1, 2]), ErrorCode::NONE);
}
