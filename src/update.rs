//! Optimisers: a step is planned and checked for all layers, then committed; what fails has
//! changed nothing.

use crate::config::{Bias, Config, Crossing, Gradient, Optimizer};
use crate::forward::diverged;
use crate::session::{Scalar, Session};
use crate::simd::matrix::{Mat, MatMut};
use crate::simd::ops::{
    AdamConstants, Ascend, Rule, Scaled, column_squares, dots, max_abs, rescale, update,
};
use crate::status::{Error, Result, Status, Value};
use crate::workspace::{HEADER_AGE, HEADER_STEP, PLAN};

/// Halvings of a layer's step before a crossing is an error.
const MAX_HALVINGS: u32 = 20;

/// Indices into a layer's plan.
const RATE: usize = 0;
const LOG_DET_CHANGE: usize = 1;
const DIRECTION_BOUND: usize = 2;

/// What planning found, over all layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub trust_scale: f64,
    pub halvings: u32,
}

impl<T: Scalar> Session<'_, T> {
    /// Whether steps have the form `W' = (S + A^T C) W`.
    pub(crate) fn is_structured(&self) -> bool {
        self.config.gradient == Gradient::Relative
            && self.config.optimizer.momentum() == 0.0
            && !matches!(self.config.optimizer, Optimizer::Adam { .. })
    }

    /// Natural: takes the batch into the running second moments (as they will be) and divides c
    /// by its factor, before `p = W^T c` is formed.
    ///
    /// # Errors
    /// A batch at which a factor vanishes: there is nothing to divide by.
    pub(crate) fn precondition(&mut self, k: usize, rows: usize) -> Result<()> {
        let Optimizer::Natural { decay, damping, .. } = self.config.optimizer else {
            return Ok(());
        };
        let d = self.config.dim;
        let at = k * self.config.max_batch * d;
        let first = self.steps() == 0;
        let w = &mut self.work;
        let moment = |x: &[T], batch: &mut [T], old: &[T], new: &mut [T]| {
            column_squares(self.level, Mat::new(x, rows, d), &w.weights[..rows], batch);
            for ((new, old), batch) in new.iter_mut().zip(old).zip(batch.iter()) {
                let (old, batch) = (old.to_f64(), batch.to_f64());
                let average = if first { batch } else { decay * old + (1.0 - decay) * batch };
                *new = T::from_f64(average);
            }
        };
        let range = k * d..(k + 1) * d;
        let batch = &mut w.row[0][..d];
        let (old_h, new_h) = (&self.state.h[range.clone()], &mut w.h[range.clone()]);
        moment(&w.delta[at..][..rows * d], batch, old_h, new_h);
        let (old_q, new_q) = (&self.state.q[range.clone()], &mut w.q[range.clone()]);
        moment(&w.c[at..][..rows * d], batch, old_q, new_q);

        let vanishes = |x: &[T]| x.iter().all(|v| *v == T::ZERO);
        if vanishes(&w.h[range.clone()]) || vanishes(&w.q[range]) {
            let v = Value::Int(k as u64);
            let allowed = "a natural step needs deltas and inputs other than 0 (value: the layer)";
            return Err(Error::new(Status::Singular, "batch", v, allowed));
        }
        self.damp_fisher(k, damping);
        let w = &mut self.work;
        let c = MatMut::new(&mut w.c[at..][..rows * d], rows, d);
        rescale(self.level, c, None, Some(&w.row[1][..d]));
        Ok(())
    }

    /// The damped Fisher factors of layer `k` into `work.row`: h^ into the first, q^ into the
    /// second.
    fn damp_fisher(&mut self, k: usize, damping: f64) {
        let range = k * self.config.dim..(k + 1) * self.config.dim;
        let [h, q, _] = &mut self.work.row;
        damp(&self.work.h[range.clone()], damping, h);
        damp(&self.work.q[range], damping, q);
    }

    /// Plans layer `k`: scales the left factor (and finds S), shortens the step where the trust
    /// region or a crossing asks for it, and bounds what the parameters will be.
    pub(crate) fn plan(
        &mut self,
        params: &[T],
        k: usize,
        rows: usize,
        rate: f64,
        planned: &mut Planned,
    ) -> Result<()> {
        let structured = self.is_structured();
        let mut rate = rate;
        let scale = self.trust_region(k, rows);
        if !scale.is_finite() {
            return Err(diverged(k));
        }
        planned.trust_scale = planned.trust_scale.min(scale);
        self.scale_left(k, rows, if structured { rate * scale } else { scale });
        self.fill_diagonal(k, if structured { rate * scale } else { scale });
        let mut change = 0.0;
        if self.config.exact_log_det() {
            let mut halvings = 0;
            loop {
                let determinant = self.small_determinant(k, rows);
                let fine = determinant.is_some_and(|d| !d.negative);
                if let Some(determinant) = determinant
                    && (fine || self.config.crossing == Crossing::Allow)
                {
                    change = determinant.log_abs;
                    break;
                }
                if halvings == MAX_HALVINGS || self.config.crossing == Crossing::Allow {
                    // Numbers beyond all bounds have no determinant either.
                    self.bound(params, k, rows, rate)?;
                    let v = Value::Int(k as u64);
                    let allowed = "a smaller rate (value: the layer)";
                    return Err(Error::new(Status::Crossing, "rate", v, allowed));
                }
                halvings += 1;
                rate *= 0.5;
                self.halve_left(k, rows);
                self.fill_diagonal(k, rate * scale);
            }
            planned.halvings += halvings;
        }
        let bound = self.bound(params, k, rows, rate)?;
        let plan = &mut self.work.plan[k * PLAN..][..PLAN];
        plan[RATE] = rate;
        plan[LOG_DET_CHANGE] = change;
        plan[DIRECTION_BOUND] = bound;
        Ok(())
    }

    /// Natural: divides delta by its factor and leaves `g_i = 1 / (h^_i q^_i)` in
    /// `work.diagonal`; returns the trust region's scale `min(1, clip sqrt(D) / n)`,
    /// NaN if a factor is not finite.
    fn trust_region(&mut self, k: usize, rows: usize) -> f64 {
        let Optimizer::Natural { damping, clip, .. } = self.config.optimizer else { return 1.0 };
        let d = self.config.dim;
        let at = k * self.config.max_batch * d;
        let range = k * d..(k + 1) * d;
        self.damp_fisher(k, damping);
        let w = &mut self.work;
        let [h, q, _] = &mut w.row;
        if !(max_abs(self.level, h) + max_abs(self.level, q)).is_finite() {
            // Squares beyond the range of numbers would stay in the averages for good.
            return f64::NAN;
        }
        for (g, (h, q)) in w.diagonal[range.clone()].iter_mut().zip(h.iter().zip(q.iter())) {
            *g = T::from_f64(1.0 / (h.to_f64() * q.to_f64()));
        }
        let delta = MatMut::new(&mut w.delta[at..][..rows * d], rows, d);
        rescale(self.level, delta, None, Some(&h[..d]));

        // First a bound: n <= sum_b w_b |delta^_b| |c^_b| + |g| + |mean delta^|.
        let limit = clip * libm::sqrt(d as f64);
        let has_bias = self.config.has_bias();
        let mut bound = libm::sqrt(square(&w.diagonal[range.clone()]));
        for b in 0..rows {
            let delta = libm::sqrt(square(&w.delta[at + b * d..][..d]));
            let c = libm::sqrt(square(&w.c[at + b * d..][..d]));
            bound += w.weights[b].to_f64() * delta * (c + if has_bias { 1.0 } else { 0.0 });
        }
        if bound <= limit {
            return 1.0;
        }
        // The diagonal is lent out of the workspace while the norms use the rest of it.
        let g = core::mem::take(&mut w.diagonal);
        let norms = self.relative_norms(k, rows, |i| g[k * d + i].to_f64());
        self.work.diagonal = g;
        let n = libm::sqrt(norms.matrix + if has_bias { norms.vector } else { 0.0 });
        match n {
            n if !n.is_finite() => f64::NAN,
            n if n <= limit => 1.0,
            n => limit / n,
        }
    }

    /// Multiplies the rows of the left factor by `factor w_b`.
    pub(crate) fn scale_left(&mut self, k: usize, rows: usize, factor: f64) {
        let d = self.config.dim;
        let at = k * self.config.max_batch * d;
        let w = &mut self.work;
        for (f, weight) in w.coefficients[..rows].iter_mut().zip(w.weights.iter()) {
            *f = T::from_f64(factor * weight.to_f64());
        }
        let f = Some(&w.coefficients[..rows]);
        rescale(self.level, MatMut::new(&mut w.delta[at..][..rows * d], rows, d), f, None);
        if self.config.gradient == Gradient::Transposed {
            rescale(self.level, MatMut::new(&mut w.p[at..][..rows * d], rows, d), f, None);
        }
    }

    fn halve_left(&mut self, k: usize, rows: usize) {
        let d = self.config.dim;
        let at = k * self.config.max_batch * d;
        let half = T::from_f64(0.5);
        self.work.delta[at..][..rows * d].iter_mut().for_each(|v| *v = *v * half);
    }

    /// The diagonal that W is multiplied by: S for structured steps, else the direction's own
    /// share of W. `step` is `rate * scale`, or `scale` alone where the rate comes later.
    fn fill_diagonal(&mut self, k: usize, step: f64) {
        let d = self.config.dim;
        let structured = self.is_structured();
        let Optimizer::Natural { damping, .. } = self.config.optimizer else {
            let own = if self.config.gradient == Gradient::Ordinary { 0.0 } else { 1.0 };
            let value = if structured { 1.0 + step } else { own };
            self.work.diagonal[k * d..][..d].fill(T::from_f64(value));
            return;
        };
        self.damp_fisher(k, damping);
        let w = &mut self.work;
        let [h, q, _] = &mut w.row;
        for (s, (h, q)) in w.diagonal[k * d..][..d].iter_mut().zip(h.iter().zip(q.iter())) {
            let g = step / (h.to_f64() * q.to_f64());
            *s = T::from_f64(if structured { 1.0 + g } else { g });
        }
    }

    /// What layer `k`'s gradient is made of.
    pub(crate) fn factors_of(&self, k: usize, rows: usize) -> Factors<'_, T> {
        let w = &self.work;
        Factors::of(&self.config, k, rows, [w.delta, w.p, w.inputs])
    }

    /// Whether the bias's direction has a share of the bias itself: the affine rule.
    pub(crate) fn bias_keeps_own(&self) -> bool {
        self.config.gradient == Gradient::Relative && self.config.bias == Bias::Affine
    }

    /// Bounds the direction and refuses steps whose result might exceed
    /// `T::LIMIT` (1e18 in f32, 1e150 in f64).
    pub(crate) fn bound(&self, params: &[T], k: usize, rows: usize, rate: f64) -> Result<f64> {
        let (d, level) = (self.config.dim as f64, self.level);
        let factors = self.factors_of(k, rows);
        let left_max = max_abs(level, factors.left);
        let product = rows as f64 * left_max * max_abs(level, factors.right);
        let dim = self.config.dim;
        let diagonal = max_abs(level, &self.work.diagonal[k * dim..][..dim]);
        let own = diagonal * self.state.weight_max[k];
        let base = match self.config.gradient {
            Gradient::Ordinary => {
                max_abs(level, &self.work.inverse_transposes[k * dim * dim..][..dim * dim])
            }
            _ => 0.0,
        };
        let mut direction = product + own + base;
        let mut largest = self.state.weight_max[k];
        if let Some(b) = self.layer_bias(params, k) {
            let b_max = max_abs(level, b);
            let at = k * self.config.max_batch * dim;
            let c = max_abs(level, &self.work.c[at..][..rows * dim]);
            let coefficient = 1.0 + d * c * b_max;
            // A sum, not a maximum, which would lose a NaN.
            let bias_max = max_abs(level, factors.bias);
            direction += b_max * diagonal + rows as f64 * bias_max * coefficient;
            largest = largest.max(b_max);
        }
        let mut result = largest + direction;
        if !self.is_structured() {
            let average = direction.max(self.state.momentum_max[k]);
            result += rate * average.min(T::LIMIT);
            self.bound_adam(k, rate * average)?;
        }
        if result <= T::LIMIT { Ok(direction) } else { Err(diverged(k)) }
    }

    /// Adam divides by as little as epsilon: refuses a step that might leave the finite numbers.
    pub(crate) fn bound_adam(&self, k: usize, step: f64) -> Result<()> {
        match self.config.optimizer {
            Optimizer::Adam { epsilon, .. } if step / epsilon > T::MAX.to_f64() / 16.0 => {
                Err(diverged(k))
            }
            _ => Ok(()),
        }
    }

    /// Commits every layer; nothing can fail any more.
    pub(crate) fn commit(&mut self, params: &mut [T], rows: usize) {
        let exact = self.config.exact_log_det();
        for k in 0..self.config.layers {
            self.commit_layer(params, k, rows);
            if exact {
                self.state.log_det[k] += self.work.plan[k * PLAN + LOG_DET_CHANGE];
            }
            if self.config.track_inverse {
                self.update_inverse(k, rows);
            }
            let bound = self.work.plan[k * PLAN + DIRECTION_BOUND];
            self.state.momentum_max[k] = self.state.momentum_max[k].max(bound);
        }
        self.state.h.copy_from_slice(self.work.h);
        self.state.q.copy_from_slice(self.work.q);
        self.count_step(exact);
    }

    /// Counts a step after which the log-determinants are as exact as before, or not.
    pub(crate) fn count_step(&mut self, exact: bool) {
        let header = &mut self.state.header;
        header[HEADER_STEP] += 1;
        if !exact || header[HEADER_AGE] > 0 {
            header[HEADER_AGE] += 1;
        }
    }

    fn commit_layer(&mut self, params: &mut [T], k: usize, rows: usize) {
        let d = self.config.dim;
        let rate = T::from_f64(self.work.plan[k * PLAN + RATE]);
        let (weight, bias) = (self.layout.weight(k), self.layout.bias(k));
        self.bias_coefficients(&params[bias.clone()], k, rows);
        let adam = self.adam_constants();
        let structured = self.is_structured();
        let (level, config) = (self.level, self.config);
        let momentum = T::from_f64(config.optimizer.momentum());
        let own_bias = self.bias_keeps_own();
        let (w, state) = (&mut self.work, &mut self.state);
        let diagonal = &w.diagonal[k * d..][..d];
        let factors = Factors::of(&config, k, rows, [w.delta, w.p, w.inputs]);
        let [left, right, bias_left] =
            [factors.left, factors.right, factors.bias].map(|rows_of| Mat::new(rows_of, rows, d));
        let matrix = MatMut::new(&mut params[weight.clone()], d, d);
        let max = if structured {
            update(level, left, right, Scaled { w: matrix, rows: diagonal })
        } else {
            let base = (config.gradient == Gradient::Ordinary)
                .then(|| (Mat::new(&w.inverse_transposes[k * d * d..][..d * d], d, d), T::ONE));
            let rule = rule(&adam, momentum, state.first_moment, state.second_moment, weight, d);
            update(level, left, right, Ascend { w: matrix, rows: diagonal, base, rate, rule })
        };
        state.weight_max[k] = max.to_f64();
        if config.bias == Bias::None {
            return;
        }
        // b moves by sum_b f_b left_b; the affine rule adds its own share of b.
        let f = Mat::new(&w.coefficients[..rows], rows, 1);
        if structured {
            let b = &mut params[bias];
            if own_bias {
                b.iter_mut().zip(diagonal).for_each(|(b, s)| *b = *b * *s);
            }
            let sink = Scaled { w: MatMut::new(b, 1, d), rows: &[T::ONE] };
            update(level, f, bias_left, sink);
        } else {
            let share = &mut w.row[0][..d];
            let base = own_bias.then(|| {
                // With the diagonal of natural steps, element by element.
                for ((share, b), g) in share.iter_mut().zip(&params[bias.clone()]).zip(diagonal) {
                    *share = *b * *g;
                }
                (Mat::new(share, 1, d), T::ONE)
            });
            let rule =
                rule(&adam, momentum, state.first_moment, state.second_moment, bias.clone(), d);
            let matrix = MatMut::new(&mut params[bias], 1, d);
            let sink = Ascend { w: matrix, rows: &[T::ZERO], base, rate, rule };
            update(level, f, bias_left, sink);
        }
    }

    /// `f_b` into `work.coefficients`: 1, or `1 + c_b . b` where W and b move together.
    pub(crate) fn bias_coefficients(&mut self, bias: &[T], k: usize, rows: usize) {
        let d = self.config.dim;
        let w = &mut self.work;
        let f = &mut w.coefficients[..rows];
        let together = self.config.gradient == Gradient::Relative
            && matches!(self.config.bias, Bias::Affine | Bias::Projected);
        if !together {
            f.fill(T::ONE);
            return;
        }
        let at = k * self.config.max_batch * d;
        let c = Mat::new(&w.c[at..][..rows * d], rows, d);
        dots(self.level, c, Mat::new(bias, 1, d), MatMut::new(f, rows, 1));
        f.iter_mut().for_each(|f| *f = *f + T::ONE);
    }

    /// Adam's constants for the step about to be taken, `t = steps + 1`.
    pub(crate) fn adam_constants(&self) -> Option<AdamConstants<T>> {
        let Optimizer::Adam { beta1, beta2, epsilon } = self.config.optimizer else { return None };
        let t = (self.steps() + 1) as f64;
        let correction = |beta: f64| T::from_f64(1.0 / (1.0 - libm::pow(beta, t)));
        Some(AdamConstants {
            beta1: T::from_f64(beta1),
            beta2: T::from_f64(beta2),
            correction: [correction(beta1), correction(beta2)],
            epsilon: T::from_f64(epsilon),
        })
    }
}

/// The rows that a layer's gradient is made of: `sum_b left_b right_b^T` for W, `delta p^T`,
/// `V z^T` or `delta z^T`, and `sum_b f_b bias_b` for b.
pub(crate) struct Factors<'w, T> {
    pub left: &'w [T],
    pub right: &'w [T],
    pub bias: &'w [T],
}

impl<'w, T> Factors<'w, T> {
    fn of(config: &Config, k: usize, rows: usize, work: [&'w [T]; 3]) -> Self {
        let at = k * config.max_batch * config.dim;
        let [delta, p, inputs] = work.map(|x| x.get(at..at + rows * config.dim).unwrap_or(&[]));
        let (left, right) = match config.gradient {
            Gradient::Relative => (delta, p),
            Gradient::Transposed => (p, inputs),
            Gradient::Ordinary => (delta, inputs),
        };
        // Separate biases move by the plain mean of delta, whatever W does.
        let bias = if config.bias == Bias::Separate { delta } else { left };
        Factors { left, right, bias }
    }
}

/// The rule of an unstructured step for the parameters in `range`, rows of `cols` numbers.
pub(crate) fn rule<'s, T: Scalar>(
    adam: &Option<AdamConstants<T>>,
    momentum: T,
    first: &'s mut [T],
    second: &'s mut [T],
    range: core::ops::Range<usize>,
    cols: usize,
) -> Rule<'s, T> {
    let rows = range.len() / cols;
    if let Some(constants) = *adam {
        let m = MatMut::new(&mut first[range.clone()], rows, cols);
        return Rule::Adam { m, v: MatMut::new(&mut second[range], rows, cols), constants };
    }
    if momentum > T::ZERO {
        return Rule::Momentum { m: MatMut::new(&mut first[range], rows, cols), beta: momentum };
    }
    Rule::Plain
}

/// `out = x + damping mean(x)`.
fn damp<T: Scalar>(x: &[T], damping: f64, out: &mut [T]) {
    let mean = x.iter().map(|v| v.to_f64()).sum::<f64>() / x.len() as f64;
    for (out, x) in out.iter_mut().zip(x) {
        *out = T::from_f64(x.to_f64() + damping * mean);
    }
}

fn square<T: Scalar>(x: &[T]) -> f64 {
    x.iter().map(|v| v.to_f64() * v.to_f64()).sum()
}
