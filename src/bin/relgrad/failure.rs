//! How commands end.

use std::fmt::Arguments;
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

/// Whether something could not be written to standard output.
static LOST: AtomicBool = AtomicBool::new(false);

/// Whether the command has failed in that what it had to say is not all there.
pub fn output_is_lost() -> bool {
    LOST.load(Ordering::Relaxed)
}

pub fn print_line(line: Arguments) {
    print(format_args!("{line}\n"));
}

/// Writes to where lines go. What cannot be written does not end the command, which may have hours
/// of work to do; it fails when that is done.
pub fn print(text: Arguments) {
    if HOLDS_DATA.load(Ordering::Relaxed) {
        let _ = write!(std::io::stderr(), "{text}");
        return;
    }
    if let Err(error) = write!(std::io::stdout(), "{text}")
        && error.kind() != ErrorKind::BrokenPipe
        && !LOST.swap(true, Ordering::Relaxed)
    {
        eprintln!("error: standard output: {error}");
    }
}

/// A line on standard error, which may be gone.
pub fn tell(line: Arguments) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
