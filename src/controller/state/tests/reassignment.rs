//! Moves of partitions to other replicas.

use super::*;
use crate::wire::messages::list_partition_reassignments::ListPartitionReassignmentsRequest;

impl World {
    fn moves(&mut self, token: Token, rows: &[(TopicPartition, Option<&[i32]>)]) -> PartitionResults<()> {
        let partitions = rows.iter().map(|(name, target)| (name.clone(), target.map(<[i32]>::to_vec))).collect();
        self.does(Event::AlterReassignments { partitions, token });
        match &self.answers[&token] {
            Answer::Reassignments(results) => results.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// Replicas, those that join, those that go, as the registry has them.
    fn replicas(&self, topic: &str, partition: i32) -> (Vec<i32>, Vec<i32>, Vec<i32>) {
        let row = self.topics[topic].partitions[&partition].clone();
        (row.replicas, row.adding_replicas, row.removing_replicas)
    }

    fn notes(&mut self, rows: &[(TopicPartition, &[i32])]) {
        self.noted = rows.iter().map(|(name, target)| (name.clone(), target.to_vec())).collect();
        self.does(Event::ReassignmentsRead(self.noted.clone().into_iter().collect()));
    }
}

fn refused(results: PartitionResults<()>) -> (ErrorCode, String) {
    let refusal = results.into_iter().next().unwrap().1.unwrap_err();
    (refusal.error, refusal.message)
}

#[test]
fn a_move_adds_waits_switches_and_removes() {
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[1, 2]]);
    world.sent();
    assert_eq!(world.moves(1, &[(tp("t", 0), Some(&[3, 2]))]), [(tp("t", 0), Ok(()))]);
    assert_eq!(world.replicas("t", 0), (vec![3, 2, 1], vec![3], vec![1]));
    assert_eq!(world.state("t", 0), (1, 1, vec![1, 2]));
    let told = world.told();
    for expected in ["1: lead t-0 led by 1@1", "2: lead t-0 led by 1@1", "3: lead t-0 led by 1@1 new"] {
        assert!(told.contains(&expected.to_owned()), "{told:?}");
    }
    let none = ListPartitionReassignmentsRequest { topics: Some(Vec::new()), ..Default::default() };
    let listed = world.controller.list_reassignments(&none);
    assert_eq!(listed.topics, [], "an empty list asks for nothing");
    let all = ListPartitionReassignmentsRequest { topics: None, ..Default::default() };
    let listed = &world.controller.list_reassignments(&all).topics[0].partitions[0];
    assert_eq!(
        (&listed.replicas[..], &listed.adding_replicas[..], &listed.removing_replicas[..]),
        (&[3, 2, 1][..], &[3][..], &[1][..])
    );

    // The new one has caught up.
    assert_eq!(world.isr_change(2, 1, 9, 0, &[1, 2, 3]), ErrorCode::NONE);
    assert_eq!(world.state("t", 0), (3, 2, vec![2, 3]));
    assert_eq!(world.replicas("t", 0), (vec![3, 2], vec![], vec![]));
    let told = world.told();
    for expected in ["2: lead t-0 led by 3@2", "3: lead t-0 led by 3@2", "1: stop t-0@2 delete"] {
        assert!(told.contains(&expected.to_owned()), "{told:?}");
    }
    assert!(!told.iter().any(|told| told.starts_with("1: lead")), "{told:?}");
    assert_eq!(world.controller.list_reassignments(&all).topics, []);
}

#[test]
fn another_order_of_the_same_replicas_is_a_new_epoch_and_no_more() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1, 2]]);
    world.moves(1, &[(tp("t", 0), Some(&[2, 1]))]);
    assert_eq!(world.replicas("t", 0), (vec![2, 1], vec![], vec![]));
    assert_eq!(world.state("t", 0), (1, 1, vec![1, 2]));
}

#[test]
fn a_move_that_is_called_off_leaves_things_as_they_were() {
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[1, 2]]);
    world.moves(1, &[(tp("t", 0), Some(&[3]))]);
    world.sent();
    world.moves(2, &[(tp("t", 0), None)]);
    assert_eq!(world.replicas("t", 0), (vec![1, 2], vec![], vec![]));
    assert_eq!(world.state("t", 0), (1, 2, vec![1, 2]));
    let told = world.told();
    assert!(told.contains(&"3: stop t-0@2 delete".to_owned()), "{told:?}");
    let (error, _) = refused(world.moves(3, &[(tp("t", 0), None)]));
    assert_eq!(error, ErrorCode::NO_REASSIGNMENT_IN_PROGRESS);
}

#[test]
fn a_later_move_replaces_an_earlier_one() {
    let mut world = World::new(&[1, 2, 3, 4]);
    world.create("t", 9, &[&[1, 2]]);
    world.moves(1, &[(tp("t", 0), Some(&[3, 2]))]);
    world.isr_change(2, 1, 9, 0, &[1, 2]);
    world.moves(3, &[(tp("t", 0), Some(&[4, 2]))]);
    assert_eq!(world.replicas("t", 0), (vec![4, 2, 1], vec![4], vec![1]));
    let told = world.told();
    assert!(told.contains(&"3: stop t-0@2 delete".to_owned()), "{told:?}");
    // The leader may not put the old target into the ISR any more.
    assert_eq!(world.isr_change(4, 1, 9, 0, &[1, 2, 3]), ErrorCode::INVALID_REQUEST);
}

#[test]
fn what_cannot_be_moved_is_refused_in_apaches_words() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1]]);
    let mut ask = |token, name: TopicPartition, target: &[i32]| refused(world.moves(token, &[(name, Some(target))]));
    let invalid = |text: &str| (ErrorCode::INVALID_REPLICA_ASSIGNMENT, text.to_owned());
    let text = "Empty replica list specified in partition reassignment.";
    assert_eq!(ask(1, tp("t", 0), &[]), invalid(text));
    let text = "Duplicate replica ids in partition reassignment replica list: ArrayBuffer(1, 1)";
    assert_eq!(ask(2, tp("t", 0), &[1, 1]), invalid(text));
    assert_eq!(ask(3, tp("t", 0), &[-1]), invalid("Invalid broker id in replica list: ArrayBuffer(-1)"));
    let text = "Replica assignment has brokers that are not alive. Replica list: ArrayBuffer(9), live broker list: \
                Set(1, 2)";
    assert_eq!(ask(4, tp("t", 0), &[9, 1]), invalid(text));
    let unknown = (ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, "The partition does not exist.".to_owned());
    assert_eq!(ask(5, tp("t", 1), &[1]), unknown);
    assert_eq!(ask(6, tp("nope", 0), &[1]), unknown);
}

#[test]
fn a_move_may_not_be_called_off_when_only_its_target_has_the_data() {
    let mut world = World::new(&[1, 3]);
    world.create("t", 9, &[&[1]]);
    world.moves(1, &[(tp("t", 0), Some(&[3, 2]))]);
    assert!(world.answers.contains_key(&1));
    let (error, _) = refused(world.moves(2, &[(tp("t", 0), Some(&[3, 2]))]));
    assert_eq!(error, ErrorCode::INVALID_REPLICA_ASSIGNMENT, "broker 2 does not live");
    world.moves(3, &[(tp("t", 0), Some(&[3]))]);
    // In sync, but its own disk is gone before the switch: only 3 is left, and not the target's whole.
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[1]]);
    world.moves(1, &[(tp("t", 0), Some(&[2, 3]))]);
    world.isr_change(2, 1, 9, 0, &[1, 2]);
    world.isr_change(3, 1, 9, 0, &[2, 1]);
    world.brokers_are(&[(2, 102), (3, 103)]);
    assert_eq!(world.state("t", 0), (2, 2, vec![2]));
    let (error, text) = refused(world.moves(4, &[(tp("t", 0), None)]));
    assert_eq!(error, ErrorCode::INVALID_REPLICA_ASSIGNMENT);
    assert_eq!(text, "Unable to reassign partition t-0 because it would require an unclean leader election.");
}

#[test]
fn a_move_waits_for_a_target_that_died_and_ends_when_it_is_back_in_sync() {
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[1, 2]]);
    world.moves(1, &[(tp("t", 0), Some(&[3]))]);
    world.brokers_are(&[(1, 101), (2, 102)]);
    assert_eq!(world.replicas("t", 0).1, [3]);
    world.brokers_are(&[(1, 101), (2, 102), (3, 203)]);
    world.isr_change(2, 1, 9, 0, &[1, 2, 3]);
    assert_eq!((world.replicas("t", 0).0, world.state("t", 0)), (vec![3], (3, 2, vec![3])));
}

#[test]
fn a_new_controller_goes_on_with_a_move_in_a_new_epoch() {
    let mut world = World::new(&[1, 2, 3]);
    world.create("t", 9, &[&[1, 2]]);
    world.moves(1, &[(tp("t", 0), Some(&[3, 2]))]);
    world.elect(8);
    assert_eq!(world.state("t", 0), (1, 2, vec![1, 2]));
    assert_eq!(world.states[&tp("t", 0)].0.controller_epoch, 8);
    world.isr_change(2, 1, 9, 0, &[1, 2, 3]);
    assert_eq!(world.replicas("t", 0), (vec![3, 2], vec![], vec![]));
}

#[test]
fn a_new_controller_finishes_a_switch_that_was_not_written_down() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1]]);
    let row = world.topics.get_mut("t").unwrap().partitions.get_mut(&0).unwrap();
    *row = row.reassigned_to(&[2]);
    let (state, version) = world.states[&tp("t", 0)].clone();
    world
        .states
        .insert(tp("t", 0), (PartitionState { leader: 2, isr: vec![2], leader_epoch: 1, ..state }, version + 1));
    world.elect(8);
    assert_eq!(world.replicas("t", 0), (vec![2], vec![], vec![]));
    assert!(world.told().contains(&"1: stop t-0@2 delete".to_owned()));
}

#[test]
fn a_note_in_the_registry_moves_partitions_and_goes_when_they_are_moved() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1], &[1]]);
    world.notes(&[(tp("t", 0), &[2]), (tp("t", 1), &[1]), (tp("nope", 0), &[1]), (tp("t", 2), &[])]);
    assert_eq!(world.noted.keys().collect::<Vec<_>>(), [&tp("t", 0)], "what is done or senseless is gone at once");
    assert_eq!(world.replicas("t", 0), (vec![2, 1], vec![2], vec![1]));
    let epoch = world.state("t", 0).1;
    world.notes(&[(tp("t", 0), &[2])]);
    assert_eq!(world.state("t", 0).1, epoch, "said again, it is no news");
    world.elect(8);
    world.isr_change(1, 1, 9, 0, &[1, 2]);
    assert_eq!((world.replicas("t", 0).0, world.noted.len()), (vec![2], 0));
}

#[test]
fn a_deletion_waits_for_the_move() {
    let mut world = World::new(&[1, 2]);
    world.create("t", 9, &[&[1]]);
    world.moves(1, &[(tp("t", 0), Some(&[2]))]);
    world.sent();
    world.does(Event::DeleteTopics(vec!["t".into()]));
    assert_eq!(world.told(), [] as [String; 0]);
    let (error, _) = refused(world.moves(2, &[(tp("t", 0), Some(&[1]))]));
    assert_eq!(error, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION);
    world.isr_change(3, 1, 9, 0, &[1, 2]);
    assert!(world.told().contains(&"2: stop t-0@-2 delete".to_owned()));
}
