//! The columns of a table: what they are called, and which of them are features.

use std::borrow::ToOwned;
use std::format;
use std::path::Path;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Value, json};

use super::error::{FileError, FileResult};

/// What a data file does not say itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Format {
    /// Columns: needed for raw files, and checked where files say it themselves.
    pub dim: Option<usize>,
    /// The array of an npz or HDF5 file, if it holds several; refused for other files.
    pub array: Option<String>,
    /// Whether the first row of a text file names the columns; `None` lets its content decide.
    /// Refused for other files.
    pub header: Option<bool>,
    /// `array`, `header` and `drop` are followed where they apply, and else ignored: for the
    /// second file of a command, which may be of another format.
    pub lenient: bool,
    /// Leave the rows in the file, where the format allows it.
    pub stream: bool,
    /// The columns that are features, by name or by number from 1, in this order; all if empty.
    pub columns: Vec<String>,
    /// Columns that are no features.
    pub drop: Vec<String>,
    /// Columns to have beside the features, as text: [`Rows::about`](super::Rows::about) gives them.
    pub keep: Vec<String>,
    /// Columns of what is observed with each row, which are no features either.
    pub condition: Vec<String>,
    /// The name of a file of conditions, which is an error if it is that of a column too.
    pub condition_file: Option<String>,
    /// Those of the model that the data are for: found by name, or by place in a file of as many
    /// columns. That they are not there is no error here.
    pub observed: Option<Columns>,
    /// Take all columns as [`About::condition`], `observed` of them if they are there by name.
    pub cells: bool,
    /// The features of the model that the data are for. They are found by name if both have
    /// names, in any order and among others; else by place, in a file of as many columns as the
    /// model has features, or of as many as its training data had.
    pub trained: Option<Columns>,
}

/// The columns of a file that are features. A model's file keeps those of its training data.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// Their names, in the order of the features; `None` if the file names none, or not each once.
    pub names: Option<Vec<String>>,
    /// Their numbers in the file, from 1.
    pub numbers: Vec<usize>,
    /// All columns of the file.
    pub of: usize,
}

/// A column that is kept beside the features, as text.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its name, or `column N`.
    pub name: String,
    /// A cell for each row.
    pub cells: Vec<String>,
}

/// What a data file says beside its numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct About {
    /// Which columns are features.
    pub columns: Columns,
    /// The columns that [`Format::keep`] asks for.
    pub kept: Vec<Kept>,
    /// The columns of what is observed with each row.
    pub condition: Vec<Kept>,
    /// Which ones these are.
    pub observed: Option<Columns>,
    /// What a person should know of how the file was read.
    pub notes: Vec<String>,
}

impl Columns {
    /// All columns of a file of `dim`, without names.
    pub fn all(dim: usize) -> Self {
        Columns { names: None, numbers: (1..=dim).collect(), of: dim }
    }

    /// Whether there is nothing to say: all columns, without names.
    fn is_plain(&self) -> bool {
        self.names.is_none() && self.numbers.iter().copied().eq(1..=self.of)
    }

    /// As the metadata of a model's file have it; `None` for all columns of a file without names.
    pub(super) fn to_metadata(&self) -> Option<String> {
        let of_all = json!({"names": self.names, "numbers": self.numbers, "of": self.of});
        (!self.is_plain()).then(|| of_all.to_string())
    }

    /// Reads what [`to_metadata`](Self::to_metadata) wrote for `dim` features.
    pub(super) fn of_metadata(text: &str, dim: usize) -> Option<Columns> {
        let value: Value = serde_json::from_str(text).ok()?;
        let name = |v: &Value| v.as_str().map(ToOwned::to_owned);
        let number = |v: &Value| usize::try_from(v.as_u64()?).ok();
        let names = match &value["names"] {
            Value::Null => None,
            names => Some(names.as_array()?.iter().map(name).collect::<Option<Vec<_>>>()?),
        };
        let numbers =
            value["numbers"].as_array()?.iter().map(number).collect::<Option<Vec<_>>>()?;
        let of = number(&value["of"])?;
        let is_good = numbers.len() == dim
            && numbers.iter().all(|n| (1..=of).contains(n))
            && names.as_ref().is_none_or(|names| names.len() == dim && are_distinct(names));
        is_good.then_some(Columns { names, numbers, of })
    }
}

/// Whether each name is there and there once.
fn are_distinct(names: &[String]) -> bool {
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort();
    sorted.windows(2).all(|pair| pair[0] != pair[1]) && sorted.iter().all(|name| !name.is_empty())
}

/// A list of names on a command line: `a,b,"c, d"`.
///
/// # Errors
/// If a quote is not closed or a name is empty.
pub fn parse_names(text: &str) -> Result<Vec<String>, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let fault = || format!("{text:?}: must be names or numbers of columns with commas between");
    let record = reader.records().next().ok_or_else(fault)?.map_err(|_| fault())?;
    let names: Vec<String> = record.iter().map(ToOwned::to_owned).collect();
    if names.iter().any(String::is_empty) { Err(fault()) } else { Ok(names) }
}

/// A table before its numbers are read.
pub(super) struct Head<'a> {
    pub path: &'a Path,
    /// The names in its first row.
    pub names: Option<&'a [String]>,
    /// Columns.
    pub width: usize,
    /// Whether the first column numbers the rows and has no name.
    pub has_index: bool,
}

/// What is read of a table, each column from 0.
pub(super) struct Picked {
    pub features: Vec<usize>,
    pub keep: Vec<usize>,
    pub condition: Vec<usize>,
    pub columns: Columns,
    pub observed: Option<Columns>,
    pub notes: Vec<String>,
}

impl Head<'_> {
    /// Which columns are features, and which are kept beside them.
    pub fn pick(&self, format: &Format) -> FileResult<Picked> {
        let mut notes = Vec::new();
        let width = self.width - usize::from(self.has_index);
        if let Some(dim) = format.dim.filter(|dim| ![width, self.width].contains(dim)) {
            let allowed = format!("must be {dim}, as the format says");
            return Err(FileError::field(self.path, "features", width.to_string(), allowed));
        }
        let condition = self.find_condition(format)?;
        let mut drop = match format.lenient {
            true => format.drop.iter().filter_map(|text| self.find(text).ok()).collect(),
            false => self.find_all(&format.drop)?,
        };
        let keep = self.find_all(&format.keep)?;
        drop.extend(&condition);
        let is_index = |column: usize| self.has_index && column == 0;
        let mut features: Vec<usize> =
            (0..self.width).filter(|&c| !is_index(c) && !drop.contains(&c)).collect();
        if !format.columns.is_empty() {
            let columns = self.find_all(&format.columns)?;
            self.check_order(&columns, format)?;
            features = columns.into_iter().filter(|c| !drop.contains(c)).collect();
        } else if let Some(trained) = &format.trained {
            features = match self.match_names(trained, &features, &keep, &mut notes)? {
                Some(found) => found,
                None => {
                    self.note_index(&drop, &mut notes);
                    match format.lenient && self.width == trained.numbers.len() {
                        true => (0..self.width).collect(),
                        false => self.match_places(trained, features, &keep),
                    }
                }
            };
        } else {
            self.note_index(&drop, &mut notes);
        }
        if features.is_empty() && !format.cells {
            let allowed = "must leave at least one column";
            let found = format!("none of {}", self.width);
            return Err(FileError::field(self.path, "columns", found, allowed));
        }
        let names =
            self.names.map(|all| features.iter().map(|&c| all[c].clone()).collect::<Vec<String>>());
        let names = names.filter(|names| {
            let distinct = are_distinct(names);
            if !distinct {
                notes
                    .push("names are not used: a column has none, or two have the same".to_owned());
            }
            distinct
        });
        let numbers = features.iter().map(|c| c + 1).collect();
        // A file without names has those of the model that it is for.
        let names = names.or_else(|| {
            let trained = format.trained.as_ref().filter(|_| self.names.is_none())?;
            trained.names.clone().filter(|names| names.len() == features.len())
        });
        let columns = Columns { names, numbers, of: self.width };
        let observed = (!condition.is_empty()).then(|| Columns {
            names: self.distinct_names(&condition),
            numbers: condition.iter().map(|c| c + 1).collect(),
            of: self.width,
        });
        Ok(Picked { features, keep, condition, columns, observed, notes })
    }

    /// The names of some columns, if each has one that no other has.
    fn distinct_names(&self, columns: &[usize]) -> Option<Vec<String>> {
        let names = columns.iter().map(|&c| Some(self.names?[c].clone()));
        let names: Vec<String> = names.collect::<Option<_>>()?;
        let own = self.names?;
        names.iter().all(|name| !name.is_empty() && find(own, name).is_some()).then_some(names)
    }

    /// The columns of what is observed with each row.
    fn find_condition(&self, format: &Format) -> FileResult<Vec<usize>> {
        if let Some(file) = format.condition_file.as_ref()
            && self.names.is_some_and(|names| names.contains(file))
        {
            let allowed = format!(
                "a file and a column have this name; must be ./{file}, or the number of the column"
            );
            return Err(FileError::field(self.path, "condition", file, allowed));
        }
        if !format.condition.is_empty() {
            return self.find_all(&format.condition);
        }
        if let Some(known) = &format.observed {
            if let (Some(wanted), Some(own)) = (&known.names, self.names) {
                let found: Option<Vec<usize>> = wanted.iter().map(|name| find(own, name)).collect();
                if let Some(found) = found {
                    return Ok(found);
                }
            } else if !format.cells && self.width == known.of {
                return Ok(known.numbers.iter().map(|n| n - 1).collect());
            }
        }
        let all = usize::from(self.has_index)..self.width;
        Ok(if format.cells { all.collect() } else { Vec::new() })
    }

    fn note_index(&self, drop: &[usize], notes: &mut Vec<String>) {
        if self.has_index && !drop.contains(&0) {
            let note = "the first column has no name and numbers the rows: left out \
                        (--columns takes it)";
            notes.push(note.to_owned());
        }
    }

    /// The features of a model, in its order; `None` unless both have names.
    fn match_names(
        &self,
        trained: &Columns,
        features: &[usize],
        keep: &[usize],
        notes: &mut Vec<String>,
    ) -> FileResult<Option<Vec<usize>>> {
        let (Some(wanted), Some(own)) = (&trained.names, self.names) else { return Ok(None) };
        let found: Vec<Option<usize>> = wanted.iter().map(|name| find(own, name)).collect();
        let missing = wanted.iter().zip(&found).filter(|(_, found)| found.is_none());
        let missing: Vec<String> = missing.map(|(name, _)| name.clone()).collect();
        if !missing.is_empty() {
            let allowed = format!(
                "the model takes {}; the file has {} (--columns says which to take instead, in \
                 the model's order)",
                some_of(wanted),
                some_of(own)
            );
            let is_twice = missing.iter().all(|name| own.contains(name));
            let how = if is_twice { "there twice" } else { "missing" };
            let value = format!("{} {how}", some_of(&missing));
            return Err(FileError::field(self.path, "columns", value, allowed));
        }
        let found: Vec<usize> = found.into_iter().flatten().collect();
        let is_extra = |c: &&usize| !found.contains(c) && !keep.contains(c);
        let extra: Vec<String> = features.iter().filter(is_extra).map(|&c| self.name(c)).collect();
        if !extra.is_empty() {
            notes.push(format!("not used, since the model has no such: {}", some_of(&extra)));
        }
        Ok(Some(found))
    }

    /// As many columns as the model has features, or those of a file like the one trained on.
    fn match_places(&self, trained: &Columns, features: Vec<usize>, keep: &[usize]) -> Vec<usize> {
        let dim = trained.numbers.len();
        if features.len() == dim {
            return features;
        }
        if self.width == trained.of {
            return trained.numbers.iter().map(|n| n - 1).collect();
        }
        let others: Vec<usize> = features.iter().copied().filter(|c| !keep.contains(c)).collect();
        if others.len() == dim { others } else { features }
    }

    /// Tables without names keep the order that they have: it is all that tells columns apart.
    fn check_order(&self, columns: &[usize], format: &Format) -> FileResult<()> {
        let is_sorted = columns.is_sorted();
        if is_sorted || self.names.is_some() || format.trained.is_some() {
            return Ok(());
        }
        let numbers: Vec<String> = columns.iter().map(|c| (c + 1).to_string()).collect();
        let allowed = "must rise: without names, columns keep their order";
        Err(FileError::field(self.path, "columns", numbers.join(", "), allowed))
    }

    fn find_all(&self, wanted: &[String]) -> FileResult<Vec<usize>> {
        let mut found = Vec::new();
        for text in wanted {
            let column = self.find(text)?;
            if found.contains(&column) {
                let allowed = "must be asked for once";
                return Err(FileError::field(self.path, "column", text, allowed));
            }
            found.push(column);
        }
        Ok(found)
    }

    /// A column by its name, or by its number from 1.
    fn find(&self, text: &str) -> FileResult<usize> {
        let names = self.names.unwrap_or_default();
        if let Some(column) = find(names, text) {
            return Ok(column);
        }
        let is_there = names.iter().any(|name| name == text);
        let number = text.parse().ok().filter(|n| !is_there && (1..=self.width).contains(n));
        number.map(|n: usize| n - 1).ok_or_else(|| {
            let numbers = format!("a number from 1 to {}", self.width);
            let allowed = match self.names {
                _ if is_there => format!("two columns have this name; must be {numbers}"),
                None => format!("must be {numbers}: the file has no names"),
                Some(names) => format!("must be one of {}, or {numbers}", some_of(names)),
            };
            FileError::field(self.path, "column", text, allowed)
        })
    }

    /// What a column is called, from 0.
    pub fn name(&self, column: usize) -> String {
        match self.names.map(|names| &names[column]) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => format!("column {}", column + 1),
        }
    }
}

/// The only column of this name.
fn find(names: &[String], name: &str) -> Option<usize> {
    let mut all = names.iter().enumerate().filter(|(_, n)| *n == name);
    all.next().filter(|_| all.next().is_none()).map(|(column, _)| column)
}

/// As many names as a message has room for.
pub(super) fn some_of(names: &[String]) -> String {
    const MOST: usize = 12;
    let shown = names.iter().take(MOST).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(MOST).filter(|more| *more > 0) {
        Some(more) => format!("{shown} and {more} more"),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|s| s.to_string()).collect()
    }

    /// Picks of a table with these names, or none and this width.
    fn pick(names: &[&str], width: usize, format: &Format) -> Result<Picked, String> {
        let names = texts(names);
        let has_index = names.first().is_some_and(String::is_empty);
        let names = (!names.is_empty()).then_some(&names[..]);
        let head = Head { path: Path::new("x"), names, width, has_index };
        head.pick(format).map_err(|e| e.to_string())
    }

    fn columns(names: &[&str], numbers: &[usize], of: usize) -> Columns {
        let names = (!names.is_empty()).then(|| texts(names));
        Columns { names, numbers: numbers.to_vec(), of }
    }

    #[test]
    fn columns_are_chosen_by_name_or_number() {
        let of = |columns: &[&str], drop: &[&str], keep: &[&str]| Format {
            columns: texts(columns),
            drop: texts(drop),
            keep: texts(keep),
            ..Format::default()
        };
        let abc = ["a", "b", "c"];
        let features = |names: &[&str], format: Format| {
            pick(names, 3, &format).map(|picked| (picked.features, picked.keep))
        };
        assert_eq!(features(&abc, of(&[], &[], &[])).unwrap(), (vec![0, 1, 2], vec![]));
        assert_eq!(features(&abc, of(&["c", "1"], &[], &["b"])).unwrap(), (vec![2, 0], vec![1]));
        assert_eq!(features(&abc, of(&[], &["2"], &["b"])).unwrap(), (vec![0, 2], vec![1]));
        assert_eq!(features(&[], of(&[], &["2"], &[])).unwrap(), (vec![0, 2], vec![]));
        // Names come before numbers.
        assert_eq!(features(&["0", "1", "2"], of(&["1"], &[], &[])).unwrap(), (vec![1], vec![]));
        let refused = |names: &[&str], format| features(names, format).unwrap_err();
        let one = refused(&abc, of(&["d"], &[], &[]));
        assert_eq!(one, "x: column: d; must be one of a, b, c, or a number from 1 to 3");
        let none = refused(&[], of(&[], &["a"], &[]));
        assert_eq!(none, "x: column: a; must be a number from 1 to 3: the file has no names");
        assert!(refused(&["a", "b", "a"], of(&["a"], &[], &[])).contains("two columns"));
        assert!(refused(&abc, of(&["a", "1"], &[], &[])).contains("once"));
        assert!(refused(&abc, of(&[], &["1", "2", "3"], &[])).contains("none of 3"));
        assert!(refused(&[], of(&["2", "1"], &[], &[])).contains("2, 1; must rise"));
    }

    #[test]
    fn a_models_columns_are_found_again() {
        let trained = |columns: Columns| Format { trained: Some(columns), ..Format::default() };
        let by_name = trained(columns(&["a", "b"], &[2, 4], 5));
        let features = |names: &[&str], width, format: &Format| {
            pick(names, width, format).map(|picked| (picked.features, picked.notes.len()))
        };
        assert_eq!(features(&["b", "a"], 2, &by_name).unwrap(), (vec![1, 0], 0));
        assert_eq!(features(&["b", "x", "a"], 3, &by_name).unwrap(), (vec![2, 0], 1));
        // Row numbers without a name need no word.
        assert_eq!(features(&["", "b", "a"], 3, &by_name).unwrap(), (vec![2, 1], 0));
        // Without names: as many columns as features, or as many as there were.
        assert_eq!(features(&[], 2, &by_name).unwrap(), (vec![0, 1], 0));
        assert_eq!(features(&[], 5, &by_name).unwrap(), (vec![1, 3], 0));
        assert_eq!(features(&[], 3, &by_name).unwrap(), (vec![0, 1, 2], 0));
        let error = pick(&["b", "c"], 2, &by_name).err().unwrap();
        assert!(error.starts_with("x: columns: a missing; the model takes a, b;"), "{error}");
        let error = pick(&["a", "b", "a"], 3, &by_name).err().unwrap();
        assert!(error.starts_with("x: columns: a there twice; "), "{error}");
        let keep = Format { keep: texts(&["1"]), ..by_name.clone() };
        assert_eq!(features(&[], 3, &keep).unwrap(), (vec![1, 2], 0));
        let renamed = Format { columns: texts(&["q", "p"]), ..by_name };
        assert_eq!(features(&["p", "q"], 2, &renamed).unwrap(), (vec![1, 0], 0));
        let by_place = trained(columns(&[], &[1, 3], 3));
        assert_eq!(features(&["u", "v", "w"], 3, &by_place).unwrap(), (vec![0, 2], 0));
    }

    #[test]
    fn conditions_are_no_features() {
        let of = |condition: &[&str]| Format { condition: texts(condition), ..Format::default() };
        let found = |names: &[&str], width, format: &Format| {
            let picked = pick(names, width, format).unwrap();
            (picked.features, picked.condition, picked.observed)
        };
        let abc = ["a", "b", "c"];
        let observed = columns(&["b", "a"], &[2, 1], 3);
        let (features, condition, known) = found(&abc, 3, &of(&["b", "1"]));
        assert_eq!((features, condition), (vec![2], vec![1, 0]));
        assert_eq!(known.as_ref(), Some(&observed));
        let file = Format { condition_file: Some("b".to_owned()), ..Format::default() };
        let both = pick(&abc, 3, &file).err().unwrap();
        assert!(both.starts_with("x: condition: b; a file and a column have this name;"), "{both}");
        assert!(pick(&abc, 3, &of(&["d"])).err().unwrap().contains("column: d; must be one of"));
        assert!(pick(&abc, 3, &of(&["1", "2", "3"])).err().unwrap().contains("none of 3"));
        // Those of a model: by name, by place, or not there.
        let like = Format {
            observed: Some(observed),
            trained: Some(columns(&["c"], &[3], 3)),
            ..Format::default()
        };
        let found = |names, width| {
            let (features, condition, _) = found(names, width, &like);
            (features, condition)
        };
        assert_eq!(found(&["a", "x", "c", "b"], 4), (vec![2], vec![3, 0]));
        assert_eq!(found(&[], 3), (vec![2], vec![1, 0]));
        assert_eq!(found(&["c", "a"], 2), (vec![0], vec![]));
        // A file of conditions: these by name, or all but row numbers.
        let cells = Format { cells: true, trained: None, ..like };
        let condition = |names: &[&str], width| pick(names, width, &cells).unwrap().condition;
        assert_eq!(condition(&["a", "x", "c", "b"], 4), [3, 0]);
        assert_eq!(condition(&["", "b"], 2), [1]);
        assert_eq!(condition(&[], 3), [0, 1, 2]);
    }

    #[test]
    fn metadata_come_back() {
        for columns in [columns(&["a", "\"b\", \n"], &[3, 1], 3), columns(&[], &[2], 3)] {
            let text = columns.to_metadata().unwrap();
            assert_eq!(Columns::of_metadata(&text, columns.numbers.len()), Some(columns));
        }
        assert_eq!(columns(&[], &[1, 2], 2).to_metadata(), None);
        for text in [
            "",
            "[]",
            r#"{"numbers": [1, 2]}"#,
            r#"{"numbers": [1, 3], "of": 2}"#,
            r#"{"numbers": [0, 1], "of": 2}"#,
            r#"{"names": ["a"], "numbers": [1, 2], "of": 2}"#,
            r#"{"names": ["a", "a"], "numbers": [1, 2], "of": 2}"#,
            r#"{"names": [1, 2], "numbers": [1, 2], "of": 2}"#,
        ] {
            assert_eq!(Columns::of_metadata(text, 2), None, "{text}");
        }
    }

    #[test]
    fn names_on_a_command_line() {
        assert_eq!(parse_names("a, b").unwrap(), texts(&["a", "b"]));
        assert_eq!(parse_names("\"a, b\",3").unwrap(), texts(&["a, b", "3"]));
        assert!(parse_names("").is_err() && parse_names("a,,b").is_err());
    }
}
