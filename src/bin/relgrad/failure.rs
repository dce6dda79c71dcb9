//! How commands end.

use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// What commands end with.
pub const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed; the reason is printed to standard error
  2    the command line is wrong
  130  interrupted by Ctrl-C; `train` has saved its run and said how to go on
  143  the same, by SIGTERM
  129  the same, by SIGHUP (a closed terminal)";

/// Anything that ends a command.
pub type Failure = Box<dyn std::error::Error>;

/// How a command ends that does not fail.
pub enum Outcome {
    Done,
    /// Interrupted by this signal, everything saved.
    Interrupted(i32),
}

/// The exit code of a program ended by a signal, as shells have it.
pub fn exit_code(signal: i32) -> u8 {
    (128 + signal) as u8
}

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
