//! Transposition, in squares as wide as a block where there is room for one.

use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;

/// `out = a^T`.
pub(crate) fn transpose<T: Real>(exec: Exec, a: Mat<T>, out: MatMut<T>) {
    assert!((a.rows, a.cols) == (out.cols, out.rows));
    T::dispatch(exec.level, Transpose { a, out });
}

struct Transpose<'a, T> {
    a: Mat<'a, T>,
    out: MatMut<'a, T>,
}

impl<T: Real> Kernel<T> for Transpose<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let Transpose { a, out } = self;
        for top in (0..a.rows).step_by(T::LANES) {
            let rows = T::LANES.min(a.rows - top);
            // SAFETY: a has these rows, and out as many columns from there on.
            unsafe { band::<T, S>(|i| a.at(top + i, 0), (rows, a.cols), out.at(0, top), out.ld) }
        }
    }
}

/// At most `T::LANES` rows of `cols` numbers, that begin where `row` says, as columns.
///
/// # Safety
/// The rows are valid, and `to` has `rows` numbers in each of `cols` rows that are `ld` apart.
#[inline(always)]
pub(in crate::simd) unsafe fn band<T: Real, S: Vector<T>>(
    row: impl Fn(usize) -> *const T,
    (rows, cols): (usize, usize),
    to: *mut T,
    ld: usize,
) {
    let whole = if rows == T::LANES { cols - cols % T::LANES } else { 0 };
    // SAFETY: by contract.
    unsafe {
        for j in (0..whole).step_by(T::LANES) {
            S::transpose(|i| row(i).add(j), to.add(j * ld), ld);
        }
        for j in whole..cols {
            for i in 0..rows {
                *to.add(j * ld + i) = *row(i).add(j);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use std::vec;
    use std::vec::Vec;

    fn check<T: Real>() {
        let shapes = [(1, 1), (1, 40), (40, 1), (15, 16), (16, 17), (33, 48), (70, 31), (64, 64)];
        for (rows, cols) in shapes {
            let a: Vec<T> = (0..rows * cols).map(|i| T::from_f64(i as f64)).collect();
            for level in Level::available() {
                let mut out = vec![T::from_f64(f64::NAN); rows * cols];
                let to = MatMut::new(&mut out, cols, rows);
                transpose(Exec::serial(level), Mat::new(&a, rows, cols), to);
                for i in 0..rows {
                    for j in 0..cols {
                        assert_eq!(out[j * rows + i], a[i * cols + j], "{rows} x {cols}");
                    }
                }
            }
        }
    }

    #[test]
    fn rows_become_columns_on_every_level() {
        check::<f32>();
        check::<f64>();
    }
}
