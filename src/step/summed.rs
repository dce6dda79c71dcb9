//! Steps of relative gradients from sums over the batch: with about as many samples as features or
//! more, or few features, all that a step needs is in small matrices. With
//! `E = sum_b w_b delta_b c_b^T` and `m = sum_b w_b delta_b`,
//!
//! `dW = (E + I) W`, and `db` is `m`, `m + E b + b` or `m + E b` by the bias rules,
//!
//! and natural steps divide E and m by the Fisher factors. So `p = W^T c` is not formed, and a
//! layer takes three products with samples, where it takes four, five with a determinant, or six
//! with norms otherwise.

use crate::config::{Bias, Config, Gradient, Optimizer};
use crate::scalar::Scalar;
use crate::session::Session;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::Gradient as GradientSink;
use crate::step::lanes::is_small;
use crate::step::norms::{Norms, square, square_with_diagonal};

/// Whether a batch of `rows` is summed in a step of this configuration: with few samples delta and
/// c are smaller than E. The more else a step needs E for, norms and determinants, the sooner it
/// pays; the shares are measured.
pub(crate) fn are_summed(config: &Config, rows: usize) -> bool {
    let eighths = match config.optimizer {
        Optimizer::Natural { .. } => 6,
        _ if config.is_structured() => 7,
        _ => 12,
    };
    let enough = 8 * rows >= eighths * config.dim;
    is_small(config) || (config.gradient == Gradient::Relative && enough)
}

impl<T: Scalar> Session<'_, T> {
    /// From delta and c and the weights: E^T and the moments of every layer. O(L B D^2).
    pub(crate) fn sum(&mut self, rows: usize) {
        if is_small(&self.config) {
            return self.sum_packed(rows);
        }
        let (d, exec) = (self.config.dim, self.exec);
        let natural = matches!(self.config.optimizer, Optimizer::Natural { .. });
        for k in 0..self.config.layers {
            self.weigh_delta(k, rows);
            let w = &mut self.work;
            let weights = &w.weights[..rows];
            let (delta, c) = (self.rows.of(w.delta, k, rows), self.rows.of(w.c, k, rows));
            let (mean, squares) = w.moments[3 * k * d..][..3 * d].split_at_mut(d);
            T::matmul_nn(exec, Mat::new(weights, 1, rows), delta, MatMut::new(mean, 1, d));
            if natural {
                let (of_delta, of_c) = squares.split_at_mut(d);
                T::second_moments(exec, delta, weights, of_delta);
                T::second_moments(exec, c, weights, of_c);
            }
            let out = MatMut::new(&mut w.products[k * d * d..][..d * d], d, d);
            let weighted = self.rows.of(w.z, 0, rows);
            T::update_gradient(exec, c, weighted, &GradientSink { out, base: None });
        }
    }

    /// `w_b delta_b` of layer `k` into `work.z`.
    pub(crate) fn weigh_delta(&mut self, k: usize, rows: usize) {
        let (exec, w) = (self.exec, &mut self.work);
        let (delta, out) = (self.rows.of(w.delta, k, rows), self.rows.of_mut(w.z, 0, rows));
        T::rescaled(exec, delta, Some(&w.weights[..rows]), None, &out);
    }

    /// `E^ = E_ij / (h^_i q^_j)` and `m^ = m_i / h^_i`, with h^ and q^ as damped.
    pub(crate) fn precondition_sums(&mut self, k: usize) {
        let d = self.config.dim;
        let w = &mut self.work;
        let (over_h, over_q) = (&w.over_h[k * d..][..d], &w.over_q[k * d..][..d]);
        let products = &mut w.products[k * d * d..][..d * d];
        for (row, q) in products.chunks_exact_mut(d).zip(over_q) {
            row.iter_mut().zip(over_h).for_each(|(e, h)| *e = *e * *h * *q);
        }
        let mean = &mut w.moments[3 * k * d..][..d];
        mean.iter_mut().zip(over_h).for_each(|(m, h)| *m = *m * *h);
    }

    /// The norms of a summed layer, with diagonal g.
    pub(crate) fn norms_of_sums(&self, k: usize, g: &[T]) -> Norms {
        let d = self.config.dim;
        let w = &self.work;
        let matrix = square_with_diagonal(&w.products[k * d * d..][..d * d], d, g);
        Norms { matrix, vector: square(&w.moments[3 * k * d..][..d]) }
    }

    /// A bound on the norm that a step's trust region is about, of E, m and the diagonal g in
    /// `work.diagonal`. Sums in any order and in `T`: the margin is far above their rounding, that
    /// of `D / T::LANES + 5` additions a row.
    pub(crate) fn norm_bound_of_sums(&mut self, k: usize) -> f64 {
        let (d, has_bias) = (self.config.dim, self.config.has_bias());
        let w = &mut self.work;
        let (g, mean) = (&w.diagonal[k * d..][..d], &w.moments[3 * k * d..][..d]);
        let products = Mat::new(&w.products[k * d * d..][..d * d], d, d);
        let squares = &mut w.rows[..d];
        T::row_squares(self.exec, products, squares);
        let (mut sum, mut cross) = (0.0, 0.0);
        for (i, square) in squares.iter().enumerate() {
            let (g, mean) = (g[i].to_f64(), if has_bias { mean[i].to_f64() } else { 0.0 });
            sum += square.to_f64() + g * g + mean * mean;
            cross += 2.0 * g * products.row(i)[i].to_f64();
        }
        libm::sqrt(sum + cross + 1e-3 * sum)
    }

    /// `factor E` in the place of E, and the bias's direction `factor (m [+ E b])` in that of m.
    pub(crate) fn scale_sums(&mut self, params: &[T], k: usize, factor: f64) {
        let d = self.config.dim;
        let factor = T::from_f64(factor);
        let w = &mut self.work;
        let products = &mut w.products[k * d * d..][..d * d];
        let mean = &mut w.moments[3 * k * d..][..d];
        products.iter_mut().for_each(|e| *e = *e * factor);
        mean.iter_mut().for_each(|m| *m = *m * factor);
        if matches!(self.config.bias, Bias::Affine | Bias::Projected) {
            let bias = &params[self.layout.bias(k)];
            for (row, b) in products.chunks_exact(d).zip(bias) {
                mean.iter_mut().zip(row).for_each(|(m, e)| *m = *m + *e * *b);
            }
        }
    }

    /// Halves what [`Session::scale_sums`] made.
    pub(crate) fn halve_sums(&mut self, k: usize) {
        let (d, half) = (self.config.dim, T::from_f64(0.5));
        let w = &mut self.work;
        w.products[k * d * d..][..d * d].iter_mut().for_each(|e| *e = *e * half);
        w.moments[3 * k * d..][..d].iter_mut().for_each(|m| *m = *m * half);
    }

    /// `(S + M)^T` in `work.small`, M being the scaled E.
    pub(crate) fn small_matrix_of_sums(&mut self, k: usize) -> usize {
        let d = self.config.dim;
        let w = &mut self.work;
        let (diagonal, m) = (&w.diagonal[k * d..][..d], &w.products[k * d * d..][..d * d]);
        for (i, row) in w.small[..d * d].chunks_exact_mut(d).enumerate() {
            row.iter_mut().zip(&m[i * d..]).for_each(|(s, m)| *s = m.to_f64());
            row[i] += diagonal[i].to_f64();
        }
        d
    }
}
