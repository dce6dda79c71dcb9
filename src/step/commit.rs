//! The second half of a step: every layer moves as proposed; nothing can fail any more.

use crate::config::{Bias, Config, Gradient, Optimizer};
use crate::memory::workspace::{Pass, Proposal, State, Work};
use crate::plan::{Plan, Route};
use crate::simd::Real;
use crate::simd::matmul::matrix::{Mat, MatMut};
use crate::simd::ops::{Adam, Ascend, Momentum, Scaled};
use crate::step::net::Net;
use crate::step::propose::{GradientRows, Proposed, bias_keeps_own, moves_together};
use crate::step::{condition, curves, determinant, lanes};
use crate::threads::parallel::Exec;

/// Moves parameters and state as proposed. Whether log-determinants stay exact is also known by the
/// weights that there are then.
pub(crate) fn run<T: Real>(
    net: &Net<T>,
    params: &mut [T],
    state: &mut State<T>,
    work: &mut Work<T>,
    plan: Plan,
    proposed: &Proposed,
) {
    let carried = net.config.exact_log_det();
    let mut exact = carried && proposed.exact;
    let pace = Pace::of(net.config, state.steps());
    if plan.route == Route::Lanes {
        all_layers(net, params, state, work, &pace);
    }
    for k in 0..net.config.layers {
        if plan.route != Route::Lanes {
            layer(net, params, state, work, plan, k, &pace);
        }
        if carried {
            state.log_det[k] += work.proposal.log_det_change[k];
            let (d, largest) = (net.config.dim, state.weight_max[k]);
            exact &= determinant::is_kept::<T>(d, largest, state.log_det[k]);
        }
        if net.config.track_inverse {
            let inverse = &mut state.inverse[net.square(k)];
            determinant::update_inverse(net, inverse, work, plan, k);
        }
        state.momentum_max[k] = state.momentum_max[k].max(work.proposal.bound[k]);
    }
    curves::ascend(net, params, state, &work.proposal, work.sums.curves, T::ONE);
    condition::ascend(net, params, state, &work.proposal, work.sums.conditions, T::ONE);
    state.h.copy_from_slice(work.fisher.h);
    state.q.copy_from_slice(work.fisher.q);
    state.count_step(exact);
}

/// Layer k: `W' = S W + A^T P`, or along the direction by the optimiser's rule; its bias alike.
fn layer<T: Real>(
    net: &Net<T>,
    params: &mut [T],
    state: &mut State<T>,
    work: &mut Work<T>,
    plan: Plan,
    k: usize,
    pace: &Pace<T>,
) {
    let (d, config, exec) = (net.config.dim, net.config, net.exec);
    let (weight, bias) = (net.layout.weight(k), net.layout.bias(k));
    let structured = config.is_structured();
    let Work { pass, sums, proposal, ordinary, .. } = work;
    if plan.is_summed() {
        // The sums of the biases have `1 + c_b . b` in them.
        proposal.coefficients[..1].fill(T::ONE);
    } else {
        bias_coefficients(net, &params[bias.clone()], pass, proposal, k, plan.rows);
    }
    let rate = proposal.rate[k];
    let diagonal = &proposal.diagonal[net.features(k)];
    let [left, right, bias_left] = if plan.is_summed() {
        // M W from M^T and a copy of W; for b one row, the direction itself.
        let copy = &mut sums.directions[..d * d];
        copy.copy_from_slice(&params[weight.clone()]);
        let m = Mat::new(&sums.products[net.square(k)], d, d);
        let mean = Mat::new(&sums.moments[3 * k * d..][..d], 1, d);
        [m, Mat::new(copy, d, d), mean]
    } else {
        let GradientRows { left, right, bias } = GradientRows::of(config, pass);
        [left, right, bias].map(|x| net.rows.of(x, k, plan.rows))
    };
    let f = Mat::new(&proposal.coefficients[..bias_left.rows], bias_left.rows, 1);
    let matrix = MatMut::new(&mut params[weight.clone()], d, d);
    let mut moments = Moments::of(state.first_moment, state.second_moment);
    let max = if structured {
        T::update_scaled(exec, left, right, &Scaled { w: matrix, rows: diagonal })
    } else {
        let base = (config.gradient == Gradient::Ordinary)
            .then(|| (Mat::new(&ordinary.inverse_transposes[net.square(k)], d, d), T::ONE));
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
        if bias_keeps_own(config) {
            b.iter_mut().zip(diagonal).for_each(|(b, s)| *b = *b * *s);
        }
        let epilogue = Scaled { w: MatMut::new(b, 1, d), rows: &[T::ONE] };
        T::update_scaled(exec, f, bias_left, &epilogue);
        return;
    }
    let share = &mut *proposal.bias_share;
    let base = bias_keeps_own(config).then(|| {
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

/// `f_b` of `n` rows into the coefficients: 1, or `1 + c_b . b` where W and b move together.
pub(crate) fn bias_coefficients<T: Real>(
    net: &Net<T>,
    bias: &[T],
    pass: &Pass<T>,
    proposal: &mut Proposal<T>,
    k: usize,
    n: usize,
) {
    let f = &mut proposal.coefficients[..n];
    if !moves_together(net.config) {
        f.fill(T::ONE);
        return;
    }
    let bias = Mat::new(bias, 1, net.config.dim);
    T::matmul_nt(net.exec, net.rows.of(pass.c, k, n), bias, MatMut::new(f, n, 1));
    f.iter_mut().for_each(|f| *f = *f + T::ONE);
}

/// All layers of a step through lanes: `W' = S W + M W` and the like for structured steps,
/// otherwise along `M W + diag W` by the optimiser's rule, in one pass over all parameters.
fn all_layers<T: Real>(
    net: &Net<T>,
    params: &mut [T],
    state: &mut State<T>,
    work: &mut Work<T>,
    pace: &Pace<T>,
) {
    let (d, exec) = (net.config.dim, net.exec);
    let (structured, own_bias) = (net.config.is_structured(), bias_keeps_own(net.config));
    let Work { sums, proposal, .. } = work;
    let layers = lanes::layers(net, params);
    T::lanes_directions(exec, &layers, sums.products, sums.moments, sums.directions);
    for k in 0..net.config.layers {
        let diagonal = &proposal.diagonal[net.features(k)];
        let range = net.layout.weight(k);
        let old = params[range.clone()].chunks_exact_mut(d);
        let new = sums.directions[range.clone()].chunks_exact_mut(d);
        for ((old, new), s) in old.zip(new).zip(diagonal) {
            new.iter_mut().zip(old.iter()).for_each(|(new, old)| *new = *s * *old + *new);
            if structured {
                old.copy_from_slice(new);
            }
        }
        if structured {
            state.weight_max[k] = T::max_abs(exec, &params[range]);
        }
        let range = net.layout.bias(k);
        let old = params[range.clone()].iter_mut();
        for ((old, new), s) in old.zip(&mut sums.directions[range]).zip(diagonal) {
            let share = match (own_bias, structured) {
                (true, _) => *s,
                (false, true) => T::ONE,
                (false, false) => T::ZERO,
            };
            *new = share * *old + *new;
            if structured {
                *old = *new;
            }
        }
    }
    if structured {
        return;
    }
    let n = net.layout.linear_len();
    let rate = proposal.rate[0];
    let mut moments = Moments::of(state.first_moment, state.second_moment);
    let (none, base) = (Mat::new(&[], 0, 1), Some((Mat::new(sums.directions, 1, n), T::ONE)));
    let right = Mat::new(&[], 0, n);
    let direction = Direction { left: none, right, rows: &[T::ZERO], base };
    let matrix = MatMut::new(&mut params[..n], 1, n);
    let max = direction.ascend(exec, matrix, 0..n, rate, pace, &mut moments);
    state.weight_max.fill(max);
}

/// `1 - beta^t`, by `beta^t <= e^(-t (1 - beta))` 1 to the last bit after enough steps: then
/// without a power, which takes a tenth of a small step.
fn one_less_power(beta: f64, t: f64) -> f64 {
    if t * (1.0 - beta) > 40.0 { 1.0 } else { 1.0 - libm::pow(beta, t) }
}

/// Adam's correction of averages that began with 0, for the step after `steps` others: what epsilon
/// and the rate are multiplied by.
pub(crate) fn bias_correction(beta1: f64, beta2: f64, steps: u64) -> (f64, f64) {
    let t = (steps + 1) as f64;
    let root = libm::sqrt(one_less_power(beta2, t));
    (root, root / one_less_power(beta1, t))
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

impl<T: Real> Pace<T> {
    /// For the step after `steps` others.
    pub fn of(config: &Config, steps: u64) -> Self {
        let pair = |beta: f64| [T::from_f64(beta), T::from_f64(1.0 - beta)];
        match config.optimizer {
            Optimizer::Adam { beta1, beta2, epsilon } => {
                let (root, factor) = bias_correction(beta1, beta2, steps);
                let epsilon = T::from_f64(epsilon * root);
                Pace::Adam { decay: [pair(beta1), pair(beta2)], epsilon, factor }
            }
            other if other.momentum() > 0.0 => Pace::Momentum(pair(other.momentum())),
            _ => Pace::Plain,
        }
    }
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

impl<T: Real> Direction<'_, T> {
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
        let of = |x| MatMut::new(x, height, width);
        let m = match *pace {
            Pace::Adam { decay, epsilon, factor } => {
                let m = of(&mut moments.first[range.clone()]);
                let v = of(&mut moments.second[range]);
                let (rule, factor) = (Adam { m, v, decay, epsilon }, T::from_f64(rate * factor));
                return T::update_adam(exec, left, right, &Ascend { w, rows, base, factor, rule });
            }
            Pace::Momentum(decay) => Some((of(&mut moments.first[range]), decay)),
            Pace::Plain => None,
        };
        let (rule, factor) = (Momentum { m }, T::from_f64(rate));
        T::update_momentum(exec, left, right, &Ascend { w, rows, base, factor, rule })
    }
}
