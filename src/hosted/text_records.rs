//! The rows of a text table as cells, and what separates them.

use std::format;
use std::path::Path;
use std::vec::Vec;

use csv::StringRecord;

use super::error::{FileError, FileResult};
use super::header::value;

/// What is between the cells of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Separator {
    Byte(u8),
    /// Any number of blanks or tabs.
    Blanks,
}

/// Lines that separators are told by.
const LOOK: usize = 20;

/// What separates the cells of these lines: of semicolon, tab, comma and blanks the first that is
/// there equally often in each line. Where none is, what the file's extension says, or else the
/// first that the first line has.
fn separator(lines: &[&[u8]], extension: &str) -> Separator {
    const ALL: [Separator; 4] =
        [Separator::Byte(b';'), Separator::Byte(b'\t'), Separator::Byte(b','), Separator::Blanks];
    let is_regular = |separator: &Separator| {
        let mut counts = lines.iter().map(|line| count(line, *separator));
        let first = counts.next().unwrap_or(0);
        first > 0 && counts.all(|count| count == first)
    };
    let is_there = |separator: &Separator| lines.first().is_some_and(|l| count(l, *separator) > 0);
    ALL.into_iter().find(is_regular).unwrap_or_else(|| match extension {
        "csv" => Separator::Byte(b','),
        "tsv" => Separator::Byte(b'\t'),
        _ => ALL.into_iter().find(is_there).unwrap_or(Separator::Blanks),
    })
}

/// How often a separator is in a line, outside quotes.
fn count(line: &[u8], separator: Separator) -> usize {
    match separator {
        Separator::Byte(byte) => {
            let mut is_quoted = false;
            line.iter()
                .filter(|&&c| {
                    is_quoted ^= c == b'"';
                    c == byte && !is_quoted
                })
                .count()
        }
        Separator::Blanks => {
            let cells = line.split(u8::is_ascii_whitespace).filter(|cell| !cell.is_empty());
            cells.count().saturating_sub(1)
        }
    }
}

/// The rows of a table that are not blank. Lines that begin with `#` before the first row are
/// left out, and wherever blanks separate cells, as NumPy and gnuplot have it.
pub(super) struct Records<'a> {
    path: &'a Path,
    /// The table without the lines before it.
    bytes: &'a [u8],
    lines_before: u64,
    /// The last line that begins with `#` before the first row.
    comment: Option<&'a [u8]>,
    separator: Separator,
    form: Form<'a>,
}

enum Form<'a> {
    Separated(csv::Reader<&'a [u8]>),
    Blanks { rest: &'a [u8], line: u64 },
}

impl<'a> Records<'a> {
    /// The rows in the bytes of a file that is named with this extension.
    pub fn new(path: &'a Path, bytes: &'a [u8], extension: &str) -> Self {
        let mut bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let (mut lines_before, mut comment) = (0, None);
        while bytes.first() == Some(&b'#') {
            let (line, rest) = cut(bytes);
            (bytes, lines_before, comment) = (rest, lines_before + 1, Some(&line[1..]));
        }
        let lines = bytes.split(|c| matches!(c, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
        let lines = lines.filter(|line| !line.is_empty()).take(LOOK).collect::<Vec<_>>();
        let separator = separator(&lines, extension);
        let form = match separator {
            Separator::Byte(byte) => Form::Separated(reader(bytes, byte)),
            Separator::Blanks => Form::Blanks { rest: bytes, line: lines_before },
        };
        Records { path, bytes, lines_before, comment, separator, form }
    }

    pub fn separator(&self) -> Separator {
        self.separator
    }

    /// The next row; `false` if there is none.
    pub fn next(&mut self, record: &mut StringRecord) -> FileResult<bool> {
        match &mut self.form {
            Form::Separated(reader) => {
                let read = reader.read_record(record);
                read.map_err(|e| self.fault(e))
            }
            Form::Blanks { rest, line } => {
                while !rest.is_empty() {
                    let (text, after) = cut(rest);
                    (*rest, *line) = (after, *line + 1);
                    let text = text.trim_ascii();
                    if text.is_empty() || text[0] == b'#' {
                        continue;
                    }
                    let text = str::from_utf8(text).map_err(|e| {
                        FileError::format(self.path, "text", format!("row {line}: {e}"))
                    })?;
                    record.clear();
                    for cell in text.split_ascii_whitespace() {
                        record.push_field(unquoted(cell));
                    }
                    let mut position = csv::Position::new();
                    position.set_line(*line);
                    record.set_position(Some(position));
                    return Ok(true);
                }
                Ok(false)
            }
        }
    }

    /// Up to so many of the next rows.
    pub fn take(&mut self, rows: usize) -> FileResult<Vec<StringRecord>> {
        let (mut all, mut record) = (Vec::new(), StringRecord::new());
        while all.len() < rows && self.next(&mut record)? {
            all.push(record.clone());
        }
        Ok(all)
    }

    /// The line of the file, from 1, that a row is in.
    pub fn line(&self, record: &StringRecord) -> u64 {
        match self.form {
            Form::Separated(_) => self.line_at(record.position()),
            Form::Blanks { .. } => record.position().map_or(0, csv::Position::line),
        }
    }

    fn line_at(&self, position: Option<&csv::Position>) -> u64 {
        // The reader's position is that of the blank lines before a record, not of the record.
        let start = position.map_or(0, |p| p.byte() as usize).min(self.bytes.len());
        let blank = self.bytes[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        let lines = self.bytes[..start + blank].iter().filter(|b| **b == b'\n').count();
        self.lines_before + 1 + lines as u64
    }

    fn fault(&self, error: csv::Error) -> FileError {
        match error.kind() {
            csv::ErrorKind::Utf8 { pos, err } => {
                let row = self.line_at(pos.as_ref());
                FileError::format(self.path, "text", format!("row {row}: {err}"))
            }
            _ => FileError::format(self.path, "csv", error),
        }
    }

    /// The names in the comment above the table: as many words as it has columns, at least two.
    pub fn comment_names(&self, rows: &[StringRecord]) -> Option<StringRecord> {
        let text = str::from_utf8(self.comment?).ok()?.trim();
        let names: StringRecord = match self.separator {
            Separator::Blanks => text.split_ascii_whitespace().map(unquoted).collect(),
            Separator::Byte(byte) => {
                let mut names = StringRecord::new();
                reader(text.as_bytes(), byte).read_record(&mut names).ok()?;
                names
            }
        };
        let first = rows.first()?;
        let commas = self.separator == Separator::Byte(b';');
        let is_word = |name: &str| !name.is_empty() && value(name, commas).is_none();
        // Where the first row is a header itself, the comment is none.
        let has_header = first.iter().all(is_word);
        let is_header = names.len() >= 2 && names.len() == first.len() && names.iter().all(is_word);
        (is_header && !has_header).then_some(names)
    }
}

fn reader(bytes: &[u8], separator: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(bytes)
}

/// The first line, and the rest after its end.
fn cut(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|c| *c == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[]),
    }
}

/// A cell without quotes around it.
fn unquoted(cell: &str) -> &str {
    cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"')).unwrap_or(cell)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_told_by_the_lines() {
        use Separator::*;
        for (text, extension, expected) in [
            ("1,2\n3,4", "csv", Byte(b',')),
            ("1, 2\n3, 4", "txt", Byte(b',')),
            ("1;2\n3;4", "csv", Byte(b';')),
            ("1,5;2,5\n3,5;4,5", "csv", Byte(b';')),
            ("x;y\n1,5;2", "csv", Byte(b';')),
            ("1\t2\n3\t4", "csv", Byte(b'\t')),
            ("x y\tz\n1\t2", "tsv", Byte(b'\t')),
            ("1 2\n3   4", "csv", Blanks),
            ("x\n1\n2", "csv", Byte(b',')),
            ("x\n1\n2", "txt", Blanks),
            ("my x\n1\n2", "csv", Byte(b',')),
            // Semicolons in text do not separate.
            ("\"a;b\",1\n\"c;d\",2", "csv", Byte(b',')),
            ("a;b,1\nc,2", "csv", Byte(b',')),
            // Ragged.
            ("1,2\n3\n", "csv", Byte(b',')),
            ("1\t2\n3\n", "", Byte(b'\t')),
            ("1 2\n3\n", "", Blanks),
            ("", "", Blanks),
        ] {
            let lines: Vec<&[u8]> = text.as_bytes().split(|c| *c == b'\n').collect();
            assert_eq!(separator(&lines, extension), expected, "{text}");
        }
    }

    #[test]
    fn rows_know_their_lines() {
        for (text, separator, lines) in [
            ("# a\n# b\n\n1,2\n\n3,4\n", Separator::Byte(b','), [4, 6]),
            ("# a\n\n1 2\n# c\n \n3 4", Separator::Blanks, [3, 6]),
            ("\u{feff}1;2\r\n3;4\r\n", Separator::Byte(b';'), [1, 2]),
        ] {
            let mut records = Records::new(Path::new("x"), text.as_bytes(), "");
            assert_eq!(records.separator(), separator);
            let rows = records.take(9).unwrap();
            assert_eq!(rows.len(), 2, "{text}");
            assert_eq!([&rows[0], &rows[1]].map(|row| records.line(row)), lines, "{text}");
            assert_eq!(rows[1], StringRecord::from(["3", "4"].to_vec()));
        }
    }

    #[test]
    fn a_comment_may_name_the_columns() {
        let names = |text: &str| {
            let mut records = Records::new(Path::new("x"), text.as_bytes(), "");
            let rows = records.take(9).unwrap();
            records.comment_names(&rows)
        };
        assert_eq!(names("# made by hand\n# x \"y\"\n1 2\n").unwrap().as_slice(), "xy");
        assert_eq!(names("#x,y z\n1,2\n").unwrap().as_slice(), "xy z");
        for text in [
            "# x y\n# made in 2020\n1 2\n",
            "# x y z\n1 2\n",
            "# a b\nx y\n1 2\n",
            "1 2\n",
            "# x\n1\n",
        ] {
            assert_eq!(names(text), None, "{text}");
        }
    }
}
