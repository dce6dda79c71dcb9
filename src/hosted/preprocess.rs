//! What happens to data before the network sees them, and is undone on samples: the part that
//! is not linear. Shift, scale and whitening belong to the model itself (its input transform and
//! its first layer).

use core::fmt;
use core::str::FromStr;
use std::format;
use std::vec::Vec;

use super::columns::About;
use super::error::FileResult;
use super::rows::Rows;
use crate::Real;
use crate::random::Random;
use crate::status::{Error, Result, Status, Value};

/// Elementwise preparation of data.
///
/// Written `none`, `dequantize:LEVELS`, `logit:LAMBDA` or `logit:LAMBDA,LEVELS`.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub enum Preprocess {
    /// Data are used as they are.
    #[default]
    None,
    /// `(x + u) / levels` with u uniform on (0, 1), for x in `0 ..= levels - 1`.
    Dequantize {
        /// How many values x can have.
        levels: f64,
    },
    /// `logit(lambda + (1 - 2 lambda) v)`, where v is x in [0, 1], or with levels as in
    /// [`Preprocess::Dequantize`]. MNIST in the literature: `logit:1e-6,256`.
    Logit {
        /// Keeps the logit away from 0 and 1; in (0, 0.5).
        lambda: f64,
        /// How many values x can have, if it is to be dequantised.
        levels: Option<f64>,
    },
}

/// The random streams of dequantisation.
const NOISE_STREAM: u32 = 3;

impl Preprocess {
    /// Whether the parameters are usable.
    ///
    /// # Errors
    /// Names the one out of range.
    pub fn check(&self) -> Result<()> {
        let levels = match *self {
            Preprocess::None => None,
            Preprocess::Dequantize { levels } => Some(levels),
            Preprocess::Logit { lambda, levels } => {
                if !(1e-12..0.5).contains(&lambda) {
                    let allowed = "must be in [1e-12, 0.5)";
                    let value = Value::Real(lambda);
                    return Err(Error::new(Status::Combination, "logit.lambda", value, allowed));
                }
                levels
            }
        };
        match levels {
            Some(v) if !(2.0..=65536.0).contains(&v) || v.fract() != 0.0 => {
                let allowed = "must be a whole number, 2 to 65536";
                Err(Error::new(Status::Combination, "levels", Value::Real(v), allowed))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn levels(&self) -> Option<f64> {
        match *self {
            Preprocess::None => None,
            Preprocess::Dequantize { levels } => Some(levels),
            Preprocess::Logit { levels, .. } => levels,
        }
    }

    /// Prepares `row` in place with noise of `random`.
    fn apply<T: Real>(&self, random: &mut Random, row: &mut [T]) -> Result<()> {
        let levels = self.levels();
        for (i, x) in row.iter_mut().enumerate() {
            let mut v = x.to_f64();
            let (top, allowed) = match levels {
                Some(levels) => (levels - 1.0, "to dequantise, values must be 0 to levels - 1"),
                None => (1.0, "a logit takes values in [0, 1]"),
            };
            if *self != Preprocess::None && !(0.0..=top).contains(&v) {
                let value = Value::At(i as u64, v);
                return Err(Error::new(Status::NonFiniteData, "x", value, allowed));
            }
            if let Some(levels) = levels {
                v = (v + random.uniform()) / levels;
            }
            if let Preprocess::Logit { lambda, .. } = *self {
                let p = lambda + (1.0 - 2.0 * lambda) * v;
                v = libm::log(p) - libm::log1p(-p);
            }
            *x = T::from_f64(v);
        }
        Ok(())
    }

    /// Takes prepared data (samples, say) back to the data's own values, in place; dequantised
    /// values become whole numbers.
    pub fn undo<T: Real>(&self, values: &mut [T]) {
        if *self == Preprocess::None {
            return;
        }
        for x in values {
            let mut v = x.to_f64();
            if let Preprocess::Logit { lambda, .. } = *self {
                let p = 1.0 / (1.0 + libm::exp(-v));
                v = ((p - lambda) / (1.0 - 2.0 * lambda)).clamp(0.0, 1.0);
            }
            if let Some(levels) = self.levels() {
                v = libm::floor(v * levels).clamp(0.0, levels - 1.0);
            }
            *x = T::from_f64(v);
        }
    }

    /// `log|d prepared / d x|` of a prepared row, with x in the data's own units (one level is
    /// 1): what likelihoods in those units have in addition.
    pub fn log_slope<T: Real>(&self, prepared: &[T]) -> f64 {
        let levels = self.levels().map_or(0.0, libm::log) * prepared.len() as f64;
        let Preprocess::Logit { lambda, .. } = *self else { return -levels };
        // With p = sigmoid(v): dv/dp = 1 / (p (1 - p)).
        let slope = |v: &T| {
            let v = libm::fabs(v.to_f64());
            v + 2.0 * libm::log1p(libm::exp(-v)) + libm::log1p(-2.0 * lambda)
        };
        prepared.iter().map(slope).sum::<f64>() - levels
    }
}

impl fmt::Display for Preprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preprocess::None => f.write_str("none"),
            Preprocess::Dequantize { levels } => write!(f, "dequantize:{levels}"),
            Preprocess::Logit { lambda, levels: None } => write!(f, "logit:{lambda}"),
            Preprocess::Logit { lambda, levels: Some(l) } => write!(f, "logit:{lambda},{l}"),
        }
    }
}

impl FromStr for Preprocess {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        let unknown = || {
            let allowed = "must be none, dequantize:LEVELS, logit:LAMBDA or logit:LAMBDA,LEVELS";
            Error::new(Status::Enumeration, "preprocess", Value::None, allowed)
        };
        let (name, numbers) = text.split_once(':').unwrap_or((text, ""));
        let numbers: Vec<f64> = match numbers {
            "" => Vec::new(),
            list => {
                let parsed = list.split(',').map(|n| n.parse().map_err(|_| unknown()));
                parsed.collect::<Result<_>>()?
            }
        };
        let preprocess = match (name, &numbers[..]) {
            ("none", []) => Preprocess::None,
            ("dequantize", &[levels]) => Preprocess::Dequantize { levels },
            ("logit", &[lambda]) => Preprocess::Logit { lambda, levels: None },
            ("logit", &[lambda, levels]) => Preprocess::Logit { lambda, levels: Some(levels) },
            _ => return Err(unknown()),
        };
        preprocess.check().map(|()| preprocess)
    }
}

/// A data set as [`Preprocess`] makes it of another, row by row as they are fetched.
#[derive(Debug)]
pub struct Prepared<R> {
    raw: R,
    preprocess: Preprocess,
    seed: u64,
    redraw: bool,
}

impl<R> Prepared<R> {
    /// Noise depends on `seed`, the row and, if `redraw`, the pass.
    pub fn new(raw: R, preprocess: Preprocess, seed: u64, redraw: bool) -> Self {
        Prepared { raw, preprocess, seed, redraw }
    }
}

impl<T: Real, R: Rows<T>> Rows<T> for Prepared<R> {
    fn dim(&self) -> usize {
        self.raw.dim()
    }

    fn rows(&self) -> usize {
        self.raw.rows()
    }

    fn about(&self) -> Option<&About> {
        self.raw.about()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        self.raw.fetch(pass, rows, out)?;
        if self.preprocess == Preprocess::None {
            return Ok(());
        }
        let pass = if self.redraw { pass } else { 0 };
        for (row, values) in rows.iter().zip(out.chunks_exact_mut(self.raw.dim())) {
            // 2^40 rows before the streams of two passes could meet.
            let mut random = Random::nth(self.seed, NOISE_STREAM, *row as u64 ^ (pass << 40));
            self.preprocess.apply(&mut random, values).map_err(|e| match e.value {
                Value::At(column, value) => super::error::FileError::field(
                    std::path::Path::new("data"),
                    format!("row {}, column {}", row + 1, column + 1),
                    format!("{value}"),
                    e.allowed,
                ),
                _ => e.into(),
            })?;
        }
        Ok(())
    }
}

/// Constant columns with normal noise: training on them finds the density that the noise has,
/// where a constant's own would grow without bound until the weights overflow.
#[derive(Debug)]
pub struct Noisy<R> {
    raw: R,
    /// Columns, and the standard deviations of their noise.
    columns: Vec<(usize, f64)>,
    seed: u64,
}

/// The random streams of noise on constant columns.
const CONSTANT_STREAM: u32 = 4;

impl<R> Noisy<R> {
    /// Noise depends on `seed`, the row and the pass; without columns there is none.
    pub fn new(raw: R, columns: Vec<(usize, f64)>, seed: u64) -> Self {
        Noisy { raw, columns, seed }
    }
}

impl<T: Real, R: Rows<T>> Rows<T> for Noisy<R> {
    fn dim(&self) -> usize {
        self.raw.dim()
    }

    fn rows(&self) -> usize {
        self.raw.rows()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        self.raw.fetch(pass, rows, out)?;
        if self.columns.is_empty() {
            return Ok(());
        }
        for (row, values) in rows.iter().zip(out.chunks_exact_mut(self.raw.dim())) {
            let mut random = Random::nth(self.seed, CONSTANT_STREAM, *row as u64 ^ (pass << 40));
            for (column, deviation) in &self.columns {
                let v = values[*column].to_f64() + deviation * random.normal();
                values[*column] = T::from_f64(v);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::Data;
    use super::*;
    use std::string::ToString;

    #[test]
    fn names_round_trip_and_ranges_are_checked() {
        for text in ["none", "dequantize:17", "logit:0.05", "logit:0.000001,256"] {
            assert_eq!(text.parse::<Preprocess>().unwrap().to_string(), text);
        }
        for text in
            ["", "logit", "logit:0.5", "logit:x", "logit:1e-6,1", "dequantize:2.5", "none:1"]
        {
            assert!(text.parse::<Preprocess>().is_err(), "{text}");
        }
    }

    #[test]
    fn whole_numbers_come_back() {
        let levels: Vec<f64> = (0..256).map(f64::from).collect();
        let raw = Data::new(1, levels.clone()).unwrap();
        for text in ["dequantize:256", "logit:0.000001,256"] {
            let preprocess: Preprocess = text.parse().unwrap();
            let prepared = Prepared::new(raw.clone(), preprocess, 1, true);
            let rows: Vec<usize> = (0..256).collect();
            let mut values = std::vec![0.0; 256];
            for pass in 0..2 {
                Rows::<f64>::fetch(&prepared, pass, &rows, &mut values).unwrap();
                let mut back = values.clone();
                preprocess.undo(&mut back);
                assert_eq!(back, levels, "{text}");
            }
        }
    }

    #[test]
    fn noise_depends_on_seed_row_and_pass_only() {
        let raw = Data::new(2, std::vec![3.0; 20]).unwrap();
        let preprocess = Preprocess::Logit { lambda: 1e-6, levels: Some(8.0) };
        let values = |seed, redraw, pass, row| {
            let prepared = Prepared::new(raw.clone(), preprocess, seed, redraw);
            let mut out = [0.0f64; 4];
            prepared.fetch(pass, &[9, row], &mut out).unwrap();
            [out[2], out[3]]
        };
        let first = values(1, true, 0, 4);
        assert!(first[0] != first[1]);
        assert_eq!(first, values(1, false, 7, 4));
        for other in [values(2, true, 0, 4), values(1, true, 1, 4), values(1, true, 0, 5)] {
            assert!(first[0] != other[0] && first[1] != other[1]);
        }
    }

    #[test]
    fn constant_columns_get_noise_of_their_own_size() {
        let raw = Data::new(2, (0..4000).map(|i| f64::from(7 * (i % 2) + i / 4000)).collect());
        let raw = raw.unwrap();
        let noisy = Noisy::new(&raw, std::vec![(1, 7.0)], 1);
        let rows: Vec<usize> = (0..2000).collect();
        let fetch = |pass| {
            let mut out = std::vec![0.0; 4000];
            noisy.fetch(pass, &rows, &mut out).unwrap();
            out
        };
        let first = fetch(0);
        assert!(first.iter().step_by(2).all(|v| *v == 0.0));
        let column = || first.iter().skip(1).step_by(2);
        let mean = column().sum::<f64>() / 2000.0;
        let variance = column().map(|v| (v - mean).powi(2)).sum::<f64>() / 2000.0;
        assert!((mean - 7.0).abs() < 0.8 && (variance.sqrt() / 7.0 - 1.0).abs() < 0.1);
        assert!(fetch(0) == first && fetch(1) != first);
        let plain = Noisy::new(&raw, Vec::new(), 1);
        let mut out = [0.0f64; 2];
        plain.fetch(0, &[3], &mut out).unwrap();
        assert_eq!(out, [0.0, 7.0]);
    }

    #[test]
    fn slopes_are_those_of_differences() {
        let (lambda, levels) = (1e-3, 16.0);
        let forward = |x: f64| {
            let p: f64 = lambda + (1.0 - 2.0 * lambda) * x / levels;
            (p / (1.0 - p)).ln()
        };
        let preprocess = Preprocess::Logit { lambda, levels: Some(levels) };
        for x in [0.2, 5.0, 11.5, 15.9] {
            let numeric = (forward(x + 1e-5) - forward(x - 1e-5)) / 2e-5;
            assert!((preprocess.log_slope(&[forward(x)]) - numeric.ln()).abs() < 1e-7, "{x}");
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let raw = Data::new(2, std::vec![0.0, 1.0, 2.0, 256.0]).unwrap();
        let prepared = Prepared::new(raw, "logit:1e-6,256".parse().unwrap(), 1, false);
        let error = Rows::<f64>::fetch(&prepared, 0, &[1], &mut [0.0; 2]).unwrap_err().to_string();
        assert!(error.contains("row 2, column 2: 256"), "{error}");
    }
}
