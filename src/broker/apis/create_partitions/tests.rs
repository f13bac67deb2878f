use super::*;
use crate::wire::messages::create_partitions::CreatePartitionsAssignment;

fn plan_for(count: i32, assignments: Option<&[&[i32]]>) -> Result<Vec<Vec<i32>>, Refusal> {
    let rows = |rows: &[&[i32]]| {
        rows.iter().map(|ids| CreatePartitionsAssignment { broker_ids: ids.to_vec() }).collect::<Vec<_>>()
    };
    let topic = CreatePartitionsTopic { name: "t".to_owned(), count, assignments: assignments.map(rows) };
    let existing: BTreeMap<i32, ReplicaAssignment> =
        (0..3).map(|p| (p, ReplicaAssignment { replicas: vec![5], ..Default::default() })).collect();
    let brokers = [Candidate { id: 5, rack: None }, Candidate { id: 6, rack: None }];
    let planned = plan(&topic, &existing, &brokers)?;
    assert!(planned.iter().map(|(partition, _)| *partition).eq(3..count));
    Ok(planned.into_iter().map(|(_, assignment)| assignment.replicas).collect())
}

#[test]
fn partitions_join_where_they_were_assigned_or_go_round() {
    assert_eq!(plan_for(5, None), Ok(vec![vec![6], vec![5]]));
    assert_eq!(plan_for(4, Some(&[&[6]])), Ok(vec![vec![6]]));
}

#[test]
fn what_cannot_join_is_refused_in_apaches_words() {
    let check = |count: i32, assignments: Option<&[&[i32]]>, code: ErrorCode, message: &str| {
        assert_eq!(plan_for(count, assignments), Err(Refusal::new(code, message)));
    };
    use ErrorCode as E;
    for count in [2, 0, -1] {
        let text = format!("Topic currently has 3 partitions, which is higher than the requested {count}.");
        check(count, None, E::INVALID_PARTITIONS, &text);
    }
    check(3, None, E::INVALID_PARTITIONS, "Topic already has 3 partitions.");
    check(i32::MAX, None, E::INVALID_PARTITIONS, "Number of partitions must not be larger than 50000.");
    let text = "Increasing the number of partitions by 2 but 1 assignments provided.";
    check(5, Some(&[&[5]]), E::INVALID_REPLICA_ASSIGNMENT, text);
    check(4, Some(&[&[8]]), E::INVALID_REPLICA_ASSIGNMENT, "Unknown broker(s) in replica assignment: 8.");
    let text = "Duplicate brokers not allowed in replica assignment: 5, 5 for partition id 3.";
    check(4, Some(&[&[5, 5]]), E::INVALID_REPLICA_ASSIGNMENT, text);
    let text = "Cannot have replication factor of 0 for partition id 3.";
    check(4, Some(&[&[]]), E::INVALID_REPLICA_ASSIGNMENT, text);
    let text = "Inconsistent replication factor between partitions, partition 0 has 1 while partitions [4] have \
                replication factors [2], respectively.";
    check(5, Some(&[&[5], &[5, 6]]), E::INVALID_REPLICA_ASSIGNMENT, text);
}
