//! Flags that several commands share.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use relgrad::Gradient;
use relgrad::hosted::{About, Columns, Observed, parse_names, split_address};

/// What a data file does not say itself.
#[derive(Args, Clone)]
pub struct Format {
    /// Features: needed for raw data files, checked for others.
    #[arg(long)]
    pub dim: Option<usize>,
    /// The array of an .npz or HDF5 file, if it holds several; FILE:ARRAY says the same. Other
    /// files of the command need not have it.
    #[arg(long)]
    pub array: Option<String>,
    /// Read rows from the file as they are needed instead of holding them all; implied above
    /// 4 GiB. Not for text and compressed files.
    #[arg(long)]
    pub stream: bool,
    /// The first row of a text file names its columns; without this flag and the next one, its
    /// content decides.
    #[arg(long, conflicts_with = "no_header")]
    pub header: bool,
    /// The first row of a text file is data.
    #[arg(long)]
    pub no_header: bool,
    /// The columns to take, in this order: names, or numbers from 1, as in a,b,7. A model keeps
    /// them, and takes them of other files too.
    #[arg(long, value_name = "NAMES")]
    pub columns: Option<Names>,
    /// The columns to leave out: names, or numbers from 1.
    #[arg(long, value_name = "NAMES")]
    pub drop: Option<Names>,
    /// What is observed with each row: columns of the data (names, or numbers from 1), which are no
    /// features then, or a file with as many rows. A model finds the columns that it was trained
    /// with.
    #[arg(long, value_name = "COLUMNS|FILE")]
    pub condition: Option<Given>,
    /// The columns of the condition of the model that the data are for.
    #[arg(skip)]
    pub observed: Option<Columns>,
    /// The columns to keep beside the features.
    #[arg(skip)]
    pub keep: Option<Names>,
    /// The columns of the model that the data are for.
    #[arg(skip)]
    pub trained: Option<Columns>,
    /// The file is not the one that the flags are about.
    #[arg(skip)]
    pub lenient: bool,
}

/// Names of columns, with commas between.
#[derive(Clone)]
pub struct Names(pub Vec<String>);

impl FromStr for Names {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_names(text).map(Names)
    }
}

/// Where conditions are given: a path that leads to a file is one.
#[derive(Clone)]
pub enum Given {
    Columns(Names),
    File(PathBuf),
}

impl FromStr for Given {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match split_address(Path::new(text)).0.is_file() {
            true => Ok(Given::File(text.into())),
            false => text.parse().map(Given::Columns),
        }
    }
}

impl Given {
    /// The file that conditions are in.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Given::File(path) => Some(path),
            Given::Columns(_) => None,
        }
    }
}

impl Format {
    /// For another file of the same columns: flags that are about one file count where they can.
    pub fn of_another(&self) -> Self {
        let condition = self.condition.clone().filter(|given| given.file().is_none());
        Format { lenient: true, keep: None, condition, ..self.clone() }
    }

    /// For data of a model that takes these columns, and conditions from those.
    pub fn of_model(&self, columns: &Columns, observed: Option<&Observed>) -> Self {
        let observed = observed.and_then(|o| o.columns.clone());
        Format { trained: Some(columns.clone()), observed, ..self.clone() }
    }

    /// For data to hold against those that `about` is of, whose conditions come from `observed`.
    pub fn held_out(&self, about: Option<&About>, observed: Option<&Observed>) -> Self {
        let trained = about.map(|about| about.columns.clone());
        let observed = observed.and_then(|o| o.columns.clone());
        Format { columns: None, condition: None, trained, observed, ..self.of_another() }
    }

    /// With conditions in a file of their own, if it is there.
    pub fn given_in(&self, file: Option<&Path>) -> Self {
        let condition = file.map(|path| Given::File(path.into())).or(self.condition.clone());
        Format { condition, ..self.clone() }
    }

    /// With columns to keep, for a command that writes them to `out`.
    pub fn keeping(&self, keep: Option<&Names>) -> Self {
        Format { keep: keep.cloned(), ..self.clone() }
    }

    /// Refuses what is said of a data file where there is none.
    pub fn refuse_any(&self) -> Result<(), crate::failure::Failure> {
        let flags = [
            ("dim", self.dim.is_some()),
            ("array", self.array.is_some()),
            ("stream", self.stream),
            ("header", self.header),
            ("no-header", self.no_header),
            ("columns", self.columns.is_some()),
            ("drop", self.drop.is_some()),
            ("condition", self.condition.is_some()),
        ];
        match flags.into_iter().find(|f| f.1) {
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
