//! Why nothing is printed: for a person who has waited for three seconds.

use std::time::Duration;

use super::options::{Settings, Topics};
use crate::cli::advice;
use crate::client::admin::{Admin, OffsetSpec, PartitionInfo};
use crate::config::Properties;
use crate::wire::TopicPartition;

/// How long silence is no news.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long the cluster may take to tell.
const ANSWER: Duration = Duration::from_secs(2);

/// What the cluster says about the topic and the group, a line each.
pub fn reasons(settings: &Settings) -> Vec<String> {
    let mut properties = Properties::new();
    settings.properties.iter().for_each(|(key, value)| properties.set(key, value));
    for key in ["default.api.timeout.ms", "request.timeout.ms"] {
        properties.set(key, ANSWER.as_millis().to_string());
    }
    let Ok(admin) = Admin::new(&properties, None) else { return Vec::new() };
    let Topics::Named(topic) = &settings.topics else {
        return match admin.list_topics() {
            Ok(_) => vec!["waiting for records of the topics that match".to_owned()],
            Err(_) => advice::unreachable(&admin),
        };
    };
    let topics = match admin.all_topics() {
        Ok(topics) => topics,
        Err(_) if !admin.is_reached() => return advice::unreachable(&admin),
        Err(error) => return vec![format!("the cluster does not tell about {topic}: {error}")],
    };
    let found = topics.into_iter().find(|(listing, _)| listing.name == *topic).and_then(|(_, known)| known.ok());
    let Some(found) = found else { return advice::unknown_topic(topic, &admin) };
    let partitions: Vec<PartitionInfo> = match settings.partition {
        Some((wanted, _)) => found.partitions.into_iter().filter(|info| info.partition == wanted).collect(),
        None => found.partitions,
    };
    if let Some((wanted, _)) = settings.partition.filter(|_| partitions.is_empty()) {
        return vec![format!("topic {topic} has no partition {wanted}")];
    }
    let mut reasons = leaderless(topic, &partitions);
    reasons.extend(settings.group.as_deref().and_then(|group| group_reason(group, topic, &partitions, &admin)));
    if reasons.is_empty() {
        reasons.extend(at_the_end(topic, &partitions, settings, &admin));
    }
    reasons
}

fn leaderless(topic: &str, partitions: &[PartitionInfo]) -> Vec<String> {
    let without = partitions.iter().filter(|info| info.leader.is_none());
    without
        .map(|info| {
            let brokers: Vec<String> = info.replicas.iter().map(i32::to_string).collect();
            let (partition, brokers) = (info.partition, brokers.join(", "));
            format!("partition {partition} of {topic} has no leader: none of its brokers ({brokers}) can lead it now")
        })
        .collect()
}

fn group_reason(group: &str, topic: &str, partitions: &[PartitionInfo], admin: &Admin) -> Option<String> {
    let (_, described) = admin.describe_groups(&[group.to_owned()]).pop()?;
    let group_description = described.ok()?;
    let members = group_description.members.len();
    match group_description.state.as_str() {
        "Stable" if members > partitions.len() => Some(format!(
            "group {group} has {members} members for {} partitions of {topic}: some get none",
            partitions.len()
        )),
        "Stable" | "Dead" | "Empty" => None,
        state => Some(format!("waiting for group {group}, which is in state {state} with {members} members")),
    }
}

fn at_the_end(topic: &str, partitions: &[PartitionInfo], settings: &Settings, admin: &Admin) -> Option<String> {
    let offsets = |spec: OffsetSpec| {
        let wanted = |info: &PartitionInfo| (TopicPartition::new(topic, info.partition), spec);
        let listed = admin.list_offsets(&partitions.iter().map(wanted).collect::<Vec<_>>(), false).into_iter();
        listed.map(|(_, offset)| offset.ok().map(|listed| listed.offset)).sum::<Option<i64>>()
    };
    let records = offsets(OffsetSpec::Latest)? - offsets(OffsetSpec::Earliest)?;
    let count = partitions.len();
    let plural = if count == 1 { "" } else { "s" };
    let from_beginning = super::options::find(&settings.properties, "auto.offset.reset") == Some("earliest");
    Some(match (records, from_beginning || settings.group.is_some()) {
        (0, _) => format!("the {count} partition{plural} of {topic} hold no record yet; waiting for the first"),
        (_, true) => format!("at the end of {count} partition{plural} of {topic}; waiting for new records"),
        (_, false) => format!(
            "at the end of {count} partition{plural} of {topic}; waiting for new records (--from-beginning shows the \
             {records} that are there)"
        ),
    })
}
