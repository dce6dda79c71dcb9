//! Data sets in memory.

use std::vec::Vec;

use crate::Real;
use crate::status::{Error, Result, Status, Value};

/// Samples, one a row: finite, at least one row and one column.
#[derive(Clone, Debug, PartialEq)]
pub struct Data<T> {
    pub(super) dim: usize,
    pub(super) values: Vec<T>,
}

/// Whether `len` values make rows of `dim`.
pub(super) fn check_shape(dim: usize, len: usize) -> Result<()> {
    if dim == 0 {
        return Err(Error::new(Status::Dim, "dim", Value::Int(0), "must be at least 1"));
    }
    if len == 0 || !len.is_multiple_of(dim) {
        let allowed = "their number must be a positive multiple of dim";
        return Err(Error::new(Status::Length, "values", Value::Int(len as u64), allowed));
    }
    Ok(())
}

impl<T: Real> Data<T> {
    /// Rows of `dim` values each.
    ///
    /// # Errors
    /// If `dim` is 0, there is no row or only part of one, or a value is not finite.
    pub fn new(dim: usize, values: Vec<T>) -> Result<Self> {
        check_shape(dim, values.len())?;
        match values.iter().position(|v| !v.to_f64().is_finite()) {
            None => Ok(Data { dim, values }),
            Some(i) => {
                let value = Value::At(i as u64, values[i].to_f64());
                Err(Error::new(Status::NonFiniteData, "values", value, "must be finite"))
            }
        }
    }

    /// Features, the length of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Samples.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dim
    }

    /// All values, row by row.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// Sample `i`, from 0.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, i: usize) -> &[T] {
        &self.values[i * self.dim..][..self.dim]
    }

    /// These rows, in this order; a row may come more than once.
    ///
    /// # Panics
    /// If there is no such row, or none is asked for.
    pub fn select(&self, rows: &[usize]) -> Data<T> {
        assert!(!rows.is_empty(), "select at least one row");
        let mut values = Vec::with_capacity(rows.len() * self.dim);
        rows.iter().for_each(|&i| values.extend_from_slice(self.row(i)));
        Data { dim: self.dim, values }
    }

    /// The first rows, and the last `rows` rows (for validation).
    ///
    /// # Errors
    /// If one of the two would be empty.
    pub fn split(mut self, rows: usize) -> Result<(Data<T>, Data<T>)> {
        if rows == 0 || rows >= self.rows() {
            let allowed = "both parts must have at least one row";
            return Err(Error::new(Status::Batch, "rows", Value::Int(rows as u64), allowed));
        }
        let last = self.values.split_off((self.rows() - rows) * self.dim);
        let dim = self.dim;
        Ok((self, Data { dim, values: last }))
    }

    /// [`split`](Self::split) with a share of the rows for the second part, rounded.
    ///
    /// # Errors
    /// If the share is not in `(0, 1)` or one of the two would be empty.
    pub fn split_fraction(self, fraction: f64) -> Result<(Data<T>, Data<T>)> {
        if !(fraction > 0.0 && fraction < 1.0) {
            let value = Value::Real(fraction);
            return Err(Error::new(Status::Batch, "fraction", value, "must be in (0, 1)"));
        }
        let rows = (self.rows() as f64 * fraction).round() as usize;
        self.split(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    fn data(dim: usize, values: &[f64]) -> Data<f64> {
        Data::new(dim, values.to_vec()).unwrap()
    }

    #[test]
    fn rows_are_checked_and_cut() {
        let all = data(2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!((all.dim(), all.rows(), all.row(1)), (2, 3, &[3.0, 4.0][..]));
        assert_eq!(all.select(&[2, 0]), data(2, &[5.0, 6.0, 1.0, 2.0]));
        let parts = (data(2, &[1.0, 2.0]), data(2, &[3.0, 4.0, 5.0, 6.0]));
        assert_eq!(all.clone().split(2).unwrap(), parts);
        assert_eq!(all.clone().split_fraction(0.6).unwrap(), parts);
        for rows in [0, 3, 4] {
            assert_eq!(all.clone().split(rows).unwrap_err().status, Status::Batch);
        }
        for fraction in [0.0, 1.0, f64::NAN, 0.01] {
            assert_eq!(all.clone().split_fraction(fraction).unwrap_err().status, Status::Batch);
        }
        let status = |dim, values| Data::<f64>::new(dim, values).unwrap_err().status;
        assert_eq!(status(0, vec![1.0]), Status::Dim);
        assert_eq!(status(2, vec![1.0]), Status::Length);
        assert_eq!(status(2, vec![]), Status::Length);
        assert_eq!(status(1, vec![1.0, f64::NAN]), Status::NonFiniteData);
    }
}
