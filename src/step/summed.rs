//! Steps of relative gradients from sums over the batch: with about as many samples as features or
//! more, or few features, all that a step needs is in small matrices. With
//! `E = sum_b w_b delta_b c_b^T` and `m = sum_b w_b delta_b`,
//!
//! `dW = (E + I) W`, and `db` is `m`, `m + E b + b` or `m + E b` by the bias rules,
//!
//! and natural steps divide E and m by the Fisher factors. So `p = W^T c` is not formed, and a
//! layer takes three products with samples, where it takes four, five with a determinant, or six
//! with norms otherwise.

use crate::config::Optimizer;
use crate::memory::workspace::{Fisher, Pass, Sums};
use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::Gradient;
use crate::step::net::Net;

impl<T: Real> Sums<'_, T> {
    /// `E^T` of layer `k`.
    pub fn product(&mut self, net: &Net<T>, k: usize) -> &mut [T] {
        &mut self.products[net.square(k)]
    }

    /// `m` of layer `k`.
    pub fn mean(&mut self, net: &Net<T>, k: usize) -> &mut [T] {
        &mut self.moments[3 * k * net.config.dim..][..net.config.dim]
    }
}

/// From delta and c of `n` rows and their weights: `E^T` and the moments of every layer.
/// O(L B D^2).
pub(crate) fn sum<T: Real>(net: &Net<T>, pass: &mut Pass<T>, sums: &mut Sums<T>, n: usize) {
    let (d, exec, rows) = (net.config.dim, net.exec, net.rows);
    let natural = matches!(net.config.optimizer, Optimizer::Natural { .. });
    for k in 0..net.config.layers {
        weigh_delta(net, pass, k, n);
        let weights = &pass.weights[..n];
        let (delta, c) = (rows.of(pass.delta, k, n), rows.of(pass.c, k, n));
        let (mean, squares) = sums.moments[3 * k * d..][..3 * d].split_at_mut(d);
        T::matmul_nn(exec, Mat::new(weights, 1, n), delta, MatMut::new(mean, 1, d));
        if natural {
            let (of_delta, of_c) = squares.split_at_mut(d);
            T::second_moments(exec, delta, weights, of_delta);
            T::second_moments(exec, c, weights, of_c);
        }
        let out = MatMut::new(sums.product(net, k), d, d);
        T::update_gradient(exec, c, rows.of(pass.z, 0, n), &Gradient::of_product(out));
    }
}

/// `w_b delta_b` of layer `k` into `pass.z`.
pub(crate) fn weigh_delta<T: Real>(net: &Net<T>, pass: &mut Pass<T>, k: usize, n: usize) {
    let (delta, out) = (net.rows.of(pass.delta, k, n), net.rows.of_mut(pass.z, 0, n));
    T::rescaled(net.exec, delta, Some(&pass.weights[..n]), None, &out);
}

/// Natural: `E^ = E_ij / (h^_i q^_j)` and `m^ = m_i / h^_i`, with h^ and q^ as damped.
pub(crate) fn precondition<T: Real>(
    net: &Net<T>,
    sums: &mut Sums<T>,
    fisher: &Fisher<T>,
    k: usize,
) {
    let (over_h, over_q) = (&fisher.over_h[net.features(k)], &fisher.over_q[net.features(k)]);
    for (row, q) in sums.product(net, k).chunks_exact_mut(net.config.dim).zip(over_q) {
        row.iter_mut().zip(over_h).for_each(|(e, h)| *e = *e * *h * *q);
    }
    sums.mean(net, k).iter_mut().zip(over_h).for_each(|(m, h)| *m = *m * *h);
}

/// A bound on the norm that a step's trust region is about, of E, m and the diagonal `g`. Sums in
/// any order and in `T`: the margin is far above their rounding, that of `D / LANES + 5` additions a
/// row. `squares` holds D numbers.
pub(crate) fn norm_bound<T: Real>(
    net: &Net<T>,
    sums: &mut Sums<T>,
    k: usize,
    g: &[T],
    squares: &mut [T],
) -> f64 {
    let (d, has_bias) = (net.config.dim, net.config.has_bias());
    let products = Mat::new(&sums.products[net.square(k)], d, d);
    T::row_squares(net.exec, products, squares);
    let mean = &sums.moments[3 * k * d..][..d];
    let (mut sum, mut cross) = (0.0, 0.0);
    for (i, square) in squares.iter().enumerate() {
        let (g, mean) = (g[i].to_f64(), if has_bias { mean[i].to_f64() } else { 0.0 });
        sum += square.to_f64() + g * g + mean * mean;
        cross += 2.0 * g * products.row(i)[i].to_f64();
    }
    libm::sqrt(sum + cross + 1e-3 * sum)
}

/// `factor E` in the place of E, and the bias's direction `factor (m [+ E b])` in that of m.
pub(crate) fn scale<T: Real>(
    net: &Net<T>,
    params: &[T],
    sums: &mut Sums<T>,
    k: usize,
    factor: f64,
) {
    let d = net.config.dim;
    let factor = T::from_f64(factor);
    sums.product(net, k).iter_mut().for_each(|e| *e = *e * factor);
    sums.mean(net, k).iter_mut().for_each(|m| *m = *m * factor);
    if net.keeps_y() {
        let mean = &mut sums.moments[3 * k * d..][..d];
        let bias = &params[net.layout.bias(k)];
        for (row, b) in sums.products[net.square(k)].chunks_exact(d).zip(bias) {
            mean.iter_mut().zip(row).for_each(|(m, e)| *m = *m + *e * *b);
        }
    }
}

/// Halves what [`scale`] made.
pub(crate) fn halve<T: Real>(net: &Net<T>, sums: &mut Sums<T>, k: usize) {
    let half = T::from_f64(0.5);
    sums.product(net, k).iter_mut().for_each(|e| *e = *e * half);
    sums.mean(net, k).iter_mut().for_each(|m| *m = *m * half);
}
