//! `relgrad encode`, `decode`, `sample` and `toy`: rows in, rows out.

use std::path::Path;

use relgrad::Scalar;
use relgrad::hosted::{ModelFile, Preprocess};

use crate::data::{all, write};
use crate::failure::Failure;
use crate::flags::On;
use crate::model::{self, Opened};
use clap::Args;
use std::path::PathBuf;

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

pub fn encode(args: &Convert) -> Result<(), Failure> {
    model::open(&args.on.pair.model, Conversion { args, decode: false })
}

pub fn decode(args: &Convert) -> Result<(), Failure> {
    model::open(&args.on.pair.model, Conversion { args, decode: true })
}

pub fn sample(args: &Sample) -> Result<(), Failure> {
    model::open(&args.model, args)
}

pub fn toy(args: &Toy) -> Result<(), Failure> {
    let data = args.name.sample::<f32>(args.rows, args.seed)?;
    write(&args.out, data.dim(), data.values())?;
    done(args.json, args.rows, data.dim(), &args.out);
    Ok(())
}

fn done(json: bool, rows: usize, dim: usize, out: &Path) {
    if json {
        println!("{}", serde_json::json!({"rows": rows, "dim": dim, "out": out}));
    } else {
        println!("{rows} rows of {dim} in {}", out.display());
    }
}

fn check_prepared<T>(prepared: bool, opened: &Opened<T>) -> Result<(), Failure> {
    match prepared && opened.preprocess == Preprocess::None {
        true => Err("--prepared: no effect: the model has no preprocessing".into()),
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
        let preprocess = if args.prepared { Preprocess::None } else { opened.preprocess };
        // Latents are taken as they are.
        opened.preprocess = if self.decode { Preprocess::None } else { preprocess };
        let rows = all(&opened.rows(&on.pair.data, &on.pair.format, on.seed)?)?;
        let converted = if self.decode {
            let (mut x, _) = opened.model.inverse(rows.values())?;
            preprocess.undo(&mut x);
            x
        } else {
            opened.model.forward(rows.values())?
        };
        write(&args.out, file.dim, &converted)?;
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
        if self.rows == 0 {
            return Err("--rows 0: must be at least 1".into());
        }
        check_prepared(self.prepared, &opened)?;
        let mut x = opened.model.sample(self.rows, self.seed)?;
        if !self.prepared {
            opened.preprocess.undo(&mut x);
        }
        write(&self.out, file.dim, &x)?;
        done(self.json, self.rows, file.dim, &self.out);
        Ok(())
    }
}
