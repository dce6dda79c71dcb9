//! Cholesky factorisation in f64, for whitening.

use crate::parallel::Exec;
use crate::simd::Kernels;
use crate::simd::matrix::{Mat, MatMut};

/// Factors the symmetric `n x n` matrix `a = L L^T` in place into its lower triangle, row by
/// row, O(n^3 / 3). False if it is not positive definite to working precision.
pub(crate) fn factor(exec: Exec, a: &mut [f64], n: usize) -> bool {
    let largest = (0..n).map(|i| a[i * n + i]).fold(0.0, f64::max);
    for i in 0..n {
        for j in 0..=i {
            let (above, below) = a.split_at_mut(i * n);
            let row = &mut below[..n];
            let mut dot = [0.0];
            let other = if j < i { &above[j * n..][..j] } else { &row[..j] };
            let out = MatMut::new(&mut dot, 1, 1);
            f64::dots(exec, Mat::new(&row[..j], 1, j), Mat::new(other, 1, j), out);
            let rest = row[j] - dot[0];
            if j < i {
                row[j] = rest / above[j * n + j];
            } else if rest > largest * n as f64 * f64::EPSILON {
                row[i] = libm::sqrt(rest);
            } else {
                return false;
            }
        }
    }
    true
}

/// Solves `x L = q` for one row in place, O(n^2).
pub(crate) fn solve_row(exec: Exec, l: &[f64], n: usize, x: &mut [f64]) {
    for j in (0..n).rev() {
        let (rest, current) = x.split_at_mut(j);
        current[0] /= l[j * n + j];
        if j > 0 {
            let row = Mat::new(&l[j * n..][..j], 1, j);
            f64::subtract_product(
                exec,
                Mat::new(&current[..1], 1, 1),
                row,
                MatMut::new(rest, 1, j),
            );
        }
    }
}
