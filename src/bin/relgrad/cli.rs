//! The command line.

use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::convert::{Convert, Sample, Toy};
use crate::eval::Eval;
use crate::export::Export;
use crate::failure::EXIT_CODES;
use crate::inspect::Inspect;
use crate::plot::args::Plot;
use crate::score::Score;
use crate::train::Train;

/// Invertible networks by exact maximum likelihood, trained with relative gradients.
#[derive(Parser)]
#[command(version, about, args_override_self = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Train a model on a data file.
    Train(Box<Train>),
    /// The log-likelihood of a data file under a model.
    Eval(Eval),
    /// Time training steps on random data, and what the machine could do.
    Bench(Bench),
    /// Data to latents.
    Encode(Convert),
    /// Latents to data.
    Decode(Convert),
    /// Draw samples.
    Sample(Sample),
    /// Mark anomalies: rows less likely than a threshold set by a rate of false alarms.
    Score(Score),
    /// What a model is and how well it is conditioned.
    Inspect(Inspect),
    /// A model with one layer more, of a density near the old one, to train on from.
    Deepen(crate::deepen::Deepen),
    /// Write a model as one C header that needs nothing else.
    Export(Export),
    /// Draw a run, a density, images or latents as PNG.
    #[command(subcommand)]
    Plot(Plot),
    /// Make a benchmark set of its public files.
    Prepare(crate::prepare::Prepare),
    /// Make a two-dimensional data set.
    Toy(Toy),
    /// Do the experiments of Gresele et al. 2020 again: numbers, pictures, and a line that compares.
    Reproduce(crate::reproduce::Reproduce),
    /// Print a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}
