//! Tables in text: csv and tsv.

use std::format;
use std::path::Path;
use std::string::ToString;
use std::vec::Vec;

use super::binary_files::number;
use super::data::{Data, check_shape};
use super::error::{FileError, FileResult};
use super::replace_file::write_file;
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
    let path = path.as_ref();
    let write = |file: &mut dyn std::io::Write| {
        let mut writer = csv::Writer::from_writer(file);
        if let Some(names) = header {
            writer.write_record(names)?;
        }
        for row in values.chunks_exact(dim) {
            // The shortest text that reads back as the same number, in the precision of `T`.
            let text = |v: &T| match T::BITS {
                32 => (v.to_f64() as f32).to_string(),
                _ => v.to_f64().to_string(),
            };
            writer.write_record(row.iter().map(text))?;
        }
        writer.flush()
    };
    write_file(path, |file| write(file).map_err(|e: std::io::Error| FileError::io(path, e)))
}

/// Reads a table; a first row without any number is a header, blank lines are skipped.
pub(super) fn read_text<T: Real>(path: &Path, bytes: &[u8], delimiter: u8) -> FileResult<Data<T>> {
    // The reader's position is that of the blank lines before a record, not of the record.
    let line = |position: Option<&csv::Position>| {
        let start = position.map_or(0, |p| p.byte() as usize);
        let blank = bytes[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        1 + bytes[..start + blank].iter().filter(|b| **b == b'\n').count() as u64
    };
    let fault = |e: csv::Error| match e.kind() {
        csv::ErrorKind::Utf8 { pos, err } => {
            FileError::format(path, "csv", format!("row {}: {err}", line(pos.as_ref())))
        }
        _ => FileError::format(path, "csv", e),
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes);
    let mut values = Vec::new();
    let mut dim = None;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(fault)? {
        let row = || line(record.position());
        let columns = record.len();
        let is_first = dim.is_none();
        let expected = *dim.get_or_insert(columns);
        if columns != expected {
            return Err(FileError::Row { path: path.into(), row: row(), columns, expected });
        }
        if is_first && record.iter().all(|cell| cell.parse::<f64>().is_err()) {
            continue;
        }
        for (i, cell) in record.iter().enumerate() {
            let parsed = match cell.parse::<f64>() {
                Ok(value) => number(value),
                Err(_) if cell.is_empty() => Err("is empty, not a number"),
                Err(_) => Err("is not a number"),
            };
            values.push(parsed.map_err(|problem| FileError::Cell {
                path: path.into(),
                row: row(),
                column: i + 1,
                value: cell.into(),
                problem,
            })?);
        }
    }
    if values.is_empty() {
        return Err(FileError::field(path, "rows", "none", "must be at least one below a header"));
    }
    Ok(Data { dim: dim.unwrap_or(1), values })
}
