//! The command line.

use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::convert::{Convert, Sample};
use crate::eval::Eval;
use crate::export::Export;
use crate::failure::EXIT_CODES;
use crate::inspect::Inspect;
use crate::plot::args::Plot;
use crate::score::Score;
use crate::toy::Toy;
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
    /// Compute the log-likelihood of a data file under a model.
    Eval(Eval),
    /// Time training steps on random data and compare with the machine's limits.
    Bench(Bench),
    /// Map data to latents.
    Encode(Convert),
    /// Map latents to data.
    Decode(Convert),
    /// Draw samples.
    Sample(Sample),
    /// Flag anomalies: rows below a threshold that keeps a given rate of false alarms.
    Score(Score),
    /// Find the independent components of a data file.
    Ica(Box<crate::ica::Analyse>),
    /// Find the components of a nonlinear mixture, told apart by segments of time or by labels.
    Nica(Box<crate::nica::Unmix>),
    /// Measure how near found components are to true ones.
    #[command(subcommand)]
    Metric(crate::metric::Metric),
    /// Show a model's architecture and how well it is conditioned.
    Inspect(Inspect),
    /// Add a layer to a model, with nearly the same density, to train further from.
    Deepen(crate::deepen::Deepen),
    /// Write a model as a self-contained C header.
    Export(Export),
    /// Plot a run, a density, images or latents as PNG.
    #[command(subcommand)]
    Plot(Plot),
    /// Build a benchmark data set from its public files.
    Prepare(crate::prepare::Prepare),
    /// Generate a data set of known difficulty.
    Toy(Toy),
    /// Check that this machine computes the same bits as all others.
    Verify(crate::verify::Verify),
    /// Reproduce the experiments of Gresele et al. (2020).
    Reproduce(crate::reproduce::Reproduce),
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}
