//! What is observed with the rows of a data set, and how it becomes the conditions of a model.

use std::borrow::ToOwned;
use std::collections::BTreeSet;
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::columns::{Columns, Kept, some_of};
use super::error::{FileError, FileResult};
use super::header::value;
use crate::{Condition, Real};

/// Where a model's conditions come from. Its file keeps it, so that other data of the same kind are
/// read in the same way.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// The columns of a table that hold them; `None` if they were in a file of their own, or are the
    /// rows' order.
    pub columns: Option<Columns>,
    /// What becomes of them.
    pub reading: Reading,
}

/// How cells of a table become conditions.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Numbers, standardised so that their units do not matter: `(u - shift) * scale`.
    Numbers {
        /// Means of the training data.
        shift: Vec<f64>,
        /// 1 by their standard deviations.
        scale: Vec<f64>,
    },
    /// Labels, in the order of their classes.
    Labels(Vec<String>),
    /// The rows in their order are cut into so many equal parts. Cells number them from 1.
    Segments(u32),
}

/// The part of `count` that row `row` of `rows` is in, from 0.
pub fn segment_of(row: usize, rows: usize, count: u32) -> usize {
    (row as u128 * u128::from(count) / rows.max(1) as u128) as usize
}

impl Reading {
    /// Of a model that does not say more: numbers as they are, classes by their numbers from 0.
    pub(super) fn plain(condition: Condition) -> Option<Self> {
        match condition {
            Condition::None => None,
            Condition::Numbers { width } => {
                let width = width as usize;
                Some(Reading::Numbers { shift: vec![0.0; width], scale: vec![1.0; width] })
            }
            Condition::Classes { count } => {
                Some(Reading::Labels((0..count).map(|class| class.to_string()).collect()))
            }
        }
    }

    /// Standardises by the mean and the deviation of the first `rows` rows, those of training.
    ///
    /// # Errors
    /// Cells that are no numbers; a column of one value, on which nothing can depend.
    pub fn numbers(path: &Path, cells: &[Kept], rows: usize) -> FileResult<Self> {
        let (mut shift, mut scale) = (Vec::new(), Vec::new());
        for column in cells {
            let cells = column.cells.iter().take(rows).enumerate();
            let numbers = cells.map(|cell| number(path, &column.name, cell));
            let numbers: Vec<f64> = numbers.collect::<FileResult<_>>()?;
            let n = numbers.len() as f64;
            let mean = numbers.iter().map(|v| v / n).sum::<f64>();
            let variance = numbers.iter().map(|v| (v - mean) * ((v - mean) / n)).sum::<f64>();
            if !(variance > 0.0 && variance.is_finite()) || numbers.iter().all(|v| *v == numbers[0])
            {
                let allowed = "must vary: nothing can depend on one value";
                let value = column.cells.first().map_or("none", String::as_str);
                return Err(FileError::field(path, of_column(&column.name), value, allowed));
            }
            shift.push(mean);
            scale.push(1.0 / variance.sqrt());
        }
        Ok(Reading::Numbers { shift, scale })
    }

    /// The labels of the first `rows` rows, those of training: whole numbers in their order, or words
    /// in that of the alphabet.
    ///
    /// # Errors
    /// Several columns, empty cells, numbers that are not whole.
    pub fn labels(path: &Path, cells: &[Kept], rows: usize) -> FileResult<Self> {
        let [column] = cells else {
            let (found, allowed) = (format!("{} columns", cells.len()), "classes take one column");
            return Err(FileError::field(path, "condition", found, allowed));
        };
        let cells = || column.cells.iter().take(rows);
        if let Some(row) = cells().position(String::is_empty) {
            return Err(at(path, &column.name, row, "", "must be a label"));
        }
        let numbers: Option<Vec<f64>> = cells().map(|cell| value(cell, true)).collect();
        let Some(numbers) = numbers else {
            let labels: BTreeSet<&String> = cells().collect();
            return Ok(Reading::Labels(labels.into_iter().cloned().collect()));
        };
        if let Some(row) = numbers.iter().position(|v| v.fract() != 0.0) {
            let allowed = "classes are whole numbers or words; without --classes it is a number";
            return Err(at(path, &column.name, row, &column.cells[row], allowed));
        }
        // Neighbours above would be the same number.
        if let Some(row) = numbers.iter().position(|v| v.abs() >= 9_007_199_254_740_992.0) {
            let allowed = "classes are whole numbers below 2^53, or words";
            return Err(at(path, &column.name, row, &column.cells[row], allowed));
        }
        // 0 and -0 are one class.
        let mut numbers: Vec<f64> = numbers.iter().map(|v| v + 0.0).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers.dedup();
        Ok(Reading::Labels(numbers.iter().map(f64::to_string).collect()))
    }

    /// The condition of a model that takes these.
    pub fn condition(&self) -> Condition {
        match self {
            Reading::Numbers { shift, .. } => Condition::Numbers { width: shift.len() as u32 },
            Reading::Labels(labels) => Condition::Classes { count: labels.len() as u32 },
            Reading::Segments(count) => Condition::Classes { count: *count },
        }
    }

    /// What is wrong with it for a model of this condition.
    pub(super) fn fault(&self, condition: Condition) -> Option<&'static str> {
        if self.condition() != condition {
            return Some("must be of the model's condition");
        }
        match self {
            Reading::Numbers { shift, scale } => {
                let is_good = |v: &f64| v.is_finite();
                let is_good = shift.iter().all(is_good)
                    && scale.iter().all(|v| is_good(v) && *v != 0.0)
                    && scale.len() == shift.len();
                (!is_good).then_some("must be finite, scales not 0")
            }
            Reading::Labels(labels) => {
                let is_good = labels.iter().collect::<BTreeSet<_>>().len() == labels.len();
                (!is_good).then_some("must have each label once")
            }
            Reading::Segments(_) => None,
        }
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        match self {
            Reading::Numbers { shift, .. } => shift.len(),
            Reading::Labels(_) | Reading::Segments(_) => 1,
        }
    }

    /// The conditions of a model for the rows that `cells` of `path` are of.
    ///
    /// # Errors
    /// Another number of columns, cells that are no numbers, labels that training did not have: by
    /// their row.
    pub fn conditions<T: Real>(&self, path: &Path, cells: &[Kept]) -> FileResult<Vec<T>> {
        let width = self.width();
        if cells.len() != width {
            let (found, allowed) =
                (format!("{} columns", cells.len()), format!("must be {width}, as in the model"));
            return Err(FileError::field(path, "condition", found, allowed));
        }
        let rows = cells[0].cells.len();
        let mut out = vec![T::from_f64(0.0); rows * width];
        for (c, column) in cells.iter().enumerate() {
            for (row, cell) in column.cells.iter().enumerate() {
                let u = self.cell(path, c, (&column.name, row), cell)?;
                out[row * width + c] = T::from_f64(u);
            }
        }
        Ok(out)
    }

    fn cell(&self, path: &Path, c: usize, place: (&str, usize), cell: &str) -> FileResult<f64> {
        let unknown = |allowed: &str| at(path, place.0, place.1, cell, allowed);
        let whole = || value(cell, true).filter(|v| v.fract() == 0.0);
        match self {
            Reading::Numbers { shift, scale } => {
                let u = (number(path, place.0, (place.1, cell))? - shift[c]) * scale[c];
                // Conditions are of the precision of data, and must stay in its range.
                let allowed = "is too far from all that the model was trained on";
                if u.abs() < 1e30 { Ok(u) } else { Err(unknown(allowed)) }
            }
            Reading::Labels(labels) => {
                let find = |label: &str| labels.iter().position(|known| known == label);
                let class = find(cell).or_else(|| find(&whole()?.to_string()));
                let known =
                    || format!("must be one of {}, the labels of training", some_of(labels));
                class.map(|class| class as f64).ok_or_else(|| unknown(&known()))
            }
            Reading::Segments(count) => {
                let segment = whole().filter(|v| (1.0..=f64::from(*count)).contains(v));
                let known = || format!("must be a segment, 1 to {count}");
                segment.map(|v| v - 1.0).ok_or_else(|| unknown(&known()))
            }
        }
    }

    /// The conditions of `rows` rows in their order, if that is what they depend on.
    pub fn of_order<T: Real>(&self, rows: usize) -> Option<Vec<T>> {
        let Reading::Segments(count) = *self else { return None };
        Some((0..rows).map(|row| T::from_f64(segment_of(row, rows, count) as f64)).collect())
    }

    /// In a few words.
    pub fn describe(&self) -> String {
        match self {
            Reading::Numbers { shift, .. } if shift.len() == 1 => "1 number".to_owned(),
            Reading::Numbers { shift, .. } => format!("{} numbers", shift.len()),
            Reading::Labels(labels) => format!("{} classes: {}", labels.len(), some_of(labels)),
            Reading::Segments(count) => format!("{count} segments of the rows in their order"),
        }
    }
}

impl Observed {
    /// As many cells of one row, as they are given on a command line: `0.5,1.2`, or a label.
    ///
    /// # Errors
    /// As [`Reading::conditions`].
    pub fn of_text<T: Real>(&self, text: &str) -> FileResult<Vec<T>> {
        let parts: Vec<&str> = match self.reading {
            Reading::Numbers { .. } => text.split(',').map(str::trim).collect(),
            // A label may have commas.
            Reading::Labels(_) | Reading::Segments(_) => vec![text],
        };
        let names = self.columns.as_ref().and_then(|c| c.names.as_ref());
        let name = |i: usize| names.and_then(|n| n.get(i)).cloned().unwrap_or_default();
        let cell = |(i, part): (usize, &&str)| Kept { name: name(i), cells: vec![(*part).into()] };
        let cells: Vec<Kept> = parts.iter().enumerate().map(cell).collect();
        self.reading.conditions(Path::new(text), &cells)
    }

    /// The names of its columns, or how many there are.
    pub fn names(&self) -> String {
        match self.columns.as_ref().map(|c| (&c.names, &c.numbers)) {
            Some((Some(names), _)) => some_of(names),
            Some((None, numbers)) => {
                let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                format!("column {}", some_of(&numbers))
            }
            None => String::new(),
        }
    }
}

fn number(path: &Path, name: &str, (row, cell): (usize, impl AsRef<str>)) -> FileResult<f64> {
    let cell = cell.as_ref();
    value(cell, true).filter(|v| v.is_finite()).ok_or_else(|| {
        at(path, name, row, cell, "must be a finite number (--classes takes labels)")
    })
}

fn of_column(name: &str) -> String {
    if name.is_empty() { "condition".to_owned() } else { format!("condition {name}") }
}

fn at(path: &Path, name: &str, row: usize, cell: &str, allowed: &str) -> FileError {
    let place = format!("{}, data row {}", of_column(name), row + 1);
    FileError::field(path, place, format!("{cell:?}"), allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, cells: &[&str]) -> Kept {
        Kept { name: name.to_owned(), cells: cells.iter().map(|c| (*c).to_owned()).collect() }
    }

    fn refused<T>(result: FileResult<T>) -> String {
        result.map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn numbers_are_standardised_by_the_rows_of_training() {
        let path = Path::new("x");
        let cells = [column("a", &["1", "3", "1e9"]), column("b", &["1,5", "2.5", "2"])];
        let reading = Reading::numbers(path, &cells, 2).unwrap();
        assert_eq!(reading, Reading::Numbers { shift: vec![2.0, 2.0], scale: vec![1.0, 2.0] });
        assert_eq!(reading.condition(), Condition::Numbers { width: 2 });
        let short = [column("a", &["4"]), column("b", &["1"])];
        assert_eq!(reading.conditions::<f64>(path, &short).unwrap(), [2.0, -2.0]);
        let one = refused(reading.conditions::<f32>(path, &short[..1]));
        assert_eq!(one, "x: condition: 1 columns; must be 2, as in the model");
        let word = [column("a", &["4", "u"])];
        let word = refused(Reading::numbers(path, &word, 2));
        assert!(word.starts_with("x: condition a, data row 2: \"u\"; must be a finite"), "{word}");
        let one_value = refused(Reading::numbers(path, &[column("", &["4", "4"])], 2));
        assert!(one_value.starts_with("x: condition: 4; must vary"), "{one_value}");
    }

    #[test]
    fn labels_are_classes_in_an_order_of_their_own() {
        let path = Path::new("x");
        let labels = |cells: &[&str]| Reading::labels(path, &[column("k", cells)], 4);
        let words = labels(&["b", "a", "b", "c, d", "later"]).unwrap();
        assert_eq!(words, Reading::Labels(["a", "b", "c, d"].map(String::from).to_vec()));
        let numbers = labels(&["10", "2", "10.0", "-1"]).unwrap();
        assert_eq!(numbers, Reading::Labels(["-1", "2", "10"].map(String::from).to_vec()));
        let classes = numbers.conditions::<f32>(path, &[column("k", &["2.0", "-1"])]).unwrap();
        assert_eq!(classes, [1.0, 0.0]);
        let unknown = refused(words.conditions::<f32>(path, &[column("k", &["a", "e"])]));
        let expected = "x: condition k, data row 2: \"e\"; must be one of a, b, c, d, the labels of \
                        training";
        assert_eq!(unknown, expected);
        assert!(refused(labels(&["1", "0.5"])).contains("data row 2: \"0.5\"; classes are whole"));
        assert!(refused(labels(&["a", ""])).contains("data row 2: \"\"; must be a label"));
        let observed = Observed { columns: None, reading: words };
        assert_eq!(observed.of_text::<f64>("c, d").unwrap(), [2.0]);
        assert!(refused(observed.of_text::<f64>("z")).contains("must be one of a, b"));
    }

    #[test]
    fn segments_are_equal_parts() {
        let reading = Reading::Segments(3);
        assert_eq!(reading.of_order::<f64>(6).unwrap(), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(reading.of_order::<f64>(4).unwrap(), [0.0, 0.0, 1.0, 2.0]);
        let path = Path::new("x");
        let cells = |cell| [column("", &[cell])];
        assert_eq!(reading.conditions::<f64>(path, &cells("3")).unwrap(), [2.0]);
        assert!(refused(reading.conditions::<f64>(path, &cells("0"))).contains("segment, 1 to 3"));
    }
}
