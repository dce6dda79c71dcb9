//! How commands end.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// What commands end with.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed; the reason stands on standard error
  2    the command line is wrong
  130  interrupted; `train` has saved its run and said how to go on";

/// Anything that ends a command.
pub type Failure = Box<dyn std::error::Error>;

/// How a command ends that does not fail.
pub enum Outcome {
    Done,
    /// Interrupted, everything saved.
    Interrupted,
}

/// The exit code of a program ended by SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Whether standard output is where rows go.
static HOLDS_DATA: AtomicBool = AtomicBool::new(false);

/// From here on, lines go to standard error.
pub fn keep_stdout_for_data() {
    HOLDS_DATA.store(true, Ordering::Relaxed);
}

pub fn print_line(line: std::fmt::Arguments) {
    if HOLDS_DATA.load(Ordering::Relaxed) {
        eprintln!("{line}");
        return;
    }
    if let Err(error) = writeln!(std::io::stdout(), "{line}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output: {error}");
        std::process::exit(1);
    }
}
