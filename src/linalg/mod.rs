//! Dense factorisations: outside the step, or of small matrices within it.

pub(crate) mod cholesky;
pub(crate) mod lu;
pub(crate) mod orthogonal;

use crate::simd::Real;

/// `out = a^T` for `a` of `rows x cols`.
pub(crate) fn transpose<T: Real>(a: &[T], rows: usize, cols: usize, out: &mut [T]) {
    for (i, row) in a.chunks_exact(cols).take(rows).enumerate() {
        for (j, v) in row.iter().enumerate() {
            out[j * rows + i] = *v;
        }
    }
}

/// `a = a^T` in place, `n x n`.
pub(crate) fn transpose_square<T: Real>(a: &mut [T], n: usize) {
    for i in 0..n {
        for j in 0..i {
            a.swap(i * n + j, j * n + i);
        }
    }
}
