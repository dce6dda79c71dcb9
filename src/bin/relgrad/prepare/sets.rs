//! The sets, one by one. The rules are those of the published preprocessing programs.

use std::ops::Range;
use std::path::{Path, PathBuf};

use relgrad::hosted::{
    Data, FileError, FileResult, Format, Rows, for_each_chunk, open as open_rows,
};
use serde_json::{Value, json};

use super::numpy::RandomState;
use super::table::{Moments, Table};
use super::text::{Line, for_each_line};
use super::{PARTS, Parts, Set};
use crate::failure::Failure;

/// The set made of `files`.
pub fn open(set: Set, files: &[PathBuf], seed: u32) -> Result<Box<dyn Parts>, Failure> {
    Ok(match (set, files) {
        (Set::Power, [file]) => Box::new(power(file, seed)?),
        (Set::Gas, [file]) => Box::new(gas(file, seed)?),
        (Set::Hepmass, [train, test]) => Box::new(hepmass(train, test)?),
        (Set::Miniboone, [file]) => Box::new(miniboone(file)?),
        (Set::Bsds300, [file]) => Box::new(Patches::open(file)?),
        (Set::Mnist, [train, test]) => Box::new(Digits::open(train, test, seed)?),
        _ => return Err("another number of files".into()),
    })
}

/// A table that is shifted and scaled by the moments of some of its rows.
struct Standardized {
    table: Table,
    parts: [Range<usize>; 3],
    moments: Moments,
    /// Rows of the file that are not in the table.
    left_out: usize,
}

impl Standardized {
    /// `cuts`: where validation and test rows begin.
    fn new(
        path: &Path,
        table: Table,
        cuts: [usize; 2],
        moments: Moments,
        left_out: usize,
    ) -> FileResult<Self> {
        if table.values.is_empty() {
            return Err(fault(path, "rows and features", "none", "must be at least one of each"));
        }
        let constant = moments.deviation.iter().position(|d| !(*d > 0.0 && d.is_finite()));
        if let Some(column) = constant {
            let field = format!("feature {}", table.names[column]);
            return Err(fault(path, field, "constant", "must vary to be standardised"));
        }
        let parts = [0..cuts[0], cuts[0]..cuts[1], cuts[1]..table.rows()];
        Ok(Standardized { table, parts, moments, left_out })
    }
}

impl Parts for Standardized {
    fn dim(&self) -> usize {
        self.table.dim()
    }

    fn rows(&self) -> [usize; 3] {
        self.parts.clone().map(|part| part.len())
    }

    fn write(
        &mut self,
        part: usize,
        to: &mut dyn FnMut(&[f32]) -> FileResult<()>,
    ) -> FileResult<()> {
        let mut row = vec![0.0; self.dim()];
        for i in self.parts[part].clone() {
            let Moments { mean, deviation } = &self.moments;
            for (((out, x), mean), deviation) in
                row.iter_mut().zip(self.table.row(i)).zip(mean).zip(deviation)
            {
                *out = ((x - mean) / deviation) as f32;
            }
            to(&row)?;
        }
        Ok(())
    }

    fn about(&self) -> Value {
        json!({
            "features": self.table.names,
            "mean": self.moments.mean,
            "standard_deviation": self.moments.deviation,
            "rows_left_out": self.left_out,
        })
    }
}

/// Where validation and test rows begin when the last tenth is for tests and the last tenth of
/// what is left for validation.
fn tenths(rows: usize) -> [usize; 2] {
    let rest = rows - rows / 10;
    [rest - rest / 10, rest]
}

fn fault(
    path: &Path,
    field: impl Into<String>,
    value: impl Into<String>,
    allowed: &str,
) -> FileError {
    let (field, value, allowed) = (field.into(), value.into(), allowed.into());
    FileError::Field { path: path.into(), field, value, allowed }
}

fn is_npy(path: &Path) -> bool {
    path.to_string_lossy().trim_end_matches(".gz").ends_with(".npy")
}

/// Columns of the household's file: date, time and seven measurements.
const POWER_COLUMNS: usize = 9;

/// Active power, voltage, three meters and the minute of the day. Reactive power and current are
/// left out, and rows with missing values; rows are shuffled; noise of the last digit's size
/// makes values different. Moments of training and validation rows.
fn power(path: &Path, seed: u32) -> FileResult<Standardized> {
    let mut table = Table::new([
        "global_active_power",
        "voltage",
        "sub_metering_1",
        "sub_metering_2",
        "sub_metering_3",
        "time",
    ]);
    let dim = table.dim();
    let (measured, left_out) = if is_npy(path) { power_npy(path)? } else { power_text(path)? };
    let rows = measured.len() / dim;
    let mut random = RandomState::new(seed);
    let order = random.permutation(rows as u32);
    table.values =
        order.iter().flat_map(|i| &measured[*i as usize * dim..][..dim]).copied().collect();
    drop(measured);
    let mut add = |columns: Range<usize>, size: f64| {
        for row in table.values.chunks_exact_mut(dim) {
            row[columns.clone()].iter_mut().for_each(|x| *x += size * random.uniform());
        }
    };
    add(1..2, 0.01);
    add(0..1, 0.001);
    add(2..5, 1.0);
    // The published array is taken as it is; the paper says that its times have noise.
    if !is_npy(path) {
        add(5..6, 1.0);
    }
    let cuts = tenths(rows);
    let moments = table.moments(0..cuts[1], 0);
    Standardized::new(path, table, cuts, moments, left_out)
}

/// The features of [`power`] in the published array: seven measurements, then the time.
fn power_npy(path: &Path) -> FileResult<(Vec<f64>, usize)> {
    let data = Data::<f64>::read(path)?;
    if data.dim() != 8 {
        return Err(fault(path, "columns", data.dim().to_string(), "must be 8"));
    }
    let chosen = data.values().chunks_exact(8).flat_map(|row| [0, 2, 4, 5, 6, 7].map(|j| row[j]));
    Ok((chosen.collect(), 0))
}

fn power_text(path: &Path) -> FileResult<(Vec<f64>, usize)> {
    let (mut values, mut left_out) = (Vec::new(), 0);
    let mut row = Vec::new();
    for_each_line(path, |line| {
        if line.number == 1 && line.text.starts_with("Date") {
            return Ok(());
        }
        let cells = line.text.split(';').enumerate();
        line.check_columns(cells.clone().count(), POWER_COLUMNS)?;
        let measured = cells.skip(2);
        if measured.clone().any(|(_, cell)| matches!(cell.trim(), "?" | "")) {
            left_out += 1;
            return Ok(());
        }
        row.clear();
        line.numbers(measured, &mut row)?;
        let time = line.text.split(';').nth(1).unwrap_or_default();
        let minute = minute(time).ok_or_else(|| line.cell(1, time, "is not a time, HH:MM:SS"))?;
        values.extend([row[0], row[2], row[4], row[5], row[6], f64::from(minute)]);
        Ok(())
    })?;
    Ok((values, left_out))
}

/// The minute of the day of HH:MM:SS.
fn minute(time: &str) -> Option<u32> {
    let mut parts = time.split(':');
    let mut part = |below: u32| parts.next()?.trim().parse::<u32>().ok().filter(|n| *n < below);
    Some(part(24)? * 60 + part(60)?)
}

/// Columns of the sensors' file: time, two concentrations, 16 sensors.
const GAS_COLUMNS: usize = 19;

/// A quarter of the rows, in a random order (as the published array, whose seed is not known), and
/// the sensors that are left when no two correlate by more than 0.98. Moments of all rows.
fn gas(path: &Path, seed: u32) -> FileResult<Standardized> {
    let is_data = |line: &Line| line.number > 1 || !line.is_header();
    let mut rows = 0;
    for_each_line(path, |line| {
        rows += usize::from(is_data(&line));
        Ok(())
    })?;
    // As a whole number is rounded: halves to even.
    let chosen = (0.25 * rows as f64).round_ties_even() as usize;
    let order = RandomState::new(seed).permutation(rows as u32);
    let mut place = vec![None; rows];
    for (i, row) in order[..chosen].iter().enumerate() {
        place[*row as usize] = Some(i);
    }
    let mut table = Table::new((1..=16).map(|i| format!("sensor_{i}")));
    let dim = table.dim();
    table.values = vec![0.0; chosen * dim];
    let (mut row, mut places) = (Vec::new(), place.into_iter());
    for_each_line(path, |line| {
        if !is_data(&line) {
            return Ok(());
        }
        let cells = line.text.split_whitespace().enumerate();
        line.check_columns(cells.clone().count(), GAS_COLUMNS)?;
        row.clear();
        line.numbers(cells, &mut row)?;
        if let Some(i) = places.next().flatten() {
            table.values[i * dim..][..dim].copy_from_slice(&row[GAS_COLUMNS - dim..]);
        }
        Ok(())
    })?;
    table.keep(&table.uncorrelated(0.98));
    let cuts = tenths(chosen);
    let moments = table.moments(0..chosen, 1);
    Standardized::new(path, table, cuts, moments, rows - chosen)
}

/// A feature whose least value comes more often than this is taken for a discrete one.
const MOST_REPEATED: usize = 5;

/// The rows of signal, without discrete features. Moments of training and validation rows, which
/// are the file to train on, and its last tenth.
fn hepmass(train: &Path, test: &Path) -> FileResult<Standardized> {
    let mut table = Table::new((0..27).map(|i| format!("f{i}")));
    let dim = table.dim();
    let (mut row, mut left_out) = (Vec::new(), 0);
    let mut read = |path: &Path, values: &mut Vec<f64>| {
        for_each_line(path, |line| {
            if line.number == 1 && line.is_header() {
                return Ok(());
            }
            // A label and the features; the test file has a mass besides.
            let cells = line.text.split(',').enumerate();
            let columns = cells.clone().count();
            if columns != dim + 2 {
                line.check_columns(columns, dim + 1)?;
            }
            row.clear();
            line.numbers(cells.take(dim + 1), &mut row)?;
            match row[0] == 1.0 {
                true => values.extend(&row[1..]),
                false => left_out += 1,
            }
            Ok(())
        })
    };
    read(train, &mut table.values)?;
    let rows = table.values.len() / dim;
    read(test, &mut table.values)?;
    table.keep(&table.with_rare_minimum(0..rows, MOST_REPEATED));
    let moments = table.moments(0..rows, 1);
    Standardized::new(train, table, [rows - rows / 10, rows], moments, left_out)
}

/// Columns of the events' file.
const EVENT_COLUMNS: usize = 50;

/// The signal, which comes first, without outliers (-999 in each column) and discrete features.
/// Moments of training and validation rows.
fn miniboone(path: &Path) -> FileResult<Standardized> {
    let (mut table, left_out) = match is_npy(path) {
        true => {
            let data = Data::<f64>::read(path)?;
            let mut table = Table::new((0..data.dim()).map(|i| i.to_string()));
            table.values = data.values().to_vec();
            (table, 0)
        }
        false => events(path)?,
    };
    table.keep(&table.with_rare_minimum(0..table.rows(), MOST_REPEATED));
    let cuts = tenths(table.rows());
    let moments = table.moments(0..cuts[1], 0);
    Standardized::new(path, table, cuts, moments, left_out)
}

fn events(path: &Path) -> FileResult<(Table, usize)> {
    let mut table = Table::new((0..EVENT_COLUMNS).map(|i| i.to_string()));
    let (mut counts, mut row, mut rows) = (Vec::new(), Vec::new(), 0u32);
    for_each_line(path, |line| {
        let cells = line.text.split_whitespace().enumerate();
        let columns = cells.clone().count();
        if counts.is_empty() {
            // The numbers of events of signal and of background.
            line.check_columns(columns, 2)?;
            return line.numbers(cells, &mut counts);
        }
        line.check_columns(columns, EVENT_COLUMNS)?;
        row.clear();
        line.numbers(cells, &mut row)?;
        rows += 1;
        if f64::from(rows) <= counts[0] && row[0] >= -100.0 {
            table.values.extend(&row);
        }
        Ok(())
    })?;
    let expected: f64 = counts.iter().sum();
    if f64::from(rows) != expected {
        let allowed = format!("must be {expected}, as its first line says");
        return Err(fault(path, "rows", rows.to_string(), &allowed));
    }
    let left_out = rows as usize - table.rows();
    Ok((table, left_out))
}

/// Patches as they are published: noise added, the mean taken out, the last pixel left out.
struct Patches([Box<dyn Rows<f32>>; 3]);

/// Rows that are in memory at once.
const CHUNK: usize = 4096;

impl Patches {
    fn open(path: &Path) -> FileResult<Self> {
        let part = |name: &str| {
            let format = Format { array: Some(name.to_owned()), stream: true, ..Format::default() };
            open_rows::<f32>(path, &format)
        };
        let patches = Patches([part(PARTS[0])?, part(PARTS[1])?, part(PARTS[2])?]);
        let dims = patches.0.each_ref().map(|rows| rows.dim());
        if dims.iter().any(|dim| *dim != dims[0]) {
            return Err(fault(
                path,
                "features",
                format!("{dims:?}"),
                "must be the same in all parts",
            ));
        }
        Ok(patches)
    }
}

impl Parts for Patches {
    fn dim(&self) -> usize {
        self.0[0].dim()
    }

    fn rows(&self) -> [usize; 3] {
        self.0.each_ref().map(|rows| rows.rows())
    }

    fn write(
        &mut self,
        part: usize,
        to: &mut dyn FnMut(&[f32]) -> FileResult<()>,
    ) -> FileResult<()> {
        for_each_chunk(&*self.0[part], CHUNK, to)
    }
}

/// Images; the last sixth of those to train on is for validation.
struct Digits {
    train: Box<dyn Rows<f32>>,
    test: Box<dyn Rows<f32>>,
    files: [PathBuf; 2],
    random: RandomState,
}

/// Keeps logits finite.
const LAMBDA: f64 = 1e-6;
/// Grey levels of a pixel.
const LEVELS: f64 = 256.0;

impl Digits {
    fn open(train: &Path, test: &Path, seed: u32) -> FileResult<Self> {
        let stream = Format { stream: true, ..Format::default() };
        let rows = |path: &Path| open_rows::<f32>(path, &stream);
        let files = [train.to_owned(), test.to_owned()];
        let (train, test, random) = (rows(train)?, rows(test)?, RandomState::new(seed));
        if test.dim() != train.dim() {
            let allowed = format!("must be {}, as in {}", train.dim(), files[0].display());
            return Err(fault(&files[1], "features", test.dim().to_string(), &allowed));
        }
        Ok(Digits { train, test, files, random })
    }
}

impl Parts for Digits {
    fn dim(&self) -> usize {
        self.train.dim()
    }

    fn rows(&self) -> [usize; 3] {
        let validation = self.train.rows() / 6;
        [self.train.rows() - validation, validation, self.test.rows()]
    }

    fn write(
        &mut self,
        part: usize,
        to: &mut dyn FnMut(&[f32]) -> FileResult<()>,
    ) -> FileResult<()> {
        let ([first, ..], dim) = (self.rows(), self.dim());
        let (data, path, rows) = match part {
            0 => (&self.train, &self.files[0], 0..first),
            1 => (&self.train, &self.files[0], first..self.train.rows()),
            _ => (&self.test, &self.files[1], 0..self.test.rows()),
        };
        let mut image = vec![0.0; dim];
        for row in rows {
            data.fetch(0, &[row], &mut image)?;
            for (column, x) in image.iter_mut().enumerate() {
                let level = f64::from(*x);
                if !(0.0..LEVELS).contains(&level) || level.fract() != 0.0 {
                    return Err(FileError::Cell {
                        path: path.clone(),
                        row: row as u64 + 1,
                        column: column + 1,
                        value: level.to_string(),
                        problem: "is not a grey level, 0 to 255",
                    });
                }
                let grey = (level + self.random.uniform()) / LEVELS;
                let p = LAMBDA + (1.0 - 2.0 * LAMBDA) * grey;
                *x = (p / (1.0 - p)).ln() as f32;
            }
            to(&image)?;
        }
        Ok(())
    }
}
