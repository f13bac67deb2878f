//! Manual pages.

use crate::cli::args::{Opt, Takes};
use crate::cli::{COMMANDS, Command, VERSION};

use super::GENERATED;

/// What `ottla` has of its own.
pub const OURS: &[(&str, &str)] = &[
    ("quickstart", "starts a broker, creates, produces, consumes, deletes, stops, and shows how"),
    ("link DIR", "makes links DIR/kafka-topics, DIR/kafka-topics.sh and so on"),
];

pub fn page(command: &Command) -> String {
    let name = command.name;
    let mut page = head(name, command.about);
    page.push_str(&format!(".SH SYNOPSIS\n.B {}\n[\\fIOPTION\\fR]...\n", escaped(name)));
    page.push_str(&format!(".SH DESCRIPTION\n{}\n", paragraph(command.options.purpose)));
    page.push_str(&format!(
        ".PP\nOptions, texts and exit codes are those of the command of the same name in Apache Kafka {VERSION}. \
         One dash before an option is as good as two; a value follows after a blank or \\(oq=\\(cq.\n"
    ));
    if !command.options.options.is_empty() {
        page.push_str(".SH OPTIONS\n");
    }
    let mut options: Vec<&Opt> = command.options.options.iter().collect();
    options.sort_by_key(|option| option.name);
    for option in options {
        let value = match option.takes {
            Takes::Nothing => String::new(),
            Takes::Value(value) => format!(" \\fI{}\\fR", escaped(value_name(value))),
            Takes::OptionalValue(value) => format!(" [\\fI{}\\fR]", escaped(value_name(value))),
        };
        page.push_str(&format!(".TP\n\\fB\\-\\-{}\\fR{value}\n{}\n", escaped(option.name), paragraph(option.help)));
        if let Some(default) = option.default {
            page.push_str(&format!("Default: {}.\n", escaped(default)));
        }
        match (option.since, option.until) {
            ("ours", _) => page.push_str("Not in Apache Kafka.\n"),
            (since, Some(until)) if since == until => page.push_str(&format!("In Apache Kafka {since} only.\n")),
            (since, Some(until)) => page.push_str(&format!("In Apache Kafka {since} to {until}.\n")),
            (_, None) => {}
        }
    }
    if !command.json.is_empty() {
        page.push_str(
            ".SH JSON\nWith \\-\\-output json one document is printed, in one line. Its \\(oqversion\\(cq grows when a key \
             changes its meaning; keys keep their order, and new ones come last. A command that fails prints\n.PP\n.nf\n",
        );
        let error = r#"{"version": 1, "command": string, ...,
 "error": {"class": string|null, "message": string, "hints": [string]}}"#;
        page.push_str(&format!("{}\n.fi\n.PP\nand exits as it would have without.\n", escaped(error)));
        for (action, schema) in command.json {
            page.push_str(&format!(".SS {}\n.nf\n{}\n.fi\n", escaped(action), escaped(schema)));
        }
    }
    page.push_str(&environment(command));
    page.push_str(".SH EXIT STATUS\n0 when all went well, else 1; 128 and the signal\\(cqs number after a signal.\n");
    page.push_str(&see_also(name));
    page
}

pub fn ottla() -> String {
    let mut page = head("ottla", "Apache Kafka's commands under one name");
    page.push_str(".SH SYNOPSIS\n.B ottla\n\\fICOMMAND\\fR [\\fIARGUMENT\\fR]...\n.SH COMMANDS\n");
    let commands = COMMANDS.iter().map(|c| (c.name.strip_prefix("kafka-").unwrap_or(c.name), c.about));
    for (name, about) in commands.chain(OURS.iter().copied()) {
        page.push_str(&format!(".TP\n.B {}\n{}\n", escaped(name), paragraph(about)));
    }
    page.push_str(&see_also("ottla"));
    page
}

fn head(name: &str, about: &str) -> String {
    format!(
        ".\\\" {GENERATED}\n.TH {} 1 \"\" \"ottla {}\" \"Kafka commands\"\n.SH NAME\n{} \\- {}\n",
        name.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        escaped(name),
        escaped(about)
    )
}

fn environment(command: &Command) -> String {
    let has = |name: &str| command.options.options.iter().any(|option| option.name == name);
    let mut text = String::from(".SH ENVIRONMENT\n");
    let mut add = |name: &str, what: &str| text.push_str(&format!(".TP\n.B {name}\n{}\n", escaped(what)));
    if has("bootstrap-server") {
        add("KAFKA_BOOTSTRAP_SERVERS", "Stands in for --bootstrap-server where that is missing.");
    }
    add("KAFKA_STRICT_COMPAT", "1: Apache's behaviour also where this differs on purpose.");
    if has("output") {
        add("NO_COLOR", "If set and not empty: no colours. There are none with TERM=dumb either, nor off a terminal.");
    }
    text
}

fn see_also(name: &str) -> String {
    let others = COMMANDS.iter().map(|command| command.name).chain(["ottla"]).filter(|other| *other != name);
    let others: Vec<String> = others.map(|other| format!("\\fB{}\\fR(1)", escaped(other))).collect();
    format!(".SH SEE ALSO\n{}\n", others.join(",\n"))
}

/// `String: topic` is called `topic`.
fn value_name(value: &str) -> &str {
    value.split_once(": ").map_or(value, |(_, name)| name)
}

/// Lines of a text, whatever they begin with.
fn paragraph(text: &str) -> String {
    text.lines().map(|line| escaped(line.trim_end())).collect::<Vec<_>>().join("\n.br\n")
}

fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let safe = |line: &str| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() };
    text.split('\n').map(safe).collect::<Vec<_>>().join("\n")
}
