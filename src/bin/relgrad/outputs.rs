//! Where rows go, and what must hold of an output before any work is done.

use std::fs;
use std::path::Path;

use relgrad::Real;
use relgrad::hosted::{
    Destination, Kept, destination, shortest, split_address, write_npy, write_text,
};

use crate::failure::{Failure, keep_stdout_for_data};

/// How rows are written.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Npy,
    /// Text, with this between columns.
    Text(u8),
}

/// How rows are written to a file, by its name; standard output and devices get csv.
fn kind(path: &Path) -> Result<Kind, Failure> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    match extension.as_str() {
        "npy" => Ok(Kind::Npy),
        "csv" => Ok(Kind::Text(b',')),
        "tsv" | "txt" => Ok(Kind::Text(b'\t')),
        _ if is_stdout(path) => Ok(Kind::Text(b',')),
        "" if destination(path)? == Destination::Stream => Ok(Kind::Text(b',')),
        _ => {
            let path = path.display();
            Err(format!("{path}: must end with .npy or .csv, .tsv or .txt, or be -").into())
        }
    }
}

fn is_stdout(path: &Path) -> bool {
    ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"].iter().any(|p| path == Path::new(p))
}

/// Refuses a file for rows, given as `flag`, that cannot be written or is one of `inputs`.
pub fn check_rows(flag: &str, path: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    kind(path)?;
    if is_stdout(path) {
        keep_stdout_for_data();
        return Ok(());
    }
    check(flag, path, inputs)
}

/// Refuses an output, given as `flag`, that cannot be written or is one of `inputs`.
pub fn check(flag: &str, path: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    let shown = path.display();
    if path.is_dir() {
        return Err(format!("{shown}: is a folder; {flag} must be a file").into());
    }
    refuse_inputs(flag, path, inputs)?;
    let Destination::File(file) = destination(path)? else { return Ok(()) };
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(e) => Err(format!("{shown}: cannot be written: {}", e.kind()).into()),
    }
}

/// Refuses an output, given as `flag`, that is one of `inputs`, by whatever name.
pub fn refuse_inputs(flag: &str, path: &Path, inputs: &[&Path]) -> Result<(), Failure> {
    match inputs.iter().find(|input| is_same(split_address(input).0, path)) {
        None => Ok(()),
        Some(input) => {
            let (path, input) = (path.display(), input.display());
            Err(format!("{flag} {path}: is the same file as {input}; must be another one").into())
        }
    }
}

/// Whether two paths lead to one file.
fn is_same(a: &Path, b: &Path) -> bool {
    let (Ok(first), Ok(second)) = (fs::metadata(a), fs::metadata(b)) else { return a == b };
    if !first.is_file() || !second.is_file() {
        return false;
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        (first.dev(), first.ino()) == (second.dev(), second.ino())
    }
    #[cfg(not(unix))]
    {
        let whole = |path| fs::canonicalize(path).ok();
        whole(a).is_some() && whole(a) == whole(b)
    }
}

/// Refuses columns to keep where no text is written to keep them in.
pub fn check_kept(flag: &str, out: Option<&Path>) -> Result<(), Failure> {
    match out.map(kind).transpose()? {
        Some(Kind::Text(_)) => Ok(()),
        Some(Kind::Npy) => {
            Err(format!("--keep: {flag} must then end with .csv, .tsv or .txt").into())
        }
        None => Err(format!("--keep: no effect without {flag}").into()),
    }
}

/// Writes rows of `dim` values; text has the names of the columns above them, if there are any.
pub fn write<T: Real>(
    path: &Path,
    dim: usize,
    values: &[T],
    names: Option<&[String]>,
) -> Result<(), Failure> {
    match kind(path)? {
        Kind::Npy => write_npy(path, dim, values)?,
        Kind::Text(separator) => {
            let names = names.map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
            let rows = values.chunks_exact(dim).map(|row| row.iter().map(shortest).collect());
            write_text(path, separator, names.as_deref(), rows)?;
        }
    }
    Ok(())
}

/// Writes rows of numbers with these names; text has the columns that are kept beside them.
pub fn write_scores(
    path: &Path,
    names: &[&str],
    values: &[f64],
    kept: &[Kept],
) -> Result<(), Failure> {
    let dim = names.len();
    match kind(path)? {
        Kind::Npy => write_npy(path, dim, values)?,
        Kind::Text(separator) => {
            let header: Vec<&str> =
                names.iter().copied().chain(kept.iter().map(|k| k.name.as_str())).collect();
            let rows = values.chunks_exact(dim).enumerate().map(|(i, row)| {
                let kept = kept.iter().map(|k| k.cells[i].clone());
                row.iter().map(shortest).chain(kept).collect()
            });
            write_text(path, separator, Some(&header), rows)?;
        }
    }
    Ok(())
}
