//! The flags of `relgrad train`.

use std::ffi::OsString;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, FromArgMatches, ValueEnum};
use relgrad::hosted::Preprocess;
use relgrad::{Activation, Base, Bias, Conditioned, Config, Entries, Start};

use crate::failure::EXIT_CODES;
use crate::flags::{Dtype, Format, GradientName};

/// The command line of `relgrad train`, by itself.
pub fn command() -> clap::Command {
    clap::Command::new("relgrad").subcommand(Train::augment_args(clap::Command::new("train")))
}

#[derive(Args)]
#[command(args_override_self = true, after_help = EXIT_CODES)]
pub struct Train {
    /// Training data: npy, npz, IDX, text (commas, tabs, semicolons or blanks), any of them packed
    /// with gzip, raw numbers (.f32, .f64), or HDF5 if built with it; - is standard input.
    /// FILE:ARRAY is an array of an npz or HDF5 file.
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
    /// What is observed with the rows of --val FILE, if it is in no columns of that file.
    #[arg(long, value_name = "FILE")]
    pub val_condition: Option<PathBuf>,
    /// The same for --test.
    #[arg(long, value_name = "FILE")]
    pub test_condition: Option<PathBuf>,
    /// The condition is one column of whole numbers or words: classes. Labels are kept in the
    /// model's file.
    #[arg(long)]
    pub classes: bool,
    /// Cut the rows, which are in the order of time, into N equal parts: the part is the class of a
    /// row. A fraction for validation is then the last part of each.
    #[arg(long, value_name = "N", conflicts_with = "condition")]
    pub segments: Option<u32>,
    /// What depends on the condition: latents (location and scale of each: identifies components),
    /// layers (their biases: densities given a condition) or both [default: both; latents for
    /// --segments; that of --init].
    #[arg(long)]
    pub conditioned: Option<Conditioned>,
    /// How fast that moves: by Adam, at the learning rate times this.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub condition_rate: f64,
    /// none, dequantize:LEVELS, logit:LAMBDA or logit:LAMBDA,LEVELS (MNIST: logit:1e-6,256);
    /// kept in the model's file and undone on samples.
    #[arg(long, default_value_t = Preprocess::None)]
    pub preprocess: Preprocess,
    /// Draw the noise of dequantisation anew in every epoch.
    #[arg(long)]
    pub redraw: bool,
    /// Choose depth, steps of the curves, epochs and rate first, each by what rows held out say of it:
    /// some ten trainings on at most 20,000 rows. Flags that are given stay.
    #[arg(long, conflicts_with_all = ["resume", "init"])]
    pub thorough: bool,
    /// Layers of the network [default: 2, or those of the model that --init names].
    #[arg(long)]
    pub layers: Option<usize>,
    /// `tanh_mixture[:K]` (each unit learns a curve of K steps, 4 unless given),
    /// `smooth_leaky_relu[:A]`, `leaky_tanh[:A[,B]]` or `identity`; A is 0.3 or 1 and B 0.1 unless
    /// given [default: tanh_mixture:4, or that of --init].
    #[arg(long, value_parser = activation)]
    pub activation: Option<Activation>,
    /// Whether the last layer has the activation too: a learned one then is the latents' marginal
    /// density [default: true for tanh_mixture, otherwise false; or that of --init].
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub final_activation: Option<bool>,
    /// Density of the latents: normal, sech or logistic [default: normal, or that of --init].
    #[arg(long)]
    pub base: Option<Base>,
    /// Bias rule: separate, affine, projected (the paper's) or none [default: separate, or that
    /// of --init].
    #[arg(long)]
    pub bias: Option<Bias>,
    /// Which gradient to use.
    #[arg(long, value_enum, default_value_t = GradientName::Relative)]
    pub gradient: GradientName,
    /// Optimizer [default: natural, which follows relative gradients only; adam for the others].
    #[arg(long, value_enum)]
    pub optimizer: Option<OptimizerName>,
    /// Learning rate [default: 0.003 for adam, 0.03 for natural, 0.01 for sgd].
    #[arg(long, allow_negative_numbers = true)]
    pub lr: Option<f64>,
    /// How fast learned curves move: by Adam, at the learning rate times this.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub curve_rate: f64,
    /// Steps of linear warm-up [default: those of one epoch, at most 100].
    #[arg(long)]
    pub warmup: Option<u64>,
    /// What the learning rate does after the warm-up.
    #[arg(long, value_enum, default_value_t = ScheduleName::Cosine)]
    pub schedule: ScheduleName,
    /// Momentum of sgd and natural.
    #[arg(long, default_value_t = 0.0, allow_negative_numbers = true)]
    pub momentum: f64,
    /// Damping of the natural optimizer.
    #[arg(long, default_value_t = 0.1, allow_negative_numbers = true)]
    pub damping: f64,
    /// Trust region of the natural optimizer: relative steps are at most CLIP * sqrt(D) long.
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    pub clip: f64,
    /// Rows per step [default: a thirtieth of the training data, between 10 and 100].
    #[arg(long)]
    pub batch: Option<usize>,
    /// Passes over the data.
    #[arg(long, default_value_t = 60)]
    pub epochs: u64,
    /// Stop after this many epochs without a better validation likelihood.
    #[arg(long)]
    pub patience: Option<u64>,
    /// Validate after every so many epochs, and after the last.
    #[arg(long, default_value_t = NonZeroU64::MIN)]
    pub val_every: NonZeroU64,
    /// Roll back one epoch and halve the learning rate if the log-likelihood of training data drops
    /// by more than this many nats per feature below its best.
    #[arg(long, default_value_t = 0.25, allow_negative_numbers = true)]
    pub guard: f64,
    /// Average the parameters over about this share of the steps so far, and validate and save the
    /// average; 0 for no average [default: 0.1 for up to a million parameters, whose copy is small,
    /// otherwise 0].
    #[arg(long, allow_negative_numbers = true, value_parser = share)]
    pub average: Option<f64>,
    /// Seed for the start, the order of rows and dequantisation.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Take rows in the order of the file.
    #[arg(long)]
    pub no_shuffle: bool,
    /// Threads [default: as many as the machine runs at once]; results do not depend on them.
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Precision.
    #[arg(long, value_enum, default_value_t = Dtype::F32)]
    pub dtype: Dtype,
    /// whitened, standardized, aligned, orthogonal, uniform, normal, or a model file to start from,
    /// whose architecture is used: only --bias may differ [default: aligned for tanh_mixture,
    /// otherwise whitened].
    #[arg(long)]
    pub init: Option<Init>,
    /// Model file to write: the best model on validation data, or the last without any.
    #[arg(long)]
    pub out: PathBuf,
    /// JSON Lines log to append to: epochs, roll-backs, final result.
    #[arg(long)]
    pub log: Option<PathBuf>,
    /// Save the complete state of the run in this folder after every epoch, and when it is
    /// interrupted (Ctrl-C, SIGTERM, SIGHUP). The same command again goes on from there
    /// [default: OUT.checkpoint, only when interrupted].
    #[arg(long)]
    pub checkpoint: Option<PathBuf>,
    /// Save it every so many steps as well.
    #[arg(long)]
    pub checkpoint_steps: Option<u64>,
    /// Go on from the checkpoint. Needs --out and, unless it is OUT.checkpoint, --checkpoint; all
    /// other flags are those of the run. Data that have moved: --data NEWPATH.
    #[arg(long)]
    pub resume: bool,
    /// Begin anew although there is a checkpoint, and replace it.
    #[arg(long, conflicts_with = "resume")]
    pub restart: bool,
    /// TOML file whose keys are these flags; flags on the command line win.
    #[arg(long)]
    pub config: Option<PathBuf>,
    /// Print one JSON object at the end and nothing else.
    #[arg(long)]
    pub json: bool,
}

impl Train {
    /// The flags of a command line.
    pub fn of(words: &[OsString]) -> Result<Train, clap::Error> {
        let matches = command().try_get_matches_from(words)?;
        let train = matches.subcommand_matches("train");
        train.map_or_else(|| Train::from_arg_matches(&matches), Train::from_arg_matches)
    }

    /// The activation that is asked for, or the default.
    pub fn activation(&self) -> Activation {
        self.activation.unwrap_or(Config::new(1, 1).activation)
    }

    /// Whether the last layer is to have it too.
    pub fn final_activation(&self) -> bool {
        self.final_activation.unwrap_or(learns(self.activation()))
    }

    /// What is to depend on a condition.
    pub fn conditioned(&self) -> Conditioned {
        let usual = if self.segments.is_some() { Conditioned::Latents } else { Conditioned::Both };
        self.conditioned.unwrap_or(usual)
    }

    /// The optimizer that is asked for, or the default.
    pub fn optimizer(&self) -> OptimizerName {
        let relative = self.gradient == GradientName::Relative;
        let usual = if relative { OptimizerName::Natural } else { OptimizerName::Adam };
        self.optimizer.unwrap_or(usual)
    }

    /// Rows per step: a table of some hundred rows needs small batches to be trained at all.
    pub fn batch(&self, rows: usize) -> usize {
        self.batch.unwrap_or((rows / 30).clamp(10, 100))
    }

    /// Steps of warm-up where an epoch has so many.
    pub fn warmup(&self, epoch: u64) -> u64 {
        self.warmup.unwrap_or(epoch.min(100))
    }

    /// The share of the steps that are averaged, if any are.
    pub fn average(&self, parameters: usize) -> Option<f64> {
        let usual = if parameters <= 1_000_000 { 0.1 } else { 0.0 };
        Some(self.average.unwrap_or(usual)).filter(|share| *share != 0.0)
    }

    /// Where to start from: tanh steps have something to learn where units are single features; bends, as
    /// fixed curves, unmix them.
    pub fn init(&self) -> Init {
        let usual = match self.activation() {
            Activation::TanhMixture { .. } => Start::Aligned,
            _ => Start::Whitened,
        };
        self.init.clone().unwrap_or(Init::Data(usual))
    }
}

/// Whether units have curves of their own.
pub fn learns(activation: Activation) -> bool {
    matches!(activation, Activation::TanhMixture { .. } | Activation::Bend)
}

/// An activation whose parameters may be left out: of fixed ones those of GFJSH20 then.
fn activation(text: &str) -> relgrad::Result<Activation> {
    match text {
        "smooth_leaky_relu" => "smooth_leaky_relu:0.3".parse(),
        "leaky_tanh" => "leaky_tanh:1,0.1".parse(),
        "tanh_mixture" => Ok(Activation::TanhMixture { steps: 4 }),
        _ if text.starts_with("leaky_tanh:") && !text.contains(',') => {
            format!("{text},0.1").parse()
        }
        _ => text.parse(),
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().map_err(|_| "must be a number")?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("must be from 0 to 1".into()) }
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum OptimizerName {
    Sgd,
    Adam,
    Natural,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum ScheduleName {
    Constant,
    /// Down to 0 at the end.
    Cosine,
    /// Divided by 1 + the epochs so far.
    Inverse,
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
    Entries(Entries),
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
            "uniform" => Init::Entries(Entries::Uniform),
            "normal" => Init::Entries(Entries::Normal),
            path => Init::File(path.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(flags: &[&str]) -> Result<Train, clap::Error> {
        let all = ["relgrad", "train", "--data", "x", "--out", "y"];
        Train::of(&all.iter().chain(flags).map(Into::into).collect::<Vec<_>>())
    }

    #[test]
    fn defaults_follow_the_data() {
        let usual = train(&[]).unwrap();
        let batches = [(5, 10), (299, 10), (330, 11), (2999, 99), (3000, 100), (1_000_000, 100)];
        for (rows, batch) in batches {
            assert_eq!(usual.batch(rows), batch, "{rows} rows");
        }
        assert_eq!([usual.warmup(12), usual.warmup(100), usual.warmup(5000)], [12, 100, 100]);
        assert_eq!(usual.average(1_000_000), Some(0.1));
        assert_eq!(usual.average(1_000_001), None);
        let flags = ["--batch", "7", "--warmup", "300", "--average", "0"];
        let said = train(&flags).unwrap();
        assert_eq!((said.batch(5000), said.warmup(12), said.average(10)), (7, 300, None));
        assert_eq!(train(&["--average", "1"]).unwrap().average(1 << 30), Some(1.0));
        for wrong in ["2", "-0.1", "nan", "some"] {
            let message = train(&["--average", wrong]).err().unwrap().to_string();
            assert!(message.contains("--average") && message.contains(wrong), "{message}");
        }
    }
}
