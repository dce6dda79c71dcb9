//! Data sets in files: what is in them, and how it is read.

use std::borrow::ToOwned;
use std::boxed::Box;
use std::format;
use std::fs::File;
use std::io::{self, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use super::binary_files::{FileRows, HEAD, Table};
use super::columns::{About, Columns, Format, Head, Kept, Picked};
use super::data::Data;
use super::error::{FileError, FileResult};
use super::foreign::refuse_foreign;
use super::rows::{Rows, in_memory};
use super::text_files::read_text;
use super::{npy, packed};
use crate::Real;

/// Files longer than this are left where they are, if their format allows it.
pub(super) const STREAM: u64 = 4 << 30;

/// Opens a data file. Its first bytes say what it is, whatever its name, but for raw numbers,
/// which are named `.f32` or `.f64` (little-endian). gzip is unpacked. `-` is standard input; it,
/// pipes and FIFOs are read to their end first.
///
/// - npy: booleans, integers and floating-point numbers of 1 to 8 bytes, of either byte order. The
///   first axis counts rows, the others are flattened; a single axis is one column.
/// - npz: its only array, or the one that `format` names or that follows the file's name after a
///   colon, as in `file.npz:train`. Axes as in npy.
/// - HDF5, with the feature `hdf5`: an array is chosen as in npz, `file.hdf5:group/train`; numbers
///   of any type, axes as in npy.
/// - IDX (the format of MNIST): axes as in npy.
/// - Text, in UTF-8: commas, tabs, semicolons or blanks separate columns, whichever is equally
///   often in each of the first lines. With semicolons, numbers may have a comma for a point. A
///   first row without any number is a header; docs/data.md says when whole numbers are one.
///   Blank lines are skipped, and lines that begin with `#` above the table.
///
/// # Errors
/// Anything but a rectangular table of finite numbers that fit `T`, in the columns that are
/// read; rows and columns are counted from 1. Rows left in the file are looked at when they are
/// fetched.
pub fn open<T: Real + 'static>(
    path: impl AsRef<Path>,
    format: &Format,
) -> FileResult<Box<dyn Rows<T>>> {
    let (path, format) = &address(path.as_ref(), format);
    let (rows, about) = load(path, format)?;
    Ok(match rows {
        Loaded::Memory(rows) => Box::new(Described { rows, about }),
        Loaded::File(rows) => Box::new(Described { rows, about }),
    })
}

impl<T: Real + 'static> Data<T> {
    /// Reads a file that needs no [`Format`], as [`open`] does.
    ///
    /// # Errors
    /// As there.
    pub fn read(path: impl AsRef<Path>) -> FileResult<Data<T>> {
        let (path, format) = &address(path.as_ref(), &Format::default());
        match load(path, format)?.0 {
            Loaded::Memory(data) => Ok(data),
            Loaded::File(rows) => all_of(&*rows),
        }
    }
}

/// The columns of a file as text, one cell for each of `rows` rows: all of them, or those that
/// `observed` names, if the file has these. A first row that is a header by its content is none where
/// it is the one that is missing.
///
/// # Errors
/// Those of [`open`], but that cells need be no numbers in text; another number of rows.
pub fn cells(
    path: impl AsRef<Path>,
    observed: Option<&Columns>,
    rows: Option<usize>,
) -> FileResult<Vec<Kept>> {
    let format = Format { cells: true, observed: observed.cloned(), ..Format::default() };
    let (path, format) = &address(path.as_ref(), &format);
    let read = |header| {
        let format = Format { header, lenient: true, ..format.clone() };
        Ok::<_, FileError>(load::<f64>(path, &format)?.1.condition)
    };
    let found = |cells: &[Kept]| cells.first().map_or(0, |column| column.cells.len());
    let all = read(None)?;
    let Some(rows) = rows.filter(|rows| *rows != found(&all)) else { return Ok(all) };
    if found(&all) + 1 == rows
        && let Ok(with_first) = read(Some(false))
        && found(&with_first) == rows
    {
        return Ok(with_first);
    }
    let allowed = format!("must be {rows}, one for each row of the data");
    Err(FileError::field(path, "rows", format!("{}", found(&all)), allowed))
}

/// Rows, and what their file says of them.
struct Described<R> {
    rows: R,
    about: About,
}

impl<T, R: Rows<T>> Rows<T> for Described<R> {
    fn dim(&self) -> usize {
        self.rows.dim()
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        self.rows.fetch(pass, rows, out)
    }

    fn about(&self) -> Option<&About> {
        Some(&self.about)
    }
}

enum Loaded<T> {
    Memory(Data<T>),
    File(Box<dyn Rows<T>>),
}

/// The file of `FILE:ARRAY`, and what is asked of it.
fn address(path: &Path, format: &Format) -> (PathBuf, Format) {
    match split_address(path) {
        (file, Some(array)) => {
            let array = Some(array.to_owned());
            (file.into(), Format { array, lenient: false, ..format.clone() })
        }
        _ => (path.into(), format.clone()),
    }
}

/// The file and the array of `FILE:ARRAY`; a file that is there under the whole name comes first.
pub fn split_address(path: &Path) -> (&Path, Option<&str>) {
    let split = path.to_str().filter(|_| !path.exists()).and_then(|text| text.rsplit_once(':'));
    match split {
        Some((file, array)) if Path::new(file).is_file() => (Path::new(file), Some(array)),
        _ => (path, None),
    }
}

fn all_of<T: Real>(rows: &dyn Rows<T>) -> FileResult<Data<T>> {
    in_memory(rows, rows.rows())
}

fn load<T: Real + 'static>(path: &Path, format: &Format) -> FileResult<(Loaded<T>, About)> {
    let io = |e| FileError::io(path, e);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin().lock().read_to_end(&mut bytes).map_err(io)?;
        return read(path, bytes, format);
    }
    let mut file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if about.is_dir() {
        return Err(FileError::field(path, "content", "a folder", "must be a file"));
    }
    let name = path.to_string_lossy();
    if about.is_file() && !is_raw(&name) {
        Read::by_ref(&mut file).take(HDF5.len() as u64).read_to_end(&mut bytes).map_err(io)?;
        if bytes == HDF5 {
            return hdf5_rows(path, None, format);
        }
        file.rewind().map_err(io)?;
        bytes.clear();
    }
    let is_large = format.stream || about.len() > STREAM;
    if about.is_file()
        && is_large
        && let Some(streamed) = stream(path, &file, about.len(), format)?
    {
        return Ok(streamed);
    }
    bytes.reserve_exact(usize::try_from(about.len()).unwrap_or(0).saturating_add(1));
    file.read_to_end(&mut bytes).map_err(io)?;
    read(path, bytes, format)
}

/// How HDF5 files begin.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// Rows of an HDF5 file, in `bytes` if it has been read.
#[cfg(feature = "hdf5")]
fn hdf5_rows<T: Real + 'static>(
    path: &Path,
    bytes: Option<Vec<u8>>,
    format: &Format,
) -> FileResult<(Loaded<T>, About)> {
    use super::hdf5_files::HdfRows;
    let is_large = match bytes {
        None => {
            let length = std::fs::metadata(path).map_err(|e| FileError::io(path, e))?.len();
            format.stream || length > STREAM
        }
        Some(_) => false,
    };
    refuse_header(path, format)?;
    let rows = HdfRows::open(path, bytes, format)?;
    let picked = pick(path, rows.width(), format)?;
    let about = picked.about(|columns| all_of(&rows.clone().choose(columns)))?;
    let rows = rows.choose(picked.features);
    let loaded = match is_large && rows.has_rows() {
        true => Loaded::File(Box::new(rows)),
        false => Loaded::Memory(all_of(&rows)?),
    };
    Ok((loaded, about))
}

#[cfg(not(feature = "hdf5"))]
fn hdf5_rows<T: Real>(
    path: &Path,
    _: Option<Vec<u8>>,
    _: &Format,
) -> FileResult<(Loaded<T>, About)> {
    let allowed = "this build cannot read it; build with the feature hdf5 \
                   (cargo install --path . --features cli,hdf5)";
    Err(FileError::field(path, "format", "HDF5", allowed))
}

/// What a name says of a file.
fn extension(name: &str) -> String {
    Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

/// Whether the name says raw numbers; nothing else is told by its name alone.
fn is_raw(name: &str) -> bool {
    ["f32", "f64"].contains(&extension(name).as_str())
}

/// Whether a file of this name that begins with `head` is packed, or should be.
fn is_packed(name: &str, head: &[u8]) -> bool {
    extension(name) == "gz" || (head.starts_with(&[0x1f, 0x8b]) && !is_raw(name))
}

/// Reads the bytes of a file.
fn read<T: Real + 'static>(
    path: &Path,
    bytes: Vec<u8>,
    format: &Format,
) -> FileResult<(Loaded<T>, About)> {
    let name = path.to_string_lossy();
    if !is_packed(&name, &bytes) {
        return decode(path, &name, bytes, format);
    }
    let unpacked = packed::gunzip(path, &bytes)?;
    drop(bytes);
    let is_named = extension(&name) == "gz";
    decode(path, if is_named { &name[..name.len() - 3] } else { &name }, unpacked, format)
}

/// Reads the unpacked bytes of a file of this name; errors are about `path`.
fn decode<T: Real + 'static>(
    path: &Path,
    name: &str,
    bytes: Vec<u8>,
    format: &Format,
) -> FileResult<(Loaded<T>, About)> {
    let in_memory = |(data, about)| (Loaded::Memory(data), about);
    let length = bytes.len() as u64;
    match kind(path, name, &bytes, length, format)? {
        Kind::Hdf5 => hdf5_rows(path, Some(bytes), format),
        Kind::Text => {
            refuse_array(path, format)?;
            read_text(path, &bytes, &extension(name), format).map(in_memory)
        }
        Kind::Table(table) => whole(path, table, &bytes, format).map(in_memory),
        Kind::Archive => {
            let (place, entry) = packed::entry(path, Cursor::new(&bytes[..]), format)?;
            let mut archive = packed::archive(path, Cursor::new(&bytes[..]))?;
            let mut file = archive.by_index(entry.index).map_err(|e| packed::fault(path, e))?;
            let mut array = Vec::new();
            let io = |e| packed::fault(path, e);
            // The array's own header says how much memory it takes.
            Read::by_ref(&mut file).take(HEAD as u64).read_to_end(&mut array).map_err(io)?;
            let table = Table::npy(&place, &array)?;
            table.check_length(&place, entry.size)?;
            // One more, for the end, where the checksum is.
            let rest = (entry.size + 1).saturating_sub(array.len() as u64);
            file.take(rest).read_to_end(&mut array).map_err(io)?;
            whole(&place, table, &array, format).map(in_memory)
        }
    }
}

/// What a file holds.
enum Kind {
    Table(Table),
    /// npz.
    Archive,
    Hdf5,
    Text,
}

/// What a file of `length` bytes holds that begins with `head`.
fn kind(path: &Path, name: &str, head: &[u8], length: u64, format: &Format) -> FileResult<Kind> {
    let name = extension(name);
    let plain = |table| {
        refuse_array(path, format)?;
        refuse_header(path, format)?;
        Ok(Kind::Table(table))
    };
    match (name.as_str(), head) {
        ("f32", _) => return plain(Table::raw(path, length, 4, format.dim)?),
        ("f64", _) => return plain(Table::raw(path, length, 8, format.dim)?),
        (_, [b'P', b'K', 3 | 5, ..]) => {
            refuse_header(path, format)?;
            return Ok(Kind::Archive);
        }
        _ if head.starts_with(HDF5) => return Ok(Kind::Hdf5),
        _ if head.starts_with(npy::MAGIC) => return plain(Table::npy(path, head)?),
        (_, [0, 0, _, _, ..]) => return plain(Table::idx(path, head)?),
        _ => refuse_foreign(path, head)?,
    }
    let is_control = |c: &u8| *c < b' ' && !matches!(c, b'\t' | b'\n' | b'\r' | 0x0c);
    let is_binary = head.iter().take(1 << 13).any(is_control);
    match is_binary || ["npy", "npz", "h5", "hdf5"].contains(&name.as_str()) {
        false => Ok(Kind::Text),
        true => {
            let found = format!("{:02x?}", &head[..head.len().min(6)]);
            let allowed = "must be those of npy (93 4e 55 4d 50 59), npz (50 4b), HDF5 (89 48 44 \
                           46), IDX (00 00), gzip (1f 8b) or text; raw numbers are named .f32 or \
                           .f64";
            Err(FileError::field(path, "first bytes", found, allowed))
        }
    }
}

/// All of a table in the bytes of a file, but for the columns that are left out.
fn whole<T: Real>(
    path: &Path,
    table: Table,
    bytes: &[u8],
    format: &Format,
) -> FileResult<(Data<T>, About)> {
    table.check_length(path, bytes.len() as u64)?;
    let picked = pick(path, table.width(), format)?;
    let about = picked.about(|columns| table.clone().choose(columns).read(path, bytes))?;
    let data = table.choose(picked.features).read(path, bytes)?;
    Ok((data, about))
}

/// The columns of a table without names.
fn pick(path: &Path, width: usize, format: &Format) -> FileResult<Picked> {
    let mut picked = Head { path, names: None, width, has_index: false }.pick(format)?;
    // Arrays have no rows without columns.
    if picked.features.is_empty() {
        picked.features = picked.condition.clone();
    }
    Ok(picked)
}

impl Picked {
    /// What there is to say of a table without names, whose columns `read` reads.
    fn about(&self, read: impl Fn(Vec<usize>) -> FileResult<Data<f64>>) -> FileResult<About> {
        let as_text = |columns: &[usize]| {
            if columns.is_empty() {
                return Ok(Vec::new());
            }
            let data = read(columns.to_vec())?;
            let column = |(i, column): (usize, &usize)| Kept {
                name: format!("column {}", column + 1),
                cells: (0..data.rows()).map(|row| format!("{}", data.row(row)[i])).collect(),
            };
            Ok::<_, FileError>(columns.iter().enumerate().map(column).collect())
        };
        Ok(About {
            columns: self.columns.clone(),
            kept: as_text(&self.keep)?,
            condition: as_text(&self.condition)?,
            observed: self.observed.clone(),
            notes: self.notes.clone(),
        })
    }
}

/// Arrays have names in archives and HDF5 only.
fn refuse_array(path: &Path, format: &Format) -> FileResult<()> {
    match &format.array {
        Some(array) if !format.lenient => {
            let allowed = "only .npz and HDF5 files hold arrays by name";
            Err(FileError::field(path, "array", array, allowed))
        }
        _ => Ok(()),
    }
}

/// Only text has headers that may be mistaken.
fn refuse_header(path: &Path, format: &Format) -> FileResult<()> {
    match format.header {
        Some(is) if !format.lenient => {
            let found = if is { "asked for" } else { "ruled out" };
            Err(FileError::field(path, "header", found, "only text files have one"))
        }
        _ => Ok(()),
    }
}

/// The rows of a file left in it; `None` if they are text or compressed.
fn stream<T: Real + 'static>(
    path: &Path,
    mut file: &File,
    length: u64,
    format: &Format,
) -> FileResult<Option<(Loaded<T>, About)>> {
    let io = |e| FileError::io(path, e);
    let mut head = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut head).map_err(io)?;
    file.rewind().map_err(io)?;
    let name = path.to_string_lossy();
    if is_packed(&name, &head) {
        return Ok(None);
    }
    let (place, table, start) = match kind(path, &name, &head, length, format)? {
        Kind::Table(table) => {
            table.check_length(path, length)?;
            (path.to_owned(), table, 0)
        }
        Kind::Archive => {
            let (place, entry) = packed::entry(path, file, format)?;
            let Some(start) = entry.stored else {
                file.rewind().map_err(io)?;
                return Ok(None);
            };
            let mut archive = packed::archive(path, file)?;
            let mut inside = archive.by_index(entry.index).map_err(|e| packed::fault(path, e))?;
            head.clear();
            Read::by_ref(&mut inside).take(HEAD as u64).read_to_end(&mut head).map_err(io)?;
            let table = Table::npy(&place, &head)?;
            table.check_length(&place, entry.size)?;
            packed::check(path, inside)?;
            (place, table, start)
        }
        Kind::Hdf5 | Kind::Text => return Ok(None),
    };
    if !table.has_rows() {
        file.rewind().map_err(io)?;
        return Ok(None);
    }
    let picked = pick(&place, table.width(), format)?;
    let rows = |columns| {
        let file = File::open(path).map_err(io)?;
        Ok::<_, FileError>(FileRows::new(&place, file, table.clone().choose(columns), start))
    };
    let about = picked.about(|columns| all_of(&rows(columns)?))?;
    let rows = rows(picked.features)?;
    Ok(Some((Loaded::File(Box::new(rows)), about)))
}

#[cfg(test)]
mod tests;
