//! What the three streams are connected to, and what may be done there that a script would not want.

use std::io::{self, IsTerminal};

/// What is known of the streams of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    /// Stdout takes escape sequences that make colours.
    pub colours: bool,
    /// Columns of stdout.
    pub width: u16,
}

/// The width of a table that is not printed to a terminal.
const WIDTH: u16 = 120;

impl Terminal {
    /// No stream is one: what scripts and tests see.
    pub const NONE: Terminal = Terminal { stdin: false, stdout: false, stderr: false, colours: false, width: WIDTH };

    /// Looks at this process.
    pub fn of_this_process() -> Terminal {
        let stdout = io::stdout().is_terminal();
        Terminal {
            stdin: io::stdin().is_terminal(),
            stdout,
            stderr: io::stderr().is_terminal(),
            colours: stdout && colours_are_welcome(),
            width: if stdout { width().unwrap_or(80) } else { WIDTH },
        }
    }

    /// Somebody is there to be asked.
    pub fn can_ask(&self) -> bool {
        self.stdin && self.stderr
    }
}

/// <https://no-color.org>, and terminals that say they cannot.
pub fn colours_are_welcome() -> bool {
    let set = |name| std::env::var_os(name).filter(|value: &std::ffi::OsString| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_some_and(|term| term != "dumb")
}

fn width() -> Option<u16> {
    rustix::termios::tcgetwinsize(io::stdout()).ok().map(|size| size.ws_col).filter(|columns| *columns > 0)
}
