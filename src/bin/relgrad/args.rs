//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use relgrad::{Activation, Base, Bias, Gradient, Level, Start};

/// Invertible networks by exact maximum likelihood, trained with relative gradients.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    /// Train a model on a data file.
    Train(Train),
    /// The log-likelihood of a data file under a model.
    Eval(Eval),
    /// Time training steps on random data, and what the machine could do.
    Bench(Bench),
}

#[derive(Args)]
pub struct Train {
    /// Training data: .npy (rows, features), .csv, .tsv or IDX.
    #[arg(long)]
    pub data: PathBuf,
    /// Data to report on at the end; never trained on.
    #[arg(long)]
    pub test: Option<PathBuf>,
    /// Layers of the network.
    #[arg(long, default_value_t = 2)]
    pub layers: usize,
    /// smooth_leaky_relu:A, leaky_tanh:A,B or identity.
    #[arg(long, default_value_t = Activation::SmoothLeakyRelu { a: 0.3 })]
    pub activation: Activation,
    /// Give the last layer the activation too.
    #[arg(long)]
    pub final_activation: bool,
    /// Density of the latents: normal, sech or logistic.
    #[arg(long, default_value_t = Base::Normal)]
    pub base: Base,
    /// Bias rule: separate, affine, projected (the paper's) or none.
    #[arg(long, default_value_t = Bias::Separate)]
    pub bias: Bias,
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
    /// Damping of the natural optimizer.
    #[arg(long, default_value_t = 0.1)]
    pub damping: f64,
    /// Rows of a step.
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Passes over the data.
    #[arg(long, default_value_t = 60)]
    pub epochs: u64,
    /// Seed of the start and of the order of rows.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Precision.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
    /// whitened, standardized, orthogonal, or a model file to start from (whose architecture
    /// then holds).
    #[arg(long, default_value = "whitened")]
    pub init: Init,
    /// Where the model goes.
    #[arg(long)]
    pub out: PathBuf,
}

#[derive(Args)]
pub struct Eval {
    /// The model's file.
    #[arg(long)]
    pub model: PathBuf,
    /// Data: .npy (rows, features), .csv, .tsv or IDX.
    #[arg(long)]
    pub data: PathBuf,
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
    #[arg(long, value_delimiter = ',', default_value = "2")]
    pub layers: Vec<usize>,
    /// Rows of a step, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "10")]
    pub batch: Vec<usize>,
    /// Optimizers, a comma list; none times the gradient alone.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "adam")]
    pub optimizer: Vec<TimedOptimizer>,
    /// Gradients, a comma list.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "relative")]
    pub gradient: Vec<GradientName>,
    /// Precisions, a comma list.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "f32")]
    pub dtype: Vec<Dtype>,
    /// Threads, a comma list.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub threads: Vec<usize>,
    /// Instruction sets, a comma list: auto, or those of this processor.
    #[arg(long, value_delimiter = ',', value_parser = level, default_value = "auto")]
    pub level: Vec<Level>,
    /// Seconds to spend on a case, and at least five steps.
    #[arg(long, default_value_t = 0.8)]
    pub budget: f64,
    /// Measure the peak of multiply-adds and the bandwidth of each cache level first, by which
    /// cases are then judged; all there is to do without --dim.
    #[arg(long)]
    pub roofline: bool,
    /// Judge cases by what an earlier --roofline --json printed into this file.
    #[arg(long, conflicts_with = "roofline")]
    pub limits: Option<PathBuf>,
    /// Print one JSON object a line instead of tables.
    #[arg(long)]
    pub json: bool,
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
            "orthogonal" => Init::Orthogonal,
            path => Init::File(path.into()),
        })
    }
}
