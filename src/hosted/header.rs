//! Whether the first row of a text table names the columns.

use std::vec::Vec;

use csv::StringRecord;

/// What a first row is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum First {
    /// Names.
    Names,
    /// Names that are numbers: worth a word.
    NumberedNames,
    Data,
    /// Numbers that may have been meant as names: worth a word.
    DoubtfulData,
}

/// Judges a first row by itself and the rows below it:
///
/// - Without any number in it, it is a header.
/// - Some names and whole numbers otherwise are a header if a name is above a number.
/// - Whole numbers that rise are a header if no number below is written as they are, without a
///   point or an exponent; and `0,1,2,...` of at least three columns, which is how pandas calls
///   columns without names, unless the next row counts on.
///
/// With `commas`, numbers may have a comma for a point.
///
/// What marks a missing value (`NA`, `?`, nothing) names no column, but the first may lack a name.
pub(super) fn judge(first: &StringRecord, below: &[StringRecord], commas: bool) -> First {
    let is_number = |cell: &str| value(cell, commas).is_some();
    let words: Vec<usize> = (0..first.len()).filter(|&c| !is_number(&first[c])).collect();
    if words.len() == first.len() {
        return if first.iter().all(is_missing) { First::Data } else { First::Names };
    }
    if words.iter().any(|&c| is_missing(&first[c]) && !(c == 0 && first[c].is_empty())) {
        return First::Data;
    }
    let numbers: Vec<usize> = (0..first.len()).filter(|c| !words.contains(c)).collect();
    if !numbers.iter().all(|&c| is_plain(&first[c])) || below.is_empty() {
        return First::Data;
    }
    let above_number = |&c: &usize| below[0].get(c).is_some_and(is_number);
    if words.iter().any(above_number) {
        return First::Names;
    }
    let values: Vec<u64> = numbers.iter().filter_map(|&c| first[c].parse().ok()).collect();
    if values.len() != numbers.len() || values.len() < 2 || !values.is_sorted_by(|a, b| a < b) {
        return First::Data;
    }
    let is_other =
        |row: &StringRecord| numbers.iter().all(|&c| row.get(c).is_none_or(|v| !is_plain(v)));
    if below.iter().all(is_other) {
        return First::NumberedNames;
    }
    let is_range = values.iter().copied().eq(0..values.len() as u64) && values.len() > 2;
    match is_range {
        true if !counts_on(&below[0]) => First::NumberedNames,
        true => First::DoubtfulData,
        false if values.iter().all(|v| (1500..2500).contains(v)) => First::DoubtfulData,
        false => First::Data,
    }
}

/// The number that a cell holds, with a comma for a point if that is allowed.
pub(super) fn value(cell: &str, commas: bool) -> Option<f64> {
    match commas && cell.contains(',') && !cell.contains('.') {
        // One with several commas stays what it is and is refused.
        true => cell.replacen(',', ".", 1).parse().ok(),
        false => cell.parse().ok(),
    }
}

/// Whether the first column, which has no name, numbers the rows or labels them, as pandas and R
/// write it: whole numbers or words.
pub(super) fn has_index(names: &[&str], below: &[StringRecord], commas: bool) -> bool {
    let (Some((first, others)), false) = (names.split_first(), below.is_empty()) else {
        return false;
    };
    let is_label = |row: &StringRecord| {
        row.get(0).is_some_and(|cell| is_plain(cell) || value(cell, commas).is_none())
    };
    matches!(*first, "" | "Unnamed: 0")
        && !others.is_empty()
        && others.iter().all(|name| !name.is_empty())
        && below.iter().all(is_label)
}

/// Whether the cell is a whole number written with digits alone.
fn is_plain(cell: &str) -> bool {
    let is_padded = cell.len() > 1 && cell.starts_with('0');
    !cell.is_empty() && !is_padded && cell.bytes().all(|c| c.is_ascii_digit())
}

fn is_missing(cell: &str) -> bool {
    ["", "NA", "N/A", "n/a", "nan", "NaN", "NULL", "null", "?", "-", "."].contains(&cell)
}

/// Whether the row consists of neighbouring whole numbers.
fn counts_on(row: &StringRecord) -> bool {
    let values: Vec<u64> = row.iter().filter_map(|cell| cell.parse().ok()).collect();
    values.len() == row.len()
        && values.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<StringRecord> {
        text.split('\n').map(|row| row.split(',').collect::<Vec<_>>().into()).collect()
    }

    #[test]
    fn headers_are_told_from_data() {
        use First::*;
        for (text, expected) in [
            ("x,y\n1,2", Names),
            ("x,y\nu,v", Names),
            ("x,y", Names),
            ("Na,K\n1,2", Names),
            ("a,,b\n1,2,3", Names),
            (",a,b\n0,1,2", Names),
            // What pandas and R write for tables without names.
            ("0,1,2\n0.5,-1.25,0.75", NumberedNames),
            ("0,1,2\n5,-1.25,7", NumberedNames),
            ("0,1,2\n5,3,9\n0,0,1", NumberedNames),
            ("0,1\n0.5,0.25", NumberedNames),
            (",0,1\n0,0.5,0.25", Names),
            ("name,2019,2020\nu,1.5,2.5", NumberedNames),
            ("x,2019\n1.5,2.5", Names),
            ("2019,2020,2021\n0.5,-1.25,1e3", NumberedNames),
            ("2019,2020,2021\n5,3,9", DoubtfulData),
            // Data.
            ("1,2\n3,4", Data),
            ("0,1\n1,0\n0,0", Data),
            ("0,1,2\n1,2,3\n2,3,4", DoubtfulData),
            ("1,2,3\n4,5,6", Data),
            ("0,0,1\n0.5,0.5,0.5", Data),
            ("2,1\n0.5,0.5", Data),
            ("0.0,1.0,2.0\n0.5,0.5,0.5", Data),
            ("5,3,9", Data),
            ("0,1,2", Data),
            ("7\n0.5", Data),
            ("1.5,2.5,a\n0.5,0.5,b", Data),
            ("1,2,a\n3,4,b", Data),
            ("1.5,x\n2.5,3.5", Data),
            // A missing value is no name.
            ("NA,1\n3,4", Data),
            ("1,\n3,4", Data),
            ("?,?\n1,2", Data),
            ("NaN,NaN\n1,2", Data),
            ("\n1", Data),
            ("00,01\n0.5,0.5", Data),
            ("1,99999999999999999999\n0.5,0.5", Data),
        ] {
            let rows = rows(text);
            assert_eq!(judge(&rows[0], &rows[1..], false), expected, "{text}");
        }
    }

    #[test]
    fn commas_for_points_make_no_names() {
        let rows = |text: &str| -> Vec<StringRecord> {
            text.split('\n').map(|row| row.split(';').collect::<Vec<_>>().into()).collect()
        };
        for (text, expected) in [
            ("1,5;2,5\n3,5;4,5", First::Data),
            ("x;y\n3,5;4,5", First::Names),
            ("2019;2020\n3,5;4,5", First::NumberedNames),
        ] {
            let rows = rows(text);
            assert_eq!(judge(&rows[0], &rows[1..], true), expected, "{text}");
        }
        assert_eq!(value("1,5", false), None);
        assert_eq!(value("-1,5e3", true), Some(-1500.0));
        assert_eq!(value("1.000,5", true).or(value("1,000,5", true)), None);
    }

    #[test]
    fn row_numbers_are_told_from_features() {
        for (text, expected) in [
            (",a,b\n0,1.5,2\n1,2.5,3", true),
            (",a\n17,1.5\n3,2.5", true),
            (",a\nMazda,1.5", true),
            ("Unnamed: 0,a\n0,1.5", true),
            (",a,b\n0.5,1.5,2", false),
            (",a,\n0,1,2", false),
            ("i,a\n0,1.5", false),
            (",a", false),
            ("\n1", false),
        ] {
            let rows = rows(text);
            let names: Vec<&str> = rows[0].iter().collect();
            assert_eq!(has_index(&names, &rows[1..], false), expected, "{text}");
        }
    }
}
