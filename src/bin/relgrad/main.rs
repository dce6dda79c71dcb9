//! The workbench: trains models from data files, uses them, and times steps.

// In place of the standard library's, which panic when whoever reads the lines has had enough of
// them (`head`), or the disk they go to is full: a run goes on then.

/// Prints a line.
macro_rules! println {
    () => { println!("") };
    ($($words:tt)*) => { $crate::failure::print_line(format_args!($($words)*)) };
}

/// Prints a part of a line.
macro_rules! print {
    ($($words:tt)*) => { $crate::failure::print(format_args!($($words)*)) };
}

/// Prints a line to standard error.
macro_rules! eprintln {
    ($($words:tt)*) => { $crate::failure::tell(format_args!($($words)*)) };
}

mod bench;
mod cli;
mod conditions;
mod convert;
mod data;
mod deepen;
mod eval;
mod export;
mod failure;
mod flags;
mod ica;
mod inspect;
mod metric;
mod model;
mod nica;
mod outputs;
mod plot;
mod prepare;
mod process;
mod reproduce;
mod roofline;
mod score;
mod toy;
mod train;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use failure::{Failure, Outcome, exit_code};
use train::settings;

fn main() -> ExitCode {
    match run() {
        Ok(Outcome::Done) if failure::output_is_lost() => ExitCode::FAILURE,
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Interrupted(signal)) => ExitCode::from(exit_code(signal)),
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
    match Cli::parse_from(&words).command {
        Command::Train(args) => return train::run(&args, &words),
        Command::Eval(args) => eval::run(&args)?,
        Command::Bench(args) => bench::run(&args)?,
        Command::Encode(args) => convert::encode(&args)?,
        Command::Decode(args) => convert::decode(&args)?,
        Command::Sample(args) => convert::sample(&args)?,
        Command::Score(args) => score::run(&args)?,
        Command::Ica(args) => ica::run(&args)?,
        Command::Nica(args) => nica::run(&args)?,
        Command::Metric(metric) => metric::run(&metric)?,
        Command::Inspect(args) => inspect::run(&args)?,
        Command::Deepen(args) => deepen::run(&args)?,
        Command::Export(args) => export::run(&args)?,
        Command::Plot(args) => plot::run(&args)?,
        Command::Prepare(args) => prepare::run(&args)?,
        Command::Toy(args) => toy::run(&args)?,
        Command::Reproduce(args) => reproduce::run(&args)?,
        Command::Verify(args) => verify::run(&args)?,
        Command::Completions { shell } => {
            let mut command = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "relgrad", &mut script);
            print!("{}", String::from_utf8_lossy(&script));
        }
    }
    Ok(Outcome::Done)
}
