//! Orthonormal rows by Gram-Schmidt, twice: "twice is enough" for orthogonality to rounding.

use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::threads::parallel::Exec;
use crate::threads::parts::for_pairs;

/// Up to this order rows are taken one at a time.
const FEW: usize = 64;
/// The most rows of a band, and of those before it that it goes against at a time.
const BAND: usize = 64;
const BASIS: usize = 128;
/// Rows of a band at which its halving ends.
const SHORT: usize = 8;

/// Makes the rows of the `n x n` matrix `q` orthonormal, O(4 n^3); Gaussian rows become a
/// Haar-distributed rotation or reflection. `scratch` has `3 n` numbers. False if rows are
/// dependent.
///
/// A band of rows goes against the rows before it as many at a time as leave room for the
/// coefficients in the scratch, then against itself by halves, so that nearly all work is in
/// products of matrices.
pub(crate) fn orthonormalize<T: Real>(
    exec: Exec,
    q: &mut [T],
    n: usize,
    scratch: &mut [T],
) -> bool {
    if n <= FEW {
        return one_by_one(exec, q, n, scratch);
    }
    let scratch = &mut scratch[..3 * n];
    let height = scratch.len().isqrt().min(BAND);
    let basis_rows = (scratch.len() / height).min(BASIS);
    for from in (0..n).step_by(height) {
        let (done, rest) = q.split_at_mut(from * n);
        let band = &mut rest[..height.min(n - from) * n];
        for _ in 0..2 {
            for basis in done.chunks(basis_rows * n) {
                project_out(exec, basis, band, n, scratch);
            }
            if !by_halves(exec, band, n, scratch) {
                return false;
            }
        }
    }
    true
}

fn by_halves<T: Real>(exec: Exec, band: &mut [T], n: usize, scratch: &mut [T]) -> bool {
    let rows = band.len() / n;
    if rows <= SHORT {
        return one_by_one(exec, band, n, scratch);
    }
    let (upper, lower) = band.split_at_mut(rows / 2 * n);
    by_halves(exec, upper, n, scratch) && {
        project_out(exec, upper, lower, n, scratch);
        by_halves(exec, lower, n, scratch)
    }
}

fn one_by_one<T: Real>(exec: Exec, rows: &mut [T], n: usize, scratch: &mut [T]) -> bool {
    for i in 0..rows.len() / n {
        let (done, rest) = rows.split_at_mut(i * n);
        let row = &mut rest[..n];
        for _ in 0..2 {
            project_out(exec, done, row, n, scratch);
            let mut square = [T::ZERO];
            let v = Mat::new(row, 1, n);
            T::matmul_nt(exec, v, v, MatMut::new(&mut square, 1, 1));
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
    let share = exec.share(m, 4, 2 * m * k * n.div_ceil(T::LANES));
    let coefficients = (&mut coefficients[..m * k], share * k);
    // Threads take rows of their own through both products: none moves between their caches.
    for_pairs(exec, (rows, share * n), coefficients, |_, rows, c| {
        let (alone, m) = (Exec::serial(exec.level), rows.len() / n);
        T::matmul_nt(alone, Mat::new(rows, m, n), basis, MatMut::new(c, m, k));
        T::subtract_product(alone, Mat::new(c, m, k), basis, MatMut::new(rows, m, n));
    });
}
