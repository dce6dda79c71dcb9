//! What a person sees of a run, and the log that programs read.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
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
        let open = |path: &Path| open_log(path).map_err(|e| format!("{}: {e}", path.display()));
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
        // In one piece: a kill leaves a whole line or none.
        if let Some(file) = &mut self.log
            && let Err(error) = file.write_all(format!("{line}\n").as_bytes())
        {
            self.log = None;
            self.warn(&format!("the log ends here: {error}"));
        }
    }

    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Opens a log to be gone on with. What a kill or a full disk left of a last line goes; another
/// text's last line is ended.
fn open_log(path: &Path) -> io::Result<File> {
    let mut file = File::options().append(true).create(true).open(path)?;
    let about = file.metadata()?;
    // Pipes and devices have no past, nor has what may not be read.
    let Some(mut past) = File::open(path).ok().filter(|_| about.is_file()) else {
        return Ok(file);
    };
    // No line of a log is as long.
    let from = about.len().saturating_sub(1 << 20);
    let mut tail = Vec::new();
    past.seek(SeekFrom::Start(from))?;
    past.read_to_end(&mut tail)?;
    let start = tail.iter().rposition(|b| *b == b'\n').map_or(0, |end| end + 1);
    let last = &tail[start..];
    if last.starts_with(b"{") && serde_json::from_slice::<serde_json::Value>(last).is_err() {
        file.set_len(from + start as u64)?;
    } else if !last.is_empty() {
        file.write_all(b"\n")?;
    }
    Ok(file)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_is_mended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let whole = "{\"event\":\"epoch\",\"epoch\":1}\n";
        let next = "{\"event\":\"end\"}\n";
        for (before, after) in [
            (String::new(), String::new()),
            (whole.into(), whole.into()),
            (format!("{whole}{{\"event\":\"ep"), whole.into()),
            ("{".into(), String::new()),
            // Whole but for its end, and a text that is no log.
            (whole.trim_end().into(), whole.into()),
            ("notes".into(), "notes\n".into()),
        ] {
            std::fs::write(&path, before).unwrap();
            let mut progress = Progress::new(1, 1, Some(&path), true).unwrap();
            progress.log(&json!({"event": "end"}));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), after + next);
        }
    }
}
