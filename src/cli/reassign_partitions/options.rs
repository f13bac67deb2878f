//! The flags of kafka-reassign-partitions of every release, and which of them go with which action.

use crate::cli::args::{ArgsError, Matches, Opt, OptionTable};
use crate::cli::error::Error;

pub(in crate::cli) static TABLE: OptionTable = OptionTable {
    purpose: "This tool helps to move topic partitions between replicas.",
    options: &[
        Opt::value("bootstrap-server", "String: Server(s) to use for bootstrapping", "1.0", "REQUIRED: brokers to begin with: host:port,host:port."),
        Opt::value("command-config", "String: Admin client property file", "2.1", "A file with settings of the admin client."),
        Opt::value(
            "zookeeper",
            "String: urls",
            "0.8.1",
            "ZooKeeper of the cluster, host:port,host:port/chroot, to ask for moves there as up to Kafka 2.8; instead \
             of --bootstrap-server, and only with --generate, --execute and --verify.",
        )
        .until("2.8"),
        Opt::flag("generate", "0.8.1", "Print a plan that spreads topics over brokers; nothing is moved."),
        Opt::flag("execute", "0.8.1", "Start what --reassignment-json-file says."),
        Opt::flag(
            "verify",
            "0.8.1",
            "Tell how far what --reassignment-json-file says has come. When nothing moves any more, throttles are taken away.",
        ),
        Opt::flag("cancel", "2.6", "Cancel the reassignments of --reassignment-json-file that are under way."),
        Opt::flag("list", "2.6", "List all reassignments under way."),
        Opt::value(
            "reassignment-json-file",
            "String: manual assignment json file path",
            "0.8.1",
            "A file that says where partitions shall be: {\"partitions\": [{\"topic\": \"foo\", \"partition\": 1, \
             \"replicas\": [1,2,3], \"log_dirs\": [\"dir1\",\"any\",\"any\"]}], \"version\": 1}. \"log_dirs\" may be \
             left out; a replica with a path there is moved to that directory of its broker.",
        ),
        Opt::value(
            "topics-to-move-json-file",
            "String: topics to reassign json file path",
            "0.8.1",
            "With --generate, a file that names topics: {\"topics\": [{\"topic\": \"foo\"}], \"version\": 1}.",
        ),
        Opt::value("broker-list", "String: brokerlist", "0.8.1", "With --generate, the brokers to use: 0,1,2."),
        Opt::flag("disable-rack-aware", "0.10", "With --generate, do not look at the brokers' racks."),
        Opt::value(
            "throttle",
            "Long: throttle",
            "0.10.1",
            "With --execute, the most bytes per second between brokers, at least 1024; with --additional it may be changed later.",
        )
        .default("-1"),
        Opt::value(
            "replica-alter-log-dirs-throttle",
            "Long: replicaAlterLogDirsThrottle",
            "1.1",
            "With --execute, the most bytes per second between log directories of a broker, at least 1024.",
        )
        .default("-1"),
        Opt::value(
            "timeout",
            "Long: timeout",
            "1.0",
            "How long moves between log directories may take to begin, in milliseconds.",
        )
        .default("10000"),
        Opt::flag("additional", "2.6", "With --execute, also while other reassignments are under way."),
        Opt::flag("preserve-throttles", "2.6", "Leave throttles as they are."),
        Opt::flag("help", "0.8.1", "Print usage information."),
        Opt::flag("version", "2.0", "Display Kafka version."),
    ],
};

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Generate,
    Execute,
    Verify,
    Cancel,
    List,
}

impl Action {
    const ALL: [Action; 5] = [Action::Generate, Action::Execute, Action::Verify, Action::Cancel, Action::List];

    fn flag(self) -> &'static str {
        match self {
            Action::Generate => "generate",
            Action::Execute => "execute",
            Action::Verify => "verify",
            Action::Cancel => "cancel",
            Action::List => "list",
        }
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            Action::Generate => &["topics-to-move-json-file", "broker-list"],
            Action::Execute | Action::Verify | Action::Cancel => &["reassignment-json-file"],
            Action::List => &[],
        }
    }

    fn permitted(self) -> &'static [&'static str] {
        match self {
            Action::Generate => &["disable-rack-aware"],
            Action::Execute => &["additional", "throttle", "replica-alter-log-dirs-throttle", "timeout"],
            Action::Verify => &["preserve-throttles"],
            Action::Cancel => &["preserve-throttles", "timeout"],
            Action::List => &[],
        }
    }
}

/// The one action of a command line, whose other flags go with it.
pub(super) fn action(matches: &Matches) -> Result<Action, Error> {
    let given: Vec<Action> = Action::ALL.into_iter().filter(|action| matches.has(action.flag())).collect();
    let [action] = given.as_slice() else {
        let flags = Action::ALL.map(|action| format!("--{}", action.flag())).join(", ");
        return Err(Error::Usage(format!("Command must include exactly one action: {flags}")));
    };
    if matches.has("zookeeper") && matches!(action, Action::Cancel | Action::List) {
        matches.require(&["bootstrap-server"])?;
    } else if !matches.has("bootstrap-server") && !matches.has("zookeeper") {
        return Err(Error::Usage("Please specify --bootstrap-server".to_owned()));
    }
    matches.require(action.required())?;
    let goes = |name: &str| {
        let always = ["bootstrap-server", "command-config", action.flag()];
        let on_znodes = name == "zookeeper" && !matches!(action, Action::Cancel | Action::List);
        on_znodes || always.contains(&name) || action.required().contains(&name) || action.permitted().contains(&name)
    };
    match TABLE.options.iter().find(|option| matches.has(option.name) && !goes(option.name)) {
        Some(option) => {
            Err(Error::Usage(format!("Option \"[{}]\" can't be used with action \"[{}]\"", option.name, action.flag())))
        }
        None => Ok(*action),
    }
}

/// As a mistake that Apache's parser throws reaches the user: nobody catches it.
pub(super) fn uncaught(error: ArgsError) -> Error {
    match error.exception() {
        Some(class) => Error::Message(format!("Exception in thread \"main\" {class}: {error}")),
        None => Error::from(error),
    }
}
