//! Dense factorisations: outside the step, or of small matrices within it.

pub(crate) mod cholesky;
pub(crate) mod lu;
pub(crate) mod orthogonal;

use crate::simd::Real;

/// Rows and columns that are transposed at a time: each a few cache lines.
const TILE: usize = 16;

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
