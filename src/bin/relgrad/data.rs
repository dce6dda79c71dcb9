//! Data files.

use std::path::Path;

use relgrad::Real;
use relgrad::hosted::{Data, FileError, Prepared, Preprocess, Rows, open};

use crate::failure::Failure;
use crate::flags::{Format, Names};

/// The rows of a file, as they are in it; what a person should know of it is said.
pub fn raw<T: Real + 'static>(path: &Path, format: &Format) -> Result<Box<dyn Rows<T>>, Failure> {
    let rows: Box<dyn Rows<T>> = open(path, &format.into())?;
    for note in rows.about().iter().flat_map(|about| &about.notes) {
        eprintln!("note: {}: {note}", path.display());
    }
    Ok(rows)
}

/// The rows of a file as a model sees them; it takes so many `features`, as something has them.
pub fn prepared<T: Real + 'static>(
    path: &Path,
    format: &Format,
    preprocess: Preprocess,
    seed: u64,
    features: (usize, &str),
) -> Result<Prepared<Box<dyn Rows<T>>>, Failure> {
    let rows = raw::<T>(path, format)?;
    check_dim(features.0, rows.dim(), path, features.1)?;
    Ok(Prepared::new(rows, preprocess, seed, false))
}

impl From<&Format> for relgrad::hosted::Format {
    fn from(format: &Format) -> Self {
        let names = |names: &Option<Names>| names.as_ref().map_or(Vec::new(), |n| n.0.clone());
        relgrad::hosted::Format {
            dim: format.dim,
            array: format.array.clone(),
            header: (format.header || format.no_header).then_some(format.header),
            lenient: format.lenient,
            stream: format.stream,
            columns: names(&format.columns),
            drop: names(&format.drop),
            keep: names(&format.keep),
            trained: format.trained.clone(),
        }
    }
}

/// Refuses data of another number of features than `whose`.
pub fn check_dim(dim: usize, found: usize, path: &Path, whose: &str) -> Result<(), Failure> {
    if found == dim {
        return Ok(());
    }
    Err(FileError::Field {
        path: path.into(),
        field: "features".into(),
        value: found.to_string(),
        allowed: format!("must be {dim}, as in {whose}"),
    }
    .into())
}

/// The mean and its standard error.
pub fn mean_and_error(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

/// All rows of `data`, prepared.
pub fn all<T: Real>(data: &dyn Rows<T>) -> Result<Data<T>, Failure> {
    Ok(relgrad::hosted::in_memory(data, data.rows())?)
}
