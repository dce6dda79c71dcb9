//! The workbench: trains and evaluates models from data files, times training steps.

mod args;
mod bench;
mod eval;
mod process;
mod roofline;
mod train;

use clap::Parser;
use std::process::ExitCode;

/// Anything that ends a command.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let outcome = match args::Cli::parse().command {
        args::Command::Train(args) => train::run(&args),
        args::Command::Eval(args) => eval::run(&args),
        args::Command::Bench(args) => bench::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
