//! Flags that several commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use relgrad::Gradient;

/// What a data file does not say itself.
#[derive(Args, Clone)]
pub struct Format {
    /// Features: needed for raw data files, checked for others.
    #[arg(long)]
    pub dim: Option<usize>,
    /// The array of an .npz or HDF5 file, if it holds several; FILE:ARRAY says the same.
    #[arg(long)]
    pub array: Option<String>,
    /// Read rows from the file as they are needed instead of holding them all; implied above
    /// 4 GiB. Not for text and compressed files.
    #[arg(long)]
    pub stream: bool,
}

impl Format {
    /// Refuses what is said of a data file where there is none.
    pub fn refuse_any(&self) -> Result<(), crate::failure::Failure> {
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
    /// Seed of dequantisation, for models that have it [default: 1].
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A value as it is named on the command line.
pub fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |v| v.get_name().to_owned())
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
pub enum Dtype {
    F32,
    F64,
}
