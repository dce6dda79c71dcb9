//! The natural relative gradient: each layer's Fisher matrix as the Kronecker product of two
//! diagonals, the running second moments of delta and of c.

use crate::config::Optimizer;
use crate::forward::diverged;
use crate::relative::{square, sum};
use crate::session::{Scalar, Session};
use crate::simd::matrix::Mat;
use crate::status::{Error, Result, Status, Value};

impl<T: Scalar> Session<'_, T> {
    /// Natural: takes the batch into the running second moments (as they will be) and divides c
    /// by its factor, before `p = W^T c` is formed, or E and m by both where the batch is summed.
    ///
    /// # Errors
    /// A batch at which a factor vanishes, so that there is nothing to divide by, or leaves the
    /// range of numbers: it would stay in the averages for good.
    pub(crate) fn precondition(&mut self, k: usize, rows: usize) -> Result<()> {
        let Optimizer::Natural { decay, damping, .. } = self.config.optimizer else {
            return Ok(());
        };
        let d = self.config.dim;
        let (exec, first) = (self.exec, self.steps() == 0);
        let w = &mut self.work;
        let summed = self.summed;
        let moment = |x: Mat<T>, s: usize, batch: &mut [T], old: &[T], new: &mut [T]| {
            if summed {
                batch.copy_from_slice(&w.moments[(3 * k + s) * d..][..d]);
            } else {
                T::column_products(exec, x, x, &w.weights[..rows], batch);
            }
            for ((new, old), batch) in new.iter_mut().zip(old).zip(batch.iter()) {
                let (old, batch) = (old.to_f64(), batch.to_f64());
                let average = if first { batch } else { decay * old + (1.0 - decay) * batch };
                *new = T::from_f64(average);
            }
        };
        let range = k * d..(k + 1) * d;
        let batch = &mut w.rows[..d];
        let (h, q) = (&mut w.h[range.clone()], &mut w.q[range.clone()]);
        moment(self.rows.of(w.delta, k, rows), 1, batch, &self.state.h[range.clone()], h);
        moment(self.rows.of(w.c, k, rows), 2, batch, &self.state.q[range.clone()], q);

        let vanishes = |x: &[T]| x.iter().all(|v| *v == T::ZERO);
        if vanishes(h) || vanishes(q) {
            let v = Value::Int(k as u64);
            let allowed = "a natural step needs deltas and inputs other than 0 (value: the layer)";
            return Err(Error::new(Status::Singular, "batch", v, allowed));
        }
        let (damped_h, damped_q) = (&mut *w.damped_h, &mut *w.damped_q);
        for (x, damped) in [(h, damped_h), (q, damped_q)] {
            if !damp(x, damping, &mut damped[range.clone()]) {
                return Err(diverged(k));
            }
        }
        if summed {
            self.precondition_sums(k);
            return Ok(());
        }
        T::rescale(exec, self.rows.of_mut(w.c, k, rows), None, Some(&w.damped_q[range]));
        Ok(())
    }

    /// Natural: divides delta by its factor and leaves `g_i = 1 / (h^_i q^_i)` in
    /// `work.diagonal`; returns the trust region's scale `min(1, clip sqrt(D) / n)`,
    /// NaN if n is.
    pub(crate) fn trust_region(&mut self, k: usize, rows: usize) -> f64 {
        let Optimizer::Natural { clip, .. } = self.config.optimizer else { return 1.0 };
        let d = self.config.dim;
        let range = k * d..(k + 1) * d;
        self.fill_natural_diagonal(k, 0.0, 1.0);
        let w = &mut self.work;
        let h = &w.damped_h[range.clone()];
        let limit = clip * libm::sqrt(d as f64);
        let has_bias = self.config.has_bias();
        if self.summed {
            let bound = self.norm_bound_of_sums(k);
            return if bound <= limit { 1.0 } else { self.trust_scale(k, rows, limit) };
        }
        T::rescale(self.exec, self.rows.of_mut(w.delta, k, rows), None, Some(h));

        // First a bound: n <= sum_b w_b |delta^_b| |c^_b| + |g| + |mean delta^|.
        let mut bound = libm::sqrt(square(&w.diagonal[range.clone()]));
        let squares = &mut w.coefficients[..2 * rows];
        let (delta_squares, c_squares) = squares.split_at_mut(rows);
        T::row_squares(self.exec, self.rows.of(w.delta, k, rows), delta_squares);
        T::row_squares(self.exec, self.rows.of(w.c, k, rows), c_squares);
        for ((weight, delta), c) in w.weights.iter().zip(delta_squares).zip(c_squares) {
            let c = libm::sqrt(c.to_f64()) + if has_bias { 1.0 } else { 0.0 };
            bound += weight.to_f64() * libm::sqrt(delta.to_f64()) * c;
        }
        if bound <= limit { 1.0 } else { self.trust_scale(k, rows, limit) }
    }

    /// `own + step g` with `g_i = 1 / (h^_i q^_i)` into `work.diagonal`.
    pub(crate) fn fill_natural_diagonal(&mut self, k: usize, own: f64, step: f64) {
        let d = self.config.dim;
        let w = &mut self.work;
        let factors = w.damped_h[k * d..].iter().zip(&w.damped_q[k * d..]);
        for (s, (h, q)) in w.diagonal[k * d..][..d].iter_mut().zip(factors) {
            let g = T::ONE / (*h * *q);
            *s = T::from_f64(own + step * g.to_f64());
        }
    }

    /// `min(1, limit / n)` with n from the norms themselves.
    fn trust_scale(&mut self, k: usize, rows: usize, limit: f64) -> f64 {
        let d = self.config.dim;
        let has_bias = self.config.has_bias();
        // The diagonal is lent out of the workspace while the norms use the rest of it.
        let g = core::mem::take(&mut self.work.diagonal);
        let norms = self.relative_norms(k, rows, |i| g[k * d + i].to_f64());
        self.work.diagonal = g;
        let n = libm::sqrt(norms.matrix + if has_bias { norms.vector } else { 0.0 });
        match n {
            n if !n.is_finite() => f64::NAN,
            n if n <= limit => 1.0,
            n => limit / n,
        }
    }
}

/// `out = x + damping mean(x)`; false if that might not fit, and `out` is useless then.
fn damp<T: Scalar>(x: &[T], damping: f64, out: &mut [T]) -> bool {
    let sum = sum(x);
    let added = damping * sum / x.len() as f64;
    for (out, x) in out.iter_mut().zip(x) {
        *out = T::from_f64(x.to_f64() + added);
    }
    sum + added <= T::MAX.to_f64()
}
