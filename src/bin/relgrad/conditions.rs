//! What is observed with the rows of data files.

use std::path::{Path, PathBuf};

use relgrad::hosted::{Columns, Joint, Kept, Observed, Reading, Rows, cells};
use relgrad::{Real, Scalar};

use crate::failure::Failure;
use crate::flags::Given;
use crate::model::Opened;

/// What is observed with `rows` of `path`, and the file that it is in; no columns if it is not there.
pub fn given_cells<T: Real>(
    rows: &dyn Rows<T>,
    path: &Path,
    given: Option<&Given>,
    columns: Option<&Columns>,
) -> Result<(PathBuf, Vec<Kept>), Failure> {
    if let Some(file) = given.and_then(Given::file) {
        return Ok((file.into(), cells(file, columns, Some(rows.rows()))?));
    }
    let cells = rows.about().map_or(Vec::new(), |about| about.condition.clone());
    Ok((path.into(), cells))
}

/// The conditions of `rows` of `path` for a model that takes what was `observed`.
pub fn conditions<T: Real>(
    rows: &dyn Rows<T>,
    observed: &Observed,
    path: &Path,
    given: Option<&Given>,
) -> Result<Vec<T>, Failure> {
    let (file, cells) = given_cells(rows, path, given, observed.columns.as_ref())?;
    if !cells.is_empty() {
        return Ok(observed.reading.conditions(&file, &cells)?);
    }
    let what = observed.reading.describe();
    if let Some(segments) = observed.reading.of_order(rows.rows()) {
        return Ok(segments);
    }
    let (path, names) = (path.display(), observed.names());
    let trained = if names.is_empty() { names } else { format!(", {names} in training") };
    Err(format!(
        "{path}: condition: missing; the model takes {what}{trained}: --condition says in which \
         columns, or in which file with as many rows"
    )
    .into())
}

/// Rows as a model takes them that was trained with what was `observed`, if anything.
pub fn joint<T: Real + 'static>(
    rows: impl Rows<T> + 'static,
    observed: Option<&Observed>,
    path: &Path,
    given: Option<&Given>,
) -> Result<Box<dyn Rows<T>>, Failure> {
    let Some(observed) = observed else {
        return match given {
            None => Ok(Box::new(rows)),
            Some(_) => Err("--condition: no effect: the model has no condition".into()),
        };
    };
    let conditions = conditions(&rows, observed, path, given)?;
    if matches!(observed.reading, Reading::Segments(_)) && given.is_none() {
        let (path, what) = (path.display(), observed.reading.describe());
        eprintln!("note: {path}: taken as {what}; --condition says which each row is in");
    }
    Ok(Box::new(Joint::new(rows, conditions, observed.reading.width())))
}

/// The condition that samples are given on the command line; `None` for models without any.
pub fn one_given<T: Real>(
    observed: Option<&Observed>,
    given: Option<&str>,
) -> Result<Option<Vec<T>>, Failure> {
    match (observed, given) {
        (None, None) => Ok(None),
        (None, Some(given)) => {
            Err(format!("--given {given}: no effect: the model has no condition").into())
        }
        (Some(observed), None) => Err(format!(
            "--given: missing; what is drawn depends on {}",
            observed.reading.describe()
        )
        .into()),
        (Some(observed), Some(given)) => {
            Ok(Some(observed.of_text(given).map_err(|e| format!("--given {e}"))?))
        }
    }
}

/// Refuses a model with a condition where `what` is not done for one.
pub fn refuse<T: Scalar>(opened: &Opened<T>, what: &str) -> Result<(), Failure> {
    match &opened.observed {
        None => Ok(()),
        Some(observed) => Err(format!(
            "{what}: the model has a condition ({}), which cannot be given here",
            observed.reading.describe()
        )
        .into()),
    }
}
