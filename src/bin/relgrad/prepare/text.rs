//! Tables in text files that need not fit into memory.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use relgrad::hosted::{FileError, FileResult};

/// A line of a file.
pub struct Line<'a> {
    path: &'a Path,
    /// From 1.
    pub number: u64,
    pub text: &'a str,
}

/// Hands over the lines of a file that are not blank; one named `.gz` is unpacked meanwhile.
pub fn for_each_line(path: &Path, mut see: impl FnMut(Line) -> FileResult<()>) -> FileResult<()> {
    let io = |source| FileError::Io { path: path.into(), source };
    let file = BufReader::new(File::open(path).map_err(io)?);
    let mut input: Box<dyn BufRead> = match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file))),
        false => Box::new(file),
    };
    let mut text = String::new();
    for number in 1.. {
        text.clear();
        if input.read_line(&mut text).map_err(io)? == 0 {
            break;
        }
        if !text.trim().is_empty() {
            see(Line { path, number, text: text.trim() })?;
        }
    }
    Ok(())
}

impl Line<'_> {
    /// Appends cells, each with its column from 0, as numbers.
    pub fn numbers<'a>(
        &self,
        cells: impl Iterator<Item = (usize, &'a str)>,
        numbers: &mut Vec<f64>,
    ) -> FileResult<()> {
        for (column, cell) in cells {
            let value = cell.trim().parse();
            let value = value.map_err(|_| self.cell(column, cell, "is not a number"))?;
            if !f64::is_finite(value) {
                return Err(self.cell(column, cell, "is not finite"));
            }
            numbers.push(value);
        }
        Ok(())
    }

    /// Refuses lines of another number of columns.
    pub fn check_columns(&self, columns: usize, expected: usize) -> FileResult<()> {
        if columns == expected {
            return Ok(());
        }
        Err(FileError::Row { path: self.path.into(), row: self.number, columns, expected })
    }

    /// What is wrong with the cell of this column, from 0.
    pub fn cell(&self, column: usize, value: &str, problem: &'static str) -> FileError {
        FileError::Cell {
            path: self.path.into(),
            row: self.number,
            column: column + 1,
            value: value.into(),
            problem,
        }
    }

    /// Whether the line is a header: begins with something else than a number.
    pub fn is_header(&self) -> bool {
        let first = self.text.split([' ', '\t', ',', ';']).next().unwrap_or_default();
        first.parse::<f64>().is_err()
    }
}

/// The first of these files in a folder, as it is or as `.gz`.
pub fn find(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    let all = names.iter().flat_map(|name| [folder.join(name), folder.join(format!("{name}.gz"))]);
    all.into_iter().find(|path| path.is_file())
}
