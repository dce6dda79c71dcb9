//! Tables in HDF5 files.

use std::format;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use hdf5_pure::{Dataset, File, Group};

use super::arrays::choose;
use super::binary_files::number;
use super::columns::Format;
use super::error::{FileError, FileResult};
use super::packed;
use super::rows::Rows;
use crate::Real;

/// A dataset that stays in its file; rows are read as they are asked for.
#[derive(Clone)]
pub(super) struct HdfRows {
    /// The file, and the dataset in it.
    path: PathBuf,
    dataset: Arc<Dataset>,
    rows: usize,
    /// Columns in the file.
    width: usize,
    /// The columns that are read, from 0, in this order.
    chosen: Vec<usize>,
}

/// Numbers of rows that are read at once.
const AT_ONCE: usize = 1 << 18;
/// Groups that are searched.
const MOST_GROUPS: usize = 1000;

impl HdfRows {
    /// The dataset that `format` names, or the only one, of the file at `path` or of its `bytes`.
    pub fn open(path: &Path, bytes: Option<Vec<u8>>, format: &Format) -> FileResult<Self> {
        let fault = |e: hdf5_pure::Error| FileError::format(path, "HDF5", e);
        let (file, length) = match bytes {
            Some(bytes) => {
                let length = bytes.len() as u64;
                (File::from_bytes(bytes).map_err(fault)?, length)
            }
            None => {
                let about = std::fs::metadata(path).map_err(|e| FileError::io(path, e))?;
                (File::open_streaming(path).map_err(fault)?, about.len())
            }
        };
        let names = list(file.root()).map_err(fault)?;
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let name = choose(path, format, &all)?;
        let dataset = file.dataset(name).map_err(fault)?;
        let place = path.join(name);
        let fault = |e: hdf5_pure::Error| FileError::format(&place, "HDF5", e);
        let shape = dataset.shape().map_err(fault)?;
        let element = dataset.element_size().map_err(fault)?;
        let held = if dataset.filters().is_empty() { length } else { packed::most(length) };
        let product = |axes: &[u64]| axes.iter().try_fold(1u64, |n, axis| n.checked_mul(*axis));
        let bytes = |axes: &[u64]| product(axes).and_then(|n| n.checked_mul(element));
        let fits = |axes: &[u64]| bytes(axes).is_some_and(|n| (1..=held).contains(&n));
        // A chunk is unpacked whole, however few of its numbers the table has.
        let chunk = dataset.chunk_shape().map_err(fault)?;
        let is_held = fits(&shape) && chunk.as_deref().is_none_or(fits);
        // What a chunk is said to take in the file is read before anything is made of it.
        let chunks = dataset.chunks().unwrap_or_default();
        let inside = |at: u64, size: u64| at.checked_add(size).is_some_and(|end| end <= length);
        if let Some(chunk) = chunks.iter().find(|c| !inside(c.address, c.storage_size)) {
            let found = format!("{} bytes at {}", chunk.storage_size, chunk.address);
            let allowed = format!("must lie in the file, which has {length}");
            return Err(FileError::field(&place, "chunk", found, allowed));
        }
        match (&shape[..], product(shape.get(1..).unwrap_or_default())) {
            (&[rows, ..], Some(width)) if is_held => {
                let (rows, width, dataset) = (rows as usize, width as usize, Arc::new(dataset));
                Ok(HdfRows { path: place, dataset, rows, width, chosen: (0..width).collect() })
            }
            _ => {
                let allowed = "must be (rows, dim), every axis at least 1, and no more than the \
                               file can hold: of packed numbers 100 times its length, or 256 MiB";
                let chunk = chunk.map_or(String::new(), |chunk| format!(" in chunks of {chunk:?}"));
                Err(FileError::field(&place, "shape", format!("{shape:?}{chunk}"), allowed))
            }
        }
    }

    /// Columns in the file.
    pub fn width(&self) -> usize {
        self.width
    }

    /// These columns alone, from 0, in this order.
    pub fn choose(self, columns: Vec<usize>) -> Self {
        HdfRows { chosen: columns, ..self }
    }

    /// Whether a row can be read alone, without others that are compressed with it.
    pub fn has_rows(&self) -> bool {
        self.dataset.filters().is_empty()
    }

    fn read<T: Real>(&self, start: usize, out: &mut [T]) -> FileResult<()> {
        let (rows, dim) = (out.len() / self.chosen.len(), self.chosen.len());
        let values = self.dataset.read_f64_rows(start as u64, rows as u64);
        let values = values.map_err(|e| FileError::format(&self.path, "HDF5", e))?;
        if values.len() != rows * self.width {
            let found = format!("{} from row {} on", values.len(), start + 1);
            let allowed = format!("must be {}", rows * self.width);
            return Err(FileError::field(&self.path, "numbers", found, allowed));
        }
        let all = values.chunks_exact(self.width).zip(out.chunks_exact_mut(dim)).enumerate();
        for (i, (values, out)) in all {
            for (out, &column) in out.iter_mut().zip(&self.chosen) {
                *out = number(values[column]).map_err(|problem| FileError::Cell {
                    path: self.path.clone(),
                    row: (start + i) as u64 + 1,
                    column: column + 1,
                    value: values[column].to_string(),
                    problem,
                })?;
            }
        }
        Ok(())
    }
}

/// The names of the datasets in a file, with those of the groups around them.
fn list(root: Group) -> Result<Vec<String>, hdf5_pure::Error> {
    let mut names = Vec::new();
    let (mut groups, mut seen) = (vec![(root, String::new())], 1);
    while let Some((group, prefix)) = groups.pop() {
        names.extend(group.datasets()?.iter().map(|name| format!("{prefix}{name}")));
        for name in group.groups()? {
            // Groups may contain each other.
            if seen < MOST_GROUPS {
                groups.push((group.group(&name)?, format!("{prefix}{name}/")));
                seen += 1;
            }
        }
    }
    Ok(names)
}

impl<T: Real> Rows<T> for HdfRows {
    fn dim(&self) -> usize {
        self.chosen.len()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn fetch(&self, _: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let at_once = (AT_ONCE / self.width).max(1);
        let mut done = 0;
        for run in rows.chunk_by(|a, b| a + 1 == *b) {
            for run in run.chunks(at_once) {
                let len = run.len() * self.chosen.len();
                self.read(run[0], &mut out[done..done + len])?;
                done += len;
            }
        }
        Ok(())
    }
}
