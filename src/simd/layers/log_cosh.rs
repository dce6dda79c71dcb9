//! `tanh` over rows with sums of what goes with it: all that the source densities of linear ICA ask
//! of the samples.

use crate::simd::interleaved::{Interleaved, for_interleaved};
use crate::simd::layers::elementwise::RowSum;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Arithmetic, Kernel, Real, Vector, math};
use crate::threads::parallel::Exec;

/// The most samples a row may have: the product that [`log_cosh`] takes one logarithm of has a
/// factor of at most 2 for each vector of them.
const MOST: usize = 1024;

/// `out[i, b] = tanh(a_i y[i, b])`; to `sums[i]` are added the sums over b of `log cosh(a_i y)`
/// and of `tanh^2`. Samples go by whole vectors; one that is 0 adds nothing, so that zeros may fill
/// up.
pub(crate) fn log_cosh<T: Real>(
    exec: Exec,
    rates: &[T],
    y: Mat<T>,
    out: MatMut<T>,
    sums: &mut [[f64; 2]],
) {
    assert!((y.rows, y.cols) == (out.rows, out.cols));
    assert!(rates.len() == y.rows && sums.len() == y.rows);
    assert!(y.cols.is_multiple_of(T::LANES) && y.cols <= MOST);
    T::dispatch(exec.level, LogCosh { rates, y, out, sums })
}

struct LogCosh<'a, T> {
    rates: &'a [T],
    y: Mat<'a, T>,
    out: MatMut<'a, T>,
    sums: &'a mut [[f64; 2]],
}

impl<T: Real> Kernel<T> for LogCosh<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Vector<T>>(self) {
        let vectors = self.y.cols / T::LANES;
        let filling = core::f64::consts::LN_2 * self.y.cols as f64;
        for (r, (rate, sums)) in self.rates.iter().zip(self.sums).enumerate() {
            // log cosh v = |v| + log(1 + e^(-2|v|)) - log 2: factors are multiplied up.
            let (mut sizes, mut squares) = (S::zero(), S::zero());
            let mut product = S::splat(T::ONE);
            for_interleaved!(S::INTERLEAVE, vectors, |i, N| {
                let c = |g: usize| (i + g) * T::LANES;
                // SAFETY: both matrices have row r and these columns.
                let y = unsafe { Interleaved::<S, N>::load(|g| self.y.at(r, c(g)), T::LANES) };
                let (size, factor, tanh) = values(y.mul(Interleaved::splat(*rate)));
                // SAFETY: as above.
                unsafe { tanh.store(|g| self.out.at(r, c(g)), T::LANES) };
                for g in 0..N {
                    sizes = sizes.add(size.0[g]);
                    product = product.mul(factor.0[g]);
                    squares = tanh.0[g].fma(tanh.0[g], squares);
                }
            });
            let (mut log_cosh, mut square) = (RowSum::new(), RowSum::new());
            log_cosh.add(sizes, T::LANES);
            log_cosh.add(math::log(product), T::LANES);
            square.add(squares, T::LANES);
            sums[0] += log_cosh.total() - filling;
            sums[1] += square.total();
        }
    }
}

/// `(|v|, 1 + e^(-2|v|), tanh v)`.
#[inline(always)]
fn values<T: Real, A: Arithmetic<T>>(v: A) -> (A, A, A) {
    let one = A::splat(T::ONE);
    let size = v.abs();
    let e = math::exp_neg(size.mul(A::splat(T::from_f64(-2.0))));
    let factor = one.add(e);
    (size, factor, one.sub(e).div(factor).copysign(v))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;
    use std::vec;
    use std::vec::Vec;

    fn check<T: Real>() {
        let (rows, cols) = (3, MOST);
        let rates = [1.0, core::f64::consts::FRAC_PI_2, 0.5].map(T::from_f64);
        // From tiny to far out, and zeros to fill up.
        let value = |i: usize| {
            let x = ((i * 37) % 101) as f64 / 101.0 - 0.5;
            if i.is_multiple_of(97) {
                0.0
            } else {
                40.0 * x * x * x * if i.is_multiple_of(5) { 1e-3 } else { 1.0 }
            }
        };
        let y: Vec<T> = (0..rows * cols).map(|i| T::from_f64(value(i))).collect();
        let mut reference = None;
        for level in Level::available() {
            let (mut out, mut sums) = (vec![T::ZERO; rows * cols], [[0.0; 2]; 3]);
            let matrix = MatMut::new(&mut out, rows, cols);
            T::log_cosh(Exec::serial(level), &rates, Mat::new(&y, rows, cols), matrix, &mut sums);
            let bits: Vec<u64> = out.iter().map(|v| v.to_bits64()).collect();
            let of_sums = sums.map(|s| s.map(f64::to_bits));
            assert_eq!(reference.get_or_insert((bits.clone(), of_sums)), &(bits, of_sums));
            for (r, rate) in rates.iter().enumerate() {
                let (mut log_cosh, mut squares) = (0.0, 0.0);
                for c in r * cols..(r + 1) * cols {
                    let v = rate.to_f64() * y[c].to_f64();
                    assert!((out[c].to_f64() - v.tanh()).abs() < 2.0 * T::EPSILON, "{v}");
                    log_cosh += v.abs() + (-2.0 * v.abs()).exp().ln_1p() - 2f64.ln();
                    squares += v.tanh() * v.tanh();
                }
                let near = |a: f64, b: f64| (a - b).abs() <= 40.0 * T::EPSILON * (b + 40.0);
                assert!(near(sums[r][0], log_cosh) && near(sums[r][1], squares), "{sums:?}");
            }
        }
    }

    #[test]
    fn as_the_textbook_has_them_on_every_level() {
        check::<f32>();
        check::<f64>();
    }
}
