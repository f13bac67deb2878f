//! Completions for fish.

use crate::cli::{COMMANDS, Command};

use super::{GENERATED, Value, offered, summary, value_of};

pub fn script(command: &Command) -> String {
    let mut text = format!("# {GENERATED}\n{TOPICS}");
    let name = command.name;
    let mut add = |words: &str| {
        for called in [name.to_owned(), format!("{name}.sh")] {
            text.push_str(&format!("complete -c {called} {words}\n"));
        }
    };
    add("-f");
    for option in offered(command.options.options) {
        let value = match value_of(option) {
            Value::Nothing => String::new(),
            Value::Topic => " -x -a '(__ottla_topics)'".to_owned(),
            Value::File => " -r -F".to_owned(),
            Value::OneOf(values) => format!(" -x -a '{}'", values.join(" ")),
            Value::Other => " -x".to_owned(),
        };
        add(&format!("-l {}{value} -d {}", option.name, quoted(&summary(option))));
    }
    text
}

const TOPICS: &str = r#"function __ottla_topics
    set -l words (commandline -opc)
    set -l ottla ottla
    set -l beside (dirname -- $words[1])/ottla
    string match -q '*/*' -- $words[1]; and test -x $beside; and set ottla $beside
    command $ottla complete-topics $words 2>/dev/null
end
"#;

pub fn ottla() -> String {
    let mut text = format!("# {GENERATED}\ncomplete -c ottla -f\n");
    for command in COMMANDS {
        let short = command.name.strip_prefix("kafka-").unwrap_or(command.name);
        let about = quoted(command.about);
        text.push_str(&format!("complete -c ottla -n __fish_use_subcommand -a {short} -d {about}\n"));
        text.push_str(&format!(
            "complete -c ottla -n '__fish_seen_subcommand_from {short}' -a '(complete -C \"{} \"(commandline -ct))'\n",
            command.name
        ));
    }
    for (name, about) in super::man::OURS {
        let name = name.split(' ').next().unwrap_or_default();
        text.push_str(&format!("complete -c ottla -n __fish_use_subcommand -a {name} -d {}\n", quoted(about)));
    }
    text
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
