//! Optimisers: a step is planned and checked for all layers, then committed; what fails has
//! changed nothing.

use crate::config::{Bias, Config, Crossing, Gradient, Optimizer};
use crate::memory::workspace::{HEADER_AGE, HEADER_STEP, PLAN};
use crate::scalar::Scalar;
use crate::session::Session;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::{Adam, Ascend, Momentum, Plain, Scaled};
use crate::status::{Error, Result, Status, Value};
use crate::step::forward::diverged;
use crate::step::lanes::is_small;
use crate::threads::parallel::Exec;

/// Halvings of a layer's step before a crossing is an error.
const MAX_HALVINGS: u32 = 20;

/// Indices into a layer's plan.
pub(crate) const RATE: usize = 0;
const LOG_DET_CHANGE: usize = 1;
const DIRECTION_BOUND: usize = 2;

/// What planning found, over all layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Planned {
    pub trust_scale: f64,
    pub halvings: u32,
}

impl<T: Scalar> Session<'_, T> {
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
        let structured = self.config.is_structured();
        let mut rate = rate;
        let scale = self.trust_region(k, rows);
        if !scale.is_finite() {
            return Err(diverged(k));
        }
        planned.trust_scale = planned.trust_scale.min(scale);
        self.scale_left(params, k, rows, if structured { rate * scale } else { scale });
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
                    change = determinant.log_abs();
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

    /// Multiplies the rows of the left factor by `factor w_b`.
    pub(crate) fn scale_left(&mut self, params: &[T], k: usize, rows: usize, factor: f64) {
        if self.summed {
            return self.scale_sums(params, k, factor);
        }
        let w = &mut self.work;
        for (f, weight) in w.coefficients[..rows].iter_mut().zip(w.weights.iter()) {
            *f = T::from_f64(factor * weight.to_f64());
        }
        let f = Some(&w.coefficients[..rows]);
        T::rescale(self.exec, self.rows.of_mut(w.delta, k, rows), f, None);
        if self.config.gradient == Gradient::Transposed {
            T::rescale(self.exec, self.rows.of_mut(w.p, k, rows), f, None);
        }
    }

    fn halve_left(&mut self, k: usize, rows: usize) {
        if self.summed {
            return self.halve_sums(k);
        }
        let half = T::from_f64(0.5);
        let delta = self.rows.flat_mut(self.work.delta, k, rows);
        delta.iter_mut().for_each(|v| *v = *v * half);
    }

    /// The diagonal that W is multiplied by: S for structured steps, else the direction's own
    /// share of W. `step` is `rate * scale`, or `scale` alone where the rate comes later.
    fn fill_diagonal(&mut self, k: usize, step: f64) {
        let d = self.config.dim;
        let structured = self.config.is_structured();
        let Optimizer::Natural { .. } = self.config.optimizer else {
            let own = if self.config.gradient == Gradient::Ordinary { 0.0 } else { 1.0 };
            let value = if structured { 1.0 + step } else { own };
            self.work.diagonal[k * d..][..d].fill(T::from_f64(value));
            return;
        };
        self.fill_natural_diagonal(k, if structured { 1.0 } else { 0.0 }, step);
    }

    /// What the layers' gradients are made of.
    pub(crate) fn gradient_factors(&self) -> Factors<'_, T> {
        let w = &self.work;
        Factors::of(&self.config, [w.delta, w.p, w.inputs])
    }

    /// Whether a bias's direction depends on its layer's inputs: W and b move together.
    fn moves_together(&self) -> bool {
        self.config.gradient == Gradient::Relative
            && matches!(self.config.bias, Bias::Affine | Bias::Projected)
    }

    /// Whether the bias's direction has a share of the bias itself: the affine rule.
    pub(crate) fn bias_keeps_own(&self) -> bool {
        self.config.gradient == Gradient::Relative && self.config.bias == Bias::Affine
    }

    /// Bounds the direction and refuses steps whose result might exceed
    /// `T::LIMIT` (1e18 in f32, 1e150 in f64).
    pub(crate) fn bound(&self, params: &[T], k: usize, rows: usize, rate: f64) -> Result<f64> {
        let (dim, exec) = (self.config.dim, self.exec);
        let largest_of = |x| T::max_abs(exec, self.rows.flat(x, k, rows));
        let b_max = self.layer_bias(params, k).map_or(0.0, |b| T::max_abs(exec, b));
        // The largest elements of the product and of the bias's sum.
        let (product, bias_sum) = if self.summed {
            let w = &self.work;
            let left = T::max_abs(exec, &w.products[k * dim * dim..][..dim * dim]);
            let mean = T::max_abs(exec, &w.moments[3 * k * dim..][..dim]);
            (dim as f64 * left * self.state.weight_max[k], mean)
        } else {
            let [left, right, bias] = self.gradient_factors().in_turn();
            let same = core::ptr::eq(left, bias);
            let (left, right) = (largest_of(left), largest_of(right));
            let bias = if same { left } else { largest_of(bias) };
            let c = if self.moves_together() { largest_of(self.work.c) } else { 0.0 };
            let coefficient = 1.0 + dim as f64 * c * b_max;
            (rows as f64 * left * right, rows as f64 * bias * coefficient)
        };
        let diagonal = T::max_abs(exec, &self.work.diagonal[k * dim..][..dim]);
        let own = diagonal * self.state.weight_max[k];
        let base = match self.config.gradient {
            Gradient::Ordinary => {
                T::max_abs(exec, &self.work.inverse_transposes[k * dim * dim..][..dim * dim])
            }
            _ => 0.0,
        };
        let mut direction = product + own + base;
        let mut largest = self.state.weight_max[k];
        if self.config.has_bias() {
            // Sums, not maxima, which would lose a NaN.
            direction += b_max * diagonal + bias_sum;
            largest = largest.max(b_max);
        }
        let mut result = largest + direction;
        if !self.config.is_structured() {
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
        let pace = self.pace();
        let small = is_small(&self.config);
        if small {
            self.commit_packed(params, &pace);
        }
        for k in 0..self.config.layers {
            if !small {
                self.commit_layer(params, k, rows, &pace);
            }
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

    fn commit_layer(&mut self, params: &mut [T], k: usize, rows: usize, pace: &Pace<T>) {
        let d = self.config.dim;
        let rate = self.work.plan[k * PLAN + RATE];
        let (weight, bias) = (self.layout.weight(k), self.layout.bias(k));
        self.bias_coefficients(&params[bias.clone()], k, rows);
        let structured = self.config.is_structured();
        let (exec, config, rows_of) = (self.exec, self.config, self.rows);
        let own_bias = self.bias_keeps_own();
        let (w, state) = (&mut self.work, &mut self.state);
        let diagonal = &w.diagonal[k * d..][..d];
        let factors = Factors::of(&config, [w.delta, w.p, w.inputs]);
        let [left, right, bias_left] = if self.summed {
            // M W from M^T and a copy of W; for b one row, the direction itself.
            w.directions.copy_from_slice(&params[weight.clone()]);
            let m = Mat::new(&w.products[k * d * d..][..d * d], d, d);
            let mean = Mat::new(&w.moments[3 * k * d..][..d], 1, d);
            [m, Mat::new(w.directions, d, d), mean]
        } else {
            factors.in_turn().map(|x| rows_of.of(x, k, rows))
        };
        let f = Mat::new(&w.coefficients[..bias_left.rows], bias_left.rows, 1);
        let matrix = MatMut::new(&mut params[weight.clone()], d, d);
        let mut moments = Moments::of(state.first_moment, state.second_moment);
        let max = if structured {
            T::update_scaled(exec, left, right, &Scaled { w: matrix, rows: diagonal })
        } else {
            let base = (config.gradient == Gradient::Ordinary)
                .then(|| (Mat::new(&w.inverse_transposes[k * d * d..][..d * d], d, d), T::ONE));
            let direction = Direction { left, right, rows: diagonal, base };
            direction.ascend(exec, matrix, weight, rate, pace, &mut moments)
        };
        state.weight_max[k] = max;
        if config.bias == Bias::None {
            return;
        }
        // b moves by sum_b f_b left_b; the affine rule adds its own share of b.
        if structured {
            let b = &mut params[bias];
            if own_bias {
                b.iter_mut().zip(diagonal).for_each(|(b, s)| *b = *b * *s);
            }
            let sink = Scaled { w: MatMut::new(b, 1, d), rows: &[T::ONE] };
            T::update_scaled(exec, f, bias_left, &sink);
        } else {
            let share = &mut w.rows[..d];
            let base = own_bias.then(|| {
                // With the diagonal of natural steps, element by element.
                for ((share, b), g) in share.iter_mut().zip(&params[bias.clone()]).zip(diagonal) {
                    *share = *b * *g;
                }
                (Mat::new(share, 1, d), T::ONE)
            });
            let matrix = MatMut::new(&mut params[bias.clone()], 1, d);
            let direction = Direction { left: f, right: bias_left, rows: &[T::ZERO], base };
            direction.ascend(exec, matrix, bias, rate, pace, &mut moments);
        }
    }

    /// `f_b` into `work.coefficients`: 1, or `1 + c_b . b` where W and b move together, unless a
    /// sum has that in it.
    pub(crate) fn bias_coefficients(&mut self, bias: &[T], k: usize, rows: usize) {
        let d = self.config.dim;
        let together = self.moves_together() && !self.summed;
        let w = &mut self.work;
        let f = &mut w.coefficients[..rows];
        if !together {
            f.fill(T::ONE);
            return;
        }
        let c = self.rows.of(w.c, k, rows);
        T::matmul_nt(self.exec, c, Mat::new(bias, 1, d), MatMut::new(f, rows, 1));
        f.iter_mut().for_each(|f| *f = *f + T::ONE);
    }

    /// The optimiser's constants for the step about to be taken, `t = steps + 1`.
    pub(crate) fn pace(&self) -> Pace<T> {
        let pair = |beta: f64| [T::from_f64(beta), T::from_f64(1.0 - beta)];
        match self.config.optimizer {
            Optimizer::Adam { beta1, beta2, epsilon } => {
                let t = (self.steps() + 1) as f64;
                let root = libm::sqrt(one_less_power(beta2, t));
                Pace::Adam {
                    decay: [pair(beta1), pair(beta2)],
                    epsilon: T::from_f64(epsilon * root),
                    factor: root / one_less_power(beta1, t),
                }
            }
            other if other.momentum() > 0.0 => Pace::Momentum(pair(other.momentum())),
            _ => Pace::Plain,
        }
    }
}

/// `1 - beta^t`, by `beta^t <= e^(-t (1 - beta))` 1 to the last bit after enough steps: then
/// without a power, which takes a tenth of a small step.
fn one_less_power(beta: f64, t: f64) -> f64 {
    if t * (1.0 - beta) > 40.0 { 1.0 } else { 1.0 - libm::pow(beta, t) }
}

/// What an unstructured step does with its direction, besides the rate.
pub(crate) enum Pace<T> {
    Plain,
    Momentum([T; 2]),
    /// `m^ / (sqrt(v^) + epsilon) = factor m / (sqrt(v) + epsilon')`.
    Adam {
        decay: [[T; 2]; 2],
        epsilon: T,
        factor: f64,
    },
}

/// The optimiser's averages, laid out as the parameters.
pub(crate) struct Moments<'s, T> {
    first: &'s mut [T],
    second: &'s mut [T],
}

impl<'s, T> Moments<'s, T> {
    pub fn of(first: &'s mut [T], second: &'s mut [T]) -> Self {
        Moments { first, second }
    }
}

/// `sum_b left_b right_b^T + diag(rows) W + share base`.
pub(crate) struct Direction<'a, T> {
    pub left: Mat<'a, T>,
    pub right: Mat<'a, T>,
    pub rows: &'a [T],
    pub base: Option<(Mat<'a, T>, T)>,
}

impl<T: Scalar> Direction<'_, T> {
    /// Moves `w`, the parameters in `range`, along this direction as the optimiser has it;
    /// returns a bound on what they are then.
    pub fn ascend(
        self,
        exec: Exec,
        w: MatMut<T>,
        range: core::ops::Range<usize>,
        rate: f64,
        pace: &Pace<T>,
        moments: &mut Moments<T>,
    ) -> f64 {
        let Direction { left, right, rows, base } = self;
        let (height, width) = (w.rows, w.cols);
        let factor = T::from_f64(rate);
        match *pace {
            Pace::Plain => {
                T::update_plain(exec, left, right, &Ascend { w, rows, base, factor, rule: Plain })
            }
            Pace::Momentum(decay) => {
                let m = MatMut::new(&mut moments.first[range], height, width);
                let rule = Momentum { m, decay };
                T::update_momentum(exec, left, right, &Ascend { w, rows, base, factor, rule })
            }
            Pace::Adam { decay, epsilon, factor } => {
                let m = MatMut::new(&mut moments.first[range.clone()], height, width);
                let v = MatMut::new(&mut moments.second[range], height, width);
                let (rule, factor) = (Adam { m, v, decay, epsilon }, T::from_f64(rate * factor));
                T::update_adam(exec, left, right, &Ascend { w, rows, base, factor, rule })
            }
        }
    }
}

/// Where the rows lie that a layer's gradient is made of: `sum_b left_b right_b^T` for W, `delta p^T`,
/// `V z^T` or `delta z^T`, and `sum_b f_b bias_b` for b.
pub(crate) struct Factors<'w, T> {
    pub left: &'w [T],
    pub right: &'w [T],
    pub bias: &'w [T],
}

impl<'w, T> Factors<'w, T> {
    fn of(config: &Config, work: [&'w [T]; 3]) -> Self {
        let [delta, p, inputs] = work;
        let (left, right) = match config.gradient {
            Gradient::Relative => (delta, p),
            Gradient::Transposed => (p, inputs),
            Gradient::Ordinary => (delta, inputs),
        };
        // Separate biases move by the plain mean of delta, whatever W does.
        let bias = if config.bias == Bias::Separate { delta } else { left };
        Factors { left, right, bias }
    }

    fn in_turn(&self) -> [&'w [T]; 3] {
        [self.left, self.right, self.bias]
    }
}
