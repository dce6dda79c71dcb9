//! What a person sees of a run, and the log that programs read.

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use relgrad::hosted::{Epoch, Event};
use serde_json::json;

use crate::failure::Failure;

/// A bar on a terminal, lines elsewhere; a log if there is a file for it.
pub struct Progress {
    bar: ProgressBar,
    quiet: bool,
    epochs: u64,
    rate: f64,
    log: Option<File>,
}

impl Progress {
    pub fn new(total: u64, epochs: u64, log: Option<&Path>, quiet: bool) -> Result<Self, Failure> {
        let open = |path: &Path| {
            let file = File::options().append(true).create(true).open(path);
            file.map_err(|e| format!("{}: {e}", path.display()))
        };
        let log = log.map(open).transpose()?;
        let shown = !quiet && std::io::stderr().is_terminal();
        let bar = if shown { bar(total) } else { ProgressBar::hidden() };
        Ok(Progress { bar, quiet, epochs, rate: 0.0, log })
    }

    /// Shows an event. A log that cannot be written ends nothing.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Step { step, rate, report } => {
                self.rate = *rate;
                self.bar.set_position(*step);
                let mean = report.mean_log_likelihood;
                self.bar.set_message(format!("log-likelihood {mean:.3}  rate {rate:.2e}"));
            }
            Event::Epoch(epoch) => self.epoch(epoch),
            Event::RolledBack { reason, epoch, rate_factor } => {
                self.warn(&format!(
                    "{reason}: rolled back to the end of epoch {epoch}; learning rate halved, now \
                     {rate_factor} times the schedule's"
                ));
                self.log(&json!({"event": "rolled_back", "reason": reason, "epoch": epoch,
                    "rate_factor": rate_factor}));
            }
            Event::Saved(_) => {}
            Event::NotSaved(error) => {
                self.warn(&format!("no checkpoint written: {error}; the last one is kept"));
                self.log(&json!({"event": "not_saved", "reason": error.to_string()}));
            }
        }
    }

    fn epoch(&mut self, e: &Epoch) {
        let validation = e.validation.map_or(String::new(), |v| {
            format!("  validation {v:.4}{}", if e.is_best { " *" } else { "" })
        });
        let width = self.epochs.to_string().len();
        let line = format!(
            "epoch {:>width$} of {}  log-likelihood {:.4}{validation}",
            e.epoch, self.epochs, e.train
        );
        match (self.quiet, self.bar.is_hidden()) {
            (true, _) => {}
            // A run goes on when its terminal is gone, too.
            (false, true) => _ = writeln!(std::io::stdout(), "{line}"),
            (false, false) => self.bar.println(line),
        }
        self.log(&json!({"event": "epoch", "epoch": e.epoch, "step": e.steps, "train": e.train,
            "validation": e.validation, "best": e.is_best, "rate": self.rate}));
    }

    fn warn(&self, text: &str) {
        self.say(&format!("warning: {text}"));
    }

    /// Something to know, unless only JSON is to be printed.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.say(&format!("note: {text}"));
        }
    }

    /// A line on standard error, which may be gone.
    pub fn say(&self, text: &str) {
        self.bar.suspend(|| _ = writeln!(std::io::stderr(), "{text}"));
    }

    pub fn log(&mut self, line: &serde_json::Value) {
        if let Some(file) = &mut self.log
            && let Err(error) = writeln!(file, "{line}")
        {
            self.log = None;
            self.warn(&format!("the log ends here: {error}"));
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn bar(total: u64) -> ProgressBar {
    let template = "{bar:32} {percent:>3}%  {msg}  {steps} steps/s  {eta} left";
    let style = ProgressStyle::with_template(template).unwrap_or(ProgressStyle::default_bar());
    let bar = ProgressBar::new(total);
    bar.set_style(style.with_key(
        "steps",
        |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            // A bar without its rate is still a bar.
            let _ = write!(out, "{:.0}", state.per_sec());
        },
    ));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
