//! Systems with a triangle of a few rows, in place.

use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;

/// Solves `L X = B` for X in the place of B, where L stands below the diagonal and has ones on it.
/// Each element is one chain of fused multiply-adds over the rows above.
pub(crate) fn lower<T: Real>(exec: Exec, l: Mat<T>, x: MatMut<T>) {
    solve::<T, false>(exec, l, x);
}

/// As [`lower`] for `U X = B`, where U has a diagonal of its own: over the rows below.
pub(crate) fn upper<T: Real>(exec: Exec, u: Mat<T>, x: MatMut<T>) {
    solve::<T, true>(exec, u, x);
}

fn solve<T: Real, const UPPER: bool>(exec: Exec, triangle: Mat<T>, x: MatMut<T>) {
    assert!(triangle.rows == x.rows && triangle.cols == x.rows);
    T::dispatch(exec.level, Solve::<T, UPPER> { triangle, x });
}

struct Solve<'a, T, const UPPER: bool> {
    triangle: Mat<'a, T>,
    x: MatMut<'a, T>,
}

impl<T: Real, const UPPER: bool> Kernel<T> for Solve<'_, T, UPPER> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let (mut c, cols) = (0, self.x.cols);
        while c < cols {
            let left = cols - c;
            // SAFETY: X has these columns.
            unsafe {
                if left >= 4 * T::LANES {
                    self.strip::<S, 4>(c, T::LANES);
                    c += 4 * T::LANES;
                } else if left >= 2 * T::LANES {
                    self.strip::<S, 2>(c, T::LANES);
                    c += 2 * T::LANES;
                } else {
                    self.strip::<S, 1>(c, left.min(T::LANES));
                    c += T::LANES;
                }
            }
        }
    }
}

impl<T: Real, const UPPER: bool> Solve<'_, T, UPPER> {
    /// N blocks of columns from `c` on, of `n` lanes each.
    ///
    /// # Safety
    /// X has them.
    #[inline(always)]
    unsafe fn strip<S: Vector<T>, const N: usize>(&self, c: usize, n: usize) {
        let (rows, triangle) = (self.x.rows, &self.triangle);
        for step in 0..rows {
            let i = if UPPER { rows - 1 - step } else { step };
            let (from, to) = if UPPER { (i + 1, rows) } else { (0, i) };
            // SAFETY: by contract, and the triangle has as many rows and columns as X rows.
            unsafe {
                let x = |i: usize, j: usize| self.x.at(i, c + j * T::LANES);
                let mut row = [S::zero(); N];
                for j in 0..N {
                    row[j] = S::load_n(x(i, j), n);
                }
                for k in from..to {
                    let f = S::splat(-*triangle.at(i, k));
                    for j in 0..N {
                        row[j] = f.fma(S::load_n(x(k, j), n), row[j]);
                    }
                }
                for j in 0..N {
                    if UPPER {
                        row[j] = row[j].div(S::splat(*triangle.at(i, i)));
                    }
                    row[j].store_n(x(i, j), n);
                }
            }
        }
    }
}
