//! What natural steps do to a layer's factors besides products, a call each: with few samples of
//! few features calls take longer than the arithmetic. Sums over features are in f64, but for
//! those of each sample.

use crate::simd::layers::elementwise::{for_blocks, second_moment};
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::{Kernel, Real, Vector};
use crate::threads::parallel::Exec;

/// A sum over features in f64, in eight chains: each addition waits for the one before.
struct Sum([f64; 8]);

impl Sum {
    #[inline(always)]
    fn new() -> Self {
        Sum([0.0; 8])
    }
    /// Adds `n` lanes.
    #[inline(always)]
    fn add<T: Real>(&mut self, v: &T::Array, n: usize) {
        for i in 0..n {
            self.0[i % 8] += v.as_ref()[i].to_f64();
        }
    }
    /// Adds products of `n` lanes.
    #[inline(always)]
    fn add_products<T: Real, S: Vector<T>>(&mut self, a: S, b: S, n: usize) {
        let (a, b) = (a.to_array(), b.to_array());
        for i in 0..n {
            self.0[i % 8] += a.as_ref()[i].to_f64() * b.as_ref()[i].to_f64();
        }
    }
    #[inline(always)]
    fn total(&self) -> f64 {
        self.0.iter().sum()
    }
}

/// A batch's second moment of each feature.
#[derive(Clone, Copy)]
pub(crate) enum Squares<'a, T> {
    /// `sum_b w_b x_b^2` of samples with their weights.
    Of(Mat<'a, T>, &'a [T]),
    /// As it is.
    Summed(&'a [T]),
}

/// A running average of them.
pub(crate) struct Average<'a, T> {
    pub old: &'a [T],
    pub new: &'a mut [T],
    /// 1 over it, damped.
    pub over: &'a mut [T],
}

/// `new = decay[0] old + decay[1] squares` and `over = 1 / (new + damping mean(new))`, for two
/// averages of as many features; returns bounds on what is divided by, 0 if it is 0 throughout.
pub(crate) fn averages<T: Real>(
    exec: Exec,
    squares: [Squares<T>; 2],
    averages: [Average<T>; 2],
    decay: [f64; 2],
    damping: f64,
) -> [f64; 2] {
    for (squares, average) in squares.iter().zip(&averages) {
        let n = average.new.len();
        assert!(average.old.len() == n && average.over.len() == n);
        match squares {
            Squares::Of(x, weights) => assert!(x.cols == n && weights.len() >= x.rows),
            Squares::Summed(x) => assert!(x.len() == n),
        }
    }
    T::dispatch(exec.level, Averages { squares, averages, decay, damping })
}

struct Averages<'a, T> {
    squares: [Squares<'a, T>; 2],
    averages: [Average<'a, T>; 2],
    decay: [f64; 2],
    damping: f64,
}

impl<T: Real> Kernel<T> for Averages<'_, T> {
    type Output = [f64; 2];
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> [f64; 2] {
        let mut bounds = [0.0; 2];
        for (i, average) in self.averages.into_iter().enumerate() {
            // SAFETY: of the same number of features, asserted above.
            bounds[i] = unsafe { average.take::<S>(self.squares[i], self.decay, self.damping) };
        }
        bounds
    }
}

impl<T: Real> Average<'_, T> {
    /// # Safety
    /// All slices, and the rows of samples, must be of one length.
    #[inline(always)]
    unsafe fn take<S: Vector<T>>(self, squares: Squares<T>, decay: [f64; 2], damping: f64) -> f64 {
        let Average { old, new, over } = self;
        let mut sum = Sum::new();
        for_blocks!(T, new.len(), |c, n| {
            // SAFETY: the matrix has columns c..c+n, the slices those elements.
            unsafe {
                let batch = match squares {
                    Squares::Of(x, weights) => second_moment::<T, S>(x, weights, c, n),
                    Squares::Summed(x) => S::load_n(x.as_ptr().add(c), n),
                };
                let (batch, old) = (batch.to_array(), S::load_n(old.as_ptr().add(c), n).to_array());
                let mut mean = T::Array::default();
                for i in 0..n {
                    let (batch, old) = (batch.as_ref()[i].to_f64(), old.as_ref()[i].to_f64());
                    mean.as_mut()[i] = T::from_f64(decay[0] * old + decay[1] * batch);
                }
                sum.add::<T>(&mean, n);
                S::load(mean.as_ref().as_ptr()).store_n(new.as_mut_ptr().add(c), n);
            }
        });
        let sum = sum.total();
        let added = damping * sum / new.len() as f64;
        for_blocks!(T, new.len(), |c, n| {
            // SAFETY: the slices have the elements c..c+n.
            unsafe {
                // Lanes past the end divide by 1.
                let mut v = S::splat(T::ONE).to_array();
                for i in 0..n {
                    v.as_mut()[i] = T::from_f64(new[c + i].to_f64() + added);
                }
                let v = S::load(v.as_ref().as_ptr());
                S::splat(T::ONE).div(v).store_n(over.as_mut_ptr().add(c), n);
            }
        });
        sum + added
    }
}

/// What the norms of `E = sum_b w_b delta_b c_b^T`, of `m = sum_b w_b delta_b` and of
/// `diag(g)` consist of, besides products of different samples.
pub(crate) struct Terms {
    /// `sum_b w_b |delta_b| |c_b|`: a bound on `|E|`, and what it is with one sample.
    pub samples: f64,
    /// As much of E with m beside it: with `sqrt(|c_b|^2 + 1)`.
    pub samples_with_mean: f64,
    /// `|m|^2`.
    pub mean: f64,
    /// `sum_i g_i E_ii`.
    pub cross: f64,
    /// `|g|^2`.
    pub diagonal: f64,
}

/// `delta / h` in the place of delta and `g = 1 / (h q)`, of which `over` has `1 / h` and `1 / q`.
/// Returns the terms of the new delta, of c and of g.
pub(crate) fn divide<T: Real>(
    exec: Exec,
    over: [&[T]; 2],
    (delta, c): (MatMut<T>, Mat<T>),
    weights: &[T],
    g: &mut [T],
) -> Terms {
    assert!((delta.rows, delta.cols) == (c.rows, c.cols) && weights.len() >= c.rows);
    assert!([over[0].len(), over[1].len(), g.len()] == [c.cols; 3]);
    T::dispatch(exec.level, Divide { over, delta, c, weights, g })
}

struct Divide<'a, T> {
    over: [&'a [T]; 2],
    delta: MatMut<'a, T>,
    c: Mat<'a, T>,
    weights: &'a [T],
    g: &'a mut [T],
}

impl<T: Real> Kernel<T> for Divide<'_, T> {
    type Output = Terms;
    #[inline(always)]
    fn run<S: Vector<T>>(self) -> Terms {
        let Divide { over: [over_h, over_q], delta, c: inputs, weights, g } = self;
        let (mut mean, mut cross, mut diagonal) = (Sum::new(), Sum::new(), Sum::new());
        for_blocks!(T, g.len(), |c, n| {
            let (mut m, mut e) = (S::zero(), S::zero());
            // SAFETY: the slices have the elements c..c+n, the matrices those columns.
            let g = unsafe {
                let h = S::load_n(over_h.as_ptr().add(c), n);
                let q = S::load_n(over_q.as_ptr().add(c), n);
                for r in 0..inputs.rows {
                    let (x, y) = (S::load_n(delta.at(r, c), n), S::load_n(inputs.at(r, c), n));
                    let (w, x) = (S::splat(weights[r]), x.mul(h));
                    x.store_n(delta.at(r, c), n);
                    m = w.fma(x, m);
                    e = w.mul(x).fma(y, e);
                }
                h.mul(q).store_n(g.as_mut_ptr().add(c), n);
                h.mul(q)
            };
            mean.add_products(m, m, n);
            cross.add_products(g, e, n);
            diagonal.add_products(g, g, n);
        });
        let (mut samples, mut samples_with_mean) = (0.0, 0.0);
        for r in 0..inputs.rows {
            let (mut x2, mut y2) = (S::zero(), S::zero());
            for_blocks!(T, inputs.cols, |c, n| {
                // SAFETY: the matrices have row r and columns c..c+n.
                let (x, y) =
                    unsafe { (S::load_n(delta.at(r, c), n), S::load_n(inputs.at(r, c), n)) };
                (x2, y2) = (x.fma(x, x2), y.fma(y, y2));
            });
            let (x2, y2) = (x2.sum().to_f64(), y2.sum().to_f64());
            let w = weights[r].to_f64();
            samples += w * libm::sqrt(x2 * y2);
            samples_with_mean += w * libm::sqrt(x2 * (1.0 + y2));
        }
        let (mean, cross, diagonal) = (mean.total(), cross.total(), diagonal.total());
        Terms { samples, samples_with_mean, mean, cross, diagonal }
    }
}
