//! What can be wrong with a file.

use core::fmt;
use std::borrow::Cow;
use std::boxed::Box;
use std::format;
use std::io;
use std::path::{Path, PathBuf};
use std::string::{String, ToString};

use crate::status;

/// A file that cannot be read or written, or that holds what it must not hold. Names the
/// file, the place in it, the value found there and what is allowed.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// The operating system refuses.
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        source: io::Error,
    },
    /// The bytes are not of the format that they should be of.
    Format {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
        /// What its parser says.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// The file is longer or shorter than its header says.
    Size {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
        /// The length that its header implies; `None` if more than any file can have.
        expected: Option<u64>,
    },
    /// A named part of the file: a field of its header, a key, a tensor.
    Field {
        /// The file.
        path: PathBuf,
        /// The part's name.
        field: String,
        /// What it holds.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A row of a table has another number of columns than the rows above it.
    Row {
        /// The file.
        path: PathBuf,
        /// The line of the file, from 1.
        row: u64,
        /// Its columns.
        columns: usize,
        /// The columns of the rows above it.
        expected: usize,
    },
    /// A number of a table.
    Cell {
        /// The file.
        path: PathBuf,
        /// The row from 1; in text files the line of the file.
        row: u64,
        /// The column, from 1.
        column: usize,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A column of a table that holds no numbers.
    TextColumn {
        /// The file.
        path: PathBuf,
        /// The line of the file, from 1, of its first word.
        row: u64,
        /// The column, from 1.
        column: usize,
        /// Its name, if it has one.
        name: Option<String>,
        /// The first word.
        value: String,
    },
    /// An error that is not about a file.
    Status(status::Error),
}

/// `Result` with [`FileError`].
pub type FileResult<T> = core::result::Result<T, FileError>;

impl FileError {
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        FileError::Io { path: path.into(), source }
    }

    pub(crate) fn format(
        path: &Path,
        format: &'static str,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        FileError::Format { path: path.into(), format, source: source.into() }
    }

    pub(crate) fn field(
        path: &Path,
        field: impl Into<String>,
        value: impl Into<String>,
        allowed: impl Into<String>,
    ) -> Self {
        let (field, value, allowed) = (field.into(), value.into(), allowed.into());
        FileError::Field { path: path.into(), field, value, allowed }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FileError::Io { path, source } => write!(f, "{}: {source}", path.display()),
            FileError::Format { path, format, source } => {
                let source = source.to_string();
                let (path, source) = (path.display(), short(&source));
                write!(f, "{path}: not a valid {format} file: {source}")
            }
            FileError::Size { path, bytes, expected } => {
                write!(f, "{}: {bytes} bytes long, but by its header ", path.display())?;
                match expected {
                    Some(n) if bytes < n => write!(f, "{n}; it has been cut short"),
                    Some(n) => write!(f, "{n}; something follows the numbers"),
                    None => write!(f, "larger than any file"),
                }
            }
            FileError::Field { path, field, value, allowed } => {
                let [field, value, allowed] = [field, value, allowed].map(|text| short(text));
                write!(f, "{}: {field}: {value}; {allowed}", path.display())
            }
            FileError::Row { path, row, columns, expected } => {
                let path = path.display();
                write!(f, "{path}: row {row}: number of columns is {columns}; must be {expected}")
            }
            FileError::Cell { path, row, column, value, problem } => {
                let (path, value) = (path.display(), short(value));
                write!(f, "{path}: row {row}, column {column}: {value:?} {problem}")
            }
            FileError::TextColumn { path, row, column, name, value } => {
                let path = path.display();
                let (called, drop) = match name {
                    Some(name) if name.len() > MOST => (String::new(), format!("{column}")),
                    Some(name) => (format!(" ({name})"), quoted(name)),
                    None => (String::new(), format!("{column}")),
                };
                let value = short(value);
                write!(
                    f,
                    "{path}: row {row}, column {column}{called}: {value:?} is not a number; leave \
                     the column out with --drop {drop}"
                )
            }
            FileError::Status(error) => error.fmt(f),
        }
    }
}

/// Bytes of each part of a message that come from a file, which may have megabytes of them.
const MOST: usize = 1000;

/// A part of a message, cut where it is too long.
fn short(text: &str) -> Cow<'_, str> {
    match text.len() > MOST {
        false => text.into(),
        true => {
            let end = text.floor_char_boundary(MOST);
            format!("{}... ({} bytes)", &text[..end], text.len()).into()
        }
    }
}

/// A name as a shell and a list of names take it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | ':');
    match name.chars().all(is_plain) {
        true => name.into(),
        false => format!("'\"{}\"'", name.replace('"', "\"\"").replace('\'', "'\\''")),
    }
}

impl core::error::Error for FileError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            FileError::Io { source, .. } => Some(source),
            FileError::Format { source, .. } => Some(&**source),
            FileError::Status(error) => Some(error),
            _ => None,
        }
    }
}

impl From<status::Error> for FileError {
    fn from(error: status::Error) -> Self {
        FileError::Status(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::error::Error;

    #[test]
    fn messages_are_short() {
        let (path, long) = (Path::new("a"), "\u{e4}b".repeat(1 << 20));
        let cell = FileError::Cell {
            path: path.into(),
            row: 1,
            column: 1,
            value: long.clone(),
            problem: "is not a number",
        };
        let text = FileError::TextColumn {
            path: path.into(),
            row: 1,
            column: 1,
            name: Some(long.clone()),
            value: long.clone(),
        };
        let field = FileError::field(path, &*long, &*long, &*long);
        for error in [field, FileError::format(path, "HDF5", &*long), cell, text] {
            let text = error.to_string();
            assert!(text.len() < 4 * MOST && text.contains("... (3145728 bytes)"), "{text}");
        }
    }

    #[test]
    fn messages_name_the_place_and_the_value() {
        let path = Path::new("train.csv");
        let cell = FileError::Cell {
            path: path.into(),
            row: 17,
            column: 3,
            value: "abc".into(),
            problem: "is not a number",
        };
        assert_eq!(cell.to_string(), "train.csv: row 17, column 3: \"abc\" is not a number");
        assert!(cell.source().is_none());
        let row = FileError::Row { path: path.into(), row: 2, columns: 5, expected: 4 };
        assert_eq!(row.to_string(), "train.csv: row 2: number of columns is 5; must be 4");
        let size = |expected| FileError::Size { path: path.into(), bytes: 7, expected }.to_string();
        assert_eq!(
            size(Some(8)),
            "train.csv: 7 bytes long, but by its header 8; it has been cut short"
        );
        assert!(size(Some(6)).ends_with("by its header 6; something follows the numbers"));
        let column = |name: Option<&str>| FileError::TextColumn {
            path: path.into(),
            row: 2,
            column: 3,
            name: name.map(Into::into),
            value: "a".into(),
        };
        let text = column(Some("kind")).to_string();
        assert!(text.starts_with("train.csv: row 2, column 3 (kind): \"a\" is not a number"));
        assert!(text.ends_with("--drop kind"), "{text}");
        assert!(column(None).to_string().ends_with("--drop 3"));
        assert!(column(Some("my, kind")).to_string().ends_with("--drop '\"my, kind\"'"));
        assert!(size(None).ends_with("larger than any file"));
        let field = FileError::field(path, "base", "\"x\"", "must be \"normal\"");
        assert_eq!(field.to_string(), "train.csv: base: \"x\"; must be \"normal\"");
    }

    #[test]
    fn causes_are_kept() {
        let path = Path::new("a");
        let io = FileError::io(path, io::Error::other("no luck"));
        assert_eq!(io.source().unwrap().to_string(), "no luck");
        let format = FileError::format(path, "npy", "no magic");
        assert_eq!(format.to_string(), "a: not a valid npy file: no magic");
        assert_eq!(format.source().unwrap().to_string(), "no magic");
        let inner = status::Error::new(status::Status::Dim, "dim", status::Value::None, "x");
        let outer = FileError::from(inner);
        assert_eq!(outer.to_string(), inner.to_string());
        assert!(outer.source().is_some());
    }
}
