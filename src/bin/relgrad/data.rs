//! Data files and where rows go.

use std::path::Path;

use relgrad::Real;
use relgrad::hosted::{Data, FileError, Prepared, Preprocess, Rows, open, write_csv, write_npy};

use crate::failure::Failure;
use crate::flags::Format;

/// The rows of a file, as they are in it.
pub fn raw<T: Real + 'static>(path: &Path, format: &Format) -> Result<Box<dyn Rows<T>>, Failure> {
    Ok(open(path, &format.into())?)
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
        relgrad::hosted::Format {
            dim: format.dim,
            array: format.array.clone(),
            stream: format.stream,
        }
    }
}

/// Whether the rows of such a file can stay in it: not those of text and compressed files.
pub fn can_stream(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    !["csv", "tsv", "txt", "gz"].contains(&extension.to_ascii_lowercase().as_str())
}

/// Errors if `--stream` is given for a file that cannot be streamed.
pub fn check_stream(path: &Path, format: &Format) -> Result<(), Failure> {
    if format.stream && !can_stream(path) {
        let path = path.display();
        return Err(format!("--stream: no effect on {path}: text or compressed").into());
    }
    Ok(())
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

/// Writes rows as .csv if the name ends so, else as .npy.
pub fn write<T: Real>(path: &Path, dim: usize, values: &[T]) -> Result<(), Failure> {
    let is = |e: &str| path.extension().is_some_and(|x| x.eq_ignore_ascii_case(e));
    if is("csv") {
        return Ok(write_csv(path, dim, values, None)?);
    }
    if !is("npy") {
        return Err(format!("{}: must end with .npy or .csv", path.display()).into());
    }
    Ok(write_npy(path, dim, values)?)
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
