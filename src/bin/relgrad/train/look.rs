//! A look at the data before training: what is named, and what is refused.

use relgrad::Scalar;
use relgrad::hosted::{About, Column, Columns, Features, FileResult, Rows, Survey, for_each_chunk};

use super::LOOK;
use super::args::{Train, Validation};
use super::sets::Sets;
use crate::data::{NAMED, column_of, own_value, shown};
use crate::failure::Failure;

/// A row farther from the median than so many spreads is named.
const FAR: f64 = 1e3;
/// One farther than so many would overflow as soon as weights grow: no validation with it.
const BEYOND: f64 = 1e12;
/// Where all but the outermost fiftieths of a column reach over a smaller part of its standard
/// deviation, the rows out there make the column: divided by its deviation, all others are one
/// value to the start, to the ridge and nearly to f32. No run can be right.
const LOST: f64 = 3e-5;
/// Columns that repeat more than this share of their values are named.
const REPEATED: f64 = 0.5;

/// One line for each kind of oddity in the data of a run. Rows of the validation data that are
/// beyond everything are named and left out.
pub fn remarks<T: Scalar>(
    args: &Train,
    sets: &mut Sets<T>,
    survey: &Survey,
) -> Result<Vec<String>, Failure> {
    refuse_lost(args, sets, survey)?;
    let data = args.data.display();
    let dim = survey.columns.len();
    let mut remarks = Vec::new();
    let rows = sets.data.rows();
    if rows <= dim {
        remarks.push(format!(
            "{data}: {rows} rows for {dim} features: they lie in a plane, and a density there has \
             no bound; take more rows or fewer features"
        ));
    }
    let names = sets.columns.as_ref();
    let value = |c: usize, v: f64| own_value(sets.origin.as_ref(), c, v);
    let constant = columns(survey, |c| c.is_constant);
    if !constant.is_empty() {
        let named = list(names, &constant, |c| shown(value(c, survey.columns[c].farthest.1)));
        remarks.push(format!(
            "{data}: {} constant ({named}): training sees noise as large as the value there, \
             which keeps the density bounded; better leave them out",
            are(constant.len(), "column")
        ));
    }
    let repeats = columns(survey, |c| !c.is_constant && c.repeated > REPEATED);
    if !repeats.is_empty() {
        let named =
            list(names, &repeats, |c| format!("{:.1} %", 100.0 * survey.columns[c].repeated));
        let subject =
            if repeats.len() == 1 { "1 column repeats its" } else { "columns repeat their" };
        let count = if repeats.len() == 1 { String::new() } else { format!("{} ", repeats.len()) };
        remarks.push(format!(
            "{data}: {count}{subject} values (share of repeated values: {named}): a density can \
             grow without bound on them; --preprocess dequantize:LEVELS adds noise to whole numbers"
        ));
    }
    let far = columns(survey, |c| c.reach() > FAR);
    if !far.is_empty() {
        let named = list(names, &far, |c| {
            let (row, v) = survey.columns[c].farthest;
            let (row, v) = (row_of(sets, row, dim), shown(value(c, v)));
            format!("{v} in row {row}, {:.0e} spreads from the median", survey.columns[c].reach())
        });
        remarks.push(format!(
            "{data}: {} with a value far from all others ({named}): if it stands for a missing \
             value or another unit, drop the row or correct it; if not, a logarithm may help",
            if far.len() == 1 { "1 column".into() } else { format!("{} columns", far.len()) }
        ));
    }
    let path = match &args.val {
        Some(Validation::File(path)) => path.display(),
        _ => args.data.display(),
    };
    if let Some(val) = sets.val.take() {
        let beyond = beyond(&Features::new(&*val, dim), survey)?;
        let named: Vec<String> =
            beyond.iter().take(NAMED).map(|b| (sets.split.val(b.0 - 1) + 1).to_string()).collect();
        if beyond.len() == val.rows() {
            return Err(format!("{path}: no row is anywhere near the training data").into());
        }
        if let Some((_, column, v)) = beyond.first() {
            remarks.push(format!(
                "{path}: {} left out of the validation data, far from all others (row {}; \
                 {}: {})",
                are(beyond.len(), "row"),
                named.join(", "),
                column_of(names, *column),
                shown(value(*column, *v))
            ));
        }
        let rows: Vec<usize> = beyond.iter().map(|b| b.0 - 1).collect();
        sets.val = Some(match rows.is_empty() {
            true => val,
            false => Box::new(Without::new(val, &rows)),
        });
    }
    Ok(remarks)
}

/// Refuses data of which a far row would leave nothing to learn.
fn refuse_lost<T: Scalar>(args: &Train, sets: &Sets<T>, survey: &Survey) -> Result<(), Failure> {
    let is_lost = |c: &Column| c.core > 0.0 && c.core < LOST * c.deviation;
    let Some(c) = survey.columns.iter().position(is_lost) else { return Ok(()) };
    let column = &survey.columns[c];
    let (row, value) = column.farthest;
    let row = row_of(sets, row, survey.columns.len());
    let own = |v| own_value(sets.origin.as_ref(), c, v);
    Err(format!(
        "{}: row {row}, {}: {} is {:.1e} times the column's spread ({:.3e}) from its median \
         ({}): beside it all other rows are one to the model; drop such rows, clip the value, \
         check its units, or take logarithms of the column",
        args.data.display(),
        column_of(sets.columns.as_ref(), c),
        shown(own(value)),
        column.reach(),
        column.middle.spread,
        shown(own(column.middle.median)),
    )
    .into())
}

fn columns(survey: &Survey, which: impl Fn(&Column) -> bool) -> Vec<usize> {
    (0..survey.columns.len()).filter(|c| which(&survey.columns[*c])).collect()
}

/// The first of some columns, and how many more there are.
fn list(names: Option<&Columns>, columns: &[usize], what: impl Fn(usize) -> String) -> String {
    let one = |c: &usize| format!("{}: {}", column_of(names, *c), what(*c));
    let mut named: Vec<String> = columns.iter().take(NAMED).map(one).collect();
    if columns.len() > NAMED {
        named.push(format!("{} more", columns.len() - NAMED));
    }
    named.join(", ")
}

fn are(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what} is") } else { format!("{count} {what}s are") }
}

/// The row of the data, from 1, that a row of the look is.
fn row_of<T: Scalar>(sets: &Sets<T>, row: usize, dim: usize) -> usize {
    let rows = sets.data.rows();
    let taken = rows.min((LOOK / dim).max(1));
    sets.split.train((row as u128 * rows as u128 / taken as u128) as usize) + 1
}

/// Rows (from 1) beyond everything, with the column and the value that show it.
fn beyond<T: Scalar>(
    data: &dyn Rows<T>,
    survey: &Survey,
) -> Result<Vec<(usize, usize, f64)>, Failure> {
    let reach: Vec<(f64, f64)> = survey
        .columns
        .iter()
        .map(|c| {
            let (median, spread) = (c.middle.median, c.middle.spread);
            let spread = if spread > 0.0 { spread } else { median.abs().max(f64::MIN_POSITIVE) };
            (median, if median == 0.0 && c.is_constant { 1.0 } else { spread } * BEYOND)
        })
        .collect();
    let (mut beyond, mut row) = (Vec::new(), 0);
    for_each_chunk(data, 1024, |x| {
        for x in x.chunks_exact(reach.len()) {
            row += 1;
            let values = x.iter().map(|v| v.to_f64()).zip(&reach);
            let far =
                values.enumerate().find(|(_, (v, (median, reach)))| (v - median).abs() > *reach);
            beyond.extend(far.map(|(column, (v, _))| (row, column, v)));
        }
        Ok(())
    })?;
    Ok(beyond)
}

/// A data set without some of its rows.
pub struct Without<R> {
    whole: R,
    left_out: Vec<usize>,
}

impl<R> Without<R> {
    /// `left_out` in ascending order.
    pub fn new(whole: R, left_out: &[usize]) -> Self {
        Without { whole, left_out: left_out.to_vec() }
    }
}

impl<T, R: Rows<T>> Rows<T> for Without<R> {
    fn dim(&self) -> usize {
        self.whole.dim()
    }

    fn rows(&self) -> usize {
        self.whole.rows() - self.left_out.len()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let own = |row: &usize| {
            self.left_out.iter().fold(*row, |row, left| row + usize::from(*left <= row))
        };
        let rows: Vec<usize> = rows.iter().map(own).collect();
        self.whole.fetch(pass, &rows, out)
    }

    fn about(&self) -> Option<&About> {
        self.whole.about()
    }
}
