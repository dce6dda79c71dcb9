//! Tables of numbers of one size, one after the other: npy, IDX, raw; read at once or row by row.

use std::format;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::string::ToString;
use std::vec;
use std::vec::Vec;

use super::data::{Data, check_shape};
use super::error::{FileError, FileResult};
use super::npy::{self, Element, element};
use super::replace_file::write_file;
use super::rows::Rows;
use crate::Real;

/// Writes rows of `dim` values each as npy, whole or not at all.
///
/// # Errors
/// If the values do not fill rows, or the file cannot be written.
pub fn write_npy<T: Real>(path: impl AsRef<Path>, dim: usize, values: &[T]) -> FileResult<()> {
    check_shape(dim, values.len())?;
    write_npy_rows(path, [values.len() / dim, dim], |write| write(values))
}

/// Writes an npy file of this shape, (rows, dim), whole or not at all. `fill` hands its values
/// over in order, as many at a time as it likes, so that they need not all be in memory.
///
/// # Errors
/// Those of `fill`; if it gives more or fewer values, or the file cannot be written.
pub fn write_npy_rows<T: Real>(
    path: impl AsRef<Path>,
    shape: [usize; 2],
    fill: impl FnOnce(&mut dyn FnMut(&[T]) -> FileResult<()>) -> FileResult<()>,
) -> FileResult<()> {
    let path = path.as_ref();
    write_file(path, |file| {
        let io = |e| FileError::io(path, e);
        file.write_all(&npy::header(T::BITS, shape)).map_err(io)?;
        let mut left = shape[0].saturating_mul(shape[1]);
        let miscounted = |how| io(io::Error::new(ErrorKind::InvalidInput, how));
        fill(&mut |values| {
            left = left.checked_sub(values.len()).ok_or_else(|| miscounted("too many values"))?;
            for value in values {
                let written = match T::BITS {
                    32 => file.write_all(&(value.to_f64() as f32).to_le_bytes()),
                    _ => file.write_all(&value.to_f64().to_le_bytes()),
                };
                written.map_err(io)?;
            }
            Ok(())
        })?;
        if left == 0 { Ok(()) } else { Err(miscounted("too few values")) }
    })
}

/// `value` as a `T`, or what is wrong with it.
pub(super) fn number<T: Real>(value: f64) -> core::result::Result<T, &'static str> {
    let number = T::from_f64(value);
    match (value.is_finite(), number.to_f64().is_finite()) {
        (true, true) => Ok(number),
        (true, false) => Err("does not fit into 32 bits"),
        _ => Err("is not finite"),
    }
}

/// Where a table lies in a file, and which of its columns are read.
#[derive(Clone)]
pub(super) struct Table {
    /// Bytes before its first number.
    start: u64,
    rows: usize,
    /// Columns in the file.
    width: usize,
    element: Element,
    /// The axes after the first if that one varies fastest, as in Fortran.
    fortran: Option<Vec<usize>>,
    /// The columns that are read, from 0; `None` for all.
    chosen: Option<Vec<usize>>,
}

/// As much of a file's beginning as headers take.
pub(super) const HEAD: usize = npy::MAX_HEADER + 12;

impl Table {
    /// Rows along the first axis of `shape`, all other axes flattened; one axis is a column.
    fn new(path: &Path, start: u64, shape: &[u64], element: Element) -> FileResult<Self> {
        let width = shape.iter().skip(1).try_fold(1u64, |width, &n| width.checked_mul(n));
        let fits = |n: u64| usize::try_from(n).ok().filter(|n| *n > 0);
        let rows = shape.first().copied().and_then(fits);
        match (rows, width.and_then(fits)) {
            (Some(rows), Some(width)) => {
                Ok(Table { start, rows, width, element, fortran: None, chosen: None })
            }
            _ => {
                let allowed = "must be (rows, dim), every axis at least 1, and the whole must fit \
                               into memory";
                Err(FileError::field(path, "shape", format!("{shape:?}"), allowed))
            }
        }
    }

    /// The table of an npy file that begins with `head`.
    pub fn npy(path: &Path, head: &[u8]) -> FileResult<Self> {
        let header = npy::parse(path, head)?;
        let table = Self::new(path, header.start, &header.shape, header.element)?;
        let axes = header.shape[1..].iter().map(|n| *n as usize).collect();
        Ok(Table { fortran: header.is_fortran.then_some(axes), ..table })
    }

    /// The table of an IDX file that begins with `head`.
    pub fn idx(path: &Path, head: &[u8]) -> FileResult<Self> {
        let short = |expected: usize| FileError::Size {
            path: path.into(),
            bytes: head.len() as u64,
            expected: Some(expected as u64),
        };
        let &[_, _, kind, axes] = head.first_chunk().ok_or_else(|| short(4))?;
        let element: Element = match kind {
            0x08 => element!(u8, from_be_bytes),
            0x09 => element!(i8, from_be_bytes),
            0x0b => element!(i16, from_be_bytes),
            0x0c => element!(i32, from_be_bytes),
            0x0d => element!(f32, from_be_bytes),
            0x0e => element!(f64, from_be_bytes),
            other => {
                let allowed = "must be 08, 09, 0b, 0c, 0d or 0e";
                return Err(FileError::field(path, "IDX type", format!("{other:02x}"), allowed));
            }
        };
        if axes == 0 {
            return Err(FileError::field(path, "IDX axes", axes.to_string(), "must be at least 1"));
        }
        let start = 4 + 4 * usize::from(axes);
        let (sizes, _) = head.get(4..start).ok_or_else(|| short(start))?.as_chunks::<4>();
        let shape: Vec<u64> = sizes.iter().map(|&n| u32::from_be_bytes(n).into()).collect();
        Self::new(path, start as u64, &shape, element)
    }

    /// The table of `bytes` raw little-endian numbers of `size` bytes.
    pub fn raw(path: &Path, bytes: u64, size: usize, dim: Option<usize>) -> FileResult<Self> {
        let element: Element =
            if size == 4 { element!(f32, from_le_bytes) } else { element!(f64, from_le_bytes) };
        let Some(dim) = dim.filter(|d| *d > 0) else {
            let allowed = "must be given, at least 1: raw files do not say how long a row is";
            return Err(FileError::field(path, "dim", "unknown", allowed));
        };
        let row = (dim as u64).saturating_mul(size as u64);
        if bytes == 0 || !bytes.is_multiple_of(row) {
            let value = format!("{bytes} bytes");
            let allowed = format!("must be whole rows of {dim} numbers of {size} bytes");
            return Err(FileError::field(path, "length", value, allowed));
        }
        Self::new(path, 0, &[bytes / row, dim as u64], element)
    }

    /// Refuses files that do not end where the table does.
    pub fn check_length(&self, path: &Path, bytes: u64) -> FileResult<()> {
        let numbers = (self.rows as u64).checked_mul(self.width as u64);
        let numbers = numbers.and_then(|n| n.checked_mul(self.element.0 as u64));
        let expected = numbers.and_then(|n| n.checked_add(self.start));
        if expected == Some(bytes) {
            return Ok(());
        }
        Err(FileError::Size { path: path.into(), bytes, expected })
    }

    /// Columns in the file.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The table with these columns alone, from 0, in this order.
    pub fn choose(self, columns: Vec<usize>) -> Self {
        let is_all = columns.iter().copied().eq(0..self.width);
        Table { chosen: (!is_all).then_some(columns), ..self }
    }

    /// Columns that are read.
    fn dim(&self) -> usize {
        self.chosen.as_ref().map_or(self.width, Vec::len)
    }

    /// Whether the numbers of a row are neighbours, so that it can be read alone.
    pub fn has_rows(&self) -> bool {
        self.fortran.is_none()
    }

    /// All of the table in the bytes of a file.
    pub fn read<T: Real>(&self, path: &Path, bytes: &[u8]) -> FileResult<Data<T>> {
        self.check_length(path, bytes.len() as u64)?;
        let (dim, size) = (self.dim(), self.element.0);
        let mut values = vec![T::from_f64(0.0); self.rows * dim];
        let bytes = &bytes[self.start as usize..];
        let rows = values.chunks_exact_mut(dim).enumerate();
        match &self.fortran {
            None => {
                for ((i, values), bytes) in rows.zip(bytes.chunks_exact(self.width * size)) {
                    self.decode(path, i, bytes, values)?;
                }
            }
            Some(axes) => {
                let places: Vec<usize> =
                    (0..self.width).map(|column| fortran_place(column, axes)).collect();
                let mut row = vec![0; self.width * size];
                for (i, values) in rows {
                    for (cell, place) in row.chunks_exact_mut(size).zip(&places) {
                        cell.copy_from_slice(&bytes[(place * self.rows + i) * size..][..size]);
                    }
                    self.decode(path, i, &row, values)?;
                }
            }
        }
        Ok(Data { dim, values })
    }

    /// The numbers of row `row`, which `bytes` hold.
    fn decode<T: Real>(
        &self,
        path: &Path,
        row: usize,
        bytes: &[u8],
        out: &mut [T],
    ) -> FileResult<()> {
        let (size, read) = self.element;
        let cell = |column: usize, bytes: &[u8]| {
            let value = read(bytes);
            number(value).map_err(|problem| FileError::Cell {
                path: path.into(),
                row: row as u64 + 1,
                column: column + 1,
                value: value.to_string(),
                problem,
            })
        };
        match &self.chosen {
            None => {
                for (i, (out, bytes)) in out.iter_mut().zip(bytes.chunks_exact(size)).enumerate() {
                    *out = cell(i, bytes)?;
                }
            }
            Some(columns) => {
                for (out, &column) in out.iter_mut().zip(columns) {
                    *out = cell(column, &bytes[column * size..][..size])?;
                }
            }
        }
        Ok(())
    }
}

/// Where a column, counted with the last of `axes` fastest, is if the first one is fastest.
fn fortran_place(mut column: usize, axes: &[usize]) -> usize {
    let mut place = 0;
    for &axis in axes.iter().rev() {
        place = place * axis + column % axis;
        column /= axis;
    }
    place
}

/// A table that stays in its file; rows are read as they are asked for, at their place. That
/// leaves caching to the operating system as a memory map would, and a file that gets shorter
/// meanwhile is an error here where it kills the process there.
pub(super) struct FileRows {
    path: PathBuf,
    file: File,
    table: Table,
}

/// Bytes that are read at a time.
const AT_ONCE: usize = 1 << 20;

impl FileRows {
    /// `table` in `path`, from `offset` on.
    pub fn new(path: &Path, file: File, mut table: Table, offset: u64) -> Self {
        table.start += offset;
        FileRows { path: path.into(), file, table }
    }
}

impl<T: Real> Rows<T> for FileRows {
    fn dim(&self) -> usize {
        self.table.dim()
    }

    fn rows(&self) -> usize {
        self.table.rows
    }

    fn fetch(&self, _: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let size = self.table.width * self.table.element.0;
        let at_once = (AT_ONCE / size).max(1);
        let mut bytes = vec![0; at_once.min(rows.len()) * size];
        let mut out = out.chunks_exact_mut(self.table.dim());
        // Rows that follow each other in the file are read together.
        for run in rows.chunk_by(|a, b| a + 1 == *b).flat_map(|run| run.chunks(at_once)) {
            let bytes = &mut bytes[..run.len() * size];
            let at = self.table.start + run[0] as u64 * size as u64;
            read_at(&self.file, bytes, at).map_err(|e| FileError::io(&self.path, e))?;
            for ((row, bytes), out) in run.iter().zip(bytes.chunks_exact(size)).zip(&mut out) {
                self.table.decode(&self.path, *row, bytes, out)?;
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn read_at(file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, bytes: &mut [u8], at: u64) -> std::io::Result<()> {
    use std::io::{Read, Seek, SeekFrom};
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(bytes)
}
