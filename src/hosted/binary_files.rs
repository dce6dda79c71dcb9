//! Tables of numbers of one size, one after the other: npy, IDX, raw; read at once or row by row.

use std::format;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use npyz::WriterBuilder;

use super::data::{Data, check_shape};
use super::error::{FileError, FileResult};
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
    fn write<N: npyz::AutoSerialize, T: Real>(
        path: &Path,
        file: &mut impl Write,
        shape: [usize; 2],
        number: fn(f64) -> N,
        fill: impl FnOnce(&mut dyn FnMut(&[T]) -> FileResult<()>) -> FileResult<()>,
    ) -> FileResult<()> {
        let io = |e| FileError::io(path, e);
        let shape = shape.map(|n| n as u64);
        let options = npyz::WriteOptions::<N>::new().default_dtype().shape(&shape);
        let mut npy = options.writer(file).begin_nd().map_err(io)?;
        fill(&mut |values| npy.extend(values.iter().map(|v| number(v.to_f64()))).map_err(io))?;
        npy.finish().map_err(io)
    }
    let path = path.as_ref();
    write_file(path, |file| match T::BITS {
        32 => write(path, file, shape, |v| v as f32, fill),
        _ => write(path, file, shape, |v| v, fill),
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

/// Elements of a binary format: their size and how one becomes a number.
type Element = (usize, fn(&[u8]) -> f64);

/// An [`Element`] of this type and byte order.
macro_rules! element {
    ($t:ty, $from:ident) => {
        (size_of::<$t>(), |b| <$t>::$from(b.try_into().expect("chunks of this size")).into())
    };
}

/// Where a table lies in a file.
#[derive(Clone, Copy)]
pub(super) struct Table {
    /// Bytes before its first number.
    start: u64,
    rows: usize,
    dim: usize,
    element: Element,
    /// Whether numbers come column by column, as numpy calls Fortran order.
    by_columns: bool,
}

/// As much of a file's beginning as headers take.
pub(super) const HEAD: usize = MAX_NPY_HEADER + 12;

impl Table {
    /// Rows along the first axis of `shape`, all other axes flattened.
    fn new(path: &Path, start: u64, shape: &[u64], element: Element) -> FileResult<Self> {
        let dim = shape[1..].iter().try_fold(1u64, |dim, &n| dim.checked_mul(n));
        let fits = |n: u64| usize::try_from(n).ok().filter(|n| *n > 0);
        match (fits(shape[0]), dim.and_then(fits)) {
            (Some(rows), Some(dim)) => Ok(Table { start, rows, dim, element, by_columns: false }),
            _ => {
                let allowed = "every axis must be at least 1 and the whole fit into memory";
                Err(FileError::field(path, "shape", format!("{shape:?}"), allowed))
            }
        }
    }

    /// The table of an npy file that begins with `head`.
    pub fn npy(path: &Path, head: &[u8]) -> FileResult<Self> {
        check_npy_header(path, head)?;
        let mut rest = head;
        let header = npyz::NpyHeader::from_reader(&mut rest)
            .map_err(|e| FileError::format(path, "npy", e.to_string()))?;
        let element: Element = match header.dtype().descr().as_str() {
            "'<f4'" => element!(f32, from_le_bytes),
            "'>f4'" => element!(f32, from_be_bytes),
            "'<f8'" => element!(f64, from_le_bytes),
            "'>f8'" => element!(f64, from_be_bytes),
            "'|u1'" => element!(u8, from_le_bytes),
            other => {
                let allowed = "must be <f4, >f4, <f8, >f8 or |u1";
                return Err(FileError::field(path, "descr", other, allowed));
            }
        };
        if header.shape().len() != 2 {
            let found = format!("{:?}", header.shape());
            return Err(FileError::field(path, "shape", found, "must be (rows, dim)"));
        }
        let start = (head.len() - rest.len()) as u64;
        let by_columns = header.order() != npyz::Order::C;
        Ok(Table { by_columns, ..Self::new(path, start, header.shape(), element)? })
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
        if axes < 2 {
            return Err(FileError::field(path, "IDX axes", axes.to_string(), "must be at least 2"));
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
        let row = dim as u64 * size as u64;
        if bytes == 0 || !bytes.is_multiple_of(row) {
            let value = format!("{bytes} bytes");
            let allowed = format!("must be whole rows of {dim} numbers of {size} bytes");
            return Err(FileError::field(path, "length", value, allowed));
        }
        Self::new(path, 0, &[bytes / row, dim as u64], element)
    }

    /// Refuses files that do not end where the table does.
    pub fn check_length(&self, path: &Path, bytes: u64) -> FileResult<()> {
        let numbers = (self.rows as u64).checked_mul(self.dim as u64);
        let numbers = numbers.and_then(|n| n.checked_mul(self.element.0 as u64));
        let expected = numbers.and_then(|n| n.checked_add(self.start));
        if expected == Some(bytes) {
            return Ok(());
        }
        Err(FileError::Size { path: path.into(), bytes, expected })
    }

    /// Whether a row's numbers stand together, so that it can be read alone.
    pub fn has_rows(&self) -> bool {
        !self.by_columns
    }

    /// All of the table in the bytes of a file.
    pub fn read<T: Real>(&self, path: &Path, bytes: &[u8]) -> FileResult<Data<T>> {
        self.check_length(path, bytes.len() as u64)?;
        let mut values = vec![T::from_f64(0.0); self.rows * self.dim];
        let bytes = &bytes[self.start as usize..];
        if !self.by_columns {
            self.decode(path, 0, bytes, &mut values)?;
            return Ok(Data { dim: self.dim, values });
        }
        let mut row = vec![0; self.dim * self.element.0];
        for (i, values) in values.chunks_exact_mut(self.dim).enumerate() {
            for (j, cell) in row.chunks_exact_mut(self.element.0).enumerate() {
                cell.copy_from_slice(&bytes[(j * self.rows + i) * self.element.0..][..cell.len()]);
            }
            self.decode(path, i, &row, values)?;
        }
        Ok(Data { dim: self.dim, values })
    }

    /// Numbers of the rows from `row` on.
    fn decode<T: Real>(
        &self,
        path: &Path,
        row: usize,
        bytes: &[u8],
        out: &mut [T],
    ) -> FileResult<()> {
        let (size, read) = self.element;
        for (i, (out, cell)) in out.iter_mut().zip(bytes.chunks_exact(size)).enumerate() {
            let value = read(cell);
            *out = number(value).map_err(|problem| FileError::Cell {
                path: path.into(),
                row: (row + i / self.dim) as u64 + 1,
                column: i % self.dim + 1,
                value: value.to_string(),
                problem,
            })?;
        }
        Ok(())
    }
}

/// A table that stays in its file; rows are read as they are asked for, at their place. That
/// leaves caching to the operating system as a memory map would, and a file that gets shorter
/// meanwhile is an error here where it kills the process there.
pub(super) struct FileRows {
    path: PathBuf,
    file: File,
    table: Table,
}

impl FileRows {
    /// `table` in `path`, from `offset` on.
    pub fn new(path: &Path, file: File, mut table: Table, offset: u64) -> Self {
        table.start += offset;
        FileRows { path: path.into(), file, table }
    }
}

impl<T: Real> Rows<T> for FileRows {
    fn dim(&self) -> usize {
        self.table.dim
    }

    fn rows(&self) -> usize {
        self.table.rows
    }

    fn fetch(&self, _: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let size = self.table.dim * self.table.element.0;
        let mut bytes = vec![0; size];
        for (row, out) in rows.iter().zip(out.chunks_exact_mut(self.table.dim)) {
            let at = self.table.start + *row as u64 * size as u64;
            read_at(&self.file, &mut bytes, at).map_err(|e| FileError::io(&self.path, e))?;
            self.table.decode(&self.path, *row, &bytes, out)?;
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

/// What numpy writes takes 118 bytes; long headers could nest deeper than the stack.
pub(super) const MAX_NPY_HEADER: usize = 1024;

/// Refuses headers that npyz would trust too far: it reserves the stated length and multiplies
/// the shape unchecked.
fn check_npy_header(path: &Path, bytes: &[u8]) -> FileResult<()> {
    let (start, length) = match *bytes {
        [_, _, _, _, _, _, 1, _, a, b, ..] => (10, usize::from(u16::from_le_bytes([a, b]))),
        [_, _, _, _, _, _, _, _, a, b, c, d, ..] => {
            (12, u32::from_le_bytes([a, b, c, d]).try_into().unwrap_or(usize::MAX))
        }
        _ => (bytes.len(), 1),
    };
    let text = bytes[start..].get(..length.min(MAX_NPY_HEADER)).unwrap_or_default();
    if text.len() != length {
        let value = format!("{length} bytes");
        let allowed = format!("must be at most {MAX_NPY_HEADER} and inside the file");
        return Err(FileError::field(path, "header", value, allowed));
    }
    let digits = text.split(|c| !c.is_ascii_digit()).filter(|run| run.iter().any(|c| *c != b'0'));
    let product = digits
        .map(|run| str::from_utf8(run).ok()?.parse::<u64>().ok())
        .try_fold(1u64, |product, n| product.checked_mul(n?));
    match product {
        Some(_) => Ok(()),
        None => {
            let value = String::from_utf8_lossy(text).trim().to_string();
            Err(FileError::field(path, "header", value, "the whole must fit into memory"))
        }
    }
}
