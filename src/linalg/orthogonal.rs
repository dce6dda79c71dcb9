//! Orthonormal rows by Gram-Schmidt, twice: "twice is enough" for orthogonality to rounding.

use crate::parallel::Exec;
use crate::simd::Real;
use crate::simd::matrix::{Mat, MatMut};

/// Makes the rows of the `n x n` matrix `q` orthonormal, O(4 n^3); Gaussian rows become a
/// Haar-distributed rotation or reflection. `row` has `n` numbers. False if rows are dependent.
pub(crate) fn orthonormalize<T: Real>(exec: Exec, q: &mut [T], n: usize, row: &mut [T]) -> bool {
    for i in 0..n {
        let (done, rest) = q.split_at_mut(i * n);
        let current = &mut rest[..n];
        for _ in 0..2 {
            if i > 0 {
                let basis = Mat::new(done, i, n);
                T::dots(exec, Mat::new(current, 1, n), basis, MatMut::new(&mut row[..i], 1, i));
                let out = MatMut::new(current, 1, n);
                T::subtract_product(exec, Mat::new(&row[..i], 1, i), basis, out);
            }
            let mut square = [T::ZERO];
            let v = Mat::new(current, 1, n);
            T::dots(exec, v, v, MatMut::new(&mut square, 1, 1));
            let norm = libm::sqrt(square[0].to_f64());
            if norm < 1e-100 || !norm.is_finite() {
                return false;
            }
            let scale = [T::from_f64(1.0 / norm)];
            T::rescale(exec, MatMut::new(current, 1, n), Some(&scale), None);
        }
    }
    true
}
