//! Data sets that training and evaluation take rows from: in memory, in a file, or prepared
//! from either.

use core::ops::Deref;
use std::vec;
use std::vec::Vec;

use super::columns::About;
use super::data::Data;
use super::error::FileResult;
use crate::{Model, Real, Scalar};

/// A data set whose rows can be had in any order.
pub trait Rows<T> {
    /// Features, the length of a row.
    fn dim(&self) -> usize;

    /// Samples.
    fn rows(&self) -> usize;

    /// Fills `out` with these rows, one after the other. `pass` counts passes over the data from
    /// 0; it matters to sets that draw noise anew in each.
    ///
    /// # Errors
    /// Rows that cannot be read, or that hold what they must not.
    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()>;

    /// What the file of the rows says beside its numbers, if they come from one.
    fn about(&self) -> Option<&About> {
        None
    }
}

impl<T: Real> Rows<T> for Data<T> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> usize {
        Data::rows(self)
    }

    fn fetch(&self, _: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        for (to, row) in out.chunks_exact_mut(self.dim).zip(rows) {
            to.copy_from_slice(self.row(*row));
        }
        Ok(())
    }
}

/// What points at a data set is one.
impl<T, P: Deref<Target: Rows<T>>> Rows<T> for P {
    fn dim(&self) -> usize {
        (**self).dim()
    }

    fn rows(&self) -> usize {
        (**self).rows()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        (**self).fetch(pass, rows, out)
    }

    fn about(&self) -> Option<&About> {
        (**self).about()
    }
}

/// Rows `start .. start + rows` of another data set: a held-out part.
#[derive(Debug)]
pub struct Part<R> {
    whole: R,
    start: usize,
    rows: usize,
}

impl<R> Part<R> {
    /// These rows of `whole`, which must have them.
    pub fn new<T>(whole: R, start: usize, rows: usize) -> Self
    where
        R: Rows<T>,
    {
        assert!(rows > 0 && start + rows <= whole.rows(), "a part lies inside the whole");
        Part { whole, start, rows }
    }
}

impl<T, R: Rows<T>> Rows<T> for Part<R> {
    fn dim(&self) -> usize {
        self.whole.dim()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let rows: Vec<usize> = rows.iter().map(|row| self.start + row).collect();
        self.whole.fetch(pass, &rows, out)
    }

    fn about(&self) -> Option<&About> {
        self.whole.about()
    }
}

/// Rows of another data set, without a copy of them.
#[derive(Debug)]
pub struct Chosen<R> {
    whole: R,
    rows: Vec<usize>,
}

impl<R> Chosen<R> {
    /// These rows of `whole`, which must have them, in this order.
    pub fn new(whole: R, rows: Vec<usize>) -> Self {
        Chosen { whole, rows }
    }
}

impl<'r, T> Chosen<&'r dyn Rows<T>> {
    /// Up to so many rows, evenly spread.
    pub(super) fn spread(whole: &'r dyn Rows<T>, limit: usize) -> Self {
        Chosen::new(whole, spread(whole.rows(), limit))
    }
}

impl<T, R: Rows<T>> Rows<T> for Chosen<R> {
    fn dim(&self) -> usize {
        self.whole.dim()
    }

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let rows: Vec<usize> = rows.iter().map(|row| self.rows[*row]).collect();
        self.whole.fetch(pass, &rows, out)
    }

    fn about(&self) -> Option<&About> {
        self.whole.about()
    }
}

/// Up to `limit` of so many rows, evenly spread.
fn spread(rows: usize, limit: usize) -> Vec<usize> {
    let taken = rows.min(limit.max(1));
    (0..taken).map(|i| (i as u128 * rows as u128 / taken as u128) as usize).collect()
}

/// Hands all rows of `data` to `see`, at most `chunk` at a time, in order.
///
/// # Errors
/// Those of [`Rows::fetch`] and of `see`.
pub fn for_each_chunk<T: Real>(
    data: &dyn Rows<T>,
    chunk: usize,
    mut see: impl FnMut(&[T]) -> FileResult<()>,
) -> FileResult<()> {
    let (dim, rows) = (data.dim(), data.rows());
    let mut values = vec![T::from_f64(0.0); chunk.clamp(1, rows) * dim];
    let mut chosen = Vec::new();
    for start in (0..rows).step_by(chunk.max(1)) {
        chosen.clear();
        chosen.extend(start..rows.min(start + chunk));
        let values = &mut values[..chosen.len() * dim];
        data.fetch(0, &chosen, values)?;
        see(values)?;
    }
    Ok(())
}

/// Up to `limit` rows in memory, evenly spread over `data`: for what needs a look at the data
/// and not all of them.
///
/// # Errors
/// Those of [`Rows::fetch`].
pub fn in_memory<T: Real>(data: &dyn Rows<T>, limit: usize) -> FileResult<Data<T>> {
    let chosen = spread(data.rows(), limit);
    let mut values = vec![T::from_f64(0.0); chosen.len() * data.dim()];
    data.fetch(0, &chosen, &mut values)?;
    Ok(Data { dim: data.dim(), values })
}

impl<T: Scalar> Model<T> {
    /// `log p` of every row of a data set, in nats; negative infinity for rows that cannot be
    /// scored, see [`Model::scores_of`].
    ///
    /// # Errors
    /// As there.
    pub fn log_likelihood_of(&mut self, data: &dyn Rows<T>) -> FileResult<Vec<f64>> {
        Ok(self.scores_of(data, &mut |_, _| {})?.log_p)
    }

    /// The mean `log p` of the rows of a data set.
    ///
    /// # Errors
    /// Those of [`Rows::fetch`] and [`Model::log_likelihood`]; rows that cannot be scored are one.
    pub fn mean_log_likelihood_of(&mut self, data: &dyn Rows<T>) -> FileResult<f64> {
        let (mut sum, mut rows) = (0.0, 0);
        for_each_chunk(data, self.config().max_batch, |x| {
            // Row by row, so that the sum does not depend on how many come at a time.
            let log_p = self.log_likelihood(crate::Data::joint(x))?;
            log_p.iter().for_each(|v| sum += v);
            rows += log_p.len();
            Ok(())
        })?;
        Ok(sum / rows as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_chunks_and_samples_of_rows() {
        let data = Data::new(2, (0..20).map(f64::from).collect()).unwrap();
        let part = Part::new(data.clone(), 3, 5);
        let mut out = [0.0; 4];
        part.fetch(0, &[4, 0], &mut out).unwrap();
        assert_eq!((part.rows(), out), (5, [14.0, 15.0, 6.0, 7.0]));
        let mut seen = Vec::new();
        for_each_chunk(&part, 2, |x| {
            assert!(x.len() == 4 || x.len() == 2);
            seen.extend_from_slice(x);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, &data.values()[6..16]);
        assert_eq!(in_memory(&part, 100).unwrap().values(), seen);
        assert_eq!(in_memory(&part, 2).unwrap().values(), [6.0, 7.0, 10.0, 11.0]);
        let spread = Chosen::spread(&part, 2);
        assert_eq!(in_memory(&spread, 9).unwrap(), in_memory(&part, 2).unwrap());
    }

    #[test]
    fn means_do_not_depend_on_how_rows_are_held() {
        let data = Data::new(3, (0..60).map(|i| (f64::from(i) * 0.618).fract()).collect()).unwrap();
        let config = crate::Config { max_batch: 7, ..crate::Config::new(3, 2) };
        let mut model = Model::<f64>::new(config, 1).unwrap();
        let mean = model.mean_log_likelihood(data.values()).unwrap();
        assert_eq!(model.mean_log_likelihood_of(&data).unwrap(), mean);
        model.set_max_batch(3).unwrap();
        assert_eq!(model.mean_log_likelihood_of(&data).unwrap(), mean);
        assert_eq!(
            model.log_likelihood_of(&data).unwrap(),
            model.log_likelihood(data.values()).unwrap()
        );
    }
}
