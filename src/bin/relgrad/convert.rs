//! `relgrad encode`, `decode` and `sample`: rows in, rows out.

use std::path::Path;

use relgrad::hosted::{Columns, ModelFile, Preprocess, cells, split_address};
use relgrad::{Conditioned, Data, Scalar};

use crate::conditions::{conditions, one_given};
use crate::data::all;
use crate::failure::Failure;
use crate::flags::On;
use crate::model::{self, Opened, Restored};
use crate::outputs;
use clap::Args;
use std::path::PathBuf;

#[derive(Args)]
pub struct Convert {
    #[command(flatten)]
    pub on: On,
    /// Where rows go: .npy, .csv, .tsv or .txt, or - for standard output.
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
    /// How many samples [default: 100, or one for each row of a file that is --given].
    #[arg(long)]
    pub rows: Option<usize>,
    /// What the samples are given, for a model with a condition: numbers as in 0.5,1.2, or a label;
    /// or a file, for a sample for each of its rows.
    #[arg(long, value_name = "VALUES|FILE", allow_hyphen_values = true)]
    pub given: Option<String>,
    /// Seed.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where they go: .npy, .csv, .tsv or .txt, or - for standard output.
    #[arg(long)]
    pub out: PathBuf,
    /// Leave samples as the network sees data, preprocessed.
    #[arg(long)]
    pub prepared: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

pub fn encode(args: &Convert) -> Result<(), Failure> {
    check_output(args)?;
    model::open(&args.on.pair.model, Conversion { args, decode: false })
}

pub fn decode(args: &Convert) -> Result<(), Failure> {
    check_output(args)?;
    model::open(&args.on.pair.model, Conversion { args, decode: true })
}

fn check_output(args: &Convert) -> Result<(), Failure> {
    let pair = &args.on.pair;
    outputs::check_rows("--out", &args.out, &[&pair.model, &pair.data])
}

pub fn sample(args: &Sample) -> Result<(), Failure> {
    outputs::check_rows("--out", &args.out, &[&args.model])?;
    model::open(&args.model, args)
}

pub fn done(json: bool, rows: usize, dim: usize, out: &Path) {
    if json {
        println!("{}", serde_json::json!({"rows": rows, "dim": dim, "out": out}));
    } else {
        println!("{rows} rows of {dim} in {}", out.display());
    }
}

fn check_prepared<T>(prepared: bool, opened: &Opened<T>) -> Result<(), Failure> {
    let nothing = opened.preprocess == Preprocess::None && opened.origin.is_none();
    match prepared && nothing {
        true => Err("--prepared: no effect: the model has no preprocessing and no origin".into()),
        false => Ok(()),
    }
}

/// Encodes rows, or decodes them.
struct Conversion<'a> {
    args: &'a Convert,
    decode: bool,
}

impl model::Use for Conversion<'_> {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        let (args, on) = (self.args, &self.args.on);
        check_prepared(args.prepared, &opened)?;
        if let Some(seed) = on.seed.filter(|_| self.decode || args.prepared) {
            return Err(format!("--seed {seed}: no effect: no data are dequantised here").into());
        }
        let (path, format) = (&on.pair.data, &on.pair.format);
        // Latents are taken as they are.
        let names = opened.names().map(<[String]>::to_vec);
        let latents = names.as_ref().map(|_| (1..=file.dim).map(|i| format!("z{i}")).collect());
        let rows = if self.decode {
            // Columns of latents are not those of data.
            let columns = Columns { names: latents.clone(), ..Columns::all(file.dim) };
            opened.plain_features(path, format, &columns)?
        } else if args.prepared {
            opened.plain_features(path, format, &opened.columns)?
        } else {
            opened.features(path, format, on.seed)?
        };
        // The latents' own density has no part in this.
        let with_condition = file.conditioned != Conditioned::Latents;
        let condition = match &opened.observed {
            Some(observed) if with_condition => {
                conditions(&rows, observed, path, format.condition.as_ref())?
            }
            _ if format.condition.is_some() => {
                return Err("--condition: no effect: the network does not depend on one".into());
            }
            _ => Vec::new(),
        };
        let rows = all(&rows)?;
        let data = match condition.is_empty() {
            true => Data::from(rows.values()),
            false => Data::from((rows.values(), &condition)),
        };
        let converted = match self.decode {
            false => Restored::Own(opened.model.forward(data)?),
            true => {
                let (x, _) = opened.model.inverse(data)?;
                if args.prepared { Restored::Own(x) } else { opened.restore(x) }
            }
        };
        let names = if self.decode { names } else { latents };
        converted.write(&args.out, file.dim, names.as_deref())?;
        done(on.json, rows.rows(), file.dim, &args.out);
        Ok(())
    }
}

impl model::Use for &Sample {
    fn with<T: Scalar + 'static>(
        self,
        file: ModelFile,
        mut opened: Opened<T>,
    ) -> Result<(), Failure> {
        if self.rows == Some(0) {
            return Err("--rows 0: must be at least 1".into());
        }
        check_prepared(self.prepared, &opened)?;
        let x = match (&self.given, &opened.observed) {
            (Some(file), Some(observed)) if split_address(Path::new(file)).0.is_file() => {
                if let Some(rows) = self.rows {
                    let text = format!(
                        "--rows {rows}: no effect: there is a sample for each row of {file}"
                    );
                    return Err(text.into());
                }
                let path = Path::new(file);
                let cells = cells(path, observed.columns.as_ref(), None)?;
                let given = observed.reading.conditions(path, &cells)?;
                opened.model.sample_given(&given, self.seed)?
            }
            (given, observed) => {
                let given = one_given(observed.as_ref(), given.as_deref())?;
                opened.draw(self.rows.unwrap_or(ROWS), given.as_deref(), self.seed)?
            }
        };
        let rows = x.len() / file.dim;
        let x = if self.prepared { Restored::Own(x) } else { opened.restore(x) };
        x.write(&self.out, file.dim, opened.names())?;
        done(self.json, rows, file.dim, &self.out);
        Ok(())
    }
}

/// Samples, unless something else says how many.
const ROWS: usize = 100;
