//! Dense factorisations: outside the step, or of small matrices within it.

pub(crate) mod cholesky;
pub(crate) mod lu;
pub(crate) mod orthogonal;

use crate::simd::Real;

/// Rows and columns that are transposed at a time: each a few cache lines.
const TILE: usize = 16;

/// `out = a^T` for `a` of `rows x cols`.
pub(crate) fn transpose<T: Real>(a: &[T], rows: usize, cols: usize, out: &mut [T]) {
    for top in (0..rows).step_by(TILE) {
        let bottom = rows.min(top + TILE);
        for left in (0..cols).step_by(TILE) {
            for j in left..cols.min(left + TILE) {
                let column = &mut out[j * rows..][top..bottom];
                let from = a[top * cols + j..].iter().step_by(cols);
                column.iter_mut().zip(from).for_each(|(v, a)| *v = *a);
            }
        }
    }
}

/// `a = a^T` in place, `n x n`.
pub(crate) fn transpose_square<T: Real>(a: &mut [T], n: usize) {
    for top in (0..n).step_by(TILE) {
        for left in (0..=top).step_by(TILE) {
            for i in top..n.min(top + TILE) {
                for j in left..i.min(left + TILE) {
                    a.swap(i * n + j, j * n + i);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
