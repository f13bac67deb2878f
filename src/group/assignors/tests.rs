use super::*;

fn topic(number: u8) -> Uuid {
    Uuid([number; 16])
}

/// Members by name with the topics they read, topics with their partitions.
fn spec(members: &[(&str, &[u8])], topics: &[(u8, i32)]) -> GroupSpec {
    let member = |topics: &[u8]| MemberSpec {
        subscribed: topics.iter().map(|number| topic(*number)).collect(),
        ..MemberSpec::default()
    };
    GroupSpec {
        members: members.iter().map(|(name, topics)| ((*name).to_owned(), member(topics))).collect(),
        topics: topics.iter().map(|(number, partitions)| (topic(*number), *partitions)).collect(),
    }
}

fn keep(group: &mut GroupSpec, assignment: BTreeMap<String, Partitions>) {
    for (name, assigned) in assignment {
        if let Some(member) = group.members.get_mut(&name) {
            member.assigned = assigned;
        }
    }
}

/// Every partition that somebody reads has one owner, who reads it; nothing else is assigned.
fn check(group: &GroupSpec, assignment: &BTreeMap<String, Partitions>) {
    let mut seen = BTreeSet::new();
    for (name, assigned) in assignment {
        for (topic, partition) in assigned.iter() {
            assert!(group.members[name].subscribed.contains(&topic), "{name} does not read {topic}");
            assert!((0..group.topics[&topic]).contains(&partition));
            assert!(seen.insert((topic, partition)), "{topic}-{partition} has two owners");
        }
    }
    let read = |topic: &Uuid| group.members.values().any(|member| member.subscribed.contains(topic));
    let all: i32 = group.topics.iter().filter(|(topic, _)| read(topic)).map(|(_, partitions)| partitions).sum();
    assert_eq!(seen.len(), all as usize);
    assert_eq!(assignment.len(), group.members.len());
}

#[test]
fn range_gives_equal_numbers_of_different_topics_to_one_member() {
    let group = spec(&[("a", &[1, 2]), ("b", &[1, 2])], &[(1, 3), (2, 3)]);
    let assignment = Assignor::Range.assign(&group);
    check(&group, &assignment);
    let of_a: Vec<(Uuid, i32)> = assignment["a"].iter().collect();
    assert_eq!(of_a, [(topic(1), 0), (topic(1), 1), (topic(2), 0), (topic(2), 1)]);
}

#[test]
fn range_puts_static_members_first_by_their_instance_ids() {
    let mut group = spec(&[("a", &[1]), ("z", &[1])], &[(1, 2)]);
    group.members.get_mut("z").unwrap().instance_id = Some("i".into());
    assert!(Assignor::Range.assign(&group)["z"].contains(topic(1), 0));
}

#[test]
fn uniform_moves_no_more_than_it_must() {
    let mut group = spec(&[("a", &[1]), ("b", &[1])], &[(1, 7)]);
    let first = Assignor::Uniform.assign(&group);
    check(&group, &first);
    keep(&mut group, first.clone());
    group.members.insert("c".into(), MemberSpec { subscribed: [topic(1)].into(), ..MemberSpec::default() });
    let second = Assignor::Uniform.assign(&group);
    check(&group, &second);
    for name in ["a", "b"] {
        assert!(second[name].is_subset_of(&first[name]), "{name} got what it did not have");
    }
    assert_eq!(second.values().map(Partitions::len).collect::<Vec<_>>(), [3, 2, 2]);
}

#[test]
fn uniform_is_even_where_subscriptions_differ() {
    let group = spec(&[("a", &[1, 2]), ("b", &[2]), ("c", &[2])], &[(1, 4), (2, 6)]);
    let assignment = Assignor::Uniform.assign(&group);
    check(&group, &assignment);
    assert_eq!(assignment.values().map(Partitions::len).collect::<Vec<_>>(), [4, 3, 3]);
}

/// Random groups whose members, subscriptions and topics change: all is assigned once, as evenly as the uniform
/// assignor says.
#[test]
fn random_groups_are_assigned_wholly_and_evenly() {
    for seed in 0..200u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut pick = move |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let mut group = GroupSpec::default();
        for step in 0..20 {
            let homogeneous = pick(2) == 0;
            let topics = 1 + pick(4) as u8;
            group.topics = (1..=topics).map(|number| (topic(number), pick(9) as i32)).collect();
            if pick(2) == 0 {
                group.members.insert(format!("m{step}"), MemberSpec::default());
            } else if !group.members.is_empty() {
                let name = group.members.keys().nth(pick(group.members.len() as u64) as usize).cloned().unwrap();
                group.members.remove(&name);
            }
            for member in group.members.values_mut() {
                member.subscribed = (1..=topics).filter(|_| homogeneous || pick(2) == 0).map(topic).collect();
            }
            check(&group, &Assignor::Range.assign(&group));
            let assignment = Assignor::Uniform.assign(&group);
            check(&group, &assignment);
            let loads: Vec<usize> = assignment.values().map(Partitions::len).collect();
            if let (true, Some(most), Some(least)) = (homogeneous, loads.iter().max(), loads.iter().min()) {
                assert!(most - least <= 1, "seed {seed}: {loads:?}");
            }
            keep(&mut group, assignment);
        }
    }
}
