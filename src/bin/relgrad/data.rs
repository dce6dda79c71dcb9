//! Data files.

use std::path::Path;

use relgrad::Real;
use relgrad::hosted::{
    Centring, Columns, Data, FileError, Origin, Prepared, Preprocess, Rows, Unscored, open_centred,
};

use crate::failure::Failure;
use crate::flags::{Format, Given, Names};

/// The rows of a file, as they are in it; what a person should know of it is said.
pub fn raw<T: Real + 'static>(path: &Path, format: &Format) -> Result<Box<dyn Rows<T>>, Failure> {
    Ok(centred(path, format, Centring::At(None))?.0)
}

/// All numbers of a file about which no flag says anything.
pub fn plain(path: &Path) -> Result<Data<f64>, Failure> {
    all(&*relgrad::hosted::open::<f64>(path, &Default::default())?)
}

/// Rows less an origin, and the origin.
pub type Centred<T> = (Box<dyn Rows<T>>, Option<Origin>);

/// The rows of a file, less an origin.
pub fn centred<T: Real + 'static>(
    path: &Path,
    format: &Format,
    centring: Centring,
) -> Result<Centred<T>, Failure> {
    let (rows, origin) = open_centred(path, &format.into(), centring)?;
    for note in rows.about().iter().flat_map(|about| &about.notes) {
        eprintln!("note: {}: {note}", path.display());
    }
    Ok((rows, origin))
}

/// The rows of a file as a model sees them; it takes so many `features`, as something has them.
pub fn prepared<T: Real + 'static>(
    path: &Path,
    format: &Format,
    (origin, preprocess): (Option<&Origin>, Preprocess),
    seed: u64,
    features: (usize, &str),
) -> Result<Prepared<Box<dyn Rows<T>>>, Failure> {
    let (rows, _) = centred::<T>(path, format, Centring::At(origin))?;
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
            condition: match &format.condition {
                Some(Given::Columns(names)) => names.0.clone(),
                _ => Vec::new(),
            },
            condition_file: match &format.condition {
                Some(Given::File(path)) => path.to_str().map(str::to_owned),
                _ => None,
            },
            observed: format.observed.clone(),
            trained: format.trained.clone(),
            ..Default::default()
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

/// The mean and its standard error.
pub fn mean_and_error(x: &[f64]) -> (f64, f64) {
    mean_and_error_of(x.iter().copied())
}

pub fn mean_and_error_of(x: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = x.clone().count() as f64;
    let mean = x.clone().sum::<f64>() / n;
    let variance = x.map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}

/// Rows that are named; of more there is a count.
pub const NAMED: usize = 5;

/// A value of some rows in the data's own place.
pub fn own_value(origin: Option<&Origin>, column: usize, value: f64) -> f64 {
    value + origin.map_or(0.0, |o| o.offsets()[column])
}

/// A number in as few digits as tell it from others, of its own precision.
pub fn shown(value: f64) -> String {
    let single = value as f32;
    let is_far = value != 0.0 && !(1e-4..1e7).contains(&value.abs());
    match (f64::from(single) == value, is_far) {
        (true, true) => format!("{single:e}"),
        (true, false) => format!("{single}"),
        (false, true) => format!("{value:e}"),
        (false, false) => format!("{value}"),
    }
}

/// A feature as its file has it: the column's number, and its name if it has one.
pub fn column_of(columns: Option<&Columns>, feature: usize) -> String {
    let number = columns.map_or(feature + 1, |c| c.numbers[feature]);
    match columns.and_then(|c| c.names.as_ref()) {
        Some(names) => format!("column {number}, {:?}", names[feature]),
        None => format!("column {number}"),
    }
}

/// Names the rows of a file that cannot be scored, if there are any.
pub fn warn_of_unscored(
    path: &Path,
    origin: Option<&Origin>,
    columns: Option<&Columns>,
    unscored: &[Unscored],
) {
    if unscored.is_empty() {
        return;
    }
    let name = |u: &Unscored| {
        let value = shown(own_value(origin, u.column, u.value));
        format!("row {} ({}: {value})", u.row + 1, column_of(columns, u.column))
    };
    let mut named: Vec<String> = unscored.iter().take(NAMED).map(name).collect();
    if unscored.len() > NAMED {
        named.push(format!("{} more", unscored.len() - NAMED));
    }
    eprintln!(
        "warning: {}: {} too far from all that the model knows to be computed with; log p is -inf \
         there and left out of means: {}",
        path.display(),
        if unscored.len() == 1 {
            "1 row is".into()
        } else {
            format!("{} rows are", unscored.len())
        },
        named.join(", ")
    );
}

/// [`warn_of_unscored`] for programs: the first of them.
pub fn unscored_json(origin: Option<&Origin>, unscored: &[Unscored]) -> serde_json::Value {
    let one = |u: &Unscored| {
        let value = own_value(origin, u.column, u.value);
        serde_json::json!({"row": u.row + 1, "column": u.column + 1, "value": value})
    };
    unscored.iter().take(100).map(one).collect()
}

/// All rows of `data`, prepared.
pub fn all<T: Real>(data: &dyn Rows<T>) -> Result<Data<T>, Failure> {
    Ok(relgrad::hosted::in_memory(data, data.rows())?)
}
