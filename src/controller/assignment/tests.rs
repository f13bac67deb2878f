use super::*;

fn plain(ids: std::ops::Range<i32>) -> Vec<Candidate> {
    ids.map(|id| Candidate { id, rack: None }).collect()
}

fn racked(rows: &[(i32, &str)]) -> Vec<Candidate> {
    rows.iter().map(|(id, rack)| Candidate { id: *id, rack: Some((*rack).to_owned()) }).collect()
}

#[test]
fn without_racks_replicas_go_round_and_shift_after_each_round() {
    // The example of AdminUtils' own documentation: five brokers, ten partitions, factor 3.
    let start = Start { leader: 0, shift: 0, partition: 0 };
    let assigned = assign(&plain(0..5), 10, 3, start).unwrap();
    let expected =
        [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0], [4, 0, 1], [0, 2, 3], [1, 3, 4], [2, 4, 0], [3, 0, 1], [4, 1, 2]];
    assert_eq!(assigned, expected);
}

#[test]
fn racks_alternate_and_each_rack_gets_a_replica() {
    // As in AdminRackAwareTest: racks of six brokers, three replicas.
    let brokers = racked(&[(0, "rack1"), (1, "rack2"), (2, "rack2"), (3, "rack3"), (4, "rack3"), (5, "rack1")]);
    let racks: BTreeMap<i32, &str> = racks_of(&brokers).unwrap().unwrap();
    assert_eq!(alternate(&brokers, &racks), [0, 1, 3, 5, 2, 4]);
    for leader in 0..6 {
        for shift in 0..6 {
            for replicas in assign(&brokers, 30, 3, Start { leader, shift, partition: 0 }).unwrap() {
                let used: BTreeSet<&str> = replicas.iter().map(|id| racks[id]).collect();
                assert_eq!(used.len(), 3, "{replicas:?}");
            }
        }
    }
}

#[test]
fn every_broker_leads_and_follows_equally_often() {
    for (brokers, factor) in
        [(plain(0..5), 3), (racked(&[(0, "a"), (1, "b"), (2, "c"), (3, "a"), (4, "b"), (5, "c")]), 3)]
    {
        let n = brokers.len();
        for random in 0..40 {
            let assigned = assign(&brokers, 10 * n as i32, factor, Start::random(random, n)).unwrap();
            for broker in &brokers {
                assert_eq!(assigned.iter().filter(|replicas| replicas[0] == broker.id).count(), 10);
                assert_eq!(
                    assigned.iter().filter(|replicas| replicas.contains(&broker.id)).count(),
                    10 * factor as usize
                );
            }
        }
    }
}

#[test]
fn more_replicas_than_racks_are_distinct_brokers() {
    let brokers = racked(&[(1, "a"), (2, "a"), (3, "a"), (4, "b")]);
    for replicas in assign(&brokers, 20, 4, Start { leader: 2, shift: 1, partition: 0 }).unwrap() {
        assert_eq!(replicas.iter().collect::<BTreeSet<_>>().len(), 4);
    }
}

#[test]
fn added_partitions_go_on_where_the_topic_ended() {
    let brokers = plain(1..4);
    let start = Start::after(4, 2, &brokers);
    assert_eq!(start, Start { leader: 1, shift: 1, partition: 4 });
    assert_eq!(assign(&brokers, 2, 2, start).unwrap(), [vec![3, 2], vec![1, 3]]);
    assert_eq!(Start::after(1, 9, &brokers).leader, 0);
}

#[test]
fn one_broker_is_enough_for_one_replica() {
    assert_eq!(assign(&plain(7..8), 3, 1, Start::random(u64::MAX, 1)).unwrap(), [[7], [7], [7]]);
}

#[test]
fn what_cannot_be_assigned_is_refused_in_apaches_words() {
    let check = |brokers: &[Candidate], partitions, factor, text: &str| {
        let error = assign(brokers, partitions, factor, Start::random(0, 1)).unwrap_err();
        assert_eq!(error.to_string(), text);
    };
    check(&plain(0..1), 0, 1, "Number of partitions must be larger than 0.");
    check(&plain(0..1), 1, 0, "Replication factor must be larger than 0.");
    check(&plain(0..1), 1, 3, "Replication factor: 3 larger than available brokers: 1.");
    let mut some = racked(&[(1, "a")]);
    some.push(Candidate { id: 2, rack: None });
    check(&some, 1, 2, "Not all brokers have rack information for replica rack aware assignment.");
}
