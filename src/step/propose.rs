//! The first half of a step: how far each layer moves, found and checked for all layers before any
//! of them changes.

use crate::config::{Bias, Config, Crossing, Gradient, Optimizer};
use crate::memory::workspace::{Pass, State, Work};
use crate::plan::Plan;
use crate::simd::Real;
use crate::status::{Error, Result, Status, Value, diverged};
use crate::step::net::Net;
use crate::step::{condition, curves, determinant, natural, summed};

/// Halvings of a layer's step before a crossing is an error.
const MAX_HALVINGS: u32 = 20;

/// What was found, over all layers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Proposed {
    pub trust_scale: f64,
    pub halvings: u32,
    /// Whether the log-determinants are as exact after it as before.
    pub exact: bool,
}

impl Proposed {
    /// Steps of which nothing was shortened.
    pub const WHOLE: Self = Proposed { trust_scale: 1.0, halvings: 0, exact: true };
}

/// Scales every layer's gradient, finds S, shortens the step where the trust region or a crossing
/// asks for it, and bounds what the parameters will be.
///
/// # Errors
/// A step that would diverge, or cross a singular matrix however short it is.
pub(crate) fn run<T: Real>(
    net: &Net<T>,
    params: &[T],
    state: &State<T>,
    work: &mut Work<T>,
    plan: Plan,
    rate: f64,
) -> Result<Proposed> {
    condition::check_gradient(net, work.sums.conditions)?;
    let mut proposed = Proposed::WHOLE;
    for k in 0..net.config.layers {
        layer(net, params, state, work, plan, k, rate, &mut proposed)?;
    }
    Ok(proposed)
}

#[allow(clippy::too_many_arguments)]
fn layer<T: Real>(
    net: &Net<T>,
    params: &[T],
    state: &State<T>,
    work: &mut Work<T>,
    plan: Plan,
    k: usize,
    mut rate: f64,
    proposed: &mut Proposed,
) -> Result<()> {
    curves::check(net, work.sums.curves, k)?;
    let structured = net.config.is_structured();
    let scale = natural::trust_region(net, work, plan, k);
    if !scale.is_finite() {
        return Err(diverged(k));
    }
    proposed.trust_scale = proposed.trust_scale.min(scale);
    let step = if structured { rate * scale } else { scale };
    scale_left(net, params, work, plan, k, step);
    fill_diagonal(net, work, k, step);
    let mut change = 0.0;
    if net.config.exact_log_det() {
        let mut halvings = 0;
        loop {
            let determinant = determinant::of_step(net, work, plan, k);
            let fine = determinant.is_some_and(|(d, _)| !d.negative);
            if let Some((determinant, error)) = determinant
                && (fine || net.config.crossing == Crossing::Allow)
            {
                change = determinant.log_abs();
                proposed.exact &= determinant::is_exact(error);
                break;
            }
            if halvings == MAX_HALVINGS || net.config.crossing == Crossing::Allow {
                // Numbers beyond all bounds have no determinant either.
                bound(net, params, state, work, plan, k, rate)?;
                let v = Value::Int(k as u64);
                let allowed = "a smaller rate (value: the layer)";
                return Err(Error::new(Status::Crossing, "rate", v, allowed));
            }
            halvings += 1;
            rate *= 0.5;
            halve_left(net, work, plan, k);
            fill_diagonal(net, work, k, rate * scale);
        }
        proposed.halvings += halvings;
    }
    let bound = bound(net, params, state, work, plan, k, rate)?;
    work.proposal.rate[k] = rate;
    work.proposal.log_det_change[k] = change;
    work.proposal.bound[k] = bound;
    Ok(())
}

/// Multiplies the rows of layer k's left factor by `factor w_b`, or its sums by `factor`.
pub(crate) fn scale_left<T: Real>(
    net: &Net<T>,
    params: &[T],
    work: &mut Work<T>,
    plan: Plan,
    k: usize,
    factor: f64,
) {
    let Work { pass, sums, proposal, .. } = work;
    if plan.is_summed() {
        return summed::scale(net, params, sums, k, factor);
    }
    let n = plan.rows;
    let coefficients = &mut proposal.coefficients[..n];
    for (f, weight) in coefficients.iter_mut().zip(pass.weights.iter()) {
        *f = T::from_f64(factor * weight.to_f64());
    }
    T::rescale(net.exec, net.rows.of_mut(pass.delta, k, n), Some(coefficients), None);
    if net.config.gradient == Gradient::Transposed {
        T::rescale(net.exec, net.rows.of_mut(pass.p, k, n), Some(coefficients), None);
    }
}

fn halve_left<T: Real>(net: &Net<T>, work: &mut Work<T>, plan: Plan, k: usize) {
    if plan.is_summed() {
        return summed::halve(net, &mut work.sums, k);
    }
    let half = T::from_f64(0.5);
    let delta = net.rows.flat_mut(work.pass.delta, k, plan.rows);
    delta.iter_mut().for_each(|v| *v = *v * half);
}

/// The diagonal that W is multiplied by: S for structured steps, else the direction's own share of
/// W. `step` is `rate * scale`, or `scale` alone where the rate comes later.
fn fill_diagonal<T: Real>(net: &Net<T>, work: &mut Work<T>, k: usize, step: f64) {
    let Work { fisher, proposal, .. } = work;
    let structured = net.config.is_structured();
    if let Optimizer::Natural { .. } = net.config.optimizer {
        return natural::diagonal(
            net,
            fisher,
            proposal,
            k,
            if structured { 1.0 } else { 0.0 },
            step,
        );
    }
    let own = if net.config.gradient == Gradient::Ordinary { 0.0 } else { 1.0 };
    let value = if structured { 1.0 + step } else { own };
    proposal.diagonal[net.features(k)].fill(T::from_f64(value));
}

/// Where the rows are that a layer's gradient is made of: `sum_b left_b right_b^T` for W, which is
/// `delta p^T`, `V z^T` or `delta z^T`, and `sum_b f_b bias_b` for b.
pub(crate) struct GradientRows<'w, T> {
    pub left: &'w [T],
    pub right: &'w [T],
    pub bias: &'w [T],
}

impl<'w, T> GradientRows<'w, T> {
    pub fn of(config: &Config, pass: &'w Pass<T>) -> Self {
        let (delta, p, inputs): (&[T], &[T], &[T]) = (pass.delta, pass.p, pass.inputs);
        let (left, right) = match config.gradient {
            Gradient::Relative => (delta, p),
            Gradient::Transposed => (p, inputs),
            Gradient::Ordinary => (delta, inputs),
        };
        // Separate biases move by the plain mean of delta, whatever W does.
        let bias = if config.bias == Bias::Separate { delta } else { left };
        GradientRows { left, right, bias }
    }
}

/// Bounds layer k's direction and refuses steps whose result might exceed `T::LIMIT` (1e18 in f32,
/// 1e150 in f64).
pub(crate) fn bound<T: Real>(
    net: &Net<T>,
    params: &[T],
    state: &State<T>,
    work: &Work<T>,
    plan: Plan,
    k: usize,
    rate: f64,
) -> Result<f64> {
    let (d, n, exec, config) = (net.config.dim, plan.rows, net.exec, net.config);
    let largest_of = |x| T::max_abs(exec, net.rows.flat(x, k, n));
    let b_max = net.bias(params, k).map_or(0.0, |b| T::max_abs(exec, b));
    // The largest elements of the product and of the bias's sum.
    let (product, bias_sum) = if plan.is_summed() {
        let left = T::max_abs(exec, &work.sums.products[net.square(k)]);
        let mean = T::max_abs(exec, &work.sums.moments[3 * k * d..][..d]);
        (d as f64 * left * state.weight_max[k], mean)
    } else {
        let GradientRows { left, right, bias } = GradientRows::of(config, &work.pass);
        let same = core::ptr::eq(left, bias);
        let (left, right) = (largest_of(left), largest_of(right));
        let bias = if same { left } else { largest_of(bias) };
        let c = if moves_together(config) { largest_of(work.pass.c) } else { 0.0 };
        let coefficient = 1.0 + d as f64 * c * b_max;
        (n as f64 * left * right, n as f64 * bias * coefficient)
    };
    let diagonal = T::max_abs(exec, &work.proposal.diagonal[net.features(k)]);
    let own = diagonal * state.weight_max[k];
    let base = match config.gradient {
        Gradient::Ordinary => T::max_abs(exec, &work.ordinary.inverse_transposes[net.square(k)]),
        _ => 0.0,
    };
    let mut direction = product + own + base;
    let mut largest = state.weight_max[k];
    if config.has_bias() {
        // Sums, not maxima, which would lose a NaN.
        direction += b_max * diagonal + bias_sum;
        largest = largest.max(b_max);
    }
    let mut result = largest + direction;
    if !config.is_structured() {
        let average = direction.max(state.momentum_max[k]);
        result += rate * average.min(T::LIMIT);
        bound_adam::<T>(config, k, rate * average)?;
    }
    if result <= T::LIMIT { Ok(direction) } else { Err(diverged(k)) }
}

/// Adam divides by as little as epsilon: refuses a step that might leave the finite numbers.
pub(crate) fn bound_adam<T: Real>(config: &Config, k: usize, step: f64) -> Result<()> {
    match config.optimizer {
        Optimizer::Adam { epsilon, .. } if step / epsilon > T::MAX.to_f64() / 16.0 => {
            Err(diverged(k))
        }
        _ => Ok(()),
    }
}

/// Whether a bias's direction depends on its layer's inputs: W and b move together.
pub(crate) fn moves_together(config: &Config) -> bool {
    config.gradient == Gradient::Relative && matches!(config.bias, Bias::Affine | Bias::Projected)
}

/// Whether the bias's direction has a share of the bias itself: the affine rule.
pub(crate) fn bias_keeps_own(config: &Config) -> bool {
    config.gradient == Gradient::Relative && config.bias == Bias::Affine
}
