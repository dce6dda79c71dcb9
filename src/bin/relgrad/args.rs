//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};
use relgrad::{Activation, Base, Bias, Gradient, Start};

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
