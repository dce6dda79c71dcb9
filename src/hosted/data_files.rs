//! Data sets in files: what is in them, and how it is read.

use std::boxed::Box;
use std::format;
use std::fs::{self, File};
use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::string::String;
use std::vec::Vec;

use super::binary_files::{FileRows, HEAD, Table};
use super::data::Data;
use super::error::{FileError, FileResult};
use super::rows::{Rows, in_memory};
use super::text_files::read_text;
use crate::Real;

/// What a data file does not say itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Format {
    /// Features: needed for raw files, and checked where files say it themselves.
    pub dim: Option<usize>,
    /// The array of an npz or HDF5 file, if it holds several; refused for other files.
    pub array: Option<String>,
    /// Leave the rows in the file, where the format allows it.
    pub stream: bool,
}

/// Files longer than this are left where they are, if their format allows it.
const STREAM: u64 = 4 << 30;

/// Opens a data file: text if it is named `.csv` or `.tsv`, raw numbers if `.f32` or `.f64`
/// (little-endian), else npy, npz or IDX, told by the first bytes. A further `.gz` says that it
/// is compressed.
///
/// - npy: two axes, `f4` or `f8` of either byte order, or `u1`.
/// - npz: its only array, or the one that `format` names or that follows the file's name after a
///   colon, as in `file.npz:train`.
/// - HDF5, with the feature `hdf5`: an array is chosen as in npz, `file.hdf5:group/train`; numbers
///   of any type, the first axis counts rows, the others are flattened.
/// - csv, tsv: a first row without any number is a header; blank lines are skipped.
/// - IDX (the format of MNIST): the first axis counts rows, the others are flattened.
///
/// # Errors
/// Anything but a rectangular table of finite numbers that fit `T`; rows and columns are counted
/// from 1. Rows left in the file are looked at when they are fetched.
pub fn open<T: Real + 'static>(
    path: impl AsRef<Path>,
    format: &Format,
) -> FileResult<Box<dyn Rows<T>>> {
    let (path, format) = &address(path.as_ref(), format);
    let rows = open_at(path, format)?;
    match format.dim {
        Some(dim) if dim != rows.dim() => {
            let allowed = format!("must be {dim}, as the format says");
            Err(FileError::field(path, "features", format!("{}", rows.dim()), allowed))
        }
        _ => Ok(rows),
    }
}

fn open_at<T: Real + 'static>(path: &Path, format: &Format) -> FileResult<Box<dyn Rows<T>>> {
    let mut file = File::open(path).map_err(|e| FileError::io(path, e))?;
    let length = file.metadata().map_err(|e| FileError::io(path, e))?.len();
    let is_large = format.stream || length > STREAM;
    if is_hdf5(path, &mut file)? {
        return hdf5_rows(path, format, is_large);
    }
    if is_large && let Some(rows) = stream(path, file, length, format)? {
        return Ok(Box::new(rows));
    }
    Ok(Box::new(read(path, format)?))
}

/// The file of `FILE:ARRAY`, and what is asked of it.
fn address(path: &Path, format: &Format) -> (PathBuf, Format) {
    let split = path.to_str().filter(|_| !path.exists()).and_then(|text| text.rsplit_once(':'));
    match split {
        Some((file, array)) if Path::new(file).is_file() => {
            (file.into(), Format { array: Some(array.into()), ..format.clone() })
        }
        _ => (path.into(), format.clone()),
    }
}

fn all_of<T: Real>(rows: &dyn Rows<T>) -> FileResult<Data<T>> {
    in_memory(rows, rows.rows())
}

/// Whether a file begins as HDF5 does.
fn is_hdf5(path: &Path, file: &mut File) -> FileResult<bool> {
    let mut head = Vec::new();
    let mut read = || {
        Read::by_ref(file).take(8).read_to_end(&mut head)?;
        file.rewind()
    };
    read().map_err(|e| FileError::io(path, e))?;
    Ok(head == b"\x89HDF\r\n\x1a\n")
}

#[cfg(feature = "hdf5")]
fn hdf5_rows<T: Real + 'static>(
    path: &Path,
    format: &Format,
    is_large: bool,
) -> FileResult<Box<dyn Rows<T>>> {
    let rows = super::hdf5_files::HdfRows::open(path, format.array.as_deref())?;
    Ok(match is_large && rows.has_rows() {
        true => Box::new(rows),
        false => Box::new(all_of(&rows)?),
    })
}

#[cfg(not(feature = "hdf5"))]
fn hdf5_rows<T: Real>(path: &Path, _: &Format, _: bool) -> FileResult<Box<dyn Rows<T>>> {
    let allowed = "this build cannot read it; build with the feature hdf5 \
                   (cargo install --path . --features cli,hdf5)";
    Err(FileError::field(path, "format", "HDF5", allowed))
}

impl<T: Real + 'static> Data<T> {
    /// Reads a file that needs no [`Format`], as [`open`] does.
    ///
    /// # Errors
    /// As there.
    pub fn read(path: impl AsRef<Path>) -> FileResult<Data<T>> {
        let (path, format) = &address(path.as_ref(), &Format::default());
        let mut file = File::open(path).map_err(|e| FileError::io(path, e))?;
        if is_hdf5(path, &mut file)? {
            return all_of(&*hdf5_rows(path, format, true)?);
        }
        read(path, format)
    }
}

/// What a name says of a file.
fn extension(name: &str) -> String {
    Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase()
}

fn read<T: Real>(path: &Path, format: &Format) -> FileResult<Data<T>> {
    let bytes = fs::read(path).map_err(|e| FileError::io(path, e))?;
    let name = path.to_string_lossy();
    match extension(&name).as_str() {
        "gz" => {
            let mut unpacked = Vec::new();
            let mut gzip = flate2::read::MultiGzDecoder::new(&bytes[..]);
            let outcome = gzip.read_to_end(&mut unpacked);
            outcome.map_err(|e| FileError::format(path, "gzip", e))?;
            decode(path, &name[..name.len() - 3], &unpacked, format)
        }
        _ => decode(path, &name, &bytes, format),
    }
}

/// Reads the bytes of a file of this name; errors are about `path`.
fn decode<T: Real>(path: &Path, name: &str, bytes: &[u8], format: &Format) -> FileResult<Data<T>> {
    let separator = match extension(name).as_str() {
        "csv" => Some(b','),
        "tsv" => Some(b'\t'),
        _ => None,
    };
    if let Some(separator) = separator {
        refuse_array(path, format)?;
        return read_text(path, bytes, separator);
    }
    let head = &bytes[..bytes.len().min(HEAD)];
    match table(path, name, head, bytes.len() as u64, format)? {
        Some(table) => table.read(path, bytes),
        None => {
            let (name, packed) = entry(path, Cursor::new(bytes), format)?;
            let mut archive = archive(path, Cursor::new(bytes))?;
            let fault = |e: zip::result::ZipError| FileError::format(path, "npz", e);
            let mut file = archive.by_index(packed.index).map_err(fault)?;
            let mut unpacked = Vec::new();
            file.read_to_end(&mut unpacked).map_err(|e| FileError::format(path, "npz", e))?;
            let place = path.join(&name);
            let head = &unpacked[..unpacked.len().min(HEAD)];
            Table::npy(&place, head)?.read(&place, &unpacked)
        }
    }
}

/// The table that a file begins with; `None` if it is an archive.
fn table(
    path: &Path,
    name: &str,
    head: &[u8],
    length: u64,
    format: &Format,
) -> FileResult<Option<Table>> {
    let is_archive = matches!(head, [b'P', b'K', 3 | 5, ..]);
    let name = extension(name);
    if !is_archive || matches!(name.as_str(), "f32" | "f64") {
        refuse_array(path, format)?;
    }
    match (name.as_str(), head) {
        ("f32", _) => Table::raw(path, length, 4, format.dim).map(Some),
        ("f64", _) => Table::raw(path, length, 8, format.dim).map(Some),
        (_, [0x93, b'N', b'U', b'M', b'P', b'Y', ..]) => Table::npy(path, head).map(Some),
        _ if is_archive => Ok(None),
        (_, [0, 0, _, _, ..]) => Table::idx(path, head).map(Some),
        _ => {
            let found = format!("{:02x?}", &head[..head.len().min(6)]);
            let allowed = "must be those of npy (93 4e 55 4d 50 59), npz (50 4b) or IDX (00 00), \
                           or the name must end with .csv, .tsv, .f32 or .f64";
            Err(FileError::field(path, "first bytes", found, allowed))
        }
    }
}

/// Arrays have names in archives and HDF5 only.
fn refuse_array(path: &Path, format: &Format) -> FileResult<()> {
    match &format.array {
        None => Ok(()),
        Some(array) => {
            let allowed = "only .npz and HDF5 files hold arrays by name";
            Err(FileError::field(path, "array", array, allowed))
        }
    }
}

/// The rows of a file left in it; `None` if they are text or compressed.
fn stream(
    path: &Path,
    mut file: File,
    length: u64,
    format: &Format,
) -> FileResult<Option<FileRows>> {
    let name = path.to_string_lossy();
    if ["csv", "tsv", "gz"].contains(&extension(&name).as_str()) {
        return Ok(None);
    }
    let io = |e| FileError::io(path, e);
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(HEAD as u64).read_to_end(&mut head).map_err(io)?;
    if let Some(table) = table(path, &name, &head, length, format)? {
        table.check_length(path, length)?;
        return Ok(table.has_rows().then(|| FileRows::new(path, file, table, 0)));
    }
    let (name, entry) = entry(path, &file, format)?;
    if !entry.stored {
        return Ok(None);
    }
    let place = path.join(&name);
    let mut archive = archive(path, &file)?;
    let fault = |e: zip::result::ZipError| FileError::format(path, "npz", e);
    let mut inside = archive.by_index(entry.index).map_err(fault)?;
    let start = inside.data_start().unwrap_or_default();
    head.clear();
    Read::by_ref(&mut inside).take(HEAD as u64).read_to_end(&mut head).map_err(io)?;
    drop(inside);
    drop(archive);
    let table = Table::npy(&place, &head)?;
    table.check_length(&place, entry.size)?;
    Ok(table.has_rows().then(|| FileRows::new(&place, file, table, start)))
}

/// The array that was asked for, or the only one.
pub(super) fn choose<'a>(path: &Path, asked: Option<&str>, all: &[&'a str]) -> FileResult<&'a str> {
    let chosen = match (asked, all) {
        (None, &[only]) => Some(only),
        (asked, all) => all.iter().copied().find(|name| Some(*name) == asked),
    };
    chosen.ok_or_else(|| {
        let allowed = format!("must be one of {}", all.join(", "));
        FileError::field(path, "array", asked.unwrap_or("not given"), allowed)
    })
}

/// A file in an archive.
struct Entry {
    index: usize,
    size: u64,
    stored: bool,
}

fn archive<R: Read + Seek>(path: &Path, bytes: R) -> FileResult<zip::ZipArchive<R>> {
    zip::ZipArchive::new(bytes).map_err(|e| FileError::format(path, "npz", e))
}

/// The name and place of the array that `format` asks for.
fn entry(path: &Path, bytes: impl Read + Seek, format: &Format) -> FileResult<(String, Entry)> {
    let mut archive = archive(path, bytes)?;
    let names: Vec<String> = archive.file_names().flatten().map(String::from).collect();
    let arrays: Vec<&str> = names.iter().filter_map(|n| n.strip_suffix(".npy")).collect();
    let name = format!("{}.npy", choose(path, format.array.as_deref(), &arrays)?);
    let fault = |e: zip::result::ZipError| FileError::format(path, "npz", e);
    let index = archive.index_for_name(&name).unwrap_or_default();
    let file = archive.by_index(index).map_err(fault)?;
    let stored = file.compression() == zip::CompressionMethod::Stored;
    let entry = Entry { index, size: file.size(), stored };
    drop(file);
    Ok((name, entry))
}

#[cfg(test)]
mod tests;
