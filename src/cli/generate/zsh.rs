//! Completions for zsh.

use crate::cli::{COMMANDS, Command};

use super::{GENERATED, Value, offered, summary, value_of};

pub fn script(command: &Command) -> String {
    let name = command.name;
    let mut specs = String::new();
    for option in offered(command.options.options) {
        let head = format!("*--{}", option.name);
        let about = escaped(&summary(option));
        // `=` is the other way to give a value: both are offered by the sign after the name.
        let spec = match value_of(option) {
            Value::Nothing => format!("'{head}[{about}]'"),
            Value::Topic => format!("'{head}=[{about}]:topic:__ottla_topics'"),
            Value::File => format!("'{head}=[{about}]:file:_files'"),
            Value::OneOf(values) => format!("'{head}=[{about}]:value:({})'", values.join(" ")),
            Value::Other => format!("'{head}=[{about}]:value: '"),
        };
        specs.push_str(&format!("    {spec} \\\n"));
    }
    format!("#compdef {name} {name}.sh\n# {GENERATED}\n{TOPICS}\n_arguments \\\n{specs}    && return 0\nreturn 1\n")
}

const TOPICS: &str = r#"(( $+functions[__ottla_topics] )) || __ottla_topics() {
    local ottla=ottla
    [[ $words[1] == */* && -x ${words[1]:h}/ottla ]] && ottla=${words[1]:h}/ottla
    local -a topics
    topics=(${(f)"$(command $ottla complete-topics $words 2>/dev/null)"})
    compadd -a topics
}"#;

pub fn ottla() -> String {
    let mut commands = String::new();
    let ours = super::man::OURS.iter().map(|(name, about)| (name.split(' ').next().unwrap_or_default(), *about));
    let all = COMMANDS.iter().map(|c| (c.name.strip_prefix("kafka-").unwrap_or(c.name), c.about)).chain(ours);
    for (name, about) in all {
        commands.push_str(&format!("    '{name}:{}'\n", escaped(about)));
    }
    format!(
        r#"#compdef ottla
# {GENERATED}
local -a commands
commands=(
{commands})
if (( CURRENT == 2 )); then
    _describe command commands
    return
fi
# The rest is completed as the command's own line.
local name=$words[2]
(( $+_comps[$name] )) || name=kafka-$name
shift words
(( CURRENT-- ))
words[1]=$name
_normal
"#
    )
}

/// For a description in single quotes and brackets.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\'', "'\\''");
    text.replace('[', "\\[").replace(']', "\\]").replace(':', "\\:")
}
