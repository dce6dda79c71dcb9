//! The workbench: trains and evaluates models from data files.

mod args;
mod eval;
mod train;

use clap::Parser;
use std::process::ExitCode;

/// Anything that ends a command.
type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let outcome = match args::Cli::parse().command {
        args::Command::Train(args) => train::run(&args),
        args::Command::Eval(args) => eval::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
