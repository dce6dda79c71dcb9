//! Tables in text: separated by commas, tabs, semicolons or blanks.

use std::borrow::ToOwned;
use std::format;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use csv::StringRecord;

use super::binary_files::number;
use super::columns::{About, Format, Head, Kept};
use super::data::{Data, check_shape};
use super::error::{FileError, FileResult};
use super::header::{First, has_index, judge, value};
use super::replace_file::write_file;
use super::text_records::{Records, Separator};
use crate::Real;

/// Writes rows of `dim` values each as csv, whole or not at all, with a header if there are names
/// for the columns. Numbers are written so that they are read back as they were.
///
/// # Errors
/// If the values do not fill rows, or the file cannot be written.
pub fn write_csv<T: Real>(
    path: impl AsRef<Path>,
    dim: usize,
    values: &[T],
    header: Option<&[&str]>,
) -> FileResult<()> {
    check_shape(dim, values.len())?;
    let rows = values.chunks_exact(dim).map(|row| row.iter().map(shortest).collect());
    write_text(path, b',', header, rows)
}

/// Writes rows of text with this separator, whole or not at all, below the header if there is one.
/// `-` is standard output; that a reader of it has had enough of them is no error.
///
/// # Errors
/// If rows are of different lengths, or the file cannot be written.
pub fn write_text(
    path: impl AsRef<Path>,
    separator: u8,
    header: Option<&[&str]>,
    rows: impl Iterator<Item = Vec<String>>,
) -> FileResult<()> {
    let path = path.as_ref();
    let io = |e| FileError::io(path, e);
    let write = |file: &mut dyn Write| {
        let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(file);
        if let Some(names) = header {
            writer.write_record(names)?;
        }
        for row in rows {
            writer.write_record(row)?;
        }
        writer.flush()
    };
    if path != Path::new("-") {
        return write_file(path, |file| write(file).map_err(io));
    }
    match write(&mut io::stdout().lock()) {
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(io),
    }
}

/// The shortest text that reads back as the same number, in the precision of `T`.
pub fn shortest<T: Real>(value: &T) -> String {
    match T::BITS {
        32 => (value.to_f64() as f32).to_string(),
        _ => value.to_f64().to_string(),
    }
}

/// Rows that are looked at before any is read.
const LOOK: usize = 100;

/// Reads the table in the bytes of a file that is named with this extension.
pub(super) fn read_text<T: Real>(
    path: &Path,
    bytes: &[u8],
    extension: &str,
    format: &Format,
) -> FileResult<(Data<T>, About)> {
    let mut records = Records::new(path, bytes, extension);
    let mut look = records.take(LOOK)?;
    let commas = records.separator() == Separator::Byte(b';');
    let mut notes = Vec::new();
    let names = match (records.comment_names(&look), format.header) {
        (Some(names), None) => Some(names),
        (_, Some(false)) => None,
        (_, Some(true)) if !look.is_empty() => Some(look.remove(0)),
        _ => take_names(&mut look, commas, &mut notes),
    };
    let Some(width) = names.as_ref().or(look.first()).map(StringRecord::len) else {
        return Err(nothing(path));
    };
    let is_index = names.as_ref().is_some_and(|names| {
        let names: Vec<&str> = names.iter().collect();
        has_index(&names, &look, commas)
    });
    let names = names.map(|names| names.iter().map(ToOwned::to_owned).collect::<Vec<String>>());
    let head = Head { path, names: names.as_deref(), width, has_index: is_index };
    let picked = head.pick(format)?;
    notes.extend(picked.notes);

    let empty = |&c: &usize| Kept { name: head.name(c), cells: Vec::new() };
    let as_text = [&picked.keep[..], &picked.condition].concat();
    let mut kept: Vec<Kept> = as_text.iter().map(empty).collect();
    let mut rows = 0;
    let mut reading = Reading {
        path,
        head: &head,
        features: &picked.features,
        decimals: Decimals { allowed: commas, seen: None },
        has_numbers: std::vec![false; width],
        values: Vec::new(),
    };
    let mut take = |record: &StringRecord, line: &dyn Fn(&StringRecord) -> u64| {
        rows += 1;
        for (kept, &column) in kept.iter_mut().zip(&as_text) {
            kept.cells.push(record.get(column).unwrap_or_default().to_owned());
        }
        reading.row(record, line)
    };
    for record in &look {
        take(record, &|record| records.line(record))?;
    }
    let mut record = StringRecord::new();
    while records.next(&mut record)? {
        take(&record, &|record| records.line(record))?;
    }
    if rows == 0 {
        return Err(nothing(path));
    }
    let data = Data { dim: picked.features.len(), values: reading.values };
    let condition = kept.split_off(picked.keep.len());
    let (columns, observed) = (picked.columns, picked.observed);
    Ok((data, About { columns, kept, condition, observed, notes }))
}

fn nothing(path: &Path) -> FileError {
    FileError::field(path, "rows", "none", "must be at least one below a header")
}

/// Takes the names of the first row, if it is a header.
fn take_names(
    look: &mut Vec<StringRecord>,
    commas: bool,
    notes: &mut Vec<String>,
) -> Option<StringRecord> {
    let (first, below) = look.split_first()?;
    let verdict = judge(first, below, commas);
    let row = || {
        let mut cells: Vec<&str> = first.iter().take(4).collect();
        if first.len() > cells.len() {
            cells.push("...");
        }
        cells.join(", ")
    };
    match verdict {
        First::NumberedNames => notes.push(format!(
            "the first row, {}, is taken as names of columns (--no-header if it is data)",
            row()
        )),
        First::DoubtfulData => notes.push(format!(
            "the first row, {}, is taken as data (--header if it names the columns)",
            row()
        )),
        _ => {}
    }
    matches!(verdict, First::Names | First::NumberedNames).then(|| look.remove(0))
}

/// Whether numbers have a comma for a point. They may where semicolons separate them.
struct Decimals {
    allowed: bool,
    /// The mark of the first number that has one.
    seen: Option<char>,
}

impl Decimals {
    fn parse(&mut self, cell: &str) -> Result<f64, &'static str> {
        let mark = match self.allowed {
            true => cell.chars().find(|c| matches!(c, '.' | ',')),
            false => None,
        };
        let value = value(cell, self.allowed).ok_or(match cell.is_empty() {
            true => "is empty, not a number",
            false => "is not a number",
        })?;
        match mark {
            Some(mark) if *self.seen.get_or_insert(mark) != mark => Err(match mark {
                ',' => "has a comma for a point, and numbers above it a point",
                _ => "has a point, and numbers above it a comma for one",
            }),
            _ => Ok(value),
        }
    }
}

/// A table while it is read.
struct Reading<'a, T> {
    path: &'a Path,
    head: &'a Head<'a>,
    features: &'a [usize],
    decimals: Decimals,
    /// The columns that a number has been read from.
    has_numbers: Vec<bool>,
    values: Vec<T>,
}

impl<T: Real> Reading<'_, T> {
    fn row(
        &mut self,
        record: &StringRecord,
        line: &dyn Fn(&StringRecord) -> u64,
    ) -> FileResult<()> {
        let (path, columns, expected) = (self.path, record.len(), self.head.width);
        if columns != expected {
            let row = line(record);
            return Err(FileError::Row { path: path.into(), row, columns, expected });
        }
        for &column in self.features {
            let cell = &record[column];
            let parsed = self.decimals.parse(cell);
            self.has_numbers[column] |= parsed.is_ok();
            match parsed.and_then(number) {
                Ok(value) => self.values.push(value),
                Err(problem) => return Err(self.fault(column, cell, problem, line(record))),
            }
        }
        Ok(())
    }

    /// What is wrong with a cell, or with its column if no number has been read from it.
    fn fault(&self, column: usize, cell: &str, problem: &'static str, row: u64) -> FileError {
        let path = self.path.into();
        let is_word = !cell.is_empty() && !self.has_numbers[column];
        if !is_word {
            let value = cell.into();
            return FileError::Cell { path, row, column: column + 1, value, problem };
        }
        let name = self.head.names.map(|names| names[column].clone());
        let name = name.filter(|name| !name.is_empty());
        FileError::TextColumn { path, row, column: column + 1, name, value: cell.into() }
    }
}
