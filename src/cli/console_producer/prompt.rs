//! Lines typed at a terminal: edited, remembered, and pasted text taken line by line.
//!
//! The history is one file for all topics, readable by its owner only, in the state directory. Where a line cannot be
//! edited (`TERM=dumb`) or must not be (`KAFKA_STRICT_COMPAT=1`), Apache's bare prompt remains.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use rustyline::error::ReadlineError;
use rustyline::{Config, DefaultEditor};

use crate::cli::Io;

/// Lines that are remembered.
const HISTORY: usize = 1000;

/// Apache's, so that a person finds what the documentation shows.
const PROMPT: &str = ">";

pub struct Prompt {
    editor: DefaultEditor,
    history: Option<PathBuf>,
    /// The rest of what was pasted.
    pasted: VecDeque<String>,
}

/// What came of waiting for a line.
pub enum Typed {
    Line(String),
    /// Ctrl-D.
    End,
    /// Ctrl-C.
    Interrupt,
}

impl Prompt {
    /// `None`: the bare prompt is the thing here, or none at all.
    pub fn open(io: &Io) -> Option<Prompt> {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        if !io.terminal.stdin || !io.terminal.stdout || io.strict_compat || is_dumb {
            return None;
        }
        let config = Config::builder().max_history_size(HISTORY).and_then(|config| config.history_ignore_dups(true));
        let mut editor = DefaultEditor::with_config(config.ok()?.bracketed_paste(true).build()).ok()?;
        let history = history_file();
        if let Some(file) = &history {
            // There is none at first.
            let _ = editor.load_history(file);
        }
        Some(Prompt { editor, history, pasted: VecDeque::new() })
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// Those of the terminal.
    pub fn read(&mut self) -> io::Result<Typed> {
        if let Some(line) = self.pasted.pop_front() {
            return Ok(Typed::Line(line));
        }
        match self.editor.readline(PROMPT) {
            Ok(text) => {
                self.pasted = text.split('\n').map(str::to_owned).collect();
                for line in self.pasted.iter().filter(|line| !line.is_empty()) {
                    // A history that cannot be kept is none.
                    let _ = self.editor.add_history_entry(line.as_str());
                }
                Ok(Typed::Line(self.pasted.pop_front().unwrap_or_default()))
            }
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupt),
            Err(ReadlineError::Io(error)) => Err(error),
            Err(other) => Err(io::Error::other(other.to_string())),
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if let Some(file) = &self.history {
            let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
            let _ = made.map(|()| self.editor.append_history(file));
        }
    }
}

fn history_file() -> Option<PathBuf> {
    let state = match std::env::var_os("XDG_STATE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(&std::env::var_os("HOME")?).join(".local/state"),
    };
    Some(state.join("ottla").join("producer-history"))
}
