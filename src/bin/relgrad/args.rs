//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use relgrad::hosted::Preprocess;
use relgrad::{Activation, Base, Bias, Gradient, Level, Start};

use crate::export::Export;
use crate::plot::args::Plot;

/// What commands end with.
const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    failed; the reason stands on standard error
  2    the command line is wrong
  130  interrupted; `train` has saved its run and said how to go on";

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

#[derive(Args)]
#[command(args_override_self = true, after_help = EXIT_CODES)]
pub struct Train {
    /// Training data: .npy, .npz, .csv, .tsv, IDX (also .gz), raw numbers (.f32, .f64), or HDF5
    /// if built with it. FILE:ARRAY is an array of an .npz or HDF5 file.
    #[arg(long)]
    pub data: PathBuf,
    #[command(flatten)]
    pub format: Format,
    /// Validation data: a file, or a fraction of the training data (its last rows).
    #[arg(long)]
    pub val: Option<Validation>,
    /// Data to report on at the end; never trained on, never used to select.
    #[arg(long)]
    pub test: Option<PathBuf>,
    /// none, dequantize:LEVELS, logit:LAMBDA or logit:LAMBDA,LEVELS (MNIST: logit:1e-6,256);
    /// kept in the model's file and undone on samples.
    #[arg(long, default_value_t = Preprocess::None)]
    pub preprocess: Preprocess,
    /// Draw the noise of dequantisation anew in each epoch.
    #[arg(long)]
    pub redraw: bool,
    /// Layers of the network [default: 2, or those of the model that --init names].
    #[arg(long)]
    pub layers: Option<usize>,
    /// `smooth_leaky_relu[:A]`, `leaky_tanh[:A[,B]]` or `identity`; A is 0.3 or 1 and B 0.1 unless
    /// given [default: smooth_leaky_relu:0.3, or that of --init].
    #[arg(long, value_parser = activation)]
    pub activation: Option<Activation>,
    /// Give the last layer the activation too.
    #[arg(long)]
    pub final_activation: bool,
    /// Density of the latents: normal, sech or logistic [default: normal, or that of --init].
    #[arg(long)]
    pub base: Option<Base>,
    /// Bias rule: separate, affine, projected (the paper's) or none [default: separate, or that
    /// of --init].
    #[arg(long)]
    pub bias: Option<Bias>,
    /// Gradient to follow.
    #[arg(long, value_enum, default_value_t = GradientName::Relative)]
    pub gradient: GradientName,
    /// How to follow it.
    #[arg(long, value_enum, default_value_t = OptimizerName::Adam)]
    pub optimizer: OptimizerName,
    /// Learning rate [default: 0.003 for adam, 0.03 for natural, 0.01 for sgd].
    #[arg(long, allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// Steps of linear warm-up.
    #[arg(long, default_value_t = 100)]
    pub warmup: u64,
    /// What the rate does afterwards.
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    pub schedule: ScheduleName,
    /// Momentum of sgd and natural.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub momentum: f64,
    /// Damping of the natural optimizer.
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    pub damping: f64,
    /// Trust region of the natural optimizer: relative steps of at most CLIP * sqrt(D).
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub clip: f64,
    /// Rows of a step.
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Passes over the data.
    #[arg(long, default_value_t = 60)]
    pub epochs: u64,
    /// Stop after so many epochs without a better validation likelihood.
    #[arg(long)]
    pub patience: Option<u64>,
    /// Nats a feature that the likelihood may fall below its best before the run goes back an
    /// epoch and on at half the rate.
    #[arg(long, default_value_t = 0.25, allow_negative_numbers = true)]
    pub guard: f64,
    /// Seed of the start, of the order of rows and of dequantisation.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Take rows in the order of the file.
    #[arg(long)]
    pub no_shuffle: bool,
    /// Threads [default: all that the machine runs at once]; results do not depend on them.
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Precision.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
    /// whitened, standardized, aligned, orthogonal, or a model file to start from, whose
    /// architecture then holds; of what flags say of it, only the rule of biases may differ.
    #[arg(long, default_value = "whitened")]
    pub init: Init,
    /// Where the model goes: the best on validation, or the last without validation data.
    #[arg(long)]
    pub out: PathBuf,
    /// One JSON object a line: epochs, going back, the end.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Folder of the checkpoint [default: OUT.checkpoint, written when interrupted only].
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// Write the checkpoint after so many steps too, not only after epochs.
    #[arg(long)]
    pub checkpoint_steps: Option<u64>,
    /// Go on from the checkpoint; all other flags may then be left out but --checkpoint or
    /// --out.
    #[arg(long)]
    pub resume: bool,
    /// TOML file whose keys are these flags; flags on the command line win.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Print one JSON object at the end and nothing else.
    #[arg(long)]
    pub json: bool,
}

/// What a data file does not say itself.
#[derive(Args, Clone)]
pub struct Format {
    /// Features: needed for raw data files, checked for others.
    #[arg(long)]
    pub dim: Option<usize>,
    /// The array of an .npz or HDF5 file, if it holds several; FILE:ARRAY says the same.
    #[arg(long)]
    pub array: Option<String>,
    /// Read rows from the file as they are needed instead of holding them all; taken for
    /// granted above 4 GiB. Not for text and compressed files.
    #[arg(long)]
    pub stream: bool,
}

impl Format {
    /// Refuses what is said of a data file where there is none.
    pub fn refuse_any(&self) -> Result<(), crate::Failure> {
        let flags = [("dim", self.dim.is_some()), ("array", self.array.is_some())];
        match flags.into_iter().chain([("stream", self.stream)]).find(|f| f.1) {
            Some((flag, _)) => Err(format!("--{flag}: no effect without --data").into()),
            None => Ok(()),
        }
    }
}

/// A model and data for it.
#[derive(Args)]
pub struct Pair {
    /// The model's file.
    #[arg(long)]
    pub model: PathBuf,
    /// Data as for `train`; a model's preprocessing is applied.
    #[arg(long)]
    pub data: PathBuf,
    #[command(flatten)]
    pub format: Format,
}

/// What a command works on.
#[derive(Args)]
pub struct On {
    #[command(flatten)]
    pub pair: Pair,
    /// Seed of dequantisation, for models that have it.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Eval {
    #[command(flatten)]
    pub on: On,
    /// Write each row's log-likelihood: .npy or .csv.
    #[arg(long)]
    pub scores: Option<PathBuf>,
}

#[derive(Args)]
pub struct Convert {
    #[command(flatten)]
    pub on: On,
    /// Where rows go: .npy or .csv.
    #[arg(long)]
    pub out: PathBuf,
    /// Leave (or expect) data as the network sees them, preprocessed.
    #[arg(long)]
    pub prepared: bool,
}

#[derive(Args)]
pub struct Sample {
    /// The model's file.
    #[arg(long)]
    pub model: PathBuf,
    /// How many samples.
    #[arg(long, default_value_t = 100)]
    pub rows: usize,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where they go: .npy or .csv.
    #[arg(long)]
    pub out: PathBuf,
    /// Leave samples as the network sees data, preprocessed.
    #[arg(long)]
    pub prepared: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Every list stands for all its values; what is timed is their product.
#[derive(Args)]
pub struct Bench {
    /// Features, a comma list.
    #[arg(long, value_delimiter = ',', required_unless_present = "roofline")]
    pub dim: Vec<usize>,
    /// Layers, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "2", requires = "dim")]
    pub layers: Vec<usize>,
    /// Rows of a step, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "10", requires = "dim")]
    pub batch: Vec<usize>,
    /// Optimizers, a comma list; none times the gradient alone.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "adam", requires = "dim")]
    pub optimizer: Vec<TimedOptimizer>,
    /// Gradients, a comma list.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "relative", requires = "dim")]
    pub gradient: Vec<GradientName>,
    /// Precisions, a comma list.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32", requires = "dim")]
    pub dtype: Vec<Dtype>,
    /// Threads, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub threads: Vec<usize>,
    /// Instruction sets, a comma list: auto, or those of this processor.
    #[arg(long, value_delimiter = ',', value_parser = level, default_value = "auto", requires = "dim")]
    pub level: Vec<Level>,
    /// Seconds to spend on a case, and at least five steps.
    #[arg(long, default_value_t = 0.8)]
    pub budget: f64,
    /// Measure the peak of multiply-adds and the bandwidth of each cache level first, by which
    /// cases are then judged; all there is to do without --dim.
    #[arg(long)]
    pub roofline: bool,
    /// Judge cases by what an earlier --roofline --json printed into this file.
    #[arg(long, conflicts_with = "roofline", requires = "dim")]
    pub limits: Option<PathBuf>,
    /// Print one JSON object a line instead of tables.
    #[arg(long)]
    pub json: bool,
}

#[derive(Args)]
pub struct Score {
    #[command(flatten)]
    pub on: On,
    /// Ordinary data that training has not seen, which set the threshold.
    #[arg(long)]
    pub calibrate: PathBuf,
    /// Share of ordinary rows that may be taken for anomalies.
    #[arg(long, default_value_t = 0.01, allow_negative_numbers = true)]
    pub false_alarm: f64,
    /// Write row, log-likelihood, p-value and 0 or 1 for each row: .csv or .npy.
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Args)]
pub struct Inspect {
    /// The model's file.
    #[arg(long)]
    pub model: PathBuf,
    /// Data to judge optimality and the share of straddling units on.
    #[arg(long)]
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub format: Format,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A value as it is named on the command line.
pub fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned())
}

const ACTIVATION: Activation = Activation::SmoothLeakyRelu { a: 0.3 };

/// An activation whose parameters may be left out: those of GFJSH20 then.
fn activation(text: &str) -> relgrad::Result<Activation> {
    match text {
        "smooth_leaky_relu" => Ok(ACTIVATION),
        "leaky_tanh" => "leaky_tanh:1,0.1".parse(),
        _ if text.starts_with("leaky_tanh:") && !text.contains(',') => {
            format!("{text},0.1").parse()
        }
        _ => text.parse(),
    }
}

fn level(name: &str) -> Result<Level, String> {
    let mut known = std::iter::once(Level::Auto).chain(Level::available());
    known.find(|l| l.name() == name).ok_or_else(|| {
        let have: Vec<_> = Level::available().map(Level::name).collect();
        format!("must be auto or one that this processor has: {}", have.join(", "))
    })
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum TimedOptimizer {
    Sgd,
    Adam,
    Natural,
    None,
}

#[derive(Args)]
pub struct Toy {
    /// Which set.
    #[arg(value_enum)]
    pub name: relgrad::hosted::Toy,
    /// Samples.
    #[arg(long, default_value_t = 10000)]
    pub rows: usize,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where they go: .npy or .csv.
    #[arg(long)]
    pub out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum OptimizerName {
    Sgd,
    Adam,
    Natural,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum GradientName {
    Relative,
    Transposed,
    Ordinary,
}

impl From<GradientName> for Gradient {
    fn from(name: GradientName) -> Self {
        match name {
            GradientName::Relative => Gradient::Relative,
            GradientName::Transposed => Gradient::Transposed,
            GradientName::Ordinary => Gradient::Ordinary,
        }
    }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum ScheduleName {
    Constant,
    Cosine,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Dtype {
    F32,
    F64,
}

/// A share of the training data, or a file.
#[derive(Clone)]
pub enum Validation {
    Fraction(f64),
    File(PathBuf),
}

impl FromStr for Validation {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Validation::File(text.into()), Validation::Fraction))
    }
}

#[derive(Clone)]
pub enum Init {
    Data(Start),
    Orthogonal,
    File(PathBuf),
}

impl FromStr for Init {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "whitened" => Init::Data(Start::Whitened),
            "standardized" => Init::Data(Start::Standardized),
            "aligned" => Init::Data(Start::Aligned),
            "orthogonal" => Init::Orthogonal,
            path => Init::File(path.into()),
        })
    }
}
