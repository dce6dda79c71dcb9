//! The workbench: trains models from data files, uses them, and times steps.

/// Prints a line, in place of the standard library's, which panics when whoever reads the lines
/// has had enough of them (`head`): a run goes on then.
macro_rules! println {
    () => { println!("") };
    ($($words:tt)*) => { $crate::print_line(format_args!($($words)*)) };
}

mod args;
mod bench;
mod convert;
mod data;
mod deepen;
mod effect;
mod eval;
mod export;
mod inspect;
mod model;
mod plot;
mod prepare;
mod process;
mod progress;
mod reproduce;
mod roofline;
mod score;
mod settings;
mod train;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

/// Anything that ends a command.
type Failure = Box<dyn std::error::Error>;

/// How a command ends that does not fail.
pub enum Outcome {
    Done,
    /// Interrupted, everything saved.
    Interrupted,
}

/// The exit code of a program ended by SIGINT.
const INTERRUPTED: u8 = 130;

fn print_line(line: std::fmt::Arguments) {
    if let Err(error) = writeln!(std::io::stdout(), "{line}")
        && error.kind() != ErrorKind::BrokenPipe
    {
        eprintln!("error: standard output: {error}");
        std::process::exit(1);
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted) => ExitCode::from(INTERRUPTED),
        Err(error) => match error.downcast::<clap::Error>() {
            Ok(error) => error.exit(),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
    }
}

fn run() -> Result<Outcome, Failure> {
    let words = settings::expand(std::env::args_os().collect())?;
    match args::Cli::parse_from(&words).command {
        args::Command::Train(args) => return train::run(&args, &words),
        args::Command::Eval(args) => eval::run(&args)?,
        args::Command::Bench(args) => bench::run(&args)?,
        args::Command::Encode(args) => convert::encode(&args)?,
        args::Command::Decode(args) => convert::decode(&args)?,
        args::Command::Sample(args) => convert::sample(&args)?,
        args::Command::Score(args) => score::run(&args)?,
        args::Command::Inspect(args) => inspect::run(&args)?,
        args::Command::Deepen(args) => deepen::run(&args)?,
        args::Command::Export(args) => export::run(&args)?,
        args::Command::Plot(args) => plot::run(&args)?,
        args::Command::Prepare(args) => prepare::run(&args)?,
        args::Command::Toy(args) => convert::toy(&args)?,
        args::Command::Reproduce(args) => reproduce::run(&args)?,
        args::Command::Completions { shell } => {
            let mut command = args::Cli::command();
            clap_complete::generate(shell, &mut command, "relgrad", &mut std::io::stdout());
        }
    }
    Ok(Outcome::Done)
}
