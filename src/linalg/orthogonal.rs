//! Orthonormal rows by Gram-Schmidt, twice: "twice is enough" for orthogonality to rounding.

use crate::parallel::Exec;
use crate::simd::Real;
use crate::simd::matrix::{Mat, MatMut};

/// So many rows are one band.
const FEW: usize = 64;

/// Makes the rows of the `n x n` matrix `q` orthonormal, O(4 n^3); Gaussian rows become a
/// Haar-distributed rotation or reflection. `scratch` has `n` numbers. False if rows are
/// dependent.
///
/// A band of about sqrt(n) rows goes against the rows before it as many at a time, so that the
/// coefficients fit into the scratch, then against itself a row at a time; few rows are one band.
pub(crate) fn orthonormalize<T: Real>(
    exec: Exec,
    q: &mut [T],
    n: usize,
    scratch: &mut [T],
) -> bool {
    let height = if n <= FEW { n } else { n.isqrt() };
    for from in (0..n).step_by(height) {
        let (done, rest) = q.split_at_mut(from * n);
        let band = &mut rest[..height.min(n - from) * n];
        // Once is enough for the first, which has nothing before it.
        for _ in 0..usize::min(2, 1 + from) {
            for basis in done.chunks(height * n) {
                project_out(exec, basis, band, n, scratch);
            }
            if !orthonormalize_band(exec, band, n, scratch) {
                return false;
            }
        }
    }
    true
}

fn orthonormalize_band<T: Real>(exec: Exec, band: &mut [T], n: usize, scratch: &mut [T]) -> bool {
    for i in 0..band.len() / n {
        let (done, rest) = band.split_at_mut(i * n);
        let row = &mut rest[..n];
        for _ in 0..2 {
            project_out(exec, done, row, n, scratch);
            let mut square = [T::ZERO];
            let v = Mat::new(row, 1, n);
            T::dots(exec, v, v, MatMut::new(&mut square, 1, 1));
            let norm = libm::sqrt(square[0].to_f64());
            if norm < 1e-100 || !norm.is_finite() {
                return false;
            }
            let scale = [T::from_f64(1.0 / norm)];
            T::rescale(exec, MatMut::new(row, 1, n), Some(&scale), None);
        }
    }
    true
}

/// `rows -= (rows basis^T) basis`, all rows of `n` numbers.
fn project_out<T: Real>(exec: Exec, basis: &[T], rows: &mut [T], n: usize, coefficients: &mut [T]) {
    let (m, k) = (rows.len() / n, basis.len() / n);
    if k == 0 {
        return;
    }
    let basis = Mat::new(basis, k, n);
    let coefficients = &mut coefficients[..m * k];
    T::dots(exec, Mat::new(rows, m, n), basis, MatMut::new(coefficients, m, k));
    T::subtract_product(exec, Mat::new(coefficients, m, k), basis, MatMut::new(rows, m, n));
}
