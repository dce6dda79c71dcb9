//! The natural relative gradient: each layer's Fisher matrix as the Kronecker product of two
//! diagonals, the running second moments of delta and of c.

use crate::config::Optimizer;
use crate::scalar::Scalar;
use crate::session::Session;
use crate::simd::ops::{Average, Squares};
use crate::status::{Error, Result, Status, Value};
use crate::step::forward::diverged;

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
        let decay = if self.steps() == 0 { [0.0, 1.0] } else { [decay, 1.0 - decay] };
        let (exec, summed, range) = (self.exec, self.summed, k * d..(k + 1) * d);
        let (w, state) = (&mut self.work, &mut self.state);
        let squares = [(&*w.delta, 1), (&*w.c, 2)].map(|(x, s)| match summed {
            true => Squares::Summed(&w.moments[(3 * k + s) * d..][..d]),
            false => Squares::Of(self.rows.of(x, k, rows), &w.weights[..rows]),
        });
        let sides =
            [(&*state.h, &mut *w.h, &mut *w.over_h), (&*state.q, &mut *w.q, &mut *w.over_q)];
        let averages = sides.map(|(old, new, over)| {
            let (new, over) = (&mut new[range.clone()], &mut over[range.clone()]);
            Average { old: &old[range.clone()], new, over }
        });
        for bound in T::averages(exec, squares, averages, decay, damping) {
            if bound == 0.0 {
                let v = Value::Int(k as u64);
                let allowed =
                    "a natural step needs deltas and inputs other than 0 (value: the layer)";
                return Err(Error::new(Status::Singular, "batch", v, allowed));
            }
            // An infinite or NaN sum is out of range too.
            if !(0.0..=T::MAX.to_f64()).contains(&bound) {
                return Err(diverged(k));
            }
        }
        if summed {
            self.precondition_sums(k);
            return Ok(());
        }
        T::rescale(exec, self.rows.of_mut(w.c, k, rows), None, Some(&w.over_q[range]));
        Ok(())
    }

    /// Natural: divides delta by its factor and leaves `g_i = 1 / (h^_i q^_i)` in
    /// `work.diagonal`; returns the trust region's scale `min(1, clip sqrt(D) / n)`,
    /// NaN if n is.
    pub(crate) fn trust_region(&mut self, k: usize, rows: usize) -> f64 {
        let Optimizer::Natural { clip, .. } = self.config.optimizer else { return 1.0 };
        let d = self.config.dim;
        let range = k * d..(k + 1) * d;
        let limit = clip * libm::sqrt(d as f64);
        let has_bias = self.config.has_bias();
        // First a bound, which does for short steps.
        let norms = if self.summed {
            self.fill_natural_diagonal(k, 0.0, 1.0);
            if self.norm_bound_of_sums(k) <= limit {
                return 1.0;
            }
            self.norms_of_sums(k, &self.work.diagonal[range])
        } else {
            let w = &mut self.work;
            let over = [&w.over_h[range.clone()], &w.over_q[range.clone()]];
            let factors = (self.rows.of_mut(w.delta, k, rows), self.rows.of(w.c, k, rows));
            let g = &mut w.diagonal[range];
            let terms = T::divide(self.exec, over, factors, &w.weights[..rows], g);
            let samples = if has_bias { terms.samples_with_mean } else { terms.samples };
            if samples + libm::sqrt(terms.diagonal) <= limit {
                return 1.0;
            }
            self.norms(k, rows, &terms)
        };
        let n = libm::sqrt(norms.matrix + if has_bias { norms.vector } else { 0.0 });
        match n {
            n if !n.is_finite() => f64::NAN,
            n if n <= limit => 1.0,
            n => limit / n,
        }
    }

    /// `own + step g` with `g_i = 1 / (h^_i q^_i)` into `work.diagonal`.
    pub(crate) fn fill_natural_diagonal(&mut self, k: usize, own: f64, step: f64) {
        let d = self.config.dim;
        let w = &mut self.work;
        let over = w.over_h[k * d..].iter().zip(&w.over_q[k * d..]);
        for (s, (h, q)) in w.diagonal[k * d..][..d].iter_mut().zip(over) {
            let g = *h * *q;
            *s = T::from_f64(own + step * g.to_f64());
        }
    }
}
