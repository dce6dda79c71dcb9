//! Scores of data sets in which some rows may have none.

use std::vec::Vec;

use super::error::{FileError, FileResult};
use super::rows::{Rows, for_each_chunk};
use crate::status::{Error, Result, Status, Value};
use crate::{Model, Scalar};

/// A row that is too far away to compute with: its numbers overflow on the way through the
/// network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unscored {
    /// The row, from 0.
    pub row: usize,
    /// Its column, from 0, that is farthest from the model's centre.
    pub column: usize,
    /// The value there, as the model takes it.
    pub value: f64,
}

/// Log-likelihoods of the rows of a data set, in nats.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// One a row; negative infinity for rows that cannot be scored.
    pub log_p: Vec<f64>,
    /// Those rows.
    pub unscored: Vec<Unscored>,
}

impl Scores {
    /// The log-likelihoods of the rows that have one.
    pub fn scored(&self) -> impl Iterator<Item = f64> + Clone + '_ {
        self.log_p.iter().copied().filter(|v| v.is_finite())
    }
}

impl<T: Scalar> Model<T> {
    /// `log p` of every row of a data set. The rows that cannot be scored do not touch the others,
    /// whose numbers are those that they have alone. `see` is shown rows and their `log p`, some at
    /// a time. Costs nothing where all rows can be scored; each other one costs some
    /// `log2(max_batch)` calls more.
    ///
    /// # Errors
    /// Those of [`Rows::fetch`] and [`Model::log_likelihood`]; the network's, if no row at all can
    /// be scored.
    pub fn scores_of(
        &mut self,
        data: &dyn Rows<T>,
        see: &mut dyn FnMut(&[T], &[f64]),
    ) -> FileResult<Scores> {
        let dim = data.dim();
        let mut scores = Scores { log_p: Vec::with_capacity(data.rows()), unscored: Vec::new() };
        let mut reason = None;
        for_each_chunk(data, self.config().max_batch, |x| {
            let done = scores.log_p.len();
            self.score(x, &mut scores.log_p, &mut reason)?;
            let log_p = &scores.log_p[done..];
            for (i, row) in x.chunks_exact(dim).enumerate().filter(|(i, _)| !log_p[*i].is_finite())
            {
                let column = self.farthest(row);
                let value = row[column].to_f64();
                scores.unscored.push(Unscored { row: done + i, column, value });
            }
            see(x, log_p);
            Ok(())
        })?;
        match reason {
            Some(reason) if scores.unscored.len() == scores.log_p.len() => {
                Err(FileError::Status(reason))
            }
            _ => Ok(scores),
        }
    }

    /// Adds the `log p` of these rows, in halves where the whole fails.
    fn score(&mut self, x: &[T], out: &mut Vec<f64>, reason: &mut Option<Error>) -> Result<()> {
        match self.log_likelihood(crate::Data::joint(x)) {
            Ok(log_p) => out.extend(log_p),
            Err(e) if !is_overflow(&e) => return Err(e),
            Err(e) => {
                let dim = self.row_len();
                let rows = x.len() / dim;
                if rows == 1 {
                    out.push(f64::NEG_INFINITY);
                    *reason = Some(e);
                    return Ok(());
                }
                let (first, second) = x.split_at(rows / 2 * dim);
                self.score(first, out, reason)?;
                self.score(second, out, reason)?;
            }
        }
        Ok(())
    }

    /// The column of a row that is farthest from the input transform's centre, in its scales.
    fn farthest(&self, row: &[T]) -> usize {
        let layout = self.layout();
        let (shift, scale) = (&self.params()[layout.shift()], &self.params()[layout.scale()]);
        let distance = |c: &usize| {
            let number = |of: &[T], usual| of.get(*c).map_or(usual, |v| v.to_f64());
            ((row[*c].to_f64() - number(shift, 0.0)) * number(scale, 1.0)).abs()
        };
        (0..self.config().dim)
            .max_by(|a, b| distance(a).total_cmp(&distance(b)))
            .unwrap_or_default()
    }
}

/// Whether an error is of numbers that leave the range, and not of data that are none.
fn is_overflow(e: &Error) -> bool {
    let Error { status, value, .. } = e;
    *status == Status::Diverged || (*status == Status::NonFiniteData && *value == Value::None)
}

#[cfg(test)]
mod tests {
    use super::super::data::Data;
    use super::super::threshold::Threshold;
    use super::*;
    use crate::{Config, Start};

    #[test]
    fn rows_far_away_do_not_touch_the_others() {
        let clean: Vec<f32> = (0..300).map(|i| (i as f32 * 0.618).fract()).collect();
        let config = Config { max_batch: 16, ..Config::new(3, 2) };
        let mut model = Model::from_data(config, &clean, Start::Whitened, 1).unwrap();
        let own = model.log_likelihood(&clean).unwrap();
        let mut values = clean.clone();
        for (row, value) in [(0, 1e20), (40, f32::MAX), (41, -3e38), (99, 1e30)] {
            values[3 * row + 1] = value;
        }
        let data = Data::new(3, values).unwrap();
        let mut seen = 0;
        let scores = model
            .scores_of(&data, &mut |x, log_p| {
                assert_eq!(x.len(), 3 * log_p.len());
                seen += log_p.len();
            })
            .unwrap();
        assert_eq!(seen, 100);
        let places: Vec<_> = scores.unscored.iter().map(|u| (u.row, u.column)).collect();
        assert_eq!(places, [(0, 1), (40, 1), (41, 1), (99, 1)]);
        assert_eq!(scores.unscored[3].value, f64::from(1e30f32));
        for (row, (got, own)) in scores.log_p.iter().zip(&own).enumerate() {
            let is_far = places.iter().any(|p| p.0 == row);
            assert_eq!(*got, if is_far { f64::NEG_INFINITY } else { *own }, "{row}");
        }
        assert_eq!(scores.scored().count(), 96);
        assert_eq!(model.log_likelihood_of(&data).unwrap(), scores.log_p);
        let threshold = Threshold::calibrate(own, 0.1).unwrap();
        assert_eq!(threshold.p_value(f64::NEG_INFINITY), 1.0 / 101.0);
        // A model that can score nothing says why.
        let far = Data::new(3, std::vec![1e30f32; 9]).unwrap();
        assert!(model.scores_of(&far, &mut |_, _| {}).is_err());
    }
}
