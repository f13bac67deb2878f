//! A line on stderr about work that lasts longer than half a second, for somebody who watches.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Io;

/// What is quicker needs no line.
const PATIENCE: Duration = Duration::from_millis(500);

/// How far the work is; gone from the screen when it is dropped.
pub struct Progress {
    /// `None`: nobody watches.
    bar: Option<ProgressBar>,
    began: Instant,
    is_shown: bool,
}

impl Progress {
    /// Of `total` bytes, or of records whose number nobody knows. `is_wanted`: the work is not itself on the screen.
    pub fn new(io: &Io, total_bytes: Option<u64>, is_wanted: bool) -> Progress {
        let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        let bar = (is_wanted && io.gives_hints() && !is_dumb).then(|| {
            let bar = ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::hidden());
            let template = match total_bytes {
                Some(_) => "{bytes} of {total_bytes} [{wide_bar}] {bytes_per_sec}, {eta} left",
                None => "{human_pos} records, {per_sec}",
            };
            match ProgressStyle::with_template(template) {
                Ok(style) => bar.with_style(style.progress_chars("=> ")),
                Err(_) => bar,
            }
        });
        Progress { bar, began: Instant::now(), is_shown: false }
    }

    /// So much has been done.
    pub fn set(&mut self, position: u64) {
        let Some(bar) = &self.bar else { return };
        if !self.is_shown && self.began.elapsed() > PATIENCE {
            self.is_shown = true;
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        }
        bar.set_position(position);
    }

    /// Takes the line off the screen; it comes back when the next half second of work is over.
    pub fn pause(&mut self) {
        if let Some(bar) = &self.bar
            && self.is_shown
        {
            bar.finish_and_clear();
            bar.set_draw_target(ProgressDrawTarget::hidden());
            bar.reset();
        }
        self.is_shown = false;
        self.began = Instant::now();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.pause();
    }
}
