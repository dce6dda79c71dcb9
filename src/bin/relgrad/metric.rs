//! `relgrad metric`: how near found components are to true ones.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use relgrad::hosted::{Data, Rows};
use relgrad::metrics;
use serde_json::json;

use crate::data;
use crate::failure::Failure;

#[derive(Subcommand)]
pub enum Metric {
    /// The Amari distance of an unmixing matrix and a mixing matrix: 0 if they undo each other, up to
    /// order, signs and scales.
    Amari(Two),
    /// The mean absolute correlation of found sources with true ones, each with its own partner.
    Mcc(Two),
}

#[derive(Args)]
pub struct Two {
    /// The unmixing matrix, a row for each component; or the sources found, a row for each sample.
    pub found: PathBuf,
    /// The true mixing matrix, a row for each feature; or the true sources.
    pub truth: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

pub fn run(metric: &Metric) -> Result<(), Failure> {
    match metric {
        Metric::Amari(two) => amari(two),
        Metric::Mcc(two) => mcc(two),
    }
}

fn shape(data: &Data<f64>) -> String {
    format!("{} rows of {}", Data::rows(data), Rows::dim(data))
}

fn amari(two: &Two) -> Result<(), Failure> {
    let (w, a) = (data::plain(&two.found)?, data::plain(&two.truth)?);
    let n = Data::rows(&w);
    if (Data::rows(&a), Rows::dim(&a)) != (Rows::dim(&w), n) {
        let (w, a) = (shape(&w), shape(&a));
        let (found, truth) = (two.found.display(), two.truth.display());
        return Err(format!(
            "{truth}: {a}; must be as many rows as {found} has columns, and as many columns as it \
             has rows ({w})"
        )
        .into());
    }
    let found = metrics::amari(w.values(), a.values(), n)?;
    if two.json {
        println!("{}", json!({"squared": found.squared, "plain": found.plain, "components": n}));
    } else {
        println!("Amari distance of squares     {:.6e}", found.squared);
        println!("Amari distance of magnitudes  {:.6e}", found.plain);
    }
    Ok(())
}

fn mcc(two: &Two) -> Result<(), Failure> {
    let (z, s) = (data::plain(&two.found)?, data::plain(&two.truth)?);
    if Data::rows(&z) != Data::rows(&s) || Rows::dim(&s) > Rows::dim(&z) {
        let (found, truth) = (two.found.display(), two.truth.display());
        return Err(format!(
            "{truth}: {}; must be as many rows as in {found}, and at most as many columns ({})",
            shape(&s),
            shape(&z)
        )
        .into());
    }
    let found = metrics::mcc(z.values(), Rows::dim(&z), s.values(), Rows::dim(&s))?;
    if two.json {
        let pairs: Vec<_> = found
            .pairs
            .iter()
            .enumerate()
            .map(|(i, (j, c))| json!({"truth": i + 1, "found": j + 1, "correlation": c}))
            .collect();
        println!("{}", json!({"mcc": found.mean, "pairs": pairs}));
    } else {
        println!("truth  found  correlation");
        for (i, (j, c)) in found.pairs.iter().enumerate() {
            println!("{:>5}  {:>5}  {c:>11.6}", i + 1, j + 1);
        }
        println!("mean absolute correlation  {:.6}", found.mean);
    }
    Ok(())
}
