//! The flags of kafka-topics of every release, and which of them go together.

use crate::cli::Io;
use crate::cli::args::{Abbreviations, ArgsError, Matches, Opt, OptionTable};
use crate::cli::error::Error;

/// The flags, in the order of Apache's `--help` of their day.
pub(in crate::cli) static TABLE: OptionTable = OptionTable {
    purpose: "This tool helps to create, delete, describe, or change a topic.",
    options: &[
        Opt::value(
            "bootstrap-server",
            "String: server to connect to",
            "2.2",
            "Brokers to begin with: host:port,host:port.",
        ),
        Opt::value(
            "command-config",
            "String: command config property file",
            "2.2",
            "A file with settings of the admin client.",
        ),
        Opt::value(
            "zookeeper",
            "String: hosts",
            "0.8.1",
            "ZooKeeper of the cluster, host:port,host:port/chroot, to work there directly as up to Kafka 2.8; \
             instead of --bootstrap-server.",
        )
        .until("2.8"),
        Opt::flag("list", "0.8.1", "List topics."),
        Opt::flag("create", "0.8.1", "Create a topic."),
        Opt::flag("delete", "0.8.2", "Delete topics."),
        Opt::flag("alter", "0.8.1", "Add partitions to topics; with --zookeeper also change their configs."),
        Opt::flag("describe", "0.8.1", "Show topics with their partitions."),
        Opt::value(
            "topic",
            "String: topic",
            "0.8.1",
            "The name of the topic to create; for all else a regular expression for whole names, in which a comma \
             means \"or\".",
        ),
        Opt::value("topic-id", "String: topic-id", "3.1", "With --describe: the topic of this id."),
        Opt::value(
            "config",
            "String: name=value",
            "0.8.1",
            "With --create: a config of the topic; may be repeated. kafka-configs changes the configs of topics \
             that are there.",
        ),
        Opt::value(
            "delete-config",
            "String: name",
            "0.8.2",
            "With --zookeeper and --alter: a config to take back; may be repeated.",
        ),
        Opt::value("deleteConfig", "String: name", "0.8.1", "Older spelling of --delete-config.").until("0.8.1"),
        Opt::value(
            "partitions",
            "Integer: # of partitions",
            "0.8.1",
            "How many partitions the topic is to have. Adding some changes which keys go where. The broker's default \
             if not given for --create.",
        ),
        Opt::value(
            "replication-factor",
            "Integer: replication factor",
            "0.8.1",
            "With --create: replicas of each partition. The broker's default if not given.",
        ),
        Opt::value(
            "replica-assignment",
            "String: broker_id_for_part1_replica1 : broker_id_for_part1_replica2 , broker_id_for_part2_replica1 : \
             broker_id_for_part2_replica2 , ...",
            "0.8.1",
            "The brokers of each partition; with --alter also of those that are there already.",
        ),
        Opt::flag("under-replicated-partitions", "0.8.1", "With --describe: partitions that lack in-sync replicas."),
        Opt::flag("unavailable-partitions", "0.8.1", "With --describe: partitions without a leader."),
        Opt::flag(
            "under-min-isr-partitions",
            "2.3",
            "With --describe: partitions with fewer in-sync replicas than min.insync.replicas.",
        ),
        Opt::flag(
            "at-min-isr-partitions",
            "2.3",
            "With --describe: partitions with exactly min.insync.replicas in-sync replicas.",
        ),
        Opt::flag("topics-with-overrides", "0.8.1", "With --describe: topics whose configs differ from the defaults."),
        Opt::flag("if-exists", "0.10.0", "With --alter, --delete and --describe: a missing topic is no error."),
        Opt::flag("if-not-exists", "0.10.0", "With --create: a topic that is there already is no error."),
        Opt::flag(
            "exclude-internal",
            "2.1",
            "With --list and --describe: without the topics that Kafka keeps for itself.",
        ),
        Opt::value(
            "partition-size-limit-per-response",
            "Integer: maximum number of partitions in one response.",
            "3.8",
            "Partitions that a broker describes in one answer.",
        ),
        Opt::flag(
            "disable-rack-aware",
            "0.10.0",
            "With --zookeeper and --create: place replicas without regard to racks.",
        )
        .until("3.4"),
        Opt::flag("force", "0.10.1", "Has no effect.").until("2.8"),
        crate::cli::output::OPTION,
        Opt::flag("help", "0.8.1", "Show this text."),
        Opt::flag("version", "2.3", "Show the version."),
    ],
};

const ACTIONS: [&str; 5] = ["create", "list", "alter", "describe", "delete"];
const FILTERS: [&str; 4] =
    ["under-replicated-partitions", "under-min-isr-partitions", "at-min-isr-partitions", "unavailable-partitions"];

/// Reads a command line. Abbreviations are taken where it then turns out to be one of the days in which they were:
/// up to 0.10.2, which knew only `--zookeeper`.
///
/// # Errors
/// What the parser did not understand.
pub(super) fn parse(args: &[String]) -> Result<Matches, ArgsError> {
    let refused = match TABLE.parse(args, Abbreviations::Refused) {
        Err(error @ ArgsError::Unrecognized(_)) => error,
        result => return result,
    };
    match TABLE.parse(args, Abbreviations::Taken) {
        Ok(matches) if matches.has("zookeeper") && !matches.has("bootstrap-server") => Ok(matches),
        _ => Err(refused),
    }
}

/// Refuses flags that do not go together, in the order and words of Apache's tool: of 3.9 with `--bootstrap-server`,
/// of 2.8 with `--zookeeper`. `--help` and `--version` are not looked at.
///
/// # Errors
/// `Usage`, or what else ends the command before it began.
pub(super) fn check(matches: &Matches, io: &mut Io) -> Result<(), Error> {
    let given = |name: &str| matches.has(name);
    if ACTIONS.iter().filter(|action| given(action)).count() != 1 {
        let text = "Command must include exactly one action: --list, --describe, --create, --alter or --delete";
        return Err(Error::Usage(text.to_owned()));
    }
    match (given("bootstrap-server"), given("zookeeper")) {
        (true, true) => {
            let text = "Only one of --bootstrap-server or --zookeeper must be specified";
            Err(Error::Message(format!("Exception in thread \"main\" java.lang.IllegalArgumentException: {text}")))
        }
        (false, false) => {
            let text = "--bootstrap-server must be specified";
            Err(Error::Message(format!("{text}\njava.lang.IllegalArgumentException: {text}\n")))
        }
        (true, false) => {
            check_required(matches, io)?;
            Ok(check_conflicts(matches)?)
        }
        (false, true) => {
            check_required_zk(matches)?;
            Ok(check_conflicts_zk(matches)?)
        }
    }
}

fn check_required(matches: &Matches, io: &mut Io) -> Result<(), Error> {
    let given = |name: &str| matches.has(name);
    if given("describe") && given("if-exists") {
        if !given("topic") && !given("topic-id") {
            return Err(Error::Usage("--topic or --topic-id is required to describe a topic".to_owned()));
        }
        if given("topic") && given("topic-id") {
            writeln!(
                io.stdout,
                "Only topic id will be used when both --topic and --topic-id are specified and topicId is not \
                 Uuid.ZERO_UUID"
            )?;
        }
    }
    if !given("list") && !given("describe") {
        matches.require(&["topic"])?;
    }
    if given("alter") {
        if given("config") {
            return Err(Error::Usage(
                "Option combination \"[[bootstrap-server], [config]]\" can't be used with option \"[alter]\" \
                 (the kafka-configs CLI supports altering topic configs with a --bootstrap-server option)"
                    .to_owned(),
            ));
        }
        matches.require(&["partitions"])?;
    }
    Ok(())
}

fn check_conflicts(matches: &Matches) -> Result<(), ArgsError> {
    check_actions(matches, &["bootstrap-server"])?;
    for filter in FILTERS {
        only_for(matches, filter, &["describe"], &["topics-with-overrides"])?;
    }
    only_for(matches, "topics-with-overrides", &["describe"], &FILTERS)?;
    only_for(matches, "if-exists", &["alter", "delete", "describe"], &[])?;
    only_for(matches, "if-not-exists", &["create"], &[])?;
    only_for(matches, "exclude-internal", &["list", "describe"], &[])?;
    // These two are ours to refuse: no release had both sides.
    matches.forbid("deleteConfig", &["bootstrap-server"])
}

fn check_required_zk(matches: &Matches) -> Result<(), ArgsError> {
    let given = |name: &str| matches.has(name);
    if given("describe") && given("if-exists") {
        matches.require(&["topic"])?;
    }
    if !given("list") && !given("describe") {
        matches.require(&["topic"])?;
    }
    if given("create") && !given("replica-assignment") {
        matches.require(&["partitions", "replication-factor"])?;
    }
    Ok(())
}

fn check_conflicts_zk(matches: &Matches) -> Result<(), ArgsError> {
    check_actions(matches, &[])?;
    only_for(matches, "deleteConfig", &["alter"], &[])?;
    for filter in FILTERS {
        let others = FILTERS.into_iter().filter(|other| *other != filter).chain(["topics-with-overrides"]);
        let needs_brokers = filter.contains("min-isr").then_some("zookeeper");
        only_for(matches, filter, &["describe"], &others.chain(needs_brokers).collect::<Vec<_>>())?;
    }
    only_for(matches, "topics-with-overrides", &["describe"], &FILTERS)?;
    only_for(matches, "if-exists", &["alter", "delete", "describe"], &[])?;
    only_for(matches, "if-not-exists", &["create"], &[])?;
    only_for(matches, "exclude-internal", &["list", "describe"], &[])?;
    matches.forbid("topic-id", &["zookeeper"])
}

/// What both days have in common: which action each option of a topic belongs to.
fn check_actions(matches: &Matches, not_with_delete_config: &[&'static str]) -> Result<(), ArgsError> {
    only_for(matches, "config", &["alter", "create"], &[])?;
    only_for(matches, "delete-config", &["alter"], not_with_delete_config)?;
    only_for(matches, "partitions", &["alter", "create"], &[])?;
    only_for(matches, "replication-factor", &["create"], &[])?;
    only_for(matches, "replica-assignment", &["alter", "create"], &[])?;
    if matches.has("create") {
        matches.forbid("replica-assignment", &["partitions", "replication-factor"])?;
    }
    Ok(())
}

/// Refuses `option` with any action but `actions`, and with `others`.
fn only_for(
    matches: &Matches,
    option: &'static str,
    actions: &[&str],
    others: &[&'static str],
) -> Result<(), ArgsError> {
    let refused = ACTIONS.into_iter().filter(|action| !actions.contains(action));
    matches.forbid(option, &refused.chain(others.iter().copied()).collect::<Vec<_>>())
}
