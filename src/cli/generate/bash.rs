//! Completions for bash.
//!
//! Bash cuts words at `:` and `=` (`host:9092` is three words to it), so the line is cut again at blanks, and of an
//! answer only what follows the last cut is given back.

use crate::cli::{COMMANDS, Command};

use super::{GENERATED, Value, offered, value_of};

pub fn script(command: &Command) -> String {
    let name = command.name;
    let function = format!("_{}", name.replace('-', "_"));
    let options = offered(command.options.options);
    let flags: Vec<String> = options.iter().map(|option| format!("--{}", option.name)).collect();
    let mut cases = String::new();
    for option in &options {
        let action = match value_of(option) {
            Value::Nothing => continue,
            Value::Topic => "candidates=$(__ottla_topics \"${words[@]}\")".to_owned(),
            Value::File => "candidates=$(compgen -f -- \"$cur\")".to_owned(),
            Value::OneOf(values) => format!("candidates='{}'", values.join(" ")),
            Value::Other => "return 0".to_owned(),
        };
        cases.push_str(&format!("        --{}) {action} ;;\n", option.name));
    }
    format!(
        r#"# {GENERATED}
{TOPICS}
{function}() {{
    local line=${{COMP_LINE:0:COMP_POINT}} cur prev candidates prefix=
    local -a words
    read -ra words <<<"$line"
    if [[ $line == *[[:space:]] || ${{#words[@]}} -lt 2 ]]; then cur=; prev=${{words[-1]}}
    else cur=${{words[-1]}}; prev=${{words[-2]}}; fi
    if [[ $cur == --*=* ]]; then prev=${{cur%%=*}}; prefix=$prev=; cur=${{cur#*=}}; fi
    COMPREPLY=()
    case $prev in
{cases}        *) candidates='{flags}' ;;
    esac
    local IFS=$' \n' candidate
    for candidate in $candidates; do
        [[ $candidate == "$cur"* ]] || continue
        candidate=$prefix$candidate
        # Readline replaces only what follows its own last cut.
        [[ $COMP_WORDBREAKS == *=* ]] && candidate=${{candidate#"$prefix"}}
        COMPREPLY+=("$candidate")
    done
    return 0
}}
complete -o nosort -F {function} {name} {name}.sh
"#,
        flags = flags.join(" "),
    )
}

/// Asks the `ottla` beside the command if it was typed with its directory.
const TOPICS: &str = r#"__ottla_topics() {
    local ottla=ottla
    [[ $1 == */* && -x ${1%/*}/ottla ]] && ottla=${1%/*}/ottla
    command "$ottla" complete-topics "$@" 2>/dev/null
}"#;

pub fn ottla() -> String {
    let commands: Vec<&str> =
        COMMANDS.iter().map(|command| command.name.strip_prefix("kafka-").unwrap_or(command.name)).collect();
    format!(
        r#"# {GENERATED}
_ottla() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} name=kafka-${{COMP_WORDS[1]}}
    if (( COMP_CWORD == 1 )); then
        COMPREPLY=($(compgen -W '{commands} quickstart link' -- "$cur"))
        return 0
    fi
    [[ ${{COMP_WORDS[1]}} == zookeeper-* ]] && name=${{COMP_WORDS[1]}}
    local function=_${{name//-/_}}
    # bash-completion loads a command's file when it is first asked for.
    declare -F "$function" >/dev/null || {{ declare -F _completion_loader >/dev/null && _completion_loader "$name"; }}
    declare -F "$function" >/dev/null && "$function"
    return 0
}}
complete -o nosort -F _ottla ottla
"#,
        commands = commands.join(" "),
    )
}
