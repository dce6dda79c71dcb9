//! Rows that go on with their conditions, and what remains without them.

use std::vec;
use std::vec::Vec;

use super::columns::About;
use super::error::FileResult;
use super::rows::Rows;
use crate::Real;

/// Rows of another data set, each followed by its condition: what a model that has one takes.
#[derive(Debug)]
pub struct Joint<R, C> {
    rows: R,
    conditions: C,
    width: usize,
}

impl<R, C> Joint<R, C> {
    /// `width` numbers for each of `rows`.
    ///
    /// # Panics
    /// If there are not as many conditions as rows.
    pub fn new<T>(rows: R, conditions: C, width: usize) -> Self
    where
        R: Rows<T>,
        C: AsRef<[T]>,
    {
        assert!(conditions.as_ref().len() == rows.rows() * width, "a condition for each row");
        Joint { rows, conditions, width }
    }
}

impl<T: Real, R: Rows<T>, C: AsRef<[T]>> Rows<T> for Joint<R, C> {
    fn dim(&self) -> usize {
        self.rows.dim() + self.width
    }

    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let (d, width) = (self.rows.dim(), self.width);
        self.rows.fetch(pass, rows, &mut out[..rows.len() * d])?;
        // From the last on, so that no row is overwritten before it has moved.
        for (i, row) in rows.iter().enumerate().rev() {
            let to = i * (d + width);
            out.copy_within(i * d..(i + 1) * d, to);
            let condition = &self.conditions.as_ref()[row * width..][..width];
            out[to + d..][..width].copy_from_slice(condition);
        }
        Ok(())
    }

    fn about(&self) -> Option<&About> {
        self.rows.about()
    }
}

/// The first columns of another data set: the features of joint rows.
#[derive(Debug)]
pub struct Features<R> {
    whole: R,
    dim: usize,
}

/// Rows that are cut at a time.
const AT_ONCE: usize = 1024;

impl<R> Features<R> {
    /// The first `dim` columns of `whole`.
    pub fn new(whole: R, dim: usize) -> Self {
        Features { whole, dim }
    }
}

impl<T: Real, R: Rows<T>> Rows<T> for Features<R> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn rows(&self) -> usize {
        self.whole.rows()
    }

    fn fetch(&self, pass: u64, rows: &[usize], out: &mut [T]) -> FileResult<()> {
        let (dim, all) = (self.dim, self.whole.dim());
        if dim == all {
            return self.whole.fetch(pass, rows, out);
        }
        let mut joint: Vec<T> = vec![T::from_f64(0.0); AT_ONCE.min(rows.len()) * all];
        for (rows, out) in rows.chunks(AT_ONCE).zip(out.chunks_mut(AT_ONCE * dim)) {
            let joint = &mut joint[..rows.len() * all];
            self.whole.fetch(pass, rows, joint)?;
            for (to, from) in out.chunks_exact_mut(dim).zip(joint.chunks_exact(all)) {
                to.copy_from_slice(&from[..dim]);
            }
        }
        Ok(())
    }

    fn about(&self) -> Option<&About> {
        self.whole.about()
    }
}

#[cfg(test)]
mod tests {
    use super::super::data::Data;
    use super::super::rows::in_memory;
    use super::*;

    #[test]
    fn conditions_follow_their_rows_and_go_again() {
        let n = 3000;
        let data = Data::new(2, (0..2 * n).map(f64::from).collect()).unwrap();
        let conditions: Vec<f64> = (0..3 * n).map(|i| f64::from(-i)).collect();
        let joint = Joint::new(&data, conditions, 3);
        let mut out = [0.0; 15];
        joint.fetch(0, &[7, 0, 7], &mut out).unwrap();
        let seven = [14.0, 15.0, -21.0, -22.0, -23.0];
        assert_eq!(out[..5], seven);
        assert_eq!(out[5..10], [0.0, 1.0, 0.0, -1.0, -2.0]);
        assert_eq!(out[10..], seven);
        assert_eq!(in_memory(&Features::new(&joint, 2), usize::MAX).unwrap(), data);
    }
}
